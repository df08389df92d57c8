//! A pristine workspace with a target folder of its own, in which forks are graded one after the other.
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use thiserror::Error;

use super::conditions::Sandbox;
use super::confine;
use super::result::{LevelResult, LevelState};
use super::worker::{Answer, Order, Reply, Work};
use crate::catalog::{self, Level};
use crate::interrupt;
use crate::seed::Seed;
use crate::submission::{self, Files, ReadError, Scratch, ScratchError};

/// How often a worker is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// How long a worker may take to end what it started.
const GRACE: Duration = Duration::from_secs(5);

/// A longer answer is none: texts in it are cut, so that it stays far below.
const LONGEST_ANSWER: u64 = 64 << 20;

/// How a fork is graded.
#[derive(Debug, Clone)]
pub struct Rules {
    /// The program that is started as worker: the grader itself.
    pub program: PathBuf,
    /// What the worker may reach.
    pub sandbox: Sandbox,
    /// From which the checks draw their values.
    pub seed: Seed,
    /// Real time for one fork.
    pub time: Duration,
}

/// A lane.
#[derive(Debug)]
pub struct Lane {
    scratch: Scratch,
    target: PathBuf,
    /// The course's files of the levels that other levels use.
    pristine: Vec<(&'static Level, Files)>,
    /// CPU time of the workers so far.
    spent: Cell<Duration>,
}

/// A lane could not be made.
#[derive(Debug, Error)]
pub enum LaneError {
    /// The workspace could not be copied.
    #[error(transparent)]
    Scratch(#[from] ScratchError),
    /// The pristine files could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Crates that were built already could not be copied.
    #[error("cannot copy what is built: {0}; is there room on the disk?")]
    Seed(#[source] io::Error),
    /// The pristine workspace could not be built.
    #[error("cannot build the checks, so that no fork can be graded: {0}")]
    Build(String),
    /// Ctrl-C.
    #[error("interrupted")]
    Interrupted,
}

impl Lane {
    /// Copies the workspace at `root` to `folder` and builds its checks with the reference in place, from
    /// what `profiles` have already: folders such as `target/debug`.
    ///
    /// # Errors
    ///
    /// [`LaneError`].
    pub fn prepare(
        root: &Path,
        folder: &Path,
        profiles: &[PathBuf],
        levels: &[&'static Level],
        rules: &Rules,
    ) -> Result<Lane, LaneError> {
        std::fs::create_dir_all(folder).map_err(LaneError::Seed)?;
        // Bubblewrap's paths begin at the root, and a link in one leads nowhere there.
        let whole = if cfg!(unix) { folder.canonicalize() } else { std::path::absolute(folder) };
        let folder = &whole.map_err(LaneError::Seed)?;
        let scratch = Scratch::create(root, folder)?;
        let target = folder.join("target");
        for profile in profiles {
            submission::seed(root, profile, &target).map_err(LaneError::Seed)?;
        }
        std::fs::create_dir_all(&target).map_err(LaneError::Seed)?;
        let below = levels.iter().flat_map(|level| level.below()).collect::<BTreeSet<_>>();
        let pristine = below.into_iter().filter_map(catalog::level).map(|level| {
            let (files, _) = Files::read(scratch.root(), level)?;
            Ok((level, files))
        });
        let pristine = pristine.collect::<Result<_, ReadError>>()?;
        let lane = Lane { scratch, target, pristine, spent: Cell::default() };
        let mut command = Command::new(&rules.program);
        command.arg("class-worker");
        // The first build may have to fetch crates: as long as it takes, and with the network.
        match lane.run(levels, Work::Build, command, None)? {
            Ended::Answered(Answer::Built) => Ok(lane),
            Ended::Answered(Answer::Failed(why)) | Ended::Lost(why) => Err(LaneError::Build(why)),
            Ended::Answered(Answer::Levels(_)) | Ended::TooLong => {
                Err(LaneError::Build(String::new()))
            }
        }
    }

    /// Where cargo has built the checks.
    #[must_use]
    pub fn profile(&self) -> PathBuf {
        self.target.join("debug")
    }

    /// CPU time that all workers of the lane took so far, with every process that they started.
    #[must_use]
    pub fn spent(&self) -> Duration {
        self.spent.get()
    }

    /// Builds and judges levels with these files. A level that takes too long costs only itself. One that uses levels
    /// below is judged with the course's own: an unfinished level 3 costs nothing in level 4.
    ///
    /// # Errors
    ///
    /// [`LaneError::Scratch`] when the files cannot be laid out, and [`LaneError::Interrupted`].
    pub fn grade(
        &self,
        wanted: &[(&'static Level, &Files)],
        rules: &Rules,
    ) -> Result<Vec<LevelResult>, LaneError> {
        let (above, alone): (Vec<_>, Vec<_>) =
            wanted.iter().copied().partition(|(level, _)| !level.below().is_empty());
        let mut found =
            if alone.is_empty() { Vec::new() } else { self.grade_together(&alone, rules)? };
        for one in above {
            for (level, files) in &self.pristine {
                self.scratch.lay(level, files)?;
            }
            found.extend(self.grade_together(&[one], rules)?);
        }
        let levels: Vec<&'static Level> = wanted.iter().map(|(level, _)| *level).collect();
        Ok(in_order(&levels, found))
    }

    fn grade_together(
        &self,
        wanted: &[(&'static Level, &Files)],
        rules: &Rules,
    ) -> Result<Vec<LevelResult>, LaneError> {
        for (level, files) in wanted {
            self.scratch.lay(level, files)?;
        }
        let levels: Vec<&'static Level> = wanted.iter().map(|(level, _)| *level).collect();
        let ended = self.judge(&levels, rules)?;
        if let Ended::Answered(Answer::Levels(found)) = ended {
            return Ok(in_order(&levels, found));
        }
        if levels.len() == 1 {
            return Ok(vec![without_answer(levels[0], ended, rules)]);
        }
        let mut found = Vec::new();
        for level in levels {
            found.extend(match self.judge(&[level], rules)? {
                Ended::Answered(Answer::Levels(found)) => in_order(&[level], found),
                ended => vec![without_answer(level, ended, rules)],
            });
        }
        Ok(found)
    }

    fn judge(&self, levels: &[&'static Level], rules: &Rules) -> Result<Ended, LaneError> {
        let mut command = confine::command(rules.sandbox, &rules.program, &self.target);
        command.arg("class-worker");
        self.run(levels, Work::Grade(rules.seed), command, Some(rules.time))
    }

    fn run(
        &self,
        levels: &[&'static Level],
        work: Work,
        command: Command,
        time: Option<Duration>,
    ) -> Result<Ended, LaneError> {
        let order = Order {
            root: self.scratch.root().to_path_buf(),
            target: self.target.clone(),
            levels: levels.iter().map(|level| level.name.to_owned()).collect(),
            work,
        };
        let (ended, cpu) = run_worker(&order, command, time);
        self.spent.set(self.spent.get() + cpu);
        if interrupt::is_requested() { Err(LaneError::Interrupted) } else { Ok(ended) }
    }
}

/// How a worker ended.
enum Ended {
    Answered(Answer),
    /// It was ended, because its time was over.
    TooLong,
    /// It gave no answer.
    Lost(String),
}

/// How the worker ended, and its CPU time as far as it said so.
fn run_worker(order: &Order, mut command: Command, time: Option<Duration>) -> (Ended, Duration) {
    let lost = |why| (Ended::Lost(why), Duration::ZERO);
    let start = Instant::now();
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // The terminal's Ctrl-C is for the run; it decides when its workers end.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(why) => return lost(format!("cannot start the grader again: {why}")),
    };
    let group = interrupt::Guarded::new(child.id());
    let mut order_to = child.stdin.take();
    let line = serde_json::to_string(order).unwrap_or_default();
    if let Some(stdin) = &mut order_to {
        let _ = writeln!(stdin, "{line}"); // a worker that died at once gives no answer
    }
    let (tell, heard) = channel();
    let out = child.stdout.take();
    let err = child.stderr.take();
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        let _ = out.map(|out| out.take(LONGEST_ANSWER).read_to_string(&mut text));
        let _ = tell.send(()); // the run may have stopped waiting
        text
    });
    let words = std::thread::spawn(move || {
        let mut text = Vec::new();
        let Some(mut err) = err else { return String::new() };
        let _ = err.by_ref().take(1 << 14).read_to_end(&mut text);
        let _ = io::copy(&mut err, &mut io::sink());
        String::from_utf8_lossy(&text).trim().to_owned()
    });
    let mut too_long = false;
    loop {
        match heard.recv_timeout(LOOK) {
            Ok(()) | Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {}
        }
        too_long = time.is_some_and(|time| start.elapsed() > time);
        if too_long || interrupt::is_requested() {
            break;
        }
    }
    // The end of its input: the worker ends what it started, then itself.
    drop(order_to);
    let end = Instant::now() + GRACE;
    while matches!(child.try_wait(), Ok(None)) && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(10));
    }
    group.kill();
    let _ = child.kill(); // gone already, in all but the worst case
    let _ = child.wait();
    drop(group);
    if too_long {
        return (Ended::TooLong, Duration::ZERO);
    }
    let text = reader.join().unwrap_or_default();
    match serde_json::from_str(text.trim_end()) {
        Ok(Reply { answer, cpu_ms }) => (Ended::Answered(answer), Duration::from_millis(cpu_ms)),
        Err(_) => lost(words.join().unwrap_or_default()),
    }
}

/// The levels as they were asked for: one that a worker does not name was not judged.
fn in_order(levels: &[&'static Level], found: Vec<LevelResult>) -> Vec<LevelResult> {
    let mut found: BTreeMap<String, LevelResult> =
        found.into_iter().map(|level| (level.name.clone(), level)).collect();
    let missing = |level: &Level| LevelResult::without_marks(level, LevelState::NotJudged, None);
    levels.iter().map(|level| found.remove(level.name).unwrap_or_else(|| missing(level))).collect()
}

fn without_answer(level: &Level, ended: Ended, rules: &Rules) -> LevelResult {
    let (state, words) = match ended {
        Ended::TooLong => {
            let seconds = rules.time.as_secs();
            let words = format!(
                "{} was not done after {seconds} s of real time, and was stopped. If other forks need as \
                 long, the machine is too busy: grade again with a larger --time-limit",
                level.name
            );
            (LevelState::Stopped, words)
        }
        Ended::Answered(Answer::Failed(why)) => (LevelState::NotJudged, why),
        Ended::Lost(words) => (
            LevelState::NotJudged,
            format!("the grader's own process ended without an answer. {words}"),
        ),
        Ended::Answered(Answer::Levels(_) | Answer::Built) => {
            (LevelState::NotJudged, String::new())
        }
    };
    LevelResult::without_marks(level, state, Some(words))
}
