//! Why a journal could not read or write.

use std::error::Error;
use std::sync::Arc;

/// The error of a store, shared: the callers of one write have the same.
pub type Cause = Arc<dyn Error + Send + Sync>;

/// A journal could not read or write. Nothing of the call was kept.
///
/// The kind says what a caller can do; [`cause`](Self::cause) is the error of the store. Two errors are equal if they are
/// of one kind and their causes say the same, since errors in general cannot be compared.
///
/// ```
/// use std::io;
/// use std::sync::Arc;
/// use level5::event_processor::JournalError;
///
/// let error = JournalError::Full(Arc::new(io::Error::from(io::ErrorKind::StorageFull)));
/// assert!(error.cause::<io::Error>().is_some_and(|it| it.kind() == io::ErrorKind::StorageFull));
/// assert!(error.to_string().starts_with("the journal is full: "));
/// ```
#[derive(Debug, Clone)]
pub enum JournalError {
    /// There is no room for more. The same call succeeds when there is.
    Full(Cause),
    /// The journal does not take this event, now or later: it is too large, for instance.
    Refused(Cause),
    /// The store failed. The next call tries again.
    Failed(Cause),
    /// The store failed, and so does every call until the journal is opened again.
    Broken(Cause),
}

// starter: keep
impl JournalError {
    const fn parts(&self) -> (&'static str, &Cause) {
        match self {
            Self::Full(cause) => ("is full", cause),
            Self::Refused(cause) => ("refuses an event", cause),
            Self::Failed(cause) => ("failed", cause),
            Self::Broken(cause) => ("must be opened again", cause),
        }
    }

    /// The error of the store, if it is of this type.
    #[must_use]
    pub fn cause<E: Error + 'static>(&self) -> Option<&E> {
        self.source()?.downcast_ref()
    }
}

// starter: keep
impl std::fmt::Display for JournalError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (what, cause) = self.parts();
        write!(f, "the journal {what}: {cause}")
    }
}

// starter: keep
impl Error for JournalError {
    // By hand: a derive would return the `Arc`, which cannot be cast to the type of the error in it.
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&**self.parts().1)
    }
}

// starter: keep
impl PartialEq for JournalError {
    fn eq(&self, other: &Self) -> bool {
        // The text names the kind and the cause.
        self.to_string() == other.to_string()
    }
}

// starter: keep
impl Eq for JournalError {}
