//! Events for any number of readers, each with a buffer of its own.
//!
//! ```text
//!                     ┌──────── buffer of `capacity` ────────┐
//!            ┌──────▶ │ e3  e2  e1                           │ ──▶ Events
//!  emit(e4) ─┤        └──────────────────────────────────────┘
//!            └──────▶ │ e3                                   │ ──▶ Events
//!                     └──────────────────────────────────────┘
//!  a full buffer:  DropOldest  e1 goes, e4 comes        missed + 1
//!                  DropNewest  e4 goes                  missed + 1
//!                  Block       emit waits until every buffer has room
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use futures::Stream;
use tokio::sync::{Mutex as FairMutex, Notify};

/// What happens to an event for which the buffer of a reader has no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overflow {
    /// The reader loses its oldest unread event: it sees the newest ones. For positions and prices.
    DropOldest,
    /// The reader loses this event: it sees the ones that came first. For alarms of one cause.
    DropNewest,
    /// The emitter waits, so that no reader loses any. The slowest reader sets the pace of all.
    Block,
}

/// A source of events, with its first reader.
///
/// Each reader has a buffer for `capacity` events; `overflow` says what happens when it is full. The memory of a
/// buffer grows with what is in it.
#[must_use]
pub fn from_events<T>(capacity: NonZeroUsize, overflow: Overflow) -> (Emitter<T>, Events<T>) {
    let shared = Arc::new(Shared {
        capacity: capacity.get(),
        overflow,
        state: Mutex::new(State { next_id: 0, emitters: 1, readers: BTreeMap::new() }),
        turn: FairMutex::new(()),
        room: Notify::new(),
    });
    let emitter = Emitter { shared };
    let events = emitter.subscribe();
    (emitter, events)
}

/// The side that events come from. Clones are handles to the same source.
#[derive(Debug)]
pub struct Emitter<T> {
    shared: Arc<Shared<T>>,
}

/// The events for one reader, in the order in which they were emitted. Ends when the last [`Emitter`] is dropped
/// and the buffer has been read.
///
/// # Cancellation
///
/// Dropping it unregisters the reader and drops what it has not read.
#[derive(Debug)]
pub struct Events<T> {
    shared: Arc<Shared<T>>,
    id: u64,
}

#[derive(Debug)]
struct Shared<T> {
    capacity: usize,
    overflow: Overflow,
    /// A `std` mutex: it is never held across an `.await`, and destructors take it. No foreign code runs under
    /// it: events are cloned and dropped, and tasks woken, when it is free again.
    state: Mutex<State<T>>,
    /// Emitters that wait for room stand in this line, so that their events keep their order.
    turn: FairMutex<()>,
    /// Notified when a buffer has got room, or its reader has gone. Only the first in the line waits for it.
    room: Notify,
}

#[derive(Debug)]
struct State<T> {
    next_id: u64,
    emitters: usize,
    readers: BTreeMap<u64, Reader<T>>,
}

#[derive(Debug)]
struct Reader<T> {
    /// In an `Arc`, so that one event of many readers exists once, and is cloned where it is read.
    unread: VecDeque<Arc<T>>,
    missed: u64,
    /// Set while the reader waits.
    waker: Option<Waker>,
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the event to every reader, or to none and back to the caller, if one has no room and the emitter has
    /// to wait for it.
    fn offer(&self, event: Arc<T>) -> Result<(), Arc<T>> {
        // What is dropped and woken, outside the lock.
        let (mut lost, mut wakers) = (Vec::new(), Vec::new());
        let mut state = self.lock();
        let is_full = |reader: &Reader<T>| reader.unread.len() >= self.capacity;
        if self.overflow == Overflow::Block && state.readers.values().any(is_full) {
            return Err(event);
        }
        for reader in state.readers.values_mut() {
            if is_full(reader) {
                reader.missed += 1;
                if self.overflow == Overflow::DropNewest {
                    continue;
                }
                lost.extend(reader.unread.pop_front());
            }
            reader.unread.push_back(Arc::clone(&event));
            wakers.extend(reader.waker.take());
        }
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
        Ok(())
    }
}

impl<T> Emitter<T> {
    /// Another reader. It sees the events from now on.
    #[must_use]
    pub fn subscribe(&self) -> Events<T> {
        let mut state = self.shared.lock();
        let id = state.next_id;
        state.next_id += 1;
        let reader = Reader { unread: VecDeque::new(), missed: 0, waker: None };
        state.readers.insert(id, reader);
        Events { shared: Arc::clone(&self.shared), id }
    }

    /// Emits an event to all readers. Without a reader it is dropped.
    ///
    /// With [`Overflow::DropOldest`] and [`Overflow::DropNewest`] the future is ready at its first poll. With
    /// [`Overflow::Block`] it waits until every reader has room, behind the emitters that wait already.
    ///
    /// # Cancellation
    ///
    /// Dropping the future before it is ready emits the event to none of the readers.
    pub async fn emit(&self, event: T) {
        let event = Arc::new(event);
        if self.shared.overflow != Overflow::Block {
            // A drop policy refuses nothing.
            let _ = self.shared.offer(event);
            return;
        }
        let _turn = self.shared.turn.lock().await;
        let mut event = event;
        loop {
            // Made before the look, so that a reader who makes room between look and wait is not missed:
            // `notify_one` without a waiter is stored.
            let room = self.shared.room.notified();
            match self.shared.offer(event) {
                Ok(()) => return,
                Err(back) => event = back,
            }
            room.await;
        }
    }

    /// How many readers there are.
    #[must_use]
    pub fn listeners(&self) -> usize {
        self.shared.lock().readers.len()
    }
}

impl<T> Clone for Emitter<T> {
    fn clone(&self) -> Self {
        self.shared.lock().emitters += 1;
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<T> Drop for Emitter<T> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.emitters -= 1;
        if state.emitters > 0 {
            return;
        }
        let wakers: Vec<_> =
            state.readers.values_mut().filter_map(|reader| reader.waker.take()).collect();
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl<T> Events<T> {
    /// How many events this reader has lost because its buffer was full.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.shared.lock().readers.get(&self.id).map_or(0, |reader| reader.missed)
    }
}

impl<T: Clone> Stream for Events<T> {
    type Item = T;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let mut state = self.shared.lock();
        let is_over = state.emitters == 0;
        let Some(reader) = state.readers.get_mut(&self.id) else { return Poll::Ready(None) };
        let Some(event) = reader.unread.pop_front() else {
            if is_over {
                return Poll::Ready(None);
            }
            // The newest waker replaces the one of an earlier poll.
            let earlier = reader.waker.replace(cx.waker().clone());
            drop(state);
            drop(earlier);
            return Poll::Pending;
        };
        drop(state);
        // With the other policies no emitter ever waits.
        if self.shared.overflow == Overflow::Block {
            self.shared.room.notify_one();
        }
        // The last reader of an event takes it, the others clone it.
        Poll::Ready(Some(Arc::unwrap_or_clone(event)))
    }
}

impl<T> Drop for Events<T> {
    fn drop(&mut self) {
        let gone = self.shared.lock().readers.remove(&self.id);
        // An emitter may have waited for this reader alone.
        self.shared.room.notify_one();
        drop(gone);
    }
}

#[cfg(test)]
mod tests {
    // In a blank, the streams have no `Drop` yet.
    #![allow(clippy::drop_non_drop, reason = "the tests drop the readers")]
    use super::*;
    use futures::StreamExt as _;

    #[tokio::test]
    async fn each_policy_keeps_what_it_says() {
        for (overflow, kept) in [(Overflow::DropOldest, [4, 5]), (Overflow::DropNewest, [1, 2])] {
            let two = NonZeroUsize::new(2).expect("2 is not 0");
            let (emitter, events) = from_events(two, overflow);
            for event in 1..=5 {
                emitter.emit(event).await;
            }
            assert_eq!(events.missed(), 3);
            drop(emitter);
            assert_eq!(events.collect::<Vec<_>>().await, kept);
        }
    }

    #[tokio::test]
    async fn a_blocked_emitter_goes_on_when_there_is_room() {
        let (emitter, mut events) = from_events(NonZeroUsize::MIN, Overflow::Block);
        let emits = async {
            for event in 1..=3 {
                emitter.emit(event).await;
            }
            drop(emitter);
        };
        let reads = async {
            let mut read = Vec::new();
            while let Some(event) = events.next().await {
                read.push(event);
            }
            read
        };
        assert_eq!(tokio::join!(emits, reads).1, [1, 2, 3]);
    }

    #[tokio::test]
    async fn a_reader_that_goes_is_not_waited_for() {
        let (emitter, events) = from_events(NonZeroUsize::MIN, Overflow::Block);
        emitter.emit(1).await;
        assert_eq!(emitter.listeners(), 1);
        let (_, ()) = tokio::join!(emitter.emit(2), async { drop(events) });
        assert_eq!(emitter.listeners(), 0);
    }
}
