//! What is repeated of a value, in messages, listings and logs: every value that is printed goes
//! through here. Hidden is what is or may be a secret by its key, by what that was meant to be, or
//! by how it looks, and all that is below a name that nobody knows.

use super::key::Key;
use super::path::Path;
use super::value::Kind;
use toml::Spanned;
use toml::de::DeValue;

/// What stands in the place of what is not shown.
pub(super) const HIDDEN: &str = "(hidden)";
/// The longest piece of a value that is repeated in a message, in characters.
const SHOWN_CHARS_MAX: usize = 80;

/// A text as it may be repeated in a message: one line, not too long, control characters visible.
pub(super) fn line(text: &str) -> String {
    let line: String = text
        .chars()
        .take(SHOWN_CHARS_MAX)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    match text.chars().nth(SHOWN_CHARS_MAX) {
        Some(_) => format!("{line}…"),
        None => line,
    }
}

/// The value of this key as it stands in the file, whose text is `file`.
pub(super) fn of_file(path: &Path, value: &Spanned<DeValue<'_>>, file: &str) -> String {
    line(&masked(path, value, file))
}

/// The value of this key in a variable or a flag, in quotes.
pub(super) fn of_text(path: &Path, text: &str) -> String {
    let trimmed = text.trim();
    if trimmed.starts_with(['{', '['])
        && let Ok(value) = DeValue::parse(trimmed)
    {
        return of_file(path, &value, trimmed);
    }
    match is_hidden(path, text) {
        true => HIDDEN.into(),
        false => format!("{:?}", line(text)),
    }
}

/// What the parser of the file stumbled over, if that is a sign. Words are a piece of a value, of
/// which nobody knows to what key it belongs.
pub(super) fn of_torn(text: &str) -> Option<String> {
    let is_sign = !text.is_empty() && !text.chars().any(char::is_alphanumeric);
    is_sign.then(|| line(text))
}

/// A text of a value that a key takes, or that it is hidden.
pub(super) fn text(text: &str) -> &str {
    if may_hold_secret(text) { HIDDEN } else { text }
}

/// The texts of a list that a key takes. What follows `--password` is hidden too.
pub(super) fn texts(texts: &[String]) -> Vec<&str> {
    let asks = texts.iter().map(|word| asks_for_secret(word));
    let before = std::iter::once(false).chain(asks);
    let shown = texts.iter().zip(before);
    shown
        .map(|(word, is_asked)| if is_asked { HIDDEN } else { text(word) })
        .collect()
}

/// Leaf by leaf, so that the names in a table stay, and what is wrong with it can be seen.
fn masked(path: &Path, value: &Spanned<DeValue<'_>>, file: &str) -> String {
    let written = || file.get(value.span()).unwrap_or_default();
    match value.get_ref() {
        DeValue::Table(table) => {
            let leaves = table.iter().map(|(name, value)| {
                let path = path.then(name.get_ref());
                format!("{} = {}", name.get_ref(), masked(&path, value, file))
            });
            format!("{{ {} }}", leaves.collect::<Vec<_>>().join(", "))
        }
        DeValue::Array(items) => {
            let mut is_asked = false;
            let items = items.iter().map(|item| {
                let text = item.get_ref().as_str().unwrap_or_default();
                match std::mem::replace(&mut is_asked, asks_for_secret(text)) {
                    true => HIDDEN.into(),
                    false => masked(path, item, file),
                }
            });
            format!("[{}]", items.collect::<Vec<_>>().join(", "))
        }
        DeValue::String(text) if is_hidden(path, text) => HIDDEN.into(),
        // On or off is no secret, and a number or date only by the name that it has.
        DeValue::Integer(_) | DeValue::Float(_) | DeValue::Datetime(_)
            if is_of_environment(path) || names_any_secret(path) =>
        {
            format!("(hidden {})", value.get_ref().type_str())
        }
        DeValue::String(_)
        | DeValue::Boolean(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Datetime(_) => written().into(),
    }
}

/// Whether this text of a key must not be repeated.
fn is_hidden(path: &Path, text: &str) -> bool {
    match path.meant().map(|key| key.kind) {
        Some(Kind::Secret | Kind::Environment) => true,
        // What is below a name that nobody knows may be a table of variables.
        None if !path.is_in_section() => true,
        // A table in a text, as it is written in a variable, is torn if it was not read before.
        None | Some(_) => {
            names_any_secret(path) || text.trim_start().starts_with('{') || may_hold_secret(text)
        }
    }
}

fn is_of_environment(path: &Path) -> bool {
    path.meant()
        .is_some_and(|key| key.kind == Kind::Environment)
}

/// Whether the key is called like a secret, by itself or as what it was meant to be.
fn names_any_secret(path: &Path) -> bool {
    let own = path
        .segments()
        .last()
        .is_some_and(|name| names_secret(name));
    let meant = path.meant().map(Key::name);
    own || meant.is_some_and(names_secret)
}

/// Whether what has this name is a secret: `DB_PASSWORD`, `apikey`, `--auth-token`.
pub(super) fn names_secret(name: &str) -> bool {
    const PARTS: [&str; 10] = [
        "pass",
        "pasw",
        "pwd",
        "secret",
        "token",
        "tokn",
        "credential",
        "bearer",
        "authoriz",
        "cookie",
    ];
    // `key` alone is one of ours, as in `unique = "key"`, and of many programs.
    const ENDS: [&str; 3] = ["key", "keys", "dsn"];
    let name: String = name.to_lowercase();
    let name = name.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    let ends = |end: &&str| name.len() > end.len() && name.ends_with(*end);
    PARTS.iter().any(|part| name.contains(part)) || ENDS.iter().any(ends)
}

/// Whether the word after this one is a secret: `--password`.
fn asks_for_secret(word: &str) -> bool {
    word.starts_with('-') && !word.contains('=') && names_secret(word)
}

/// Whether a text has a secret in it: a URL with a user, also one that is not spelt well, or
/// `password=…` as in a query, `TOKEN: …` as in a header, `--password …` as in a command.
fn may_hold_secret(text: &str) -> bool {
    let is_between = |c: char| c.is_whitespace() || matches!(c, ',' | '"' | '\'');
    let mut words = text.split(is_between).filter(|word| !word.is_empty());
    if words.any(asks_for_secret) && words.next().is_some() {
        return true;
    }
    let has_user = match text.split_once('@') {
        Some((before, _)) => text.contains("://") || before.contains(':'),
        None => false,
    };
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '%');
    let assigns = text.match_indices(['=', ':']).any(|(at, _)| {
        let before = text[..at].trim_end_matches([' ', '\t', '"', '\'']);
        let begins = before.rfind(|c: char| !is_of_name(c));
        names_secret(&before[begins.map_or(0, |before| before + 1)..])
    });
    has_user || assigns
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_file(path: &[&str], text: &str) -> String {
        let value = DeValue::parse(text).unwrap();
        of_file(&Path::of(path), &value, text)
    }

    #[test]
    fn what_could_be_a_secret_is_not_repeated() {
        for (path, text) in [
            (&["http", "token"][..], "x"),
            (&["http", "tokn"], "x"),
            (&["broker", "password"], "x"),
            (&["broker", "passwd"], "x"),
            (&["broker", "pass"], "x"),
            (&["broker", "pasword"], "x"),
            (&["broker", "pasword_file"], "x"),
            (&["broker", "apikey"], "x"),
            (&["broker", "ulr"], "amqp//ana:x@rabbit"),
            (&["broker", "address"], "amqp://ana:x@rabbit"),
            (&["store", "url"], "postgres:/books/ci?Password=x"),
            (&["store", "address"], "postgres://books/ci?password=x"),
            (&["stage", "build", "api_key"], "x"),
            (&["stage", "build", "environment", "A"], "x"),
            (&["http", "colour", "A"], "x"),
            (&["stage", "build", "env"], "A=x"),
            (&["stage", "build", "env", "API_SECRET"], "x"),
            (&["stage", "build", "env", "HOME"], "x"),
            (&["stage", "build", "run"], "./load.sh --password x"),
            (&["stage", "build", "comand"], "./load.sh,--password,x"),
            (&["stage", "build", "env"], "{ A = \"x\""),
            (&["stage", "build", "concurrency"], "{ \"a\": \"x\" }"),
        ] {
            assert_eq!(of_text(&Path::of(path), text), HIDDEN, "{path:?}");
            let quoted = toml::Value::from(text).to_string();
            assert_eq!(in_file(path, &quoted), HIDDEN, "{path:?}");
        }
    }

    #[test]
    fn what_is_known_to_be_harmless_is_repeated() {
        for (path, text) in [
            (&["broker", "ulr"][..], "embeded"),
            (&["http", "colour"], "red"),
            (&["stage", "build", "pin"], "f42"),
            (&["broker", "url"], "http://localhost"),
            (&["brokr", "prefix"], "mine"),
            (&["stage", "build", "concurency"], "2"),
            (&["stage", "build", "kind"], "f42@updates"),
            (&["stage", "build", "unique"], "key"),
            (&["stage", "token", "deadline"], "soon"),
        ] {
            assert_eq!(of_text(&Path::of(path), text), format!("{text:?}"));
            assert_eq!(in_file(path, &format!("{text:?}")), format!("{text:?}"));
        }
    }

    #[test]
    fn the_texts_of_a_table_are_hidden_and_its_names_are_not() {
        let env = ["stage", "build", "env"];
        let text = "{ DEBUG = 1, OFF = [\"geheim\"], PASS = \"geheim\", PATH = true }";
        let shown = "{ DEBUG = (hidden integer), OFF = [(hidden)], PASS = (hidden), PATH = true }";
        for masked in [in_file(&env, text), of_text(&Path::of(&env), text)] {
            assert_eq!(masked, shown);
        }
        assert_eq!(in_file(&env, "[\"A=x\", \"B\"]"), "[(hidden), (hidden)]");
        for (path, text, shown) in [
            (
                &["stage", "build", "deadline"][..],
                "{ pin = 4, secs = \"x\", token = 5 }",
                "{ pin = 4, secs = (hidden), token = (hidden integer) }",
            ),
            (
                &["stage", "build", "retry"],
                "[{ first = \"5m\", passwd = \"x\" }]",
                "[{ first = \"5m\", passwd = (hidden) }]",
            ),
            (&["stage", "build", "run"], "[\"x\", 5]", "[\"x\", 5]"),
            (
                &["stage", "build", "comand"],
                "[\"x\", \"--token\", \"x\", 5]",
                "[\"x\", \"--token\", (hidden), 5]",
            ),
            (&["broker", "password"], "1234", "(hidden integer)"),
        ] {
            assert_eq!(in_file(path, text), shown);
        }
    }

    #[test]
    fn a_secret_in_a_command_is_hidden_and_the_command_is_not() {
        let command = [
            "./load.sh",
            "--token=x",
            "--password",
            "x",
            "postgres://u:x@h/db",
            "Authorization: Bearer x",
            "API_KEY=x exec run",
            "--key=2",
            "ana@box:/srv",
            "--fast",
        ]
        .map(String::from);
        let shown = [
            "./load.sh",
            HIDDEN,
            "--password",
            HIDDEN,
            HIDDEN,
            HIDDEN,
            HIDDEN,
            "--key=2",
            "ana@box:/srv",
            "--fast",
        ];
        assert_eq!(texts(&command), shown);
    }

    #[test]
    fn of_a_torn_line_only_signs_are_repeated() {
        assert_eq!(of_torn("geheim"), None);
        assert_eq!(of_torn(""), None);
        assert_eq!(of_torn("]"), Some("]".into()));
    }

    #[test]
    fn a_long_value_is_cut_to_one_readable_line() {
        assert_eq!(line("a\nb"), "a b");
        assert_eq!(line(&"x".repeat(200)).chars().count(), SHOWN_CHARS_MAX + 1);
    }
}
