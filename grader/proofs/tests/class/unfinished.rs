//! A run that does not end by itself: killed, interrupted, without room on the disk. The next one goes on from its
//! results.
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use grader::class::store::read;

use super::support::{Bench, lay, words};

/// Forks of which each has errors of its own, so that each is built.
const FORKS: usize = 10;

fn make(root: &Path, class: &Path) -> BTreeSet<String> {
    let names = (0..FORKS).map(|number| format!("fork-{number}"));
    for name in names.clone() {
        let fork = class.join(&name);
        lay(root, &fork, &[]);
        let path = fork.join("level1/src/errors.rs");
        let blank = fs::read_to_string(&path).expect("the blank");
        fs::write(&path, format!("{blank}\ncompile_error!(\"{name}\");\n")).expect("a file");
    }
    names.collect()
}

/// The results that are there, by the fork's name. Each is whole.
fn results(bench: &Bench) -> BTreeMap<String, PathBuf> {
    let paths = bench.store().results().expect("results").into_values();
    let name = |path: &PathBuf| {
        let result = read(path).unwrap_or_else(|why| panic!("half a result: {why}"));
        result.expect("a result").name
    };
    paths.map(|path| (name(&path), path)).collect()
}

/// The names in the gradebook, below the row of the points possible.
fn book(bench: &Bench) -> Vec<String> {
    let mut book = csv::Reader::from_path(bench.out.join("gradebook.csv")).expect("a gradebook");
    book.records().skip(1).map(|row| row.expect("a row")[0].to_owned()).collect()
}

fn start(bench: &Bench, class: &Path) -> Child {
    let mut command = bench.class(class);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the grader")
}

/// Runs the class to its end: what was there is known, the rest is graded, and each fork has one row.
fn goes_on(bench: &Bench, class: &Path, names: &BTreeSet<String>) {
    let there: BTreeSet<String> = results(bench).into_keys().collect();
    let output = bench.class(class).output().expect("the grader");
    let said = words(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let known: BTreeSet<String> = said
        .lines()
        .filter(|line| line.contains(", known"))
        .filter_map(|line| line.split([' ', ':']).nth(1).map(str::to_owned))
        .collect();
    assert_eq!(known, there, "{said}");
    assert_eq!(&results(bench).into_keys().collect::<BTreeSet<_>>(), names);
    let book = book(bench);
    assert_eq!(book.len(), names.len(), "{book:?}");
    assert_eq!(&book.into_iter().collect::<BTreeSet<_>>(), names);
}

#[test]
fn a_run_that_was_killed_or_interrupted_goes_on() {
    let bench = Bench::take();
    let folder = tempfile::tempdir().expect("a folder");
    let names = make(&bench.root, folder.path());
    for (signal, code) in [("-KILL", None), ("-INT", Some(130)), ("-TERM", Some(130))] {
        let _ = fs::remove_dir_all(bench.out.join("forks")); // none before the first run
        let run = start(&bench, folder.path());
        let begin = Instant::now();
        let some = || bench.store().results().is_ok_and(|results| results.len() >= 2);
        while !some() {
            assert!(begin.elapsed() < Duration::from_secs(600), "no result");
            std::thread::sleep(Duration::from_millis(5));
        }
        let sent = Command::new("kill").args([signal, &run.id().to_string()]).status();
        assert!(sent.expect("kill").success());
        let output = run.wait_with_output().expect("its end");
        assert_eq!(output.status.code(), code, "{signal}: {}", words(&output));
        bench.nothing_is_left();
        assert!(results(&bench).len() < FORKS, "{signal} came too late");
        goes_on(&bench, folder.path(), &names);
    }
}

/// A small disk of its own for the results, while the folder of the builds stays where it is.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// The reason where this machine does not let one make a disk.
    fn mount(at: PathBuf, size: &str) -> Result<SmallDisk, String> {
        fs::create_dir_all(&at).map_err(|why| why.to_string())?;
        mount(&["-t", "tmpfs", "-o", &format!("size={size}"), "none"], &at)?;
        Ok(SmallDisk(at))
    }

    fn grow(&self, size: &str) -> Result<(), String> {
        mount(&["-o", &format!("remount,size={size}")], &self.0)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

fn mount(arguments: &[&str], at: &Path) -> Result<(), String> {
    let output = Command::new("mount").args(arguments).arg(at).output();
    match output {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(why) => Err(why.to_string()),
    }
}

#[test]
fn a_run_without_room_for_its_results_says_so_and_goes_on() {
    let bench = Bench::take();
    let folder = tempfile::tempdir().expect("a folder");
    let names = make(&bench.root, folder.path());
    let disk = match SmallDisk::mount(bench.out.join("forks"), "1m") {
        Ok(disk) => disk,
        Err(why) => {
            eprintln!("skipped: no small disk can be mounted here ({why})");
            return;
        }
    };
    let output = start(&bench, folder.path()).wait_with_output().expect("its end");
    let said = words(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("make room on that disk and run the command again"), "{said}");
    let fitted = results(&bench).len();
    assert!((1..FORKS).contains(&fitted), "{fitted} of {FORKS} results fit: {said}");
    bench.nothing_is_left();
    disk.grow("64m").expect("a larger disk");
    goes_on(&bench, folder.path(), &names);
}
