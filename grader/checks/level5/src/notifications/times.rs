//! At once, and after a window.

use grader_kit::{Cx, Outcome};
use level5::notifications::{Frequency, Notification, Priority};

use super::{high, low, mail, medium, urgent};
use crate::mailroom::{
    Book, DAY, SECOND, Way, config, lines, play, prefer, send, started, with_mail,
};
use grader_kit::ms;
use level5::notifications::{ChannelKind, Config};

const FREQUENCIES: [Frequency; 4] =
    [Frequency::Immediate, Frequency::Batched, Frequency::DAILY, Frequency::WEEKLY];

pub async fn urgent_goes_at_once(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    for frequency in FREQUENCIES {
        let book = Book::opened(&cx, "2026-06-10T10:00:00Z");
        let notifier = with_mail(&cx, &book).await?;
        let first = draw.between(0..=1900);
        let second = first + draw.between(100..=2900);
        let script = async {
            for user in ["ann", "ben"] {
                prefer(&notifier, user, mail(frequency))?;
            }
            send(&notifier, low("a", "ann")).await?;
            book.until(first).await;
            send(&notifier, urgent("b", "ann")).await?;
            send(&notifier, urgent("c", "ben")).await?;
            book.until(second).await;
            send(&notifier, urgent("d", "ann")).await?;
            book.until(4999).await;
            Ok(())
        };
        play(&cx, 4999, script).await?;
        let expected = [
            format!("{first} ms Email to ann: b"),
            format!("{first} ms Email to ben: c"),
            format!("{second} ms Email to ann: d"),
        ];
        book.was(
            &expected,
            &format!("{frequency:?}, a low one at 0 ms, urgent ones at {first} and {second} ms"),
            "what is urgent is due when it is accepted, for every frequency",
        )?;
    }
    Ok(())
}

pub async fn high_goes_at_once(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    for frequency in FREQUENCIES {
        let book = Book::opened(&cx, "2026-06-10T10:00:00Z");
        let notifier = with_mail(&cx, &book).await?;
        let first = draw.between(0..=1900);
        let second = first + draw.between(100..=2900);
        let script = async {
            prefer(&notifier, "ann", mail(frequency))?;
            send(&notifier, medium("a", "ann")).await?;
            book.until(first).await;
            send(&notifier, high("b", "ann")).await?;
            book.until(second).await;
            send(&notifier, high("c", "ann")).await?;
            book.until(4999).await;
            Ok(())
        };
        play(&cx, 4999, script).await?;
        let expected = match frequency {
            Frequency::Immediate => {
                vec![format!("{first} ms Email to ann: b"), format!("{second} ms Email to ann: c")]
            }
            _ => Vec::new(),
        };
        book.was(
            &expected,
            &format!("{frequency:?}, a medium one at 0 ms, high ones at {first} and {second} ms"),
            "for a user of `Immediate` a high one is due when it is accepted; it does not close the window of the others",
        )?;
    }
    Ok(())
}

pub async fn the_rest_goes_after_the_window(cx: Cx) -> Outcome {
    let drawn = cx.draw().between(200..=90 * SECOND);
    for window in [5000, 600 * SECOND, drawn] {
        let book = Book::opened(&cx, "2026-06-10T10:00:00Z");
        let config = Config { window: ms(window), ..config() };
        let notifier = started(&cx, &book, config, [Way::new(ChannelKind::Email, &book)]).await?;
        let script = async {
            send(&notifier, low("a", "ann")).await?;
            book.until(window / 8).await;
            send(&notifier, medium("x", "ben")).await?;
            book.until(window / 4).await;
            send(&notifier, medium("b", "ann")).await?;
            book.until(window - 1).await;
            send(&notifier, low("c", "ann")).await?;
            book.until(window + 1).await;
            send(&notifier, medium("d", "ann")).await?;
            book.until(4 * window).await;
            send(&notifier, low("e", "ann")).await?;
            book.until(9 * window).await;
            Ok(())
        };
        play(&cx, 9 * window, script).await?;
        let expected = [
            format!("{window} ms Email to ann: a b c"),
            format!("{} ms Email to ben: x", window + window / 8),
            format!("{} ms Email to ann: d", 2 * window + 1),
            format!("{} ms Email to ann: e", 5 * window),
        ];
        let when = format!(
            "immediate users, a window of {window} ms, low and medium ones at 0, {}, {} and {} ms, then at {} ms",
            window / 4,
            window - 1,
            window + 1,
            4 * window
        );
        let help = "the first one opens the window of its user; all that come before its end go together at its end";
        book.was(&expected, &when, help)?;
    }
    Ok(())
}

pub async fn a_batch_goes_together(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let book = Book::opened(&cx, "2026-06-10T10:00:00Z");
    let notifier = with_mail(&cx, &book).await?;
    let users = ["ann", "ben", "cat"];
    let mut sent: Vec<(u64, usize)> =
        (0..400).map(|_| (draw.below(40_000), draw.index(3))).collect();
    // 300 at once, for one user.
    sent.extend((0..300).map(|_| (60_000, 0)));
    sent.sort_unstable();
    // Each open window: its user, its end and its ids.
    let mut windows: Vec<(usize, u64, Vec<String>)> = Vec::new();
    let mut notifications = Vec::new();
    for (number, (at, user)) in sent.into_iter().enumerate() {
        let priority = *draw.pick(&[Priority::Low, Priority::Medium, Priority::High]);
        let open = windows.iter_mut().rev().find(|(of, ..)| *of == user);
        // Whether one at the end of a window is in it is not asked.
        let id = number.to_string();
        match open {
            Some((_, end, _)) if *end == at => continue,
            Some((_, end, ids)) if *end > at => ids.push(id.clone()),
            _ => windows.push((user, at + 5000, vec![id.clone()])),
        }
        notifications.push((at, Notification::new(&id, users[user], priority, "a text")));
    }
    let script = async {
        for user in users {
            prefer(&notifier, user, mail(Frequency::Batched))?;
        }
        for (at, notification) in notifications {
            book.until(at).await;
            send(&notifier, notification).await?;
        }
        book.until(DAY).await;
        Ok(())
    };
    play(&cx, DAY, script).await?;
    windows.sort_unstable_by_key(|(user, end, _)| (*end, *user));
    let expected: Vec<String> = windows
        .iter()
        .map(|(user, end, ids)| format!("{end} ms Email to {}: {}", users[*user], ids.join(" ")))
        .collect();
    book.was(
        &expected,
        "three batched users, hundreds of low, medium and high ones",
        "keep what waits for a user in the order of acceptance, and take all of it out when its window ends",
    )?;
    // A batch of one.
    let book = Book::opened(&cx, "2026-06-10T10:00:00Z");
    let notifier = with_mail(&cx, &book).await?;
    let script = async {
        prefer(&notifier, "ann", mail(Frequency::Batched))?;
        send(&notifier, high("a", "ann")).await?;
        book.until(DAY).await;
        Ok(())
    };
    play(&cx, DAY, script).await?;
    book.was(&lines(["5000 ms Email to ann: a"]), "a batch of one", "a window ends by time alone")
}
