//! The task that renews the ownership of lanes, and takes over the lanes of dead processes.

use std::collections::HashMap;
use std::sync::Arc;

use async_nats::jetstream::consumer::PullConsumer;
use bytes::Bytes;
use level5::event_processor::Event;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::error::WriteError;
use crate::ledger::Stored;
use crate::server::{Owner, Refused, Server};
use crate::shared::Shared;
use crate::watch::{Life, Watch};

/// A lane that this process owns.
#[derive(Debug)]
pub(crate) struct Owned {
    pub(crate) lane: u32,
    /// The revision of its entry.
    pub(crate) revision: u64,
    pub(crate) consumer: PullConsumer,
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
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                Some(stored) = self.strays.recv() => {
                    self.offer(stored);
                    continue;
                }
                () = stop.cancelled() => return self.owned,
            }
            if let Err(lane) = self.renew().await {
                tracing::error!(lane, "another process has taken the lane over");
                self.shared.break_off(WriteError::Deposed { lane });
                return Vec::new();
            }
            self.release_empty().await;
            let unsettled = self.look().await;
            self.unsettled.send_replace(unsettled);
        }
    }

    /// Renews every ownership. `Err`: the lane that another process owns now.
    async fn renew(&mut self) -> Result<(), u32> {
        let (server, session) = (&self.shared.server, &self.shared.session);
        for owned in &mut self.owned {
            match server.own(owned.lane, session.clone(), owned.revision).await {
                Ok(revision) => owned.revision = revision,
                // The next tick tries again.
                Err(Refused::Unknown(why)) => tracing::info!(lane = owned.lane, why, "not renewed"),
                Err(Refused::Changed) => match server.owner(owned.lane).await {
                    // By an earlier renewal, whose answer was lost.
                    Ok(owner) if owner.session == *session => owned.revision = owner.revision,
                    Ok(_) => return Err(owned.lane),
                    Err(why) => tracing::info!(lane = owned.lane, why, "not renewed"),
                },
            }
        }
        Ok(())
    }

    /// Releases the lanes that were taken over and that have no record of this process any more.
    async fn release_empty(&mut self) {
        let mut at = 1;
        while let Some(owned) = self.owned.get(at) {
            if self.shared.state().ledger.has_of_lane(owned.lane) {
                at += 1;
                continue;
            }
            let owned = self.owned.remove(at);
            self.release(&owned).await;
        }
    }

    async fn release(&mut self, owned: &Owned) {
        if let Some(revision) = release(&self.shared.server, owned).await {
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
        let (server, session) = (&self.shared.server, self.shared.session.clone());
        let revision = match server.own(lane, session, owner.revision).await {
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
                self.owned.push(Owned { lane, revision, consumer: opened.consumer });
                self.offer(opened.stored);
                true
            }
            Err(why) => {
                tracing::info!(lane, why, "a lane could not be read");
                // Free, so that the next look tries again.
                let _ = self.shared.server.own(lane, Bytes::new(), revision).await;
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

/// Releases a lane. Returns the revision of its entry.
pub(crate) async fn release(server: &Server, owned: &Owned) -> Option<u64> {
    server.close_lane(&owned.consumer).await;
    // Refused if another process has it by now.
    server.own(owned.lane, Bytes::new(), owned.revision).await.ok()
}
