//! Looks at the broker as a person would who was called because nothing moves.

use crate::canary;
use crate::config::Config;
use crate::error::Error;
use crate::greeting::greet;
use crate::link::{Link, Purpose};
use crate::names::Names;
use crate::topology::{self, Hand};
use domain::names::StageName;
use domain::ports::{Depth, Finding};
use domain::time::show_duration;
use std::time::Duration;

/// The oldest release that is tested.
const VERSION_MIN: (u32, u32) = (3, 10);
/// How long to wait for a connection.
const CONNECT_MAX: Duration = Duration::from_secs(10);

/// Looks at everything, the queues of these stages included; when it looks deep, it also sends a
/// canary message through a private queue. Never fails: what cannot be looked at is a finding too.
pub async fn doctor(config: &Config, stages: &[StageName], depth: Depth) -> Vec<Finding> {
    let mut findings = Vec::new();
    match greet(config).await {
        Ok(greeting) => findings.push(version(config, &greeting.product, &greeting.version)),
        Err(error) => {
            findings.push(ill("broker", &error));
            return findings;
        }
    }
    let link = Link::start(config, Purpose::Control);
    if let Err(error) = link.channel_within(CONNECT_MAX).await {
        findings.push(ill("login", &error));
        return findings;
    }
    let seen = format!(
        "user {:?}, virtual host {:?}",
        config.user(),
        config.vhost()
    );
    findings.push(fine("login", seen));
    findings.push(encryption(config));
    findings.push(ack_timeout(config));
    findings.extend(queues(&link, &config.names, stages).await);
    if depth == Depth::Deep {
        findings.push(proof(config).await);
    }
    link.close().await;
    findings
}

fn version(config: &Config, product: &str, version: &str) -> Finding {
    let seen = format!("{product} {version} answers at {}", config.place());
    let mut numbers = version.split(['.', '-', '+']).map(str::parse);
    match (product, numbers.next(), numbers.next()) {
        ("RabbitMQ", Some(Ok(major)), Some(Ok(minor))) if (major, minor) >= VERSION_MIN => {
            fine("broker", seen)
        }
        _ => finding(
            "broker",
            seen,
            "this is tested with RabbitMQ 3.10 to 4.3: bring the broker to one of these, or try \
             `goaround doctor --deep`",
        ),
    }
}

fn encryption(config: &Config) -> Finding {
    let (host, _) = config.address();
    let is_near = host == "localhost" || host == "::1" || host.starts_with("127.");
    if config.is_encrypted() {
        fine("encryption", "the connection is encrypted".to_owned())
    } else if is_near {
        fine(
            "encryption",
            "not encrypted, and it does not leave this machine".to_owned(),
        )
    } else {
        finding(
            "encryption",
            format!("the password goes to {host} in clear text"),
            "write amqps:// in broker.url, and let the broker listen for TLS",
        )
    }
}

fn ack_timeout(config: &Config) -> Finding {
    fine(
        "ack time-out",
        format!(
            "taken for {}; the broker does not tell its own over AMQP: compare with \
             `rabbitmqctl eval 'application:get_env(rabbit, consumer_timeout).'` (milliseconds), \
             and set broker.ack_timeout to it",
            show_duration(config.ack_timeout)
        ),
    )
}

async fn queues(link: &Link, names: &Names, stages: &[StageName]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut hand = Hand::new(link);
    match topology::wanted_queues(names, stages) {
        Err(error) => findings.push(ill("stages", &error)),
        Ok(wanted) => {
            for (name, arguments, is_log) in wanted {
                findings.push(match hand.look(&name).await {
                    Err(error) => ill(&name, &error),
                    Ok(None) => absent(&name),
                    Ok(Some(counts)) => match hand.queue(&name, arguments).await {
                        Err(error) => ill(&name, &error),
                        Ok(Some(found)) => drift(&found, is_log),
                        Ok(None) => present(names, &name, counts),
                    },
                });
            }
        }
    }
    findings
}

fn absent(queue: &str) -> Finding {
    finding(
        queue,
        "it is not there".to_owned(),
        "start a controller or a worker of that stage: it declares what it needs",
    )
}

fn drift(found: &topology::Foreign, is_log: bool) -> Finding {
    match found.check(is_log) {
        Err(error) => ill(&found.queue, &error),
        Ok(()) => fine(&found.queue, format!("{}; it may do", found.differences())),
    }
}

fn present(names: &Names, queue: &str, (messages, consumers): (u32, u32)) -> Finding {
    let seen = format!("{messages} messages ready, {consumers} consumers");
    let remedy = if queue == names.quarantine() && messages > 0 {
        "somebody wrote what no version here can read: look at the messages (they are kept), find \
         who sent them, then delete them or bring the controllers to the sender's version"
    } else if queue == names.journal() && consumers == 0 {
        "nobody reads the journal, so nothing that failed is released: start a controller"
    } else if queue == names.unclaimed() && messages > 0 && consumers == 0 {
        "tickets wait here for stages that nobody has declared: start a controller, which takes \
         them into the books"
    } else {
        return fine(queue, seen);
    };
    finding(queue, seen, remedy)
}

async fn proof(config: &Config) -> Finding {
    match canary::prove(config, &[]).await {
        Ok(()) => fine(
            "behaviour",
            format!(
                "a message came back {} times, over a lost channel and a lost connection, flagged \
                 each time, and was caught when it was given up",
                canary::RETURNS
            ),
        ),
        Err(error) => ill("behaviour", &error),
    }
}

fn fine(about: &str, seen: String) -> Finding {
    Finding {
        about: about.to_owned(),
        is_fine: true,
        seen,
        remedy: None,
    }
}

fn finding(about: &str, seen: String, remedy: &str) -> Finding {
    let remedy = Some(remedy.to_owned());
    Finding {
        about: about.to_owned(),
        is_fine: false,
        seen,
        remedy,
    }
}

/// Our errors say what is the matter first and what to do after the last colon or semicolon.
fn ill(about: &str, error: &Error) -> Finding {
    let text = error.to_string();
    let (seen, remedy) = match text.rsplit_once("; ").or_else(|| text.rsplit_once(": ")) {
        Some((seen, remedy)) => (seen.to_owned(), remedy.to_owned()),
        None => (text.clone(), "look at the broker's log".to_owned()),
    };
    Finding {
        about: about.to_owned(),
        is_fine: false,
        seen,
        remedy: Some(remedy),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_product_and_an_old_release_are_not_fine() {
        let config = Config::new("amqp://h").unwrap();
        for (product, number) in [
            ("RabbitMQ", "3.9.13"),
            ("Other", "4.0.1"),
            ("RabbitMQ", "?"),
        ] {
            assert!(
                !version(&config, product, number).is_fine,
                "{product} {number}"
            );
        }
        for number in ["3.10.8", "3.13.7-beta", "4.3.6"] {
            assert!(version(&config, "RabbitMQ", number).is_fine, "{number}");
        }
    }

    #[test]
    fn a_journal_that_nobody_reads_and_a_filled_quarantine_are_findings() {
        let names = Names::default();
        assert!(!present(&names, &names.journal(), (5, 0)).is_fine);
        assert!(present(&names, &names.journal(), (5, 1)).is_fine);
        assert!(!present(&names, &names.quarantine(), (1, 0)).is_fine);
        assert!(present(&names, &names.quarantine(), (0, 0)).is_fine);
        assert!(!present(&names, &names.unclaimed(), (1, 0)).is_fine);
    }

    #[test]
    fn a_password_in_clear_text_is_a_finding_unless_it_stays_here() {
        for (url, is_fine) in [
            ("amqp://b.example", false),
            ("amqps://b.example", true),
            ("amqp://127.0.0.1", true),
        ] {
            assert_eq!(
                encryption(&Config::new(url).unwrap()).is_fine,
                is_fine,
                "{url}"
            );
        }
    }
}
