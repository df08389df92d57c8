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
    /// What a journal in a stream has done.
    pub stream: Option<Streamed>,
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

    /// The counts of a journal in a stream.
    #[cfg(feature = "nats")]
    #[must_use]
    pub fn of_stream(recovered: &level5_jetstream::Recovered) -> Self {
        let name = |bad: &level5_jetstream::BadRecord| match &bad.event {
            Some(event) => event.to_string(),
            None => format!("message {}", bad.sequence),
        };
        Self {
            pending: recovered.pending,
            dead: recovered.dead,
            unreadable: recovered.unreadable.iter().map(name).collect(),
            damages: recovered.unreadable.iter().map(ToString::to_string).collect(),
            ..Self::default()
        }
    }
}

/// What a journal in a stream has done.
#[derive(Debug, Serialize)]
pub struct Streamed {
    /// The lane of this process.
    pub lane: u32,
    /// Records that the server has acknowledged.
    pub published: u64,
    /// Those that were sent again, since no answer came.
    pub published_again: u64,
    /// Those of them that the server had already.
    pub deduplicated: u64,
    /// Records that were removed.
    pub removed: u64,
    /// Events of dead processes that this one has taken over.
    pub taken_over: u64,
    /// Records of dead processes that cannot be read, and that are left in the stream.
    pub unreadable: Vec<String>,
}

#[cfg(feature = "nats")]
impl From<level5_jetstream::Figures> for Streamed {
    fn from(figures: level5_jetstream::Figures) -> Self {
        Self {
            lane: figures.lane,
            published: figures.published,
            published_again: figures.published_again,
            deduplicated: figures.deduplicated,
            removed: figures.removed,
            taken_over: figures.taken_over,
            unreadable: figures.unreadable.iter().map(ToString::to_string).collect(),
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
            || self.stream.as_ref().is_some_and(|stream| !stream.unreadable.is_empty())
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
        if let Some(stream) = &self.stream {
            writeln!(
                f,
                "  stream: lane {}, {} records published, {} of them again, {} removed; {} events of dead processes taken over",
                stream.lane,
                stream.published,
                stream.published_again,
                stream.removed,
                stream.taken_over
            )?;
            for bad in &stream.unreadable {
                writeln!(f, "  not delivered, since it cannot be read: {bad}")?;
            }
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
