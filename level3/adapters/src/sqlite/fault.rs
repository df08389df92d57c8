//! Converts SQLite's errors to those for the operator.

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

impl Fault {
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
