//! Loads that are shared, repeated, dropped.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};

use futures::FutureExt as _;
use futures::future::{join, join_all, join3};
use grader_kit::marbles::{Marbles, Mark};
use grader_kit::{Cx, Fail, Outcome, dropped_at, ensure, ensure_eq, lock, ms};
use level4::dashboard::Phase;
use tokio::time::{sleep, timeout};

use super::fakes::{ACTIVITIES, Api, Copies, Ends, NOTIFICATIONS, USER};
use super::{LOAD, RETRY, STATUSES, dashboard, observed, pages, shown, shown_data, shows};
use crate::ops::{leaves_no_task, moves};
use crate::panics::Payload;

pub async fn a_reload_keeps_the_data(cx: Cx) -> Outcome {
    const HELP: &str = "data stays visible until newer data is there, also when a load fails";
    let api = Api::new([100, 200, 200]);
    let dashboard = dashboard(&cx, &api, &Copies::new()).await?;
    cx.call(LOAD, dashboard.load()).await?;
    let watched = join(observed(1000, dashboard.pages()), dashboard.load());
    let (seen, ()) = cx.call(LOAD, watched).await?.value;
    seen.ensure(
        &pages([
            (0, "ready: anna [anna-did-1] [anna-has-1]"),
            (0, "loads the user: anna [anna-did-1] [anna-has-1]"),
            (100, "loads the data: anna [anna-did-1] [anna-has-1]"),
            (300, "ready: anna [anna-did-2] [anna-has-1]"),
        ]),
        "a dashboard is loaded again",
        HELP,
    )?;
    // By every status, and by a `retry` too. What the failure is called is another criterion.
    for status in STATUSES.into_iter().chain([Some(500)]) {
        for by_retry in [false, true] {
            api.next(USER, [Ends::Status(status)]);
            if by_retry {
                cx.call(RETRY, dashboard.retry()).await?;
            } else {
                cx.call(LOAD, dashboard.load()).await?;
            }
            let page = dashboard.page();
            let data = page.data.as_deref().map_or_else(|| "no data".to_owned(), shown_data);
            let failed = matches!(page.phase, Phase::Failed(_)) && page.degraded.is_empty();
            ensure!(failed && data == "anna [anna-did-2] [anna-has-1]", "a dashboard is loaded again{}, and the user fails with {status:?}: what a page shows", if by_retry { " by `retry`" } else { "" };
                expected = "failed: anna [anna-did-2] [anna-has-1]", observed = shown(&page), help = HELP);
        }
    }
    // The same user has another name.
    api.log_in(1, "anne");
    let watched = join(observed(1000, dashboard.pages()), dashboard.load());
    let (seen, ()) = cx.call(LOAD, watched).await?.value;
    seen.ensure(
        &pages([
            (0, "failed (Service): anna [anna-did-2] [anna-has-1]"),
            (0, "loads the user: anna [anna-did-2] [anna-has-1]"),
            (100, "loads the data: anna [anna-did-2] [anna-has-1]"),
            (300, "ready: anne [anne-did-3] [anna-has-1]"),
        ]),
        "a dashboard is loaded again, and its user has another name",
        "users are told apart by their ids",
    )?;
    keeps_what_is_degraded(&cx).await
}

/// What is missing in the data is said for as long as that data is shown.
async fn keeps_what_is_degraded(cx: &Cx) -> Outcome {
    let api = Api::new([100, 200, 0]);
    api.next(ACTIVITIES, vec![Ends::Status(Some(500)); 4]);
    api.next(NOTIFICATIONS, [Ends::Status(Some(500))]);
    let dashboard = dashboard(cx, &api, &Copies::new()).await?;
    cx.call(LOAD, dashboard.load()).await?;
    // Which parts are missing is another criterion.
    let ready = shown(&dashboard.page());
    let old = |phase| ready.replacen("ready", phase, 1);
    api.next(USER, [Ends::Status(Some(500))]);
    let loads = async {
        dashboard.load().await;
        sleep(ms(50)).await;
        dashboard.load().await;
    };
    let watched = join(observed(400, dashboard.pages()), loads);
    let (seen, ()) = cx.call(LOAD, watched).await?.value;
    let states = [
        (0, ready.clone()),
        (0, old("loads the user")),
        (100, old("failed (Service)")),
        (150, old("loads the user")),
        (250, old("loads the data")),
    ];
    let expected = Marbles::at(states.map(|(at, text)| (at, Mark::Item(text))));
    seen.ensure(
        &expected,
        "a dashboard without activities and notifications is loaded again, first without success",
        "`degraded` belongs to the data: it stays as long as the data is shown",
    )
}

pub async fn callers_share_a_load(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let api = Api::new([100, 300, 200]);
    let dashboard = dashboard(&cx, &api, &Copies::new()).await?;
    let other = dashboard.clone();
    let times: Vec<_> = (0..6).map(|_| draw.between(1..=399)).collect();
    let later = join_all(times.iter().enumerate().map(async |(number, at)| {
        sleep(ms(*at)).await;
        if number % 2 == 0 { dashboard.load().await } else { other.load().await }
    }));
    let call = cx.call(LOAD, join(dashboard.load(), later)).await?;
    let calls = api.seen().len();
    ensure!(calls == 3, "a load at 0 ms and others at {times:?} ms: {calls} calls of the service"; expected = "3: they share one load",
        help = "`SingleFlight`");
    // A handle that goes changes nothing for the others.
    drop(dashboard.clone());
    let took = call.took.as_millis();
    ensure!(took == 400, "loads that share one of 400 ms end at {took} ms"; expected = "400 ms");
    // The first caller leaves: the load goes on for the others.
    let leaves = timeout(ms(50), dashboard.load());
    let stays = async {
        sleep(ms(20)).await;
        other.load().await;
    };
    cx.call(LOAD, join(leaves, stays)).await?;
    ensure!(api.calls(USER) == 2, "the first of two callers of a load was dropped: {} calls of the user", api.calls(USER) - 1; expected = "1");
    shows(
        &dashboard,
        "ready: anna [anna-did-2] [anna-has-1]",
        "the first of two callers of a load was dropped",
        "the load goes on for the other one",
    )?;
    moves(&cx, LOAD, 150, 400, join(dashboard.load(), other.load())).await
}

pub async fn retry_loads_again(cx: Cx) -> Outcome {
    const HELP: &str = "after a failure `retry` is a load; while one is on its way it joins it; else it does nothing";
    let api = Api::new([100, 10, 0]);
    let dashboard = dashboard(&cx, &api, &Copies::new()).await?;
    cx.call(RETRY, dashboard.retry()).await?;
    ensure!(api.seen().is_empty(), "`retry` on a dashboard that has loaded nothing calls the service"; help = HELP);
    api.next(USER, [Ends::Status(Some(500)), Ends::Status(Some(401))]);
    cx.call(LOAD, dashboard.load()).await?;
    let watched = join(observed(1000, dashboard.pages()), dashboard.retry());
    let (seen, ()) = cx.call(RETRY, watched).await?.value;
    seen.ensure(
        &pages([
            (0, "failed (Service): no data"),
            (0, "loads the user: no data"),
            (100, "failed (SignedOut): no data"),
        ]),
        "a load has failed with 500; `retry` fails with 401",
        "`retry` clears the error when it begins, and loads again",
    )?;
    let late = async {
        sleep(ms(50)).await;
        dashboard.retry().await;
        api.now()
    };
    let began = api.now();
    let (_, ended) = cx.call(RETRY, join(dashboard.retry(), late)).await?.value;
    ensure!(api.calls(USER) == 3, "a second `retry` while one is on its way: {} calls of the user", api.calls(USER) - 2; expected = "1: it joins");
    ensure_eq!(ended - began, 110, "when a `retry` ends that was called at 50 ms of another one of 110 ms"; help = HELP);
    shows(&dashboard, "ready: anna [anna-did-1] [anna-has-1]", "`retry` has succeeded", HELP)?;
    cx.call(RETRY, dashboard.retry()).await?;
    ensure!(api.calls(USER) == 3, "`retry` on a dashboard that is ready calls the service"; help = HELP);
    Ok(())
}

pub async fn a_dropped_load_stops(cx: Cx) -> Outcome {
    const HELP: &str = "the calls are futures inside of the load; a guard restores the phase";
    let script = [
        (50, "idle: no data", vec![]),
        (150, "idle: no data", vec![]),
        // While a retry of the activities waits.
        (1500, "idle: no data", vec![Ends::Status(Some(500)); 4]),
    ];
    for (at, expected, failures) in script {
        let api = Api::new([100, 200, 3000]);
        api.next(ACTIVITIES, failures);
        let dashboard = dashboard(&cx, &api, &Copies::new()).await?;
        let tasks = cx.alive_tasks();
        dropped_at(&cx, LOAD, at, dashboard.load()).await?;
        let running = api.running();
        ensure!(running == 0, "a load was dropped at {at} ms, and {running} of its calls run on"; expected = "they are dropped", help = HELP);
        shows(
            &dashboard,
            expected,
            &format!("a first load was dropped at {at} ms: what a page shows"),
            HELP,
        )?;
        let calls = api.seen().len();
        leaves_no_task(&cx, tasks, &format!("a load was dropped at {at} ms")).await?;
        sleep(ms(100_000)).await;
        ensure!(api.seen().len() == calls, "a load was dropped at {at} ms, and the service is called later"; help = HELP);
        // The next one works.
        let api_next = api.calls(USER);
        cx.call(LOAD, dashboard.load()).await?;
        ensure!(api.calls(USER) == api_next + 1, "the load after a dropped one does not ask for the user"; help = HELP);
    }
    // After a failure, and after a success.
    let api = Api::new([100, 300, 200]);
    let dashboard = dashboard(&cx, &api, &Copies::new()).await?;
    api.next(USER, [Ends::Status(Some(403))]);
    cx.call(LOAD, dashboard.load()).await?;
    dropped_at(&cx, RETRY, 150, dashboard.retry()).await?;
    shows(
        &dashboard,
        "failed (Forbidden): no data",
        "a `retry` was dropped at 150 ms: what a page shows",
        HELP,
    )?;
    cx.call(RETRY, dashboard.retry()).await?;
    let ready = shown(&dashboard.page());
    dropped_at(&cx, LOAD, 150, dashboard.load()).await?;
    shows(
        &dashboard,
        &ready,
        "a load of a dashboard that was ready was dropped at 150 ms: what a page shows",
        HELP,
    )?;
    a_load_begins_while_another_one_is_dropped(&cx).await
}

/// A page is closed, and the next one is opened while its load is being dropped.
async fn a_load_begins_while_another_one_is_dropped(cx: &Cx) -> Outcome {
    const HELP: &str = "number the loads: one that is dropped restores the phase only if no other load has begun since, and the phase of a load is none to restore";
    for failed in [false, true] {
        let api = Api::new([100, 200, 300]);
        let dashboard = dashboard(cx, &api, &Copies::new()).await?;
        let before = if failed { "failed (Forbidden): no data" } else { "idle: no data" };
        if failed {
            api.next(USER, [Ends::Status(Some(403))]);
            cx.call(LOAD, dashboard.load()).await?;
        }
        for (at, drops) in [(50, true), (150, true), (50, false)] {
            let (opens, opened) = (dashboard.clone(), Arc::new(Mutex::new(None)));
            let keeps = Arc::clone(&opened);
            api.when_dropped(move || {
                let mut load = async move { opens.load().await }.boxed();
                let begun = load.poll_unpin(&mut Context::from_waker(Waker::noop()));
                *lock(&keeps) = begun.is_pending().then_some(load);
            });
            dropped_at(cx, LOAD, at, dashboard.load()).await?;
            let what = format!(
                "a load was dropped at {at} ms, and another one has begun while its calls were being dropped"
            );
            let begun = lock(&opened).take();
            let Some(begun) = begun else {
                return Err(Fail::new(format!("{what}: it ends at once")));
            };
            shows(
                &dashboard,
                "loads the user: no data",
                &format!("{what}: what a page shows"),
                HELP,
            )?;
            if drops {
                drop(begun);
                shows(
                    &dashboard,
                    before,
                    &format!("{what}, and is dropped too: what a page shows"),
                    HELP,
                )?;
            } else {
                cx.call(LOAD, begun).await?;
                let phase = dashboard.page().phase;
                ensure_eq!(phase, Phase::Ready, "{what}: the phase at its end"; help = HELP);
            }
        }
    }
    Ok(())
}

pub async fn begins_with_the_first_poll(cx: Cx) -> Outcome {
    let api = Api::new([0, 0, 0]);
    let dashboard = dashboard(&cx, &api, &Copies::new()).await?;
    let made = (dashboard.load(), dashboard.retry());
    ensure!(
        api.seen().is_empty(),
        "a future of `load` that was made and not polled calls the service"
    );
    shows(
        &dashboard,
        "idle: no data",
        "a future of `load` was made and not polled",
        "a load begins with the first poll",
    )?;
    drop(made);
    ensure!(
        api.seen().is_empty(),
        "a future of `load` that was dropped unpolled calls the service"
    );
    // `retry` looks at the phase when it is polled.
    let late = dashboard.retry();
    api.next(USER, [Ends::Status(None)]);
    cx.call(LOAD, dashboard.load()).await?;
    cx.call(RETRY, late).await?;
    ensure!(api.calls(USER) == 2, "a `retry` that was made before a failure and polled after it: {} calls of the user", api.calls(USER);
        expected = "2: it decides at its first poll");
    Ok(())
}

pub async fn a_panic_passes(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    for payload in Payload::all(&draw.word()) {
        for what in [USER, ACTIVITIES, NOTIFICATIONS] {
            let api = Api::new([10, 10, 10]);
            let dashboard = dashboard(&cx, &api, &Copies::new()).await?;
            api.next(what, [Ends::Panic(payload.clone())]);
            let call = AssertUnwindSafe(dashboard.load()).catch_unwind();
            let caught = cx.call(LOAD, call).await?.value;
            ensure!(caught.is_err(), "the code of the service panics in the call of {what}, and `load` does not"; expected = "the panic passes to the caller");
            shows(
                &dashboard,
                "idle: no data",
                &format!("the code of the service has panicked in the call of {what}"),
                "a guard restores the phase",
            )?;
            cx.call(LOAD, dashboard.load()).await?;
            ensure!(shown(&dashboard.page()).starts_with("ready"), "a load after a panic in the call of {what} is not ready"; observed = shown(&dashboard.page()));
        }
    }
    Ok(())
}

pub async fn waits_without_looking(cx: Cx) -> Outcome {
    let api = Api::new([100_000, 100_000, 200_000]);
    api.next(ACTIVITIES, [Ends::Status(None)]);
    let dashboard = dashboard(&cx, &api, &Copies::new()).await?;
    let all = join3(dashboard.load(), dashboard.load(), observed(400_000, dashboard.pages()));
    let call = cx.call(LOAD, all).await?;
    ensure!(call.polls < 200, "a load of 301 s took {} polls", call.polls; expected = "a few for each call of the service",
        help = "no loop that checks repeatedly");
    Ok(())
}
