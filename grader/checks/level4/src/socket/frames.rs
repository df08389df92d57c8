//! What comes and goes on a connection.

use futures::StreamExt as _;
use futures::future::join;
use grader_kit::{Cx, Outcome, ensure, ensure_eq, ms};
use level4::socket::{Config, Event, Frame, SendError};
use tokio::time::sleep;

use super::{SOCKET, events, observed, quiet, s, socket, socket_of, text};
use crate::ops::nz;
use crate::server::{Answer, Part, Server};

pub async fn decodes_messages(cx: Cx) -> Outcome {
    let number = cx.draw().between(10..=99);
    let server = Server::new([], Answer::Accepts);
    let (_outbox, stream) = socket(&cx, &server, quiet()).await?;
    let script = async {
        sleep(ms(10)).await;
        server.sends(text(number));
        server.sends(Frame::Binary(b" 8 ".to_vec()));
        sleep(ms(10)).await;
        server.sends(text(0));
    };
    let (seen, ()) = cx.call(SOCKET, join(observed(1_000, stream), script)).await?.value;
    let shown = number.to_string();
    seen.ensure(
        &events([(0, "connected 1"), (10, shown.as_str()), (10, "8"), (20, "0")]),
        "messages as text and as bytes",
        "messages are JSON, in the order in which they come",
    )?;
    // Texts in JSON: each character and each escape is what it says, in a text and in bytes.
    let drawn = cx.draw().text(1..=20);
    let json = format!("{drawn:?}");
    for (json, message) in [
        (json.as_str(), drawn.as_str()),
        ("\"gr\u{fc}\u{df}\"", "gr\u{fc}\u{df}"),
        ("\"\\u00e9\\n\"", "\u{e9}\n"),
    ] {
        for frame in [text(json), Frame::Binary(json.as_bytes().to_vec())] {
            let server = Server::new([], Answer::Accepts);
            let (_outbox, stream) = socket_of::<String>(&cx, &server, quiet()).await?;
            let script = async {
                sleep(ms(10)).await;
                server.sends(frame.clone());
            };
            let (seen, ()) = cx.call(SOCKET, join(observed(1_000, stream), script)).await?.value;
            seen.ensure(
                &events([(0, "connected 1"), (10, message)]),
                &format!("a message that is a string: {frame:?}"),
                "messages are JSON in UTF-8, also where they come as bytes",
            )?;
        }
    }
    Ok(())
}

pub async fn bad_frames_are_reported(cx: Cx) -> Outcome {
    let bad = [
        text(""),
        text("seven"),
        text("-1"),
        text("{\"n\":1}"),
        text("1 2"),
        Frame::Binary(vec![0xff, 0xfe]),
        Frame::Binary(Vec::new()),
        text("x".repeat(1 << 20)),
    ];
    for frame in bad {
        let shown = format!("{frame:?}").chars().take(60).collect::<String>();
        let server = Server::new([], Answer::Accepts);
        let (_outbox, stream) = socket(&cx, &server, quiet()).await?;
        let script = async {
            sleep(ms(10)).await;
            server.sends(text(1));
            server.sends(frame);
            server.sends(text(2));
        };
        let (seen, ()) = cx.call(SOCKET, join(observed(5_000, stream), script)).await?.value;
        seen.ensure(
            &events([(0, "connected 1"), (10, "1"), (10, "bad frame"), (10, "2")]),
            &format!("1, then a frame that is no number, then 2: {shown}"),
            "report it as `BadFrame`, and go on with the same connection",
        )?;
    }
    // Bytes that are no UTF-8, inside of a string that is JSON otherwise.
    for bytes in [&b"\"\xff\""[..], b"\"a\xc3\"", b"\"\xed\xa0\x80\"", b"\"gr\xfc\xdf\""] {
        let server = Server::new([], Answer::Accepts);
        let (_outbox, stream) = socket_of::<String>(&cx, &server, quiet()).await?;
        let script = async {
            sleep(ms(10)).await;
            server.sends(Frame::Binary(bytes.to_vec()));
            server.sends(text("\"after\""));
        };
        let (seen, ()) = cx.call(SOCKET, join(observed(1_000, stream), script)).await?.value;
        seen.ensure(
            &events([(0, "connected 1"), (10, "bad frame"), (10, "after")]),
            &format!("a string whose bytes {bytes:?} are no UTF-8"),
            "JSON is UTF-8: do not replace bytes that are not, report a `BadFrame`",
        )?;
    }
    Ok(())
}

pub async fn answers_pings_and_hides_pongs(cx: Cx) -> Outcome {
    let server = Server::new([], Answer::Accepts);
    let (_outbox, stream) = socket(&cx, &server, quiet()).await?;
    let script = async {
        sleep(ms(10)).await;
        server.sends(Frame::Ping(b"7".to_vec()));
        server.sends(Frame::Pong(b"8".to_vec()));
        server.sends(text(9));
        sleep(ms(10)).await;
        server.sends(Frame::Ping(Vec::new()));
    };
    let (seen, ()) = cx.call(SOCKET, join(observed(1_000, stream), script)).await?.value;
    seen.ensure(
        &events([(0, "connected 1"), (10, "9")]),
        "a ping, a pong and a message from the server",
        "neither a ping nor a pong is a message",
    )?;
    let expected = [(10, Frame::Pong(b"7".to_vec())), (20, Frame::Pong(Vec::new()))];
    ensure_eq!(server.sent_at(0), expected, "two pings from the server; what it gets"; help = "a pong with the bytes of the ping, at once");
    Ok(())
}

/// When the first connection got a ping.
fn pings(server: &Server) -> Vec<u64> {
    let sent = server.sent_at(0).into_iter();
    sent.filter(|(_, frame)| matches!(frame, Frame::Ping(_))).map(|(at, _)| at).collect()
}

pub async fn silence_is_the_end(cx: Cx) -> Outcome {
    const HELP: &str = "a ping when nothing has come for 30 s; the end when nothing comes for 10 s after it. Any frame is a sign of life";
    let server = Server::new([], Answer::Accepts);
    let (_outbox, stream) = socket(&cx, &server, Config::default()).await?;
    let seen = cx.call(SOCKET, observed(70_000, stream)).await?.value;
    seen.ensure(
        &events([(0, "connected 1"), (40_000, "failed 1, 1000 ms"), (41_000, "connected 2")]),
        "a server that says nothing",
        HELP,
    )?;
    let frames: Vec<_> = server
        .sent_at(0)
        .into_iter()
        .map(|(at, frame)| (at, matches!(frame, Frame::Ping(_))))
        .collect();
    ensure_eq!(frames, [(30_000, true)], "a server that says nothing; what it gets, and whether it is a ping"; help = HELP);
    // What the client sends is no sign of life, before the ping and after it.
    let server = Server::new([], Answer::Accepts);
    let (outbox, stream) = socket(&cx, &server, Config::default()).await?;
    let script = async {
        for number in 0..5 {
            sleep(s(7)).await;
            let _ = outbox.send(text(number));
        }
    };
    let (seen, ()) = cx.call(SOCKET, join(observed(40_500, stream), script)).await?.value;
    seen.ensure(
        &events([(0, "connected 1"), (40_000, "failed 1, 1000 ms")]),
        "a server that says nothing, and a frame of the outbox every 7 s",
        "only what comes is a sign of life: what the client writes says nothing about the server",
    )?;
    ensure_eq!(pings(&server), [30_000], "a server that says nothing, and a frame of the outbox every 7 s: when it gets a ping"; help = HELP);
    // Each kind of frame keeps the connection alive, at the last moment too.
    for frame in [
        text(1),
        text("no number"),
        Frame::Binary(vec![b'1']),
        Frame::Binary(vec![0xff]),
        Frame::Ping(vec![1]),
        Frame::Pong(Vec::new()),
    ] {
        let server = Server::new([], Answer::Accepts);
        let (_outbox, stream) = socket(&cx, &server, Config::default()).await?;
        let script = async {
            for after in [29_999, 39_999, 15_000] {
                sleep(ms(after)).await;
                server.sends(frame.clone());
            }
        };
        // 29 999, 69 998 and 84 998 ms: the end is 40 s after the last one.
        let (_, ()) = cx.call(SOCKET, join(observed(124_998, stream), script)).await?.value;
        ensure!(server.connects().len() == 1, "a server sends {frame:?} 30 s and 40 s after a frame, less a millisecond: {} connects in 124.998 s", server.connects().len();
            expected = "1", help = HELP);
        ensure_eq!(pings(&server), [59_999, 114_998], "a server sends {frame:?} at 29.999, 69.998 and 84.998 s: the pings in 124.998 s"; help = HELP);
    }
    // Other times than those of the default.
    let (every, pong) = (cx.draw().between(1..=20_000), cx.draw().between(1..=20_000));
    for (every, pong) in [(every, pong), (5_000, 45_000), (1, 1)] {
        let server = Server::new([], Answer::Accepts);
        let config =
            Config { ping_every: Some(ms(every)), pong_timeout: ms(pong), ..Config::default() };
        let (_outbox, stream) = socket(&cx, &server, config).await?;
        let seen = cx.call(SOCKET, observed(every + pong + 500, stream)).await?.value;
        seen.ensure(
            &events([(0, "connected 1"), (every + pong, "failed 1, 1000 ms")]),
            &format!("a server that says nothing; `ping_every` is {every} ms and `pong_timeout` {pong} ms"),
            HELP,
        )?;
        ensure_eq!(pings(&server), [every], "the same: when it gets a ping"; help = HELP);
    }
    a_late_reader_hears_what_came(&cx).await
}

/// A reader that is busy elsewhere for a minute or more. What has come meanwhile is a sign of life, and a server gets
/// its time after the ping.
async fn a_late_reader_hears_what_came(cx: &Cx) -> Outcome {
    const HELP: &str = "read what has come before you look at the time: a frame that lies there unread has come in time. The time after a ping begins when the ping is sent";
    let back = cx.draw().between(45_000..=500_000);
    for frame in [text(1), Frame::Binary(vec![0xff]), Frame::Ping(vec![1]), Frame::Pong(Vec::new())]
    {
        // Until when the reader polls, when the frame comes, when the reader is back.
        for (polls, comes, back) in
            [(35_000, 36_000, 55_000), (35_000, 39_999, back), (10, 20_000, back)]
        {
            let server = Server::new([], Answer::Accepts);
            let (_outbox, mut stream) = socket(cx, &server, Config::default()).await?;
            let sends = async {
                sleep(ms(comes)).await;
                server.sends(frame.clone());
            };
            let reads = async {
                observed(polls, &mut stream).await;
                sleep(ms(back - polls)).await;
                observed(9_000, &mut stream).await;
            };
            cx.call(SOCKET, join(sends, reads)).await?;
            let connects = server.connects().len();
            ensure!(connects == 1, "a reader polls until {polls} ms and then from {back} ms on, and the server sends {frame:?} at {comes} ms: {connects} connects in the 9 s after that";
                expected = "1: the connection is open", help = HELP);
        }
    }
    // Nothing has come: there is a ping first.
    let server = Server::new([], Answer::Accepts);
    let (_outbox, mut stream) = socket(cx, &server, Config::default()).await?;
    let reads = async {
        observed(10, &mut stream).await;
        sleep(ms(back - 10)).await;
        observed(20_500, &mut stream).await
    };
    let answers = async {
        sleep(ms(back + 9_000)).await;
        server.sends(Frame::Pong(Vec::new()));
    };
    let (seen, ()) = cx.call(SOCKET, join(reads, answers)).await?.value;
    ensure!(pings(&server) == [back] && server.connects().len() == 1, "a reader polls until 10 ms and then from {back} ms on, and the server sends nothing before a pong 9 s later: pings at {:?} ms", pings(&server);
        expected = format!("a ping at {back} ms, and an open connection"), observed = format!("{:?}", seen.marks()), help = HELP);
    Ok(())
}

pub async fn hello_comes_first(cx: Cx) -> Outcome {
    let hello = vec![text("token"), Frame::Binary(vec![7])];
    let server = Server::new([], Answer::Accepts);
    let config = Config { hello: hello.clone(), ..quiet() };
    let (outbox, stream) = socket(&cx, &server, config).await?;
    let accepted = outbox.send(text("early"));
    ensure!(accepted.is_ok(), "a frame before there is a connection is not accepted");
    let script = async {
        sleep(s(5)).await;
        server.closes();
        sleep(ms(500)).await;
        let _ = outbox.send(text("between"));
        sleep(s(5)).await;
    };
    cx.call(SOCKET, join(observed(20_000, stream), script)).await?;
    for (connection, after) in ["early", "between"].into_iter().enumerate() {
        let mut expected = hello.clone();
        expected.push(text(after));
        ensure_eq!(server.sent(connection), expected, "two frames of `hello`, and one of the outbox: connection {}", connection + 1;
            help = "`hello` is sent first, on every connection");
    }
    Ok(())
}

pub async fn queues_while_there_is_no_connection(cx: Cx) -> Outcome {
    let server = Server::new([Answer::Refuses], Answer::Accepts);
    let config = Config { outbox: nz(3), ..quiet() };
    let (outbox, stream) = socket(&cx, &server, config).await?;
    for number in 1..=3 {
        let accepted = outbox.send(text(number));
        ensure!(accepted.is_ok(), "an outbox for 3 frames refuses frame {number}, without a connection"; expected = "it waits for a connection");
    }
    let refused = outbox.send(text(4));
    ensure_eq!(refused, Err(SendError::Full(text(4))), "the fourth frame for an outbox of 3"; help = "refuse it, and return it");
    let other = outbox.clone();
    let script = async {
        sleep(s(2)).await;
        let now = other.send(text(5));
        sleep(s(2)).await;
        now
    };
    let (_, accepted) = cx.call(SOCKET, join(observed(10_000, stream), script)).await?.value;
    ensure_eq!(accepted, Ok(()), "a frame when the three before it were sent");
    let expected = [(1_000, text(1)), (1_000, text(2)), (1_000, text(3)), (2_000, text(5))];
    ensure_eq!(server.sent_at(0), expected, "three frames before a connection at 1000 ms, and one at 2000 ms"; help = "in the order in which they were accepted");
    a_lost_connection_takes_none_along(&cx).await?;
    a_flood_holds_up_none(&cx).await
}

/// Frames wait behind one that cannot be written: the next connection gets them, in their order.
async fn a_lost_connection_takes_none_along(cx: &Cx) -> Outcome {
    let count = 4 + cx.draw().index(20);
    for part in [Part::Start, Part::Ready, Part::Flush] {
        let server = Server::new([], Answer::Accepts);
        let (outbox, stream) = socket(cx, &server, quiet()).await?;
        let script = async {
            sleep(s(1)).await;
            server.breaks_after(0, part);
            for number in 1..=count {
                let _ = outbox.send(text(number));
            }
        };
        cx.call(SOCKET, join(observed(20_000, stream), script)).await?;
        // What becomes of the one that could not be written is another criterion.
        let sent: Vec<_> = server.sent(1).into_iter().filter(|it| *it != text(1)).collect();
        let expected: Vec<_> = (2..=count).map(text).collect();
        ensure_eq!(sent, expected, "{count} frames are accepted, and the connection fails when the first one is written: what the next connection gets of the others";
            help = "take a frame out of the queue when it is written, and not before: what waits there outlives each connection");
    }
    Ok(())
}

/// A server that sends without a pause: accepted frames go out beside its messages.
async fn a_flood_holds_up_none(cx: &Cx) -> Outcome {
    const MESSAGES: usize = 2_000;
    let server = Server::new([], Answer::Accepts);
    let (outbox, mut stream) = socket(cx, &server, quiet()).await?;
    let script = async {
        let _ = stream.next().await;
        server.floods(text(7));
        let mut came = 0;
        for number in 0..MESSAGES {
            if number % 500 == 0 {
                let _ = outbox.send(text(number));
            }
            came += usize::from(matches!(stream.next().await, Some(Ok(Event::Message(7)))));
        }
        came
    };
    let came = cx.call(SOCKET, script).await?.value;
    ensure!(
        came == MESSAGES,
        "a server that sends one message behind the other: of {MESSAGES} items, {came} are its messages"
    );
    let expected: Vec<_> = (0..MESSAGES).step_by(500).map(text).collect();
    ensure_eq!(server.sent(0), expected, "a server that sends one message behind the other, without a pause, and a frame is accepted before every 500th of {MESSAGES}: what is sent meanwhile";
        help = "look at the queue for each message that comes: a `select!` that prefers to read never writes while something comes");
    Ok(())
}
