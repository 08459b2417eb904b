//! Who and what plays: the same two stages, tickets and names in every state.

use domain::delivery::Decision;
use domain::flow::{Flows, Stage};
use domain::names::{FlowName, Holder, Kind, StageName, Version};
use domain::oops::Scene;
use domain::retry::Chance;
use domain::ticket::{Lineage, Name, Payload, Ticket, TicketId};
use domain::time::Timestamp;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, LazyLock};

/// How many stages a ticket goes through.
pub const STAGES: u32 = 2;
/// How many workers there are at any time.
pub const SLOTS: usize = 2;
/// The time at which every state is looked at.
pub const NOW: Timestamp = Timestamp::from_micros(1_000_000_000);

/// A worker process: in which slot, and which incarnation. A process that died comes back as the
/// next one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Who {
    /// In which slot.
    pub slot: u8,
    /// Which incarnation.
    pub life: u8,
}

impl fmt::Debug for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "w{}", self.slot + 1)?;
        (0..self.life).try_for_each(|_| f.write_str("'"))
    }
}

struct Cast {
    holders: Vec<Vec<Holder>>,
    leader: Holder,
    bystander: Holder,
    flow: FlowName,
    stages: Vec<StageName>,
    flows: Flows,
    scene: Arc<Scene>,
}

/// The most incarnations of one slot.
const LIVES: u8 = 6;

static CAST: LazyLock<Cast> = LazyLock::new(|| {
    let holder = |name: &str| Holder::new(name).expect("the cast's names are valid");
    let slots = 0..u8::try_from(SLOTS).unwrap_or(u8::MAX);
    let lives = |slot| (0..LIVES).map(move |life| format!("{:?}", Who { slot, life }));
    let flow = FlowName::new("flow").expect("a valid name");
    let stage = |hop: u32| StageName::new(&format!("stage-{hop}")).expect("a valid name");
    let stages: Vec<StageName> = (0..STAGES).map(stage).collect();
    let rules = stages.iter().cloned().map(Stage::new).collect();
    let flows = BTreeMap::from([(flow.clone(), stages.clone())]);
    let scene = Scene {
        holder: holder("somebody"),
        hostname: "host".into(),
        version: Version::new("1").expect("a valid version"),
    };
    Cast {
        holders: slots
            .map(|slot| lives(slot).map(|name| holder(&name)).collect())
            .collect(),
        leader: holder("leader"),
        bystander: holder("bystander"),
        flow,
        stages,
        flows: Flows::new(rules, flows).expect("two stages make a flow"),
        scene: Arc::new(scene),
    }
});

/// The name that the code knows this worker by.
pub fn holder(who: Who) -> Holder {
    CAST.holders[usize::from(who.slot)][usize::from(who.life)].clone()
}

/// The worker that the code knows by this name.
pub fn who(name: &Holder) -> Option<Who> {
    let lives = || CAST.holders.iter().zip(0u8..);
    let lives = lives().flat_map(|(lives, slot)| lives.iter().zip(0u8..).map(move |l| (slot, l)));
    let mut same = lives.filter(|(_, (holder, _))| *holder == name);
    same.next().map(|(slot, (_, life))| Who { slot, life })
}

/// The controller.
pub fn leader() -> Holder {
    CAST.leader.clone()
}

/// Whoever speaks so that the journal flows.
pub fn bystander() -> Holder {
    CAST.bystander.clone()
}

/// Which process, for attempts and reports.
pub fn scene() -> Arc<Scene> {
    Arc::clone(&CAST.scene)
}

/// The stage that a ticket is at after this many hand-offs.
pub fn stage(name: &Name) -> StageName {
    let hop = usize::try_from(name.hop.0).unwrap_or(usize::MAX);
    CAST.stages[hop.min(CAST.stages.len() - 1)].clone()
}

/// The name under which the n-th ticket is accepted.
pub fn first(n: u8) -> Name {
    Name::first(TicketId::from_bytes([n; 16]))
}

/// Which ticket it is, counted from 0.
pub fn index(name: &Name) -> usize {
    usize::from(name.ticket.as_bytes()[0])
}

/// The ticket, under this name.
pub fn ticket(name: Name) -> Ticket {
    Ticket {
        name,
        kind: Kind::unnamed(),
        flow: Some(CAST.flow.clone()),
        stage: stage(&name),
        key: None,
        payload: Payload::default(),
        deadline: None,
        created_at: NOW,
        lineage: Lineage::root(name.ticket),
        trace: None,
    }
}

/// What a decision about this copy needs to know.
pub fn decision(name: &Name) -> Decision<'static> {
    Decision {
        stage: CAST
            .flows
            .stage(&stage(name))
            .expect("every stage of the cast is configured"),
        flows: &CAST.flows,
        now: NOW,
        chance: Chance::new(0.0),
    }
}

/// A name without its ticket, short.
pub fn short(name: &Name) -> String {
    let stage = char::from(b'a' + u8::try_from(name.hop.0).unwrap_or(25));
    format!("{stage}(g{} a{})", name.generation, name.attempt)
}
