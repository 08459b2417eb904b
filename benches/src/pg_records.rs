//! How many attempts a second the books take in PostgreSQL, beside bare grouped inserts of as many
//! rows with the same bytes.

use crate::table::Table;
use crate::{Size, noop};
use domain::flow::Journal;
use domain::names::StageName;
use domain::oops::{Scene, Span};
use domain::outcome::{OutcomeKind, Usage};
use domain::ports::{Catalog, Election};
use domain::record::{Fate, Parted, Record, Said, Started};
use domain::settlement::Ended;
use domain::ticket::{Lineage, Name, Payload, Ticket};
use goaround::line::Ground;
use std::sync::Arc;
use std::time::Instant;
use store::{Postgres, PostgresConfig};
use tokio::task::JoinSet;
use tokio_postgres::NoTls;
use uuid::Uuid;

/// Records of one group, as the controller reads them.
const GROUP: usize = 1_000;
const SHARE: usize = 5;

pub(crate) fn attempts(size: &Size, table: &mut Table) -> anyhow::Result<()> {
    let servers = size.servers()?;
    let attempts = size.tickets / SHARE / GROUP * GROUP;
    actix_rt::System::new().block_on(async {
        let (mut bare, mut ours) = (Vec::new(), Vec::new());
        for _ in 0..size.rounds {
            bare.push(inserted(&servers.place().store, attempts).await?);
            ours.push(recorded(&servers.place().store, attempts).await?);
        }
        let what = "attempts recorded in PostgreSQL (a new ticket each, started and ended)";
        table.rates(what, &mut bare, &mut ours, 0.25);
        anyhow::Ok(())
    })
}

/// What a worker says of its attempts.
struct Worker {
    ground: Ground,
    scene: Arc<Scene>,
    stage: StageName,
}

impl Worker {
    fn record(&self, said: Said) -> Record {
        Record {
            by: self.scene.holder.clone(),
            at: self.ground.clock.now(),
            said,
        }
    }

    fn started(&self, ticket: Ticket) -> Record {
        self.record(Said::Started(Box::new(Started {
            name: ticket.name,
            stage: self.stage.clone(),
            scene: Arc::clone(&self.scene),
            ticket: Some(Box::new(ticket)),
            claimed: false,
        })))
    }

    fn ended(&self, name: Name) -> Record {
        let now = self.ground.clock.now();
        let ended = Ended {
            span: Span {
                started_at: now,
                ended_at: now,
            },
            outcome: OutcomeKind::Done,
            oops: None,
            usage: Usage::default(),
            scene: Arc::clone(&self.scene),
            signature: None,
        };
        self.record(Said::Ended(Box::new(Parted {
            name,
            stage: self.stage.clone(),
            ended: Some(ended),
            to: Fate::Finished,
            emits: Vec::new(),
        })))
    }

    fn ticket(&self) -> Ticket {
        let id = self.ground.clock.ticket_id();
        Ticket {
            name: Name::first(id),
            kind: domain::names::Kind::unnamed(),
            flow: Some(noop::constant("bench")),
            stage: self.stage.clone(),
            key: None,
            payload: Payload::untyped(&[b'x'; 64][..]),
            deadline: None,
            created_at: self.ground.clock.now(),
            lineage: Lineage::root(id),
            trace: None,
        }
    }
}

/// The groups as a journal has them: the ends of one group come with the starts of the next.
async fn recorded(url: &str, attempts: usize) -> anyhow::Result<f64> {
    let ground = Ground::new(noop::flows_with(1, 1, Journal::Full), Vec::new())?;
    let (flows, clock) = (Arc::clone(&ground.flows), Arc::clone(&ground.clock));
    let holder = ground.holder.clone();
    let config = PostgresConfig::new(url);
    let books = Postgres::open(config, flows, clock, holder.clone()).await?;
    let ledger = books.lead().await?;
    let scene = Scene {
        holder,
        hostname: ground.hostname.clone(),
        version: noop::constant("noop-1"),
    };
    let worker = Worker {
        ground,
        scene: Arc::new(scene),
        stage: noop::constant("s1"),
    };
    let mut ends: Vec<Record> = Vec::new();
    let start = Instant::now();
    for _ in 0..attempts * 2 / GROUP {
        let tickets: Vec<Ticket> = (0..GROUP / 2).map(|_| worker.ticket()).collect();
        let next = tickets
            .iter()
            .map(|ticket| worker.ended(ticket.name))
            .collect();
        let mut group = std::mem::replace(&mut ends, next);
        group.extend(tickets.into_iter().map(|ticket| worker.started(ticket)));
        ledger.apply(group).await?;
    }
    ledger.apply(ends).await?;
    let rate = attempts as f64 / start.elapsed().as_secs_f64();
    let balance = books.balance(None).await?;
    let is_whole = balance.is_balanced() && balance.done == attempts as u64;
    anyhow::ensure!(is_whole, "the books do not balance: {balance:?}");
    Ok(rate)
}

const TABLE: &str = "CREATE TABLE bare (ticket uuid, name bigint, what smallint, stage text,
  holder text, version text, at bigint, body bytea, PRIMARY KEY (ticket, name, what))";
const INSERT: &str = "INSERT INTO bare SELECT * FROM unnest($1::uuid[], $2::bigint[],
  $3::smallint[], $4::text[], $5::text[], $6::text[], $7::bigint[], $8::bytea[])";

/// Two rows an attempt, one for its start and one for its end, as many a transaction.
async fn inserted(url: &str, attempts: usize) -> anyhow::Result<f64> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    let mut driver = JoinSet::new();
    driver.spawn_local(connection);
    client.batch_execute(TABLE).await?;
    let insert = client.prepare(INSERT).await?;
    let holder = "a-host-of-this-name:12345:0123456789ab";
    let start = Instant::now();
    for at in 0..(attempts * 2 / GROUP) as i64 {
        let half = GROUP / 2;
        let tickets: Vec<Uuid> = (0..half).map(|_| Uuid::now_v7()).collect();
        let tickets = [tickets.as_slice(), &tickets].concat();
        let what = [vec![0i16; half], vec![1; half]].concat();
        let bodies: Vec<Option<&[u8]>> =
            [vec![Some(&[b'x'; 64][..]); half], vec![None; half]].concat();
        let (name, stage) = (vec![1i64; GROUP], vec!["s1"; GROUP]);
        let (holders, versions) = (vec![holder; GROUP], vec!["noop-1"; GROUP]);
        let ats = vec![at; GROUP];
        client
            .execute(
                &insert,
                &[
                    &tickets, &name, &what, &stage, &holders, &versions, &ats, &bodies,
                ],
            )
            .await?;
    }
    Ok(attempts as f64 / start.elapsed().as_secs_f64())
}
