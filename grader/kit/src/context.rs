//! The context of a criterion's script.
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

use crate::clock::Clock;
use crate::meter::Meter;
use crate::panics::Contained;
use crate::threads::Pool;
use crate::{Draw, Source, Timeline};
use grader_protocol::{Fail, Figure, PanicSite};

/// Handed to every criterion. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Cx {
    pub(crate) shared: Rc<Shared>,
    timeline: Timeline,
}

/// The part of a [`Cx`] that all its clones share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) clock: Clock,
    pub(crate) meter: Meter,
    pub(crate) notes: RefCell<Vec<String>>,
    /// What a scene has measured.
    pub(crate) figure: RefCell<Option<Figure>>,
    /// Panics that did not reach the caller.
    pub(crate) contained: RefCell<Vec<Contained>>,
    pub(crate) virtual_time: Cell<Duration>,
    pub(crate) sources: Vec<Source>,
    /// The criterion's id and the run's seed: what values are drawn from.
    pub(crate) id: &'static str,
    pub(crate) seed: u64,
    /// The calls of the judged code that have not ended, and when each began.
    pub(crate) running: RefCell<Vec<(String, u64)>>,
    /// How many [`Draw`]s were made.
    pub(crate) draws: Cell<u64>,
    /// Threads, for a criterion that asked for them.
    pub(crate) pool: Option<Pool>,
    /// Virtual time that the criterion may take beyond its usual limit.
    pub(crate) patience: Cell<Duration>,
}

/// What a [`Cx`] is made of.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) clock: Clock,
    pub(crate) meter: Meter,
    pub(crate) sources: Vec<Source>,
    pub(crate) id: &'static str,
    pub(crate) seed: u64,
    pub(crate) pool: Option<Pool>,
}

impl Cx {
    /// The timeline begins now.
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts { clock, meter, sources, id, seed, pool } = parts;
        let (notes, figure, contained) =
            (RefCell::default(), RefCell::default(), RefCell::default());
        let virtual_time = Cell::default();
        let (draws, running) = (Cell::default(), RefCell::default());
        let (patience, timeline) = (Cell::default(), Timeline::new(clock.clone()));
        let shared = Shared {
            clock,
            meter,
            notes,
            figure,
            contained,
            virtual_time,
            sources,
            id,
            seed,
            running,
            draws,
            pool,
            patience,
        };
        Cx { shared: Rc::new(shared), timeline }
    }

    /// Where the fakes record what they see.
    #[must_use]
    pub fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    /// Values drawn from the seed of the run. Each call begins another stream, so that two parts of a
    /// script do not draw the same values; the first call is the first stream in every run.
    #[must_use]
    pub fn draw(&self) -> Draw {
        let stream = self.shared.draws.get();
        self.shared.draws.set(stream + 1);
        Draw::new(self.shared.seed, self.shared.id, stream)
    }

    /// Remembers a call until the returned value is dropped.
    pub(crate) fn running(&self, call: &str) -> Running {
        let since_us = u64::try_from(self.timeline.now().as_micros()).unwrap_or(u64::MAX);
        self.shared.running.borrow_mut().push((call.to_owned(), since_us));
        Running { shared: Rc::clone(&self.shared), call: (call.to_owned(), since_us) }
    }

    /// Lets `time` pass. It does not count towards the virtual time of the criterion.
    pub async fn pass(&self, time: Duration) {
        let _patience = self.patience(time);
        tokio::time::sleep(time).await;
    }

    /// Moves the clock by `time` at once. Timers know whole milliseconds only: this is how a duration comes
    /// about that is none. Every timer that is due by then fires late.
    pub fn skip(&self, time: Duration) {
        self.shared.clock.skip(time);
    }

    /// The criterion may take `most` longer, until the returned value is dropped. From then on it may take
    /// longer by what was used of it.
    pub(crate) fn patience(&self, most: Duration) -> Patience {
        let shared = Rc::clone(&self.shared);
        shared.patience.set(shared.patience.get().saturating_add(most));
        Patience { began: shared.clock.now(), most, shared }
    }

    /// Something worth telling that decides nothing.
    pub fn note(&self, note: impl Into<String>) {
        self.shared.notes.borrow_mut().push(note.into());
    }

    /// What a scene shows. The last figure of a script counts.
    pub fn show(&self, figure: Figure) {
        self.shared.figure.replace(Some(figure));
    }

    /// Remembers panics that did not reach the caller of `call`.
    pub(crate) fn contained(&self, call: &str, panics: Vec<PanicSite>) {
        let case = self.timeline.case();
        let contained =
            panics.into_iter().map(|panic| Contained { call: call.to_owned(), case, panic });
        self.shared.contained.borrow_mut().extend(contained);
    }

    /// How many spawned tasks are alive. A task that has ended, or was aborted, counts until it had
    /// its last turn: see [`settle`](Cx::settle).
    #[must_use]
    pub fn alive_tasks(&self) -> usize {
        self.shared.clock.alive_tasks()
    }

    /// How often the runtime has parked so far. It parks when no task is ready, and the paused clock moves on: a
    /// task that wakes up every few milliseconds, spawned or not, makes it park each time. The count depends on the
    /// virtual time alone, not on the machine.
    #[must_use]
    pub fn parks(&self) -> u64 {
        self.shared.clock.parks()
    }

    /// Lets every task that is ready have its turns, without moving the clock: it returns as soon as
    /// a number of rounds went by, far more than a chain of wake-ups in an exercise is long.
    pub async fn settle(&self) {
        for _ in 0..64 {
            tokio::task::yield_now().await;
        }
    }

    /// The text of one of the level's files, named as `src/combinators.rs`.
    ///
    /// # Errors
    ///
    /// A [`Fail`] for the learner when the file is not there.
    pub fn source(&self, path: &str) -> Result<&str, Fail> {
        self.sources()
            .iter()
            .find(|source| source.path == path)
            .map(|s| s.text.as_str())
            .ok_or_else(|| {
                Fail::new(format!("{path} is missing"))
                    .help("this criterion reads the file: keep it where the starter puts it")
            })
    }

    /// All source files of the level, sorted by path.
    #[must_use]
    pub fn sources(&self) -> &[Source] {
        &self.shared.sources
    }
}

/// A call that has not ended.
pub(crate) struct Running {
    shared: Rc<Shared>,
    call: (String, u64),
}

/// Time that the criterion may take longer, see [`Cx::patience`].
pub(crate) struct Patience {
    shared: Rc<Shared>,
    most: Duration,
    began: Instant,
}

impl Drop for Patience {
    fn drop(&mut self) {
        let unused = self.most.saturating_sub(self.shared.clock.since(self.began));
        self.shared.patience.set(self.shared.patience.get().saturating_sub(unused));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut running = self.shared.running.borrow_mut();
        if let Some(at) = running.iter().position(|call| *call == self.call) {
            running.remove(at);
        }
    }
}
