//! What a user may get wrong: the program says what, where and what to do, and with which exit code.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use process_kit::{Ended, run};

use crate::process::{Place, program};

fn says(ended: &Ended, code: i32, words: &[&str]) {
    assert_eq!(ended.code, Some(code), "{ended:#?}");
    for words in words {
        assert!(ended.stderr.contains(words), "{words:?} in {ended:#?}");
    }
    for secret in ["hidden", "panicked"] {
        assert!(!ended.stderr.contains(secret), "{ended:#?}");
    }
}

#[test]
fn options() {
    let folder = tempfile::tempdir().unwrap();
    for (args, words) in [
        ("--store payments.db", "sqlite:FILE"),
        ("--store sqlite:", "a file is missing"),
        ("--store postgres//me:hidden@localhost/shop", "sqlite:FILE"),
        ("postgres://me:hidden@localhost/shop", "***@localhost"),
        ("--stroe=postgres://me:hidden@localhost/shop", "--stroe"),
        ("--store=postgres//me:hidden@localhost/shop", "sqlite:FILE"),
        ("--stripe=https://api.stripe.com --rate postgres://me:hidden@localhost/shop", "0.01"),
        ("show --store mysql://me:hidden@localhost/shop run-1-1", "sqlite:FILE"),
        ("--rate 0", "0.01"),
        ("--payments 0", "not a whole number from 1"),
        ("--store sqlite::memory:", "a store in memory is gone with the program"),
        ("--card=", "empty"),
        ("--sendgrid https://api.sendgrid.com", "--mail-from"),
        ("--stripe https://api.stripe.com", "STRIPE_SECRET_KEY"),
        ("--sendgrid https://api.sendgrid.com --mail-from a@example.com", "SENDGRID_API_KEY"),
        ("show run-1-1", "there is no store"),
        ("recover", "there is no store"),
        ("dead-letters", "there is no store"),
    ] {
        says(&run(program(folder.path(), args)), 2, &[words]);
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing was made");
}

/// A program that reads the result reads what went wrong too.
#[test]
fn errors_are_json_where_results_are() {
    let folder = tempfile::tempdir().unwrap();
    for (args, code, words) in [
        ("show run-1-1 --json", 2, "there is no store"),
        ("--rate 0 --json", 2, "0.01"),
        ("--store sqlite:nowhere/store --payments 1 --json", 3, "Make its folder"),
    ] {
        let ended = run(program(folder.path(), args));
        says(&ended, code, &[words]);
        let error = ended.json();
        assert!(error["error"].as_str().unwrap().contains(words), "{ended:#?}");
        assert_eq!(error["exit_code"], code, "{ended:#?}");
    }
}

#[test]
fn the_exit_code_says_that_not_all_were_paid() {
    let place = Place::sqlite();
    // An account that takes one payment in two seconds.
    let line = "--payments 20 --rate 1000 --calls 1 --failure-rate 0 --json";
    let ended = run(place.program_at(1, line));
    assert_eq!(ended.code, Some(1), "{ended:#?}");
    assert_eq!(ended.json()["payments"]["answered"], 20, "{ended:#?}");
    assert!(ended.json()["payments"]["refused"].as_u64().unwrap() > 0, "{ended:#?}");
}

#[test]
fn the_log_has_what_is_asked_for() {
    let place = Place::sqlite();
    let mut text = place.program("--payments 1 --failure-rate 0");
    text.env("RUST_LOG", "payment_gateway=info");
    let text = run(text);
    assert!(text.stderr.contains("INFO payment_gateway"), "{text:#?}");
    let mut json = place.program("--payments 1 --failure-rate 0 --log-format json");
    json.env("RUST_LOG", "payment_gateway=info");
    let json = run(json);
    let line = json.stderr.lines().find(|line| line.starts_with('{')).unwrap();
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!(line["level"], "INFO", "{json:#?}");
    let mut wrong = place.program("--payments 1");
    wrong.env("RUST_LOG", "level3=loud");
    says(&run(wrong), 2, &["RUST_LOG cannot be understood"]);
    for ended in [text, json] {
        for secret in ["someone@example.com", "pm_card_visa"] {
            assert!(!ended.stderr.contains(secret), "{ended:#?}");
        }
    }
}

#[test]
fn keys_and_addresses() {
    let folder = tempfile::tempdir().unwrap();
    for (key, url, code, words) in [
        ("sk_live_hidden", "http://127.0.0.1:1", 2, "a live key"),
        ("pk_test_hidden", "http://127.0.0.1:1", 2, "a publishable key"),
        ("sk_test_hidden", "http://example.com", 2, "in the clear"),
        ("sk_test_hidden", "nonsense", 2, "cannot be used"),
        ("sk_test_hidden", "http://127.0.0.1:1", 3, "cannot be reached"),
    ] {
        let mut paying = program(folder.path(), "--payments 1 --stripe");
        paying.arg(url).env("STRIPE_SECRET_KEY", key);
        says(&run(paying), code, &[words]);
    }
    let mut mailing = program(folder.path(), "--payments 1 --mail-from a@example.com --sendgrid");
    mailing.arg("http://127.0.0.1:1").env("SENDGRID_API_KEY", "SG.hidden");
    says(&run(mailing), 3, &["SendGrid", "cannot be reached", "leave --sendgrid out"]);
    let args = "--store postgres://me:hidden@127.0.0.1:1/shop --payments 1";
    let words = ["127.0.0.1:1", "cannot be reached", "Start the server"];
    says(&run(program(folder.path(), args)), 3, &words);
}

#[tokio::test]
async fn a_key_that_stripe_does_not_know() {
    use wiremock::matchers::any;
    use wiremock::{Mock, MockServer, ResponseTemplate};
    let server = MockServer::start().await;
    let error =
        r#"{"error":{"type":"invalid_request_error","message":"Invalid API Key: sk_hidden"}}"#;
    let refused = ResponseTemplate::new(401).set_body_raw(error, "application/json");
    Mock::given(any()).respond_with(refused).mount(&server).await;
    let folder = tempfile::tempdir().unwrap();
    let mut program = program(folder.path(), "--payments 1 --stripe");
    program.arg(server.uri()).env("STRIPE_SECRET_KEY", "sk_test_hidden");
    let ended = tokio::task::spawn_blocking(move || run(program)).await.unwrap();
    says(&ended, 3, &["401", "Correct the key in STRIPE_SECRET_KEY"]);
}

#[test]
fn stores_that_are_none() {
    let folder = tempfile::tempdir().unwrap();
    let missing = run(program(folder.path(), "--store sqlite:nowhere/store --payments 1"));
    says(&missing, 3, &["nowhere", "Make its folder"]);
    fs::write(folder.path().join("text"), "something else, and quite long enough").unwrap();
    let text = run(program(folder.path(), "--store sqlite:text --payments 1"));
    says(&text, 3, &["text", "is not a database"]);
    let kept = fs::read_to_string(folder.path().join("text")).unwrap();
    assert_eq!(kept, "something else, and quite long enough");
    // The simulated services beside a new store.
    fs::write(folder.path().join("new.provider"), "something else\n").unwrap();
    let services = run(program(folder.path(), "--store sqlite:new --payments 1"));
    says(&services, 3, &["new.{provider,mails}", "something else stands there", "--simulated"]);
}

#[test]
fn a_store_of_a_later_version() {
    let place = Place::sqlite();
    assert_eq!(run(place.program("--payments 1")).code, Some(0));
    let file = place.url.strip_prefix("sqlite:").unwrap();
    let db = rusqlite::Connection::open(file).unwrap();
    db.execute("UPDATE level3_migrations SET version = version + 1000", ()).unwrap();
    drop(db);
    says(&run(place.program("--payments 1")), 3, &[file, "schema", "a later one"]);
}

#[test]
fn a_folder_that_may_not_be_written_to() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o555)).unwrap();
    if fs::write(folder.path().join("probe"), "").is_ok() {
        println!("skipped: this user may write everywhere");
        return;
    }
    says(&run(program(folder.path(), "--payments 1")), 3, &["Permission denied"]);
}

/// What one provider has charged, no other can refund.
#[tokio::test]
async fn a_store_of_another_provider() {
    use wiremock::matchers::any;
    use wiremock::{Mock, MockServer, ResponseTemplate};
    let place = Place::sqlite();
    let paid = || run(place.program("--payments 12 --failure-rate 0"));
    assert_eq!(paid().code, Some(0));
    let server = MockServer::start().await;
    let page = ResponseTemplate::new(200)
        .set_body_raw(r#"{"object":"list","data":[],"has_more":false}"#, "application/json");
    Mock::given(any()).respond_with(page).mount(&server).await;
    let mut other = place.program(&format!("recover --stripe {}", server.uri()));
    other.env("STRIPE_SECRET_KEY", "sk_test_hidden");
    let other = tokio::task::spawn_blocking(move || run(other)).await.unwrap();
    says(&other, 2, &["charged by the simulated provider", "--store"]);

    fs::remove_file(place.folder().join("services.provider")).unwrap();
    says(&paid(), 2, &["another provider", "services.provider", "bring the file back"]);
}
