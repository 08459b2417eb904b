//! One frame of a trace: where the program was, in words that outlive the next edit of the file.

use super::shape;
use std::borrow::Cow;

/// Longest name of a function that is kept, in bytes.
const FUNCTION_BYTES_MAX: usize = 120;

/// A frame, as the trace has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    /// The function, perhaps with a hash, generic arguments and closures.
    pub(super) function: &'a str,
    /// Its file, perhaps with folders; without lines and columns.
    pub(super) file: &'a str,
}

impl<'a> Frame<'a> {
    /// The function without its hash, its generic arguments, its closures and its arguments.
    pub(super) fn plain_function(&self) -> String {
        function(self.function)
    }

    /// The file without its folders.
    pub(super) fn file_name(&self) -> &'a str {
        file_name(self.file)
    }

    /// Whether the handler's own code is here, as far as names tell.
    pub(super) fn is_own(&self) -> bool {
        let name = subject(self.function);
        let end = name.find([':', '.', ' ', '<', '>', '(']);
        let name = &name[..end.unwrap_or(name.len())];
        let is_runtime = is_runtime(name) && !is_plain_word(self.function, name);
        !is_runtime && !self.function.starts_with("__") && !is_foreign(self.file)
    }

    /// Whether Rust makes a panic here of what its caller did: hooks and whatever they call have
    /// frames further in.
    pub(super) fn raises(&self) -> bool {
        let is_raise = |name: &str| {
            name.starts_with("core::panicking::")
                || name.starts_with("std::panicking::begin_panic")
                || name.starts_with("std::panicking::panic_with_hook")
                || name.starts_with("std::panicking::rust_panic_with_hook")
        };
        is_raise(self.function) || self.function.ends_with("rust_begin_unwind")
    }

    /// The frame in a form that stays: `app::work (main.rs)`. Empty when it says nothing.
    pub(super) fn shown(&self) -> String {
        let function = function(self.function);
        let function = shape::visible(function.trim_matches('.'));
        let function = shape::without_middle(&function, FUNCTION_BYTES_MAX);
        let file = file(self.file);
        match (function.is_empty(), file.is_empty()) {
            (_, true) => function,
            (true, false) => file.into_owned(),
            (false, false) => format!("{function} ({file})"),
        }
    }
}

/// Crates, packages and modules that are not what broke.
fn is_runtime(name: &str) -> bool {
    let is_of_rust = || {
        matches!(
            name,
            "std"
                | "core"
                | "alloc"
                | "test"
                | "backtrace"
                | "anyhow"
                | "eyre"
                | "tracing"
                | "tokio"
                | "actix"
                | "actix_rt"
                | "futures"
                | "futures_core"
                | "futures_util"
                | "futures_executor"
                | "rayon"
                | "rayon_core"
                | "hyper"
                | "goaround"
                | "rust_begin_unwind"
                | "rust_panic"
        )
    };
    let is_of_others = || {
        matches!(
            name,
            // Java and its relatives.
            "java" | "javax" | "jakarta" | "jdk" | "sun" | "kotlin" | "kotlinx" | "scala"
                | "groovy"
                // .NET, Go, JavaScript.
                | "System" | "Microsoft" | "runtime" | "testing" | "reflect" | "process"
                | "Module" | "Promise"
                // C, and what has no name.
                | "_start" | "start_thread" | "clone" | "unknown"
        )
    };
    is_of_rust() || is_of_others()
}

/// A handler may well have a function `test` or `process`: only what goes on after the word, with
/// `::` or a full stop, is of a runtime.
fn is_plain_word(function: &str, word: &str) -> bool {
    function == word && !word.contains('_') && word != "clone"
}

/// Whose function it is: `<T as core::convert::Into<U>>::into` is one of `core`, while that of
/// `<app::Job as core::ops::Drop>` is one of `app`.
fn subject(function: &str) -> &str {
    let Some(inside) = function.strip_prefix('<') else {
        return function;
    };
    let inside = inside.trim_start_matches(['<', '&', '[']);
    match inside.split_once(" as ") {
        Some((owner, role)) if !owner.contains("::") => role,
        _ => inside,
    }
}

fn is_foreign(file: &str) -> bool {
    if file.starts_with("node:") || file.starts_with("internal/") || file.starts_with("<frozen ") {
        return true;
    }
    if file.starts_with("/usr/local/go/") || file.starts_with("/usr/lib/go") {
        return true;
    }
    let mut before: &[u8] = b"";
    file.as_bytes()
        .split(|byte| matches!(byte, b'/' | b'\\'))
        .any(|folder| {
            let is_foreign = match folder {
                b"rustc" | b".cargo" | b".rustup" | b"node_modules" | b"gems"
                | b"site-packages" | b"dist-packages" => true,
                b"mod" => before == b"pkg",
                b"ruby" => before == b"lib",
                _ => before == b"lib" && folder.starts_with(b"python"),
            };
            before = folder;
            is_foreign
        })
}

fn file_name(path: &str) -> &str {
    path.rsplit(['/', '\\']).next().unwrap_or(path)
}

/// The name of the file, with marks for what is drawn anew each time.
fn file(path: &str) -> Cow<'_, str> {
    let name = file_name(path);
    match name.bytes().any(|byte| byte.is_ascii_digit()) {
        true => shape::of(name).into(),
        false => shape::visible(name),
    }
}

/// The function without its hash, its generic arguments, its closures and its arguments.
fn function(name: &str) -> String {
    let name = without_hash(name.trim());
    let name = name.split_once("$$Lambda").map_or(name, |(name, _)| name);
    let name = name.rsplit_once('/').map_or(name, |(_, name)| name);
    let is_implementation = name.starts_with('<') && (name.contains("::") || name.contains(" as "));
    if name.starts_with('<') && !is_implementation {
        return name.to_owned();
    }
    let mut kept = String::with_capacity(name.len());
    if let Some(inside) = name.strip_prefix('<') {
        // <app::Job as core::ops::Drop>::drop is a function of app::Job.
        let end = closing(inside);
        let owner = inside[..end].split_once(" as ");
        push_plain(owner.map_or(&inside[..end], |(owner, _)| owner), &mut kept);
        push_plain(inside.get(end + 1..).unwrap_or(""), &mut kept);
    } else {
        push_plain(name, &mut kept);
    }
    without_numbered_end(&mut kept);
    kept
}

/// Without the `::h0123456789abcdef` that differs from build to build.
fn without_hash(name: &str) -> &str {
    const DIGITS: usize = 16;
    match name.rsplit_once("::h") {
        Some((plain, hash))
            if hash.len() == DIGITS && hash.bytes().all(|byte| byte.is_ascii_hexdigit()) =>
        {
            plain
        }
        _ => name,
    }
}

/// Where the bracket closes that was opened just before.
fn closing(text: &str) -> usize {
    let mut depth = 1usize;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'<' => depth += 1,
            b'>' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

/// Appends the name without what is in `<>`, `{}` and after a `$` as digits.
fn push_plain(name: &str, kept: &mut String) {
    let mut depth = 0usize;
    let mut last = ' ';
    for c in name.chars() {
        match c {
            '<' | '{' => depth += 1,
            '>' | '}' => depth = depth.saturating_sub(1),
            _ if depth > 0 => {}
            _ if c.is_ascii_digit() && matches!(last, '$' | '#') => continue,
            _ => kept.push(c),
        }
        last = c;
    }
    while kept.contains("::::") {
        *kept = kept.replace("::::", "::");
    }
    kept.truncate(kept.trim_end_matches("::").len());
}

/// Go numbers its closures: `main.run.func1.2`.
fn without_numbered_end(name: &mut String) {
    loop {
        let plain = name.trim_end_matches(|c: char| c.is_ascii_digit());
        let is_numbered = plain.len() < name.len();
        if is_numbered && (plain.ends_with('.') || plain.ends_with(".func")) {
            name.truncate(plain.trim_end_matches('.').len());
        } else {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_from_build_to_build_is_gone() {
        let cases = [
            ("app::work::h0123456789abcdef", "app::work"),
            ("app::work::{{closure}}::h0123456789abcdef", "app::work"),
            ("app::work::{closure#0}::inner", "app::work::inner"),
            ("app::Job<alloc::vec::Vec<u8>>::run", "app::Job::run"),
            (
                "<app::Job as core::ops::drop::Drop>::drop",
                "app::Job::drop",
            ),
            (
                "<app::Job<T> as app::Run>::run::{{closure}}",
                "app::Job::run",
            ),
            ("app::held", "app::held"),
            ("com.acme.Job.lambda$run$0", "com.acme.Job.lambda$run$"),
            ("app//com.acme.Job.run", "com.acme.Job.run"),
            ("com.acme.Job$$Lambda$14/0x0000000800c8.run", "com.acme.Job"),
            ("main.run.func1.2", "main.run.func"),
            ("github.com/acme/app/pkg.(*Job).Run", "pkg.(*Job).Run"),
            ("step1", "step1"),
            ("<module>", "<module>"),
            ("<lambda>", "<lambda>"),
        ];
        for (name, expected) in cases {
            assert_eq!(function(name), expected, "{name}");
        }
    }

    #[test]
    fn a_frame_names_its_file_without_folders() {
        let frame = |function, file| Frame { function, file }.shown();
        assert_eq!(frame("load", "/srv/a-1/app.py"), "load (app.py)");
        assert_eq!(frame("", "C:\\x\\main.3f2a1b9c.js"), "main.<id>.js");
        assert_eq!(frame("app::work", ""), "app::work");
        assert_eq!(frame("", ""), "");
    }

    #[test]
    fn a_frame_of_a_runtime_is_not_the_handlers_own() {
        let own = |function, file| Frame { function, file }.is_own();
        for (function, file) in [
            ("std::panicking::begin_panic", ""),
            ("<T as core::convert::Into<U>>::into", ""),
            ("<unknown>", ""),
            ("<alloc::boxed::Box<F> as core::ops::FnOnce>::call_once", ""),
            ("__libc_start_main", ""),
            ("rust_begin_unwind", ""),
            (
                "serde_json::from_str",
                "/builds/.cargo/registry/src/x/serde_json/src/de.rs",
            ),
            ("loads", "/usr/lib/python3.12/json/__init__.py"),
            (
                "get",
                "/srv/venv/lib/python3.12/site-packages/requests/api.py",
            ),
            ("java.util.ArrayList.get", "ArrayList.java"),
            (
                "process.processTicksAndRejections",
                "node:internal/process/task_queues",
            ),
            ("System.IO.File.Open", ""),
            ("runtime.goexit", "/usr/local/go/src/runtime/asm_amd64.s"),
        ] {
            assert!(!own(function, file), "{function} {file}");
        }
        for (function, file) in [
            ("app::work", "./src/main.rs"),
            ("<app::Job as core::ops::Drop>::drop", ""),
            ("process", "/srv/app.py"),
            ("test", "/srv/app.py"),
            ("corelib::run", "/srv/mod/x.rs"),
            ("com.acme.Job.run", "Job.java"),
            ("", "/srv/app/index.js"),
        ] {
            assert!(own(function, file), "{function} {file}");
        }
    }
}
