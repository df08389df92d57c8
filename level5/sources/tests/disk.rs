//! The store in a file: restarts, files that are something else, and a process that is killed while it saves.
#![expect(clippy::disallowed_types, reason = "the test starts the process that it kills")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use std::{env, fs};

use jiff::Timestamp;
use level5::conflict::{Fields, SourceId, Standing, Strategy};
use level5::multi_source_cache::SourceError;
use level5::sync_engine::{
    Config, ConfigError, Engine, Incoming, Pick, Read, RecordId, Rule, Source, SourceMeta,
};
use level5::wall_clock::SystemWall;
use level5_sources::{DiskError, DiskStore};
use tempfile::TempDir;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(60);

fn file() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("records.redb");
    (folder, file)
}

/// Opens the file as soon as the engine before has left it: the tasks of an engine that was dropped end a little later.
async fn reopen(file: &Path) -> DiskStore {
    let opened = async {
        loop {
            match DiskStore::open(file) {
                Err(DiskError::InUse { .. }) => tokio::time::sleep(Duration::from_millis(2)).await,
                opened => return opened.expect("a store"),
            }
        }
    };
    timeout(PATIENCE, opened).await.expect("in time")
}

fn meta() -> SourceMeta {
    let every = Duration::from_secs(3600);
    SourceMeta { standing: Standing::default(), latency: Duration::ZERO, every }
}

/// A source with one state for each number. Each has deleted another one of the five records.
#[derive(Clone)]
struct Numbered {
    name: &'static str,
    number: Arc<AtomicU64>,
}

impl Numbered {
    fn new(name: &'static str, number: u64) -> Self {
        Self { name, number: Arc::new(AtomicU64::new(number)) }
    }
}

const IDS: [&str; 5] = ["a", "b", "c", "d", "e"];

fn is_deleted(number: u64, id: usize) -> bool {
    number % IDS.len() as u64 == id as u64
}

impl Source for Numbered {
    fn id(&self) -> SourceId {
        SourceId::new(self.name)
    }

    async fn fetch_all(&self) -> Result<Vec<Incoming>, SourceError> {
        let number = self.number.load(Ordering::SeqCst);
        let at = Timestamp::from_second(i64::try_from(number).expect("small")).expect("a time");
        let record = |(index, id): (usize, &&str)| {
            let fields = Fields::from([
                ("number".to_owned(), number.into()),
                ("by".to_owned(), self.name.into()),
            ]);
            let content = (!is_deleted(number, index)).then_some(fields);
            Incoming { id: (**id).into(), at, version: number, content }
        };
        Ok(IDS.iter().enumerate().map(record).collect())
    }

    async fn fetch(&self, _: &[RecordId]) -> Result<Vec<Incoming>, SourceError> {
        self.fetch_all().await
    }
}

fn ids() -> Vec<RecordId> {
    IDS.iter().map(|id| (*id).into()).collect()
}

#[tokio::test]
async fn a_restart_has_versions_deletions_and_decisions() {
    let (_folder, file) = file();
    let config = Config { rule: Rule::By(Strategy::Manual), ..Config::default() };
    let (one, other) = (Numbered::new("one", 1), Numbered::new("other", 1));
    let start = async || {
        let store = reopen(&file).await;
        let engine = Engine::start(config.clone(), store, SystemWall).await.expect("starts");
        engine.add_source(one.clone(), meta()).expect("a source");
        engine
    };
    let engine = start().await;
    for number in 1..=30 {
        one.number.store(number, Ordering::SeqCst);
        engine.get_many(&ids(), Some(Duration::ZERO)).await;
    }
    engine.add_source(other, meta()).expect("a source");
    engine.get_many(&ids(), Some(Duration::ZERO)).await;
    let parked = engine.parked();
    assert_eq!(parked.len(), 5, "every content differs in `by`");
    engine.decide(&parked[2], Pick::Record("other".into())).expect("it is open");
    let before: Vec<_> = ids().iter().map(|id| engine.history(id)).collect();
    let report = engine.shutdown(PATIENCE).await;
    assert_eq!(report.unsaved, 0);
    drop(engine);
    let engine = start().await;
    let after: Vec<_> = ids().iter().map(|id| engine.history(id)).collect();
    assert_eq!(after, before);
    assert_eq!(engine.parked().len(), 4);
    // Deletions count as versions: ten of them, the newest deleted.
    assert_eq!(after[0].len(), 10);
    assert_eq!(engine.get(&"a".into(), Some(Duration::ZERO)).await, Read::Missing);
    // The decision about `c` holds.
    let Read::Fresh(c) = engine.get(&"c".into(), Some(Duration::ZERO)).await else { panic!("c") };
    assert_eq!(c.content.expect("a content")["by"], "other");
}

#[tokio::test]
async fn a_smaller_engine_leaves_the_rest_in_the_file() {
    let (_folder, file) = file();
    for capacity in [5, 2, 5] {
        let store = reopen(&file).await;
        let capacity = NonZeroUsize::new(capacity).expect("some");
        let config = Config { capacity, ..Config::default() };
        let engine = Engine::start(config, store, SystemWall).await.expect("starts");
        if capacity.get() == 5 {
            engine.add_source(Numbered::new("one", 3), meta()).expect("a source");
            engine.get_many(&ids(), Some(Duration::ZERO)).await;
        }
        assert_eq!(engine.metrics().borrow().records, capacity.get());
        engine.shutdown(PATIENCE).await;
    }
}

#[test]
fn other_files_are_refused_and_stay_as_they_are() {
    let (_folder, file) = file();
    let text = "no store, and longer than the head of one: ".repeat(200);
    fs::write(&file, &text).expect("a write");
    assert!(matches!(DiskStore::open(&file).err(), Some(DiskError::NotAStore { .. })));
    assert_eq!(fs::read_to_string(&file).expect("it is there"), text);
    fs::remove_file(&file).expect("it is there");
    let nowhere = file.with_file_name("none").join("records");
    assert!(matches!(DiskStore::open(nowhere).err(), Some(DiskError::Io { .. })));
    assert!(matches!(DiskStore::open("/").err(), Some(DiskError::Io { .. })));
    let first = DiskStore::open(&file).expect("a store");
    assert!(matches!(DiskStore::open(&file).err(), Some(DiskError::InUse { .. })));
    drop(first);
    assert!(DiskStore::open(&file).is_ok());
    let left: Vec<_> = fs::read_dir(file.parent().expect("a folder")).expect("it").collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[test]
fn a_newer_format_and_other_tables_are_refused() {
    use redb::{Database, TableDefinition};
    let (_folder, file) = file();
    let numbers: TableDefinition<'_, u8, u64> = TableDefinition::new("format");
    drop(DiskStore::open(&file).expect("a store"));
    {
        let database = Database::create(&file).expect("the store");
        let transaction = database.begin_write().expect("it works");
        transaction.open_table(numbers).expect("a table").insert(0, 2).expect("it works");
        transaction.commit().expect("it works");
    }
    let newer = DiskStore::open(&file).err();
    assert!(matches!(newer, Some(DiskError::Newer { found: 2, .. })), "{newer:?}");
    let other = file.with_file_name("other");
    {
        let database = Database::create(&other).expect("a database");
        let copies: TableDefinition<'_, &str, u64> = TableDefinition::new("copies");
        let transaction = database.begin_write().expect("it works");
        transaction.open_table(copies).expect("a table");
        transaction.commit().expect("it works");
    }
    assert!(matches!(DiskStore::open(&other).err(), Some(DiskError::NotAStore { .. })));
}

#[tokio::test]
async fn a_damaged_file_starts_no_engine() {
    let (_folder, file) = file();
    let store = DiskStore::open(&file).expect("a store");
    let engine = Engine::start(Config::default(), store, SystemWall).await.expect("starts");
    engine.add_source(Numbered::new("one", 3), meta()).expect("a source");
    engine.get_many(&ids(), Some(Duration::ZERO)).await;
    engine.shutdown(PATIENCE).await;
    drop(engine);
    drop(reopen(&file).await);
    let whole = fs::read(&file).expect("it is there");
    let at = whole.windows(8).rposition(|part| part == b"\"records").expect("a record");
    let mut damaged = whole.clone();
    damaged[at + 30] ^= 1;
    fs::write(&file, damaged).expect("a write");
    let started = match DiskStore::open(&file) {
        Err(error) => Err(error.to_string()),
        Ok(store) => {
            let started = Engine::start(Config::default(), store, SystemWall).await;
            started.map(drop).map_err(|error: ConfigError| error.to_string())
        }
    };
    assert!(started.is_err(), "a flipped bit was not found");
    fs::write(&file, &whole[..whole.len() / 2]).expect("a write");
    assert!(DiskStore::open(&file).is_err());
}

/// Where the writer finds its file. The variable is not set when the writer runs as a test like another.
const FILE: &str = "LEVEL5_SOURCES_FILE";

/// The process that the test starts: an engine that follows a source, and prints the number of each state that was
/// confirmed.
#[test]
#[ignore = "another test starts it in a process of its own"]
fn the_writer() {
    let Some(file) = env::var_os(FILE) else { return };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let store = DiskStore::open(file).expect("a store");
        let source = Numbered::new("one", 0);
        let engine = Engine::start(Config::default(), store, SystemWall).await.expect("starts");
        let last = engine.history(&"a".into()).last().map_or(0, |last| last.stamp.version);
        source.number.store(last, Ordering::SeqCst);
        engine.add_source(source.clone(), meta()).expect("a source");
        for number in last + 1.. {
            source.number.store(number, Ordering::SeqCst);
            engine.get_many(&ids(), Some(Duration::ZERO)).await;
            engine.flush().await.expect("it works");
            let mut out = std::io::stdout().lock();
            // A line of its own: libtest has begun one.
            let said = out.write_all(format!("\nconfirmed {number}\n").as_bytes());
            said.and_then(|()| out.flush()).expect("the test reads");
        }
    });
}

fn writer(file: &Path) -> (Child, BufReader<ChildStdout>) {
    let mut command = Command::new(env::current_exe().expect("this program"));
    command.args(["--exact", "the_writer", "--ignored", "--nocapture"]).env(FILE, file);
    let mut child =
        command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts");
    let lines = BufReader::new(child.stdout.take().expect("a pipe"));
    (child, lines)
}

/// Reads up to `most` numbers that were confirmed. Returns the last one, and how many there were.
fn confirmed(lines: &mut BufReader<ChildStdout>, most: u64) -> (Option<u64>, u64) {
    let (mut last, mut count) = (None, 0);
    let mut line = String::new();
    while count < most && lines.read_line(&mut line).expect("a pipe") > 0 {
        // Without its end it may be cut.
        let number = line.strip_prefix("confirmed ").and_then(|number| number.strip_suffix('\n'));
        if let Some(number) = number.and_then(|number| number.parse().ok()) {
            last = Some(number);
            count += 1;
        }
        line.clear();
    }
    (last, count)
}

#[cfg(unix)]
#[tokio::test]
async fn what_was_confirmed_survives_a_kill() {
    let (_folder, file) = file();
    let mut last = 0;
    for round in 0..12 {
        let (mut child, mut lines) = writer(&file);
        let (first, count) = confirmed(&mut lines, 1 + round * 3);
        // On unix this is SIGKILL: in the middle of what the writer does next.
        child.kill().expect("it runs");
        child.wait().expect("its end");
        assert_eq!(count, 1 + round * 3, "the writer has ended by itself");
        // What it has still said before it died.
        let (rest, _) = confirmed(&mut lines, u64::MAX);
        last = rest.or(first).expect("a number").max(last);
        let store = reopen(&file).await;
        let engine = Engine::start(Config::default(), store, SystemWall).await.expect("starts");
        let there = engine.history(&"a".into()).last().expect("a record").stamp.version;
        assert!(there >= last, "{last} was confirmed, {there} is there");
        // A replica that was cut off since the first state: it has `a`, and everything else that was deleted later.
        engine.add_source(Numbered::new("one", 1), meta()).expect("a source");
        let reads = engine.get_many(&ids(), Some(Duration::ZERO)).await;
        for (index, read) in reads.iter().enumerate() {
            let history = engine.history(&IDS[index].into());
            let newest = history.last().expect("a version");
            assert_eq!(newest.stamp.version, there, "all records of a save or none");
            assert_eq!(
                is_deleted(there, index),
                *read == Read::Missing,
                "{}: {read:?}",
                IDS[index]
            );
        }
        drop(engine);
        // The next writer needs the file.
        drop(reopen(&file).await);
    }
    assert!(last > 100, "{last}");
}
