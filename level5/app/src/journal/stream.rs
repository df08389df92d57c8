//! The journal in a stream, which several processes share.

use std::sync::atomic::Ordering;
use std::time::Duration;

use level5::event_processor::{DeadLetter, Event, Rejected};
use level5_jetstream::{Address, JetStreamConfig, JetStreamJournal, OpenError, Unreadable};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::args::ProcessorArgs;
use crate::ingest::Ingest;
use crate::problem::ProgramError;

/// So long the end of the program waits until its lane is free. Without that it is free when the lease is over.
const FAREWELL: Duration = Duration::from_secs(10);

fn config(args: &ProcessorArgs) -> JetStreamConfig {
    JetStreamConfig {
        lane: args.lane,
        max_bytes: args.journal_limit << 20,
        lease: Duration::from_secs(args.lease.get().into()),
        unreadable: if args.accept_damage { Unreadable::Accept } else { Unreadable::Refuse },
        ..JetStreamConfig::default()
    }
}

fn address(text: &str) -> Result<Address, ProgramError> {
    text.parse().map_err(ProgramError::Address)
}

pub(super) async fn open(
    text: &str,
    args: &ProcessorArgs,
) -> Result<JetStreamJournal, ProgramError> {
    Ok(JetStreamJournal::open(&address(text)?, config(args)).await?)
}

/// The dead letters of all lanes. Their owners go on meanwhile.
pub(super) async fn dead_letters(
    text: &str,
    args: &ProcessorArgs,
) -> Result<Vec<DeadLetter>, ProgramError> {
    match JetStreamJournal::dead_letters(&address(text)?, config(args)).await? {
        (letters, bad) if bad.is_empty() || args.accept_damage => Ok(letters),
        (_, records) => Err(OpenError::Unreadable { records }.into()),
    }
}

pub(super) async fn close(journal: JetStreamJournal) {
    if timeout(FAREWELL, journal.close()).await.is_err() {
        tracing::warn!("the lane could not be released");
    }
}

/// Takes the events of dead processes into the processor, until the sources have `ended` and every other process with
/// events is alive, or until the run is asked to stop.
pub(crate) async fn take_over(
    ingest: &Ingest,
    journal: &JetStreamJournal,
    ended: &CancellationToken,
) {
    let settled = async {
        ended.cancelled().await;
        journal.settled().await;
    };
    tokio::pin!(settled);
    loop {
        let taken = tokio::select! {
            // What was taken over comes before everything is settled.
            biased;
            () = ingest.stopping.cancelled() => return,
            taken = journal.taken_over() => taken,
            () = &mut settled => return,
        };
        // The journal has lost its lane: the next call says so.
        let Some(taken) = taken else { return };
        // Outside of the select: a call that is dropped leaves its event to another process.
        for event in taken {
            if !take(ingest, journal, &event).await {
                return;
            }
        }
    }
}

/// Returns whether the run goes on. An event that is not accepted stays in the stream for another process.
async fn take(ingest: &Ingest, journal: &JetStreamJournal, event: &Event) -> bool {
    loop {
        match ingest.processor.ingest(event.clone()).await {
            Ok(()) => {
                ingest.figures.accepted.fetch_add(1, Ordering::Relaxed);
                return true;
            }
            // A client has tried again here.
            Err(Rejected::Duplicate) => {
                journal.decline(&event.id);
                return true;
            }
            Err(Rejected::Backpressure { retry_after }) => {
                tokio::select! {
                    () = sleep(retry_after) => {}
                    () = ingest.stopping.cancelled() => return false,
                }
            }
            Err(Rejected::Journal(error)) => {
                let _ = ingest.failure.set(error);
                ingest.stopping.cancel();
                return false;
            }
            Err(Rejected::Invalid(_) | Rejected::Closed) => return false,
        }
    }
}
