//! The service with the accounts: scripted answers, and a list of what it was asked.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use grader_kit::{Timeline, lock, ms};
use level5::form_validator::CheckFailed;
use level5::registration::{AccountId, Accounts, RegisterError, Registration};
use tokio::time::{Instant, sleep};

/// What the service answers to a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Says {
    Yes,
    No,
    Fails,
    /// Nothing.
    Hangs,
}

struct State {
    since: Instant,
    takes: HashMap<&'static str, u64>,
    says: HashMap<&'static str, Says>,
    asked: Vec<String>,
    refuses: Option<RegisterError>,
    registered: Vec<Registration>,
}

/// A clone is a handle to the same service.
#[derive(Clone)]
pub struct Users(Arc<Mutex<State>>, Timeline);

impl Users {
    /// A service that likes everything, after 200 ms.
    pub fn new(timeline: &Timeline) -> Self {
        let state = State {
            since: Instant::now(),
            takes: HashMap::new(),
            says: [
                ("free", Says::Yes),
                ("domain", Says::Yes),
                ("disposable", Says::No),
                ("blocked", Says::No),
            ]
            .into(),
            asked: Vec::new(),
            refuses: None,
            registered: Vec::new(),
        };
        Self(Arc::new(Mutex::new(state)), timeline.clone())
    }

    /// Times count from now on.
    pub fn begin(&self) {
        lock(&self.0).since = Instant::now();
    }

    /// From now on the answer to this question.
    pub fn says(&self, question: &'static str, says: Says) {
        lock(&self.0).says.insert(question, says);
    }

    pub fn takes(&self, question: &'static str, millis: u64) {
        lock(&self.0).takes.insert(question, millis);
    }

    /// The next registration ends so.
    pub fn refuses(&self, error: RegisterError) {
        lock(&self.0).refuses = Some(error);
    }

    /// The questions with their times, sorted.
    pub fn asked(&self) -> Vec<String> {
        let mut asked = lock(&self.0).asked.clone();
        asked.sort();
        asked
    }

    pub fn registered(&self) -> Vec<Registration> {
        lock(&self.0).registered.clone()
    }

    async fn ask(&self, question: &'static str, value: &str) -> Result<bool, CheckFailed> {
        let (takes, says) = {
            let mut state = lock(&self.0);
            let at = state.since.elapsed().as_millis();
            state.asked.push(format!("{question} {value}@{at}"));
            let takes = state.takes.get(question).copied().unwrap_or(200);
            (takes, state.says.get(question).copied().unwrap_or(Says::Fails))
        };
        self.1.record("the service", format!("is asked `{question}` of `{value}`"));
        sleep(ms(takes)).await;
        match says {
            Says::Yes => Ok(true),
            Says::No => Ok(false),
            Says::Fails => Err(CheckFailed::Unavailable("down".to_owned())),
            Says::Hangs => std::future::pending().await,
        }
    }
}

impl Accounts for Users {
    async fn is_free(&self, username: &str) -> Result<bool, CheckFailed> {
        self.ask("free", username).await
    }

    async fn has_domain(&self, email: &str) -> Result<bool, CheckFailed> {
        self.ask("domain", email).await
    }

    async fn is_disposable(&self, email: &str) -> Result<bool, CheckFailed> {
        self.ask("disposable", email).await
    }

    async fn is_blocked(&self, email: &str) -> Result<bool, CheckFailed> {
        self.ask("blocked", email).await
    }

    async fn register(&self, registration: Registration) -> Result<AccountId, RegisterError> {
        self.1.record("the service", format!("registers `{}`", registration.username));
        let (number, refuses) = {
            let mut state = lock(&self.0);
            state.registered.push(registration);
            (u64::try_from(state.registered.len()).unwrap_or_default(), state.refuses.take())
        };
        sleep(ms(100)).await;
        refuses.map_or(Ok(AccountId(number)), Err)
    }
}
