//! What is not sent: expired, stopped, handed back.

use grader_kit::{Cx, Fail, Outcome, ensure, ensure_eq, ms};
use jiff::Timestamp;
use level5::notifications::{ChannelKind, Fate, Frequency, Notification, Receipt, Refused};
use tokio::time::timeout;

use super::expiry::{expiring, on_every_way, sent, the_rest_of_a_group_goes};
use super::{at, high, low, mail, medium, quiet_mail, urgent};
use crate::mailroom::{
    Answer, Book, DAY, End, HOUR, MINUTE, Way, config, fate, lines, play, prefer, send, started,
    with_mail,
};

pub async fn an_expired_one_is_not_sent(cx: Cx) -> Outcome {
    const HELP: &str =
        "right before something is sent: those of which `expires_at` is reached are not";
    let drawn = cx.draw().between(1..=4999);
    // In a window, for both kinds of users. The one at its end is too late, the one a millisecond later is not.
    for frequency in [Frequency::Immediate, Frequency::Batched] {
        let book = Book::opened(&cx, "2026-06-10T10:00:00Z");
        let notifier = with_mail(&cx, &book).await?;
        let script = async {
            prefer(&notifier, "ann", mail(frequency))?;
            let mut receipts = Vec::new();
            for (id, after) in [("a", drawn), ("b", 4999), ("c", 5000), ("d", 5001), ("e", DAY)] {
                let one = expiring(&book, medium(id, "ann"), after);
                receipts.push(send(&notifier, one).await?);
            }
            receipts.push(send(&notifier, low("f", "ann")).await?);
            book.until(MINUTE).await;
            fates(receipts).await
        };
        let found = play(&cx, MINUTE, script).await?;
        let when = format!(
            "{frequency:?}, due at 5 s, expiring at {drawn}, 4999, 5000, 5001 ms, in a day and never"
        );
        book.was(&lines(["5000 ms Email to ann: d e f"]), &when, HELP)?;
        let expired = || Some(Fate::Expired);
        ensure_eq!(
            found,
            [expired(), expired(), expired(), sent(), sent(), sent()],
            "{}: the fates",
            when
        );
    }
    // In a digest, and in quiet hours until 07:00.
    let digest = mail(Frequency::Daily { at: at(7, 0) });
    for preferences in [digest, quiet_mail("UTC", Frequency::Immediate)] {
        let book = Book::opened(&cx, "2026-06-10T01:00:00Z");
        let notifier = with_mail(&cx, &book).await?;
        let when = format!(
            "{:?}, due at 07:00, expiring at 03:00, 07:00 and a millisecond later",
            preferences.frequency
        );
        let script = async {
            prefer(&notifier, "ann", preferences)?;
            let mut receipts = Vec::new();
            for (id, after) in [("a", 2 * HOUR), ("b", 6 * HOUR), ("c", 6 * HOUR + 1)] {
                receipts.push(send(&notifier, expiring(&book, high(id, "ann"), after)).await?);
            }
            book.until(3 * DAY).await;
            fates(receipts).await
        };
        let found = play(&cx, 3 * DAY, script).await?;
        book.was(&[format!("{} ms Email to ann: c", 6 * HOUR)], &when, HELP)?;
        ensure_eq!(
            found,
            [Some(Fate::Expired), Some(Fate::Expired), sent()],
            "{}: the fates",
            when
        );
    }
    // Between two attempts, which begin at 0 and 1020 ms; and before it was accepted.
    let book = Book::opened(&cx, "2026-06-10T10:00:00Z");
    let way = Way::new(ChannelKind::Email, &book).to("bad", Answer::Fails(20));
    let notifier = started(&cx, &book, config(), [way]).await?;
    let script = async {
        let mut receipts = Vec::new();
        for (id, user, after) in [("a", "bad1", 1020), ("b", "bad2", 1000), ("c", "ann", 0)] {
            receipts.push(send(&notifier, expiring(&book, high(id, user), after)).await?);
        }
        let past = expiring(&book, urgent("d", "ann"), 0).expires_at.map(|now| now - ms(5000));
        let past = Notification { expires_at: past, ..urgent("d", "ann") };
        receipts.push(send(&notifier, past).await?);
        book.until(MINUTE).await;
        fates(receipts).await
    };
    let found = play(&cx, MINUTE, script).await?;
    let when = "attempts of 20 ms at 0 and 1020 ms, expiring at 1020 and 1000 ms; and two that have expired before";
    book.was(&lines(["0 ms Email to bad1: a", "0 ms Email to bad2: b"]), when, HELP)?;
    ensure!(found.iter().all(|fate| *fate == Some(Fate::Expired)), "{when}: the fates are {found:?}"; expected = "`Expired`, each of them");
    the_rest_of_a_group_goes(&cx).await
}

async fn fates(receipts: Vec<Receipt>) -> Result<Vec<Option<Fate>>, Fail> {
    let mut fates = Vec::new();
    for receipt in receipts {
        fates.push(fate(receipt).await);
    }
    Ok(fates)
}

pub async fn expires_at_its_moment(cx: Cx) -> Outcome {
    let drawn = cx.draw().between(1..=5 * HOUR);
    // A digest, quiet hours, a window, a wait between two attempts.
    let cases = [
        (mail(Frequency::Daily { at: at(7, 0) }), "ann", drawn),
        (quiet_mail("UTC", Frequency::Batched), "ann", drawn),
        (mail(Frequency::Batched), "ann", 1 + drawn % 4999),
        (mail(Frequency::Immediate), "bad", 3500),
    ];
    for (preferences, user, after) in cases {
        let book = Book::opened(&cx, "2026-06-10T01:00:00Z");
        let way = Way::new(ChannelKind::Email, &book).to("bad", Answer::Fails(20));
        let notifier = started(&cx, &book, config(), [way]).await?;
        let when = format!("{preferences:?}, expiring after {after} ms");
        let script = async {
            prefer(&notifier, user, preferences)?;
            let one = send(&notifier, expiring(&book, high("a", user), after)).await?;
            let end = timeout(ms(DAY), one.fate()).await;
            ensure!(end == Ok(Fate::Expired) && book.now() == after, "{when}: the fate is {end:?}, known after {} ms", book.now();
                expected = format!("`Expired`, after {after} ms"), help = "the next moment of a user is the earliest of all that is due and all that expires");
            let backlog = notifier.backlog();
            ensure!(backlog.notifications == 0 && backlog.users == 0, "{when}: afterwards {backlog:?}"; expected = "nothing is kept");
            Ok(())
        };
        play(&cx, DAY, script).await?;
    }
    expires_behind_another(&cx).await?;
    on_every_way(&cx).await
}

/// What waits behind a delivery of its user that is on its way, or that waits for its next attempt.
async fn expires_behind_another(cx: &Cx) -> Outcome {
    let mut draw = cx.draw();
    for first in [high, urgent] {
        for (answer, busy) in
            [(Answer::Hangs, "hangs"), (Answer::Fails(20), "waits between two attempts")]
        {
            let after = draw.between(30..=900);
            let book = Book::opened(cx, "2026-06-10T01:00:00Z");
            let way = Way::new(ChannelKind::Email, &book).always(answer);
            let notifier = started(cx, &book, config(), [way]).await?;
            let script = async {
                send(&notifier, first("first", "ann")).await?;
                book.until(10).await;
                let behind = expiring(&book, first("behind", "ann"), after);
                let receipt = send(&notifier, behind).await?;
                let end = timeout(ms(DAY), receipt.fate()).await;
                let priority = first("", "").priority;
                ensure!(end == Ok(Fate::Expired) && book.now() == 10 + after, "{priority:?}: a delivery to a user {busy}, and another notification of the user, which waits behind it, expires at {} ms: the fate of that is {end:?}, known at {} ms", 10 + after, book.now();
                    expected = format!("`Expired`, at {} ms", 10 + after), help = "the next moment of a user is also that at which something expires behind a delivery that is on its way");
                Ok(())
            };
            play(cx, DAY, script).await?;
        }
    }
    Ok(())
}

pub async fn dropping_stops_everything(cx: Cx) -> Outcome {
    let tasks = cx.alive_tasks();
    let book = Book::opened(&cx, "2026-06-10T01:00:00Z");
    let way = Way::new(ChannelKind::Email, &book).always(Answer::Hangs).to("bad", Answer::Fails(0));
    let notifier = started(&cx, &book, config(), [way]).await?;
    let script = async {
        prefer(&notifier, "dan", mail(Frequency::DAILY))?;
        let mut receipts = Vec::new();
        for one in [
            high("a", "ann"),
            urgent("b", "ben"),
            high("c", "bad"),
            low("d", "cat"),
            low("e", "dan"),
        ] {
            receipts.push(send(&notifier, one).await?);
        }
        book.until(500).await;
        drop(notifier);
        cx.settle().await;
        let left = cx.alive_tasks().saturating_sub(tasks);
        ensure!(left == 0, "the notifier was dropped, and {left} of its tasks are left";
            expected = "none", help = "abort the driver in `Drop`; a `JoinSet` that is dropped aborts the deliveries");
        book.until(31 * DAY).await;
        fates(receipts).await
    };
    let found = play(&cx, 31 * DAY, script).await?;
    let when = "dropped after 500 ms, with two calls that hang, an attempt that has failed, a window and a digest";
    let expected = lines(["0 ms Email to ann: a", "0 ms Email to bad: c", "0 ms Email to ben: b"]);
    book.was(&expected, when, "nothing is called any more")?;
    let mut ends: Vec<_> = book.seen().into_iter().map(|call| (call.user, call.end)).collect();
    ends.sort_by(|one, other| one.0.cmp(&other.0));
    let dropped = Some((500, End::Dropped));
    let expected = [("ann", dropped), ("bad", Some((0, End::Failed))), ("ben", dropped)];
    ensure_eq!(
        ends,
        expected.map(|(user, end)| (user.to_owned(), end)),
        "{}: the ends of the calls",
        when
    );
    let pending = |fate: &Option<Fate>| matches!(fate, Some(Fate::Pending { .. }));
    ensure!(found.iter().all(pending), "{when}: the fates are {found:?}"; expected = "`Pending`, each of them");
    Ok(())
}

fn moment(text: &str) -> Timestamp {
    text.parse().expect("a date of this file")
}

pub async fn shutdown_returns_the_rest(cx: Cx) -> Outcome {
    // A call that takes 2 s; a deadline that is longer, and two that are shorter, after 1.5 s.
    for (deadline, expected_end) in [(60_000, 2000), (100, 1600), (0, 1500)] {
        let tasks = cx.alive_tasks();
        let book = Book::opened(&cx, "2026-06-10T01:00:00Z");
        let way = Way::new(ChannelKind::Email, &book)
            .always(Answer::Delivers(2000))
            .to("bad", Answer::Fails(20));
        let notifier = started(&cx, &book, config(), [way]).await?;
        let when =
            format!("a shutdown at 1500 ms with {deadline} ms, beside a call that ends at 2000 ms");
        let script = async {
            prefer(&notifier, "dan", mail(Frequency::DAILY))?;
            prefer(&notifier, "eve", quiet_mail("UTC", Frequency::Immediate))?;
            let mut receipts = Vec::new();
            let all = [
                low("w", "cat"),
                high("q", "eve"),
                high("a", "ann"),
                low("d", "dan"),
                high("r", "bad"),
            ];
            for one in all {
                receipts.push(send(&notifier, one).await?);
            }
            book.until(1500).await;
            let began = book.now();
            let both = async {
                let late = async {
                    book.until(began + deadline.min(50)).await;
                    notifier.notify(urgent("late", "fay")).await.err()
                };
                futures::join!(notifier.shutdown(ms(deadline)), late)
            };
            let (report, late) = both.await;
            let ended = book.now();
            ensure_eq!(late, Some(Refused::Closed), "{}: a notification meanwhile", when);
            ensure_eq!(ended, expected_end, "{}: it returns after so many ms", when;
                help = "as soon as nothing is on its way, and at the deadline at the latest");
            cx.settle().await;
            let left = cx.alive_tasks().saturating_sub(tasks);
            ensure!(left == 0, "{when}: {left} tasks are left"; expected = "none");
            let again = notifier.shutdown(ms(1000)).await;
            ensure!(again.pending.is_empty(), "{when}: a second one hands back {:?}", again.pending; expected = "nothing");
            let refused = notifier.notify(low("later", "fay")).await.err();
            ensure_eq!(refused, Some(Refused::Closed), "{}: a notification afterwards", when);
            book.until(3 * DAY).await;
            Ok((report, fates(receipts).await?))
        };
        let (report, found) = play(&cx, 3 * DAY, script).await?;
        let expected =
            lines(["0 ms Email to ann: a", "0 ms Email to bad: r", "1020 ms Email to bad: r"]);
        book.was(&expected, &when, "from its first poll on nothing begins")?;
        let on_its_way =
            book.seen().into_iter().find(|call| call.user == "ann").and_then(|call| call.end);
        let in_time = deadline > 1000;
        let end = if in_time { End::Delivered } else { End::Dropped };
        ensure_eq!(on_its_way, Some((expected_end, end)), "{}: the call", when);
        let dues = [
            ("w", "2026-06-10T01:00:05Z"),
            ("q", "2026-06-10T07:00:00Z"),
            ("a", ""),
            ("d", "2026-06-10T09:00:00Z"),
            ("r", "2026-06-10T01:00:03.04Z"),
        ];
        let ids: Vec<_> =
            report.pending.iter().map(|one| one.notification.id.to_string()).collect();
        let expected: Vec<_> = dues
            .iter()
            .map(|(id, _)| (*id).to_owned())
            .filter(|id| !in_time || id != "a")
            .collect();
        ensure_eq!(ids, expected, "{}: what is handed back", when; help = "all that has no fate, in the order of acceptance");
        for (id, due) in dues.iter().filter(|(_, due)| !due.is_empty()) {
            let one = report.pending.iter().find(|one| *one.notification.id.0 == **id);
            ensure_eq!(one.map(|one| one.due), Some(moment(due)), "{}: when `{}` is due", when, id;
                help = "the end of the window, of the quiet hours or of the wait, or the digest");
        }
        for ((id, due), fate) in dues.iter().zip(found) {
            let good = match &fate {
                Some(Fate::Sent { .. }) => *id == "a" && in_time,
                Some(Fate::Pending { due: found }) => {
                    (*id == "a" && !in_time) || (!due.is_empty() && *found == moment(due))
                }
                _ => false,
            };
            ensure!(good, "{when}: the fate of `{id}` is {fate:?}"; expected = "sent if it has ended, else `Pending` with the moment of the report");
        }
    }
    a_dropped_call_stops_nothing(&cx).await
}

/// A shutdown that is dropped leaves the notifier closed, and has no deadline any more; another one hands back.
async fn a_dropped_call_stops_nothing(cx: &Cx) -> Outcome {
    const HELP: &str = "a call of `shutdown` that is dropped, as in a `select!` that another branch wins, takes its deadline along: what is on its way goes on, and another call hands back the rest";
    let mut draw = cx.draw();
    for deadline in [60_000, draw.between(201..=1000)] {
        let book = Book::opened(cx, "2026-06-10T01:00:00Z");
        let way = Way::new(ChannelKind::Email, &book).always(Answer::Delivers(2000));
        let notifier = started(cx, &book, config(), [way]).await?;
        let dropped_after = draw.between(1..=200);
        let script = async {
            let one = send(&notifier, high("a", "ann")).await?;
            let two = send(&notifier, low("w", "cat")).await?;
            book.until(500).await;
            let gone = timeout(ms(dropped_after), notifier.shutdown(ms(deadline))).await.is_err();
            let late = notifier.notify(urgent("late", "fay")).await.err();
            book.until(3000).await;
            let report = notifier.shutdown(ms(1000)).await;
            let ids: Vec<_> =
                report.pending.iter().map(|it| it.notification.id.to_string()).collect();
            Ok((gone, late, ids, fates(vec![one, two]).await?))
        };
        let (gone, late, ids, found) = play(cx, MINUTE, script).await?;
        let when = format!(
            "a shutdown with {deadline} ms begins at 500 ms, beside a call of 2 s, and is dropped {dropped_after} ms later"
        );
        ensure!(gone, "{when}: it returns before that"; expected = "it waits for the call");
        ensure_eq!(late, Some(Refused::Closed), "{when}: a notification afterwards"; help = HELP);
        let end = book.seen().first().and_then(|call| call.end);
        ensure_eq!(end, Some((2000, End::Delivered)), "{when}: the call"; help = HELP);
        book.was(&lines(["0 ms Email to ann: a"]), &when, "from its first poll on nothing begins")?;
        ensure_eq!(ids, ["w"], "{when}: what another one at 3000 ms hands back"; help = HELP);
        let good = found[0] == sent() && matches!(found[1], Some(Fate::Pending { .. }));
        ensure!(good, "{when}: the fates are {found:?}"; expected = "the call's is `Sent`, the other one `Pending`");
    }
    Ok(())
}
