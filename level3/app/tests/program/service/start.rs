//! Starts the service, and finds out where it listens.

use std::process::Command;

use process_kit::{Ended, Running, run};

use crate::process::{Place, program};

/// A running service, killed when the test forgets it.
pub struct Serving {
    running: Running,
    pub address: String,
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
    pub fn start(command: Command) -> Self {
        let running = Running::start(command);
        let listens = running.stdout.says_after("Listening on http");
        // With an s for TLS.
        let (_, address) = listens.split_once("://").unwrap();
        Self { address: address.to_owned(), running }
    }

    pub fn kill(self) {
        self.running.kill();
    }

    pub fn terminate(&self) {
        self.running.terminate();
    }

    pub fn end(self) -> Ended {
        self.running.end()
    }
}
