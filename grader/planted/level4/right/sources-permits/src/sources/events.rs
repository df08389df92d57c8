//! Events for any number of readers.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use futures::Stream;
use tokio::sync::{Semaphore, SemaphorePermit};

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
    let capacity = capacity.get().min(Semaphore::MAX_PERMITS);
    let hub = Arc::new(Hub {
        capacity,
        overflow,
        emitters: AtomicUsize::new(1),
        readers: Mutex::default(),
    });
    let emitter = Emitter { hub };
    let events = emitter.subscribe();
    (emitter, events)
}

/// The side that events come from.
#[derive(Debug)]
pub struct Emitter<T> {
    hub: Arc<Hub<T>>,
}

/// The events for one reader.
#[derive(Debug)]
pub struct Events<T> {
    hub: Arc<Hub<T>>,
    reader: Arc<Reader<T>>,
}

#[derive(Debug)]
struct Hub<T> {
    capacity: usize,
    overflow: Overflow,
    emitters: AtomicUsize,
    readers: Mutex<Vec<Arc<Reader<T>>>>,
}

#[derive(Debug)]
struct Reader<T> {
    room: Semaphore,
    inner: Mutex<Inner<T>>,
}

#[derive(Debug)]
struct Inner<T> {
    queue: VecDeque<T>,
    missed: u64,
    waker: Option<Waker>,
}

fn with<T, R>(mutex: &Mutex<T>, work: impl FnOnce(&mut T) -> R) -> R {
    work(&mut mutex.lock().unwrap_or_else(PoisonError::into_inner))
}

impl<T> Hub<T> {
    fn readers(&self) -> Vec<Arc<Reader<T>>> {
        with(&self.readers, |readers| readers.clone())
    }
}

impl<T> Reader<T> {
    fn put(&self, event: T, hub: &Hub<T>) {
        let (lost, waker) = with(&self.inner, |inner| {
            let mut lost = None;
            if hub.overflow != Overflow::Block && inner.queue.len() >= hub.capacity {
                inner.missed += 1;
                if hub.overflow == Overflow::DropNewest {
                    return (Some(event), None);
                }
                lost = inner.queue.pop_front();
            }
            inner.queue.push_back(event);
            (lost, inner.waker.take())
        });
        drop(lost);
        waker.into_iter().for_each(Waker::wake);
    }
}

impl<T> Emitter<T> {
    /// Another reader.
    #[must_use]
    pub fn subscribe(&self) -> Events<T> {
        let inner = Inner { queue: VecDeque::new(), missed: 0, waker: None };
        let room = Semaphore::new(self.hub.capacity);
        let reader = Arc::new(Reader { room, inner: Mutex::new(inner) });
        with(&self.hub.readers, |readers| readers.push(Arc::clone(&reader)));
        Events { hub: Arc::clone(&self.hub), reader }
    }

    /// How many readers there are.
    #[must_use]
    pub fn listeners(&self) -> usize {
        with(&self.hub.readers, |readers| readers.len())
    }
}

impl<T: Clone> Emitter<T> {
    /// Emits an event to all readers.
    pub async fn emit(&self, event: T) {
        if self.hub.overflow != Overflow::Block {
            for reader in self.hub.readers() {
                reader.put(event.clone(), &self.hub);
            }
            return;
        }
        let (mut asked, mut permits) = (Vec::new(), Vec::new());
        // Until no reader has come meanwhile.
        while let Some(reader) = self
            .hub
            .readers()
            .into_iter()
            .find(|reader| !asked.iter().any(|other| Arc::ptr_eq(reader, other)))
        {
            asked.push(Arc::clone(&reader));
            // A reader that has gone has closed its semaphore.
            let has_room = reader.room.acquire().await.map(SemaphorePermit::forget).is_ok();
            permits.extend(has_room.then(|| Room(Some(reader))));
        }
        for mut room in permits {
            if let Some(reader) = room.0.take() {
                reader.put(event.clone(), &self.hub);
            }
        }
    }
}

/// A place in a buffer. Dropped, it is free again.
struct Room<T>(Option<Arc<Reader<T>>>);

impl<T> Drop for Room<T> {
    fn drop(&mut self) {
        if let Some(reader) = self.0.take() {
            reader.room.add_permits(1);
        }
    }
}

impl<T> Clone for Emitter<T> {
    fn clone(&self) -> Self {
        self.hub.emitters.fetch_add(1, SeqCst);
        Self { hub: Arc::clone(&self.hub) }
    }
}

impl<T> Drop for Emitter<T> {
    fn drop(&mut self) {
        if self.hub.emitters.fetch_sub(1, SeqCst) > 1 {
            return;
        }
        for reader in self.hub.readers() {
            with(&reader.inner, |inner| inner.waker.take()).into_iter().for_each(Waker::wake);
        }
    }
}

impl<T> Events<T> {
    /// How many events this reader has lost.
    #[must_use]
    pub fn missed(&self) -> u64 {
        with(&self.reader.inner, |inner| inner.missed)
    }
}

impl<T> Stream for Events<T> {
    type Item = T;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let next = with(&self.reader.inner, |inner| {
            if let Some(event) = inner.queue.pop_front() {
                return Poll::Ready(Some(event));
            }
            if self.hub.emitters.load(SeqCst) == 0 {
                return Poll::Ready(None);
            }
            inner.waker = Some(cx.waker().clone());
            Poll::Pending
        });
        if matches!(next, Poll::Ready(Some(_))) && self.hub.overflow == Overflow::Block {
            self.reader.room.add_permits(1);
        }
        next
    }
}

impl<T> Drop for Events<T> {
    fn drop(&mut self) {
        with(&self.hub.readers, |readers| {
            readers.retain(|reader| !Arc::ptr_eq(reader, &self.reader));
        });
        self.reader.room.close();
        with(&self.reader.inner, |inner| std::mem::take(&mut inner.queue));
    }
}
