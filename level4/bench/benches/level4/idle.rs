//! What waits: a subscription without an item, a call without a slot. How often it is polled in a week in which
//! nothing happens.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::{pending, poll_fn};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use bench_kit::paused;
use futures::future::LocalBoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, Stream, StreamExt as _, stream};
use level4::bulkhead::{Bulkheads, PoolConfig};
use level4::cancel::cancellable;
use level4::chunk::{ChunkExt as _, Chunks};
use level4::compose::first_ok;
use level4::debounce::{Debounce, DebounceExt as _, Edge};
use level4::limiter::Limiter;
use level4::paging::PagedList;
use level4::realtime::{Realtime, Settings};
use level4::resubscribe::{Resubscribe, resubscribe};
use level4::single_flight::SingleFlight;
use level4::socket::{Config, socket};
use level4::sources::{Overflow, from_events};
use level4::state_store::Store;
use tokio::sync::{Semaphore, broadcast, watch};
use tokio::time::sleep;
use tokio_stream::wrappers::WatchStream;
use tokio_util::sync::CancellationToken;

use crate::states::Numbers;
use crate::wire::{Kept, Line, Orders, no_frames};
use crate::work::{HOUR, SIZE};

type Failed = Box<dyn std::error::Error>;

/// How long they are watched, in virtual time.
const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

/// Something that waits without end, in a box.
type Waits = LocalBoxFuture<'static, ()>;

/// A kind of what waits.
pub struct Kind {
    /// Its name.
    pub name: &'static str,
    /// Whether it is level 4's.
    pub own: bool,
    /// Makes one. They share what many of them share in a program: a source, a limit, a list.
    make: Box<dyn Fn() -> Waits>,
}

impl Kind {
    /// One that has begun to wait. Inside of a runtime.
    pub fn begin(&self) -> Waits {
        let mut waits = (self.make)();
        let polled = waits.poll_unpin(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_pending(), "{} does not wait", self.name);
        waits
    }

    /// How often one is polled in a week, once it waits.
    ///
    /// # Errors
    ///
    /// When there is no room for a runtime.
    pub fn wake_ups(&self) -> Result<u64, Failed> {
        let polls = Cell::new(0_u64);
        let settled = Cell::new(0);
        paused::runtime()?.block_on(async {
            let mut waits = (self.make)();
            let counted = poll_fn(|cx| {
                polls.set(polls.get() + 1);
                waits.poll_unpin(cx)
            });
            let week = async {
                // What begins may need more than one poll to be there.
                sleep(Duration::from_secs(1)).await;
                settled.set(polls.get());
                sleep(WEEK).await;
            };
            // Each of the two is polled when it is woken, and not when the other one is.
            let mut both = FuturesUnordered::from_iter([counted.boxed_local(), week.boxed_local()]);
            both.next().await;
        });
        Ok(polls.get() - settled.get())
    }
}

/// The kind of this name.
pub fn kind_of(name: &str) -> Result<Option<Kind>, Failed> {
    Ok(kinds()?.into_iter().find(|kind| kind.name == name))
}

/// Reads a stream that never yields.
async fn read<T>(items: impl Stream<Item = T>) {
    items.for_each(|_| std::future::ready(())).await;
}

/// All kinds.
pub fn kinds() -> Result<Vec<Kind>, Failed> {
    Ok([operators()?, sources(), calls()?, runs(), lists()?].into_iter().flatten().collect())
}

fn kind(name: &'static str, own: bool, make: impl Fn() -> Waits + 'static) -> Kind {
    Kind { name, own, make: Box::new(make) }
}

fn operators() -> Result<Vec<Kind>, Failed> {
    let chunks = Chunks::new(SIZE, HOUR)?;
    let debounce = Debounce::new(HOUR, Edge::Both)?;
    Ok(vec![
        kind("a stream in chunks", true, move || {
            read(stream::pending::<u64>().chunk_within(chunks)).boxed_local()
        }),
        kind("a stream in chunks, tokio-stream", false, || {
            let items = stream::pending::<u64>();
            read(tokio_stream::StreamExt::chunks_timeout(items, SIZE.get(), HOUR)).boxed_local()
        }),
        kind("a debounced stream", true, move || {
            read(stream::pending::<u64>().debounce(debounce)).boxed_local()
        }),
        kind("a stream that subscribes again", true, || {
            let make = stream::pending::<Result<u64, ()>>;
            read(resubscribe(make, Resubscribe::default())).boxed_local()
        }),
    ])
}

fn sources() -> Vec<Kind> {
    let (emitter, first) = from_events::<u64>(SIZE, Overflow::DropOldest);
    drop(first);
    let sender = broadcast::Sender::<u64>::new(SIZE.get());
    let store = Store::new(0_u64);
    let state = watch::Sender::new(0_u64);
    vec![
        kind("a reader of events", true, move || read(emitter.subscribe()).boxed_local()),
        kind("a reader of events, tokio broadcast", false, move || {
            let mut events = sender.subscribe();
            async move { while events.recv().await.is_ok() {} }.boxed_local()
        }),
        kind("a reader of a state", true, move || {
            let mut states = store.select(|view| view.state);
            // The store must stay: its readers end with it.
            let store = store.clone();
            async move {
                while states.next().await.is_some() {}
                drop(store);
            }
            .boxed_local()
        }),
        kind("a reader of a state, tokio-stream", false, move || {
            read(WatchStream::new(state.subscribe())).boxed_local()
        }),
    ]
}

fn calls() -> Result<Vec<Kind>, Failed> {
    let limiter = Limiter::new(NonZeroUsize::MIN);
    let slots = Arc::new(Semaphore::new(0));
    let pools = Bulkheads::new();
    let one = PoolConfig {
        max_concurrent: NonZeroUsize::MIN,
        max_queued: usize::MAX,
        queue_timeout: None,
    };
    pools.add("it", one)?;
    let token = CancellationToken::new();
    Ok(vec![
        kind("a call that waits for a slot", true, move || {
            let limiter = limiter.clone();
            // The first one has the slot.
            async move { limiter.run(pending::<()>).await }.boxed_local()
        }),
        kind("a call that waits for a slot, tokio Semaphore", false, move || {
            let slots = Arc::clone(&slots);
            async move {
                let _ = slots.acquire().await;
            }
            .boxed_local()
        }),
        kind("a call in the queue of a pool", true, move || {
            let pools = pools.clone();
            async move {
                let _ = pools.run("it", pending::<Result<(), ()>>).await;
            }
            .boxed_local()
        }),
        kind("an operation with a token", true, move || {
            let token = token.clone();
            async move {
                let _ = cancellable(&token, pending::<Result<(), ()>>()).await;
            }
            .boxed_local()
        }),
        kind("the first of ten operations", true, || {
            let ops = (0..10).map(|_| pending::<Result<(), ()>>()).collect();
            async move {
                let _ = first_ok(ops).await;
            }
            .boxed_local()
        }),
    ])
}

fn runs() -> Vec<Kind> {
    let (shared, apart) = (SingleFlight::<u64, (), Infallible>::new(), SingleFlight::new());
    let next = Cell::new(0_u64);
    vec![
        kind("a caller of a shared run", true, move || {
            let runs = shared.clone();
            async move {
                let _ = runs.run(0, pending::<Result<(), Infallible>>).await;
            }
            .boxed_local()
        }),
        kind("a run with one caller", true, move || {
            let runs: SingleFlight<u64, (), Infallible> = apart.clone();
            next.set(next.get() + 1);
            let key = next.get();
            async move {
                let _ = runs.run(key, pending::<Result<(), Infallible>>).await;
            }
            .boxed_local()
        }),
    ]
}

fn lists() -> Result<Vec<Kind>, Failed> {
    // A ping every 30 s is a wake-up that was asked for.
    let silent = Config { ping_every: None, ..Config::default() };
    let settings = Settings { socket: silent.clone(), ..Settings::new("orders") };
    let list = Realtime::new(Orders(100), Line(no_frames), Kept::default(), settings)?;
    let pages = PagedList::new(Numbers, SIZE);
    Ok(vec![
        kind("an open socket", true, move || {
            let config = silent.clone();
            async move {
                if let Ok((outbox, mut events)) = socket::<_, u64>(Line(no_frames), config) {
                    while events.next().await.is_some() {}
                    drop(outbox);
                }
            }
            .boxed_local()
        }),
        kind("a reader of a list that follows its updates", true, move || {
            read(list.open()).boxed_local()
        }),
        kind("a reader of a window", true, move || {
            let mut window = pages.watch();
            async move { while window.changed().await.is_ok() {} }.boxed_local()
        }),
    ])
}
