//! What each answer of a provider leads to: over SMTP, over HTTP, in files, and in the list within the application.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use level5::wall_clock::SystemWall;
use notifier::channel::in_app::{Bells, InApp};
use notifier::channel::mail::{Composer, Folder, Smtp};
use notifier::channel::webhook::Webhook;
use notifier::channel::{Office, Tracked};
use notifier::profile::{Known, Profile};
use notifier::store::ParcelState;
use notifier::templates::Templates;
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::endpoint::{Endpoint, SECRET};
use crate::office::{deliver, office, profile};
use crate::smtp::{self, Then};

const FROM: &str = "Shop <news@shop.example>";

fn templates() -> Templates {
    Templates::load(None).unwrap()
}

fn composer() -> Composer {
    Composer::new(FROM, templates()).unwrap()
}

fn webhook(office: &Office) -> Tracked<Webhook> {
    Tracked::new(Webhook::new(templates(), Arc::new(SystemWall)).unwrap(), office.clone())
}

fn states(office: &Office) -> Vec<ParcelState> {
    office.store.load().unwrap().parcels.into_iter().map(|parcel| parcel.state).collect()
}

#[tokio::test]
async fn a_mail_is_complete() {
    let server = smtp::Smtp::start(&[], Duration::ZERO).await;
    let office = office(profile("http://localhost/"), &["one", "two"]).await;
    let mails = Tracked::new(Smtp::new(&server.url(), composer()).unwrap(), office.clone());
    deliver(&mails, &["one", "two"]).await.unwrap();
    let [mail] = &server.kept()[..] else { panic!("{:?}", server.kept()) };
    assert_eq!(mail.to, "ann@mail.example");
    assert_eq!(mail.header("From"), "Shop <news@shop.example>");
    assert_eq!(mail.header("Subject"), "2 notifications");
    assert_eq!(mail.header("Date"), "Sun, 29 Nov 2026 12:00:00 +0000");
    assert_eq!(mail.header("Auto-Submitted"), "auto-generated");
    assert!(mail.header("Content-Type").starts_with("multipart/alternative"));
    let key = &office.store.load().unwrap().parcels[0].key;
    assert_eq!(mail.header("Message-ID"), format!("<{key}@shop.example>"));
    assert!(mail.data.contains("* one") && mail.data.contains("<li>two</li>"), "{}", mail.data);
    // Delivered: another call sends nothing.
    assert_eq!(states(&office), [ParcelState::Delivered]);
    deliver(&mails, &["one", "two"]).await.unwrap();
    assert_eq!(server.kept().len(), 1);
}

#[tokio::test]
async fn each_answer_of_smtp_has_its_outcome() {
    let script = [
        Then::Answers("451 try later"),
        Then::KeepsAndLeaves,
        Then::Takes,
        Then::Answers("550 no such user"),
        Then::Answers("530 authenticate first"),
    ];
    let server = smtp::Smtp::start(&script, Duration::ZERO).await;
    let office = office(profile("http://localhost/"), &["one", "two", "three"]).await;
    let mails = Tracked::new(Smtp::new(&server.url(), composer()).unwrap(), office.clone());
    assert!(deliver(&mails, &["one"]).await.unwrap_err().0.contains("try later"));
    assert_eq!(states(&office), [ParcelState::Failed]);
    // The server has it, and the program does not know.
    deliver(&mails, &["one"]).await.unwrap_err();
    assert_eq!(states(&office), [ParcelState::Begun]);
    deliver(&mails, &["one"]).await.unwrap();
    let kept = server.kept();
    assert_eq!(kept.len(), 2);
    assert_eq!(kept[0].header("Message-ID"), kept[1].header("Message-ID"));
    // Refused for good: the server is not asked again.
    for _ in 0..2 {
        assert!(deliver(&mails, &["two"]).await.unwrap_err().0.contains("no such user"));
    }
    // The client's fault, not the mail's.
    assert!(deliver(&mails, &["three"]).await.unwrap_err().0.contains("authenticate"));
    deliver(&mails, &["three"]).await.unwrap();
    assert_eq!(server.kept().len(), 3);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_a_failure() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let office = office(profile(&format!("http://127.0.0.1:{port}/")), &["one"]).await;
    let smtp = Smtp::new(&format!("smtp://127.0.0.1:{port}"), composer()).unwrap();
    deliver(&Tracked::new(smtp, office.clone()), &["one"]).await.unwrap_err();
    deliver(&webhook(&office), &["one"]).await.unwrap_err();
    // lettre does not say whether there was a connection; reqwest does.
    let states: HashSet<_> = states(&office).into_iter().collect();
    assert_eq!(states, HashSet::from([ParcelState::Begun, ParcelState::Failed]));
}

#[tokio::test]
async fn mails_are_files_without_a_server() {
    let folder = tempfile::tempdir().unwrap();
    let office = office(profile("http://localhost/"), &["one"]).await;
    let mails = Folder::new(folder.path().join("mail"), composer()).unwrap();
    deliver(&Tracked::new(mails, office.clone()), &["one"]).await.unwrap();
    let key = &office.store.load().unwrap().parcels[0].key;
    let file = folder.path().join("mail").join(format!("{key}.eml"));
    let text = std::fs::read_to_string(file).unwrap();
    assert!(text.contains(&format!("Message-ID: <{key}@shop.example>")), "{text}");
    assert_eq!(std::fs::read_dir(folder.path().join("mail")).unwrap().count(), 1);
}

#[tokio::test]
async fn a_webhook_is_signed_and_complete() {
    // The endpoint checks the signature.
    let endpoint = Endpoint::start(Duration::ZERO).await;
    let office = office(profile(&endpoint.url()), &["one", "two"]).await;
    deliver(&webhook(&office), &["one", "two"]).await.unwrap();
    let [hook] = &endpoint.got()[..] else { panic!("{:?}", endpoint.got()) };
    assert_eq!(hook.ids, ["one", "two"]);
    assert_eq!(hook.key, office.store.load().unwrap().parcels[0].key);
}

#[tokio::test]
async fn an_endpoint_is_asked_again_only_where_it_may_help() {
    let server = MockServer::start().await;
    // An answer once, and 200 afterwards. `calls`: how many requests two attempts make.
    for (status, calls, state) in [
        (500, 2, ParcelState::Begun),
        (429, 2, ParcelState::Failed),
        (404, 1, ParcelState::Refused("the endpoint answered 404 Not Found".to_owned())),
        (302, 1, ParcelState::Refused("the endpoint answered 302 Found".to_owned())),
    ] {
        server.reset().await;
        let answer = ResponseTemplate::new(status).insert_header("location", server.uri());
        Mock::given(method("POST"))
            .and(path("/hook"))
            .respond_with(answer)
            .up_to_n_times(1)
            .mount(&server)
            .await;
        Mock::given(method("POST"))
            .and(path("/hook"))
            .respond_with(ResponseTemplate::new(200))
            .mount(&server)
            .await;
        let office = office(profile(&format!("{}/hook", server.uri())), &["one"]).await;
        let hooks = webhook(&office);
        deliver(&hooks, &["one"]).await.unwrap_err();
        assert_eq!(states(&office), [state], "{status}");
        assert_eq!(deliver(&hooks, &["one"]).await.is_ok(), calls == 2, "{status}");
        let requests = server.received_requests().await.unwrap();
        assert_eq!(requests.len(), calls, "{status}");
        let header = |number: usize, name: &str| requests[number].headers[name].clone();
        if calls == 2 {
            // A repeat: the same id and body, so that the endpoint can drop it.
            assert_eq!(header(0, "webhook-id"), header(1, "webhook-id"));
            assert_eq!(requests[0].body, requests[1].body);
        }
    }
}

#[tokio::test]
async fn an_endpoint_can_ask_for_a_pause() {
    let server = MockServer::start().await;
    let answer = ResponseTemplate::new(503).insert_header("retry-after", "3600");
    Mock::given(method("POST")).respond_with(answer).mount(&server).await;
    let office = office(profile(&server.uri()), &["one", "two"]).await;
    let hooks = webhook(&office);
    deliver(&hooks, &["one"]).await.unwrap_err();
    for id in ["one", "two"] {
        assert!(deliver(&hooks, &[id]).await.unwrap_err().0.contains("asked to wait"));
    }
    assert_eq!(server.received_requests().await.unwrap().len(), 1);
}

#[tokio::test]
async fn an_endpoint_that_is_gone_leaves_the_profile() {
    let server = MockServer::start().await;
    Mock::given(method("POST")).respond_with(ResponseTemplate::new(410)).mount(&server).await;
    let office = office(profile(&server.uri()), &["one", "two"]).await;
    let hooks = webhook(&office);
    deliver(&hooks, &["one"]).await.unwrap_err();
    let known = |office: &Office| office.store.load().unwrap().profiles[0].1.clone();
    assert_eq!(known(&office).profile.webhook, None);
    assert!(deliver(&hooks, &["two"]).await.unwrap_err().0.contains("no endpoint"));
    assert_eq!(server.received_requests().await.unwrap().len(), 1);
    // Another endpoint works at once.
    let endpoint = Endpoint::start(Duration::ZERO).await;
    let profile = Profile { ..profile(&endpoint.url()) };
    assert_eq!(profile.webhook.as_ref().unwrap().secret, SECRET);
    office.desk.know("ann", Known { profile, ..known(&office) });
    office.desk.accept(crate::office::entry("three", "ann"));
    deliver(&hooks, &["three"]).await.unwrap();
    assert_eq!(endpoint.got().len(), 1);
}

#[tokio::test]
async fn the_list_has_each_message_once() {
    let office = office(Profile::in_app(), &["one", "two"]).await;
    let bells = Bells::default();
    let list = InApp::new(office.clone(), templates(), bells.clone());
    let mut listener = bells.listen("ann");
    deliver(&list, &["one", "two"]).await.unwrap();
    listener.rings().await;
    deliver(&list, &["one", "two"]).await.unwrap();
    let items = office.store.inbox("ann", 0, 10).unwrap();
    assert_eq!(items.iter().map(|item| &*item.text).collect::<Vec<_>>(), ["one", "two"]);
    assert!(items[0].number < items[1].number);
    // A process that died after the transaction: the next one knows that they are delivered.
    let (next, _) = notifier::service::open(Arc::clone(&office.store)).unwrap();
    assert_eq!(next.desk.delivered().len(), 2);
}
