//! A service with accounts that answers as its user asks: at once, slowly, not at all, or with a failure.

use std::collections::BTreeSet;
use std::future::pending;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use level5::form_validator::CheckFailed;
use level5::registration::{AccountId, Accounts, RegisterError, Registration};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::sleep;

/// Usernames that have an account at the start.
pub const TAKEN: [&str; 3] = ["admin", "ada", "root"];
/// A username that is free when it is checked, and taken when it is registered: another user was faster.
pub const TAKEN_MEANWHILE: &str = "grace";
/// A domain that takes no mail.
pub const NO_MAIL: &str = "nowhere.example";
/// A domain of addresses that are used once.
pub const DISPOSABLE: &str = "disposable.example";
/// An address that is blocked.
pub const BLOCKED: &str = "blocked@mail.example";

/// How the service answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Within a tenth of a second.
    #[default]
    Works,
    /// After two seconds.
    Slow,
    /// Not at all, until the mode changes.
    Silent,
    /// With a failure.
    Fails,
}

/// The service. A clone is a handle to the same accounts.
#[derive(Debug, Clone)]
pub struct Simulated {
    mode: watch::Receiver<Mode>,
    // Held to look a name up or to add one, and never across an await.
    accounts: Arc<Mutex<Names>>,
}

/// What has an account.
#[derive(Debug)]
struct Names {
    usernames: BTreeSet<String>,
    emails: BTreeSet<String>,
    last: u64,
}

impl Default for Names {
    fn default() -> Self {
        Self {
            usernames: TAKEN.iter().map(ToString::to_string).collect(),
            emails: BTreeSet::new(),
            last: 0,
        }
    }
}

impl Simulated {
    /// Makes a service, and the side that decides how it answers.
    #[must_use]
    pub fn new() -> (Self, watch::Sender<Mode>) {
        let (sender, mode) = watch::channel(Mode::default());
        (Self { mode, accounts: Arc::default() }, sender)
    }

    /// Waits as long as the service takes. Returns whether it has an answer.
    async fn answers(&self) -> bool {
        let mut mode = self.mode.clone();
        loop {
            let now = *mode.borrow_and_update();
            let answer = async {
                match now {
                    Mode::Works => sleep(Duration::from_millis(80)).await,
                    Mode::Slow => sleep(Duration::from_secs(2)).await,
                    Mode::Silent => pending().await,
                    Mode::Fails => sleep(Duration::from_millis(80)).await,
                }
            };
            tokio::select! {
                () = answer => return now != Mode::Fails,
                // A question that waits gets the answer of the new mode.
                changed = mode.changed() => if changed.is_err() { return false },
            }
        }
    }

    async fn ask(&self, question: impl Fn(&Names) -> bool) -> Result<bool, CheckFailed> {
        if self.answers().await {
            Ok(question(&self.accounts.lock().unwrap_or_else(PoisonError::into_inner)))
        } else {
            Err(CheckFailed::Unavailable("the service has failed".to_owned()))
        }
    }
}

fn domain(email: &str) -> String {
    email.rsplit('@').next().unwrap_or_default().to_lowercase()
}

impl Accounts for Simulated {
    async fn is_free(&self, username: &str) -> Result<bool, CheckFailed> {
        self.ask(|names| !names.usernames.contains(&username.to_lowercase())).await
    }

    async fn has_domain(&self, email: &str) -> Result<bool, CheckFailed> {
        self.ask(|_| domain(email) != NO_MAIL).await
    }

    async fn is_disposable(&self, email: &str) -> Result<bool, CheckFailed> {
        self.ask(|_| domain(email) == DISPOSABLE).await
    }

    async fn is_blocked(&self, email: &str) -> Result<bool, CheckFailed> {
        self.ask(|_| email.eq_ignore_ascii_case(BLOCKED)).await
    }

    async fn register(&self, registration: Registration) -> Result<AccountId, RegisterError> {
        if !self.answers().await {
            return Err(RegisterError::Status { status: 503, field: None });
        }
        let taken =
            |field: &str| RegisterError::Status { status: 409, field: Some(field.to_owned()) };
        let username = registration.username.to_lowercase();
        let email = registration.email.to_lowercase();
        let mut names = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        // Both are looked up before one is added: a registration that is refused changes nothing.
        if username == TAKEN_MEANWHILE || names.usernames.contains(&username) {
            return Err(taken("username"));
        }
        if names.emails.contains(&email) {
            return Err(taken("email"));
        }
        names.usernames.insert(username);
        names.emails.insert(email);
        names.last += 1;
        Ok(AccountId(names.last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registration(username: &str, email: &str) -> Registration {
        let password = "correct horse".to_owned();
        Registration { username: username.to_owned(), email: email.to_owned(), password }
    }

    #[tokio::test(start_paused = true)]
    async fn an_account_has_a_name_and_an_address_of_its_own() {
        let (accounts, _mode) = Simulated::new();
        assert_eq!(accounts.is_free("Ada").await, Ok(false));
        assert_eq!(accounts.is_free("lin").await, Ok(true));
        assert_eq!(
            accounts.register(registration("lin", "l@mail.example")).await,
            Ok(AccountId(1))
        );
        assert_eq!(accounts.is_free("lin").await, Ok(false));
        let field = |result: Result<AccountId, RegisterError>| match result {
            Err(RegisterError::Status { status: 409, field }) => field,
            other => panic!("{other:?}"),
        };
        let taken = accounts.register(registration("kim", "L@mail.example")).await;
        assert_eq!(field(taken).as_deref(), Some("email"));
        let taken = accounts.register(registration(TAKEN_MEANWHILE, "g@mail.example")).await;
        assert_eq!(field(taken).as_deref(), Some("username"));
        assert_eq!(accounts.is_free(TAKEN_MEANWHILE).await, Ok(true));
    }

    #[tokio::test(start_paused = true)]
    async fn a_question_that_waits_gets_the_answer_of_the_new_mode() {
        let (accounts, mode) = Simulated::new();
        mode.send_replace(Mode::Silent);
        let waiting = tokio::spawn({
            let accounts = accounts.clone();
            async move { accounts.is_free("lin").await }
        });
        sleep(Duration::from_secs(3600)).await;
        assert!(!waiting.is_finished());
        mode.send_replace(Mode::Fails);
        assert!(waiting.await.unwrap().is_err());
    }
}
