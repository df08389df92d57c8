//! Connections that fail, and what follows.

use std::time::Duration;

use futures::StreamExt as _;
use futures::future::join;
use grader_kit::marbles::Marbles;
use grader_kit::{Cx, Outcome, ensure, ensure_eq, ms};
use level4::socket::{Config, ConfigError, Event, Frame, GaveUp, LONGEST, SendError, WireError};
use tokio::time::{sleep, timeout};

use super::{SOCKET, events, observed, quiet, s, socket, text};
use crate::ops::nz;
use crate::server::{Answer, Server};

pub async fn reconnects_with_growing_waits(cx: Cx) -> Outcome {
    let server = Server::new([], Answer::Refuses);
    let config = Config { max_attempts: 4, ..quiet() };
    let (_outbox, stream) = socket(&cx, &server, config).await?;
    let seen = cx.call(SOCKET, observed(14_000, stream)).await?.value;
    let expected = [
        (0, "failed 1, 1000 ms"),
        (1_000, "failed 2, 2000 ms"),
        (3_000, "failed 3, 4000 ms"),
        (7_000, "failed 4, 8000 ms"),
    ];
    seen.ensure(
        &events(expected),
        "a server that refuses: what happens",
        "say `Reconnecting` before each wait; the first wait is 1 s, each further one twice as long",
    )?;
    ensure_eq!(
        server.connects(),
        [0, 1_000, 3_000, 7_000],
        "a server that refuses: when it was asked in 14 s"
    );
    // Factors that are no whole number, and waits of parts of a second.
    for (first_delay, factor, waits) in [
        (s(2), 1.5, [2_000, 3_000, 4_500, 6_750, 10_125]),
        (ms(512), 1.25, [512, 640, 800, 1_000, 1_250]),
        (ms(250), 2.0, [250, 500, 1_000, 2_000, 4_000]),
    ] {
        let server = Server::new([], Answer::Refuses);
        let config = Config { max_attempts: 5, first_delay, factor, ..quiet() };
        let (_outbox, mut stream) = socket(&cx, &server, config).await?;
        let reads = async {
            let mut named = Vec::new();
            while let Some(Ok(item)) = stream.next().await {
                if let Event::Reconnecting { delay, .. } = item {
                    named.push(delay.as_millis() as u64);
                }
            }
            named
        };
        let named = cx.call(SOCKET, reads).await?.value;
        let settings = format!("first {first_delay:?}, factor {factor:?}");
        ensure_eq!(named, waits, "the waits in milliseconds: {settings}";
            help = "each wait is `factor` times as long as the one before: calculate in parts of a second");
        let begun = server.connects();
        let waited: Vec<_> = begun.windows(2).map(|pair| pair[1] - pair[0]).collect();
        ensure!(waited == waits, "the time between two connects is another one than the events say: {settings}";
            expected = format!("{waits:?}"), observed = format!("{waited:?}"), help = "wait as long as `Reconnecting` says");
    }
    // It comes back: the socket is open, and says which attempt it was.
    let server = Server::new([Answer::Refuses, Answer::Refuses], Answer::Accepts);
    let (_outbox, stream) = socket(&cx, &server, quiet()).await?;
    let seen = cx.call(SOCKET, observed(14_000, stream)).await?.value;
    seen.ensure(
        &events([(0, "failed 1, 1000 ms"), (1_000, "failed 2, 2000 ms"), (3_000, "connected 3")]),
        "a server that refuses twice and then accepts",
        "a connection ends the waits",
    )?;
    Ok(())
}

pub async fn gives_up_after_its_attempts(cx: Cx) -> Outcome {
    for attempts in [0, 1, 5] {
        let server = Server::new([], Answer::Refuses);
        let config = Config { max_attempts: attempts, outbox: nz(1), ..quiet() };
        let (outbox, mut stream) = socket(&cx, &server, config).await?;
        // With a frame that waits: the outbox of one frame is full when the socket gives up.
        let waiting = Frame::Text("waits".to_owned());
        let _ = outbox.send(waiting.clone());
        let reads = async {
            while let Some(item) = stream.next().await {
                if let Err(gave_up) = item {
                    // Before the end is read.
                    let refused = outbox.send(waiting.clone());
                    return stream.next().await.is_none().then_some((gave_up, refused));
                }
            }
            None
        };
        let Some((gave_up, refused)) = cx.call(SOCKET, reads).await?.value else {
            ensure!(false, "a server that refuses, and {attempts} attempts: the stream does not end with GaveUp"; expected = "one GaveUp, then the end");
            return Ok(());
        };
        let connects = server.connects().len();
        ensure!(connects == attempts as usize + 1, "{attempts} attempts after failures: {connects} connects"; expected = format!("{}: the first one and {attempts} more", attempts + 1));
        ensure_eq!(
            gave_up.failures,
            attempts + 1,
            "the failures that GaveUp names, with {attempts} attempts"
        );
        ensure!(gave_up.last.to_string() == "refused", "GaveUp does not have the last error"; expected = "refused", observed = gave_up.last.to_string());
        let expected = Err(SendError::Closed(waiting.clone()));
        let after = "the full outbox is asked once more right after GaveUp, before the end is read";
        ensure_eq!(refused, expected, "{after}"; help = "close the queue in the step that yields GaveUp");
        let expected = Err(SendError::Closed(waiting.clone()));
        ensure_eq!(outbox.send(waiting.clone()), expected, "a frame for a socket that has ended");
        sleep(s(1000)).await;
        ensure!(server.connects().len() == connects, "a connect follows after GaveUp");
    }
    // The last error is that of the connection that was lost.
    for (what, ends) in [
        ("fails with \"reset\"", Some(Server::fails as fn(&Server))),
        ("is closed by the server", Some(Server::closes)),
        ("is silent", None),
    ] {
        let server = Server::new([], Answer::Accepts);
        let config = Config { max_attempts: 0, ..Config::default() };
        let (_outbox, stream) = socket(&cx, &server, config).await?;
        let reads = timeout(s(100), stream.filter_map(async |item| item.err()).collect::<Vec<_>>());
        let script = async {
            sleep(s(10)).await;
            ends.into_iter().for_each(|ends| ends(&server));
        };
        let (gave_up, ()) = cx.call(SOCKET, join(reads, script)).await?.value;
        let gave_up = gave_up.unwrap_or_default();
        let fine = match gave_up.as_slice() {
            [GaveUp { failures: 1, last: WireError::Failed(text) }] => {
                what.starts_with("fails") && text.contains("reset")
            }
            [GaveUp { failures: 1, last: WireError::Closed }] => what.contains("closed"),
            [GaveUp { failures: 1, last: WireError::Silent }] => what.contains("silent"),
            _ => false,
        };
        ensure!(fine, "a connection that {what}, and 0 attempts: what the stream yields at the end, within 100 s";
            expected = "one GaveUp with this failure as the last one", observed = format!("{gave_up:?}"),
            help = "GaveUp names what has ended the last connection");
    }
    Ok(())
}

pub async fn an_error_is_not_the_end(cx: Cx) -> Outcome {
    for (what, clean) in [("fails", false), ("is closed by the server", true)] {
        let server = Server::new([], Answer::Accepts);
        let (_outbox, stream) = socket(&cx, &server, quiet()).await?;
        let script = async {
            sleep(s(10)).await;
            server.sends(Frame::Text("1".to_owned()));
            if clean {
                server.closes()
            } else {
                server.fails()
            }
            sleep(s(10)).await;
            server.sends(Frame::Text("2".to_owned()));
        };
        let (seen, ()) = cx.call(SOCKET, join(observed(60_000, stream), script)).await?.value;
        seen.ensure(
            &events([
                (0, "connected 1"),
                (10_000, "1"),
                (10_000, "failed 1, 1000 ms"),
                (11_000, "connected 2"),
                (20_000, "2"),
            ]),
            &format!("a connection that {what}"),
            "the end of a connection is a failure, and not the end of the socket",
        )?;
    }
    Ok(())
}

pub async fn stops_when_dropped(cx: Cx) -> Outcome {
    let cases = [
        ("while it connects", Answer::AcceptsAfter(5_000), 3_000),
        ("while it is open", Answer::Accepts, 3_000),
        ("while it waits", Answer::Refuses, 2_000),
    ];
    for (what, answer, at) in cases {
        let server = Server::new([], answer);
        let config = Config { outbox: nz(1), ..Config::default() };
        let (outbox, stream) = socket(&cx, &server, config).await?;
        cx.call(SOCKET, observed(at, stream)).await?;
        let (connects, alive) = (server.connects().len(), server.alive());
        ensure!(alive == 0, "a socket was dropped {what}, and {alive} connections are alive"; expected = "0");
        sleep(s(1_000)).await;
        ensure!(server.connects().len() == connects, "a socket was dropped {what}, and connects later";
            help = "no task: all that a socket does, it does inside of its polls");
        // The second one would be refused as `Full` if the queue were still there.
        for number in 1..=2 {
            let frame = Frame::Text(number.to_string());
            let refused = outbox.send(frame.clone());
            ensure_eq!(
                refused,
                Err(SendError::Closed(frame)),
                "a socket was dropped {what}; a frame for its outbox"
            );
        }
    }
    Ok(())
}

pub async fn counts_until_a_connection_is_stable(cx: Cx) -> Outcome {
    const HELP: &str =
        "set the count to zero when a connection was open for `stable_after`, not when it opens";
    // A server that accepts and closes at once.
    let server = Server::new([], Answer::ClosesAfter(0));
    let (_outbox, stream) = socket(&cx, &server, Config { max_attempts: 3, ..quiet() }).await?;
    let seen = cx.call(SOCKET, observed(60_000, stream)).await?.value;
    let expected = [
        (0, "connected 1"),
        (0, "failed 1, 1000 ms"),
        (1_000, "connected 2"),
        (1_000, "failed 2, 2000 ms"),
        (3_000, "connected 3"),
        (3_000, "failed 3, 4000 ms"),
        (7_000, "connected 4"),
        (7_000, "gave up 4"),
        (7_000, "|"),
    ];
    seen.ensure(
        &events(expected),
        "a server that accepts and closes at once, and 3 attempts",
        HELP,
    )?;
    // What comes and goes on a connection does not make it good.
    let config = Config { stable_after: s(3600), ..Config::default() };
    for what in ["a message", "a ping", "a pong", "a sent frame"] {
        let server = Server::new([Answer::Refuses], Answer::Accepts);
        let (outbox, stream) = socket(&cx, &server, config.clone()).await?;
        let script = async {
            sleep(s(11)).await;
            match what {
                "a message" => server.sends(text(7)),
                "a ping" => server.sends(Frame::Ping(vec![7])),
                "a pong" => server.sends(Frame::Pong(vec![7])),
                _ => {
                    let _ = outbox.send(text(7));
                }
            }
            sleep(s(10)).await;
            server.closes();
        };
        let (seen, ()) = cx.call(SOCKET, join(observed(22_000, stream), script)).await?.value;
        let seen = Marbles::at(seen.marks().iter().filter(|(at, _)| *at != 11_000).cloned());
        let expected =
            [(0, "failed 1, 1000 ms"), (1_000, "connected 2"), (21_000, "failed 2, 2000 ms")];
        seen.ensure(
            &events(expected),
            &format!("a refused connect, then a connection of 20 s with {what}, and `stable_after` is an hour"),
            "only a connection that was open for `stable_after` sets the count to zero, whatever came on it",
        )?;
    }
    // The time of a connect is no time of the connection.
    let server = Server::new([Answer::Refuses], Answer::AcceptsAfter(50_000));
    let patient = Config { connect_timeout: s(60), ..quiet() };
    let (_outbox, stream) = socket(&cx, &server, patient).await?;
    let script = async {
        sleep(s(71)).await;
        server.closes();
    };
    let (seen, ()) = cx.call(SOCKET, join(observed(72_000, stream), script)).await?.value;
    let expected =
        [(0, "failed 1, 1000 ms"), (51_000, "connected 2"), (71_000, "failed 2, 2000 ms")];
    seen.ensure(
        &events(expected),
        "a refused connect, then one that takes 50 s, and a connection of 20 s, which counts as a success from 60 s on",
        "the time of a connection begins when it is open, not when the connect begins",
    )?;
    // At the boundary.
    for (open, next) in [(59_999, "failed 3, 4000 ms"), (60_000, "failed 1, 1000 ms")] {
        let answers = [Answer::Refuses, Answer::Refuses, Answer::ClosesAfter(open)];
        let server = Server::new(answers, Answer::Accepts);
        let (_outbox, stream) = socket(&cx, &server, quiet()).await?;
        // A message half-way: the time of the connection does not begin again.
        let script = async {
            sleep(s(33)).await;
            server.sends(text(7));
        };
        let (seen, ()) = cx.call(SOCKET, join(observed(3_500 + open, stream), script)).await?.value;
        let expected = [
            (0, "failed 1, 1000 ms"),
            (1_000, "failed 2, 2000 ms"),
            (3_000, "connected 3"),
            (33_000, "7"),
            (3_000 + open, next),
        ];
        seen.ensure(&events(expected), &format!("two failures, then a connection of {open} ms, with a message after 30 s, which counts as a success from 60 s on"), HELP)?;
    }
    Ok(())
}

pub async fn no_wait_is_longer_than_the_longest(cx: Cx) -> Outcome {
    let cases = [
        (s(2), 2.0, s(30), [2, 4, 8, 16, 30, 30]),
        (s(1), 1000.0, s(100), [1, 100, 100, 100, 100, 100]),
        (s(3), 1.0, s(30), [3, 3, 3, 3, 3, 3]),
        (s(50), 2.0, s(7), [7, 7, 7, 7, 7, 7]),
        (s(1), f64::MAX, s(20), [1, 20, 20, 20, 20, 20]),
    ];
    for (first_delay, factor, longest_delay, expected) in cases {
        let server = Server::new([], Answer::Refuses);
        let config = Config { max_attempts: 6, first_delay, factor, longest_delay, ..quiet() };
        let (_outbox, mut stream) = socket(&cx, &server, config).await?;
        let reads = async {
            let mut delays = Vec::new();
            while let Some(Ok(item)) = stream.next().await {
                if let Event::Reconnecting { delay, .. } = item {
                    delays.push(delay.as_secs());
                }
            }
            delays
        };
        let delays = cx.call(SOCKET, reads).await?.value;
        ensure_eq!(
            delays,
            expected,
            "the waits in seconds: first {first_delay:?}, factor {factor:?}, longest {longest_delay:?}"
        );
    }
    Ok(())
}

pub async fn a_connect_has_a_limit(cx: Cx) -> Outcome {
    const HELP: &str =
        "a connect that takes `connect_timeout` has failed: `timeout` around `connect`";
    const NEVER: Answer = Answer::AcceptsAfter(3_600_000);
    // Connects that are never answered.
    let server = Server::new([], NEVER);
    let (_outbox, stream) = socket(&cx, &server, quiet()).await?;
    let script = async {
        sleep(s(30) + ms(500)).await;
        let alive = server.alive();
        sleep(s(60)).await;
        alive
    };
    let (seen, alive) = cx.call(SOCKET, join(observed(70_000, stream), script)).await?.value;
    seen.ensure(
        &events([(30_000, "failed 1, 1000 ms"), (61_000, "failed 2, 2000 ms")]),
        "no connect has an answer, and `connect_timeout` is 30 s",
        HELP,
    )?;
    ensure_eq!(alive, 0, "connects that are still under way during the wait after the first one"; help = "drop a connect that took too long");
    // The last error, with another limit.
    let server = Server::new([], NEVER);
    let config = Config { max_attempts: 0, connect_timeout: ms(700), ..quiet() };
    let (_outbox, mut stream) = socket(&cx, &server, config).await?;
    let call = cx.call(SOCKET, stream.next()).await?;
    let last = GaveUp { failures: 1, last: WireError::TimedOut };
    ensure_eq!(call.value, Some(Err(last)), "a connect has no answer, and no attempt is left");
    ensure_eq!(call.took, ms(700), "a connect has no answer, and `connect_timeout` is 700 ms: when the socket gives up"; help = HELP);
    // A connect in time, and a `hello` that is written in time: together they take longer.
    let server = Server::new([], Answer::AcceptsAfter(29_999));
    let (_outbox, stream) = socket(&cx, &server, quiet()).await?;
    let seen = cx.call(SOCKET, observed(60_000, stream)).await?.value;
    seen.ensure(
        &events([(29_999, "connected 1")]),
        "a connect takes 29.999 s, and `connect_timeout` is 30 s",
        "a connect that ends in time is no failure",
    )?;
    let server = Server::new([], Answer::Slow(2_000));
    let hello = ["token", "orders", "prices", "news"].map(text).to_vec();
    let config = Config { hello, connect_timeout: s(5), ..quiet() };
    let (_outbox, stream) = socket(&cx, &server, config).await?;
    let seen = cx.call(SOCKET, observed(60_000, stream)).await?.value;
    seen.ensure(
        &events([(8_000, "connected 1")]),
        "four frames of `hello`, each of which takes 2 s, and `connect_timeout` is 5 s",
        "`connect_timeout` is the time of the connect; each frame of `hello` has its own",
    )
}

pub async fn refuses_bad_settings(cx: Cx) -> Outcome {
    let make = |config: Config| {
        let server = Server::new([], Answer::Accepts);
        cx.call_fn(SOCKET, move || level4::socket::socket::<_, u32>(server, config).map(drop))
    };
    let zero = Duration::ZERO;
    let refused = [
        (Config { first_delay: zero, ..Config::default() }, ConfigError::Zero("first_delay")),
        (Config { stable_after: zero, ..Config::default() }, ConfigError::Zero("stable_after")),
        (
            Config { connect_timeout: zero, ..Config::default() },
            ConfigError::Zero("connect_timeout"),
        ),
        (
            Config { connect_timeout: LONGEST + ms(1), ..Config::default() },
            ConfigError::TooLong("connect_timeout"),
        ),
        (Config { ping_every: Some(zero), ..Config::default() }, ConfigError::Zero("ping_every")),
        (Config { pong_timeout: zero, ..Config::default() }, ConfigError::Zero("pong_timeout")),
        (
            Config { first_delay: Duration::MAX, ..Config::default() },
            ConfigError::TooLong("first_delay"),
        ),
        (
            Config { ping_every: Some(LONGEST + ms(1)), ..Config::default() },
            ConfigError::TooLong("ping_every"),
        ),
        (
            Config { pong_timeout: Duration::MAX, ..Config::default() },
            ConfigError::TooLong("pong_timeout"),
        ),
        (
            Config { longest_delay: Duration::MAX, ..Config::default() },
            ConfigError::TooLong("longest_delay"),
        ),
        (Config { factor: 0.99, ..Config::default() }, ConfigError::Factor),
        (Config { factor: -2.0, ..Config::default() }, ConfigError::Factor),
        (Config { factor: f64::NAN, ..Config::default() }, ConfigError::Factor),
        (Config { factor: f64::INFINITY, ..Config::default() }, ConfigError::Factor),
    ];
    for (config, expected) in refused {
        let shown = format!("{config:?}");
        let made = make(config).await?;
        ensure_eq!(made, Err(expected), "the settings {shown}");
    }
    let nano = Duration::from_nanos(1);
    let accepted = [
        Config::default(),
        Config {
            first_delay: nano,
            connect_timeout: nano,
            stable_after: nano,
            ping_every: Some(nano),
            pong_timeout: nano,
            ..Config::default()
        },
        Config {
            first_delay: LONGEST,
            connect_timeout: LONGEST,
            stable_after: LONGEST,
            ping_every: Some(LONGEST),
            pong_timeout: LONGEST,
            longest_delay: LONGEST,
            ..Config::default()
        },
        Config {
            max_attempts: u32::MAX,
            longest_delay: zero,
            factor: f64::MAX,
            ..Config::default()
        },
    ];
    for config in accepted {
        let shown = format!("{config:?}");
        let made = make(config).await?;
        ensure_eq!(made, Ok(()), "the settings {shown}");
    }
    Ok(())
}
