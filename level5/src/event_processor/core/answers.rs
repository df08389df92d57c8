//! What the answer to a batch means for each of its events, and how an event ends.

use std::sync::Arc;

use tokio::time::Instant;

use super::lane::later;
use super::{Core, Flight};
use crate::event_processor::event::EventId;
use crate::event_processor::journal::{DeadLetter, End};
use crate::event_processor::sink::{Ack, SendError};

/// How an event of a flight ends. Decided with the answer, and carried out when the journal has recorded it.
#[derive(Debug)]
pub(super) enum Ending {
    Delivered,
    Dead(DeadLetter),
    /// It died when there was no room for another dead letter. The journal is not told, and keeps it as pending.
    Left,
}

impl Core {
    /// Applies the answer to a batch. Returns the ends that the journal has to record; then [`end`](Self::end).
    pub(in crate::event_processor) fn settle(
        &mut self,
        flight: u64,
        answer: Result<Vec<Ack>, SendError>,
        now: Instant,
    ) -> Vec<(EventId, End)> {
        let Some(Flight { service, numbers }) = self.flights.remove(&flight) else {
            return Vec::new();
        };
        if let Some(lane) = self.lanes.get_mut(&service) {
            lane.flying -= 1;
            // Every answer ends the hold, not only a good one: after a final error such as a 400 a half-open breaker
            // lets the next probe through at once. If the breaker is open, the next start is refused, and holds the
            // lane again.
            lane.held_until = None;
            lane.answered = true;
        }
        self.metrics.sends += 1;
        self.metrics.failed_sends += u64::from(answer.is_err());
        let mut endings = Vec::new();
        for (index, number) in numbers.into_iter().enumerate() {
            // By position. Too few acknowledgements are silence, and silence is no consent: the rest is sent again.
            // Those beyond the events are passed over.
            let ack = match &answer {
                Ok(acks) => acks.get(index).cloned().unwrap_or_else(|| {
                    Ack::Retry("the service has not acknowledged it".to_owned())
                }),
                Err(error) if error.is_transient() => Ack::Retry(error.to_string()),
                Err(error) => Ack::Reject(error.to_string()),
            };
            if let Some(ending) = self.acknowledge(number, ack, now) {
                endings.push((number, ending));
            }
        }
        let told = endings.iter().filter_map(|(number, ending)| {
            let end = match ending {
                Ending::Delivered => End::Delivered,
                Ending::Dead(letter) => End::Dead(letter.clone()),
                Ending::Left => return None,
            };
            Some((self.entries[number].event.id.clone(), end))
        });
        let told = told.collect();
        // Also without ends: then `end` follows at once and finds an empty list.
        self.endings.insert(flight, endings);
        told
    }

    // starter: drop
    /// Ends the events of this batch, whose ends the journal has recorded. Returns how many places are free.
    pub(in crate::event_processor) fn end(&mut self, flight: u64, now: Instant) -> usize {
        let mut free = 0;
        for (number, ending) in self.endings.remove(&flight).unwrap_or_default() {
            let Some(entry) = self.entries.remove(&number) else { continue };
            *self.metrics.backlog_of(entry.event.priority) -= 1;
            match ending {
                Ending::Delivered => {
                    self.metrics.delivered += 1;
                    self.ids.ended(entry.event.id.clone());
                }
                Ending::Dead(letter) => {
                    // Its id stays known while it is a dead letter. The new number orders the letters by their deaths.
                    self.metrics.dead += 1;
                    let number = self.number();
                    self.dead.insert(number, letter);
                }
                // For this processor it has ended, so that its place is free and the line of its key moves on.
                Ending::Left => {
                    self.metrics.left_in_journal += 1;
                    self.ids.ended(entry.event.id.clone());
                }
            }
            free += usize::from(self.leave());
            self.next_of_key(entry.event.key.as_deref(), now);
        }
        free
    }

    /// Decides what one acknowledgement means for its event. `None`: it is sent again.
    fn acknowledge(&mut self, number: u64, ack: Ack, now: Instant) -> Option<Ending> {
        let entry = self.entries.get_mut(&number)?;
        entry.attempts = entry.attempts.saturating_add(1);
        let reason = match ack {
            Ack::Ok => {
                // Now and not at the end: the latency is that of the delivery, without the time of the journal.
                self.latency.add(now.saturating_duration_since(entry.accepted));
                return Some(Ending::Delivered);
            }
            Ack::Retry(_) if entry.attempts < self.config.retry.attempts().get() => {
                // Nominal, without jitter: the events of a failed batch come back together, and make one batch again.
                let wait = self.config.retry.nominal(entry.attempts);
                self.waiting.insert((later(now, wait), number));
                return None;
            }
            Ack::Retry(reason) | Ack::Reject(reason) => reason,
        };
        // The place is taken with the decision. Counted only when the letter is there, two batches that are recorded at
        // the same time could both take the last one.
        if self.dead_places >= self.config.dead_letters {
            return Some(Ending::Left);
        }
        self.dead_places += 1;
        let (event, service) = (Arc::clone(&entry.event), entry.service.clone());
        Some(Ending::Dead(DeadLetter { event, service, attempts: entry.attempts, reason }))
    }
}
