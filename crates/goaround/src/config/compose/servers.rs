//! Broker and store: where they are, their passwords and certificates.

use super::super::problem::Problem;
use super::super::settings::Settings;
use super::super::{Backend, Broker, Store, size};
use std::path::{Path, PathBuf};

/// The longest password that is read from a file.
const FILE_BYTES_MAX: u64 = 4_096;

/// The biggest payload that is let into a message: what RabbitMQ takes unless it is told otherwise
/// (`max_message_size`, 16 MiB since 4.0), and room for what travels with it.
const MESSAGE_BYTES_MAX: u64 = 15 << 20;

/// Reads both; they are embedded together or not at all.
pub(super) fn servers(
    settings: &Settings,
    folder: &Path,
    problems: &mut Vec<Problem>,
) -> (Broker, Store) {
    let files = Files { settings, folder };
    let broker = broker(&files, problems);
    let store = store(&files, problems);
    let mismatch = match (&broker.at, &store.at) {
        (Backend::Embedded, Backend::Server(_)) => Some("broker"),
        // A worker needs no store, so only roles that do are refused without one.
        _ => None,
    };
    if let Some(noun) = mismatch {
        problems.push(Problem {
            source: settings.source(&["store", "url"]),
            what: format!(
                "{noun}.url: expected amqp://… or amqps://… because store.url is a server, got \
                 \"embedded\"; set both or neither"
            ),
        });
    }
    if let Backend::Server(_) = &broker.at {
        problems.extend(too_big(settings));
    }
    (broker, store)
}

/// Sizes of what may stand in one message and is more than the broker takes: it would close the
/// channel, and the same message would come again and again.
fn too_big(settings: &Settings) -> Vec<Problem> {
    let of_stages = settings.names("stage").into_iter().flat_map(|stage| {
        let key = |key| vec!["stage", stage, key];
        [key("stdout_bytes_max"), key("result_bytes_max")]
    });
    let all = [vec!["limits", "payload_bytes_max"]].into_iter();
    let problem = |at: Vec<&str>| {
        let bytes = settings.size(&at)?;
        let max = size::show(MESSAGE_BYTES_MAX);
        (bytes > MESSAGE_BYTES_MAX).then(|| Problem {
            source: settings.source(&at),
            what: format!(
                "{}: expected at most {max} because broker.url is a server, got {}; RabbitMQ takes \
                 no message above its max_message_size, 16MiB since 4.0, and a ticket is one",
                at.join("."),
                size::show(bytes)
            ),
        })
    };
    all.chain(of_stages).filter_map(problem).collect()
}

fn broker(files: &Files<'_>, problems: &mut Vec<Problem>) -> Broker {
    let otherwise = Broker::default();
    let problems_before = problems.len();
    let length = |key| files.settings.duration(&["broker", key]);
    let certificate = files.file("cert_file", problems);
    let key = files.file("key_file", problems);
    if certificate.is_some() != key.is_some() {
        let (set, other) = match certificate.is_some() {
            true => ("cert_file", "key_file"),
            false => ("key_file", "cert_file"),
        };
        problems.push(Problem {
            source: files.settings.source(&["broker", "tls", set]),
            what: format!("broker.tls.{set}: expected broker.tls.{other} beside it, got nothing"),
        });
    }
    let broker = Broker {
        at: files.backend("broker", problems),
        prefix: files
            .settings
            .text(&["broker", "prefix"])
            .unwrap_or(otherwise.prefix),
        ack_timeout: length("ack_timeout").unwrap_or(otherwise.ack_timeout),
        publish_timeout: length("publish_timeout").unwrap_or(otherwise.publish_timeout),
        ca_file: files.file("ca_file", problems),
        client_files: certificate.zip(key),
    };
    let without_files = || Broker {
        ca_file: None,
        client_files: None,
        ..broker.clone()
    };
    // What was said of its files is not said twice.
    let connection = match problems.len() == problems_before {
        true => broker.connection(),
        false => without_files().connection(),
    };
    problems.extend(connection.err().map(|bad| {
        Problem {
            source: files
                .settings
                .source(&bad.key.split('.').collect::<Vec<_>>()),
            what: bad.to_string(),
        }
    }));
    broker
}

fn store(files: &Files<'_>, problems: &mut Vec<Problem>) -> Store {
    let otherwise = Store::default();
    let connections_max = files.settings.integer(&["store", "connections_max"]);
    let store = Store {
        at: files.backend("store", problems),
        connections_max: connections_max
            .and_then(|number| usize::try_from(number).ok())
            .unwrap_or(otherwise.connections_max),
    };
    problems.extend(store.connection().err().map(|bad| Problem {
        source: files.settings.source(&["store", "url"]),
        what: bad.to_string(),
    }));
    store
}

struct Files<'a> {
    settings: &'a Settings,
    folder: &'a Path,
}

impl Files<'_> {
    fn backend(&self, section: &str, problems: &mut Vec<Problem>) -> Backend {
        let at = self.settings.backend(&[section, "url"]);
        let password = self.text(section, "password_file", problems);
        match (at.unwrap_or(Backend::Embedded), password) {
            (Backend::Server(url), Some(password)) => {
                Backend::Server(url.with_password(password.trim_end_matches(['\r', '\n'])))
            }
            (at, _) => at,
        }
    }

    /// The file that a key of the broker's names; it must be there.
    fn file(&self, key: &str, problems: &mut Vec<Problem>) -> Option<PathBuf> {
        let at = ["broker", "tls", key];
        let path = self.folder.join(self.settings.path(&at)?);
        if let Err(error) = std::fs::metadata(&path) {
            problems.push(Problem {
                source: self.settings.source(&at),
                what: format!("broker.tls.{key}: {}: {error}", path.display()),
            });
        }
        Some(path)
    }

    /// The text of the file that a key names.
    fn text(&self, section: &str, key: &str, problems: &mut Vec<Problem>) -> Option<String> {
        let at = [section, key];
        let path = self.folder.join(self.settings.path(&at)?);
        let read = match std::fs::metadata(&path) {
            Ok(found) if found.len() > FILE_BYTES_MAX => Err(format!(
                "expected at most {FILE_BYTES_MAX} bytes, got {}",
                found.len()
            )),
            _ => std::fs::read_to_string(&path).map_err(|error| error.to_string()),
        };
        match read {
            Ok(text) => Some(text),
            Err(what) => {
                problems.push(Problem {
                    source: self.settings.source(&at),
                    what: format!("{section}.{key}: {}: {what}", path.display()),
                });
                None
            }
        }
    }
}
