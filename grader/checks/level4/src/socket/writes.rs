//! Writes that wait or fail, and an outbox that is not there any more.

use futures::future::join;
use grader_kit::marbles::Mark;
use grader_kit::{Cx, Outcome, ensure, ensure_eq, ms};
use level4::socket::{Config, Frame};
use tokio::time::sleep;

use super::{SOCKET, events, observed, quiet, s, socket, text};
use crate::server::{Answer, Part, Server};

const PARTS: [Part; 2] = [Part::Ready, Part::Flush];

pub async fn unsent_frames_are_sent_again(cx: Cx) -> Outcome {
    for part in [Part::Start, Part::Ready, Part::Flush] {
        let server = Server::new([], Answer::Accepts);
        let (outbox, stream) = socket(&cx, &server, quiet()).await?;
        let script = async {
            sleep(s(1)).await;
            server.breaks_after(1, part);
            for number in 1..=3 {
                let _ = outbox.send(text(number));
            }
            sleep(s(5)).await;
        };
        cx.call(SOCKET, join(observed(10_000, stream), script)).await?;
        // A solution may write several frames before it flushes them: then none of them is delivered.
        let (first, second) = (server.sent(0), server.sent(1));
        let all: Vec<_> = first.iter().chain(&second).cloned().collect();
        ensure!(first.len() <= 1 && all == [text(1), text(2), text(3)], "a connection takes one of three frames and then fails in {}: what is sent on it, and what is sent on the next one", name(part);
            expected = "1 on that connection, 2 and 3 on the next one",
            observed = format!("{first:?} on that connection, {second:?} on the next one"),
            help = "a frame that was taken from the queue and not written and flushed goes first on the next connection");
    }
    for part in PARTS {
        let server = Server::new([], Answer::Accepts);
        let (outbox, stream) = socket(&cx, &server, quiet()).await?;
        let script = async {
            sleep(s(1)).await;
            server.sticks(Some(part));
            let _ = outbox.send(text(1));
        };
        cx.call(SOCKET, join(observed(20_000, stream), script)).await?;
        let what = name(part);
        ensure_eq!(server.sent(1), [text(1)], "a connection failed because a frame was not written for `pong_timeout` ({what} was pending); what is sent on the next one";
            help = "a frame that was taken from the queue and not written and flushed goes first on the next connection");
    }
    // A frame that waits while `hello` cannot be written is not lost either.
    for part in [Part::Start, Part::Ready, Part::Flush] {
        let server = Server::new([Answer::Breaks(part)], Answer::Accepts);
        let config = Config { hello: vec![text("token")], ..quiet() };
        let (outbox, stream) = socket(&cx, &server, config).await?;
        let _ = outbox.send(text(1));
        let seen = cx.call(SOCKET, observed(10_000, stream)).await?.value;
        seen.ensure(
            &events([(0, "failed 1, 1000 ms"), (1_000, "connected 2")]),
            "`hello` cannot be written on the first connection",
            "a connection is open when `hello` was sent; before that, an error is a connect that failed",
        )?;
        let sent: Vec<_> = server.sent(1).into_iter().filter(|it| *it != text("token")).collect();
        ensure_eq!(
            sent,
            [text(1)],
            "a frame was accepted, and `hello` could not be written on the first connection; what is sent on the second one but `hello`"
        );
    }
    // One that could not be written outlives connects that fail in every way, and those behind it wait for it.
    for part in [Part::Start, Part::Ready, Part::Flush] {
        let answers =
            [Answer::Accepts, Answer::Refuses, Answer::Breaks(part), Answer::ClosesAfter(0)];
        let server = Server::new(answers, Answer::Accepts);
        let config = Config { hello: vec![text("token")], ..quiet() };
        let (outbox, stream) = socket(&cx, &server, config).await?;
        let script = async {
            sleep(s(1)).await;
            server.breaks_after(0, part);
            let _ = outbox.send(text(1));
            // While there is no connection.
            sleep(ms(500)).await;
            let _ = outbox.send(text(2));
            sleep(s(100)).await;
            let _ = outbox.send(text(3));
        };
        cx.call(SOCKET, join(observed(120_000, stream), script)).await?;
        let all: Vec<_> = (0..4)
            .flat_map(|connection| server.sent(connection))
            .filter(|it| *it != text("token"))
            .collect();
        ensure_eq!(all, [text(1), text(2), text(3)], "a frame cannot be written ({}); the next connect is refused, on the one after that `hello` cannot be written, and then the server closes a connection at once; two more frames are accepted meanwhile and later: what is sent but `hello`", name(part);
            help = "a frame stays the first one until it is written, whatever happens to the connections in between");
    }
    Ok(())
}

const fn name(part: Part) -> &'static str {
    match part {
        Part::Ready => "`poll_ready`",
        Part::Start => "`start_send`",
        Part::Flush => "`poll_flush`",
    }
}

pub async fn a_write_has_a_limit(cx: Cx) -> Outcome {
    const HELP: &str = "a write that takes `pong_timeout` has failed: `timeout` around `send`";
    let waits = Config { hello: vec![text("token")], ..quiet() };
    for part in PARTS {
        let what = name(part);
        // A frame of the outbox, and the answer to a ping.
        for ping in [false, true] {
            let server = Server::new([], Answer::Accepts);
            let (outbox, stream) = socket(&cx, &server, quiet()).await?;
            let script = async {
                sleep(s(1)).await;
                server.sticks(Some(part));
                if ping {
                    server.sends(Frame::Ping(vec![7]));
                } else {
                    let _ = outbox.send(text(1));
                }
            };
            let (seen, ()) = cx.call(SOCKET, join(observed(13_000, stream), script)).await?.value;
            let written = if ping { "the answer to a ping" } else { "a frame" };
            seen.ensure(
                &events([(0, "connected 1"), (11_000, "failed 1, 1000 ms"), (12_000, "connected 2")]),
                &format!("from 1 s on {written} cannot be written: {what} is pending, and `pong_timeout` is 10 s"),
                HELP,
            )?;
        }
        // `hello`: the connect fails.
        let server = Server::new([], Answer::Stuck(part));
        let (_outbox, stream) = socket(&cx, &server, waits.clone()).await?;
        let seen = cx.call(SOCKET, observed(10_500, stream)).await?.value;
        seen.ensure(
            &events([(10_000, "failed 1, 1000 ms")]),
            &format!("`hello` cannot be written: {what} is pending, and `pong_timeout` is 10 s"),
            HELP,
        )?;
        // A millisecond less is no failure.
        let server = Server::new([], Answer::Accepts);
        let (outbox, stream) = socket(&cx, &server, quiet()).await?;
        let script = async {
            sleep(s(1)).await;
            server.sticks(Some(part));
            let _ = outbox.send(text(1));
            let _ = outbox.send(text(2));
            sleep(ms(9_999)).await;
            server.sticks(None);
        };
        let (seen, ()) = cx.call(SOCKET, join(observed(60_000, stream), script)).await?.value;
        seen.ensure(
            &events([(0, "connected 1")]),
            &format!("a write waits for 9.999 s ({what} is pending), and `pong_timeout` is 10 s"),
            "a write that ends in time is no failure",
        )?;
        ensure_eq!(server.sent_at(0), [(10_999, text(1)), (10_999, text(2))], "two frames, and a write that waits for 9.999 s from 1 s on ({what} is pending)";
            help = "poll the connection as a sink: it wakes the task when it can be written to");
    }
    // A ping of the socket itself, on a connection on which frames come all the time behind it.
    for part in PARTS {
        let server = Server::new([], Answer::Accepts);
        let (_outbox, stream) = socket(&cx, &server, Config::default()).await?;
        let script = async {
            sleep(s(1)).await;
            server.sticks(Some(part));
            sleep(s(30)).await;
            for number in 0..20 {
                server.sends(text(number));
                sleep(s(1)).await;
            }
        };
        let (seen, ()) = cx.call(SOCKET, join(observed(42_500, stream), script)).await?.value;
        // Whether messages pass while a write waits is left open.
        let failed = |mark: &Mark| matches!(mark, Mark::Item(text) if text.starts_with("failed"));
        let failed = seen.marks().iter().find(|(_, mark)| failed(mark)).map(|(at, _)| *at);
        ensure!(failed == Some(40_000), "from 1 s on nothing can be written ({} is pending), the ping at 30 s neither, and a message comes every second from 31 s on: the connection fails at {failed:?} ms", name(part);
            expected = "Some(40000): `pong_timeout`, which is 10 s, is the time of each write, whatever comes meanwhile",
            help = "put the limit around the writing of every frame, also of a ping and a pong");
    }
    // Another time than that of the default.
    let limit = cx.draw().between(1..=60_000);
    let server = Server::new([], Answer::Accepts);
    let config = Config { pong_timeout: ms(limit), ..quiet() };
    let (outbox, stream) = socket(&cx, &server, config).await?;
    let script = async {
        sleep(s(1)).await;
        server.sticks(Some(Part::Flush));
        let _ = outbox.send(text(1));
    };
    let (seen, ()) = cx.call(SOCKET, join(observed(limit + 1_500, stream), script)).await?.value;
    seen.ensure(
        &events([(0, "connected 1"), (1_000 + limit, "failed 1, 1000 ms")]),
        &format!("from 1 s on a frame cannot be written, and `pong_timeout` is {limit} ms"),
        HELP,
    )?;
    each_frame_has_its_own_limit(&cx).await
}

/// Frames that are written one behind the other: each of them in time, all of them together not.
async fn each_frame_has_its_own_limit(cx: &Cx) -> Outcome {
    let frames = || ["token", "orders", "prices", "news"].map(text).to_vec();
    for in_hello in [true, false] {
        let server = Server::new([], Answer::Slow(4_000));
        let hello = if in_hello { frames() } else { Vec::new() };
        let (outbox, stream) = socket(cx, &server, Config { hello, ..quiet() }).await?;
        let script = async {
            sleep(s(1)).await;
            for frame in frames().into_iter().filter(|_| !in_hello) {
                let _ = outbox.send(frame);
            }
        };
        let (seen, ()) = cx.call(SOCKET, join(observed(60_000, stream), script)).await?.value;
        let whose = if in_hello { "of `hello`" } else { "that wait in the outbox" };
        ensure!(server.connects().len() == 1, "four frames {whose}, and a connection on which each flush takes 4 s: {} connects in 60 s, and on the first connection the server gets {:?}", server.connects().len(), server.sent(0);
            expected = "1 connect, and all four: `pong_timeout`, which is 10 s, is for each frame",
            observed = format!("{:?}", seen.marks()),
            help = "put the limit around the writing of one frame, not around that of all");
    }
    Ok(())
}

pub async fn goes_on_without_its_outbox(cx: Cx) -> Outcome {
    for early in [true, false] {
        let what = if early { "before the first poll" } else { "at 5 s, on an open connection" };
        let server = Server::new([], Answer::Accepts);
        let (outbox, stream) = socket(&cx, &server, quiet()).await?;
        let outbox = (!early).then_some(outbox);
        let script = async {
            sleep(s(5)).await;
            if let Some(outbox) = outbox {
                let _ = outbox.send(text(1));
            }
            sleep(s(5)).await;
            server.sends(text(7));
            sleep(s(10)).await;
            server.closes();
            sleep(s(10)).await;
            server.sends(text(8));
        };
        let (seen, ()) = cx.call(SOCKET, join(observed(60_000, stream), script)).await?.value;
        seen.ensure(
            &events([
                (0, "connected 1"),
                (10_000, "7"),
                (20_000, "failed 1, 1000 ms"),
                (21_000, "connected 2"),
                (30_000, "8"),
            ]),
            &format!("the outbox is dropped {what}"),
            "a queue without a sender is no reason to end: the socket goes on reading, and connects again",
        )?;
        let expected = if early { Vec::new() } else { vec![(5_000, text(1))] };
        ensure_eq!(server.sent_at(0), expected, "the outbox is dropped {what}, right after the last frame that it accepted: what is sent";
            help = "frames that were accepted are sent, also when no sender is left");
    }
    Ok(())
}
