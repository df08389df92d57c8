//! The notions of RxJS, with what replaces each of them in Rust: for an item, a caller or a click.

use std::collections::HashMap;
use std::future::{pending, ready};
use std::hint::black_box;

use bench_kit::contest::Case;
use futures::future::join_all;
use futures::{FutureExt, StreamExt as _, stream};
use tokio::runtime::Runtime;
use tokio::sync::{Semaphore, broadcast, mpsc, watch};
use tokio::task::JoinSet;

use crate::work::{SIZE, drain, later};
use bench_kit::work;

/// Callers that share a run.
const CALLERS: u64 = 100;

/// Keys of a stream that is taken apart.
const KEYS: u64 = 100;

/// Calls that run at once.
const AT_ONCE: usize = 10;

/// A notion of RxJS.
#[derive(Debug, Clone)]
pub struct Notion {
    /// Its name there, which is also that of RxJS's figure.
    pub name: &'static str,
    /// What replaces it.
    pub rust: &'static str,
    /// The name of the case that measures it.
    pub case: String,
}

/// All of them in the order of the lesson, and the cases that are measured for them alone.
pub fn all<'a>(runtime: &'a Runtime) -> (Vec<Notion>, Vec<Case<'a>>) {
    let mut cases = Vec::new();
    let mut measured = |name: &'static str, rust: &'static str, run: Box<dyn FnMut(u64) + 'a>| {
        cases.push(Case::new(name, run));
        Notion { name, rust, case: name.to_owned() }
    };
    let mut notions = vec![
        measured("Subject", "`broadcast`", Box::new(move |times| subject(runtime, times))),
        measured("BehaviorSubject", "`watch`", Box::new(move |times| behavior(runtime, times))),
        measured("shareReplay(1)", "`Shared`", Box::new(move |times| share(runtime, times))),
        measured(
            "switchMap",
            "another future in its place",
            Box::new(move |times| switch(runtime, times)),
        ),
        measured(
            "mergeMap(f, 10)",
            "`buffer_unordered(10)`",
            Box::new(move |times| {
                drain(runtime, stream::iter(0..times).map(|_| later()).buffer_unordered(AT_ONCE));
            }),
        ),
        measured(
            "concatMap",
            "`then`",
            Box::new(move |times| {
                drain(runtime, stream::iter(0..times).then(|item| async move { black_box(item) }));
            }),
        ),
        measured("exhaustMap", "`try_acquire`", Box::new(exhaust)),
        measured(
            "takeUntil",
            "`take_until`",
            Box::new(move |times| {
                drain(runtime, stream::iter(0..times).take_until(pending::<()>()));
            }),
        ),
        measured(
            "bufferCount(100)",
            "`chunks(100)`",
            Box::new(move |times| {
                drain(runtime, stream::iter(0..times).chunks(SIZE.get()));
            }),
        ),
    ];
    let of_level = |name, rust, work| Notion { name, rust, case: work::own(work) };
    notions.extend([
        of_level("bufferTime", "`chunk_within`", "chunk"),
        of_level("debounceTime", "`debounce`", "debounce"),
        of_level("retryWhen", "`resubscribe`", "resubscribe, a failure"),
    ]);
    notions.push(measured(
        "groupBy",
        "a task for each key",
        Box::new(move |times| group(runtime, times)),
    ));
    (notions, cases)
}

fn subject(runtime: &Runtime, times: u64) {
    let (sender, mut receiver) = broadcast::channel(SIZE.get());
    runtime.block_on(async {
        for event in 0..times {
            let _ = sender.send(event);
            let _ = black_box(receiver.recv().await);
        }
    });
}

fn behavior(runtime: &Runtime, times: u64) {
    let (state, mut reader) = watch::channel(0_u64);
    runtime.block_on(async {
        for _ in 0..times {
            state.send_modify(|state| *state += 1);
            let _ = reader.changed().await;
            black_box(*reader.borrow_and_update());
        }
    });
}

fn share(runtime: &Runtime, times: u64) {
    runtime.block_on(async {
        for _ in 0..times.div_ceil(CALLERS) {
            let shared = later().shared();
            black_box(join_all((0..CALLERS).map(|_| shared.clone())).await);
        }
    });
}

fn switch(runtime: &Runtime, times: u64) {
    let mut running = None;
    runtime.block_on(stream::iter(0..times).for_each(|item| {
        // The one before is dropped here.
        running = Some(Box::pin(async move {
            pending::<()>().await;
            item
        }));
        // It begins: an inner observable is subscribed to at once, too.
        let _ = black_box(running.as_mut().and_then(FutureExt::now_or_never));
        ready(())
    }));
}

fn exhaust(times: u64) {
    let saving = Semaphore::new(1);
    for _ in 0..times {
        drop(black_box(saving.try_acquire()));
    }
}

fn group(runtime: &Runtime, times: u64) {
    runtime.block_on(async {
        let mut users: HashMap<u64, mpsc::Sender<u64>> = HashMap::new();
        let mut tasks = JoinSet::new();
        for amount in 0..times {
            let sender = users.entry(amount % KEYS).or_insert_with(|| {
                let (sender, mut amounts) = mpsc::channel(8);
                tasks.spawn(async move {
                    let mut sum = 0;
                    while let Some(amount) = amounts.recv().await {
                        sum += amount;
                    }
                    sum
                });
                sender
            });
            let _ = sender.send(amount).await;
        }
        drop(users);
        black_box(tasks.join_all().await);
    });
}
