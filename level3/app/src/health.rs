//! Watches whether the store still accepts payments.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use level3_adapters::sql::StoreError;
use level3_domain::answer::{PayError, Reply};
use tokio::sync::watch;
use tokio::time::Instant;

/// How long a store may fail before the stream is stopped. A database server starts again in that
/// time, or another one takes its place.
const PATIENCE: Duration = Duration::from_secs(30);

/// Follows the answers to clients, and decides when the stream cannot continue.
#[derive(Debug)]
pub struct Health {
    failing: Mutex<Option<Failing>>,
    given_up: watch::Sender<bool>,
}

#[derive(Debug, Clone)]
struct Failing {
    since: Instant,
    error: PayError,
    cause: Option<StoreError>,
}

impl Health {
    pub fn new() -> Self {
        Self { failing: Mutex::default(), given_up: watch::Sender::new(false) }
    }

    /// Notes the answer to a client, and the last error of the store.
    pub fn saw(&self, result: &Result<Reply, PayError>, last_error: Option<StoreError>) {
        let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        let error = match result {
            Err(error @ (PayError::JournalUnavailable | PayError::JournalUnreadable(_))) => {
                error.clone()
            }
            // A refusal for another reason says nothing about the store.
            Err(_) => return,
            Ok(_) => {
                if !*self.given_up.borrow() {
                    *failing = None;
                }
                return;
            }
        };
        let failing =
            failing.get_or_insert_with(|| Failing { since: Instant::now(), error, cause: None });
        failing.cause = last_error.or(failing.cause.take());
        let hopeless = failing.cause.as_ref().is_some_and(needs_somebody);
        if hopeless || failing.since.elapsed() >= PATIENCE {
            self.given_up.send_replace(true);
        }
    }

    /// Waits until the stream cannot continue.
    pub async fn given_up(&self) {
        // `self` has the sender, so the channel is not closed.
        let _ = self.given_up.subscribe().wait_for(|given_up| *given_up).await;
    }

    /// Returns why the stream cannot continue; `None` if it can.
    pub fn verdict(&self) -> Option<(PayError, Option<StoreError>)> {
        if !*self.given_up.borrow() {
            return None;
        }
        let failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        Some((failing.error, failing.cause))
    }
}

/// Whether the error stays until an operator acts.
const fn needs_somebody(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::Full { .. }
            | StoreError::ReadOnly { .. }
            | StoreError::Damaged { .. }
            | StoreError::Gone { .. }
            | StoreError::Io { .. }
            | StoreError::Closed { .. }
            | StoreError::Tls { .. }
            | StoreError::NoPassword { .. }
            | StoreError::Unreadable { .. }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOWN: Result<Reply, PayError> = Err(PayError::JournalUnavailable);

    fn lost() -> Option<StoreError> {
        Some(StoreError::Lost { place: "there".to_owned(), why: "gone".to_owned() })
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_may_be_away_for_a_while() {
        let health = Health::new();
        health.saw(&DOWN, lost());
        tokio::time::sleep(PATIENCE - Duration::from_millis(1)).await;
        health.saw(&DOWN, None);
        assert_eq!(health.verdict(), None);
        tokio::time::sleep(Duration::from_millis(1)).await;
        health.saw(&DOWN, None);
        assert_eq!(health.verdict(), Some((PayError::JournalUnavailable, lost())));
        health.given_up().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_disk_needs_somebody() {
        let health = Health::new();
        let full = StoreError::Full { place: "there".to_owned(), why: "full".to_owned() };
        health.saw(&DOWN, Some(full.clone()));
        assert_eq!(health.verdict(), Some((PayError::JournalUnavailable, Some(full))));
    }

    #[tokio::test(start_paused = true)]
    async fn an_overloaded_gateway_is_no_broken_store() {
        let health = Health::new();
        health.saw(&Err(PayError::Overloaded { retry_after: Duration::ZERO }), lost());
        tokio::time::sleep(PATIENCE * 2).await;
        health.saw(&Err(PayError::Overloaded { retry_after: Duration::ZERO }), lost());
        assert_eq!(health.verdict(), None);
    }
}
