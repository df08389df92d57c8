//! Stamps: when and by which source a record was written.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

/// The name of a source. Names are ordered by their text.
///
/// ```
/// use std::collections::BTreeMap;
/// use level5::conflict::SourceId;
///
/// let ports = BTreeMap::from([(SourceId::new("shop"), 8080)]);
/// assert_eq!(ports.get("shop"), Some(&8080)); // found by its text
/// assert_eq!(SourceId::from("crm").as_str(), "crm");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
// starter: keep
pub struct SourceId(Arc<str>);

impl SourceId {
    /// Makes the name with this text. Every text is a name, the empty one too.
    // starter: keep
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// Returns the text of the name.
    // starter: keep
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

// starter: keep
impl From<&str> for SourceId {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

// starter: keep
impl Borrow<str> for SourceId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

// starter: keep
impl fmt::Display for SourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// When and by which source a record was written, by the source's own clock.
///
/// Stamps have a total order: the later `at` is newer; of equal ones the higher `version`; of equal ones the greater
/// name of the source. Two stamps are equal only if all three are.
///
/// ```
/// use std::time::Duration;
/// use level5::conflict::{SourceId, Stamp};
///
/// let now = "2026-11-28T12:00:00Z".parse()?;
/// let fast = "2026-11-28T13:00:00Z".parse()?;
/// let stamp = |at| Stamp { at, version: 1, source: SourceId::new("shop") };
/// assert!(stamp(fast) > stamp(now));
/// // The source's clock is an hour fast, and five minutes are accepted.
/// let held = stamp(fast).held(now, Duration::from_secs(300));
/// assert_eq!(held, (stamp(now), true));
/// # Ok::<(), jiff::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Stamp {
    /// When the source wrote the record. It is not when the record arrived.
    pub at: Timestamp,
    /// Counts the source's writes of the record, where the clock is too coarse to tell them apart.
    pub version: u64,
    /// The source.
    pub source: SourceId,
}

impl Ord for Stamp {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        // The source comes last. It has no meaning as an age, but two sources may write in the same moment, and
        // without it the order of arrival would decide between their records. `Ord` must agree with `Eq`, which
        // compares all three.
        let key = |stamp: &Self| (stamp.at, stamp.version);
        key(self).cmp(&key(other)).then_with(|| self.source.cmp(&other.source))
    }
}

// starter: keep
impl PartialOrd for Stamp {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Stamp {
    /// Returns the stamp, with its `at` set to `now` if it is further ahead of `now` than `max_skew`, and whether it
    /// was changed.
    ///
    /// A source whose clock is an hour fast would win every conflict of that hour. A skew of exactly `max_skew` is
    /// accepted, and so is every stamp of the past.
    #[must_use]
    pub fn held(self, now: Timestamp, max_skew: Duration) -> (Self, bool) {
        // Compared as a difference: the sum of `now` and a long skew may be no timestamp.
        let ahead = self.at.duration_since(now);
        // The conversion fails for a negative difference: a stamp of the past is not ahead at all.
        let too_far = Duration::try_from(ahead).is_ok_and(|ahead| ahead > max_skew);
        if too_far { (Self { at: now, ..self }, true) } else { (self, false) }
    }
}
