//! Text from outside: what commands print, and what people and other programs write. The server
//! keeps no text with a zero in it, and refuses the whole transaction for one: so whatever is bound
//! as text and is not a checked name goes through here. What is refused once would be refused for
//! ever, and stop the line.

use std::borrow::Cow;

/// Whether the server can keep the text as it is.
pub(super) fn is_sayable(text: &str) -> bool {
    !text.contains('\0')
}

/// The text as the server can keep it: with U+FFFD for each zero, and otherwise as it is.
pub(super) fn sayable(text: &str) -> Cow<'_, str> {
    match is_sayable(text) {
        true => text.into(),
        false => text.replace('\0', "\u{FFFD}").into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_server_cannot_keep_is_replaced() {
        assert!(matches!(sayable("a\tb\u{1b}[1m\n"), Cow::Borrowed(_)));
        assert_eq!(sayable("a\0\0b\n"), "a\u{fffd}\u{fffd}b\n");
    }
}
