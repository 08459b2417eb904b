//! What can go wrong between us and the broker, in words for the person who has to mend it.

use crate::config::Config;
use domain::ports::StoreError;
use lapin::ErrorKind;
use std::io;

/// The broker could not do what was asked. Each message says where, what is the matter and what
/// to do; none of them holds a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Nobody answers there, or the answer is not AMQP.
    #[error("{0}")]
    Unreachable(String),
    /// The encrypted connection could not be made.
    #[error("{0}")]
    Tls(String),
    /// The broker does not know this user, or this password.
    #[error("{0}")]
    Credentials(String),
    /// There is no such virtual host, or the user may not enter it.
    #[error("{0}")]
    Vhost(String),
    /// The user lacks a permission.
    #[error("{0}")]
    Permission(String),
    /// Something of that name is there, and it is not what we need.
    #[error("{0}")]
    Mismatch(String),
    /// The broker does not behave as the delivery of tickets needs it to.
    #[error("{0}")]
    Behaviour(String),
    /// The broker takes no messages for now, because it is short of memory or disk.
    #[error("{0}")]
    Blocked(String),
    /// It knows what is asked for, and cannot reach it yet: it is starting, or a node is down.
    #[error("{0}")]
    Absent(String),
    /// The connection or the channel ended in the middle of it.
    #[error("{0}")]
    Broken(String),
}

impl Error {
    /// Whether trying again later may help without anybody changing anything.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Blocked(_) | Self::Absent(_) | Self::Broken(_) => true,
            Self::Tls(_)
            | Self::Credentials(_)
            | Self::Vhost(_)
            | Self::Permission(_)
            | Self::Mismatch(_)
            | Self::Behaviour(_) => false,
        }
    }

    /// What connecting met.
    pub(crate) fn of_connect(error: &lapin::Error, config: &Config) -> Self {
        let (place, user, vhost) = (config.place(), config.user(), config.vhost());
        match (code_and_text(error), error.kind()) {
            (Some((403, _)), _) => Self::Credentials(format!(
                "{place} does not accept user {user:?} with this password: correct the user and \
                 the password of broker.url, or add the user with `rabbitmqctl add_user`"
            )),
            (Some((530, text)), _) if text.contains("not found") => Self::Vhost(format!(
                "{place} has no virtual host {vhost:?}: correct the end of broker.url (/ is \
                 written as %2f), or add it with `rabbitmqctl add_vhost {vhost}`"
            )),
            (Some((530, text)), _) if text.contains("refused") => Self::Vhost(format!(
                "{place} does not let user {user:?} into virtual host {vhost:?}: let it in with \
                 `rabbitmqctl set_permissions -p {vhost} {user} CONFIGURE WRITE READ`"
            )),
            (Some((code, text)), _) => {
                Self::Unreachable(format!("{place} did not let us in: {text} ({code})"))
            }
            (None, ErrorKind::IOError(error)) => Self::of_socket(error, config),
            (None, ErrorKind::ParsingError(_) | ErrorKind::InvalidProtocolVersion(_)) => {
                Self::Unreachable(not_amqp(config))
            }
            (None, _) => Self::Unreachable(format!("cannot connect to {place}: {error}")),
        }
    }

    /// What a socket met while connecting.
    pub(crate) fn of_socket(error: &io::Error, config: &Config) -> Self {
        let place = config.place();
        let text = error.to_string();
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::Unreachable(format!(
                "nothing listens at {place}: start the broker, or correct host and port of \
                 broker.url"
            )),
            io::ErrorKind::TimedOut => Self::Unreachable(format!(
                "{place} did not answer in time: look whether the broker is up and whether a \
                 firewall is between"
            )),
            _ if text.contains("lookup") || text.contains("resolve") => Self::Unreachable(format!(
                "the host of {place} is not known ({text}): correct broker.url, or the name \
                 resolution of this machine"
            )),
            _ if config.is_encrypted() => Self::Tls(tls(&text, config)),
            io::ErrorKind::InvalidData
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::UnexpectedEof => Self::Unreachable(not_amqp(config)),
            _ => Self::Unreachable(format!("cannot connect to {place}: {text}")),
        }
    }

    /// What an operation on a channel met. `doing` completes "the broker refused to ...".
    pub fn of_channel(error: &lapin::Error, doing: &str) -> Self {
        match code_and_text(error) {
            Some((403, text)) => Self::Permission(permission(&text, doing)),
            Some((405 | 406, text)) => {
                Self::Mismatch(format!("the broker refused to {doing}: {text}"))
            }
            Some((404, text)) if is_absent_for_now(&text) => Self::Absent(format!(
                "the broker could not {doing} yet: {text}; it comes back with its node, so start \
                 the node that is down"
            )),
            Some((404, text)) => Self::Mismatch(format!(
                "the broker could not {doing}: {text}; somebody has deleted it: \
                 restart a worker or a controller, which declares it again"
            )),
            Some((_, text)) => Self::Broken(format!("the broker did not {doing}: {text}")),
            None => Self::Broken(format!("could not {doing}: {error}")),
        }
    }
}

impl From<Error> for StoreError {
    fn from(error: Error) -> Self {
        Self::Unavailable(error.to_string())
    }
}

fn not_amqp(config: &Config) -> String {
    format!(
        "{} hung up, or does not speak AMQP 0-9-1: if that port is an encrypted one, write \
         amqps:// in broker.url; if not, it is not a broker, or one that is just starting",
        config.place()
    )
}

/// rustls says what is wrong with a certificate in its own words.
fn tls(text: &str, config: &Config) -> String {
    let (host, _) = config.address();
    let what_to_do = if text.contains("UnknownIssuer") {
        "give the authority that has signed its certificate as broker.tls.ca_file".to_owned()
    } else if text.contains("not valid for name") || text.contains("NotValidForName") {
        format!("its certificate is for another name than {host:?}: use that name in broker.url")
    } else if text.contains("Expired") || text.contains("expired") {
        "its certificate has expired: renew it".to_owned()
    } else if text.contains("CertificateRequired") {
        "it asks for a certificate: give broker.tls.cert_file and broker.tls.key_file".to_owned()
    } else {
        "if that port is not an encrypted one, correct the port, or write amqp:// in broker.url"
            .to_owned()
    };
    format!(
        "no encrypted connection to {}: {text}; {what_to_do}",
        config.place()
    )
}

/// A broker that is starting, or has lost a node, has queues that it knows of and cannot reach.
pub(crate) fn is_absent_for_now(text: &str) -> bool {
    let signs = [
        "is down or inaccessible",
        "process is stopped by supervisor",
    ];
    signs.iter().any(|sign| text.contains(sign))
}

/// The reply code and the text of an error that the broker itself has sent.
pub(crate) fn code_and_text(error: &lapin::Error) -> Option<(u16, String)> {
    match error.kind() {
        ErrorKind::ProtocolError(said) => Some((said.get_id(), said.get_message().to_string())),
        _ => None,
    }
}

/// The broker's text names the object, the virtual host and the user; what is missing is the way
/// out.
fn permission(text: &str, doing: &str) -> String {
    let text = text.trim_start_matches("ACCESS_REFUSED - ");
    let quoted: Vec<&str> = text.split('\'').skip(1).step_by(2).collect();
    let first = text.split_whitespace().next();
    let needed = first
        .filter(|word| matches!(*word, "configure" | "read" | "write"))
        .unwrap_or("configure, write and read");
    match quoted.as_slice() {
        [object, vhost, user, ..] => format!(
            "the broker refused to {doing}: user {user:?} lacks the {needed} permission for \
             {object:?} in virtual host {vhost:?}; see what it has with \
             `rabbitmqctl list_user_permissions {user}` and give it all three with \
             `rabbitmqctl set_permissions -p {vhost} {user} CONFIGURE WRITE READ`, each a regular \
             expression that matches {object:?}"
        ),
        _ => format!(
            "the broker refused to {doing}: {text}; give the user the {needed} permission with \
             `rabbitmqctl set_permissions`"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapin::protocol::{AMQPError, AMQPSoftError};

    fn soft(kind: AMQPSoftError, text: &str) -> lapin::Error {
        ErrorKind::ProtocolError(AMQPError::new(kind.into(), text.into())).into()
    }

    #[test]
    fn a_missing_permission_names_the_object_and_the_command() {
        let said = soft(
            AMQPSoftError::ACCESSREFUSED,
            "ACCESS_REFUSED - configure access to queue 'goaround.journal' in vhost 'shop' \
             refused for user 'w1'",
        );
        let error = Error::of_channel(&said, "declare the journal");
        assert!(!error.is_passing());
        let text = error.to_string();
        assert!(
            text.contains("user \"w1\" lacks the configure permission"),
            "{text}"
        );
        assert!(text.contains("set_permissions -p shop w1"), "{text}");
    }

    #[test]
    fn an_older_broker_does_not_say_which_permission_is_missing() {
        let said = soft(
            AMQPSoftError::ACCESSREFUSED,
            "ACCESS_REFUSED - access to queue 'q' in vhost '/' refused for user 'u'",
        );
        let text = Error::of_channel(&said, "declare q").to_string();
        assert!(text.contains("configure, write and read"), "{text}");
    }

    #[test]
    fn a_queue_whose_node_is_down_is_not_deleted() {
        let said = soft(
            AMQPSoftError::NOTFOUND,
            "NOT_FOUND - home node 'r1@host' of durable queue 'goaround.control' in vhost '/' is \
             down or inaccessible",
        );
        let error = Error::of_channel(&said, "declare queue \"goaround.control\"");
        assert!(error.is_passing(), "{error}");
        assert!(error.to_string().contains("start the node"), "{error}");
        let said = soft(
            AMQPSoftError::NOTFOUND,
            "NOT_FOUND - no queue 'q' in vhost '/'",
        );
        assert!(!Error::of_channel(&said, "publish").is_passing());
    }

    #[test]
    fn a_lost_connection_passes_and_a_mismatch_does_not() {
        let lost: lapin::Error = ErrorKind::MissingHeartbeatError.into();
        assert!(Error::of_channel(&lost, "publish").is_passing());
        let other = soft(AMQPSoftError::PRECONDITIONFAILED, "inequivalent arg");
        assert!(!Error::of_channel(&other, "declare").is_passing());
    }
}
