//! Why a store did not do what it was asked for.

use std::io;
use std::path::Path;

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
        match error {
            redb::Error::Io(error) => match error.kind() {
                io::ErrorKind::StorageFull
                | io::ErrorKind::QuotaExceeded
                | io::ErrorKind::FileTooLarge => Self::NoSpace { path },
                io::ErrorKind::InvalidData => Self::NotAStore { path, why },
                io::ErrorKind::UnexpectedEof => Self::Damaged { path, why },
                _ => Self::Io { path, why },
            },
            redb::Error::DatabaseAlreadyOpen | redb::Error::LockProtocolMismatch => {
                Self::InUse { path }
            }
            redb::Error::Corrupted(_) | redb::Error::RepairAborted => Self::Damaged { path, why },
            redb::Error::UpgradeRequired(_)
            | redb::Error::TableTypeMismatch { .. }
            | redb::Error::TypeDefinitionChanged { .. }
            | redb::Error::TableIsMultimap(_) => Self::NotAStore { path, why },
            _ => Self::Io { path, why },
        }
    }
}
