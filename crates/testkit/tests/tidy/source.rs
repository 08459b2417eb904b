//! Rust read just well enough to tell code from comments and text.

/// A Rust source in which comments are spaces and the inside of strings is quotes, character by
/// character, so that lines and columns stay where they are.
pub(crate) struct Source {
    masked: Vec<char>,
}

/// A function: its name, the line it begins at, and how many lines of code its body has. Blank
/// lines and comments are not counted, as clippy does not.
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) line: usize,
    pub(crate) body_lines: usize,
}

impl Source {
    pub(crate) fn new(text: &str) -> Self {
        let chars: Vec<char> = text.chars().collect();
        let mut masked = chars.clone();
        let mut at = 0;
        while at < chars.len() {
            let (length, filler) = match piece(&chars, at) {
                Piece::Code(length) => (length, None),
                Piece::Comment(length) => (length, Some(' ')),
                Piece::Text(length) => (length, Some('"')),
            };
            let end = (at + length).min(chars.len());
            if let Some(filler) = filler {
                let kept = |c: char| if c == '\n' { c } else { filler };
                masked[at..end].iter_mut().for_each(|c| *c = kept(*c));
            }
            at = end;
        }
        Self { masked }
    }

    /// The masked text, line by line.
    pub(crate) fn lines(&self) -> Vec<String> {
        let all: String = self.masked.iter().collect();
        all.lines().map(str::to_owned).collect()
    }

    fn line_at(&self, at: usize) -> usize {
        1 + self.masked[..at].iter().filter(|c| **c == '\n').count()
    }

    /// The place after the bracket that closes the one at `open`.
    fn after_closing(&self, open: usize) -> usize {
        let mut depth = 0usize;
        for (at, c) in self.masked.iter().enumerate().skip(open) {
            match c {
                '{' | '(' | '[' => depth += 1,
                '}' | ')' | ']' => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth == 0 {
                return at + 1;
            }
        }
        self.masked.len()
    }

    /// Where the block of the item at `start` opens; `None` when it ends without one.
    fn block_of(&self, start: usize) -> Option<usize> {
        let mut at = start;
        while at < self.masked.len() {
            match self.masked[at] {
                '{' => return Some(at),
                ';' => return None,
                '(' | '[' => at = self.after_closing(at),
                _ => at += 1,
            }
        }
        None
    }

    /// Each place where the keyword stands before a name, with that name.
    fn named(&self, keyword: &str) -> Vec<(usize, String)> {
        let word: Vec<char> = keyword.chars().collect();
        let is_part = |at: usize| self.masked.get(at).is_some_and(|c| is_name(*c));
        let starts = (0..self.masked.len())
            .filter(|at| self.masked[*at..].starts_with(&word) && !(*at > 0 && is_part(at - 1)));
        let with_name = |at: usize| {
            let rest = &self.masked[at + word.len()..];
            let spaces = rest.iter().take_while(|c| c.is_whitespace()).count();
            let name: String = rest[spaces..].iter().take_while(|c| is_name(**c)).collect();
            (spaces > 0 && !name.is_empty()).then_some((at, name))
        };
        starts.filter_map(with_name).collect()
    }

    /// All functions that have a body.
    pub(crate) fn functions(&self) -> Vec<Function> {
        let functions = self.named("fn").into_iter();
        let measured = functions.filter_map(|(start, name)| {
            let open = self.block_of(start)?;
            let body: String = self.masked[open + 1..self.after_closing(open) - 1]
                .iter()
                .collect();
            Some(Function {
                name,
                line: self.line_at(start),
                body_lines: body.lines().filter(|line| !line.trim().is_empty()).count(),
            })
        });
        measured.collect()
    }

    /// All traits, with the number of their methods.
    pub(crate) fn traits(&self) -> Vec<(String, usize)> {
        let traits = self.named("trait").into_iter();
        let counted = traits.filter_map(|(start, name)| {
            let open = self.block_of(start)?;
            let inside = open..self.after_closing(open);
            let methods = self.named("fn").into_iter();
            Some((name, methods.filter(|(at, _)| inside.contains(at)).count()))
        });
        counted.collect()
    }

    /// How many lines there are outside the unit tests at the end of the file.
    pub(crate) fn lines_without_tests(&self) -> usize {
        let lines = self.lines();
        let tests = lines.windows(2).position(|pair| {
            pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod ") && pair[1].ends_with('{')
        });
        tests.unwrap_or(lines.len())
    }
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// What begins at a place, and how many characters it has.
enum Piece {
    Code(usize),
    Comment(usize),
    Text(usize),
}

fn piece(chars: &[char], at: usize) -> Piece {
    let rest = &chars[at..];
    let is_inside_word = at > 0 && is_name(chars[at - 1]);
    match rest {
        ['/', '/', ..] => Piece::Comment(length_until(rest, '\n')),
        ['/', '*', ..] => Piece::Comment(block_comment(rest)),
        ['"', ..] => Piece::Text(quoted(rest)),
        ['r', '"' | '#', ..] if !is_inside_word => raw_string(rest, 1),
        ['b', 'r', '"' | '#', ..] if !is_inside_word => raw_string(rest, 2),
        ['\'', '\\', ..] => Piece::Text(3 + length_until(&rest[3..], '\'')),
        ['\'', _, '\'', ..] => Piece::Text(3),
        _ => Piece::Code(1),
    }
}

fn length_until(rest: &[char], end: char) -> usize {
    let position = rest.iter().position(|c| *c == end);
    position.map_or(rest.len(), |at| at + usize::from(end != '\n'))
}

fn block_comment(rest: &[char]) -> usize {
    let mut depth = 0usize;
    let mut at = 0;
    while at < rest.len() {
        match rest[at..] {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn quoted(rest: &[char]) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != '"' {
        at += if rest[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

/// `r"…"` or `r#"…"#`; an `r#name` is code.
fn raw_string(rest: &[char], prefix: usize) -> Piece {
    let hashes = rest[prefix..].iter().take_while(|c| **c == '#').count();
    let open = prefix + hashes;
    if rest.get(open) != Some(&'"') {
        return Piece::Code(1);
    }
    let end: Vec<char> = std::iter::once('"').chain(vec!['#'; hashes]).collect();
    let inside = &rest[open + 1..];
    let closing = inside.windows(end.len()).position(|window| window == end);
    Piece::Text(closing.map_or(rest.len(), |at| open + 1 + at + end.len()))
}

#[test]
fn code_is_told_from_comments_and_text() {
    let text = "fn a() { // } fn\n  let q = '\"'; let l: &'a str = r#\"} \" fn b() {\"#;\n\n  /* { /* */ */\n}\n\
        trait T { fn x(&self); fn y(&self, z: [u8; 3]) { \"}\\\"\" } }\n#[cfg(test)]\nmod tests {\n}\n";
    let source = Source::new(text);
    let functions: Vec<_> = source
        .functions()
        .into_iter()
        .map(|f| (f.name, f.line, f.body_lines))
        .collect();
    assert_eq!(functions, [("a".into(), 1, 1), ("y".into(), 6, 1)]);
    assert_eq!(source.traits(), [("T".into(), 2)]);
    assert_eq!(source.lines_without_tests(), 6);
}
