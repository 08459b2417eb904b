//! On which terms tickets are released, as JSON.

use super::object;
use super::order::BadOrder;
use domain::plan::{Order, Ramp, StopRule, Terms};
use domain::signature::SignatureId;
use serde::{Deserialize, Deserializer, Serialize};

/// On which terms tickets are released. In a request each may be missing: then it is as the plan
/// has it, or as it is for a new plan.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TermsJson {
    /// Which first: `oldest`, `newest` or `random`.
    pub order: Option<String>,
    /// How fast, for example `10/s`; `null` is as fast as can be. In a request that is `none`.
    pub rate: Option<String>,
    /// In which steps, for example `1,10,100`; the rest goes in the last. `all` has none.
    pub ramp: Option<String>,
    /// What stops it.
    #[serde(deserialize_with = "read_stop")]
    pub stop: Option<StopJson>,
}

/// What stops a release. In a request each may be missing, as in [`TermsJson`]. Beside it, a step
/// before the last that fails and of which nothing lands always does; the ramp `all` has none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StopJson {
    /// More than so many percent of the last 100 have failed; 100 never stops for that.
    pub percent_max: Option<u8>,
    /// The share is not judged before so many have ended.
    pub sample_min: Option<u32>,
    /// A ticket has failed in this very way again: a signature; `null` is none. In a request that
    /// is `none`.
    pub same: Option<String>,
}

impl StopJson {
    fn new(rule: &StopRule) -> Self {
        Self {
            percent_max: Some(rule.percent_max),
            sample_min: Some(rule.sample_min),
            same: rule.same.map(|same| same.to_string()),
        }
    }

    /// This rule, and the `others` where nothing is said.
    fn rule(&self, others: &StopRule) -> Result<StopRule, BadOrder> {
        let percent_max = self.percent_max.unwrap_or(others.percent_max);
        if percent_max > 100 {
            let said = format!("stop.percent_max: expected 0..=100, got {percent_max}");
            return Err(BadOrder(said));
        }
        let sample_min = self.sample_min.unwrap_or(others.sample_min);
        if !(1..=StopRule::SAMPLE).contains(&sample_min) {
            let max = StopRule::SAMPLE;
            let said = format!("stop.sample_min: expected 1..={max}, got {sample_min}");
            return Err(BadOrder(said));
        }
        let same = match self.same.as_deref() {
            None => others.same,
            Some("none") => None,
            Some(text) => {
                let same = text.parse::<SignatureId>();
                Some(same.map_err(|bad| BadOrder(format!("stop.same: {bad}")))?)
            }
        };
        Ok(StopRule {
            percent_max,
            sample_min,
            same,
        })
    }
}

impl TermsJson {
    /// The terms in JSON's words; all but the rate are always there.
    pub fn new(terms: &Terms) -> Self {
        let order = match terms.order {
            Order::OldestFirst => "oldest",
            Order::NewestFirst => "newest",
            Order::Random { .. } => "random",
        };
        Self {
            order: Some(order.into()),
            rate: terms.rate.map(|rate| rate.to_string()),
            ramp: Some(terms.ramp.to_string()),
            stop: Some(StopJson::new(&terms.stop)),
        }
    }

    /// These terms, and the `others` where nothing is said. `seed` is drawn for an order of chance.
    ///
    /// # Errors
    /// [`BadOrder`] when one of them cannot be read.
    pub fn terms(&self, others: Terms, seed: u64) -> Result<Terms, BadOrder> {
        let bad = |what: &dyn std::fmt::Display| BadOrder(what.to_string());
        Ok(Terms {
            order: match self.order.as_deref() {
                None => others.order,
                Some("oldest") => Order::OldestFirst,
                Some("newest") => Order::NewestFirst,
                Some("random") => Order::Random { seed },
                Some(other) => {
                    let got: String = other.chars().take(80).collect();
                    let said = format!("order: expected oldest, newest or random, got {got:?}");
                    return Err(BadOrder(said));
                }
            },
            rate: match self.rate.as_deref() {
                None => others.rate,
                Some("none") => None,
                Some(text) => Some(text.parse().map_err(|e: domain::plan::BadRate| bad(&e))?),
            },
            ramp: match self.ramp.as_deref() {
                None => others.ramp,
                Some(text) => text
                    .parse::<Ramp>()
                    .map_err(|e: domain::plan::BadRamp| bad(&e))?,
            },
            stop: match &self.stop {
                None => others.stop,
                Some(stop) => stop.rule(&others.stop)?,
            },
        })
    }
}

/// Reads terms from an object, and from nothing else.
pub(super) fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<TermsJson, D::Error> {
    object::within(deserializer, "an object with terms")
}

fn read_stop<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<StopJson>, D::Error> {
    let read = Option::<Stop>::deserialize(deserializer)?;
    Ok(read.map(|Stop(stop)| stop))
}

/// A stop rule that is written as an object.
struct Stop(StopJson);

impl<'de> Deserialize<'de> for Stop {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        object::within(deserializer, "an object with a stop rule").map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Terms, String> {
        let terms: TermsJson = serde_json::from_str(json).map_err(|e| e.to_string())?;
        terms.terms(Terms::default(), 7).map_err(|e| e.to_string())
    }

    #[test]
    fn terms_that_cannot_be_kept_are_refused_with_what_was_expected() {
        for (json, says) in [
            (
                r#"{"order":"best"}"#,
                r#"order: expected oldest, newest or random, got "best""#,
            ),
            (
                r#"{"rate":"fast"}"#,
                "rate: expected 1 to 100000 tickets a second",
            ),
            (
                r#"{"rate":"0/s"}"#,
                "rate: expected 1 to 100000 tickets a second",
            ),
            (
                r#"{"ramp":"1,ten"}"#,
                "ramp: expected at most 16 steps such as 1,10,100 or all",
            ),
            (
                r#"{"stop":{"percent_max":101}}"#,
                "stop.percent_max: expected 0..=100, got 101",
            ),
            (
                r#"{"stop":{"sample_min":0}}"#,
                "stop.sample_min: expected 1..=100, got 0",
            ),
            (
                r#"{"stop":{"same":"x"}}"#,
                "stop.same: signature: expected v, a number",
            ),
            (r#"{"speed":"10/s"}"#, "unknown field `speed`"),
        ] {
            let said = read(json).unwrap_err();
            assert!(said.contains(says), "{json}: {said}");
        }
    }

    #[test]
    fn what_is_not_said_is_as_the_plan_has_it() {
        let others = Terms {
            order: Order::NewestFirst,
            rate: "10/s".parse().ok(),
            ..Terms::default()
        };
        let said = TermsJson {
            ramp: Some("5".into()),
            ..TermsJson::default()
        };
        let terms = said.terms(others.clone(), 0).unwrap();
        assert_eq!(terms.ramp, Ramp::of(&[5]));
        assert_eq!((terms.order, terms.rate), (others.order, others.rate));
        let free = TermsJson {
            rate: Some("none".into()),
            ..TermsJson::default()
        };
        assert_eq!(free.terms(others, 0).unwrap().rate, None);
    }

    #[test]
    fn a_stop_rule_is_changed_only_where_something_is_said() {
        let same: SignatureId = "v1-0f3a9c5e77b2d104".parse().unwrap();
        let others = Terms {
            stop: StopRule {
                percent_max: 7,
                sample_min: 30,
                same: Some(same),
            },
            ..Terms::default()
        };
        let stop = |json: &str| {
            let said: TermsJson = serde_json::from_str(json).unwrap();
            said.terms(others.clone(), 0).unwrap().stop
        };
        let rule = |percent_max, sample_min, same| StopRule {
            percent_max,
            sample_min,
            same,
        };
        for (json, expected) in [
            (r#"{"stop":{}}"#, rule(7, 30, Some(same))),
            (r#"{"stop":{"percent_max":50}}"#, rule(50, 30, Some(same))),
            (r#"{"stop":{"sample_min":5}}"#, rule(7, 5, Some(same))),
            (r#"{"stop":{"same":null}}"#, rule(7, 30, Some(same))),
            (r#"{"stop":{"same":"none"}}"#, rule(7, 30, None)),
        ] {
            assert_eq!(stop(json), expected, "{json}");
        }
    }

    #[test]
    fn terms_read_back_as_they_are_shown() {
        let json = r#"{"order":"random","rate":"300/m","ramp":"2,20","stop":{"percent_max":100,"sample_min":1,"same":"v1-0f3a9c5e77b2d104"}}"#;
        let terms = read(json).unwrap();
        assert_eq!(terms.order, Order::Random { seed: 7 });
        let shown = TermsJson::new(&terms);
        assert_eq!(shown.terms(Terms::default(), 7), Ok(terms));
        let again = serde_json::to_string(&shown).unwrap();
        assert_eq!(again, json.replace("2,20", "2,20,all"));
    }
}
