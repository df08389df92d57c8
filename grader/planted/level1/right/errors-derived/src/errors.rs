//! The error of a load: which request failed, of which class, and why.
//!
//! The classes are the assignment's: validation, not found, authentication, network and database errors
//! are *operational*, they happen to correct programs and a caller can react to them. What is left
//! is a *bug*: nothing but a change of a program mends it.
//!
//! | cause | class | status towards our own client |
//! | --- | --- | --- |
//! | an argument that cannot be right | [`Validation`](FetchError::Validation) | 400 |
//! | status 401, 403 | [`Authentication`](FetchError::Authentication) | 401 |
//! | status 404, 410 | [`NotFound`](FetchError::NotFound) | 404 |
//! | status 408, 429, 500 to 599; connection, timeout, too large, redirects | [`Network`](FetchError::Network) | 503 |
//! | database | [`Database`](FetchError::Database) | 500 |
//! | every other status; malformed answer, dropped callback | [`Bug`](FetchError::Bug) | 500 |
//!
//! A 400 from the server is a bug, not a validation error: the id was checked before it was sent, so
//! it is our request that is wrong.

use crate::model::UserId;
use crate::source::{Request, SourceError};

/// Why a profile could not be fetched.
///
/// The text of its `Display` names the class, the request (or the argument) and the reason, so that
/// one line in a log is enough; programs read the cause as `source`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    #[error("{field} is wrong: {reason}")]
    /// An argument cannot be right; no request was made.
    Validation {
        /// The name of the argument, for example `id`.
        field: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    #[error("request for {request} failed (not found), {cause}")]
    /// What was asked for does not exist.
    NotFound {
        /// The request that failed.
        request: Request,
        /// What the source says.
        #[source]
        cause: SourceError,
    },
    #[error("request for {request} failed (who are we), {cause}")]
    /// The source does not accept who we are.
    Authentication {
        /// The request that failed.
        request: Request,
        /// What the source says.
        #[source]
        cause: SourceError,
    },
    #[error("request for {request} failed (out of reach), {cause}")]
    /// The source cannot be reached, or not now. Trying again later may help.
    Network {
        /// The request that failed.
        request: Request,
        /// What the source says.
        #[source]
        cause: SourceError,
    },
    #[error("request for {request} failed (database), {cause}")]
    /// The store behind the source failed.
    Database {
        /// The request that failed.
        request: Request,
        /// What the source says.
        #[source]
        cause: SourceError,
    },
    #[error("request for {request} failed (a bug), {cause}")]
    /// One of the programs involved is wrong. Trying again does not help.
    Bug {
        /// The request that failed.
        request: Request,
        /// What the source says.
        #[source]
        cause: SourceError,
    },
}

impl FetchError {
    /// The error of a request that failed with this cause, in the class of the module's table.
    pub fn new(request: Request, cause: SourceError) -> Self {
        match cause {
            SourceError::Status { status: 401 | 403 } => Self::Authentication { request, cause },
            SourceError::Status { status: 404 | 410 } => Self::NotFound { request, cause },
            SourceError::Status { status: 408 | 429 | 500..=599 }
            | SourceError::Connection { .. }
            | SourceError::Timeout { .. }
            | SourceError::TooLarge { .. }
            | SourceError::Redirects { .. } => Self::Network { request, cause },
            SourceError::Database { .. } => Self::Database { request, cause },
            SourceError::Status { .. }
            | SourceError::Malformed { .. }
            | SourceError::CallbackDropped => Self::Bug { request, cause },
        }
    }

    /// The request that failed; `None` when none was made.
    pub fn request(&self) -> Option<Request> {
        self.parts().map(|(request, _)| request)
    }

    /// The HTTP status with which a server of ours would pass this error on to its own client.
    pub fn status_code(&self) -> u16 {
        match self {
            Self::Validation { .. } => 400,
            Self::Authentication { .. } => 401,
            Self::NotFound { .. } => 404,
            Self::Network { .. } => 503,
            Self::Database { .. } | Self::Bug { .. } => 500,
        }
    }

    /// Whether this happens to correct programs. `false` only for [`Bug`](Self::Bug).
    pub fn is_operational(&self) -> bool {
        !matches!(self, Self::Bug { .. })
    }

    fn parts(&self) -> Option<(Request, &SourceError)> {
        match self {
            Self::Validation { .. } => None,
            Self::NotFound { request, cause }
            | Self::Authentication { request, cause }
            | Self::Network { request, cause }
            | Self::Database { request, cause }
            | Self::Bug { request, cause } => Some((*request, cause)),
        }
    }
}

/// Passes a possible id on and refuses 0, which is the id of no user.
///
/// # Errors
/// [`FetchError::Validation`] for the field `id`.
pub fn check_id(id: UserId) -> Result<UserId, FetchError> {
    if id == 0 {
        return Err(FetchError::Validation {
            field: "id",
            reason: "no user has the id 0, ids begin at 1".to_owned(),
        });
    }
    Ok(id)
}
