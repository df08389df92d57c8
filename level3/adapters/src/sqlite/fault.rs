//! Converts SQLite's errors to those for the operator.

use std::fmt;

use rusqlite::ErrorCode;

use crate::sql::StoreError;

/// Why a job failed: an error of SQLite, or a value that cannot be read.
#[derive(Debug)]
pub(crate) enum Fault {
    Sqlite(rusqlite::Error),
    Store(StoreError),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl fmt::Display for Fault {
    /// Says what is wrong, without the values of a row.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(error) => error.fmt(f),
            Self::Store(error) => error.fmt(f),
        }
    }
}

/// SQLite has no code of its own for it.
fn is_about_something_missing(text: &str) -> bool {
    ["no such table", "no such column"].iter().any(|begin| text.starts_with(begin))
        || text.contains("has no column named")
}

impl Fault {
    /// Reads a missing table as that of a store that was in use before: another program has deleted
    /// it.
    pub(super) fn of_a_store_in_use(self, place: &str) -> Self {
        match &self {
            Self::Sqlite(error) if is_about_something_missing(&error.to_string()) => {
                StoreError::Gone { place: place.to_owned() }.into()
            }
            _ => self,
        }
    }

    /// Reads a missing table or column as that of a store that is opened, and has the table of a
    /// schema.
    pub(super) fn of_a_store_to_open(self, place: &str) -> Self {
        match &self {
            Self::Sqlite(error) if is_about_something_missing(&error.to_string()) => {
                StoreError::Damaged { place: place.to_owned(), why: error.to_string() }.into()
            }
            _ => self,
        }
    }

    /// Converts it to the error of the store at `place`.
    pub(super) fn at(self, place: &str) -> StoreError {
        let error = match self {
            Self::Store(error) => return error,
            Self::Sqlite(error) => error,
        };
        let (place, why) = (place.to_owned(), error.to_string());
        match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => StoreError::NotADatabase { place },
            Some(ErrorCode::DatabaseCorrupt) => StoreError::Damaged { place, why },
            Some(ErrorCode::DiskFull) => StoreError::Full { place, why },
            Some(ErrorCode::ReadOnly) => StoreError::ReadOnly { place, why },
            Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
                StoreError::Open { place, why }
            }
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                StoreError::Locked { place }
            }
            // SQLite reports a broken check with the same code as a broken key. No value gets here
            // that breaks a check, since the types refuse it first.
            Some(ErrorCode::ConstraintViolation) => StoreError::Conflict { place, why },
            Some(ErrorCode::SystemIoFailure) => StoreError::Io { place, why },
            _ => StoreError::Statement { place, why },
        }
    }
}
