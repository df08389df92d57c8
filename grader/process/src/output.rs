//! What a program writes, while it runs and when it has ended.

use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::eventually;

/// What a program has printed, or what it has written to standard error. Cheap to clone; clones share one output.
#[derive(Debug, Clone)]
pub struct Output {
    // Both of the program: a panic about one shows the other too.
    streams: Arc<[Stream; 2]>,
    which: usize,
}

/// Bytes of a pipe.
#[derive(Debug, Default)]
struct Stream {
    bytes: Mutex<Vec<u8>>,
    has_ended: AtomicBool,
}

impl Output {
    /// Reads both pipes of a program to their ends, in threads of their own.
    pub(crate) fn of(
        stdout: impl Read + Send + 'static,
        stderr: impl Read + Send + 'static,
    ) -> [Self; 2] {
        let streams: Arc<[Stream; 2]> = Arc::default();
        let [out, error] = [0, 1].map(|which| Self { streams: Arc::clone(&streams), which });
        out.read(stdout);
        error.read(stderr);
        [out, error]
    }

    fn read(&self, mut pipe: impl Read + Send + 'static) {
        let output = self.clone();
        thread::spawn(move || {
            let mut part = [0; 1 << 16];
            loop {
                match pipe.read(&mut part) {
                    // An error is the end as well: nothing more can be read.
                    Ok(0) | Err(_) => break,
                    Ok(count) => output.bytes().extend_from_slice(&part[..count]),
                }
            }
            // Release, so that a test which sees the end sees all bytes.
            output.stream().has_ended.store(true, Ordering::Release);
        });
    }

    /// Returns what the program has written so far.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes()).into_owned()
    }

    /// Waits until the program has written these words.
    pub fn says(&self, words: &str) {
        self.find(words, |text| text.contains(words).then_some(()));
    }

    /// Waits until the program has written a line with these words, and returns the rest of that line.
    #[must_use]
    pub fn says_after(&self, words: &str) -> String {
        self.find(words, |text| {
            // The whole line: its end may come in another read.
            let (rest, _) = text.split_once(words)?.1.split_once('\n')?;
            Some(rest.to_owned())
        })
    }

    /// Waits until the program has written anything, or has ended without a word.
    pub fn has_begun(&self) {
        eventually("something written", || !self.bytes().is_empty() || self.has_ended());
    }

    /// Waits for the end of the output, and returns all of it.
    pub(crate) fn whole(&self) -> String {
        eventually("the end of the output", || self.has_ended());
        self.text()
    }

    fn find<T>(&self, words: &str, mut find: impl FnMut(&str) -> Option<T>) -> T {
        let mut found = None;
        eventually(words, || {
            // Asked for before the text is read: of a program that has ended, all words are there.
            let has_ended = self.has_ended();
            found = find(&self.text());
            assert!(found.is_some() || !has_ended, "it has ended without {words:?}: {self}");
            found.is_some()
        });
        found.expect("found")
    }

    fn stream(&self) -> &Stream {
        &self.streams[self.which]
    }

    fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.stream().bytes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_ended(&self) -> bool {
        self.stream().has_ended.load(Ordering::Acquire)
    }
}

/// Shows both outputs of the program.
impl std::fmt::Display for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [out, error] = [0, 1].map(|which| Self { which, ..self.clone() }.text());
        write!(f, "it has printed {out:?} and written {error:?} to standard error")
    }
}
