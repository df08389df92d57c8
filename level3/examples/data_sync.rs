//! A data sync: three parts of a user's data from an outside service, each on its own.
//!
//! Every part is a step that may fail, behind a rate limiter and a retry of its own; the last step
//! writes down which parts arrived.
//!
//! `cargo run -p level3 --example data_sync`

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use level3::deadline::Deadline;
use level3::journal::{FailureKind, MemoryJournal, SagaId};
use level3::limiter::{Priority, RateLimiter};
use level3::nonzero;
use level3::retry::{Disposition, NoJitter, RetryPolicy, retry};
use level3::saga::{Saga, SagaOutcome, Step, StepContext, StepError};
use serde::{Deserialize, Serialize};
use tokio::time::{sleep, timeout};

/// The parts, in the order in which they are asked for.
const PARTS: [&str; 3] = ["profile", "preferences", "activity"];

/// What the saga works with: what has arrived.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Synced {
    parts: BTreeMap<String, String>,
}

/// The service, its rate limit and our database.
#[derive(Clone)]
struct Sync {
    limiter: Arc<RateLimiter>,
    down: BTreeSet<&'static str>,
    hangs: BTreeSet<&'static str>,
    /// The parts of each recorded sync.
    recorded: Arc<Mutex<Vec<Vec<String>>>>,
}

impl Sync {
    fn lock(&self) -> MutexGuard<'_, Vec<Vec<String>>> {
        self.recorded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn fetch(
        part: &'static str,
        mut synced: Synced,
        context: StepContext<Self>,
    ) -> Result<Synced, StepError> {
        let sync = &context.shared;
        let policy = RetryPolicy::default();
        let classify = |_: &String| Disposition::Retry;
        let fetched = retry(&policy, &NoJitter, context.deadline, classify, |_| async {
            sync.limiter
                .admit(Priority::Charge, context.deadline)
                .await
                .map_err(|error| error.to_string())?;
            let answer = async {
                sleep(Duration::from_millis(150)).await;
                if sync.hangs.contains(part) {
                    std::future::pending::<()>().await;
                }
                if sync.down.contains(part) {
                    Err("unavailable".to_owned())
                } else {
                    Ok(format!("{part} of 7"))
                }
            };
            timeout(Duration::from_secs(5), answer).await.map_err(|late| late.to_string())?
        });
        // Reading has no effect, also when it failed.
        let failed = |error| StepError::not_done(FailureKind::Transient, error);
        let value = fetched.await.map_err(failed)?.value;
        synced.parts.insert(part.to_owned(), value);
        Ok(synced)
    }

    async fn record(synced: Synced, context: StepContext<Self>) -> Result<Synced, StepError> {
        context.shared.lock().push(synced.parts.keys().cloned().collect());
        Ok(synced)
    }
}

fn sync_saga(sync: &Sync) -> Saga<Synced, Sync> {
    let saga = Saga::sharing("sync", Arc::new(sync.clone()));
    let saga = PARTS.into_iter().fold(saga, |saga, part| {
        let fetch = move |synced, context| Sync::fetch(part, synced, context);
        saga.step(Step::new(part, fetch).not_critical())
    });
    saga.step(Step::new("record", Sync::record))
}

fn service(
    down: &[&'static str],
    hangs: &[&'static str],
) -> Result<Sync, level3::limiter::LimiterConfigError> {
    let limiter = RateLimiter::new(nonzero!(10), Duration::from_secs(1))?;
    Ok(Sync {
        limiter: Arc::new(limiter),
        down: down.iter().copied().collect(),
        hangs: hangs.iter().copied().collect(),
        recorded: Arc::default(),
    })
}

async fn synchronize(sync: &Sync) -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let saga = Arc::new(sync_saga(sync));
    let deadline = Deadline::after(Duration::from_secs(60));
    let journal = Arc::new(MemoryJournal::new());
    match saga.execute(journal, SagaId::new("user-7"), Synced::default(), deadline).await? {
        SagaOutcome::Completed(synced) => Ok(synced.parts.into_keys().collect()),
        end => Err(format!("{end:?}").into()),
    }
}

#[tokio::main(flavor = "current_thread", start_paused = true)]
#[expect(clippy::disallowed_macros, reason = "the reference's run, committed beside this file")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    demo_kit::or_recorded(include_str!("recorded/data_sync.txt"), show()).await
}

async fn show() -> Result<(), Box<dyn std::error::Error>> {
    for sync in [service(&[], &[])?, service(&["preferences"], &["activity"])?] {
        println!("synchronized: {:?}", synchronize(&sync).await?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn every_part_arrives() {
        let sync = service(&[], &[]).unwrap();
        assert_eq!(synchronize(&sync).await.unwrap(), ["activity", "preferences", "profile"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_part_that_fails_or_hangs_keeps_no_other() {
        let sync = service(&["preferences"], &["activity"]).unwrap();
        assert_eq!(synchronize(&sync).await.unwrap(), ["profile"]);
        assert_eq!(*sync.lock(), [["profile"]]);
    }
}
