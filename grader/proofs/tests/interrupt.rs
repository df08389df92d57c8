//! Ctrl-C in the middle of a run: an answer, no half-written file, no process left behind.
#![cfg(target_os = "linux")]

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use grader_proofs::program;

/// Longer than anything here takes, on a busy machine too.
const PATIENCE: Duration = Duration::from_secs(300);

fn processes(text: &str) -> Vec<String> {
    program::processes(text).expect("/proc")
}

/// Waits until something is so; `what` says what is missing if it never is.
fn until(what: impl Fn() -> String, mut is_so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < PATIENCE, "{}", what());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Starts the grader with an empty target folder, so that cargo has minutes of work, and waits for its first rustc.
/// Returns the grader, and the words by which its processes are found.
fn building(args: &[&OsStr], target: &Path) -> (Child, String) {
    let root = grader::workspace::of_this_run().expect("the workspace");
    let child = Command::new(program::grader().expect("the grader"))
        .args(args)
        .current_dir(root)
        .env("CARGO_TARGET_DIR", target)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the grader starts");
    let name = target.to_str().expect("UTF-8").to_owned();
    until(|| "no rustc was started".to_owned(), || !processes(&name).is_empty());
    (child, name)
}

fn send(signal: &str, to: &Child) {
    let pid = to.id().to_string();
    assert!(Command::new("kill").args([signal, &pid]).status().expect("kill").success());
}

/// A terminal that is closed takes the grader's output with it: writing fails, and the grader still ends.
#[test]
fn a_closed_terminal_ends_a_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut child, _) = building(&["level2".as_ref()], &folder.path().join("target"));
    drop(child.stderr.take());
    send("-HUP", &child);
    until(|| "it does not end".to_owned(), || child.try_wait().expect("a child").is_some());
}

#[test]
fn ctrl_c_while_cargo_builds() {
    let folder = tempfile::tempdir().expect("a folder");
    let report = folder.path().join("report.json");
    let args = ["level2", "--format", "json", "--output"].map(OsStr::new);
    let args = [&args[..], &[report.as_os_str()]].concat();
    let (child, name) = building(&args, &folder.path().join("target"));
    send("-INT", &child);
    let output = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert!(said.contains("interrupted: nothing was graded"), "{said}");
    let left = std::fs::read_dir(folder.path()).expect("the folder").flatten();
    let left: Vec<_> =
        left.map(|entry| entry.file_name()).filter(|name| name != "target").collect();
    assert!(left.is_empty(), "a run that was interrupted left {left:?}");
    until(|| format!("left behind: {:?}", processes(&name)), || processes(&name).is_empty());
}
