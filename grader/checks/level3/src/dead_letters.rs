//! `dead_letters::DeadLetters`.

mod pushes;
mod times;

use std::cell::{Cell, RefCell};
use std::fmt::{self, Display};
use std::future::{pending, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use futures::future::join;
use grader_kit::{Cx, Fail, Outcome, dropped_at, ensure, ensure_eq, ms};
use level3::dead_letters::{DeadLetter, DeadLetters, LetterId, Redriven};
use tokio::runtime::Builder;
use tokio::time::{Instant, sleep};

use crate::parts::{nz, nzu};

const NAME: &str = "DeadLetters::redrive";
const PUSH: &str = "DeadLetters::push";

type Queue = DeadLetters<&'static str>;
type Undelivered = DeadLetter<&'static str>;

/// A queue with these items, and their ids.
fn queue_of(
    capacity: usize,
    park_after: u32,
    items: &[&'static str],
) -> Result<(Queue, Vec<LetterId>), Fail> {
    let queue = DeadLetters::new(nzu(capacity), nz(park_after));
    let mut ids = Vec::new();
    for item in items {
        let Ok(id) = queue.push(*item, "mail server down", 3) else {
            let items = items.len();
            return Err(Fail::new(format!("a queue of {capacity} has no room for {items} items")));
        };
        ids.push(id);
    }
    Ok((queue, ids))
}

fn queue(capacity: usize, park_after: u32, items: &[&'static str]) -> Result<Queue, Fail> {
    queue_of(capacity, park_after, items).map(|(queue, _)| queue)
}

fn items(queue: &Queue) -> Vec<&'static str> {
    queue.letters().iter().map(|letter| *letter.item).collect()
}

/// The figures of a redrive, taken apart: delivered, failed, parked.
fn counts(redriven: &Redriven) -> (usize, usize, usize) {
    (redriven.delivered, redriven.failed, redriven.parked)
}

const COUNTS: &str = "(delivered, failed, parked) of the redrive";

/// Redrives once; `fails` says which items cannot be delivered.
async fn redrive(
    cx: &Cx,
    queue: &Queue,
    fails: &[&str],
) -> Result<((usize, usize, usize), Vec<&'static str>), Fail> {
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
    Ok((counts(&redriven), seen.into_inner()))
}

fn only(queue: &Queue, when: &str) -> Result<Undelivered, Fail> {
    let mut letters = queue.letters();
    match (letters.pop(), letters.len()) {
        (Some(letter), 0) => Ok(letter),
        (last, others) => Err(Fail::new(format!(
            "{} letters in the queue {when}",
            others + usize::from(last.is_some())
        ))
        .expected("1: it was neither delivered nor removed")),
    }
}

pub async fn keeps_cause_and_attempts(cx: Cx) -> Outcome {
    let queue: Queue = DeadLetters::new(nzu(10), nz(3));
    let mut draw = cx.draw();
    let (long, drawn) = ("\u{f6}".repeat(5000), draw.text(20..=60));
    let causes = [&drawn, "", "550 5.1.1 no such user: \u{4f60}\u{597d}", &long];
    let attempts = [draw.between(2..=1000) as u32, 0, 1, u32::MAX];
    let names = ["receipt 1", "receipt 2", "receipt 3", "receipt 4"];
    let mut times = Vec::new();
    for ((item, cause), attempts) in names.into_iter().zip(causes).zip(attempts) {
        sleep(ms(100)).await;
        times.push(Instant::now());
        let pushed = cx.call_fn(PUSH, || queue.push(item, cause, attempts)).await?;
        ensure!(pushed.is_ok(), "a queue of 10 has no room for {} items", times.len());
    }
    sleep(ms(100)).await;
    let letters = queue.letters();
    ensure_eq!(items(&queue), names, "the items, in order of arrival");
    for (nth, letter) in letters.iter().enumerate() {
        ensure_eq!(letter.cause, causes[nth], "the cause of {}", names[nth]);
        ensure_eq!(
            (letter.attempts, letter.redrives, letter.parked),
            (attempts[nth], 0, false),
            "`attempts`, `redrives` and `parked` of {}",
            names[nth]
        );
        ensure_eq!(
            (letter.first, letter.last),
            (times[nth], times[nth]),
            "`first` and `last` of {}",
            names[nth]
        );
    }
    Ok(())
}

pub async fn is_bounded(cx: Cx) -> Outcome {
    let queue = cx.call(PUSH, async { queue(3, 1, &["a", "b", "c"]) }).await?.value?;
    let pushed = cx.call_fn(PUSH, || queue.push("d", "mail server down", 3)).await?;
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
    // Parked letters take room as well; one that is removed gives its room back.
    redrive(&cx, &queue, &["a", "b", "c"]).await?;
    ensure!(queue.len() == 3 && !queue.is_empty(), "a queue holds three letters, and all of them are parked: len() is {}, is_empty() {}",
        queue.len(), queue.is_empty();
        expected = "3 and false: a parked letter is in the queue until it is removed");
    let pushed = cx.call_fn(PUSH, || queue.push("e", "mail server down", 3)).await?;
    ensure!(pushed.is_err(), "a queue of 3 holds three parked letters and takes a fourth";
        expected = "Full: parked letters count", observed = format!("{:?}", items(&queue)));
    let last = queue.letters().pop().map(|letter| letter.id);
    let removed = last.and_then(|last| queue.remove(last)).map(|letter| *letter.item);
    ensure_eq!(removed, Some("c"), "what remove() with the id of the third letter took out");
    let pushed = cx.call_fn(PUSH, || queue.push("f", "mail server down", 3)).await?;
    ensure!(pushed.is_ok(), "an item is refused although one of three was removed");
    pushes::are_bounded(&cx)
}

pub async fn ids_are_never_reused(cx: Cx) -> Outcome {
    let help = "count up: `letters.len()`, or the place in a list, names another letter as soon as one is gone";
    let (queue, ids) = queue_of(10, 5, &["a", "b"])?;
    redrive(&cx, &queue, &["b"]).await?;
    let pushed = cx.call_fn(PUSH, || queue.push("c", "mail server down", 3)).await?;
    let Ok(third) = pushed else { return Err(Fail::new("a queue of 10 has no room for 2 items")) };
    ensure_eq!(
        items(&queue), ["b", "c"],
        "`a` was delivered, `b` was not, then `c` came: the queue holds other letters"; help = help
    );
    let hit = cx.call_fn("DeadLetters::remove", || queue.remove(ids[0])).await?;
    ensure!(hit.is_none(), "the id of a delivered letter removes another one";
        expected = "None: the letter is gone", observed = format!("removed {:?}", hit.map(|letter| *letter.item)),
        help = help);
    ensure!(!queue.unpark(third), "unpark says that it has unparked what was not parked");
    let second = cx.call_fn("DeadLetters::remove", || queue.remove(ids[1])).await?;
    ensure_eq!(second.map(|letter| *letter.item), Some("b"), "what remove() with the id of `b` took out"; help = help);
    // The last one, and the only one, go as well.
    for round in 0..3 {
        let last = cx.call_fn(PUSH, || queue.push("last", "mail server down", 3)).await?;
        let Ok(last) = last else { return Err(Fail::new("a queue of 10 has no room for 3 items")) };
        let removed = queue.remove(last).map(|letter| *letter.item);
        ensure_eq!(removed, Some("last"), "what remove() with the id of the last letter took out");
        let Ok(next) = queue.push("next", "mail server down", 3) else {
            return Err(Fail::new("a queue of 10 has no room for 3 items"));
        };
        ensure!(queue.remove(last).is_none(), "the id of a removed letter names the next one that comes"; help = help);
        let removed = queue.remove(next).map(|letter| *letter.item);
        ensure_eq!(removed, Some("next"), "what remove() took out in round {}", round + 1);
        if round == 1 {
            redrive(&cx, &queue, &[]).await?;
            ensure!(queue.is_empty(), "delivered letters are still there");
        }
    }
    pushes::ids_differ(&cx)
}

pub async fn removes_only_what_was_delivered(cx: Cx) -> Outcome {
    let (queue, ids) = queue_of(10, 5, &["a", "b", "settled"])?;
    let (there, taken_out, seen) = (RefCell::new(Vec::new()), Cell::new(false), RefCell::default());
    let handler = |letter: Undelivered| {
        let (queue, there, taken_out) = (&queue, &there, &taken_out);
        let seen: &RefCell<Vec<&str>> = &seen;
        let settled = ids[2];
        async move {
            seen.borrow_mut().push(*letter.item);
            sleep(ms(100)).await;
            if *letter.item != "settled" {
                there.borrow_mut().push(items(queue).contains(&*letter.item));
            }
            taken_out.set(taken_out.get() || queue.remove(letter.id).is_some());
            if *letter.item == "a" {
                // A human settles a letter whose turn has not come.
                queue.remove(settled);
            }
            if *letter.item == "b" { Err("mailbox full") } else { Ok(()) }
        }
    };
    cx.call(NAME, queue.redrive(handler)).await?;
    ensure!(there.borrow().iter().all(|there| *there), "an item is gone while its handler still works";
        expected = "removed when the handler has succeeded",
        help = "if the process ends now, or the handler fails, the item is lost");
    ensure!(!taken_out.get(), "remove() takes out an item that a redrive is delivering";
        expected = "None: whether it is delivered is being found out");
    ensure_eq!(
        items(&queue),
        ["b"],
        "of `a`, which was delivered, `b`, which was not, and `settled`, which was removed, the queue kept"
    );
    ensure_eq!(
        *seen.borrow(), ["a", "b"],
        "a letter was delivered after remove() had returned it";
        help = "look whether the letter is still there when its turn has come"
    );
    Ok(())
}

pub async fn counts_each_redrive(cx: Cx) -> Outcome {
    let queue = queue(10, 5, &["a"])?;
    let first = Instant::now();
    for redrives in 1..=3 {
        sleep(ms(1000)).await;
        let (found, _) = redrive(&cx, &queue, &["a"]).await?;
        ensure_eq!(found, (0, 1, 0), "{COUNTS}");
        let letter = only(&queue, "after a failed redrive")?;
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
    // The count of attempts has an end, and a redrive goes on behind a letter that has reached it.
    let queue: Queue = DeadLetters::new(nzu(10), nz(5));
    let letters = ["tried too often", "behind it"];
    for (item, attempts) in letters.into_iter().zip([u32::MAX, 1]) {
        let pushed = queue.push(item, "mail server down", attempts);
        ensure!(pushed.is_ok(), "a queue of 10 has no room for 2 items");
    }
    let (found, seen) = redrive(&cx, &queue, &letters).await?;
    ensure_eq!(
        seen,
        letters,
        "the letters that a redrive tries, after u32::MAX and after 1 attempts"
    );
    ensure_eq!(found, (0, 2, 0), "{COUNTS}, after u32::MAX and after 1 attempts");
    let attempts: Vec<u32> = queue.letters().iter().map(|letter| letter.attempts).collect();
    ensure_eq!(attempts, [u32::MAX, 2], "`attempts` of u32::MAX and of 1 after one more has failed";
        help = "saturating_add: the number stays at its end");
    counts_across_redrives(&cx).await?;
    times::last_is_when_the_attempt_failed(&cx).await
}

/// A letter fails in a second redrive before its turn in the first one comes.
async fn counts_across_redrives(cx: &Cx) -> Outcome {
    for (park_after, parked) in [(5, false), (2, true)] {
        let queue = queue(10, park_after, &["slow", "b"])?;
        let passed = RefCell::new(Vec::new());
        let handler = |letter: Undelivered| {
            let DeadLetter { item, attempts, redrives, cause, .. } = letter;
            passed.borrow_mut().push((*item, attempts, redrives, cause));
            async move {
                sleep(ms(if *item == "slow" { 300 } else { 10 })).await;
                Err::<(), _>(format!("refused at redrive {redrives}"))
            }
        };
        let later = async {
            sleep(ms(50)).await;
            queue.redrive(handler).await
        };
        cx.call(NAME, join(queue.redrive(handler), later)).await?;
        let last = passed.borrow().last().cloned();
        ensure_eq!(last, Some(("b", 4, 1, "refused at redrive 0".to_owned())),
            "a letter failed in a second redrive before its turn in the first one: (item, attempts, redrives, cause) that the first one's handler gets";
            help = "remember the ids of the letters, and read a letter when its turn comes");
        let letter = queue.letters().pop();
        let found = letter.map(|it| (*it.item, it.attempts, it.redrives, it.cause, it.parked));
        ensure_eq!(found, Some(("b", 5, 2, "refused at redrive 1".to_owned(), parked)),
            "(item, attempts, redrives, cause, parked) of a letter that failed in each of two redrives, which parks it after {park_after}";
            help = "count on the letter in the queue, not on a copy of it");
    }
    Ok(())
}

pub async fn parks_poison(cx: Cx) -> Outcome {
    for park_after in [2, 1, 5] {
        let queue = queue(10, park_after, &["poison"])?;
        for redrives in 1..park_after {
            redrive(&cx, &queue, &["poison"]).await?;
            let letter = only(&queue, "after a failed redrive")?;
            ensure!(!letter.parked, "parked after {redrives} failed redrives"; expected = format!("after {park_after}"));
            ensure!(
                !queue.unpark(letter.id),
                "unpark says that it has unparked what was not parked"
            );
            let after = only(&queue, "after unpark")?;
            ensure!(after.redrives == redrives && !after.parked, "unpark() of a letter that is not parked changes it: `redrives` was {redrives}, and is {}", after.redrives;
                expected = "false, and the letter as it was: only a parked one gets a full number of redrives",
                help = "look whether the letter is parked before you change it");
        }
        let (found, _) = redrive(&cx, &queue, &["poison"]).await?;
        let letter = only(&queue, "after its last redrive has failed")?;
        ensure!(letter.parked, "not parked after {park_after} failed redrives";
            expected = "set aside for a human: it would be tried without end");
        ensure_eq!(found, (0, 0, 1), "{COUNTS} that parked the item");
        let (found, seen) = redrive(&cx, &queue, &[]).await?;
        ensure!(seen.is_empty(), "a parked item was tried again"; expected = "skipped until it is unparked");
        ensure_eq!(found, (0, 0, 0), "{COUNTS} that had only a parked item");
        let attempts = only(&queue, "after it was parked")?.attempts;
        let unparked = cx.call_fn("DeadLetters::unpark", || queue.unpark(letter.id)).await?;
        let letter = only(&queue, "after it was unparked")?;
        ensure!(unparked && !letter.parked, "unpark does not unpark a parked item");
        ensure_eq!(
            (letter.attempts, letter.redrives),
            (attempts, 0),
            "`attempts` and `redrives` after unpark"
        );
        for redrives in 1..park_after {
            let (_, seen) = redrive(&cx, &queue, &["poison"]).await?;
            ensure!(seen == ["poison"], "an unparked item was not tried again");
            let letter = only(&queue, "after it was unparked and failed")?;
            ensure!(!letter.parked, "parked again after {redrives} failed redrives";
                expected = format!("after {park_after}: unparked, it has as many redrives as at first"));
        }
        let settled = queue.remove(letter.id).map(|letter| *letter.item);
        ensure_eq!(settled, Some("poison"), "what remove() took out of the queue");
        ensure!(
            queue.is_empty() && queue.remove(letter.id).is_none(),
            "a removed item is still there"
        );
        ensure!(!queue.unpark(letter.id), "unpark says that it has unparked an item that is gone");
    }
    parked_meanwhile(&cx).await
}

/// A redrive parks a letter that another redrive, which began before, has still to try.
async fn parked_meanwhile(cx: &Cx) -> Outcome {
    let queue = queue(10, 1, &["slow", "poison"])?;
    let tried = Cell::new(0);
    let handler = |letter: Undelivered| {
        let slow = *letter.item == "slow";
        cx.timeline().record("handler", *letter.item);
        tried.set(tried.get() + u32::from(!slow));
        async move {
            if slow {
                sleep(ms(100)).await;
                return Ok(());
            }
            Err("mailbox full")
        }
    };
    let later = async {
        sleep(ms(50)).await;
        queue.redrive(handler).await
    };
    cx.call(NAME, join(queue.redrive(handler), later)).await?;
    ensure!(tried.get() == 1, "a letter that one redrive has parked is tried again by another one that began before";
        expected = "skipped: whether a letter is parked counts when its turn comes",
        observed = format!("tried {} times", tried.get()));
    Ok(())
}

pub async fn a_failure_stops_no_other_letter(cx: Cx) -> Outcome {
    let all = ["a", "b", "c", "d"];
    for fails in [&["a"][..], &["b", "c"], &["d"], &all] {
        let queue = queue(10, 5, &all)?;
        let (found, seen) = redrive(&cx, &queue, fails).await?;
        ensure_eq!(seen, all, "items that were tried, in order, when {fails:?} failed");
        ensure_eq!(found, (4 - fails.len(), fails.len(), 0), "{COUNTS}");
        ensure_eq!(items(&queue), fails, "what is left when {fails:?} failed");
    }
    Ok(())
}

pub async fn newcomers_wait(cx: Cx) -> Outcome {
    const NEWCOMERS: usize = 50;
    for delivered in [true, false] {
        let queue = queue(1000, 5, &["a", "b"])?;
        let (seen, pushed) = (RefCell::new(Vec::new()), Cell::new(0));
        let handler = |letter: Undelivered| {
            seen.borrow_mut().push(*letter.item);
            if seen.borrow().len() <= NEWCOMERS {
                pushed.set(pushed.get() + usize::from(queue.push("newcomer", "down", 1).is_ok()));
            }
            // Gives up after so many, so that a redrive that goes on with the newcomers ends.
            let ends = delivered || seen.borrow().len() > NEWCOMERS;
            ready(if ends { Ok(()) } else { Err("mailbox full") })
        };
        cx.call(NAME, queue.redrive(handler)).await?;
        let seen = seen.into_inner();
        ensure!(
            seen.len() <= 2 && !seen.contains(&"newcomer"),
            "a redrive of 2 letters tried {}, since new ones arrived meanwhile", seen.len();
            expected = "a and b, each once: what arrives later, or fails, waits for the next redrive",
            help = "list the ids before you try the first one; letters that arrive as fast as they are delivered \
                    keep the redrive busy without end"
        );
        let (left, pushed) = (queue.len(), pushed.get());
        ensure!(delivered || left == 2 + pushed, "{left} letters in the queue when none of 2 was delivered and {pushed} arrived";
            expected = format!("{}", 2 + pushed));
    }
    no_turn_is_passed_on(&cx).await
}

/// A letter whose turn does not come, since it was removed, delivered or parked meanwhile, leaves its turn to no newcomer.
async fn no_turn_is_passed_on(cx: &Cx) -> Outcome {
    for meanwhile in ["removed", "delivered by another redrive", "parked by another redrive"] {
        let (queue, ids) = queue_of(10, 1, &["slow", "b", "c"])?;
        let seen = RefCell::new(Vec::new());
        let slow = queue.redrive(|letter| {
            seen.borrow_mut().push(*letter.item);
            async move {
                if *letter.item == "slow" {
                    sleep(ms(100)).await;
                }
                Ok::<_, &str>(())
            }
        });
        let other = async {
            sleep(ms(10)).await;
            if meanwhile == "removed" {
                for id in &ids[1..] {
                    queue.remove(*id);
                }
            } else {
                let is_parked = meanwhile == "parked by another redrive";
                let handler = |_| ready(if is_parked { Err("mailbox full") } else { Ok(()) });
                queue.redrive(handler).await;
            }
            let push = |newcomer| queue.push(newcomer, "down", 1).ok();
            ["newcomer 1", "newcomer 2"].map(push)
        };
        let (_, newcomers) = cx.call(NAME, join(slow, other)).await?.value;
        if newcomers.iter().flatten().any(|id| ids.contains(id)) {
            // That no id comes back is a criterion of its own.
            continue;
        }
        let seen = seen.into_inner();
        ensure!(
            !seen.iter().any(|item| item.starts_with("newcomer")),
            "two of three letters are {meanwhile} while a redrive delivers the first one, and then two new ones arrive: the redrive tries {seen:?}";
            expected = "no newcomer: what arrives later waits for the next redrive",
            help = "list the ids before you try the first one: as many turns as there were letters are not the same"
        );
    }
    Ok(())
}

/// How a handler panics.
#[derive(Debug, Clone, Copy)]
enum Panics {
    /// While it is called, before there is a future.
    WhenCalled,
    AtOnce,
    /// After a while, with a `String`.
    Later,
}

pub async fn a_panic_stops_no_other_letter(cx: Cx) -> Outcome {
    for panics in [Panics::AtOnce, Panics::WhenCalled, Panics::Later] {
        let queue = queue(10, 2, &["a", "b"])?;
        for redrives in 1..=2 {
            let seen = RefCell::new(Vec::new());
            let handler = |letter: Undelivered| {
                let item = *letter.item;
                seen.borrow_mut().push(item);
                let bad = item == "a";
                assert!(!(bad && matches!(panics, Panics::WhenCalled)), "a handler with a bug");
                async move {
                    assert!(!(bad && matches!(panics, Panics::AtOnce)), "a handler with a bug");
                    sleep(ms(10)).await;
                    if bad {
                        panic!("no handler for {item}");
                    }
                    Ok::<_, &str>(())
                }
            };
            let redriven = cx.call(NAME, queue.redrive(handler)).await?.value;
            let all: &[&str] = if redrives == 1 { &["a", "b"] } else { &["a"] };
            ensure_eq!(
                *seen.borrow(),
                all,
                "items that were tried when the handler panicked ({panics:?}) at the first one"
            );
            ensure_eq!(items(&queue), ["a"], "what is left");
            let letter = only(&queue, "after a panic")?;
            ensure_eq!(
                (letter.attempts, letter.redrives, letter.parked),
                (3 + redrives, redrives, redrives == 2),
                "`attempts`, `redrives` and `parked` after {redrives} panics ({panics:?})"
            );
            ensure!(letter.cause != "mail server down", "a panic leaves the old cause");
            let expected = if redrives == 1 { (1, 1, 0) } else { (0, 0, 1) };
            ensure_eq!(counts(&redriven), expected, "{COUNTS} with a panic ({panics:?})");
        }
        let letter = only(&queue, "after two panics")?;
        queue.unpark(letter.id);
        let (_, seen) = redrive(&cx, &queue, &[]).await?;
        ensure_eq!(seen, ["a"], "items that are tried at the next redrive");
    }
    Ok(())
}

pub async fn a_dropped_redrive_loses_nothing(cx: Cx) -> Outcome {
    let all = ["a", "b", "c"];
    // Each takes 100 ms. Dropped before the first poll, and while each of them is being delivered.
    for (at, left) in
        [(None, &all[..]), (Some(50), &all), (Some(150), &all[1..]), (Some(250), &all[2..])]
    {
        let queue = queue(10, 5, &all)?;
        let slow = queue.redrive(|_| async {
            sleep(ms(100)).await;
            Ok::<_, &str>(())
        });
        match at {
            None => drop(slow),
            Some(at) => dropped_at(&cx, NAME, at, slow).await?,
        }
        let when = at.map_or("before its first poll".to_owned(), |at| format!("at {at} ms"));
        ensure_eq!(items(&queue), left, "what is left after a redrive was dropped {when}");
        let counted: Vec<_> = queue.letters().iter().map(|l| (l.attempts, l.redrives)).collect();
        ensure_eq!(
            counted, vec![(3, 0); left.len()],
            "`attempts` and `redrives` after a redrive was dropped {when}";
            help = "whether the letter was delivered is unknown: it stays as it was"
        );
        // A second one that hangs, so that a mark that was left over shows.
        dropped_at(&cx, NAME, 10, queue.redrive(|_| pending::<Result<(), &str>>())).await?;
        let (_, seen) = redrive(&cx, &queue, &[]).await?;
        ensure_eq!(seen, left, "items that are tried at the next redrive";
            help = "a letter that is marked as being delivered must be freed by a destructor");
    }
    Ok(())
}

pub async fn two_redrives_deliver_once(cx: Cx) -> Outcome {
    for offset in [0, 50, 100, 150] {
        let queue = queue(10, 5, &["a", "b", "c"])?;
        let count = Cell::new(0);
        let handler = |letter: Undelivered| {
            cx.timeline().record("handler", format!("{} is delivered", letter.item));
            count.set(count.get() + 1);
            async {
                sleep(ms(100)).await;
                Ok::<_, &str>(())
            }
        };
        let later = async {
            sleep(ms(offset)).await;
            queue.redrive(handler).await
        };
        let both = cx.call(NAME, join(queue.redrive(handler), later)).await?.value;
        ensure!(count.get() == 3, "two redrives, {offset} ms apart, delivered 3 items {} times", count.get();
            expected = "each item once: a receipt is sent once",
            help = "mark an item, under the lock, before its handler is called");
        let delivered = both.0.delivered + both.1.delivered;
        ensure_eq!(delivered, 3, "what the two redrives say that they have delivered");
        ensure!(queue.is_empty(), "two redrives at once left {} letters", queue.len());
    }
    Ok(())
}

/// A cause whose text is made by code that looks at the queue, or that panics.
struct Foreign<'a>(Option<&'a Queue>);

/// A cause whose text is made by code that changes the queue.
struct Changes<F>(F);

impl<F: Fn()> Display for Changes<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (self.0)();
        f.write_str("a cause that changes the queue")
    }
}

impl Display for Foreign<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(queue) => write!(f, "one of {} letters", queue.len()),
            None => panic!("a cause that cannot be shown"),
        }
    }
}

pub async fn causes_are_foreign_code(cx: Cx) -> Outcome {
    let queue = queue(10, 5, &["a"])?;
    let pushed = cx.call_fn(PUSH, || queue.push("b", Foreign(Some(&queue)), 1).is_ok()).await?;
    ensure!(pushed, "a queue of 10 has no room for 2 items");
    // The panic is the caller's own, and passes to the caller.
    let bad = || catch_unwind(AssertUnwindSafe(|| queue.push("bad", Foreign(None), 1).is_ok()));
    let pushed = cx.call_fn(PUSH, bad).await?;
    let left = if pushed.is_ok() { 3 } else { 2 };
    let found = cx.call_fn("DeadLetters::len", || queue.len()).await?;
    ensure_eq!(found, left, "letters in the queue after a cause that panics when it is shown");
    let seen = RefCell::new(Vec::new());
    let handler = |letter: Undelivered| {
        seen.borrow_mut().push(*letter.item);
        let error = if *letter.item == "a" { Foreign(None) } else { Foreign(Some(&queue)) };
        ready(Err::<(), _>(error))
    };
    let redriven = cx.call(NAME, queue.redrive(handler)).await?.value;
    ensure!(
        seen.borrow().starts_with(&["a", "b"]),
        "an error that panics when it is shown stops the redrive";
        expected = "a failure of its letter, and the next letter is tried",
        observed = format!("tried {:?}", seen.borrow()),
        help = "`to_string` of the handler's error is foreign code, as the handler is: contain its panic too"
    );
    ensure!(redriven.failed == left, "{} of {left} failed letters were counted", redriven.failed);
    let counted: Vec<_> = queue.letters().iter().map(|letter| letter.redrives).collect();
    ensure_eq!(counted, vec![1; left], "`redrives` after errors that panic when they are shown");
    causes_that_change_the_queue(&cx).await
}

/// A cause pushes a letter of its own, and takes the last place.
async fn causes_that_change_the_queue(cx: &Cx) -> Outcome {
    for capacity in [1, 2, 9] {
        let queue = queue(capacity, 5, &vec!["before"; capacity - 1])?;
        let pushes = Changes(|| drop(queue.push("of the cause", "its own", 1)));
        let pushed = cx.call_fn(PUSH, || queue.push("with the cause", pushes, 1).is_ok()).await?;
        let held = items(&queue);
        ensure!(!pushed && held.len() == capacity && held.last() == Some(&"of the cause"),
            "a queue of {capacity} has room for one letter, and the cause of that letter pushes one itself";
            expected = "the cause's letter has the place, and the other one is refused with Full",
            observed = format!("{} letters, the last of them {:?}", held.len(), held.last()),
            help = "make the text first; then look for room and insert in one step, under one lock");
    }
    Ok(())
}

pub async fn forgets_what_is_gone(cx: Cx) -> Outcome {
    const MANY: usize = 70_000;
    let item = Arc::new(());
    let queue = DeadLetters::new(nzu(3000), nz(5));
    let in_memory = |when: &str, expected: usize| {
        let kept = Arc::strong_count(&item) - 1;
        ensure!(kept == expected, "{kept} items are in memory {when}";
            expected = format!("{expected}: what was delivered, removed or refused is gone"));
        Ok(())
    };
    let mut ids = Vec::new();
    for nth in 0..MANY {
        let push = || queue.push(Arc::clone(&item), "down", 1);
        let pushed = if nth == 0 { cx.call_fn(PUSH, push).await? } else { push() };
        let Ok(id) = pushed else {
            return Err(Fail::new(format!(
                "a queue that is empty has no room for letter {}",
                nth + 1
            )));
        };
        ids.push(id);
        if nth % 1000 == 0 {
            cx.call(NAME, queue.redrive(|_| ready(Ok::<_, &str>(())))).await?;
        } else {
            ensure!(queue.remove(id).is_some(), "letter {} cannot be removed", nth + 1;
                help = "count letters with 64 bits, and find them by their id");
        }
    }
    in_memory(&format!("after {MANY} letters have come and gone"), 0)?;
    let _ = queue.push(Arc::clone(&item), "down", 1);
    for (nth, id) in ids.into_iter().enumerate() {
        ensure!(queue.remove(id).is_none(), "letter {} has the id of letter {}", MANY + 1, nth + 1;
            expected = "an id of its own", help = "count letters with 64 bits");
    }
    cx.call(NAME, queue.redrive(|_| ready(Ok::<_, &str>(())))).await?;
    for _ in 0..3000 {
        let _ = queue.push(Arc::clone(&item), "down", 1);
    }
    in_memory("in a full queue of 3000", 3000)?;
    let redriven = cx.call(NAME, queue.redrive(|_| ready(Ok::<_, &str>(())))).await?.value;
    ensure_eq!(counts(&redriven), (3000, 0, 0), "{COUNTS} of 3000 letters");
    in_memory("after 3000 letters were delivered", 0)
}

pub async fn works_on_several_threads(cx: Cx) -> Outcome {
    const THREADS: usize = 4;
    const LETTERS: usize = 400;
    // One redrive on the virtual clock first: a queue that is not written is found here.
    redrive(&cx, &queue(10, 5, &["a"])?, &[]).await?;
    let queue: DeadLetters<usize> = DeadLetters::new(nzu(LETTERS), nz(5));
    let ids: Vec<LetterId> =
        (0..LETTERS).filter_map(|item| queue.push(item, "down", 1).ok()).collect();
    ensure!(ids.len() == LETTERS, "a queue of {LETTERS} has room for {} letters", ids.len());
    let seen: Arc<Vec<AtomicU32>> = Arc::new((0..LETTERS).map(|_| AtomicU32::new(0)).collect());
    let (counted, every) = (Arc::clone(&seen), 10 + cx.draw().index(10));
    cx.on_threads(NAME, THREADS, move |thread| {
        if thread == 0 {
            for id in ids.iter().rev().step_by(every) {
                if let Some(letter) = queue.remove(*id) {
                    counted[*letter.item].fetch_add(1, Ordering::Relaxed);
                }
                std::thread::yield_now();
            }
        }
        let Ok(runtime) = Builder::new_current_thread().build() else { return };
        runtime.block_on(queue.redrive(|letter| {
            counted[*letter.item].fetch_add(1, Ordering::Relaxed);
            // The others come while it is being delivered, on one core as well.
            std::thread::yield_now();
            ready(Ok::<_, &str>(()))
        }));
    })?;
    let wrong = seen.iter().map(|seen| seen.load(Ordering::Relaxed)).find(|seen| *seen != 1);
    ensure!(
        wrong.is_none(),
        "{THREADS} threads redrive {LETTERS} letters at the same time, and one was delivered or removed {} times", wrong.unwrap_or_default();
        expected = "once: one thread gets it, the others skip it",
        help = "look whether a letter is free and mark it in one step, under one lock"
    );
    Ok(())
}
