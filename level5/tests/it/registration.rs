//! A user registers.

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
