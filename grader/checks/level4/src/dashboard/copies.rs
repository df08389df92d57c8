//! Copies of the notifications.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt as _;
use grader_kit::{Cx, Outcome, dropped_at, ensure, ensure_eq, ms};
use level4::dashboard::Settings;
use tokio::time::sleep;

use super::fakes::{ACTIVITIES, Api, Copies, Ends, Mood, NOTIFICATIONS};
use super::{LOAD, STATUSES, dashboard, dashboard_with, observed, pages, shown, shows};
use crate::panics::Payload;

const FIVE_MINUTES: u64 = 300_000;

/// What happens to a text that is kept.
type Damage = fn(&str) -> String;

pub async fn a_copy_answers_for_five_minutes(cx: Cx) -> Outcome {
    const HELP: &str = "a copy answers while its age is less than five minutes";
    let (api, copies) = (Api::new([0, 0, 0]), Copies::new());
    let first = dashboard(&cx, &api, &copies).await?;
    cx.call(LOAD, first.load()).await?;
    // Another dashboard with the same store, as after a restart of the program.
    let second = dashboard(&cx, &api, &copies).await?;
    for (wait, age, calls) in [(0, "0:00", 1), (FIVE_MINUTES - 1, "4:59.999", 1), (1, "5:00", 2)] {
        sleep(ms(wait)).await;
        for (which, dashboard) in
            [("the same dashboard", &first), ("another dashboard with the same store", &second)]
        {
            cx.call(LOAD, dashboard.load()).await?;
            ensure!(api.calls(NOTIFICATIONS) == calls, "a copy of {age} min, and {which} loads: {} calls of notifications in all", api.calls(NOTIFICATIONS);
                expected = calls.to_string(), help = HELP);
        }
    }
    shows(
        &first,
        "ready: anna [anna-did-6] [anna-has-2]",
        "a copy was too old: what a page shows",
        HELP,
    )?;
    sleep(ms(FIVE_MINUTES - 1)).await;
    cx.call(LOAD, first.load()).await?;
    ensure_eq!(api.calls(NOTIFICATIONS), 2, "calls of notifications, 4:59.999 min after the second one"; help = "a fetched value is put in place of the old copy");
    // Other times than five minutes.
    for fresh_for in [0, 1, cx.draw().between(2..=3_000_000)] {
        let (api, copies) = (Api::new([0, 0, 0]), Copies::new());
        let settings = Settings { fresh_for: ms(fresh_for), ..Settings::default() };
        let dashboard = dashboard_with(&cx, &api, &copies, settings).await?;
        let mut calls = Vec::new();
        for wait in [0, fresh_for.saturating_sub(1), u64::from(fresh_for > 0)] {
            sleep(ms(wait)).await;
            cx.call(LOAD, dashboard.load()).await?;
            calls.push(api.calls(NOTIFICATIONS));
        }
        let expected = if fresh_for == 0 { [1, 2, 3] } else { [1, 1, 2] };
        ensure_eq!(calls, expected, "`fresh_for` is {fresh_for} ms; loads at 0 ms, 1 ms before that age, and at that age: calls of notifications"; help = "a copy answers while its age is less than `fresh_for`");
    }
    // A time that is no whole number of milliseconds.
    let (api, settings) = (Api::new([0, 0, 0]), Settings::default());
    let settings = Settings { fresh_for: Duration::from_micros(1_500), ..settings };
    let dashboard = dashboard_with(&cx, &api, &Copies::new(), settings).await?;
    let mut calls = Vec::new();
    for wait in [0, 1, 1] {
        sleep(ms(wait)).await;
        cx.call(LOAD, dashboard.load()).await?;
        calls.push(api.calls(NOTIFICATIONS));
    }
    ensure_eq!(calls, [1, 1, 2], "`fresh_for` is 1.5 ms; loads at 0, 1 and 2 ms: calls of notifications"; help = "compare the times as they are, without rounding");
    an_empty_answer_is_kept(&cx).await?;
    an_equal_answer_is_a_new_copy(&cx).await?;
    an_answer_is_kept_when_it_comes(&cx).await
}

/// The age of a copy is that of the last answer, also where the answer before it was the same.
async fn an_equal_answer_is_a_new_copy(cx: &Cx) -> Outcome {
    for answer in [Ends::Empty, Ends::Text("one")] {
        let api = Api::new([0, 0, 0]);
        api.next(NOTIFICATIONS, vec![answer.clone(); 3]);
        let dashboard = dashboard(cx, &api, &Copies::new()).await?;
        let mut calls = Vec::new();
        for wait in [0, FIVE_MINUTES, FIVE_MINUTES - 1, 1] {
            sleep(ms(wait)).await;
            cx.call(LOAD, dashboard.load()).await?;
            calls.push(api.calls(NOTIFICATIONS));
        }
        ensure_eq!(calls, [1, 2, 2, 3], "each call of notifications brings the same, {answer:?}; loads at 0, 5:00, 9:59.999 and 10:00 min: calls of notifications";
            help = "an answer that is equal to the old copy replaces it too: its age begins with the answer");
    }
    Ok(())
}

/// An answer is the copy from its arrival on, whatever else the load still waits for.
async fn an_answer_is_kept_when_it_comes(cx: &Cx) -> Outcome {
    const HELP: &str = "put the answer into the store as soon as it is there, before the load waits for anything else";
    // Dropped while a retry of the activities waits, which is from 30 to 1030 ms.
    let (api, copies) = (Api::new([10, 20, 20]), Copies::new());
    api.next(ACTIVITIES, vec![Ends::Status(Some(500)); 2]);
    let first = dashboard(cx, &api, &copies).await?;
    dropped_at(cx, LOAD, 500, first.load()).await?;
    cx.call(LOAD, dashboard(cx, &api, &copies).await?.load()).await?;
    ensure_eq!(api.calls(NOTIFICATIONS), 1, "notifications came at 30 ms, and the load was dropped while a retry of the activities waited; another load: calls of notifications in all"; help = HELP);
    Ok(())
}

/// An answer without notifications is an answer: it replaces the old copy.
async fn an_empty_answer_is_kept(cx: &Cx) -> Outcome {
    const HELP: &str = "an empty list is an answer as every other one: it replaces the old copy";
    let api = Api::new([0, 0, 0]);
    let dashboard = dashboard(cx, &api, &Copies::new()).await?;
    cx.call(LOAD, dashboard.load()).await?;
    sleep(ms(FIVE_MINUTES)).await;
    api.next(NOTIFICATIONS, [Ends::Empty]);
    cx.call(LOAD, dashboard.load()).await?;
    shows(
        &dashboard,
        "ready: anna [anna-did-2] []",
        "the copy was too old, and the call of notifications brings none: what a page shows",
        HELP,
    )?;
    sleep(ms(FIVE_MINUTES - 1)).await;
    cx.call(LOAD, dashboard.load()).await?;
    shows(
        &dashboard,
        "ready: anna [anna-did-3] []",
        "4:59.999 min after a call that brought no notifications: what a page shows",
        HELP,
    )?;
    ensure_eq!(api.calls(NOTIFICATIONS), 2, "calls of notifications, 4:59.999 min after one that brought none"; help = HELP);
    Ok(())
}

pub async fn a_stale_copy_is_better_than_none(cx: Cx) -> Outcome {
    const HELP: &str = "when the call fails, an old copy is shown, and `degraded` says so";
    for wait in [FIVE_MINUTES + 1, 10 * FIVE_MINUTES] {
        let (api, copies) = (Api::new([0, 0, 0]), Copies::new());
        let dashboard = dashboard(&cx, &api, &copies).await?;
        cx.call(LOAD, dashboard.load()).await?;
        sleep(ms(wait)).await;
        api.next(NOTIFICATIONS, [Ends::Status(Some(500)), Ends::Status(None)]);
        for call in 2..=3 {
            cx.call(LOAD, dashboard.load()).await?;
            let expected =
                format!("ready: anna [anna-did-{call}] [anna-has-1], notifications degraded");
            shows(
                &dashboard,
                &expected,
                &format!(
                    "a copy of {wait} ms, and the call of notifications fails: what a page shows"
                ),
                HELP,
            )?;
            ensure!(api.calls(NOTIFICATIONS) == call, "a stale copy does not spare the next call"; expected = "a call at each load, until one succeeds");
        }
        cx.call(LOAD, dashboard.load()).await?;
        shows(
            &dashboard,
            "ready: anna [anna-did-4] [anna-has-4]",
            "notifications come again",
            HELP,
        )?;
    }
    // The copy is that of the last answer, also where that was empty.
    let api = Api::new([0, 0, 0]);
    let emptied = dashboard(&cx, &api, &Copies::new()).await?;
    cx.call(LOAD, emptied.load()).await?;
    for ends in [Ends::Empty, Ends::Status(None)] {
        sleep(ms(FIVE_MINUTES + 1)).await;
        api.next(NOTIFICATIONS, [ends]);
        cx.call(LOAD, emptied.load()).await?;
    }
    shows(
        &emptied,
        "ready: anna [anna-did-3] [], notifications degraded",
        "the last call of notifications that succeeded brought none, and this one fails: what a page shows",
        "the copy is the last answer, not the last one that had notifications",
    )?;
    // Every failure is one.
    for status in STATUSES {
        let (api, copies) = (Api::new([0, 0, 0]), Copies::new());
        let dashboard = dashboard(&cx, &api, &copies).await?;
        cx.call(LOAD, dashboard.load()).await?;
        sleep(ms(FIVE_MINUTES + 1)).await;
        api.next(NOTIFICATIONS, [Ends::Status(status)]);
        cx.call(LOAD, dashboard.load()).await?;
        shows(
            &dashboard,
            "ready: anna [anna-did-2] [anna-has-1], notifications degraded",
            &format!("the call of notifications fails with {status:?}: what a page shows"),
            HELP,
        )?;
    }
    // Without a copy they are missing.
    let api = Api::new([0, 0, 0]);
    api.next(NOTIFICATIONS, [Ends::Status(Some(500))]);
    let dashboard = dashboard(&cx, &api, &Copies::new()).await?;
    cx.call(LOAD, dashboard.load()).await?;
    shows(
        &dashboard,
        "ready: anna [anna-did-1] [], notifications degraded",
        "no copy, and the call of notifications fails: what a page shows",
        HELP,
    )
}

pub async fn needs_no_store(cx: Cx) -> Outcome {
    const HELP: &str = "a store that fails costs a call, and no data";
    for mood in [Mood::Full, Mood::Broken] {
        let (api, copies) = (Api::new([0, 0, 0]), Copies::new());
        copies.mood(mood);
        let dashboard = dashboard(&cx, &api, &copies).await?;
        for call in 1..=2 {
            cx.call(LOAD, dashboard.load()).await?;
            let expected = format!("ready: anna [anna-did-{call}] [anna-has-{call}]");
            shows(
                &dashboard,
                &expected,
                &format!("a store that is {mood:?}, load {call}: what a page shows"),
                HELP,
            )?;
        }
    }
    Ok(())
}

pub async fn corrupt_copies_are_misses(cx: Cx) -> Outcome {
    const HELP: &str =
        "a text that cannot be read is a miss: another version of the program may have put it";
    let corrupt: [(&str, Damage); 8] = [
        ("empty", |_| String::new()),
        ("cut off", |text| text.chars().take(text.chars().count() / 2).collect()),
        ("of another shape", |_| "{\"version\":2}".to_owned()),
        ("null", |_| "null".to_owned()),
        ("a list of numbers", |_| "[1,2]".to_owned()),
        ("a list of which one entry can be read", |text| text.replacen(']', ",{\"text\":2}]", 1)),
        ("followed by something else", |text| format!("{text} {text}")),
        ("no JSON", |_| "\u{0}\u{fffd}".to_owned()),
    ];
    for (what, change) in corrupt {
        let (api, copies) = (Api::new([0, 0, 0]), Copies::new());
        let dashboard = dashboard(&cx, &api, &copies).await?;
        cx.call(LOAD, dashboard.load()).await?;
        copies.change(change);
        cx.call(LOAD, dashboard.load()).await?;
        shows(
            &dashboard,
            "ready: anna [anna-did-2] [anna-has-2]",
            &format!("a copy that is {what}: what a page shows"),
            HELP,
        )?;
        cx.call(LOAD, dashboard.load()).await?;
        ensure!(api.calls(NOTIFICATIONS) == 2, "a copy that was {what} was fetched again: {} calls", api.calls(NOTIFICATIONS);
            expected = "2: the new copy replaces the old one");
        copies.change(change);
        api.next(NOTIFICATIONS, [Ends::Status(None)]);
        cx.call(LOAD, dashboard.load()).await?;
        shows(
            &dashboard,
            "ready: anna [anna-did-4] [], notifications degraded",
            &format!("a copy that is {what}, and a call that fails: what a page shows"),
            HELP,
        )?;
    }
    Ok(())
}

pub async fn users_are_apart(cx: Cx) -> Outcome {
    const HELP: &str = "name the user in the key of the copy, and drop the data of another user as soon as it is known";
    let (api, copies) = (Api::new([100, 50, 20]), Copies::new());
    let dashboard = dashboard(&cx, &api, &copies).await?;
    cx.call(LOAD, dashboard.load()).await?;
    api.log_in(2, "bert");
    let watched = futures::future::join(observed(1000, dashboard.pages()), dashboard.load());
    let (seen, ()) = cx.call(LOAD, watched).await?.value;
    seen.ensure(
        &pages([
            (0, "ready: anna [anna-did-1] [anna-has-1]"),
            (0, "loads the user: anna [anna-did-1] [anna-has-1]"),
            (100, "loads the data: no data"),
            (150, "ready: bert [bert-did-2] [bert-has-2]"),
        ]),
        "anna's dashboard is shown, and the next load finds bert",
        HELP,
    )?;
    // Users are told apart by their ids: this one has the name of the one before.
    api.log_in(3, "bert");
    let watched = futures::future::join(observed(1000, dashboard.pages()), dashboard.load());
    let (seen, ()) = cx.call(LOAD, watched).await?.value;
    seen.ensure(
        &pages([
            (0, "ready: bert [bert-did-2] [bert-has-2]"),
            (0, "loads the user: bert [bert-did-2] [bert-has-2]"),
            (100, "loads the data: no data"),
            (150, "ready: bert [bert-did-3] [bert-has-3]"),
        ]),
        "the dashboard of a bert is shown, and the next load finds another bert, with another id",
        HELP,
    )?;
    api.log_in(1, "anna");
    cx.call(LOAD, dashboard.load()).await?;
    shows(
        &dashboard,
        "ready: anna [anna-did-4] [anna-has-1]",
        "anna is there again, with a copy of less than 5 min",
        HELP,
    )?;
    ensure!(copies.len() == 3, "three users, and the store has {} copies", copies.len(); expected = "3");
    what_is_gone_stays_gone(&cx).await
}

/// A load finds another user and does not come to its end: the data of the user before does not come back.
async fn what_is_gone_stays_gone(cx: &Cx) -> Outcome {
    for panics in [false, true] {
        let api = Api::new([100, 50, 20]);
        let dashboard = dashboard(cx, &api, &Copies::new()).await?;
        cx.call(LOAD, dashboard.load()).await?;
        api.log_in(2, "bert");
        let how = if panics {
            api.next(ACTIVITIES, [Ends::Panic(Payload::Literal("no luck"))]);
            let load = AssertUnwindSafe(dashboard.load()).catch_unwind();
            let _ = cx.call(LOAD, load).await?;
            "its call of the activities panics"
        } else {
            dropped_at(cx, LOAD, 110, dashboard.load()).await?;
            "it is dropped before his data is there"
        };
        let page = shown(&dashboard.page());
        // The phase is another criterion's business.
        ensure!(page.ends_with(": no data"), "anna's dashboard is shown, the next load finds bert, and {how}: what a page shows";
            expected = "no data: anna's is gone since bert was found", observed = page,
            help = "restore the phase alone: what another user left does not come back");
    }
    Ok(())
}
