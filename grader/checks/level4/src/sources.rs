//! `sources`: `from_events` and `timer`.

mod block;
mod events;
mod panics;
mod scale;
mod ticks;

use std::future::Future;
use std::pin::pin;
use std::task::Poll;

use futures::future::poll_immediate;
use futures::{Stream, StreamExt as _};
use grader_kit::{Cx, Fail, Outcome, ensure, list, ms};
use level4::sources::{Emitter, Events, Overflow, from_events};
use tokio::time::timeout;

use crate::ops::nz;

pub use block::{
    a_dropped_emit_delivers_nothing, block_loses_nothing, block_waits_for_the_slowest,
};
pub use events::{
    a_reader_that_goes_is_forgotten, counts_what_is_missed, drops_the_newest, drops_the_oldest,
    each_reader_sees_every_event, ends_with_the_last_emitter, every_event_arrives,
};
pub use panics::a_panic_of_an_event_stays_local;
pub use scale::{
    keeps_nothing_of_what_has_gone, takes_any_capacity, threads_lose_nothing,
    wakes_only_when_there_is_something,
};
pub use ticks::{
    a_late_reader_gets_one_tick, counts_from_the_first_poll, refuses_a_period_of_zero,
    takes_any_duration, ticks_on_time, ticks_without_a_period_once, waits_without_looking,
};

const EMIT: &str = "Emitter::emit";
const EVENTS: &str = "Events";
const TIMER: &str = "timer";

fn source(capacity: usize, overflow: Overflow) -> (Emitter<u64>, Events<u64>) {
    from_events(nz(capacity), overflow)
}

/// Emits these, and fails if it has to wait.
async fn emit_all(
    cx: &Cx,
    emitter: &Emitter<u64>,
    events: impl IntoIterator<Item = u64>,
) -> Outcome {
    for event in events {
        rest().await;
        let emitted = cx.call(EMIT, poll_immediate(pin!(emitter.emit(event)))).await?.value;
        ensure!(emitted.is_some(), "emit({event}) waits, although there is room or the policy is to drop";
            expected = "it is ready at its first poll");
    }
    Ok(())
}

/// What can be read now, without waiting; and whether the stream has ended.
async fn read_now(cx: &Cx, events: &mut Events<u64>) -> Result<(Vec<u64>, bool), Fail> {
    let read = async {
        let mut read = Vec::new();
        loop {
            rest().await;
            match poll_immediate(events.next()).await {
                Some(Some(event)) => read.push(event),
                Some(None) => return (read, true),
                None => return (read, false),
            }
        }
    };
    Ok(cx.call(EVENTS, read).await?.value)
}

/// A reader has these events to read now, and no others.
async fn has(
    cx: &Cx,
    events: &mut Events<u64>,
    expected: &[u64],
    headline: &str,
    help: &str,
) -> Outcome {
    let (read, _) = read_now(cx, events).await?;
    ensure!(read == expected, "{headline}";
        expected = list(expected), observed = list(&read), help = help);
    Ok(())
}

/// The next item, or a message of its own if it does not come within a virtual minute.
async fn next<S: Stream + Unpin>(
    cx: &Cx,
    name: &str,
    stream: &mut S,
    what: &str,
) -> Result<Option<S::Item>, Fail> {
    let call = cx.call(name, timeout(ms(60_000), stream.next())).await?;
    match call.value {
        // What ends the minute polls the stream once more, also if nothing has woken it.
        Ok(item) if call.took < ms(60_000) => Ok(item),
        _ => Err(Fail::new(format!("{what}: the stream is not woken within a minute")).help(
            "store the waker of a reader that finds nothing, and wake it when something comes",
        )),
    }
}

/// A turn of the runtime. In one turn tokio's own locks and channels let a task go on only so many times, and then
/// make it wait although there is nothing to wait for.
async fn rest() {
    tokio::task::yield_now().await;
}

/// Whether a future is ready when it is polled now.
async fn is_ready<F: Future + Unpin>(future: &mut F) -> bool {
    rest().await;
    std::future::poll_fn(|cx| Poll::Ready(std::pin::Pin::new(&mut *future).poll(cx).is_ready()))
        .await
}
