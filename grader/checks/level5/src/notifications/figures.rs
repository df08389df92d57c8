//! What readers see.

use std::collections::BTreeMap;

use grader_kit::{Cx, Outcome, ensure, ensure_eq, ms};
use level5::notifications::{
    ChannelFailure, ChannelFigures, ChannelKind, Config, MinuteMetrics, Preferences,
};

use super::{high, urgent};
use crate::mailroom::{
    Answer, Book, DAY, MINUTE, Way, config, play, prefer, refused, send, started,
};

/// So many attempts and successes of each channel.
fn figures(channels: &[(ChannelKind, u64, u64)]) -> MinuteMetrics {
    let figures = |&(kind, attempts, successes): &(ChannelKind, u64, u64)| {
        (kind, ChannelFigures { attempts, successes })
    };
    MinuteMetrics {
        total: channels.iter().map(|(_, attempts, _)| attempts).sum(),
        successful: channels.iter().map(|(.., successes)| successes).sum(),
        by_channel: channels.iter().map(figures).collect::<BTreeMap<_, _>>(),
    }
}

pub async fn each_minute_has_its_figures(cx: Cx) -> Outcome {
    use ChannelKind::{Email, Push, Sms};
    let count = cx.draw().between(3..=300);
    for reads in [true, false] {
        let book = Book::opened(&cx, "2026-06-10T10:00:00Z");
        let ways = [
            Way::new(Sms, &book).always(Answer::Fails(10)),
            Way::new(Email, &book),
            Way::new(Push, &book),
        ];
        let notifier = started(&cx, &book, config(), ways).await?;
        let script = async {
            let reader = reads.then(|| notifier.metrics());
            prefer(&notifier, "both", Preferences::new([Sms, Email]))?;
            prefer(&notifier, "all", Preferences::new([Sms, Email, Push]))?;
            let send_many = async |from: u64, count: u64, user: &str| {
                for number in from..from + count {
                    // One after the other has ended.
                    let one = if user == "all" { urgent } else { high };
                    send(&notifier, one(&format!("{user}{number}"), user)).await?;
                    book.until(book.now() + 100).await;
                }
                Ok(())
            };
            let show = || {
                let now = notifier.metrics().borrow().clone();
                match &reader {
                    Some(reader) => [now, reader.borrow().clone()],
                    None => [now.clone(), now],
                }
            };
            let mut shown = vec![show()];
            send_many(0, count, "both").await?;
            book.until(MINUTE - 1).await;
            shown.push(show());
            book.until(MINUTE + 500).await;
            shown.push(show());
            send_many(1000, 7, "all").await?;
            book.until(2 * MINUTE + 500).await;
            shown.push(show());
            // An idle minute.
            book.until(3 * MINUTE + 500).await;
            shown.push(show());
            book.until(60 * MINUTE + 1000).await;
            send_many(2000, 1, "both").await?;
            book.until(61 * MINUTE + 500).await;
            shown.push(show());
            Ok(shown)
        };
        let shown = play(&cx, 61 * MINUTE + 500, script).await?;
        let none = figures(&[]);
        let expected = [
            ("at the start", none.clone()),
            ("in the first minute", none.clone()),
            ("after the first minute", figures(&[(Sms, count, 0), (Email, count, count)])),
            ("after the second minute", figures(&[(Sms, 7, 0), (Email, 7, 7), (Push, 7, 7)])),
            ("after an idle minute", none),
            ("after the minute of one more", figures(&[(Sms, 1, 0), (Email, 1, 1)])),
        ];
        let reader = if reads { "a reader from the start" } else { "without a reader" };
        for ((when, expected), shown) in expected.into_iter().zip(shown) {
            for shown in shown {
                ensure_eq!(shown, expected, "{}, {}: the figures", reader, when;
                    help = "the figures of the minute that ended last: count each call of a channel when it ends, and show them at the end of the minute");
            }
        }
    }
    belongs_to_its_end(&cx).await?;
    // Parts of a minute.
    let rate = |total, successful| {
        MinuteMetrics { total, successful, by_channel: BTreeMap::new() }.success_rate()
    };
    for (total, successful, expected) in
        [(0, 0, None), (4, 1, Some(0.25)), (3, 0, Some(0.0)), (7, 7, Some(1.0))]
    {
        let found = cx.call_fn("MinuteMetrics::success_rate", || rate(total, successful)).await?;
        ensure!(found == expected, "{successful} of {total} calls have delivered: the rate is {found:?}"; expected = format!("{expected:?}"));
    }
    Ok(())
}

/// Calls that begin in one minute and end in a later one.
async fn belongs_to_its_end(cx: &Cx) -> Outcome {
    let mut draw = cx.draw();
    for idle in [0, 1, draw.between(2..=50)] {
        let (before, length) = (draw.between(1..=5000), draw.between(5001..=9000));
        let book = Book::opened(cx, "2026-06-10T10:00:00Z");
        let way = Way::new(ChannelKind::Email, &book).always(Answer::Delivers(length));
        let notifier = started(cx, &book, config(), [way]).await?;
        let turn = (idle + 1) * MINUTE;
        let script = async {
            book.until(turn - before).await;
            send(&notifier, high("a", "ann")).await?;
            let mut shown = Vec::new();
            for at in [turn - before + length + 10, turn + MINUTE + 500, turn + 2 * MINUTE + 500] {
                book.until(at).await;
                shown.push(notifier.metrics().borrow().clone());
            }
            Ok(shown)
        };
        let shown = play(cx, turn + 3 * MINUTE, script).await?;
        let expected = [
            ("right after its end", figures(&[])),
            ("a minute later", figures(&[(ChannelKind::Email, 1, 1)])),
            ("two minutes later", figures(&[])),
        ];
        for ((when, expected), shown) in expected.into_iter().zip(shown) {
            ensure_eq!(shown, expected, "the only call begins {before} ms before the end of minute {} and takes {length} ms: the figures {when}", idle + 1;
                help = "a call belongs to the minute in which it ends: close the minutes that are over before you count it");
        }
    }
    Ok(())
}

pub async fn deliveries_are_reported(cx: Cx) -> Outcome {
    use ChannelKind::{Email, Push, Sms};
    let book = Book::opened(&cx, "2026-06-10T10:00:00Z");
    let ways = [
        Way::new(Sms, &book).always(Answer::Fails(30)),
        Way::new(Push, &book).always(Answer::Hangs),
        Way::new(Email, &book).always(Answer::Delivers(50)),
    ];
    let config = Config { channel_timeout: ms(4000), ..config() };
    let notifier = started(&cx, &book, config, ways).await?;
    let name = cx.draw().word();
    let script = async {
        prefer(&notifier, &name, Preferences::new([Sms, Push, Email]))?;
        let mut reader = notifier.deliveries();
        send(&notifier, high("a", &name)).await?;
        send(&notifier, high("b", &name)).await?;
        let mut seen = Vec::new();
        let read = async {
            while let Ok(report) = reader.recv().await {
                let ids: Vec<_> = report.ids.iter().map(ToString::to_string).collect();
                seen.push((book.now(), report.user, report.channel, ids.join(" "), report.result));
            }
        };
        let _ = tokio::time::timeout(ms(DAY), read).await;
        Ok(seen)
    };
    let seen = play(&cx, DAY, script).await?;
    let user = || name.as_str().into();
    let failed = || Err(ChannelFailure::Error(refused()));
    let both = "a b".to_owned();
    let together = vec![
        (30, user(), Sms, both.clone(), failed()),
        (4030, user(), Push, both.clone(), Err(ChannelFailure::TimedOut)),
        (4080, user(), Email, both, Ok(())),
    ];
    // What is due in one millisecond may be taken one by one: the second then follows the first.
    let apart: Vec<_> = [("a", 0), ("b", 4080)]
        .into_iter()
        .flat_map(|(id, from)| {
            [
                (from + 30, user(), Sms, id.to_owned(), failed()),
                (from + 4030, user(), Push, id.to_owned(), Err(ChannelFailure::TimedOut)),
                (from + 4080, user(), Email, id.to_owned(), Ok(())),
            ]
        })
        .collect();
    if seen != apart {
        ensure_eq!(seen, together, "a failure after 30 ms, a timeout of 4 s, a success after 50 ms: what a reader of `deliveries` sees";
            help = "send a report when the call of a channel ends");
    }
    Ok(())
}
