//! A store that ends with its process.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use level4::dashboard::{KeyValue, KeyValueError, Stored};
use tokio::time::Instant;

use crate::{DEFAULT_BYTES, StoreError, cost};

/// Keeps texts in memory. Ages are by tokio's clock.
#[derive(Debug)]
pub struct Memory {
    most: u64,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    texts: HashMap<String, (String, Instant)>,
    /// What the texts and their keys count as.
    bytes: u64,
}

impl Default for Memory {
    /// Room for [`DEFAULT_BYTES`].
    fn default() -> Self {
        Self::new(DEFAULT_BYTES)
    }
}

impl Memory {
    /// Keeps as many bytes of keys and texts at most.
    #[must_use]
    pub fn new(most: u64) -> Self {
        Self { most, kept: Mutex::default() }
    }

    /// Keeps a text, in place of an older one.
    ///
    /// # Errors
    ///
    /// [`StoreError::Full`]. An older text of the key stays.
    pub fn write(&self, key: &str, text: String) -> Result<(), StoreError> {
        let mut kept = self.kept();
        let old = kept.texts.get(key).map_or(0, |(text, _)| cost(key, text));
        let bytes = kept.bytes - old + cost(key, &text);
        if bytes > self.most {
            return Err(StoreError::Full { most: self.most });
        }
        kept.bytes = bytes;
        kept.texts.insert(key.to_owned(), (text, Instant::now()));
        Ok(())
    }

    /// The text of a key.
    #[must_use]
    pub fn read(&self, key: &str) -> Option<Stored> {
        let kept = self.kept();
        let (text, since) = kept.texts.get(key)?;
        Some(Stored { text: text.clone(), age: since.elapsed() })
    }

    /// Removes what is at least that old. Returns how many texts those were.
    pub fn remove_old(&self, age: Duration) -> u64 {
        let mut kept = self.kept();
        let (mut removed, mut bytes) = (0, 0);
        kept.texts.retain(|key, (text, since)| {
            let is_old = since.elapsed() >= age;
            if is_old {
                removed += 1;
                bytes += cost(key, text);
            }
            !is_old
        });
        kept.bytes -= bytes;
        removed
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // No code of a caller runs under the lock.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl KeyValue for Memory {
    fn get(&self, key: &str) -> Result<Option<Stored>, KeyValueError> {
        Ok(self.read(key))
    }

    fn put(&self, key: &str, text: String) -> Result<(), KeyValueError> {
        Ok(self.write(key, text)?)
    }
}
