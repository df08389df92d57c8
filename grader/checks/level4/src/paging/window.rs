//! The window: its size, its indices, its flag.

use std::cell::RefCell;

use futures::future::{Either, join, join_all, select};
use grader_kit::{Cx, Outcome, ensure, ensure_eq, list};
use level4::paging::{Dir, LoadError, Loaded};

use super::{NEXT, has, step, steps};
use crate::books::{Act, Book, List};

/// Sizes of pages, and a walk over them.
fn walk(cx: &Cx) -> (Vec<usize>, Vec<Dir>) {
    let mut draw = cx.draw();
    let sizes = (0..12).map(|_| draw.index(4) + 1).collect();
    let forward = std::iter::repeat_n(Dir::Next, 12).chain(std::iter::repeat_n(Dir::Previous, 11));
    (sizes, forward.chain(std::iter::repeat_n(Dir::Next, 11)).collect())
}

/// How many items the window has.
fn count(list: &List) -> usize {
    list.watch().borrow().items.len()
}

pub async fn never_more_than_the_window(cx: Cx) -> Outcome {
    const WINDOW: usize = 7;
    let (sizes, walk) = walk(&cx);
    let book = Book::new(&sizes, 0);
    let list = book.list(WINDOW);
    let mut seen = list.watch();
    let most = RefCell::new(0);
    let reads = async {
        while seen.changed().await.is_ok() {
            let count = seen.borrow_and_update().items.len();
            most.replace_with(|most| count.max(*most));
        }
    };
    let walks = async {
        for dir in walk {
            let answer = super::go(&list, dir).await;
            let end = count(&list);
            most.replace_with(|most| end.max(*most));
            if answer.is_err() {
                break;
            }
        }
    };
    let both = async {
        match select(Box::pin(walks), Box::pin(reads)).await {
            Either::Left(_) | Either::Right(_) => {}
        }
    };
    cx.call("next and previous, over pages of 1 to 4 items", both).await?;
    let most = most.into_inner();
    ensure!(most <= WINDOW, "a window of {WINDOW}, over pages of {}: {most} items", list_of(&sizes);
        expected = format!("at most {WINDOW}, at every moment"),
        help = "pages leave at the other end before the window is shown");
    Ok(())
}

fn list_of(sizes: &[usize]) -> String {
    list(sizes)
}

pub async fn keeps_as_much_as_fits(cx: Cx) -> Outcome {
    const WINDOW: usize = 7;
    // Fixed sizes: pages that leave one, two and three at a time, on both sides.
    let sizes = [3, 1, 2, 4, 4, 1, 3, 2, 1, 4, 2, 2];
    let (_, walk) = walk(&cx);
    let book = Book::new(&sizes, 0);
    let list = book.list(WINDOW);
    // The pages of the window, by number.
    let mut pages = 0..0;
    for dir in walk {
        let (before, answer) = (count(&list), step(&cx, &list, dir).await?);
        let Ok(Loaded::Items(came)) = answer else { continue };
        match dir {
            Dir::Next => pages.end += 1,
            Dir::Previous => pages.start -= 1,
        }
        let total = |pages: &std::ops::Range<usize>| sizes[pages.clone()].iter().sum::<usize>();
        while total(&pages) > WINDOW {
            match dir {
                Dir::Next => pages.start += 1,
                Dir::Previous => pages.end -= 1,
            }
        }
        let (kept, fits) = (count(&list), total(&pages));
        // More than fits is a criterion of its own.
        ensure!(kept >= fits, "a window of {WINDOW}, over pages of {}: {before} items, {came} came, and {kept} are kept", list_of(&sizes);
            expected = format!("{fits}: no more pages leave than have to"),
            help = "let pages leave one by one, until the rest fits");
    }
    Ok(())
}

pub async fn an_item_keeps_its_index(cx: Cx) -> Outcome {
    const HELP: &str =
        "pages that leave at the front move `first_index` up, pages that come there move it down";
    let (sizes, walk) = walk(&cx);
    for (sizes, start) in [(&sizes[..], 0), (&sizes, 4), (&[3, 3, 0, 3, 0, 0, 3, 3], 3)] {
        let book = Book::new(sizes, start);
        let list = book.list(6);
        for dir in &walk {
            step(&cx, &list, *dir)
                .await?
                .map_err(|error| grader_kit::Fail::new(format!("{error:?}")))?;
            let window = list.watch().borrow().clone();
            if let Some(first) = window.items.first() {
                ensure_eq!(window.first_index, first.0, "pages of {} from number {start}, after {dir:?}: the index of item {}", list_of(sizes), first.0;
                    help = HELP);
            }
        }
    }
    Ok(())
}

pub async fn a_page_too_large_is_refused(cx: Cx) -> Outcome {
    let book = Book::new(&[3, 9, 2], 0);
    let list = book.list(8);
    steps(&cx, &list, Dir::Next, 1).await?;
    for _ in 0..2 {
        let answer = step(&cx, &list, Dir::Next).await?;
        ensure!(answer == Err(LoadError::PageTooLarge { items: 9, window: 8 }), "a page of 9 items for a window of 8: {answer:?}";
            expected = "PageTooLarge, with both numbers");
        has(&list, 0..3, "after a page that is too large", "it leaves the window as it was")?;
    }
    let first = Book::new(&[4], 0).list(3);
    let answer = step(&cx, &first, Dir::Next).await?;
    ensure!(answer == Err(LoadError::PageTooLarge { items: 4, window: 3 }), "a first page of 4 items for a window of 3: {answer:?}";
        expected = "PageTooLarge, with both numbers");
    // A page that fills the window exactly, and pushes the others out.
    let exact = Book::new(&[2, 4], 0).list(4);
    steps(&cx, &exact, Dir::Next, 2).await?;
    has(&exact, 2..6, "a page of 4 items for a window of 4", "it fits alone")
}

/// What a reader of the window sees while calls run, the one after the other: items and direction.
async fn watched(
    cx: &Cx,
    list: &List,
    calls: impl Future,
) -> Result<Vec<String>, grader_kit::Fail> {
    let mut seen = list.watch();
    seen.mark_unchanged();
    let states = RefCell::new(Vec::new());
    let reads = async {
        while seen.changed().await.is_ok() {
            let window = seen.borrow_and_update();
            let loading = window
                .loading
                .map_or_else(|| "at rest".to_owned(), |dir| format!("loading {dir:?}"));
            states.borrow_mut().push(format!("{} items, {loading}", window.items.len()));
        }
    };
    let runs = async {
        calls.await;
        // The reader sees the last state.
        tokio::task::yield_now().await;
    };
    cx.call(NEXT, select(Box::pin(runs), Box::pin(reads))).await?;
    Ok(states.into_inner())
}

/// So many calls of `next`. The reader sees each state before the next one replaces it.
async fn calls(list: &List, count: usize) {
    for _ in 0..count {
        let _ = list.next().await;
        tokio::task::yield_now().await;
    }
}

pub async fn says_what_it_loads(cx: Cx) -> Outcome {
    const HELP: &str =
        "one change when the load begins, and one when it ends: items and flag together";
    let book = Book::new(&[3, 3, 3], 0);
    let list = book.list(20);
    book.script([Some(Act::Error("broken")), None, None]);
    ensure!(list.watch().borrow().loading.is_none(), "a new list is loading"; expected = "`loading` is None");
    let states = watched(&cx, &list, calls(&list, 3)).await?;
    let expected = [
        "0 items, loading Next",
        "0 items, at rest",
        "0 items, loading Next",
        "3 items, at rest",
        "3 items, loading Next",
        "6 items, at rest",
    ];
    ensure_eq!(states.join("; "), expected.join("; "), "a load that fails, and two that do not: what a reader sees"; help = HELP);
    // What a reader sees of one page: also of an empty one, of one that is too large, and of one that callers share.
    let two =
        |items: usize, then: usize| format!("{items} items, loading Next; {then} items, at rest");
    for (what, sizes, expected) in [
        ("an empty page", [3, 0], two(3, 3)),
        ("a page that is too large", [3, 21], two(3, 3)),
        ("a page of 2 items, for which three callers wait", [3, 2], two(3, 5)),
    ] {
        let book = Book::new(&sizes, 0);
        let list = book.list(20);
        steps(&cx, &list, Dir::Next, 1).await?;
        let calls = async {
            let mut loads = Box::pin(list.next());
            let _ = futures::poll!(&mut loads);
            let others = if sizes[1] == 2 { 2 } else { 0 };
            // They are polled first: the reader sees the end of the load before they return.
            let _ = join(join_all((0..others).map(|_| list.next())), loads).await;
        };
        let states = watched(&cx, &list, calls).await?;
        // How often it is loaded is a criterion of its own.
        if book.calls() == 2 {
            ensure_eq!(states.join("; "), expected, "{what}: what a reader sees"; help = HELP);
        }
    }
    // A call that loads nothing changes nothing. That it loads nothing is a criterion of its own.
    let book = Book::new(&[3], 0);
    let list = book.list(20);
    let states = watched(&cx, &list, list.previous()).await?;
    ensure!(book.calls() > 0 || states.is_empty(), "a call of Previous before the first load, which loads nothing: a reader sees {}", states.join("; ");
        expected = "no change", help = HELP);
    steps(&cx, &list, Dir::Next, 1).await?;
    let before = book.calls();
    let both = async {
        let _ = list.previous().await;
        tokio::task::yield_now().await;
        calls(&list, 1).await;
    };
    let states = watched(&cx, &list, both).await?;
    ensure!(book.calls() > before || states.is_empty(), "calls at both ends, which load nothing: a reader sees {}", states.join("; ");
        expected = "no change", help = HELP);
    Ok(())
}
