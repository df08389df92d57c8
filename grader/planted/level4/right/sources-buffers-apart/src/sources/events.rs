//! Events for any number of readers.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

use futures::Stream;
use tokio::sync::{Notify, Semaphore};

/// What happens to an event for which the buffer of a reader has no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overflow {
    /// The reader loses its oldest unread event.
    DropOldest,
    /// The reader loses this event.
    DropNewest,
    /// The emitter waits.
    Block,
}

/// A source of events, with its first reader.
#[must_use]
pub fn from_events<T>(capacity: NonZeroUsize, overflow: Overflow) -> (Emitter<T>, Events<T>) {
    let source = Arc::new(Source {
        capacity: capacity.get(),
        overflow,
        readers: Mutex::default(),
        line: Semaphore::new(1),
        changed: Arc::default(),
    });
    let emitter = Emitter { source, alive: Arc::new(Alive(Mutex::default())) };
    let events = emitter.subscribe();
    (emitter, events)
}

/// The side that events come from.
#[derive(Debug)]
pub struct Emitter<T> {
    source: Arc<Source<T>>,
    alive: Arc<Alive<T>>,
}

/// The events for one reader.
#[derive(Debug)]
pub struct Events<T> {
    buffer: Arc<Mutex<Buffer<T>>>,
    changed: Arc<Notify>,
}

#[derive(Debug)]
struct Source<T> {
    capacity: usize,
    overflow: Overflow,
    readers: Mutex<Vec<Weak<Mutex<Buffer<T>>>>>,
    line: Semaphore,
    changed: Arc<Notify>,
}

/// Dropped with the last emitter.
#[derive(Debug)]
struct Alive<T>(Mutex<Vec<Weak<Mutex<Buffer<T>>>>>);

#[derive(Debug)]
struct Buffer<T> {
    queue: VecDeque<T>,
    missed: u64,
    ended: bool,
    waker: Option<Waker>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn living<T>(readers: &Mutex<Vec<Weak<Mutex<Buffer<T>>>>>) -> Vec<Arc<Mutex<Buffer<T>>>> {
    let mut readers = lock(readers);
    readers.retain(|reader| reader.strong_count() > 0);
    readers.iter().filter_map(Weak::upgrade).collect()
}

impl<T> Drop for Alive<T> {
    fn drop(&mut self) {
        for reader in living(&self.0) {
            let waker = {
                let mut buffer = lock(&reader);
                buffer.ended = true;
                buffer.waker.take()
            };
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
}

impl<T> Emitter<T> {
    /// Another reader.
    #[must_use]
    pub fn subscribe(&self) -> Events<T> {
        let buffer = Buffer { queue: VecDeque::new(), missed: 0, ended: false, waker: None };
        let buffer = Arc::new(Mutex::new(buffer));
        for list in [&self.source.readers, &self.alive.0] {
            let mut list = lock(list);
            list.retain(|reader| reader.strong_count() > 0);
            list.push(Arc::downgrade(&buffer));
        }
        Events { buffer, changed: Arc::clone(&self.source.changed) }
    }

    /// How many readers there are.
    #[must_use]
    pub fn listeners(&self) -> usize {
        lock(&self.source.readers).iter().filter(|reader| reader.strong_count() > 0).count()
    }
}

impl<T: Clone> Emitter<T> {
    /// Emits an event to all readers.
    pub async fn emit(&self, event: T) {
        let source = &self.source;
        // One emitter at a time, so that all buffers get events in one order.
        let _line = source.line.acquire().await;
        loop {
            let changed = source.changed.notified();
            let is_full =
                |reader: &Arc<Mutex<Buffer<T>>>| lock(reader).queue.len() >= source.capacity;
            // Only readers take out, and only this emitter puts in: a buffer with room keeps it. Handles of
            // readers that have gone must not be kept while this waits.
            let readers = living(&source.readers);
            if source.overflow != Overflow::Block || !readers.iter().any(is_full) {
                for reader in readers {
                    put(&reader, event.clone(), source);
                }
                return;
            }
            drop(readers);
            changed.await;
        }
    }
}

fn put<T>(reader: &Mutex<Buffer<T>>, event: T, source: &Source<T>) {
    let mut buffer = lock(reader);
    if buffer.queue.len() >= source.capacity {
        buffer.missed += 1;
        if source.overflow == Overflow::DropNewest {
            return;
        }
        buffer.queue.pop_front();
    }
    buffer.queue.push_back(event);
    let waker = buffer.waker.take();
    drop(buffer);
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl<T> Clone for Emitter<T> {
    fn clone(&self) -> Self {
        Self { source: Arc::clone(&self.source), alive: Arc::clone(&self.alive) }
    }
}

impl<T> Events<T> {
    /// How many events this reader has lost.
    #[must_use]
    pub fn missed(&self) -> u64 {
        lock(&self.buffer).missed
    }
}

impl<T> Stream for Events<T> {
    type Item = T;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let mut buffer = lock(&self.buffer);
        if let Some(event) = buffer.queue.pop_front() {
            drop(buffer);
            self.changed.notify_one();
            return Poll::Ready(Some(event));
        }
        if buffer.ended {
            return Poll::Ready(None);
        }
        buffer.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl<T> Drop for Events<T> {
    fn drop(&mut self) {
        // The last handle: an emitter that looks now finds this reader gone.
        self.buffer = Arc::new(Mutex::new(Buffer {
            queue: VecDeque::new(),
            missed: 0,
            ended: true,
            waker: None,
        }));
        self.changed.notify_one();
    }
}
