//! The user, the parts of the data, and how they fail.

use futures::future::join;
use grader_kit::{Cx, Outcome, ensure, ensure_eq, ms};
use level4::dashboard::{Failure, Phase, Settings};

use super::fakes::{ACTIVITIES, Api, Copies, Ends, INTERNAL, NOTIFICATIONS, USER};
use super::{LOAD, STATUSES, dashboard, dashboard_with, observed, pages, shown, shows};

/// Answers that are no successes.
fn failures(count: usize) -> Vec<Ends> {
    vec![Ends::Status(Some(503)); count]
}

pub async fn loads_the_user_first(cx: Cx) -> Outcome {
    let api = Api::new([100, 300, 200]);
    let dashboard = dashboard(&cx, &api, &Copies::new()).await?;
    ensure_eq!(shown(&dashboard.page()), "idle: no data", "a dashboard that has loaded nothing");
    let watched = join(observed(1000, dashboard.pages()), dashboard.load());
    let (seen, ()) = cx.call(LOAD, watched).await?.value;
    // At 0 ms the reader is polled before the load begins.
    let expected = pages([
        (0, "idle: no data"),
        (0, "loads the user: no data"),
        (100, "loads the data: no data"),
        (400, "ready: anna [anna-did-1] [anna-has-1]"),
    ]);
    seen.ensure(
        &expected,
        "the user takes 100 ms, activities 300 ms, notifications 200 ms: what a page shows",
        "the phase is Loading(User) from the first poll on, and Loading(Data) when the user is there",
    )
}

pub async fn loads_the_rest_at_once(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    for lengths in
        [[100, 200, 300], [10, 300, 20], [5, draw.between(1..=900), draw.between(1..=900)]]
    {
        let api = Api::new(lengths);
        let dashboard = dashboard(&cx, &api, &Copies::new()).await?;
        let took = cx.call(LOAD, dashboard.load()).await?.took.as_millis();
        let times = [api.times(USER), api.times(ACTIVITIES), api.times(NOTIFICATIONS)];
        ensure_eq!(times, [vec![0], vec![lengths[0]], vec![lengths[0]]], "user, activities and notifications take {lengths:?} ms: when each was called";
            help = "the user first, then the others at the same time: `join`");
        let expected = u128::from(lengths[0] + lengths[1].max(lengths[2]));
        ensure!(took == expected, "user, activities and notifications take {lengths:?} ms, and the load took {took} ms";
            expected = format!("{expected} ms"));
    }
    Ok(())
}

pub async fn retries_activities(cx: Cx) -> Outcome {
    const WAITS: [u64; 4] = [0, 1000, 3000, 7000];
    for failed in 0..=3 {
        let length = cx.draw().between(1..=90);
        let api = Api::new([10, length, 20]);
        api.next(ACTIVITIES, failures(failed));
        let dashboard = dashboard(&cx, &api, &Copies::new()).await?;
        cx.call(LOAD, dashboard.load()).await?;
        let expected: Vec<_> =
            (0..=failed).map(|number| 10 + WAITS[number] + length * number as u64).collect();
        ensure_eq!(api.times(ACTIVITIES), expected, "{failed} calls of activities fail, each after {length} ms; when they were called";
            help = "after a failure, wait for 1 s, then for 2 s, then for 4 s");
        let expected = format!("ready: anna [anna-did-{}] [anna-has-1]", failed + 1);
        shows(
            &dashboard,
            &expected,
            "activities come at a retry: what a page shows",
            "a part that came at a retry is not missing",
        )?;
    }
    // Other waits: none at all, one, and more than by default.
    let drawn: Vec<u64> = (0..6).map(|_| cx.draw().between(1..=9_000)).collect();
    for waits in [vec![], vec![0], vec![500], vec![4000, 1000], drawn] {
        let api = Api::new([0, 0, 0]);
        api.next(ACTIVITIES, failures(10));
        let retry_after = waits.iter().map(|wait| ms(*wait)).collect();
        let settings = Settings { retry_after, ..Settings::default() };
        let dashboard = dashboard_with(&cx, &api, &Copies::new(), settings).await?;
        cx.call(LOAD, dashboard.load()).await?;
        let mut expected = vec![0];
        waits.iter().for_each(|wait| expected.push(expected.last().map_or(0, |at| at + wait)));
        ensure_eq!(api.times(ACTIVITIES), expected, "every call of activities fails, and `retry_after` has waits of {waits:?} ms: when they were called";
            help = "one attempt more than waits, each wait as long as the settings say");
    }
    // Every failure is repeated, whatever its status.
    for status in STATUSES {
        let api = Api::new([0, 0, 0]);
        api.next(ACTIVITIES, [Ends::Status(status)]);
        let dashboard = dashboard(&cx, &api, &Copies::new()).await?;
        cx.call(LOAD, dashboard.load()).await?;
        ensure_eq!(api.times(ACTIVITIES), [0, 1000], "a call of activities fails with {status:?}; when they were called";
            help = "every failed call is repeated; the contract makes no exception");
    }
    // An empty answer is an answer.
    let api = Api::new([0, 0, 0]);
    api.next(ACTIVITIES, [Ends::Empty]);
    let dashboard = dashboard(&cx, &api, &Copies::new()).await?;
    cx.call(LOAD, dashboard.load()).await?;
    ensure!(api.calls(ACTIVITIES) == 1, "a call of activities brings none: {} calls of activities", api.calls(ACTIVITIES);
        expected = "1: an empty list is an answer");
    shows(
        &dashboard,
        "ready: anna [] [anna-has-1]",
        "a call of activities brings none: what a page shows",
        "an empty list is an answer: nothing is missing",
    )
}

pub async fn degrades_without_activities(cx: Cx) -> Outcome {
    const HELP: &str = "a page can do without activities: they are empty, and `degraded` says so";
    let api = Api::new([10, 0, 20]);
    api.next(ACTIVITIES, failures(4));
    let dashboard = dashboard(&cx, &api, &Copies::new()).await?;
    let call = cx.call(LOAD, dashboard.load()).await?;
    shows(
        &dashboard,
        "ready: anna [] [anna-has-1], activities degraded",
        "every call of activities fails: what a page shows",
        HELP,
    )?;
    ensure!(api.calls(ACTIVITIES) == 4, "every call of activities fails: {} calls", api.calls(ACTIVITIES);
        expected = "4: one, and three retries");
    let took = call.took.as_millis();
    ensure!(took == 7010, "every call of activities fails: the load took {took} ms"; expected = "7010 ms: no wait after the last attempt");
    // The next load has them again.
    cx.call(LOAD, dashboard.load()).await?;
    shows(
        &dashboard,
        "ready: anna [anna-did-5] [anna-has-1]",
        "activities failed in the load before, and come in this one",
        HELP,
    )
}

pub async fn fails_without_a_user(cx: Cx) -> Outcome {
    for status in [Some(404), Some(500), None] {
        let api = Api::new([30, 10, 10]);
        api.next(USER, [Ends::Status(status)]);
        let dashboard = dashboard(&cx, &api, &Copies::new()).await?;
        let call = cx.call(LOAD, dashboard.load()).await?;
        let page = dashboard.page();
        ensure!(matches!(page.phase, Phase::Failed(_)), "the call of the user fails with {status:?}: what a page shows";
            expected = "failed", observed = shown(&page), help = "without a user there is no dashboard");
        let took = call.took.as_millis();
        ensure!(took == 30, "the call of the user fails at 30 ms: the load ends at {took} ms"; expected = "30 ms: the user is not asked for again");
        let calls = api.seen().len();
        ensure!(calls == 1, "the call of the user fails: {calls} calls in all"; expected = "1: nothing else is asked for");
    }
    Ok(())
}

pub async fn shows_no_internal_text(cx: Cx) -> Outcome {
    let cases = [
        (Some(401), Failure::SignedOut),
        (Some(403), Failure::Forbidden),
        (Some(404), Failure::NoUser),
        (Some(500), Failure::Service),
        (Some(503), Failure::Service),
        (Some(599), Failure::Service),
        (Some(499), Failure::Other),
        (Some(600), Failure::Other),
        (Some(400), Failure::Other),
        (Some(429), Failure::Other),
        (None, Failure::Other),
    ];
    for (status, expected) in cases {
        let api = Api::new([0, 0, 0]);
        api.next(USER, [Ends::Status(status)]);
        let dashboard = dashboard(&cx, &api, &Copies::new()).await?;
        cx.call(LOAD, dashboard.load()).await?;
        let page = dashboard.page();
        ensure_eq!(
            page.phase,
            Phase::Failed(expected),
            "the call of the user fails with the status {status:?}"
        );
        let text = format!("{expected} {page:?}");
        ensure!(!text.contains(INTERNAL), "the text of the service's error is in what a page shows"; observed = text,
            help = "it names hosts and tables: it is for a log");
    }
    let texts =
        [Failure::SignedOut, Failure::Forbidden, Failure::NoUser, Failure::Service, Failure::Other]
            .map(|failure| failure.to_string());
    for (number, text) in texts.iter().enumerate() {
        ensure!(!text.trim().is_empty() && !texts[..number].contains(text), "two failures have the same text, or one has none";
            observed = text.clone());
    }
    Ok(())
}
