//! Copies, shared calls, and copies that stand in.

use futures::future::join_all;
use grader_kit::{Cx, Outcome, dropped_at, ensure, ensure_eq, list, ms};
use http::{HeaderName, HeaderValue, Method};
use level5::orchestrator::Spec;
use level5::orchestrator::http_client::{Request, TransportError};
use tokio::time::sleep;

use super::fakes::{Ends, Server};
use super::{RUN, made, register, run, shown, spec, url, with};

pub async fn a_fresh_copy_answers(cx: Cx) -> Outcome {
    const HELP: &str =
        "a copy answers while its age is less than `ttl`, for the request and not for its id";
    let server = Server::new(10);
    let orchestrator = made(&cx, &server).await?;
    register(&cx, &orchestrator, "a", spec("a")).await?;
    register(&cx, &orchestrator, "never", Spec { cacheable: false, ..spec("never") }).await?;
    ensure_eq!(run(&cx, &orchestrator, "a").await?, "answer 1 after 1 attempts", "the first time"; help = HELP);
    sleep(ms(299_999)).await;
    ensure_eq!(run(&cx, &orchestrator, "a").await?, "answer 1, a copy of 299999 ms", "after 299999 ms"; help = HELP);
    // The same id for another request, and the same request under another id.
    register(&cx, &orchestrator, "a", spec("other")).await?;
    register(&cx, &orchestrator, "b", spec("a")).await?;
    ensure_eq!(run(&cx, &orchestrator, "a").await?, "answer 2 after 1 attempts", "the id now stands for another URL"; help = HELP);
    ensure_eq!(run(&cx, &orchestrator, "b").await?, "answer 3 after 1 attempts", "the first URL, whose copy is older than 5 min by now"; help = HELP);
    for number in [4, 5] {
        let expected = format!("answer {number} after 1 attempts");
        ensure_eq!(run(&cx, &orchestrator, "never").await?, expected, "a request with `cacheable: false`"; help = HELP);
    }
    wants_no_copy(&cx).await?;
    other_requests_have_no_copy(&cx).await
}

/// A request of which there is a copy, and an equal one with `cacheable: false`.
async fn wants_no_copy(cx: &Cx) -> Outcome {
    const HELP: &str = "whether a copy may answer is asked of the request that is run, and not of the one whose answer was kept";
    for method in [Method::GET, Method::HEAD] {
        let server = Server::new(10);
        let orchestrator = made(cx, &server).await?;
        let request = Request { method: method.clone(), ..Request::get(url("a")) };
        for (id, cacheable) in [("copy", true), ("newest", false)] {
            let spec = Spec { request: request.clone(), cacheable, ..spec("a") };
            register(cx, &orchestrator, id, spec).await?;
        }
        run(cx, &orchestrator, "copy").await?;
        for number in [2, 3] {
            let expected = format!("answer {number} after 1 attempts");
            ensure_eq!(run(cx, &orchestrator, "newest").await?, expected, "a {method} with `cacheable: false`, after an equal one of which a copy is kept"; help = HELP);
        }
        // The same id is registered again with the other setting.
        let spec = Spec { request: request.clone(), cacheable: false, ..spec("a") };
        register(cx, &orchestrator, "copy", spec).await?;
        ensure_eq!(run(cx, &orchestrator, "copy").await?, "answer 4 after 1 attempts", "a {method} of which a copy is kept, and whose id is registered again with `cacheable: false`"; help = HELP);
    }
    Ok(())
}

/// A request with `Accept: a` and `X-Tenant: one`, and others that differ from it in one thing each.
fn alike() -> (Request, Vec<(&'static str, Request)>) {
    let header = |request: &mut Request, name: &'static str, value: &'static str| {
        request.headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
    };
    let changed = |change: &dyn Fn(&mut Request)| {
        let mut request = Request::get(url("a"));
        header(&mut request, "accept", "a");
        header(&mut request, "x-tenant", "one");
        change(&mut request);
        request
    };
    let others = vec![
        ("another URL", changed(&|it| it.url.push_str("?page=2"))),
        ("another method", changed(&|it| it.method = Method::HEAD)),
        ("another body", changed(&|it| it.body = b"body".as_slice().into())),
        ("another header more", changed(&|it| header(it, "x-user", "ann"))),
        ("a header less", changed(&|it| drop(it.headers.remove("x-tenant")))),
        (
            "another value of a header",
            changed(&|it| drop(it.headers.insert("x-tenant", HeaderValue::from_static("two")))),
        ),
        ("a second value of the first header", changed(&|it| header(it, "accept", "b"))),
        ("a second value of the last header", changed(&|it| header(it, "x-tenant", "two"))),
        ("the same value of a header twice", changed(&|it| header(it, "accept", "a"))),
    ];
    (changed(&|_| {}), others)
}

async fn other_requests_have_no_copy(cx: &Cx) -> Outcome {
    const HELP: &str = "the key of a copy is the whole request: method, URL, all values of all headers, and the body";
    let (first, others) = alike();
    for (what, other) in others {
        for swapped in [false, true] {
            let server = Server::new(10);
            let orchestrator = made(cx, &server).await?;
            let pair = if swapped { [&other, &first] } else { [&first, &other] };
            for (id, request) in ["a", "b"].into_iter().zip(pair) {
                let spec = Spec { request: request.clone(), ..spec("a") };
                register(cx, &orchestrator, id, spec).await?;
            }
            run(cx, &orchestrator, "a").await?;
            let answer = run(cx, &orchestrator, "b").await?;
            ensure_eq!(answer, "answer 2 after 1 attempts", "a request was answered, and another one is made that has {what}{}", if swapped { ", the other way round" } else { "" }; help = HELP);
            let again = run(cx, &orchestrator, "a").await?;
            ensure!(again.contains("answer 1, a copy"), "the first of the two again: {again}"; expected = "its copy", help = HELP);
        }
    }
    Ok(())
}

pub async fn equal_requests_share_a_call(cx: Cx) -> Outcome {
    let server = Server::new(100);
    let orchestrator = made(&cx, &server).await?;
    register(&cx, &orchestrator, "a", spec("a")).await?;
    register(&cx, &orchestrator, "b", spec("a")).await?;
    let runs = (0..10).map(|number| orchestrator.run(if number < 9 { "a" } else { "b" }));
    let answers = cx.call(RUN, join_all(runs)).await?.value;
    let shown: Vec<_> = answers.iter().map(shown).collect();
    ensure_eq!(server.count(), 1, "ten equal requests at once, one of them under another id: calls"; help = "`SingleFlight` with the request as the key");
    ensure_eq!(list(shown), list(["answer 1 after 1 attempts"; 10]), "their answers"; help = "all callers have the same answer");
    let (first, others) = alike();
    for (what, other) in others {
        let server = Server::new(100);
        let orchestrator = made(&cx, &server).await?;
        for (id, request) in [("a", &first), ("b", &other)] {
            register(&cx, &orchestrator, id, Spec { request: request.clone(), ..spec("a") })
                .await?;
        }
        cx.call(RUN, join_all([orchestrator.run("a"), orchestrator.run("b")])).await?;
        ensure_eq!(server.count(), 2, "two requests at once, of which the second has {what}: calls"; help = "only requests that are equal in method, URL, all values of all headers, and body share a call");
    }
    a_failure_is_shared(&cx).await
}

/// A failure is the answer of all callers of a call, also one that looks like the end of a caller's time.
async fn a_failure_is_shared(cx: &Cx) -> Outcome {
    const HELP: &str = "a caller that has joined a call shares its failure: only when the time of the caller that began it is over, and its own is not, it goes on";
    let no_answer = |error: TransportError| vec![Ends::NoAnswer(error); 9];
    // Whether it is sent again, what the server does, how often it is sent, and the result.
    let cases = [
        (false, "404", vec![Ends::With(100, 404); 9], 1, "status 404"),
        (false, "503", vec![Ends::With(100, 503); 9], 1, "status 503"),
        (
            false,
            "a timeout of the transport",
            no_answer(TransportError::Timeout),
            1,
            "no answer in time",
        ),
        (
            true,
            "a timeout of the transport each time",
            no_answer(TransportError::Timeout),
            4,
            "no answer in time",
        ),
        (false, "a panic", vec![Ends::Panic; 9], 1, "a panic"),
        // The first answer is quick, so an attempt has the half of the whole time.
        (
            false,
            "no answer, after a quick one",
            vec![Ends::With(10, 200), Ends::With(86_400_000, 200)],
            2,
            "no answer in time",
        ),
    ];
    for (retryable, what, script, calls, answer) in cases {
        let server = Server::new(100);
        let orchestrator = made(cx, &server).await?;
        let spec = Spec { retryable, cacheable: false, ..spec("a") };
        for id in ["a", "b"] {
            register(cx, &orchestrator, id, spec.clone()).await?;
        }
        let quick = matches!(script.first(), Some(Ends::With(10, _)));
        server.next(&url("a"), script);
        if quick {
            run(cx, &orchestrator, "a").await?;
        }
        let both = join_all(["a", "a", "b"].map(|id| orchestrator.run(id)));
        let answers: Vec<_> = cx.call(RUN, both).await?.value.iter().map(shown).collect();
        ensure_eq!(server.count(), calls, "three equal requests at once with `retryable: {retryable}`, and the server has {what}: calls"; help = HELP);
        ensure_eq!(answers, [answer; 3], "three equal requests at once with `retryable: {retryable}`, and the server has {what}: their answers"; help = HELP);
    }
    Ok(())
}

pub async fn other_methods_are_never_shared(cx: Cx) -> Outcome {
    for method in [Method::POST, Method::PUT, Method::DELETE] {
        let server = Server::new(10);
        let orchestrator = made(&cx, &server).await?;
        let request = Request { method: method.clone(), ..Request::get(url("a")) };
        register(&cx, &orchestrator, "a", Spec { request, ..spec("a") }).await?;
        cx.call(RUN, join_all([orchestrator.run("a"), orchestrator.run("a")])).await?;
        cx.call(RUN, orchestrator.run("a")).await?;
        ensure_eq!(server.count(), 3, "two equal {method} at once and one later: calls"; help = "only GET and HEAD are shared and have copies");
    }
    Ok(())
}

pub async fn a_call_lives_as_long_as_its_callers(cx: Cx) -> Outcome {
    let server = Server::new(100);
    let orchestrator = made(&cx, &server).await?;
    register(&cx, &orchestrator, "a", spec("a")).await?;
    register(&cx, &orchestrator, "b", spec("b")).await?;
    let both = async {
        let first = async {
            drop(tokio::time::timeout(ms(40), orchestrator.run("a")).await);
        };
        futures::join!(first, orchestrator.run("a")).1
    };
    let call = cx.call(RUN, both).await?;
    ensure_eq!((shown(&call.value), server.count()), ("answer 1 after 1 attempts".to_owned(), 1), "the first of two callers leaves at 40 ms: what the second one has, and how many calls there were"; help = "the call belongs to all who wait for it");
    let copy = run(&cx, &orchestrator, "a").await?;
    ensure_eq!(copy, "answer 1, a copy of 0 ms", "the request once more, whose first caller had left before the answer came"; help = "the call keeps the copy, and not the caller that began it");
    dropped_at(&cx, RUN, 40, orchestrator.run("b")).await?;
    cx.settle().await;
    ensure_eq!(server.running(), 0, "the only caller has left: calls on their way"; help = "no task: a call lives in the futures of its callers");
    // Dropped during the wait for a retry.
    server.next(&url("b"), [Ends::With(0, 500)]);
    dropped_at(&cx, RUN, 40, orchestrator.run("b")).await?;
    let before = server.count();
    sleep(ms(3_600_000)).await;
    ensure_eq!(server.count(), before, "the caller has left during the wait for a retry: calls an hour later"; help = "what waits is dropped with its caller");
    leaves_with_its_slot(&cx).await?;
    super::graph::a_failed_need_leaves_others(&cx).await
}

/// Callers in the line that leave: before there is a slot for them, and right after one was handed to them, before
/// they have seen it.
async fn leaves_with_its_slot(cx: &Cx) -> Outcome {
    const HELP: &str = "a slot that is on its way to a caller who has left goes to the next one: hand on a guard that frees it, not a permission to take it";
    let mut draw = cx.draw();
    for handed in [true, false] {
        let limit = 1 + draw.index(3);
        let server = Server::new(100);
        let orchestrator = with(cx, &server, super::line::fixed(limit)).await?;
        let name = |kind: &str, number: usize| format!("{kind}{number}");
        for number in 0..limit {
            for kind in ["first", "gone", "last"] {
                let id = name(kind, number);
                let spec = Spec { timeout: ms(10_000_000), ..spec(&id) };
                register(cx, &orchestrator, &id, spec).await?;
            }
        }
        let run_all = |kind: &'static str| {
            let ids: Vec<_> = (0..limit).map(|number| name(kind, number)).collect();
            let orchestrator = orchestrator.clone();
            async move { join_all(ids.iter().map(|id| orchestrator.run(id))).await.len() }
        };
        let script = async {
            let mut first = Box::pin(run_all("first"));
            let mut gone = Box::pin(run_all("gone"));
            let waits =
                futures::poll!(&mut first).is_pending() && futures::poll!(&mut gone).is_pending();
            let last = tokio::time::timeout(ms(1000), run_all("last"));
            let last = if handed {
                first.await;
                drop(gone);
                last.await
            } else {
                drop(gone);
                futures::join!(first, last).1
            };
            (waits, last.is_ok())
        };
        let (waits, last) = cx.call(RUN, script).await?.value;
        ensure!(waits, "requests of 100 ms are answered at once");
        let when = if handed {
            "in the moment in which the first ones have ended"
        } else {
            "together with the first ones, which are on their way"
        };
        ensure!(last, "{limit} slots are taken, and as many callers wait. They leave {when}; {limit} other requests of 100 ms have no answer within 1000 ms"; expected = "answers: the slots are free", help = HELP);
        ensure!(server.most() <= limit, "callers in the line have left, and of {limit} slots {} were used at once", server.most(); expected = format!("{limit} at most"));
    }
    Ok(())
}

pub async fn an_old_copy_stands_in(cx: Cx) -> Outcome {
    const HELP: &str =
        "keep copies for `stale_for` after their `ttl`, and look for one after the last attempt";
    let server = Server::new(0);
    let orchestrator = made(&cx, &server).await?;
    let once = |id: &str| Spec { retryable: false, ..spec(id) };
    register(&cx, &orchestrator, "a", once("a")).await?;
    register(&cx, &orchestrator, "none", once("none")).await?;
    run(&cx, &orchestrator, "a").await?;
    for (at, expected) in [
        (300_000, "answer 1, an old copy of 300000 ms"),
        (3_899_999, "answer 1, an old copy of 3899999 ms"),
        (3_900_000, "status 503"),
    ] {
        server.next(&url("a"), [Ends::With(0, 503)]);
        sleep(ms(at - server.now())).await;
        ensure_eq!(run(&cx, &orchestrator, "a").await?, expected, "the server answers with 503 after {at} ms"; help = HELP);
    }
    server.next(&url("none"), [Ends::With(0, 503)]);
    ensure_eq!(run(&cx, &orchestrator, "none").await?, "status 503", "503, and there is no copy"; help = HELP);
    an_answer_that_is_not_stored(&cx).await
}

/// What the server does not want to be stored is no copy, and ends the one that is there.
async fn an_answer_that_is_not_stored(cx: &Cx) -> Outcome {
    const HELP: &str = "an answer with `no-store` is not kept, and the copy that it replaces goes: an old copy must not stand in when a newer answer was there";
    for control in ["no-store", "max-age=0, No-Store"] {
        let server = Server::new(0);
        let orchestrator = made(cx, &server).await?;
        register(cx, &orchestrator, "a", Spec { retryable: false, ..spec("a") }).await?;
        run(cx, &orchestrator, "a").await?;
        // The copy is old by now.
        sleep(ms(300_000)).await;
        for number in [2, 3] {
            server.next(&url("a"), [Ends::Controlled(control)]);
            let expected = format!("answer {number} after 1 attempts");
            ensure_eq!(run(cx, &orchestrator, "a").await?, expected, "beside an old copy the server answers with `Cache-Control: {control}` each time"; help = HELP);
        }
        server.next(&url("a"), [Ends::With(0, 503)]);
        ensure_eq!(run(cx, &orchestrator, "a").await?, "status 503", "answer 1 was kept and is old, answers 2 and 3 had `Cache-Control: {control}`, and the server answers with 503"; help = HELP);
    }
    super::standins::for_all_that_may_pass(cx).await
}

pub async fn refusals_are_not_masked(cx: Cx) -> Outcome {
    for status in [401, 403, 404, 410] {
        let server = Server::new(0);
        let orchestrator = made(&cx, &server).await?;
        register(&cx, &orchestrator, "a", spec("a")).await?;
        run(&cx, &orchestrator, "a").await?;
        sleep(ms(300_000)).await;
        server.next(&url("a"), [Ends::With(0, status)]);
        let expected = format!("status {status}");
        ensure_eq!(run(&cx, &orchestrator, "a").await?, expected, "{status} beside an old copy"; help = "only what may pass is masked: timeouts, failures of the transport, 408, 429 and 5xx");
    }
    Ok(())
}
