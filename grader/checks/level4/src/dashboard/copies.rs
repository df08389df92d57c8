//! Copies of the notifications.

use grader_kit::{Cx, Outcome, ensure, ensure_eq, ms};
use tokio::time::sleep;

use level4::dashboard::Settings;

use super::fakes::{Api, Copies, Ends, Mood, NOTIFICATIONS};
use super::{LOAD, STATUSES, dashboard, dashboard_with, observed, pages, shows};

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
    an_empty_answer_is_kept(&cx).await
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
    let corrupt: [(&str, Damage); 6] = [
        ("empty", |_| String::new()),
        ("cut off", |text| text.chars().take(text.chars().count() / 2).collect()),
        ("of another shape", |_| "{\"version\":2}".to_owned()),
        ("null", |_| "null".to_owned()),
        ("a list of numbers", |_| "[1,2]".to_owned()),
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
    Ok(())
}
