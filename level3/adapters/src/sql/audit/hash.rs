//! The hashes of the chain.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::sql::StoreError;
use crate::sql::row::Columns;

/// What the hash of a trail's beginning starts with, and of an entry. Another version of the format has
/// other words.
const TRAIL: &[u8] = b"payment-gateway audit trail 1";
const ENTRY: &[u8] = b"payment-gateway audit entry 1";

/// A SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hash([u8; 32]);

impl fmt::Display for Hash {
    /// Shows 64 hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Hash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Hash {
    /// Reads 64 hexadecimal digits, small ones, as [`Display`](fmt::Display) writes them.
    fn read(text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if digits.len() != 64 || !digits.iter().all(is_digit) {
            return None;
        }
        let mut hash = [0; 32];
        for (byte, pair) in hash.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Self(hash))
    }

    /// The hash before the first entry of this store. `before` has the numbers of the last row and the
    /// last refund from before the trail.
    fn of_beginning(identity: &str, before: [i64; 2]) -> Self {
        let mut digest = Sha256::new();
        part(&mut digest, TRAIL);
        part(&mut digest, identity.as_bytes());
        before.iter().for_each(|number| digest.update(number.to_be_bytes()));
        Self(digest.finalize().into())
    }

    /// The hash of an entry after the one with this hash.
    fn of_next(self, seq: i64, at: i64, instance: i64, subject: &str, body: &str) -> Self {
        let mut digest = Sha256::new();
        part(&mut digest, ENTRY);
        digest.update(self.0);
        [seq, at, instance].iter().for_each(|number| digest.update(number.to_be_bytes()));
        part(&mut digest, subject.as_bytes());
        part(&mut digest, body.as_bytes());
        Self(digest.finalize().into())
    }
}

/// Adds a text of any length: with its length before it, no two sequences of texts are the same bytes.
fn part(digest: &mut Sha256, text: &[u8]) {
    digest.update(u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
    digest.update(text);
}

/// The last entry of a trail: what the next one follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) seq: i64,
    pub(crate) hash: Hash,
    /// The numbers of the last row and the last refund from before the trail.
    pub(crate) before: [i64; 2],
    /// The time by the clock of the database, in milliseconds since 1970.
    pub(crate) now: i64,
}

/// An entry of a trail, as the database has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) seq: i64,
    /// When, by the clock of the database, in milliseconds since 1970.
    pub(crate) at: i64,
    /// The number of the process that made the change.
    pub(crate) instance: i64,
    /// The thing that has changed.
    pub(crate) subject: String,
    /// The change as JSON.
    pub(crate) body: String,
    pub(crate) hash: Hash,
}

impl Head {
    /// The head of a trail without entries.
    pub(crate) fn of_beginning(identity: &str, before: [i64; 2], now: i64) -> Self {
        Self { seq: 0, hash: Hash::of_beginning(identity, before), before, now }
    }

    /// Makes the next entry, and becomes its head.
    pub(crate) fn add(&mut self, instance: i64, subject: String, body: String) -> Link {
        let (seq, at) = (self.seq + 1, self.now);
        let hash = self.hash.of_next(seq, at, instance, &subject, &body);
        (self.seq, self.hash) = (seq, hash);
        Link { seq, at, instance, subject, body, hash }
    }
}

impl Link {
    /// Whether its hash is that of its content after the entry with the hash `before`.
    pub(crate) fn follows(&self, before: Hash) -> bool {
        let Self { seq, at, instance, subject, body, hash } = self;
        before.of_next(*seq, *at, *instance, subject, body) == *hash
    }
}

/// Reads the head: the number of entries, the hash of the last one, the two numbers from before the
/// trail, the identity of the store, and the time.
pub(crate) fn audit_head<R: Columns>(row: &R) -> Result<Head, R::Fault> {
    let before = [row.number(2)?, row.number(3)?];
    let (seq, now) = (row.number(0)?, row.number(5)?);
    if seq == 0 {
        return Ok(Head::of_beginning(&row.text(4)?, before, now));
    }
    let hash = Hash::read(&row.text(1)?);
    let hash = hash.ok_or_else(|| StoreError::unreadable("head of the trail", "no hash"))?;
    Ok(Head { seq, hash, before, now })
}

/// Reads an entry. A text that is no hash is read as zeros, which no entry has.
pub(crate) fn link<R: Columns>(row: &R) -> Result<Link, R::Fault> {
    Ok(Link {
        seq: row.number(0)?,
        at: row.number(1)?,
        instance: row.number(2)?,
        subject: row.text(3)?,
        body: row.text(4)?,
        hash: Hash::read(&row.text(5)?).unwrap_or(Hash([0; 32])),
    })
}

/// A number and the hash of the entry that had it, kept outside of the store.
///
/// As text they stand on one line with a blank between them, as `payment-gateway audit head` prints
/// them. The anchor of a trail without entries has the number 0.
///
/// ```
/// use level3_adapters::sql::Anchor;
///
/// let line = "17 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
/// let anchor: Anchor = line.parse().unwrap();
/// assert_eq!((anchor.entry, anchor.to_string()), (17, line.to_owned()));
/// assert!("17".parse::<Anchor>().is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Anchor {
    /// The number of the entry.
    pub entry: u64,
    /// Its hash.
    pub hash: Hash,
}

/// A text is not an anchor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is not the number of an entry, a blank and 64 hexadecimal digits")]
pub struct NotAnAnchor;

impl FromStr for Anchor {
    type Err = NotAnAnchor;

    fn from_str(text: &str) -> Result<Self, NotAnAnchor> {
        let (entry, hash) = text.trim().split_once(' ').ok_or(NotAnAnchor)?;
        let entry = entry.parse().map_err(|_| NotAnAnchor)?;
        Ok(Self { entry, hash: Hash::read(hash.trim()).ok_or(NotAnAnchor)? })
    }
}

impl fmt::Display for Anchor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.entry, self.hash)
    }
}
