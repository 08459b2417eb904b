//! What a command is told in its environment, which is all that it inherits.

use crate::processes::Mark;
use bytes::Bytes;
use domain::ticket::Ticket;
use domain::time::Timestamp;
use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use wire::child::Variable;

/// Where programs are looked for, unless the stage's `env` sets a `PATH`.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The fact that names a command's result file, and with that its worker's folder.
pub(crate) const RESULT: &str = "GOAROUND_RESULT";

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

/// The part that is the same for each attempt: what is configured, and a `PATH` in any case.
pub(crate) fn base(configured: &BTreeMap<String, String>) -> Vec<Variable> {
    let path = (!configured.contains_key("PATH")).then_some(("PATH", PATH));
    let configured = configured.iter();
    let configured = configured.map(|(name, value)| (name.as_str(), value.as_str()));
    // What ours say is true, so nothing of the same name may come before them.
    let others = configured.filter(|(name, _)| !OURS.contains(name));
    let variable = |(name, value): (&str, &str)| Variable {
        name: Bytes::copy_from_slice(name.as_bytes()),
        value: Bytes::copy_from_slice(value.as_bytes()),
    };
    others.chain(path).map(variable).collect()
}

/// The names of the facts.
const OURS: [&str; 13] = [
    "GOAROUND_TICKET_ID",
    "GOAROUND_HOP",
    "GOAROUND_GENERATION",
    "GOAROUND_ATTEMPT",
    "GOAROUND_KIND",
    "GOAROUND_FLOW",
    "GOAROUND_STAGE",
    "GOAROUND_KEY",
    "GOAROUND_DEADLINE",
    RESULT,
    "GOAROUND_PROGRESS",
    "GOAROUND_CALLBACK_URL",
    "TRACEPARENT",
];

/// The part that tells of an attempt, and the mark by which its processes are known.
///
/// A ticket without flow or key has an empty one, so that `set -u` in a script stays usable.
pub(crate) fn facts(ticket: &Ticket, facts: &Facts<'_>) -> (Vec<Variable>, Mark) {
    let name = &ticket.name;
    let callback = facts.callback_url.map(|base| {
        let base = base.trim_end_matches('/');
        format!("{base}/{}/{}", name.ticket, name.generation).into()
    });
    let text = |text: &str| Some(Bytes::copy_from_slice(text.as_bytes()));
    let path = |path: &Path| Some(Bytes::copy_from_slice(path.as_os_str().as_bytes()));
    // The kernel could not pass on more than the part before a NUL; that would be another trace.
    let trace = ticket.trace.as_deref();
    let values: [Option<Bytes>; OURS.len()] = [
        Some(name.ticket.to_string().into()),
        Some(name.hop.to_string().into()),
        Some(name.generation.to_string().into()),
        Some(name.attempt.to_string().into()),
        text(ticket.kind.as_str()),
        text(ticket.flow.as_ref().map_or("", |flow| flow.as_str())),
        text(ticket.stage.as_str()),
        text(ticket.key.as_ref().map_or("", |key| key.as_str())),
        Some(facts.deadline.to_string().into()),
        path(facts.result),
        path(facts.progress),
        callback,
        trace.filter(|trace| !trace.contains('\0')).and_then(text),
    ];
    let variable = |(name, value): (&'static str, Option<Bytes>)| {
        let name = Bytes::from_static(name.as_bytes());
        value.map(|value| Variable { name, value })
    };
    let variables: Vec<_> = OURS.into_iter().zip(values).filter_map(variable).collect();
    let mark = Mark::in_env(variables.iter().map(|own| (&own.name[..], &own.value[..])));
    (variables, mark)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configured_fact_is_not_believed_and_a_configured_path_is() {
        let configured = [("GOAROUND_KEY", "lie"), ("PATH", "/own"), ("A", "b")];
        let configured = configured.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let base = base(&BTreeMap::from(configured));
        let names: Vec<&[u8]> = base.iter().map(|variable| &variable.name[..]).collect();
        assert_eq!(names, [&b"A"[..], b"PATH"]);
        assert_eq!(&base[1].value[..], b"/own");
    }
}
