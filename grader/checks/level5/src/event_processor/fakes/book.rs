//! A journal that notes each call.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::{Arc, Mutex};

use grader_kit::{Cx, Timeline, lock, ms};
use level5::event_processor::{DeadLetter, End, Event, EventId, Journal, JournalError, Loaded};
use tokio::time::sleep;

struct Pages {
    next: u64,
    pending: BTreeMap<u64, Arc<Event>>,
    numbers: HashMap<EventId, u64>,
    dead: Vec<DeadLetter>,
    /// The ends that it was passed, with the time.
    ends: Vec<(u64, String, End)>,
    appended: Vec<(u64, String)>,
    /// How long a call takes.
    append_takes: u64,
    done_takes: u64,
    /// So many of the next calls fail.
    append_fails: usize,
    done_fails: usize,
    /// `append` writes before it takes its time.
    writes_first: bool,
    quiet: bool,
}

/// A journal. A clone is a handle to the same one.
#[derive(Clone)]
pub struct Book {
    pages: Arc<Mutex<Pages>>,
    timeline: Timeline,
}

impl Book {
    pub fn new(cx: &Cx) -> Self {
        let pages = Pages {
            next: 0,
            pending: BTreeMap::new(),
            numbers: HashMap::new(),
            dead: Vec::new(),
            ends: Vec::new(),
            appended: Vec::new(),
            append_takes: 0,
            done_takes: 0,
            append_fails: 0,
            done_fails: 0,
            writes_first: false,
            quiet: false,
        };
        Self { pages: Arc::new(Mutex::new(pages)), timeline: cx.timeline().clone() }
    }

    /// How many milliseconds a call of `append` and one of `done` take.
    pub fn takes(&self, append: u64, done: u64) {
        let mut pages = lock(&self.pages);
        (pages.append_takes, pages.done_takes) = (append, done);
    }

    /// So many of the next calls of `append` and of `done` fail.
    pub fn fails(&self, append: usize, done: usize) {
        let mut pages = lock(&self.pages);
        (pages.append_fails, pages.done_fails) = (append, done);
    }

    /// Whether the next calls of `append` write before they take their time: one that is dropped has written.
    pub fn writes_first(&self, first: bool) {
        lock(&self.pages).writes_first = first;
    }

    /// From now on nothing is kept or noted.
    pub fn forget(&self) {
        let mut pages = lock(&self.pages);
        pages.quiet = true;
        (pages.ends, pages.appended) = (Vec::new(), Vec::new());
    }

    /// The events that have not ended.
    pub fn pending(&self) -> Vec<String> {
        lock(&self.pages).pending.values().map(|event| event.id.to_string()).collect()
    }

    pub fn holds(&self, id: &str) -> bool {
        lock(&self.pages).numbers.contains_key(&EventId::new(id))
    }

    /// The events that were appended, as often as they were.
    pub fn appended(&self) -> Vec<(u64, String)> {
        lock(&self.pages).appended.clone()
    }

    /// When which end of this event was recorded.
    pub fn ends_of(&self, id: &str) -> Vec<(u64, End)> {
        let pages = lock(&self.pages);
        let of_it = pages.ends.iter().filter(|(_, it, _)| it == id);
        of_it.map(|(at, _, end)| (*at, end.clone())).collect()
    }

    /// The recorded ends of all events.
    pub fn ends(&self) -> HashMap<String, Vec<End>> {
        let mut ends = HashMap::<_, Vec<_>>::new();
        for (_, id, end) in &lock(&self.pages).ends {
            ends.entry(id.clone()).or_default().push(end.clone());
        }
        ends
    }

    /// Keeps these events, or fails.
    fn write(&self, events: &[Arc<Event>], takes: u64) -> Result<(), JournalError> {
        let mut pages = lock(&self.pages);
        if pages.append_fails > 0 {
            pages.append_fails -= 1;
            self.timeline.record("journal", "fails to append");
            return Self::fail("append");
        }
        if pages.quiet {
            return Ok(());
        }
        let now = self.timeline.now_ms();
        for event in events {
            // A journal that takes no time would fill the timeline.
            if takes > 0 {
                self.timeline.record("journal", format!("has {}", event.id));
            }
            pages.next += 1;
            let number = pages.next;
            if let Some(old) = pages.numbers.insert(event.id.clone(), number) {
                pages.pending.remove(&old);
            }
            pages.dead.retain(|letter| letter.event.id != event.id);
            pages.pending.insert(number, Arc::clone(event));
            pages.appended.push((now, event.id.to_string()));
        }
        Ok(())
    }

    fn fail<T>(what: &str) -> Result<T, JournalError> {
        let error = io::Error::new(io::ErrorKind::StorageFull, format!("{what}: the disk is full"));
        Err(JournalError::Full(Arc::new(error)))
    }
}

impl Journal for Book {
    async fn append(&self, events: &[Arc<Event>]) -> Result<(), JournalError> {
        let (takes, first) = {
            let pages = lock(&self.pages);
            (pages.append_takes, pages.writes_first)
        };
        if first {
            self.write(events, takes)?;
        }
        if takes > 0 {
            sleep(ms(takes)).await;
        }
        if first { Ok(()) } else { self.write(events, takes) }
    }

    async fn done(&self, ends: &[(EventId, End)]) -> Result<(), JournalError> {
        let takes = lock(&self.pages).done_takes;
        if takes > 0 {
            sleep(ms(takes)).await;
        }
        let mut pages = lock(&self.pages);
        if pages.done_fails > 0 {
            pages.done_fails -= 1;
            self.timeline.record("journal", "fails to record ends");
            return Self::fail("done");
        }
        if pages.quiet {
            return Ok(());
        }
        let now = self.timeline.now_ms();
        for (id, end) in ends {
            if let Some(number) = pages.numbers.remove(id) {
                pages.pending.remove(&number);
            }
            pages.dead.retain(|letter| letter.event.id != *id);
            if let End::Dead(letter) = end {
                pages.dead.push(letter.clone());
            }
            pages.ends.push((now, id.to_string(), end.clone()));
        }
        Ok(())
    }

    async fn load(&self) -> Result<Loaded, JournalError> {
        let pages = lock(&self.pages);
        let pending = pages.pending.values().cloned().collect();
        Ok(Loaded { pending, dead: pages.dead.clone() })
    }
}
