//! A run: one connection after the other, each of them a function.

use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use futures::{StreamExt as _, stream};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::list::{Board, Kept};
use super::{Keyed, Settings, Snapshot, SnapshotApi, Status, Update};
use crate::dashboard::KeyValue;
use crate::socket::{Connector, Event, Events, WireError, socket};

pub(super) struct Parts<A: SnapshotApi, C, K> {
    pub(super) api: A,
    pub(super) connector: SharedConnector<C>,
    pub(super) copies: K,
    pub(super) settings: Settings,
    pub(super) board: watch::Sender<Board<A::Item>>,
    /// How many runs have begun.
    pub(super) runs: AtomicU64,
}

/// The connector of all runs.
pub(super) struct SharedConnector<C>(pub(super) Arc<C>);

impl<C> Clone for SharedConnector<C> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<C: Connector> Connector for SharedConnector<C> {
    type Connection = C::Connection;

    fn connect(&self) -> impl Future<Output = Result<C::Connection, WireError>> + Send {
        self.0.connect()
    }
}

/// What ends a connection.
enum End {
    Lost,
    GaveUp,
}

pub(super) async fn follow<A: SnapshotApi, C: Connector, K: KeyValue>(parts: Arc<Parts<A, C, K>>) {
    let made = socket(parts.connector.clone(), parts.settings.socket.clone());
    let Ok((_outbox, mut events)) = made else { return };
    let number = parts.runs.fetch_add(1, SeqCst) + 1;
    let mut leaves = Leaves { parts: &parts, number, with: Status::Connecting };
    parts.leave(Status::Connecting);
    loop {
        // Until there is a connection.
        match events.next().await {
            Some(Ok(Event::Connected { .. })) => match parts.connection(&mut events).await {
                End::Lost => parts.leave(Status::Connecting),
                End::GaveUp => break,
            },
            Some(Ok(_)) => {}
            Some(Err(_)) | None => break,
        }
    }
    leaves.with = Status::GaveUp;
}

/// However a run ends, it is not live any more.
struct Leaves<'a, A: SnapshotApi, C, K> {
    parts: &'a Parts<A, C, K>,
    number: u64,
    with: Status,
}

impl<A: SnapshotApi, C, K> Drop for Leaves<'_, A, C, K> {
    fn drop(&mut self) {
        self.parts.board.send_if_modified(|board| {
            // Under the lock of the board: a run that begins now comes before or after.
            let is_last = self.parts.runs.load(SeqCst) == self.number;
            if is_last {
                board.disconnects(self.with, Instant::now());
            }
            is_last
        });
    }
}

#[derive(Deserialize)]
#[serde(bound(deserialize = "T: Keyed"))]
struct Change<T: Keyed> {
    version: u64,
    change: Update<T>,
}

impl<A: SnapshotApi, C, K> Parts<A, C, K> {
    fn leave(&self, status: Status) {
        self.board.send_modify(|board| board.disconnects(status, Instant::now()));
    }
}

impl<A: SnapshotApi, C: Connector, K: KeyValue> Parts<A, C, K> {
    async fn connection(&self, events: &mut Events<Value>) -> End {
        let mut kept = Kept::new(self.settings.kept);
        let schedule = self.settings.snapshots;
        // One attempt after the other, as many as there are.
        let mut attempts = pin!(stream::unfold(0, |failed| async move {
            if failed >= schedule.attempts().get() {
                return pending().await;
            }
            if failed > 0 {
                sleep(schedule.nominal(failed)).await;
            }
            Some((self.api.snapshot().await, failed + 1))
        }));
        let mut is_live = false;
        loop {
            tokio::select! {
                biased;
                Some(answer) = attempts.next(), if !is_live => match answer {
                    Ok(snapshot) if !kept.has_gap_after(snapshot.version) => {
                        is_live = true;
                        self.board.send_modify(|board| {
                            board.is_live(snapshot);
                            kept.replay(board);
                        });
                        kept.clear();
                        self.copy();
                    }
                    _ => self.without(&kept),
                },
                event = events.next() => match event {
                    None | Some(Err(_)) => return End::GaveUp,
                    Some(Ok(Event::Reconnecting { .. })) => return End::Lost,
                    Some(Ok(Event::Connected { .. })) => {}
                    Some(Ok(Event::BadFrame(_))) => self.report(),
                    Some(Ok(Event::Message(message))) => {
                        if message["topic"].as_str() == Some(self.settings.topic.as_str()) {
                            match serde_json::from_value::<Change<A::Item>>(message) {
                                Err(_) => self.report(),
                                Ok(change) => self.change(change, is_live, &mut kept),
                            }
                        }
                    }
                },
            }
        }
    }

    fn report(&self) {
        self.board.send_modify(|board| board.live.unreadable += 1);
    }

    fn change(&self, change: Change<A::Item>, is_live: bool, kept: &mut Kept<A::Item>) {
        let Change { version, change } = change;
        if !is_live {
            kept.keep(version, change.clone());
        }
        let changed = self.board.send_if_modified(|board| {
            matches!(board.live.status, Status::Live | Status::Stale { .. })
                && board.apply(version, change)
        });
        if changed && is_live {
            self.copy();
        }
    }

    fn without(&self, kept: &Kept<A::Item>) {
        let now = Instant::now();
        let young = |age: &Duration| *age < self.settings.fresh_for;
        let shown = self.board.borrow().age(now);
        let copy = match shown {
            Some(_) => None,
            None => self.stored().filter(|(_, age)| young(age)),
        };
        self.board.send_modify(|board| {
            if let Some((copy, age)) = copy {
                board.shows_copy(copy, age, now);
            }
            match board.age(now).filter(young) {
                None => board.live.status = Status::Failed,
                Some(age) => {
                    board.live.status = Status::Stale { age };
                    kept.replay(board);
                }
            }
        });
    }

    fn stored(&self) -> Option<(Snapshot<A::Item>, Duration)> {
        let stored = self.copies.get(&self.key()).ok().flatten()?;
        let copy = serde_json::from_str(&stored.text).ok()?;
        Some((copy, stored.age))
    }

    fn copy(&self) {
        let list = self.board.borrow().snapshot();
        if let Some(Ok(text)) = list.map(|list| serde_json::to_string(&list)) {
            let _ = self.copies.put(&self.key(), text);
        }
    }

    fn key(&self) -> String {
        format!("realtime/{}", self.settings.topic)
    }
}
