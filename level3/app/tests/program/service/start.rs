//! Starts the service, and finds out where it listens.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::process::{Place, program, run};

/// Longer than a drain of simulated services takes, by far.
const PATIENCE: Duration = Duration::from_secs(120);

/// A running service, killed when the test forgets it.
pub struct Serving {
    child: Child,
    pub address: String,
    stderr: Option<thread::JoinHandle<String>>,
}

/// Adds a key for everything to the service's folder.
pub fn key(place: &Place) -> String {
    let data = place.folder().join("data");
    let scopes = "--scope payments:write --scope payments:read --scope refunds:write --scope operator --scope metrics:read";
    let mut command = program(place.folder(), &format!("add-key shop {scopes} --data"));
    command.arg(&data);
    let ended = run(command);
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    ended.stdout.trim().to_owned()
}

/// The service on a store, on a free port.
pub fn command(place: &Place, args: &str) -> Command {
    let mut command = place.program("serve --listen 127.0.0.1:0");
    command.arg("--data").arg(place.folder().join("data"));
    // At the end: of an option that is there twice, the last one counts.
    command.args(args.split_whitespace());
    command
}

impl Serving {
    /// Starts it and waits until it listens.
    pub fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut errors = child.stderr.take().unwrap();
        // Read all the time, so that the pipe does not fill up.
        let stderr = thread::spawn(move || {
            let mut text = Vec::new();
            errors.read_to_end(&mut text).unwrap();
            String::from_utf8_lossy(&text).into_owned()
        });
        let mut line = String::new();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        output.read_line(&mut line).unwrap();
        let Some(("Listening on http" | "Listening on https", address)) =
            line.trim().split_once("://")
        else {
            let _ = child.kill();
            panic!("{line:?}: {}", stderr.join().unwrap());
        };
        Self { child, address: address.to_owned(), stderr: Some(stderr) }
    }

    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// What a supervisor sends.
    pub fn terminate(&self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    }

    /// Waits until it has ended. Returns its log too.
    pub fn end(mut self) -> (ExitStatus, String) {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait().unwrap() {
                return (status, self.stderr.take().unwrap().join().unwrap());
            }
            thread::sleep(Duration::from_millis(5));
        }
        panic!("the service has not ended after {PATIENCE:?}");
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // Fails for one that has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
