//! What kind of fault an error of redb is.

use std::io;

/// What kind of fault an error of redb is.
///
/// redb has an error for each thing that it may find. The user of a store can do one of a few things about them. A
/// package with a store of its own makes its errors, and their remedies, from these.
///
/// ```
/// use std::io::{Error, ErrorKind};
/// use level4_kv::Fault;
///
/// let full = redb::Error::Io(Error::from(ErrorKind::StorageFull));
/// assert_eq!(Fault::of(&full), Fault::NoSpace);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The disk is full, or the file has reached a limit of the system.
    NoSpace,
    /// Another process, or another store of this one, has the file open.
    InUse,
    /// The file is a store, and what it holds is not what was written.
    Damaged,
    /// The file is no store, or one of another version.
    NotAStore,
    /// The file cannot be read or written.
    Io,
}

impl Fault {
    /// Says what kind of fault an error is.
    #[must_use]
    pub fn of(error: &redb::Error) -> Self {
        match error {
            redb::Error::Io(error) => match error.kind() {
                io::ErrorKind::StorageFull
                | io::ErrorKind::QuotaExceeded
                | io::ErrorKind::FileTooLarge => Self::NoSpace,
                io::ErrorKind::InvalidData => Self::NotAStore,
                // The file ends before a page that it should have.
                io::ErrorKind::UnexpectedEof => Self::Damaged,
                _ => Self::Io,
            },
            redb::Error::DatabaseAlreadyOpen | redb::Error::LockProtocolMismatch => Self::InUse,
            redb::Error::Corrupted(_) | redb::Error::RepairAborted => Self::Damaged,
            redb::Error::UpgradeRequired(_)
            | redb::Error::TableTypeMismatch { .. }
            | redb::Error::TypeDefinitionChanged { .. }
            | redb::Error::TableIsMultimap(_) => Self::NotAStore,
            _ => Self::Io,
        }
    }
}
