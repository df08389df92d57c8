//! Who reads, and what runs for them.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use std::time::Duration;

use futures::future::{join, join3};
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use grader_kit::{Cx, Fail, Outcome, dropped_at, ensure, ensure_eq, lock, ms};
use level4::realtime::Status;
use level4::socket::{Config, ConfigError};
use tokio::time::{sleep, timeout};

use super::fakes::{Answer, Api, Copies, insert};
use super::{OPEN, made, s, scene, scene_with, seen, settings, states, watch};
use crate::ops::NEWEST_WAKER;
use crate::panics::Payload;
use crate::server::{self, Server};

pub async fn two_readers_share_a_connection(cx: Cx) -> Outcome {
    const HELP: &str = "readers of one list join one run: one socket, one snapshot";
    let scene = scene(&cx, Api::with("1a")).await?;
    let (server, other) = (scene.server.clone(), scene.list.clone());
    let late = async {
        sleep(ms(500)).await;
        seen(600, other.open()).await
    };
    let script = async {
        sleep(ms(800)).await;
        server.sends(insert(4, "2b"));
        server.connects().len()
    };
    let all = join3(join(seen(1_200, scene.list.open()), seen(1_200, other.open())), late, script);
    let ((one, two), late, _) = cx.call(OPEN, all).await?.value;
    ensure_eq!((server.connects(), scene.api.calls()), (vec![0], vec![0]), "two readers at 0 ms and one at 500 ms: when they connect, and when they ask for a snapshot"; help = HELP);
    let expected = [(0, "connecting"), (50, "live 3: 1a"), (800, "live 4: 1a 2b")];
    for (reader, observed) in [("first", one), ("second", two)] {
        observed.ensure(&states(expected), &format!("two readers: the {reader} one"), HELP)?;
    }
    late.ensure(
        &states([(0, "live 3: 1a"), (300, "live 4: 1a 2b")]),
        "a reader that comes when the list is live",
        "it sees at once what is known",
    )?;
    // Readers in tasks of their own: each is polled only when it was woken itself.
    let script = async {
        sleep(ms(100)).await;
        server.sends(insert(5, "3c"));
        sleep(ms(100)).await;
        server.closes();
        sleep(ms(1_200)).await;
        server.sends(insert(6, "4d"));
    };
    let readers: FuturesUnordered<_> = (0..5).map(|_| seen(2_000, scene.list.open())).collect();
    let (all, ()) = cx.call(OPEN, join(readers.collect::<Vec<_>>(), script)).await?.value;
    let expected = [
        (0, "connecting 4: 1a 2b"),
        (50, "live 3: 1a"),
        (100, "live 5: 1a 3c"),
        (200, "connecting 5: 1a 3c"),
        (1_250, "live 3: 1a"),
        (1_400, "live 6: 1a 4d"),
    ];
    for observed in all {
        observed.ensure(
            &states(expected),
            "one of five readers, each in a task of its own",
            "a change wakes all readers",
        )?;
    }
    // One that is not polled any more holds up none.
    let held = scene.list.open();
    let mut held = Box::pin(held);
    let _ = cx.call(OPEN, timeout(ms(100), held.next())).await?;
    let watched = watch(&cx, &scene.list, 500, async {
        sleep(ms(200)).await;
        server.sends(insert(9, "9z"));
    })
    .await?;
    let shown = watched.marks().last().map(|(at, _)| *at);
    ensure!(shown == Some(200), "a reader that is not polled any more, beside one that is: what the other one sees of an update at 200 ms comes at {shown:?} ms"; expected = "at 200 ms", help = "any reader drives the run");
    Ok(())
}

pub async fn the_last_reader_closes(cx: Cx) -> Outcome {
    const HELP: &str =
        "the run lives as long as a reader, and is dropped with the last one: no task";
    let scene1 = scene(&cx, Api::with("1a")).await?;
    let before = cx.alive_tasks();
    let alive = async {
        let both = join(seen(300, scene1.list.open()), seen(600, scene1.list.open()));
        let looks = async {
            sleep(ms(450)).await;
            scene1.server.alive()
        };
        join(both, looks).await.1
    };
    let during = cx.call(OPEN, alive).await?.value;
    ensure!(during == 1, "the first of two readers was dropped, and {during} connections are alive"; expected = "1");
    ensure!(scene1.server.alive() == 0, "the last reader was dropped, and a connection is alive"; expected = "none", help = HELP);
    ensure!(cx.alive_tasks() <= before, "the last reader was dropped, and a task is left"; help = HELP);
    let now = scene1.list.now();
    ensure!(now.status == Status::Connecting && now.items.is_some(), "the last reader was dropped: the status is {:?}, items: {}", now.status, now.items.is_some(); expected = "Connecting, with the items from before");
    let connects = scene1.server.connects();
    sleep(s(1_000)).await;
    ensure_eq!(scene1.server.connects(), connects, "the last reader was dropped; all connects 1000 s later"; help = HELP);
    // During a snapshot, and during a wait for one.
    for (what, api, at) in [
        ("while a snapshot is on its way", Api::new([], Answer::List(5_000, 3, "1a")), 2_000),
        ("while it waits for the next attempt", Api::failing(), 500),
    ] {
        let scene = scene(&cx, api).await?;
        let all = async { scene.list.open().for_each(|_| async {}).await };
        dropped_at(&cx, OPEN, at, all).await?;
        let calls = scene.api.calls().len();
        ensure!(scene.api.running() == 0 && scene.server.alive() == 0, "the last reader was dropped {what}: {} calls and {} connections are alive", scene.api.running(), scene.server.alive(); expected = "none", help = HELP);
        sleep(s(1_000)).await;
        ensure!(scene.api.calls().len() == calls, "the last reader was dropped {what}, and a snapshot is asked for later"; help = HELP);
    }
    a_reader_begins_while_the_last_one_is_dropped(&cx).await
}

/// A page is closed, and the next one is opened while its call for a snapshot is being dropped.
async fn a_reader_begins_while_the_last_one_is_dropped(cx: &Cx) -> Outcome {
    const HELP: &str = "number the runs: one that is dropped changes the status only if no other run has begun since";
    // The first call is dropped; the second one ends in the poll in which it begins.
    let api = Api::new([Answer::List(1_000, 3, "1a")], Answer::List(0, 4, "1a 2b"));
    let scene = scene(cx, api).await?;
    let (opens, opened) = (scene.list.clone(), Arc::new(Mutex::new(None)));
    let keeps = Arc::clone(&opened);
    scene.api.when_dropped(move || {
        let mut states = opens.open();
        let mut context = Context::from_waker(Waker::noop());
        // A reader that is polled until there is nothing new.
        while states.poll_next_unpin(&mut context).is_ready() {}
        *lock(&keeps) = Some(states.boxed());
    });
    let all = async { scene.list.open().for_each(|_| async {}).await };
    dropped_at(cx, OPEN, 500, all).await?;
    let states = lock(&opened).take();
    let Some(states) = states else {
        return Err(Fail::new("the call for a snapshot is not dropped with the last reader"));
    };
    let server = scene.server.clone();
    let script = async {
        sleep(ms(100)).await;
        server.sends(insert(5, "3c"));
    };
    cx.call(OPEN, join(seen(300, states), script)).await?;
    // The reader is gone again, so only the items tell what it has seen.
    let now = scene.list.now();
    let items: Vec<_> = now.items.iter().flat_map(|items| items.iter()).collect();
    ensure!(now.version == 5 && items.len() == 3, "a reader began while the last one before it was being dropped, and an update came: version {}, {} items", now.version, items.len(); expected = "version 5, 3 items: the list of the new reader is live", help = HELP);
    Ok(())
}

pub async fn a_new_reader_begins_again(cx: Cx) -> Outcome {
    const HELP: &str = "each run has a socket of its own, whose count of failures begins at zero";
    let mut settings = settings();
    settings.socket = Config { max_attempts: 2, ..settings.socket };
    let server = Server::new([], server::Answer::Refuses);
    // Without an answer: asking too early is another criterion's business.
    let api = Api::new([], Answer::List(1_000_000, 3, "1a"));
    let scene = scene_with(&cx, (server.clone(), api, Copies::new()), settings).await?;
    for round in 1..=2_usize {
        let observed = watch(&cx, &scene.list, 60_000, async {}).await?;
        let expected = [(0, "connecting"), (3_000, "gave up"), (3_000, "|")];
        observed.ensure(
            &states(expected),
            &format!("a server that refuses, and two further attempts: reader {round}"),
            "`GaveUp` is the last state, and then the stream ends",
        )?;
        ensure!(server.connects().len() == 3 * round, "reader {round}: {} connects in all", server.connects().len(); expected = (3 * round).to_string(), help = HELP);
    }
    Ok(())
}

pub async fn refuses_bad_settings(cx: Cx) -> Outcome {
    let server = Server::new([], server::Answer::Accepts);
    let (api, copies) = (Api::with("1a"), Copies::new());
    let with = |socket: Config| {
        let mut settings = settings();
        settings.socket = socket;
        settings
    };
    for (socket, expected) in [
        (
            Config { first_delay: Duration::ZERO, ..Config::default() },
            Err(ConfigError::Zero("first_delay")),
        ),
        (
            Config { pong_timeout: Duration::MAX, ..Config::default() },
            Err(ConfigError::TooLong("pong_timeout")),
        ),
        (Config { factor: f64::NAN, ..Config::default() }, Err(ConfigError::Factor)),
        (Config::default(), Ok(())),
    ] {
        let what = format!("{socket:?}");
        let made = made(&cx, (&server, &api, &copies), with(socket)).await?.map(drop);
        ensure_eq!(made, expected, "a list whose socket has the settings {what}"; help = "`socket` says it when it is made; nothing connects before it is polled");
    }
    ensure!(server.connects().is_empty(), "a list was made, and has connected");
    Ok(())
}

pub async fn begins_with_the_first_poll(cx: Cx) -> Outcome {
    let scene = scene(&cx, Api::with("1a")).await?;
    let reader = cx.call_fn(OPEN, || scene.list.open()).await?;
    sleep(s(1)).await;
    ensure!(scene.server.connects().is_empty(), "a reader that was not polled has connected");
    let observed = cx.call(OPEN, seen(200, reader)).await?.value;
    observed.ensure(
        &states([(0, "connecting"), (50, "live 3: 1a")]),
        "a reader that is polled late",
        "it begins with its first poll",
    )
}

pub async fn a_panic_passes(cx: Cx) -> Outcome {
    for payload in Payload::all(&cx.draw().word()) {
        let answers = [Answer::Panics(50, payload.clone())];
        let scene = scene(&cx, Api::new(answers, Answer::List(50, 3, "1a"))).await?;
        let all = async { scene.list.open().for_each(|_| async {}).await };
        let caught = cx.call(OPEN, AssertUnwindSafe(all).catch_unwind()).await?.value;
        ensure!(caught.is_err(), "a panic of the service does not reach the reader");
        ensure!(scene.server.alive() == 0, "a panic of the service, and a connection is alive");
        let observed = watch(&cx, &scene.list, 200, async {}).await?;
        observed.ensure(
            &states([(0, "connecting"), (50, "live 3: 1a")]),
            "a reader after a panic of the service",
            "it begins again",
        )?;
    }
    Ok(())
}

pub async fn waits_without_looking(cx: Cx) -> Outcome {
    let answers = [Answer::Fails(50), Answer::List(30_000, 3, "1a")];
    let scene = scene(&cx, Api::new(answers, Answer::Fails(50))).await?;
    let mut reader = scene.list.open();
    let reads = async { while let Ok(Some(_)) = timeout(s(200), reader.next()).await {} };
    let call = cx.call(OPEN, reads).await?;
    ensure!(call.polls < 100, "a snapshot that takes 30 s and a connection that is silent for 200 s take {} polls", call.polls;
        expected = "a few", help = "`select!` over what can happen next");
    // A reader that one task has polled and another one awaits, alone and beside another reader.
    for others in [0, 1] {
        let scene = self::scene(&cx, Api::with("1a")).await?;
        let mut moved = scene.list.open();
        while moved.next().now_or_never().is_some() {}
        // The other one first: it drives the run.
        let rest = (0..others).map(|_| seen(1_000, scene.list.open()).boxed_local());
        let readers: FuturesUnordered<_> = rest.chain([seen(1_000, moved).boxed_local()]).collect();
        let script = async {
            sleep(ms(300)).await;
            scene.server.sends(insert(4, "2b"));
        };
        let (all, ()) = cx.call(OPEN, join(readers.collect::<Vec<_>>(), script)).await?.value;
        for observed in all {
            let lists = super::lists(&observed);
            lists.ensure(
                &states([(50, "live 3: 1a"), (300, "live 4: 1a 2b")]),
                &format!("a reader that one task has polled and another one awaits, with {others} more: the lists"),
                NEWEST_WAKER,
            )?;
        }
    }
    Ok(())
}
