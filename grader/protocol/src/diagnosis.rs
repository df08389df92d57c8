//! What went wrong when a call gave no answer.
use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a call gave no answer, or gave it in a way that no exercise allows.
///
/// Its `Display` continues a sentence that names the call: "race::load never finished: ...".
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Diagnosis {
    /// The body is still the starter's `todo!()`.
    NotStarted,
    /// The call panicked.
    Panicked,
    /// The call tried to start a thread, which the jail refuses.
    ThreadRefused,
    /// Real threads that call the learner's code use no CPU time any more, or find no end.
    ThreadsStuck {
        /// Threads that are not done.
        stuck: usize,
        /// Threads there are.
        of: usize,
        /// Real time without any progress, in milliseconds.
        real_ms: u64,
    },
    /// The judged code moved the virtual clock itself.
    ClockMoved {
        /// By how much at once, in microseconds.
        by_us: u64,
    },
    /// The judged code entered a runtime of its own.
    OtherRuntime,
    /// Nothing wakes the future any more.
    NeverWoken {
        /// Virtual time of its last poll, in microseconds of the timeline.
        since_us: u64,
        /// Spawned tasks that were still alive.
        tasks: usize,
    },
    /// The call waits for a fake of the grader that never answers, on purpose.
    WaitsForSilence {
        /// The call of the fake that is still open.
        open: String,
        /// When that call stopped answering, in microseconds of the timeline.
        since_us: u64,
    },
    /// The call waits for spawned tasks, which wake up again and again and find no end.
    TaskNeverEnds {
        /// Virtual time that passed meanwhile, in seconds.
        virtual_s: u64,
        /// At how many moments something woke up in that time.
        moments: u64,
    },
    /// The criterion's own virtual time is over.
    OutOfTime {
        /// That time, in seconds.
        virtual_s: u64,
        /// The call that was not done, if there was one.
        call: Option<String>,
        /// When it began, in microseconds since the criterion began.
        since_us: u64,
    },
    /// The call was still busy after more virtual time than any exercise needs.
    StillRunning {
        /// That virtual time, in seconds.
        virtual_s: u64,
        /// How often it had been polled.
        polls: u64,
    },
    /// The call wakes itself again and again and never lets time pass.
    SpinsWithoutWaiting {
        /// Virtual time at which it spins, in microseconds of the timeline.
        at_us: u64,
        /// How often it was polled at that instant.
        polls: u64,
    },
    /// The call checks again and again whether something has happened.
    PollsForever {
        /// How often it was polled.
        polls: u64,
        /// Virtual time of its last poll, in microseconds of the timeline.
        up_to_us: u64,
    },
    /// The thread slept in the kernel while the future was polled.
    BlocksThread {
        /// For how long in all, in real milliseconds.
        real_ms: u64,
    },
    /// A thread of the process has been asleep for so long that nothing will wake it.
    BlockedForGood {
        /// How long it was watched, in real milliseconds.
        real_ms: u64,
    },
    /// The process used up its CPU time.
    EndlessLoop {
        /// CPU time that it used, in milliseconds.
        cpu_ms: u64,
    },
    /// No answer within the backstop of real time.
    TimedOut {
        /// That time, in real seconds.
        real_s: u64,
    },
    /// The process ended itself before the criterion was judged.
    Exited {
        /// The exit code of the process.
        code: i32,
    },
    /// The process aborted.
    Aborted,
    /// A recursion without end.
    StackOverflow,
    /// More memory than a check may use.
    OutOfMemory {
        /// The limit, in MiB.
        limit_mib: u64,
    },
    /// A signal ended the process.
    Killed {
        /// The signal's number.
        signal: i32,
    },
    /// Something answered that does not know the secret.
    ForgedVerdict,
    /// The check binary is of another build than the grader.
    OtherBuild,
    /// The grader itself could not run the check.
    NotJudged {
        /// What stood in the way.
        why: String,
    },
}

/// Microseconds as milliseconds, without needless decimals.
struct Millis(u64);

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_multiple_of(1000) {
            write!(f, "{} ms", self.0 / 1000)
        } else {
            write!(f, "{}.{:03} ms", self.0 / 1000, self.0 % 1000)
        }
    }
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Diagnosis::NotStarted => write!(f, "is not written yet"),
            Diagnosis::Panicked => write!(f, "panicked"),
            Diagnosis::ThreadRefused => write!(f, "tried to start a thread"),
            Diagnosis::ThreadsStuck { stuck, of, real_ms } => write!(
                f,
                "never finished on {stuck} of {of} threads ({real_ms} ms of real time without progress)"
            ),
            Diagnosis::ClockMoved { by_us } => {
                write!(f, "moved the virtual clock itself, by {}", Millis(*by_us))
            }
            Diagnosis::OtherRuntime => {
                write!(f, "entered a runtime of its own and did not leave it")
            }
            Diagnosis::NeverWoken { since_us, tasks } => {
                write!(f, "never finished: since t = {} nothing wakes it", Millis(*since_us))?;
                match tasks {
                    0 => Ok(()),
                    1 => write!(f, " (1 spawned task is waiting too)"),
                    n => write!(f, " ({n} spawned tasks are waiting too)"),
                }
            }
            Diagnosis::WaitsForSilence { open, since_us } => write!(
                f,
                "never finished: since t = {} it waits for `{open}`, which does not answer, on purpose",
                Millis(*since_us)
            ),
            Diagnosis::TaskNeverEnds { virtual_s, moments } => write!(
                f,
                "never finished: it waits for a spawned task, which is still running after {virtual_s} s of \
                 virtual time and {moments} waits"
            ),
            Diagnosis::OutOfTime { virtual_s, call: Some(call), since_us } => write!(
                f,
                "was not done when the criterion's {virtual_s} s of virtual time were over: {call}, begun \
                 at t = {}, had not returned",
                Millis(*since_us)
            ),
            Diagnosis::OutOfTime { virtual_s, call: None, .. } => write!(
                f,
                "was not done when the criterion's {virtual_s} s of virtual time were over"
            ),
            Diagnosis::StillRunning { virtual_s, polls } => {
                write!(f, "was still running after {virtual_s} s of virtual time ({polls} polls)")
            }
            Diagnosis::SpinsWithoutWaiting { at_us, polls } => {
                write!(f, "was polled {polls} times at t = {} and never waited", Millis(*at_us))
            }
            Diagnosis::PollsForever { polls, up_to_us } => {
                write!(
                    f,
                    "was polled {polls} times up to t = {} and is not done",
                    Millis(*up_to_us)
                )
            }
            Diagnosis::BlocksThread { real_ms } => {
                write!(f, "blocked its thread for {real_ms} ms of real time")
            }
            Diagnosis::BlockedForGood { real_ms } => {
                write!(f, "blocked its thread for good (stopped after {real_ms} ms asleep)")
            }
            Diagnosis::EndlessLoop { cpu_ms } => {
                write!(f, "runs in an endless loop (stopped after {cpu_ms} ms of CPU time)")
            }
            Diagnosis::TimedOut { real_s } => {
                write!(f, "gave no answer within {real_s} s of real time")
            }
            Diagnosis::Exited { code } => {
                write!(f, "ended the process with exit code {code} before it was judged")
            }
            Diagnosis::Aborted => write!(f, "aborted the process"),
            Diagnosis::StackOverflow => write!(f, "overflowed the stack"),
            Diagnosis::OutOfMemory { limit_mib } => {
                write!(
                    f,
                    "used more than {limit_mib} MiB of memory, or more than the part of it that this criterion allows"
                )
            }
            Diagnosis::Killed { signal } => write!(f, "was ended by signal {signal}"),
            Diagnosis::ForgedVerdict => write!(f, "sent a verdict that is not the grader's"),
            Diagnosis::OtherBuild => write!(f, "was checked by a binary of another build"),
            Diagnosis::NotJudged { why } => write!(f, "could not be judged: {why}"),
        }
    }
}

impl Diagnosis {
    /// What usually causes it and what to change.
    #[must_use]
    pub fn help(&self) -> &'static str {
        match self {
            Diagnosis::NotStarted => "replace the todo!() in the file named below",
            Diagnosis::Panicked => {
                "the panic's text and place stand above: the code met a case that it does not expect. \
                 Handle the case, or return it as an error"
            }
            Diagnosis::ThreadRefused => {
                "an exercise works with tasks: spawn_blocking, std threads and runtimes of its own \
                 are not needed, and a thread would not follow the virtual clock. Use tokio::spawn \
                 or a combinator"
            }
            Diagnosis::ThreadsStuck { .. } => {
                "several threads together deadlock: look for a wake-up that is lost between a check and the \
                 registration of the waker, two locks taken in different order, a lock held while a listener or \
                 a waker is called"
            }
            Diagnosis::ClockMoved { .. } => {
                "only the grader moves the clock: wait with tokio::time::sleep(..).await, and use neither \
                 tokio::time::advance nor pause nor resume"
            }
            Diagnosis::OtherRuntime => {
                "an exercise runs on the runtime that polls it: build none, and do not keep the guard of \
                 Runtime::enter"
            }
            Diagnosis::NeverWoken { .. } => {
                "it waits for something that no task and no timer will do. Look for a Notify that \
                 nothing notifies, a waiter that left a queue without waking the next one, a lock taken \
                 twice, a channel whose sender is kept alive (or was never used), a hand-written poll \
                 that returns Pending without storing the waker"
            }
            Diagnosis::WaitsForSilence { .. } => {
                "the grader's fake named above stands for a service that hangs. What calls it has to stop \
                 waiting by itself: at a time limit, at the deadline, or when it is dropped"
            }
            Diagnosis::TaskNeverEnds { .. } => {
                "look in the code that runs in a task for a retry or a loop without a limit: it waits, tries \
                 again, and finds no end"
            }
            Diagnosis::OutOfTime { .. } => {
                "no single call hangs, but together they take far more time than a right solution: look \
                 for a retry without a limit, a pause that is too long, an event that never comes"
            }
            Diagnosis::StillRunning { .. } => {
                "every wait is real, but there is no end to them: look for a retry or a loop \
                 without a limit"
            }
            Diagnosis::SpinsWithoutWaiting { .. } => {
                "a loop never lets time pass if it only yields, wakes itself, or sleeps until an instant that has \
                 already come: the timer and the condition must agree (`>=` at that very instant), and what no timer \
                 brings needs a channel or a Notify"
            }
            Diagnosis::PollsForever { .. } => {
                "it checks again and again whether something has happened: wait for the event \
                 itself (await the future, a channel, a Notify)"
            }
            Diagnosis::BlocksThread { .. } => {
                "something inside waits without .await (std::thread::sleep, a blocking lock or \
                 channel, block_on): while it waits no other task can run. Wait with .await, and keep no \
                 guard of a lock across one"
            }
            Diagnosis::BlockedForGood { .. } => {
                "a std lock, a std channel, block_on or thread::sleep waits on the thread that should do \
                 what it waits for. Keep no guard of a lock across an .await or while other code is \
                 called; wait with .await on tokio's channels and timers"
            }
            Diagnosis::EndlessLoop { .. } => {
                "a loop that never ends and never waits, here or in a spawned task: every turn \
                 needs an .await that can really wait, and the loop needs an end"
            }
            Diagnosis::TimedOut { .. } => {
                "it did not end, and on this platform the grader cannot see why: look for a loop \
                 without .await, a blocking lock, a std sleep"
            }
            Diagnosis::Exited { .. } => {
                "code under test must return; std::process::exit ends the grader's process and \
                 counts as a failure, whatever the code"
            }
            Diagnosis::Aborted => {
                "std::process::abort, a panic inside a panic, or a panic in a Drop during unwinding"
            }
            Diagnosis::StackOverflow => {
                "a recursion without end: look for a function, a Drop or a Display that calls itself"
            }
            Diagnosis::OutOfMemory { .. } => {
                "look for a collection that grows in a loop without end, or a capacity taken from \
                 input"
            }
            Diagnosis::Killed { signal: 9 } => {
                "something outside the grader ended the process: often the system, when it has no memory \
                 left. Close what needs much memory and grade again"
            }
            Diagnosis::Killed { .. } => "the output above may say more",
            Diagnosis::ForgedVerdict => {
                "only the grader may write to the verdict channel: remove the code that does"
            }
            Diagnosis::OtherBuild => "run the grader once more: it builds both again",
            Diagnosis::NotJudged { .. } => {
                "this is not a fault of the solution: repair the cause and run the grader again"
            }
        }
    }

    /// Whether the check burned real time until the grader stopped it.
    #[must_use]
    pub fn is_hang(&self) -> bool {
        matches!(
            self,
            Diagnosis::EndlessLoop { .. }
                | Diagnosis::BlockedForGood { .. }
                | Diagnosis::TimedOut { .. }
        )
    }
}
