//! Quiet hours: arithmetic with times of day, without a clock.

use jiff::civil::Time;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

/// The error of a text that is no time of day.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no time of day: write hours and minutes, such as 07:00")]
pub struct QuietHoursError(pub String);

/// The hours of each day in which only urgent notifications are sent: from a time of day on, until before another one.
/// They may span midnight. Equal times are no quiet hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuietHours {
    // starter: keep
    start: Time,
    // starter: keep
    end: Time,
}

impl QuietHours {
    /// Quiet from `start` on, until before `end`.
    // starter: keep
    #[must_use]
    pub const fn new(start: Time, end: Time) -> Self {
        Self { start, end }
    }

    /// Quiet hours from two texts such as `22:00` and `07:00`.
    ///
    /// # Errors
    ///
    /// [`QuietHoursError`] with the text that is no time of day, such as `25:00`.
    pub fn parse(start: &str, end: &str) -> Result<Self, QuietHoursError> {
        let time = |text: &str| match text.as_bytes() {
            // jiff reads other forms too, such as `T22` and `22:00:00.5`.
            [_, _, b':', _, _] => {
                text.parse::<Time>().map_err(|_| QuietHoursError(text.to_owned()))
            }
            _ => Err(QuietHoursError(text.to_owned())),
        };
        Ok(Self::new(time(start)?, time(end)?))
    }

    /// Whether this time of day is quiet.
    #[must_use]
    pub fn contains(&self, time: Time) -> bool {
        if self.start <= self.end {
            self.start <= time && time < self.end
        } else {
            self.start <= time || time < self.end
        }
    }

    /// The end of the quiet hours in which `now` lies, for a user in `zone`. `None` if `now` is not quiet.
    ///
    /// It is the first moment after `now` whose local time is not quiet. The change of a clock may be that moment: when
    /// the clock goes from 02:00 to 03:00, hours that end at 02:30 end then.
    #[must_use]
    pub fn end_after(&self, now: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let local = zone.to_datetime(now);
        if !self.contains(local.time()) {
            return None;
        }
        // Yesterday too: after a jump to another date, its end may still be ahead.
        let days =
            (-1..=2).filter_map(|days: i32| local.date().checked_add(Span::new().days(days)).ok());
        // The end by the local clock, on each of these days. The earliest one counts that is later than `now` and at
        // which it is not quiet.
        let ends = days.flat_map(|date| {
            let end = zone.to_ambiguous_timestamp(date.to_datetime(self.end));
            // An hour that repeats has two such ends, and quiet time before each of them.
            [end.earlier(), end.later()].map(Result::ok)
        });
        let end = ends.flatten().filter(|&end| self.ends(end, now, zone)).min();
        let limit = end.unwrap_or(Timestamp::MAX);
        // A change of the clock may jump over the end, so that no moment shows it. Only changes before the limit are
        // looked at: those of a zone go on to the end of the calendar.
        let changes = zone.following(now).map(|change| change.timestamp());
        let jump = changes.take_while(|&at| at < limit).find(|&at| self.ends(at, now, zone));
        Some(jump.unwrap_or(limit))
    }

    fn ends(&self, at: Timestamp, now: Timestamp, zone: &TimeZone) -> bool {
        at > now && !self.contains(zone.to_datetime(at).time())
    }
}
