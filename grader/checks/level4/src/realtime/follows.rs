//! The list and its updates.

use futures::future::join;
use grader_kit::marbles::{Marbles, Mark};
use grader_kit::{Cx, Outcome, ensure, ms};
use level4::realtime::Status;
use level4::socket::Frame;
use tokio::time::sleep;

use super::fakes::{Answer, Api, delete, insert, message, replace, update};
use super::{OPEN, scene, shown, states, watch};

pub async fn loads_the_list(cx: Cx) -> Outcome {
    let scene = scene(&cx, Api::with("1a 2b")).await?;
    let before = scene.list.now();
    ensure!(before.status == Status::Connecting && before.items.is_none(), "a list that has loaded nothing: its status is {:?}, or it has items", before.status; expected = "Connecting, and no items");
    let seen = watch(&cx, &scene.list, 1_000, async {}).await?;
    seen.ensure(
        &states([(0, "connecting"), (50, "live 3: 1a 2b")]),
        "a connection at 0 ms, and a snapshot of version 3 that takes 50 ms",
        "say `Connecting` until the snapshot is there, then `Live` with its items and its version",
    )
}

pub async fn follows_the_updates(cx: Cx) -> Outcome {
    let word = cx.draw().word();
    let scene = scene(&cx, Api::with("1a 2b")).await?;
    let server = scene.server.clone();
    let changed = update(5, 1, &word);
    let script = async move {
        for frame in [insert(4, "3c"), changed, delete(6, 2), replace(9, "9z 8y"), delete(11, 9)] {
            sleep(ms(100)).await;
            server.sends(frame);
        }
    };
    let seen = watch(&cx, &scene.list, 1_000, script).await?;
    let changed = [format!("live 5: 1{word} 2b 3c"), format!("live 6: 1{word} 3c")];
    seen.ensure(
        &states([
            (0, "connecting"),
            (50, "live 3: 1a 2b"),
            (100, "live 4: 1a 2b 3c"),
            (200, changed[0].as_str()),
            (300, changed[1].as_str()),
            (400, "live 9: 9z 8y"),
            (500, "live 11: 8y"),
        ]),
        "an insert, an update, a delete, a replace and a delete, every 100 ms",
        "an insert goes to the end; an update and a delete are about the item of their key; the version is that of the update",
    )
}

pub async fn a_key_is_there_once(cx: Cx) -> Outcome {
    const HELP: &str = "an insert of a key that is there takes its place; what is about no item changes none, and has been seen";
    let scene = scene(&cx, Api::with("1a 2b 3c")).await?;
    let server = scene.server.clone();
    let script = async move {
        for frame in
            [insert(4, "2x"), insert(5, "2y"), delete(6, 7), update(7, 7, "q"), insert(8, "7h")]
        {
            sleep(ms(100)).await;
            server.sends(frame);
        }
    };
    let seen = watch(&cx, &scene.list, 1_000, script).await?;
    seen.ensure(
        &states([
            (0, "connecting"),
            (50, "live 3: 1a 2b 3c"),
            (100, "live 4: 1a 2x 3c"),
            (200, "live 5: 1a 2y 3c"),
            (300, "live 6: 1a 2y 3c"),
            (400, "live 7: 1a 2y 3c"),
            (500, "live 8: 1a 2y 3c 7h"),
        ]),
        "two inserts of key 2, a delete and an update of key 7, and an insert of key 7",
        HELP,
    )
}

pub async fn an_update_during_the_snapshot_counts(cx: Cx) -> Outcome {
    const HELP: &str = "keep the updates until the snapshot is there, then apply those with a higher version, in one step with it";
    let scene = scene(&cx, Api::with("1a")).await?;
    let server = scene.server.clone();
    let script = async move {
        sleep(ms(20)).await;
        server.sends(insert(4, "2b"));
        server.sends(update(5, 1, "x"));
        sleep(ms(10)).await;
        server.sends(update(6, 2, "y"));
    };
    let seen = watch(&cx, &scene.list, 1_000, script).await?;
    seen.ensure(
        &states([(0, "connecting"), (50, "live 6: 1x 2y")]),
        "a snapshot of version 3 that takes 50 ms, and updates 4, 5 and 6 meanwhile",
        HELP,
    )
}

pub async fn an_old_update_is_skipped(cx: Cx) -> Outcome {
    const HELP: &str =
        "an update whose version is not above that of the list is part of it already";
    let scene = scene(&cx, Api::with("1a 2b")).await?;
    let server = scene.server.clone();
    let script = async move {
        sleep(ms(20)).await;
        server.sends(update(2, 1, "old"));
        server.sends(delete(3, 2));
        server.sends(insert(4, "4d"));
        sleep(ms(80)).await;
        server.sends(delete(3, 1));
        server.sends(delete(4, 4));
        sleep(ms(100)).await;
        server.sends(insert(6, "6f"));
        sleep(ms(100)).await;
        server.sends(insert(5, "5e"));
        server.sends(delete(6, 6));
    };
    let seen = watch(&cx, &scene.list, 1_000, script).await?;
    seen.ensure(
        &states([(0, "connecting"), (50, "live 4: 1a 2b 4d"), (200, "live 6: 1a 2b 4d 6f")]),
        "a snapshot of version 3 that takes 50 ms; updates 2, 3 and 4 meanwhile, 3 and 4 at 100 ms, 6 at 200 ms, 5 and 6 at 300 ms",
        HELP,
    )
}

pub async fn unreadable_messages_are_reported(cx: Cx) -> Outcome {
    const HELP: &str = "count what is no update, and go on with the list as it is";
    let bad = [
        message("orders", 4, r#"{"rename":{"key":1}}"#),
        message("orders", 4, r#"{"insert":{"id":"seven"}}"#),
        message("orders", 4, "null"),
        Frame::Text(r#"{"topic":"orders","change":{"delete":1}}"#.to_owned()),
        Frame::Text("{".to_owned()),
        Frame::Binary(vec![0xff]),
    ];
    for frame in bad {
        let what = format!("{frame:?}");
        let scene = scene(&cx, Api::with("1a 2b")).await?;
        let server = scene.server.clone();
        let script = async move {
            for frame in [frame.clone(), frame, insert(4, "3c")] {
                sleep(ms(100)).await;
                server.sends(frame);
            }
        };
        let seen = watch(&cx, &scene.list, 1_000, script).await?;
        seen.ensure(
            &states([
                (0, "connecting"),
                (50, "live 3: 1a 2b"),
                (100, "live 3: 1a 2b, 1 unreadable"),
                (200, "live 3: 1a 2b, 2 unreadable"),
                (300, "live 4: 1a 2b 3c, 2 unreadable"),
            ]),
            &format!("the message {what}, twice, and then an insert"),
            HELP,
        )?;
    }
    counts_for_good(&cx).await
}

/// The count only grows: neither a snapshot nor another connection begins it again.
async fn counts_for_good(cx: &Cx) -> Outcome {
    let answers = [Answer::List(50, 3, "1a"), Answer::Fails(50), Answer::List(50, 4, "2b")];
    let scene = scene(cx, Api::new(answers, Answer::Fails(50))).await?;
    let server = scene.server.clone();
    let script = async move {
        // Before a snapshot is there, and while the list is live.
        for at in [20, 80] {
            sleep(ms(at)).await;
            server.sends(Frame::Text("{".to_owned()));
        }
        sleep(ms(400)).await;
        server.fails();
        // Behind a snapshot that has failed, and behind one that is there.
        for at in [1_500, 1_500] {
            sleep(ms(at)).await;
            server.sends(message("orders", 9, "null"));
        }
    };
    let seen = watch(cx, &scene.list, 4_000, script).await?;
    let counts = seen.marks().iter().filter_map(|(at, mark)| match mark {
        Mark::Item(text) => {
            let count = text.split_once(", ").map_or("none", |(_, count)| count);
            Some((*at, Mark::item(count)))
        }
        _ => None,
    });
    let mut changes: Vec<(u64, Mark)> = counts.collect();
    changes.dedup_by(|next, before| next.1 == before.1);
    Marbles::at(changes).ensure(
        &states([
            (0, "none"),
            (20, "1 unreadable"),
            (100, "2 unreadable"),
            (2_000, "3 unreadable"),
            (3_500, "4 unreadable"),
        ]),
        "unreadable messages at 20, 100, 2000 and 3500 ms; a snapshot at 50 ms, the connection is lost at 500 ms, a snapshot fails at 1550 ms, and one comes at 2600 ms: when `unreadable` changes",
        "a snapshot replaces the items and the version; what was counted stays counted",
    )
}

pub async fn other_messages_do_not_disturb(cx: Cx) -> Outcome {
    let topic = format!("orders/{}", cx.draw().word());
    let others = [
        message(&topic, 4, r#"{"delete":1}"#),
        message("Orders", 5, r#"{"rename":{}}"#),
        message("", 5, r#"{"delete":1}"#),
        Frame::Text("null".to_owned()),
        Frame::Text("7".to_owned()),
        Frame::Text(r#"[{"topic":"orders"}]"#.to_owned()),
        Frame::Text("{}".to_owned()),
        Frame::Text(r#"{"topic":7,"version":4,"change":{"delete":1}}"#.to_owned()),
    ];
    for frame in others {
        let what = format!("{frame:?}");
        let scene = scene(&cx, Api::with("1a 2b")).await?;
        let server = scene.server.clone();
        let script = async move {
            for frame in [frame, insert(4, "3c")] {
                sleep(ms(100)).await;
                server.sends(frame);
            }
        };
        let seen = watch(&cx, &scene.list, 1_000, script).await?;
        seen.ensure(
            &states([(0, "connecting"), (50, "live 3: 1a 2b"), (200, "live 4: 1a 2b 3c")]),
            &format!("a list of the topic `orders`, the message {what}, and then an insert"),
            "a message without this topic is about another list, or about none: it is no error",
        )?;
    }
    // Messages that change nothing: a reader gets no state twice in a row.
    let scene = scene(&cx, Api::with("1a 2b")).await?;
    let script = async {
        sleep(ms(100)).await;
        for frame in [message("Orders", 5, r#"{"delete":1}"#), insert(3, "3c"), update(2, 1, "z")] {
            scene.server.sends(frame);
            sleep(ms(10)).await;
        }
    };
    let all = Marbles::record(1_000, scene.list.open(), |live| Mark::Item(shown(&live)));
    let (all, ()) = cx.call(OPEN, join(all, script)).await?.value;
    let twice = all.marks().windows(2).find(|pair| pair[0].1 == pair[1].1);
    ensure!(twice.is_none(), "a message of another topic and two updates of old versions come, and a reader gets a state twice in a row: {:?}", twice.map(|pair| &pair[1]);
        expected = "each state that differs from the one before", help = "compare a state with the last one before it is yielded");
    Ok(())
}
