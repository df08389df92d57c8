//! Times as clients see them.

use jiff::Timestamp;
use level3_adapters::sql::UnixMillis;

/// Returns the time as RFC 3339 in UTC: `2026-11-29T10:26:05.123Z`. A time that no calendar has is
/// left out.
pub(crate) fn text(at: UnixMillis) -> Option<String> {
    Timestamp::from_millisecond(at.0).ok().map(|at| format!("{at:.3}"))
}

/// Returns the seconds since 1970 by the clock of this machine. For signatures only, which have a
/// tolerance; no other decision depends on it.
pub(crate) fn now() -> i64 {
    Timestamp::now().as_second()
}

/// Reads a time of RFC 3339 with an offset.
pub(crate) fn read(text: &str) -> Option<UnixMillis> {
    text.parse::<Timestamp>().ok().map(|at| UnixMillis(at.as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_they_are_written() {
        let at = UnixMillis(1_796_000_000_123);
        assert_eq!(text(at).unwrap(), "2026-11-30T00:53:20.123Z");
        assert_eq!(text(UnixMillis(0)).unwrap(), "1970-01-01T00:00:00.000Z");
        assert_eq!(read(&text(at).unwrap()), Some(at));
        assert_eq!(read("2026-11-30T02:53:20.123+02:00"), Some(at));
        assert_eq!(read("tomorrow"), None);
        assert_eq!(text(UnixMillis(i64::MAX)), None);
    }
}
