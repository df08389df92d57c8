//! A journal that fails from one of its writes on, for the criteria of the saga.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use futures::FutureExt as _;
use grader_kit::{Timeline, list, lock, ms};
use level3::journal::{
    Claimed, Journal, JournalError, JournalFuture, Lease, MemoryJournal, Opened, Record, SagaId,
    SagaLog, Standing, StoreId,
};
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::steps::Log;

/// What a journal does at a write and at those that follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is written, and this is the answer.
    Is(JournalError),
    /// Nothing is written, and this is the answer; only once.
    Once(JournalError),
    /// The batch is written, and the answer is lost; only once.
    WrittenOnce,
    /// Nothing is written, and there is no answer.
    Hangs,
    /// Nothing is written; the call panics.
    Panics,
    /// Written after so many milliseconds.
    Slow(u64),
}

/// A journal that fails from one of its writes on, and notes in the steps' log what it has written.
pub struct Faulty {
    memory: MemoryJournal,
    from: usize,
    fault: Fault,
    writes: AtomicUsize,
    log: Log,
    first_fault: Arc<OnceLock<usize>>,
    failed: Arc<Notify>,
    /// Where its writes are shown.
    timeline: Option<Timeline>,
}

/// How many lines the log had when the journal failed first.
pub struct CallsAfter(Arc<OnceLock<usize>>);

impl CallsAfter {
    pub fn first_fault(&self) -> Option<usize> {
        self.0.get().copied()
    }
}

impl Faulty {
    /// The first write is number 0: it opens the saga.
    pub fn new(memory: &MemoryJournal, from: usize, fault: Fault, log: &Log) -> Self {
        let (memory, log) = (memory.clone(), Arc::clone(log));
        Self {
            memory,
            from,
            fault,
            writes: AtomicUsize::new(0),
            log,
            first_fault: Arc::default(),
            failed: Arc::default(),
            timeline: None,
        }
    }

    /// Its writes are shown in the timeline.
    pub fn shown_in(self, timeline: &Timeline) -> Self {
        Self { timeline: Some(timeline.clone()), ..self }
    }

    pub fn calls_after(&self) -> CallsAfter {
        CallsAfter(Arc::clone(&self.first_fault))
    }

    /// Is woken when the journal fails.
    pub fn failed(&self) -> Arc<Notify> {
        Arc::clone(&self.failed)
    }

    /// The fault of the next write, if it meets one.
    fn next(&self) -> Option<Fault> {
        let nth = self.writes.fetch_add(1, Ordering::Relaxed);
        let meets = match self.fault {
            Fault::WrittenOnce | Fault::Once(_) => nth == self.from,
            _ => nth >= self.from,
        };
        if meets {
            let _ = self.first_fault.set(lock(&self.log).len());
            self.failed.notify_one();
        }
        meets.then_some(self.fault)
    }
}

/// What a written record announces, as a line for the log.
fn announced(record: &Record) -> Option<String> {
    match record {
        Record::StepStarted { step } => Some(format!("wrote {step}")),
        Record::UndoStarted { step, .. } => Some(format!("wrote undo {step}")),
        _ => None,
    }
}

/// A record in a timeline: its kind and its step.
pub fn told(record: &Record) -> String {
    let (kind, step) = match record {
        Record::Begun { .. } => ("Begun", None),
        Record::StepStarted { step } => ("StepStarted", Some(step)),
        Record::StepDone { step, .. } => ("StepDone", Some(step)),
        Record::StepFailed { failure, .. } => return format!("StepFailed({})", failure.step),
        Record::Compensating { .. } => ("Compensating", None),
        Record::UndoStarted { step, .. } => ("UndoStarted", Some(step)),
        Record::UndoDone { step, .. } => ("UndoDone", Some(step)),
        Record::UndoParked { step, .. } => ("UndoParked", Some(step)),
        Record::Completed => ("Completed", None),
        Record::Compensated => ("Compensated", None),
        Record::Parked => ("Parked", None),
    };
    step.map_or_else(|| kind.to_owned(), |step| format!("{kind}({step})"))
}

impl Journal for Faulty {
    fn store_id(&self) -> StoreId {
        self.memory.store_id()
    }

    fn open(&self, saga: SagaId, first: Record) -> JournalFuture<'_, Opened> {
        let fault = self.next();
        assert!(fault != Some(Fault::Panics), "a journal with a bug");
        async move {
            match fault {
                None => self.memory.open(saga, first).await,
                Some(Fault::Is(error) | Fault::Once(error)) => Err(error),
                Some(Fault::WrittenOnce) => {
                    self.memory.open(saga, first).await?;
                    Err(JournalError::Unavailable)
                }
                Some(Fault::Slow(takes)) => {
                    sleep(ms(takes)).await;
                    self.memory.open(saga, first).await
                }
                Some(Fault::Hangs | Fault::Panics) => std::future::pending().await,
            }
        }
        .boxed()
    }

    fn append(&self, lease: &Lease, records: Vec<Record>) -> JournalFuture<'_, ()> {
        let (fault, lease) = (self.next(), lease.clone());
        assert!(fault != Some(Fault::Panics), "a journal with a bug");
        let write = async move {
            let lines: Vec<String> = records.iter().filter_map(announced).collect();
            let batch = list(records.iter().map(told));
            self.memory.append(&lease, records).await?;
            if let Some(timeline) = &self.timeline {
                timeline.record("journal", format!("has written {batch}"));
            }
            lock(&self.log).extend(lines);
            Ok(())
        };
        async move {
            match fault {
                None => write.await,
                Some(Fault::Is(error) | Fault::Once(error)) => Err(error),
                Some(Fault::WrittenOnce) => {
                    write.await?;
                    Err(JournalError::Unavailable)
                }
                Some(Fault::Slow(takes)) => {
                    sleep(ms(takes)).await;
                    write.await
                }
                Some(Fault::Hangs | Fault::Panics) => std::future::pending().await,
            }
        }
        .boxed()
    }

    fn claim(&self, saga: SagaId) -> JournalFuture<'_, Claimed> {
        self.memory.claim(saga)
    }

    fn read(&self, saga: SagaId) -> JournalFuture<'_, Option<SagaLog>> {
        self.memory.read(saga)
    }

    fn list(&self, standing: Standing) -> JournalFuture<'_, Vec<SagaId>> {
        self.memory.list(standing)
    }
}
