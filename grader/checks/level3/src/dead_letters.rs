//! `dead_letters::DeadLetters`.

use std::cell::{Cell, RefCell};
use std::future::pending;

use futures::future::join;
use grader_kit::{Cx, Fail, Outcome, dropped_at, ensure, ensure_eq, ms};
use level3::dead_letters::{DeadLetter, DeadLetters, Redriven};
use tokio::time::{Instant, sleep};

use crate::parts::{nz, nzu};

const NAME: &str = "DeadLetters::redrive";

type Queue = DeadLetters<&'static str>;
type Undelivered = DeadLetter<&'static str>;

fn queue(capacity: usize, park_after: u32, items: &[&'static str]) -> Result<Queue, Fail> {
    let queue = DeadLetters::new(nzu(capacity), nz(park_after));
    for item in items {
        if queue.push(*item, "mail server down", 3).is_err() {
            return Err(Fail::new(format!(
                "a queue of {capacity} has no room for {} items",
                items.len()
            )));
        }
    }
    Ok(queue)
}

fn items(queue: &Queue) -> Vec<&'static str> {
    queue.letters().iter().map(|letter| *letter.item).collect()
}

/// Redrives once; `fails` says which items cannot be delivered.
async fn redrive(
    cx: &Cx,
    queue: &Queue,
    fails: &[&str],
) -> Result<(Redriven, Vec<&'static str>), Fail> {
    let seen = RefCell::new(Vec::new());
    let handler = |letter: Undelivered| {
        let item = *letter.item;
        seen.borrow_mut().push(item);
        let fails = fails.contains(&item);
        cx.timeline()
            .record("handler", format!("{item} {}", if fails { "fails" } else { "is delivered" }));
        async move { if fails { Err("mailbox full") } else { Ok(()) } }
    };
    let redriven = cx.call(NAME, queue.redrive(handler)).await?.value;
    Ok((redriven, seen.into_inner()))
}

fn only(queue: &Queue) -> Result<Undelivered, Fail> {
    match queue.letters().as_slice() {
        [letter] => Ok(letter.clone()),
        letters => Err(Fail::new(format!("{} letters in the queue", letters.len())).expected("1")),
    }
}

pub async fn keeps_cause_and_attempts(cx: Cx) -> Outcome {
    sleep(ms(100)).await;
    let pushed = Instant::now();
    let queue = cx.call("DeadLetters::push", async { queue(10, 3, &["receipt 1"]) }).await?.value?;
    sleep(ms(100)).await;
    let letter = only(&queue)?;
    ensure_eq!(*letter.item, "receipt 1", "the item");
    ensure_eq!(letter.cause, "mail server down", "the cause");
    ensure_eq!(
        (letter.attempts, letter.redrives, letter.parked),
        (3, 0, false),
        "`attempts`, `redrives` and `parked`"
    );
    ensure_eq!((letter.first, letter.last), (pushed, pushed), "`first` and `last`");
    Ok(())
}

pub async fn is_bounded(cx: Cx) -> Outcome {
    let queue =
        cx.call("DeadLetters::push", async { queue(3, 3, &["a", "b", "c"]) }).await?.value?;
    let pushed = cx.call_fn("DeadLetters::push", || queue.push("d", "mail server down", 3)).await?;
    ensure!(queue.len() == 3 && !queue.is_empty(), "a queue of 3 holds {} items", queue.len();
        expected = "3: memory is bounded, however long the mail server is down");
    ensure_eq!(items(&queue), ["a", "b", "c"], "an older item made room for a newer one";
        help = "both are owed: let the caller know instead");
    match pushed {
        Err(full) => {
            ensure_eq!((full.item, full.capacity), ("d", 3), "what the refusal hands back")
        }
        Ok(_) => {
            return Err(
                Fail::new("push says that the item was kept").expected("Full, with the item")
            );
        }
    }
    Ok(())
}

pub async fn removes_only_what_was_delivered(cx: Cx) -> Outcome {
    let queue = queue(10, 5, &["a", "b"])?;
    let (there, taken_out) = (RefCell::new(Vec::new()), Cell::new(false));
    let handler = |letter: Undelivered| {
        let (queue, there, taken_out) = (&queue, &there, &taken_out);
        async move {
            sleep(ms(100)).await;
            there.borrow_mut().push(items(queue).contains(&*letter.item));
            taken_out.set(taken_out.get() || queue.remove(letter.id).is_some());
            if *letter.item == "b" { Err("mailbox full") } else { Ok(()) }
        }
    };
    cx.call(NAME, queue.redrive(handler)).await?;
    ensure!(there.borrow().iter().all(|there| *there), "an item is gone while its handler still works";
        expected = "removed when the handler has succeeded",
        help = "if the process ends now, or the handler fails, the item is lost");
    ensure!(!taken_out.get(), "remove() takes out an item that a redrive is at";
        expected = "None: whether it is delivered is being found out");
    ensure_eq!(
        items(&queue),
        ["b"],
        "of `a`, which was delivered, and `b`, which was not, the queue kept"
    );
    Ok(())
}

pub async fn counts_each_redrive(cx: Cx) -> Outcome {
    let queue = queue(10, 5, &["a"])?;
    let first = Instant::now();
    for redrives in 1..=2 {
        sleep(ms(1000)).await;
        let (redriven, _) = redrive(&cx, &queue, &["a"]).await?;
        ensure_eq!(
            redriven,
            Redriven { delivered: 0, failed: 1, parked: 0 },
            "what the redrive came to"
        );
        let letter = only(&queue)?;
        ensure_eq!(
            (letter.attempts, letter.redrives),
            (3 + redrives, redrives),
            "`attempts` and `redrives` after {redrives} redrives"
        );
        ensure_eq!(letter.cause, "mailbox full", "the cause after a redrive has failed");
        ensure_eq!(
            (letter.first, letter.last),
            (first, Instant::now()),
            "`first` and `last` after a redrive has failed"
        );
    }
    Ok(())
}

pub async fn parks_poison(cx: Cx) -> Outcome {
    let queue = queue(10, 2, &["poison"])?;
    redrive(&cx, &queue, &["poison"]).await?;
    let letter = only(&queue)?;
    ensure!(!letter.parked, "parked after one failed redrive"; expected = "after two");
    ensure!(!queue.unpark(letter.id), "unpark says that it has unparked what was not parked");
    let (redriven, _) = redrive(&cx, &queue, &["poison"]).await?;
    ensure!(only(&queue)?.parked, "not parked after two failed redrives";
        expected = "set aside for a human: it would be tried for ever");
    ensure_eq!(
        redriven,
        Redriven { delivered: 0, failed: 0, parked: 1 },
        "what the redrive came to that parked the item"
    );
    let (_, seen) = redrive(&cx, &queue, &[]).await?;
    ensure!(seen.is_empty(), "a parked item was tried again"; expected = "passed by until it is unparked");
    let unparked = queue.unpark(only(&queue)?.id);
    let (_, seen) = redrive(&cx, &queue, &["poison"]).await?;
    ensure!(unparked && seen == ["poison"], "an unparked item was not tried again");
    let letter = only(&queue)?;
    ensure!(!letter.parked, "parked again after one failed redrive";
        expected = "unparked, it has as many redrives as at first");
    let settled = queue.remove(letter.id).map(|letter| *letter.item);
    ensure_eq!(settled, Some("poison"), "what remove() took out of the queue");
    ensure!(queue.is_empty() && queue.remove(letter.id).is_none(), "a removed item is still there");
    Ok(())
}

pub async fn one_failure_stops_nobody(cx: Cx) -> Outcome {
    let queue = queue(10, 5, &["a", "b", "c"])?;
    let (redriven, seen) = redrive(&cx, &queue, &["a"]).await?;
    ensure_eq!(seen, ["a", "b", "c"], "items that were tried, in order, when the first one failed");
    ensure_eq!(
        redriven,
        Redriven { delivered: 2, failed: 1, parked: 0 },
        "what the redrive came to"
    );
    Ok(())
}

pub async fn a_panic_stops_nobody(cx: Cx) -> Outcome {
    let queue = queue(10, 5, &["a", "b"])?;
    let seen = RefCell::new(Vec::new());
    let handler = |letter: Undelivered| {
        seen.borrow_mut().push(*letter.item);
        async move {
            assert!(*letter.item != "a", "a handler with a bug");
            Ok::<_, &str>(())
        }
    };
    cx.call(NAME, queue.redrive(handler)).await?;
    ensure_eq!(
        *seen.borrow(),
        ["a", "b"],
        "items that were tried when the handler panicked at the first one"
    );
    ensure_eq!(items(&queue), ["a"], "what is left");
    let (_, seen) = redrive(&cx, &queue, &[]).await?;
    ensure_eq!(seen, ["a"], "items that are tried at the next redrive");
    Ok(())
}

pub async fn a_dropped_redrive_loses_nothing(cx: Cx) -> Outcome {
    let queue = queue(10, 5, &["a"])?;
    dropped_at(&cx, NAME, 100, queue.redrive(|_| pending::<Result<(), &str>>())).await?;
    ensure_eq!(items(&queue), ["a"], "what is left after a redrive was dropped");
    let (_, seen) = redrive(&cx, &queue, &[]).await?;
    ensure_eq!(seen, ["a"], "items that are tried at the next redrive";
        help = "an item that is marked as being worked on must be freed by a destructor");
    Ok(())
}

pub async fn two_redrives_deliver_once(cx: Cx) -> Outcome {
    let queue = queue(10, 5, &["a", "b"])?;
    let count = Cell::new(0);
    let handler = |letter: Undelivered| {
        cx.timeline().record("handler", format!("{} is delivered", letter.item));
        count.set(count.get() + 1);
        async {
            sleep(ms(100)).await;
            Ok::<_, &str>(())
        }
    };
    cx.call(NAME, join(queue.redrive(handler), queue.redrive(handler))).await?;
    ensure!(count.get() == 2, "two redrives at once delivered 2 items {} times", count.get();
        expected = "each item once: a receipt is sent once",
        help = "mark an item, under the lock, before its handler is called");
    Ok(())
}
