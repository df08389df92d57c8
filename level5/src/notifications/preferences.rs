//! The choices of a user, and when a notification is due by them. There is no clock here.

use jiff::civil::{Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

use super::channel::{ChannelKind, Channels};
use super::notification::Priority;
use super::quiet::QuietHours;

/// A channel of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelPreference {
    /// The kind of the channel.
    pub kind: ChannelKind,
    /// Whether it may be used.
    pub enabled: bool,
}

/// How often a user gets what is not urgent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frequency {
    /// High priority at once; medium and low together, at the end of the window.
    Immediate,
    /// All together, at the end of the window.
    Batched,
    /// All together, each day.
    Daily {
        /// The local time of the digest.
        at: Time,
    },
    /// All together, each week.
    Weekly {
        /// The day of the digest.
        on: Weekday,
        /// The local time of the digest.
        at: Time,
    },
}

impl Frequency {
    /// Each day at 09:00.
    pub const DAILY: Self = Self::Daily { at: Time::constant(9, 0, 0, 0) };
    /// Each Monday at 09:00.
    pub const WEEKLY: Self = Self::Weekly { on: Weekday::Monday, at: Time::constant(9, 0, 0, 0) };

    /// The first digest after `now`, and not at `now`, for a user in `zone`. `None` without digests, and at the end of
    /// the calendar.
    ///
    /// Each local date has one digest at most. If the clock jumps over its time, the digest is later by the length of
    /// the jump: 02:30 becomes 03:30. Of a time that happens twice, it is the first one.
    #[must_use]
    pub fn next_digest(self, now: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let (on, at) = match self {
            Self::Immediate | Self::Batched => return None,
            Self::Daily { at } => (None, at),
            Self::Weekly { on, at } => (Some(on), at),
        };
        let today = zone.to_datetime(now).date();
        // From yesterday on: a jump may have moved its digest over midnight. Nine days: a week, and a date that a zone
        // has left out.
        let dates = (-1..=9).filter_map(|days: i32| today.checked_add(Span::new().days(days)).ok());
        dates
            .filter(|date| on.is_none_or(|on| date.weekday() == on))
            // From the date and the time of day, and not by adding 24 hours to the last digest: the days on which a
            // clock changes have 23 or 25.
            .filter_map(|date| zone.to_ambiguous_timestamp(date.to_datetime(at)).compatible().ok())
            .find(|&digest| digest > now)
    }
}

/// The choices of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preferences {
    /// The channels, the preferred one first. Each kind at most once.
    pub channels: Vec<ChannelPreference>,
    /// The zone of the user's times.
    pub zone: TimeZone,
    /// The hours in which only urgent notifications are sent. `None`: there are none.
    pub quiet: Option<QuietHours>,
    /// How often what is not urgent is sent.
    pub frequency: Frequency,
}

/// Preferences that make no sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PreferencesError {
    /// There is no channel in the list. To send a user nothing, list channels that are not enabled.
    #[error("the list of channels is empty")]
    NoChannels,
    /// A channel is listed twice.
    #[error("the channel {0:?} is listed twice")]
    ListedTwice(ChannelKind),
}

impl Preferences {
    /// Preferences with these channels, all of them enabled, in UTC, without quiet hours, [`Frequency::Immediate`].
    // starter: keep
    #[must_use]
    pub fn new(channels: impl IntoIterator<Item = ChannelKind>) -> Self {
        let enabled = |kind| ChannelPreference { kind, enabled: true };
        Self {
            channels: channels.into_iter().map(enabled).collect(),
            zone: TimeZone::UTC,
            quiet: None,
            frequency: Frequency::Immediate,
        }
    }

    /// Looks for contradictions.
    ///
    /// # Errors
    ///
    /// [`PreferencesError`], the first one.
    pub fn check(&self) -> Result<(), PreferencesError> {
        if self.channels.is_empty() {
            return Err(PreferencesError::NoChannels);
        }
        // Disabled ones count too: a kind that is listed as enabled and as disabled is a contradiction.
        let kinds: Vec<_> = self.channels.iter().map(|channel| channel.kind).collect();
        let twice = kinds.iter().enumerate().find(|(at, kind)| kinds[..*at].contains(kind));
        twice.map_or(Ok(()), |(_, kind)| Err(PreferencesError::ListedTwice(*kind)))
    }

    /// The channels to try, the preferred one first.
    pub(super) fn route(&self, channels: &Channels) -> Vec<ChannelKind> {
        let usable = self.channels.iter().filter(|channel| channel.enabled);
        usable.map(|channel| channel.kind).filter(|kind| channels.has(*kind)).collect()
    }

    /// When the quiet hours end in which `now` lies. `None` if it lies in none.
    pub(super) fn quiet_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.quiet.and_then(|quiet| quiet.end_after(now, &self.zone))
    }

    /// When a notification that is accepted now is due, apart from quiet hours.
    pub(super) fn plan(&self, priority: Priority, now: Timestamp) -> Plan {
        // Quiet hours have no say here. They decide when something would be sent: a window may end in them, and they
        // may be other ones by then.
        match (priority, self.frequency) {
            (Priority::Urgent, _) | (Priority::High, Frequency::Immediate) => Plan::Now,
            (_, Frequency::Immediate | Frequency::Batched) => Plan::Window,
            (_, digests) => {
                Plan::Digest(digests.next_digest(now, &self.zone).unwrap_or(Timestamp::MAX))
            }
        }
    }
}

/// When a notification is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plan {
    Now,
    /// With all others of the user that come in the window. The first one opens it.
    Window,
    Digest(Timestamp),
}
