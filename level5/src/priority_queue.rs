//! A queue with four priorities, none of which starves: weights share the turns, and an item that has waited long goes
//! ahead.
//!
//! ```text
//!                          ┌──────────┐
//!   push, by priority ──▶  │ critical │ ── 8 of 15 turns ───────────────────────────┐
//!                          ├──────────┤                                             │
//!                          │ high     │ ─┐              ┌ the event that has waited │
//!                          ├──────────┤  │              │ longest, from `max_wait`  ├──▶ pop
//!                          │ medium   │ ─┼─ 7 of 15 ────┤ on                        │
//!                          ├──────────┤  │              │ otherwise 4, 2 and 1 of   │
//!                          │ low      │ ─┘              └ these 7 turns ────────────┘
//!                          └──────────┘
//! ```
//!
//! Lesson: `level5/lessons/event_processor.md`.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// The importance of an item. The order is that of the variants: `Low < Critical`.
///
/// ```
/// use level5::priority_queue::Priority;
///
/// assert!(Priority::Low < Priority::Critical);
/// let weights = Priority::ALL.map(Priority::weight);
/// assert_eq!(weights, [1, 2, 4, 8]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// 1 of 15 turns.
    Low,
    /// 2 of 15 turns.
    Medium,
    /// 4 of 15 turns.
    High,
    /// 8 of 15 turns. An item does not go ahead of a critical one because of its age.
    Critical,
}

impl Priority {
    /// All priorities, in order.
    // starter: keep
    pub const ALL: [Self; 4] = [Self::Low, Self::Medium, Self::High, Self::Critical];

    /// Returns how many of 15 turns it has while items of every priority wait.
    // starter: keep
    #[must_use]
    pub const fn weight(self) -> u32 {
        match self {
            Self::Low => 1,
            Self::Medium => 2,
            Self::High => 4,
            Self::Critical => 8,
        }
    }
}

/// A queue of items that wait for their turn.
///
/// Time is passed in: the queue has no clock. It expects that the times of its calls do not go back.
///
/// ```
/// use std::time::Duration;
/// use level5::priority_queue::{Priority, PriorityQueue};
/// use tokio::time::Instant;
///
/// let mut queue = PriorityQueue::new(Duration::from_secs(30));
/// let now = Instant::now();
/// queue.push("report", Priority::Low, now);
/// queue.push("alarm", Priority::Critical, now);
/// assert_eq!(queue.pop(now), Some("alarm"));
/// assert_eq!(queue.oldest(), Some(now));
/// ```
#[derive(Debug, Clone)]
pub struct PriorityQueue<T> {
    max_wait: Duration,
    /// Apart from the others, because the rules differ: age decides among those and never against these.
    critical: VecDeque<Waiting<T>>,
    /// The turns of each side in this round, while items of both sides wait.
    turns: Turns,
    /// Low, medium and high, in this order: searches go from the end, so that the more important lane comes first.
    others: [Lane<T>; 3],
}

/// A round has eight turns of critical items and then seven of others.
#[derive(Debug, Clone, Copy, Default)]
struct Turns {
    critical: u32,
    others: u32,
}

/// An item, with the time from which its age counts.
#[derive(Debug, Clone)]
struct Waiting<T> {
    since: Instant,
    item: T,
}

/// The items of one priority below critical.
#[derive(Debug, Clone)]
struct Lane<T> {
    /// Oldest first, and so the front has waited longest.
    items: VecDeque<Waiting<T>>,
    weight: u32,
    /// The turns that are left to it before all lanes have their weights again.
    credit: u32,
}

impl<T> Lane<T> {
    const fn new(priority: Priority) -> Self {
        let weight = priority.weight();
        Self { items: VecDeque::new(), weight, credit: weight }
    }

    fn since(&self) -> Option<Instant> {
        self.items.front().map(|waiting| waiting.since)
    }
}

impl<T> PriorityQueue<T> {
    /// Makes an empty queue in which an item that has waited for `max_wait` goes ahead of all but critical ones. With
    /// zero, all but critical items leave by age. With [`Duration::MAX`] only the weights decide.
    #[must_use]
    pub const fn new(max_wait: Duration) -> Self {
        let others =
            [Lane::new(Priority::Low), Lane::new(Priority::Medium), Lane::new(Priority::High)];
        let turns = Turns { critical: 0, others: 0 };
        Self { max_wait, critical: VecDeque::new(), turns, others }
    }

    /// Adds an item, which waits from `now` on.
    pub fn push(&mut self, item: T, priority: Priority, now: Instant) {
        let [low, medium, high] = &mut self.others;
        let items = match priority {
            Priority::Low => &mut low.items,
            Priority::Medium => &mut medium.items,
            Priority::High => &mut high.items,
            Priority::Critical => &mut self.critical,
        };
        items.push_back(Waiting { since: now, item });
    }

    /// Takes the item whose turn it is at `now`, or `None` if the queue is empty.
    ///
    /// Items of one priority leave in the order in which they came. The time of a call does not depend on the number of
    /// items.
    pub fn pop(&mut self, now: Instant) -> Option<T> {
        // First the side, critical or not, then the lane. Age is looked at in the second step alone: overdue items
        // share seven of fifteen turns, so a thousand of them hold up a critical item for at most seven turns.
        let others_wait = self.others.iter().any(|lane| !lane.items.is_empty());
        if self.critical.is_empty() || !others_wait {
            // A side that is alone takes no turn from the other, and owes it none later.
            self.turns = Turns::default();
        } else if self.turns.critical < Priority::Critical.weight() {
            self.turns.critical += 1;
            return self.critical.pop_front().map(|waiting| waiting.item);
        } else {
            // The critical side has had its eight turns of this round. Without this branch a steady stream of critical
            // items would hold up all others without end.
            self.turns.others += 1;
            if self.turns.others == self.others.iter().map(|lane| lane.weight).sum::<u32>() {
                self.turns = Turns::default();
            }
        }
        if others_wait {
            // An overdue item takes a turn of the others, but no credit of its lane: it goes by age and not by weight.
            let lane = self.overdue(now).unwrap_or_else(|| self.by_credit());
            self.others[lane].items.pop_front().map(|waiting| waiting.item)
        } else {
            self.critical.pop_front().map(|waiting| waiting.item)
        }
    }

    /// Returns the time since which the oldest item waits, or `None` if the queue is empty.
    #[must_use]
    pub fn oldest(&self) -> Option<Instant> {
        // The fronts are enough: times do not go back, so the front of each lane is its oldest item.
        let critical = self.critical.front().map(|waiting| waiting.since);
        self.others.iter().filter_map(Lane::since).chain(critical).min()
    }

    /// Returns how many items wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.critical.len() + self.others.iter().map(|lane| lane.items.len()).sum::<usize>()
    }

    /// Returns whether no item waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The lane whose front has waited longest, if that is `max_wait` or more. Of equal ones the more important.
    fn overdue(&self, now: Instant) -> Option<usize> {
        let fronts = self.others.iter().enumerate().rev();
        let fronts = fronts.filter_map(|(index, lane)| Some((lane.since()?, index)));
        // Of equal times `min_by_key` returns the first one. The order is reversed, so that is the more important.
        let (since, index) = fronts.min_by_key(|(since, _)| *since)?;
        (now.saturating_duration_since(since) >= self.max_wait).then_some(index)
    }

    /// The most important lane that has items and credit. If there is none, all lanes get their credit again. Called
    /// only while at least one lane has items.
    fn by_credit(&mut self) -> usize {
        // At most two rounds: after the credits are full, a lane that has items has credit too. An empty lane keeps
        // its credit until then, but gets no more than its weight: it cannot save turns for later.
        loop {
            let lanes = self.others.iter_mut().enumerate().rev();
            let ready =
                |(_, lane): &(usize, &mut Lane<T>)| !lane.items.is_empty() && lane.credit > 0;
            if let Some((index, lane)) = lanes.into_iter().find(ready) {
                lane.credit -= 1;
                return index;
            }
            for lane in &mut self.others {
                lane.credit = lane.weight;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MAX_WAIT: Duration = Duration::from_secs(30);

    fn full(count: usize, now: Instant) -> PriorityQueue<(Priority, usize)> {
        let mut queue = PriorityQueue::new(MAX_WAIT);
        for number in 0..count {
            for priority in Priority::ALL {
                queue.push((priority, number), priority, now);
            }
        }
        queue
    }

    #[tokio::test]
    async fn weights_share_the_turns() {
        let now = Instant::now();
        let mut queue = full(100, now);
        for _ in 0..5 {
            let turns: Vec<_> = (0..15).filter_map(|_| queue.pop(now)).collect();
            let counts = Priority::ALL.map(|it| turns.iter().filter(|(got, _)| *got == it).count());
            assert_eq!(counts, [1, 2, 4, 8]);
        }
    }

    #[tokio::test]
    async fn age_lifts_but_not_above_critical() {
        let now = Instant::now();
        let mut queue = PriorityQueue::new(MAX_WAIT);
        queue.push("low", Priority::Low, now);
        for _ in 0..20 {
            queue.push("high", Priority::High, now + MAX_WAIT / 2);
        }
        queue.push("critical", Priority::Critical, now + MAX_WAIT);
        let just_before = now + MAX_WAIT - Duration::from_nanos(1);
        assert_eq!(queue.clone().pop(now + MAX_WAIT), Some("critical"));
        assert_eq!(queue.pop(just_before), Some("critical"));
        assert_eq!(queue.clone().pop(just_before), Some("high"));
        assert_eq!(queue.pop(now + MAX_WAIT), Some("low"));
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_each_priority_keeps_its_order(
            script in prop::collection::vec((0_usize..5, 0_u64..20_000), 1..300),
        ) {
            let mut now = Instant::now();
            let mut queue = PriorityQueue::new(MAX_WAIT);
            let mut model = Priority::ALL.map(|_| VecDeque::new());
            for (number, (what, pause)) in script.into_iter().enumerate() {
                now += Duration::from_millis(pause);
                if let Some(&priority) = Priority::ALL.get(what) {
                    queue.push((priority, number), priority, now);
                    model[what].push_back(number);
                } else if let Some((priority, number)) = queue.pop(now) {
                    prop_assert_eq!(model[priority as usize].pop_front(), Some(number));
                }
                prop_assert_eq!(queue.len(), model.iter().map(VecDeque::len).sum::<usize>());
            }
        }
    }
}
