//! What the callers and the driver share: the state machine under a lock, and the places.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

use super::Rejected;
use super::config::Config;
use super::core::{Core, Refusal};
use super::event::{Event, EventId, Service};
use super::journal::{DeadLetter, Journal};
use crate::priority_queue::Priority;

/// The parts of a processor.
#[derive(Debug)]
pub(super) struct Shared<S, J> {
    pub(super) config: Config,
    pub(super) sink: S,
    pub(super) journal: J,
    /// A lock of `std`: it is held for one step of the state machine, never across an await, and destructors have to
    /// take it, which cannot wait for a future.
    core: Mutex<Core>,
    /// A permit for each event that may be pending: threshold and reserve together. Its waiters are critical events,
    /// first come, first served. An admitted event's permit is forgotten, because it outlives the call; [`Self::free`]
    /// adds another one when the event has ended.
    places: Semaphore,
    /// Wakes the driver. It keeps one notice, so that a change is not lost while the driver works. One is enough: the
    /// driver looks at the whole state.
    pub(super) changed: Notify,
}

impl<S, J> Shared<S, J> {
    pub(super) fn new(config: Config, sink: S, journal: J, core: Core, taken: usize) -> Self {
        // The journal may have had more events than there are places. Then no permit is free, and the first one comes
        // when `Core::leave` says that there is room.
        let most = config.threshold.get().saturating_add(config.critical_reserve);
        let free = most.saturating_sub(taken).min(Semaphore::MAX_PERMITS);
        let (core, places, changed) = (Mutex::new(core), Semaphore::new(free), Notify::new());
        Self { config, sink, journal, core, places, changed }
    }

    /// Locks the state, for a look at it or for a change that the driver makes itself and need not be woken for.
    pub(super) fn lock(&self) -> MutexGuard<'_, Core> {
        // No foreign code runs under the lock, so that no panic can leave the state half changed.
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state and wakes the driver. `change` is passed the time, which is read under the lock: otherwise it
    /// could be older than that of the change before.
    pub(super) fn with<T>(&self, change: impl FnOnce(&mut Core, Instant) -> T) -> T {
        let result = change(&mut self.lock(), Instant::now());
        // After the change, and with the lock released: a driver that is woken earlier would see the old state, or
        // wait for the lock at once.
        self.changed.notify_one();
        result
    }

    /// Releases this number of places. Called without the lock, because it wakes tasks.
    pub(super) fn free(&self, places: usize) {
        self.places.add_permits(places);
    }

    /// Refuses events from now on. Critical ones that wait for a place are refused too.
    pub(super) fn close(&self) {
        // In this order: `admit` finds the state closed before the semaphore refuses. The other way round, an event
        // that is not critical could be refused with `Backpressure`, as if there would be room later.
        self.with(|core, _| core.close());
        self.places.close();
    }

    /// Takes a place for an event.
    pub(super) async fn admit(&self, event: &Event) -> Result<Admission<'_, S, J>, Rejected> {
        let refused = |refusal| match refusal {
            Refusal::Closed => Rejected::Closed,
            Refusal::Duplicate => Rejected::Duplicate,
            // The time after which the processor has sent what it has.
            Refusal::Full => Rejected::Backpressure { retry_after: self.config.flush.max(MOMENT) },
        };
        let waited = if event.priority == Priority::Critical {
            // A duplicate is refused now and not after its wait for a place that it would not take.
            self.lock().check(&event.id).map_err(refused)?;
            // The guard of the line above is gone. A dropped call leaves the line, and loses no permit.
            Some(self.places.acquire().await.map_err(|_| Rejected::Closed)?)
        } else {
            None
        };
        // One step under one lock: look whether the event may come in, and take its place. Two calls with one id, of
        // which the second looks before the first has reserved, would both be accepted.
        let mut core = self.lock();
        // Again for a critical event: another call with its id may have come in while it waited. On an error `waited`
        // is dropped, and its permit goes to the next in line.
        core.check(&event.id).map_err(refused)?;
        let place = match waited {
            Some(place) => place,
            None if core.at_threshold() => return Err(refused(Refusal::Full)),
            // Below the threshold there may still be no permit: critical events that were just given the free ones
            // have not reserved yet. They were first.
            None => self.places.try_acquire().map_err(|_| refused(Refusal::Full))?,
        };
        core.reserve(&event.id);
        // From here on the guard owns the place. It lasts beyond this call, so it cannot be a permit that borrows.
        place.forget();
        Ok(Admission { shared: self, id: event.id.clone(), state: Writing::NotBegun })
    }

    /// Takes the dead letters with these ids, as far as there is room below the threshold.
    pub(super) fn pick_dead(&self, ids: &[EventId]) -> Picked<'_, S, J> {
        let mut core = self.lock();
        // No more permits than letters can be picked. `map_while` stops where there is none: critical events that wait
        // keep their turn.
        let places = (0..core.room().min(ids.len())).map_while(|_| self.places.try_acquire().ok());
        let places: Vec<_> = places.collect();
        let letters = core.pick_dead(ids, places.len());
        // First the lock: ids without a dead letter need no place, and the drop of their permits wakes callers.
        drop(core);
        places.into_iter().take(letters.len()).for_each(|place| place.forget());
        Picked { shared: self, letters, writing: false }
    }
}

/// The least time that a refused caller is asked to wait. With a `flush` of zero it would try again without a pause.
const MOMENT: std::time::Duration = std::time::Duration::from_millis(1);

/// What the journal may have of an event. The destructor of [`Admission`] decides by it.
enum Writing {
    /// The journal has nothing.
    NotBegun,
    /// The journal may have the event or not.
    Begun,
    /// The journal has it, and the state machine too: the guard owns nothing any more.
    Ended,
}

/// An event that has its place and is not accepted yet. A drop before that undoes the admission: the caller may be gone
/// at any `.await`, and a place or an id without an owner would never be released.
pub(super) struct Admission<'a, S, J> {
    shared: &'a Shared<S, J>,
    id: EventId,
    state: Writing,
}

impl<S, J: Journal> Admission<'_, S, J> {
    /// Writes the event to the journal and accepts it.
    pub(super) async fn accept(mut self, event: Event, service: Service) -> Result<(), Rejected> {
        // Shared from here on: the state machine, each batch and a dead letter have the same event, uncopied.
        let event = Arc::new(event);
        // Before the call and not after it: once polled, the journal may have written, also if this future is dropped.
        self.state = Writing::Begun;
        let written = self.shared.journal.append(std::slice::from_ref(&event)).await;
        // An error means that it was not kept: place and id are free at once, and the journal need not forget anything.
        self.state = Writing::NotBegun;
        written.map_err(Rejected::Journal)?;
        // No await between these two lines and the journal's answer: an event that the journal has is either accepted
        // here or withdrawn by the destructor.
        self.state = Writing::Ended;
        self.shared.with(|core, now| core.accept(event, service, now));
        Ok(())
    }
}

impl<S, J> Drop for Admission<'_, S, J> {
    fn drop(&mut self) {
        let id = self.id.clone();
        match self.state {
            Writing::NotBegun => {
                let free = self.shared.with(|core, _| core.release(&id));
                self.shared.free(usize::from(free));
            }
            // The call was dropped, or the journal has panicked. A destructor cannot await, so the driver asks the
            // journal to forget the event. Place and id are released after that.
            Writing::Begun => self.shared.with(|core, _| core.withdraw(id)),
            Writing::Ended => {}
        }
    }
}

/// Dead letters that were taken out, with their places. Those that are left when this is dropped are dead letters
/// again, at once or when the journal has recorded it.
pub(super) struct Picked<'a, S, J> {
    shared: &'a Shared<S, J>,
    /// Each with its old number, by which it returns to its position in the list.
    letters: Vec<(u64, DeadLetter)>,
    /// Whether the journal may have them as pending: a call of `append` was begun and has not returned.
    pub(super) writing: bool,
}

impl<S, J> Picked<'_, S, J> {
    /// Their events, oldest letter first.
    pub(super) fn events(&self) -> Vec<Arc<Event>> {
        self.letters.iter().map(|(_, letter)| Arc::clone(&letter.event)).collect()
    }

    /// Sends them again. Returns how many there are.
    pub(super) fn redrive(mut self) -> usize {
        // Taken, so that the destructor, which runs at the end of this method, finds none to put back.
        let letters = std::mem::take(&mut self.letters);
        let count = letters.len();
        // All in one step, so that they are in their queues before the driver takes the first batch.
        self.shared.with(|core, now| {
            letters.into_iter().for_each(|(_, letter)| core.redrive(letter, now));
        });
        count
    }
}

impl<S, J> Drop for Picked<'_, S, J> {
    fn drop(&mut self) {
        if self.letters.is_empty() {
            return;
        }
        let letters = std::mem::take(&mut self.letters);
        // The call was dropped, or the journal has panicked. A destructor cannot await, so the driver has the journal
        // record that they are dead. Otherwise the next processor would send what this one shows as dead.
        if self.writing {
            return self.shared.with(|core, _| core.restore(letters));
        }
        let back = |core: &mut Core, _| {
            let freed = letters.into_iter().map(|(number, letter)| core.put_back(number, letter));
            freed.filter(|free| *free).count()
        };
        let free = self.shared.with(back);
        self.shared.free(free);
    }
}
