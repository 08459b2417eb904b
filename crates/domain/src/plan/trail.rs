//! Who did what to a plan, and when.

use crate::time::Timestamp;

/// Who says something, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct By<'a> {
    /// A person or a rule, as users know it.
    pub who: &'a str,
    /// When.
    pub at: Timestamp,
}

/// Something that was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deed {
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub by: String,
    /// What, in words.
    pub what: String,
}

/// The deeds, oldest first. When there are too many, those in the middle are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trail {
    /// Those that are kept.
    pub deeds: Vec<Deed>,
    /// How many are left out; they came after the first [`Trail::FIRST`].
    pub left_out: u64,
}

impl Trail {
    /// The most deeds that are kept.
    pub const DEEDS_MAX: usize = 100;
    /// How many of the first are always kept: how a plan came about is never lost.
    pub const FIRST: usize = 10;
    /// The longest text of a deed, in characters: a release names its group and all its terms.
    pub const WHAT_CHARS_MAX: usize = 700;
    /// The longest name of whoever did it, in characters.
    pub const BY_CHARS_MAX: usize = 300;

    pub(super) fn note(&mut self, by: By, what: &str) {
        if self.deeds.len() >= Self::DEEDS_MAX {
            self.deeds.remove(Self::FIRST);
            self.left_out += 1;
        }
        self.deeds.push(Deed {
            at: by.at,
            by: by.who.chars().take(Self::BY_CHARS_MAX).collect(),
            what: what.chars().take(Self::WHAT_CHARS_MAX).collect(),
        });
    }
}
