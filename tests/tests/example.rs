//! What `make run` plays: a handler crashes until it is repaired, then the tickets land.

use acceptance::{checkout, program, show, text};
use std::net::TcpListener;
use std::process::Command;

#[test]
fn the_example_crashes_is_repaired_and_lands_by_itself() {
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let scratch = tempfile::tempdir().unwrap();
    let output = Command::new(checkout().join("examples/ci/play.sh"))
        .env("PLAY_SCRIPTED", "1")
        .env("PLAY_DIR", scratch.path())
        .env("PLAY_LISTEN", format!("127.0.0.1:{port}"))
        .env("GOAROUND_BIN", program())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", show(&output));
    let said = text(&output.stdout) + &text(&output.stderr);
    for word in [
        "8 have landed",
        "waiting (held)",
        "repaired",
        "canary",
        "All 16 tickets have landed",
    ] {
        assert!(said.contains(word), "{word} is missing in\n{said}");
    }
}
