//! Asks for the password of a database, in a terminal.

use std::io::{self, ErrorKind, IsTerminal as _};

use level3_adapters::postgres::Password;
use level3_adapters::sql::StoreError;
use tokio::task::block_in_place;

use super::problem::ProgramError;

/// Asks the user for the password that the database at `place` wants. The terminal shows nothing of
/// it.
///
/// # Errors
///
/// `missing` if there is no terminal, or the user enters nothing.
pub fn ask(place: &str, missing: StoreError) -> Result<Password, ProgramError> {
    if !io::stdin().is_terminal() {
        return Err(missing.into());
    }
    // This task waits: while it does, the terminal is set up to hide the input, and the program must
    // not end before that is taken back. Ctrl-C ends the question.
    let answer = block_in_place(|| rpassword::prompt_password(format!("Password for {place}: ")));
    match answer {
        Ok(password) if password.is_empty() => Err(missing.into()),
        Ok(password) => Ok(Password::new(password)),
        Err(error) if error.kind() == ErrorKind::Interrupted => Err(ProgramError::Interrupted),
        Err(error) => Err(ProgramError::System(error)),
    }
}
