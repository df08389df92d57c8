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

/// What a list is made of.
pub(super) struct Parts<A: SnapshotApi, C, K> {
    pub(super) api: A,
    pub(super) connector: SharedConnector<C>,
    pub(super) copies: K,
    pub(super) settings: Settings,
    pub(super) store: Store<Board<A::Item>>,
}

/// Each run has a socket of its own, with a count of failures of its own. The connector is the same.
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

#[derive(Deserialize)]
#[serde(bound(deserialize = "T: Keyed"))]
struct Message<T: Keyed> {
    version: u64,
    change: Update<T>,
}

type Asked<'a, T> = Fuse<BoxFuture<'a, Result<Snapshot<T>, SnapshotError>>>;

/// Follows the list until the socket gives up. Dropping the future drops the socket and the call for a snapshot.
pub(super) async fn follow<A, C, K>(parts: Arc<Parts<A, C, K>>)
where
    A: SnapshotApi,
    C: Connector,
    K: KeyValue,
{
    let (connector, config) = (parts.connector.clone(), parts.settings.socket.clone());
    // Bad settings were refused when the list was made.
    let Ok((_outbox, mut events)) = socket::<_, Value>(connector, config) else { return };
    let _ends = Ends(&parts);
    parts.disconnects(Status::Connecting);
    let mut follow = Follow { parts: &parts, kept: Kept::new(parts.settings.kept), failures: 0 };
    let mut asked: Asked<'_, A::Item> = Fuse::terminated();
    loop {
        tokio::select! {
            // A snapshot comes once, so it cannot hold up the events; a flood of events could hold up a snapshot.
            biased;
            answer = &mut asked => {
                if let Some(wait) = follow.answered(answer) {
                    asked = ask(&parts.api, wait);
                }
            }
            event = events.next() => match event {
                // The server sends updates from now on, so none is missed between them and the snapshot.
                Some(Ok(Event::Connected { .. })) => {
                    follow.begins();
                    asked = ask(&parts.api, Duration::ZERO);
                }
                Some(Ok(Event::Reconnecting { .. })) => {
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

/// A run that ends without having given up was dropped or has panicked.
struct Ends<'a, A: SnapshotApi, C, K>(&'a Parts<A, C, K>);

impl<A: SnapshotApi, C, K> Drop for Ends<'_, A, C, K> {
    fn drop(&mut self) {
        if self.0.store.view().state.live.status != Status::GaveUp {
            self.0.disconnects(Status::Connecting);
        }
    }
}

impl<A: SnapshotApi, C, K> Parts<A, C, K> {
    fn disconnects(&self, status: Status) {
        self.store.update(|board| board.disconnects(status, Instant::now()));
    }

    /// A message was no update.
    fn reports(&self) {
        self.store.update(|board| board.live.unreadable += 1);
    }
}

/// Asks for a snapshot after a wait.
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

struct Follow<'a, A: SnapshotApi, C, K> {
    parts: &'a Parts<A, C, K>,
    kept: Kept<A::Item>,
    /// Of snapshots, since the connection is there.
    failures: u32,
}

impl<A: SnapshotApi, C, K: KeyValue> Follow<'_, A, C, K> {
    /// A connection is there. The updates of an earlier one lead nowhere: there is a gap after them.
    fn begins(&mut self) {
        self.kept.clear();
        self.failures = 0;
    }

    fn status(&self) -> Status {
        self.parts.store.view().state.live.status
    }

    fn message(&mut self, message: Value) {
        // Other lists have the same socket. What names no topic is about none.
        if message.get("topic").and_then(Value::as_str) != Some(&self.parts.settings.topic) {
            return;
        }
        let Ok(Message { version, change }) = serde_json::from_value(message) else {
            return self.parts.reports();
        };
        let status = self.status();
        if status != Status::Live {
            self.kept.keep(version, change.clone());
        }
        // An old list follows too, but it becomes no younger by that, so its copy stays as it is.
        if matches!(status, Status::Live | Status::Stale { .. }) {
            let mut applied = false;
            self.parts.store.update(|board| applied = board.apply(version, change));
            if applied && status == Status::Live {
                self.copies();
            }
        }
    }

    /// A snapshot or none. Returns the wait after which to ask again.
    fn answered(&mut self, answer: Result<Snapshot<A::Item>, SnapshotError>) -> Option<Duration> {
        match answer {
            Ok(snapshot) if !self.kept.has_gap_after(snapshot.version) => {
                // One update: no reader sees the snapshot without what came after it.
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

    /// Without a snapshot: the list that is shown, or the copy, if it is young enough.
    fn falls_back(&self) {
        let now = Instant::now();
        let shown = self.parts.store.view().state.age(now);
        let copy = if shown.is_none() { self.copy() } else { None };
        let age = shown.or_else(|| copy.as_ref().map(|(_, age)| *age));
        let age = age.filter(|age| *age < self.parts.settings.fresh_for);
        self.parts.store.update(|board| {
            board.live.status = age.map_or(Status::Failed, |age| Status::Stale { age });
            let Some(age) = age else { return };
            if let Some((copy, _)) = copy {
                board.shows_copy(copy, age, now);
            }
            self.kept.replay(board);
        });
    }

    fn key(&self) -> String {
        format!("realtime/{}", self.parts.settings.topic)
    }

    /// A copy that cannot be read is none.
    fn copy(&self) -> Option<(Snapshot<A::Item>, Duration)> {
        let stored = self.parts.copies.get(&self.key()).ok()??;
        Some((serde_json::from_str(&stored.text).ok()?, stored.age))
    }

    /// Keeps a copy of the list. A store without room costs the next run its copy, and this one nothing.
    fn copies(&self) {
        let snapshot = self.parts.store.view().state.snapshot();
        if let Some(text) = snapshot.and_then(|snapshot| serde_json::to_string(&snapshot).ok()) {
            let _ = self.parts.copies.put(&self.key(), text);
        }
    }
}
