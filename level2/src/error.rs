//! Why a section could not be loaded.

use std::any::Any;
use std::time::Duration;

use crate::model::Section;

/// The error of a source.
///
/// ```
/// use level2::error::SourceError;
///
/// assert!(SourceError::Unavailable("no connection".to_owned()).is_transient());
/// assert!(!SourceError::Rejected("unknown shop".to_owned()).is_transient());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// The service could not be reached or answered with a fault of its own. Worth another try.
    #[error("unavailable: {0}")]
    Unavailable(String),
    /// The service understood the request and refused it. It will refuse it again.
    #[error("rejected: {0}")]
    Rejected(String),
}

impl SourceError {
    /// Whether the same request may succeed later.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

/// Why there is no data for a section.
///
/// ```
/// use std::panic::catch_unwind;
///
/// use level2::error::SectionFailure;
///
/// let payload = catch_unwind(|| panic!("a bug")).unwrap_err();
/// let failure = SectionFailure::from_panic(payload.as_ref());
/// assert_eq!(failure, SectionFailure::Panicked { message: "a bug".to_owned() });
/// assert!(!failure.is_transient());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SectionFailure {
    /// The source answered with an error.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The source did not answer in time and was stopped.
    #[error("timed out after {} ms", limit.as_millis())]
    TimedOut {
        /// The time limit of the source.
        limit: Duration,
    },
    /// The source panicked: a bug, not an outage.
    #[error("panicked: {message}")]
    Panicked {
        /// The text of the panic.
        message: String,
    },
}

impl SectionFailure {
    /// The failure for a panic that was caught: `payload` is what
    /// [`catch_unwind`](std::panic::catch_unwind) or
    /// [`JoinError::into_panic`](tokio::task::JoinError::into_panic) returned, or what is in that box.
    #[must_use]
    pub fn from_panic(payload: &(dyn Any + Send)) -> Self {
        // A box is itself an `Any`: for a `payload: Box<dyn Any + Send>`, both `&payload` and
        // `payload.as_ref()` come here. The text is in the box.
        if let Some(inner) = payload.downcast_ref::<Box<dyn Any + Send>>() {
            return Self::from_panic(inner.as_ref());
        }
        let message = payload
            .downcast_ref::<&str>()
            .map(ToString::to_string)
            .or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "no message".to_owned());
        Self::Panicked { message }
    }

    /// Whether another try may succeed: a timeout and an unavailable source, but neither a refusal
    /// nor a panic.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Source(error) => error.is_transient(),
            Self::TimedOut { .. } => true,
            Self::Panicked { .. } => false,
        }
    }

    /// Whether the source was stopped because it took too long.
    #[must_use]
    pub const fn is_timeout(&self) -> bool {
        matches!(self, Self::TimedOut { .. })
    }
}

/// Which section failed, and why.
///
/// ```
/// use level2::error::{SectionError, SourceError};
/// use level2::model::Section;
///
/// let error = SectionError::new(Section::Users, SourceError::Unavailable("no connection".to_owned()));
/// assert_eq!(error.to_string(), "users: unavailable: no connection");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{section}: {failure}")]
pub struct SectionError {
    /// The section without data.
    pub section: Section,
    /// Why the section has no data.
    #[source]
    pub failure: SectionFailure,
}

impl SectionError {
    /// The error for `section`.
    #[must_use]
    pub fn new(section: Section, failure: impl Into<SectionFailure>) -> Self {
        Self { section, failure: failure.into() }
    }
}
