//! A guard against regressions that does not flake: instructions, counted by valgrind.
//!
//! CPU time differs from run to run by more than a regression is large. The number of instructions of a
//! path repeats within a fraction of a percent, however busy the machine is. It depends on the compiler and
//! on the target, which the baseline therefore names: with others the comparison is skipped, and says so.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Duration;
use std::{env, fs};

use crate::process;
use crate::report;

/// How much more a path may take than its baseline.
const TOLERANCE: f64 = 0.05;

/// Valgrind is some 50 times slower than the machine.
const LIMIT: Duration = Duration::from_secs(120);

/// Tells a process which path to run, and how often: `breaker 1000`.
const VARIABLE: &str = "BENCH_KIT_PATH";

/// A path that is run often.
#[derive(Debug, Clone, Copy)]
pub struct HotPath {
    /// What it is called in the baseline; without blanks.
    pub name: &'static str,
    /// How often it is run to count it; enough that hash seeds do not show.
    pub times: u64,
    /// Runs it so many times.
    pub run: fn(u64),
}

/// Counted with what, and what was counted.
#[derive(Debug, Clone, PartialEq)]
struct Baseline {
    /// The first line of `rustc --version`, and the target.
    toolchain: String,
    counts: BTreeMap<String, f64>,
}

/// The program: counts `paths` and compares them with `instructions.txt` of the package that it belongs to.
///
/// Without arguments it shows the counts. With `--check` it ends with exit code 1 when a path takes over
/// 5 % more than its baseline or has none; with `--save` it writes the baseline.
#[must_use]
pub fn main(package: &str, paths: &[HotPath]) -> ExitCode {
    if let Ok(asked) = env::var(VARIABLE) {
        return child(&asked, paths);
    }
    let (mut check, mut save) = (false, false);
    for argument in env::args().skip(1) {
        match argument.as_str() {
            "--check" => check = true,
            "--save" => save = true,
            // A filter, `--write` and the like are meant for the other targets.
            "--bench" | "--quick" => {}
            _ => return ExitCode::SUCCESS,
        }
    }
    match run(package, paths, save) {
        Ok(Compared::Worse) if check => ExitCode::FAILURE,
        Ok(_) => ExitCode::SUCCESS,
        Err(Stopped::Skipped(why)) => {
            println!("{package}: instructions are not counted: {why}");
            ExitCode::SUCCESS
        }
        Err(Stopped::Failed(why)) => {
            eprintln!("{package}: {why}");
            ExitCode::FAILURE
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Compared {
    Fine,
    Worse,
}

enum Stopped {
    Skipped(String),
    Failed(String),
}

fn run(package: &str, paths: &[HotPath], save: bool) -> Result<Compared, Stopped> {
    let failed = |why: &dyn ToString| Stopped::Failed(why.to_string());
    let version = process::run(Command::new("valgrind").arg("--version"), LIMIT)
        .map_err(|_| Stopped::Skipped("there is no valgrind".to_owned()))?;
    let file = env::var_os("CARGO_MANIFEST_DIR")
        .map(|folder| PathBuf::from(folder).join("instructions.txt"))
        .ok_or_else(|| Stopped::Failed("start me with cargo bench".to_owned()))?;
    let toolchain = toolchain().map_err(|why| failed(&why))?;
    let mut counts = BTreeMap::new();
    for path in paths {
        let count = count(path).map_err(|why| failed(&format!("{}: {why}", path.name)))?;
        counts.insert(path.name.to_owned(), count);
    }
    let now = Baseline { toolchain, counts };
    if save {
        report::write(&file, &now.text(package)).map_err(|error| failed(&error))?;
        println!("{package}: the baseline is {}", file.display());
        return Ok(Compared::Fine);
    }
    let committed = fs::read_to_string(&file).unwrap_or_default();
    let (text, compared) = compare(&now, &Baseline::parse(&committed));
    print!("{package}, instructions ({}):\n{text}", version.out.trim());
    Ok(compared)
}

/// A line for each path, and whether one of them takes more than it may.
fn compare(now: &Baseline, committed: &Baseline) -> (String, Compared) {
    let mut text = String::new();
    let same = now.toolchain == committed.toolchain;
    let mut compared = Compared::Fine;
    for (name, count) in &now.counts {
        let verdict = match committed.counts.get(name) {
            _ if !same => String::new(),
            None => {
                compared = Compared::Worse;
                "  has no baseline".to_owned()
            }
            Some(base) => {
                let change = count / base - 1.0;
                let words = match change {
                    _ if change > TOLERANCE => {
                        compared = Compared::Worse;
                        ": TOO MUCH"
                    }
                    _ if change < -TOLERANCE => ": save the new baseline",
                    _ => "",
                };
                format!("  {:+.1} % against {base:.0}{words}", change * 100.0)
            }
        };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {name:<28} {count:>9.0}{verdict}");
    }
    if !same {
        let _ = writeln!(
            text,
            "  not compared: the baseline is of {}, this is {}",
            match committed.toolchain.as_str() {
                "" => "nothing",
                toolchain => toolchain,
            },
            now.toolchain
        );
    }
    (text, compared)
}

impl Baseline {
    fn text(&self, package: &str) -> String {
        let mut text = format!(
            "# Instructions of each path, counted by valgrind.\n\
             # cargo bench -p {package} -- --save    brings this file up to date\n\
             # cargo bench -p {package} -- --check   fails when a path takes over 5 % more\n\
             toolchain {}\n",
            self.toolchain
        );
        for (name, count) in &self.counts {
            let _ = writeln!(text, "{name} {count:.0}");
        }
        text
    }

    fn parse(text: &str) -> Self {
        let mut parsed = Self { toolchain: String::new(), counts: BTreeMap::new() };
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            match line.split_once(' ') {
                Some(("toolchain", toolchain)) => parsed.toolchain = toolchain.trim().to_owned(),
                Some((name, count)) => {
                    if let Ok(count) = count.trim().parse() {
                        parsed.counts.insert(name.to_owned(), count);
                    }
                }
                None => {}
            }
        }
        parsed
    }
}

/// The compiler and its target: `rustc 1.95.0 (...), x86_64-unknown-linux-gnu`.
fn toolchain() -> Result<String, String> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = process::run(Command::new(rustc).arg("-vV"), LIMIT).map_err(|e| e.to_string())?;
    let field = |name: &str| output.out.lines().find_map(|line| line.strip_prefix(name));
    let version = output.out.lines().next().unwrap_or_default();
    Ok(format!("{version}, {}", field("host: ").unwrap_or_default()))
}

/// The instructions of one run of a path: those of many runs less those of a tenth of them, so that
/// starting the process does not count.
fn count(path: &HotPath) -> Result<f64, String> {
    let few = path.times.div_ceil(10);
    let [few_counted, all_counted] = [few, path.times].map(|times| counted(path.name, times));
    Ok((all_counted? - few_counted?) / (path.times - few) as f64)
}

fn counted(name: &str, times: u64) -> Result<f64, String> {
    let own = env::current_exe().map_err(|error| error.to_string())?;
    let mut command = Command::new("valgrind");
    command.args(["--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]);
    command.arg(own).env(VARIABLE, format!("{name} {times}"));
    let output = process::run(&mut command, LIMIT).map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(format!("valgrind ended with {}: {}", output.status, output.err.trim()));
    }
    refs(&output.err).ok_or_else(|| format!("valgrind told no count: {}", output.err.trim()))
}

/// The number in cachegrind's line `==1234== I refs:        5,678,901`.
fn refs(said: &str) -> Option<f64> {
    let count = said.lines().find_map(|line| line.split_once("refs:"))?.1;
    count.trim().replace(',', "").parse().ok()
}

fn child(asked: &str, paths: &[HotPath]) -> ExitCode {
    let found = asked.split_once(' ').and_then(|(name, times)| {
        Some((paths.iter().find(|path| path.name == name)?, times.parse().ok()?))
    });
    let Some((path, times)) = found else {
        eprintln!("there is no path for {asked:?}");
        return ExitCode::FAILURE;
    };
    (path.run)(times);
    ExitCode::SUCCESS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn baseline(toolchain: &str, counts: &[(&str, f64)]) -> Baseline {
        let counts = counts.iter().map(|&(name, count)| (name.to_owned(), count)).collect();
        Baseline { toolchain: toolchain.to_owned(), counts }
    }

    #[test]
    fn a_baseline_is_read_as_it_was_written() {
        let written =
            baseline("rustc 1.95.0, x86_64-unknown-linux-gnu", &[("a", 10.0), ("b", 7.0)]);
        assert_eq!(Baseline::parse(&written.text("p")), written);
    }

    #[test]
    fn more_than_a_twentieth_is_too_much() {
        let base = baseline("t", &[("a", 100.0)]);
        assert_eq!(compare(&baseline("t", &[("a", 104.0)]), &base).1, Compared::Fine);
        assert_eq!(compare(&baseline("t", &[("a", 106.0)]), &base).1, Compared::Worse);
        assert_eq!(compare(&baseline("t", &[("a", 50.0)]), &base).1, Compared::Fine);
        assert_eq!(compare(&baseline("t", &[("new", 1.0)]), &base).1, Compared::Worse);
    }

    #[test]
    fn another_compiler_is_not_compared() {
        let (text, compared) =
            compare(&baseline("one", &[("a", 900.0)]), &baseline("two", &[("a", 1.0)]));
        assert_eq!(compared, Compared::Fine);
        assert!(text.contains("not compared: the baseline is of two, this is one"), "{text}");
    }

    #[test]
    fn reads_valgrinds_count() {
        assert_eq!(refs("==1== \n==1== I   refs:      1,234,567\n"), Some(1_234_567.0));
        assert_eq!(refs("valgrind: no"), None);
    }
}
