//! Rates on the real clock: events from end to end, and the journal on the disk.
//!
//! These are the figures that depend most on the machine, so each stands beside what the same machine can do.

use std::error::Error;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use futures::StreamExt as _;
use level5::event_processor::{Event, Journal, MemoryJournal, Processor, Service};
use level5_journal::{FileJournal, JournalConfig};
use redb::{Database, TableDefinition};
use tokio::runtime::Builder;
use tokio::time::Instant;

use crate::Failed;
use crate::events::{self, Accepts};

/// Events of a call of the journal.
pub const CALL: usize = 64;

/// Calls of the journal that run at once.
pub const CALLS: usize = 64;

/// Rounds; a figure is the median.
pub const ROUNDS: usize = 3;

/// Events a second.
#[derive(Debug, Clone, Copy)]
pub struct Rates {
    /// Through ingest, route, batch and deliver, with the journal in memory, on two threads.
    pub end_to_end: f64,
    /// The same with the journal on the disk.
    pub on_disk: f64,
    /// Acknowledged by the journal on the disk.
    pub journal: f64,
    /// The bytes that the journal wrote, over what the disk writes in groups of the same size.
    pub over_disk: f64,
    /// The journal over redb with transactions of the same size.
    pub over_redb: f64,
    /// The journal over a sync for each event.
    pub over_rows: f64,
    /// Bytes of a group.
    pub group: u64,
}

/// Measures with so many events.
pub fn all(events: usize) -> Result<Rates, Failed> {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_time().build()?;
    let mut found = Vec::new();
    for _ in 0..ROUNDS {
        // In the current folder: a temporary one may lie in memory.
        let folder = tempfile::tempdir_in(".")?;
        let place = folder.path();
        let end_to_end = runtime.block_on(through(MemoryJournal::default(), events))?;
        let journal = FileJournal::open(place.join("processor"), journal_config())?;
        let on_disk = runtime.block_on(through(journal, events / 4))?;
        found.push(Rates { end_to_end, on_disk, ..runtime.block_on(kept(place, events))? });
    }
    let median = |figure: fn(&Rates) -> f64| {
        let mut all: Vec<f64> = found.iter().map(figure).collect();
        all.sort_unstable_by(f64::total_cmp);
        all[all.len() / 2]
    };
    Ok(Rates {
        end_to_end: median(|it| it.end_to_end),
        on_disk: median(|it| it.on_disk),
        journal: median(|it| it.journal),
        over_disk: median(|it| it.over_disk),
        over_redb: median(|it| it.over_redb),
        over_rows: median(|it| it.over_rows),
        group: found.first().map_or(0, |it| it.group),
    })
}

fn journal_config() -> JournalConfig {
    JournalConfig { segment_bytes: 256 << 20, ..JournalConfig::default() }
}

/// Events a second from the first ingest to the last acknowledgement, with four producers.
async fn through<J: Journal>(journal: J, count: usize) -> Result<f64, Failed> {
    let service = Service::new("analytics");
    let route = move |_: &Event| service.clone();
    let processor = Processor::start(events::config(), Accepts::open(), journal, route).await?;
    let (processor, share) = (Arc::new(processor), count as u64 / 4);
    let begun = Instant::now();
    let producers = (0..4).map(|_| {
        let processor = Arc::clone(&processor);
        tokio::spawn(async move { events::ingest(&processor, share).await })
    });
    for producer in producers.collect::<Vec<_>>() {
        producer.await?;
    }
    events::delivered(&processor, 4 * share).await;
    Ok((4 * share) as f64 / begun.elapsed().as_secs_f64())
}

/// The journal beside the disk, redb, and a sync for each event: the same events, with as many for each sync.
async fn kept(place: &Path, count: usize) -> Result<Rates, Failed> {
    let events: Vec<Arc<Event>> = (0..count).map(|_| Arc::new(padded(events::event()))).collect();
    let (journal, group, written) = journal(&place.join("journal"), &events, CALL, CALLS).await?;
    let disk = disk(place, group, (written * 0.5) as u64)?;
    let bytes = (written / journal * count as f64).max(1.0) as u64;
    let of_a_group = usize::try_from((count as u64 * group / bytes).max(1))?;
    let redb = redb(place, &events[..count / 4], of_a_group).map_err(|why| why.to_string())?;
    let few = (count / 400).max(50).min(count);
    let (rows, ..) = journal_of_rows(&place.join("rows"), &events[..few]).await?;
    Ok(Rates {
        end_to_end: 0.0,
        on_disk: 0.0,
        journal,
        over_disk: written / disk,
        over_redb: journal / redb,
        over_rows: journal / rows,
        group,
    })
}

/// The event with 200 bytes of data.
pub fn padded(event: Event) -> Event {
    Event { data: vec![b'x'; 200].into(), ..event }
}

/// Returns events a second, bytes of a group, and bytes a second.
async fn journal(
    folder: &Path,
    events: &[Arc<Event>],
    call: usize,
    at_once: usize,
) -> Result<(f64, u64, f64), Failed> {
    let journal = FileJournal::open(folder, journal_config())?;
    let begun = Instant::now();
    let calls = futures::stream::iter(events.chunks(call)).map(|chunk| journal.append(chunk));
    let mut calls = calls.buffer_unordered(at_once);
    while let Some(kept) = calls.next().await {
        kept?;
    }
    let took = begun.elapsed().as_secs_f64();
    let figures = journal.figures();
    let group = figures.written_bytes / figures.groups.max(1);
    Ok((events.len() as f64 / took, group, figures.written_bytes as f64 / took))
}

/// The journal with one event in a call, one call after the other.
async fn journal_of_rows(folder: &Path, events: &[Arc<Event>]) -> Result<(f64, u64, f64), Failed> {
    journal(folder, events, 1, 1).await
}

/// Returns bytes a second of a file that is written and synced in such groups.
fn disk(folder: &Path, group: u64, bytes: u64) -> Result<f64, Failed> {
    let block = vec![0; usize::try_from(group)?];
    let mut file = OpenOptions::new().create_new(true).write(true).open(folder.join("disk"))?;
    let begun = Instant::now();
    let groups = bytes.div_ceil(group.max(1)).max(1);
    for _ in 0..groups {
        file.write_all(&block)?;
        file.sync_data()?;
    }
    Ok((groups * group) as f64 / begun.elapsed().as_secs_f64())
}

/// Returns events a second, with the events of a group in one transaction.
fn redb(folder: &Path, events: &[Arc<Event>], group: usize) -> Result<f64, Box<dyn Error>> {
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
