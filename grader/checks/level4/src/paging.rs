//! `paging::PagedList`.

mod ends;
mod loads;
mod scale;
mod window;

use grader_kit::{Cx, Fail, Outcome, ensure, ensure_eq};
use level4::paging::{Dir, LoadError, Loaded};

use crate::books::{Book, List, numbers, shown};

pub use ends::{
    a_dropped_call_stops, a_panic_stays_local, an_error_changes_nothing,
    an_error_reaches_all_waiters,
};
pub use loads::{
    an_empty_page_moves_on, goes_on_with_the_cursor, knows_its_ends, loads_the_first_page,
    one_load_at_a_time, previous_loads_back,
};
pub use scale::{begins_with_the_first_poll, keeps_only_the_window, waits_without_looking};
pub use window::{
    a_page_too_large_is_refused, an_item_keeps_its_index, keeps_as_much_as_fits,
    never_more_than_the_window, says_what_it_loads,
};

const NEXT: &str = "PagedList::next";
const PREVIOUS: &str = "PagedList::previous";

type Answer = Result<Loaded, LoadError<&'static str>>;

async fn go(list: &List, dir: Dir) -> Answer {
    match dir {
        Dir::Next => list.next().await,
        Dir::Previous => list.previous().await,
    }
}

/// One call, which is judged code.
async fn step(cx: &Cx, list: &List, dir: Dir) -> Result<Answer, Fail> {
    let name = if dir == Dir::Next { NEXT } else { PREVIOUS };
    Ok(cx.call(name, go(list, dir)).await?.value)
}

/// So many calls, of which each must bring a page.
async fn steps(cx: &Cx, list: &List, dir: Dir, count: usize) -> Outcome {
    for _ in 0..count {
        let answer = step(cx, list, dir).await?;
        ensure!(matches!(answer, Ok(Loaded::Items(_))), "a call in a list that has more pages returns {answer:?}";
            expected = "a page is loaded");
    }
    Ok(())
}

/// The window has the items of these numbers.
fn has(list: &List, expected: impl IntoIterator<Item = i64>, when: &str, help: &str) -> Outcome {
    ensure_eq!(shown(numbers(list)), shown(expected), "{when}: the items of the window"; help = help);
    Ok(())
}

/// The calls that the source has seen: cursor and direction.
fn called(book: &Book) -> String {
    let calls = book.seen().into_iter().map(|seen| {
        let at = seen.at.map_or_else(|| "the beginning".to_owned(), |page| format!("page {page}"));
        format!("{at} ({:?})", seen.dir)
    });
    calls.collect::<Vec<_>>().join(", ")
}
