//! The audit trail: what has changed in a store, in an order that cannot be changed unnoticed.
//!
//! The transaction that makes a change also writes an [entry](Entry) about it, so there is no change
//! without its entry, and no entry of a change that was not made. Each entry has a SHA-256 over its
//! content and the hash of the entry before it: a chain. The hash of the first entry covers the
//! identity of the store. Triggers refuse a change and a removal of an entry.
//!
//! | an administrator of the database | is found |
//! |---|---|
//! | changes, removes, inserts or reorders entries | by the chain |
//! | removes the last entries | by the head, which is kept apart, and by an [`Anchor`] |
//! | changes a row of the ledger or a refund, and no entry | by the comparison with the entries |
//! | rewrites the whole trail, and the head | by an [`Anchor`] alone |
//! | makes a change as the program makes it, with its entry | not at all: it is in the trail |
//!
//! An anchor is a number and a hash that the operator keeps where the database's administrator cannot
//! write. It fixes all entries up to its number, and none after it.
//!
//! What an entry is about: the beginning and the end of a saga and each change of its owner, rows of
//! the ledger, refunds, disputes, reports of the provider, and notifications that are sent once more.
//! It has no data of persons, so that those can be erased while the trail stays. The records of the
//! steps in the journal, the outbox and the deliveries are not in the trail.

mod change;
mod compare;
mod hash;
mod verify;

pub use change::Change;
pub use hash::{Anchor, Hash, NotAnAnchor};
pub use verify::{Audited, BrokenLink};

pub(crate) use hash::{Head, Link, audit_head};
pub(crate) use verify::Auditor;
