//! A machine that loses its power at every write, and a disk that is full.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use level5::conflict::{Fields, SourceId, Standing};
use level5::multi_source_cache::SourceError;
use level5::sync_engine::{Config, Engine, Incoming, Read, RecordId, Source, SourceMeta};
use level5::wall_clock::SystemWall;
use redb::StorageBackend;
use std::time::Duration;

use super::*;

/// What is left of the writes that were not synced when the power failed.
#[derive(Debug, Clone, Copy)]
enum Left {
    /// All of them: only the process has died.
    All,
    /// None.
    None,
    /// Every second one, and of the last one a part.
    Some,
}

/// A disk whose power fails with a certain operation.
#[derive(Debug, Clone, Default)]
struct Power(Arc<Mutex<Content>>);

#[derive(Debug, Default)]
struct Content {
    synced: Vec<u8>,
    /// What reads see: all writes.
    seen: Vec<u8>,
    since: Vec<(usize, Vec<u8>)>,
    operations: u64,
    fails_at: Option<u64>,
    /// Whether the store was complete once, and so has its name.
    is_made: bool,
}

impl Power {
    fn content(&self) -> std::sync::MutexGuard<'_, Content> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts an operation, and fails from the chosen one on.
    fn works(&self) -> io::Result<std::sync::MutexGuard<'_, Content>> {
        let mut content = self.content();
        content.operations += 1;
        match content.fails_at {
            Some(at) if content.operations >= at => Err(io::Error::other("the power has failed")),
            _ => Ok(content),
        }
    }

    /// The disk after the power is back.
    fn after(&self, left: Left) -> Self {
        let content = self.content();
        if !content.is_made {
            // A file without its name.
            return Self::default();
        }
        let mut kept = content.synced.clone();
        match left {
            Left::All => kept = content.seen.clone(),
            Left::None => {}
            Left::Some => {
                let last = content.since.len();
                for (number, (at, data)) in content.since.iter().enumerate() {
                    let length = if number + 1 == last { data.len() / 2 } else { data.len() };
                    let end = at + length;
                    if number % 2 == 0 || number + 1 == last {
                        if kept.len() < end {
                            kept.resize(end, 0);
                        }
                        kept[*at..end].copy_from_slice(&data[..length]);
                    }
                }
                // The length of a file that is not synced may be the new one already.
                kept.resize(kept.len().max(content.seen.len()), 0);
            }
        }
        let content =
            Content { synced: kept.clone(), seen: kept, is_made: true, ..Content::default() };
        Self(Arc::new(Mutex::new(content)))
    }

    /// As [`DiskStore::open`] does it: makes a store first, and then opens it.
    fn open(&self) -> Result<DiskStore, DiskError> {
        if !self.content().is_made {
            drop(self.on()?);
            self.works()
                .map_err(|error| error_of(&redb::Error::Io(error), Path::new("disk")))?
                .is_made = true;
        }
        self.on()
    }

    fn on(&self) -> Result<DiskStore, DiskError> {
        let power = self.clone();
        let opens = Box::new(move || {
            Builder::new()
                .set_cache_size(CACHE)
                .set_check_integrity_on_open(true)
                .create_with_backend(power.clone())
        });
        DiskStore::on("disk".into(), opens)
    }
}

fn at(offset: u64) -> usize {
    usize::try_from(offset).expect("a small file")
}

impl StorageBackend for Power {
    fn len(&self) -> io::Result<u64> {
        Ok(self.content().seen.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let content = self.content();
        let end = at(offset) + out.len();
        let data = content.seen.get(at(offset)..end).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(data);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.works()?.seen.resize(at(len), 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut content = self.works()?;
        content.synced = content.seen.clone();
        content.since.clear();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut content = self.works()?;
        let end = at(offset) + data.len();
        if content.seen.len() < end {
            content.seen.resize(end, 0);
        }
        content.seen[at(offset)..end].copy_from_slice(data);
        content.since.push((at(offset), data.to_vec()));
        Ok(())
    }
}

const IDS: [&str; 3] = ["a", "b", "c"];
/// The last step of a script.
const LAST: u64 = 8;

/// What a source has after a step. Steps 3, 4 and from 7 on have deleted `b`.
fn state(step: u64) -> Vec<Incoming> {
    let record = |id: &&str| {
        let is_deleted = *id == "b" && (step == 3 || step == 4 || step >= 7);
        let fields = Fields::from([("step".to_owned(), step.into()), ("x".to_owned(), 0.1.into())]);
        let at = jiff::Timestamp::from_second(i64::try_from(step).expect("small")).expect("a time");
        let content = (!is_deleted).then_some(fields);
        Incoming { id: (**id).into(), at, version: 0, content }
    };
    IDS.iter().map(record).collect()
}

/// A source that is at a step.
#[derive(Clone, Default)]
struct Steps(Arc<AtomicU64>);

impl Source for Steps {
    fn id(&self) -> SourceId {
        SourceId::new("steps")
    }

    async fn fetch_all(&self) -> Result<Vec<Incoming>, SourceError> {
        Ok(state(self.0.load(Ordering::SeqCst)))
    }

    async fn fetch(&self, _: &[RecordId]) -> Result<Vec<Incoming>, SourceError> {
        self.fetch_all().await
    }
}

fn ids() -> Vec<RecordId> {
    IDS.iter().map(|id| (*id).into()).collect()
}

async fn engine(store: DiskStore, source: &Steps) -> Result<Engine, Box<dyn std::error::Error>> {
    let every = Duration::from_secs(3600);
    let meta = SourceMeta { standing: Standing::default(), latency: Duration::ZERO, every };
    let engine = Engine::start(Config::default(), store, SystemWall).await?;
    engine.add_source(source.clone(), meta)?;
    Ok(engine)
}

/// Runs the script until the power fails. Returns the last step that was confirmed; the first one is 1.
async fn script(power: &Power) -> u64 {
    let Ok(store) = power.open() else { return 0 };
    let source = Steps(Arc::new(AtomicU64::new(1)));
    let Ok(engine) = engine(store, &source).await else { return 0 };
    for step in 1..=LAST {
        source.0.store(step, Ordering::SeqCst);
        engine.get_many(&ids(), Some(Duration::ZERO)).await;
        if engine.flush().await.is_err() {
            return step - 1;
        }
    }
    LAST
}

/// The step that a store has. All records of a step were in one save.
async fn step_of(store: &DiskStore) -> u64 {
    let saved = store.load().await.expect("it can be read");
    let step = |saved: &Saved| saved.records[0].stamp.at.as_second();
    let steps: Vec<_> = saved.iter().map(step).collect();
    assert!(steps.windows(2).all(|pair| pair[0] == pair[1]), "a part of a save: {steps:?}");
    for saved in &saved {
        let step = step_of_stamp(saved);
        let wanted = state(step).into_iter().find(|record| record.id == saved.id).expect("an id");
        assert_eq!(saved.records[0].content, wanted.content);
        assert_eq!(saved.history.last().map(|last| &last.content), Some(&wanted.content));
    }
    steps.first().map_or(0, |step| u64::try_from(*step).expect("a step"))
}

fn step_of_stamp(saved: &Saved) -> u64 {
    u64::try_from(saved.records[0].stamp.at.as_second()).expect("a step")
}

#[tokio::test]
async fn what_was_confirmed_survives_a_power_failure_at_every_write() {
    let whole = Power::default();
    assert_eq!(script(&whole).await, LAST);
    let operations = whole.content().operations;
    assert!(operations > 30, "{operations}");
    let mut reached = BTreeMap::<u64, u64>::new();
    for fails_at in 1..=operations {
        let power = Power::default();
        power.content().fails_at = Some(fails_at);
        let confirmed = script(&power).await;
        *reached.entry(confirmed).or_default() += 1;
        for left in [Left::All, Left::None, Left::Some] {
            let case = format!("operation {fails_at}, {left:?}, {confirmed} confirmed");
            let after = power.after(left);
            let store = after.open().unwrap_or_else(|error| panic!("{case}: {error}"));
            let step = step_of(&store).await;
            assert!(step >= confirmed, "{case}: {step} is there");
            {
                // A source that has an old state, as a replica that was cut off, undoes nothing.
                let source = Steps(Arc::new(AtomicU64::new(1)));
                let engine = engine(store.clone(), &source).await.expect("starts");
                let reads = engine.get_many(&ids(), Some(Duration::ZERO)).await;
                for (read, wanted) in reads.into_iter().zip(state(step.max(1))) {
                    match (read, wanted.content) {
                        (Read::Missing, None) => {}
                        (Read::Fresh(record), Some(content)) => {
                            assert_eq!(record.content.as_ref(), Some(&content), "{case}");
                        }
                        (read, wanted) => panic!("{case}: {read:?} instead of {wanted:?}"),
                    }
                }
                engine.flush().await.expect("the disk works again");
            }
            assert_eq!(step_of(&store).await, step.max(1), "{case}");
        }
    }
    assert!(reached.len() as u64 >= LAST, "the power fails in every step: {reached:?}");
}

#[tokio::test]
async fn a_store_goes_on_when_the_disk_does() {
    let power = Power::default();
    let store = power.open().expect("a store");
    let source = Steps(Arc::new(AtomicU64::new(1)));
    let engine = engine(store.clone(), &source).await.expect("starts");
    engine.get_many(&ids(), Some(Duration::ZERO)).await;
    engine.flush().await.expect("it works");
    let now = power.content().operations;
    power.content().fails_at = Some(now + 1);
    source.0.store(7, Ordering::SeqCst);
    engine.get_many(&ids(), Some(Duration::ZERO)).await;
    let error = engine.flush().await.expect_err("no power");
    assert!(error.to_string().contains("the power has failed"), "{error}");
    power.content().fails_at = None;
    engine.flush().await.expect("the same engine saves again");
    assert_eq!(step_of(&store).await, 7);
}

/// A save whose future is dropped is complete before the next one begins, or never begins.
#[tokio::test]
async fn a_dropped_save_never_replaces_a_later_one() {
    let store = Power::default().open().expect("a store");
    let saved = |step| {
        let record = state(step).remove(0).from(SourceId::new("steps"));
        let history = vec![level5::conflict::Resolved::whole(&record)];
        Saved { id: "a".into(), records: vec![record], history, open: false, held: vec![] }
    };
    for round in 0..50 {
        let (first, second) = (saved(round * 2), saved(round * 2 + 1));
        {
            let mut dropped = std::pin::pin!(store.save(vec![first]));
            // It has begun, and may even be done.
            let _ = futures::poll!(dropped.as_mut());
        }
        store.save(vec![second.clone()]).await.expect("it works");
        assert_eq!(store.load().await.expect("it works"), [second]);
    }
}
