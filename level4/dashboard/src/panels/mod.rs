//! The four panels of a page. Each is a stream of what it shows.
//!
//! A panel's work runs inside of the polls of its stream: there is no task. Dropping the stream, when the page is
//! closed, stops the loads, requests and waits of the panel.

pub mod history;
pub mod live;
pub mod overview;
pub mod search;

use std::future::ready;
use std::panic::AssertUnwindSafe;

use futures::{FutureExt as _, Stream, StreamExt as _, stream};
use serde::Serialize;
use tokio::sync::watch;

/// What stands in a panel's place on the page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "is", content = "with", rename_all = "snake_case")]
pub enum Panel<S> {
    /// Its state.
    Shown(S),
    /// It needs a part of level 4 that the learner has not written: the text names file and line.
    Unwritten(String),
    /// Its code has panicked. The terminal has the message.
    Stopped,
}

/// A panel that stays alone with its panics. One that meets a `todo!()` names it, and the others go on.
///
/// `make` runs at the first poll, since in a blank the constructors of level 4's types are unwritten too.
pub(crate) fn contained<S, I>(
    make: impl FnOnce() -> S + Send,
) -> impl Stream<Item = Panel<I>> + Send
where
    S: Stream<Item = I> + Send,
    I: Send,
{
    let states = stream::once(async move { make() }).flatten().map(Panel::Shown);
    // Nothing of a panel is used after its panic.
    AssertUnwindSafe(states).catch_unwind().map(|state| {
        state.unwrap_or_else(|_| match demo_kit::take() {
            Some(part) => Panel::Unwritten(part.to_string()),
            None => Panel::Stopped,
        })
    })
}

/// The states of a panel, while `work` runs inside of the same polls.
fn driven<S>(
    states: impl Stream<Item = S> + Send,
    work: impl Future<Output = ()> + Send,
) -> impl Stream<Item = S> + Send
where
    S: Send,
{
    let work = work.into_stream().filter_map(|()| ready(None));
    stream::select(states, work)
}

/// Two streams as one of pairs: a pair for each item, with the last item of the other stream.
fn latest<A, B>(
    a: impl Stream<Item = A> + Send,
    b: impl Stream<Item = B> + Send,
) -> impl Stream<Item = (A, B)> + Send
where
    A: Clone + Send,
    B: Clone + Send,
{
    enum Side<A, B> {
        A(A),
        B(B),
    }
    let sides = stream::select(a.map(Side::A), b.map(Side::B));
    let pairs = sides.scan((None, None), |last, side| {
        match side {
            Side::A(a) => last.0 = Some(a),
            Side::B(b) => last.1 = Some(b),
        }
        ready(Some(last.clone().0.zip(last.clone().1)))
    });
    pairs.filter_map(ready)
}

/// The values of two cells that change in the same task: after each change, what both hold now.
fn both<A, B>(mut a: watch::Receiver<A>, b: watch::Receiver<B>) -> impl Stream<Item = (A, B)> + Send
where
    A: Clone + Send + Sync + 'static,
    B: Clone + Send + Sync + 'static,
{
    a.mark_changed();
    stream::unfold((a, b), async |(mut a, mut b)| {
        let changed = tokio::select! {
            changed = a.changed() => changed,
            changed = b.changed() => changed,
        };
        changed.ok()?;
        // Both at one moment: a pair never has the new value of one beside an old value of the other.
        let pair = (a.borrow_and_update().clone(), b.borrow_and_update().clone());
        Some((pair, (a, b)))
    })
}

/// The values of a `watch`: the one that is there, and each newer one. A slow reader sees the newest.
pub(crate) fn values<T>(mut receiver: watch::Receiver<T>) -> impl Stream<Item = T> + Send
where
    T: Clone + Send + Sync + 'static,
{
    receiver.mark_changed();
    stream::unfold(receiver, async |mut receiver| {
        receiver.changed().await.ok()?;
        let value = receiver.borrow_and_update().clone();
        Some((value, receiver))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_pair_has_the_last_item_of_both() {
        let (a, b) = (watch::Sender::new(1), watch::Sender::new('x'));
        let mut pairs = Box::pin(latest(values(a.subscribe()), values(b.subscribe())));
        assert_eq!(pairs.next().await, Some((1, 'x')));
        b.send_replace('y');
        assert_eq!(pairs.next().await, Some((1, 'y')));
        a.send_replace(2);
        assert_eq!(pairs.next().await, Some((2, 'y')));
        drop((a, b));
        assert_eq!(pairs.next().await, None);
    }

    #[tokio::test]
    async fn both_cells_are_read_at_one_moment() {
        let (a, b) = (watch::Sender::new(1), watch::Sender::new('x'));
        let mut pairs = Box::pin(both(a.subscribe(), b.subscribe()));
        assert_eq!(pairs.next().await, Some((1, 'x')));
        b.send_replace('y');
        a.send_replace(2);
        assert_eq!(pairs.next().await, Some((2, 'y')));
        assert!(pairs.next().now_or_never().is_none(), "the change of the other cell was read too");
        drop(b);
        assert_eq!(pairs.next().await, None);
    }

    #[tokio::test]
    async fn work_runs_inside_of_the_polls() {
        let cell = watch::Sender::new(0);
        let states = values(cell.subscribe());
        let work = async move {
            cell.send_replace(1);
        };
        assert_eq!(driven(states, work).collect::<Vec<_>>().await.last(), Some(&1));
    }

    #[tokio::test]
    #[expect(clippy::todo, reason = "this test is about `todo!()`")]
    async fn a_panel_names_what_is_unwritten() {
        demo_kit::watch();
        let panel = contained(|| stream::iter([1, 2]).map(|n| if n == 2 { todo!() } else { n }));
        let shown: Vec<_> = panel.collect().await;
        let [Panel::Shown(1), Panel::Unwritten(part)] = &shown[..] else { panic!("{shown:?}") };
        assert!(part.starts_with("not written yet: ") && part.contains("panels"), "{part}");
    }
}
