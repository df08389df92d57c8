//! What is asked of the load that makes both requests at once.

use std::time::Duration;

use grader_kit::{Cx, Outcome, ensure, list, ms, short};
use level1::source::Request;
use tokio::time::sleep;

use crate::fake::{Fake, Plan, Quickly, answer, fail, status};
use crate::style_async::PARALLEL;
use crate::styles::{self, Long, ONCE, OfStatus, SLOW, Source, made};
use crate::told::{ending, parts};
use crate::values::{self, causes};

pub async fn profile(cx: Cx) -> Outcome {
    styles::gives_the_profile(cx, PARALLEL).await
}

pub async fn refuses_id_0(cx: Cx) -> Outcome {
    styles::refuses_id_0(cx, PARALLEL).await
}

pub async fn stops_when_dropped(cx: Cx) -> Outcome {
    let cases = [
        (answer(100), answer(100), 50),
        (answer(100), answer(200), 150),
        (answer(200), answer(100), 150),
        (answer(0), answer(200), 150),
        (answer(200), answer(0), 150),
        (answer(100), answer(100), 1),
        (answer(200), answer(100), 199),
        (answer(100), answer(200), 199),
        (answer(SLOW), answer(10), SLOW - 1_000),
        (answer(10), answer(SLOW), SLOW - 1_000),
        (answer(SLOW), answer(SLOW), SLOW - 1_000),
    ];
    styles::stops_when_dropped(cx, PARALLEL, &cases).await
}

pub async fn panics_pass(cx: Cx) -> Outcome {
    styles::panics_pass(cx, PARALLEL).await
}

pub async fn loads_keep_apart(cx: Cx) -> Outcome {
    styles::loads_keep_apart(cx, PARALLEL).await
}

pub async fn names_the_request(cx: Cx) -> Outcome {
    styles::names_the_request(cx.clone(), PARALLEL).await?;
    let mut draw = cx.draw();
    // Which of two failures at the same instant is returned is left open, but it is one of them.
    for at in [0, draw.between(10..=200)] {
        let source = Source::drawn(&mut draw);
        let (of_user, of_posts) = (Request::User(source.id), Request::Posts(source.id));
        let fake = source.fake(&cx, fail(at, status(500)), fail(at, status(404)));
        let result = PARALLEL.run(&cx, &fake, source.id).await?;
        let either = match result.as_ref().err().and_then(parts) {
            Some((request, cause)) if request == of_user => *cause == status(500),
            Some((request, cause)) if request == of_posts => *cause == status(404),
            _ => false,
        };
        ensure!(either, "both requests fail at the same instant, and the error is of neither";
            expected = format!("{of_user} with status 500, or {of_posts} with status 404"),
            observed = ending(&result),
            help = "the request and the cause of an error belong together: make the error where the \
                    request is made");
    }
    Ok(())
}

pub async fn both_at_once(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let (short, long) = (draw.between(50..=150), draw.between(200..=400));
    for (user, posts) in [(long, short), (short, long), (long, long), (0, long), (long, 0)] {
        let mut source = Source::drawn(&mut draw);
        source.profile.user.id += 1;
        at_the_same_time(&cx, &source, "", (user, posts)).await?;
    }
    for (case, source) in styles::unusual(&mut draw) {
        at_the_same_time(&cx, &source, &format!(", for {case}"), (10, 10)).await?;
    }
    for cause in causes(&mut draw) {
        for (user, posts) in
            [(fail(20, cause.clone()), answer(50)), (answer(10), fail(20, cause.clone()))]
        {
            let source = Source::drawn(&mut draw);
            let fake = source.fake(&cx, user, posts);
            let _ = PARALLEL.run(&cx, &fake, source.id).await?;
            sleep(ms(1_000)).await;
            let (asked, most) = (fake.requests(), |request| {
                fake.requests().iter().filter(|(asked, _)| *asked == request).count() <= 1
            });
            let once = most(Request::User(source.id)) && most(Request::Posts(source.id));
            ensure!(once, "a request failed ({}), and one was made again", grader_kit::short(&cause.to_string());
                expected = "the user and the posts, each once",
                observed = made(&asked), help = ONCE);
        }
    }
    let id = values::id(&mut draw);
    for request in [Request::User(id), Request::Posts(id)] {
        for OfStatus { status, asked, .. } in
            styles::each_status(&cx, PARALLEL, request, &Quickly::Answer).await?
        {
            // The one that fails at once may keep the other one from beginning.
            ensure!(asked.0 <= 1 && asked.1 <= 1, "{request} failed with the status {status}, and one was made again";
                expected = "the user and the posts, each once",
                observed = styles::of_both(asked), help = ONCE);
        }
    }
    slow_requests(&cx).await?;
    styles::takes_its_time(&cx, PARALLEL, styles::SLOW, styles::SLOW - 1_000).await
}

/// Ends the script unless both requests are made at once, each once, and the load takes as long as the slower one.
async fn at_the_same_time(
    cx: &Cx,
    source: &Source,
    case: &str,
    (user, posts): (u64, u64),
) -> Outcome {
    let fake = source.fake(cx, answer(user), answer(posts));
    let (_, took) = PARALLEL.timed(cx, &fake, source.id).await?;
    sleep(ms(1_000)).await;
    let asked = fake.requests();
    for request in [Request::User(source.id), Request::Posts(source.id)] {
        let times: Vec<u64> =
            asked.iter().filter(|(asked, _)| *asked == request).map(|(_, at)| *at).collect();
        if let [at] = times[..] {
            ensure!(at == 0, "{request} was requested {at} ms late{case}";
                expected = "both requests at once",
                observed = made(&asked),
                help = "start both before you wait for either: tokio::try_join!, or two tasks");
        }
        ensure!(times.len() == 1 && asked.len() <= 2, "the requests are not the user and the posts, each once{case}";
            expected = format!("{} and {}, each once", Request::User(source.id), Request::Posts(source.id)),
            observed = made(&asked),
            help = "ask for the user and for the posts with the id that was given, and once");
    }
    let slower = user.max(posts);
    ensure!(took == slower, "took {took} ms with a user of {user} ms and posts of {posts} ms{case}";
        expected = format!("{slower} ms, as long as the slower request"),
        observed = format!("{took} ms"),
        help = "wait for both together, not for one after the other");
    Ok(())
}

/// A request that takes 25 years is made once, whether it succeeds or fails.
async fn slow_requests(cx: &Cx) -> Outcome {
    let mut draw = cx.draw();
    let cause = draw.pick(&values::one_of_each(&mut cx.draw())).clone();
    for (user, posts) in [
        (answer(SLOW), answer(10)),
        (answer(10), answer(SLOW)),
        (fail(SLOW, cause.clone()), answer(10)),
        (answer(10), fail(SLOW, cause)),
    ] {
        let source = Source::drawn(&mut draw);
        let long = styles::runs_long(cx, PARALLEL, &source, user, posts).await;
        if long.ended.as_ref().is_some_and(|(_, at)| *at < SLOW) {
            continue; // whether it has a limit of its own is asked below
        }
        let mut asked = long.fake.requests();
        asked.sort_by_key(|(request, _)| !matches!(request, Request::User(_)));
        let expected = [(Request::User(source.id), 0), (Request::Posts(source.id), 0)];
        ensure!(asked == expected, "a request took 25 years, and the requests are not the user and the posts, each once";
            expected = made(&expected), observed = made(&asked), help = ONCE);
    }
    Ok(())
}

/// One request fails at this time, and the other one would take longer, or has answered already.
fn failures_at(at: u64, longer: u64, failing: impl Fn(u64) -> Plan) -> [(Plan, Plan); 4] {
    [
        (failing(at), answer(longer)),
        (answer(longer), failing(at)),
        (failing(at), answer(20)),
        (answer(20), failing(at)),
    ]
}

/// One request fails while the other takes long, or has answered already.
fn failures(failing: impl Fn(u64) -> Plan) -> Vec<(Plan, Plan)> {
    vec![
        (failing(50), answer(400)),
        (answer(400), failing(50)),
        (failing(0), answer(400)),
        (answer(400), failing(0)),
        (answer(20), failing(50)),
        (failing(50), answer(20)),
    ]
}

const FIRST: &str = "join! waits for both whatever happens; try_join! returns at the first failure";

pub async fn fails_at_the_first(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    for cause in causes(&mut draw) {
        for (user, posts) in failures(|after| fail(after, cause.clone())) {
            let source = Source::drawn(&mut draw);
            let fake = source.fake(&cx, user, posts);
            let (_, took) = PARALLEL.timed(&cx, &fake, source.id).await?;
            ends_with_the_first(&fake, took, &short(&cause.to_string()))?;
        }
    }
    let id = values::id(&mut draw);
    for request in [Request::User(id), Request::Posts(id)] {
        for OfStatus { status, answer, asked, .. } in
            styles::each_status(&cx, PARALLEL, request, &Quickly::Hang).await?
        {
            let failed = if matches!(request, Request::User(_)) { asked.0 } else { asked.1 };
            // Whether both requests are made at once is asked elsewhere.
            ensure!(answer.is_some() || failed == 0, "{request} failed with the status {status}, and the load waits for the other request";
                expected = "the error at the moment of the failure",
                observed = "nothing a second later", help = FIRST);
        }
    }
    // The first failure comes late, before the other request ends or behind it.
    let cause = draw.pick(&values::one_of_each(&mut cx.draw())).clone();
    for (user, posts) in failures_at(SLOW - 1_000, SLOW, |after| fail(after, cause.clone())) {
        let source = Source::drawn(&mut draw);
        let Long { fake, ended } = styles::runs_long(&cx, PARALLEL, &source, user, posts).await;
        let failed = [Request::User(source.id), Request::Posts(source.id)]
            .into_iter()
            .find_map(|request| fake.when(request, "fails"));
        // Whether both begin at once, and whether the load has a limit of its own, is asked elsewhere.
        let Some(failed) = failed else { continue };
        let took = ended.map_or(u64::MAX, |(_, at)| at);
        ensure!(took <= failed, "a request failed after 25 years, and the load waits for the other one";
            expected = "the error at the moment of the failure",
            observed = if took == u64::MAX { "nothing".to_owned() } else { format!("the end {} ms later", took - failed) },
            help = FIRST);
    }
    // Both fail: the earlier failure is returned.
    for (user, posts) in [(20, 70), (70, 20), (0, 50), (50, 0)] {
        let source = Source::drawn(&mut draw);
        let fake = source.fake(&cx, fail(user, status(500)), fail(posts, status(404)));
        let (result, took) = PARALLEL.timed(&cx, &fake, source.id).await?;
        ends_with_the_first(&fake, took, "both requests fail")?;
        let [user, posts] = [Request::User(source.id), Request::Posts(source.id)]
            .map(|request| fake.when(request, "fails").unwrap_or(u64::MAX));
        let first = if user < posts { status(500) } else { status(404) };
        // Which request the error names is asked elsewhere.
        let told = result.as_ref().err().and_then(parts).map(|(_, cause)| cause);
        ensure!(told == Some(&first), "both requests fail, and the load does not return the first failure";
            expected = format!("an error with the cause {first:?}"),
            observed = ending(&result),
            help = "return the error of the request that failed first");
    }
    Ok(())
}

/// Ends the script unless the load was over at the moment of the first failure.
fn ends_with_the_first(fake: &Fake, took: u64, case: &str) -> Outcome {
    let failed = [Request::User(fake.id()), Request::Posts(fake.id())]
        .into_iter()
        .filter_map(|request| fake.when(request, "fails"))
        .min();
    ensure!(failed == Some(took), "returned at {took} ms although a request had failed before";
        expected = failed.map_or_else(|| "a failure".to_owned(), |at| {
            format!("the error at {at} ms, the moment of the failure ({case})")
        }),
        observed = format!("returned at {took} ms"),
        help = FIRST);
    Ok(())
}

pub async fn drops_the_other(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    for cause in causes(&mut draw) {
        for (user, posts) in failures(|after| fail(after, cause.clone())) {
            drops_after(&cx, &Source::drawn(&mut draw), user, posts).await?;
        }
    }
    let cause = draw.pick(&values::one_of_each(&mut cx.draw())).clone();
    for (user, posts) in failures_at(SLOW / 3, SLOW / 2, |after| fail(after, cause.clone())) {
        drops_after(&cx, &Source::drawn(&mut draw), user, posts).await?;
    }
    let before = cx.alive_tasks();
    let id = values::id(&mut draw);
    for request in [Request::User(id), Request::Posts(id)] {
        let all = styles::each_status(&cx, PARALLEL, request, &Quickly::Hang).await?;
        cx.settle().await;
        if let Some(OfStatus { status, .. }) = all.iter().find(|one| one.source.under_way() > 0) {
            ensure!(false, "{request} failed with the status {status}, but the other request goes on";
                expected = "it is dropped when the load returns", observed = "it is still under way",
                help = NOT_READ);
        }
        let left = cx.alive_tasks().saturating_sub(before);
        ensure!(left == 0, "{request} failed with every status, but {left} tasks go on";
            expected = "nothing is left when the load returns", observed = format!("{left} tasks"),
            help = "abort the other task when the first fails");
    }
    Ok(())
}

const NOT_READ: &str = "its answer will not be read: drop its future, or abort its task";

/// Ends the script if a load of which one request fails leaves the other one behind.
async fn drops_after(cx: &Cx, source: &Source, user: Plan, posts: Plan) -> Outcome {
    let most = ms(user.after + posts.after).saturating_add(Duration::from_secs(600));
    let fake = source.fake(cx, user, posts);
    let load = (PARALLEL.load)(fake.shared(), source.id);
    let call = cx.call_within(most, PARALLEL.name, load).await?;
    cx.settle().await;
    let open = fake.under_way();
    ensure!(open.is_empty(), "one request failed, but the one for {} goes on", list(&open);
        expected = "it is dropped when the load returns", observed = "it is still under way",
        help = NOT_READ);
    ensure!(call.leaked == 0, "one request failed, but {} tasks go on", call.leaked;
        expected = "nothing is left when the load returns",
        observed = format!("{} tasks", call.leaked),
        help = "abort the other task when the first fails");
    Ok(())
}
