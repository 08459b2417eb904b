//! Tells the bench how many tickets were handled: a file of eight bytes that a thread keeps up to
//! date, so that a handler only adds one.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const WRITE_EVERY: Duration = Duration::from_millis(10);

static HANDLED: AtomicU64 = AtomicU64::new(0);

/// One more was handled.
pub fn add() {
    HANDLED.fetch_add(1, Ordering::Relaxed);
}

/// Writes down how many there are, from now on until the process ends.
pub fn keep() -> std::io::Result<()> {
    let name = std::process::id().to_string();
    let file = File::create(std::path::Path::new(&setting("PEERS_COUNTS")).join(name))?;
    std::thread::spawn(move || -> std::io::Result<()> {
        let mut written = 0;
        loop {
            std::thread::sleep(WRITE_EVERY);
            let handled = HANDLED.load(Ordering::Relaxed);
            if handled != written {
                file.write_all_at(&handled.to_le_bytes(), 0)?;
                written = handled;
            }
        }
    });
    Ok(())
}

/// What the bench has put into the environment.
#[expect(
    clippy::disallowed_methods,
    reason = "how the bench tells its peers where they are"
)]
pub fn setting(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("the bench sets {name}"))
}

/// `fill N` asks for so many tickets, `work` to handle them.
pub fn to_fill() -> Option<usize> {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some("fill") => arguments.next()?.parse().ok(),
        _ => None,
    }
}

/// What a ticket carries: as many bytes as everybody's.
pub fn body() -> String {
    "x".repeat(64)
}
