//! What is asked of the load that makes both requests at once.

use grader_kit::{Cx, Outcome, ensure};
use level1::source::Request;

use crate::fake::{Fake, Plan, answer, fail, requests, status, when};
use crate::styles::{self, PARALLEL};

pub async fn profile(cx: Cx) -> Outcome {
    styles::gives_the_profile(cx, PARALLEL).await
}

pub async fn names_the_request(cx: Cx) -> Outcome {
    styles::names_the_request(cx, PARALLEL).await
}

pub async fn refuses_id_0(cx: Cx) -> Outcome {
    styles::refuses_id_0(cx, PARALLEL).await
}

pub async fn stops_when_dropped(cx: Cx) -> Outcome {
    styles::stops_when_dropped(cx, PARALLEL, &[Request::User(7), Request::Posts(7)]).await
}

pub async fn both_at_once(cx: Cx) -> Outcome {
    for (user, posts) in [(300, 100), (100, 300)] {
        let began = cx.timeline().now_ms();
        let earlier = requests(cx.timeline()).len();
        let fake = Fake::new(cx.timeline(), answer(user), answer(posts));
        let call = cx.call(PARALLEL.name, (PARALLEL.load)(&fake, 7)).await?;
        let asked = requests(cx.timeline());
        let late = asked[earlier..].iter().find(|(_, at)| *at != began);
        if let Some((request, at)) = late {
            ensure!(false, "{request} was requested {} ms late", at - began;
                expected = "both requests at once", observed = format!("{asked:?}"),
                help = "start both before you wait for either: tokio::try_join!, or two tasks");
        }
        let took = call.took.as_millis();
        ensure!(took == 300, "took {took} ms";
            expected = "300 ms, as long as the slower request", observed = format!("{took} ms"),
            help = "wait for both together, not for one after the other");
    }
    Ok(())
}

/// One request fails while the other takes long.
const FAILURES: fn() -> [(Plan, Plan, Request); 2] = || {
    [
        (fail(50, status(500)), answer(400), Request::User(7)),
        (answer(400), fail(50, status(500)), Request::Posts(7)),
    ]
};

pub async fn fails_at_the_first(cx: Cx) -> Outcome {
    for (user, posts, failing) in FAILURES() {
        let began = cx.timeline().now_ms();
        let fake = Fake::new(cx.timeline(), user, posts);
        let call = cx.call(PARALLEL.name, (PARALLEL.load)(&fake, 7)).await?;
        let ended = began + u64::try_from(call.took.as_millis()).unwrap_or(u64::MAX);
        let mut events = cx.timeline().events().into_iter().rev();
        let failed = events.find(|event| event.what == "fails").map(|event| event.at_us / 1000);
        ensure!(failed == Some(ended), "returned at {ended} ms although {failing} had failed before";
            expected = format!("the error at {} ms, the moment of the failure", failed.unwrap_or(began + 50)),
            observed = format!("returned at {ended} ms"),
            help = "join! waits for both whatever happens; try_join! returns at the first failure");
    }
    Ok(())
}

pub async fn drops_the_other(cx: Cx) -> Outcome {
    for (user, posts, failing) in FAILURES() {
        let fake = Fake::new(cx.timeline(), user, posts);
        let call = cx.call(PARALLEL.name, (PARALLEL.load)(&fake, 7)).await?;
        let other = match failing {
            Request::User(id) => Request::Posts(id),
            _ => Request::User(7),
        };
        let saw = |what| when(cx.timeline(), other, what).is_some();
        ensure!(!saw("requested") || saw("is given up") || saw("answers"), "{failing} failed, but the request for {other} goes on";
            expected = "it is given up when the load returns", observed = "it is still under way",
            help = "nobody will read its answer: drop its future, or abort its task");
        ensure!(call.leaked == 0, "{failing} failed, but {} tasks go on", call.leaked;
            expected = "nothing is left when the load returns",
            observed = format!("{} tasks", call.leaked),
            help = "abort the other task when the first fails");
    }
    Ok(())
}
