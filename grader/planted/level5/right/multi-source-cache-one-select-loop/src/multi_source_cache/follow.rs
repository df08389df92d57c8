//! The task of a source: one loop.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{BoxStream, FuturesUnordered};
use futures::{FutureExt as _, StreamExt as _, stream};
use tokio::time::{Instant, sleep};

use super::source::{Asked, Pushes, SyncStatus, Update};
use super::{CacheKey, CacheValue, Shared, lock};

/// Follows a source.
pub(super) async fn run<K: CacheKey, V: CacheValue>(
    shared: Arc<Shared<K, V>>,
    asked: Asked<K, V>,
    every: Option<Duration>,
    updates: Option<BoxStream<'static, Update<K, V>>>,
) {
    let mut open = updates.is_some();
    let mut updates = updates.unwrap_or_else(|| stream::pending().boxed());
    let mut waiting: VecDeque<K> = VecDeque::new();
    let mut loads = FuturesUnordered::new();
    let mut next = every.and_then(|every| Instant::now().checked_add(every));
    let mut at_once = false;
    while open || next.is_some() {
        while loads.len() < shared.config.pulls_at_once.get()
            && let Some(key) = waiting.pop_front()
        {
            let (shared, asked) = (&shared, &asked);
            loads.push(async move { shared.ask(asked, &key).await.is_err() });
        }
        let idle = loads.is_empty();
        if idle && at_once {
            at_once = false;
            waiting = lock(&shared.state).entries.known().into();
            if !waiting.is_empty() {
                continue;
            }
        }
        let wait =
            next.map_or(Duration::MAX, |next| next.saturating_duration_since(Instant::now()));
        tokio::select! {
            Some(failed) = loads.next(), if !idle => if failed {
                note(&shared, &asked, |status| status.failed_pulls += 1);
            },
            update = AssertUnwindSafe(updates.next()).catch_unwind(), if open => match update {
                Ok(Some(Update::Changed(key, value))) => {
                    let mut state = lock(&shared.state);
                    let kept = shared.arrives(value, &asked.id);
                    if state.sources.get(&asked.id).is_some_and(|known| known.number == asked.number) {
                        let gone = state.entries.offer(key, kept);
                        drop(state);
                        drop(gone);
                    }
                }
                Ok(Some(Update::Lost(count))) => {
                    note(&shared, &asked, |status| status.lost = status.lost.saturating_add(count));
                    at_once = every.is_some();
                }
                Ok(None) | Err(_) => {
                    open = false;
                    note(&shared, &asked, |status| status.pushes = Pushes::Ended);
                }
            },
            () = sleep(wait), if next.is_some() => {
                at_once = true;
                next = every.and_then(|every| Instant::now().checked_add(every));
            }
        }
    }
}

fn note<K, V>(shared: &Shared<K, V>, asked: &Asked<K, V>, change: impl FnOnce(&mut SyncStatus)) {
    if let Some(known) = lock(&shared.state).sources.get_mut(&asked.id)
        && known.number == asked.number
    {
        change(&mut known.status);
    }
}
