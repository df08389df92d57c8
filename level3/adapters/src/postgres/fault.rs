//! What PostgreSQL's errors mean for the operator.

use std::error::Error as _;

use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

use super::statements::TRANSACTION_KEY;
use crate::sql::StoreError;

/// Why an operation failed: the server or the wire to it, or something that was read.
#[derive(Debug)]
pub(crate) enum Fault {
    Postgres(Error),
    Store(StoreError),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Postgres(error)
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Fault {
    /// Whether the connection is of no more use.
    pub(super) fn is_lost(&self) -> bool {
        let Self::Postgres(error) = self else { return false };
        error.is_closed()
            || match error.code() {
                // The classes of connections (08) and of operators' interventions (57P): the server
                // ends or has killed the session. 25P03: it has, since this process did not go on. 25006:
                // it is no primary now; after a fail-over another one is behind the same address.
                Some(code) => {
                    let code = code.code();
                    code.starts_with("08")
                        || code.starts_with("57P")
                        || ["25P03", "25006"].contains(&code)
                }
                // No SQL state: the wire, or an answer that makes no sense.
                None => true,
            }
    }

    /// Whether only the neighbours' failure is reported.
    pub(super) fn is_an_echo(&self) -> bool {
        matches!(self, Self::Postgres(error)
            if error.code() == Some(&SqlState::IN_FAILED_SQL_TRANSACTION))
    }

    /// Whether the same may succeed when it is done again at once: two transactions were in each other's
    /// way.
    pub(super) fn is_a_collision(&self) -> bool {
        let Self::Postgres(error) = self else { return false };
        let Some(error) = error.as_db_error() else { return false };
        match *error.code() {
            SqlState::T_R_DEADLOCK_DETECTED
            | SqlState::T_R_SERIALIZATION_FAILURE
            | SqlState::LOCK_NOT_AVAILABLE => true,
            // Two inserts of the same payment at the same time: `ON CONFLICT (payment)` settles that in
            // the index of payments, but the later one may meet the earlier in this index first. Done
            // again it finds the row.
            SqlState::UNIQUE_VIOLATION => error.constraint() == Some(TRANSACTION_KEY),
            _ => false,
        }
    }

    /// The error of the store at `place`. For one that [is lost](Self::is_lost), nothing was written.
    pub(super) fn at(self, place: &str) -> StoreError {
        let error = match self {
            Self::Store(error) => return error,
            Self::Postgres(error) => error,
        };
        let (place, why) = (place.to_owned(), why(&error));
        let Some(code) = error.code() else {
            // The only fault of ours that the client's library finds before it asks the server.
            let refused = why.contains("password missing");
            return match refused {
                true => StoreError::Refused { place, why: format!("{why} (set PGPASSWORD)") },
                false => StoreError::Unreachable { place, why },
            };
        };
        match code.code() {
            "55P03" => StoreError::Locked { place },
            "53100" => StoreError::Full { place, why },
            "25006" | "42501" => StoreError::ReadOnly { place, why },
            "23505" => StoreError::Conflict { place, why },
            "58030" => StoreError::Io { place, why },
            "XX001" | "XX002" => StoreError::Damaged { place, why },
            "3D000" => StoreError::Refused { place, why },
            code if code.starts_with("28") => StoreError::Refused { place, why },
            code if ["08", "53", "57"].contains(&code.get(..2).unwrap_or_default()) => {
                StoreError::Unreachable { place, why }
            }
            _ => StoreError::Statement { place, why },
        }
    }
}

/// What the innermost cause says: the outer ones say "db error" and "error connecting to server".
pub(super) fn why(error: &Error) -> String {
    if let Some(error) = error.as_db_error() {
        // Not the details: they repeat the values of a row.
        return error.message().to_owned();
    }
    error.source().map_or_else(|| error.to_string(), ToString::to_string)
}
