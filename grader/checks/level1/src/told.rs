//! What a `FetchError` says, taken apart: no impl of the learner's decides about it.

use level1::errors::FetchError;
use level1::model::Profile;
use level1::source::{Request, SourceError};

use grader_kit::short;

/// The variant of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    Validation,
    NotFound,
    Authentication,
    Network,
    Database,
    Bug,
}

impl Class {
    /// The classes of errors that a request has caused.
    pub const OF_REQUESTS: [Class; 5] =
        [Class::NotFound, Class::Authentication, Class::Network, Class::Database, Class::Bug];

    /// The class that belongs to the cause, by the table in `errors.rs`.
    pub fn of(cause: &SourceError) -> Class {
        match cause {
            SourceError::Status { status: 401 | 403 } => Class::Authentication,
            SourceError::Status { status: 404 | 410 } => Class::NotFound,
            SourceError::Status { status: 408 | 429 | 500..=599 }
            | SourceError::Connection { .. }
            | SourceError::Timeout { .. }
            | SourceError::TooLarge { .. }
            | SourceError::Redirects { .. } => Class::Network,
            SourceError::Database { .. } => Class::Database,
            SourceError::Status { .. }
            | SourceError::Malformed { .. }
            | SourceError::CallbackDropped => Class::Bug,
        }
    }

    /// An error of the class.
    pub fn error(self, request: Request, cause: SourceError) -> FetchError {
        match self {
            Class::Validation => FetchError::Validation { field: "id", reason: cause.to_string() },
            Class::NotFound => FetchError::NotFound { request, cause },
            Class::Authentication => FetchError::Authentication { request, cause },
            Class::Network => FetchError::Network { request, cause },
            Class::Database => FetchError::Database { request, cause },
            Class::Bug => FetchError::Bug { request, cause },
        }
    }
}

/// The variant of the error.
pub fn class(error: &FetchError) -> Class {
    match error {
        FetchError::Validation { .. } => Class::Validation,
        FetchError::NotFound { .. } => Class::NotFound,
        FetchError::Authentication { .. } => Class::Authentication,
        FetchError::Network { .. } => Class::Network,
        FetchError::Database { .. } => Class::Database,
        FetchError::Bug { .. } => Class::Bug,
    }
}

/// The parts of an error that say what failed and why, whatever its class.
pub fn parts(error: &FetchError) -> Option<(Request, &SourceError)> {
    match error {
        FetchError::Validation { .. } => None,
        FetchError::NotFound { request, cause }
        | FetchError::Authentication { request, cause }
        | FetchError::Network { request, cause }
        | FetchError::Database { request, cause }
        | FetchError::Bug { request, cause } => Some((*request, cause)),
    }
}

/// The error as a message shows it.
pub fn shown(error: &FetchError) -> String {
    match error {
        FetchError::Validation { field, reason } => {
            format!("FetchError::Validation {{ field: {field:?}, reason: {:?} }}", short(reason))
        }
        _ => parts(error).map_or_else(String::new, |(request, cause)| {
            let cause = short(&format!("{cause:?}"));
            format!("FetchError::{:?} {{ request: {request:?}, cause: {cause} }}", class(error))
        }),
    }
}

/// The end of a load as a message shows it.
pub fn ending(result: &Result<Profile, FetchError>) -> String {
    match result {
        Ok(profile) => format!("a profile with {} posts", profile.posts.len()),
        Err(error) => shown(error),
    }
}
