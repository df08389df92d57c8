//! What is asked of the load that makes both requests at once.

use grader_kit::{Cx, Outcome, ensure, list, short};
use level1::source::Request;

use crate::fake::{Fake, Plan, answer, fail, status};
use crate::style_async::PARALLEL;
use crate::styles::{self, Source};
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
        let fake = source.fake(&cx, answer(user), answer(posts));
        let (_, took) = PARALLEL.timed(&cx, &fake, source.id).await?;
        tokio::time::sleep(grader_kit::ms(1_000)).await;
        let mut asked = fake.requests();
        let late = asked.iter().find(|(_, at)| *at != 0);
        if let Some((request, at)) = late {
            ensure!(false, "{request} was requested {at} ms late";
                expected = "both requests at once",
                observed = list(asked.iter().map(|(request, at)| format!("{request} at {at} ms"))),
                help = "start both before you wait for either: tokio::try_join!, or two tasks");
        }
        asked.sort_by_key(|(request, _)| !matches!(request, Request::User(_)));
        let expected = [(Request::User(source.id), 0), (Request::Posts(source.id), 0)];
        ensure!(asked == expected, "the requests are not the user and the posts, each once";
            expected = list(expected.map(|(request, _)| request)),
            observed = list(asked.iter().map(|(request, _)| request)),
            help = "ask for the user and for the posts with the id that was given, and once");
        let slower = user.max(posts);
        ensure!(took == slower, "took {took} ms with a user of {user} ms and posts of {posts} ms";
            expected = format!("{slower} ms, as long as the slower request"),
            observed = format!("{took} ms"),
            help = "wait for both together, not for one after the other");
    }
    for cause in causes(&mut draw) {
        for (user, posts) in
            [(fail(20, cause.clone()), answer(50)), (answer(10), fail(20, cause.clone()))]
        {
            let source = Source::drawn(&mut draw);
            let fake = source.fake(&cx, user, posts);
            let _ = PARALLEL.run(&cx, &fake, source.id).await?;
            tokio::time::sleep(grader_kit::ms(1_000)).await;
            let asked = fake.requests();
            ensure!(asked.len() <= 2, "a request failed ({}), and one was made again", grader_kit::short(&cause.to_string());
                expected = "the user and the posts, each once",
                observed = list(asked.iter().map(|(request, at)| format!("{request} at {at} ms"))),
                help = "a request that failed is not made again: whether a second try makes sense is for \
                        the caller to say");
        }
    }
    styles::takes_its_time(&cx, PARALLEL, styles::SLOW, styles::SLOW - 1_000).await
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
        help = "join! waits for both whatever happens; try_join! returns at the first failure");
    Ok(())
}

pub async fn drops_the_other(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    for cause in values::one_of_each(&mut draw) {
        for (user, posts) in failures(|after| fail(after, cause.clone())) {
            let source = Source::drawn(&mut draw);
            let fake = source.fake(&cx, user, posts);
            let call = cx.call(PARALLEL.name, (PARALLEL.load)(fake.shared(), source.id)).await?;
            cx.settle().await;
            let open = fake.under_way();
            ensure!(open.is_empty(), "one request failed, but the one for {} goes on", list(&open);
                expected = "it is dropped when the load returns", observed = "it is still under way",
                help = "its answer will not be read: drop its future, or abort its task");
            ensure!(call.leaked == 0, "one request failed, but {} tasks go on", call.leaked;
                expected = "nothing is left when the load returns",
                observed = format!("{} tasks", call.leaked),
                help = "abort the other task when the first fails");
        }
    }
    Ok(())
}
