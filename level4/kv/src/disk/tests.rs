use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use redb::StorageBackend;
use redb::backends::InMemoryBackend;

use super::*;

/// A disk with so many bytes. Its content outlives the database.
#[derive(Debug, Clone)]
struct Small {
    content: Arc<InMemoryBackend>,
    bytes: Arc<AtomicU64>,
}

impl Small {
    fn new(bytes: u64) -> Self {
        let content = Arc::new(InMemoryBackend::new());
        Self { content, bytes: Arc::new(AtomicU64::new(bytes)) }
    }

    fn has(&self, bytes: u64) -> io::Result<()> {
        if bytes <= self.bytes.load(Ordering::Relaxed) {
            Ok(())
        } else {
            Err(io::ErrorKind::StorageFull.into())
        }
    }
}

impl StorageBackend for Small {
    fn len(&self) -> io::Result<u64> {
        self.content.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.content.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.has(len)?;
        self.content.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.content.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.has(offset + data.len() as u64)?;
        self.content.write(offset, data)
    }
}

fn on(disk: &Small) -> Result<Disk, StoreError> {
    let disk = disk.clone();
    let opens = Box::new(move || {
        Builder::new()
            .set_cache_size(CACHE)
            .set_check_integrity_on_open(true)
            .create_with_backend(disk.clone())
    });
    Disk::new("disk".into(), u64::MAX, opens, Box::new(|| UNIX_EPOCH))
}

#[test]
fn a_full_disk_is_an_error_and_loses_nothing() {
    let disk = Small::new(4 << 20);
    let store = on(&disk).expect("a store");
    let text = "x".repeat(100_000);
    let mut accepted = 0;
    let error = loop {
        match store.write(&accepted.to_string(), &text) {
            Ok(()) => accepted += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error, StoreError::NoSpace { path: "disk".to_owned() });
    assert!(accepted > 10, "{accepted} texts of 4 MiB");
    let all_there = |store: &Disk| {
        (0..accepted).all(|key| {
            let kept = store.read(&key.to_string()).expect("it can be read").expect("it is there");
            kept.text == text
        })
    };
    // The same store goes on: it reads, refuses what does not fit, and accepts it as soon as there is room.
    assert!(all_there(&store));
    assert!(store.write("more", &text).is_err());
    assert!(all_there(&store));
    disk.bytes.store(u64::MAX, Ordering::Relaxed);
    assert_eq!(store.write("more", &text), Ok(()));
    drop(store);
    assert!(all_there(&on(&disk).expect("a store")));
}

#[test]
fn a_disk_without_room_for_a_store_is_an_error() {
    let error = on(&Small::new(100)).expect_err("no room");
    assert_eq!(error, StoreError::NoSpace { path: "disk".to_owned() });
}

#[test]
fn a_clock_that_was_set_back_makes_no_text_young() {
    assert_eq!(age(1_000, 301_000), Duration::from_secs(300));
    assert_eq!(age(301_000, 1_000), Duration::from_secs(300));
    assert_eq!(age(7, 7), Duration::ZERO);
}
