//! The versions of a stage's handler, in the order in which they announced themselves.
//!
//! "Newer" is "announced later", never a parsed number: versions are names. A version that comes
//! back after it was gone, while another one had come, is announced again: a roll-back is the
//! newest there is. One that merely restarts is not, else a worker that crashes with its canary
//! would call for the next one by coming back.

use crate::names::Version;
use crate::time::Timestamp;
use std::collections::BTreeSet;

/// A version and its announcement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announced {
    /// Which version.
    pub version: Version,
    /// Which announcement of the stage, counted from 1; the highest is the newest.
    pub number: u64,
    /// When.
    pub at: Timestamp,
    /// Whether somebody serves the stage with it now.
    pub is_here: bool,
}

/// The versions that were announced on one stage.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roster {
    /// By their announcement, the newest last.
    pub versions: Vec<Announced>,
}

impl Roster {
    /// The most versions that are remembered. One that was forgotten and comes back is announced
    /// again.
    pub const VERSIONS_MAX: usize = 32;

    /// These versions serve the stage now, and no others. Returns whether one of them is new.
    ///
    /// To be told the whole truth: a set that lacks somebody who was merely not heard yet makes
    /// that one's next word a roll-back, which costs one canary.
    pub fn stands(&mut self, here: &BTreeSet<Version>, now: Timestamp) -> bool {
        let here: Vec<&Version> = here.iter().take(Self::VERSIONS_MAX).collect();
        let news: Vec<&Version> = here
            .iter()
            .copied()
            .filter(|version| self.is_news(version, &here))
            .collect();
        for announced in &mut self.versions {
            announced.is_here = here.contains(&&announced.version);
        }
        for version in &news {
            self.announce(version, true, now);
        }
        !news.is_empty()
    }

    fn is_news(&self, version: &Version, here: &[&Version]) -> bool {
        let Some(known) = self.find(version) else {
            return true;
        };
        // When the newest comes back as well, everybody was away, and nobody went back to this.
        let newest = self.versions.last();
        let all_are_back = newest.is_some_and(|it| !it.is_here && here.contains(&&it.version));
        !known.is_here && !all_are_back
    }

    /// An attempt ran with this version. Returns whether that is the first word of it. It does not
    /// say who serves the stage now, since whoever ran it may be gone; but as long as nobody has
    /// said that, it is the best guess.
    pub fn met(&mut self, version: &Version, now: Timestamp) -> bool {
        let is_new = self.find(version).is_none();
        if is_new {
            let is_guess = self.versions.iter().all(|it| !it.is_here);
            self.announce(version, is_guess, now);
        }
        is_new
    }

    /// The version that a canary should run on: the newest of those that are here, else the
    /// newest that ever was.
    pub fn wanted(&self) -> Option<&Announced> {
        let here = self.versions.iter().rev().find(|it| it.is_here);
        here.or_else(|| self.versions.last())
    }

    /// The announcement of this version; 0 if it is not known.
    pub fn number(&self, version: &Version) -> u64 {
        self.find(version).map_or(0, |it| it.number)
    }

    fn newest_number(&self) -> u64 {
        self.versions.last().map_or(0, |it| it.number)
    }

    fn find(&self, version: &Version) -> Option<&Announced> {
        self.versions.iter().find(|it| it.version == *version)
    }

    fn announce(&mut self, version: &Version, is_here: bool, at: Timestamp) {
        let number = self.newest_number() + 1;
        self.versions.retain(|it| it.version != *version);
        self.versions.push(Announced {
            version: version.clone(),
            number,
            at,
            is_here,
        });
        if self.versions.len() > Self::VERSIONS_MAX {
            let gone = self.versions.iter().position(|it| !it.is_here);
            self.versions.remove(gone.unwrap_or(0));
        }
    }
}
