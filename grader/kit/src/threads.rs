//! Real threads, for criteria about code that several threads share.
//!
//! A criterion with `threads = true` gets a pool of them. They start before any code of the learner's
//! runs, and each closes its own jail before it takes work: the judged code cannot start a thread here
//! either, and a thread of the pool may do no more than the thread that judges.
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Barrier};
use std::thread::Builder;
use std::time::{Duration, Instant};
use std::{fmt, io};

use grader_protocol::{Diagnosis, Fail, PanicSite};

use crate::{Cx, jail, panics};

/// Threads of a pool: more than most machines have cores, so that they also interrupt one another.
pub const MOST_THREADS: usize = 8;

/// The stack that the standard library gives to a thread, whatever the environment says.
const STACK: usize = 2 << 20;

/// Real time after which threads that use no CPU time and want none are stuck: they wait for one another.
const MOST_ASLEEP: Duration = Duration::from_secs(1);

/// Real time in all. The grader's limit of CPU time ends a busy run long before.
const MOST_REAL: Duration = Duration::from_secs(120);

/// How often a run that is not done is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// CPU time between two looks that is the kit's own, not the threads'.
const OWN_WORK: Duration = Duration::from_micros(500);

/// Work for one thread. It ends by itself and does not panic.
type Job = Box<dyn FnOnce() + Send>;

/// Threads that wait for work.
pub(crate) struct Pool {
    workers: Vec<Sender<Job>>,
    /// What the system says of each thread. Opened before the jail closes.
    statuses: Vec<Status>,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("workers", &self.workers.len()).finish()
    }
}

impl Pool {
    /// Starts the threads; returns once each of them is jailed, if that is asked for.
    ///
    /// # Errors
    ///
    /// When the system has no thread left, or refuses the jail.
    pub(crate) fn start(jailed: bool) -> io::Result<Pool> {
        let (tell, ready) = channel();
        let mut workers = Vec::new();
        for number in 0..MOST_THREADS {
            let (give, jobs) = channel::<Job>();
            let tell = tell.clone();
            let work = move || {
                let status = Status::of_this_thread();
                let closed = if jailed { jail::close().map(drop) } else { Ok(()) };
                let go_on = closed.is_ok();
                // The sender is gone when another thread of the pool could not start.
                let _ = tell.send((number, status, closed));
                drop(tell);
                while go_on && let Ok(job) = jobs.recv() {
                    job();
                }
            };
            Builder::new().name(format!("stress-{number}")).stack_size(STACK).spawn(work)?;
            workers.push(give);
        }
        let mut statuses = Vec::new();
        for _ in 0..MOST_THREADS {
            let (number, status, closed) = ready.recv().map_err(io::Error::other)?;
            closed.map_err(io::Error::other)?;
            statuses.push((number, status));
        }
        statuses.sort_unstable_by_key(|(number, _)| *number);
        let statuses = statuses.into_iter().map(|(_, status)| status).collect();
        Ok(Pool { workers, statuses })
    }
}

/// What the system says of a thread.
struct Status {
    #[cfg(target_os = "linux")]
    file: Option<std::fs::File>,
}

impl Status {
    #[cfg(target_os = "linux")]
    fn of_this_thread() -> Self {
        Self { file: std::fs::File::open("/proc/thread-self/status").ok() }
    }

    #[cfg(not(target_os = "linux"))]
    fn of_this_thread() -> Self {
        Self {}
    }

    /// Whether the thread runs or waits for a core: on a busy machine it may get none for long. False where it cannot
    /// be known.
    #[cfg(target_os = "linux")]
    fn is_runnable(&self) -> bool {
        let mut text = [0u8; 256];
        let read = self.file.as_ref().and_then(|file| rustix::io::pread(file, &mut text, 0).ok());
        let text = std::str::from_utf8(&text[..read.unwrap_or_default()]).unwrap_or_default();
        let state = text.lines().find_map(|line| line.strip_prefix("State:"));
        state.is_some_and(|state| state.trim_start().starts_with('R'))
    }

    #[cfg(not(target_os = "linux"))]
    fn is_runnable(&self) -> bool {
        false
    }
}

impl Cx {
    /// Runs `work` on `count` real threads at once and returns what they returned, by their number.
    ///
    /// The threads wait for one another at a barrier and then call `work(0)`, `work(1)` and so on.
    /// Time is not virtual there: the threads have no runtime. A future is driven with
    /// `futures::executor::block_on`, or with a paused runtime that `work` builds. Only for criteria
    /// with `threads = true`. `name` is how messages call the learner's code: `Limiter::acquire`.
    ///
    /// # Errors
    ///
    /// A [`Fail`] when `work` panics on one of the threads, when the threads use no CPU time for one
    /// second and none waits for a core (they wait for one another), or when they are not done after 120 seconds of real time.
    ///
    /// # Panics
    ///
    /// When `count` is 0 or more than [`MOST_THREADS`].
    pub fn on_threads<T: Send + 'static>(
        &self,
        name: &str,
        count: usize,
        work: impl Fn(usize) -> T + Send + Sync + 'static,
    ) -> Result<Vec<T>, Fail> {
        assert!((1..=MOST_THREADS).contains(&count), "{count} threads of {MOST_THREADS}");
        let not_judged = |why: &str| {
            Fail::diagnosed("the criterion", Diagnosis::NotJudged { why: why.to_owned() })
        };
        let Some(pool) = &self.shared.pool else {
            return Err(not_judged("it uses threads, and its entry has no `threads = true`"));
        };
        let (work, start) = (Arc::new(work), Arc::new(Barrier::new(count)));
        let (tell, done) = channel();
        for (number, worker) in pool.workers.iter().take(count).enumerate() {
            let (work, start, tell) = (Arc::clone(&work), Arc::clone(&start), tell.clone());
            let job = move || {
                start.wait();
                let result = catch_unwind(AssertUnwindSafe(|| work(number)));
                drop(work);
                // The script has given up on a run that took too long.
                let _ = tell.send((number, result.ok()));
            };
            if worker.send(Box::new(job)).is_err() {
                return Err(not_judged("one of its threads has ended"));
            }
        }
        drop(tell);
        let results = collect(&done, count, &pool.statuses[..count]).map_err(|diagnosis| Fail {
            panics: panics::cause_first(panics::take()),
            ..Fail::diagnosed(name, diagnosis)
        })?;
        // What panicked on a thread is no value; a panic that the judged code contained is none of ours.
        let seen = panics::cause_first(panics::take());
        match results.into_iter().collect::<Option<Vec<T>>>() {
            Some(values) => Ok(values),
            None => {
                let diagnosis = if seen.iter().any(panics::is_todo) {
                    Diagnosis::NotStarted
                } else if seen.iter().any(PanicSite::is_refused_thread) {
                    Diagnosis::ThreadRefused
                } else {
                    Diagnosis::Panicked
                };
                Err(Fail { panics: seen, ..Fail::diagnosed(name, diagnosis) })
            }
        }
    }
}

/// Waits for the threads' results: `None` for one that panicked.
fn collect<T>(
    done: &Receiver<(usize, Option<T>)>,
    count: usize,
    statuses: &[Status],
) -> Result<Vec<Option<T>>, Diagnosis> {
    let begin = Instant::now();
    let mut results: Vec<Option<T>> = (0..count).map(|_| None).collect();
    let (mut left, mut progress, mut cpu) = (count, Instant::now(), cpu_time());
    while left > 0 {
        match done.recv_timeout(LOOK) {
            Ok((number, result)) => {
                results[number] = result;
                (left, progress) = (left - 1, Instant::now());
            }
            Err(RecvTimeoutError::Timeout) => {
                let now = cpu_time();
                if now.saturating_sub(cpu) > OWN_WORK || statuses.iter().any(Status::is_runnable) {
                    progress = Instant::now();
                }
                cpu = now;
            }
            Err(RecvTimeoutError::Disconnected) => break,
        }
        let (asleep, real) = (progress.elapsed(), begin.elapsed());
        if left > 0 && (asleep > MOST_ASLEEP || real > MOST_REAL) {
            let real_ms = u64::try_from(asleep.as_millis()).unwrap_or(u64::MAX);
            return Err(Diagnosis::ThreadsStuck { stuck: left, of: count, real_ms });
        }
    }
    Ok(results)
}

/// CPU time of the whole process so far. Other processes on a busy machine do not lengthen it, so that two parts of one
/// run can be compared.
#[cfg(unix)]
#[must_use]
pub fn cpu_time() -> Duration {
    use rustix::time::{ClockId, clock_gettime};

    let time = clock_gettime(ClockId::ProcessCPUTime);
    let nanos = u32::try_from(time.tv_nsec).unwrap_or_default();
    Duration::new(u64::try_from(time.tv_sec).unwrap_or_default(), nanos)
}

/// Where the process's own time is unknown, real time stands in: only the limit of real time is left.
#[cfg(not(unix))]
#[must_use]
pub fn cpu_time() -> Duration {
    use std::sync::OnceLock;

    static BEGIN: OnceLock<Instant> = OnceLock::new();
    BEGIN.get_or_init(Instant::now).elapsed()
}
