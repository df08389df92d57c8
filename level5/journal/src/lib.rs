//! [`FileJournal`]: the [`Journal`](level5::event_processor::Journal) of level 5's event processor in a folder of files,
//! with group commit.
//!
//! ```no_run
//! use level5::event_processor::{Config, Event, Processor, Service, Sink, StartError};
//! use level5_journal::{FileJournal, JournalConfig};
//!
//! async fn start(sink: impl Sink) -> Result<(), Box<dyn std::error::Error>> {
//!     let journal = FileJournal::open("events.journal", JournalConfig::default())?;
//!     let route = |_: &Event| Service::new("analytics");
//!     let _processor = Processor::start(Config::default(), sink, journal, route).await?;
//!     Ok(())
//! }
//! ```
//!
//! # What it promises
//!
//! * A call is ready when its records are on the disk. Calls that come while others are being synced share the next sync.
//! * After a crash, every record of a call that was ready is there. The last group, if it was not complete, is cut off;
//!   [`Recovered::torn`] says so. No call about it was ready.
//! * A record that was acknowledged and cannot be read is never passed over in silence. [`FileJournal::open`] refuses such
//!   a journal and names the events, or goes on without them if it is asked to: [`Damaged`].
//! * What is live is in memory too, as the processor has it anyway: opening reads all files, and nothing is read later.
//! * A folder has one owner at a time; the lock ends with the process, however that ends.
//! * The files have at most twice the bytes of what is live and two segments, since compaction writes the live records of
//!   the oldest segments again and removes those. [`JournalConfig::max_bytes`] bounds what is live.
//! * When the disk or the journal is full, a call fails, nothing of it is kept, and the journal goes on when there is room:
//!   [`WriteError`].
//! * A journal of a newer version of the format is refused and stays as it is.
//!
//! # Files
//!
//! ```text
//!  FOLDER/lock                            locked as long as the journal is open
//!  FOLDER/00000000000000000007.segment    header │ record record record seal │ record seal │ ...
//!  FOLDER/00000000000000000008.segment             ───────── group ────────    ─ group ──
//! ```
//!
//! A record has its length and a checksum before it. A group ends with a *seal*: its number, where it begins, and a table of
//! its records with the ids of the events. A group is synced before the next one is begun, so that an unreadable group
//! before another one is damage, and at the very end it was being written. The table names the events of records that
//! cannot be read, also when a length is damaged.
//!
//! Segments are removed oldest first. A segment without live records may have the ends of events whose records are in an
//! older one: without those ends, the events would be pending again.
//!
//! # Why files of its own
//!
//! | store | for it | against it |
//! |---|---|---|
//! | redb | in the workspace; a checksum for every page; one dependency | a tree: each commit writes the changed pages again, and each event is inserted and then removed |
//! | fjall | a log and sorted files, merged in the background; made for much data | a journal is read only at a start, and needs no sorting by key; threads and dependencies of its own; a group of many callers still has to be formed before it |
//! | okaywal | a log with durable writes from several threads | its documentation says that it is not for production and that its format is unstable; no release since November 2023; what is live moves to another store at each checkpoint |
//! | commitlog | a log in segments | an append does not sync, and a separate call does for all; which records are live, and compaction by that, are left to its user |
//! | NATS JetStream | several machines | a server. Where one machine is not enough, `level5/jetstream` stands behind the same trait |
//!
//! The event processor writes each event once, ends it once, and reads at a start only. That is a log, in which a group
//! costs one write and one sync. `cargo bench -p level5-bench` measures it beside the disk's own sequential write, redb and
//! a sync for each event; level5/performance-report.md has the figures.

mod config;
mod error;
mod folder;
mod group;
mod index;
mod journal;
mod record;
mod recovery;
mod segment;
mod writer;

pub use config::{Damaged, JournalConfig};
pub use error::{Damage, OpenError, WriteError};
pub use journal::FileJournal;
pub use recovery::{Recovered, Torn};
pub use writer::Figures;
