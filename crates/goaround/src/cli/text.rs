//! Text from outside, made safe to look at.

/// Makes what could move the cursor, change colours or turn the direction of reading visible.
pub(super) fn visible(text: &str) -> String {
    if !text.chars().any(is_treacherous) {
        return text.into();
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\n' => shown.push_str("\\n"),
            '\t' => shown.push_str("\\t"),
            '\r' => shown.push_str("\\r"),
            c if is_treacherous(c) && u32::from(c) < 256 => {
                shown.push_str(&format!("\\x{:02x}", u32::from(c)));
            }
            c if is_treacherous(c) => shown.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
            c => shown.push(c),
        }
    }
    shown
}

/// The same for text of several lines, whose ends stay.
pub(super) fn visible_lines(text: &str) -> String {
    let lines: Vec<String> = text
        .lines()
        .map(|line| visible(&line.replace('\t', "    ")))
        .collect();
    lines.join("\n")
}

/// So many of them: `1 flow`, `2 flows`.
pub(super) fn counted(count: usize, noun: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{ending}")
}

fn is_treacherous(c: char) -> bool {
    // Bidirectional controls and invisible separators are no control characters to `char`.
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_them_is_no_plural() {
        let said = [0, 1, 2].map(|count| counted(count, "flow"));
        assert_eq!(said, ["0 flows", "1 flow", "2 flows"]);
    }

    #[test]
    fn an_escape_sequence_is_seen_and_not_obeyed() {
        assert_eq!(visible("\x1b[2Jgone\r\n"), "\\x1b[2Jgone\\r\\n");
        assert_eq!(visible("a\u{202e}b\u{9b}"), "a\\u{202e}b\\x9b");
        assert_eq!(visible("ünïcode – fine"), "ünïcode – fine");
        assert_eq!(visible_lines("a\n\tb\x07\n"), "a\n    b\\x07");
    }
}
