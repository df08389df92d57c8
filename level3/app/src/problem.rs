//! The errors that end the program: what failed, where, and what the user can do.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use level3::gateway::GatewayConfigError;
use level3_adapters::SetupError;
use level3_adapters::reconcile::ReconcileError;
use level3_adapters::sendgrid::{CheckError, NotAKey};
use level3_adapters::sql::StoreError;
use level3_adapters::sqlite::BackupError;
use level3_adapters::stripe::{KeyError, StripeError};
use level3_domain::answer::PayError;

use crate::settings::SettingsError;

/// The outcome of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The run is complete, and the books balance.
    Done,
    /// A payment failed or was refused, the books do not balance, or a payment has not ended.
    Unsettled,
    /// An error stopped the run. The result names it.
    Stopped(u8),
    /// Ended at once, by a second Ctrl-C.
    Interrupted,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Done => Self::SUCCESS,
            Outcome::Unsettled => Self::from(1),
            Outcome::Stopped(code) => Self::from(code),
            // 128 plus the number of SIGINT, by the convention of shells.
            Outcome::Interrupted => Self::from(130),
        }
    }
}

/// Why the program cannot continue.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A command that needs an existing store.
    #[error("there is no store {}. Pay something first (payment-gateway), or name the store with --store", file.display())]
    NoStore { file: PathBuf },
    /// The store, if only the error of the gateway is known.
    #[error("{place}: {error}")]
    Gateway { place: String, error: PayError },
    /// The files of the simulated services.
    #[error(
        "the simulated services cannot use {}: {why}. Make it readable and writable, or name another \
         place with --simulated", path.display()
    )]
    Simulated { path: PathBuf, why: io::Error },
    /// `RUST_LOG` has a value that names no part of the program.
    #[error(
        "RUST_LOG cannot be understood: {0}. Write a level (info), or parts with levels (level3=debug)"
    )]
    Log(#[from] program_kit::log::ParseError),
    /// The store belongs to the simulated provider, and `--stripe` names another one.
    #[error(
        "the payments in {place} were charged by the simulated provider. Name another store with --store, \
         or leave --stripe out"
    )]
    SimulatedBefore { place: String },
    /// A simulated provider that does not know the payments of the store: another provider has
    /// charged them, or its file is lost.
    #[error(
        "the payments in {place} were charged by another provider than the one of {}. Pay with --stripe as \
         before, bring the file back, or name another place with --simulated or another store with \
         --store", book.display()
    )]
    ProviderUnknown { place: String, book: PathBuf },
    /// The files of the simulated services, at the end of a run.
    #[error("the files of the simulated services cannot be read: {0}. The books were not checked")]
    Services(io::Error),
    /// A store of a version that lacked a part.
    #[error(
        "{place} does not have {what} yet: an earlier version of the program has written it. This version \
         adds that when it opens the store to write, with payment-gateway recover for instance"
    )]
    Earlier { place: String, what: &'static str },
    /// A file with anchors that cannot be read.
    #[error("the anchors of {} cannot be read: {why}", path.display())]
    Anchors { path: PathBuf, why: String },
    /// A copy of the store.
    #[error("no backup was made: {0}")]
    Backup(#[from] BackupError),
    /// A copy of a database.
    #[error(
        "{place} is a database, which its own tool copies: pg_dump --format=custom --file={} DATABASE", file.display()
    )]
    NotAFile { place: String, file: PathBuf },
    /// The options of a file or of the environment.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// An environment variable that has to hold a key.
    #[error("{option} needs a key: set the environment variable {variable}")]
    NoKey { option: &'static str, variable: &'static str },
    /// A text that is not a key of Stripe.
    #[error("STRIPE_SECRET_KEY holds {0}")]
    StripeKey(#[from] KeyError),
    /// A text that is not a key of SendGrid.
    #[error("SENDGRID_API_KEY holds {0}")]
    SendGridKey(#[from] NotAKey),
    /// A URL that cannot be used.
    #[error("{option}: {why}")]
    Url { option: &'static str, why: SetupError },
    /// Stripe does not answer, or does not accept the key.
    #[error("Stripe at {url}: {why}. {advice}")]
    Stripe { url: String, why: StripeError, advice: &'static str },
    /// SendGrid does not answer, or does not accept the key.
    #[error("SendGrid at {url}: {why}. Or leave --sendgrid out: receipts are simulated then")]
    SendGrid { url: String, why: CheckError },
    /// A comparison that has stopped half way.
    #[error(
        "{provider} and the ledger cannot be compared: {error}. Try again: the repairs stay in effect"
    )]
    Reconcile { provider: String, error: ReconcileError },
    /// A part of the gateway that the learner has not written.
    #[error("the gateway needs a part that is {0}")]
    Unwritten(demo_kit::Unwritten),
    /// A configuration that the gateway refuses.
    #[error("the configuration of the gateway is invalid: {0}")]
    Config(#[from] GatewayConfigError),
    /// The address of the service.
    #[error("{address} cannot be listened on: {why}. Name another address with --listen")]
    Listen { address: SocketAddr, why: io::Error },
    /// The folder of the service.
    #[error("{} cannot be made: {why}. Name another folder with --data", path.display())]
    Folder { path: PathBuf, why: io::Error },
    /// The file with the keys of the service.
    #[error("the keys cannot be used: {0}")]
    Keys(#[from] gateway_service::FileError),
    /// The file with the endpoints of merchants.
    #[error("the endpoints cannot be used: {0}")]
    Endpoints(#[from] gateway_service::EndpointFileError),
    /// The secrets of the provider's reports.
    #[error(
        "the secrets of STRIPE_WEBHOOK_SECRET or STRIPE_WEBHOOK_SECRET_FILE cannot be used: {why}. Write the \
         secret of the endpoint, or several with commas between them"
    )]
    ReportSecrets { why: String },
    /// The client that notifies merchants.
    #[error("merchants cannot be notified: {0}")]
    Hooks(SetupError),
    /// The certificate of the service.
    #[error("the certificate cannot be used: {0}")]
    Certificate(#[from] gateway_service::TlsError),
    /// A name that names no payment.
    #[error("{name} is neither a payment's key nor a payment's name: {why}")]
    Name { name: String, why: String },
    /// The store has no such payment.
    #[error("{place} has no payment {name}")]
    UnknownPayment { place: String, name: String },
    /// Ctrl-C at the question for a password.
    #[error("ended at once")]
    Interrupted,
    /// An error of the operating system.
    #[error("the program cannot run: {0}")]
    System(io::Error),
    /// The output was closed by its reader.
    #[error("the output cannot be written: {0}")]
    Output(io::Error),
}

impl ProgramError {
    /// The outcome of the program.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::NoKey { .. }
            | Self::Log(_)
            | Self::NoStore { .. }
            | Self::SimulatedBefore { .. }
            | Self::ProviderUnknown { .. }
            | Self::StripeKey(_)
            | Self::SendGridKey(_)
            | Self::Url { .. }
            | Self::Name { .. }
            | Self::UnknownPayment { .. }
            | Self::Config(_)
            | Self::Keys(_)
            | Self::Endpoints(_)
            | Self::ReportSecrets { .. }
            | Self::Settings(_)
            | Self::NotAFile { .. }
            | Self::Earlier { .. }
            | Self::Anchors { .. }
            | Self::Backup(BackupError::Exists { .. })
            | Self::Certificate(_)
            | Self::Store(
                StoreError::Url { .. }
                | StoreError::Authorities { .. }
                | StoreError::NoPassword { .. }
                | StoreError::Empty { .. },
            ) => 2,
            _ => 3,
        }
    }
}
