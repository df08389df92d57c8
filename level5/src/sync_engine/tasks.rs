//! The tasks of an engine: one for each source, one that asks programs, one that saves.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use crate::conflict::Resolved;

use super::config::Conflict;
use super::entry::picked;
use super::pace::Pace;
use super::shared::Shared;
use super::source::Asked;
use super::state::Question;

/// The wait after a save that has failed; it doubles up to [`LONGEST_SAVE_WAIT`].
const SAVE_WAIT: Duration = Duration::from_secs(1);
const LONGEST_SAVE_WAIT: Duration = Duration::from_secs(60);

/// Polls a source until the engine is shut down or the task is aborted. One poll at a time: the next one begins when
/// this one has ended, however long it takes.
pub(super) async fn polls(shared: Arc<Shared>, asked: Asked, mut pace: Pace) {
    loop {
        let began = Instant::now();
        let outcome = asked.fetch_all(shared.config.fetch_timeout).await;
        let took = began.elapsed();
        let wait = match outcome {
            Ok(incoming) => {
                shared.arrive(&asked, incoming).await;
                shared.polled(&asked, Ok(took));
                pace.succeeded(took)
            }
            Err(failure) => {
                let wait = pace.failed();
                shared.polled(&asked, Err((failure, pace.failures())));
                wait
            }
        };
        // The shutdown interrupts the wait and not the poll: what a source was asked for is worth its answer.
        tokio::select! {
            biased;
            () = shared.closing.cancelled() => return,
            () = sleep(wait) => {}
        }
    }
}

/// Asks programs about conflicts until there are no questions any more. The answers of different records do not wait
/// for each other.
pub(super) async fn questions(
    shared: Arc<Shared>,
    mut questions: mpsc::UnboundedReceiver<Question>,
) {
    let mut asked = FuturesUnordered::new();
    let mut open = true;
    while open || !asked.is_empty() {
        tokio::select! {
            question = questions.recv(), if open => match question {
                Some(question) => asked.push(answer(question)),
                None => open = false,
            },
            Some((conflict, pick)) = asked.next(), if !asked.is_empty() => {
                shared.answered(&conflict, pick);
            }
        }
    }
}

/// The answer to a question. A program that panics, or picks a source without a record, leaves the conflict open.
async fn answer(question: Question) -> (Conflict, Option<Resolved>) {
    let Question { conflict, resolver } = question;
    let (id, records) = (conflict.id.clone(), conflict.records.clone());
    let work = async move { resolver.resolve(id, records).await };
    let pick = AssertUnwindSafe(work).catch_unwind().await.ok().flatten();
    let resolved = pick.and_then(|pick| picked(&conflict, pick));
    (conflict, resolved)
}

/// Saves what changes. After a failure it waits, and saves what has collected meanwhile.
pub(super) async fn saves(shared: Arc<Shared>) {
    loop {
        shared.unsaved.notified().await;
        let mut wait = SAVE_WAIT;
        while shared.save().await.is_err() {
            sleep(wait).await;
            wait = (wait * 2).min(LONGEST_SAVE_WAIT);
        }
    }
}
