//! What the user reads.

use std::collections::BTreeSet;

use grader_kit::{Cx, Outcome, ensure, ensure_eq};
use level5::form_validator::{CheckFailed, Code, FailedCheck, FieldStatus};
use level5::registration::{
    DOMAIN_VALID, EMAIL_BLOCKED, EMAIL_DISPOSABLE, EMAIL_DOMAIN, EMAIL_SYNTAX, EMAIL_TAKEN,
    NOT_BLOCKED, PASSWORD_TOO_SHORT, REFUSED, REQUIRED, TOO_SIMILAR, TRY_LATER, USERNAME_FREE,
    USERNAME_TAKEN, USERNAME_TOO_SHORT, message, messages,
};

const ALL: [Code; 12] = [
    REQUIRED,
    USERNAME_TOO_SHORT,
    TOO_SIMILAR,
    USERNAME_TAKEN,
    EMAIL_SYNTAX,
    EMAIL_DOMAIN,
    EMAIL_DISPOSABLE,
    EMAIL_BLOCKED,
    EMAIL_TAKEN,
    PASSWORD_TOO_SHORT,
    REFUSED,
    TRY_LATER,
];

pub async fn every_code_has_its_message(cx: Cx) -> Outcome {
    let mut texts = BTreeSet::new();
    for code in ALL {
        let text = cx.call_fn("message", || message(code)).await?;
        let text = text.map(str::trim).filter(|text| !text.is_empty());
        ensure!(text.is_some(), "the code {code} has no message"; expected = "a text for the user");
        ensure!(texts.insert(text), "the code {code} has the message of another one: {text:?}"; expected = "a text that says what is wrong here");
    }
    let word = cx.draw().word();
    let other = Code::new(&*word.leak());
    let text = cx.call_fn("message", || message(other)).await?;
    ensure_eq!(text, None, "the message of a code that no rule of this form has");
    let of = |code| message(code).unwrap_or_default();
    let failed = |rule| FailedCheck { rule, why: CheckFailed::TimedOut };
    let (errors, warnings) = (vec![EMAIL_BLOCKED, EMAIL_DOMAIN], vec![REQUIRED]);
    let invalid = FieldStatus::Invalid { errors: errors.clone(), warnings: warnings.clone() };
    let shown = cx.call_fn("messages", || messages(&invalid)).await?;
    ensure_eq!(shown, [of(EMAIL_BLOCKED), of(EMAIL_DOMAIN)], "the messages of a field with two errors and a warning"; help = "the texts of the errors, in their order");
    let unknown =
        |failed, errors| FieldStatus::Unknown { failed, errors, warnings: warnings.clone() };
    let two = messages(&unknown(vec![failed(DOMAIN_VALID), failed(NOT_BLOCKED)], errors));
    ensure_eq!((two.len(), two.first()), (3, Some(&of(EMAIL_BLOCKED))), "the messages of a field with two errors and two checks that failed: {two:?}"; help = "the texts of the errors, then one that says that checks failed");
    let name = messages(&unknown(vec![failed(USERNAME_FREE)], Vec::new()));
    ensure_eq!(
        name.len(),
        1,
        "the messages of a username of which the service cannot say whether it is free: {name:?}"
    );
    let (of_email, of_name) = (two[2], name[0]);
    ensure!(of_email != of_name && !texts.contains(&Some(of_email)) && !texts.contains(&Some(of_name)), "a failed check has the message {of_email:?} for the email and {of_name:?} for the username"; expected = "two texts of their own");
    for status in [
        FieldStatus::Pristine,
        FieldStatus::Pending,
        FieldStatus::Valid { warnings: vec![REQUIRED] },
    ] {
        let shown = messages(&status);
        ensure!(shown.is_empty(), "the messages of a field that is {status:?}: {shown:?}"; expected = "none");
    }
    Ok(())
}
