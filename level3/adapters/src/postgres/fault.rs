//! Converts PostgreSQL's errors to those for the operator.

use std::error::Error as _;

use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

use super::statements::TRANSACTION_KEY;
use crate::sql::StoreError;

/// Why an operation failed: an error of the server or the connection, or a value that cannot be
/// read.
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
    /// Whether the connection cannot be used any more.
    pub(super) fn is_lost(&self) -> bool {
        let Self::Postgres(error) = self else { return false };
        error.is_closed()
            || match error.code() {
                // Classes 08 (connection) and 57P (operator intervention): the server ends the
                // session. 25P03: the server ended the session because this process was idle within
                // a transaction. 25006: the server is not the primary; after a fail-over the same
                // address leads to the new primary.
                Some(code) => {
                    let code = code.code();
                    code.starts_with("08")
                        || code.starts_with("57P")
                        || ["25P03", "25006"].contains(&code)
                }
                // No SQL state: the connection failed, or the answer is invalid.
                None => true,
            }
    }

    /// Whether the error only reports that another operation of the group failed.
    pub(super) fn is_an_echo(&self) -> bool {
        matches!(self, Self::Postgres(error)
            if error.code() == Some(&SqlState::IN_FAILED_SQL_TRANSACTION))
    }

    /// Whether the same operation may succeed at once: two transactions have collided.
    pub(super) fn is_a_collision(&self) -> bool {
        let Self::Postgres(error) = self else { return false };
        let Some(error) = error.as_db_error() else { return false };
        match *error.code() {
            SqlState::T_R_DEADLOCK_DETECTED
            | SqlState::T_R_SERIALIZATION_FAILURE
            | SqlState::LOCK_NOT_AVAILABLE => true,
            // Two inserts of the same payment at the same time: `ON CONFLICT (payment)` handles a
            // conflict in the index of payments, but the later insert may meet the earlier one in
            // this index first. The next attempt finds the row.
            SqlState::UNIQUE_VIOLATION => error.constraint() == Some(TRANSACTION_KEY),
            _ => false,
        }
    }

    /// Converts it to the error of the store at `place`. For a fault that [is lost](Self::is_lost),
    /// nothing was written.
    pub(super) fn at(self, place: &str) -> StoreError {
        let error = match self {
            Self::Store(error) => return error,
            Self::Postgres(error) => error,
        };
        let (place, why) = (place.to_owned(), why(&error));
        let Some(code) = error.code() else {
            // The only fault of this program that the client library finds before it asks the
            // server.
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

/// Returns the message of the innermost cause. The outer ones are only "db error" and "error
/// connecting to server".
pub(super) fn why(error: &Error) -> String {
    if let Some(error) = error.as_db_error() {
        // Without the details, which repeat the values of a row.
        return error.message().to_owned();
    }
    error.source().map_or_else(|| error.to_string(), ToString::to_string)
}
