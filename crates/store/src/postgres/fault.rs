//! What can go wrong with PostgreSQL, in the words of whoever has to repair it. Never a password.

use deadpool_postgres::PoolError;
use domain::ports::StoreError;
use std::error::Error;
use tokio_postgres::error::SqlState;

/// The store cannot be used. Nothing in it was changed.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    /// The URL cannot be read.
    #[error(
        "store.url: expected postgres://USER:PASSWORD@HOST:PORT/DATABASE, got one that cannot be \
         read: {why}; correct it"
    )]
    Url {
        /// What is wrong with it.
        why: String,
    },
    /// What TLS needs is not there.
    #[error("store.url: {why}")]
    Tls {
        /// What is wrong, and what to do.
        why: String,
    },
    /// No connection can be made.
    #[error("PostgreSQL at {place}: expected a connection, got: {why}; {remedy}")]
    Connect {
        /// Where, without the password.
        place: String,
        /// What was said.
        why: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The tables were made by a newer goaround.
    #[error(
        "PostgreSQL at {place}: expected schema version {known} or older, got {found}; it was \
         written by a newer goaround: start that one, or restore a backup from before the upgrade"
    )]
    Newer {
        /// Where, without the password.
        place: String,
        /// Its version.
        found: i64,
        /// The newest that this program knows.
        known: i64,
    },
    /// Something that another try may change.
    #[error("{0}")]
    Store(StoreError),
}

/// What stopped a call: PostgreSQL, the pool, or rows that make no sense.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error("{}", spoken(.0))]
    Sql(#[from] tokio_postgres::Error),
    #[error("{}", pooled(.0))]
    Pool(#[from] PoolError),
    #[error("{0}")]
    Row(String),
    /// Another transaction moved the same ticket meanwhile; another try sees what it did.
    #[error("another transaction moved ticket {0} meanwhile")]
    Collision(domain::ticket::TicketId),
    /// What the caller is to hear as it is.
    #[error("{0}")]
    Said(StoreError),
}

impl From<crate::error::Fault> for Fault {
    /// What both stores read in the same way.
    fn from(fault: crate::error::Fault) -> Self {
        Self::Row(fault.to_string())
    }
}

impl Fault {
    /// A column that holds what was never written there.
    pub(crate) fn row(what: &str, found: impl std::fmt::Display) -> Self {
        Self::Row(format!("{what}: {found}"))
    }

    fn code(&self) -> Option<&SqlState> {
        match self {
            Self::Sql(error) | Self::Pool(PoolError::Backend(error)) => error.code(),
            _ => None,
        }
    }

    /// Whether it only met another transaction, so that the same again may go well.
    pub(crate) fn is_collision(&self) -> bool {
        let met = [
            SqlState::T_R_SERIALIZATION_FAILURE,
            SqlState::T_R_DEADLOCK_DETECTED,
        ];
        matches!(self, Self::Collision(_)) || self.code().is_some_and(|code| met.contains(code))
    }

    /// The same for callers, who know the server by its place.
    pub(crate) fn into_store_error(self, place: &str) -> StoreError {
        if let Self::Said(error) = self {
            return error;
        }
        let why = format!("PostgreSQL at {place}: {self}");
        let code = self.code();
        let is_one_of = |codes: &[SqlState]| code.is_some_and(|code| codes.contains(code));
        if is_one_of(&[SqlState::DISK_FULL]) {
            StoreError::Full(format!("PostgreSQL at {place}"))
        } else if matches!(self, Self::Row(_))
            || is_one_of(&[SqlState::DATA_CORRUPTED, SqlState::INDEX_CORRUPTED])
        {
            StoreError::Damaged(why)
        } else {
            StoreError::Unavailable(why)
        }
    }

    /// The same for whoever opens the store.
    pub(crate) fn into_open_error(self, place: &str) -> PostgresError {
        match self.code() {
            Some(code) => match remedy(code) {
                Some(remedy) => PostgresError::Connect {
                    place: place.to_owned(),
                    why: self.to_string(),
                    remedy,
                },
                None => PostgresError::Store(self.into_store_error(place)),
            },
            None => match self {
                Self::Sql(_) | Self::Pool(_) => PostgresError::Connect {
                    place: place.to_owned(),
                    why: self.to_string(),
                    remedy: "start the server there, or correct store.url",
                },
                other => PostgresError::Store(other.into_store_error(place)),
            },
        }
    }
}

/// What a person does about this refusal of a connection.
fn remedy(code: &SqlState) -> Option<&'static str> {
    let class = code.code().get(..2);
    Some(match class {
        Some("28") => "correct user and password in store.url, or let them in by pg_hba.conf",
        Some("3D") => "create the database, or correct its name in store.url",
        Some("42") => "let this user create a schema: GRANT CREATE ON DATABASE ... TO ...",
        Some("53") => "give the server more connections, disk or memory; see its log",
        Some("57") => "the server starts or stops: wait, or look into its log",
        _ => return None,
    })
}

/// What the server or the connection said, with what lies behind it.
fn spoken(error: &tokio_postgres::Error) -> String {
    if let Some(said) = error.as_db_error() {
        let mut text = format!("{} ({})", said.message(), said.code().code());
        if let Some(detail) = said.detail() {
            text = format!("{text}: {detail}");
        }
        return text;
    }
    let mut text = error.to_string();
    let mut behind = error.source();
    while let Some(cause) = behind {
        text = format!("{text}: {cause}");
        behind = cause.source();
    }
    text
}

fn pooled(error: &PoolError) -> String {
    match error {
        PoolError::Backend(error) => spoken(error),
        PoolError::Timeout(_) => {
            "no connection became free in time; raise store.connections_max, or see what keeps the \
             server busy"
                .into()
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_makes_no_sense_is_damage_and_names_its_place() {
        let said = Fault::row("a ticket's state", 99).into_store_error("db:5432/goaround");
        assert_eq!(
            said,
            StoreError::Damaged("PostgreSQL at db:5432/goaround: a ticket's state: 99".into())
        );
    }

    #[test]
    fn a_refusal_says_what_to_do() {
        assert!(remedy(&SqlState::INVALID_PASSWORD).is_some());
        assert!(remedy(&SqlState::INVALID_CATALOG_NAME).is_some());
        assert!(remedy(&SqlState::SYNTAX_ERROR).is_some(), "class 42");
        assert!(remedy(&SqlState::DIVISION_BY_ZERO).is_none());
    }
}
