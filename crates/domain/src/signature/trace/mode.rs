//! What the lines of a trace mean, by what came before them.

/// What the lines mean just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// No trace.
    Idle,
    /// Python: frames, the outermost first, then the error.
    Python,
    /// Java, .NET, JavaScript, Ruby, C, PHP: frames, the innermost first.
    Frames,
    /// The same, for an error whose message may have more lines.
    Caused,
    /// Frames of something that is not the cause.
    Aside,
    /// Rust: the message of a panic comes next.
    Panic,
    /// Rust: the messages of the causes.
    Causes,
    /// Rust: numbered frames.
    Numbered,
    /// Go: a panic, before its frames.
    GoPanic,
    /// Go: the frames of the goroutine that panicked.
    Go,
    /// Go: the other goroutines.
    GoRest,
}
