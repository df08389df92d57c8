//! Ctrl-C in the middle of a run: an answer, no half-written file, no process left behind.
#![cfg(target_os = "linux")]

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use grader_proofs::program;

/// Longer than anything here takes, on a busy machine too.
const PATIENCE: Duration = Duration::from_secs(300);

fn processes(text: &str) -> Vec<String> {
    program::processes(text).expect("/proc")
}

/// A terminal that is closed takes the grader's output with it: writing fails, and the grader still ends.
#[test]
fn a_closed_terminal_ends_a_run() {
    let root = grader::workspace::of_this_run().expect("the workspace");
    let folder = tempfile::tempdir().expect("a folder");
    let target = folder.path().join("target");
    let mut child = Command::new(program::grader().expect("the grader"))
        .arg("level2")
        .current_dir(&root)
        .env("CARGO_TARGET_DIR", &target)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the grader starts");
    let name = target.to_str().expect("UTF-8").to_owned();
    let begin = Instant::now();
    while processes(&name).is_empty() {
        assert!(begin.elapsed() < PATIENCE, "no rustc was started");
        std::thread::sleep(Duration::from_millis(20));
    }
    drop(child.stderr.take());
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-HUP", &pid]).status().expect("kill").success());
    while child.try_wait().expect("a child").is_none() {
        assert!(begin.elapsed() < PATIENCE, "it does not end");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn ctrl_c_while_cargo_builds() {
    let root = grader::workspace::of_this_run().expect("the workspace");
    let folder = tempfile::tempdir().expect("a folder");
    let report = folder.path().join("report.json");
    // An empty target folder: cargo has minutes of work.
    let target = folder.path().join("target");
    let grader = program::grader().expect("the grader");
    let child = Command::new(grader)
        .args(["level2", "--format", "json", "--output"])
        .arg(&report)
        .current_dir(&root)
        .env("CARGO_TARGET_DIR", &target)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the grader starts");
    let name = target.to_str().expect("UTF-8").to_owned();
    let begin = Instant::now();
    while processes(&name).is_empty() {
        assert!(begin.elapsed() < PATIENCE, "no rustc was started");
        std::thread::sleep(Duration::from_millis(20));
    }
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().expect("kill").success());
    let output = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert!(said.contains("interrupted: nothing was graded"), "{said}");
    let left = std::fs::read_dir(folder.path()).expect("the folder").flatten();
    let left: Vec<_> =
        left.map(|entry| entry.file_name()).filter(|name| name != "target").collect();
    assert!(left.is_empty(), "a run that was interrupted left {left:?}");
    let begin = Instant::now();
    while !processes(&name).is_empty() {
        assert!(begin.elapsed() < PATIENCE, "left behind: {:?}", processes(&name));
        std::thread::sleep(Duration::from_millis(20));
    }
}
