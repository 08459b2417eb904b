//! Runs: what stands between spaces, brackets and quotes, and is of one piece or is not.

use super::{Scanner, number};

impl Scanner<'_> {
    /// Looks at the run that begins here as a whole, and writes a mark for it if it is of one
    /// piece. Else it is taken word by word, up to `run_end`.
    pub(super) fn run(&mut self) -> bool {
        let rest = self.rest().as_bytes();
        let run = &rest[..rest.iter().take_while(|byte| is_inside(**byte)).count()];
        self.run_end = self.at + run.len();
        if let Some(scheme) = scheme(run) {
            if scheme == 0 {
                let url = rest.iter().take_while(|byte| is_inside_url(**byte)).count();
                self.mark("<url>", core(&rest[..url]).len());
                return true;
            }
            // What is before it is taken word by word, then we come here again.
            self.run_end = self.at + scheme;
            return false;
        }
        let core = core(run);
        if is_email(core) {
            self.mark("<email>", core.len());
        } else if is_ip(core) {
            self.mark("<ip>", core.len());
        } else if number::moment(core) != Some(core.len()) && is_path(core) {
            self.mark("<path>", core.len());
        } else {
            return false;
        }
        true
    }
}

fn is_inside(byte: u8) -> bool {
    byte > b' '
        && byte != 0x7f
        && !matches!(
            byte,
            b'\'' | b'"' | b'`' | b'(' | b')' | b'[' | b']' | b'{' | b'}' | b'<' | b'>'
        )
        && !matches!(byte, b',' | b';' | b'|' | b'=')
}

fn is_inside_url(byte: u8) -> bool {
    is_inside(byte) || matches!(byte, b'=' | b'|')
}

/// Without the punctuation of the sentence around it.
fn core(run: &[u8]) -> &[u8] {
    let is_mark = |byte: &u8| matches!(byte, b'.' | b':' | b'!' | b'?');
    let marks = run.iter().rev().take_while(|byte| is_mark(byte)).count();
    &run[..run.len() - marks]
}

/// Where the scheme of a URL begins.
fn scheme(run: &[u8]) -> Option<usize> {
    let colon = run.windows(3).position(|three| three == b"://")?;
    let is_scheme =
        |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(**byte, b'+' | b'-' | b'.');
    let length = run[..colon].iter().rev().take_while(is_scheme).count();
    (length > 0).then_some(colon - length)
}

fn is_email(run: &[u8]) -> bool {
    let Some(at) = run.iter().position(|byte| *byte == b'@') else {
        return false;
    };
    let (local, domain) = (&run[..at], &run[at + 1..]);
    let tail = domain
        .iter()
        .rev()
        .take_while(|byte| byte.is_ascii_alphabetic());
    let tail = tail.count();
    let dot = domain.len().checked_sub(tail + 1);
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    local.iter().any(u8::is_ascii_alphanumeric)
        && tail >= 2
        && dot.is_some_and(|dot| dot > 0 && domain[dot] == b'.')
        && domain.iter().all(is_plain)
}

/// An address of the internet's sixth version, or of a network card.
fn is_ip(run: &[u8]) -> bool {
    let colons = run.iter().filter(|byte| **byte == b':').count();
    let fits = |byte: &u8| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.');
    colons >= 2
        && run.iter().all(fits)
        && run.iter().any(u8::is_ascii_digit)
        && (matches!(colons, 5 | 7) || run.windows(2).any(|pair| pair == b"::"))
}

/// `/var/log`, `./x`, `~/x`, `C:\x`, `src/main.rs:3:5`, `a/b/c`; not `and/or`, `text/plain`, `N/A`.
fn is_path(run: &[u8]) -> bool {
    let slashes = run.iter().filter(|byte| **byte == b'/').count();
    let begins = match run {
        [b'/' | b'~', ..] | [b'.', b'/', ..] | [b'.', b'.', b'/', ..] => slashes > 0,
        [b'\\', b'\\', ..] => true,
        [drive, b':', b'\\' | b'/', ..] => drive.is_ascii_alphabetic(),
        _ => false,
    };
    let has_name = || {
        run.iter()
            .any(|byte| byte.is_ascii_alphanumeric() || *byte >= 0x80)
    };
    (begins && has_name()) || slashes >= 2 || (slashes == 1 && has_extension(run))
}

fn has_extension(run: &[u8]) -> bool {
    let is_position = |byte: &u8| byte.is_ascii_digit() || *byte == b':';
    let position = run
        .iter()
        .rev()
        .take_while(|byte| is_position(byte))
        .count();
    let place = &run[..run.len() - position];
    // Without a colon, the digits belong to the name.
    let place = match run.get(place.len()) {
        Some(b':') => place,
        _ => run,
    };
    let letters = place
        .iter()
        .rev()
        .take_while(|byte| byte.is_ascii_alphabetic());
    let letters = letters.count();
    let dot = place.len().checked_sub(letters + 1);
    (1..=5).contains(&letters) && dot.is_some_and(|dot| dot > 0 && place[dot] == b'.')
}
