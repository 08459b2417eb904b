//! What a command is told in its environment, which is all that it inherits.

use crate::processes::Mark;
use domain::ticket::Ticket;
use domain::time::Timestamp;
use std::collections::BTreeMap;
use std::path::Path;
use wire::child::Variable;

/// Where programs are looked for, unless the stage's `env` sets a `PATH`.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What differs by attempt and is not in the ticket.
pub(crate) struct Facts<'a> {
    /// When it will be asked to stop.
    pub(crate) deadline: Timestamp,
    /// Where it may write its result.
    pub(crate) result: &'a Path,
    /// Where it may write lines about its progress.
    pub(crate) progress: &'a Path,
    /// Where outside events are reported, without ticket and generation.
    pub(crate) callback_url: Option<&'a str>,
}

/// The whole environment of an attempt, and the part of it by which its processes are known.
pub(crate) fn of(
    ticket: &Ticket,
    facts: &Facts<'_>,
    configured: &BTreeMap<String, String>,
) -> (Vec<Variable>, Mark) {
    let mut env: BTreeMap<&[u8], Vec<u8>> = BTreeMap::from([(&b"PATH"[..], PATH.into())]);
    let configured = configured.iter();
    env.extend(configured.map(|(name, value)| (name.as_bytes(), value.clone().into_bytes())));
    // Ours come last: what they say is true.
    env.extend(ours(ticket, facts).map(|(name, value)| (name.as_bytes(), value)));
    let mark = Mark::in_env(env.iter().map(|(name, value)| (*name, &value[..])));
    let variable = |(name, value): (&[u8], Vec<u8>)| Variable {
        name: name.to_vec().into(),
        value: value.into(),
    };
    (env.into_iter().map(variable).collect(), mark)
}

/// A ticket without flow or key has an empty one, so that `set -u` in a script stays usable.
fn ours(
    ticket: &Ticket,
    facts: &Facts<'_>,
) -> impl Iterator<Item = (&'static str, Vec<u8>)> + use<> {
    let name = &ticket.name;
    let deadline = ticket
        .deadline
        .map_or(facts.deadline, |at| at.min(facts.deadline));
    let callback = facts.callback_url.map(|base| {
        let base = base.trim_end_matches('/');
        format!("{base}/{}/{}", name.ticket, name.generation).into_bytes()
    });
    // The kernel could not pass on more than the part before a NUL; that would be another trace.
    let trace = ticket.trace.clone().filter(|trace| !trace.contains('\0'));
    let flow = ticket.flow.as_ref().map_or("", |flow| flow.as_str());
    let key = ticket.key.as_ref().map_or("", |key| key.as_str());
    let always = [
        ("GOAROUND_TICKET_ID", name.ticket.to_string().into_bytes()),
        ("GOAROUND_KIND", ticket.kind.as_str().into()),
        ("GOAROUND_FLOW", flow.into()),
        ("GOAROUND_STAGE", ticket.stage.as_str().into()),
        ("GOAROUND_HOP", name.hop.to_string().into_bytes()),
        ("GOAROUND_ATTEMPT", name.attempt.to_string().into_bytes()),
        (
            "GOAROUND_GENERATION",
            name.generation.to_string().into_bytes(),
        ),
        ("GOAROUND_KEY", key.into()),
        ("GOAROUND_DEADLINE", deadline.to_string().into_bytes()),
        (
            "GOAROUND_RESULT",
            facts.result.as_os_str().as_encoded_bytes().into(),
        ),
        (
            "GOAROUND_PROGRESS",
            facts.progress.as_os_str().as_encoded_bytes().into(),
        ),
    ];
    let sometimes = [
        callback.map(|url| ("GOAROUND_CALLBACK_URL", url)),
        trace.map(|trace| ("TRACEPARENT", trace.into_bytes())),
    ];
    always.into_iter().chain(sometimes.into_iter().flatten())
}
