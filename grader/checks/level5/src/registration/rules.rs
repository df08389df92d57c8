//! What the form says about what the user types.

use grader_kit::{Cx, Outcome, ensure_eq};
use level5::registration::{
    DOMAIN_VALID, EMAIL, EMAIL_BLOCKED, EMAIL_DISPOSABLE, EMAIL_DOMAIN, EMAIL_SYNTAX, NOT_BLOCKED,
    NOT_DISPOSABLE, PASSWORD, PASSWORD_TOO_SHORT, REQUIRED, TOO_SIMILAR, USERNAME, USERNAME_FREE,
    USERNAME_TAKEN, USERNAME_TOO_SHORT,
};

use super::Stage;
use super::fakes::{Says, Users};

pub async fn lengths_are_checked(cx: Cx) -> Outcome {
    const HELP: &str = "required first, and only then the length, counted in characters (`char`)";
    let users = Users::new(cx.timeline());
    let stage = Stage::new(&cx, &users).await?;
    let (required, short) = (REQUIRED.as_str(), USERNAME_TOO_SHORT.as_str());
    for (name, expected) in [
        ("a", short),
        ("", required),
        ("   ", required),
        ("\t \n ", required),
        ("ab", short),
        ("äö", short),
        ("abc", "accepted"),
        ("äöü", "accepted"),
        ("日本語", "accepted"),
        ("日本", short),
        ("a username of many words", "accepted"),
        // White space counts as every character does, and so does a mark over a letter.
        ("a b", "accepted"),
        (" ab", "accepted"),
        ("ab ", "accepted"),
        (" a ", "accepted"),
        ("a ", short),
        ("e\u{301}x", "accepted"),
        ("e\u{301}", short),
        ("😀😀", short),
        ("😀😀😀", "accepted"),
    ] {
        stage.types(USERNAME, name).await?;
        stage.says(USERNAME, expected, &format!("the username {name:?}"), HELP)?;
    }
    let short = PASSWORD_TOO_SHORT.as_str();
    for (password, expected) in [
        ("1", short),
        ("", required),
        ("        ", required),
        ("1234567", short),
        ("12345678", "accepted"),
        ("ääääööö", short),
        ("ääääöööö", "accepted"),
        ("a long password with blanks", "accepted"),
        ("1234567 ", "accepted"),
        (" 1234567", "accepted"),
        ("   12   ", "accepted"),
        ("123456 ", short),
        ("😀😀😀😀😀😀😀", short),
        ("😀😀😀😀😀😀😀😀", "accepted"),
    ] {
        stage.types(PASSWORD, password).await?;
        stage.says(PASSWORD, expected, &format!("the password {password:?}"), HELP)?;
    }
    for email in ["", "  "] {
        stage.types(EMAIL, email).await?;
        stage.says(EMAIL, required, &format!("the email {email:?}"), HELP)?;
    }
    // Blanks of every script, as long as a password.
    for blank in white_space() {
        let blanks = blank.to_string().repeat(8);
        for field in [USERNAME, EMAIL, PASSWORD] {
            stage.types(field, &blanks).await?;
            stage.says(field, required, &format!("{field}, eight times {blank:?}"), HELP)?;
        }
    }
    // An email whose name is as empty as the username.
    for (name, email) in [("", "@example.com"), ("", "@"), ("  ", "  @example.com")] {
        for first in [EMAIL, USERNAME] {
            let order = if first == EMAIL { [EMAIL, USERNAME] } else { [USERNAME, EMAIL] };
            for field in order {
                stage.types(field, "other").await?;
                stage.types(field, if field == EMAIL { email } else { name }).await?;
            }
            let when = format!("the username {name:?} beside the email {email:?}, {first} first");
            stage.says(
                USERNAME,
                required,
                &when,
                "a username that is not filled in has no other error",
            )?;
        }
    }
    Ok(())
}

/// Every character that is white space: those of ASCII, and a dozen others.
fn white_space() -> impl Iterator<Item = char> {
    ('\0'..='\u{ffff}').filter(|character| character.is_whitespace())
}

pub async fn addresses_are_checked(cx: Cx) -> Outcome {
    const HELP: &str =
        "one `@`, a name before it, a domain of two parts or more after it, and no white space";
    let users = Users::new(cx.timeline());
    let stage = Stage::new(&cx, &users).await?;
    let mut draw = cx.draw();
    let word = draw.word();
    let good = [
        "a@b.c".to_owned(),
        "anna@example.com".to_owned(),
        "anna.maria+news@mail.example.co.uk".to_owned(),
        "ANNA@EXAMPLE.COM".to_owned(),
        "zoë@exämple.org".to_owned(),
        format!("{word}@{word}.org"),
    ];
    let bad = [
        "anna",
        "@example.com",
        "anna@",
        "anna@example",
        "anna@.com",
        "anna@example.",
        "anna@example..com",
        "anna@@example.com",
        "anna@maria@example.com",
        "an na@example.com",
        " anna@example.com",
        "anna@example.com ",
        "anna@exam\tple.com",
        "@",
        "anna.example.com",
        "anna@.",
        "anna@example.com@",
    ];
    for email in &good {
        stage.types(EMAIL, email).await?;
        stage.says(EMAIL, "accepted", &format!("the email {email:?}"), HELP)?;
    }
    for email in bad {
        stage.types(EMAIL, email).await?;
        stage.says(EMAIL, EMAIL_SYNTAX.as_str(), &format!("the email {email:?}"), HELP)?;
    }
    // Text that was copied from a page has blanks that no keyboard types.
    for blank in white_space() {
        let name = format!("an{blank}na@example.com");
        let domain = format!("anna@exam{blank}ple.com");
        let ends = [format!("{blank}anna@example.com"), format!("anna@example.com{blank}")];
        for email in [name, domain].into_iter().chain(ends) {
            stage.types(EMAIL, &email).await?;
            stage.says(EMAIL, EMAIL_SYNTAX.as_str(), &format!("the email {email:?}"), HELP)?;
        }
    }
    Ok(())
}

pub async fn asks_for_the_username(cx: Cx) -> Outcome {
    const HELP: &str =
        "a rule with a debounce of 500 ms that asks `is_free`, behind the plain rules";
    let users = Users::new(cx.timeline());
    let stage = Stage::new(&cx, &users).await?;
    stage.types(USERNAME, "ann").await?;
    stage.types_at(300, USERNAME, "anna").await?;
    stage.shows(USERNAME, "pending", "a username that has to be asked about", HELP)?;
    stage.at(799).await;
    ensure_eq!(users.asked(), Vec::<String>::new(), "typed at 0 and 300 ms: what was asked 499 ms after that"; help = HELP);
    stage
        .shows_at(999, USERNAME, "pending", "asked at 800 ms, and an answer takes 200 ms", HELP)
        .await?;
    stage.shows_at(1000, USERNAME, "valid", "a username that is free", HELP).await?;
    ensure_eq!(users.asked(), ["free anna@800"], "typed at 0 and 300 ms"; help = HELP);
    users.says("free", Says::No);
    stage.types(USERNAME, "bert").await?;
    stage
        .shows_at(1700, USERNAME, USERNAME_TAKEN.as_str(), "a username that is not free", HELP)
        .await?;
    stage.types(USERNAME, "be").await?;
    stage.at(5000).await;
    ensure_eq!(users.asked(), ["free anna@800", "free bert@1500"], "the last username is too short"; help = "a name that has an error is not asked about");
    // The service is asked about what was typed.
    users.says("free", Says::Yes);
    let word = cx.draw().word();
    for name in ["Bert".to_owned(), " bert ".to_owned(), "BERT\t".to_owned(), format!("{word} Ä")]
    {
        let (began, before) = (stage.now(), users.asked().len());
        stage.types(USERNAME, &name).await?;
        stage.at(began + 1000).await;
        let asked = format!("free {name}@{}", began + 500);
        let seen = (users.asked().len() - before, users.asked().contains(&asked));
        ensure_eq!(seen, (1, true), "the username {name:?} was typed: how much was asked, and whether it was asked about this text"; help = "another text is another username: ask about the value as it is");
    }
    Ok(())
}

pub async fn asks_about_valid_emails(cx: Cx) -> Outcome {
    const HELP: &str =
        "three rules of the email with a debounce of 300 ms each, behind the plain rule";
    let users = Users::new(cx.timeline());
    let stage = Stage::new(&cx, &users).await?;
    stage.types(EMAIL, "anna").await?;
    stage.at(2000).await;
    ensure_eq!(users.asked(), Vec::<String>::new(), "an email that is none: what was asked"; help = "an email with an error is not asked about");
    stage.types(EMAIL, "anna@example.c").await?;
    stage.types_at(2200, EMAIL, "anna@example.com").await?;
    stage
        .shows_at(2699, EMAIL, "pending", "typed at 2200 ms, and an answer takes 200 ms", HELP)
        .await?;
    stage
        .shows_at(2700, EMAIL, "valid", "three checks of 200 ms, 300 ms after the last key", HELP)
        .await?;
    let asked = [
        "blocked anna@example.com@2500",
        "disposable anna@example.com@2500",
        "domain anna@example.com@2500",
    ];
    ensure_eq!(users.asked(), asked, "typed at 2000 and 2200 ms"; help = HELP);
    stage.types(EMAIL, "anna maria").await?;
    stage.at(9000).await;
    ensure_eq!(users.asked().len(), 3, "how much was asked, when the email is none again"; help = HELP);
    let word = cx.draw().word();
    for email in ["Anna@Example.COM".to_owned(), format!("{word}+Ä@mail.example.com")] {
        let began = stage.now();
        stage.types(EMAIL, &email).await?;
        stage.at(began + 1000).await;
        let asked = users.asked();
        for question in ["blocked", "disposable", "domain"] {
            let expected = format!("{question} {email}@{}", began + 300);
            ensure_eq!(asked.contains(&expected), true, "the email {email:?} was typed: whether `{question}` was asked of this text 300 ms later"; help = "ask about the value as it is");
        }
    }
    Ok(())
}

pub async fn shows_every_reason(cx: Cx) -> Outcome {
    const HELP: &str =
        "one rule and one code for each question, in the order domain, disposable, blocked";
    let questions = ["domain", "disposable", "blocked"];
    let codes = [EMAIL_DOMAIN, EMAIL_DISPOSABLE, EMAIL_BLOCKED];
    let mut draw = cx.draw();
    for outcome in 0..8_usize {
        let users = Users::new(cx.timeline());
        let mut expected = Vec::new();
        for (number, (question, code)) in questions.into_iter().zip(codes).enumerate() {
            users.takes(question, draw.between(1..=400));
            let bad = outcome >> number & 1 == 1;
            let bad_answer = if question == "domain" { Says::No } else { Says::Yes };
            if bad {
                users.says(question, bad_answer);
                expected.push(code);
            }
        }
        let stage = Stage::new(&cx, &users).await?;
        stage.types(EMAIL, "anna@example.com").await?;
        let expected =
            if expected.is_empty() { "valid".to_owned() } else { grader_kit::list(&expected) };
        stage.shows_at(700, EMAIL, &expected, "three checks with these answers", HELP).await?;
    }
    Ok(())
}

pub async fn a_broken_check_hides_nothing(cx: Cx) -> Outcome {
    const HELP: &str = "return the failure of the service as `CheckFailed`: the form shows it beside the errors of the other rules";
    let questions =
        [("domain", DOMAIN_VALID), ("disposable", NOT_DISPOSABLE), ("blocked", NOT_BLOCKED)];
    for (question, rule) in questions {
        let users = Users::new(cx.timeline());
        users.says(question, Says::Fails);
        let stage = Stage::new(&cx, &users).await?;
        stage.types(EMAIL, "anna@example.com").await?;
        stage
            .shows_at(
                500,
                EMAIL,
                &format!("unknown: {rule}"),
                &format!("the service cannot say `{question}`"),
                HELP,
            )
            .await?;
        let (other, bad, code) = if question == "blocked" {
            ("domain", Says::No, EMAIL_DOMAIN)
        } else {
            ("blocked", Says::Yes, EMAIL_BLOCKED)
        };
        users.says(other, bad);
        stage.types(EMAIL, "bert@example.com").await?;
        stage
            .shows_at(
                1000,
                EMAIL,
                &format!("unknown: {rule}, {code}"),
                &format!("the service cannot say `{question}`, and has a bad answer to `{other}`"),
                HELP,
            )
            .await?;
    }
    each_has_ten_seconds(&cx).await?;
    let users = Users::new(cx.timeline());
    users.says("free", Says::Fails);
    users.says("domain", Says::Hangs);
    let stage = Stage::new(&cx, &users).await?;
    stage.types(USERNAME, "anna").await?;
    stage.types(EMAIL, "a@example.com").await?;
    stage
        .shows_at(
            700,
            USERNAME,
            &format!("unknown: {USERNAME_FREE}"),
            "the service cannot say whether a username is free",
            HELP,
        )
        .await?;
    stage
        .shows_at(
            10_299,
            EMAIL,
            "pending",
            "the service has no answer about the domain",
            "a check has 10 s",
        )
        .await?;
    stage
        .shows_at(
            10_300,
            EMAIL,
            &format!("unknown: {DOMAIN_VALID}"),
            "the service has no answer about the domain",
            "a check has 10 s",
        )
        .await
}

/// Each of the four checks: without an answer, and with one just before the limit. When a check begins is the business
/// of other criteria.
async fn each_has_ten_seconds(cx: &Cx) -> Outcome {
    const HELP: &str = "a check has 10 s, each of the four";
    let checks = [
        ("free", USERNAME, USERNAME_FREE),
        ("domain", EMAIL, DOMAIN_VALID),
        ("disposable", EMAIL, NOT_DISPOSABLE),
        ("blocked", EMAIL, NOT_BLOCKED),
    ];
    for hangs in [true, false] {
        for (question, field, rule) in checks {
            let users = Users::new(cx.timeline());
            if hangs {
                users.says(question, Says::Hangs);
            } else {
                users.takes(question, 9999);
            }
            let stage = Stage::new(cx, &users).await?;
            stage.types(USERNAME, "anna").await?;
            stage.types(EMAIL, "a@example.com").await?;
            let what = if hangs { "has no answer" } else { "answers after 9999 ms" };
            let what = format!("the service {what} to `{question}`");
            let after = if hangs { format!("unknown: {rule}") } else { "valid".to_owned() };
            let other = if field == EMAIL { USERNAME } else { EMAIL };
            for (at, expected) in [(9_990, "pending"), (10_500, &*after)] {
                stage.shows_at(at, field, expected, &what, HELP).await?;
                stage.shows_at(at, other, "valid", &what, HELP).await?;
            }
        }
    }
    Ok(())
}

pub async fn differs_from_the_email(cx: Cx) -> Outcome {
    const HELP: &str =
        "a plain rule of the username that reads the email, and compares in small letters";
    let users = Users::new(cx.timeline());
    let stage = Stage::new(&cx, &users).await?;
    let similar = TOO_SIMILAR.as_str();
    for (field, value, expected) in [
        (EMAIL, "anna@example.com", "pristine"),
        (USERNAME, "anna", similar),
        (USERNAME, "anna1", "accepted"),
        (USERNAME, "ANNA", similar),
        (EMAIL, "bert@example.com", "accepted"),
        (EMAIL, "aNNa@else.org", similar),
        (USERNAME, "annabel", "accepted"),
        (EMAIL, "annabel@example.com", similar),
        (EMAIL, "annabel", "accepted"),
        (EMAIL, "annabel@", similar),
        (EMAIL, "", "accepted"),
        (EMAIL, "x@annabel.com", "accepted"),
        (USERNAME, "Äpfel", "accepted"),
        (EMAIL, "äPFEL@example.com", similar),
        // Emails that are none have a part before the `@` too.
        (USERNAME, "annabel", "accepted"),
        (EMAIL, "annabel@example", similar),
        (EMAIL, "annabel@.", similar),
        (EMAIL, "annabel@ example.com", similar),
        // Parts of it are not it.
        (EMAIL, "annabel.b@example.com", "accepted"),
        (EMAIL, "annabel+news@example.com", "accepted"),
        (EMAIL, "hannabel@example.com", "accepted"),
        (EMAIL, "annabel@example.com", similar),
    ] {
        stage.types(field, value).await?;
        stage.says(USERNAME, expected, &format!("`{value}` was typed as {field}"), HELP)?;
    }
    stage.at(2000).await;
    let asked = users.asked();
    let free = asked.iter().filter(|asked| asked.starts_with("free")).count();
    ensure_eq!(free, 0, "how often it was asked whether a username is free that is the name in the email"; help = HELP);
    stage.says(
        EMAIL,
        "accepted",
        "the email, whose name is the username",
        "the error is the username's",
    )
}
