//! Encrypted connections to a broker that asks for our certificate too.

use crate::support::{LONG, config, link};
use amqp::{Config, Error, Tls};
use std::path::{Path, PathBuf};
use std::process::Command;
use testkit::partners::rabbitmq::{Options, Version};
use testkit::partners::{Missing, free_port, or_skip};

/// An authority, and one certificate of it, for `localhost` and for us.
struct Papers {
    folder: tempfile::TempDir,
}

const CURVE: &str = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2";

impl Papers {
    fn draw_up() -> Result<Self, Missing> {
        let folder = tempfile::tempdir().unwrap();
        let names = folder.path().join("names");
        std::fs::write(names, "subjectAltName=DNS:localhost\n").unwrap();
        for line in [
            format!("req -x509 {CURVE} -keyout ca.key -out ca.pem -subj /CN=authority"),
            format!("req {CURVE} -keyout key.pem -out asked.pem -subj /CN=localhost"),
            "x509 -req -in asked.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 \
             -extfile names -out cert.pem"
                .to_owned(),
        ] {
            let mut command = Command::new("openssl");
            command
                .args(line.split_whitespace())
                .current_dir(folder.path());
            let output = command.output();
            let output = output.map_err(|_| Missing::new("openssl is not installed"))?;
            assert!(output.status.success(), "{line}: {output:?}");
        }
        Ok(Self { folder })
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn tls(&self, with: &[&str]) -> Tls {
        let file = |name: &str| with.contains(&name).then(|| self.file(name));
        Tls {
            ca_file: file("ca.pem"),
            cert_file: file("cert.pem"),
            key_file: file("key.pem"),
        }
    }
}

fn line(key: &str, file: &Path) -> String {
    format!("ssl_options.{key} = {}", file.display())
}

async fn connected(config: &Config) -> Result<(), Error> {
    link(config).channel_within(LONG).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_connection_needs_the_right_papers_on_both_sides() {
    let Some(papers) = or_skip(Papers::draw_up()) else {
        return;
    };
    let port = free_port();
    let options = Options::new(Version::V310)
        .line(&format!("listeners.ssl.1 = 127.0.0.1:{port}"))
        .line(&line("cacertfile", &papers.file("ca.pem")))
        .line(&line("certfile", &papers.file("cert.pem")))
        .line(&line("keyfile", &papers.file("key.pem")))
        .line("ssl_options.verify = verify_peer")
        .line("ssl_options.fail_if_no_peer_cert = true");
    let Some(_broker) = or_skip(options.start()) else {
        return;
    };
    let at = |host: &str, with: &[&str]| {
        let url = format!("amqps://guest:guest@{host}:{port}/%2f");
        config(&url).with_tls(&papers.tls(with)).unwrap()
    };
    let all = ["ca.pem", "cert.pem", "key.pem"];
    for (host, with, told) in [
        ("localhost", &all[1..], "give the authority"),
        ("127.0.0.1", &all, "another name"),
        ("localhost", &all[..1], "asks for a certificate"),
    ] {
        let mut error = connected(&at(host, with)).await.unwrap_err();
        // A broker that hangs up at once may take its own alert with it.
        for _ in 0..5 {
            if error.to_string().contains("reset by peer") {
                error = connected(&at(host, with)).await.unwrap_err();
            }
        }
        assert!(matches!(error, Error::Tls(_)), "{error:?}");
        assert!(error.to_string().contains(told), "{error}");
    }
    connected(&at("localhost", &all)).await.unwrap();
}
