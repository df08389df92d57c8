//! Those who wait, in the order in which they go.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::Notify;

use super::Priority;

/// A place in the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    priority: Priority,
    number: u64,
}

/// Two lanes: every refund stands before every charge.
#[derive(Debug, Default)]
pub(super) struct Line {
    refunds: Lane,
    charges: Lane,
}

/// First in, first out. Whoever leaves from the middle leaves a gap, so that joining and leaving take
/// the same time however many wait. There is never a gap at either end.
#[derive(Debug, Default)]
struct Lane {
    places: VecDeque<Option<Arc<Notify>>>,
    // The number of the place at the front.
    front: u64,
    waiting: usize,
}

impl Line {
    /// How many stand before somebody who joins now.
    pub(super) fn ahead(&self, priority: Priority) -> usize {
        match priority {
            Priority::Refund => self.refunds.waiting,
            Priority::Charge => self.refunds.waiting + self.charges.waiting,
        }
    }

    pub(super) fn join(&mut self, priority: Priority, caller: Arc<Notify>) -> Place {
        Place { priority, number: self.lane_mut(priority).join(caller) }
    }

    pub(super) fn leave(&mut self, place: Place) {
        self.lane_mut(place.priority).leave(place.number);
    }

    pub(super) fn is_first(&self, place: Place) -> bool {
        let lane = self.lane(place.priority);
        lane.front == place.number
            && (place.priority == Priority::Refund || self.refunds.waiting == 0)
    }

    /// Whose turn is next.
    pub(super) fn first(&self) -> Option<Arc<Notify>> {
        self.refunds.first().or_else(|| self.charges.first()).cloned()
    }

    pub(super) fn waiting(&self, priority: Priority) -> usize {
        self.lane(priority).waiting
    }

    const fn lane(&self, priority: Priority) -> &Lane {
        match priority {
            Priority::Refund => &self.refunds,
            Priority::Charge => &self.charges,
        }
    }

    const fn lane_mut(&mut self, priority: Priority) -> &mut Lane {
        match priority {
            Priority::Refund => &mut self.refunds,
            Priority::Charge => &mut self.charges,
        }
    }
}

impl Lane {
    fn join(&mut self, caller: Arc<Notify>) -> u64 {
        let number = self.front + self.places.len() as u64;
        self.places.push_back(Some(caller));
        self.waiting += 1;
        number
    }

    fn leave(&mut self, number: u64) {
        let place = number.checked_sub(self.front).and_then(|index| usize::try_from(index).ok());
        let Some(place) = place.and_then(|index| self.places.get_mut(index)) else { return };
        if place.take().is_some() {
            self.waiting -= 1;
        }
        while let Some(None) = self.places.front() {
            self.places.pop_front();
            self.front += 1;
        }
        while let Some(None) = self.places.back() {
            self.places.pop_back();
        }
    }

    fn first(&self) -> Option<&Arc<Notify>> {
        self.places.front()?.as_ref()
    }
}

#[cfg(test)]
mod tests;
