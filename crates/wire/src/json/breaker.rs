//! A breaker as JSON: what keeps failing, what is held for it, and what happens next.

use domain::breaker::{Canary, Scope, State};
use domain::ports::Tripped;
use domain::signature::SignatureId;
use serde::{Deserialize, Serialize};

/// A breaker that has something to tell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BreakerJson {
    /// At which stage.
    pub stage: String,
    /// Whose tickets it is about: `signature` or `stage`.
    pub scope: String,
    /// The signature, if it is about one.
    pub signature: Option<String>,
    /// `closed`, `open`, `probing` or `releasing`.
    pub state: String,
    /// Since when it is open, probing or releasing.
    pub since: Option<String>,
    /// What its tickets fail of, as the newest report says; empty for a whole stage.
    pub value: String,
    /// How many tickets it holds.
    pub held: u64,
    /// How many failures it has heard of.
    pub failures: u64,
    /// How many canaries it has sent.
    pub probes: u64,
    /// The one ticket that is being tried.
    pub canary: Option<CanaryJson>,
    /// When the next one goes, if time decides.
    pub next_probe: Option<String>,
    /// The plan that releases its tickets.
    pub plan: Option<String>,
    /// The versions that failed so, the last one to be heard of last.
    pub failed_versions: Vec<String>,
    /// The newest version that serves the stage.
    pub newest_version: Option<String>,
    /// What its tickets wait for, in words.
    pub waits_for: Option<String>,
    /// What happens next and by itself, in words.
    pub then: String,
}

/// The one ticket that is tried while its like are held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CanaryJson {
    /// Which probe of the breaker, counted from 1.
    pub number: u64,
    /// Which ticket, once that is known.
    pub ticket: Option<String>,
    /// The version that it is to run on.
    pub version: Option<String>,
    /// When it was sent.
    pub sent_at: String,
}

impl BreakerJson {
    /// The breaker in JSON's words.
    pub fn new(tripped: &Tripped) -> Self {
        let breaker = &tripped.breaker;
        let signature = signature(breaker.scope);
        Self {
            stage: tripped.stage.to_string(),
            scope: match signature {
                Some(_) => "signature".into(),
                None => "stage".into(),
            },
            signature: signature.map(|it| it.to_string()),
            state: breaker.state.as_str().into(),
            since: since(&breaker.state),
            value: tripped.value.clone(),
            held: tripped.held,
            failures: breaker.failures,
            probes: breaker.probes,
            canary: breaker.canary().map(CanaryJson::new),
            next_probe: breaker.until().map(|at| at.to_string()),
            plan: plan(&breaker.state),
            failed_versions: breaker.failed_on.iter().map(ToString::to_string).collect(),
            newest_version: tripped.newest.as_ref().map(ToString::to_string),
            waits_for: breaker.waits_for(),
            then: breaker.then(),
        }
    }
}

impl CanaryJson {
    fn new(canary: &Canary) -> Self {
        Self {
            number: canary.number,
            ticket: canary.name.map(|name| name.ticket.to_string()),
            version: canary.wants.as_ref().map(ToString::to_string),
            sent_at: canary.sent_at.to_string(),
        }
    }
}

const fn signature(scope: Scope) -> Option<SignatureId> {
    match scope {
        Scope::Stage => None,
        Scope::Signature(signature) => Some(signature),
    }
}

fn since(state: &State) -> Option<String> {
    match state {
        State::Closed { .. } => None,
        State::Open { since, .. }
        | State::Probing { since, .. }
        | State::Releasing { since, .. } => Some(since.to_string()),
    }
}

fn plan(state: &State) -> Option<String> {
    match state {
        State::Releasing { plan, .. } => plan.map(|plan| plan.to_string()),
        State::Closed { .. } | State::Open { .. } | State::Probing { .. } => None,
    }
}

/// Which breaker is to be probed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with stage")]
pub struct ProbeJson {
    /// At which stage.
    pub stage: String,
    /// Of which signature; without one that of the whole stage.
    #[serde(default)]
    pub signature: Option<String>,
}

impl ProbeJson {
    /// Reads the order.
    ///
    /// # Errors
    /// [`BadOrder`](super::BadOrder) when it is not JSON, or has no stage.
    pub fn parse(text: &[u8]) -> Result<Self, super::BadOrder> {
        serde_json::from_slice(text).map_err(|error| super::BadOrder(super::complaint(&error)))
    }

    /// Whose canary is to go.
    ///
    /// # Errors
    /// [`BadOrder`](super::BadOrder) when the signature cannot be one.
    pub fn scope(&self) -> Result<Scope, super::BadOrder> {
        let Some(text) = &self.signature else {
            return Ok(Scope::Stage);
        };
        let signature = text.parse::<SignatureId>();
        let signature = signature.map_err(|bad| super::BadOrder(bad.to_string()))?;
        Ok(Scope::Signature(signature))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::breaker::{Breaker, Haste, Proof};
    use domain::names::{StageName, Version};
    use domain::plan::PlanId;
    use domain::ticket::{Name, TicketId};
    use domain::time::Timestamp;

    const SIGNATURE: SignatureId = SignatureId::new(1, 0x0f3a_9c5e_77b2_d104);

    fn tripped(scope: Scope, state: State) -> Tripped {
        Tripped {
            stage: StageName::new("build").unwrap(),
            breaker: Breaker {
                scope,
                state,
                failed_on: vec![Version::new("1").unwrap()],
                failures: 5,
                tried: 1,
                probes: 1,
                haste: Haste::default(),
            },
            held: 500,
            value: "Segfault: x".into(),
            newest: Version::new("2").ok(),
        }
    }

    #[test]
    fn every_state_says_what_is_known_and_no_more() {
        let since = Timestamp::EPOCH;
        let ticket = TicketId::from_bytes([7; 16]);
        let plan: PlanId = "0192f0c1-7a1b-7c3d-8e4f-5a6b7c8d9e0f".parse().unwrap();
        let canary = Canary {
            number: 1,
            name: Some(Name::first(ticket)),
            wants: Version::new("2").ok(),
            sent_at: since,
            asked_at: since,
        };
        let states = [
            (State::quiet(), "closed", [false, false, false]),
            (
                State::Open {
                    since,
                    next_probe: Some(since),
                },
                "open",
                [true, false, false],
            ),
            (
                State::Probing { since, canary },
                "probing",
                [false, true, false],
            ),
            (
                State::Releasing {
                    since,
                    proof: Proof::Repaired,
                    proven_at: since,
                    plan: Some(plan),
                    clues: Vec::new(),
                },
                "releasing",
                [false, false, true],
            ),
        ];
        for (state, word, has) in states {
            let json = BreakerJson::new(&tripped(Scope::Signature(SIGNATURE), state));
            assert_eq!(json.state, word);
            let found = [
                json.next_probe.is_some(),
                json.canary.is_some(),
                json.plan.is_some(),
            ];
            assert_eq!(found, has, "{word}");
            assert_eq!(json.waits_for.is_some(), word != "closed");
            assert_eq!(json.signature.as_deref(), Some("v1-0f3a9c5e77b2d104"));
        }
        let json = BreakerJson::new(&tripped(Scope::Stage, State::quiet()));
        assert_eq!((json.scope.as_str(), json.signature), ("stage", None));
    }

    #[test]
    fn a_probe_that_cannot_be_read_is_refused() {
        for (text, says) in [
            ("", "EOF"),
            (
                r#"{"signature":"v1-0f3a9c5e77b2d104"}"#,
                "missing field `stage`",
            ),
            (r#"{"stage":"b","sig":"x"}"#, "unknown field `sig`"),
        ] {
            let said = ProbeJson::parse(text.as_bytes()).unwrap_err().to_string();
            assert!(said.contains(says), "{said}");
        }
        let probe = |text: &str| ProbeJson::parse(text.as_bytes()).unwrap().scope();
        assert!(probe(r#"{"stage":"b","signature":"x"}"#).is_err());
        assert_eq!(probe(r#"{"stage":"b"}"#), Ok(Scope::Stage));
        assert_eq!(
            probe(r#"{"stage":"b","signature":"v1-0f3a9c5e77b2d104"}"#),
            Ok(Scope::Signature(SIGNATURE))
        );
    }
}
