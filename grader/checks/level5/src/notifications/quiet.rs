//! Quiet hours, through the notifier.

use std::collections::BTreeMap;

use grader_kit::{Cx, Outcome, ms};
use jiff::civil::Weekday;
use jiff::{Timestamp, ToSpan as _};
use level5::notifications::{ChannelKind, Frequency, Notification, Preferences, Priority};

use super::{at, high, low, medium, quiet_mail, urgent, zone};
use crate::mailroom::{
    Answer, Book, DAY, HOUR, MINUTE, SECOND, Way, config, lines, play, prefer, send, started,
    with_mail,
};

const BERLIN: &str = "Europe/Berlin";

pub async fn quiet_hours_are_the_users(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let base = "2026-06-10T00:00:00Z";
    let began: Timestamp = base.parse().expect("a date of this file");
    let book = Book::opened(&cx, base);
    let notifier = with_mail(&cx, &book).await?;
    let users = [BERLIN, "America/New_York", "Asia/Kolkata", "Pacific/Auckland"];
    // Twice an hour, never at a boundary.
    let sent: Vec<u64> =
        (0..36).map(|half| half * HOUR / 2 + draw.between(1..=28) * MINUTE).collect();
    // By moment and user. No clock changes in June.
    let mut expected: BTreeMap<(Timestamp, &str), Vec<String>> = BTreeMap::new();
    for (number, after) in sent.iter().enumerate() {
        for name in users {
            let local = (began + ms(*after)).to_zoned(zone(name));
            let morning = local.date().to_datetime(at(7, 0));
            let due = match local.hour() {
                22.. => morning.checked_add(1.day()).ok(),
                ..7 => Some(morning),
                _ => None,
            };
            let due = due.and_then(|due| due.to_zoned(zone(name)).ok());
            let moment = due.map_or(began + ms(*after), |due| due.timestamp());
            expected.entry((moment, name)).or_default().push(format!("{number}-{name}"));
        }
    }
    let script = async {
        for name in users {
            prefer(&notifier, name, quiet_mail(name, Frequency::Immediate))?;
        }
        for (number, after) in sent.iter().enumerate() {
            book.until(*after).await;
            for name in users {
                send(&notifier, high(&format!("{number}-{name}"), name)).await?;
            }
        }
        book.until(3 * DAY).await;
        Ok(())
    };
    play(&cx, 3 * DAY, script).await?;
    let expected: Vec<String> = expected
        .iter()
        .map(|((at, user), ids)| format!("{at} Email to {user}: {}", ids.join(" ")))
        .collect();
    book.was_dated(
        &expected,
        "high ones twice an hour to users of four zones, quiet from 22:00 to 07:00",
        "quiet hours are local times of the user: `zone.to_datetime(now).time()`",
    )
}

pub async fn urgent_passes_quiet_hours(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    for frequency in [Frequency::Immediate, Frequency::Batched] {
        // 23:00 in Berlin.
        let book = Book::opened(&cx, "2026-06-10T21:00:00Z");
        let notifier = with_mail(&cx, &book).await?;
        let first = draw.between(500..=3000);
        let second = draw.between(4000..=8000);
        let script = async {
            prefer(&notifier, "ann", quiet_mail(BERLIN, frequency))?;
            send(&notifier, low("a", "ann")).await?;
            book.until(first).await;
            send(&notifier, urgent("b", "ann")).await?;
            send(&notifier, medium("c", "ann")).await?;
            book.until(second).await;
            send(&notifier, urgent("d", "ann")).await?;
            book.until(3 * DAY).await;
            Ok(())
        };
        play(&cx, 3 * DAY, script).await?;
        let expected = [
            format!("{first} ms Email to ann: b"),
            format!("{second} ms Email to ann: d"),
            format!("{} ms Email to ann: a c", 8 * HOUR),
        ];
        book.was(
            &expected,
            &format!("{frequency:?}, 23:00 in quiet hours until 07:00, urgent ones between others"),
            "what is urgent goes, and what is not stays in the list until the end of the quiet hours",
        )?;
    }
    Ok(())
}

pub async fn held_ones_go_at_the_end_of_quiet_hours(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    for frequency in [Frequency::Immediate, Frequency::Batched] {
        // 22:00 in Berlin.
        let book = Book::opened(&cx, "2026-06-10T20:00:00Z");
        let notifier = with_mail(&cx, &book).await?;
        let mut sent: Vec<u64> = (0..40).map(|_| draw.below(8 * HOUR)).collect();
        sent.sort_unstable();
        let priorities = [Priority::Low, Priority::Medium, Priority::High];
        let notifications: Vec<_> = sent
            .iter()
            .enumerate()
            .map(|(number, after)| (*after, number, *draw.pick(&priorities)))
            .collect();
        let script = async {
            prefer(&notifier, "ann", quiet_mail(BERLIN, frequency))?;
            for (after, number, priority) in notifications {
                book.until(after).await;
                let one = Notification::new(&number.to_string(), "ann", priority, "a text");
                send(&notifier, one).await?;
            }
            book.until(12 * HOUR).await;
            // The next day.
            send(&notifier, high("next", "ann")).await?;
            book.until(5 * DAY).await;
            Ok(())
        };
        play(&cx, 5 * DAY, script).await?;
        let ids: Vec<_> = (0..40).map(|number| number.to_string()).collect();
        let next = if frequency == Frequency::Immediate { 0 } else { 5 * SECOND };
        let expected = [
            format!("{} ms Email to ann: {}", 9 * HOUR, ids.join(" ")),
            format!("{} ms Email to ann: next", 12 * HOUR + next),
        ];
        book.was(
            &expected,
            &format!("{frequency:?}, forty notifications from 22:00 on, quiet until 07:00"),
            "what is due in quiet hours becomes due at their end: all of it together",
        )?;
    }
    // Ten seconds before 07:00 in Berlin. What is due later stays where it is.
    let before = draw.between(1..=4999);
    let book = Book::opened(&cx, "2026-06-11T04:59:50Z");
    let notifier = with_mail(&cx, &book).await?;
    let script = async {
        prefer(&notifier, "ann", quiet_mail(BERLIN, Frequency::Immediate))?;
        book.until(10_000 - before).await;
        send(&notifier, low("window", "ann")).await?;
        send(&notifier, high("held", "ann")).await?;
        book.until(7 * DAY).await;
        Ok(())
    };
    play(&cx, 7 * DAY, script).await?;
    let window = 15_000 - before;
    book.was(
        &["10000 ms Email to ann: held".to_owned(), format!("{window} ms Email to ann: window")],
        &format!("quiet until 07:00; {before} ms before, two are accepted: one is due at once, and one when a window of 5 s ends, {} ms after 07:00", window - 10_000),
        "quiet hours move what is due in them, and nothing else",
    )
}

pub async fn a_window_that_ends_in_quiet_hours_is_held(cx: Cx) -> Outcome {
    let before = cx.draw().between(1..=4999);
    for frequency in [Frequency::Immediate, Frequency::Batched] {
        for before in [3000, before] {
            // So long before 22:00 in Berlin.
            let book = Book::opened(&cx, "2026-06-10T19:59:00Z");
            let notifier = with_mail(&cx, &book).await?;
            let script = async {
                prefer(&notifier, "ann", quiet_mail(BERLIN, frequency))?;
                book.until(MINUTE - before).await;
                send(&notifier, medium("a", "ann")).await?;
                book.until(3 * DAY).await;
                Ok(())
            };
            play(&cx, 3 * DAY, script).await?;
            book.was_dated(
                &lines(["2026-06-11T05:00:00Z Email to ann: a"]),
                &format!("{frequency:?}, accepted {before} ms before 22:00, a window of 5 s, quiet until 07:00"),
                "quiet hours decide when something is to be sent, not when it is accepted",
            )?;
        }
    }
    // An attempt of 20 ms before 22:00 fails, the next one would be after it.
    let book = Book::opened(&cx, "2026-06-10T19:59:59.500Z");
    let way = Way::new(ChannelKind::Email, &book).first([Answer::Fails(20)]);
    let notifier = started(&cx, &book, config(), [way]).await?;
    let script = async {
        prefer(&notifier, "ann", quiet_mail(BERLIN, Frequency::Immediate))?;
        send(&notifier, high("a", "ann")).await?;
        book.until(3 * DAY).await;
        Ok(())
    };
    play(&cx, 3 * DAY, script).await?;
    book.was_dated(
        &lines(["2026-06-10T19:59:59.5Z Email to ann: a", "2026-06-11T05:00:00Z Email to ann: a"]),
        "an attempt fails half a second before the quiet hours",
        "the next attempt is not in quiet hours either",
    )?;
    what_comes_to_be_due_in_them(&cx).await
}

/// An attempt that is held is none; what waits for another delivery is due when that has ended; and what is urgent is
/// tried again in quiet hours.
async fn what_comes_to_be_due_in_them(cx: &Cx) -> Outcome {
    let before = cx.draw().between(100..=900);
    let fails = |count| vec![Answer::Fails(20); count];
    let begin = 1000 - before;
    // What the channel does, what is sent when, and the calls, in ms since 21:59:59 in Berlin.
    let night = 9 * HOUR + SECOND;
    let high_ones: &[(u64, Notification)] = &[(begin, high("a", "ann"))];
    let behind = &[(begin, high("a", "ann")), (begin + 50, high("b", "ann"))];
    let urgent_ones = &[(begin, urgent("u", "ann"))];
    let cases = [
        (
            "an attempt fails before 22:00, and so do all others",
            fails(9),
            high_ones,
            vec![(begin, "a"), (night, "a"), (night + 2020, "a"), (night + 6040, "a")],
        ),
        (
            "a delivery that takes 3 s begins before 22:00, and another notification waits behind it",
            vec![Answer::Delivers(3000)],
            behind,
            vec![(begin, "a"), (night, "b")],
        ),
        (
            "an urgent one fails twice, the first time before 22:00",
            fails(2),
            urgent_ones,
            vec![(begin, "u"), (begin + 1020, "u"), (begin + 3040, "u")],
        ),
    ];
    for (what, answers, sent, calls) in cases {
        let book = Book::opened(cx, "2026-06-10T19:59:59Z");
        let way = Way::new(ChannelKind::Email, &book).first(answers);
        let notifier = started(cx, &book, config(), [way]).await?;
        let script = async {
            prefer(&notifier, "ann", quiet_mail(BERLIN, Frequency::Immediate))?;
            for (at, one) in sent {
                book.until(*at).await;
                send(&notifier, one.clone()).await?;
            }
            book.until(3 * DAY).await;
            Ok(notifier.dead_letters().letters().iter().map(|it| it.attempts).collect::<Vec<_>>())
        };
        let letters = play(cx, 3 * DAY, script).await?;
        let expected: Vec<_> =
            calls.iter().map(|(at, id)| format!("{at} ms Email to ann: {id}")).collect();
        let when = format!("{what}; quiet from 22:00 to 07:00, accepted {before} ms before them");
        book.was(&expected, &when, "what is not urgent is held whenever it would begin in quiet hours, and an attempt that is held counts when it is made")?;
        let attempts = if calls.len() == 4 { vec![4] } else { Vec::new() };
        grader_kit::ensure_eq!(letters, attempts, "{when}: the attempts of the dead letters");
    }
    Ok(())
}

pub async fn a_digest_in_quiet_hours_moves(cx: Cx) -> Outcome {
    // A Wednesday, 12:00 in Berlin.
    let base = "2026-06-10T10:00:00Z";
    let minute = i8::try_from(cx.draw().below(60)).unwrap_or(0);
    let daily = |hour| Frequency::Daily { at: at(hour, minute) };
    let weekly = |hour| Frequency::Weekly { on: Weekday::Monday, at: at(hour, minute) };
    let late = format!("2026-06-11T07:{minute:02}:00Z");
    let cases = [
        (daily(6), "2026-06-11T05:00:00Z"),
        // Of midnight and before it.
        (daily(0), "2026-06-11T05:00:00Z"),
        (daily(23), "2026-06-11T05:00:00Z"),
        (weekly(6), "2026-06-15T05:00:00Z"),
        // Not in quiet hours: it stays, also for what has come in quiet hours.
        (daily(9), late.as_str()),
    ];
    for (frequency, expected) in cases {
        let book = Book::opened(&cx, base);
        let notifier = with_mail(&cx, &book).await?;
        let script = async {
            prefer(&notifier, "ann", quiet_mail(BERLIN, frequency))?;
            send(&notifier, low("a", "ann")).await?;
            book.until(10 * HOUR + 30 * MINUTE).await;
            send(&notifier, high("b", "ann")).await?;
            book.until(9 * DAY).await;
            Ok(())
        };
        play(&cx, 9 * DAY, script).await?;
        book.was_dated(
            &[format!("{expected} Email to ann: a b")],
            &format!("{frequency:?} in Berlin, quiet from 22:00 to 07:00, accepted at 12:00 and 22:30"),
            "a digest that is due in quiet hours becomes due at their end; any other one stays where it is",
        )?;
    }
    // Another zone has other nights.
    let book = Book::opened(&cx, base);
    let notifier = with_mail(&cx, &book).await?;
    let script = async {
        let preferences = quiet_mail("America/New_York", Frequency::Daily { at: at(6, 30) });
        prefer(&notifier, "ann", Preferences { ..preferences })?;
        send(&notifier, low("a", "ann")).await?;
        book.until(3 * DAY).await;
        Ok(())
    };
    play(&cx, 3 * DAY, script).await?;
    book.was_dated(
        &lines(["2026-06-10T11:00:00Z Email to ann: a"]),
        "a digest of 06:30 in New York, quiet until 07:00",
        "a digest that is due in quiet hours becomes due at their end",
    )
}
