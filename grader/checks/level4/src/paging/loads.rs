//! What is loaded, and when.

use futures::FutureExt as _;
use futures::future::{join, join_all};
use grader_kit::{Cx, Outcome, ensure, ensure_eq, ms};
use level4::paging::{Dir, Loaded};

use tokio::time::timeout;

use super::{NEXT, called, go, has, step, steps};
use crate::books::{Book, LOAD};

pub async fn loads_the_first_page(cx: Cx) -> Outcome {
    let size = cx.draw().index(5) + 1;
    for size in [3, size, 0] {
        let book = Book::new(&[size, 2], 0);
        let list = book.list(10);
        has(&list, [], "before the first call", "a new list has loaded nothing")?;
        ensure!(book.calls() == 0, "a list was made, and its source was called"; expected = "the first call of `next` loads");
        let call = cx.call(NEXT, list.next()).await?;
        ensure!(call.value == Ok(Loaded::Items(size)), "the first call, for a page of {size} items, returns {:?}", call.value;
            expected = format!("Ok(Items({size}))"));
        ensure!(call.took == ms(LOAD), "the first call took {} ms", call.took.as_millis(); expected = format!("{LOAD} ms, as its load"));
        ensure_eq!(called(&book), "the beginning (Next)", "the calls of the source";
            help = "the first load has no cursor: `None`");
        let items = 0..i64::try_from(size).unwrap_or_default();
        has(&list, items, "after the first call", "put the items of the page into the window")?;
        // It is loaded once, also when it has no items.
        let _ = step(&cx, &list, Dir::Next).await?;
        let seconds = book.seen().into_iter().skip(1).filter(|seen| seen.at.is_none()).count();
        ensure!(seconds == 0, "a first page of {size} items, and a second call: it loads the beginning again";
            expected = "the page behind it: the first page was loaded, whatever it has",
            help = "keep the cursors of a first page that has no items");
    }
    Ok(())
}

pub async fn goes_on_with_the_cursor(cx: Cx) -> Outcome {
    const HELP: &str =
        "load at the `next` cursor of the last page of the window, and put the items behind it";
    let book = Book::new(&[3, 2, 4, 1], 0);
    let list = book.list(100);
    for (count, items) in [(1, 3), (2, 5), (3, 9), (4, 10)] {
        steps(&cx, &list, Dir::Next, 1).await?;
        has(&list, 0..items, &format!("after {count} calls of `next`"), HELP)?;
    }
    let calls = "the beginning (Next), page 1 (Next), page 2 (Next), page 3 (Next)";
    ensure_eq!(called(&book), calls, "the calls of the source"; help = HELP);
    Ok(())
}

pub async fn previous_loads_back(cx: Cx) -> Outcome {
    const HELP: &str = "load at the `previous` cursor of the first page of the window, and put the items before it";
    let book = Book::new(&[3; 6], 0);
    let list = book.list(6);
    steps(&cx, &list, Dir::Next, 4).await?;
    has(&list, 6..12, "a window of 6, after 4 pages of 3", "the oldest pages leave")?;
    steps(&cx, &list, Dir::Previous, 1).await?;
    has(&list, 3..9, "and one page back", HELP)?;
    steps(&cx, &list, Dir::Previous, 1).await?;
    has(&list, 0..6, "and two pages back", HELP)?;
    let calls: Vec<_> = book.seen().into_iter().skip(4).map(|seen| (seen.at, seen.dir)).collect();
    let expected = [(Some(1), Dir::Previous), (Some(0), Dir::Previous)];
    ensure!(calls == expected, "the calls of the source on the way back: {calls:?}"; expected = format!("{expected:?}"), help = HELP);
    steps(&cx, &list, Dir::Next, 1).await?;
    has(
        &list,
        3..9,
        "and one page forward again",
        "the page that left at the back is loaded again",
    )?;

    // A list that begins in the middle.
    let book = Book::new(&[2; 7], 3);
    let list = book.list(20);
    steps(&cx, &list, Dir::Next, 1).await?;
    steps(&cx, &list, Dir::Previous, 2).await?;
    has(&list, -4..2, "a list that begins in the middle, after one page forward and two back", HELP)
}

pub async fn knows_its_ends(cx: Cx) -> Outcome {
    let book = Book::new(&[2; 4], 1);
    let list = book.list(4);
    let ends = |when: &str, previous: bool, next: bool| {
        let observed = (list.watch().borrow().has_previous, list.watch().borrow().has_next);
        let expected = (previous, next);
        ensure_eq!(format!("{observed:?}"), format!("{expected:?}"), "{when}: has_previous and has_next";
            help = "a page without a cursor is an end; a page that has left the window is there again");
        Ok(())
    };
    let at_end = async |dir| {
        let before = book.calls();
        let answer = step(&cx, &list, dir).await?;
        ensure!(answer == Ok(Loaded::AtEnd), "a call of {dir:?} at that end returns {answer:?}"; expected = "Ok(AtEnd)");
        ensure!(book.calls() == before, "a call of {dir:?} at that end called the source";
            expected = "no call: the last page has said that there is no other");
        Ok(())
    };
    ends("before the first load", false, true)?;
    at_end(Dir::Previous).await?;
    // The pages are 0 to 3; the list begins with page 1, and two of them fit.
    for (dir, when, previous, next) in [
        (Dir::Next, "with page 1", true, true),
        (Dir::Next, "with pages 1 and 2", true, true),
        (Dir::Next, "with pages 2 and 3", true, false),
        (Dir::Previous, "with pages 1 and 2 again", true, true),
        (Dir::Previous, "with pages 0 and 1", false, true),
    ] {
        steps(&cx, &list, dir, 1).await?;
        ends(when, previous, next)?;
        if !next {
            at_end(Dir::Next).await?;
        }
        if !previous {
            at_end(Dir::Previous).await?;
        }
    }
    Ok(())
}

pub async fn one_load_at_a_time(cx: Cx) -> Outcome {
    const HELP: &str = "a call that comes while a load of its direction runs waits for that load and shares its page";
    for callers in [2, 5] {
        let book = Book::new(&[2; 9], 0);
        let list = book.list(20);
        for round in 1..=2 {
            let call = cx.call(NEXT, join_all((0..callers).map(|_| list.next()))).await?;
            let same = call.value.iter().all(|answer| *answer == Ok(Loaded::Items(2)));
            ensure!(same, "{callers} callers of `next` at once get {:?}", call.value; expected = "each of them the page of 2 items", help = HELP);
            ensure!(book.calls() == round, "{callers} callers of `next` at once, {round} times: {} loads", book.calls();
                expected = format!("{round}: one each time"), help = HELP);
        }
    }
    // Whatever the page is.
    let book = Book::new(&[2, 0], 0);
    let list = book.list(20);
    for (loads, items) in [(1, 2), (2, 0)] {
        let call = cx.call(NEXT, join_all((0..3).map(|_| list.next()))).await?;
        let same = call.value.iter().all(|answer| *answer == Ok(Loaded::Items(items)));
        ensure!(same && book.calls() == loads, "three callers of `next` at once, for a page of {items} items: {:?}, with {} loads in all", call.value, book.calls();
            expected = format!("each of them Ok(Items({items})), with {loads} loads in all"), help = HELP);
    }
    let book = Book::new(&[2, 9, 2], 0);
    let list = book.list(8);
    steps(&cx, &list, Dir::Next, 1).await?;
    let answers = cx.call(NEXT, join_all((0..3).map(|_| list.next()))).await?.value;
    let loads = book.calls() - 1;
    // What the answer is, is a criterion of its own.
    let same = answers.iter().all(|answer| answers.first() == Some(answer));
    ensure!(loads == 1 && same, "three callers of `next` at once, for a page that is too large: {answers:?}, with {loads} loads";
        expected = "the same answer for each of them, with 1 load",
        help = "the result of a load is shared, whatever it is");
    // Both directions at once: one after the other, and those who wait for the same share.
    let book = Book::new(&[2; 9], 4);
    let list = book.list(4);
    steps(&cx, &list, Dir::Next, 2).await?;
    let dirs = [Dir::Previous, Dir::Next, Dir::Next, Dir::Previous, Dir::Next];
    let all = join_all(dirs.map(|dir| go(&list, dir)));
    let call = cx.call("next and previous at once", all).await?;
    ensure!(call.value.iter().all(Result::is_ok), "next and previous at once: {:?}", call.value);
    let loads = book.calls() - 2;
    ensure!(loads == 2, "two callers of `previous` and three of `next` at once: {loads} loads"; expected = "one of each", help = HELP);
    ensure!(call.took == ms(2 * LOAD), "a load of each direction took {} ms together", call.took.as_millis();
        expected = format!("{} ms: one after the other", 2 * LOAD),
        help = "the page that a load brings must lie beside the window: nothing else may change the window meanwhile");
    waits_in_another_task(&cx).await
}

/// A caller that waits and has moved to another task is woken when the load ends.
async fn waits_in_another_task(cx: &Cx) -> Outcome {
    for dir in [Dir::Next, Dir::Previous] {
        let book = Book::new(&[2; 9], 4);
        let list = book.list(20);
        steps(cx, &list, Dir::Next, 1).await?;
        let mut loads = Box::pin(list.next());
        let mut waits = Box::pin(go(&list, dir));
        let by_another_task = || {
            let _ = loads.as_mut().now_or_never();
            let _ = waits.as_mut().now_or_never();
        };
        cx.call_fn(NEXT, by_another_task).await?;
        // `waits` is polled first: when the load ends, it has to be woken.
        let both = timeout(ms(1000), join(waits, loads));
        let answers = cx.call("next and previous at once", both).await?.value;
        let served = matches!(answers, Ok((Ok(Loaded::Items(2)), Ok(Loaded::Items(2)))));
        ensure!(served, "a load of Next runs, a call of {dir:?} waits, and both move to another task: within 1 s they get {answers:?}";
            expected = "a page of 2 items each",
            help = "each poll may come from another task: wake the waker of the newest one");
    }
    Ok(())
}

pub async fn an_empty_page_moves_on(cx: Cx) -> Outcome {
    const HELP: &str = "an empty page has a cursor too: the next load goes on behind it";
    for (sizes, start, dir, answers, items) in [
        (&[2, 0, 0, 3][..], 0, Dir::Next, &[0, 0, 3][..], 0..5),
        (&[3, 0, 0, 2], 3, Dir::Previous, &[0, 0, 3], -3..2),
        (&[0, 0, 2], 0, Dir::Next, &[0, 2], 0..2),
        (&[2, 0, 0], 2, Dir::Previous, &[0, 2], -2..0),
        (&[2, 0], 0, Dir::Next, &[0], 0..2),
    ] {
        let book = Book::new(sizes, start);
        let list = book.list(10);
        let when = format!("pages of {sizes:?} items, beginning with number {start}");
        steps(&cx, &list, Dir::Next, 1).await?;
        for expected in answers {
            let answer = step(&cx, &list, dir).await?;
            ensure!(answer == Ok(Loaded::Items(*expected)), "{when}: a call of {dir:?} returns {answer:?}";
                expected = format!("Ok(Items({expected}))"), help = HELP);
        }
        has(&list, items, &when, HELP)?;
        let (end, calls) = (step(&cx, &list, dir).await?, book.calls());
        ensure!(end == Ok(Loaded::AtEnd), "{when}: behind the last page, a call of {dir:?} returns {end:?}";
            expected = "Ok(AtEnd)", observed = format!("{calls} loads"), help = HELP);
    }
    // On the other side nothing has changed.
    let book = Book::new(&[0, 0, 2], 1);
    let list = book.list(10);
    let both = join(list.next(), list.previous());
    cx.call(NEXT, both).await?;
    steps(&cx, &list, Dir::Next, 1).await?;
    has(
        &list,
        0..2,
        "an empty page in the middle, one before it and one of 2 items behind it",
        HELP,
    )
}
