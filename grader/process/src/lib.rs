//! Programs as children of a test: started, followed, interrupted, killed.
//!
//! This is for tests: what fails ends the test with a panic that has the output of the program. Every wait is on real
//! time, blocks its thread, and has [`PATIENCE`].
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    clippy::missing_panics_doc,
    reason = "it starts programs and waits for them, and only tests use it"
)]

mod chance;
mod output;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

pub use chance::Dice;
pub use output::Output;

/// Longer than a program needs for anything in a test, whatever else runs on the machine.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// The pause between two looks at what a test waits for.
const LOOKS: Duration = Duration::from_millis(5);

/// Waits until `is_so` returns true. `what` is for the message of the panic after [`PATIENCE`].
pub fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "{what}: not after {PATIENCE:?}");
        thread::sleep(LOOKS);
    }
}

/// Returns the command that runs `program` in `folder`, without input and with the arguments that white space separates.
/// `RUST_LOG` and the other variables in `unset` are not passed on.
#[must_use]
pub fn command(program: &str, folder: &Path, args: &str, unset: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder).args(args.split_whitespace()).stdin(Stdio::null());
    for variable in ["RUST_LOG"].iter().chain(unset) {
        command.env_remove(variable);
    }
    command
}

/// Runs a program to its end.
#[must_use]
pub fn run(program: Command) -> Ended {
    Running::start(program).end()
}

/// A running program. Its output is read all the time, so that no pipe fills up. Dropping it kills the program.
#[derive(Debug)]
pub struct Running {
    child: Child,
    /// What it prints.
    pub stdout: Output,
    /// What it writes to standard error.
    pub stderr: Output,
}

impl Running {
    /// Starts a program.
    #[must_use]
    pub fn start(mut program: Command) -> Self {
        let child = program.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = child.unwrap_or_else(|why| panic!("{program:?}: {why}"));
        let stdout = child.stdout.take().expect("a pipe");
        let stderr = child.stderr.take().expect("a pipe");
        let [stdout, stderr] = Output::of(stdout, stderr);
        Self { child, stdout, stderr }
    }

    /// Whether the program has not ended.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_none()
    }

    /// Sends what Ctrl-C sends.
    pub fn interrupt(&self) {
        self.signal("-INT");
    }

    /// Sends what a supervisor sends.
    pub fn terminate(&self) {
        self.signal("-TERM");
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status();
        assert!(sent.expect("kill(1)").success(), "{signal} is not sent");
    }

    /// Kills the program, which has to be running, as `kill -9` does. Returns what it has written.
    pub fn kill(mut self) -> Ended {
        let is_running = self.is_running();
        // Fails for one that has ended.
        let _ = self.child.kill();
        let ended = self.end();
        assert!(is_running, "the program has ended by itself: {ended:#?}");
        ended
    }

    /// Waits until the program has ended.
    #[must_use]
    pub fn end(mut self) -> Ended {
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                break status;
            }
            if begun.elapsed() > PATIENCE {
                panic!("the program has not ended after {PATIENCE:?}: {}", self.stdout);
            }
            thread::sleep(LOOKS);
        };
        let [stdout, stderr] = [&self.stdout, &self.stderr].map(Output::whole);
        Ended { code: status.code(), stdout, stderr }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Fails for one that has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A program that has ended.
#[derive(Debug, Clone)]
pub struct Ended {
    /// The exit code. `None` if a signal has ended the program.
    pub code: Option<i32>,
    /// All that it has printed.
    pub stdout: String,
    /// All that it has written to standard error.
    pub stderr: String,
}

impl Ended {
    /// Returns what it has printed, which has to be one value in JSON.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|why| panic!("{why}: {self:#?}"))
    }
}
