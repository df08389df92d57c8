//! When a snapshot is asked for, and what is shown without one.

use std::num::{NonZeroU32, NonZeroUsize};

use grader_kit::marbles::Marbles;
use grader_kit::{Cx, Fail, Outcome, ensure, ensure_eq, ms};
use level4::realtime::Settings;
use level4::realtime::retry::Backoff;
use level4::socket::{Config, Frame};
use tokio::time::sleep;

use super::fakes::{Answer, Api, Copies, insert, update};
use super::{Scene, lists, s, scene, scene_with, settings, states, watch};
use crate::server::{self, Server};

pub async fn subscribes_before_it_asks(cx: Cx) -> Outcome {
    const HELP: &str = "an update between a snapshot and the subscription would be lost: ask when the socket says `Connected`, which is after its hello";
    let hello = vec![Frame::Text("subscribe orders".to_owned())];
    let mut settings = settings();
    settings.socket = Config { hello: hello.clone(), ..settings.socket };
    let server = Server::new([server::Answer::Refuses], server::Answer::AcceptsAfter(300));
    let api = Api::with("1a");
    let scene = scene_with(&cx, (server.clone(), api, Copies::new()), settings).await?;
    let seen = watch(&cx, &scene.list, 3_000, async {}).await?;
    ensure_eq!(scene.api.calls(), [1_300], "a server that refuses at 0 ms and accepts at 1300 ms: when a snapshot is asked for"; help = HELP);
    ensure_eq!(server.sent_at(0), [(1_300, hello[0].clone())], "what the server gets"; help = HELP);
    seen.ensure(
        &states([(0, "connecting"), (1_350, "live 3: 1a")]),
        "a server that accepts at 1300 ms",
        HELP,
    )
}

pub async fn a_reconnect_asks_again(cx: Cx) -> Outcome {
    const HELP: &str = "what happened without a connection is missing: each new connection asks for one snapshot, and keeps the updates until it is there";
    let answers = [Answer::List(50, 3, "1a"), Answer::List(50, 9, "7g")];
    let scene1 = scene(&cx, Api::new(answers, Answer::List(50, 20, "2b"))).await?;
    let server = scene1.server.clone();
    let script = async move {
        sleep(s(1)).await;
        server.fails();
        sleep(ms(1_020)).await;
        server.sends(insert(10, "8h"));
        sleep(ms(980)).await;
        server.closes();
    };
    let seen = watch(&cx, &scene1.list, 9_000, script).await?;
    seen.ensure(
        &states([
            (0, "connecting"),
            (50, "live 3: 1a"),
            (1_000, "connecting 3: 1a"),
            (2_050, "live 10: 7g 8h"),
            (3_000, "connecting 10: 7g 8h"),
            (5_050, "live 20: 2b"),
        ]),
        "a connection that fails at 1 s and is back at 2 s, is closed at 3 s and back at 5 s",
        HELP,
    )?;
    ensure_eq!(scene1.api.calls(), [0, 2_000, 5_000], "the same: when a snapshot is asked for"; help = HELP);
    takes_an_older_snapshot(&cx).await?;
    // In the middle of a snapshot.
    let answers = [Answer::List(10_000, 3, "1a")];
    let scene2 = scene(&cx, Api::new(answers, Answer::List(50, 3, "2b"))).await?;
    let (server, api) = (scene2.server.clone(), scene2.api.clone());
    let script = async move {
        sleep(ms(100)).await;
        server.sends(insert(5, "5e"));
        sleep(ms(100)).await;
        server.fails();
        sleep(ms(100)).await;
        api.running()
    };
    let both = futures::future::join(super::seen(20_000, scene2.list.open()), script);
    let (seen, running) = cx.call(super::OPEN, both).await?.value;
    ensure!(running == 0, "a connection is lost while a snapshot is on its way, and the call runs on"; expected = "it is dropped: its answer would be of no use");
    seen.ensure(
        &states([(0, "connecting"), (1_250, "live 3: 2b")]),
        "a connection that is lost while a snapshot is on its way, after an update; the next snapshot is of version 3",
        "what was kept on one connection is not applied on the next one: there is a gap between them",
    )
}

/// A server that was restored from a backup: the snapshot has a lower version than the list from before.
async fn takes_an_older_snapshot(cx: &Cx) -> Outcome {
    let answers = [Answer::List(50, 9, "7g 8h")];
    let scene = scene(cx, Api::new(answers, Answer::List(50, 3, "1a"))).await?;
    let server = scene.server.clone();
    let script = async move {
        sleep(s(1)).await;
        server.fails();
        sleep(s(2)).await;
        server.sends(insert(4, "2b"));
    };
    let seen = watch(cx, &scene.list, 4_000, script).await?;
    lists(&seen).ensure(
        &states([
            (50, "live 9: 7g 8h"),
            (1_000, "connecting 9: 7g 8h"),
            (2_050, "live 3: 1a"),
            (3_000, "live 4: 1a 2b"),
        ]),
        "a list of version 9, a connection that is lost, and a snapshot of version 3 on the next one",
        "a snapshot is the list, whatever its version: a server that was restored counts from a lower one",
    )?;
    keeps_what_is_older_than_the_list(cx, false).await
}

/// An update before a snapshot of a restored server. Where a snapshot fails, the old list follows meanwhile, and another
/// update comes.
async fn keeps_what_is_older_than_the_list(cx: &Cx, fails: bool) -> Outcome {
    let answers = [Answer::List(50, 9, "7g 8h")].into_iter();
    let answers = answers.chain(fails.then_some(Answer::Fails(50)));
    let scene = scene(cx, Api::new(answers, Answer::List(50, 3, "1a"))).await?;
    let server = scene.server.clone();
    let script = async move {
        sleep(s(1)).await;
        server.fails();
        sleep(ms(1_020)).await;
        server.sends(insert(4, "2b"));
        if fails {
            sleep(ms(500)).await;
            server.sends(insert(5, "3c"));
        }
    };
    let seen = watch(cx, &scene.list, 5_000, script).await?;
    let (what, expected) = if fails {
        ("updates 4 and 5, between which a snapshot fails", (3_100, "live 5: 1a 2b 3c"))
    } else {
        ("update 4", (2_050, "live 4: 1a 2b"))
    };
    Marbles::at(seen.marks().last().cloned()).ensure(
        &states([expected]),
        &format!("a list of version 9, a connection that is lost, {what} on the next one, and then a snapshot of version 3: the last state"),
        "keep each update since the connection is there, whatever the version of the list from before: the snapshot decides which of them it contains",
    )
}

pub async fn without_a_list_it_fails(cx: Cx) -> Outcome {
    const HELP: &str = "without a snapshot and without a copy: `Failed`; the connection stays, and its updates are kept";
    let scene = scene(&cx, Api::failing()).await?;
    let server = scene.server.clone();
    let script = async {
        sleep(ms(500)).await;
        server.sends(insert(4, "2b"));
        sleep(ms(100)).await;
        server.alive()
    };
    let both = futures::future::join(super::seen(800, scene.list.open()), script);
    let (seen, alive) = cx.call(super::OPEN, both).await?.value;
    seen.ensure(
        &states([(0, "connecting"), (50, "failed")]),
        "a snapshot that fails after 50 ms, and no copy",
        HELP,
    )?;
    ensure_eq!((alive, server.connects().len()), (1, 1), "the same: connections that are alive, and connects"; help = HELP);
    Ok(())
}

fn twice() -> Result<Settings, Fail> {
    let two = NonZeroU32::MIN.saturating_add(1);
    let snapshots = Backoff::new(s(1), 2.0, s(30), two).map_err(|error| {
        Fail::new(format!("level 3's Backoff::new refuses 1 s doubled up to 30 s: {error}"))
    })?;
    Ok(Settings { snapshots, ..settings() })
}

pub async fn a_snapshot_is_tried_again(cx: Cx) -> Outcome {
    const HELP: &str = "after the failed attempt number n wait for `snapshots.nominal(n)`; the updates since the connection is there are kept for all attempts";
    let answers = [Answer::Fails(50), Answer::Fails(50), Answer::List(50, 4, "1a 4d")];
    let scene = scene(&cx, Api::new(answers, Answer::Fails(50))).await?;
    let server = scene.server.clone();
    let script = async move {
        sleep(ms(20)).await;
        server.sends(insert(4, "4d"));
        sleep(ms(580)).await;
        server.sends(insert(5, "5e"));
        sleep(ms(2_000)).await;
        server.sends(update(6, 1, "x"));
    };
    let seen = watch(&cx, &scene.list, 60_000, script).await?;
    ensure_eq!(scene.api.calls(), [0, 1_050, 3_100], "snapshots that fail twice, after 50 ms each: when they are asked for"; help = HELP);
    lists(&seen).ensure(
        &states([(3_150, "live 6: 1x 4d 5e")]),
        "snapshots that fail twice, and updates between the attempts",
        HELP,
    )?;
    // As many attempts as the schedule has, for each connection.
    let server = Server::new([], server::Answer::Accepts);
    let scene = scene_with(&cx, (server.clone(), Api::failing(), Copies::new()), twice()?).await?;
    let script = async move {
        sleep(s(100)).await;
        server.fails();
    };
    watch(&cx, &scene.list, 200_000, script).await?;
    ensure_eq!(scene.api.calls(), [0, 1_050, 101_000, 102_050], "two attempts, snapshots that fail, and another connection at 101 s: when they are asked for"; help = "the attempts and the waits begin again with each connection");
    keeps_what_a_stale_list_follows(&cx).await?;
    keeps_what_is_older_than_the_list(&cx, true).await
}

/// Updates that a stale list follows are kept for the next snapshot.
async fn keeps_what_a_stale_list_follows(cx: &Cx) -> Outcome {
    let scene = stale(cx, Some(Answer::Fails(50)), Answer::List(50, 5, "1a 5e")).await?;
    let server = scene.server.clone();
    // The connection is back at 301 s, and the snapshot fails at 301.05 s: one update before, one behind it.
    let script = async move {
        sleep(s(300)).await;
        server.fails();
        sleep(ms(1_020)).await;
        server.sends(insert(8, "8y"));
        sleep(ms(480)).await;
        server.sends(insert(9, "9z"));
    };
    let seen = watch(cx, &scene.list, 304_000, script).await?;
    let newest = Marbles::at(seen.marks().last().cloned());
    newest.ensure(
        &states([(302_100, "live 9: 1a 5e 8y 9z")]),
        "a list that is live for 300 s; then the connection is lost, update 8 comes, a snapshot fails, update 9 comes, and the next snapshot is of version 5",
        "an update that a stale list follows is kept for the next snapshot as well, whether it came before the failure or behind it",
    )
}

pub async fn a_list_from_before_is_shown_while_it_is_young(cx: Cx) -> Outcome {
    const HELP: &str = "a list that was live until the connection was lost is as old as the loss";
    let answers = [Answer::List(50, 3, "1a")];
    let server = Server::new([], server::Answer::Accepts);
    let api = Api::new(answers, Answer::Fails(50));
    let settings = Settings { fresh_for: ms(2_000), ..settings() };
    let scene = scene_with(&cx, (server.clone(), api, Copies::broken()), settings).await?;
    let script = async move {
        // An hour without a change is no hour of age.
        sleep(s(300)).await;
        server.fails();
        sleep(ms(1_500)).await;
        server.sends(insert(9, "9z"));
    };
    let seen = watch(&cx, &scene.list, 310_000, script).await?;
    seen.ensure(
        &states([
            (0, "connecting"),
            (50, "live 3: 1a"),
            (300_000, "connecting 3: 1a"),
            (301_050, "stale for 1050 ms 3: 1a"),
            (301_500, "stale for 1050 ms 9: 1a 9z"),
            (302_100, "failed 9: 1a 9z"),
        ]),
        "a list that is live for 300 s; then the connection is lost, and each snapshot fails; a list of less than 2 s is shown",
        HELP,
    )?;
    stays_as_old_as_it_is(&cx).await?;
    is_known_to_the_next_reader(&cx).await
}

/// A list that is loaded once, and shown for 10 s without a connection. Later snapshots have these answers.
async fn stale(cx: &Cx, second: Option<Answer>, then: Answer) -> Result<Scene, Fail> {
    let server = Server::new([], server::Answer::Accepts);
    let settings = Settings { fresh_for: s(10), ..settings() };
    let api = Api::new([Answer::List(50, 3, "1a")].into_iter().chain(second), then);
    scene_with(cx, (server, api, Copies::broken()), settings).await
}

/// A stale list whose connection is lost as well.
async fn stays_as_old_as_it_is(cx: &Cx) -> Outcome {
    let scene = stale(cx, None, Answer::Fails(50)).await?;
    let server = scene.server.clone();
    let script = async move {
        sleep(s(300)).await;
        server.fails();
        sleep(ms(1_500)).await;
        server.fails();
    };
    let seen = watch(cx, &scene.list, 304_000, script).await?;
    seen.ensure(
        &states([
            (0, "connecting"),
            (50, "live 3: 1a"),
            (300_000, "connecting 3: 1a"),
            (301_050, "stale for 1050 ms 3: 1a"),
            (301_500, "connecting 3: 1a"),
            (303_550, "stale for 3550 ms 3: 1a"),
        ]),
        "a list that is live for 300 s; then each snapshot fails, and the connection is lost a second time at 301.5 s",
        "the age begins when the live list loses its connection; a further loss makes a stale list no younger",
    )
}

/// The list of an earlier reader: its connection ended with this reader, or before it.
async fn is_known_to_the_next_reader(cx: &Cx) -> Outcome {
    use server::Answer::{Accepts, Refuses};
    // The list is live until 300 s. When its reader goes, and whether the connection was lost before.
    for (what, answers, ends, is_lost) in [
        ("it is dropped while the list is live", [Accepts; 2], 300_000, false),
        ("the list is stale then, and the reader is dropped", [Accepts; 2], 302_000, true),
        ("the socket gives up", [Accepts, Refuses], 301_000, true),
    ] {
        let server = Server::new(answers, Accepts);
        let socket = Config { max_attempts: 1, ..settings().socket };
        let settings = Settings { fresh_for: s(10), socket, ..settings() };
        let api = Api::new([Answer::List(50, 3, "1a")], Answer::Fails(50));
        let scene = scene_with(cx, (server.clone(), api, Copies::broken()), settings).await?;
        let script = async move {
            sleep(s(300)).await;
            if is_lost {
                server.fails();
            }
        };
        watch(cx, &scene.list, ends, script).await?;
        sleep(s(4)).await;
        let seen = watch(cx, &scene.list, 900, async {}).await?;
        let stale = format!("stale for {} ms 3: 1a", ends - 300_000 + 4_050);
        seen.ensure(
            &states([(0, "connecting 3: 1a"), (50, stale.as_str())]),
            &format!("a list that is live until 300 s; for its reader, {what}; 4 s later there is another reader, whose snapshot fails, and the store has no copy"),
            "a list stays known while there is no reader: its age begins when its connection ends, by the server or with the last reader",
        )?;
    }
    Ok(())
}

pub async fn a_full_buffer_costs_a_snapshot(cx: Cx) -> Outcome {
    const HELP: &str = "when there is no room, the oldest update goes; a snapshot from before it has a gap behind it, and counts as failed";
    let in_order = || vec![insert(4, "4d"), insert(5, "5e"), insert(6, "6f")];
    // Of versions that do not come in their order and had to go, the highest one counts.
    let out_of_order = vec![insert(9, "9i"), insert(4, "4d"), insert(5, "5e"), insert(6, "6f")];
    let (six, nine) = (Answer::List(50, 6, "1a 6f"), Answer::List(50, 9, "1a 9i"));
    type Script = (&'static str, Vec<Frame>, u64, Answer, (u64, &'static str), Vec<u64>);
    let scripts: [Script; 3] = [
        ("4, 5 and 6", in_order(), 3, six.clone(), (1_100, "live 6: 1a 6f"), vec![0, 1_050]),
        ("4, 5 and 6", in_order(), 4, six, (50, "live 6: 1a 5e 6f"), vec![0]),
        ("9, 4, 5 and 6", out_of_order, 7, nine, (1_100, "live 9: 1a 9i"), vec![0, 1_050]),
    ];
    for (updates, frames, first, second, expected, calls) in scripts {
        let server = Server::new([], server::Answer::Accepts);
        let kept = NonZeroUsize::MIN.saturating_add(1);
        let api = Api::new([Answer::List(50, first, "1a"), second], Answer::Fails(50));
        let settings = Settings { kept, ..settings() };
        let scene = scene_with(&cx, (server.clone(), api, Copies::new()), settings).await?;
        let script = async move {
            for frame in frames {
                sleep(ms(10)).await;
                server.sends(frame);
            }
        };
        let seen = watch(&cx, &scene.list, 5_000, script).await?;
        let what = format!(
            "room for two updates, the updates {updates}, and then a snapshot of version {first}"
        );
        lists(&seen).ensure(&states([expected]), &what, HELP)?;
        ensure_eq!(scene.api.calls(), calls, "{what}: when snapshots are asked for"; help = HELP);
    }
    Ok(())
}
