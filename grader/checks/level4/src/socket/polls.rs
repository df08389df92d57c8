//! When a stream works, and what wakes it.

use futures::future::join;
use futures::{FutureExt as _, StreamExt as _};
use grader_kit::marbles::Marbles;
use grader_kit::{Cx, Outcome, ensure, ensure_eq};
use level4::socket::{Config, Frame};
use tokio::time::{sleep, timeout};

use super::{SOCKET, events, observed, quiet, s, socket, text};
use crate::ops::NEWEST_WAKER;
use crate::server::{Answer, Server};

pub async fn begins_with_the_first_poll(cx: Cx) -> Outcome {
    let server = Server::new([], Answer::Accepts);
    let (_outbox, stream) = socket(&cx, &server, quiet()).await?;
    sleep(s(10)).await;
    ensure!(server.connects().is_empty(), "a stream that was not polled has connected");
    drop(stream);
    ensure!(server.connects().is_empty(), "a stream that was dropped unpolled has connected");
    Ok(())
}

pub async fn waits_without_looking(cx: Cx) -> Outcome {
    let server = Server::new([Answer::Refuses], Answer::Accepts);
    let (outbox, mut stream) =
        socket(&cx, &server, Config { first_delay: s(30), ..quiet() }).await?;
    let reads = async { while let Ok(Some(_)) = timeout(s(400), stream.next()).await {} };
    let sends = async {
        sleep(s(100)).await;
        let _ = outbox.send(Frame::Text("1".to_owned()));
    };
    let call = cx.call(SOCKET, join(reads, sends)).await?;
    ensure!(call.polls < 100, "a socket that waits for 30 s and is then silent for 400 s takes {} polls", call.polls;
        expected = "a few", help = "no loop that checks repeatedly");
    moves(&cx).await
}

/// A stream that another task has polled before is woken in the task that waits for it now.
async fn moves(cx: &Cx) -> Outcome {
    let closes: fn(&Server) = Server::closes;
    let nothing: fn(&Server) = |_| {};
    // What happens at 5 s, for how long the stream is read, and what it yields.
    let cases = [
        ("while it connects", Answer::AcceptsAfter(5_000), nothing, 6_000, (5_000, "connected 1")),
        ("while it waits", Answer::Refuses, nothing, 1_500, (1_000, "failed 2, 2000 ms")),
        (
            "and a message comes",
            Answer::Accepts,
            |server| server.sends(text(7)),
            6_000,
            (5_000, "7"),
        ),
        ("and the server closes", Answer::Accepts, closes, 5_500, (5_000, "failed 1, 1000 ms")),
    ];
    for (what, answer, happens, limit, expected) in cases {
        let server = Server::new([], answer);
        let (_outbox, stream) = socket(cx, &server, Config::default()).await?;
        let stream = polled_elsewhere(stream);
        let script = async {
            sleep(s(5)).await;
            happens(&server);
        };
        let (seen, ()) = cx.call(SOCKET, join(observed(limit, stream), script)).await?.value;
        // What was ready at the first poll may come with the second one.
        let seen = Marbles::at(seen.marks().iter().filter(|(at, _)| *at > 0).cloned());
        let headline = format!("a stream that one task has polled and another one awaits, {what}");
        seen.ensure(&events([expected]), &headline, NEWEST_WAKER)?;
    }
    let server = Server::new([], Answer::Accepts);
    let (outbox, stream) = socket(cx, &server, quiet()).await?;
    let stream = polled_elsewhere(stream);
    let script = async {
        sleep(s(5)).await;
        let _ = outbox.send(text(8));
    };
    cx.call(SOCKET, join(observed(60_000, stream), script)).await?;
    ensure_eq!(server.sent_at(0), [(5_000, text(8))], "a stream that one task has polled and another one awaits, and a frame is accepted at 5 s: when it is sent"; help = NEWEST_WAKER);
    Ok(())
}

/// Polls a stream up to its first wait, for a task that is never there.
fn polled_elsewhere<S: futures::Stream + Unpin>(mut stream: S) -> S {
    while stream.next().now_or_never().is_some() {}
    stream
}
