//! Large figures, many events, several threads.

use std::num::NonZeroUsize;
use std::sync::Arc;

use futures::StreamExt as _;
use futures::future::{join, poll_immediate};
use grader_kit::{Cx, Outcome, ensure, list, ms, scarce};
use level4::sources::{Overflow, from_events};
use tokio::runtime::Builder;
use tokio::task::yield_now;
use tokio::time::sleep;

use super::{EMIT, EVENTS, emit_all, has, source};

const EMITTERS: u64 = 3;
const EVENTS_EACH: u64 = 10_000;

pub async fn takes_any_capacity(cx: Cx) -> Outcome {
    for capacity in [usize::MAX, usize::MAX / 2, 1 << 40] {
        for overflow in [Overflow::DropOldest, Overflow::DropNewest, Overflow::Block] {
            let capacity = NonZeroUsize::new(capacity).unwrap_or(NonZeroUsize::MIN);
            let (emitter, mut reader) =
                cx.call_fn("from_events", || from_events(capacity, overflow)).await?;
            emit_all(&cx, &emitter, 0..50).await?;
            let expected: Vec<_> = (0..50).collect();
            let help =
                "the memory of a buffer grows with what is in it: do not reserve the capacity";
            has(&cx, &mut reader, &expected, "a buffer of a huge capacity", help).await?;
        }
    }
    Ok(())
}

pub async fn keeps_nothing_of_what_has_gone(cx: Cx) -> Outcome {
    for overflow in [Overflow::DropOldest, Overflow::DropNewest, Overflow::Block] {
        let (emitter, mut reader) = source(4, overflow);
        let unread = emitter.subscribe();
        emitter.emit(0).await;
        let _ = reader.next().await;
        let waits = if overflow == Overflow::Block { Some(unread) } else { None };
        drop(waits);
        let _scarce = scarce(1 << 20);
        for _ in 0..10 {
            // Events, read and unread; readers and emitters that come and go.
            let many = async {
                for event in 0..3000 {
                    emitter.emit(event).await;
                    let _ = poll_immediate(reader.next()).await;
                    let mut passing = emitter.subscribe();
                    let _ = poll_immediate(passing.next()).await;
                    drop(emitter.clone());
                }
            };
            cx.call(EMIT, many).await?;
        }
        ensure!(
            emitter.listeners() <= 2,
            "30 000 readers have come and gone, and listeners() is {}",
            emitter.listeners()
        );
    }
    a_wait_that_is_given_up_leaves_nothing(&cx).await
}

/// Emitters that wait for room and give up, while the reader reads nothing.
async fn a_wait_that_is_given_up_leaves_nothing(cx: &Cx) -> Outcome {
    let (emitter, reader) = source(2, Overflow::Block);
    emit_all(cx, &emitter, 0..2).await?;
    let mut memory = None;
    for _ in 0..20 {
        let many = async {
            for event in 0..1_000 {
                let _ = poll_immediate(join(emitter.emit(event), emitter.emit(event))).await;
                // tokio notes each wait of a task that is never pending; the notes go when it is.
                yield_now().await;
            }
        };
        cx.call(EMIT, many).await?;
        // What is allocated once does not count.
        memory.get_or_insert_with(|| scarce(128 << 10));
    }
    drop((memory, reader));
    Ok(())
}

pub async fn wakes_only_when_there_is_something(cx: Cx) -> Outcome {
    let (emitter, mut reader) = source(1, Overflow::Block);
    let reads = async {
        let mut read = Vec::new();
        while let Some(event) = reader.next().await {
            read.push(event);
            sleep(ms(50_000)).await;
        }
        read
    };
    let emits = async {
        sleep(ms(100_000)).await;
        for event in 0..6 {
            emitter.emit(event).await;
        }
        drop(emitter);
    };
    let call = cx.call(EVENTS, join(reads, emits)).await?;
    ensure!(call.value.0.len() == 6, "6 events, and the reader gets {}", list(&call.value.0));
    ensure!(call.polls < 1000, "6 events in 400 s took {} polls", call.polls;
        expected = "a few for each event: a reader without an event and an emitter without room are woken",
        help = "no loop that checks repeatedly");
    Ok(())
}

pub async fn threads_lose_nothing(cx: Cx) -> Outcome {
    for capacity in [1, 8] {
        let (emitter, reader) = source(capacity, Overflow::Block);
        let second = emitter.subscribe();
        let emitters: Vec<_> = (0..EMITTERS).map(|_| Some(emitter.clone())).collect();
        drop(emitter);
        let (emitters, readers) = (
            Arc::new(std::sync::Mutex::new(emitters)),
            Arc::new(std::sync::Mutex::new(vec![reader, second])),
        );
        let read = cx.on_threads(EMIT, EMITTERS as usize + 2, move |thread| {
            let Ok(runtime) = Builder::new_current_thread().enable_time().build() else {
                return Vec::new();
            };
            if thread < EMITTERS as usize {
                let emitter = grader_kit::lock(&emitters)[thread].take();
                runtime.block_on(async {
                    let Some(emitter) = emitter else { return };
                    for event in 0..EVENTS_EACH {
                        emitter.emit(event * EMITTERS + thread as u64).await;
                    }
                });
                return Vec::new();
            }
            let reader = grader_kit::lock(&readers).pop();
            match reader {
                Some(reader) => runtime.block_on(reader.collect()),
                None => Vec::new(),
            }
        })?;
        for (thread, read) in read.iter().enumerate().skip(EMITTERS as usize) {
            let mut sorted = read.clone();
            sorted.sort_unstable();
            ensure!(sorted.iter().copied().eq(0..EMITTERS * EVENTS_EACH), "a source that blocks, on several threads: reader {} gets {} of {} events", thread - EMITTERS as usize, read.len(), EMITTERS * EVENTS_EACH;
                expected = "all of them, once", help = "look for room and put the event in under one lock");
            let in_order = (0..EMITTERS).all(|emitter| {
                read.iter().filter(|event| *event % EMITTERS == emitter).is_sorted()
            });
            ensure!(
                in_order,
                "the events of one emitter came to a reader in another order than they were emitted"
            );
        }
    }
    Ok(())
}
