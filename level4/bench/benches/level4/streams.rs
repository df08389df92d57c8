//! The stream operators, for an item: level 4's, a library's, and where no library has one the same loop in
//! async-stream's macro.

use std::convert::Infallible;
use std::num::NonZeroU32;
use std::time::Duration;

use async_stream::stream;
use futures::{Stream, StreamExt as _, stream};
use level4::chunk::{ChunkExt as _, Chunks};
use level4::debounce::{Debounce, DebounceExt as _, Edge};
use level4::resubscribe::{Again, Resubscribe, resubscribe};
use level4::sources::{Overflow, from_events, timer};
use std::hint::black_box;
use tokio::runtime::Runtime;
use tokio::sync::{broadcast, mpsc};
use tokio::time::timeout;
use tokio_stream::wrappers::IntervalStream;

use crate::work::{HOUR, SIZE, drain};
use bench_kit::work::Work;

type Failed = Box<dyn std::error::Error>;

const TICK: Duration = Duration::from_millis(1);

/// Readers of a source of events with many.
const READERS: usize = 10;

/// All of them. The timers run on `paused`, whose clock jumps from tick to tick.
pub fn all<'a>(runtime: &'a Runtime, paused: &'a Runtime) -> Result<Vec<Work<'a>>, Failed> {
    Ok(vec![
        chunks(runtime)?,
        debounce(runtime)?,
        healthy(runtime),
        failing(runtime),
        events(runtime, "events, the oldest goes", Overflow::DropOldest).beside(
            "tokio broadcast",
            "the loss is an item of the stream and not a count",
            |times| broadcast(runtime, times, 1),
        ),
        events(runtime, "events, the newest goes", Overflow::DropNewest).beside(
            "tokio mpsc try_send",
            "one reader; nothing counts what is lost",
            |times| queue(runtime, times, false),
        ),
        events(runtime, "events, the emitter waits", Overflow::Block).beside(
            "tokio mpsc send",
            "one reader",
            |times| queue(runtime, times, true),
        ),
        readers(runtime).beside(
            "tokio broadcast, ten readers",
            "no reader can make the emitter wait",
            |times| broadcast(runtime, times, READERS),
        ),
        ticks(paused),
    ])
}

fn numbers(times: u64) -> impl Stream<Item = u64> {
    stream::iter(0..times)
}

fn chunks(runtime: &Runtime) -> Result<Work<'_>, Failed> {
    let how = Chunks::new(SIZE, HOUR)?;
    Ok(Work::new("chunk", move |times| drain(runtime, numbers(times).chunk_within(how)))
        .beside(
            "tokio-stream chunks_timeout",
            "an error is an item among others; what lies ready for a late caller joins a chunk that is due",
            |times| {
                let chunks =
                    tokio_stream::StreamExt::chunks_timeout(numbers(times), SIZE.get(), HOUR);
                drain(runtime, chunks);
            },
        )
        .beside("futures chunks", "no time: a chunk waits for its last item without end", |times| {
            drain(runtime, numbers(times).chunks(SIZE.get()));
        }))
}

fn debounce(runtime: &Runtime) -> Result<Work<'_>, Failed> {
    let how = Debounce::new(HOUR, Edge::Trailing)?;
    Ok(Work::new("debounce", move |times| drain(runtime, numbers(times).debounce(how))).beside(
        "async-stream, a timeout for each item",
        "one edge, no longest wait, no reset",
        |times| drain(runtime, debounced(numbers(times), HOUR)),
    ))
}

/// The last item of a burst.
fn debounced<T>(source: impl Stream<Item = T>, wait: Duration) -> impl Stream<Item = T> {
    stream! {
        let mut source = std::pin::pin!(source);
        let mut last = None;
        loop {
            let next = if last.is_some() {
                timeout(wait, source.next()).await
            } else {
                Ok(source.next().await)
            };
            match next {
                Ok(Some(item)) => last = Some(item),
                Ok(None) => break,
                Err(_) => {
                    if let Some(item) = last.take() {
                        yield item;
                    }
                }
            }
        }
        if let Some(item) = last {
            yield item;
        }
    }
}

fn at_once() -> Resubscribe<()> {
    Resubscribe { otherwise: Again::AtOnce { attempts: NonZeroU32::MAX }, ..Resubscribe::default() }
}

/// An item of a source that never fails.
fn healthy(runtime: &Runtime) -> Work<'_> {
    let source = |times| numbers(times).map(Ok::<_, ()>);
    Work::new("resubscribe, an item", move |times| {
        drain(runtime, resubscribe(|| source(times), at_once()));
    })
    .beside("async-stream, a loop", "no classes, no waits, no end, no breaker", move |times| {
        drain(runtime, subscribed(|| source(times), 0));
    })
    .beside("futures, passed on", "does not subscribe again", move |times| {
        drain(runtime, source(times));
    })
}

/// A subscription that yields an item and fails, and the next one.
fn failing(runtime: &Runtime) -> Work<'_> {
    let source = || stream::iter([Ok(black_box(1)), Err(())]);
    Work::new("resubscribe, a failure", move |times| {
        let items = resubscribe(source, at_once());
        drain(runtime, items.take(usize::try_from(times).unwrap_or(usize::MAX)));
    })
    .beside(
        "async-stream, a loop",
        "no classes, no waits, no end, no breaker",
        move |times| {
            drain(runtime, subscribed(source, times));
        },
    )
}

/// Subscribes again after each error, so many times.
fn subscribed<S, T>(make: impl Fn() -> S, again: u64) -> impl Stream<Item = T>
where
    S: Stream<Item = Result<T, ()>>,
{
    stream! {
        for _ in 0..=again {
            let mut source = Box::pin(make());
            while let Some(Ok(item)) = source.next().await {
                yield item;
            }
        }
    }
}

/// An event for one reader, which reads it before the next one comes.
fn events<'a>(runtime: &'a Runtime, name: &'static str, overflow: Overflow) -> Work<'a> {
    Work::new(name, move |times| {
        let (emitter, mut events) = from_events(SIZE, overflow);
        runtime.block_on(async {
            for event in 0..times {
                emitter.emit(event).await;
                black_box(events.next().await);
            }
        });
    })
}

/// An event for ten readers.
fn readers(runtime: &Runtime) -> Work<'_> {
    Work::new("events, ten readers", move |times| {
        let (emitter, first) = from_events(SIZE, Overflow::DropOldest);
        let mut readers = vec![first];
        readers.resize_with(READERS, || emitter.subscribe());
        runtime.block_on(async {
            for event in 0..times {
                emitter.emit(event).await;
                for reader in &mut readers {
                    black_box(reader.next().await);
                }
            }
        });
    })
}

fn broadcast(runtime: &Runtime, times: u64, readers: usize) {
    let (sender, first) = broadcast::channel(SIZE.get());
    let mut readers: Vec<_> = (1..readers).map(|_| sender.subscribe()).chain([first]).collect();
    runtime.block_on(async {
        for event in 0..times {
            let _ = sender.send(event);
            for reader in &mut readers {
                let _ = black_box(reader.recv().await);
            }
        }
    });
}

fn queue(runtime: &Runtime, times: u64, waits: bool) {
    let (sender, mut receiver) = mpsc::channel(SIZE.get());
    runtime.block_on(async {
        for event in 0..times {
            if waits {
                let _ = sender.send(event).await;
            } else {
                let _ = sender.try_send(event);
            }
            black_box(receiver.recv().await);
        }
    });
}

fn ticks(paused: &Runtime) -> Work<'_> {
    let count = |times| usize::try_from(times).unwrap_or(usize::MAX);
    Work::new("timer, a tick", move |times| {
        if let Ok(ticks) = timer(TICK, Some(TICK)) {
            drain(paused, ticks.take(count(times)));
        }
    })
    .beside(
        "tokio-stream IntervalStream",
        "a late reader gets every tick it missed",
        move |times| {
            let _in_runtime = paused.enter();
            let ticks = IntervalStream::new(tokio::time::interval(TICK));
            drain(paused, ticks.take(count(times)));
        },
    )
    .beside("async-stream, a sleep for each tick", "its drift grows", move |times| {
        drain(paused, slept(times).map(Ok::<_, Infallible>));
    })
}

fn slept(times: u64) -> impl Stream<Item = u64> {
    stream! {
        for tick in 0..times {
            tokio::time::sleep(TICK).await;
            yield tick;
        }
    }
}
