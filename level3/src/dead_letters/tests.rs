use std::cell::RefCell;
use std::time::Duration;

use futures::future::{join, pending};
use tokio::time::{sleep, timeout};

use super::*;

const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn queue(capacity: usize, park_after: u32) -> DeadLetters<&'static str> {
    let capacity = NonZeroUsize::new(capacity).expect("some room");
    DeadLetters::new(capacity, NonZeroU32::new(park_after).expect("some redrives"))
}

fn items(queue: &DeadLetters<&'static str>) -> Vec<&'static str> {
    queue.letters().iter().map(|letter| *letter.item).collect()
}

async fn fail(_: DeadLetter<&'static str>) -> Result<(), &'static str> {
    Err("still down")
}

async fn work(_: DeadLetter<&'static str>) -> Result<(), &'static str> {
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn keeps_what_and_why_and_when() {
    let queue = queue(10, 3);
    sleep(ms(100)).await;
    let now = Instant::now();
    let id = queue.push("receipt", "mail server down", 3).expect("room");
    let expected = DeadLetter {
        id,
        item: Arc::new("receipt"),
        cause: "mail server down".to_owned(),
        attempts: 3,
        redrives: 0,
        first: now,
        last: now,
        parked: false,
    };
    assert_eq!(queue.letters(), std::slice::from_ref(&expected));
    sleep(ms(50)).await;
    assert_eq!(queue.redrive(fail).await, Redriven { failed: 1, ..Redriven::default() });
    let cause = "still down".to_owned();
    let last = now + ms(50);
    assert_eq!(queue.letters(), [DeadLetter { cause, attempts: 4, redrives: 1, last, ..expected }]);
}

#[tokio::test(start_paused = true)]
async fn is_bounded_and_loses_nothing() {
    let queue = queue(2, 3);
    for item in ["a", "b"] {
        queue.push(item, "x", 1).expect("room");
    }
    let full = queue.push("c", "x", 1).expect_err("no room");
    assert_eq!((full.item, full.capacity), ("c", 2));
    assert_eq!(items(&queue), ["a", "b"]);
    assert!(!format!("{full:?}").contains("\"c\""), "the item may be a secret");
}

#[tokio::test(start_paused = true)]
async fn delivers_in_order_of_arrival() {
    let queue = queue(10, 3);
    for item in ["a", "b", "c"] {
        queue.push(item, "x", 1).expect("room");
    }
    let seen = RefCell::new(Vec::new());
    let redriven = queue
        .redrive(|letter| {
            seen.borrow_mut().push(*letter.item);
            async move { if *letter.item == "b" { Err("no") } else { Ok(()) } }
        })
        .await;
    assert_eq!(*seen.borrow(), ["a", "b", "c"]);
    assert_eq!(redriven, Redriven { delivered: 2, failed: 1, parked: 0 });
    assert_eq!(items(&queue), ["b"]);
}

#[tokio::test(start_paused = true)]
async fn a_letter_stays_until_the_handler_has_succeeded() {
    let queue = queue(10, 3);
    queue.push("a", "x", 1).expect("room");
    let queue = &queue;
    let redriven = queue.redrive(|_| async move {
        assert_eq!(queue.len(), 1);
        sleep(ms(100)).await;
        assert_eq!(queue.len(), 1);
        Ok::<_, &str>(())
    });
    assert_eq!(redriven.await.delivered, 1);
    assert!(queue.is_empty());
}

#[tokio::test(start_paused = true)]
async fn parks_poison() {
    let queue = queue(10, 2);
    let id = queue.push("a", "x", 1).expect("room");
    assert_eq!(queue.redrive(fail).await, Redriven { failed: 1, ..Redriven::default() });
    assert_eq!(queue.redrive(fail).await, Redriven { parked: 1, ..Redriven::default() });
    assert_eq!(queue.redrive(work).await, Redriven::default(), "a parked letter is passed by");
    assert!(queue.letters()[0].parked);
    assert!(queue.unpark(id));
    assert!(!queue.unpark(id));
    assert_eq!(queue.redrive(work).await.delivered, 1);
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_a_failure_of_its_letter() {
    let queue = queue(10, 2);
    for item in ["a", "b"] {
        queue.push(item, "x", 1).expect("room");
    }
    let redriven = queue
        .redrive(|letter| async move {
            assert_ne!(*letter.item, "a", "a bug");
            Ok::<_, &str>(())
        })
        .await;
    assert_eq!(redriven, Redriven { delivered: 1, failed: 1, parked: 0 });
    assert_eq!(queue.letters()[0].cause, "the handler panicked");
    assert_eq!(queue.redrive(work).await.delivered, 1, "the letter is free again");
}

#[tokio::test(start_paused = true)]
async fn a_dropped_redrive_changes_nothing() {
    let queue = queue(10, 2);
    queue.push("a", "x", 1).expect("room");
    let before = queue.letters();
    let hung = queue.redrive(|_| pending::<Result<(), &str>>());
    assert!(timeout(ms(100), hung).await.is_err());
    assert_eq!(queue.letters(), before);
    assert_eq!(queue.redrive(work).await.delivered, 1);
}

#[tokio::test(start_paused = true)]
async fn two_redrives_deliver_once() {
    let queue = queue(10, 2);
    for item in ["a", "b"] {
        queue.push(item, "x", 1).expect("room");
    }
    let seen = RefCell::new(Vec::new());
    let slow = |letter: DeadLetter<&'static str>| {
        seen.borrow_mut().push(*letter.item);
        async {
            sleep(ms(100)).await;
            Ok::<_, &str>(())
        }
    };
    let (one, other) = join(queue.redrive(slow), queue.redrive(slow)).await;
    assert_eq!(one.delivered + other.delivered, 2);
    let mut seen = seen.into_inner();
    seen.sort_unstable();
    assert_eq!(seen, ["a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn a_letter_at_work_cannot_be_removed() {
    let queue = queue(10, 2);
    let id = queue.push("a", "x", 1).expect("room");
    let (queue, seen) = (&queue, RefCell::new(true));
    queue
        .redrive(|_| {
            *seen.borrow_mut() = queue.remove(id).is_some();
            fail(queue.letters()[0].clone())
        })
        .await;
    assert!(!*seen.borrow());
    assert_eq!(queue.remove(id).map(|letter| *letter.item), Some("a"));
    assert_eq!(queue.remove(id), None);
}

#[tokio::test(start_paused = true)]
async fn newcomers_wait_for_the_next_redrive() {
    let queue = queue(10, 2);
    queue.push("a", "x", 1).expect("room");
    let redriven = queue
        .redrive(|_| {
            queue.push("b", "x", 1).expect("room");
            async { Ok::<_, &str>(()) }
        })
        .await;
    assert_eq!(redriven.delivered, 1);
    assert_eq!(items(&queue), ["b"]);
}
