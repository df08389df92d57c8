//! The classes of errors.

use crate::source::SourceError;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    Validation,
    Authentication,
    NotFound,
    Network,
    Database,
    Bug,
}

impl Class {
    pub(super) fn of(cause: &SourceError) -> Self {
        match cause {
            SourceError::Status { status } => Self::of_status(*status),
            SourceError::Database { .. } => Self::Database,
            SourceError::Malformed { .. } | SourceError::CallbackDropped => Self::Bug,
            SourceError::Connection { .. }
            | SourceError::Timeout { .. }
            | SourceError::TooLarge { .. }
            | SourceError::Redirects { .. } => Self::Network,
        }
    }

    fn of_status(status: u16) -> Self {
        if status / 100 == 5 || [408, 429].contains(&status) {
            Self::Network
        } else if status == 401 || status == 403 {
            Self::Authentication
        } else if status == 404 || status == 410 {
            Self::NotFound
        } else {
            Self::Bug
        }
    }

    pub(super) fn status(self) -> u16 {
        match self {
            Self::Validation => 400,
            Self::Authentication => 401,
            Self::NotFound => 404,
            Self::Network => 503,
            Self::Database | Self::Bug => 500,
        }
    }

    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Validation => "an argument is wrong",
            Self::Authentication => "we are not allowed to",
            Self::NotFound => "there is none",
            Self::Network => "the source is away",
            Self::Database => "the store is broken",
            Self::Bug => "a program is wrong",
        }
    }
}
