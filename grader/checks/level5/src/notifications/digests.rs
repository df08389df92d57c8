//! Digests, through the notifier.

use grader_kit::{Cx, Outcome, ensure_eq, ms};
use jiff::civil::Weekday;
use jiff::{Timestamp, ToSpan as _};
use level5::notifications::{ChannelKind, Frequency, Pending, Preferences, Refused};

use super::{at, high, low, mail, medium, quiet_mail, urgent, zone};
use crate::mailroom::{
    Answer, Book, DAY, HOUR, MINUTE, SECOND, Way, config, lines, play, prefer, send, started,
    with_mail,
};

const ZONES: [&str; 5] = [
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kolkata",
    "Pacific/Auckland",
    "Australia/Lord_Howe",
];

/// The first moment after `now` at which a clock in the zone shows the time of the digest, on the weekday if there
/// is one. For times that no change of the clock touches.
fn next(now: Timestamp, name: &str, on: Option<Weekday>, time: jiff::civil::Time) -> Timestamp {
    let zone = zone(name);
    let today = now.to_zoned(zone.clone()).date();
    (0..=8)
        .filter_map(|days: i32| today.checked_add(days.days()).ok())
        .filter(|date| on.is_none_or(|on| date.weekday() == on))
        .filter_map(|date| date.to_datetime(time).to_zoned(zone.clone()).ok())
        .map(|digest| digest.timestamp())
        .find(|digest| *digest > now)
        .unwrap_or(Timestamp::MAX)
}

struct Digests {
    user: String,
    zone: &'static str,
    on: Option<Weekday>,
    time: jiff::civil::Time,
    frequency: Frequency,
}

impl Digests {
    fn new(zone: &'static str, on: Option<Weekday>, time: jiff::civil::Time) -> Self {
        let frequency = match on {
            None => Frequency::Daily { at: time },
            Some(on) => Frequency::Weekly { on, at: time },
        };
        Self { user: zone.to_owned(), zone, on, time, frequency }
    }
}

/// Sends notifications at these moments to all users, for so many days, and compares with the calendar.
async fn follow(cx: &Cx, base: &str, users: Vec<Digests>, sent: &[u64], length: u64) -> Outcome {
    let book = Book::opened(cx, base);
    let notifier = with_mail(cx, &book).await?;
    let began: Timestamp = base.parse().expect("a date of this file");
    let mut expected: Vec<(Timestamp, String, Vec<String>)> = Vec::new();
    for (number, after) in sent.iter().enumerate() {
        let now = began + ms(*after);
        for user in &users {
            let digest = next(now, user.zone, user.on, user.time);
            let id = number.to_string();
            match expected.iter_mut().find(|(at, name, _)| *at == digest && *name == user.user) {
                Some((.., ids)) => ids.push(id),
                None => expected.push((digest, user.user.clone(), vec![id])),
            }
        }
    }
    let script = async {
        for user in &users {
            let preferences = Preferences { zone: zone(user.zone), ..mail(user.frequency) };
            prefer(&notifier, &user.user, preferences)?;
        }
        for (number, after) in sent.iter().enumerate() {
            book.until(*after).await;
            for user in &users {
                let notification = if number % 2 == 0 { low } else { high };
                send(&notifier, notification(&id_of(number, user), &user.user)).await?;
            }
        }
        book.until(length).await;
        Ok(())
    };
    play(cx, length, script).await?;
    expected.sort();
    let names = |user: &str, ids: &[String]| {
        ids.iter().map(|id| format!("{user}-{id}")).collect::<Vec<_>>().join(" ")
    };
    let expected: Vec<String> = expected
        .iter()
        .map(|(at, user, ids)| format!("{at} Email to {user}: {}", names(user, ids)))
        .collect();
    let all: Vec<_> =
        users.iter().map(|user| format!("{} {:?}", user.zone, user.frequency)).collect();
    book.was_dated(
        &expected,
        &all.join(", "),
        "a digest is at a local time of the user's zone: find the date there, then the moment of date and time",
    )
}

fn id_of(number: usize, user: &Digests) -> String {
    format!("{}-{number}", user.user)
}

pub async fn daily_digests_are_in_the_users_zone(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    for nine in [true, false] {
        let mut time = || {
            let hour = i8::try_from(draw.between(4..=23)).unwrap_or(9);
            let minute = i8::try_from(draw.below(60)).unwrap_or(0);
            if nine { at(9, 0) } else { at(hour, minute) }
        };
        let users = ZONES.map(|zone| Digests::new(zone, None, time())).into();
        // Half an odd second: no digest is at such a moment. The clock of Berlin changes on the second day.
        let mut sent: Vec<u64> =
            (0..8).map(|_| draw.below(4 * DAY / SECOND) * SECOND + 500).collect();
        sent.sort_unstable();
        sent.dedup();
        follow(&cx, "2026-03-27T12:00:00Z", users, &sent, 6 * DAY).await?;
    }
    Ok(())
}

pub async fn weekly_digests_are_in_the_users_zone(cx: Cx) -> Outcome {
    use Weekday::{Friday, Monday, Saturday, Sunday, Thursday, Tuesday, Wednesday};
    let mut draw = cx.draw();
    let week = [Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday];
    for monday in [true, false] {
        let mut day = || {
            let (drawn, minute) = (*draw.pick(&week), i8::try_from(draw.below(60)).unwrap_or(0));
            if monday { (Some(Monday), at(9, 0)) } else { (Some(drawn), at(9, minute)) }
        };
        let users = ZONES
            .map(|zone| {
                let (on, time) = day();
                Digests::new(zone, on, time)
            })
            .into();
        let mut sent: Vec<u64> =
            (0..6).map(|_| draw.below(14 * DAY / SECOND) * SECOND + 500).collect();
        sent.sort_unstable();
        sent.dedup();
        follow(&cx, "2026-06-10T12:00:00Z", users, &sent, 24 * DAY).await?;
    }
    Ok(())
}

pub async fn what_comes_during_a_digest_is_in_the_next(cx: Cx) -> Outcome {
    let book = Book::opened(&cx, "2026-06-10T08:00:00Z");
    let slow = Way::new(ChannelKind::Email, &book).always(Answer::Delivers(3000));
    let notifier = started(&cx, &book, config(), [slow]).await?;
    let script = async {
        for user in ["ann", "ben"] {
            prefer(&notifier, user, mail(Frequency::DAILY))?;
        }
        prefer(&notifier, "cat", mail(Frequency::Batched))?;
        book.until(30 * MINUTE).await;
        send(&notifier, low("a", "ann")).await?;
        send(&notifier, low("b", "ben")).await?;
        book.until(HOUR - 5000).await;
        send(&notifier, low("x", "cat")).await?;
        for (after, letter) in [(1, "c"), (1500, "d"), (2999, "e")] {
            book.until(HOUR + after).await;
            for user in ["ann", "ben"] {
                send(&notifier, medium(&format!("{letter}-{user}"), user)).await?;
            }
        }
        send(&notifier, low("y", "cat")).await?;
        book.until(3 * DAY).await;
        Ok(())
    };
    play(&cx, 3 * DAY, script).await?;
    let expected = lines([
        "2026-06-10T09:00:00Z Email to ann: a",
        "2026-06-10T09:00:00Z Email to ben: b",
        "2026-06-10T09:00:00Z Email to cat: x",
        "2026-06-10T09:00:07.999Z Email to cat: y",
        "2026-06-11T09:00:00Z Email to ann: c-ann d-ann e-ann",
        "2026-06-11T09:00:00Z Email to ben: c-ben d-ben e-ben",
    ]);
    book.was_dated(
        &expected,
        "deliveries take 3 s; more is accepted while those of 09:00 are on their way",
        "take what is sent out of the list before the delivery begins: what is in the list afterwards is new",
    )
}

pub async fn a_restart_keeps_its_digests(cx: Cx) -> Outcome {
    let minute = cx.draw().between(11..=59);
    // Of several that are overdue, the first one may go before the others are resumed: there is one.
    for (back, expected, ids) in [
        (57, "2026-06-10T09:00:00Z".to_owned(), vec!["a", "b", "c"]),
        (60 + minute, format!("2026-06-10T09:{minute}:00Z"), vec!["a"]),
    ] {
        let book = Book::opened(&cx, "2026-06-10T08:00:00Z");
        let first = with_mail(&cx, &book).await?;
        let script = async {
            prefer(&first, "ann", mail(Frequency::DAILY))?;
            prefer(&first, "ben", mail(Frequency::Daily { at: at(8, 30) }))?;
            for id in &ids {
                send(&first, low(id, "ann")).await?;
            }
            send(&first, low("d", "ben")).await?;
            book.until(55 * MINUTE).await;
            Ok(first.shutdown(ms(10_000)).await)
        };
        let report = play(&cx, HOUR, script).await?;
        drop(first);
        let second = with_mail(&cx, &book).await?;
        let script = async {
            prefer(&second, "ann", mail(Frequency::DAILY))?;
            prefer(&second, "ben", mail(Frequency::Daily { at: at(8, 30) }))?;
            book.until(back * MINUTE).await;
            let mut refused = Vec::new();
            for pending in report.pending {
                let id = pending.notification.id.clone();
                refused.extend(second.resume(pending).await.err().map(|error| (id, error)));
            }
            ensure_eq!(refused, Vec::new(), "what was handed back is refused");
            book.until(3 * DAY).await;
            Ok(())
        };
        play(&cx, 3 * DAY, script).await?;
        let expected = [
            "2026-06-10T08:30:00Z Email to ben: d".to_owned(),
            format!("{expected} Email to ann: {}", ids.join(" ")),
        ];
        book.was_dated(
            &expected,
            &format!(
                "a digest of 09:00, handed back at 08:55 and resumed {back} minutes after 08:00"
            ),
            "`Pending::due` is when it is due; what is overdue goes at once",
        )?;
    }
    a_resumed_one_is_like_any_other(&cx).await
}

/// What is resumed is known by its id, is held in quiet hours, moves with other preferences, and is handed back.
async fn a_resumed_one_is_like_any_other(cx: &Cx) -> Outcome {
    let mut draw = cx.draw();
    let (due, set) = (draw.between(2..=5) * HOUR, draw.between(1..=100) * SECOND);
    let book = Book::opened(cx, "2026-06-10T01:00:00Z");
    let notifier = with_mail(cx, &book).await?;
    let began: Timestamp = "2026-06-10T01:00:00Z".parse().expect("a date of this file");
    let pending = |notification, after: u64| Pending { notification, due: began + ms(after) };
    let script = async {
        prefer(&notifier, "eve", quiet_mail("UTC", Frequency::Immediate))?;
        // Due in an hour, whatever its priority is; held until 07:00; planned again; and left at the end.
        for one in [
            pending(urgent("u", "ann"), HOUR),
            pending(high("q", "eve"), 0),
            pending(low("p", "cat"), DAY),
            pending(low("d", "dan"), 3 * DAY + due),
        ] {
            let id = one.notification.id.clone();
            let found = notifier.resume(one.clone()).await.err();
            ensure_eq!(found, None, "`{id}` is resumed");
            let again = [
                notifier.resume(one.clone()).await.err(),
                notifier.notify(one.notification).await.err(),
            ];
            ensure_eq!(again, [Some(Refused::Duplicate), Some(Refused::Duplicate)], "`{id}` was resumed, and is resumed and accepted once more"; help = "`resume` accepts as `notify` does, but for the moment at which it is due");
        }
        book.until(set).await;
        prefer(&notifier, "cat", mail(Frequency::Daily { at: at(8, 0) }))?;
        book.until(3 * DAY).await;
        let report = notifier.shutdown(ms(1000)).await;
        Ok(report
            .pending
            .into_iter()
            .map(|it| (it.notification.id.to_string(), it.due))
            .collect::<Vec<_>>())
    };
    let left = play(cx, 3 * DAY, script).await?;
    book.was_dated(
        &lines([
            "2026-06-10T02:00:00Z Email to ann: u",
            "2026-06-10T07:00:00Z Email to eve: q",
            "2026-06-10T08:00:00Z Email to cat: p",
        ]),
        "resumed: one that is due in an hour, one that is due in quiet hours, and one for tomorrow, before its user prefers 08:00",
        "what is resumed waits as what was accepted: quiet hours hold it, and other preferences plan it again",
    )?;
    let expected = vec![("d".to_owned(), began + ms(3 * DAY + due))];
    ensure_eq!(
        left,
        expected,
        "one that is due later than the shutdown: what is handed back again"
    );
    Ok(())
}
