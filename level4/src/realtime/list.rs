//! The decisions about a list, without a socket and without a clock.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::time::Duration;

use tokio::time::Instant;

use super::{Keyed, Live, Snapshot, Status, Update};

/// A list, and its age, which readers do not see.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Board<T> {
    pub(super) live: Live<T>,
    /// How old the items were at a moment: from these two, the age at any later moment follows without a timer.
    /// `None` while the items are live, and while there are none.
    known: Option<(Duration, Instant)>,
    /// The number of the newest run. Two runs can overlap: the next one begins as soon as the last reader of a run is
    /// gone, while the destructors of that run are not done.
    run: u64,
}

impl<T: Keyed> Board<T> {
    pub(super) const fn new() -> Self {
        let status = Status::Connecting;
        Self { live: Live { items: None, version: 0, status, unreadable: 0 }, known: None, run: 0 }
    }

    /// Notes that a run begins, and returns its number.
    pub(super) fn begins(&mut self, now: Instant) -> u64 {
        self.run += 1;
        // The run before may have left `GaveUp`.
        self.disconnects(Status::Connecting, now);
        self.run
    }

    /// Notes that the run of this number has ended.
    pub(super) fn ends(&mut self, run: u64, now: Instant) {
        // If another run has begun meanwhile, the status is that run's. `GaveUp` stays: it is the last state that the
        // readers get.
        if run == self.run && self.live.status != Status::GaveUp {
            self.disconnects(Status::Connecting, now);
        }
    }

    /// Notes that there is no connection any more, or not yet. The items stay.
    pub(super) fn disconnects(&mut self, status: Status, now: Instant) {
        // Only from `Live`: a list that is stale already keeps its age. It would otherwise become young with each
        // connection that is lost.
        if self.live.status == Status::Live {
            self.known = Some((Duration::ZERO, now));
        }
        self.live.status = status;
    }

    /// Shows the server's list. It has no age while it follows the updates.
    pub(super) fn is_live(&mut self, snapshot: Snapshot<T>) {
        self.shows(snapshot);
        (self.live.status, self.known) = (Status::Live, None);
    }

    /// The age of the items, if there are any and they are not live.
    pub(super) fn age(&self, now: Instant) -> Option<Duration> {
        self.known.map(|(age, at)| age + now.saturating_duration_since(at))
    }

    /// Shows a copy that was `age` old at `now`.
    pub(super) fn shows_copy(&mut self, copy: Snapshot<T>, age: Duration, now: Instant) {
        self.shows(copy);
        self.known = Some((age, now));
    }

    fn shows(&mut self, snapshot: Snapshot<T>) {
        self.live.items = Some(snapshot.items.into());
        self.live.version = snapshot.version;
    }

    /// Applies an update, unless the items contain it already. Returns whether it did.
    pub(super) fn apply(&mut self, version: u64, update: Update<T>) -> bool {
        // By the version: a snapshot contains some of the kept updates. Applied again, a delete and an insert would
        // move an item to the end, and a patch that adds to a value would add twice.
        let Some(items) = self.live.items.as_deref().filter(|_| version > self.live.version) else {
            return false;
        };
        // A copy, since readers may hold the old items: what they hold never changes.
        let mut items = items.to_vec();
        change(&mut items, update);
        self.shows(Snapshot { items, version });
        true
    }

    pub(super) fn snapshot(&self) -> Option<Snapshot<T>> {
        let items = self.live.items.as_ref()?.to_vec();
        Some(Snapshot { items, version: self.live.version })
    }
}

/// Applies an update to the items of a list.
fn change<T: Keyed>(items: &mut Vec<T>, update: Update<T>) {
    let at = |items: &[T], key: &T::Key| items.iter().position(|item| item.key() == *key);
    // No arm fails: a server may send a change of an item that the list does not have, for example after a stale
    // copy. The next snapshot repairs the list.
    match update {
        Update::Replace(list) => *items = list,
        Update::Insert(item) => match at(items, &item.key()) {
            Some(index) => items[index] = item,
            None => items.push(item),
        },
        Update::Update { key, patch } => {
            if let Some(index) = at(items, &key) {
                items[index].patch(patch);
            }
        }
        Update::Delete(key) => items.retain(|item| item.key() != key),
    }
}

/// The updates that came since the connection was made. A snapshot may be older than some of them.
pub(super) struct Kept<T: Keyed> {
    /// In the order in which they came. The oldest leaves at the front: a snapshot most probably contains it.
    updates: VecDeque<(u64, Update<T>)>,
    /// The bound: without it, a service that is down for a day would keep the updates of a day in memory.
    most: NonZeroUsize,
    /// The highest version of an update for which there was no room. A snapshot from before it has a gap.
    lost: Option<u64>,
}

impl<T: Keyed> Kept<T> {
    pub(super) const fn new(most: NonZeroUsize) -> Self {
        Self { updates: VecDeque::new(), most, lost: None }
    }

    pub(super) fn keep(&mut self, version: u64, update: Update<T>) {
        if self.updates.len() == self.most.get()
            && let Some((oldest, _)) = self.updates.pop_front()
        {
            // `None` is less than every version.
            self.lost = self.lost.max(Some(oldest));
        }
        self.updates.push_back((version, update));
    }

    /// Whether updates that came after a version were lost.
    pub(super) fn has_gap_after(&self, version: u64) -> bool {
        self.lost.is_some_and(|lost| lost > version)
    }

    pub(super) fn clear(&mut self) {
        // A new deque: `clear` would hold the memory of the longest one.
        (self.lost, self.updates) = (None, VecDeque::new());
    }

    /// Applies all updates, in the order in which they came. They stay kept: a stale list needs them again with the
    /// next snapshot.
    pub(super) fn replay(&self, board: &mut Board<T>) {
        for (version, update) in &self.updates {
            board.apply(*version, update.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::{Deserialize, Serialize};

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    struct Row(u32, char);

    impl Keyed for Row {
        type Key = u32;
        type Patch = char;

        fn key(&self) -> u32 {
            self.0
        }

        fn patch(&mut self, patch: char) {
            self.1 = patch;
        }
    }

    fn board(version: u64, items: Vec<Row>) -> Board<Row> {
        let mut board = Board::new();
        board.is_live(Snapshot { items, version });
        board
    }

    fn items(board: &Board<Row>) -> Vec<Row> {
        board.snapshot().map(|snapshot| snapshot.items).unwrap_or_default()
    }

    #[test]
    fn an_item_is_found_by_its_key() {
        let mut board = board(1, vec![Row(1, 'a'), Row(2, 'b')]);
        for (version, update) in [
            (2, Update::Insert(Row(1, 'x'))),
            (3, Update::Insert(Row(3, 'c'))),
            (4, Update::Update { key: 2, patch: 'y' }),
            (5, Update::Update { key: 9, patch: 'z' }),
            (6, Update::Delete(9)),
        ] {
            assert!(board.apply(version, update));
        }
        assert_eq!(items(&board), [Row(1, 'x'), Row(2, 'y'), Row(3, 'c')]);
        assert!(board.apply(7, Update::Delete(1)));
        assert!(board.apply(8, Update::Replace(vec![Row(4, 'd')])));
        assert_eq!((items(&board), board.live.version), (vec![Row(4, 'd')], 8));
    }

    #[test]
    fn what_the_list_has_is_not_applied_again() {
        let mut board = board(5, vec![Row(1, 'a')]);
        assert!(!board.apply(4, Update::Delete(1)));
        assert!(!board.apply(5, Update::Delete(1)));
        assert!(!Board::new().apply(9, Update::Insert(Row(1, 'a'))), "there is no list");
        assert_eq!(items(&board), [Row(1, 'a')]);
    }

    #[test]
    fn kept_updates_are_replayed_after_the_snapshot() {
        let mut kept = Kept::new(NonZeroUsize::MIN.saturating_add(1));
        for version in 4..=6 {
            kept.keep(version, Update::Insert(Row(version as u32, 'k')));
        }
        // There was room for two: 4 is lost.
        assert!(kept.has_gap_after(3) && !kept.has_gap_after(4));
        let mut board = board(5, vec![Row(4, 'k'), Row(5, 'k')]);
        kept.replay(&mut board);
        assert_eq!(items(&board), [4, 5, 6].map(|id| Row(id, 'k')));
        kept.clear();
        assert!(!kept.has_gap_after(0));
    }

    #[test]
    fn a_list_ages_from_the_loss_of_its_connection() {
        let (mut board, now) = (board(1, vec![]), Instant::now());
        assert_eq!(board.age(now), None, "it is live");
        board.disconnects(Status::Connecting, now);
        let later = now + Duration::from_secs(7);
        board.disconnects(Status::Connecting, later);
        assert_eq!(board.age(later), Some(Duration::from_secs(7)));
        board.shows_copy(Snapshot { items: vec![], version: 1 }, Duration::from_secs(60), now);
        assert_eq!(board.age(later), Some(Duration::from_secs(67)));
    }
}
