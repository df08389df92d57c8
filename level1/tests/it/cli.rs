//! The command line tool, run as a program.

#![allow(
    clippy::disallowed_types,
    clippy::disallowed_macros,
    reason = "runs the tool as a process"
)]

use std::process::{Command, Output};

use crate::http_answers::{john, server};

async fn level1(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_level1"));
    command.args(arguments);
    for proxy in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
        command.env_remove(proxy);
    }
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

#[track_caller]
fn assert_fails(output: &Output, code: i32, says: &str) {
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{error}");
    assert!(error.contains(says), "{error}");
    assert!(output.stdout.is_empty());
}

#[tokio::test]
async fn every_style_prints_the_same_profile() {
    let server = server("/api").await;
    for style in ["callbacks", "combinators", "sequential", "parallel"] {
        let output =
            level1(&["--base-url", &server.uri(), "--user", "123", "--style", style]).await;
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let profile: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(profile, serde_json::to_value(john()).unwrap(), "{style}");
        assert!(profile["posts"][0].get("body").is_none(), "absent, not null");
    }
}

#[tokio::test]
async fn another_prefix() {
    let server = server("").await;
    let uri = server.uri();
    let output =
        level1(&["--base-url", &uri, "--prefix", "", "--user", "123", "--style", "parallel"]).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

#[tokio::test]
async fn errors_of_a_load() {
    let server = server("/api").await;
    let uri = server.uri();
    for style in ["callbacks", "combinators", "sequential"] {
        let missing = level1(&["--base-url", &uri, "--user", "9", "--style", style]).await;
        assert_fails(&missing, 4, "user 9: not found: the server answered with status 404");
    }
    let nobody = level1(&["--base-url", &uri, "--user", "0", "--style", "callbacks"]).await;
    assert_fails(&nobody, 3, "invalid id: no user has the id 0");
    drop(server);
    let refused =
        level1(&["--base-url", "http://127.0.0.1:1", "--user", "1", "--style", "sequential"]).await;
    assert_fails(&refused, 6, "user 1: network failure: the connection failed: cannot connect");
}

#[tokio::test]
async fn wrong_arguments() {
    let run = async |url, user, style| {
        level1(&["--base-url", url, "--user", user, "--style", style]).await
    };
    assert_fails(&run("http://a", "1", "threads").await, 2, "possible values: callbacks");
    assert_fails(&run("http://a", "one", "parallel").await, 2, "invalid value 'one'");
    assert_fails(&run("no url", "1", "parallel").await, 2, "the base URL \"no url\"");
}
