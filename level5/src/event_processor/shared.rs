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
    // A lock of `std`: it is held for one step of the state machine, never across an await.
    core: Mutex<Core>,
    /// A permit for each event that may be pending. Who waits for one is served in order. Permits that are taken are
    /// forgotten; `with` adds those that have become free.
    places: Semaphore,
    /// Wakes the driver. It keeps one notice, so that none is lost while the driver is at work.
    pub(super) changed: Notify,
}

impl<S, J> Shared<S, J> {
    pub(super) fn new(config: Config, sink: S, journal: J, core: Core, taken: usize) -> Self {
        let most = config.threshold.get().saturating_add(config.critical_reserve);
        let free = most.saturating_sub(taken).min(Semaphore::MAX_PERMITS);
        let (core, places, changed) = (Mutex::new(core), Semaphore::new(free), Notify::new());
        Self { config, sink, journal, core, places, changed }
    }

    /// A look at the state, or a change that the driver makes.
    pub(super) fn lock(&self) -> MutexGuard<'_, Core> {
        // No foreign code runs under the lock, so that no panic can leave the state half changed.
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A change that the driver has to learn of. `change` is passed the time, which is read under the lock: otherwise
    /// it could be older than that of the change before.
    pub(super) fn with<T>(&self, change: impl FnOnce(&mut Core, Instant) -> T) -> T {
        let result = change(&mut self.lock(), Instant::now());
        self.changed.notify_one();
        result
    }

    /// So many places are free. Outside of the lock, because it wakes tasks.
    pub(super) fn free(&self, places: usize) {
        self.places.add_permits(places);
    }

    /// Refuses events from now on. Critical ones that wait for a place are refused too.
    pub(super) fn close(&self) {
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
            self.lock().check(&event.id).map_err(refused)?;
            Some(self.places.acquire().await.map_err(|_| Rejected::Closed)?)
        } else {
            None
        };
        // One step: look whether the event may come in, and take its place.
        let mut core = self.lock();
        core.check(&event.id).map_err(refused)?;
        let place = match waited {
            Some(place) => place,
            None if core.at_threshold() => return Err(refused(Refusal::Full)),
            None => self.places.try_acquire().map_err(|_| refused(Refusal::Full))?,
        };
        core.reserve(&event.id);
        place.forget();
        Ok(Admission { shared: self, id: event.id.clone(), state: Writing::NotBegun })
    }

    /// Takes the dead letters with these ids, as far as there is room below the threshold.
    pub(super) fn pick_dead(&self, ids: &[EventId]) -> Picked<'_, S, J> {
        let mut core = self.lock();
        let places = (0..core.room().min(ids.len())).map_while(|_| self.places.try_acquire().ok());
        let places: Vec<_> = places.collect();
        let letters = core.pick_dead(ids, places.len());
        places.into_iter().take(letters.len()).for_each(|place| place.forget());
        drop(core);
        Picked { shared: self, letters }
    }
}

const MOMENT: std::time::Duration = std::time::Duration::from_millis(1);

/// What the journal may have of an event.
enum Writing {
    NotBegun,
    Begun,
    Ended,
}

/// An event has its place, and is not accepted yet. If this is dropped before, the event is as if it had not come.
pub(super) struct Admission<'a, S, J> {
    shared: &'a Shared<S, J>,
    id: EventId,
    state: Writing,
}

impl<S, J: Journal> Admission<'_, S, J> {
    /// Writes the event to the journal and accepts it.
    pub(super) async fn accept(mut self, event: Event, service: Service) -> Result<(), Rejected> {
        let event = Arc::new(event);
        self.state = Writing::Begun;
        let written = self.shared.journal.append(std::slice::from_ref(&event)).await;
        // An error means that it was not kept.
        self.state = Writing::NotBegun;
        written.map_err(Rejected::Journal)?;
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
            // The call was dropped, or the journal has panicked. The driver asks the journal to forget the event,
            // and gives its place back then.
            Writing::Begun => self.shared.with(|core, _| core.withdraw(id)),
            Writing::Ended => {}
        }
    }
}

/// Dead letters that were taken out. Those that are left when this is dropped are dead letters again.
pub(super) struct Picked<'a, S, J> {
    shared: &'a Shared<S, J>,
    letters: Vec<(u64, DeadLetter)>,
}

impl<S, J> Picked<'_, S, J> {
    /// Their events, oldest letter first.
    pub(super) fn events(&self) -> Vec<Arc<Event>> {
        self.letters.iter().map(|(_, letter)| Arc::clone(&letter.event)).collect()
    }

    /// Sends them again. Returns how many there are.
    pub(super) fn redrive(mut self) -> usize {
        let letters = std::mem::take(&mut self.letters);
        let count = letters.len();
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
        let back = |core: &mut Core, _| {
            let freed = letters.into_iter().map(|(number, letter)| core.put_back(number, letter));
            freed.filter(|free| *free).count()
        };
        let free = self.shared.with(back);
        self.shared.free(free);
    }
}
