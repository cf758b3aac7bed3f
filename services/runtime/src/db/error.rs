//! Database errors, translated once.

use granary_core::Error;
use sea_orm::{DbErr, RuntimeErr, SqlErr, sqlx};

/// The error that a caller sees; SQL and connection strings stay in the cause.
pub fn db_err(error: DbErr) -> Error {
    match kind(&error) {
        Kind::Gone => Error::unavailable("the database does not answer: try again", error),
        Kind::Untrusted => Error::unavailable(
            "no connection by TLS to the database, as its certificate or sslmode and sslrootcert in its URL are: an administrator has to mend them",
            error,
        ),
        Kind::Full => Error::Exhausted {
            reason: "the database's disk is full: make room, then try again".into(),
            retry_after: Some(std::time::Duration::from_secs(30)),
            quota_of: None,
        },
        Kind::Conflict => Error::unavailable(
            "the database was busy with a conflicting change: try again",
            error,
        ),
        Kind::Defect => Error::internal("using the database", error),
    }
}

/// Whether a row with the same key was there already.
pub fn is_unique_violation(error: &DbErr) -> bool {
    matches!(error.sql_err(), Some(SqlErr::UniqueConstraintViolation(_)))
}

/// Whether somebody else holds what is needed.
pub(super) fn is_conflict(error: &DbErr) -> bool {
    matches!(kind(error), Kind::Conflict)
}

enum Kind {
    Gone,
    Untrusted,
    Full,
    Conflict,
    Defect,
}

fn kind(error: &DbErr) -> Kind {
    let (DbErr::Conn(RuntimeErr::SqlxError(cause))
    | DbErr::Exec(RuntimeErr::SqlxError(cause))
    | DbErr::Query(RuntimeErr::SqlxError(cause))) = error
    else {
        return if matches!(error, DbErr::ConnectionAcquire(_) | DbErr::Conn(_)) {
            Kind::Gone
        } else {
            Kind::Defect
        };
    };
    match cause.as_ref() {
        sqlx::Error::Tls(_) => Kind::Untrusted,
        sqlx::Error::Io(error) if error.kind() == std::io::ErrorKind::InvalidData => {
            Kind::Untrusted
        }
        sqlx::Error::Io(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::Protocol(_) => Kind::Gone,
        sqlx::Error::Database(database) => match database.code().as_deref() {
            // SQLite's primary codes with their extensions; PostgreSQL's classes 53 (resources), 57P (shutdown), 08 (connection), 40 (conflict).
            Some("13" | "53100") => Kind::Full,
            Some("5" | "6" | "517" | "261" | "262") => Kind::Conflict,
            Some(
                "10" | "14" | "266" | "522" | "778" | "1034" | "1290" | "1546" | "2570" | "3338",
            ) => Kind::Gone,
            Some(code)
                if code.len() == 5
                    && (code.starts_with("57P")
                        || code.starts_with("08")
                        || code.starts_with("53")) =>
            {
                Kind::Gone
            }
            // A lock that another holds for too long, a statement that was cancelled, a transaction that waited for too long.
            Some("55P03" | "57014" | "25P03") => Kind::Conflict,
            Some(code) if code.len() == 5 && code.starts_with("40") => Kind::Conflict,
            _ => Kind::Defect,
        },
        _ => Kind::Defect,
    }
}
