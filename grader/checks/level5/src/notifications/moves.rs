//! Order, other preferences, and a wall clock that is set.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};

use grader_kit::{Cx, Outcome, ms};
use jiff::{SignedDuration, Timestamp};
use level5::notifications::{ChannelKind, Channels, Config, Frequency, Notifier, Preferences};
use level5::wall_clock::{VirtualWall, WallClock};

use super::{at, high, low, mail, medium, quiet_mail, urgent, zone};
use crate::mailroom::{
    Answer, Book, DAY, HOUR, MINUTE, Way, config, lines, play, prefer, send, started, with_mail,
};

pub async fn deliveries_of_a_user_do_not_overtake(cx: Cx) -> Outcome {
    // A delivery that takes 8 s.
    let book = Book::opened(&cx, "2026-06-10T10:00:00Z");
    let way = Way::new(ChannelKind::Email, &book).first([Answer::Delivers(8000)]);
    let config_of = |window| Config { window: ms(window), ..config() };
    let notifier = started(&cx, &book, config_of(1000), [way]).await?;
    let script = async {
        prefer(&notifier, "ann", mail(Frequency::Batched))?;
        for (after, id) in [(0, "a"), (2000, "b"), (5000, "c")] {
            book.until(after).await;
            send(&notifier, low(id, "ann")).await?;
        }
        book.until(5500).await;
        send(&notifier, urgent("u", "ann")).await?;
        book.until(8900).await;
        // Its window ends after the delivery.
        send(&notifier, low("d", "ann")).await?;
        book.until(MINUTE).await;
        Ok(())
    };
    play(&cx, MINUTE, script).await?;
    let expected = lines([
        "1000 ms Email to ann: a",
        "5500 ms Email to ann: u",
        "9000 ms Email to ann: b c",
        "9900 ms Email to ann: d",
    ]);
    book.was(
        &expected,
        "windows of 1 s, a delivery from 1 s to 9 s, two windows that end meanwhile, and an urgent one",
        "one delivery of a user at a time: what is due meanwhile goes after it, together; what is urgent does not wait",
    )?;
    // One that fails twice. For each of the lanes.
    for first in [high, urgent] {
        let book = Book::opened(&cx, "2026-06-10T10:00:00Z");
        let way = Way::new(ChannelKind::Email, &book).first([Answer::Fails(20), Answer::Fails(20)]);
        let notifier = started(&cx, &book, config(), [way]).await?;
        let script = async {
            send(&notifier, first("a", "ann")).await?;
            for (after, id) in [(10, "b"), (500, "c"), (3050, "d")] {
                book.until(after).await;
                send(&notifier, first(id, "ann")).await?;
            }
            book.until(MINUTE).await;
            Ok(())
        };
        play(&cx, MINUTE, script).await?;
        let expected = lines([
            "0 ms Email to ann: a",
            "1020 ms Email to ann: a",
            "3040 ms Email to ann: a",
            "3060 ms Email to ann: b c d",
        ]);
        let priority = first("", "").priority;
        book.was(
            &expected,
            &format!("{priority:?} ones at 0, 10, 500 and 3050 ms; the first one fails twice"),
            "between two attempts the lane of a user is taken: what is due meanwhile goes after the end",
        )?;
    }
    Ok(())
}

pub async fn other_preferences_move_what_waits(cx: Cx) -> Outcome {
    const BERLIN: &str = "Europe/Berlin";
    let daily_in = |name: &str| Preferences { zone: zone(name), ..mail(Frequency::DAILY) };
    let weekly = mail(Frequency::WEEKLY);
    let night = quiet_mail("UTC", Frequency::Immediate);
    let quiet = night.clone();
    let awake = mail(Frequency::Immediate);
    let later = Frequency::Daily { at: at(18, 0) };
    // Accepted on a Wednesday at 01:00, changed at 02:00: from, to, high, and low.
    let cases = [
        (
            "daily to immediate",
            mail(Frequency::DAILY),
            awake.clone(),
            "2026-06-10T02:00:00Z",
            "2026-06-10T02:00:05Z",
        ),
        (
            "daily to batched",
            mail(Frequency::DAILY),
            mail(Frequency::Batched),
            "2026-06-10T02:00:05Z",
            "2026-06-10T02:00:05Z",
        ),
        (
            "weekly to daily",
            weekly.clone(),
            mail(Frequency::DAILY),
            "2026-06-10T09:00:00Z",
            "2026-06-10T09:00:00Z",
        ),
        (
            "daily to weekly",
            mail(Frequency::DAILY),
            weekly,
            "2026-06-15T09:00:00Z",
            "2026-06-15T09:00:00Z",
        ),
        (
            "daily to a later time",
            mail(Frequency::DAILY),
            mail(later),
            "2026-06-10T18:00:00Z",
            "2026-06-10T18:00:00Z",
        ),
        (
            "daily to another zone",
            daily_in("UTC"),
            daily_in(BERLIN),
            "2026-06-10T07:00:00Z",
            "2026-06-10T07:00:00Z",
        ),
        (
            "daily to immediate with quiet hours, in these",
            mail(Frequency::DAILY),
            quiet,
            "2026-06-10T07:00:00Z",
            "2026-06-10T07:00:00Z",
        ),
        ("quiet hours to none", night, awake, "2026-06-10T02:00:00Z", "2026-06-10T02:00:05Z"),
    ];
    for (name, from, to, when_high, when_low) in cases {
        let book = Book::opened(&cx, "2026-06-10T01:00:00Z");
        let notifier = with_mail(&cx, &book).await?;
        let script = async {
            for user in ["ann", "ben"] {
                prefer(&notifier, user, from.clone())?;
            }
            send(&notifier, high("h", "ann")).await?;
            send(&notifier, low("l", "ben")).await?;
            book.until(HOUR).await;
            for user in ["ann", "ben"] {
                prefer(&notifier, user, to.clone())?;
            }
            book.until(20 * DAY).await;
            Ok(())
        };
        play(&cx, 20 * DAY, script).await?;
        let mut expected =
            [format!("{when_high} Email to ann: h"), format!("{when_low} Email to ben: l")];
        expected.sort();
        book.was_dated(
            &expected,
            &format!("{name}, accepted at 01:00 and changed at 02:00"),
            "plan what waits again, as if it were accepted at that moment",
        )?;
    }
    // In the middle of a window, which was opened under the old preferences.
    let changed = cx.draw().between(1..=4999);
    for (from, to) in [
        (Frequency::Immediate, Frequency::Batched),
        (Frequency::Batched, Frequency::Immediate),
        (Frequency::Batched, Frequency::Batched),
    ] {
        let book = Book::opened(&cx, "2026-06-10T10:00:00Z");
        let notifier = with_mail(&cx, &book).await?;
        let script = async {
            prefer(&notifier, "ann", mail(from))?;
            send(&notifier, low("a", "ann")).await?;
            book.until(changed).await;
            prefer(&notifier, "ann", mail(to))?;
            book.until(changed + 2500).await;
            send(&notifier, low("b", "ann")).await?;
            book.until(MINUTE).await;
            Ok(())
        };
        play(&cx, MINUTE, script).await?;
        book.was(
            &[format!("{} ms Email to ann: a b", changed + 5000)],
            &format!("{from:?}, accepted at 0 ms with a window of 5 s; {to:?} from {changed} ms on, and one more 2.5 s later"),
            "as if it were accepted when the preferences were set: that opens a new window",
        )?;
    }
    // The channel of the next attempt.
    let book = Book::opened(&cx, "2026-06-10T10:00:00Z");
    let ways = [
        Way::new(ChannelKind::Email, &book).always(Answer::Fails(20)),
        Way::new(ChannelKind::Push, &book),
    ];
    let notifier = started(&cx, &book, config(), ways).await?;
    let script = async {
        send(&notifier, high("a", "ann")).await?;
        book.until(500).await;
        prefer(&notifier, "ann", Preferences::new([ChannelKind::Push]))?;
        book.until(MINUTE).await;
        Ok(())
    };
    play(&cx, MINUTE, script).await?;
    book.was(
        &lines(["0 ms Email to ann: a", "1020 ms Push to ann: a"]),
        "mail fails, and push is preferred from 500 ms on",
        "each attempt asks for the channels when it begins",
    )
}

/// A wall clock that an operator sets.
struct Set {
    wall: VirtualWall,
    by_seconds: Arc<AtomicI64>,
}

impl WallClock for Set {
    fn now(&self) -> Timestamp {
        let by = SignedDuration::from_secs(self.by_seconds.load(SeqCst));
        self.wall.now().checked_add(by).unwrap_or(Timestamp::MAX)
    }
}

pub async fn waits_ignore_the_wall(cx: Cx) -> Outcome {
    let drawn = i64::try_from(cx.draw().between(10..=20_000)).unwrap_or(3600);
    for set in [-drawn, drawn, -3600, 3600] {
        let book = Book::opened(&cx, "2026-06-10T10:00:00Z");
        let by_seconds = Arc::new(AtomicI64::new(0));
        let wall = Set { wall: book.wall, by_seconds: Arc::clone(&by_seconds) };
        let way = Way::new(ChannelKind::Email, &book).to("bad", Answer::Fails(20));
        let channels = Channels::default().with(way);
        let made = move || Notifier::start(config(), wall, channels);
        let Ok(notifier) = cx.call_fn("Notifier::start", made).await? else {
            return Err(grader_kit::Fail::new("a good configuration is refused"));
        };
        let script = async {
            send(&notifier, medium("a", "ann")).await?;
            send(&notifier, high("b", "bad")).await?;
            book.until(300).await;
            by_seconds.store(set, SeqCst);
            // It makes the notifier look at its clocks.
            send(&notifier, high("c", "cat")).await?;
            book.until(6000).await;
            Ok(())
        };
        play(&cx, 6000, script).await?;
        let expected = lines([
            "0 ms Email to bad: b",
            "300 ms Email to cat: c",
            "1020 ms Email to bad: b",
            "3040 ms Email to bad: b",
            "5000 ms Email to ann: a",
        ]);
        book.was(
            &expected,
            &format!("the wall clock is set by {set} s after 300 ms"),
            "a window and a wait are durations: their ends are `tokio::time::Instant`s",
        )?;
    }
    Ok(())
}
