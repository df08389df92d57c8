//! Channels that fail, hang and panic.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use grader_kit::{Cx, Outcome, ensure_eq, ms};
use level5::notifications::retry::{Backoff, Jitter};
use level5::notifications::{ChannelFailure, ChannelKind, Config, DeadReason, Fate, Preferences};

use super::{high, urgent};
use crate::mailroom::{
    Answer, Book, DAY, End, MINUTE, SECOND, Way, config, fate, lines, play, prefer, refused, send,
    started,
};

/// Always the same number.
#[derive(Debug)]
struct Fixed(f64);

impl Jitter for Fixed {
    fn unit(&self) -> f64 {
        self.0
    }
}

fn attempts(count: u32) -> NonZeroU32 {
    NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN)
}

pub async fn failures_are_tried_again(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let base = draw.between(100..=5000);
    // The schedule, the jitter, and the waits after the failed attempts.
    let tripled = Backoff::new(ms(base), 3.0, ms(base * 9), attempts(7)).unwrap_or_default();
    let cases = [
        (config().retry, 1.0, [1000, 2000, 4000]),
        (config().retry, 0.0, [500, 1000, 2000]),
        (tripled, 1.0, [base, 3 * base, 9 * base]),
    ];
    for (retry, unit, waits) in cases {
        for failing in 1..=3 {
            let book = Book::opened(&cx, "2026-06-10T10:00:00Z");
            let sms = Way::new(ChannelKind::Sms, &book).first(vec![Answer::Fails(100); failing]);
            let mail = Way::new(ChannelKind::Email, &book).always(Answer::Fails(250));
            let config = Config { retry, jitter: Arc::new(Fixed(unit)), ..config() };
            let notifier = started(&cx, &book, config, [sms, mail]).await?;
            let script = async {
                let both = Preferences::new([ChannelKind::Sms, ChannelKind::Email]);
                prefer(&notifier, "ann", both)?;
                let one = send(&notifier, high("a", "ann")).await?;
                book.until(10 * MINUTE).await;
                Ok(fate(one).await)
            };
            let end = play(&cx, 10 * MINUTE, script).await?;
            let (mut expected, mut at) = (Vec::new(), 0);
            for wait in &waits[..failing] {
                expected.push(format!("{at} ms Sms to ann: a"));
                expected.push(format!("{} ms Email to ann: a", at + 100));
                at += 350 + wait;
            }
            expected.push(format!("{at} ms Sms to ann: a"));
            let when = format!(
                "text messages fail {failing} times after 100 ms, mail always after 250 ms, waits of {waits:?} ms"
            );
            book.was(
                &expected,
                &when,
                "when all have failed, begin again with the first channel after the wait, counted from the end of the attempt",
            )?;
            let via = vec![ChannelKind::Sms];
            ensure_eq!(end, Some(Fate::Sent { via }), "{}: the fate", when);
        }
    }
    Ok(())
}

pub async fn the_last_failure_is_a_dead_letter(cx: Cx) -> Outcome {
    let drawn = u32::try_from(cx.draw().between(5..=9)).unwrap_or(5);
    for most in [4, 1, 2, drawn] {
        let book = Book::opened(&cx, "2026-06-10T10:00:00Z");
        let ways = [ChannelKind::Sms, ChannelKind::Email]
            .map(|kind| Way::new(kind, &book).always(Answer::Fails(0)));
        let second = Duration::from_secs(1);
        let retry = Backoff::new(second, 2.0, 60 * second, attempts(most)).unwrap_or_default();
        let notifier = started(&cx, &book, Config { retry, ..config() }, ways).await?;
        let script = async {
            let both = Preferences::new([ChannelKind::Sms, ChannelKind::Email]);
            prefer(&notifier, "ann", both)?;
            let one = send(&notifier, high("a", "ann")).await?;
            book.until(7 * DAY).await;
            let letters = notifier.dead_letters().letters();
            let letters: Vec<_> = letters
                .iter()
                .map(|letter| (letter.item.id.to_string(), letter.attempts))
                .collect();
            Ok((fate(one).await, letters))
        };
        let (end, letters) = play(&cx, 7 * DAY, script).await?;
        let mut at = 0;
        let mut expected = Vec::new();
        for number in 0..most {
            expected.push(format!("{at} ms Email to ann: a"));
            expected.push(format!("{at} ms Sms to ann: a"));
            at += (1000 << number).min(60 * SECOND);
        }
        let when = format!("all channels always fail, {most} attempts");
        book.was(&expected, &when, "the number of attempts counts the first one, too")?;
        let last = [ChannelKind::Sms, ChannelKind::Email]
            .map(|kind| (kind, ChannelFailure::Error(refused())));
        let dead = DeadReason::Failed { attempts: most, last: last.to_vec() };
        ensure_eq!(end, Some(Fate::Dead(dead)), "{}: the fate", when;
            help = "the failures are those of the last attempt, in the order of the list");
        ensure_eq!(
            letters,
            [("a".to_owned(), most)],
            "{}: ids and attempts of the dead letters",
            when
        );
    }
    // An urgent one, whose channels are called at once and end in any order.
    let kinds = [ChannelKind::Sms, ChannelKind::Email, ChannelKind::Push];
    for lengths in [[300, 20, 100], [20, 300, 100], [0, 0, 0]] {
        let book = Book::opened(&cx, "2026-06-10T10:00:00Z");
        let ways = kinds.iter().zip(lengths);
        let ways = ways.map(|(kind, after)| Way::new(*kind, &book).always(Answer::Fails(after)));
        let notifier = started(&cx, &book, config(), ways.collect::<Vec<_>>()).await?;
        let script = async {
            prefer(&notifier, "ann", Preferences::new(kinds))?;
            let one = send(&notifier, urgent("a", "ann")).await?;
            book.until(MINUTE).await;
            Ok(fate(one).await)
        };
        let end = play(&cx, MINUTE, script).await?;
        let longest = lengths.into_iter().max().unwrap_or(0);
        let mut calls = Vec::new();
        for (number, waits) in [0, 1000, 3000, 7000].into_iter().enumerate() {
            let at = waits + number as u64 * longest;
            // In the order of the lines.
            calls.extend(["Email", "Push", "Sms"].map(|kind| format!("{at} ms {kind} to ann: a")));
        }
        let when = format!("an urgent one, whose channels {kinds:?} fail after {lengths:?} ms");
        book.was(
            &calls,
            &when,
            "each attempt calls all channels, and the next one follows the end of the last call",
        )?;
        let last = kinds.map(|kind| (kind, ChannelFailure::Error(refused())));
        let dead = DeadReason::Failed { attempts: 4, last: last.to_vec() };
        ensure_eq!(end, Some(Fate::Dead(dead)), "an urgent one, whose channels {:?} fail after {:?} ms: the fate", kinds, lengths;
            help = "the failures are in the order of the user's list, whichever channel ends first");
    }
    a_group_dies_together(&cx).await
}

/// Several that go together, of which each is a dead letter.
async fn a_group_dies_together(cx: &Cx) -> Outcome {
    let count = 2 + cx.draw().index(20);
    let book = Book::opened(cx, "2026-06-10T10:00:00Z");
    let way = Way::new(ChannelKind::Email, &book).to("bad", Answer::Fails(20));
    let notifier = started(cx, &book, config(), [way]).await?;
    let ids: Vec<_> = (0..count).map(|number| format!("a{number}")).collect();
    let script = async {
        let mut receipts = Vec::new();
        for id in &ids {
            receipts.push(send(&notifier, super::low(id, "bad")).await?);
        }
        book.until(MINUTE).await;
        let letters = notifier.dead_letters().letters();
        let letters: Vec<_> =
            letters.iter().map(|letter| (letter.item.id.to_string(), letter.attempts)).collect();
        // The lane of the user is free.
        let good = send(&notifier, high("later", "bad")).await?;
        book.until(2 * MINUTE).await;
        let mut ends = Vec::new();
        for receipt in receipts.into_iter().chain([good]) {
            ends.push(fate(receipt).await);
        }
        Ok((letters, ends))
    };
    let (letters, ends) = play(cx, 2 * MINUTE, script).await?;
    let expected: Vec<_> = ids.iter().map(|id| (id.clone(), 4)).collect();
    ensure_eq!(letters, expected, "{count} notifications go together, and the channel fails in all four attempts: ids and attempts of the dead letters"; help = "each notification of a group has a letter and a fate of its own");
    let last = vec![(ChannelKind::Email, ChannelFailure::Error(refused()))];
    let dead = Some(Fate::Dead(DeadReason::Failed { attempts: 4, last }));
    ensure_eq!(
        ends,
        vec![dead; count + 1],
        "{count} notifications go together, and the channel fails in all four attempts; another one follows a minute later, and fails as often: the fates"
    );
    Ok(())
}

pub async fn a_channel_that_hangs_is_left(cx: Cx) -> Outcome {
    let drawn = cx.draw().between(50..=100 * SECOND);
    for limit in [10 * SECOND, 600 * SECOND, drawn] {
        let book = Book::opened(&cx, "2026-06-10T10:00:00Z");
        let ways = [
            Way::new(ChannelKind::Sms, &book).always(Answer::Hangs),
            Way::new(ChannelKind::Email, &book),
        ];
        let config = Config { channel_timeout: ms(limit), ..config() };
        let notifier = started(&cx, &book, config, ways).await?;
        let script = async {
            let both = Preferences::new([ChannelKind::Sms, ChannelKind::Email]);
            prefer(&notifier, "ann", both)?;
            let one = send(&notifier, high("a", "ann")).await?;
            book.until(20 * MINUTE).await;
            Ok(fate(one).await)
        };
        let end = play(&cx, 20 * MINUTE, script).await?;
        let when = format!("text messages hang, a channel has {limit} ms");
        book.was(
            &["0 ms Sms to ann: a".to_owned(), format!("{limit} ms Email to ann: a")],
            &when,
            "a limit around each call of a channel; then the next channel",
        )?;
        let dropped = book.seen().first().and_then(|call| call.end);
        ensure_eq!(dropped, Some((limit, End::Dropped)), "{}: the end of the first call", when);
        let via = vec![ChannelKind::Email];
        ensure_eq!(end, Some(Fate::Sent { via }), "{}: the fate", when);
    }
    // Alone.
    let book = Book::opened(&cx, "2026-06-10T10:00:00Z");
    let retry = Backoff::new(ms(1000), 2.0, ms(1000), attempts(2)).unwrap_or_default();
    let way = Way::new(ChannelKind::Email, &book).always(Answer::Hangs);
    let notifier = started(&cx, &book, Config { retry, ..config() }, [way]).await?;
    let script = async {
        let one = send(&notifier, high("a", "ann")).await?;
        book.until(5 * MINUTE).await;
        Ok(fate(one).await)
    };
    let end = play(&cx, 5 * MINUTE, script).await?;
    let when = "the only channel hangs, two attempts";
    let expected = lines(["0 ms Email to ann: a", "11000 ms Email to ann: a"]);
    book.was(&expected, when, "a timeout is a failure like another one")?;
    let last = vec![(ChannelKind::Email, ChannelFailure::TimedOut)];
    let dead = Fate::Dead(DeadReason::Failed { attempts: 2, last });
    ensure_eq!(end, Some(dead), "{}: the fate", when);
    Ok(())
}

pub async fn a_panic_is_a_failure(cx: Cx) -> Outcome {
    for answer in [Answer::PanicsAtOnce, Answer::Panics(0), Answer::Panics(100)] {
        let book = Book::opened(&cx, "2026-06-10T10:00:00Z");
        // For one user it panics always; the others get theirs.
        let ways = [
            Way::new(ChannelKind::Sms, &book).to("bad", answer),
            Way::new(ChannelKind::Email, &book).to("bad, alone", answer),
        ];
        let retry = Backoff::new(ms(1000), 2.0, ms(1000), attempts(2)).unwrap_or_default();
        let notifier = started(&cx, &book, Config { retry, ..config() }, ways).await?;
        let script = async {
            let both = Preferences::new([ChannelKind::Sms, ChannelKind::Email]);
            for user in ["bad", "good", "late"] {
                prefer(&notifier, user, both.clone())?;
            }
            let bad = send(&notifier, high("a", "bad")).await?;
            let good = send(&notifier, high("b", "good")).await?;
            let alone = send(&notifier, high("c", "bad, alone")).await?;
            book.until(MINUTE).await;
            let late = send(&notifier, high("d", "late")).await?;
            book.until(2 * MINUTE).await;
            Ok([fate(bad).await, fate(good).await, fate(alone).await, fate(late).await])
        };
        let [bad, good, alone, late] = play(&cx, 2 * MINUTE, script).await?;
        let sent = |kind| Some(Fate::Sent { via: vec![kind] });
        ensure_eq!(bad, sent(ChannelKind::Email), "text messages panic for one user ({:?}): the fate of its notification", answer;
            help = "a panic is a failure of this channel: the next one is tried");
        ensure_eq!(good, sent(ChannelKind::Sms), "text messages panic for another user ({:?}): the fate", answer;
            help = "catch the panic of a channel around its call");
        ensure_eq!(
            late,
            sent(ChannelKind::Sms),
            "text messages have panicked for another user ({:?}): the fate of a later one",
            answer
        );
        let last = vec![(ChannelKind::Email, ChannelFailure::Panicked)];
        let dead = Fate::Dead(DeadReason::Failed { attempts: 2, last });
        ensure_eq!(alone, Some(dead), "the only channel of a user panics ({:?}): the fate", answer);
    }
    Ok(())
}

pub async fn users_do_not_wait_for_each_other(cx: Cx) -> Outcome {
    let after = cx.draw().between(1..=5000);
    let book = Book::opened(&cx, "2026-06-10T10:00:00Z");
    let way = Way::new(ChannelKind::Email, &book).to("slow", Answer::Hangs);
    let notifier = started(&cx, &book, config(), [way]).await?;
    let script = async {
        for number in 0..20 {
            let (id, user) = (format!("s{number}"), format!("slow{number}"));
            send(&notifier, high(&id, &user)).await?;
        }
        send(&notifier, high("a", "ann")).await?;
        book.until(after).await;
        send(&notifier, high("b", "ben")).await?;
        book.until(9000).await;
        Ok(())
    };
    play(&cx, 9000, script).await?;
    let others: Vec<String> =
        book.lines().into_iter().filter(|line| !line.contains("slow")).collect();
    crate::mailroom::same(
        &others,
        &["0 ms Email to ann: a".to_owned(), format!("{after} ms Email to ben: b")],
        "deliveries to twenty users hang, beside two others",
        "each delivery is a task of its own; what begins next does not wait for it",
    )
}
