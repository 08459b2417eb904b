//! Commands that have outlived everyone who would have ended them: when launcher, worker and
//! spawner are killed at the same moment, nobody is left to do it. They still do the work of their
//! tickets, which must not run a second time beside them.
//!
//! Only for who has the lock of a work folder: nobody else who lives owns commands of it. They are
//! known by the result file that their environment names, and what they have started by them.

use super::files;
use crate::environment;
use crate::processes::{self, Held, Seen};
use crate::spawner::files_limit;
use rustix::process::{Pid, Signal};
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long they may take to die. They were killed, so only one that is stuck takes long.
const DYING_MAX: Duration = Duration::from_secs(5);

/// A process that does the work of a ticket for nobody.
struct Survivor {
    seen: Seen,
    errand: Errand,
}

/// Whose work it does.
#[derive(Clone)]
struct Errand {
    ticket: String,
    stage: String,
}

/// Which folder it is, whatever the path to it is, here or in a container.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
}

/// Ends the commands of this folder that processes before this one have started, with everything
/// that they have started themselves, and returns once they are dead.
///
/// # Errors
/// Which of them does not die, or why they could not be looked for.
pub(super) fn end(folder: &Path) -> io::Result<()> {
    end_by(folder, DYING_MAX, kill)
}

fn end_by(folder: &Path, dying_max: Duration, kill: impl Fn(&Seen, &Held)) -> io::Result<()> {
    let folder = Identity::of(folder)?;
    let until = Instant::now() + dying_max;
    // What one of them starts while it is looked for is found by the next look.
    loop {
        let found = find(folder)?;
        let Some(first) = found.first() else {
            return Ok(());
        };
        if Instant::now() >= until {
            return Err(first.immortal());
        }
        let hold = || found.iter().map(|one| one.seen.hold()).collect();
        let held: Vec<Option<Held>> = files_limit::raised_for(hold)?;
        // Those that are not there any more have no handle.
        let pairs = || found.iter().zip(&held);
        let held = || pairs().filter_map(|(one, held)| Some((one, held.as_ref()?)));
        for (one, handle) in held() {
            one.announce();
            kill(&one.seen, handle);
        }
        if let Some((one, _)) = held().find(|(_, handle)| !handle.is_dead_by(until)) {
            return Err(one.immortal());
        }
    }
}

fn kill(seen: &Seen, held: &Held) {
    // The whole group at once, before one of it can start another.
    if let Some(group) = seen.group {
        processes::signal_group(group, Signal::KILL);
    }
    held.kill();
}

impl Survivor {
    fn announce(&self) {
        let (pid, Errand { ticket, stage }) = (self.seen.pid, &self.errand);
        tracing::warn!(
            ticket.id = %ticket,
            ticket.stage = %stage,
            "process {pid} is killed before anything is started: it was still at work on ticket \
             {ticket} at stage {stage}, for a worker that was killed together with its spawner"
        );
    }

    fn immortal(&self) -> io::Error {
        let (pid, Errand { ticket, stage }) = (self.seen.pid, &self.errand);
        let state = Seen::of(pid).map_or_else(|| "unknown".into(), |seen| seen.state);
        io::Error::other(format!(
            "process {pid} is still at work on ticket {ticket} at stage {stage}, for a worker that \
             was killed, and does not die of SIGKILL (state {state}): the same work would run \
             twice at a time. In state D it waits in the kernel, mostly for a disk or a network \
             file system; in another one it may be a process of somebody else. See \
             /proc/{pid}/status, end it or restart the host, and start again"
        ))
    }
}

impl Identity {
    fn of(folder: &Path) -> io::Result<Self> {
        let meta = std::fs::metadata(folder)?;
        Ok(Self {
            device: meta.dev(),
            inode: meta.ino(),
        })
    }

    /// The folder at this path as that process sees it: in a container, the same path may be
    /// another folder, and another path the same one.
    fn seen_by(pid: Pid, path: &Path) -> Option<Self> {
        let root = Path::new("/proc").join(pid.to_string()).join("root");
        Self::of(&root.join(path.strip_prefix("/").ok()?)).ok()
    }
}

/// All of them that can be seen from here.
fn find(folder: Identity) -> io::Result<Vec<Survivor>> {
    let own = rustix::process::getpid();
    if std::fs::read_link("/proc/self")? != Path::new(&own.to_string()) {
        // Its numbers would mean other processes to us.
        return Err(io::Error::other("/proc is not that of this process"));
    }
    let all = processes::processes().filter_map(Seen::of);
    let living = all.filter(|seen| !seen.is_dead()).collect();
    let mut found = Vec::new();
    let mut rest = without_ancestry(living, own);
    rest = part(rest, &mut found, |seen, _| errand(seen.pid, folder));
    loop {
        let before = found.len();
        rest = part(rest, &mut found, inherited);
        if found.len() == before {
            return Ok(found);
        }
    }
}

/// Moves those that have an errand over to the found ones.
fn part(
    all: Vec<Seen>,
    found: &mut Vec<Survivor>,
    errand: impl Fn(&Seen, &[Survivor]) -> Option<Errand>,
) -> Vec<Seen> {
    let mut rest = Vec::new();
    for seen in all {
        match errand(&seen, found) {
            Some(errand) => found.push(Survivor { seen, errand }),
            None => rest.push(seen),
        }
    }
    rest
}

/// A command may have started this worker: neither that nor its group is a survivor to be killed.
fn without_ancestry(all: Vec<Seen>, own: Pid) -> Vec<Seen> {
    let by_pid = |pid: Pid| all.iter().find(|seen| seen.pid == pid);
    let ancestry = std::iter::successors(by_pid(own), |seen| by_pid(seen.parent?));
    let ancestry = ancestry.take(all.len()).map(|seen| (seen.pid, seen.group));
    let ancestry: Vec<(Pid, Option<Pid>)> = ancestry.collect();
    let is_in = |pid: Pid| ancestry.iter().any(|(kept, _)| *kept == pid);
    let is_theirs = |group: Pid| ancestry.iter().any(|(_, kept)| *kept == Some(group));
    all.into_iter()
        .filter(|seen| !is_in(seen.pid))
        .map(|mut seen| {
            seen.group = seen.group.filter(|group| !is_theirs(*group));
            seen
        })
        .collect()
}

/// What a process does whose environment names a result file of this folder.
fn errand(pid: Pid, folder: Identity) -> Option<Errand> {
    let environ = processes::environ_of(pid);
    let value = |name: &str| {
        let mut entries = environ.split(|byte| *byte == 0);
        entries.find_map(|entry| entry.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
    };
    let result = Path::new(OsStr::from_bytes(value(environment::RESULT)?));
    let is_theirs = files::is_left_over(result.file_name()?)
        && Identity::seen_by(pid, result.parent()?) == Some(folder);
    let text = |name| value(name).map_or_else(String::new, |of| String::from_utf8_lossy(of).into());
    is_theirs.then(|| Errand {
        ticket: text("GOAROUND_TICKET_ID"),
        stage: text("GOAROUND_STAGE"),
    })
}

/// What a process does that was started by one of them, or is in the group of one.
fn inherited(seen: &Seen, found: &[Survivor]) -> Option<Errand> {
    let is_of = |one: &&Survivor| {
        seen.parent == Some(one.seen.pid) || (seen.group.is_some() && seen.group == one.seen.group)
    };
    found.iter().find(is_of).map(|one| one.errand.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Child, Command};

    fn marked(folder: &Path) -> Child {
        Command::new("/bin/sleep")
            .arg("600")
            .env("GOAROUND_TICKET_ID", "0197")
            .env("GOAROUND_STAGE", "build")
            .env(
                environment::RESULT,
                folder.join("0000000000000001-7.result"),
            )
            .spawn()
            .unwrap()
    }

    #[test]
    fn one_that_does_not_die_is_named_with_its_work() {
        let folder = tempfile::tempdir().unwrap();
        let mut survivor = marked(folder.path());
        let error = end_by(folder.path(), Duration::from_millis(20), |_, _| {}).unwrap_err();
        let said = error.to_string();
        for word in [
            &format!("process {} ", survivor.id()),
            "ticket 0197 at stage build",
            "(state S)",
        ] {
            assert!(said.contains(word), "{said:?} should contain {word:?}");
        }
        // It has no group of its own, so neither has this test to be afraid of its end.
        end(folder.path()).unwrap();
        survivor.wait().unwrap();
    }

    #[test]
    fn of_another_folder_none_is_touched() {
        let [own, other] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let mut bystander = marked(other.path());
        end(own.path()).unwrap();
        assert_eq!(bystander.try_wait().unwrap(), None);
        bystander.kill().unwrap();
        bystander.wait().unwrap();
    }
}
