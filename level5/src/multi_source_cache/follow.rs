//! The task of a source: it pulls, and follows the source's updates.
//!
//! ```text
//!               ┌─ the interval is over ───────▶ pull: load every key that has a value
//!   wait for ───┼─ an update ──────────────────▶ offer it
//!               ├─ updates were lost ──────────▶ count them; a hybrid source is pulled at once
//!               └─ the stream has ended ───────▶ note it; wait for the interval alone
//! ```

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::BoxStream;
use futures::{FutureExt as _, StreamExt as _};
use tokio::task::coop::consume_budget;
use tokio::time::{Instant, sleep_until};

use super::source::{Asked, Pushes, SyncStatus, Update};
use super::{CacheKey, CacheValue, Shared, lock};

/// Follows a source until the task is aborted, or until its stream has ended and it is not pulled.
pub(super) async fn run<K: CacheKey, V: CacheValue>(
    shared: Arc<Shared<K, V>>,
    asked: Asked<K, V>,
    every: Option<Duration>,
    updates: Option<BoxStream<'static, Update<K, V>>>,
) {
    // Updates and pulls run side by side: a pull whose source hangs must not hold up the updates, of which the source
    // would lose some. They share only the signal for a pull out of turn. `Notify` keeps one permit: losses during a
    // pull lead to one more pull after it, and not to one for each.
    let lost = tokio::sync::Notify::new();
    let pulls = async {
        let Some(every) = every else { return };
        let mut began = Instant::now();
        loop {
            wait(began, every, &lost).await;
            // From beginning to beginning: a slow source is not pulled less often.
            began = Instant::now();
            pull(&shared, &asked).await;
        }
    };
    let pushes = async {
        let Some(mut updates) = updates else { return };
        // A panic of the stream is its end. It is not polled again. Uncaught, it would end the task, and the pulls
        // with it.
        while let Ok(Some(update)) = AssertUnwindSafe(updates.next()).catch_unwind().await {
            match update {
                Update::Changed(key, value) => {
                    let replaced = {
                        let mut state = lock(&shared.state);
                        // Under the lock, so that the arrivals have the order in which they change the entries.
                        let kept = shared.arrives(value, &asked.id);
                        // The source may have been removed while this task runs on another thread: an abort takes
                        // effect at the next await point. A late update must not put its value back.
                        let current = state.sources.get(&asked.id);
                        let current = current.is_some_and(|known| known.number == asked.number);
                        current.then(|| state.entries.offer(key, kept))
                    };
                    // After the lock: a value's destructor is the caller's code.
                    drop(replaced);
                }
                Update::Lost(count) => {
                    note(&shared, &asked, |status| status.lost = status.lost.saturating_add(count));
                    // Which keys have changed is unknown, so every one is loaded. Without pulls the permit has no
                    // reader.
                    lost.notify_one();
                }
            }
            // A stream that is always ready must not keep the thread from other tasks, nor this one from its pulls.
            consume_budget().await;
        }
        note(&shared, &asked, |status| status.pushes = Pushes::Ended);
    };
    // `join!` and not two tasks: one abort ends both, and both borrow what they share.
    futures::join!(pulls, pushes);
}

/// Waits until `every` is over, or updates were lost.
async fn wait(began: Instant, every: Duration, lost: &tokio::sync::Notify) {
    // An interval that no clock can hold never ends. The sum would panic.
    let over = async {
        match began.checked_add(every) {
            Some(end) => sleep_until(end).await,
            None => std::future::pending().await,
        }
    };
    // If both are ready, either one begins the pull, and the permit of the other leads to one pull more.
    tokio::select! {
        () = over => {}
        () = lost.notified() => {}
    }
}

/// Loads every key that has a value from this source, a few at once.
async fn pull<K: CacheKey, V: CacheValue>(shared: &Shared<K, V>, asked: &Asked<K, V>) {
    // The keys of this moment. One that gets its first value during the pull is loaded by the next one.
    let keys = lock(&shared.state).entries.known();
    let at_once = shared.config.pulls_at_once.get();
    // A bound, since a source with ten thousand keys would get as many requests at once. A failure is counted and the
    // pull goes on: one bad key must not keep the others from their updates.
    let loads = futures::stream::iter(keys).for_each_concurrent(at_once, async |key| {
        if shared.ask(asked, &key).await.is_err() {
            note(shared, asked, |status| {
                status.failed_pulls = status.failed_pulls.saturating_add(1)
            });
        }
    });
    loads.await;
}

/// Changes the status of a source, if it is still registered: the number tells it from a later source with the same id.
fn note<K, V>(shared: &Shared<K, V>, asked: &Asked<K, V>, change: impl FnOnce(&mut SyncStatus)) {
    let mut state = lock(&shared.state);
    let known = state.sources.get_mut(&asked.id);
    if let Some(known) = known.filter(|known| known.number == asked.number) {
        change(&mut known.status);
    }
}
