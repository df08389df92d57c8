//! What is decided about a list, without a socket and without a clock.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::time::Duration;

use tokio::time::Instant;

use super::{Keyed, Live, Snapshot, Status, Update};

/// A list and what readers do not see of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Board<T> {
    pub(super) live: Live<T>,
    /// How old the items were at a moment. `None` while they are live, or not there.
    known: Option<(Duration, Instant)>,
}

impl<T: Keyed> Board<T> {
    pub(super) const fn new() -> Self {
        let status = Status::Connecting;
        Self { live: Live { items: None, version: 0, status, unreadable: 0 }, known: None }
    }

    /// The connection is not there any more, or not yet.
    pub(super) fn disconnects(&mut self, status: Status, now: Instant) {
        if self.live.status == Status::Live {
            self.known = Some((Duration::ZERO, now));
        }
        self.live.status = status;
    }

    /// The list of the server.
    pub(super) fn is_live(&mut self, snapshot: Snapshot<T>) {
        self.shows(snapshot);
        (self.live.status, self.known) = (Status::Live, None);
    }

    /// How old the items are that are shown, if there are any.
    pub(super) fn age(&self, now: Instant) -> Option<Duration> {
        self.known.map(|(age, at)| age + now.saturating_duration_since(at))
    }

    /// A copy that was kept for the time without a snapshot.
    pub(super) fn shows_copy(&mut self, copy: Snapshot<T>, age: Duration, now: Instant) {
        self.shows(copy);
        self.known = Some((age, now));
    }

    fn shows(&mut self, snapshot: Snapshot<T>) {
        self.live.items = Some(snapshot.items.into());
        self.live.version = snapshot.version;
    }

    /// Applies an update, unless it is part of the items. Whether it did.
    pub(super) fn apply(&mut self, version: u64, update: Update<T>) -> bool {
        let Some(items) = self.live.items.as_deref().filter(|_| version > self.live.version) else {
            return false;
        };
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

/// The updates since the connection is there, until a snapshot is.
pub(super) struct Kept<T: Keyed> {
    updates: VecDeque<(u64, Update<T>)>,
    most: NonZeroUsize,
    /// The highest version of an update for which there was no room.
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
            self.lost = self.lost.max(Some(oldest));
        }
        self.updates.push_back((version, update));
    }

    /// Whether updates from after a version are missing.
    pub(super) fn has_gap_after(&self, version: u64) -> bool {
        self.lost.is_some_and(|lost| lost > version)
    }

    pub(super) fn clear(&mut self) {
        (self.lost, self.updates) = (None, VecDeque::new());
    }

    /// Applies all of them, in the order in which they came.
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
