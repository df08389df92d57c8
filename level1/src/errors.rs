//! The error of a load: which request failed, of which class, and why.
//!
//! Validation, not found, authentication, network and database errors are *operational*: they happen
//! to correct programs, and a caller can react to them. What is left is a *bug*: only a change of a
//! program helps.
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
//!
//! Lesson: [`lessons/errors.md`](crate::lessons::errors).
//!
//! # Contract
//!
#![doc = include_str!("../contract/errors.md")]

use std::error::Error;
use std::fmt;

use crate::model::UserId;
use crate::source::{Request, SourceError};

/// Why a profile could not be fetched.
///
/// The text of its `Display` names the class, the request (or the argument) and the reason, so that
/// one line in a log is enough; programs read the cause from [`source`](Error::source).
///
/// ```
/// use level1::errors::FetchError;
/// use level1::source::{Request, SourceError};
///
/// let error = FetchError::new(Request::User(99), SourceError::Status { status: 404 });
/// assert!(matches!(error, FetchError::NotFound { .. }));
/// assert_eq!(error.request(), Some(Request::User(99)));
/// assert!(error.is_operational());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FetchError {
    /// An argument cannot be right; no request was made.
    Validation {
        /// The name of the argument, for example `id`.
        field: &'static str,
        /// The rule that the argument breaks, as a clause for the message.
        reason: String,
    },
    /// The user or the page does not exist.
    NotFound {
        /// The request that failed.
        request: Request,
        /// The error of the source.
        cause: SourceError,
    },
    /// The source refuses the client's credentials.
    Authentication {
        /// The request that failed.
        request: Request,
        /// The error of the source.
        cause: SourceError,
    },
    /// The source cannot be reached at the moment. Trying again later may help.
    Network {
        /// The request that failed.
        request: Request,
        /// The error of the source.
        cause: SourceError,
    },
    /// The store behind the source failed.
    Database {
        /// The request that failed.
        request: Request,
        /// The error of the source.
        cause: SourceError,
    },
    /// One of the programs involved is wrong. Trying again does not help.
    Bug {
        /// The request that failed.
        request: Request,
        /// The error of the source.
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

    /// The HTTP status with which a server that uses this crate answers its own client.
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

    fn class(&self) -> &'static str {
        match self {
            Self::Validation { .. } => "invalid",
            Self::NotFound { .. } => "not found",
            Self::Authentication { .. } => "authentication failed",
            Self::Network { .. } => "network failure",
            Self::Database { .. } => "database failure",
            Self::Bug { .. } => "unexpected failure",
        }
    }
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let class = self.class();
        match self {
            Self::Validation { field, reason } => write!(f, "{class} {field}: {reason}"),
            Self::NotFound { request, cause }
            | Self::Authentication { request, cause }
            | Self::Network { request, cause }
            | Self::Database { request, cause }
            | Self::Bug { request, cause } => write!(f, "{request}: {class}: {cause}"),
        }
    }
}

impl Error for FetchError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.parts().map(|(_, cause)| cause as &(dyn Error + 'static))
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
