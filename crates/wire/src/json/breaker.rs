//! A breaker as JSON: what keeps failing, what is held for it, and what happens next.

use super::{BadOrder, complaint, object};
use domain::breaker::{Breaker, Canary, Scope, State};
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
    /// What its tickets fail of, as the report of its newest failure says.
    pub value: String,
    /// How many tickets wait behind it: of a signature those that are held for its repair, of a
    /// stage that takes no deliveries those in its queue.
    pub held: u64,
    /// How many failures it has heard of.
    pub failures: u64,
    /// How many canaries it has sent.
    pub probes: u64,
    /// The one ticket that is being tried.
    pub canary: Option<CanaryJson>,
    /// When the next one goes, if time decides.
    pub next_probe: Option<String>,
    /// Whether its stage is held as a whole, so that only that is probed.
    pub rests: bool,
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
    /// All of these breakers in JSON's words.
    pub fn all(tripped: &[Tripped]) -> Vec<Self> {
        let one = |it: &Tripped| Self::new(it, it.behind(tripped));
        tripped.iter().map(one).collect()
    }

    /// The breaker in JSON's words; `behind` is that of its whole stage, if it is probed first.
    pub fn new(tripped: &Tripped, behind: Option<&Breaker>) -> Self {
        let breaker = &tripped.breaker;
        let signature = signature(breaker.scope);
        let next = breaker.until().filter(|_| behind.is_none());
        let then = behind.and_then(|stage| breaker.then_behind(stage));
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
            next_probe: next.map(|at| at.to_string()),
            rests: behind.is_some(),
            plan: plan(&breaker.state),
            failed_versions: breaker.failed_on.iter().map(ToString::to_string).collect(),
            newest_version: tripped.newest.as_ref().map(ToString::to_string),
            waits_for: breaker.waits_for(),
            then: then.unwrap_or_else(|| breaker.then()),
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
#[serde(deny_unknown_fields)]
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
    /// [`BadOrder`] when it is not JSON, or has no stage.
    pub fn parse(text: &[u8]) -> Result<Self, BadOrder> {
        let read = object::from_slice(text, "an object with stage");
        read.map_err(|error| BadOrder(complaint(&error)))
    }

    /// Whose canary is to go.
    ///
    /// # Errors
    /// [`BadOrder`] when the signature cannot be one.
    pub fn scope(&self) -> Result<Scope, BadOrder> {
        let Some(text) = &self.signature else {
            return Ok(Scope::Stage);
        };
        let signature = text.parse::<SignatureId>();
        let signature = signature.map_err(|bad| BadOrder(bad.to_string()))?;
        Ok(Scope::Signature(signature))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::breaker::{Haste, Proof};
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
                last_failed: None,
                landed_at: None,
                row_since: None,
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
            let json = BreakerJson::new(&tripped(Scope::Signature(SIGNATURE), state), None);
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
        let json = BreakerJson::new(&tripped(Scope::Stage, State::quiet()), None);
        assert_eq!((json.scope.as_str(), json.signature), ("stage", None));
    }

    #[test]
    fn while_its_stage_is_held_a_signature_waits_for_that_and_not_for_a_time() {
        let open = State::Open {
            since: Timestamp::EPOCH,
            next_probe: Some(Timestamp::EPOCH),
        };
        let of_stage = tripped(Scope::Stage, open.clone());
        let of_signature = tripped(Scope::Signature(SIGNATURE), open);
        let elsewhere = Tripped {
            stage: StageName::new("test").unwrap(),
            ..of_signature.clone()
        };
        let json = BreakerJson::all(&[of_stage, of_signature, elsewhere]);
        let rests: Vec<bool> = json.iter().map(|it| it.rests).collect();
        assert_eq!(rests, [false, true, false]);
        assert_eq!(json[1].next_probe, None);
        let then = &json[1].then;
        assert!(then.starts_with("its stage fails as a whole"), "{then}");
        assert!(json[0].next_probe.is_some() && json[2].next_probe.is_some());
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
            (r#"["b"]"#, "expected an object with stage"),
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
