//! What somebody wants of a release plan, as JSON.

use super::order::{BadOrder, DropJson};
use super::terms::{self, TermsJson};
use super::{complaint, object};
use domain::plan::Choice;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// A plan that is to be made of the waiting tickets that match.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MakePlanJson {
    /// Which tickets, in the grammar of the lists.
    pub filter: String,
    /// How they are to be released.
    #[serde(default, deserialize_with = "terms::read")]
    pub terms: TermsJson,
}

/// Tickets of a plan that are to be released.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReleaseJson {
    /// Which group, for example `kind=f42`; without one everything.
    pub group: Option<String>,
    /// How.
    #[serde(deserialize_with = "terms::read")]
    pub terms: TermsJson,
}

/// Tickets of a plan that are to be given up.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DropPlanJson {
    /// Which group; without one everything.
    #[serde(default)]
    pub group: Option<String>,
    /// Why, for whoever reads the books later.
    pub reason: String,
}

impl MakePlanJson {
    /// Reads the order.
    ///
    /// # Errors
    /// [`BadOrder`] when it is not JSON, or has no filter.
    pub fn parse(text: &[u8]) -> Result<Self, BadOrder> {
        read(text, "an object with filter")
    }
}

impl ReleaseJson {
    /// Reads the order; nothing at all is everything on the plan's terms.
    ///
    /// # Errors
    /// [`BadOrder`] when it is not JSON.
    pub fn parse(text: &[u8]) -> Result<Self, BadOrder> {
        if text.trim_ascii().is_empty() {
            return Ok(Self::default());
        }
        read(text, "an object with a group or terms")
    }

    /// Which tickets.
    ///
    /// # Errors
    /// [`BadOrder`] when the group cannot be one.
    pub fn choice(&self) -> Result<Choice, BadOrder> {
        choice(self.group.as_deref())
    }
}

impl DropPlanJson {
    /// Reads the order.
    ///
    /// # Errors
    /// [`BadOrder`] when it is not JSON, or has no reason or an overlong one.
    pub fn parse(text: &[u8]) -> Result<Self, BadOrder> {
        let order: Self = read(text, "an object with a reason")?;
        let reason = order.reason.clone();
        DropJson { reason }.checked()?;
        Ok(order)
    }

    /// Which tickets.
    ///
    /// # Errors
    /// [`BadOrder`] when the group cannot be one.
    pub fn choice(&self) -> Result<Choice, BadOrder> {
        choice(self.group.as_deref())
    }
}

fn read<T: DeserializeOwned>(text: &[u8], expected: &'static str) -> Result<T, BadOrder> {
    object::from_slice(text, expected).map_err(|error| BadOrder(complaint(&error)))
}

fn choice(group: Option<&str>) -> Result<Choice, BadOrder> {
    match group {
        None | Some("everything") => Ok(Choice::Everything),
        Some(text) => {
            let name = text.parse();
            let name = name.map_err(|bad: domain::plan::BadGroup| BadOrder(bad.to_string()))?;
            Ok(Choice::Group(name))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_that_cannot_be_read_says_why() {
        let make = |text: &str| MakePlanJson::parse(text.as_bytes()).map(|_| ());
        let release = |text: &str| {
            let order = ReleaseJson::parse(text.as_bytes())?;
            order.choice().map(|_| ())
        };
        let drop = |text: &str| DropPlanJson::parse(text.as_bytes()).map(|_| ());
        for (read, says) in [
            (make("{}"), "missing field `filter`"),
            (
                make(r#"{"filter":"","rate":"1/s"}"#),
                "unknown field `rate`",
            ),
            (
                release(r#"{"group":"f42"}"#),
                "group: expected kind=…, key=…",
            ),
            (release("7"), "expected an object with a group or terms"),
            (
                release("[]"),
                "invalid type: sequence, expected an object with a group or terms",
            ),
            (
                release(r#"["kind=f42"]"#),
                "expected an object with a group or terms",
            ),
            (
                release(r#"{"terms":[]}"#),
                "invalid type: sequence, expected an object with terms",
            ),
            (
                release(r#"{"terms":{"stop":[1]}}"#),
                "invalid type: sequence, expected an object with a stop rule",
            ),
            (release("{} {}"), "trailing characters"),
            (make(r#"["is:held"]"#), "expected an object with filter"),
            (
                drop(r#"["everything"]"#),
                "expected an object with a reason",
            ),
            (drop("{}"), "missing field `reason`"),
            (
                drop(r#"{"reason":" "}"#),
                "reason: expected 1 to 1024 bytes",
            ),
        ] {
            let said = read.unwrap_err().to_string();
            assert!(said.contains(says), "{said}");
        }
    }

    #[test]
    fn without_a_word_everything_is_released_as_the_plan_says() {
        let order = ReleaseJson::parse(b" ").unwrap();
        assert_eq!(order.choice(), Ok(Choice::Everything));
        assert_eq!(order.terms, TermsJson::default());
        let group = ReleaseJson::parse(br#"{"group":"key=a=b"}"#).unwrap();
        assert_eq!(group.choice().unwrap().to_string(), "key=a=b");
        let all = ReleaseJson::parse(b"{}").unwrap();
        assert_eq!(all.choice(), Ok(Choice::Everything));
    }
}
