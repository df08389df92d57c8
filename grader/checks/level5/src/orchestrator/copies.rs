//! Copies, shared calls, and copies that stand in.

use futures::future::join_all;
use grader_kit::{Cx, Outcome, dropped_at, ensure_eq, list, ms};
use http::Method;
use level5::orchestrator::Spec;
use level5::orchestrator::http_client::Request;
use tokio::time::sleep;

use super::fakes::{Ends, Server};
use super::{RUN, made, register, run, shown, spec, url};

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
    dropped_at(&cx, RUN, 40, orchestrator.run("b")).await?;
    cx.settle().await;
    ensure_eq!(server.running(), 0, "the only caller has left: calls on their way"; help = "no task: a call lives in the futures of its callers");
    // Dropped during the wait for a retry.
    server.next(&url("b"), [Ends::With(0, 500)]);
    dropped_at(&cx, RUN, 40, orchestrator.run("b")).await?;
    let before = server.count();
    sleep(ms(3_600_000)).await;
    ensure_eq!(server.count(), before, "the caller has left during the wait for a retry: calls an hour later"; help = "what waits is dropped with its caller");
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
    Ok(())
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
