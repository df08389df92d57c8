//! Forks to grade, and the run that grades them.
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use grader::catalog;
use grader::class::store::Store;
use grader::starter::plan;
use grader_proofs::program;

/// The output folder is one for all tests.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// The course, its grader, and an output folder without results.
pub(crate) struct Bench {
    pub(crate) root: PathBuf,
    pub(crate) grader: PathBuf,
    /// What is built in it for one test serves the next one.
    pub(crate) out: PathBuf,
    _alone: MutexGuard<'static, ()>,
}

impl Bench {
    /// Waits until no other test uses the output folder.
    pub(crate) fn take() -> Bench {
        let alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let root = grader::workspace::of_this_run().expect("the workspace");
        let grader = program::grader().expect("the grader");
        let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("class");
        let _ = fs::remove_dir_all(out.join("forks")); // none before the first run
        Bench { root, grader, out, _alone: alone }
    }

    /// The command that grades level 1 of a class.
    pub(crate) fn class(&self, forks: &Path) -> Command {
        let mut command = Command::new(&self.grader);
        // Relative, as a teacher writes it, where that is possible.
        let out = self.out.strip_prefix(&self.root).unwrap_or(&self.out);
        command.arg("class").arg(forks).arg("--out").arg(out);
        command.args(["--levels", "level1", "--jobs", "1", "--seed", "7"]);
        command.current_dir(&self.root);
        command
    }

    pub(crate) fn store(&self) -> Store {
        Store::reading(&self.out)
    }

    /// Waits until no process works for the output folder: one that was killed needs a moment to go.
    pub(crate) fn nothing_is_left(&self) {
        let begin = Instant::now();
        loop {
            let left = program::processes(&self.out.display().to_string()).expect("/proc");
            if left.is_empty() {
                break;
            }
            assert!(begin.elapsed() < Duration::from_secs(300), "left behind: {left:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Lays the blank of level 1, with these modules of the reference in it.
pub(crate) fn lay(root: &Path, fork: &Path, solved: &[&str]) {
    let level = catalog::level("level1").expect("level 1");
    for file in plan(root, level).expect("a starter").files() {
        let path = fork.join(&file.path);
        let is_solved = solved.iter().any(|name| file.path.ends_with(name));
        let text = if is_solved {
            fs::read_to_string(root.join(&file.path)).ok()
        } else {
            file.blank.clone()
        };
        if let Some(text) = text {
            fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
            fs::write(path, text).expect("a file");
        }
    }
}

pub(crate) fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
    fs::write(path, text).expect("a file");
}

pub(crate) fn git(folder: &Path, date: &str, arguments: &[&str]) {
    let output = Command::new("git")
        .arg("-C")
        .arg(folder)
        .args(["-c", "user.name=n", "-c", "user.email=e", "-c", "core.hooksPath=/dev/null"])
        .args(arguments)
        .env("GIT_COMMITTER_DATE", date)
        .env("GIT_AUTHOR_DATE", date)
        .output()
        .expect("git");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Every file below a folder with its time.
pub(crate) fn snapshot(folder: &Path, files: &mut BTreeMap<PathBuf, SystemTime>) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let metadata = entry.metadata().expect("metadata");
        files.insert(entry.path(), metadata.modified().expect("a time"));
        if metadata.is_dir() {
            snapshot(&entry.path(), files);
        }
    }
}

pub(crate) fn words(output: &Output) -> String {
    [&output.stdout, &output.stderr]
        .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
        .concat()
}
