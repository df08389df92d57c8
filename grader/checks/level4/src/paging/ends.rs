//! Loads that end badly: errors, drops, panics.

use std::panic::AssertUnwindSafe;

use futures::FutureExt as _;
use futures::future::{join, join_all, join3};
use grader_kit::{Cx, Outcome, dropped_at, ensure, ensure_eq, ms};
use level4::paging::{Dir, LoadError, Loaded};
use tokio::time::{sleep, timeout};

use super::{NEXT, called, has, step, steps};
use crate::books::{Act, Book};
use crate::ops::{End, leaves_no_task};
use crate::panics::Payload;

const ITEMS: Result<Loaded, LoadError<&str>> = Ok(Loaded::Items(2));

pub async fn an_error_changes_nothing(cx: Cx) -> Outcome {
    let book = Book::new(&[2; 6], 2);
    let list = book.list(4);
    book.script([Some(Act::Error("no luck")), None, None, Some(Act::Error("broken"))]);
    let first = step(&cx, &list, Dir::Next).await?;
    ensure!(first == Err(LoadError::Source("no luck")), "the source fails at the first load: {first:?}"; expected = "its error, as `Source`");
    has(&list, [], "after a first load that has failed", "the window is as it was")?;
    steps(&cx, &list, Dir::Next, 2).await?;
    for dir in [Dir::Next, Dir::Previous] {
        let before = list.watch().borrow().clone();
        if dir == Dir::Previous {
            book.script([Some(Act::Error("broken"))]);
        }
        let calls = book.calls();
        let failed = step(&cx, &list, dir).await?;
        ensure!(failed == Err(LoadError::Source("broken")), "the source fails at a load of {dir:?}: {failed:?}"; expected = "its error, as `Source`");
        let after = list.watch().borrow().clone();
        has(
            &list,
            before.items.iter().map(|item| item.0),
            "after a load that has failed",
            "the window is as it was",
        )?;
        let ends = (after.has_previous, after.has_next, after.first_index);
        ensure!(
            ends == (before.has_previous, before.has_next, before.first_index),
            "a load of {dir:?} has failed, and the ends or the index have changed"
        );
        steps(&cx, &list, dir, 1).await?;
        let at: Vec<_> = book.seen().into_iter().skip(calls).map(|seen| seen.at).collect();
        ensure!(at.len() == 2 && at[0] == at[1], "the call after a load that has failed loads at {at:?}";
            expected = "the same cursor again");
    }
    Ok(())
}

pub async fn an_error_reaches_all_waiters(cx: Cx) -> Outcome {
    let book = Book::new(&[2; 6], 0);
    let list = book.list(4);
    book.script([Some(Act::Error("broken"))]);
    let all = join3(list.next(), list.next(), list.next());
    let (one, two, three) = cx.call(NEXT, all).await?.value;
    let failed = Err(LoadError::Source("broken"));
    ensure!([&one, &two, &three].into_iter().all(|answer| *answer == failed), "three callers wait for a load that fails: {one:?}, {two:?}, {three:?}";
        expected = "each of them gets its error",
        help = "a source that is down would be called once by each of them, one after the other");
    ensure_eq!(called(&book), "the beginning (Next)", "the calls of the source");
    let after = step(&cx, &list, Dir::Next).await?;
    ensure!(after == ITEMS, "the call after that: {after:?}"; expected = "another load");
    Ok(())
}

pub async fn a_dropped_call_stops(cx: Cx) -> Outcome {
    let book = Book::new(&[2; 6], 0);
    let list = book.list(4);
    steps(&cx, &list, Dir::Next, 1).await?;
    for round in 0..2 {
        let tasks = cx.alive_tasks();
        dropped_at(&cx, NEXT, 5, list.next()).await?;
        leaves_no_task(&cx, tasks, "a call was dropped").await?;
        let ended = book.seen().last().and_then(|seen| seen.ended);
        ensure!(matches!(ended, Some((_, End::Dropped))), "a call was dropped, and its load goes on";
            expected = "it is dropped with the call", help = "run the load inside of the caller's own future");
        ensure!(list.watch().borrow().loading.is_none(), "a call was dropped, and the window says that a load runs";
            expected = "`loading` is None", help = "a guard notes the end: a line after the await is not reached");
        has(&list, 0..2, "after a call that was dropped", "the window is as it was")?;
        ensure!(
            book.calls() == 2 + round,
            "after a call that was dropped there are {} loads",
            book.calls()
        );
    }
    // One who waits for the load begins another one, without losing time.
    let waits = async {
        sleep(ms(1)).await;
        timeout(ms(1000), list.next()).await
    };
    let both = join(timeout(ms(5), list.next()), waits);
    let call = cx.call(NEXT, both).await?;
    ensure!(call.value.1 == Ok(ITEMS), "a caller waits for the load of another one, which is dropped: {:?}", call.value.1;
        expected = "it begins a load of its own");
    ensure!(call.took == ms(15), "that took {} ms", call.took.as_millis(); expected = "15 ms: its load begins when the other one is dropped");
    let alone = step(&cx, &list, Dir::Next).await?;
    ensure!(alone == ITEMS, "the call after that: {alone:?}");
    those_who_wait_share_the_next_load(&cx).await
}

/// Callers wait for a load that is given up, once or several times in a row: one of them begins the next one, and the
/// others share it.
async fn those_who_wait_share_the_next_load(cx: &Cx) -> Outcome {
    let others = cx.draw().index(4) + 2;
    for (given_up, waits) in [(1, 2), (3, 4), (2, others)] {
        let book = Book::new(&[2; 9], 4);
        let list = book.list(20);
        steps(cx, &list, Dir::Next, 1).await?;
        let before = book.calls();
        // The load of each of them is dropped 5 ms after it has begun; it would take 10 ms.
        let gone = join_all((1..=given_up).map(|number| timeout(ms(5 * number), list.next())));
        let stay = join_all((0..waits).map(|_| timeout(ms(1000), list.next())));
        let answers = cx.call(NEXT, join(gone, stay)).await?.value.1;
        let loads = book.seen();
        let ended = |how| {
            loads
                .iter()
                .skip(before)
                .filter(|it| it.ended.is_some_and(|(_, end)| end == how))
                .count()
        };
        let (dropped, pages) = (ended(End::Dropped), ended(End::Finished));
        let served = answers.iter().all(|answer| *answer == Ok(ITEMS));
        ensure!(served && pages == 1, "{waits} callers wait for loads that others give up: {answers:?}, with {dropped} loads that were dropped and {pages} that brought a page";
            expected = "a page of 2 items for each of them, with one load that brings it",
            help = "a caller shares the first load that has a result since the caller waits, also when the load that it began to wait for was dropped");
    }
    Ok(())
}

pub async fn a_panic_stays_local(cx: Cx) -> Outcome {
    let word = cx.draw().word();
    for payload in Payload::all(&word) {
        let book = Book::new(&[2; 6], 0);
        let list = book.list(4);
        book.script([None, Some(Act::Panic(payload.clone()))]);
        steps(&cx, &list, Dir::Next, 1).await?;
        let panics = AssertUnwindSafe(list.next()).catch_unwind();
        let waits = || AssertUnwindSafe(timeout(ms(1000), list.next())).catch_unwind();
        let (panicked, waited, other) = cx.call(NEXT, join3(panics, waits(), waits())).await?.value;
        ensure!(panicked.is_err_and(|panic| payload.is(panic.as_ref())), "the caller whose load panics gets another panic, or none";
            expected = "the panic of the source");
        ensure!(matches!(waited, Ok(Ok(ITEMS))), "a caller waits for a load that panics, and is not served";
            expected = "it begins a load of its own, and sees nothing of the panic");
        ensure!(matches!(other, Ok(Ok(ITEMS))) && book.calls() == 3, "two callers wait for a load that panics: the second one gets {:?}, with {} loads after the first page", other.map_err(|_| "a panic"), book.calls() - 1;
            expected = "the page of the first one's load, with 2 loads: the one that panics, and one that the two share");
        has(
            &list,
            0..4,
            "after a load that has panicked and one that has not",
            "the window is as it was",
        )?;
        ensure!(list.watch().borrow().loading.is_none(), "a load has panicked, and the window says that it runs"; expected = "`loading` is None");
    }
    Ok(())
}
