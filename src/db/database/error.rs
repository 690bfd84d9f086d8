//! Why the database did not do what it was asked. What it says itself may repeat a number, an address or a hash ("Duplicate
//! entry …"), so that only such words of it are passed on as cannot (LOG-02).

use std::fmt;

use sqlx::migrate::MigrateError;

/// What kind of failure it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// It does not answer, is starting or stopping, or has no connection to spare.
    Unreachable,
    /// It takes no changes: another server leads now, and this one follows it.
    ReadOnly,
    /// It was reached at the start, but its tables are not known to be up to date yet.
    NotReady,
    /// It does not let us in: name, password, certificate, rights, or no such database.
    Refused,
    /// Its certificate is not one to be believed.
    Untrusted,
    /// A newer version of this program has changed its tables.
    Newer,
    /// A migration broke off, or is not the one that was applied.
    Migration,
    /// The statement took too long.
    Slow,
    /// Two changes were in each other's way, and this one was undone. It may be tried again.
    Conflict,
    /// A constraint refused.
    Constraint,
    /// Anything else.
    Other,
}

impl Reason {
    /// In a few words, for whoever operates the server.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::Unreachable => "does not answer",
            Reason::ReadOnly => "takes no changes: another server leads",
            Reason::NotReady => "is not ready yet",
            Reason::Refused => "does not let us in",
            Reason::Untrusted => "shows a certificate that is not trusted here",
            Reason::Newer => "was changed by a newer version of this program: run that one",
            Reason::Migration => "has a migration that is not as it should be",
            Reason::Slow => "took too long",
            Reason::Conflict => "undid a change that was in the way of another",
            Reason::Constraint => "refused a value by a constraint",
            Reason::Other => "failed",
        }
    }
}

/// Why a statement failed.
pub struct DataError {
    reason: Reason,
    source: Option<sqlx::Error>,
    detail: String,
}

impl DataError {
    /// What kind of failure it is.
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// A failure that no statement caused.
    pub(crate) fn because(reason: Reason, detail: impl Into<String>) -> DataError {
        DataError { reason, source: None, detail: detail.into() }
    }

    /// Whether a constraint of that name (or on that column, as SQLite reports it) refused.
    pub fn is_refused_by(&self, constraint: &str, column: &str) -> bool {
        let Some(error) = self.source.as_ref().and_then(sqlx::Error::as_database_error) else { return false };
        // MySQL quotes the value first, and then the key: "Duplicate entry 'x' for key 'table.name'".
        let message = error.message().rsplit(" for key ").next().unwrap_or_default();
        error.is_unique_violation() && (error.constraint() == Some(constraint) || message.contains(constraint) || message.contains(column))
    }
}

impl From<sqlx::Error> for DataError {
    fn from(source: sqlx::Error) -> DataError {
        let (reason, detail) = match &source {
            sqlx::Error::Io(error) => broken(error),
            sqlx::Error::PoolTimedOut => (Reason::Unreachable, "no connection in time".into()),
            sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => (Reason::Unreachable, "closed".into()),
            sqlx::Error::Tls(error) => (Reason::Refused, format!("TLS: {error}")),
            sqlx::Error::Configuration(error) => (Reason::Refused, format!("its address: {error}")),
            sqlx::Error::Database(error) => refused(error.as_ref()),
            // It listens and hangs up: a proxy before a database that is down. (The driver reads a zero where nothing came.)
            sqlx::Error::Protocol(text) if text.contains("EOF") || text.contains("SSLRequest: 0x00") => {
                (Reason::Unreachable, "it hung up".into())
            }
            sqlx::Error::Protocol(_) => (Reason::Other, "it does not speak as expected".into()),
            sqlx::Error::RowNotFound => (Reason::Other, "no such row".into()),
            sqlx::Error::ColumnDecode { index, .. } => (Reason::Other, format!("column {index} is not what it should be")),
            _ => (Reason::Other, "the statement does not fit".into()),
        };
        DataError { reason, source: Some(source), detail }
    }
}

impl From<MigrateError> for DataError {
    fn from(error: MigrateError) -> DataError {
        match error {
            MigrateError::VersionMissing(version) => DataError::because(Reason::Newer, format!("it has migration {version}")),
            MigrateError::Execute(error) => DataError::from(error),
            MigrateError::ExecuteMigration(error, version) => {
                let error = DataError::from(error);
                DataError { detail: format!("in migration {version}: {}", error.detail), ..error }
            }
            other => DataError::because(Reason::Migration, other.to_string()),
        }
    }
}

/// What a connection broke by: nobody who listens, or somebody who is not believed. The latter is no matter of waiting.
fn broken(error: &std::io::Error) -> (Reason, String) {
    match error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>()) {
        Some(cause @ rustls::Error::InvalidCertificate(_)) => (Reason::Untrusted, cause.to_string()),
        Some(cause) => (Reason::Refused, format!("TLS: {cause}")),
        None => (Reason::Unreachable, error.kind().to_string()),
    }
}

/// What an error of the server means, by its SQLSTATE (MySQL: by its number where the state says nothing).
fn refused(error: &dyn sqlx::error::DatabaseError) -> (Reason, String) {
    let code = error.code().unwrap_or_default().into_owned();
    let number = error.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>().map(sqlx::mysql::MySqlDatabaseError::number);
    let is_sqlite = error.try_downcast_ref::<sqlx::sqlite::SqliteError>().is_some();
    let reason = match (number, code.as_str()) {
        (Some(1213 | 1205 | 1020), _) | (None, "40001" | "40P01") => Reason::Conflict,
        // 3024, 1969: the time of a statement is over, in MySQL and in MariaDB.
        (Some(3024 | 1969 | 1028 | 1317), _) | (None, "57014" | "55P03" | "25P03") => Reason::Slow,
        (Some(1040 | 1053 | 1203 | 1226 | 1129), _) | (None, "53300" | "57P01" | "57P02" | "57P03") => Reason::Unreachable,
        // What was the leader until a moment ago: 1290 and 1836 of a server, 1792 of a session.
        (Some(1290 | 1792 | 1836), _) | (None, "25006") => Reason::ReadOnly,
        (Some(1044 | 1045 | 1049 | 1130 | 1142 | 1698), _) => Reason::Refused,
        (None, "3D000" | "42501") => Reason::Refused,
        (None, class) if class.starts_with("28") => Reason::Refused,
        // SQLITE_BUSY and SQLITE_LOCKED, with what may follow them.
        (None, number) if is_sqlite && number.parse::<u32>().is_ok_and(|number| matches!(number & 0xff, 5 | 6)) => Reason::Slow,
        _ if error.kind() != sqlx::error::ErrorKind::Other => Reason::Constraint,
        _ => Reason::Other,
    };
    // Names of tables, roles and databases, and no values.
    let speaks = is_sqlite
        || matches!(reason, Reason::Unreachable | Reason::ReadOnly | Reason::Refused | Reason::Conflict | Reason::Slow)
        || code.starts_with("42");
    (reason, if speaks { format!("{} ({code})", error.message()) } else { format!("SQLSTATE {code}") })
}

impl fmt::Display for DataError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "the database {}", self.reason.as_str())?;
        if self.detail.is_empty() { Ok(()) } else { write!(formatter, ": {}", self.detail) }
    }
}

/// As it is displayed: what the driver says is not for logs.
impl fmt::Debug for DataError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?} ({self})", self.reason)
    }
}

impl std::error::Error for DataError {}
