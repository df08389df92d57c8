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

mod class;

use std::error::Error;
use std::fmt;

use self::class::Class;

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
        /// What is wrong with it.
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
    /// The error of a request that failed with this cause.
    pub fn new(request: Request, cause: SourceError) -> Self {
        match Class::of(&cause) {
            Class::Authentication => Self::Authentication { request, cause },
            Class::NotFound => Self::NotFound { request, cause },
            Class::Network => Self::Network { request, cause },
            Class::Database => Self::Database { request, cause },
            // No cause of a source is a validation error.
            Class::Validation | Class::Bug => Self::Bug { request, cause },
        }
    }

    /// The request that failed; `None` when none was made.
    pub fn request(&self) -> Option<Request> {
        self.made().map(|made| *made.0)
    }

    /// The HTTP status for our own client.
    pub fn status_code(&self) -> u16 {
        self.class().status()
    }

    /// Whether this happens to correct programs.
    pub fn is_operational(&self) -> bool {
        self.class() != Class::Bug
    }

    fn class(&self) -> Class {
        match self {
            Self::Validation { .. } => Class::Validation,
            Self::NotFound { .. } => Class::NotFound,
            Self::Authentication { .. } => Class::Authentication,
            Self::Network { .. } => Class::Network,
            Self::Database { .. } => Class::Database,
            Self::Bug { .. } => Class::Bug,
        }
    }

    fn made(&self) -> Option<(&Request, &SourceError)> {
        let (Self::NotFound { request, cause }
        | Self::Authentication { request, cause }
        | Self::Network { request, cause }
        | Self::Database { request, cause }
        | Self::Bug { request, cause }) = self
        else {
            return None;
        };
        Some((request, cause))
    }
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.class().words())?;
        if let Self::Validation { field, reason } = self {
            write!(f, " ({field}): {reason}")?;
        }
        if let Some((request, cause)) = self.made() {
            write!(f, " at the request of {request}, because {cause}")?;
        }
        Ok(())
    }
}

impl Error for FetchError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        let (_, cause) = self.made()?;
        Some(cause)
    }
}

/// Passes a possible id on and refuses 0.
///
/// # Errors
/// [`FetchError::Validation`] for the field `id`.
pub fn check_id(id: UserId) -> Result<UserId, FetchError> {
    std::num::NonZeroU64::new(id).map(std::num::NonZeroU64::get).ok_or_else(|| {
        FetchError::Validation { field: "id", reason: "must not be zero".into() }
    })
}
