//! A user registers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use level5::form_validator::{CheckFailed, FormStatus, SubmitError};
use level5::registration::{
    AccountId, Accounts, EMAIL, PASSWORD, RegisterError, Registration, RegistrationForm, USERNAME,
    messages,
};

/// A service in which the username `anna` is taken, and which another user has just asked for `bert`.
struct Town;

impl Accounts for Town {
    async fn is_free(&self, username: &str) -> Result<bool, CheckFailed> {
        Ok(username != "anna")
    }

    async fn has_domain(&self, _: &str) -> Result<bool, CheckFailed> {
        Ok(true)
    }

    async fn is_disposable(&self, _: &str) -> Result<bool, CheckFailed> {
        Ok(false)
    }

    async fn is_blocked(&self, _: &str) -> Result<bool, CheckFailed> {
        Ok(false)
    }

    async fn register(&self, registration: Registration) -> Result<AccountId, RegisterError> {
        match registration.username.as_str() {
            "bert" => {
                Err(RegisterError::Status { status: 409, field: Some("username".to_owned()) })
            }
            _ => Ok(AccountId(1)),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_user_registers_at_the_third_attempt() {
    let page = RegistrationForm::new(Town).expect("the rules are right");
    let shown = || messages(&page.form().field(USERNAME).unwrap().borrow());
    for (field, value) in [(USERNAME, "anna"), (EMAIL, "mail@example.com"), (PASSWORD, "12345678")]
    {
        page.form().set(field, value).unwrap();
    }
    assert!(matches!(page.submit().await, Err(SubmitError::NotValid(_))));
    let taken = shown();
    assert_eq!(taken.len(), 1);

    page.form().set(USERNAME, "bert").unwrap();
    assert!(matches!(page.submit().await, Err(SubmitError::Refused(_))));
    assert_eq!(shown(), taken);

    page.form().set(USERNAME, "carla").unwrap();
    assert_eq!(page.submit().await, Ok(AccountId(1)));
    assert_eq!(*page.form().status().borrow(), FormStatus::Pristine);
}

/// Accounts that like everything and count registrations.
#[derive(Clone, Default)]
struct Counting(Arc<AtomicUsize>);

impl Accounts for Counting {
    async fn is_free(&self, _: &str) -> Result<bool, CheckFailed> {
        Ok(true)
    }

    async fn has_domain(&self, _: &str) -> Result<bool, CheckFailed> {
        Ok(true)
    }

    async fn is_disposable(&self, _: &str) -> Result<bool, CheckFailed> {
        Ok(false)
    }

    async fn is_blocked(&self, _: &str) -> Result<bool, CheckFailed> {
        Ok(false)
    }

    async fn register(&self, _: Registration) -> Result<AccountId, RegisterError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        // The others try again and again meanwhile.
        for _ in 0..3 {
            std::thread::yield_now();
        }
        Ok(AccountId(1))
    }
}

/// No submit begins between a success and the reset that follows it. Which orders the threads meet is chance: with the
/// reset after the submit, about one round of fifty registers twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn threads_that_submit_at_once_register_once() {
    let accounts = Counting::default();
    let page = RegistrationForm::new(accounts.clone()).expect("the rules are right");
    let page = Arc::new(page);
    // A round may take long on a busy machine, where the threads keep one another from the lock.
    let began = tokio::time::Instant::now();
    for round in 1..=60 {
        if began.elapsed() > Duration::from_secs(5) {
            break;
        }
        for (field, value) in
            [(USERNAME, "anna"), (EMAIL, "mail@example.com"), (PASSWORD, "12345678")]
        {
            page.form().set(field, value).unwrap();
        }
        // From here on all verdicts are known, so that no submit below waits or starts a task.
        page.form().validate_all().await;
        let submits = (0..4).map(|_| {
            let page = Arc::clone(&page);
            let refused = Err(SubmitError::AlreadySubmitting);
            tokio::spawn(async move { while page.submit().await == refused {} })
        });
        for submit in submits.collect::<Vec<_>>() {
            submit.await.expect("no panic");
        }
        assert_eq!(accounts.0.load(Ordering::Relaxed), round, "registrations in {round} rounds");
    }
}
