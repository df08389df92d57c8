//! Large figures, long waits, calls that are not polled.

use std::convert::Infallible;

use futures::future::join;
use grader_kit::{Cx, Outcome, ensure, ensure_eq, scarce};
use level4::paging::{DEFAULT_WINDOW, Dir, Loaded, Page, PagedList, Pages};

use super::{NEXT, called, has, steps};
use crate::books::Book;

pub async fn begins_with_the_first_poll(cx: Cx) -> Outcome {
    let book = Book::new(&[2; 6], 0);
    let list = book.list(10);
    let early = list.next();
    drop((list.next(), list.previous()));
    tokio::time::sleep(grader_kit::ms(100)).await;
    ensure!(book.calls() == 0, "calls were made and not polled, and the source was called"; expected = "a future does nothing before its first poll");
    ensure!(
        list.watch().borrow().loading.is_none(),
        "a call was made and not polled, and the window says that it loads"
    );
    steps(&cx, &list, Dir::Next, 1).await?;
    // It was made before that load and polled after it: the load is not its own.
    let answer = cx.call(NEXT, early).await?.value;
    ensure!(
        answer == Ok(Loaded::Items(2)),
        "a call that was made early and polled late: {answer:?}"
    );
    ensure_eq!(called(&book), "the beginning (Next), page 1 (Next)", "a call was made, another one loaded a page, then the first one was polled: the calls of the source";
        help = "which load a caller shares is decided at its first poll");
    has(&list, 0..4, "after both", "the second page lies behind the first")
}

pub async fn keeps_only_the_window(cx: Cx) -> Outcome {
    ensure!(DEFAULT_WINDOW.get() == 100, "DEFAULT_WINDOW is {DEFAULT_WINDOW}"; expected = "100");
    const WINDOW: usize = 20;
    const SIZE: usize = 5;
    let book = Book::slow(&[SIZE; 2000], 0, 0);
    let list = book.list(WINDOW);
    for dir in [Dir::Next, Dir::Previous, Dir::Next] {
        for _ in 0..500 {
            steps(&cx, &list, dir, 1).await?;
            // One for the pages, one for what is shown.
            let alive = book.alive();
            ensure!(alive <= 2 * WINDOW, "a window of {WINDOW}, and {alive} items are kept";
                expected = format!("at most {}: those of the window, and those that are shown", 2 * WINDOW),
                help = "what leaves the window is dropped");
            if dir == Dir::Previous && book.calls() >= 990 {
                break;
            }
        }
    }
    drop(list);
    ensure!(book.alive() == 0, "a list was dropped, and {} items are left", book.alive());
    // Pages without items, of which nothing is kept but the last cursor of each side.
    const EMPTY: u64 = 20_000;
    let list = cx.call_fn("PagedList::new", || PagedList::new(Sparse, DEFAULT_WINDOW)).await?;
    let _scarce = scarce(256 << 10);
    let walk = async {
        for count in 0..EMPTY {
            let dir = if count % 2 == 0 { Dir::Next } else { Dir::Previous };
            let loaded = match dir {
                Dir::Next => list.next().await,
                Dir::Previous => list.previous().await,
            };
            if loaded != Ok(Loaded::Items(usize::from(count == 0))) {
                return count;
            }
        }
        EMPTY
    };
    let loaded = cx.call("next and previous, over pages without items", walk).await?.value;
    ensure!(loaded == EMPTY, "of {EMPTY} pages without items, {loaded} are loaded"; expected = "all of them");
    let items = list.watch().borrow().items.len();
    ensure!(items == 1, "one item, and many pages without items on both sides: the window has {items} items"; expected = "1");
    Ok(())
}

/// A list with one item, and pages without items before and after it. A cursor is the number of a page.
struct Sparse;

impl Pages for Sparse {
    type Item = ();
    type Cursor = i64;
    type Error = Infallible;

    async fn load(&self, at: Option<i64>, _: Dir) -> Result<Page<(), i64>, Infallible> {
        let number = at.unwrap_or(0);
        let items = if number == 0 { vec![()] } else { Vec::new() };
        Ok(Page { items, previous: Some(number - 1), next: Some(number + 1) })
    }
}

pub async fn waits_without_looking(cx: Cx) -> Outcome {
    let book = Book::slow(&[2; 3], 1, 250_000);
    let list = book.list(10);
    let call = cx.call(NEXT, join(list.next(), list.next())).await?;
    ensure!(call.polls < 100, "two calls that wait 250 s for a load took {} polls", call.polls;
        expected = "a few: a caller that waits is woken when the load ends",
        help = "a loop that sleeps for a moment and checks again costs a processor when thousands wait");
    Ok(())
}
