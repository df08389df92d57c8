//! States with readers, and what arrives over a socket.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::hint::black_box;
use std::sync::Arc;

use async_stream::stream;
use futures::{Stream, StreamExt as _, stream};
use level4::paging::{Dir, Page, PagedList, Pages};
use level4::realtime::{Realtime, Settings};
use level4::socket::{Config, Event, Frame, socket};
use level4::state_store::Store;
use serde::Deserialize;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio_stream::wrappers::WatchStream;

use crate::wire::{Change, Kept, Line, Order, OrderFrames, Orders, number_frames, order_frames};
use crate::work::SIZE;
use bench_kit::work::Work;

type Failed = Box<dyn std::error::Error>;

/// Items of a page.
const PAGE: u64 = 20;

/// Items of the list that follows its updates.
const LIST: u32 = 100;

/// A list of so many orders, and so many updates of it.
pub fn list(updates: u64, orders: u32) -> Result<List, Failed> {
    let line = Line(order_frames(updates, orders));
    Ok(Realtime::new(Orders(orders), line, Kept::default(), Settings::new("orders"))?)
}

/// A list that follows its updates.
pub type List = Realtime<Orders, Line<OrderFrames>, Kept>;

/// Reads a list up to the update of this version.
pub fn follow(runtime: &Runtime, list: &List, version: u64) {
    runtime.block_on(async {
        let mut states = list.open();
        while list.now().version < version {
            black_box(states.next().await);
        }
    });
}

/// All of them.
pub fn all(runtime: &Runtime) -> Result<Vec<Work<'_>>, Failed> {
    // Once beforehand, to find settings that make no sense.
    let _ = list(1, LIST)?;
    Ok(vec![change(runtime), paging(runtime), message(runtime), update(runtime)])
}

/// A change of a state, and a reader that sees it.
fn change(runtime: &Runtime) -> Work<'_> {
    Work::new("state store, a change and its reader", move |times| {
        let store = Store::new((0_u64, 0_u64));
        let mut counts = store.select(|view| view.state.0);
        runtime.block_on(async {
            for _ in 0..times {
                store.update(|state| state.0 += 1);
                black_box(counts.next().await);
            }
        });
    })
    .beside(
        "tokio-stream WatchStream",
        "yields changes of other parts too; `clone` runs under its lock; knows no operations",
        move |times| {
            let state = watch::Sender::new((0_u64, 0_u64));
            let mut counts = WatchStream::new(state.subscribe()).map(|state| state.0);
            runtime.block_on(async {
                for _ in 0..times {
                    state.send_modify(|state| state.0 += 1);
                    black_box(counts.next().await);
                }
            });
        },
    )
}

/// The numbers without end, twenty a page.
pub struct Numbers;

impl Pages for Numbers {
    type Item = u64;
    type Cursor = u64;
    type Error = Infallible;

    async fn load(&self, at: Option<u64>, _: Dir) -> Result<Page<u64, u64>, Infallible> {
        let first = at.unwrap_or(0);
        let items = (first..first + PAGE).collect();
        Ok(Page { items, previous: first.checked_sub(PAGE), next: Some(first + PAGE) })
    }
}

/// An item of a list that is read from its beginning on, with a window of a hundred.
fn paging(runtime: &Runtime) -> Work<'_> {
    Work::new("paging, an item", move |times| {
        let list = PagedList::new(Numbers, SIZE);
        runtime.block_on(async {
            for _ in 0..times.div_ceil(PAGE) {
                let _ = black_box(list.next().await);
            }
        });
        black_box(list.watch().borrow().items.len());
    })
    .beside(
        "async-stream, a window in a watch",
        "one direction; callers do not share a load; a page is lost with its caller",
        move |times| {
            let shown = watch::Sender::new(Vec::new());
            runtime.block_on(async {
                let mut pages = std::pin::pin!(pages(&shown));
                for _ in 0..times.div_ceil(PAGE) {
                    black_box(pages.next().await);
                }
            });
            black_box(shown.borrow().len());
        },
    )
}

/// Loads page after page, and shows the last hundred items.
fn pages(shown: &watch::Sender<Vec<u64>>) -> impl Stream<Item = usize> + '_ {
    stream! {
        let (mut window, mut at) = (VecDeque::new(), None);
        loop {
            let Ok(page) = Numbers.load(at, Dir::Next).await;
            let loaded = page.items.len();
            window.extend(page.items);
            while window.len() > SIZE.get() {
                window.pop_front();
            }
            shown.send_replace(window.iter().copied().collect());
            at = page.next;
            yield loaded;
        }
    }
}

#[derive(Deserialize)]
struct Number {
    n: u64,
}

/// A message of a connection that is open.
fn message(runtime: &Runtime) -> Work<'_> {
    Work::new("socket, a message", move |times| {
        runtime.block_on(async {
            let Ok((_outbox, mut events)) =
                socket::<_, Number>(Line(number_frames(times)), Config::default())
            else {
                return;
            };
            // The first event says that the connection is there.
            for _ in 0..=times {
                if let Some(Ok(Event::Message(number))) = events.next().await {
                    black_box(number.n);
                }
            }
        });
    })
    .beside(
        "futures map, and serde_json",
        "no reconnection, no heartbeat, no queue to send from",
        move |times| {
            let frames = stream::iter(number_frames(times)());
            let numbers = frames.map(|frame| match &frame {
                Frame::Text(text) => serde_json::from_str::<Number>(text).map_or(0, |it| it.n),
                _ => 0,
            });
            crate::work::drain(runtime, numbers);
        },
    )
}

#[derive(Deserialize)]
struct Message {
    version: u64,
    change: Change,
}

/// An update of a list of a hundred.
fn update(runtime: &Runtime) -> Work<'_> {
    Work::new("realtime, an update", move |times| {
        if let Ok(list) = list(times, LIST) {
            follow(runtime, &list, times);
        }
    })
    .beside(
        "futures fold into a watch, and serde_json",
        "a gap between snapshot and updates; no copy for the next start; no state of the connection",
        move |times| {
            let shown = watch::Sender::new(Arc::<[Order]>::from(Orders(LIST).items()));
            let frames = stream::iter(order_frames(times, LIST)());
            runtime.block_on(frames.for_each(|frame| {
                if let Frame::Text(text) = &frame
                    && let Ok(message) = serde_json::from_str::<Message>(text)
                {
                    let mut items = shown.borrow().to_vec();
                    message.change.apply(&mut items);
                    black_box(message.version);
                    shown.send_replace(items.into());
                }
                std::future::ready(())
            }));
        },
    )
}
