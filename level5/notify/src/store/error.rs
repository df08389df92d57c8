//! Why a store did not do what it was asked for.

use std::path::Path;

use level4_kv::Fault;

/// Why a store did not do what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The disk is full, or the file has reached a limit of the system.
    #[error("{path}: no space is left on the disk")]
    NoSpace {
        /// The file.
        path: String,
    },
    /// Another process has the file open.
    #[error("{path} is in use by another process")]
    InUse {
        /// The file.
        path: String,
    },
    /// The file is a store, and what it holds is not what was written.
    #[error("{path} is damaged: {why}. Restore it from a copy")]
    Damaged {
        /// The file.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// The file is no store of this program, or one of another version. It was not changed.
    #[error("{path} is no store of this version: {why}. Choose another folder")]
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
    pub(super) fn of(error: &redb::Error, path: &Path) -> Self {
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
