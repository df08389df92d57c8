//! Why a store did not do what it was asked for.

use std::path::Path;

use level4::dashboard::KeyValueError;

use crate::fault::Fault;

/// Why a store did not do what it was asked for.
///
/// What was accepted earlier is there after an error, and a later call may succeed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The text does not fit in the bytes that the store may keep.
    #[error("the store is full: it keeps {most} bytes at most; remove old texts")]
    Full {
        /// The most bytes.
        most: u64,
    },
    /// The disk is full, or the file has reached a limit of the system.
    #[error("{path}: no space is left on the disk")]
    NoSpace {
        /// The file.
        path: String,
    },
    /// Another process, or another [`Disk`](crate::Disk) of this one, has the file open.
    #[error("{path} is in use: a store has one owner at a time")]
    InUse {
        /// The file.
        path: String,
    },
    /// The file is a store, and what it holds is not what was written.
    #[error("{path} is damaged: {why}; remove it, the services have what it keeps copies of")]
    Damaged {
        /// The file.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// The file is no store of copies, or one of another version. It was not changed.
    #[error("{path} is no store of copies: {why}; choose another file")]
    NotAStore {
        /// The file.
        path: String,
        /// What it is instead.
        why: String,
    },
    /// The file cannot be read or written.
    #[error("{path}: {why}")]
    Io {
        /// The file.
        path: String,
        /// What the system said.
        why: String,
    },
}

impl StoreError {
    /// The error that one of redb is.
    pub(crate) fn of(error: &redb::Error, path: &Path) -> Self {
        let path = path.display().to_string();
        let why = error.to_string();
        match Fault::of(error) {
            Fault::NoSpace => Self::NoSpace { path },
            Fault::InUse => Self::InUse { path },
            Fault::Damaged => Self::Damaged { path, why },
            Fault::NotAStore => Self::NotAStore { path, why },
            Fault::Io => Self::Io { path, why },
        }
    }
}

/// What a [`KeyValue`](level4::dashboard::KeyValue) says of it: the caller goes on without its copy in any case.
impl From<StoreError> for KeyValueError {
    fn from(_: StoreError) -> Self {
        Self
    }
}
