//! What our exchanges and queues are called. One prefix renames them all.

use crate::config::BadConfig;
use domain::names::StageName;

/// The names of everything that we have on the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    prefix: String,
    oopses: String,
}

impl Names {
    /// The prefix unless another is configured.
    pub const PREFIX: &str = "goaround";
    /// The exchange that other programs publish their reports to. It has the name that they know;
    /// only another prefix renames it.
    pub const OOPSES: &str = "oopses";
    /// The longest prefix, as long as the longest name of a stage: a queue's name, which may have
    /// 255 bytes, has room for both.
    pub const PREFIX_BYTES_MAX: usize = 64;
    /// What a prefix may be.
    pub const PREFIX_IS: &str =
        "1 to 64 of the characters a-z A-Z 0-9 _ - ., not amq and not beginning with amq.";

    /// Names that begin with this prefix.
    ///
    /// # Errors
    /// [`BadConfig`] when it is empty, too long, or has characters that a queue name should not
    /// have.
    pub fn new(prefix: &str) -> Result<Self, BadConfig> {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        let is_reserved = prefix == "amq" || prefix.starts_with("amq.");
        let is_short = (1..=Self::PREFIX_BYTES_MAX).contains(&prefix.len());
        if !is_short || is_reserved || !prefix.chars().all(fits) {
            let expected = Self::PREFIX_IS;
            return Err(BadConfig::new("broker.prefix", expected, prefix));
        }
        let prefix = prefix.to_owned();
        let oopses = match prefix == Self::PREFIX {
            true => Self::OOPSES.to_owned(),
            false => format!("{prefix}.{}", Self::OOPSES),
        };
        Ok(Self { prefix, oopses })
    }

    /// What every name begins with.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The direct exchange that everything durable is published to. The routing key is the name of
    /// a stage, or the name of one of our queues.
    pub fn exchange(&self) -> &str {
        &self.prefix
    }

    /// The queue of a stage.
    pub fn stage(&self, stage: &StageName) -> String {
        format!("{}.stage.{stage}", self.prefix)
    }

    /// The queue, and the fan-out exchange before it, of what no stage has asked for and of what
    /// the broker gave up.
    pub fn unclaimed(&self) -> String {
        self.named("unclaimed")
    }

    /// The queue of the journal, and its routing key.
    pub fn journal(&self) -> String {
        self.named("journal")
    }

    /// The queue of reports, and the routing key of ours.
    pub fn oops(&self) -> String {
        self.named("oops")
    }

    /// The fan-out exchange that other programs publish their reports to.
    pub fn oopses(&self) -> &str {
        &self.oopses
    }

    /// The queue of what could not be read, and its routing key.
    pub fn quarantine(&self) -> String {
        self.named("quarantine")
    }

    /// The fan-out exchange of heartbeats, for whoever listens.
    pub fn vitals(&self) -> String {
        self.named("vitals")
    }

    /// The stream of desired states, and its routing key.
    pub fn control(&self) -> String {
        self.named("control")
    }

    /// Whether a stage of this name would get what is meant for a queue of ours.
    pub fn is_taken(&self, stage: &StageName) -> bool {
        let name = stage.as_str();
        [
            self.journal(),
            self.oops(),
            self.quarantine(),
            self.control(),
            self.unclaimed(),
        ]
        .iter()
        .any(|ours| ours == name)
    }

    fn named(&self, what: &str) -> String {
        format!("{}.{what}", self.prefix)
    }
}

impl Default for Names {
    fn default() -> Self {
        Self {
            prefix: Self::PREFIX.to_owned(),
            oopses: Self::OOPSES.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_that_the_broker_keeps_for_itself_is_refused() {
        for prefix in ["", "amq", "amq.x", "a b", "ü"] {
            assert!(Names::new(prefix).is_err(), "{prefix}");
        }
    }

    #[test]
    fn the_longest_prefix_is_the_one_that_is_told() {
        let longest = "a".repeat(Names::PREFIX_BYTES_MAX);
        assert!(Names::new(&longest).is_ok());
        assert!(Names::new(&format!("{longest}a")).is_err());
        let told = format!("1 to {} of", Names::PREFIX_BYTES_MAX);
        assert!(Names::PREFIX_IS.starts_with(&told), "{}", Names::PREFIX_IS);
    }

    #[test]
    fn one_prefix_renames_everything() {
        let names = Names::new("shop").unwrap();
        let build = StageName::new("build").unwrap();
        assert_eq!(names.stage(&build), "shop.stage.build");
        assert_eq!(names.exchange(), "shop");
        assert_eq!(names.quarantine(), "shop.quarantine");
        assert_eq!(names.oopses(), "shop.oopses");
    }

    #[test]
    fn other_programs_find_their_exchange_under_the_name_that_they_know() {
        assert_eq!(Names::default().oopses(), "oopses");
        assert_eq!(Names::new(Names::PREFIX).unwrap(), Names::default());
    }

    #[test]
    fn a_stage_may_not_be_called_like_a_queue_of_ours() {
        let names = Names::default();
        assert!(names.is_taken(&StageName::new("goaround.journal").unwrap()));
        assert!(!names.is_taken(&StageName::new("journal").unwrap()));
    }
}
