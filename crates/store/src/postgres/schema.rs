//! The tables, and how they are made and brought up to date.

use super::connect::{Connector, SCHEMA};
use super::fault::{Fault, PostgresError};
use super::partitions;
use domain::time::Timestamp;
use tokio_postgres::Client;

/// Only ever appended to; the version is how many of them were carried out.
const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001.sql"),
    include_str!("migrations/0002.sql"),
    include_str!("migrations/0003.sql"),
    include_str!("migrations/0004.sql"),
    include_str!("migrations/0005.sql"),
];

/// Who holds it is changing the tables. The number is "goaround" in letters.
const MIGRATION_LOCK: i64 = 0x676F_6172_6F75_6E64;

/// Brings the tables up to date, one transaction for all of it.
pub(crate) async fn prepare(connector: &Connector, now: Timestamp) -> Result<(), PostgresError> {
    let place = connector.place();
    let (mut client, wire) = connector
        .connect()
        .await
        .map_err(|fault| fault.into_open_error(place))?;
    let brought = async {
        let found = migrate(&mut client).await?;
        if found <= version() {
            partitions::prepare(&client, now).await?;
        }
        Ok::<_, Fault>(found)
    };
    // The wire ends only when the connection does, with an error that the statement tells as well.
    let brought = tokio::select! {
        brought = brought => brought,
        ended = wire => Err(match ended {
            Err(error) => Fault::Sql(error),
            Ok(()) => Fault::row("the connection", "it was closed"),
        }),
    };
    match brought.map_err(|fault| fault.into_open_error(place))? {
        found if found > version() => Err(PostgresError::Newer {
            place: place.to_owned(),
            found,
            known: version(),
        }),
        _ => Ok(()),
    }
}

/// The version of the tables.
pub(crate) async fn found(client: &Client) -> Result<i64, Fault> {
    let row = client.query_opt("SELECT version FROM meta", &[]).await?;
    Ok(row.map_or(Ok(0), |row| row.try_get(0))?)
}

/// The newest version that this program knows.
pub(crate) const fn version() -> i64 {
    MIGRATIONS.len() as i64
}

/// Returns the version that was found; changes nothing if it is a newer one.
async fn migrate(client: &mut Client) -> Result<i64, Fault> {
    let change = client.transaction().await?;
    // Several controllers may start at once; the lock ends with the transaction.
    change
        .execute("SELECT pg_advisory_xact_lock($1)", &[&MIGRATION_LOCK])
        .await?;
    change
        .batch_execute(&format!(
            "CREATE SCHEMA IF NOT EXISTS {SCHEMA};
             CREATE TABLE IF NOT EXISTS meta (
               one boolean PRIMARY KEY DEFAULT true CHECK (one), version bigint NOT NULL);"
        ))
        .await?;
    let found = change
        .query_opt("SELECT version FROM meta", &[])
        .await?
        .map_or(0, |row| row.get(0));
    let seen = usize::try_from(found).unwrap_or(0);
    for step in MIGRATIONS.iter().skip(seen) {
        change.batch_execute(step).await?;
    }
    if found < version() {
        let write = "INSERT INTO meta (version) VALUES ($1)
                     ON CONFLICT (one) DO UPDATE SET version = excluded.version";
        change.execute(write, &[&version()]).await?;
    }
    change.commit().await?;
    Ok(found)
}
