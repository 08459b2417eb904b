//! [`Catalog`]: the books, for reading. Each answer is of one moment.

use super::fault::Fault;
use super::listing::{self, Tickets};
use super::rows::{self, ENTRIES, oops_id, parsed, small};
use super::working::{RUNNABLE_SUM, RUNNING_SUM, waiting_sum};
use super::{Postgres, control, counting, health, schema};
use crate::codes::{self, Count};
use async_trait::async_trait;
use domain::books::{Balance, Entry, Fact, Line, Served, StageCounts};
use domain::control::Snapshot;
use domain::names::{Holder, Kind, StageName, Version};
use domain::oops::OopsId;
use domain::outcome::Usage;
use domain::ports::{Catalog, Depth, Finding, Listing, Page, StoreError};
use domain::ticket::{Name, TicketId};
use domain::time::Timestamp;
use domain::wait::Reason;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;
use tokio_postgres::{Client, GenericClient, IsolationLevel, Row};
use uuid::Uuid;

/// The most lines of one ticket's history that are shown, the newest.
const LINES_MAX: i64 = 10_000;

const REPORTS: &str = "SELECT ticket, oops FROM history \
     WHERE ticket = ANY($1) AND oops IS NOT NULL ORDER BY at, line";
const ACCEPTED: &str = "SELECT t.created_at, t.parent, p.stage FROM tickets t \
     JOIN places p ON p.id = t.id WHERE t.id = $1";
const HISTORY: &str = "SELECT generation, hop, attempt, stage, at, started_at, outcome, holder, \
     version, oops, memory, cpu_user, cpu_system, what, why FROM history \
     WHERE ticket = $1 ORDER BY at DESC, line DESC LIMIT $2";
const SUMS: &str = "SELECT stage, what, sum(n)::bigint FROM counts GROUP BY stage, what";
/// Since when the oldest runnable ticket of each stage is ready: one look into the index a stage.
const OLDEST: &str = "SELECT s.stage, (SELECT since FROM places p \
     WHERE p.state = 0 AND p.stage = s.stage ORDER BY since LIMIT 1) \
     FROM unnest($1::text[]) AS s (stage)";

const SERVED: &str = "SELECT stage, version, kinds, count(*) FROM servers \
     GROUP BY stage, version, kinds ORDER BY stage, version, kinds";

#[async_trait]
impl Catalog for Postgres {
    async fn ticket(&self, id: TicketId) -> Result<Option<Entry>, StoreError> {
        self.call(async {
            let client = self.client().await?;
            entry(&**client, id).await
        })
        .await
    }

    async fn tickets(&self, listing: Listing) -> Result<Page<Entry>, StoreError> {
        self.call(async {
            let mut client = self.client().await?;
            let mut page = listing::list(&mut client, Tickets, &listing).await?;
            add_reports(&**client, &mut page.rows).await?;
            Ok(page)
        })
        .await
    }

    async fn history(&self, id: TicketId) -> Result<Vec<Line>, StoreError> {
        self.call(async { history(&**self.client().await?, id).await })
            .await
    }

    async fn balance(&self, since: Option<Timestamp>) -> Result<Balance, StoreError> {
        self.call(async {
            let Some(since) = since else {
                let client = self.client().await?;
                return Ok(Sums::read(&**client).await?.balance());
            };
            let _turn = self.shared.counting.lock().await;
            let mut client = self.client().await?;
            let moment = client.build_transaction().read_only(true).start().await?;
            let counted = counting::since(&moment, since).await?;
            counted.ok_or_else(counting::too_much)
        })
        .await
    }

    async fn stages(&self) -> Result<Vec<StageCounts>, StoreError> {
        self.call(async {
            let client = self.client().await?;
            Sums::read(&**client).await?.stages(&client).await
        })
        .await
    }

    async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        self.call(async { control::read(&**self.client().await?).await })
            .await
    }

    async fn check(&self, depth: Depth) -> Result<Vec<Finding>, StoreError> {
        self.call(async {
            let client = self.client().await?;
            let found = schema::found(&client).await?;
            let mut findings = health::check(&client, (found, schema::version())).await?;
            drop(client);
            if depth == Depth::Deep {
                findings.push(self.recount().await?);
            }
            Ok(findings)
        })
        .await
    }
}

/// A ticket with everything that the books know about it.
pub(super) async fn entry(
    client: &impl GenericClient,
    id: TicketId,
) -> Result<Option<Entry>, Fault> {
    let query = format!("{ENTRIES} WHERE t.id = $1");
    let Some(row) = client.query_opt(&query, &[&id.uuid()]).await? else {
        return Ok(None);
    };
    let mut entries = vec![rows::entry(&row)?];
    add_reports(client, &mut entries).await?;
    Ok(entries.pop())
}

/// Adds to each ticket the reports about it, oldest first.
pub(super) async fn add_reports(
    client: &impl GenericClient,
    entries: &mut [Entry],
) -> Result<(), Fault> {
    if entries.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = entries
        .iter()
        .map(|entry| entry.ticket.id().uuid())
        .collect();
    let mut reports: HashMap<Uuid, Vec<OopsId>> = HashMap::new();
    for row in client.query(REPORTS, &[&ids]).await? {
        let found = reports.entry(row.try_get(0)?).or_default();
        let oops = oops_id(row.try_get(1)?);
        if !found.contains(&oops) {
            found.push(oops);
        }
    }
    for entry in entries {
        let found = reports.remove(&entry.ticket.id().uuid());
        entry.oopses = found.unwrap_or_default();
    }
    Ok(())
}

async fn history(client: &impl GenericClient, id: TicketId) -> Result<Vec<Line>, Fault> {
    let Some(ticket) = client.query_opt(ACCEPTED, &[&id.uuid()]).await? else {
        return Ok(Vec::new());
    };
    let rows = client.query(HISTORY, &[&id.uuid(), &LINES_MAX]).await?;
    let told: Vec<Line> = rows
        .iter()
        .rev()
        .map(|row| line(row, id))
        .collect::<Result<_, _>>()?;
    let mut lines = vec![accepted(&ticket, id, told.first())?];
    lines.extend(told);
    Ok(lines)
}

/// How it began is not written down for each ticket: it follows from the ticket itself. The
/// publisher's clock may be ahead of ours.
fn accepted(ticket: &Row, id: TicketId, first: Option<&Line>) -> Result<Line, Fault> {
    let at = Timestamp::from_micros(ticket.try_get(0)?);
    let parent: Option<Uuid> = ticket.try_get(1)?;
    let stage = parsed(ticket.try_get(2)?, StageName::new)?;
    Ok(Line {
        at: first.map_or(at, |first| at.min(first.at)),
        name: Name::first(id),
        stage: first.map_or(stage, |first| first.stage.clone()),
        fact: Fact::Noted {
            what: "accepted".into(),
            why: parent.map_or_else(
                || "it was submitted".into(),
                |parent| format!("ticket {parent} sent it"),
            ),
            oops: None,
        },
    })
}

fn line(row: &Row, id: TicketId) -> Result<Line, Fault> {
    let outcome: Option<i16> = row.try_get(6)?;
    Ok(Line {
        at: Timestamp::from_micros(row.try_get(4)?),
        name: rows::name(row, id, 0)?,
        stage: parsed(row.try_get(3)?, StageName::new)?,
        fact: match outcome {
            Some(code) => attempted(row, code)?,
            None => Fact::Noted {
                what: row.try_get::<_, Option<_>>(13)?.unwrap_or_default(),
                why: row.try_get::<_, Option<_>>(14)?.unwrap_or_default(),
                oops: reported(row)?,
            },
        },
    })
}

fn reported(row: &Row) -> Result<Option<OopsId>, Fault> {
    let oops: Option<Uuid> = row.try_get(9)?;
    Ok(oops.map(oops_id))
}

fn attempted(row: &Row, code: i16) -> Result<Fact, Fault> {
    let number = |at: usize| -> Result<Option<u64>, Fault> {
        let number: Option<i64> = row.try_get(at)?;
        Ok(number.and_then(|number| u64::try_from(number).ok()))
    };
    let outcome = codes::outcome(code.into());
    Ok(Fact::Attempted {
        started_at: rows::time(row, 5)?.unwrap_or_default(),
        outcome: outcome.ok_or_else(|| Fault::row("an attempt's outcome", code))?,
        holder: match row.try_get::<_, Option<&str>>(7)? {
            Some(text) => parsed(text, Holder::new)?,
            None => Holder::unknown(),
        },
        version: parsed(
            row.try_get::<_, Option<&str>>(8)?.unwrap_or("unknown"),
            Version::new,
        )?,
        oops: reported(row)?,
        usage: Usage {
            memory_bytes_max: number(10)?,
            cpu_user: number(11)?.map(Duration::from_micros),
            cpu_system: number(12)?.map(Duration::from_micros),
        },
    })
}

impl Postgres {
    /// Counts every ticket, and compares with the sums of the same moment.
    async fn recount(&self) -> Result<Finding, Fault> {
        let _turn = self.shared.counting.lock().await;
        let client: &mut Client = &mut *self.client().await?;
        let moment = client.build_transaction().read_only(true);
        let moment = moment.isolation_level(IsolationLevel::RepeatableRead);
        let moment = moment.start().await?;
        let sums = Sums::read(&moment).await?;
        let counted = counting::since(&moment, Timestamp::from_micros(i64::MIN)).await?;
        let forgotten = sums.counted(Count::Forgotten);
        Ok(health::sums((&sums.balance(), forgotten), counted.as_ref()))
    }
}

/// The sums over all tickets; nobody counts rows but for [`Postgres::recount`].
struct Sums(BTreeMap<(String, i16), u64>);

impl Sums {
    async fn read(client: &impl GenericClient) -> Result<Self, Fault> {
        let mut sums = BTreeMap::new();
        for row in client.query(SUMS, &[]).await? {
            let sum: i64 = row.try_get(2)?;
            // A sum below zero would be a fault of ours: `goaround books` then shows that the
            // others do not agree.
            let sum = u64::try_from(sum).unwrap_or(0);
            sums.insert((row.try_get(0)?, row.try_get(1)?), sum);
        }
        Ok(Self(sums))
    }

    fn of(&self, stage: &str, what: i16) -> u64 {
        self.0.get(&(stage.to_owned(), what)).copied().unwrap_or(0)
    }

    fn counted(&self, what: Count) -> u64 {
        self.of("", small(what.code()))
    }

    fn over_stages(&self, what: i16) -> u64 {
        let of_it = self.0.iter().filter(|((_, counted), _)| *counted == what);
        of_it.map(|(_, sum)| sum).sum()
    }

    fn balance(&self) -> Balance {
        let waiting = Reason::ALL.map(|reason| (reason, self.over_stages(waiting_sum(reason))));
        Balance {
            accepted: self.counted(Count::Accepted),
            runnable: self.over_stages(RUNNABLE_SUM),
            running: self.over_stages(RUNNING_SUM),
            waiting: waiting.into_iter().filter(|(_, sum)| *sum > 0).collect(),
            done: self.counted(Count::Done),
            dropped: self.counted(Count::Dropped),
        }
    }

    async fn stages(&self, client: &Client) -> Result<Vec<StageCounts>, Fault> {
        let mut served = served(client).await?;
        let counted = self.0.keys().map(|(stage, _)| stage.as_str());
        let counted = counted.filter(|stage| !stage.is_empty());
        let stages: BTreeSet<String> = counted
            .map(str::to_owned)
            .chain(served.keys().map(ToString::to_string))
            .collect();
        let stages: Vec<String> = stages.into_iter().collect();
        let mut counts = Vec::with_capacity(stages.len());
        for row in client.query(OLDEST, &[&stages]).await? {
            let stage: String = row.try_get(0)?;
            let name = parsed(&stage, StageName::new)?;
            let waiting = Reason::ALL.map(|reason| (reason, self.of(&stage, waiting_sum(reason))));
            counts.push(StageCounts {
                ready: self.of(&stage, RUNNABLE_SUM),
                running: self.of(&stage, RUNNING_SUM),
                waiting: waiting.into_iter().filter(|(_, sum)| *sum > 0).collect(),
                done: self.of(&stage, small(Count::AttemptsDone.code())),
                failed: self.of(&stage, small(Count::AttemptsFailed.code())),
                oldest_ready: rows::time(&row, 1)?,
                served: served.remove(&name).unwrap_or_default(),
                stage: name,
            });
        }
        counts.sort_by(|a, b| a.stage.cmp(&b.stage));
        Ok(counts)
    }
}

/// Who serves each stage, as the leader last heard.
async fn served(client: &Client) -> Result<BTreeMap<StageName, Vec<Served>>, Fault> {
    let mut stages: BTreeMap<StageName, Vec<Served>> = BTreeMap::new();
    for row in client.query(SERVED, &[]).await? {
        let kinds: Option<&str> = row.try_get(2)?;
        let kinds = kinds.map(|kinds| kinds.lines().map(|kind| parsed(kind, Kind::new)).collect());
        let served = Served {
            version: parsed(row.try_get(1)?, Version::new)?,
            kinds: kinds.transpose()?,
            workers: row.try_get::<_, i64>(3)?.cast_unsigned(),
        };
        let stage = parsed(row.try_get(0)?, StageName::new)?;
        stages.entry(stage).or_default().push(served);
    }
    Ok(stages)
}
