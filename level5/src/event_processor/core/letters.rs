//! Dead letters: they are kept, taken out, put back and sent again.

use std::collections::BTreeSet;

use tokio::time::Instant;

use super::Core;
use crate::event_processor::event::EventId;
use crate::event_processor::journal::DeadLetter;

impl Core {
    // starter: drop
    /// The dead letters, oldest first.
    pub(in crate::event_processor) fn dead_letters(&self) -> Vec<DeadLetter> {
        self.dead.values().cloned().collect()
    }

    /// Takes the dead letters with these ids out, at most `most` of them, oldest first. Each comes
    /// [back](Self::put_back) or is [accepted again](Self::redrive).
    pub(in crate::event_processor) fn pick_dead(
        &mut self,
        ids: &[EventId],
        most: usize,
    ) -> Vec<(u64, DeadLetter)> {
        let wanted: BTreeSet<_> = ids.iter().collect();
        let mut picked = Vec::new();
        self.dead.retain(|number, letter| {
            let picks = picked.len() < most && wanted.contains(&letter.event.id);
            if picks {
                picked.push((*number, letter.clone()));
            }
            !picks
        });
        self.taken += picked.len();
        picked
    }

    /// How many events may come in below the threshold.
    pub(in crate::event_processor) fn room(&self) -> usize {
        if self.closed { 0 } else { self.config.threshold.get().saturating_sub(self.taken) }
    }

    /// A dead letter that was taken out is one again. Returns whether a place is free.
    pub(in crate::event_processor) fn put_back(&mut self, number: u64, letter: DeadLetter) -> bool {
        self.dead.insert(number, letter);
        self.leave()
    }

    /// A dead letter that was taken out is pending again.
    pub(in crate::event_processor) fn redrive(&mut self, letter: DeadLetter, now: Instant) {
        self.dead_places -= 1;
        self.metrics.dead -= 1;
        self.enter(letter.event, letter.service, true, now);
    }
}
