//! What the server says about its own health, each finding with what to do about it.

use super::fault::Fault;
use domain::books::Balance;
use domain::ports::Finding;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio_postgres::{Client, Row};

/// The oldest server that the tables and statements are tested with.
const VERSION_MIN: i64 = 15;
/// Fewer free connections than this are worth a word.
const FREE_CONNECTIONS_MIN: i64 = 5;
/// A transaction that is older keeps dead rows from being swept away.
const TRANSACTION_MAX: Duration = Duration::from_secs(600);
/// Transaction numbers run out at 2^31; the server refuses to write shortly before.
const FREEZE_AGE_MAX: i64 = 1_500_000_000;
/// Rows that came when their day had no partition of its own, at the most.
const REST_MAX: i64 = 100_000;

const SETTINGS: &str = "SELECT name, setting FROM pg_settings WHERE name IN ('server_version', \
     'server_version_num', 'fsync', 'full_page_writes', 'synchronous_commit', 'max_connections', \
     'superuser_reserved_connections', 'synchronous_standby_names', 'data_checksums')";
const STATE: &str = "SELECT pg_is_in_recovery(), \
     (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'), \
     pg_database_size(current_database()), \
     (SELECT coalesce(extract(epoch FROM max(clock_timestamp() - xact_start)), 0)::bigint \
        FROM pg_stat_activity WHERE backend_type = 'client backend'), \
     (SELECT age(datfrozenxid)::bigint FROM pg_database WHERE datname = current_database()), \
     (SELECT count(*) FROM pg_stat_replication)";
const LEADER: &str = "SELECT term, holder FROM leader";
const REST: &str = "SELECT (SELECT count(*) FROM (SELECT FROM history_rest LIMIT $1) h), \
     (SELECT count(*) FROM (SELECT FROM oopses_rest LIMIT $1) o)";

/// Looks at everything; `known` is the newest schema version that this program knows, `found` the
/// one of the tables.
pub(super) async fn check(
    client: &Client,
    (found, known): (i64, i64),
) -> Result<Vec<Finding>, Fault> {
    let settings = client.query(SETTINGS, &[]).await?;
    let settings: BTreeMap<String, String> = settings
        .iter()
        .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
        .collect::<Result<_, Fault>>()?;
    let state = client.query_one(STATE, &[]).await?;
    let mut findings = vec![version(&settings), schema(found, known), primary(&state)?];
    findings.extend(durability(&settings));
    findings.push(replicas(&settings, state.try_get(5)?));
    findings.push(connections(&settings, state.try_get(1)?));
    findings.push(leader(&client.query_one(LEADER, &[]).await?)?);
    let bytes: i64 = state.try_get(2)?;
    findings.push(fine("postgresql: size", format!("{bytes} bytes")));
    findings.push(oldest_transaction(state.try_get(3)?));
    findings.push(freeze(state.try_get(4)?));
    let limit = REST_MAX + 1;
    findings.extend(rest(&client.query_one(REST, &[&limit]).await?)?);
    Ok(findings)
}

fn fine(about: &str, seen: impl Into<String>) -> Finding {
    Finding {
        about: about.into(),
        is_fine: true,
        seen: seen.into(),
        remedy: None,
    }
}

/// The remedy is said only when it is not fine.
fn judged(about: &str, is_fine: bool, seen: impl Into<String>, remedy: &str) -> Finding {
    Finding {
        is_fine,
        remedy: (!is_fine).then(|| remedy.into()),
        ..fine(about, seen)
    }
}

fn setting<'a>(settings: &'a BTreeMap<String, String>, name: &str) -> &'a str {
    settings.get(name).map_or("unknown", String::as_str)
}

fn number(settings: &BTreeMap<String, String>, name: &str) -> i64 {
    setting(settings, name).parse().unwrap_or(0)
}

fn version(settings: &BTreeMap<String, String>) -> Finding {
    let major = number(settings, "server_version_num") / 10_000;
    judged(
        "postgresql: version",
        major >= VERSION_MIN,
        setting(settings, "server_version"),
        &format!("upgrade the server: {VERSION_MIN} is the oldest that is tested"),
    )
}

fn schema(found: i64, known: i64) -> Finding {
    let remedy = match found > known {
        true => "these tables belong to a newer goaround: upgrade this one",
        false => "restart goaround to bring them up to date",
    };
    let seen = format!("{found} of {known}");
    judged("postgresql: schema version", found == known, seen, remedy)
}

fn primary(state: &Row) -> Result<Finding, Fault> {
    let is_standby: bool = state.try_get(0)?;
    Ok(judged(
        "postgresql: primary",
        !is_standby,
        if is_standby { "a standby" } else { "it is" },
        "it takes no writes: point store.url at the primary, \
         or name all servers in it and add target_session_attrs=read-write",
    ))
}

/// Accepted means durable: only with these.
fn durability(settings: &BTreeMap<String, String>) -> Vec<Finding> {
    let commit = setting(settings, "synchronous_commit");
    let is_on = |name| setting(settings, name) == "on";
    vec![
        judged(
            "postgresql: fsync",
            is_on("fsync"),
            setting(settings, "fsync"),
            "set fsync = on in postgresql.conf: a power loss may destroy the whole database",
        ),
        judged(
            "postgresql: full_page_writes",
            is_on("full_page_writes"),
            setting(settings, "full_page_writes"),
            "set full_page_writes = on in postgresql.conf, unless the file system writes pages \
             as a whole: a power loss may leave half-written ones",
        ),
        judged(
            "postgresql: synchronous_commit",
            matches!(commit, "on" | "remote_write" | "remote_apply" | "local"),
            commit,
            "set synchronous_commit = on for goaround's user: without it the last transactions \
             before a crash are lost though they were answered",
        ),
    ]
}

fn replicas(settings: &BTreeMap<String, String>, connected: i64) -> Finding {
    let names = setting(settings, "synchronous_standby_names");
    let is_synchronous = !matches!(names, "" | "unknown");
    let seen = match (is_synchronous, connected) {
        (true, 0) => "none connected, though commits wait for one".into(),
        (true, _) => format!("{connected} connected, commits wait for {names}"),
        (false, 0) => "none".into(),
        (false, _) => format!(
            "{connected} connected, none synchronous: a failover may lose the last transactions"
        ),
    };
    judged(
        "postgresql: replicas",
        !(is_synchronous && connected == 0),
        seen,
        "bring a standby up, or take it out of synchronous_standby_names: until then \
         no transaction ends",
    )
}

fn connections(settings: &BTreeMap<String, String>, used: i64) -> Finding {
    let all = number(settings, "max_connections");
    let free = all - number(settings, "superuser_reserved_connections") - used;
    judged(
        "postgresql: connections",
        free >= FREE_CONNECTIONS_MIN,
        format!("{used} of {all}"),
        "raise max_connections, or find out who holds so many: \
         SELECT usename, application_name, count(*) FROM pg_stat_activity GROUP BY 1, 2",
    )
}

fn leader(row: &Row) -> Result<Finding, Fault> {
    let term: i64 = row.try_get(0)?;
    let holder: String = row.try_get(1)?;
    let seen = match holder.is_empty() {
        true => "nobody has led yet".into(),
        false => format!("{holder}, term {term}"),
    };
    Ok(fine("controller: last leader", seen))
}

fn oldest_transaction(seconds: i64) -> Finding {
    let max = i64::try_from(TRANSACTION_MAX.as_secs()).unwrap_or(i64::MAX);
    judged(
        "postgresql: oldest transaction",
        seconds <= max,
        format!("{seconds} s"),
        "end it: it keeps dead rows from being swept away, and everything becomes slower; \
         SELECT pid, usename, query FROM pg_stat_activity ORDER BY xact_start",
    )
}

fn freeze(age: i64) -> Finding {
    judged(
        "postgresql: transaction numbers",
        age <= FREEZE_AGE_MAX,
        format!("{age} used since the oldest row was frozen"),
        "run VACUUM (FREEZE) and look why autovacuum does not keep up: \
         at 2 billion the server stops writing",
    )
}

fn rest(row: &Row) -> Result<Vec<Finding>, Fault> {
    let tables = ["history_rest", "oopses_rest"].into_iter().enumerate();
    tables
        .map(|(at, table)| {
            let rows: i64 = row.try_get(at)?;
            Ok(judged(
                &format!("postgresql: {table}"),
                rows <= REST_MAX,
                match rows > REST_MAX {
                    true => format!("more than {REST_MAX} rows"),
                    false => format!("{rows} rows"),
                },
                "these rows tell of days that have no partition of their own, so they are \
                 forgotten row by row: look at the clocks of the workers, and whether \
                 goaround's user may create tables",
            ))
        })
        .collect()
}

/// Whether the sums are those of the rows, when so many are forgotten; `counted` is `None` when
/// there were too many rows to count them.
pub(super) fn sums((kept, forgotten): (&Balance, u64), counted: Option<&Balance>) -> Finding {
    let about = "postgresql: sums";
    let Some(counted) = counted else {
        return fine(
            about,
            "not compared: there are too many tickets to count them",
        );
    };
    let ended = |sums: &Balance| sums.done + sums.dropped;
    let in_hand = |sums: &Balance| (sums.runnable, sums.running, sums.waiting.clone());
    let agree = counted.is_balanced()
        && kept.accepted == counted.accepted + forgotten
        && ended(kept) == ended(counted) + forgotten
        && in_hand(kept) == in_hand(counted);
    let seen = match agree {
        true => format!("{} tickets counted, and they agree", counted.accepted),
        false => format!(
            "kept: {}, {forgotten} of them forgotten; counted: {}",
            told(kept),
            told(counted)
        ),
    };
    judged(
        about,
        agree,
        seen,
        "this is a fault of goaround: keep the database as it is, and open an issue with this line",
    )
}

fn told(sums: &Balance) -> String {
    let Balance {
        accepted,
        runnable,
        running,
        done,
        dropped,
        ..
    } = sums;
    let waiting = sums.waiting_total();
    format!(
        "{accepted} accepted, {runnable} runnable, {running} running, {waiting} waiting, \
         {done} done, {dropped} dropped"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()))
            .collect()
    }

    #[test]
    fn a_server_that_may_lose_what_it_answered_is_not_fine() {
        let safe = settings(&[
            ("fsync", "on"),
            ("full_page_writes", "on"),
            ("synchronous_commit", "on"),
        ]);
        assert!(durability(&safe).iter().all(|finding| finding.is_fine));
        for name in ["fsync", "full_page_writes", "synchronous_commit"] {
            let mut settings = safe.clone();
            settings.insert(name.into(), "off".into());
            let findings = durability(&settings);
            let bad: Vec<_> = findings.iter().filter(|finding| !finding.is_fine).collect();
            assert_eq!(bad.len(), 1, "{name}");
            assert!(bad[0].about.ends_with(name) && bad[0].remedy.is_some());
        }
    }

    #[test]
    fn commits_that_wait_for_nobody_are_told() {
        let settings = settings(&[("synchronous_standby_names", "standby")]);
        assert!(!replicas(&settings, 0).is_fine);
        assert!(replicas(&settings, 1).is_fine);
    }

    #[test]
    fn sums_that_are_not_those_of_the_rows_are_told() {
        let kept = Balance {
            accepted: 5,
            runnable: 1,
            done: 3,
            dropped: 1,
            ..Balance::default()
        };
        let counted = Balance {
            accepted: 3,
            runnable: 1,
            done: 2,
            ..Balance::default()
        };
        assert!(sums((&kept, 2), Some(&counted)).is_fine);
        assert!(sums((&kept, 2), None).is_fine, "nobody knows");
        assert!(!sums((&kept, 1), Some(&counted)).is_fine);
        let lost = Balance {
            runnable: 0,
            ..counted
        };
        let finding = sums((&kept, 2), Some(&lost));
        assert!(!finding.is_fine && finding.remedy.is_some());
        assert!(finding.seen.contains("counted: 3 accepted, 0 runnable"));
    }

    #[test]
    fn few_free_connections_and_old_transactions_are_told() {
        let settings = settings(&[
            ("max_connections", "20"),
            ("superuser_reserved_connections", "3"),
        ]);
        assert!(connections(&settings, 12).is_fine);
        assert!(!connections(&settings, 13).is_fine);
        assert!(!oldest_transaction(601).is_fine);
        assert!(!schema(2, 1).is_fine);
    }
}
