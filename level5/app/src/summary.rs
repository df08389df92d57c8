//! The result of a run.

use std::fmt;

use level5_journal::{Figures as JournalFigures, Recovered};
use serde::Serialize;

use crate::balance::Balance;
use crate::figures::Percentiles;
use crate::problem::Outcome;

/// The result of a run, as text and as JSON.
#[derive(Debug, Serialize)]
pub struct Summary {
    /// What begins the ids of generated events.
    pub id_prefix: String,
    /// How long it took, from the first event to the end of the drain.
    pub seconds: f64,
    /// Events that ended in a second.
    pub events_per_second: f64,
    /// The proof.
    pub balance: Balance,
    /// What was not accepted.
    pub refused: Refused,
    /// What the journal had when it was opened.
    pub recovered: RecoveredCounts,
    /// Events that a service has taken more than once in this run.
    pub repeated: u64,
    /// How often an event had to wait, because as many were pending as may be or the journal was full.
    pub waits: u64,
    /// Batches that were sent.
    pub batches: u64,
    /// Those that had no acknowledgements.
    pub failed_batches: u64,
    /// How long events took until the journal had them, in milliseconds.
    pub accepted_after_ms: Percentiles,
    /// How long events took until their services had acknowledged them, in milliseconds.
    pub delivered_after_ms: Delivered,
    /// What a journal in files has written.
    pub journal: Option<Written>,
    /// Why the run ended early.
    pub error: Option<String>,
}

/// What was not accepted.
#[derive(Debug, Serialize)]
pub struct Refused {
    /// Events with an id that was accepted before.
    pub duplicates: u64,
    /// Events that were taken from the source when the run ended.
    pub not_accepted: u64,
    /// Lines that are no events.
    pub skipped_lines: u64,
    /// The first of them, with what is wrong.
    pub bad_lines: Vec<String>,
}

/// What the journal had when it was opened.
#[derive(Debug, Default, Serialize)]
pub struct RecoveredCounts {
    /// Events that had not ended.
    pub pending: u64,
    /// Dead letters.
    pub dead: u64,
    /// Dead letters that were sent again.
    pub redriven: u64,
    /// Bytes of an incomplete group that was cut off.
    pub torn_bytes: u64,
    /// Accepted events that cannot be read.
    pub unreadable: Vec<String>,
    /// What is damaged.
    pub damages: Vec<String>,
}

impl RecoveredCounts {
    /// The counts of a journal in files.
    #[must_use]
    pub fn of(recovered: &Recovered) -> Self {
        let torn = recovered.torn.iter();
        let events = recovered.damages.iter().map(|damage| &damage.events);
        let events = events.chain(torn.clone().map(|torn| &torn.events)).flatten();
        Self {
            pending: recovered.pending,
            dead: recovered.dead,
            redriven: 0,
            torn_bytes: torn.map(|torn| torn.bytes).sum(),
            unreadable: events.map(ToString::to_string).collect(),
            damages: recovered.damages.iter().map(ToString::to_string).collect(),
        }
    }
}

/// How long events took until their services had acknowledged them, in milliseconds.
#[derive(Debug, Serialize)]
pub struct Delivered {
    /// On average.
    pub mean: f64,
    /// 99 of 100 events took at most this time.
    pub p99: f64,
}

/// What a journal in files has written.
#[derive(Debug, Serialize)]
pub struct Written {
    /// Groups: each is one sync.
    pub syncs: u64,
    /// Bytes, compaction included.
    pub bytes: u64,
    /// Bytes of compaction.
    pub moved_bytes: u64,
    /// Bytes that it has at the end.
    pub disk_bytes: u64,
}

impl From<JournalFigures> for Written {
    fn from(figures: JournalFigures) -> Self {
        Self {
            syncs: figures.groups,
            bytes: figures.written_bytes,
            moved_bytes: figures.moved_bytes,
            disk_bytes: figures.disk_bytes,
        }
    }
}

impl Summary {
    /// The outcome that the exit code shows.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        let balance = &self.balance;
        if self.error.is_some() || !balance.is_right() {
            Outcome::Failed
        } else if balance.dead + balance.pending + self.refused.skipped_lines > 0
            || !self.recovered.unreadable.is_empty()
        {
            Outcome::Unsettled
        } else {
            Outcome::Done
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Balance { accepted, delivered, dead, pending, lost, wrong } = &self.balance;
        let Self { seconds, events_per_second, repeated, recovered, refused, .. } = self;
        writeln!(
            f,
            "{delivered} events delivered in {seconds:.2} s, {events_per_second:.0} per second"
        )?;
        if wrong.is_empty() {
            writeln!(
                f,
                "  {accepted} accepted = {delivered} delivered + {dead} dead + {pending} pending; {lost} lost"
            )?;
        } else {
            writeln!(f, "  THE COUNTS DO NOT ADD UP, {lost} lost: {}", wrong.join("; "))?;
        }
        if recovered.pending + recovered.dead > 0 {
            writeln!(
                f,
                "  {} of them were pending and {} dead letters when the journal was opened",
                recovered.pending, recovered.dead
            )?;
        }
        writeln!(
            f,
            "  {repeated} delivered again; {} batches, {} without an answer",
            self.batches, self.failed_batches
        )?;
        let Refused { duplicates, not_accepted, skipped_lines, .. } = refused;
        writeln!(
            f,
            "  refused: {duplicates} repeated ids, {skipped_lines} lines, {not_accepted} at the end"
        )?;
        let (taken, done) = (&self.accepted_after_ms, &self.delivered_after_ms);
        writeln!(
            f,
            "  accepted after p50 {:.1} ms, p95 {:.1} ms, p99 {:.1} ms; delivered after {:.0} ms, p99 {:.0} ms",
            taken.p50, taken.p95, taken.p99, done.mean, done.p99
        )?;
        if let Some(journal) = &self.journal {
            writeln!(
                f,
                "  journal: {} syncs, {:.1} MB written, {:.1} MB left on the disk",
                journal.syncs,
                journal.bytes as f64 / 1e6,
                journal.disk_bytes as f64 / 1e6
            )?;
        }
        if *dead > 0 {
            writeln!(
                f,
                "  event-processor dead-letters lists the dead letters; --redrive sends them again"
            )?;
        }
        if *pending > 0 {
            writeln!(f, "  the next start delivers what is pending")?;
        }
        Ok(())
    }
}
