//! The program and its store.

use std::path::{Path, PathBuf};
use std::process::Command;

use process_kit::{Dice, Ended, command};

/// A store in a folder of its own, with the simulated services beside it.
pub struct Place {
    folder: tempfile::TempDir,
    pub url: String,
}

impl Place {
    /// A file.
    pub fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("store").display());
        Self { folder, url }
    }

    /// A database, with a folder for the services.
    pub fn postgres(url: String) -> Self {
        Self { folder: tempfile::tempdir().unwrap(), url }
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The name of the simulated services' files.
    pub fn simulated(&self) -> PathBuf {
        self.folder.path().join("services")
    }

    /// The program on this store, with services that are twenty times as fast as the real ones.
    pub fn program(&self, args: &str) -> Command {
        self.program_at(20, args)
    }

    /// The same with services that are so many times as fast as the real ones.
    pub fn program_at(&self, speed: u32, args: &str) -> Command {
        let mut program = program(self.folder(), args);
        program.args(["--store", &self.url, "--speed", &speed.to_string()]);
        program.arg("--simulated").arg(self.simulated());
        program
    }
}

/// The program in a folder, with nothing of the environment that it looks at.
pub fn program(folder: &Path, args: &str) -> Command {
    let variables = [
        "STRIPE_SECRET_KEY",
        "STRIPE_WEBHOOK_SECRET",
        "STRIPE_WEBHOOK_SECRET_FILE",
        "SENDGRID_API_KEY",
        "PGPASSWORD",
        "PGPASSWORD_FILE",
        "PGPASSFILE",
        "PGSSLMODE",
        "PGSSLROOTCERT",
    ];
    command(env!("CARGO_BIN_EXE_payment-gateway"), folder, args, &variables)
}

/// Checks that the exit code of a run says whether all payments of the stream went through. A machine that is too
/// busy to pay in time has payments that fail.
pub fn code_fits(ended: &Ended) {
    let result = ended.json();
    let count = |name: &str| result["payments"][name].as_u64().unwrap();
    let not_paid = count("failed") + count("compensating") + count("refused");
    assert_eq!(ended.code, Some(i32::from(not_paid > 0)), "{ended:#?}");
}

/// Chance from the seed in `LEVEL3_KILL_SEED`, or from a new one, which is printed.
pub fn dice() -> Dice {
    Dice::of_variable("LEVEL3_KILL_SEED")
}
