use super::*;
use crate::names::Kind;
use crate::oops::Scene;
use crate::record::Started;
use crate::ticket::{Lineage, Payload, Ticket};
use std::sync::Arc;

/// A leader's fleet, and the journal that it reads, at a clock that is moved by hand.
struct Leader {
    fleet: Fleet,
    now: Timestamp,
}

fn holder(name: &str) -> Holder {
    Holder::new(name).unwrap()
}

fn stage() -> StageName {
    StageName::new("build").unwrap()
}

fn first() -> Name {
    Name::first(TicketId::from_bytes([1; 16]))
}

fn ticket(name: Name) -> Ticket {
    Ticket {
        name,
        kind: Kind::unnamed(),
        flow: None,
        stage: stage(),
        key: None,
        payload: Payload::default(),
        deadline: None,
        created_at: Timestamp::EPOCH,
        lineage: Lineage::root(name.ticket),
        trace: None,
    }
}

impl Leader {
    fn new() -> Self {
        let now = Timestamp::from_micros(1_000_000_000);
        Self {
            fleet: Fleet::new(now),
            now,
        }
    }

    /// One that has led for a while: the time in which it is deaf is over.
    fn settled() -> Self {
        let mut leader = Self::new();
        leader.marks();
        leader.pass(LAPSE);
        leader
    }

    fn says(&mut self, by: &str, said: Said) {
        // A worker's clock is compared with nobody else's; this one is far off.
        self.says_at(Timestamp::EPOCH, by, said);
    }

    fn says_at(&mut self, at: Timestamp, by: &str, said: Said) {
        let by = holder(by);
        self.fleet.read(&Record { by, at, said }, self.now);
    }

    fn beats(&mut self, by: &str, revision: u64, in_hand: &[Name]) {
        self.beats_at(Timestamp::EPOCH, by, (revision, in_hand));
    }

    /// A beat that was made when its worker's clock said this.
    fn beats_at(&mut self, at: Timestamp, by: &str, (revision, in_hand): (u64, &[Name])) {
        let beat = Heartbeat {
            holder: holder(by),
            hostname: "host".into(),
            stages: BTreeMap::new(),
            kinds: BTreeMap::new(),
            revision,
            in_hand: in_hand.to_vec(),
        };
        self.says_at(at, by, Said::Beat(Box::new(beat)));
    }

    fn serves(&mut self, by: &str, version: &str) {
        let beat = Heartbeat {
            holder: holder(by),
            hostname: "host".into(),
            stages: BTreeMap::from([(stage(), Version::new(version).unwrap())]),
            kinds: BTreeMap::new(),
            revision: 1,
            in_hand: Vec::new(),
        };
        self.says(by, Said::Beat(Box::new(beat)));
    }

    fn starts(&mut self, by: &str, name: Name) {
        let scene = Scene {
            holder: holder(by),
            hostname: "host".into(),
            version: Version::new("1").unwrap(),
        };
        let started = Started {
            name,
            stage: stage(),
            scene: Arc::new(scene),
            ticket: None,
            claimed: false,
        };
        self.says(by, Said::Started(Box::new(started)));
    }

    fn gone(&mut self, who: &str) {
        let said = Said::Gone {
            holder: holder(who),
            why: "exit status 1".into(),
            obituary: None,
        };
        self.says("launcher", said);
    }

    fn asks(&mut self) -> Vec<Ask> {
        self.fleet.asks(self.now)
    }

    /// What is asked for is done: the markers are written and read at once.
    fn marks(&mut self) {
        for ask in self.asks() {
            if let Ask::Marker(marker) = ask {
                self.says("leader", Said::Marker(marker));
            }
        }
    }

    /// The journal flows for so long, and whoever is named here beats in it.
    fn pass_with(&mut self, length: Duration, beating: &[&str]) {
        let end = self.now.plus(length);
        while self.now < end {
            self.now = self.now.plus(BEAT_EVERY).min(end);
            for by in beating {
                self.beats(by, 1, &[]);
            }
            self.marks();
        }
    }

    fn pass(&mut self, length: Duration) {
        self.pass_with(length, &[]);
    }

    fn suspects(&mut self, name: Name) {
        self.says("w2", Said::Suspect(Box::new(ticket(name))));
        self.fleet.suspect(name, self.now);
    }

    fn hands(&self, name: Name) -> Hands {
        self.fleet.hands(&name, self.now)
    }

    fn dead(&mut self) -> Vec<Holder> {
        self.fleet.dead(self.now)
    }

    fn is_past(&self, revision: u64, name: Name) -> bool {
        self.fleet.is_past(revision, name.ticket, name.generation)
    }
}

#[test]
fn a_new_leader_concludes_nothing_about_those_it_has_not_heard() {
    let mut leader = Leader::new();
    leader.suspects(first());
    leader.beats("w2", 1, &[]);
    leader.marks();
    assert_eq!(leader.hands(first()), Hands::Unknown);
    assert!(!leader.is_past(1, first().renewed()));
    leader.pass_with(LAPSE, &["w2"]);
    assert_eq!(leader.hands(first()), Hands::Nobody);
    assert!(leader.is_past(1, first().renewed()));
}

#[test]
fn time_alone_does_not_settle_a_new_leader_in() {
    let mut leader = Leader::new();
    leader.marks();
    leader.pass(LAPSE - BEAT_EVERY);
    leader.now = leader.now.plus(BEAT_EVERY);
    assert_eq!(leader.hands(first()), Hands::Unknown);
    let asks = leader.asks();
    let [Ask::Marker(marker)] = asks[..] else {
        panic!("{asks:?}");
    };
    assert_eq!(
        leader.hands(first()),
        Hands::Unknown,
        "a beat may be unread"
    );
    leader.says("leader", Said::Marker(marker));
    assert_eq!(leader.hands(first()), Hands::Nobody);
}

#[test]
fn a_new_leader_whose_journal_stood_still_begins_anew() {
    let mut leader = Leader::new();
    leader.marks();
    leader.now = leader.now.plus(LAPSE * 2);
    leader.marks();
    assert_eq!(leader.hands(first()), Hands::Unknown);
    leader.pass(LAPSE);
    assert_eq!(leader.hands(first()), Hands::Nobody);
}

#[test]
fn nothing_is_concluded_while_the_journal_stands_still() {
    let mut leader = Leader::settled();
    leader.beats("w1", 1, &[]);
    assert_eq!(leader.hands(first()), Hands::Nobody);
    leader.now = leader.now.plus(LAPSE);
    assert_eq!(leader.hands(first()), Hands::Unknown);
    leader.marks();
    assert_eq!(leader.hands(first()), Hands::Nobody);
}

#[test]
fn the_silent_are_not_dead_before_a_marker_that_was_written_after_their_lapse_is_read() {
    let mut leader = Leader::settled();
    leader.beats("w1", 1, &[first()]);
    leader.pass(LAPSE - BEAT_EVERY);
    leader.now = leader.now.plus(BEAT_EVERY);
    assert_eq!(leader.dead(), []);
    let asks = leader.asks();
    let [Ask::Marker(marker)] = asks[..] else {
        panic!("{asks:?}");
    };
    assert_eq!(leader.dead(), []);
    leader.says("leader", Said::Marker(marker - 1));
    assert_eq!(leader.dead(), [], "that one was written before");
    leader.says("leader", Said::Marker(marker));
    assert_eq!(leader.dead(), [holder("w1")]);
    assert_eq!(leader.dead(), [], "each is returned once");
}

#[test]
fn a_last_word_before_the_marker_keeps_a_worker_alive() {
    let mut leader = Leader::settled();
    leader.beats("w1", 1, &[]);
    leader.pass(LAPSE - BEAT_EVERY);
    leader.now = leader.now.plus(BEAT_EVERY);
    let asks = leader.asks();
    let [Ask::Marker(marker)] = asks[..] else {
        panic!("{asks:?}");
    };
    leader.starts("w1", first());
    leader.says("leader", Said::Marker(marker));
    assert_eq!(leader.dead(), []);
}

#[test]
fn a_worker_said_to_be_gone_is_dead_after_a_marker_without_a_lapse() {
    let mut leader = Leader::settled();
    leader.beats("w1", 1, &[first()]);
    leader.gone("w1");
    assert_eq!(leader.dead(), [], "its last words may still be unread");
    leader.beats("w1", 1, &[first()]);
    leader.marks();
    assert_eq!(leader.dead(), [holder("w1")]);
}

#[test]
fn a_worker_that_nobody_knew_is_buried_too_when_it_is_said_to_be_gone() {
    let mut leader = Leader::settled();
    leader.gone("w1");
    leader.marks();
    assert_eq!(leader.dead(), [holder("w1")]);
}

#[test]
fn a_worker_that_the_books_expect_and_nobody_hears_is_dead() {
    let mut leader = Leader::new();
    let now = leader.now;
    leader.fleet.expect(holder("w1"), now);
    leader.pass(LAPSE);
    assert_eq!(leader.hands(first()), Hands::Unknown);
    assert_eq!(leader.dead(), [holder("w1")]);
    assert_eq!(leader.hands(first()), Hands::Nobody);
}

#[test]
fn a_journal_that_stood_still_is_not_a_fleet_that_died() {
    let mut leader = Leader::settled();
    leader.beats("w1", 1, &[]);
    leader.now = leader.now.plus(LAPSE * 3);
    leader.marks();
    assert_eq!(leader.dead(), [], "the broker stood still, not the worker");
    leader.pass_with(LAPSE * 2, &["w1"]);
    assert_eq!(leader.dead(), []);
    leader.pass(LAPSE);
    assert_eq!(leader.dead(), [holder("w1")]);
}

#[test]
fn a_clock_that_is_set_back_makes_nobody_immortal() {
    let mut leader = Leader::settled();
    leader.beats("w1", 1, &[]);
    leader.now = leader.now.minus(Duration::from_secs(500));
    leader.pass(LAPSE + BEAT_EVERY);
    assert_eq!(leader.dead(), [holder("w1")]);
}

#[test]
fn a_suspect_is_answered_by_beats_that_were_read_after_it() {
    let mut leader = Leader::settled();
    leader.beats("w1", 1, &[]);
    leader.beats("w2", 1, &[]);
    leader.suspects(first());
    assert_eq!(
        leader.hands(first()),
        Hands::Unknown,
        "those beats came before"
    );
    leader.beats("w2", 2, &[]);
    assert_eq!(leader.hands(first()), Hands::Unknown, "w1 is not heard yet");
    leader.beats("w1", 2, &[]);
    assert_eq!(leader.hands(first()), Hands::Nobody);
}

#[test]
fn a_suspect_waits_for_the_silent_until_they_are_dead() {
    let mut leader = Leader::settled();
    leader.starts("w1", first());
    leader.suspects(first());
    leader.pass_with(LAPSE - BEAT_EVERY, &["w2"]);
    assert_eq!(leader.hands(first()), Hands::Unknown);
    leader.pass_with(BEAT_EVERY, &["w2"]);
    assert_eq!(
        leader.hands(first()),
        Hands::Unknown,
        "not returned by dead() yet"
    );
    assert_eq!(leader.dead(), [holder("w1")]);
    assert_eq!(leader.hands(first()), Hands::Nobody);
}

#[test]
fn a_live_holder_keeps_its_ticket() {
    let mut leader = Leader::settled();
    leader.starts("w1", first());
    leader.suspects(first());
    leader.beats("w2", 2, &[]);
    leader.beats("w1", 2, &[first()]);
    assert_eq!(leader.hands(first()), Hands::Held(holder("w1")));
    leader.beats("w1", 2, &[]);
    assert_eq!(leader.hands(first()), Hands::Nobody, "it has let go");
}

#[test]
fn a_higher_hop_in_a_hand_proves_the_hand_off() {
    let mut leader = Leader::settled();
    let next = first().handed_on();
    leader.beats("w1", 1, &[next]);
    leader.suspects(first());
    assert_eq!(leader.hands(first()), Hands::Passed(next));
    assert_eq!(
        leader.hands(first().renewed()),
        Hands::Unknown,
        "of the same generation only"
    );
}

#[test]
fn a_roll_call_is_asked_for_once_for_all_that_are_suspect_by_then() {
    let mut leader = Leader::settled();
    leader.beats("w1", 1, &[]);
    leader.marks();
    leader.suspects(first());
    leader.suspects(first().handed_on());
    assert_eq!(leader.asks(), [Ask::RollCall]);
    assert_eq!(leader.asks(), []);
    leader.suspects(first().renewed());
    assert_eq!(leader.asks(), [Ask::RollCall], "a new question");
}

#[test]
fn a_roll_that_is_called_beforehand_answers_what_becomes_suspect_then() {
    let mut leader = Leader::settled();
    leader.beats("w1", 1, &[]);
    leader.marks();
    assert_eq!(leader.fleet.call(), Ask::RollCall);
    leader.fleet.suspect(first(), leader.now);
    assert_eq!(leader.asks(), [], "it was called already");
    assert_eq!(leader.hands(first()), Hands::Unknown);
    leader.beats("w1", 2, &[]);
    assert_eq!(leader.hands(first()), Hands::Nobody);
    leader.fleet.call();
    leader.marks();
    leader.suspects(first().renewed());
    assert_eq!(leader.asks(), [Ask::RollCall], "something was read since");
}

#[test]
fn a_marker_that_does_not_come_back_is_written_again() {
    let mut leader = Leader::settled();
    leader.gone("w1");
    let asks = leader.asks();
    assert!(matches!(asks[..], [Ask::Marker(_)]));
    assert_eq!(leader.asks(), [], "it is on its way");
    leader.now = leader.now.plus(BEAT_EVERY);
    leader.marks();
    assert_eq!(leader.dead(), [holder("w1")]);
}

#[test]
fn a_marker_of_an_earlier_leader_proves_nothing() {
    let mut earlier = Leader::settled();
    earlier.gone("w1");
    let asks = earlier.asks();
    let [Ask::Marker(theirs)] = asks[..] else {
        panic!("{asks:?}");
    };
    let mut leader = Leader::settled();
    leader.now = leader.now.plus(Duration::from_micros(1));
    leader.fleet = Fleet::new(leader.now);
    leader.gone("w1");
    leader.asks();
    leader.says("earlier", Said::Marker(theirs));
    assert_eq!(leader.dead(), []);
}

#[test]
fn a_barrier_holds_while_a_live_worker_has_an_older_revision_or_an_older_copy() {
    let mut leader = Leader::settled();
    leader.beats("w1", 1, &[]);
    leader.beats("w2", 1, &[]);
    let now = leader.now;
    leader.fleet.spread(2);
    leader.fleet.suspect(first(), now);
    leader.marks();
    let raised = first().renewed();
    assert!(!leader.is_past(2, raised), "nobody keeps to it yet");
    leader.beats("w1", 2, &[]);
    assert!(!leader.is_past(2, raised), "w2 does not");
    leader.beats("w2", 2, &[first().handed_on()]);
    assert!(
        !leader.is_past(2, raised),
        "w2 has an older copy, of whatever hop"
    );
    leader.beats("w2", 2, &[raised]);
    assert!(leader.is_past(2, raised));
}

#[test]
fn a_barrier_waits_for_the_silent_and_not_for_the_dead() {
    let mut leader = Leader::settled();
    leader.beats("w1", 1, &[first()]);
    leader.fleet.spread(1);
    leader.marks();
    assert!(!leader.is_past(1, first().renewed()));
    leader.pass(LAPSE);
    assert!(!leader.is_past(1, first().renewed()));
    assert_eq!(leader.dead(), [holder("w1")]);
    assert!(leader.is_past(1, first().renewed()));
}

#[test]
fn a_barrier_holds_until_a_marker_tells_that_no_newcomer_is_unread() {
    let mut leader = Leader::settled();
    leader.fleet.spread(7);
    assert!(!leader.is_past(7, first().renewed()));
    leader.marks();
    assert!(leader.is_past(7, first().renewed()), "and nobody is there");
    leader.beats("w1", 6, &[]);
    assert!(
        !leader.is_past(7, first().renewed()),
        "somebody came who keeps to an older one"
    );
}

#[test]
fn a_stream_of_new_revisions_does_not_keep_a_barrier_closed() {
    let mut leader = Leader::settled();
    let mut markers = Vec::new();
    for revision in 2..9 {
        leader.fleet.spread(revision);
        markers.extend(leader.asks());
    }
    let Some(Ask::Marker(oldest)) = markers.first().cloned() else {
        panic!("{markers:?}");
    };
    leader.says("leader", Said::Marker(oldest));
    assert!(leader.is_past(2, first().renewed()));
    assert!(!leader.is_past(8, first().renewed()));
}

#[test]
fn one_wrongly_declared_dead_is_alive_again_when_it_speaks() {
    let mut leader = Leader::settled();
    leader.beats("w1", 1, &[first()]);
    leader.pass(LAPSE);
    assert_eq!(leader.dead(), [holder("w1")]);
    leader.starts("w1", first().renewed());
    leader.suspects(first());
    assert_eq!(leader.hands(first()), Hands::Unknown);
    assert!(!leader.is_past(0, first().renewed()));
    leader.beats("w2", 1, &[]);
    leader.beats("w1", 1, &[first()]);
    assert_eq!(leader.hands(first()), Hands::Held(holder("w1")));
}

#[test]
fn a_controller_is_no_worker() {
    let mut leader = Leader::settled();
    leader.says("leader", Said::Unhold(stage()));
    leader.says("leader", Said::Marker(1));
    leader.suspects(first());
    leader.beats("w2", 1, &[]);
    assert_eq!(leader.hands(first()), Hands::Nobody);
}

#[test]
fn questions_are_forgotten_once_everybody_was_heard_and_the_answer_stays() {
    let mut leader = Leader::settled();
    leader.suspects(first());
    leader.beats("w2", 1, &[]);
    leader.asks();
    assert!(leader.fleet.questions.is_empty());
    assert_eq!(leader.hands(first()), Hands::Nobody);
}

#[test]
fn more_questions_than_are_kept_are_answered_together() {
    let mut leader = Leader::settled();
    leader.beats("w1", 1, &[]);
    let now = leader.now;
    for n in 0..QUESTIONS_MAX {
        let n = u128::try_from(n).unwrap().to_be_bytes();
        leader
            .fleet
            .suspect(Name::first(TicketId::from_bytes(n)), now);
    }
    leader.fleet.suspect(first(), now);
    assert_eq!(leader.fleet.questions.len(), QUESTIONS_MAX);
    assert_eq!(leader.hands(first()), Hands::Unknown);
    leader.beats("w1", 1, &[]);
    assert_eq!(leader.hands(first()), Hands::Nobody);
}

#[test]
fn more_workers_than_are_kept_apart_leave_everything_open() {
    let mut leader = Leader::settled();
    for n in 0..WORKERS_MAX {
        leader.beats(&format!("w{n}"), 1, &[]);
    }
    assert_eq!(leader.hands(first()), Hands::Nobody);
    leader.beats("one too many", 1, &[first()]);
    assert_eq!(leader.hands(first()), Hands::Unknown);
    assert!(!leader.is_past(1, first().renewed()));
}

#[test]
fn after_asking_the_fleet_wakes_in_the_future() {
    let mut leader = Leader::new();
    let script = |leader: &mut Leader, round: u32| match round {
        1 => leader.beats("w1", 1, &[]),
        2 => leader.gone("w1"),
        3 => leader.suspects(first()),
        _ => {}
    };
    for round in 0..20 {
        script(&mut leader, round);
        if round % 3 == 0 {
            leader.marks();
        } else {
            leader.asks();
        }
        leader.dead();
        if let Some(at) = leader.fleet.wakes_at() {
            assert!(
                at > leader.now,
                "round {round}: {at} is not after {}",
                leader.now
            );
            leader.now = at;
        }
    }
}

#[test]
fn those_that_are_gone_are_not_alive() {
    let mut leader = Leader::settled();
    leader.beats("w1", 1, &[]);
    leader.beats("w2", 1, &[]);
    leader.gone("w1");
    let alive: Vec<_> = leader
        .fleet
        .alive()
        .map(|beat| beat.holder.clone())
        .collect();
    assert_eq!(alive, [holder("w2")]);
}

#[test]
fn a_compact_fleet_answers_like_the_one_that_remembers() {
    for seed in 1..500 {
        let mut whole = Leader::new();
        let mut compact = Leader::new();
        let mut on_its_way = Vec::new();
        // How far the numbers of the markers have fallen apart.
        let mut fall = 0;
        let mut dice: u64 = seed;
        for step in 0..60 {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let chance = dice >> 60;
            let back = on_its_way.first().copied().filter(|_| chance > 9);
            on_its_way.retain(|marker| Some(*marker) != back);
            play(&mut whole, chance, back);
            play(&mut compact, chance, back.map(|marker: u64| marker - fall));
            compact.fleet.clock_is(compact.now);
            fall += compact.fleet.compact(compact.now);
            let told = |leader: &mut Leader| {
                let raised = first().renewed();
                (
                    leader.hands(first()),
                    leader.is_past(1, raised),
                    leader.dead(),
                )
            };
            assert_eq!(
                told(&mut whole),
                told(&mut compact),
                "seed {seed} step {step}"
            );
            let asked = whole.asks();
            let shift = |ask: &Ask| match ask {
                Ask::Marker(marker) => Ask::Marker(marker - fall),
                Ask::RollCall => Ask::RollCall,
            };
            let shifted: Vec<Ask> = asked.iter().map(shift).collect();
            assert_eq!(shifted, compact.asks(), "seed {seed} step {step}");
            on_its_way.extend(asked.iter().filter_map(|ask| match ask {
                Ask::Marker(marker) => Some(*marker),
                Ask::RollCall => None,
            }));
        }
    }
}

fn play(leader: &mut Leader, chance: u64, marker: Option<u64>) {
    let by = if chance.is_multiple_of(2) { "w1" } else { "w2" };
    match chance {
        0 | 1 => leader.beats(by, 1, &[]),
        2 => leader.beats(by, 0, &[first()]),
        3 => leader.starts(by, first()),
        4 => leader.suspects(first()),
        5 => leader.gone(by),
        6 => leader.now = leader.now.plus(LAPSE),
        7 | 8 => leader.now = leader.now.plus(BEAT_EVERY),
        9 => leader.fleet.spread(1),
        _ => {
            if let Some(marker) = marker {
                leader.says("leader", Said::Marker(marker));
            }
        }
    }
}

/// Who serves the stage, one `version: holders` after the other.
fn served(leader: &Leader) -> Option<String> {
    let serving = leader.fleet.serving()?;
    let versions = serving.get(&stage()).into_iter().flatten();
    let told = versions.map(|(version, holders)| {
        let holders: Vec<&str> = holders.keys().map(Holder::as_str).collect();
        format!("{version}: {}", holders.join(" "))
    });
    Some(told.collect::<Vec<_>>().join(", "))
}

#[test]
fn who_takes_only_some_kinds_is_known_by_them() {
    let mut leader = Leader::settled();
    let kinds = BTreeSet::from([Kind::new("nut").unwrap()]);
    let beat = Heartbeat {
        holder: holder("a"),
        hostname: "host".into(),
        stages: BTreeMap::from([(stage(), Version::new("1").unwrap())]),
        kinds: BTreeMap::from([(stage(), kinds.clone())]),
        revision: 1,
        in_hand: Vec::new(),
    };
    leader.says("a", Said::Beat(Box::new(beat)));
    leader.serves("b", "1");
    let serving = leader.fleet.serving().unwrap();
    let holders = serving[&stage()].values().next().unwrap();
    let expected = BTreeMap::from([(holder("a"), Some(kinds)), (holder("b"), None)]);
    assert_eq!(*holders, expected);
}

#[test]
fn nobody_is_said_to_serve_a_stage_before_everybody_who_lives_was_heard() {
    let mut leader = Leader::new();
    leader.fleet.expect(holder("b"), leader.now);
    leader.serves("a", "1");
    leader.marks();
    assert_eq!(served(&leader), None, "others may be there");
    leader.serves("b", "1");
    leader.pass(LAPSE - Duration::from_secs(1));
    leader.serves("a", "1");
    leader.serves("b", "1");
    assert_eq!(served(&leader), None);
    leader.pass(Duration::from_secs(1));
    assert_eq!(served(&leader).as_deref(), Some("1: a b"));
    leader.starts("c", first());
    assert_eq!(served(&leader), None, "it has not said what it serves");
    leader.serves("c", "2");
    assert_eq!(served(&leader).as_deref(), Some("1: a b, 2: c"));
}

#[test]
fn who_is_gone_serves_nothing_and_who_is_only_silent_does() {
    let mut leader = Leader::settled();
    leader.serves("a", "1");
    leader.serves("b", "1");
    leader.pass(LAPSE / 2);
    leader.serves("b", "2");
    assert_eq!(served(&leader).as_deref(), Some("1: a, 2: b"));
    leader.gone("b");
    assert_eq!(served(&leader).as_deref(), Some("1: a"));
}

/// By a worker's clock.
fn seconds(count: i64) -> Timestamp {
    Timestamp::from_micros(count * 1_000_000)
}

#[test]
fn a_beat_that_was_overtaken_says_nothing_about_hands() {
    for late in [(seconds(1), 1), (seconds(3), 0)] {
        let mut leader = Leader::settled();
        leader.beats_at(seconds(2), "w1", (1, &[first()]));
        leader.starts("w1", first());
        leader.suspects(first());
        leader.beats("w2", 1, &[]);
        let (at, revision) = late;
        leader.beats_at(at, "w1", (revision, &[]));
        assert_eq!(leader.hands(first()), Hands::Unknown, "{late:?}");
        leader.beats_at(seconds(4), "w1", (1, &[first()]));
        assert_eq!(leader.hands(first()), Hands::Held(holder("w1")));
    }
}

#[test]
fn a_beat_that_was_overtaken_is_a_sign_of_life() {
    let mut leader = Leader::settled();
    leader.beats_at(seconds(2), "w1", (1, &[first()]));
    leader.pass_with(LAPSE - BEAT_EVERY, &["w2"]);
    leader.beats_at(seconds(1), "w1", (1, &[]));
    leader.pass_with(LAPSE - BEAT_EVERY, &["w2"]);
    assert_eq!(leader.dead(), []);
    leader.pass_with(BEAT_EVERY * 2, &["w2"]);
    assert_eq!(leader.dead(), [holder("w1")]);
}

#[test]
fn a_worker_whose_clock_was_set_back_is_believed_again_after_a_lapse() {
    let mut leader = Leader::settled();
    leader.beats_at(seconds(3_600), "w1", (1, &[]));
    leader.suspects(first());
    leader.marks();
    let end = leader.now.plus(LAPSE);
    for second in 0.. {
        leader.beats_at(seconds(second), "w1", (1, &[first()]));
        leader.beats("w2", 1, &[]);
        leader.marks();
        if leader.now >= end {
            break;
        }
        assert_eq!(leader.hands(first()), Hands::Unknown);
        leader.now = leader.now.plus(BEAT_EVERY);
    }
    assert_eq!(leader.hands(first()), Hands::Held(holder("w1")));
    assert_eq!(leader.dead(), []);
    // From here on its clock orders its beats as before.
    leader.beats_at(seconds(0), "w1", (1, &[]));
    assert_eq!(leader.hands(first()), Hands::Held(holder("w1")));
}

#[test]
fn one_beat_that_was_overtaken_is_no_clock_that_was_set_back() {
    let mut leader = Leader::settled();
    for second in 0..20 {
        leader.now = leader.now.plus(BEAT_EVERY);
        leader.beats_at(seconds(second), "w1", (1, &[first()]));
        leader.beats_at(seconds(second - 1), "w1", (1, &[]));
        leader.marks();
        assert!(leader.fleet.alive().all(|says| says.in_hand == [first()]));
    }
}
