//! What both stores promise, and what a file may be. Files are real, clocks are the tests'.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use level4::dashboard::{
    Activity, ApiError, Dashboard, DashboardApi, KeyValue, KeyValueError, Notification, Part,
    Settings, Stored, User,
};
use level4_kv::{DEFAULT_BYTES, Disk, Memory, StoreError};
use tempfile::TempDir;
use tokio::time::sleep;

/// A file in a folder of its own.
fn file() -> (TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("copies");
    (folder, file)
}

/// A clock that a test sets, in milliseconds since 1970.
#[derive(Debug, Clone, Default)]
struct Clock(Arc<AtomicU64>);

impl Clock {
    fn set(&self, now: u64) {
        self.0.store(now, Ordering::Relaxed);
    }

    fn open(&self, file: &Path, most: u64) -> Disk {
        let now = Arc::clone(&self.0);
        let clock = move || UNIX_EPOCH + Duration::from_millis(now.load(Ordering::Relaxed));
        Disk::with_clock(file, most, clock).expect("a store")
    }
}

fn stored(text: &str, milliseconds: u64) -> Result<Option<Stored>, StoreError> {
    Ok(Some(Stored { text: text.to_owned(), age: Duration::from_millis(milliseconds) }))
}

#[test]
fn a_file_outlives_its_store_and_texts_grow_old_meanwhile() {
    let (_folder, file) = file();
    let clock = Clock::default();
    clock.set(1_000_000);
    {
        let store = clock.open(&file, DEFAULT_BYTES);
        assert_eq!(store.read("a"), Ok(None));
        for (key, text) in [("a", "1"), ("", "no key"), ("b", ""), ("a", "2"), ("é", "ü")] {
            store.write(key, text).expect("room");
        }
    }
    clock.set(1_300_000);
    let store = clock.open(&file, DEFAULT_BYTES);
    for (key, text) in [("a", "2"), ("", "no key"), ("b", ""), ("é", "ü")] {
        assert_eq!(store.read(key), stored(text, 300_000));
    }
    // A change is a new text.
    store.write("a", "2").expect("room");
    assert_eq!(store.read("a"), stored("2", 0));
}

#[test]
fn the_age_of_a_text_is_its_distance_to_a_clock_that_was_set_back() {
    let (_folder, file) = file();
    let clock = Clock::default();
    clock.set(1_000_000);
    let store = clock.open(&file, DEFAULT_BYTES);
    store.write("a", "1").expect("room");
    for (now, age) in [(400_000, 600_000), (0, 1_000_000), (1_000_000, 0), (1_000_250, 250)] {
        clock.set(now);
        assert_eq!(store.read("a"), stored("1", age), "at {now}");
    }
}

#[test]
fn a_store_that_is_full_refuses_and_keeps_what_it_has() {
    let (_folder, file) = file();
    let full = |most| Err(StoreError::Full { most });
    {
        let store = Clock::default().open(&file, 10);
        // A key counts too: 2, then 9 bytes.
        assert_eq!(store.write("a", "1"), Ok(()));
        assert_eq!(store.write("b", "123456"), Ok(()));
        assert_eq!(store.write("c", "1"), full(10));
        assert_eq!(store.write("b", "12345678"), full(10));
        assert_eq!(store.read("b"), stored("123456", 0));
        assert_eq!(store.write("b", "1234567"), Ok(()));
    }
    // The count outlives the process, and a smaller limit loses nothing.
    let store = Clock::default().open(&file, 5);
    assert_eq!(store.write("c", ""), full(5));
    assert_eq!(store.read("b"), stored("1234567", 0));
    assert_eq!(store.write("b", "1"), Ok(()));
    assert_eq!(store.write("c", ""), Ok(()));
    assert_eq!(store.write("d", "1"), full(5));
}

#[test]
fn old_texts_make_room() {
    let (_folder, file) = file();
    let clock = Clock::default();
    let store = clock.open(&file, 4);
    store.write("a", "1").expect("room");
    clock.set(1);
    store.write("b", "2").expect("room");
    clock.set(300_000);
    assert_eq!(store.write("c", "3"), Err(StoreError::Full { most: 4 }));
    assert_eq!(store.remove_old(Duration::from_millis(300_000)), Ok(1));
    assert_eq!(store.read("a"), Ok(None));
    assert_eq!(store.read("b"), stored("2", 299_999));
    assert_eq!(store.write("c", "3"), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn memory_keeps_as_the_file_does() {
    let store = Memory::new(4);
    assert_eq!(store.get("a"), Ok(None));
    store.put("a", "1".to_owned()).expect("room");
    sleep(Duration::from_millis(1)).await;
    store.put("b", "2".to_owned()).expect("room");
    assert_eq!(store.put("c", String::new()), Err(KeyValueError));
    assert_eq!(store.write("b", "22".to_owned()), Err(StoreError::Full { most: 4 }));
    sleep(Duration::from_millis(299_999)).await;
    assert_eq!(store.read("b"), stored("2", 299_999).expect("a text"));
    assert_eq!(store.remove_old(Duration::from_secs(300)), 1);
    assert_eq!(store.get("a"), Ok(None));
    assert_eq!(store.put("c", String::new()), Ok(()));
}

#[test]
fn a_store_has_one_owner() {
    let (_folder, file) = file();
    let first = Disk::open(&file, DEFAULT_BYTES).expect("a store");
    let second = Disk::open(&file, DEFAULT_BYTES).map(drop);
    let path = file.display().to_string();
    assert_eq!(second, Err(StoreError::InUse { path }));
    drop(first);
    assert!(Disk::open(&file, DEFAULT_BYTES).is_ok());
}

#[test]
fn a_file_that_is_no_store_is_refused_and_stays_as_it_is() {
    let (folder, file) = file();
    for content in ["notes, not copies", &"x".repeat(100_000)] {
        fs::write(&file, content).expect("a file");
        let refused = Disk::open(&file, DEFAULT_BYTES).map(drop);
        assert!(matches!(refused, Err(StoreError::NotAStore { .. })), "{refused:?}");
        assert_eq!(fs::read_to_string(&file).expect("a file"), content);
    }
    for path in [folder.path().to_owned(), folder.path().join("no/such/folder")] {
        let refused = Disk::open(&path, DEFAULT_BYTES).map(drop);
        let name = path.display().to_string();
        assert!(
            matches!(&refused, Err(StoreError::Io { path, .. }) if *path == name),
            "{refused:?}"
        );
    }
}

/// A file with texts on many pages, and what is in it.
fn filled(file: &Path) -> (Vec<u8>, Vec<(String, String)>) {
    let store = Disk::open(file, DEFAULT_BYTES).expect("a store");
    let texts: Vec<_> =
        (0..40).map(|key| (format!("{key}"), format!("{key}:{}", "x".repeat(key * 60)))).collect();
    for (key, text) in &texts {
        store.write(key, text).expect("room");
    }
    drop(store);
    (fs::read(file).expect("a file"), texts)
}

/// The damaged file is refused, or has all that was written: the damage is where nothing is kept. Whether it was
/// refused.
fn refused_or_whole(file: &Path, texts: &[(String, String)], what: &str) -> bool {
    match Disk::open(file, DEFAULT_BYTES) {
        Err(StoreError::Damaged { .. } | StoreError::NotAStore { .. }) => true,
        Err(error) => panic!("{what}: {error:?}"),
        Ok(store) => {
            for (key, text) in texts {
                let kept = store.read(key).expect(what).expect(what);
                assert_eq!(kept.text, *text, "{what}");
            }
            false
        }
    }
}

#[test]
fn a_damaged_file_is_an_error_and_never_wrong_data() {
    let (_folder, file) = file();
    let (whole, texts) = filled(&file);
    // Close together at the begin, where the file describes itself.
    let begin = (0..320).step_by(5);
    let rest = (320..whole.len()).step_by(whole.len() / 150);
    let mut refused = 0;
    for at in begin.chain(rest) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x55;
        fs::write(&file, &damaged).expect("a file");
        refused += u32::from(refused_or_whole(&file, &texts, &format!("byte {at}")));
    }
    assert!(refused > 20, "only {refused} damages were found");
    for length in (1..whole.len()).step_by(whole.len() / 40) {
        fs::write(&file, &whole[..length]).expect("a file");
        assert!(refused_or_whole(&file, &texts, &format!("cut after {length} bytes")));
    }
}

/// A service whose notifications can be away.
struct Api {
    notifications: Option<&'static str>,
}

impl DashboardApi for Api {
    async fn user(&self) -> Result<User, ApiError> {
        Ok(User { id: 7, name: "Ada".to_owned() })
    }

    async fn activities(&self, _: &User) -> Result<Vec<Activity>, ApiError> {
        Ok(Vec::new())
    }

    async fn notifications(&self, _: &User) -> Result<Vec<Notification>, ApiError> {
        let away = ApiError { status: Some(503), text: "away".to_owned() };
        self.notifications.map(|text| vec![Notification(text.to_owned())]).ok_or(away)
    }
}

/// On several threads: a write lets the other tasks go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dashboard_shows_what_the_process_before_it_has_kept() {
    let (_folder, file) = file();
    let clock = Clock::default();
    let page = async |notifications, now| {
        clock.set(now);
        let copies = clock.open(&file, DEFAULT_BYTES);
        let dashboard = Dashboard::new(Api { notifications }, copies, Settings::default());
        dashboard.load().await;
        let page = dashboard.page();
        let data = page.data.expect("a dashboard");
        (data.notifications.iter().map(|shown| shown.0.clone()).collect::<Vec<_>>(), page.degraded)
    };
    assert_eq!(page(Some("first"), 0).await, (vec!["first".to_owned()], vec![]));
    // A young copy answers, an old one stands in for a service that is away.
    assert_eq!(page(Some("second"), 299_999).await, (vec!["first".to_owned()], vec![]));
    let old = (vec!["first".to_owned()], vec![Part::Notifications]);
    assert_eq!(page(None, 300_000).await, old);
    assert_eq!(page(Some("second"), 300_000).await, (vec!["second".to_owned()], vec![]));
}
