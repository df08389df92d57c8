//! The errors that end the program: what failed, where, and what the user can do.

use std::io;
use std::path::PathBuf;

use page_kit::ListenError;

use crate::channel::mail::SenderError;
use crate::service::StartError;
use crate::store::StoreError;
use crate::templates::TemplateError;

/// Why the program cannot continue.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// The folder of the data.
    #[error("{}: {why}. Make the folder writable, or name another one with --data", path.display())]
    Data {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        why: io::Error,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store, while the program ran.
    #[error(
        "{0}. The notifications that were accepted are in the store: the next start sends them"
    )]
    Broken(StoreError),
    /// The service did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The address.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The templates.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// The sender of mails.
    #[error("--from: {0}")]
    Sender(#[from] SenderError),
    /// The URL of the mail server. It may have a password, so it is not repeated.
    #[error("NOTIFIER_SMTP_URL: {0}. Write smtps://HOST, or smtp://HOST:587?tls=required")]
    Smtp(#[from] lettre::transport::smtp::Error),
    /// A client for HTTP cannot be made.
    #[error("no client for HTTP: {0}")]
    Client(#[from] reqwest::Error),
    /// `RUST_LOG` has a value that names no part of the program.
    #[error("RUST_LOG cannot be understood: {0}. Write a level (info), or parts with levels")]
    Log(#[from] program_kit::log::ParseError),
    /// The output.
    #[error("stdout: {0}")]
    Output(io::Error),
    /// A service of the system.
    #[error("the system refused: {0}")]
    System(io::Error),
    /// A part of the level is not written yet.
    #[error("{0}")]
    Unwritten(demo_kit::Unwritten),
}

impl ProgramError {
    /// The exit code of the program.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Unwritten(_) => 1,
            Self::Log(_) | Self::Sender(_) | Self::Smtp(_) | Self::Template(_) => 2,
            _ => 3,
        }
    }
}
