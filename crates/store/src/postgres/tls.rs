//! TLS for the connections to PostgreSQL, by the words that its own clients use.

use super::fault::PostgresError;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_postgres::config::SslMode;
use tokio_postgres_rustls::MakeRustlsConnect;

/// How far a connection is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protection {
    /// In clear text.
    Disable,
    /// Encrypted if the server can; whose server it is is not checked.
    Prefer,
    /// Encrypted; whose server it is is checked only against a given root certificate.
    Require,
    /// Encrypted, with a certificate for the host's name that a trusted root has signed.
    Verify,
}

/// What the URL says about TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wish {
    pub(crate) protection: Protection,
    pub(crate) root: Option<PathBuf>,
}

impl Wish {
    /// Takes what is about TLS out of the URL; returns the rest, which the client library reads.
    pub(crate) fn taken_from(url: &str) -> Result<(Self, String), PostgresError> {
        let mut wish = Self {
            protection: Protection::Prefer,
            root: None,
        };
        let (base, separator, words) = match url.split_once('?') {
            Some((base, words)) => (base, "&", words),
            None if url.contains("://") => return Ok((wish, url.to_owned())),
            None => ("", " ", url),
        };
        let mut rest = Vec::new();
        for word in words.split(separator) {
            match word.split_once('=') {
                Some(("sslmode", mode)) => wish.protection = protection(mode)?,
                Some(("sslrootcert", file)) => wish.root = Some(file.replace("%2F", "/").into()),
                _ => rest.push(word),
            }
        }
        let rest = rest.join(separator);
        let url = match (base, rest.as_str()) {
            ("", rest) => rest.to_owned(),
            (base, "") => base.to_owned(),
            (base, rest) => format!("{base}?{rest}"),
        };
        Ok((wish, url))
    }

    /// What the client library is told.
    pub(crate) const fn mode(&self) -> SslMode {
        match self.protection {
            Protection::Disable => SslMode::Disable,
            Protection::Prefer => SslMode::Prefer,
            Protection::Require | Protection::Verify => SslMode::Require,
        }
    }

    /// Whether the server has to prove who it is.
    const fn is_checked(&self) -> bool {
        match self.protection {
            Protection::Disable | Protection::Prefer => false,
            Protection::Require => self.root.is_some(),
            Protection::Verify => true,
        }
    }

    /// What makes the protected connections.
    pub(crate) fn connect(&self) -> Result<MakeRustlsConnect, PostgresError> {
        let provider = Arc::new(ring::default_provider());
        let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| tls(format!("TLS cannot be set up: {error}")))?;
        let config = if self.is_checked() {
            config.with_root_certificates(self.roots()?)
        } else {
            config
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Unchecked(provider)))
        };
        Ok(MakeRustlsConnect::new(config.with_no_client_auth()))
    }

    fn roots(&self) -> Result<RootCertStore, PostgresError> {
        let mut roots = RootCertStore::empty();
        match self.root.as_deref() {
            Some(file) => {
                for root in read(file)? {
                    let bad = |error| tls(format!("sslrootcert {}: {error}", file.display()));
                    roots.add(root).map_err(bad)?;
                }
            }
            None => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
        }
        match roots.is_empty() {
            false => Ok(roots),
            true => Err(tls(
                "sslmode=verify-full: expected trusted root certificates, got none; install the \
                 system's, or name a file by sslrootcert"
                    .into(),
            )),
        }
    }
}

fn tls(why: String) -> PostgresError {
    PostgresError::Tls { why }
}

fn protection(mode: &str) -> Result<Protection, PostgresError> {
    Ok(match mode {
        "disable" => Protection::Disable,
        "prefer" | "allow" => Protection::Prefer,
        "require" => Protection::Require,
        "verify-ca" | "verify-full" => Protection::Verify,
        other => {
            let why = format!(
                "sslmode: expected disable, prefer, require or verify-full, got {other:?}; \
                 correct it"
            );
            return Err(tls(why));
        }
    })
}

fn read(file: &Path) -> Result<Vec<CertificateDer<'static>>, PostgresError> {
    let found =
        CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let bad = |error| {
        let file = file.display();
        tls(format!(
            "sslrootcert {file}: expected certificates in PEM form, got: {error}; correct the path"
        ))
    };
    found.map_err(bad)
}

/// Takes any certificate: what `sslmode=prefer` and `require` mean to every PostgreSQL client.
#[derive(Debug)]
struct Unchecked(Arc<CryptoProvider>);

impl ServerCertVerifier for Unchecked {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let schemes = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, schemes)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let schemes = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, schemes)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_about_tls_is_taken_out_of_the_url() {
        let url = "postgres://me@db/go?sslmode=verify-full&application_name=x&sslrootcert=/ca.pem";
        let (wish, rest) = Wish::taken_from(url).unwrap();
        assert_eq!(rest, "postgres://me@db/go?application_name=x");
        assert_eq!(wish.protection, Protection::Verify);
        assert_eq!(wish.root, Some("/ca.pem".into()));
        let (wish, rest) = Wish::taken_from("host=db sslmode=disable user=me").unwrap();
        assert_eq!(
            (rest.as_str(), wish.mode()),
            ("host=db user=me", SslMode::Disable)
        );
        assert!(Wish::taken_from("postgres://db/go?sslmode=maybe").is_err());
    }

    #[test]
    fn a_root_certificate_that_is_not_there_is_named() {
        let url = "postgres://db/go?sslmode=verify-full&sslrootcert=/nowhere/ca.pem";
        let (wish, _) = Wish::taken_from(url).unwrap();
        let said = wish.connect().err().unwrap().to_string();
        assert!(said.contains("/nowhere/ca.pem"), "{said}");
    }
}
