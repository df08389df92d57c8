//! What can be typed, and what it does.

mod class;
mod doctor;
mod exit_code;
mod grade;
mod lesson;
mod manual;
mod progress;
mod read;
mod report;
mod starters;
mod update;
mod watch;
mod write;

use std::path::PathBuf;

use clap::{ColorChoice, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use grader::seed::Seed;
use grader::select::{SelectError, Started, full_name};
use grader::starter::{Edited, started as started_levels};

pub use exit_code::Exit;

/// Grades the levels of the course.
#[derive(Debug, Parser)]
#[command(
    name = "grader",
    bin_name = "cargo grade",
    version,
    args_conflicts_with_subcommands = true,
    after_help = "Exit codes: 0 full core marks, 1 some criteria failed, 2 could not grade, 130 interrupted.\n\
                  A NAME is a level (level2), an exercise (level2/race) or a criterion (level2/race/returns-at-the-third). \
                  The last part of a name is enough (race, returns-at-the-third); if several names match, the one \
                  in a level that you have started is used. `_` counts as `-`."
)]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// What to grade; everything if nothing is named
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Show every criterion, and every failure in full
    #[arg(long)]
    all: bool,
    /// How to show the result
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Write the result into a file instead of the terminal
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Repeat a run: the values that the checks use are drawn from this number; by default from
    /// GRADER_SEED, or from a new one for each run
    #[arg(long, value_name = "N")]
    seed: Option<Seed>,
    /// The workspace to grade; by default the one around the current folder
    #[arg(long, value_name = "FOLDER", global = true)]
    root: Option<PathBuf>,
    /// Colours: by default only on a terminal
    #[arg(long, global = true, default_value = "auto", value_name = "WHEN")]
    color: ColorChoice,
}

/// How to show a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// The scoreboard
    Text,
    /// One JSON document, as grader/README.md describes it
    Json,
    /// One page for a browser, as `cargo grade report` writes it
    Html,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the criteria and what they are worth
    List {
        /// Only these
        #[arg(value_name = "NAME")]
        names: Vec<String>,
    },
    /// Grade what you save, and show one open criterion at a time
    Watch {
        /// What to watch: levels or exercises; the levels that you have started if nothing is named
        #[arg(value_name = "NAME")]
        names: Vec<String>,
        /// Print text from top to bottom instead of drawing a screen; a key is then a letter and Enter
        #[arg(long)]
        plain: bool,
        /// Look at the files once a second, for a folder that sends no events (a network folder)
        #[arg(long)]
        poll: bool,
    },
    /// Grade, and write the result as a page for a browser: one file that needs no network
    Report {
        /// What to grade; everything if nothing is named
        #[arg(value_name = "NAME")]
        names: Vec<String>,
        /// Where the page goes; by default target/grader/report.html
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Open the page in the browser
        #[arg(long)]
        open: bool,
        /// Judge with the values of an earlier run
        #[arg(long, value_name = "N")]
        seed: Option<Seed>,
    },
    /// Show the lesson of an exercise, or the first page of a level's lessons
    Lesson {
        /// An exercise, a criterion or a level; by default the criterion that was shown last
        name: Option<String>,
    },
    /// Show what a criterion demands, or the whole contract of an exercise
    Show {
        /// A criterion or an exercise, or the end of its name; by default the criterion that was shown last
        name: Option<String>,
    },
    /// Show a criterion's hints, from the first to number N
    Hint {
        /// The criterion: its id, or the end of it; by default the one that was shown last
        id: Option<String>,
        /// How many of the hints to show; by default 1
        number: Option<usize>,
    },
    /// Turn a level into the learner's blank; every level if none is named
    Start {
        /// The level
        level: Option<String>,
        /// Begin again: put your own files aside in .course/backup first
        #[arg(long)]
        restart: bool,
    },
    /// Bring the course to a newer version, and leave what you have written as it is
    #[command(after_help = "Examples:\n  \
        cargo grade update https://example.org/async-mastery.git\n  \
        cargo grade update ../async-mastery\n\
        Commit your work first: the update is then one change, which `git diff` shows and \
        `git checkout . && git clean -d` takes back. The two histories need no commit in common.")]
    Update {
        /// The newer course: a folder, or what `git clone` takes
        #[arg(value_name = "COURSE")]
        from: String,
    },
    /// Say whether this machine can grade, and what to do where it cannot
    Doctor,
    /// For teachers: grade the forks of a class into a gradebook
    #[command(after_help = "Examples:\n  \
        cargo grade class forks --out results\n  \
        cargo grade class class.csv --out results --deadline 2027-03-31T23:59:00+02:00 --levels level1,level2\n\
        The learner's own source files are taken from each fork and nothing else; docs/teach.md says more.\n\
        Exit codes: 0 every fork was graded, 1 some could not be read or judged, 2 nothing could be graded, \
        130 interrupted.")]
    Class(class::Options),
    /// For teachers: grade one result again, and say whether anything differs
    Regrade {
        /// The result of a fork: OUT/forks/NAME/result.json
        result: PathBuf,
    },
    /// For teachers: join the results of several machines
    Merge {
        /// What --out named on each of them
        #[arg(required = true, value_name = "DIR")]
        parts: Vec<PathBuf>,
        /// Where the joined results go
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// Late days, weights and exclusions, as for `class`
        #[arg(long, value_name = "FILE")]
        settings: Option<PathBuf>,
    },
    /// Print a script that completes commands in a shell; in bash and zsh names too
    #[command(
        after_help = "The script completes `grade`, a function that it defines: a shell cannot complete the \
        aliases of cargo. Write the script into a file, and have the shell read the file at its start:\n\n  \
        cargo grade completions bash > ~/.grade.bash     and `source ~/.grade.bash` in ~/.bashrc\n  \
        cargo grade completions zsh > ~/.grade.zsh       and `source ~/.grade.zsh` in ~/.zshrc\n  \
        cargo grade completions fish > ~/.config/fish/conf.d/grade.fish\n\n\
        Write it again when the course has new criteria: for bash and zsh it holds their names."
    )]
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Write the manual pages, one for each command
    Man {
        /// The folder for the pages: `man -l DIR/cargo-grade.1` shows the first one
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// Builds and judges one fork for `class`
    #[command(hide = true)]
    ClassWorker,
    /// Show the reference solution of a level or of one of its modules
    Solution {
        /// A level (level2) or a module of it (level2/race)
        name: String,
    },
}

/// Does what was typed.
pub fn run(arguments: &Arguments) -> Exit {
    match arguments.color {
        ColorChoice::Auto => {}
        ColorChoice::Always => anstream::ColorChoice::Always.write_global(),
        ColorChoice::Never => anstream::ColorChoice::Never.write_global(),
    }
    let done = match &arguments.command {
        None => grade::run(arguments),
        Some(Command::List { names }) => read::list(arguments, names),
        Some(Command::Watch { names, plain, poll }) => watch::run(arguments, names, *plain, *poll),
        Some(Command::Report { names, output, open, seed }) => {
            report::run(arguments, names, output.as_deref(), *open, *seed)
        }
        Some(Command::Lesson { name }) => lesson::run(arguments, name.as_deref()),
        Some(Command::Show { name }) => read::show(arguments, name.as_deref()),
        Some(Command::Hint { id, number }) => read::hint(arguments, id.as_deref(), *number),
        Some(Command::Start { level, restart }) => {
            let edited = if *restart { Edited::BackUp } else { Edited::Refuse };
            starters::start(arguments, level.as_deref(), edited)
        }
        Some(Command::Update { from }) => update::run(arguments, from),
        Some(Command::Doctor) => doctor::run(arguments),
        Some(Command::Class(options)) => class::run(arguments, options),
        Some(Command::Regrade { result }) => class::regrade(arguments, result),
        Some(Command::Merge { parts, out, settings }) => {
            class::merge(arguments, parts, out, settings.as_deref())
        }
        Some(Command::Completions { shell }) => manual::completions(*shell),
        Some(Command::Man { out }) => manual::pages(out),
        Some(Command::ClassWorker) => class::work(),
        Some(Command::Solution { name }) => starters::solution(arguments, name),
    };
    done.unwrap_or_else(|error| {
        anstream::eprintln!("{}error:{:#} {error}", ERROR, ERROR);
        Exit::CouldNotGrade
    })
}

const ERROR: anstyle::Style = anstyle::AnsiColor::Red.on_default().bold();

/// Anything that ends a command before it did what was asked; its text says what, where and what to
/// do.
type Failure = Box<dyn std::error::Error>;

/// The workspace that was named, or the one around the current folder.
fn root(arguments: &Arguments) -> Result<PathBuf, Failure> {
    let start = match &arguments.root {
        Some(root) => root.clone(),
        None => std::env::current_dir()?,
    };
    let start = start.canonicalize().map_err(|error| format!("{}: {error}", start.display()))?;
    Ok(grader::workspace::find(&start)?)
}

/// The levels whose starter is under way; none where there is no workspace or no readable record:
/// `start` says what is wrong with it.
fn started(arguments: &Arguments) -> Started {
    root(arguments).ok().and_then(|root| started_levels(&root).ok()).unwrap_or_default()
}

/// The full names of what was named.
fn full_names(arguments: &Arguments, names: &[String]) -> Result<Vec<String>, SelectError> {
    let started = started(arguments);
    names.iter().map(|name| full_name(name, &started)).collect()
}
