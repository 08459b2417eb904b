fn main() {
    let args: Vec<String> = std::env::args().collect();
    let n = |i: usize| args.get(i).and_then(|a| a.parse().ok()).unwrap_or(0u8);
    let f = model::faults::Faults { crashes: n(1), cuts: n(2), doubts: n(3), failures: n(4), successions: n(5), sentences: n(6), resets: n(7), pauses: n(8) };
    let mut p = model::protocol::Protocol::sound(f);
    p.claims = n(9) > 0;
    p.tickets = n(10).max(1);
    let x = model::story::check(p, 3_000_000);
    println!("{f} claims {}: {} states, depth {}, complete {} {:?}", p.claims, x.states, x.depth, x.is_complete, x.took);
    if let Some((law, story)) = x.broken { println!("{law}\n{}", model::story::tell(&story)); }
}
