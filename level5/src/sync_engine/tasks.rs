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
        // Now, before the records are handled: the latency is the source's, and the time of the engine is not.
        let took = began.elapsed();
        let wait = match outcome {
            Ok(incoming) => {
                // The records before the figures: a receiver that sees the poll counted finds what it has delivered.
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
        // The shutdown interrupts the wait and not the poll: what a source was asked for is worth its answer. Biased,
        // so that a wait of zero does not begin another poll after the shutdown.
        tokio::select! {
            biased;
            () = shared.closing.cancelled() => return,
            () = sleep(wait) => {}
        }
    }
}

/// Asks programs about conflicts until the channel is closed and every question is answered. The answers of different
/// records do not wait for each other.
pub(super) async fn questions(
    shared: Arc<Shared>,
    mut questions: mpsc::UnboundedReceiver<Question>,
) {
    // Not one task for each question: the futures are dropped with this task, so an engine that is dropped, and a
    // shutdown at its deadline, leave no program running.
    let mut asked = FuturesUnordered::new();
    let mut open = true;
    while open || !asked.is_empty() {
        // A closed channel is ready each time with `None`: without `if open` the loop would spin until the last answer.
        // Of the two futures one is dropped in each round, and neither loses anything by that: `recv` leaves its
        // question in the channel, `next` its answers in the set.
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
    // The program gets copies. The answer is compared with the conflict as it was asked.
    let (id, records) = (conflict.id.clone(), conflict.records.clone());
    // The program is called within the future, so that a panic before its first await is caught as well. Uncaught, it
    // would end the task that asks for all records. `AssertUnwindSafe`: of what it has touched only copies are left.
    let work = async move { resolver.resolve(id, records).await };
    let pick = AssertUnwindSafe(work).catch_unwind().await.ok().flatten();
    let resolved = pick.and_then(|pick| picked(&conflict, pick));
    (conflict, resolved)
}

/// Saves what changes. After a failure it waits, and then saves everything that has changed by then.
pub(super) async fn saves(shared: Arc<Shared>) {
    loop {
        // Woken and not on a timer: an engine whose records do not change does nothing.
        shared.unsaved.notified().await;
        // From the start again with each success: a store that is well is not made to wait for an old failure.
        let mut wait = SAVE_WAIT;
        while shared.save().await.is_err() {
            sleep(wait).await;
            wait = (wait * 2).min(LONGEST_SAVE_WAIT);
        }
    }
}
