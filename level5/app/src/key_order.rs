//! The order of the events of a key, while the journal writes several of them.
//!
//! A lane has many calls of the journal under way. Their futures become ready in any order: the journal may have
//! written a second event by the time at which its future is polled first, while the first event's future waits for its
//! turn in the lane. The processor accepts an event when the journal's future returns. So the future of an event
//! returns only after that of the event before it, of the same key.
//!
//! Events of a key are in the same lane, and a lane polls its calls one after another: when a later call sees that the
//! earlier one has returned, the processor has accepted the earlier event.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// The last call of each key that has one under way. A clone is a handle to the same calls.
#[derive(Debug, Clone, Default)]
pub struct KeyOrder(Arc<Mutex<Calls>>);

#[derive(Debug, Default)]
struct Calls {
    /// The number of the newest call.
    newest: u64,
    /// By key: the number of its last call, and the end of that call.
    last: HashMap<String, (u64, oneshot::Receiver<()>)>,
}

/// The turn of a call. The call ends when this is dropped.
#[derive(Debug)]
pub struct Turn {
    order: KeyOrder,
    key: String,
    number: u64,
    /// The end of the call before, until it was awaited.
    before: Option<oneshot::Receiver<()>>,
    /// Dropped with the turn, which tells the call behind.
    _ends: oneshot::Sender<()>,
}

impl KeyOrder {
    /// Begins a call for an event of this key, behind those that have begun.
    #[must_use]
    pub fn begin(&self, key: &str) -> Turn {
        let (ends, end) = oneshot::channel();
        let mut calls = self.lock();
        calls.newest += 1;
        let number = calls.newest;
        let before = calls.last.insert(key.to_owned(), (number, end)).map(|(_, end)| end);
        Turn { order: self.clone(), key: key.to_owned(), number, before, _ends: ends }
    }

    fn lock(&self) -> MutexGuard<'_, Calls> {
        // No code of others runs under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn {
    /// Waits until the call before has ended: it has returned, has failed or was dropped.
    ///
    /// # Cancellation
    ///
    /// Dropping the future loses nothing: the next one waits for the same call.
    pub async fn comes(&mut self) {
        if let Some(before) = &mut self.before {
            // Nothing is sent: the sender is dropped with its turn, and that is the end.
            let _ = before.await;
            self.before = None;
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut calls = self.order.lock();
        // A later call of the key has taken the entry.
        if calls.last.get(&self.key).is_some_and(|(number, _)| *number == self.number) {
            calls.last.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::poll;

    use super::*;

    #[tokio::test]
    async fn a_call_returns_after_the_one_before_it() {
        let order = KeyOrder::default();
        let first = order.begin("a");
        let (mut second, mut third) = (order.begin("a"), order.begin("a"));
        let mut other = order.begin("b");
        other.comes().await;
        assert!(poll!(Box::pin(second.comes())).is_pending());
        assert!(poll!(Box::pin(third.comes())).is_pending());
        drop(first);
        second.comes().await;
        assert!(poll!(Box::pin(third.comes())).is_pending(), "the second one has not returned");
        drop(second);
        third.comes().await;
        third.comes().await;
        drop((third, other));
        assert!(order.lock().last.is_empty(), "a key without a call is forgotten");
    }

    #[tokio::test]
    async fn a_key_whose_calls_have_ended_begins_anew() {
        let order = KeyOrder::default();
        drop(order.begin("a"));
        order.begin("a").comes().await;
    }
}
