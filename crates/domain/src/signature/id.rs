//! The short name of a signature.

use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

/// Digits of the hash, in base 16.
const DIGITS: usize = 16;

/// Which problem: `v1-` and 16 digits, for example `v1-0f3a9c5e77b2d104`.
///
/// Two reports with the same id are about the same problem. The version says how the id was made,
/// so that a better way never silently merges or splits what operators know by name: ids of
/// different versions are different.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SignatureId {
    version: u32,
    hash: u64,
}

impl SignatureId {
    /// The version of the ids that are made today. Raise it with any change that moves a golden id
    /// of `signature/tests.rs`.
    pub const VERSION: u32 = 1;

    /// The id that the store or the journal kept.
    pub const fn new(version: u32, hash: u64) -> Self {
        Self { version, hash }
    }

    /// How it was made.
    pub const fn version(self) -> u32 {
        self.version
    }

    /// The number behind the digits.
    pub const fn hash(self) -> u64 {
        self.hash
    }

    /// The id of this text, by today's version. SHA-1 behind it, since the hash must be the same on
    /// every machine and in every build, and handlers choose the text.
    pub(super) fn of(text: &str) -> Self {
        let uuid = Uuid::new_v5(&Uuid::nil(), text.as_bytes());
        // Beside the ten bits that say which sort of UUID it is: the first six bytes, the last two.
        let bytes = uuid.as_bytes();
        let [a, b, c, d, e, f] = [bytes[0], bytes[1], bytes[2], bytes[3], bytes[4], bytes[5]];
        let hash = u64::from_be_bytes([a, b, c, d, e, f, bytes[14], bytes[15]]);
        Self::new(Self::VERSION, hash)
    }
}

impl fmt::Display for SignatureId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}-{:016x}", self.version, self.hash)
    }
}

impl fmt::Debug for SignatureId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Text that is not the id of a signature.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("signature: expected v, a number, - and 16 digits of base 16, got {0:?}")]
pub struct BadSignatureId(pub String);

impl FromStr for SignatureId {
    type Err = BadSignatureId;

    /// Reads an id; its letters may be upper case.
    fn from_str(text: &str) -> Result<Self, BadSignatureId> {
        let bad = || BadSignatureId(text.chars().take(80).collect());
        let all = |part: &str, digit: fn(&u8) -> bool| part.bytes().all(|byte| digit(&byte));
        let (version, hash) = text.trim().split_once('-').ok_or_else(bad)?;
        let version = version.strip_prefix(['v', 'V']).ok_or_else(bad)?;
        let is_plain = all(version, u8::is_ascii_digit) && !version.starts_with('0');
        if !is_plain || hash.len() != DIGITS || !all(hash, u8::is_ascii_hexdigit) {
            return Err(bad());
        }
        Ok(Self {
            version: version.parse().map_err(|_| bad())?,
            hash: u64::from_str_radix(hash, 16).map_err(|_| bad())?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_no_id_is_refused_with_what_was_expected() {
        for text in [
            "",
            "v1",
            "v1-",
            "1-0000000000000000",
            "v-0000000000000000",
            "v0-0000000000000000",
            "v01-0000000000000000",
            "v+1-0000000000000000",
            "v1-000000000000000",
            "v1-00000000000000000",
            "v1-+000000000000000",
            "v1-000000000000000g",
            "v4294967296-0000000000000000",
        ] {
            assert!(text.parse::<SignatureId>().is_err(), "{text}");
        }
        let said = "x".parse::<SignatureId>().unwrap_err().to_string();
        assert_eq!(
            said,
            "signature: expected v, a number, - and 16 digits of base 16, got \"x\""
        );
    }

    #[test]
    fn an_id_is_read_in_either_case() {
        let id = SignatureId::new(2, 0x0f3a_9c5e_77b2_d104);
        assert_eq!(id.to_string(), "v2-0f3a9c5e77b2d104");
        assert_eq!("V2-0F3A9C5E77B2D104".parse(), Ok(id));
    }

    proptest! {
        #[test]
        fn every_id_reads_back(version in 1u32.., hash: u64) {
            let id = SignatureId::new(version, hash);
            prop_assert_eq!(id.to_string().parse(), Ok(id));
        }
    }
}
