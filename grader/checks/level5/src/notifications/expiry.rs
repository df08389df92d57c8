//! What expires: in which lane, beside which others, and on which way it came to wait.

use grader_kit::{Cx, Fail, Outcome, ensure, ensure_eq, ms};
use level5::notifications::{
    ChannelKind, Fate, Frequency, Notification, Notifier, Pending, Receipt,
};
use level5::wall_clock::WallClock as _;
use tokio::time::timeout;

use super::{at, high, low, mail, quiet_mail, urgent};
use crate::mailroom::{Answer, Book, DAY, MINUTE, Way, config, fate, play, prefer, send, started};

/// It expires so many milliseconds after now.
pub fn expiring(book: &Book, notification: Notification, after: u64) -> Notification {
    Notification { expires_at: Some(book.wall.now() + ms(after)), ..notification }
}

pub fn sent() -> Option<Fate> {
    Some(Fate::Sent { via: vec![ChannelKind::Email] })
}

/// A group that waits for its next attempt, of which some expire before it. In both lanes.
pub async fn the_rest_of_a_group_goes(cx: &Cx) -> Outcome {
    const HELP: &str = "between two attempts each notification of a group has its own end: those that have expired leave it, the others have their attempt, and what is urgent is no exception";
    let expired = || Some(Fate::Expired);
    let mut draw = cx.draw();
    // The lane, which of the three expire between the attempts.
    for (is_urgent, over) in [
        (false, &[1][..]),
        (true, &[1]),
        (false, &[0, 2]),
        (true, &[2]),
        (true, &[0, 1, 2]),
        (false, &[0, 1, 2]),
    ] {
        let book = Book::opened(cx, "2026-06-10T10:00:00Z");
        // The group's first attempt begins at 5000 ms: at the end of the window, or of the delivery before.
        let before = is_urgent.then_some(Answer::Delivers(5000));
        let answers = before.into_iter().chain([Answer::Fails(20)]);
        let way = Way::new(ChannelKind::Email, &book).first(answers);
        let notifier = started(cx, &book, config(), [way]).await?;
        let script = async {
            if is_urgent {
                send(&notifier, urgent("first", "ann")).await?;
                book.until(10).await;
            } else {
                prefer(&notifier, "ann", mail(Frequency::Batched))?;
            }
            let mut receipts = Vec::new();
            for (number, id) in ["a", "b", "c"].into_iter().enumerate() {
                let one = if is_urgent { urgent(id, "ann") } else { low(id, "ann") };
                // One that does not expire in time may expire later, or never.
                let after = if over.contains(&number) {
                    Some(draw.between(5030..=6019))
                } else {
                    draw.chance(50).then(|| draw.between(6050..=9000))
                };
                let one = match after {
                    Some(after) => expiring(&book, one, after - book.now()),
                    None => one,
                };
                receipts.push(send(&notifier, one).await?);
            }
            book.until(MINUTE).await;
            let mut fates = Vec::new();
            for receipt in receipts {
                fates.push(fate(receipt).await);
            }
            Ok(fates)
        };
        let found = play(cx, MINUTE, script).await?;
        let mut expected = Vec::new();
        if is_urgent {
            expected.push("0 ms Email to ann: first".to_owned());
        }
        expected.push("5000 ms Email to ann: a b c".to_owned());
        let left: Vec<_> =
            ["a", "b", "c"].into_iter().enumerate().filter(|(it, _)| !over.contains(it)).collect();
        if !left.is_empty() {
            let ids: Vec<_> = left.iter().map(|(_, id)| *id).collect();
            expected.push(format!("6020 ms Email to ann: {}", ids.join(" ")));
        }
        let lane = if is_urgent { "three urgent ones" } else { "three of a batched user" };
        let over: Vec<_> = over.iter().map(|it| ["a", "b", "c"][*it]).collect();
        let when = format!(
            "{lane} go together at 5000 ms, the attempt fails after 20 ms, and {} expire before the next one at 6020 ms",
            over.join(" and ")
        );
        book.was(&expected, &when, HELP)?;
        let fates: Vec<_> =
            ["a", "b", "c"].map(|id| if over.contains(&id) { expired() } else { sent() }).into();
        ensure_eq!(found, fates, "{when}: the fates"; help = HELP);
    }
    expires_on_its_way(cx).await
}

/// Its attempt begins before, and fails after its end.
async fn expires_on_its_way(cx: &Cx) -> Outcome {
    let mut draw = cx.draw();
    for one in [high, urgent] {
        let (after, length) = (draw.between(1..=400), draw.between(401..=2000));
        let book = Book::opened(cx, "2026-06-10T10:00:00Z");
        let way = Way::new(ChannelKind::Email, &book).first([Answer::Fails(length)]);
        let notifier = started(cx, &book, config(), [way]).await?;
        let script = async {
            let receipt = send(&notifier, expiring(&book, one("a", "ann"), after)).await?;
            book.until(10).await;
            send(&notifier, one("b", "ann")).await?;
            book.until(MINUTE).await;
            Ok(fate(receipt).await)
        };
        let found = play(cx, MINUTE, script).await?;
        let priority = one("", "").priority;
        let when = format!(
            "{priority:?}: an attempt fails after {length} ms, its notification expires at {after} ms, and another one waits behind it"
        );
        let expected = ["0 ms Email to ann: a".to_owned(), format!("{length} ms Email to ann: b")];
        book.was(
            &expected,
            &when,
            "what has expired has no further attempt, and nothing waits for it",
        )?;
        ensure_eq!(found, Some(Fate::Expired), "{when}: its fate");
    }
    Ok(())
}

/// How a notification comes to wait until long after its end.
#[derive(Debug, Clone, Copy)]
enum By {
    /// Resumed, due in a day.
    Resume,
    /// Resumed, due in a day, and another one is accepted afterwards.
    ResumeAndMore,
    /// Resumed, due now, in quiet hours.
    ResumeInQuietHours,
    /// Resumed, due now, behind a delivery that hangs.
    ResumeBehind,
    /// Resumed, due now; the attempt fails.
    ResumeAndFail,
    /// Other preferences, with a later digest.
    OtherPreferences,
    /// Another delivery to the user, which has ended.
    AfterAnother,
    /// Another notification of the user, which has expired.
    AfterAnExpired,
    /// Urgent, between two attempts.
    Urgent,
}

/// Each way leads to the same moment.
pub async fn on_every_way(cx: &Cx) -> Outcome {
    let mut draw = cx.draw();
    for by in [
        By::Resume,
        By::ResumeAndMore,
        By::ResumeInQuietHours,
        By::ResumeBehind,
        By::ResumeAndFail,
        By::OtherPreferences,
        By::AfterAnother,
        By::AfterAnExpired,
        By::Urgent,
    ] {
        let after = draw.between(400..=1000);
        let book = Book::opened(cx, "2026-06-10T01:00:00Z");
        let way = Way::new(ChannelKind::Email, &book).first(match by {
            By::ResumeBehind => vec![Answer::Hangs],
            By::ResumeAndFail | By::Urgent => vec![Answer::Fails(20)],
            _ => Vec::new(),
        });
        let notifier = started(cx, &book, config(), [way]).await?;
        let script = async {
            let receipt = waits(&notifier, &book, by, after).await?;
            let end = timeout(ms(2 * DAY), receipt.fate()).await;
            ensure!(end == Ok(Fate::Expired) && book.now() == after, "{by:?}: a notification waits for later, and expires at {after} ms: its fate is {end:?}, known after {} ms", book.now();
                expected = format!("`Expired`, after {after} ms"), help = "whatever changes what waits for a user, the next moment is the earliest of all that is due and all that expires: also for what was resumed or planned again");
            Ok(())
        };
        play(cx, 2 * DAY, script).await?;
    }
    Ok(())
}

async fn waits(notifier: &Notifier, book: &Book, by: By, after: u64) -> Result<Receipt, Fail> {
    let daily = mail(Frequency::Daily { at: at(9, 0) });
    let one = |notification| expiring(book, notification, after - book.now());
    let resume = async |due: u64| {
        let pending =
            Pending { notification: one(low("a", "ann")), due: book.wall.now() + ms(due) };
        notifier.resume(pending).await.map_err(|error| {
            Fail::new(format!("what was handed back is refused: {error:?}")).expected("accepted")
        })
    };
    match by {
        By::Resume => resume(DAY).await,
        By::ResumeAndMore => {
            let receipt = resume(DAY).await?;
            prefer(notifier, "ben", daily)?;
            send(notifier, low("b", "ben")).await?;
            Ok(receipt)
        }
        By::ResumeInQuietHours => {
            prefer(notifier, "ann", quiet_mail("UTC", Frequency::Immediate))?;
            resume(0).await
        }
        By::ResumeBehind => {
            send(notifier, high("first", "ann")).await?;
            book.until(10).await;
            resume(0).await
        }
        By::ResumeAndFail => resume(0).await,
        By::OtherPreferences => {
            prefer(notifier, "ann", daily)?;
            let receipt = send(notifier, one(low("a", "ann"))).await?;
            book.until(100).await;
            prefer(notifier, "ann", mail(Frequency::WEEKLY))?;
            Ok(receipt)
        }
        By::AfterAnother => {
            prefer(notifier, "ann", daily)?;
            let receipt = send(notifier, one(low("a", "ann"))).await?;
            book.until(100).await;
            send(notifier, urgent("other", "ann")).await?;
            Ok(receipt)
        }
        By::AfterAnExpired => {
            prefer(notifier, "ann", daily)?;
            let receipt = send(notifier, one(low("a", "ann"))).await?;
            send(notifier, expiring(book, low("sooner", "ann"), after / 2)).await?;
            Ok(receipt)
        }
        By::Urgent => send(notifier, one(urgent("a", "ann"))).await,
    }
}

/// Nothing of a user stays, whatever the fate of the last notification is, and if there was none at all.
pub async fn no_user_stays(cx: &Cx) -> Outcome {
    use level5::notifications::Preferences;
    let book = Book::opened(cx, "2026-06-10T10:00:00Z");
    let way = Way::new(ChannelKind::Email, &book).to("bad", Answer::Fails(0));
    let notifier = started(cx, &book, config(), [way]).await?;
    let past = |notification| Notification { expires_at: Some(book.wall.now()), ..notification };
    let resumed = |notification| Pending { notification, due: book.wall.now() + ms(DAY) };
    let script = async {
        prefer(&notifier, "nowhere", Preferences::new([ChannelKind::Push]))?;
        prefer(&notifier, "daily", mail(Frequency::DAILY))?;
        for (number, what) in [
            "has expired when it is accepted",
            "has expired when it is resumed",
            "is urgent and has expired when it is accepted",
            "is refused: its id is empty",
            "is refused: its id is known",
            "is delivered",
            "has no channel",
            "fails as often as it may",
            "expires while it waits for a digest",
            "is urgent, and expires between two attempts",
        ]
        .into_iter()
        .enumerate()
        {
            let (id, user) = (format!("id{number}"), format!("user{number}"));
            let answer = match number {
                0 => notifier.notify(past(low(&id, &user))).await,
                1 => notifier.resume(resumed(past(high(&id, &user)))).await,
                2 => notifier.notify(past(urgent(&id, &user))).await,
                3 => notifier.notify(high("", &user)).await,
                4 => notifier.notify(high("id0", &user)).await,
                5 => notifier.notify(high(&id, &user)).await,
                6 => notifier.notify(high(&id, "nowhere")).await,
                7 => notifier.notify(high(&id, "bad")).await,
                8 => notifier.notify(expiring(&book, low(&id, "daily"), 3000)).await,
                _ => notifier.notify(expiring(&book, urgent(&id, "bad"), 500)).await,
            };
            drop(answer);
            book.until(book.now() + if number < 5 { 100 } else { MINUTE }).await;
            let backlog = notifier.backlog();
            ensure!(backlog.notifications == 0 && backlog.users == 0, "the only notification of a user {what}; afterwards there is {backlog:?}";
                expected = "nothing waits, and no user is kept", help = "enter a user when something waits, and remove the entry with the last fate");
        }
        Ok(())
    };
    play(cx, DAY, script).await
}
