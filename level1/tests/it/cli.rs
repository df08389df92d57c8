//! The command line tool, run as a program.

#![allow(
    clippy::disallowed_types,
    clippy::disallowed_macros,
    reason = "runs the tool as a process"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use wiremock::matchers::path_regex;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::http_answers::{john, server};

async fn level1(arguments: &[&str]) -> Output {
    level1_that_trusts(None, arguments).await
}

/// The tool on a machine whose trusted certificates are those of this file, or those of this machine.
async fn level1_that_trusts(certificates: Option<&Path>, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_level1"));
    command.args(arguments);
    if let Some(file) = certificates {
        command.env("SSL_CERT_FILE", file).env_remove("SSL_CERT_DIR");
    }
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

/// Starts a server over https that has John at every path. Returns its port, and the file with its certificate.
async fn https_server(name: &str) -> (u16, PathBuf) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&file, made.cert.pem()).unwrap();
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()).into();
    let ring = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(ring)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // A client that does not trust the certificate ends the handshake.
            let Ok(stream) = acceptor.accept(stream).await else { continue };
            let mut stream = BufReader::new(stream);
            let (mut head, mut line) = (String::new(), String::new());
            while stream.read_line(&mut line).await.is_ok_and(|read| read > 2) {
                head.push_str(&std::mem::take(&mut line));
            }
            let profile = serde_json::to_value(john()).unwrap();
            let part = if head.contains("/posts ") { "posts" } else { "user" };
            let body = profile[part].to_string();
            let length = body.len();
            let answer = format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
            );
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    (port, file)
}

#[tokio::test]
async fn a_redirection_to_https_is_followed() {
    let (port, trusted) = https_server("redirected.pem").await;
    let server = MockServer::start().await;
    for (path, posts) in [("/users/123$", ""), ("/users/123/posts$", "/posts")] {
        let to = format!("https://localhost:{port}/api/users/123{posts}");
        let moved = ResponseTemplate::new(308).insert_header("Location", to);
        Mock::given(path_regex(path)).respond_with(moved).mount(&server).await;
    }
    let uri = server.uri();
    let arguments = ["--base-url", &uri, "--user", "123", "--style", "sequential"];
    let output = level1_that_trusts(Some(&trusted), &arguments).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let profile: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(profile, serde_json::to_value(john()).unwrap());
}

#[tokio::test]
async fn plain_http_needs_no_certificates() {
    let none = Path::new(env!("CARGO_TARGET_TMPDIR")).join("none.pem");
    std::fs::write(&none, "").unwrap();
    let server = server("/api").await;
    let uri = server.uri();
    let arguments = ["--base-url", &uri, "--user", "123", "--style", "parallel"];
    let output = level1_that_trusts(Some(&none), &arguments).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}
