//! One run: a socket from its first connection until it gives up.

use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, Fuse};
use futures::{FutureExt as _, StreamExt as _};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::list::{Board, Kept};
use super::{Keyed, Settings, Snapshot, SnapshotApi, SnapshotError, Status, Update};
use crate::dashboard::KeyValue;
use crate::socket::{Connector, Event, WireError, socket};
use crate::state_store::Store;

/// The parts that a list's handles and its run share.
pub(super) struct Parts<A: SnapshotApi, C, K> {
    pub(super) api: A,
    /// Each run makes its socket with a clone of it.
    pub(super) connector: SharedConnector<C>,
    /// The last live list as text, for a later run that gets no snapshot.
    pub(super) copies: K,
    pub(super) settings: Settings,
    /// Items, version and status in one state: no reader sees new items with an old status. It outlives the runs, so
    /// a reader sees the last list also while no run exists.
    pub(super) store: Store<Board<A::Item>>,
}

/// Lets one connector serve one socket after another.
///
/// A socket owns its connector and ends for good when it gives up, so each run makes a new one, with its own count of
/// failures. The `Arc` does that without asking a connector to be `Clone`.
pub(super) struct SharedConnector<C>(pub(super) Arc<C>);

impl<C> Clone for SharedConnector<C> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<C: Connector> Connector for SharedConnector<C> {
    type Connection = C::Connection;

    async fn connect(&self) -> Result<C::Connection, WireError> {
        self.0.connect().await
    }
}

/// A message of this list's topic. The topic itself was compared before: a message of another list has another type
/// of change, and must not count as unreadable.
#[derive(Deserialize)]
#[serde(bound(deserialize = "T: Keyed"))]
struct Message<T: Keyed> {
    version: u64,
    change: Update<T>,
}

/// The call for a snapshot. `Fuse` makes "there is none" and "it has ended" a future that stays pending, so that the
/// loop may poll it in every round. The box lets a new call replace an old one in place, although it was pinned.
type Asked<'a, T> = Fuse<BoxFuture<'a, Result<Snapshot<T>, SnapshotError>>>;

/// Follows the list until the socket gives up. Dropping the future drops the socket and the call for a snapshot.
pub(super) async fn follow<A, C, K>(parts: Arc<Parts<A, C, K>>)
where
    A: SnapshotApi,
    C: Connector,
    K: KeyValue,
{
    let (connector, config) = (parts.connector.clone(), parts.settings.socket.clone());
    // `Realtime::new` has refused bad settings. The list sends nothing but the hello, so the outbox has no use.
    // Messages are read as `Value`: the type of a change is known only after the topic.
    let Ok((_outbox, mut events)) = socket::<_, Value>(connector, config) else { return };
    let mut run = 0;
    parts.store.update(|board| run = board.begins(Instant::now()));
    // A guard, since a drop and a panic run no line after an `.await`: without it the status would stay `Live` with no
    // connection behind it.
    let _ends = Ends { parts: &parts, run };
    let mut follow = Follow { parts: &parts, kept: Kept::new(parts.settings.kept), failures: 0 };
    let mut asked: Asked<'_, A::Item> = Fuse::terminated();
    loop {
        tokio::select! {
            // The snapshot first: a call has one answer, so it cannot hold up the events. With the events first, a
            // flood of them would leave the snapshot unread while their updates overflow `kept`.
            biased;
            answer = &mut asked => {
                if let Some(wait) = follow.answered(answer) {
                    asked = ask(&parts.api, wait);
                }
            }
            event = events.next() => match event {
                // The hello has subscribed, so the server sends updates from now on. Only now the snapshot: with the
                // other order, a change between snapshot and subscription would be in neither.
                Some(Ok(Event::Connected { .. })) => {
                    follow.begins();
                    asked = ask(&parts.api, Duration::ZERO);
                }
                Some(Ok(Event::Reconnecting { .. })) => {
                    // Drops the call. Its answer would make the list `Live` without a connection, and the updates
                    // until the next one would be missing in it.
                    asked = Fuse::terminated();
                    parts.disconnects(Status::Connecting);
                }
                Some(Ok(Event::Message(message))) => follow.message(message),
                Some(Ok(Event::BadFrame(_))) => parts.reports(),
                Some(Err(_)) | None => return parts.disconnects(Status::GaveUp),
            },
        }
    }
}

/// Sets the status when a run ends in any way. A run that ends without having given up was dropped or has panicked.
struct Ends<'a, A: SnapshotApi, C, K> {
    parts: &'a Parts<A, C, K>,
    run: u64,
}

impl<A: SnapshotApi, C, K> Drop for Ends<'_, A, C, K> {
    fn drop(&mut self) {
        self.parts.store.update(|board| board.ends(self.run, Instant::now()));
    }
}

impl<A: SnapshotApi, C, K> Parts<A, C, K> {
    fn disconnects(&self, status: Status) {
        self.store.update(|board| board.disconnects(status, Instant::now()));
    }

    /// Counts a message that is no update. The list goes on: one bad message must not cost all readers the list.
    fn reports(&self) {
        self.store.update(|board| board.live.unreadable += 1);
    }
}

/// Asks for a snapshot after a wait. The wait is part of the future, so that the loop reads events meanwhile and a lost
/// connection ends both.
fn ask<A: SnapshotApi>(api: &A, wait: Duration) -> Asked<'_, A::Item> {
    let asked = async move {
        // A sleep of zero would still last until the next millisecond.
        if !wait.is_zero() {
            sleep(wait).await;
        }
        api.snapshot().await
    };
    asked.boxed().fuse()
}

/// The state of one run, apart from its futures: the loop can hold `asked`, which borrows only the parts, while a
/// method changes this.
struct Follow<'a, A: SnapshotApi, C, K> {
    parts: &'a Parts<A, C, K>,
    /// The updates that the next snapshot may not contain yet.
    kept: Kept<A::Item>,
    /// How many calls for a snapshot have failed since the connection was made. It chooses the wait.
    failures: u32,
}

impl<A: SnapshotApi, C, K: KeyValue> Follow<'_, A, C, K> {
    /// Starts again for a new connection. Updates of an earlier one are useless: after them some are missing.
    fn begins(&mut self) {
        self.kept.clear();
        self.failures = 0;
    }

    fn status(&self) -> Status {
        self.parts.store.view().state.live.status
    }

    fn message(&mut self, message: Value) {
        // The server may send the updates of several lists over one connection. A message without a topic is about
        // no list.
        if message.get("topic").and_then(Value::as_str) != Some(&self.parts.settings.topic) {
            return;
        }
        let Ok(Message { version, change }) = serde_json::from_value(message) else {
            return self.parts.reports();
        };
        let status = self.status();
        if status != Status::Live {
            // A clone, since a stale list needs the change twice: now, and after a snapshot from before it.
            self.kept.keep(version, change.clone());
        }
        // A stale list follows too, but that makes it no younger: a copy of it would carry a new age and pass for
        // fresh in the next run. So the copy stays as it is.
        if matches!(status, Status::Live | Status::Stale { .. }) {
            let mut applied = false;
            self.parts.store.update(|board| applied = board.apply(version, change));
            if applied && status == Status::Live {
                self.copies();
            }
        }
    }

    /// Uses a snapshot, or falls back without one. Returns the wait after which to ask again.
    fn answered(&mut self, answer: Result<Snapshot<A::Item>, SnapshotError>) -> Option<Duration> {
        match answer {
            // With a gap the list would be `Live` and lack a change that no later update brings.
            Ok(snapshot) if !self.kept.has_gap_after(snapshot.version) => {
                // One update of the store: a snapshot may be older than what a stale list shows, and its readers
                // would see the list go back and forth.
                self.parts.store.update(|board| {
                    board.is_live(snapshot);
                    self.kept.replay(board);
                });
                self.kept.clear();
                self.copies();
                None
            }
            _ => {
                self.failures = self.failures.saturating_add(1);
                self.falls_back();
                let snapshots = &self.parts.settings.snapshots;
                (self.failures < snapshots.attempts().get())
                    .then(|| snapshots.nominal(self.failures))
            }
        }
    }

    /// Shows what there is without a snapshot: the list on the page or the copy, if it is young enough.
    fn falls_back(&self) {
        let now = Instant::now();
        let shown = self.parts.store.view().state.age(now);
        // The copy is only for a run that has shown nothing yet: a list on the page is what its copy was made from.
        let copy = if shown.is_none() { self.copy() } else { None };
        let age = shown.or_else(|| copy.as_ref().map(|(_, age)| *age));
        let age = age.filter(|age| *age < self.parts.settings.fresh_for);
        self.parts.store.update(|board| {
            board.live.status = age.map_or(Status::Failed, |age| Status::Stale { age });
            let Some(age) = age else { return };
            if let Some((copy, _)) = copy {
                board.shows_copy(copy, age, now);
            }
            // The updates of this connection were only kept while the status was another one. The list skips those
            // that it contains already, by their version.
            self.kept.replay(board);
        });
    }

    fn key(&self) -> String {
        format!("realtime/{}", self.parts.settings.topic)
    }

    /// The copy with its age. One that cannot be read counts as missing: another version of the program may have
    /// written it.
    fn copy(&self) -> Option<(Snapshot<A::Item>, Duration)> {
        let stored = self.parts.copies.get(&self.key()).ok()??;
        Some((serde_json::from_str(&stored.text).ok()?, stored.age))
    }

    /// Keeps a copy of the list.
    fn copies(&self) {
        let snapshot = self.parts.store.view().state.snapshot();
        if let Some(text) = snapshot.and_then(|snapshot| serde_json::to_string(&snapshot).ok()) {
            // A store without room costs the next run its copy, and this one nothing.
            let _ = self.parts.copies.put(&self.key(), text);
        }
    }
}
