//! What the records of a message have in common, gathered while they are written.

use crate::proto;
use domain::names::Holder;
use domain::oops::Scene;
use std::collections::HashMap;
use std::sync::Arc;

/// A place in a table. No message has four billion entries: it would not fit anywhere.
pub(super) fn place(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

/// Distinct texts, in the order in which they came up.
#[derive(Default)]
pub(super) struct Texts<'a> {
    entries: Vec<&'a str>,
    places: HashMap<&'a str, u32>,
    /// Neighbours mostly say the same, and to compare is cheaper than to hash.
    last: Option<(&'a str, u32)>,
}

impl<'a> Texts<'a> {
    /// Where the text stands.
    pub(super) fn place(&mut self, text: &'a str) -> u32 {
        if let Some((last, place)) = self.last
            && last == text
        {
            return place;
        }
        let entries = &mut self.entries;
        let place = *self.places.entry(text).or_insert_with(|| {
            entries.push(text);
            place(entries.len() - 1)
        });
        self.last = Some((text, place));
        place
    }

    pub(super) fn into_entries(self) -> Vec<String> {
        self.entries.into_iter().map(str::to_owned).collect()
    }
}

/// Distinct scenes, in the order in which they came up.
#[derive(Default)]
pub(super) struct Scenes<'a> {
    entries: Vec<proto::Scene>,
    places: HashMap<(&'a Holder, &'a str, &'a str), u32>,
    last: Option<(&'a Arc<Scene>, u32)>,
}

impl<'a> Scenes<'a> {
    /// Where the scene stands; its holder stands among `holders`.
    pub(super) fn place(&mut self, scene: &'a Arc<Scene>, holders: &mut Texts<'a>) -> u32 {
        if let Some((last, place)) = self.last
            && Arc::ptr_eq(last, scene)
        {
            return place;
        }
        let entries = &mut self.entries;
        let key = (&scene.holder, &*scene.hostname, scene.version.as_str());
        let place = *self.places.entry(key).or_insert_with(|| {
            entries.push(proto::Scene {
                holder: holders.place(scene.holder.as_str()),
                hostname: scene.hostname.clone(),
                version: scene.version.to_string(),
            });
            place(entries.len() - 1)
        });
        self.last = Some((scene, place));
        place
    }

    pub(super) fn into_entries(self) -> Vec<proto::Scene> {
        self.entries
    }
}
