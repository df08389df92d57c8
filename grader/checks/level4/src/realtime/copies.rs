//! What outlives the process.

use grader_kit::{Cx, Fail, Outcome, ms};
use tokio::time::sleep;

use super::fakes::{Answer, Api, Copies, delete, insert};
use super::{Scene, lists, scene, scene_with, settings, states, watch};
use crate::server::{self, Server};

/// A list that was live for 200 ms, with these frames from the server. Its copy is in the store.
async fn lived(cx: &Cx, api: Api, frames: Vec<level4::socket::Frame>) -> Result<Scene, Fail> {
    let scene = scene(cx, api).await?;
    let server = scene.server.clone();
    let script = async move {
        sleep(ms(100)).await;
        frames.into_iter().for_each(|frame| server.sends(frame));
    };
    watch(cx, &scene.list, 200, script).await?;
    Ok(scene)
}

/// Another process on the same store: its snapshots fail after 50 ms.
async fn another(cx: &Cx, copies: &Copies) -> Result<Scene, Fail> {
    let server = Server::new([], server::Answer::Accepts);
    scene_with(cx, (server, Api::failing(), copies.clone()), settings()).await
}

pub async fn a_failed_snapshot_shows_the_copy(cx: Cx) -> Outcome {
    const HELP: &str = "without a snapshot, a copy of less than `fresh_for` is shown as `Stale` with its age, and follows the updates";
    let age = cx.draw().between(1_000..=200_000);
    for (age, is_young) in [(age, true), (299_949, true), (299_950, false)] {
        let old = lived(&cx, Api::with("1a 2b"), Vec::new()).await?;
        old.copies.ages(age);
        let scene = another(&cx, &old.copies).await?;
        let server = scene.server.clone();
        let script = async move {
            sleep(ms(20)).await;
            server.sends(insert(4, "4d"));
            server.sends(delete(3, 1));
            sleep(ms(480)).await;
            server.sends(delete(5, 2));
        };
        let seen = watch(&cx, &scene.list, 900, script).await?;
        let age = age + 50;
        let stale =
            [format!("stale for {age} ms 4: 1a 2b 4d"), format!("stale for {age} ms 5: 1a 4d")];
        let expected = if is_young {
            states([(0, "connecting"), (50, stale[0].as_str()), (500, stale[1].as_str())])
        } else {
            states([(0, "connecting"), (50, "failed")])
        };
        let what = format!(
            "a copy of version 3 that is {age} ms old when the snapshot fails, an update before that and one after it"
        );
        seen.ensure(&expected, &what, HELP)?;
    }
    Ok(())
}

pub async fn an_empty_list_is_a_list(cx: Cx) -> Outcome {
    const HELP: &str =
        "a list without items is `Some` of nothing; `None` says that there is no list";
    let old = scene(&cx, Api::new([], Answer::List(50, 0, ""))).await?;
    let seen = watch(&cx, &old.list, 200, async {}).await?;
    seen.ensure(
        &states([(0, "connecting"), (50, "live 0: none")]),
        "a snapshot of version 0 without items",
        HELP,
    )?;
    let scene = another(&cx, &old.copies).await?;
    let server = scene.server.clone();
    let script = async move {
        sleep(ms(500)).await;
        server.sends(insert(1, "1a"));
    };
    let seen = watch(&cx, &scene.list, 900, script).await?;
    let expected =
        [(0, "connecting"), (50, "stale for 200 ms 0: none"), (500, "stale for 200 ms 1: 1a")];
    seen.ensure(
        &states(expected),
        "a copy of a list without items, 200 ms old when the snapshot fails",
        HELP,
    )
}

pub async fn the_copy_follows_the_updates(cx: Cx) -> Outcome {
    let old = lived(&cx, Api::with("1a 2b"), vec![insert(4, "3c"), delete(5, 1)]).await?;
    let scene = another(&cx, &old.copies).await?;
    let server = scene.server.clone();
    let script = async move {
        sleep(ms(500)).await;
        server.sends(insert(6, "6f"));
    };
    let seen = watch(&cx, &scene.list, 900, script).await?;
    let expected = [
        (0, "connecting"),
        (50, "stale for 150 ms 5: 2b 3c"),
        (500, "stale for 150 ms 6: 2b 3c 6f"),
    ];
    seen.ensure(&states(expected), "a snapshot at 50 ms, two updates at 100 ms, and another process at 200 ms without a snapshot", "keep a copy of the snapshot, and of the list after each update")?;
    // An old list that follows is no younger for that.
    let scene = another(&cx, &old.copies).await?;
    let seen = watch(&cx, &scene.list, 900, async {}).await?;
    let expected = [(0, "connecting"), (50, "stale for 1050 ms 5: 2b 3c")];
    seen.ensure(
        &states(expected),
        "a third process, after one that had no snapshot",
        "a stale list is not kept: its copy would be too young",
    )?;
    an_equal_snapshot_is_a_new_copy(&cx).await
}

/// The age of a copy is that of the last snapshot, also where the copy before it was the same.
async fn an_equal_snapshot_is_a_new_copy(cx: &Cx) -> Outcome {
    let old = lived(cx, Api::with("1a 2b"), Vec::new()).await?;
    old.copies.ages(250_000);
    let server = Server::new([], server::Answer::Accepts);
    let again =
        scene_with(cx, (server, Api::with("1a 2b"), old.copies.clone()), settings()).await?;
    watch(cx, &again.list, 200, async {}).await?;
    // The copy of 50 ms is 150 ms old when this process begins, and 200 ms when its snapshot fails.
    let scene = another(cx, &old.copies).await?;
    let seen = watch(cx, &scene.list, 900, async {}).await?;
    let expected = [(0, "connecting"), (50, "stale for 200 ms 3: 1a 2b")];
    seen.ensure(
        &states(expected),
        "a copy of 4 min 10 s, a process that gets the same list as a snapshot at 50 ms, and another process at 200 ms without a snapshot",
        "a snapshot that is equal to the copy replaces it too: its age begins with the snapshot",
    )
}

pub async fn needs_no_store(cx: Cx) -> Outcome {
    const HELP: &str =
        "a store that fails and a copy that cannot be read are no copy, and no error";
    let server = Server::new([], server::Answer::Accepts);
    let scene =
        scene_with(&cx, (server.clone(), Api::with("1a"), Copies::broken()), settings()).await?;
    let script = async move {
        sleep(ms(100)).await;
        server.sends(insert(4, "2b"));
    };
    let seen = watch(&cx, &scene.list, 900, script).await?;
    let expected = [(0, "connecting"), (50, "live 3: 1a"), (100, "live 4: 1a 2b")];
    seen.ensure(&states(expected), "a store that neither reads nor writes", HELP)?;
    let scene = another(&cx, &Copies::broken()).await?;
    let seen = watch(&cx, &scene.list, 900, async {}).await?;
    lists(&seen).ensure(&states([]), "a store that cannot be read, and no snapshot", HELP)?;
    // Another version of the program may have put it: each field has to be there, and each item has to be one.
    for text in [
        "",
        "{",
        "null",
        "7",
        "{}",
        "[]",
        r#"{"items":7}"#,
        r#"{"items":[]}"#,
        r#"{"version":3}"#,
        r#"{"items":[],"version":-1}"#,
        r#"{"rows":[{"id":1,"text":"a"}],"version":3}"#,
        r#"{"items":[{"id":1,"text":"a"},{"id":"2"}],"version":3}"#,
        r#"{"items":[],"version":3} {"#,
    ] {
        let old = lived(&cx, Api::with("1a"), Vec::new()).await?;
        old.copies.spoils(text);
        let scene = another(&cx, &old.copies).await?;
        let seen = watch(&cx, &scene.list, 900, async {}).await?;
        lists(&seen).ensure(
            &states([]),
            &format!("a copy that reads {text:?}, and no snapshot"),
            HELP,
        )?;
    }
    Ok(())
}
