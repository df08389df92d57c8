//! The program as a process, over a server with faults. Real sockets, and a clock that runs.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_types,
    clippy::disallowed_macros,
    reason = "starts the program; what a test unwraps fails the test"
)]

use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

/// Answers of the server: for a path, one after another; the last one stays.
async fn serve(answers: &[(&str, &[ResponseTemplate])]) -> MockServer {
    let server = MockServer::start().await;
    for (at, answers) in answers {
        let (last, first) = answers.split_last().unwrap();
        for answer in first {
            let mock = Mock::given(path(*at)).respond_with(answer.clone());
            mock.up_to_n_times(1).mount(&server).await;
        }
        Mock::given(path(*at)).respond_with(last.clone()).mount(&server).await;
    }
    server
}

fn status(status: u16) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_string("{}")
}

/// Runs the program with a plan, in which `URL` is the server's address.
async fn run(server: &str, name: &str, plan: &str, args: &str) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(name);
    std::fs::write(&file, plan.replace("URL", server)).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_request-plan"));
    command.arg(&file).args(args.split_whitespace()).stdin(Stdio::null());
    // The server answers on this thread's runtime.
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|why| panic!("{why}: {output:?}"))
}

const SHOP: &str = "\
[request.user]
url = 'URL/user'
[request.orders]
url = 'URL/orders'
needs = ['user']
timeout_ms = 60000
[request.advice]
url = 'URL/advice'
needs = ['user']
[request.page]
url = 'URL/page'
needs = ['orders', 'advice']
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_runs_in_its_order_and_repeats_what_may_pass() {
    let server = serve(&[
        ("/user", &[status(200)]),
        ("/orders", &[status(503), status(200)]),
        ("/advice", &[status(200)]),
        ("/page", &[status(200)]),
    ])
    .await;
    let output = run(&server.uri(), "plan.toml", SHOP, "--json").await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let result = json(&output);
    let times = |name: &str| {
        let attempts = result["requests"][name]["attempts"].as_array().unwrap().clone();
        let at = |key: &str, it: &Value| it[key].as_u64().unwrap();
        let first = at("from_ms", &attempts[0]);
        (attempts.len(), first, at("to_ms", attempts.last().unwrap()))
    };
    assert_eq!([times("user").0, times("orders").0, times("page").0], [1, 2, 1], "{result:#}");
    assert!(
        times("user").2 <= times("orders").1 && times("orders").2 <= times("page").1,
        "{result:#}"
    );
    assert_eq!(result["requests"]["orders"]["origin"], "network");

    let text = run(&server.uri(), "plan.toml", SHOP, "--only advice").await;
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(text.contains("✓ advice  200") && text.contains('█'), "{text}");
    assert!(!text.contains("orders"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_is_named_and_what_needs_it_is_not_sent() {
    let server = serve(&[
        ("/user", &[status(404)]),
        ("/orders", &[status(200)]),
        ("/advice", &[status(200)]),
        ("/page", &[status(200)]),
    ])
    .await;
    let output = run(&server.uri(), "plan.toml", SHOP, "").await;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("✗ user    the server answered with 404"), "{text}");
    assert!(text.contains("0 of 4 requests answered"), "{text}");
    assert_eq!(server.received_requests().await.unwrap().len(), 1, "only the user was asked for");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_server_costs_the_time_of_its_request_and_no_more() {
    let silent = status(200).set_delay(Duration::from_secs(3600));
    let server = serve(&[("/a", &[silent]), ("/b", &[status(200)])]).await;
    let plan = r#"{"request": {"a": {"url": "URL/a", "timeout_ms": 200, "retryable": false}, "b": {"url": "URL/b"}}}"#;
    let output = run(&server.uri(), "plan.json", plan, "--json").await;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let result = json(&output);
    assert_eq!(result["requests"]["a"]["error"], "no answer in time", "{result:#}");
    assert_eq!(result["requests"]["a"]["attempts"][0]["ended"], "out of time");
    assert_eq!(result["requests"]["b"]["status"], 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn later_runs_use_copies_and_an_old_copy_stands_in() {
    let server = serve(&[("/a", &[status(200), status(503)])]).await;
    // Every attempt of the second run gets a 503, until the time of the request is over.
    let plan = "[settings]\nttl_ms = 1\n[request.a]\nurl = 'URL/a'\ntimeout_ms = 3000\n";
    let output = run(&server.uri(), "plan.toml", plan, "--json --repeat 2 --pause 50").await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout);
    let origins: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["requests"]["a"]["origin"].clone())
        .collect();
    assert_eq!(origins, ["network", "fallback"]);
    let fresh = plan.replace("ttl_ms = 1", "ttl_ms = 3600000");
    let server = serve(&[("/a", &[status(200), status(500)])]).await;
    let output = run(&server.uri(), "plan.toml", &fresh, "--json --repeat 2 --pause 1").await;
    assert!(String::from_utf8_lossy(&output.stdout).contains("\"origin\":\"cache\""), "{output:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_plan_sends_nothing() {
    let server = MockServer::start().await;
    Mock::given(method("GET")).respond_with(status(200)).mount(&server).await;
    let cycle = "[request.a]\nurl = 'URL/a'\nneeds = ['b']\n[request.b]\nurl = 'URL/b'\nneeds = ['a']\n\
                 [request.c]\nurl = 'URL/c'\n";
    for (plan, args, words) in [
        (cycle, "", "need one another, directly or not: a, b"),
        (SHOP, "--only nothing", "no request nothing"),
        ("", "", "no request. Write one"),
        ("[settings]\nlimit = 5\nlowest = 6\n[request.a]\nurl = 'URL/a'", "", "between 6 and"),
        ("[request.a]\nurl = 'URL/a'\ntimeout_ms = 0", "", "timeout of zero"),
    ] {
        let output = run(&server.uri(), "plan.toml", plan, args).await;
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(words), "{words}: {said}");
    }
    let output = run(&server.uri(), "plan.toml", SHOP, "--check").await;
    assert_eq!(String::from_utf8_lossy(&output.stdout), "1. user\n2. advice, orders\n3. page\n");
    assert_eq!(server.received_requests().await.unwrap().len(), 0);
    let missing =
        Command::new(env!("CARGO_BIN_EXE_request-plan")).arg("none.toml").output().unwrap();
    assert_eq!(missing.status.code(), Some(2), "{missing:?}");
    assert!(String::from_utf8_lossy(&missing.stderr).contains("none.toml"), "{missing:?}");
}
