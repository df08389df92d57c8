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
///
/// ```
/// use std::num::NonZeroUsize;
/// use futures::StreamExt as _;
/// use level4::sources::{Overflow, from_events};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// for (overflow, expected) in [(Overflow::DropOldest, [2, 3]), (Overflow::DropNewest, [1, 2])] {
///     let (emitter, events) = from_events(NonZeroUsize::new(2).unwrap(), overflow);
///     for event in 1..=3 {
///         emitter.emit(event).await;
///     }
///     drop(emitter); // ends the stream
///     assert_eq!(events.collect::<Vec<_>>().await, expected);
/// }
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overflow {
    /// The reader loses its oldest unread event and sees the newest ones. This suits positions and prices.
    DropOldest,
    /// The reader loses this event and sees the ones that came first. This suits alarms, where the first shows the
    /// cause.
    DropNewest,
    /// The emitter waits, so that no reader loses an event. The slowest reader sets the pace of all.
    Block,
}

/// Makes a source of events, with its first reader.
///
/// Each reader has a buffer for `capacity` events; `overflow` says what happens when it is full. The memory of a buffer
/// grows with the events in it.
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

/// The side that emits events. Clones are handles to the same source.
///
/// ```
/// use std::num::NonZeroUsize;
/// use futures::StreamExt as _;
/// use level4::sources::{Overflow, from_events};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let (emitter, first) = from_events(NonZeroUsize::MIN, Overflow::DropOldest);
/// let second = emitter.subscribe();
/// assert_eq!(emitter.listeners(), 2);
/// emitter.emit("saved").await;
/// drop(emitter); // ends both streams
/// assert_eq!(first.collect::<Vec<_>>().await, ["saved"]);
/// assert_eq!(second.collect::<Vec<_>>().await, ["saved"]);
/// # }
/// ```
#[derive(Debug)]
pub struct Emitter<T> {
    shared: Arc<Shared<T>>,
}

/// The events for one reader, in the order in which they were emitted. The stream ends when the last [`Emitter`] is
/// dropped and the buffer has been read.
///
/// # Cancellation
///
/// Dropping it unregisters the reader and drops what it has not read.
///
/// ```
/// use std::num::NonZeroUsize;
/// use futures::StreamExt as _;
/// use level4::sources::{Overflow, from_events};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let (emitter, mut events) = from_events(NonZeroUsize::MIN, Overflow::DropOldest);
/// emitter.emit("first").await;
/// emitter.emit("second").await;
/// assert_eq!(events.next().await, Some("second"));
/// assert_eq!(events.missed(), 1);
/// # }
/// ```
#[derive(Debug)]
pub struct Events<T> {
    shared: Arc<Shared<T>>,
    /// The key of this reader's buffer. The buffer lies in the shared state, because emitters fill it.
    id: u64,
}

/// What emitters and readers share.
#[derive(Debug)]
struct Shared<T> {
    capacity: usize,
    overflow: Overflow,
    /// A `std` mutex: it is never held across an `.await`, and destructors take it, which cannot wait for tokio's.
    /// Events are cloned and dropped, and tasks woken, when it is free again: that code may use the source, and would
    /// wait for itself.
    state: Mutex<State<T>>,
    /// The line of the emitters that wait for room. tokio's lock serves them in order, so their events keep the order
    /// in which they were emitted, and a large crowd of emitters starves none.
    turn: FairMutex<()>,
    /// Notified when a buffer gets room or its reader goes. Only the first in the line waits for it, so one stored
    /// permit is enough.
    room: Notify,
}

/// One lock for all buffers: an event goes to all readers or to none.
#[derive(Debug)]
struct State<T> {
    /// Only rises, so no reader gets the buffer of an earlier one.
    next_id: u64,
    /// How many emitters there are. The count of the `Arc` does not say it: readers hold the `Arc` too.
    emitters: usize,
    /// In the order of their subscription.
    readers: BTreeMap<u64, Reader<T>>,
}

/// The buffer of one reader.
#[derive(Debug)]
struct Reader<T> {
    /// In an `Arc`, so that one event of many readers exists once. Emitting needs no `Clone` and runs none of the
    /// event's code: a reader clones where it reads.
    unread: VecDeque<Arc<T>>,
    missed: u64,
    /// Set while the reader waits. Taken by the event that wakes it, so that a burst wakes a reader once.
    waker: Option<Waker>,
}

impl<T> Shared<T> {
    /// Locks, also after a panic: no code of the caller runs under the lock, so what it guards is whole. A destructor
    /// that panicked here instead would end the process during another panic.
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts the event into the buffer of every reader. If the emitter has to wait for room, it puts it into none and
    /// returns it.
    fn offer(&self, event: Arc<T>) -> Result<(), Arc<T>> {
        // The events to drop and the tasks to wake, collected under the lock and dealt with after it. They are
        // declared before the guard, so that they outlive it also on an early return.
        let (mut lost, mut wakers) = (Vec::new(), Vec::new());
        let mut state = self.lock();
        let is_full = |reader: &Reader<T>| reader.unread.len() >= self.capacity;
        // All or none: if the readers with room got the event now, they would get it twice, or an emitter that is
        // dropped while it waits would have emitted it to some.
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
        // After the event is there: a reader that is woken before it would find nothing and wait again.
        wakers.into_iter().for_each(Waker::wake);
        Ok(())
    }
}

impl<T> Emitter<T> {
    /// Adds a reader. It sees the events that are emitted from now on.
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
        // Held until the event is emitted. Without it, an emitter that comes while another one waits could find room
        // first, and its event would overtake the earlier one. A dropped future leaves the line.
        let _turn = self.shared.turn.lock().await;
        let mut event = event;
        loop {
            // A reader that makes room between the offer and the wait is not missed: `notify_one` without a waiter is
            // stored. A permit from before costs one more round.
            let room = self.shared.room.notified();
            match self.shared.offer(event) {
                Ok(()) => return,
                Err(back) => event = back,
            }
            room.await;
        }
    }

    /// Returns the number of readers.
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
        // The last one: no event wakes the readers any more, so this wakes them to see the end.
        let wakers: Vec<_> =
            state.readers.values_mut().filter_map(|reader| reader.waker.take()).collect();
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl<T> Events<T> {
    /// Returns how many events this reader has lost because its buffer was full.
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
        // Only the destructor of this reader removes its buffer, so it is there.
        let Some(reader) = state.readers.get_mut(&self.id) else { return Poll::Ready(None) };
        // The buffer before the end: what was emitted before the last emitter went is still read.
        let Some(event) = reader.unread.pop_front() else {
            if is_over {
                return Poll::Ready(None);
            }
            // Under the same lock as the look into the buffer: an event between the two would find no waker, and this
            // reader would sleep beside it. The newest waker replaces the one of an earlier poll, whose task may not
            // own the reader any more.
            let earlier = reader.waker.replace(cx.waker().clone());
            drop(state);
            drop(earlier);
            return Poll::Pending;
        };
        drop(state);
        // With the other policies no emitter waits for room.
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
        // An emitter may have waited for this reader alone, and would now wait for room that no reader makes.
        self.shared.room.notify_one();
        // The unread events, outside of the lock.
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
