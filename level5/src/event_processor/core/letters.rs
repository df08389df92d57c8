//! Dead letters: how they are kept, taken out, put back and sent again.

use std::collections::BTreeSet;

use tokio::time::Instant;

use super::Core;
use crate::event_processor::event::EventId;
use crate::event_processor::journal::DeadLetter;

impl Core {
    // starter: drop
    /// The dead letters, oldest first.
    pub(in crate::event_processor) fn dead_letters(&self) -> Vec<DeadLetter> {
        // Two sorted maps as one list: a letter that is being restored has its old place.
        let mut letters: Vec<_> = self.dead.iter().chain(&self.restoring).collect();
        letters.sort_unstable_by_key(|(number, _)| **number);
        letters.into_iter().map(|(_, letter)| letter.clone()).collect()
    }

    /// Takes the dead letters with these ids out, at most `most` of them, oldest first. Each comes
    /// [back](Self::put_back), is [restored](Self::restore) or is [accepted again](Self::redrive).
    pub(in crate::event_processor) fn pick_dead(
        &mut self,
        ids: &[EventId],
        most: usize,
    ) -> Vec<(u64, DeadLetter)> {
        // One pass over the letters in their order: the oldest come first whatever the order of `ids`, and an id that
        // is listed twice picks one letter.
        let wanted: BTreeSet<_> = ids.iter().collect();
        let mut picked = Vec::new();
        self.dead.retain(|number, letter| {
            let picks = picked.len() < most && wanted.contains(&letter.event.id);
            if picks {
                picked.push((*number, letter.clone()));
            }
            !picks
        });
        // They take places below the threshold, and keep those among the dead letters until they are redriven: if the
        // journal fails, they return, and there must be room for them.
        self.taken += picked.len();
        picked
    }

    /// How many events may come in below the threshold.
    pub(in crate::event_processor) fn room(&self) -> usize {
        // None when closed: a shutdown that runs must not get more to do.
        if self.closed { 0 } else { self.config.threshold.get().saturating_sub(self.taken) }
    }

    /// Puts a dead letter that was taken out into the list again. Returns whether a place is free.
    pub(in crate::event_processor) fn put_back(&mut self, number: u64, letter: DeadLetter) -> bool {
        self.restoring.remove(&number);
        // Under its old number: with a new one it would stand behind younger letters, and `redrive` takes the oldest.
        self.dead.insert(number, letter);
        self.leave()
    }

    /// Takes back dead letters that the journal may have as pending by now. They keep their places below the threshold,
    /// so that a shutdown waits for the record, and are put back after it: redriven before, they could be delivered,
    /// and the late record would make them dead again.
    pub(in crate::event_processor) fn restore(&mut self, letters: Vec<(u64, DeadLetter)>) {
        self.restoring.extend(letters.iter().cloned());
        self.restored.extend(letters);
    }

    /// Makes a dead letter that was taken out pending again, with all its attempts.
    pub(in crate::event_processor) fn redrive(&mut self, letter: DeadLetter, now: Instant) {
        // Its place below the threshold was taken by `pick_dead`, its id is still known, and it was counted as accepted
        // when it first came: only the letter goes.
        self.dead_places -= 1;
        self.metrics.dead -= 1;
        self.enter(letter.event, letter.service, true, now);
    }
}
