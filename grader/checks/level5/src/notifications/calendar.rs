//! Digests and quiet hours, without a notifier.

use std::collections::BTreeSet;

use grader_kit::{Cx, Fail, Outcome, ensure, ensure_eq};
use jiff::Timestamp;
use jiff::civil::{Time, Weekday};
use level5::notifications::{Frequency, QuietHours, QuietHoursError};

use super::{at, zone};

fn date(text: &str) -> Timestamp {
    text.parse().expect("a date of this file")
}

async fn next(
    cx: &Cx,
    frequency: Frequency,
    now: Timestamp,
    name: &str,
) -> Result<Option<Timestamp>, Fail> {
    let zone = zone(name);
    cx.call_fn("Frequency::next_digest", || frequency.next_digest(now, &zone)).await
}

pub async fn digests_cross_changes_of_the_clock(cx: Cx) -> Outcome {
    let sunday = Frequency::Weekly { on: Weekday::Sunday, at: at(2, 30) };
    let daily = |hour, minute| Frequency::Daily { at: at(hour, minute) };
    let cases = [
        // The gap of Berlin, from 02:00 to 03:00.
        ("Europe/Berlin", daily(2, 30), "2026-03-28T12:00:00Z", "2026-03-29T01:30:00Z"),
        ("Europe/Berlin", daily(2, 30), "2026-03-29T01:30:00Z", "2026-03-30T00:30:00Z"),
        ("Europe/Berlin", sunday, "2026-03-28T12:00:00Z", "2026-03-29T01:30:00Z"),
        // Its fold, where 02:30 is at 00:30 and 01:30 UTC.
        ("Europe/Berlin", daily(2, 30), "2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z"),
        ("Europe/Berlin", daily(2, 30), "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"),
        ("Europe/Berlin", daily(2, 30), "2026-10-25T01:00:00Z", "2026-10-26T01:30:00Z"),
        ("Europe/Berlin", sunday, "2026-10-25T00:30:00Z", "2026-11-01T01:30:00Z"),
        ("America/New_York", daily(2, 30), "2026-03-07T12:00:00Z", "2026-03-08T07:30:00Z"),
        ("America/New_York", daily(1, 30), "2026-10-31T12:00:00Z", "2026-11-01T05:30:00Z"),
        ("America/New_York", daily(1, 30), "2026-11-01T05:30:00Z", "2026-11-02T06:30:00Z"),
        // A gap of half an hour.
        ("Australia/Lord_Howe", daily(2, 15), "2026-10-02T20:00:00Z", "2026-10-03T15:45:00Z"),
        // Other digests on the same days.
        ("Europe/Berlin", daily(9, 0), "2026-03-28T12:00:00Z", "2026-03-29T07:00:00Z"),
        ("Europe/Berlin", daily(9, 0), "2026-10-24T12:00:00Z", "2026-10-25T08:00:00Z"),
        // A date that the zone has left out.
        ("Pacific/Apia", daily(9, 0), "2011-12-30T19:00:00Z", "2011-12-31T19:00:00Z"),
        // After now, and not at now.
        ("UTC", daily(9, 0), "2026-06-10T09:00:00Z", "2026-06-11T09:00:00Z"),
        ("UTC", daily(9, 0), "2026-06-10T08:59:59.999Z", "2026-06-10T09:00:00Z"),
        ("UTC", daily(9, 0), "2026-06-10T09:00:00.001Z", "2026-06-11T09:00:00Z"),
        ("UTC", daily(0, 0), "2026-06-10T00:00:00.001Z", "2026-06-11T00:00:00Z"),
        ("UTC", Frequency::WEEKLY, "2026-06-15T09:00:00Z", "2026-06-22T09:00:00Z"),
        ("UTC", Frequency::WEEKLY, "2026-06-15T08:59:59.999Z", "2026-06-15T09:00:00Z"),
        ("UTC", Frequency::WEEKLY, "2026-06-15T10:00:00Z", "2026-06-22T09:00:00Z"),
    ];
    for (name, frequency, now, expected) in cases {
        let found = next(&cx, frequency, date(now), name).await?;
        ensure_eq!(found, Some(date(expected)), "the digest after {} of {:?} in {}", now, frequency, name;
            help = "try the dates from the one of `now` on: the first moment that is later than `now`; `compatible` decides about times that happen twice or not at all");
    }
    for none in [Frequency::Immediate, Frequency::Batched] {
        let found = next(&cx, none, date("2026-06-10T09:00:00Z"), "UTC").await?;
        ensure_eq!(found, None, "{:?} has a digest", none);
    }
    // A year: each local date once.
    let mut draw = cx.draw();
    for name in ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"] {
        let (hour, minute) = (draw.below(23), draw.below(60));
        let time = at(i8::try_from(hour).unwrap_or(0), i8::try_from(minute).unwrap_or(0));
        let local = zone(name);
        let began = date("2026-01-01T12:00:00Z");
        let (mut now, mut dates, mut odd) = (began, BTreeSet::new(), Vec::new());
        for _ in 0..365 {
            let Some(digest) = next(&cx, Frequency::Daily { at: time }, now, name).await? else {
                return Err(Fail::new(format!("no digest after {now} in {name}")));
            };
            ensure!(digest > now, "the digest after {now} in {name} is at {digest}");
            now = digest;
            let shown = local.to_datetime(digest);
            dates.insert(shown.date());
            if shown.time() != time {
                odd.push(shown);
            }
        }
        let days = now.duration_since(began).as_hours() / 24;
        ensure!(dates.len() == 365 && (364..=365).contains(&days), "365 digests at {time} in {name} from {began} on: {} dates within {days} days", dates.len();
            expected = "one for each date of a year");
        ensure!(odd.len() <= 1, "digests at {time} in {name} are at another time: {odd:?}"; expected = "on the day of the gap only");
    }
    Ok(())
}

fn time_of(minutes: u64) -> Time {
    at(i8::try_from(minutes / 60 % 24).unwrap_or(0), i8::try_from(minutes % 60).unwrap_or(0))
}

/// As many drawn hours as fixed ones.
fn all_hours(cx: &Cx) -> Vec<(u64, u64)> {
    let mut draw = cx.draw();
    let mut hours = vec![(22 * 60, 7 * 60), (12 * 60, 14 * 60), (0, 6 * 60), (18 * 60, 0)];
    while hours.len() < 12 {
        let (start, end) = (draw.below(24 * 60), draw.below(24 * 60));
        if start != end {
            hours.push((start, end));
        }
    }
    hours
}

pub async fn quiet_hours_begin_and_end(cx: Cx) -> Outcome {
    for (start, end) in all_hours(&cx) {
        let quiet = QuietHours::new(time_of(start), time_of(end));
        // Walks from the start to the end.
        let length = (end + 24 * 60 - start) % (24 * 60);
        let quiet_minutes: BTreeSet<u64> =
            (0..length).map(|minute| (start + minute) % (24 * 60)).collect();
        // The first and the last instant of each minute of the day.
        let times: Vec<(u64, Time)> = (0..24 * 60)
            .flat_map(|minute| {
                let first = time_of(minute);
                let last = Time::new(first.hour(), first.minute(), 59, 999_999_999);
                [(minute, first), (minute, last.unwrap_or(first))]
            })
            .collect();
        // One call for all: a call of its own for each time takes a second.
        let all = || times.iter().map(|(_, time)| quiet.contains(*time)).collect::<Vec<_>>();
        let found = cx.call_fn("QuietHours::contains", all).await?;
        for ((minute, time), found) in times.iter().zip(found) {
            ensure!(found == quiet_minutes.contains(minute), "quiet from {} to {}: {time} is {}", time_of(start), time_of(end), if found { "quiet" } else { "not" };
                expected = "the start is quiet, the end is not", help = "where the hours span midnight, a time is quiet from the start on or before the end");
        }
    }
    Ok(())
}

pub async fn equal_times_are_no_quiet_hours(cx: Cx) -> Outcome {
    let drawn = cx.draw().below(24 * 60);
    for equal in [0, 8 * 60, 22 * 60, drawn] {
        let quiet = QuietHours::new(time_of(equal), time_of(equal));
        for minute in (0..24 * 60).step_by(15).chain([equal, (equal + 1) % (24 * 60)]) {
            let found =
                cx.call_fn("QuietHours::contains", || quiet.contains(time_of(minute))).await?;
            ensure!(!found, "quiet from {} to {}: {} is quiet", time_of(equal), time_of(equal), time_of(minute);
                expected = "equal times are no quiet hours");
        }
        let utc = jiff::tz::TimeZone::UTC;
        let now = date("2026-06-10T08:00:00Z");
        let end = cx.call_fn("QuietHours::end_after", || quiet.end_after(now, &utc)).await?;
        ensure!(end.is_none(), "quiet from {} to {}: they end at {end:?}", time_of(equal), time_of(equal);
            expected = "`None`: equal times are no quiet hours");
    }
    Ok(())
}

pub async fn bad_times_are_refused(cx: Cx) -> Outcome {
    const PARSE: &str = "QuietHours::parse";
    for bad in ["25:00", "24:01", "22:60", "99:99", "noon", "", "-1:00", "12:3x", "ab:cd"] {
        let ends = [(bad, "07:00"), ("22:00", bad)];
        for (start, end) in ends {
            let found = cx.call_fn(PARSE, || QuietHours::parse(start, end)).await?;
            ensure_eq!(found, Err(QuietHoursError(bad.to_owned())), "quiet hours from `{}` to `{}`", start, end;
                help = "the error names the text that is no time of day");
        }
    }
    for (start, end) in all_hours(&cx) {
        let (from, to) = (time_of(start), time_of(end));
        let text = |minutes: u64| format!("{:02}:{:02}", minutes / 60, minutes % 60);
        let found = cx.call_fn(PARSE, || QuietHours::parse(&text(start), &text(end))).await?;
        ensure_eq!(
            found,
            Ok(QuietHours::new(from, to)),
            "quiet hours from `{}` to `{}`",
            text(start),
            text(end)
        );
    }
    Ok(())
}

pub async fn quiet_hours_cross_changes_of_the_clock(cx: Cx) -> Outcome {
    let night = QuietHours::new(at(22, 0), at(7, 0));
    let early = QuietHours::new(at(22, 0), at(2, 30));
    let cases = [
        (night, "Europe/Berlin", "2026-03-28T22:00:00Z", Some("2026-03-29T05:00:00Z")),
        (night, "Europe/Berlin", "2026-10-24T21:00:00Z", Some("2026-10-25T06:00:00Z")),
        (night, "America/New_York", "2026-03-08T03:20:00Z", Some("2026-03-08T11:00:00Z")),
        (night, "America/New_York", "2026-11-01T02:30:00Z", Some("2026-11-01T12:00:00Z")),
        (night, "Asia/Kolkata", "2026-06-10T16:31:00Z", Some("2026-06-11T01:30:00Z")),
        (night, "Asia/Kolkata", "2026-06-10T16:29:59.999Z", None),
        // 02:30 is jumped over: it is not quiet any more at 03:00.
        (early, "Europe/Berlin", "2026-03-28T23:00:00Z", Some("2026-03-29T01:00:00Z")),
        // 02:30 happens twice, and so does the time before it.
        (early, "Europe/Berlin", "2026-10-24T23:00:00Z", Some("2026-10-25T00:30:00Z")),
        (early, "Europe/Berlin", "2026-10-25T00:45:00Z", None),
        (early, "Europe/Berlin", "2026-10-25T01:10:00Z", Some("2026-10-25T01:30:00Z")),
        (early, "Europe/Berlin", "2026-10-25T01:30:00Z", None),
    ];
    for (quiet, name, now, expected) in cases {
        let zone = zone(name);
        let end = cx.call_fn("QuietHours::end_after", || quiet.end_after(date(now), &zone)).await?;
        ensure_eq!(end, expected.map(date), "the end of {:?} in {} after {}", quiet, name, now;
            help = "the first later moment whose local time is not quiet");
    }
    Ok(())
}
