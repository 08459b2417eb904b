//! Tickets told apart by what they have in common.

use super::*;

#[test]
fn tickets_are_counted_by_their_groups_and_the_largest_come_first() {
    let mut tally = Tally::default();
    for (facet, value) in [
        (Facet::Kind, "go"),
        (Facet::Kind, "rust"),
        (Facet::Key, "rust"),
        (Facet::Kind, "rust"),
    ] {
        tally.add(facet, value.into());
    }
    let groups = tally.groups().shown.into_iter();
    let told: Vec<String> = groups
        .map(|it| format!("{} {}", it.name, it.count))
        .collect();
    assert_eq!(told, ["kind=rust 2", "kind=go 1", "key=rust 1"]);
}

#[test]
fn with_a_key_for_each_ticket_only_so_many_are_told_apart() {
    let mut tally = Tally::default();
    for n in 0..Tally::GROUPS_MAX + 5 {
        tally.add(Facet::Key, n.to_string());
    }
    tally.add(Facet::Key, "0".into());
    let groups = tally.groups();
    let most = groups.shown.len() as u64 + groups.left_out;
    assert_eq!(most, Tally::GROUPS_MAX as u64);
    assert_eq!(
        (groups.shown[0].name.value.as_str(), groups.shown[0].count),
        ("0", 2)
    );
}
