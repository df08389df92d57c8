//! What files promise besides: one owner, a bounded size, and no silence about damage.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use level5::event_processor::{End, EventId, Journal, JournalError, Loaded};
use level5_journal::{Damaged, FileJournal, JournalConfig, OpenError, WriteError};
use tempfile::TempDir;

use support::SMALL;
use support::events::{event, letter, sized};

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

fn segments(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let mut segments: Vec<_> =
        paths.filter(|path| path.extension().is_some_and(|it| it == "segment")).collect();
    segments.sort();
    segments
}

fn bytes(folder: &Path) -> u64 {
    // Compaction may remove a file that was listed.
    let length = |path: &PathBuf| fs::metadata(path).map_or(0, |file| file.len());
    segments(folder).iter().map(length).sum()
}

/// Every file of a folder, to show that nothing has changed.
fn contents(folder: &Path) -> Vec<Vec<u8>> {
    segments(folder).iter().map(|file| fs::read(file).expect("a file")).collect()
}

fn ids(loaded: &Loaded) -> Vec<&str> {
    let pending = loaded.pending.iter().map(|event| event.id.as_str());
    pending.chain(loaded.dead.iter().map(|letter| letter.event.id.as_str())).collect()
}

fn delivered(id: &str) -> (EventId, End) {
    (EventId::new(id), End::Delivered)
}

#[tokio::test]
async fn a_journal_has_one_owner() {
    let folder = folder();
    let first = FileJournal::open(folder.path(), SMALL).expect("a journal");
    let second = FileJournal::open(folder.path(), SMALL).map(drop);
    assert_eq!(second, Err(OpenError::InUse { folder: folder.path().to_owned() }));
    let handle = first.clone();
    drop(first);
    assert!(FileJournal::open(folder.path(), SMALL).is_err(), "a handle is left");
    drop(handle);
    assert!(FileJournal::open(folder.path(), SMALL).is_ok());
}

#[test]
fn sizes_without_a_meaning_are_refused() {
    let folder = folder();
    for (segment_bytes, max_bytes) in
        [(0, 1 << 20), (4095, 1 << 20), (u64::MAX, u64::MAX), (4096, 16_383)]
    {
        let config = JournalConfig { segment_bytes, max_bytes, ..SMALL };
        let refused = FileJournal::open(folder.path().join("none"), config).map(drop);
        assert_eq!(refused, Err(OpenError::Config { segment_bytes, max_bytes }));
    }
    assert!(!folder.path().join("none").exists());
}

#[tokio::test]
async fn what_passes_through_leaves_a_bounded_folder() {
    let folder = folder();
    let journal = FileJournal::open(folder.path(), SMALL).expect("a journal");
    // Never ended: compaction moves them again and again.
    let stays: Vec<_> = (0..20).map(|number| sized(&format!("stays {number:02}"), 100)).collect();
    journal.append(&stays).await.expect("kept");
    journal.append(&[event("dies")]).await.expect("kept");
    let died = (EventId::new("dies"), End::Dead(letter("dies")));
    journal.done(&[died]).await.expect("recorded");
    let mut largest = 0;
    for number in 0..600 {
        let id = number.to_string();
        journal.append(&[sized(&id, 300)]).await.expect("kept");
        journal.done(&[delivered(&id)]).await.expect("recorded");
        largest = largest.max(bytes(folder.path()));
    }
    let figures = journal.figures();
    assert!(figures.written_bytes > 200_000 && figures.moved_bytes > 10_000, "{figures:?}");
    // Twice what is live, two segments, and a group.
    let bound = 2 * figures.live_bytes + 3 * SMALL.segment_bytes;
    assert!(largest <= bound, "{largest} bytes, bound {bound}: {figures:?}");
    assert_eq!(figures.live_records, 21);
    drop(journal);
    let journal = FileJournal::open(folder.path(), SMALL).expect("a journal");
    let loaded = journal.load().await.expect("it can be read");
    assert_eq!((loaded.pending, loaded.dead), (stays, vec![letter("dies")]));
}

#[tokio::test]
async fn a_full_journal_takes_ends_and_no_events() {
    let folder = folder();
    let config = JournalConfig { max_bytes: 4 * 4096, ..SMALL };
    let journal = FileJournal::open(folder.path(), config).expect("a journal");
    let mut kept = Vec::new();
    let refused = loop {
        let id = kept.len().to_string();
        match journal.append(&[sized(&id, 500)]).await {
            Ok(()) => kept.push(id),
            Err(error) => break error,
        }
    };
    let full = WriteError::Full { max_bytes: config.max_bytes };
    assert!(matches!(refused, JournalError::Full(_)), "{refused}");
    assert_eq!(refused.cause(), Some(&full));
    assert!(kept.len() > 20 && bytes(folder.path()) <= config.max_bytes + 4096);
    // All or nothing: the small one of a call is not kept either.
    assert!(journal.append(&[event("small"), sized("large", 3000)]).await.is_err());
    let ends: Vec<_> = kept.iter().map(|id| delivered(id)).collect();
    journal.done(&ends).await.expect("ends are recorded");
    assert_eq!(journal.load().await, Ok(Loaded::default()));
    // Each group gives compaction a turn.
    for round in 0..20 {
        if journal.append(&[event("again")]).await.is_ok() {
            return;
        }
        journal.done(&[delivered(&round.to_string())]).await.expect("recorded");
    }
    panic!("there is room, and the journal does not see it: {:?}", journal.figures());
}

#[tokio::test]
async fn an_event_larger_than_a_segment_is_refused_by_name() {
    let folder = folder();
    let journal = FileJournal::open(folder.path(), SMALL).expect("a journal");
    let error = journal.append(&[event("a"), sized("huge", 5000)]).await.expect_err("too large");
    assert!(matches!(error, JournalError::Refused(_)), "{error}");
    let cause = error.cause().expect("the journal's own error");
    assert!(matches!(cause, WriteError::TooLarge { id, .. } if id.as_str() == "huge"), "{cause}");
    assert_eq!(journal.load().await, Ok(Loaded::default()));
    journal.append(&[event("a")]).await.expect("kept");
}

/// A journal of several segments whose groups are one event each, and its events in order.
async fn filled(folder: &Path) -> Vec<String> {
    let journal = FileJournal::open(folder, SMALL).expect("a journal");
    let ids: Vec<_> = (0..12).map(|number| format!("event-{number:02}")).collect();
    for id in &ids {
        journal.append(&[sized(id, 1000)]).await.expect("kept");
    }
    assert!(segments(folder).len() == 3, "{:?}", segments(folder));
    ids
}

#[tokio::test]
async fn a_group_that_was_being_written_is_cut_off_with_a_notice() {
    let folder = folder();
    let ids_kept = filled(folder.path()).await;
    let last = segments(folder.path()).pop().expect("a segment");
    let whole = fs::read(&last).expect("a file");
    // The last group has about 1130 bytes.
    for cut in (1..1100).step_by(13) {
        fs::write(&last, &whole[..whole.len() - cut]).expect("a file");
        let journal = FileJournal::open(folder.path(), SMALL).expect("a journal");
        let torn = journal.recovered().torn.clone();
        let loaded = journal.load().await.expect("it can be read");
        assert_eq!(ids(&loaded), ids_kept[..11], "{cut} bytes were cut");
        // Nothing is left of it if the cut is where it begins.
        if let Some(torn) = torn {
            assert_eq!((&torn.file, torn.events.len()), (&last, 0));
            assert!(torn.bytes > 0 && torn.offset + torn.bytes == (whole.len() - cut) as u64);
        }
        // It goes on, and the next start has no notice.
        journal.append(&[event("next")]).await.expect("kept");
        drop(journal);
        let journal = FileJournal::open(folder.path(), SMALL).expect("a journal");
        assert_eq!(journal.recovered().torn, None);
        assert_eq!(ids(&journal.load().await.expect("it can be read")).last(), Some(&"next"));
    }
}

#[tokio::test]
async fn damage_in_the_middle_is_refused_by_name_and_accepted_on_request() {
    let folder = folder();
    let kept = filled(folder.path()).await;
    let files = segments(folder.path());
    let whole = contents(folder.path());
    let accept = JournalConfig { damaged: Damaged::Accept, ..SMALL };
    let mut unnamed = 0;
    let mut tried = 0;
    for (file, bytes) in files.iter().zip(&whole).take(2) {
        for at in (44..bytes.len()).step_by(97) {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x55;
            fs::write(file, &damaged).expect("a file");
            let before = contents(folder.path());
            let refused = FileJournal::open(folder.path(), SMALL).map(drop);
            let Err(OpenError::Damaged { damages }) = refused else {
                panic!("byte {at}: {refused:?}");
            };
            assert_eq!(contents(folder.path()), before, "a journal that is refused has changed");
            assert!(damages.iter().all(|damage| damage.file == *file));
            let named: Vec<_> =
                damages.iter().flat_map(|it| &it.events).map(EventId::as_str).collect();
            let complete = damages.iter().all(|damage| damage.complete);
            tried += 1;
            unnamed += u32::from(!complete);
            // Every name is in the message.
            let text = OpenError::Damaged { damages: damages.clone() }.to_string();
            assert!(named.iter().all(|id| text.contains(id)), "{text}");

            let journal = FileJournal::open(folder.path(), accept).expect("it goes on");
            assert_eq!(journal.recovered().damages, damages);
            let loaded = journal.load().await.expect("it can be read");
            for id in &kept {
                let is_there = ids(&loaded).contains(&id.as_str());
                assert!(is_there || named.contains(&id.as_str()) || !complete, "byte {at}: {id}");
            }
            assert!(loaded.pending.len() >= 11 || !complete, "byte {at}: {:?}", ids(&loaded));
            // It was written again without the damage.
            journal.append(&[event("next")]).await.expect("kept");
            drop(journal);
            let journal = FileJournal::open(folder.path(), SMALL).expect("no damage");
            assert_eq!(ids(&journal.load().await.expect("it can be read")).last(), Some(&"next"));
            drop(journal);
            for file in segments(folder.path()) {
                fs::remove_file(file).expect("a file");
            }
            for (file, bytes) in files.iter().zip(&whole) {
                fs::write(file, bytes).expect("a file");
            }
        }
    }
    assert!(tried > 70 && unnamed * 10 < tried, "{unnamed} of {tried} have no name");
}

#[tokio::test]
async fn a_missing_segment_is_damage() {
    let folder = folder();
    filled(folder.path()).await;
    let files = segments(folder.path());
    fs::remove_file(&files[1]).expect("a file");
    let refused = FileJournal::open(folder.path(), SMALL).map(drop);
    let Err(OpenError::Damaged { damages }) = refused else { panic!("{refused:?}") };
    assert!(damages.iter().any(|it| it.file == files[1] && !it.complete), "{damages:?}");
    let accept = JournalConfig { damaged: Damaged::Accept, ..SMALL };
    let journal = FileJournal::open(folder.path(), accept).expect("it goes on");
    assert!((6..12).contains(&journal.recovered().pending), "{:?}", journal.recovered());
}

#[tokio::test]
async fn a_damaged_record_of_the_last_group_is_named() {
    let folder = folder();
    let journal = FileJournal::open(folder.path(), SMALL).expect("a journal");
    journal.append(&[sized("aa", 100), sized("bb", 100), sized("cc", 100)]).await.expect("kept");
    drop(journal);
    let file = segments(folder.path()).pop().expect("a segment");
    let mut bytes = fs::read(&file).expect("a file");
    let at = bytes.windows(10).position(|it| it == b"kind of bb").expect("the record");
    bytes[at] ^= 1;
    fs::write(&file, bytes).expect("a file");
    let journal = FileJournal::open(folder.path(), SMALL).expect("a journal");
    let torn = journal.recovered().torn.clone().expect("a notice");
    assert_eq!(torn.events, [EventId::new("bb")]);
    assert_eq!(ids(&journal.load().await.expect("it can be read")), ["aa", "cc"]);
    drop(journal);
    let journal = FileJournal::open(folder.path(), SMALL).expect("a journal");
    assert_eq!((&journal.recovered().torn, journal.recovered().pending), (&None, 2));
}

#[tokio::test]
async fn a_newer_version_and_other_files_are_refused_and_stay() {
    let folder = folder();
    filled(folder.path()).await;
    let files = segments(folder.path());
    let mut newer = fs::read(&files[2]).expect("a file");
    newer[8] = 2;
    let version = OpenError::NewerVersion { file: files[2].clone(), found: 2, known: 1 };
    assert!(version.to_string().contains("has version 2 of the format"));
    for (content, expected) in [(newer, Some(version)), (b"notes".to_vec(), None), (vec![], None)] {
        fs::write(&files[2], &content).expect("a file");
        let before = contents(folder.path());
        let refused = FileJournal::open(folder.path(), SMALL).map(drop);
        match expected {
            Some(expected) => assert_eq!(refused, Err(expected)),
            None => assert!(matches!(refused, Err(OpenError::NotASegment { .. })), "{refused:?}"),
        }
        assert_eq!(contents(folder.path()), before);
    }
    // Files without the name of a segment are left alone.
    fs::remove_file(&files[2]).expect("a file");
    fs::write(folder.path().join("notes.txt"), "notes").expect("a file");
    assert!(FileJournal::open(folder.path(), SMALL).is_ok());
    assert_eq!(fs::read(folder.path().join("notes.txt")).expect("a file"), b"notes");
    let file = folder.path().join("notes.txt");
    assert!(matches!(FileJournal::open(file, SMALL), Err(OpenError::Io { .. })));
}

/// A limit on the length of files stands for a full disk. The journal's own test of it is in a process of its own.
#[test]
fn a_call_of_a_full_disk_is_not_kept() {
    let program = std::env::current_exe().expect("this program");
    #[allow(clippy::disallowed_types, reason = "a limit of the system holds for a process")]
    let mut command = std::process::Command::new("sh");
    // In blocks of 512 bytes: 64 KiB. Without the signal, a write beyond it is an error.
    let script = "trap '' XFSZ; ulimit -f 128; exec \"$0\" \"$@\"";
    command.arg("-c").arg(script).arg(program);
    let output = command.args(["--exact", "the_writer", "--ignored"]).output().expect("sh");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[tokio::test]
#[ignore = "another test starts it in a process of its own"]
async fn the_writer() {
    let folder = folder();
    // Larger than the limit, so that the limit comes first.
    let config = JournalConfig { segment_bytes: 1 << 20, max_bytes: 1 << 30, ..SMALL };
    let journal = FileJournal::open(folder.path(), config).expect("a journal");
    let mut kept: Vec<String> = Vec::new();
    let error = loop {
        match journal.append(&[sized(&kept.len().to_string(), 900)]).await {
            Ok(()) => kept.push(kept.len().to_string()),
            Err(error) => break error,
        }
        assert!(kept.len() < 1000, "the limit is not there");
    };
    assert!(matches!(error, JournalError::Full(_)), "{error}");
    let cause: &WriteError = error.cause().expect("the journal's own error");
    assert!(matches!(cause, WriteError::NoSpace { .. }) && cause.is_full(), "{cause}");
    assert!(kept.len() > 10, "{kept:?}");
    // Nothing of the failed call is there, and a smaller one fits.
    assert_eq!(ids(&journal.load().await.expect("it can be read")), kept);
    journal.done(&[delivered("0")]).await.expect("recorded");
    kept.remove(0);
    drop(journal);
    let journal = FileJournal::open(folder.path(), config).expect("a journal");
    assert_eq!(journal.recovered().torn, None);
    assert_eq!(ids(&journal.load().await.expect("it can be read")), kept);
}

#[tokio::test]
async fn waiting_calls_share_a_sync() {
    let folder = folder();
    let journal = FileJournal::open(folder.path(), JournalConfig::default()).expect("a journal");
    let calls = (0..1000).map(|number| {
        let (journal, event) = (journal.clone(), event(&number.to_string()));
        async move { journal.append(&[Arc::clone(&event)]).await }
    });
    futures::future::try_join_all(calls).await.expect("kept");
    let figures = journal.figures();
    assert_eq!((figures.records, figures.live_records), (1000, 1000));
    assert!(figures.groups < 500, "{figures:?}");
}
