//! A handler that dies in the way that its argument names: what a shell cannot show.

use std::hint::black_box;

const CHUNK_BYTES: usize = 16 * 1024 * 1024;

struct Grumpy;

impl Drop for Grumpy {
    fn drop(&mut self) {
        panic!("the destructor gives up");
    }
}

fn main() {
    let way = std::env::args().nth(1).unwrap_or_default();
    match way.as_str() {
        "panic" => panic!("no recipe for gcc"),
        "destructor" => drop(Grumpy),
        "destructor_in_panic" => {
            let _dropped_meanwhile = Grumpy;
            panic!("no recipe for gcc");
        }
        "stack" => {
            black_box(deeper(0));
        }
        "memory" => hoard(),
        "endless" => loop {
            std::hint::spin_loop();
        },
        other => panic!("nobody dies of {other:?}"),
    }
}

/// Without an end, which a compiler cannot know.
fn deeper(depth: usize) -> usize {
    let here = black_box([depth; 64]);
    if black_box(true) {
        return deeper(depth + 1) + here[depth % 64];
    }
    depth
}

fn hoard() {
    let mut hoarded = Vec::new();
    loop {
        hoarded.push(black_box(vec![1_u8; CHUNK_BYTES]));
    }
}
