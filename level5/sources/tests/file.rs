//! A file that other programs write: steps, renames, deletions. Real files, on real time.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use level5::conflict::{SourceId, Standing};
use level5::sync_engine::{
    Config, Engine, Incoming, MemoryStore, Read, Source as _, SourceMeta, Store as _,
};
use level5::wall_clock::SystemWall;
use level5_sources::{Absent, FileConfig, FileError, FileSource, Missing, follow, known};
use tempfile::TempDir;
use tokio::time::timeout;

/// Longer than any test should take.
const PATIENCE: Duration = Duration::from_secs(60);

struct Folder {
    folder: TempDir,
}

impl Folder {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder") }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("records")
    }

    fn write(&self, text: &str) {
        fs::write(self.file(), text).expect("a write");
    }

    /// As a careful writer replaces a file.
    fn replace(&self, text: &str) {
        let new = self.folder.path().join("records.new");
        fs::write(&new, text).expect("a write");
        fs::rename(new, self.file()).expect("a rename");
    }

    fn open(&self, config: FileConfig, known: Vec<Incoming>) -> FileSource {
        FileSource::open(SourceId::new("file"), self.file(), config, known).expect("a source")
    }
}

/// A patience that ends soon: for what stays wrong.
fn brief(config: FileConfig) -> FileConfig {
    let (settle, patience) = (Duration::from_millis(5), Duration::from_millis(50));
    FileConfig { settle, patience, ..config }
}

/// A patience that outlasts what a test is about to repair.
fn patient(config: FileConfig) -> FileConfig {
    FileConfig { settle: Duration::from_millis(5), patience: PATIENCE, ..config }
}

/// Each record as `id name`.
fn shown(incoming: Vec<Incoming>) -> Vec<String> {
    let show = |record: Incoming| {
        let name = record.content.map(|fields| fields["name"].as_str().expect("a name").to_owned());
        format!("{} {}", record.id, name.as_deref().unwrap_or("-"))
    };
    incoming.into_iter().map(show).collect()
}

async fn read(source: &FileSource) -> Vec<String> {
    shown(source.fetch_all().await.expect("an answer"))
}

async fn fails(source: &FileSource, part: &str) {
    let error = source.fetch_all().await.expect_err(part).to_string();
    assert!(error.contains(part), "{error}");
}

const BOTH: &str = r#"[{"id": "a", "name": "Ann"}, {"id": "b", "name": "Bob"}]"#;

#[tokio::test]
async fn a_poll_has_what_is_in_the_file_now() {
    let folder = Folder::new();
    folder.write(BOTH);
    let source = folder.open(brief(FileConfig::document()), vec![]);
    assert_eq!(read(&source).await, ["a Ann", "b Bob"]);
    let before = source.fetch_all().await.expect("an answer");
    // The same length, and perhaps within one tick of the disk's clock.
    folder.write(&BOTH.replace("Ann", "Eve"));
    assert_eq!(read(&source).await, ["a Eve", "b Bob"]);
    let after = source.fetch_all().await.expect("an answer");
    assert!((after[0].at, after[0].version) > (before[0].at, before[0].version));
    assert_eq!(after[1], before[1], "a record that is as before has its stamp");
    for round in 0..20 {
        folder.replace(&BOTH.replace("Ann", &format!("A{round}")));
        assert_eq!(read(&source).await, [format!("a A{round}"), "b Bob".to_owned()]);
    }
    folder.replace(r#"[{"id": "b", "name": "Bob"}]"#);
    assert_eq!(read(&source).await, ["a -", "b Bob"]);
    let some = source.fetch(&["a".into(), "x".into()]).await.expect("an answer");
    assert_eq!(shown(some), ["a -"]);
}

#[tokio::test]
async fn a_part_of_a_document_is_waited_for() {
    let folder = Folder::new();
    folder.write(BOTH);
    let source = folder.open(patient(FileConfig::document()), vec![]);
    assert_eq!(read(&source).await.len(), 2);
    let text = BOTH.replace("Ann", "Anna");
    folder.write(&text[..20]);
    let (polled, ()) = tokio::join!(read(&source), async {
        // The first look finds the part.
        tokio::time::sleep(Duration::from_millis(50)).await;
        folder.write("");
        tokio::time::sleep(Duration::from_millis(50)).await;
        folder.write(&text);
    });
    assert_eq!(polled, ["a Anna", "b Bob"], "no deletion in between");
}

#[tokio::test]
async fn what_stays_broken_is_a_failure_and_deletes_nothing() {
    let folder = Folder::new();
    let source = folder.open(brief(FileConfig::document()), vec![]);
    fails(&source, "there is no file").await;
    folder.write(BOTH);
    assert_eq!(read(&source).await, ["a Ann", "b Bob"]);
    for (text, part) in
        [("[", "not JSON"), ("", "not JSON"), ("{}", "no array"), ("[{}]", "record 1")]
    {
        folder.write(text);
        fails(&source, part).await;
        fails(&source, part).await;
    }
    fs::remove_file(folder.file()).expect("a file");
    fails(&source, "there is no file").await;
    fs::create_dir(folder.file()).expect("a folder");
    fails(&source, "directory").await;
    fs::remove_dir(folder.file()).expect("a folder");
    folder.write(BOTH);
    assert_eq!(read(&source).await, ["a Ann", "b Bob"]);
    let small = FileConfig { most: 10, ..brief(FileConfig::document()) };
    fails(&folder.open(small, vec![]), "10 are accepted").await;
}

#[tokio::test]
async fn a_missing_file_may_mean_that_all_was_deleted() {
    let folder = Folder::new();
    folder.write(BOTH);
    let config = FileConfig { missing: Missing::Empty, ..brief(FileConfig::document()) };
    let source = folder.open(config, vec![]);
    assert_eq!(read(&source).await, ["a Ann", "b Bob"]);
    let before = source.fetch_all().await.expect("an answer");
    fs::remove_file(folder.file()).expect("a file");
    assert_eq!(read(&source).await, ["a -", "b -"]);
    let after = source.fetch_all().await.expect("an answer");
    assert!((after[0].at, after[0].version) > (before[0].at, before[0].version));
    folder.write(BOTH);
    assert_eq!(read(&source).await, ["a Ann", "b Bob"]);
}

#[tokio::test]
async fn an_editor_that_moves_the_file_away_deletes_nothing() {
    let folder = Folder::new();
    folder.write(BOTH);
    let config = FileConfig { missing: Missing::Empty, ..patient(FileConfig::document()) };
    let source = folder.open(config, vec![]);
    assert_eq!(read(&source).await.len(), 2);
    fs::rename(folder.file(), folder.folder.path().join("records~")).expect("a rename");
    let (polled, ()) = tokio::join!(read(&source), async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        folder.write(BOTH);
    });
    assert_eq!(polled, ["a Ann", "b Bob"]);
}

#[tokio::test]
async fn lines_are_changes_and_the_last_one_may_be_incomplete() {
    let folder = Folder::new();
    folder.write("{\"id\":\"a\",\"name\":\"Ann\"}\n{\"id\":\"b\",\"na");
    let source = folder.open(brief(FileConfig::lines()), vec![]);
    assert_eq!(read(&source).await, ["a Ann"]);
    folder.write("{\"id\":\"a\",\"name\":\"Ann\"}\n{\"id\":\"b\",\"name\":\"Bob\"}\n{\"id\":\"a\",\"deleted\":true}\n");
    assert_eq!(read(&source).await, ["a -", "b Bob"]);
    // A log that was cut at its front.
    folder.replace("{\"id\":\"c\",\"name\":\"Cy\"}\n");
    assert_eq!(read(&source).await, ["a -", "b Bob", "c Cy"]);
    folder.write("{\"id\":\"c\",\"name\":\"Cy\"}\nbroken\n");
    fails(&source, "line 2").await;
}

#[tokio::test]
async fn lines_with_all_records_are_read_when_they_rest() {
    let folder = Folder::new();
    folder.write("{\"id\":\"a\",\"name\":\"Ann\"}\n{\"id\":\"b\",\"name\":\"Bob\"}\n");
    let config = FileConfig { absent: Absent::Deleted, ..FileConfig::lines() };
    // Far longer than the pauses of the writer below, on a machine that is busy too.
    let settle = Duration::from_secs(1);
    let source = folder.open(FileConfig { settle, patience: PATIENCE, ..config }, vec![]);
    assert_eq!(read(&source).await, ["a Ann", "b Bob"]);
    folder.write("");
    let (polled, ()) = tokio::join!(read(&source), async {
        for end in [25, 50] {
            tokio::time::sleep(Duration::from_millis(20)).await;
            folder.write(
                &"{\"id\":\"b\",\"name\":\"Bob\"}\n{\"id\":\"a\",\"name\":\"Ann\"}\n"
                    [..end.min(48)],
            );
        }
    });
    assert_eq!(polled, ["a Ann", "b Bob"], "half of a file is no deletion");
    folder.replace("{\"id\":\"b\",\"name\":\"Bob\"}\n");
    assert_eq!(read(&source).await, ["a -", "b Bob"]);
}

fn meta() -> SourceMeta {
    // No second poll within a test.
    let every = Duration::from_secs(3600);
    SourceMeta { standing: Standing::default(), latency: Duration::ZERO, every }
}

#[tokio::test]
async fn a_change_reaches_the_engine_before_the_next_poll() {
    let folder = Folder::new();
    folder.write(BOTH);
    let engine =
        Engine::start(Config::default(), MemoryStore::new(), SystemWall).await.expect("starts");
    let source = folder.open(brief(FileConfig::document()), vec![]);
    let file = source.changes();
    engine.add_source(source, meta()).expect("a source");
    let mut metrics = engine.metrics();
    let polled =
        metrics.wait_for(|figures| figures.sources.values().all(|source| source.polls == 1));
    timeout(PATIENCE, polled).await.expect("in time").expect("it runs");
    let mut changes = engine.changes();
    let mut next = async || {
        let change = timeout(PATIENCE, changes.recv()).await.expect("in time").expect("a change");
        let name = change.record.content.map(|fields| fields["name"].to_string());
        format!("{} {}", change.id, name.as_deref().unwrap_or("-"))
    };
    let script = async {
        folder.replace(&BOTH.replace("Ann", "Anna"));
        assert_eq!(next().await, "a \"Anna\"");
        folder.replace(r#"[{"id": "a", "name": "Anna"}, {"id": "c", "name": "Cy"}]"#);
        let mut both = [next().await, next().await];
        both.sort();
        assert_eq!(both, ["b -", "c \"Cy\""], "a deletion and a new record");
        fs::remove_file(folder.file()).expect("a file");
        folder.write(r#"[{"id": "a", "name": "Ann"}, {"id": "c", "name": "Cy"}]"#);
        assert_eq!(next().await, "a \"Ann\"");
    };
    tokio::select! {
        () = follow(&engine, file) => panic!("the watch has ended"),
        () = script => {}
    }
}

#[tokio::test]
async fn a_deletion_while_no_process_ran_is_found_at_the_next_start() {
    let folder = Folder::new();
    folder.write(BOTH);
    let store = MemoryStore::new();
    let id = SourceId::new("file");
    let a = "a".into();
    for (text, left) in [(BOTH, true), (r#"[{"id": "b", "name": "Bob"}]"#, false), (BOTH, true)] {
        folder.replace(text);
        let before = known(&store, &id).await.expect("the store");
        let engine =
            Engine::start(Config::default(), store.clone(), SystemWall).await.expect("starts");
        engine
            .add_source(folder.open(brief(FileConfig::document()), before), meta())
            .expect("a source");
        let read = engine.get(&a, Some(Duration::ZERO)).await;
        assert_eq!(matches!(read, Read::Fresh(_)), left, "{read:?}");
        assert!(left || read == Read::Missing);
        engine.shutdown(PATIENCE).await;
    }
    let saved = store.load().await.expect("the store");
    let b = saved.iter().find(|saved| saved.id.as_str() == "b").expect("a record");
    assert_eq!(b.history.len(), 1, "nothing has happened to it");
}

#[cfg(unix)]
#[tokio::test]
async fn what_a_link_leads_to_may_be_replaced() {
    let folder = Folder::new();
    let at = |name: &str| folder.folder.path().join(name);
    fs::write(at("one"), BOTH).expect("a write");
    std::os::unix::fs::symlink("one", folder.file()).expect("a link");
    let source = folder.open(brief(FileConfig::document()), vec![]);
    assert_eq!(read(&source).await, ["a Ann", "b Bob"]);
    fs::write(at("two"), BOTH.replace("Bob", "Ben")).expect("a write");
    std::os::unix::fs::symlink("two", at("new")).expect("a link");
    fs::rename(at("new"), folder.file()).expect("a rename");
    assert_eq!(read(&source).await, ["a Ann", "b Ben"]);
}

#[tokio::test]
async fn a_file_without_a_folder_is_refused() {
    let open = |path: &str| FileSource::open("x".into(), path, FileConfig::document(), vec![]);
    assert!(matches!(open("/").err(), Some(FileError::NoName(_))));
    let folder = Folder::new();
    let nowhere = folder.folder.path().join("none/records");
    let refused = FileSource::open("x".into(), nowhere, FileConfig::document(), vec![]);
    assert!(matches!(refused.err(), Some(FileError::Watch { .. })));
}
