//! What is declared, in which order, with which arguments. Pure.

use crate::error::Error;
use crate::names::Names;
use domain::names::StageName;
use lapin::ExchangeKind;
use lapin::types::{AMQPValue, FieldTable};

/// The broker counts how often a message came back and gives it up at a limit: 20 on RabbitMQ 4
/// unless said otherwise. "None" is written as -1 there, which 3.10 takes for "at once". So the
/// limit is a number that nobody reaches.
pub(crate) const DELIVERY_LIMIT: i32 = 2_000_000_000;
/// The stream of desired states keeps about so much; only the newest one matters.
const CONTROL_BYTES_MAX: i32 = 20_000_000;
/// The broker forgets in units of a segment and never the last one.
const CONTROL_SEGMENT_BYTES: i32 = 1_000_000;

/// One thing to declare.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Step {
    /// An exchange.
    Exchange(Exchange),
    /// A queue; whether it is read like a log.
    Queue {
        name: String,
        arguments: FieldTable,
        is_log: bool,
    },
    /// What leads from an exchange to a queue.
    Binding {
        queue: String,
        exchange: String,
        key: String,
    },
}

/// An exchange.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Exchange {
    pub(crate) name: String,
    pub(crate) kind: ExchangeKind,
    pub(crate) arguments: FieldTable,
    pub(crate) strictness: Strictness,
}

/// Whether another exchange of that name will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strictness {
    /// It has to be exactly this one: a promise hangs on it.
    Exact,
    /// It may be somebody else's.
    Any,
}

/// Everything but the queues of stages. What others lead to comes before them: a message that is
/// given up while its target is missing is retried only after minutes.
pub(crate) fn common(names: &Names) -> Vec<Step> {
    let mut steps = vec![
        exchange(&names.unclaimed(), ExchangeKind::Fanout, Strictness::Exact),
        queue(&names.unclaimed(), quorum()),
        binding(&names.unclaimed(), &names.unclaimed(), ""),
        // What no stage has asked for goes on to `unclaimed` instead of being dropped. This, and
        // not the `mandatory` flag, since lapin gives a returned message to the wrong confirm.
        Step::Exchange(Exchange {
            name: names.exchange().to_owned(),
            kind: ExchangeKind::Direct,
            arguments: table([("alternate-exchange", text(&names.unclaimed()))]),
            strictness: Strictness::Exact,
        }),
    ];
    for ours in [names.journal(), names.oops(), names.quarantine()] {
        steps.push(queue(&ours, quorum()));
        steps.push(binding(&ours, names.exchange(), &ours));
    }
    steps.extend([
        exchange(names.oopses(), ExchangeKind::Fanout, Strictness::Any),
        binding(&names.oops(), names.oopses(), ""),
        exchange(&names.vitals(), ExchangeKind::Fanout, Strictness::Any),
        Step::Queue {
            name: names.control(),
            arguments: stream(),
            is_log: true,
        },
        binding(&names.control(), names.exchange(), &names.control()),
    ]);
    steps
}

/// The queues of stages.
pub(crate) fn stages(names: &Names, stages: &[StageName]) -> Result<Vec<Step>, Error> {
    let mut steps = Vec::with_capacity(stages.len() * 2);
    for stage in stages {
        if names.is_taken(stage) {
            return Err(Error::Mismatch(format!(
                "a stage must not be called {stage:?}, like a queue of ours: call it otherwise"
            )));
        }
        steps.push(queue(&names.stage(stage), stage_arguments(names)));
        steps.push(binding(
            &names.stage(stage),
            names.exchange(),
            stage.as_str(),
        ));
    }
    Ok(steps)
}

/// The arguments of a stage's queue: what the broker gives up all the same goes to `unclaimed`,
/// and stays in the queue until it has arrived there.
pub(crate) fn stage_arguments(names: &Names) -> FieldTable {
    let mut arguments = quorum();
    for (key, value) in [
        ("x-dead-letter-exchange", names.unclaimed()),
        ("x-dead-letter-strategy", "at-least-once".to_owned()),
        ("x-overflow", "reject-publish".to_owned()),
    ] {
        arguments.insert(key.into(), text(&value));
    }
    arguments
}

fn quorum() -> FieldTable {
    table([
        ("x-queue-type", text("quorum")),
        ("x-delivery-limit", AMQPValue::LongInt(DELIVERY_LIMIT)),
    ])
}

fn stream() -> FieldTable {
    table([
        ("x-queue-type", text("stream")),
        ("x-max-length-bytes", AMQPValue::LongInt(CONTROL_BYTES_MAX)),
        (
            "x-stream-max-segment-size-bytes",
            AMQPValue::LongInt(CONTROL_SEGMENT_BYTES),
        ),
    ])
}

fn exchange(name: &str, kind: ExchangeKind, strictness: Strictness) -> Step {
    let arguments = FieldTable::default();
    Step::Exchange(Exchange {
        name: name.to_owned(),
        kind,
        arguments,
        strictness,
    })
}

fn queue(name: &str, arguments: FieldTable) -> Step {
    Step::Queue {
        name: name.to_owned(),
        arguments,
        is_log: false,
    }
}

fn binding(queue: &str, exchange: &str, key: &str) -> Step {
    Step::Binding {
        queue: queue.to_owned(),
        exchange: exchange.to_owned(),
        key: key.to_owned(),
    }
}

pub(crate) fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

fn table<const N: usize>(entries: [(&str, AMQPValue); N]) -> FieldTable {
    let mut table = FieldTable::default();
    for (key, value) in entries {
        table.insert(key.into(), value);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(steps: &[Step], found: impl Fn(&Step) -> bool) -> usize {
        steps.iter().position(found).expect("it is declared")
    }

    #[test]
    fn a_stage_may_not_take_the_name_of_a_queue_of_ours() {
        let journal = StageName::new("goaround.journal").unwrap();
        assert!(stages(&Names::default(), &[journal]).is_err());
    }

    #[test]
    fn what_others_lead_to_is_declared_first() {
        let names = Names::default();
        let steps = common(&names);
        let target = position(
            &steps,
            |step| matches!(step, Step::Binding { queue, .. } if *queue == names.unclaimed()),
        );
        let main = position(
            &steps,
            |step| matches!(step, Step::Exchange(exchange) if exchange.name == "goaround"),
        );
        assert!(target < main);
    }

    #[test]
    fn every_queue_of_ours_is_bound() {
        let names = Names::default();
        let build = StageName::new("build").unwrap();
        let mut steps = common(&names);
        steps.extend(stages(&names, &[build]).unwrap());
        for step in &steps {
            if let Step::Queue { name, .. } = step {
                let is_bound =
                    |step: &Step| matches!(step, Step::Binding { queue, .. } if queue == name);
                assert!(steps.iter().any(is_bound), "{name}");
            }
        }
    }
}
