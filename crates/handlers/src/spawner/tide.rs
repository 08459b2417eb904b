//! How high the memory of this process ever stood. A command begins with our high-water mark as its
//! own peak, since it shares our memory until it has become its program: what a large payload
//! needed here once would be reported of every command after it.

use std::fs::File;
use std::io::{self, Write};
use std::sync::atomic::{AtomicUsize, Ordering};

/// So many bytes go through before the mark is looked after. That takes some 10 us, and is a small
/// part of what it takes to move them.
const MARK_EVERY_BYTES: usize = 4 * 1024 * 1024;

/// What the memory allocators need to be told, in the environment of a spawner, so that they give
/// large buffers back to the system as soon as they are free: that of the GNU C library, which
/// otherwise learns from the first one to keep them, and mimalloc.
pub(crate) const THRIFT: [(&str, &str); 2] = [
    ("MALLOC_MMAP_THRESHOLD_", "131072"),
    ("MIMALLOC_PURGE_DELAY", "0"),
];

/// The bytes of payloads and outputs that were held since the mark was set.
#[derive(Debug, Default)]
pub(super) struct Tide {
    bytes: AtomicUsize,
}

impl Tide {
    /// So many bytes have been held, and are not any more.
    pub(super) fn fell(&self, bytes: usize) {
        let before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) < MARK_EVERY_BYTES {
            return;
        }
        self.bytes.store(0, Ordering::Relaxed);
        // A kernel that cannot do it leaves the mark where it was, which does no harm to the work.
        set_mark().unwrap_or(());
    }
}

/// Sets the mark to what is in use now.
fn set_mark() -> io::Result<()> {
    /// See proc_pid_clear_refs(5).
    const PEAK: &[u8] = b"5";
    let mut file = File::options().write(true).open("/proc/self/clear_refs")?;
    file.write_all(PEAK)
}
