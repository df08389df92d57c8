//! The errors that end the program: what failed, where, and what the user can do.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use level5::event_processor::{JournalError, StartError};
use level5_journal::{OpenError, WriteError};

/// The outcome of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Every accepted event was delivered.
    Done,
    /// An event is a dead letter or still pending, or a line was skipped.
    Unsettled,
    /// The counts do not add up, or an error stopped the run. The result names it.
    Failed,
    /// Ended at once, by a second Ctrl-C.
    Interrupted,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Done => Self::SUCCESS,
            Outcome::Unsettled => Self::from(1),
            Outcome::Failed => Self::from(3),
            // 128 plus the number of SIGINT, by the convention of shells.
            Outcome::Interrupted => Self::from(130),
        }
    }
}

/// Why the program cannot continue.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// The journal cannot be opened.
    #[error("{}", explain(.0))]
    Open(#[from] OpenError),
    /// The stream cannot be opened.
    #[cfg(feature = "nats")]
    #[error(transparent)]
    OpenStream(#[from] level5_jetstream::OpenError),
    /// The address of the stream.
    #[cfg(feature = "nats")]
    #[error("--journal: {0}")]
    Address(level5_jetstream::AddressError),
    /// The program cannot use a stream.
    #[cfg(not(feature = "nats"))]
    #[error(
        "this program was built without NATS. Build it with: cargo run -p event-processor --features nats -- --journal ..."
    )]
    WithoutNats,
    /// The journal has refused an event.
    #[error("{0}. The events that were accepted are in the journal: the next start delivers them")]
    Write(#[from] WriteError),
    /// The journal has failed with an error that is not one of files.
    #[error(transparent)]
    Journal(JournalError),
    /// The processor did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The source cannot be read.
    #[error("{}: {why}. Make the file readable, or name another one with --source", path.display())]
    Source {
        /// The file.
        path: PathBuf,
        /// What the system said.
        why: io::Error,
    },
    /// The file of a sink cannot be written.
    #[error("{}: {why}. Make the file writable, or name another one with --sink", path.display())]
    Sink {
        /// The file.
        path: PathBuf,
        /// What the system said.
        why: io::Error,
    },
    /// The address of the source.
    #[error("{address} cannot be listened on: {why}. Name another address with --source")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        why: io::Error,
    },
    /// The address of the monitor.
    #[error("{address} cannot be listened on: {why}. Name another address with --monitor")]
    Monitor {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        why: io::Error,
    },
    /// A client for HTTP cannot be made.
    #[error("no client for HTTP: {0}")]
    Client(#[from] reqwest::Error),
    /// A setting of the processor.
    #[error("the waits between attempts: {0}")]
    Retry(String),
    /// `RUST_LOG` has a value that names no part of the program.
    #[error(
        "RUST_LOG cannot be understood: {0}. Write a level (info), or parts with levels (level5_journal=debug)"
    )]
    Log(#[from] program_kit::log::ParseError),
    /// The result cannot be written.
    #[error("stdout: {0}")]
    Output(io::Error),
    /// A service of the system.
    #[error("the system refused: {0}")]
    System(io::Error),
    /// A part of the level is not written yet.
    #[error("{0}")]
    Unwritten(demo_kit::Unwritten),
}

/// What to do about a journal that does not open, in the words of the command line.
fn explain(error: &OpenError) -> String {
    match error {
        OpenError::Damaged { damages } => {
            let list: Vec<_> = damages.iter().map(ToString::to_string).collect();
            format!(
                "the journal is damaged. {}. Restore it from a copy, or go on without these events with --accept-damage",
                list.join(". ")
            )
        }
        OpenError::Config { .. } => "the journal needs a limit of 8 MiB at least".to_owned(),
        other => other.to_string(),
    }
}

impl From<JournalError> for ProgramError {
    fn from(error: JournalError) -> Self {
        match error.cause::<WriteError>() {
            Some(cause) => Self::Write(cause.clone()),
            None => Self::Journal(error),
        }
    }
}

impl ProgramError {
    /// The exit code of the program.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Log(_) | Self::Retry(_) => 2,
            #[cfg(feature = "nats")]
            Self::Address(_) => 2,
            #[cfg(not(feature = "nats"))]
            Self::WithoutNats => 2,
            Self::Unwritten(_) => 1,
            _ => 3,
        }
    }
}
