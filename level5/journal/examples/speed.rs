//! Measures the journal against the disk, against redb, and against a sync for each event.
//!
//! ```console
//! $ cargo run --release -p level5-journal --example speed [EVENTS IN A CALL] [BYTES OF AN EVENT] [CALLS AT ONCE] [EVENTS]
//! ```
//!
//! All four keep the same events, with the same number of events for each sync but in the last: `disk` writes blocks of
//! zeros of the size of the journal's groups to a file and syncs each; `redb` puts the events of a group into one
//! transaction. The folder is made in the current one, so that a temporary folder in memory does not count as a disk.

use std::error::Error;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt as _;
use jiff::Timestamp;
use level5::event_processor::{Event, EventId, Journal as _};
use level5::priority_queue::Priority;
use level5_journal::{FileJournal, JournalConfig};
use redb::{Database, TableDefinition};
use tokio::time::Instant;

type AnyError = Box<dyn Error>;

fn events(count: usize, bytes: usize) -> Vec<Arc<Event>> {
    let data = Bytes::from(vec![b'x'; bytes]);
    let event = |number| Event {
        id: EventId::new(format!("run-4f1c-{number}")),
        kind: "user_action".to_owned(),
        key: None,
        priority: Priority::Medium,
        at: Timestamp::UNIX_EPOCH,
        data: data.clone(),
    };
    (0..count).map(event).map(Arc::new).collect()
}

/// Returns events per second, bytes per group, and bytes per second.
async fn journal(
    folder: &Path,
    events: &[Arc<Event>],
    call: usize,
    at_once: usize,
) -> Result<(f64, u64, f64), AnyError> {
    let config = JournalConfig { segment_bytes: 256 << 20, ..JournalConfig::default() };
    let journal = FileJournal::open(folder, config)?;
    let begun = Instant::now();
    let calls = futures::stream::iter(events.chunks(call)).map(|chunk| journal.append(chunk));
    let mut calls = calls.buffer_unordered(at_once);
    while let Some(kept) = calls.next().await {
        kept?;
    }
    let took = begun.elapsed().as_secs_f64();
    let figures = journal.figures();
    let group = figures.written_bytes / figures.groups;
    Ok((events.len() as f64 / took, group, figures.written_bytes as f64 / took))
}

/// Returns bytes per second.
fn disk(folder: &Path, group: u64, bytes: u64) -> Result<f64, AnyError> {
    let block = vec![0; usize::try_from(group)?];
    let mut file = OpenOptions::new().create_new(true).write(true).open(folder.join("disk"))?;
    let begun = Instant::now();
    let groups = bytes.div_ceil(group);
    for _ in 0..groups {
        file.write_all(&block)?;
        file.sync_data()?;
    }
    Ok((groups * group) as f64 / begun.elapsed().as_secs_f64())
}

/// Returns events per second.
fn redb(folder: &Path, events: &[Arc<Event>], group: usize) -> Result<f64, AnyError> {
    const EVENTS: TableDefinition<'_, u64, (&str, &[u8])> = TableDefinition::new("events");
    let database = Database::create(folder.join("redb"))?;
    let begun = Instant::now();
    let mut number = 0_u64;
    for group in events.chunks(group) {
        let transaction = database.begin_write()?;
        {
            let mut table = transaction.open_table(EVENTS)?;
            for event in group {
                number += 1;
                table.insert(number, (event.id.as_str(), event.data.as_ref()))?;
            }
        }
        transaction.commit()?;
    }
    Ok(events.len() as f64 / begun.elapsed().as_secs_f64())
}

#[tokio::main]
async fn main() -> Result<(), AnyError> {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<usize>());
    let mut next = |default| arguments.next().unwrap_or(Ok(default));
    let (call, bytes, at_once, count) = (next(64)?, next(200)?, next(64)?, next(400_000)?);
    let events = events(count, bytes);
    println!("{count} events of {bytes} bytes, {call} in a call, {at_once} calls at once");
    let mut ratios = Vec::new();
    for round in 1..=3 {
        let folder = tempfile::tempdir_in(".")?;
        let place = folder.path();
        let (rate, group, written) =
            journal(&place.join("journal"), &events, call, at_once).await?;
        let disk = disk(place, group, (written * 0.5) as u64)?;
        let per_group = (count as u64 * group / ((written / rate * count as f64) as u64)).max(1);
        let redb = redb(place, &events[..count / 4], usize::try_from(per_group)?)?;
        let few = (count / 400).max(50);
        let (row, ..) = journal(&place.join("rows"), &events[..few], 1, 1).await?;
        println!(
            "round {round}: journal {rate:.0} events/s, {:.0} MB/s in groups of {} KiB ({per_group} events); \
             disk {:.0} MB/s; redb {redb:.0} events/s; a sync for each event {row:.0} events/s",
            written / 1e6,
            group / 1024,
            disk / 1e6
        );
        ratios.push((written / disk, rate / redb, rate / row));
    }
    ratios.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (of_disk, of_redb, of_rows) = ratios[ratios.len() / 2];
    println!(
        "median: {:.0} % of the disk, {of_redb:.1} times redb, {of_rows:.0} times a sync for each event",
        of_disk * 100.0
    );
    Ok(())
}
