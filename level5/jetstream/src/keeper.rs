//! The task that renews the ownership of lanes, and takes over the lanes of dead processes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::consumer::PullConsumer;
use level5::event_processor::Event;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::claims::Claims;
use crate::error::WriteError;
use crate::ledger::Stored;
use crate::server::{Entry, Owner, Refused};
use crate::shared::Shared;
use crate::watch::{Life, Watch};

/// So long after the first of some ends the owner notes what has ended.
const NOTE: Duration = Duration::from_millis(100);

/// A lane that this process owns.
#[derive(Debug)]
pub(crate) struct Owned {
    pub(crate) lane: u32,
    /// The revision of its entry.
    pub(crate) revision: u64,
    pub(crate) consumer: PullConsumer,
    /// What the owners before have noted.
    pub(crate) ended: Claims,
}

/// The state of the task.
pub(crate) struct Keeper {
    pub(crate) shared: Arc<Shared>,
    /// The first one is that of the journal; the others were taken over.
    pub(crate) owned: Vec<Owned>,
    pub(crate) watch: Watch,
    /// Lanes with records that cannot be read, by the revision with which they were released: another look would find
    /// the same.
    pub(crate) left: HashMap<u32, u64>,
    /// Gets events that were taken over.
    pub(crate) taken: mpsc::UnboundedSender<Vec<Arc<Event>>>,
    /// Records that an owner has written after its lane was taken over.
    pub(crate) strays: mpsc::UnboundedReceiver<Vec<Stored>>,
    /// How many lanes have pending events and an owner of which it is unknown whether it is alive. `None` before the
    /// first look.
    pub(crate) unsettled: watch::Sender<Option<usize>>,
}

impl Keeper {
    /// Runs until `stop`. Returns the lanes that are owned.
    pub(crate) async fn run(mut self, stop: CancellationToken) -> Vec<Owned> {
        let mut ticks = interval(self.shared.config.lease / 3);
        // After a pause, such as a suspended machine, one renewal and not all that were missed.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut is_complete, mut note_at) = (true, None);
        loop {
            let note = async {
                match note_at {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = ticks.tick() => {}
                // At most ten times a second, and never while nothing ends.
                () = self.shared.removed.notified() => {
                    note_at.get_or_insert_with(|| Instant::now() + NOTE);
                    continue;
                }
                () = note => {
                    note_at = None;
                    if let Err(lane) = self.renew().await {
                        return self.lost(lane);
                    }
                    continue;
                }
                () = self.shared.server.reconnected() => is_complete = false,
                () = self.shared.lost.notified() => is_complete = false,
                Some(stored) = self.strays.recv() => {
                    self.offer(stored);
                    continue;
                }
                () = stop.cancelled() => return self.owned,
            }
            match self.renew().await {
                Err(lane) => return self.lost(lane),
                // Only when the lanes are known to be owned still.
                Ok(true) if !is_complete => is_complete = self.compare().await,
                Ok(_) => {}
            }
            self.release_empty().await;
            let unsettled = self.look().await;
            self.unsettled.send_replace(unsettled);
        }
    }

    /// Another process has taken a lane over. Returns what is owned: nothing that this process could release.
    fn lost(&self, lane: u32) -> Vec<Owned> {
        tracing::error!(lane, "another process has taken the lane over");
        self.shared.break_off(WriteError::Deposed { lane });
        Vec::new()
    }

    /// Renews every ownership. Returns whether that has succeeded; `Err`: the lane that another process owns now.
    async fn renew(&mut self) -> Result<bool, u32> {
        self.note();
        let (shared, mut all) = (&self.shared, true);
        for owned in &mut self.owned {
            let entry = Entry { session: shared.session.clone(), ended: ended(shared, owned) };
            let why = match shared.server.own(owned.lane, &entry, owned.revision).await {
                Ok(revision) => {
                    owned.revision = revision;
                    continue;
                }
                Err(Refused::Unknown(why)) => why,
                Err(Refused::Changed) => match shared.server.owner(owned.lane).await {
                    // By an earlier renewal, whose answer was lost.
                    Ok(owner) if owner.entry.session == shared.session => {
                        owned.revision = owner.revision;
                        continue;
                    }
                    Ok(_) => return Err(owned.lane),
                    Err(why) => why,
                },
            };
            // The next tick tries again.
            tracing::info!(lane = owned.lane, why, "not renewed");
            all = false;
        }
        Ok(all)
    }

    /// Reads the lanes once more after the connection was lost. A server that was killed may have forgotten what it has
    /// removed, and what its consumers have delivered: new consumers deliver everything. Returns whether all were read.
    async fn compare(&mut self) -> bool {
        let shared = Arc::clone(&self.shared);
        let _acknowledging = shared.acknowledging.lock().await;
        let mut unknown = Vec::new();
        for (index, owned) in self.owned.iter_mut().enumerate() {
            let (server, most) = (&self.shared.server, self.shared.config.max_records);
            let opened = match server.open_lane(owned.lane, owned.revision, most).await {
                Ok(opened) => opened,
                Err(why) => {
                    tracing::info!(lane = owned.lane, why, "a lane could not be read again");
                    return false;
                }
            };
            owned.consumer = opened.consumer.clone();
            if index == 0 {
                self.shared.use_consumer(opened.consumer);
            }
            let mut state = self.shared.state();
            for stored in opened.stored {
                unknown.extend(state.ledger.delivered(stored).filter(|stored| {
                    // An earlier owner knows it to have ended.
                    !owned.ended.has_ended(stored.order)
                }));
            }
        }
        self.shared.leaving.notify_one();
        self.offer(unknown);
        true
    }

    /// Notes which records of earlier owners this process has removed.
    fn note(&mut self) {
        let removed = self.shared.state().ledger.take_not_noted();
        for (lane, order) in removed {
            if let Some(owned) = self.owned.iter_mut().find(|owned| owned.lane == lane) {
                owned.ended.end(order);
            }
        }
    }

    /// Releases the lanes that were taken over and that have no record of this process any more.
    async fn release_empty(&mut self) {
        let mut at = 1;
        while let Some(owned) = self.owned.get(at) {
            if self.shared.state().ledger.has_of_lane(owned.lane) {
                at += 1;
                continue;
            }
            // After the look: what was the last has been removed by now.
            self.note();
            let owned = self.owned.remove(at);
            self.release(&owned).await;
        }
    }

    async fn release(&mut self, owned: &Owned) {
        if let Some(revision) = release(&self.shared, owned).await {
            self.left.insert(owned.lane, revision);
        }
    }

    /// Looks at the lanes of others, and takes over those of dead ones. Returns how many are unsettled.
    async fn look(&mut self) -> Option<usize> {
        let lanes = match self.shared.server.lanes("pending").await {
            Ok(lanes) => lanes,
            Err(why) => {
                tracing::info!(why, "no look at the lanes");
                self.watch.forget();
                return None;
            }
        };
        let own: Vec<_> = self.owned.iter().map(|owned| owned.lane).collect();
        self.watch.keep(|lane| lanes.contains_key(&lane));
        let mut unsettled = 0;
        for lane in lanes.into_keys().filter(|lane| !own.contains(lane)) {
            let owner = match self.shared.server.owner(lane).await {
                Ok(owner) => owner,
                Err(why) => {
                    tracing::info!(why, "no look at the lanes");
                    self.watch.forget();
                    return None;
                }
            };
            if owner.is_free() && self.left.get(&lane) == Some(&owner.revision) {
                continue;
            }
            let lease = self.shared.config.lease;
            match self.watch.see(lane, &owner, Instant::now(), lease) {
                Life::Alive => {}
                Life::Unknown => unsettled += 1,
                Life::Free | Life::Dead => {
                    if !self.take_over(lane, &owner).await {
                        unsettled += 1;
                    }
                }
            }
        }
        Some(unsettled)
    }

    /// Takes a lane over. Returns whether that has succeeded, or another process was faster.
    async fn take_over(&mut self, lane: u32, owner: &Owner) -> bool {
        let server = &self.shared.server;
        let ended = owner.entry.ended.clone();
        let entry = Entry { session: self.shared.session.clone(), ended: ended.clone() };
        let revision = match server.own(lane, &entry, owner.revision).await {
            Ok(revision) => revision,
            Err(Refused::Changed) => return false,
            // If this process owns it now and does not know it, others find it dead.
            Err(Refused::Unknown(_)) => return false,
        };
        match server.open_lane(lane, revision, self.shared.config.max_records).await {
            Ok(opened) => {
                for bad in &opened.bad {
                    tracing::error!(%bad, "a record cannot be read, and stays in the stream");
                }
                self.shared.state().figures.unreadable.extend(opened.bad);
                let (over, stored): (Vec<_>, Vec<_>) =
                    opened.stored.into_iter().partition(|it| ended.has_ended(it.order));
                {
                    let mut state = self.shared.state();
                    over.into_iter().for_each(|stored| state.ledger.has_ended(stored));
                }
                self.owned.push(Owned { lane, revision, consumer: opened.consumer, ended });
                self.offer(stored);
                true
            }
            Err(why) => {
                tracing::info!(lane, why, "a lane could not be read");
                // Free, so that the next look tries again.
                let free = Entry { session: String::new(), ended };
                let _ = self.shared.server.own(lane, &free, revision).await;
                false
            }
        }
    }

    fn offer(&self, stored: Vec<Stored>) {
        let mut state = self.shared.state();
        let events = state.ledger.offer(stored);
        state.figures.taken_over += events.len() as u64;
        let has_leaving = state.ledger.has_leaving();
        drop(state);
        if has_leaving {
            self.shared.leaving.notify_one();
        }
        if !events.is_empty() {
            tracing::info!(events = events.len(), "taken over from a process that has ended");
            // The journal has the receiver.
            let _ = self.taken.send(events);
        }
    }
}

/// What is known to have ended in a lane.
fn ended(shared: &Shared, owned: &Owned) -> Claims {
    if owned.lane != shared.lane {
        return owned.ended.clone();
    }
    let state = shared.state();
    let (next, live) = state.ledger.live();
    owned.ended.with(next, live)
}

/// Releases a lane. Returns the revision of its entry.
pub(crate) async fn release(shared: &Shared, owned: &Owned) -> Option<u64> {
    shared.server.close_lane(&owned.consumer).await;
    let free = Entry { session: String::new(), ended: ended(shared, owned) };
    // Refused if another process has it by now.
    shared.server.own(owned.lane, &free, owned.revision).await.ok()
}
