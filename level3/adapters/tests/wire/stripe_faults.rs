//! What goes wrong below HTTP. What may have left may have been done.

use std::time::Duration;

use level3_adapters::Limits;
use level3_adapters::stripe::Stripe;
use level3_domain::provider::{Effect, Intent, Operation, PaymentProvider, ProviderError};
use tokio::net::{TcpListener, TcpSocket};

use crate::peer::{Peer, Then, answer, head};
use crate::support::{PATIENT, intent_id, intent_json, key, limited, stripe};

async fn confirm(stripe: &Stripe) -> Result<Intent, ProviderError> {
    stripe.confirm(key("a", Operation::Confirm), intent_id("pi_1")).await
}

/// What a confirmation comes to at a peer that does this.
async fn confirmed(script: Vec<Then>) -> ProviderError {
    confirmed_within(PATIENT, script).await
}

/// The same for a client with these limits.
async fn confirmed_within(limits: Limits, script: Vec<Then>) -> ProviderError {
    let peer = Peer::new(script).await;
    let error = confirm(&limited(&peer.url(), limits)).await.expect_err("no answer");
    // A peer that was slow to read it still has it.
    peer.has_read(1).await;
    assert_eq!(peer.requests(), 1, "the gateway tries again, not the client");
    error
}

fn send(text: &str) -> Then {
    Then::Send(text.as_bytes().to_vec())
}

#[tokio::test]
async fn a_refused_connection_has_had_no_effect() {
    // Bound, so that no other program gets the port, and not listening.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}", socket.local_addr().unwrap());
    let error = confirm(&stripe(&url)).await.unwrap_err();
    assert_eq!(error, ProviderError::Unavailable);
    assert_eq!(error.effect(), Effect::None);
}

#[tokio::test]
async fn a_name_that_does_not_exist_has_had_no_effect() {
    // RFC 6761: no name ends in .invalid.
    let stripe = stripe("https://stripe.invalid");
    assert_eq!(confirm(&stripe).await, Err(ProviderError::Unavailable));
}

#[tokio::test]
async fn tls_that_fails_has_had_no_effect() {
    // Says what no TLS server says.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let stripe = stripe(&url);
    let greet = async {
        let (stream, _) = listener.accept().await.unwrap();
        stream.writable().await.unwrap();
        stream.try_write(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        stream
    };
    let (_stream, error) = tokio::join!(greet, confirm(&stripe));
    assert_eq!(error, Err(ProviderError::Unavailable));
}

#[tokio::test]
async fn a_connection_that_breaks_may_have_had_its_effect() {
    let whole = intent_json("pi_1", "a", "succeeded").to_string();
    for (name, script) in [
        ("reset before the answer", vec![Then::Reset]),
        ("closed without an answer", vec![]),
        ("reset in the head", vec![send("HTTP/1.1 200"), Then::Reset]),
        ("closed in the head", vec![send("HTTP/1.1 200 OK\r\ncontent-")]),
        ("reset in the body", vec![head("200 OK", 100), send("{"), Then::Reset]),
        ("truncated", vec![head("200 OK", whole.len() + 1), send(&whole)]),
        ("truncated refusal", vec![head("402 Payment Required", 100), send("{\"error\":")]),
        ("no HTTP", vec![send("SSH-2.0-OpenSSH_9.6\r\n")]),
        ("another kind of JSON", vec![answer("200 OK", "", "[1, 2]")]),
        ("a switch of protocols", vec![send("HTTP/1.1 101 Switching Protocols\r\n\r\n")]),
    ] {
        let error = confirmed(script).await;
        assert_eq!(error, ProviderError::ConnectionLost, "{name}");
        assert_eq!(error.effect(), Effect::Unknown, "{name}");
    }
}

#[tokio::test]
async fn silence_ends_at_the_limit_of_a_read() {
    let limit = Duration::from_millis(300);
    let limits = Limits { read: limit, ..PATIENT };
    let before = confirmed_within(limits, vec![Then::Silence]).await;
    assert_eq!(before, ProviderError::TimedOut { limit });
    let script = vec![head("200 OK", 100), send("{"), Then::Silence];
    let within = confirmed_within(limits, script).await;
    assert_eq!(within, ProviderError::TimedOut { limit });
}

#[tokio::test]
async fn a_trickle_ends_at_the_limit_of_the_call() {
    // Every byte comes in time; together they would take ten seconds at least.
    let (pause, limit) = (Duration::from_millis(10), Duration::from_millis(300));
    let script = vec![head("200 OK", 1000), Then::Trickle(b' ', pause)];
    let error = confirmed_within(Limits { total: limit, ..PATIENT }, script).await;
    assert_eq!(error, ProviderError::TimedOut { limit });
}

#[tokio::test]
async fn a_body_ends_at_the_limit_of_its_length() {
    let long = " ".repeat(2001);
    let announced = confirmed(vec![answer("200 OK", "", &long)]).await;
    assert_eq!(announced, ProviderError::ConnectionLost);
    // Without a length the body ends with the connection: this one would never.
    let endless =
        vec![send("HTTP/1.1 200 OK\r\n\r\n"), Then::Send(vec![b' '; 3000]), Then::Silence];
    assert_eq!(confirmed(endless).await, ProviderError::ConnectionLost);
}

#[tokio::test]
async fn a_request_that_was_given_up_has_left_all_the_same() {
    let peer = Peer::new(vec![Then::Silence]).await;
    let stripe = stripe(&peer.url());
    // As the gateway does at its limit: the future is dropped while the peer is at work.
    tokio::select! {
        answer = confirm(&stripe) => panic!("{answer:?}"),
        () = peer.has_read(1) => {}
    }
}

#[tokio::test]
async fn an_idle_connection_that_was_closed_is_replaced() {
    // The peer closes each connection after one answer, without saying so in the head.
    let body = intent_json("pi_1", "a", "succeeded").to_string();
    let peer = Peer::new(vec![answer("200 OK", "", &body)]).await;
    let stripe = limited(&peer.url(), PATIENT);
    for number in 1..=5 {
        confirm(&stripe).await.unwrap();
        // The client reads the end of the connection before it writes the next request.
        peer.has_closed(number).await;
    }
}
