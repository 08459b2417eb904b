//! Where the broker is, and how we talk to it. Parsed once, at the edge.

use crate::names::Names;
use crate::url::parse;
use lapin::tcp::{OwnedIdentity, OwnedTLSConfig};
use lapin::uri::{AMQPScheme, AMQPUri};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// A setting that is not what it was meant to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: expected {expected}, got {got}")]
pub struct BadConfig {
    /// Which setting.
    pub key: &'static str,
    /// What was expected.
    pub expected: &'static str,
    /// What was found, without passwords.
    pub got: String,
}

impl BadConfig {
    pub(crate) fn new(key: &'static str, expected: &'static str, got: &str) -> Self {
        let got: String = got.chars().take(120).collect();
        let got = format!("{got:?}");
        Self { key, expected, got }
    }
}

/// Files for an encrypted connection, each in PEM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// The authority that has signed the broker's certificate, if the system does not know it.
    pub ca_file: Option<PathBuf>,
    /// Our own certificate, if the broker asks for one.
    pub cert_file: Option<PathBuf>,
    /// The key of our certificate.
    pub key_file: Option<PathBuf>,
}

/// Where the broker is, and how we talk to it.
#[derive(Clone)]
pub struct Config {
    uri: AMQPUri,
    tls: OwnedTLSConfig,
    /// What everything on the broker is called.
    pub names: Names,
    /// How long the broker lets a delivery be unacked (its `consumer_timeout`).
    pub ack_timeout: Duration,
    /// How long a publish may take, waiting for a connection included.
    pub publish_timeout: Duration,
    /// How often either side says that it is there, in whole seconds, unless the broker wants to
    /// hear it more often.
    pub heartbeat: Duration,
    /// What the broker's own pages call our connections.
    pub connection_name: String,
}

impl Config {
    /// RabbitMQ's own time-out for acks, unless its administrator has changed it.
    pub const ACK_TIMEOUT: Duration = Duration::from_secs(30 * 60);
    /// A publish that takes longer is in doubt.
    pub const PUBLISH_TIMEOUT: Duration = Duration::from_secs(10);
    /// Silence of two of these ends a connection, and lapin looks every half of one: a line that is
    /// dead is noticed after 6 to 7.5 s, and consumed anew within 10 s. The broker takes two to
    /// three to notice it from its side; then it hands out again what it had sent into the void.
    ///
    /// With four it would be noticed after up to 10 s, which leaves no time to come back. RabbitMQ
    /// warns of less than 5 s, because many clients cannot say a word while they work. Here a
    /// task of its own says it, and a process that is silent for 6 s is taken for dead anyway
    /// (`domain::fleet::LAPSE`), which costs more than a connection: what was in hand is adopted on
    /// the next one, and nobody is charged. At the broker it is a process of its own too, every
    /// half of one, also while it is short of memory and blocks us; it must get no turn for 3 s to
    /// be missed. While it blocks us it does not listen for ours. For a broker that is slower than
    /// that: `?heartbeat=SECONDS` in its URL.
    ///
    /// The kernel could notice what is sent and not acknowledged (`TCP_USER_TIMEOUT`). It would
    /// also end the connections that a broker blocks, whose window stays shut.
    pub const HEARTBEAT: Duration = Duration::from_secs(3);

    /// Everything as usual, at this broker. No virtual host means `/`.
    ///
    /// # Errors
    /// [`BadConfig`] when it is not the URL of a broker; the message never shows the password.
    pub fn new(url: &str) -> Result<Self, BadConfig> {
        let uri = parse(url)?;
        let heartbeat = uri.query.heartbeat.map(u64::from).map(Duration::from_secs);
        Ok(Self {
            uri,
            tls: OwnedTLSConfig::default(),
            names: Names::default(),
            ack_timeout: Self::ACK_TIMEOUT,
            publish_timeout: Self::PUBLISH_TIMEOUT,
            heartbeat: heartbeat.unwrap_or(Self::HEARTBEAT),
            connection_name: "goaround".to_owned(),
        })
    }

    /// The same, with these files for an encrypted connection. They are read now.
    ///
    /// # Errors
    /// [`BadConfig`] when one cannot be read, when a certificate has no key or a key no
    /// certificate, or when the URL is not `amqps`.
    pub fn with_tls(mut self, tls: &Tls) -> Result<Self, BadConfig> {
        if *tls == Tls::default() {
            return Ok(self);
        }
        if !self.is_encrypted() {
            let expected = "an amqps:// URL, since files for an encrypted connection are given";
            return Err(BadConfig::new("broker.url", expected, &self.place()));
        }
        self.tls.cert_chain = match &tls.ca_file {
            Some(file) => Some(read_pem("broker.tls.ca_file", file)?),
            None => None,
        };
        self.tls.identity = match (&tls.cert_file, &tls.key_file) {
            (Some(cert), Some(key)) => Some(OwnedIdentity::PKCS8 {
                pem: read_pem("broker.tls.cert_file", cert)?.into_bytes(),
                key: read_pem("broker.tls.key_file", key)?.into_bytes(),
            }),
            (None, None) => None,
            (Some(_), None) => return Err(missing("broker.tls.key_file", "the certificate's key")),
            (None, Some(_)) => {
                return Err(missing("broker.tls.cert_file", "the key's certificate"));
            }
        };
        Ok(self)
    }

    /// Whether the connection is encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.uri.scheme == AMQPScheme::AMQPS
    }

    /// Where the broker is, without user and password: `amqp://host:5672/vhost`.
    pub fn place(&self) -> String {
        let AMQPUri {
            scheme,
            authority,
            vhost,
            ..
        } = &self.uri;
        let vhost = if vhost == "/" { "%2f" } else { vhost };
        format!("{scheme}://{}:{}/{vhost}", authority.host, authority.port)
    }

    /// The host and the port.
    pub fn address(&self) -> (&str, u16) {
        (&self.uri.authority.host, self.uri.authority.port)
    }

    /// As whom we log in.
    pub fn user(&self) -> &str {
        &self.uri.authority.userinfo.username
    }

    /// In which virtual host we work.
    pub fn vhost(&self) -> &str {
        &self.uri.vhost
    }

    /// What lapin connects to.
    pub(crate) fn uri(&self) -> AMQPUri {
        let mut uri = self.uri.clone();
        let seconds = self.heartbeat.as_secs().clamp(1, u64::from(u16::MAX));
        uri.query.heartbeat = u16::try_from(seconds).ok();
        uri
    }

    /// How lapin encrypts.
    pub(crate) fn tls(&self) -> OwnedTLSConfig {
        self.tls.clone()
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("broker", &self.place())
            .field("user", &self.user())
            .field("names", &self.names)
            .field("ack_timeout", &self.ack_timeout)
            .field("publish_timeout", &self.publish_timeout)
            .finish_non_exhaustive()
    }
}

fn read_pem(key: &'static str, file: &std::path::Path) -> Result<String, BadConfig> {
    let text = std::fs::read_to_string(file).map_err(|error| BadConfig {
        key,
        expected: "a file in PEM that can be read",
        got: format!("{}: {error}", file.display()),
    })?;
    if text.contains("-----BEGIN ") {
        return Ok(text);
    }
    let got = format!(
        "{}: it has no line that begins with -----BEGIN",
        file.display()
    );
    Err(BadConfig {
        key,
        expected: "a file in PEM",
        got,
    })
}

fn missing(key: &'static str, expected: &'static str) -> BadConfig {
    BadConfig {
        key,
        expected,
        got: "nothing".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_never_shown() {
        let config = Config::new("amqps://ana:geheim@b.example/shop").unwrap();
        let shown = format!("{config:?}{}", config.place());
        assert!(!shown.contains("geheim"), "{shown}");
        assert!(shown.contains("amqps://b.example:5671/shop"), "{shown}");
        assert_eq!(config.user(), "ana");
    }

    #[test]
    fn hosts_ports_and_virtual_hosts_are_read() {
        for (url, host, port, vhost) in [
            ("amqp://h", "h", 5672, "/"),
            ("amqp://h/", "h", 5672, "/"),
            ("amqp://h:1/%2f", "h", 1, "/"),
            ("amqps://h/a%20b", "h", 5671, "a b"),
            ("amqp://10.0.0.7/x", "10.0.0.7", 5672, "x"),
            ("amqp://u:p@[::1]:99/x", "::1", 99, "x"),
        ] {
            let config = Config::new(url).unwrap();
            assert_eq!(config.address(), (host, port), "{url}");
            assert_eq!(config.vhost(), vhost, "{url}");
        }
    }

    #[test]
    fn a_heartbeat_in_the_url_is_the_one_that_is_asked_for() {
        for (url, seconds) in [("amqp://h", 3), ("amqp://h/v?heartbeat=20", 20)] {
            let config = Config::new(url).unwrap();
            assert_eq!(config.heartbeat, Duration::from_secs(seconds), "{url}");
            assert_eq!(config.uri().query.heartbeat, u16::try_from(seconds).ok());
        }
    }

    #[test]
    fn a_dead_line_is_noticed_early_enough_to_consume_again_within_ten_seconds() {
        // lapin gives up after two of them, and looks every half of one.
        let noticed = Config::HEARTBEAT * 5 / 2;
        assert!(noticed <= Duration::from_secs(8), "{noticed:?}");
        // Whoever is silent for less is not yet taken for dead by the controller.
        assert!(Config::HEARTBEAT * 2 >= domain::fleet::LAPSE);
    }

    #[test]
    fn tls_files_need_an_encrypted_url_and_must_be_there() {
        let tls = Tls {
            ca_file: Some("/nowhere/ca.pem".into()),
            ..Tls::default()
        };
        let plain = Config::new("amqp://h").unwrap().with_tls(&tls).unwrap_err();
        assert!(plain.to_string().contains("an amqps:// URL"), "{plain}");
        let gone = Config::new("amqps://h")
            .unwrap()
            .with_tls(&tls)
            .unwrap_err();
        assert!(gone.to_string().contains("/nowhere/ca.pem"), "{gone}");
        let key = Tls {
            key_file: Some("k".into()),
            ..Tls::default()
        };
        let alone = Config::new("amqps://h")
            .unwrap()
            .with_tls(&key)
            .unwrap_err();
        assert!(alone.to_string().contains("cert_file"), "{alone}");
    }
}
