//! What somebody wants of a release plan, as JSON.

use super::complaint;
use super::order::{BadOrder, DropJson};
use super::terms::TermsJson;
use domain::plan::Choice;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// A plan that is to be made of the waiting tickets that match.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with filter")]
pub struct MakePlanJson {
    /// Which tickets, in the grammar of the lists.
    pub filter: String,
    /// How they are to be released.
    #[serde(default)]
    pub terms: TermsJson,
}

/// Tickets of a plan that are to be released.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(
    deny_unknown_fields,
    default,
    expecting = "an object with a group or terms"
)]
pub struct ReleaseJson {
    /// Which group, for example `kind=f42`; without one everything.
    pub group: Option<String>,
    /// How.
    pub terms: TermsJson,
}

/// Tickets of a plan that are to be given up.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with a reason")]
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
        read(text)
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
        read(text)
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
        let order: Self = read(text)?;
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

fn read<T: DeserializeOwned>(text: &[u8]) -> Result<T, BadOrder> {
    serde_json::from_slice(text).map_err(|error| BadOrder(complaint(&error)))
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
    }
}
