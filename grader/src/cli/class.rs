//! `cargo grade class`, `regrade` and `merge`: a whole class.
use std::io::{BufRead as _, IsTerminal as _, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use clap::Args;
use grader::catalog::{self, LEVELS, Level};
use grader::class::conditions::Conditions;
use grader::class::lane::Rules;
use grader::class::moment::Moment;
use grader::class::result::{ForkResult, ForkStatus};
use grader::class::run::{How, Progress};
use grader::class::settings::Settings;
use grader::class::store::Store;
use grader::class::take::State;
use grader::class::worker::{self, Order};
use grader::class::{Class, Events, confine, marks, merge, regrade, roster, settings};
use grader::interrupt;
use grader::report::count;
use grader::seed::Seed;
use indicatif::{ProgressBar, ProgressStyle};

use super::{Arguments, Exit, Failure, write};

/// What `class` is told.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// A folder that holds the forks, or a CSV file with the columns name and path (and submitted, if wanted)
    #[arg(value_name = "DIR_OR_LIST")]
    forks: PathBuf,
    /// Where the results go; a later run with the same folder continues from them
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The levels to grade; all of them by default
    #[arg(long, value_name = "LEVEL", value_delimiter = ',')]
    levels: Vec<String>,
    /// Take the last commit before this point in time: 2027-03-31T23:59:00+02:00
    #[arg(long, value_name = "TIME")]
    deadline: Option<Moment>,
    /// Late days, weights and exclusions: a TOML file, see docs/teach.md
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// The number from which the checks draw their values; by default the one of the results that are there,
    /// or a new one
    #[arg(long, value_name = "N")]
    seed: Option<Seed>,
    /// How many forks to grade at a time; each needs a target folder of its own
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    jobs: Option<u16>,
    /// Real seconds for one fork
    #[arg(long, value_name = "SECONDS", default_value_t = 900, value_parser = clap::value_parser!(u64).range(1..))]
    time_limit: u64,
    /// Grade only a part of the list, to share it between machines: 1/8 is the first of eight parts
    #[arg(long, value_name = "N/M", value_parser = shard)]
    shard: Option<(usize, usize)>,
}

fn shard(text: &str) -> Result<(usize, usize), String> {
    let parts = text.split_once('/').and_then(|(n, m)| Some((n.parse().ok()?, m.parse().ok()?)));
    match parts {
        Some((number, of)) if (1..=of).contains(&number) => Ok((number, of)),
        _ => Err("write the part and how many there are, such as 1/8".to_owned()),
    }
}

pub(super) fn run(arguments: &Arguments, options: &Options) -> Result<Exit, Failure> {
    let root = super::root(arguments)?;
    let settings = read_settings(options.settings.as_deref())?;
    let levels = levels(&options.levels)?;
    let mut roster = roster::read(&options.forks)?;
    if let Some((number, of)) = options.shard {
        roster = roster.shard(number, of);
    }
    if !roster.passed_over.is_empty() {
        anstream::eprintln!("skipped, since they are not forks: {}", roster.passed_over.join(", "));
    }
    refuse_inside(&root, &options.out)?;
    let store = Store::open(&options.out)?;
    let out = options.out.canonicalize()?;
    let store_root = out.as_path();
    let seed = match options.seed {
        Some(seed) => seed,
        None => seed_there(&store)?.map_or_else(Seed::of_this_run, Ok)?,
    };
    let (sandbox, missing) = confine::available();
    missing.iter().for_each(|missing| anstream::eprintln!("note: {missing}."));
    let conditions = Conditions::of_run(&root, seed, options.time_limit, sandbox);
    let rules = Rules {
        program: std::env::current_exe()?,
        sandbox,
        seed,
        time: Duration::from_secs(options.time_limit),
    };
    // With late days the time of the commit is what counts.
    let state = match options.deadline {
        None if settings.late.is_none() => State::Files,
        deadline => State::Committed(deadline),
    };
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let lanes = options.jobs.map_or(cores, usize::from);
    interrupt::be_gentle();
    let display = Display::new(roster.forks.len());
    let class = Class {
        root: &root,
        roster: &roster,
        state,
        levels: &levels,
        settings: &settings,
        store: &store,
        conditions: &conditions,
        rules: &rules,
        lanes,
    };
    let outcome = grader::class::run(&class, &display);
    display.end();
    let outcome = outcome?;
    let all = roster.forks.len();
    if outcome.interrupted {
        anstream::eprintln!(
            "interrupted: {} of {} have their results in {}; the same command continues from there",
            outcome.done,
            count(all, "fork", "forks"),
            store_root.display()
        );
        std::process::exit(interrupt::EXIT_CODE);
    }
    let graded = outcome.done - outcome.unreadable - outcome.not_judged;
    let mut text = format!("{} of {} graded", graded, count(all, "fork", "forks"));
    if outcome.unreadable > 0 {
        text += &format!(", {} could not be read", outcome.unreadable);
    }
    if outcome.not_judged > 0 {
        text += &format!(", {} could not be judged", outcome.not_judged);
    }
    text += &format!(
        "\n{}   the points\n{}   what the class gets wrong, equal submissions\n{}   solutions that are alike\n{}   \
         each fork\n",
        store_root.join("gradebook.csv").display(),
        store_root.join("class.md").display(),
        store_root.join("similar.md").display(),
        store_root.join("forks").display()
    );
    write::to_stdout(&text)?;
    Ok(if outcome.unreadable + outcome.not_judged == 0 {
        Exit::Success
    } else {
        Exit::CriteriaFailed
    })
}

pub(super) fn regrade(arguments: &Arguments, result: &Path) -> Result<Exit, Failure> {
    let root = super::root(arguments)?;
    let (sandbox, missing) = confine::available();
    missing.iter().for_each(|missing| anstream::eprintln!("note: {missing}."));
    anstream::eprintln!("building the checks and judging once more");
    let found = regrade::regrade(&root, result, std::env::current_exe()?, sandbox)?;
    let mut text = String::new();
    for line in &found.conditions {
        text += &format!("other conditions   {line}\n");
    }
    for line in &found.differences {
        text += &format!("differs            {line}\n");
    }
    let criteria = count(found.criteria, "criterion", "criteria");
    text += &match found.differences.len() {
        0 => format!("{}: nothing differs in {criteria}\n", found.name),
        number => format!(
            "{}: {} in {criteria}\n",
            found.name,
            count(number, "difference", "differences")
        ),
    };
    write::to_stdout(&text)?;
    Ok(if found.differences.is_empty() { Exit::Success } else { Exit::CriteriaFailed })
}

pub(super) fn merge(
    arguments: &Arguments,
    parts: &[PathBuf],
    out: &Path,
    settings: Option<&Path>,
) -> Result<Exit, Failure> {
    let root = super::root(arguments)?;
    let settings = read_settings(settings)?;
    let store = Store::open(out)?;
    let merged = merge::merge(parts, &store, &settings)?;
    grader::class::run::write_similar(&root, &store, merged.rows.values())?;
    merged.notes.iter().for_each(|note| anstream::eprintln!("note: {note}"));
    let forks = count(merged.rows.len(), "fork", "forks");
    write::to_stdout(&format!("{forks} in {}\n", out.join("gradebook.csv").display()))?;
    Ok(Exit::Success)
}

/// The hidden command that `class` starts for each fork.
pub(super) fn work() -> Result<Exit, Failure> {
    let mut line = String::new();
    let mut input = std::io::stdin().lock();
    input.read_line(&mut line)?;
    drop(input);
    // The run of the class holds the other end: when it ends, however, this process ends too.
    std::thread::spawn(|| {
        let mut rest = [0; 64];
        while matches!(std::io::stdin().lock().read(&mut rest), Ok(1..)) {}
        interrupt::end();
    });
    let order: Order = serde_json::from_str(&line)
        .map_err(|why| format!("`class-worker` is started by `cargo grade class`: {why}"))?;
    let reply = serde_json::to_string(&worker::serve(&order))?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{reply}")?;
    out.flush()?;
    Ok(Exit::Success)
}

fn read_settings(path: Option<&Path>) -> Result<Settings, Failure> {
    Ok(path.map(settings::read).transpose()?.unwrap_or_default())
}

fn levels(names: &[String]) -> Result<Vec<&'static Level>, Failure> {
    for name in names {
        if catalog::level(name).is_none() {
            let known: Vec<&str> = LEVELS.iter().map(|level| level.name).collect();
            return Err(
                format!("there is no level `{name}`: write one of {}", known.join(", ")).into()
            );
        }
    }
    let wanted = |level: &&Level| {
        names.is_empty() || names.iter().any(|name| name.trim_end_matches('/') == level.name)
    };
    Ok(LEVELS.iter().copied().filter(|level| wanted(level)).collect())
}

/// A copy of the workspace would hold the copies of all earlier ones.
fn refuse_inside(root: &Path, out: &Path) -> Result<(), Failure> {
    let absolute = std::path::absolute(out)?;
    // The folder need not be there yet.
    let there = absolute.ancestors().find_map(|folder| folder.canonicalize().ok());
    let inside = there
        .is_some_and(|there| there.starts_with(root) && !there.starts_with(root.join("target")));
    if inside && !absolute.starts_with(root.join("target")) {
        let out = out.display();
        return Err(format!(
            "{out} lies in the workspace that grades: name a folder beside it with --out"
        )
        .into());
    }
    Ok(())
}

/// The seed of the results that are there.
fn seed_there(store: &Store) -> Result<Option<Seed>, Failure> {
    for path in store.results()?.into_values() {
        if let Ok(Some(result)) = grader::class::store::read(&path) {
            return Ok(Some(result.conditions.seed));
        }
    }
    Ok(None)
}

/// A line that is drawn again on a terminal, or a line for each fork elsewhere.
#[derive(Debug)]
struct Display {
    bar: Option<ProgressBar>,
    last: Mutex<()>,
}

impl Display {
    fn new(forks: usize) -> Display {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(forks as u64);
            let style = ProgressStyle::with_template("{spinner} {pos}/{len} {wide_msg}");
            bar.enable_steady_tick(Duration::from_millis(200));
            match style {
                Ok(style) => bar.with_style(style),
                Err(_) => bar, // a worse picture is better than none
            }
        });
        Display { bar, last: Mutex::new(()) }
    }

    fn say(&self, text: String) {
        match &self.bar {
            Some(bar) => bar.set_message(text),
            None => {
                let _line = self.last.lock();
                anstream::eprintln!("{text}");
            }
        }
    }

    fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Events for Display {
    fn preparing(&self, lane: usize) {
        let first = if lane == 0 { " (minutes the first time)" } else { "" };
        self.say(format!("copying the course and building its checks{first}"));
    }

    fn finished(&self, result: &ForkResult, how: How, progress: Progress) {
        let marks = marks::marks(result, &Settings::default());
        let what = match (result.status, how) {
            (ForkStatus::Unreadable, _) => {
                format!("unreadable: {}", result.reason.as_deref().unwrap_or_default())
            }
            (ForkStatus::NotJudged, _) => "could not be judged".to_owned(),
            (ForkStatus::Graded, How::Known) => {
                format!(
                    "{} of {} core points, known",
                    marks::points(marks.total),
                    marks::points(marks.of)
                )
            }
            (ForkStatus::Graded, How::Graded { .. }) => {
                format!("{} of {} core points", marks::points(marks.total), marks::points(marks.of))
            }
        };
        let left = match progress.left {
            Some(left) if progress.done < progress.all => format!(", {} left", time(left)),
            _ => String::new(),
        };
        // A name can be anything.
        let name: String = result.name.chars().filter(|letter| !letter.is_control()).collect();
        if let Some(bar) = &self.bar {
            bar.set_position(progress.done as u64);
            bar.set_message(format!("{name}: {what}{left}"));
        } else {
            self.say(format!("{}/{} {name}: {what}{left}", progress.done, progress.all));
        }
    }
}

/// Hours and minutes, or seconds.
fn time(left: Duration) -> String {
    let seconds = left.as_secs();
    match (seconds / 3600, seconds / 60 % 60) {
        (0, 0) => format!("{seconds} s"),
        (0, minutes) => format!("{minutes} min"),
        (hours, minutes) => format!("{hours} h {minutes} min"),
    }
}
