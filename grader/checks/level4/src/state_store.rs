//! `state_store::Store`.

mod parts;
mod runs;
mod scale;

use std::sync::Arc;

use grader_kit::marbles::{Marbles, Mark};
use grader_kit::{Cx, Outcome, ensure, ensure_eq, ms};
use level4::state_store::{Store, View};
use tokio::time::sleep;

pub use parts::{
    a_part_may_use_the_store, a_slow_reader_sees_the_newest, selects_only_changes,
    selects_operations_too, selects_what_is_now, streams_end_with_the_store,
};
pub use runs::{
    a_dropped_run_ends, keeps_an_error_until_the_next_run, loads_until_the_last_run_ends,
    old_runs_change_nothing, operations_are_apart, unpolled_runs_show_nothing,
};
pub use scale::{
    a_change_is_one_step, a_panic_leaves_no_trace, keeps_nothing_of_what_has_gone,
    no_update_is_lost, resets_in_one_step, waits_without_looking,
};

const UPDATE: &str = "Store::update";
const SELECT: &str = "Store::select";
const TRACK: &str = "Store::track";
const RESET: &str = "Store::reset";

#[derive(Debug, Clone, PartialEq, Eq)]
struct Page {
    user: String,
    seats: u32,
}

fn page(user: &str) -> Page {
    Page { user: user.to_owned(), seats: 0 }
}

/// State and one operation, as a message shows them.
fn shown(view: &View<Page>, operation: &str) -> String {
    let loading = if view.loading(operation) { "loading" } else { "idle" };
    let error =
        view.error(operation).map_or_else(|| "no error".to_owned(), |text| format!("error {text}"));
    format!("{} with {} seats, {loading}, {error}", view.state.user, view.state.seats)
}

/// What comes out of a stream of texts up to `limit` ms.
async fn observed(limit: u64, stream: impl futures::Stream<Item = String>) -> Marbles {
    Marbles::record(limit, stream, Mark::Item).await
}

fn items<'a>(items: impl IntoIterator<Item = (u64, &'a str)>) -> Marbles {
    Marbles::at(items.into_iter().map(|(at, text)| (at, Mark::item(text))))
}

/// What `text` yields in each millisecond up to `limit`, where it differs from the one before.
async fn sampled(limit: u64, text: impl Fn() -> String) -> Marbles {
    let mut marks: Vec<(u64, Mark)> = Vec::new();
    for now in 0..=limit {
        let mark = Mark::item(text());
        if marks.last().is_none_or(|(_, last)| *last != mark) {
            marks.push((now, mark));
        }
        sleep(ms(1)).await;
    }
    Marbles::at(marks)
}

pub async fn changes_the_state(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let (first, second) = (draw.word(), draw.word());
    let store = cx.call_fn("Store::new", || Store::new(page(&first))).await?;
    let before = store.view();
    ensure_eq!(shown(&before, "load"), format!("{first} with 0 seats, idle, no error"), "a store as it was made";
        help = "a store begins with the state that it was made with, and no operation runs");
    ensure!(
        !store.loading("load") && store.error("load").is_none(),
        "a store as it was made: `loading` or `error` of an operation that never ran"
    );
    let other = store.clone();
    cx.call_fn(UPDATE, || store.update(|page| page.user.clone_from(&second))).await?;
    cx.call_fn(UPDATE, || other.update(|page| page.seats += 2)).await?;
    cx.call_fn(UPDATE, || store.update(|page| page.user.push('!'))).await?;
    let expected = format!("{second}! with 2 seats, idle, no error");
    for (which, view) in [("handle", store.view()), ("clone", other.view())] {
        ensure_eq!(shown(&view, "load"), expected, "three updates by two handles; what a {which} shows";
            help = "a clone is a handle to the same state");
    }
    ensure_eq!(shown(&before, "load"), format!("{first} with 0 seats, idle, no error"), "a view that was taken before three updates";
        help = "a view is what the store held at one moment; it does not change");
    let seen: Arc<View<Page>> = store.view();
    drop(store);
    drop(other);
    ensure_eq!(shown(&seen, "load"), expected, "a view whose store was dropped");
    Ok(())
}
