//! Runs check processes: one for each criterion, watched until it answers or cannot any more.
//!
//! A verdict counts only if it comes over the process's own channel and carries the secret that
//! was given to that process. No exit code, no printed line, no silence is ever a pass.

mod cause;
mod channel;
mod output;
mod usage;

use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel as mpsc_channel};
use std::time::{Duration, Instant};

use grader_protocol::{Diagnosis, Fail, Figure, Jail, Message, PanicSite, VERSION};
use serde::Serialize;

use crate::catalog::Criterion;
use crate::inspect::{KeptLock, kept_locks};
use crate::interrupt::Guarded;
use crate::seed::Seed;
use crate::select::Entry;
pub use output::MOST as MOST_OUTPUT;

use output::Drained;
use usage::Usage;

/// Bytes that a pipe takes at once on Linux.
const PIPE: u64 = 64 << 10;

/// How often a process that says nothing is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// How long a check may go on. CPU time and sleep are what it does itself; real time depends on
/// what else the machine does, so it is only the backstop.
#[derive(Debug, Clone)]
pub struct Limits {
    /// CPU time; a right solution needs some 10 ms.
    pub cpu: Duration,
    /// Asleep without any progress; on a paused clock nothing has to be waited for.
    pub asleep: Duration,
    /// Asleep in all, with work in between.
    pub asleep_in_all: Duration,
    /// Real time, for platforms where the two above cannot be seen. Time in which the process could have run and got no
    /// core is not counted, up to nine times this.
    pub real: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let asleep = Duration::from_millis(1500);
        let asleep_in_all = Duration::from_secs(4);
        let (cpu, real) = (Duration::from_secs(3), Duration::from_secs(60));
        Limits { cpu, asleep, asleep_in_all, real }
    }
}

impl Limits {
    /// These limits, widened to what the criterion says that it needs.
    #[must_use]
    pub fn of(&self, criterion: &Criterion) -> Limits {
        let cpu = self.cpu.max(Duration::from_secs(criterion.cpu_seconds.unwrap_or_default()));
        // On a machine that is ten times too busy the CPU limit is still the one that counts.
        Limits { cpu, real: self.real.max(cpu * 10), ..self.clone() }
    }
}

/// What a check process judges.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The criterion, as the check binary knows it.
    pub id: &'a str,
    /// How messages call the exercise when they cannot name a call: `race`.
    pub exercise: &'a str,
    /// The help at the limit of CPU time, where the criterion is about what a call costs.
    pub too_slow: Option<&'a str>,
    /// The seed of the run.
    pub seed: Seed,
}

impl Subject<'static> {
    /// A criterion of the catalog, judged with the values of a seed.
    #[must_use]
    pub fn of(entry: &Entry, seed: Seed) -> Self {
        Subject {
            id: entry.criterion.id,
            exercise: entry.exercise.name,
            too_slow: entry.criterion.too_slow,
            seed,
        }
    }
}

/// The judgement of one criterion.
#[derive(Debug, Clone, Serialize)]
pub struct Verdict {
    /// Why it failed; `None` is a pass.
    pub fail: Option<Fail>,
    /// Remarks that decide nothing.
    pub notes: Vec<String>,
    /// What a scene has measured; a criterion has none.
    #[serde(skip)]
    pub figure: Option<Figure>,
    /// What the process printed, cut to [`MOST_OUTPUT`] bytes a stream.
    pub output: String,
    /// Virtual time that the judged calls took, in microseconds.
    pub virtual_us: u64,
    /// Real time from start to verdict, in microseconds.
    pub real_us: u64,
    /// How the process was confined.
    pub jail: Jail,
}

impl Verdict {
    /// Whether the solution meets the criterion.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.fail.is_none()
    }

    /// A failure that no process was needed for.
    #[must_use]
    pub fn without_process(fail: Fail) -> Self {
        Verdict {
            fail: Some(fail),
            notes: Vec::new(),
            figure: None,
            output: String::new(),
            virtual_us: 0,
            real_us: 0,
            jail: Jail::None,
        }
    }

    /// Whether the grader itself stood in the way of a judgement.
    #[must_use]
    pub fn is_not_judged(&self) -> bool {
        let diagnosis = self.fail.as_ref().and_then(|fail| fail.diagnosis.as_ref());
        matches!(diagnosis, Some(Diagnosis::NotJudged { .. } | Diagnosis::OtherBuild))
    }
}

/// Judges a criterion with the check binary that knows it, in the workspace at `root`.
///
/// A verdict that rests on a moment of real time is taken twice, with the same seed: a page that had to
/// come from a slow disk, or a machine that was stopped for a moment, looks like a thread that blocks,
/// once; and what ended the process from outside may be over. A limit that takes seconds to reach is no
/// such moment: the verdict stands.
#[must_use]
pub fn judge(binary: &Path, subject: Subject<'_>, root: &Path, limits: &Limits) -> Verdict {
    let first = judge_once(binary, subject, root, limits);
    let diagnosis = first.fail.as_ref().and_then(|fail| fail.diagnosis.as_ref());
    let mut verdict = if diagnosis.is_some_and(|diagnosis| may_be_chance(diagnosis, limits)) {
        judge_once(binary, subject, root, limits)
    } else {
        first
    };
    if let Some(fail) = &mut verdict.fail {
        name_kept_lock(fail, subject, root);
        name_the_cost(fail, subject);
    }
    verdict
}

/// At the limit of CPU time a criterion about the cost of a call has most often met calls that cost too much: a loop
/// without an end would fail the other criteria of the exercise as well.
fn name_the_cost(fail: &mut Fail, subject: Subject<'_>) {
    if let (Some(help), Some(&Diagnosis::EndlessLoop { cpu_ms })) =
        (subject.too_slow, fail.diagnosis.as_ref())
    {
        let panics = std::mem::take(&mut fail.panics);
        let diagnosed = Fail::diagnosed(subject.exercise, Diagnosis::TooSlow { cpu_ms });
        *fail = Fail { panics, ..diagnosed.help(help) };
    }
}

/// A thread that blocks often holds a std lock across an await point: names the place, if there is one.
fn name_kept_lock(fail: &mut Fail, subject: Subject<'_>, root: &Path) {
    let blocks = matches!(
        fail.diagnosis,
        Some(Diagnosis::BlocksThread { .. } | Diagnosis::BlockedForGood { .. })
    );
    let Some(level) = subject.id.split('/').next().filter(|_| blocks) else { return };
    let kept = kept_locks(&root.join(level));
    // Of several, the one in the exercise's own files.
    let exercise = subject.exercise.replace('-', "_");
    let found = kept.iter().find(|kept| kept.file.contains(&exercise)).or(kept.first());
    if let Some(KeptLock { file, taken, awaited }) = found {
        fail.help = Some(format!(
            "{level}/{file}:{taken} takes a std lock and keeps its guard across the .await in line \
             {awaited}: another task that wants the lock then blocks the only thread. End the guard's \
             scope before the .await, and take the lock again after it"
        ));
    }
}

/// Whether the diagnosis could be another one the next time.
fn may_be_chance(diagnosis: &Diagnosis, limits: &Limits) -> bool {
    match diagnosis {
        Diagnosis::BlocksThread { real_ms } => {
            Duration::from_millis(*real_ms) < limits.asleep_in_all
        }
        Diagnosis::ThreadsStuck { .. }
        | Diagnosis::BlockedForGood { .. }
        | Diagnosis::Killed { .. } => true,
        _ => false,
    }
}

fn judge_once(binary: &Path, subject: Subject<'_>, root: &Path, limits: &Limits) -> Verdict {
    let start = Instant::now();
    let mut verdict = attempt(binary, subject, root, limits).unwrap_or_else(|why| {
        let why = why.to_string();
        Verdict::without_process(Fail::diagnosed(subject.exercise, Diagnosis::NotJudged { why }))
    });
    verdict.real_us = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
    verdict
}

fn attempt(
    binary: &Path,
    subject: Subject<'_>,
    root: &Path,
    limits: &Limits,
) -> std::io::Result<Verdict> {
    let nonce = secret()?;
    let mut command = Command::new(binary);
    command.current_dir(root).stdout(Stdio::piped()).stderr(Stdio::piped());
    // Nothing of the grader's environment reaches the judged code, and the arguments say nothing: what is
    // asked goes over the channel.
    command.env_clear();
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let (tell, heard) = mpsc_channel();
    let channel = channel::attach(&mut command)?;
    let mut child = command.spawn()?;
    drop(command); // it holds the child's end of the channel, which would never be seen to close
    let group = Guarded::new(child.id());
    let told = channel.open(&mut child, &nonce, subject, &tell)?;
    let drained = Drained::default();
    let verdict = told.in_output.then(|| (nonce.clone(), tell));
    let out = output::drain(child.stdout.take(), verdict, &drained);
    let err = output::drain(child.stderr.take(), None, &drained);

    let Heard { line, stopped, cpu } = listen(&heard, &child, limits, &drained);
    // It has said its word, or never will: a moment to leave, then all of its group goes.
    let grace = if stopped.is_some() { Duration::ZERO } else { Duration::from_secs(2) };
    let status = leave(&mut child, grace, &group)?;
    group.kill();
    let (out, mut err) = (out.finish(), err.finish());

    let (fail, message) = match (stopped, line) {
        (Some(diagnosis), _) => (Some(Fail::diagnosed(subject.exercise, diagnosis)), None),
        (None, Some(line)) => read(&line, &nonce, subject),
        (None, None) => {
            let cause = cause::of(status, &err, cpu);
            let (panics, rest) = cause::panics(&err);
            err = rest;
            // A placeholder in a destructor, or one that a destructor met: nothing is wrong yet.
            let cause =
                if cause == Diagnosis::Aborted && panics.first().is_some_and(PanicSite::is_todo) {
                    Diagnosis::NotStarted
                } else {
                    cause
                };
            (Some(Fail { panics, ..Fail::diagnosed(subject.exercise, cause) }), None)
        }
    };
    let output = [out, err].concat();
    Ok(match message {
        Some(message) => Verdict {
            fail: message.fail,
            notes: message.notes,
            figure: message.figure,
            output,
            virtual_us: message.virtual_us,
            real_us: 0,
            jail: message.jail,
        },
        None => Verdict { output, ..Verdict::without_process(fail.unwrap_or_default()) },
    })
}

/// 128 bits from the system's random source, which the judged code cannot guess.
fn secret() -> std::io::Result<String> {
    let mut bytes = [0u8; 16];
    getrandom::fill(&mut bytes).map_err(std::io::Error::other)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Whether the line is this check's verdict.
fn read(line: &str, nonce: &str, subject: Subject<'_>) -> (Option<Fail>, Option<Message>) {
    let refuse = |diagnosis| (Some(Fail::diagnosed(subject.exercise, diagnosis)), None);
    match serde_json::from_str::<Message>(line) {
        Ok(message) if message.nonce != nonce || message.id != subject.id => {
            refuse(Diagnosis::ForgedVerdict)
        }
        Ok(mut message) if message.version == VERSION => {
            // Also here: the process that sends it runs the judged code.
            message.tidy();
            (None, Some(message))
        }
        Ok(_) => refuse(Diagnosis::OtherBuild),
        Err(_) if line.contains(nonce) => refuse(Diagnosis::OtherBuild),
        Err(_) => refuse(Diagnosis::ForgedVerdict),
    }
}

/// How a check process ended, as far as its channel and its figures tell.
struct Heard {
    /// The verdict's line.
    line: Option<String>,
    /// Why there is no hope for one.
    stopped: Option<Diagnosis>,
    /// CPU time that the process was last seen to have used.
    cpu: Duration,
}

/// Waits for the verdict's line, for the channel's end, or until a limit is reached.
fn listen(
    heard: &Receiver<channel::Heard>,
    child: &Child,
    limits: &Limits,
    drained: &Drained,
) -> Heard {
    let start = Instant::now();
    let (mut progress, mut looked) = (start, start);
    let mut could_run = Duration::ZERO;
    let (mut cpu_before, mut asleep_in_all) = (Duration::ZERO, Duration::ZERO);
    let mut drained_before = 0;
    let (line, stopped) = loop {
        match heard.recv_timeout(LOOK) {
            Ok(channel::Heard::Line(line)) => break (Some(line), None),
            Ok(channel::Heard::End) | Err(RecvTimeoutError::Disconnected) => break (None, None),
            Err(RecvTimeoutError::Timeout) => {}
        }
        if let Some(Usage { cpu, runnable }) = usage::of(child) {
            // A process that has filled its pipe waits for the grader.
            let drained = drained.load(Ordering::Relaxed);
            let waits_for_reader = drained - drained_before >= PIPE / 2;
            drained_before = drained;
            let runnable = runnable || waits_for_reader;
            // A look that comes late says nothing about the time before it.
            let since = looked.elapsed().min(2 * LOOK);
            if runnable {
                // All of it: while the machine is so busy that a look comes late, the process gets no core either.
                could_run += looked.elapsed();
            } else {
                asleep_in_all += since;
            }
            if runnable || cpu > cpu_before {
                (cpu_before, progress) = (cpu, Instant::now());
            }
            if cpu > limits.cpu {
                break (None, Some(Diagnosis::EndlessLoop { cpu_ms: millis(cpu) }));
            }
            if progress.elapsed() > limits.asleep {
                let real_ms = millis(progress.elapsed());
                break (None, Some(Diagnosis::BlockedForGood { real_ms }));
            }
            if asleep_in_all > limits.asleep_in_all {
                let real_ms = millis(asleep_in_all);
                break (None, Some(Diagnosis::BlocksThread { real_ms }));
            }
        }
        looked = Instant::now();
        let elapsed = start.elapsed();
        if is_out_of_time(elapsed, could_run.saturating_sub(cpu_before), limits.real) {
            break (None, Some(Diagnosis::TimedOut { real_s: elapsed.as_secs() }));
        }
    };
    Heard { line, stopped, cpu: cpu_before }
}

/// Whether a process has had its real time. `starved` is the time in which it could have run and got no core: a grade
/// must not depend on what else the machine does. A machine that is busier than ten times gives no verdict at all.
fn is_out_of_time(elapsed: Duration, starved: Duration, limit: Duration) -> bool {
    elapsed.saturating_sub(starved) > limit || elapsed > limit * 10
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Waits until the process is gone, and sees to it after `grace`.
fn leave(child: &mut Child, grace: Duration, group: &Guarded) -> std::io::Result<ExitStatus> {
    let end = Instant::now() + grace;
    let mut nap = Duration::from_micros(100);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if Instant::now() >= end {
            group.kill();
            let _ = child.kill(); // where there are no groups
            return child.wait();
        }
        std::thread::sleep(nap);
        nap = (nap * 2).min(Duration::from_millis(5));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_gets_no_core_has_more_time() {
        let out = |elapsed, starved| {
            let seconds = Duration::from_secs;
            is_out_of_time(seconds(elapsed), seconds(starved), seconds(60))
        };
        assert!(!out(60, 0) && out(61, 0));
        // Nine tenths of its time it waited for a core.
        assert!(!out(400, 360) && out(400, 300));
        assert!(!out(600, 590) && out(601, 600));
    }
}
