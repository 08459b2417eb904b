//! Any value of the types that travel, for tests.

use domain::control::{Gate, Hold, Permit, Snapshot};
use domain::fleet::Heartbeat;
use domain::names::{BadName, StageName};
use domain::obituary::Obituary;
use domain::oops::{OopsId, Report, Scene, Source, Span};
use domain::outcome::{Exit, Failure, OutcomeKind, Usage};
use domain::record::{Arrived, Fate, Parted, Record, Said, Started};
use domain::settlement::Ended;
use domain::signature::SignatureId;
use domain::ticket::{Attempt, Generation, Hop, Lineage, Name, Payload, Ticket, TicketId};
use domain::time::Timestamp;
use domain::wait::{Condition, Wait};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

mod plan;
mod repair;

pub(crate) use plan::plan;
pub(crate) use repair::{breaker, roster};

/// The bytes as a text of digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A short name, so that some come up twice.
pub(crate) fn name<T>() -> impl Strategy<Value = T>
where
    T: FromStr<Err = BadName> + std::fmt::Debug,
{
    "[a-c]{1,2}|[a-zA-Z0-9_.-]{1,64}".prop_map(|text| text.parse().unwrap())
}

/// A name in the user's own words.
pub(crate) fn words<T>() -> impl Strategy<Value = T>
where
    T: FromStr<Err = BadName> + std::fmt::Debug,
{
    "[a-c]|\\PC{1,30}".prop_map(|text| text.parse().unwrap())
}

pub(crate) fn ticket_id() -> impl Strategy<Value = TicketId> {
    any::<[u8; 16]>().prop_map(TicketId::from_bytes)
}

pub(crate) fn copy() -> impl Strategy<Value = Name> {
    let numbers = (any::<u32>(), any::<u32>(), any::<u32>());
    (ticket_id(), numbers).prop_map(|(ticket, (generation, hop, attempt))| Name {
        ticket,
        generation: Generation(generation),
        hop: Hop(hop),
        attempt: Attempt(attempt),
    })
}

pub(crate) fn at() -> impl Strategy<Value = Timestamp> {
    any::<i64>().prop_map(Timestamp::from_micros)
}

fn oops_id() -> impl Strategy<Value = OopsId> {
    any::<u128>().prop_map(OopsId::from_u128)
}

fn length() -> impl Strategy<Value = Duration> {
    any::<u64>().prop_map(Duration::from_micros)
}

fn lineage() -> impl Strategy<Value = Lineage> {
    let parts = (ticket_id(), option::of(ticket_id()), any::<u32>());
    parts.prop_map(|(root, parent, depth)| Lineage {
        root,
        parent,
        depth,
    })
}

fn payload() -> impl Strategy<Value = Payload> {
    let parts = (vec(any::<u8>(), 0..64), option::of("[ -~]{0,40}"));
    parts.prop_map(|(bytes, content_type)| Payload {
        bytes: bytes.into(),
        content_type,
    })
}

pub(crate) fn ticket() -> impl Strategy<Value = Ticket> {
    let names = (words(), option::of(name()), name(), option::of(words()));
    let origin = (option::of(lineage()), option::of(".*"));
    let parts = (copy(), names, payload(), (option::of(at()), at()), origin);
    parts.prop_map(|(name, names, payload, times, (lineage, trace))| {
        let (kind, flow, stage, key) = names;
        Ticket {
            lineage: lineage.unwrap_or(Lineage::root(name.ticket)),
            name,
            kind,
            flow,
            stage,
            key,
            payload,
            deadline: times.0,
            created_at: times.1,
            trace,
        }
    })
}

fn condition() -> impl Strategy<Value = Condition> {
    prop_oneof![
        at().prop_map(|until| Condition::Backoff { until }),
        at().prop_map(|until| Condition::NotNow { until }),
        at().prop_map(|until| Condition::Trial { until }),
        (at(), option::of(at())).prop_map(|(until, once_started)| Condition::Pending {
            until,
            once_started
        }),
        Just(Condition::Parked),
        option::of(words()).prop_map(|version| Condition::Held { version }),
        signature_id().prop_map(|signature| Condition::Repair { signature }),
        Just(Condition::Unclaimed),
        (words(), option::of(at()))
            .prop_map(|(holder, started_at)| Condition::Suspect { holder, started_at }),
        ticket_id().prop_map(|other| Condition::Unique { other }),
    ]
}

fn wait() -> impl Strategy<Value = Wait> {
    let parts = (condition(), at(), ".*", option::of(oops_id()));
    parts.prop_map(|(condition, since, because, oops)| Wait {
        condition,
        since,
        because,
        oops,
    })
}

fn arrived() -> impl Strategy<Value = Arrived> {
    (ticket(), copy(), wait()).prop_map(|(ticket, name, wait)| Arrived { ticket, name, wait })
}

fn scene() -> impl Strategy<Value = Arc<Scene>> {
    (words(), ".{0,20}", words()).prop_map(|(holder, hostname, version)| {
        Arc::new(Scene {
            holder,
            hostname,
            version,
        })
    })
}

fn started() -> impl Strategy<Value = Started> {
    let parts = (copy(), name(), scene(), option::of(ticket()), any::<bool>());
    parts.prop_map(|(name, stage, scene, ticket, claimed)| Started {
        name,
        stage,
        scene,
        ticket: ticket.map(Box::new),
        claimed,
    })
}

fn usage() -> impl Strategy<Value = Usage> {
    let parts = (
        option::of(any::<u64>()),
        option::of(length()),
        option::of(length()),
    );
    parts.prop_map(|(memory_bytes_max, cpu_user, cpu_system)| Usage {
        memory_bytes_max,
        cpu_user,
        cpu_system,
    })
}

pub(crate) fn signature_id() -> impl Strategy<Value = SignatureId> {
    (any::<u32>(), any::<u64>()).prop_map(|(version, hash)| SignatureId::new(version, hash))
}

fn ended() -> impl Strategy<Value = Ended> {
    let kind = prop::sample::select(&OutcomeKind::ALL[..]);
    let told = (option::of(oops_id()), option::of(signature_id()));
    let parts = (at(), at(), kind, told, usage(), scene());
    parts.prop_map(
        |(started_at, ended_at, outcome, (oops, signature), usage, scene)| Ended {
            span: Span {
                started_at,
                ended_at,
            },
            outcome,
            oops,
            usage,
            scene,
            signature,
        },
    )
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        name().prop_map(Fate::Forwarded),
        Just(Fate::Finished),
        arrived().prop_map(|arrived| Fate::Waits(Box::new(arrived))),
        vec(ticket(), 0..3).prop_map(Fate::Doubted),
    ]
}

fn parted() -> impl Strategy<Value = Parted> {
    let parts = (
        copy(),
        name(),
        option::of(ended()),
        fate(),
        vec(ticket(), 0..3),
    );
    parts.prop_map(|(name, stage, ended, to, emits)| Parted {
        name,
        stage,
        ended,
        to,
        emits,
    })
}

fn beat() -> impl Strategy<Value = Heartbeat> {
    let kinds = option::of(btree_set(words(), 1..3));
    let stages = btree_map(name::<StageName>(), (words(), kinds), 0..4);
    let parts = (words(), ".{0,20}", stages, any::<u64>(), vec(copy(), 0..4));
    parts.prop_map(|(holder, hostname, served, revision, in_hand)| {
        let kinds = served.iter();
        let kinds = kinds.filter_map(|(stage, (_, kinds))| Some((stage.clone(), kinds.clone()?)));
        Heartbeat {
            holder,
            hostname,
            kinds: kinds.collect(),
            stages: served
                .into_iter()
                .map(|(stage, (version, _))| (stage, version))
                .collect(),
            revision,
            in_hand,
        }
    })
}

fn hold() -> impl Strategy<Value = Hold> {
    let parts = (at(), ".*", ".*", option::of(words()), option::of(oops_id()));
    parts.prop_map(|(since, reason, by, version, oops)| Hold {
        since,
        reason,
        by,
        version,
        oops,
    })
}

fn said() -> impl Strategy<Value = Said> {
    prop_oneof![
        arrived().prop_map(|it| Said::Arrived(Box::new(it))),
        started().prop_map(|it| Said::Started(Box::new(it))),
        parted().prop_map(|it| Said::Ended(Box::new(it))),
        ticket().prop_map(|it| Said::Suspect(Box::new(it))),
        (copy(), name()).prop_map(|(name, stage)| Said::Fenced { name, stage }),
        beat().prop_map(|it| Said::Beat(Box::new(it))),
        gone(),
        any::<u64>().prop_map(Said::Marker),
        (name(), hold()).prop_map(|(stage, it)| Said::Hold(stage, Box::new(it))),
        name::<StageName>().prop_map(Said::Unhold),
    ]
}

fn gone() -> impl Strategy<Value = Said> {
    let obituary = obituary().prop_map(Box::new);
    (words(), ".*", option::of(obituary)).prop_map(|(holder, why, obituary)| Said::Gone {
        holder,
        why,
        obituary,
    })
}

fn obituary() -> impl Strategy<Value = Obituary> {
    let memory = option::of(any::<u64>());
    let parts = (exit(), at(), at(), memory, any::<u64>(), ".*");
    parts.prop_map(
        |(exit, began_at, died_at, memory_bytes_max, oom_kills, last_words)| Obituary {
            exit,
            began_at,
            died_at,
            memory_bytes_max,
            oom_kills,
            last_words,
        },
    )
}

fn exit() -> impl Strategy<Value = Exit> {
    prop_oneof![
        any::<i32>().prop_map(Exit::Status),
        any::<i32>().prop_map(Exit::Signal),
    ]
}

pub(crate) fn record() -> impl Strategy<Value = Record> {
    (words(), at(), said()).prop_map(|(by, at, said)| Record { by, at, said })
}

fn gate() -> impl Strategy<Value = Gate> {
    let permit = (any::<u64>(), words()).prop_map(|(number, holder)| Permit { number, holder });
    (at(), ".*", option::of(permit)).prop_map(|(since, reason, permit)| Gate {
        since,
        reason,
        permit,
    })
}

pub(crate) fn snapshot() -> impl Strategy<Value = Snapshot> {
    let holds = btree_map(name(), hold(), 0..4);
    let gates = btree_map(name(), gate(), 0..4);
    let fences = btree_map(ticket_id(), any::<u32>().prop_map(Generation), 0..8);
    (any::<u64>(), holds, gates, fences).prop_map(|(revision, holds, gates, fences)| Snapshot {
        revision,
        holds,
        gates,
        fences,
    })
}

fn failure() -> impl Strategy<Value = Failure> {
    let parts = (".*", ".*", ".*", option::of(exit()), ".*");
    parts.prop_map(|(error_type, message, trace, exit, log_tail)| Failure {
        error_type,
        message,
        trace,
        exit,
        log_tail,
    })
}

pub(crate) fn report() -> impl Strategy<Value = Report> {
    let source = prop::sample::select(&Source::ALL[..]);
    let what = (oops_id(), ticket(), ended(), failure());
    let rest = (source, option::of(length()));
    (what, rest).prop_map(
        |((id, ticket, ended, failure), (source, duration))| Report {
            id,
            name: ticket.name,
            stage: ticket.stage,
            flow: ticket.flow,
            kind: ticket.kind,
            outcome: ended.outcome,
            time: ended.span.ended_at,
            duration,
            failure,
            usage: ended.usage,
            source,
            holder: ended.scene.holder.clone(),
            hostname: ended.scene.hostname.clone(),
            version: ended.scene.version.clone(),
            trace: ticket.trace,
        },
    )
}
