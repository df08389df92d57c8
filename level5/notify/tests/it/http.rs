//! The program behind its interface: what it accepts, refuses and keeps.

use std::sync::Arc;
use std::time::Duration;

use process_kit::{PATIENCE, Running};
use reqwest::{Client, Method};
use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use crate::client::{call, client, get, post, set};
use crate::process::{program, says, url_of};
use crate::smtp::{Smtp, Tls};

/// Waits until a notification has another state than `pending`.
async fn ended(client: &Client, url: &str, id: &str) -> Value {
    let ends = async {
        loop {
            let (_, answer) = get(client, &format!("{url}/notifications/{id}")).await.unwrap();
            if answer["state"] != "pending" {
                return answer;
            }
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, ends).await.unwrap()
}

#[tokio::test]
async fn a_notification_travels_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(program(folder.path(), "serve --port 0"));
    let (client, url) = (client(), url_of(&running.stdout).await);
    let notify = |id: &str, user: &str, priority: &str| json!({"id": id, "user": user, "topic": "it", "priority": priority, "data": {"text": id}});
    let path = format!("{url}/notifications");
    let one = notify("one", "ann", "high");
    assert_eq!(post(&client, &path, &one).await.unwrap().0, 202);
    assert_eq!(ended(&client, &url, "one").await["via"], json!(["in_app"]));
    assert_eq!(post(&client, &path, &one).await.unwrap().0, 200);
    // Without a server for mails they are files.
    set(&client, &url, "ben", json!({"channels": ["mail"], "mail": "ben@mail.example"})).await;
    post(&client, &path, &notify("two", "ben", "high")).await.unwrap();
    assert_eq!(ended(&client, &url, "two").await["via"], json!(["mail"]));
    let mails = std::fs::read_dir(folder.path().join("notifier.data/mail")).unwrap().count();
    assert_eq!(mails, 1);
    // No channel: a dead letter, which goes when there is one.
    set(&client, &url, "cat", json!({"channels": ["mail"]})).await;
    post(&client, &path, &notify("three", "cat", "high")).await.unwrap();
    assert_eq!(ended(&client, &url, "three").await["state"], "dead");
    let (_, letters) = get(&client, &format!("{url}/dead-letters")).await.unwrap();
    assert_eq!(letters[0]["entry"]["request"]["id"], "three");
    set(&client, &url, "cat", json!({"channels": ["mail", "in_app"]})).await;
    let again = format!("{url}/dead-letters/three");
    assert_eq!(call(&client, Method::POST, &again, None).await.unwrap().0, 415);
    assert_eq!(post(&client, &again, &json!({})).await.unwrap().0, 202);
    assert_eq!(ended(&client, &url, "three").await["via"], json!(["in_app"]));
    assert_eq!(post(&client, &again, &json!({})).await.unwrap().0, 404);
    // A digest of another day waits in the store.
    set(
        &client,
        &url,
        "dan",
        json!({"channels": ["in_app"], "often": {"weekly": {"day": 1, "at": "09:00"}}}),
    )
    .await;
    post(&client, &path, &notify("four", "dan", "low")).await.unwrap();
    running.interrupt();
    assert_eq!(running.end().code, Some(0));

    let running = Running::start(program(folder.path(), "serve --port 0"));
    says(&running.stdout, "1 notifications that wait").await;
    let url = url_of(&running.stdout).await;
    let path = format!("{url}/notifications");
    assert_eq!(get(&client, &format!("{path}/four")).await.unwrap().1["state"], "pending");
    assert_eq!(get(&client, &format!("{path}/one")).await.unwrap().1["state"], "sent");
    for id in ["one", "four"] {
        assert_eq!(post(&client, &path, &notify(id, "ann", "high")).await.unwrap().0, 200);
    }
    // Other preferences plan it again: now.
    set(&client, &url, "dan", json!({"channels": ["in_app"], "often": "immediate"})).await;
    assert_eq!(ended(&client, &url, "four").await["state"], "sent");
    // Another program does not use the store meanwhile.
    let other = Running::start(program(folder.path(), "serve --port 0"));
    assert_eq!(other.end().code, Some(3));
    running.interrupt();
    assert_eq!(running.end().code, Some(0));
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(program(folder.path(), "serve --port 0 --max-pending 1"));
    let (client, url) = (client(), url_of(&running.stdout).await);
    let path = format!("{url}/notifications");
    for (body, status) in [
        (json!({"id": "", "user": "ann", "topic": "it"}), 422),
        (json!({"id": "1", "user": "ann", "topic": "../it"}), 422),
        (json!({"id": "1", "user": "ann", "topic": "it", "priority": "very high"}), 422),
        (json!({"id": "1", "user": "ann", "topic": "it", "expires_at": "tomorrow"}), 422),
        (
            json!({"id": "1", "user": "ann", "topic": "it", "data": {"text": "x".repeat(20_000)}}),
            422,
        ),
        (
            json!({"id": "1", "user": "ann", "topic": "it", "data": {"text": "x".repeat(100_000)}}),
            413,
        ),
        (json!({"id": "1", "user": "ann"}), 422),
    ] {
        assert_eq!(post(&client, &path, &body).await.unwrap().0, status, "{body}");
    }
    assert_eq!(get(&client, &format!("{path}/1")).await.unwrap().0, 404);
    let user = format!("{url}/users/ann");
    let put =
        async |profile: Value| call(&client, Method::PUT, &user, Some(&profile)).await.unwrap();
    let (status, why) = put(json!({"channels": ["in_app"], "zone": "Europe/Nowhere"})).await;
    assert_eq!(status, 422);
    assert!(why["error"].as_str().unwrap().contains("Europe/Nowhere"), "{why}");
    assert_eq!(get(&client, &user).await.unwrap().0, 404);
    let hook = json!({"url": "https://ann.example/", "secret": crate::endpoint::SECRET});
    assert_eq!(
        put(json!({"channels": ["webhook"], "webhook": hook, "often": "batched"})).await.0,
        204
    );
    let (_, profile) = get(&client, &user).await.unwrap();
    assert_eq!(profile["webhook"]["secret"], "hidden");
    // Full: refused with a pause, and nothing of it is kept.
    let wait = json!({"channels": ["in_app"], "often": {"weekly": {"day": 1, "at": "09:00"}}});
    assert_eq!(put(wait).await.0, 204);
    let body = |id: &str| json!({"id": id, "user": "ann", "topic": "it"});
    assert_eq!(post(&client, &path, &body("1")).await.unwrap().0, 202);
    assert_eq!(post(&client, &path, &body("2")).await.unwrap().0, 503);
    assert_eq!(get(&client, &format!("{path}/2")).await.unwrap().0, 404);
    drop(running);
    for wrong in ["serve --port 70000", "serve --from nowhere", "send"] {
        let running = Running::start(program(folder.path(), wrong));
        assert_eq!(running.end().code, Some(2), "{wrong}");
    }
}

#[tokio::test]
async fn mails_go_over_tls_with_a_password() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()).into();
    let ring = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(ring)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    for (tls, scheme, more) in [
        (Tls::AtOnce(acceptor.clone()), "smtps", ""),
        (Tls::OnRequest(acceptor), "smtp", "?tls=required"),
    ] {
        let server = Smtp::with_tls(&[], Duration::ZERO, tls).await;
        let folder = tempfile::tempdir().unwrap();
        let trusted = folder.path().join("trusted.pem");
        std::fs::write(&trusted, made.cert.pem()).unwrap();
        let mut program = program(folder.path(), "serve --port 0");
        let at = format!("ann:secret@localhost:{}{more}", server.port());
        program.env("NOTIFIER_SMTP_URL", format!("{scheme}://{at}"));
        program.env("SSL_CERT_FILE", trusted);
        let running = Running::start(program);
        let (client, url) = (client(), url_of(&running.stdout).await);
        set(&client, &url, "ben", json!({"channels": ["mail"], "mail": "ben@mail.example"})).await;
        let one = json!({"id": "1", "user": "ben", "topic": "it", "priority": "high"});
        post(&client, &format!("{url}/notifications"), &one).await.unwrap();
        assert_eq!(ended(&client, &url, "1").await["via"], json!(["mail"]), "{scheme}");
        assert_eq!(server.kept().len(), 1);
        // "\0ann\0secret"
        assert_eq!(server.logins(), ["AGFubgBzZWNyZXQ="]);
    }
}

/// A limit on the length of a file, in blocks of 512 bytes. Without the signal a write above it is an error, as on a full
/// disk.
#[cfg(unix)]
#[tokio::test]
async fn a_full_disk_ends_the_program_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut limited = std::process::Command::new("sh");
    let script = "trap '' XFSZ; ulimit -f 8000; exec \"$0\" serve --port 0";
    limited.arg("-c").arg(script).arg(env!("CARGO_BIN_EXE_notifier"));
    limited.current_dir(folder.path());
    let running = Running::start(limited);
    let (client, url) = (client(), url_of(&running.stdout).await);
    // They wait, so that the store grows.
    let often = json!({"weekly": {"day": 1, "at": "09:00"}});
    set(&client, &url, "ann", json!({"channels": ["in_app"], "often": often})).await;
    let mut accepted = 0;
    loop {
        let text = "x".repeat(15_000);
        let id = accepted.to_string();
        let body = json!({"id": id, "user": "ann", "topic": "it", "data": {"text": text}});
        match post(&client, &format!("{url}/notifications"), &body).await {
            Ok((202, _)) => accepted += 1,
            // Refused, or the program has ended.
            Ok((500 | 503, _)) | Err(_) => break,
            Ok(other) => panic!("{other:?}"),
        }
        assert!(accepted < 10_000, "the disk is not full");
    }
    assert!(accepted > 10, "hardly anything was accepted");
    assert_eq!(running.end().code, Some(3));
    let running = Running::start(program(folder.path(), "serve --port 0"));
    says(&running.stdout, "The store has").await;
    let url = url_of(&running.stdout).await;
    for id in 0..accepted {
        let (_, answer) = get(&client, &format!("{url}/notifications/{id}")).await.unwrap();
        assert_eq!(answer["state"], "pending", "{id}: {answer}");
    }
}

#[tokio::test]
async fn the_day_is_played_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(program(folder.path(), ""));
    assert_eq!(says(&running.stdout, "1 dead + ").await, "0");
    assert_eq!(running.end().code, Some(0));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "it leaves no file");
}
