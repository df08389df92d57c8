//! Points in time with an offset, as RFC 3339 writes them.
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use toml::value::{Datetime, Offset};

/// A point in time, in seconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Moment(pub i64);

/// A text that names no point in time.
#[derive(Debug, Error, PartialEq, Eq)]
#[error(
    "`{text}` is no point in time: write the date, the time and the offset from UTC, such as \
     2027-03-31T23:59:00+02:00"
)]
pub struct NoMoment {
    text: String,
}

impl Moment {
    /// The point in time of a TOML value; `None` where the date, the time or the offset is missing.
    #[must_use]
    pub fn of(value: &Datetime) -> Option<Moment> {
        let (date, time) = (value.date?, value.time?);
        let east = match value.offset? {
            Offset::Z => 0,
            Offset::Custom { minutes } => i64::from(minutes) * 60,
        };
        let days =
            days_since_1970(i64::from(date.year), i64::from(date.month), i64::from(date.day));
        let seconds = i64::from(time.hour) * 3600
            + i64::from(time.minute) * 60
            + i64::from(time.second.unwrap_or_default());
        Some(Moment(days * 86_400 + seconds - east))
    }
}

impl FromStr for Moment {
    type Err = NoMoment;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let read = text.trim().parse().ok().and_then(|value| Moment::of(&value));
        read.ok_or_else(|| NoMoment { text: text.to_owned() })
    }
}

/// In UTC: `2027-03-31T21:59:00Z`.
impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, seconds) = (self.0.div_euclid(86_400), self.0.rem_euclid(86_400));
        let (year, month, day) = date_of(days);
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

/// Days from 1970-01-01 to a date of the Gregorian calendar. Years are counted from March on, so that the
/// day of a leap year is the last one.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * month + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The date of a day that [`days_since_1970`] has counted.
fn date_of(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, later) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + later, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_their_offset() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T12:00:00Z", 951_825_600),
            ("2027-03-31T23:59:00+02:00", 1_806_530_340),
            ("1969-12-31T23:59:59Z", -1),
        ] {
            assert_eq!(text.parse::<Moment>().map(|moment| moment.0), Ok(seconds), "{text}");
        }
        assert_eq!(Moment(1_806_530_340).to_string(), "2027-03-31T21:59:00Z");
    }

    #[test]
    fn every_day_is_written_as_it_is_read() {
        for days in (-200_000..400_000).step_by(13) {
            let moment = Moment(days * 86_400 + 86_399);
            assert_eq!(moment.to_string().parse(), Ok(moment));
        }
    }

    #[test]
    fn a_time_without_an_offset_is_refused() {
        for text in ["2027-03-31T23:59:00", "2027-03-31", "tomorrow", "", "2027-02-30T00:00:00Z"] {
            let refused = text.parse::<Moment>().expect_err(text).to_string();
            assert!(refused.contains("offset from UTC"), "{refused}");
        }
    }
}
