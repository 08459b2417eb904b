//! What commands have left behind and we have adopted.
//!
//! The kernel gives orphans to the subreaper's first thread. That thread starts nothing itself, so
//! its list of children is exactly the list of orphans, and one read tells that there are none.

use super::house::{House, lock};
use crate::processes::{self, Brood, Held};
use rustix::process::Pid;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Mutex;

/// The adopted processes.
pub(super) struct Orphans {
    /// The kernel's list; `None` where it was built without it.
    list: Option<File>,
    /// Orphans are taken off the list by its owner only: it is not reliable while it shrinks.
    turn: Mutex<()>,
}

/// Which orphans are to go.
enum Whose<'a> {
    Of(&'a Brood),
    Anybodys,
}

impl Orphans {
    /// Called by the first thread, which starts no process.
    pub(super) fn new() -> Self {
        let own = std::process::id();
        Self {
            list: File::open(format!("/proc/{own}/task/{own}/children")).ok(),
            turn: Mutex::new(()),
        }
    }

    /// Whether there are surely none at all. Whatever a dead command has left alive is one, or the
    /// child of one.
    pub(super) fn are_none(&self) -> bool {
        self.listed().is_some_and(|listed| listed.is_empty())
    }

    /// Kills and reaps what an attempt whose command is dead has left behind, and returns how
    /// many that were.
    pub(super) fn clear(&self, brood: &Brood, house: &House) -> u32 {
        let mut cleared = 0;
        while !self.are_none() {
            let found = match house.alone() {
                // What does not bear its mark any more can then only be its own all the same.
                Some(_nobody_starts) => self.kill(&Whose::Anybodys),
                None => self.kill(&Whose::Of(brood)),
            };
            if found.is_empty() {
                break;
            }
            processes::await_deaths(&found);
            let _turn = lock(&self.turn);
            let reaped = found.iter().filter(|orphan| processes::reap(orphan.pid()));
            cleared += u32::try_from(reaped.count()).unwrap_or(u32::MAX);
        }
        cleared
    }

    /// Kills and reaps everything that was ever left behind.
    pub(super) fn clear_all(&self) {
        loop {
            let found = self.kill(&Whose::Anybodys);
            if found.is_empty() {
                return;
            }
            processes::await_deaths(&found);
            let _turn = lock(&self.turn);
            for orphan in &found {
                processes::reap(orphan.pid());
            }
        }
    }

    fn kill(&self, whose: &Whose<'_>) -> Vec<Held> {
        let _turn = lock(&self.turn);
        let orphans = self.listed().unwrap_or_else(processes::children);
        let is_theirs = |pid: &Pid| match whose {
            Whose::Of(brood) => brood.has(*pid),
            Whose::Anybodys => true,
        };
        let theirs = orphans.into_iter().filter(is_theirs);
        let held: Vec<Held> = theirs.filter_map(Held::new).collect();
        held.iter().for_each(Held::kill);
        held
    }

    fn listed(&self) -> Option<Vec<Pid>> {
        let list = self.list.as_ref()?;
        let mut text = vec![0; 1024];
        let mut filled = 0;
        loop {
            let read = list.read_at(&mut text[filled..], filled as u64).ok()?;
            filled += read;
            if read == 0 {
                break;
            }
            if filled == text.len() {
                text.resize(text.len() * 2, 0);
            }
        }
        let text = std::str::from_utf8(&text[..filled]).ok()?;
        let pids = text.split_ascii_whitespace();
        pids.map(|pid| Pid::from_raw(pid.parse().ok()?)).collect()
    }
}
