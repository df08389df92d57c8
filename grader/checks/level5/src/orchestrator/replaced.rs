//! An id that is registered again.

use futures::join;
use grader_kit::{Cx, Outcome, ensure_eq, ms};
use http::Method;
use level5::orchestrator::Spec;
use level5::orchestrator::http_client::Request;
use tokio::time::sleep;

use super::fakes::{Ends, Server};
use super::{Orchestrator, RUN, made, register, run, shown, spec, url};

fn figures(orchestrator: &Orchestrator, id: &str) -> Option<(u64, u64, u128, u128)> {
    let it = orchestrator.metrics(id)?;
    Some((it.attempts, it.ok, it.mean.as_millis(), it.p95.as_millis()))
}

/// The figures belong to what is registered now. A run of the old request ends by its old rules, and counts nowhere.
pub async fn begins_with_no_figures(cx: &Cx) -> Outcome {
    const HELP: &str = "`register` makes a new entry: the old one, with its figures, belongs to the runs that have begun";
    let mut draw = cx.draw();
    let (length, at) = (draw.between(200..=900), draw.between(1..=150));
    let server = Server::new(length);
    let orchestrator = made(cx, &server).await?;
    let once = |id: &str| Spec { cacheable: false, retryable: false, ..spec(id) };
    register(cx, &orchestrator, "a", once("old")).await?;
    for _ in 0..3 {
        run(cx, &orchestrator, "a").await?;
    }
    let before = (3, 3, u128::from(length), u128::from(length));
    ensure_eq!(
        figures(&orchestrator, "a"),
        Some(before),
        "three answers after {length} ms: attempts, successes, mean and p95 in ms"
    );
    // One more run of the old request, which is replaced meanwhile.
    let replace = async {
        sleep(ms(at)).await;
        let replaced = orchestrator.register("a", once("new"));
        (replaced.is_ok(), figures(&orchestrator, "a"))
    };
    let (answer, seen) = cx.call(RUN, async { join!(orchestrator.run("a"), replace) }).await?.value;
    ensure_eq!(seen, (true, Some((0, 0, 0, 0))), "the id is registered again for another request, while a run is on its way: whether it is accepted, and its figures"; help = HELP);
    ensure_eq!(shown(&answer), "answer 4 after 1 attempts", "the run that was on its way"; help = "a run that has begun goes on");
    ensure_eq!(figures(&orchestrator, "a"), Some((0, 0, 0, 0)), "the figures of the new request, when the run of the old one has ended"; help = HELP);
    server.next(&url("new"), [Ends::With(10, 404), Ends::With(30, 200)]);
    for _ in 0..2 {
        run(cx, &orchestrator, "a").await?;
    }
    ensure_eq!(figures(&orchestrator, "a"), Some((2, 1, 30, 30)), "a failure and an answer after 30 ms of the new request"; help = HELP);
    // The very same request once more begins from the start, too.
    register(cx, &orchestrator, "a", once("new")).await?;
    ensure_eq!(figures(&orchestrator, "a"), Some((0, 0, 0, 0)), "the same request is registered again under its id"; help = HELP);
    Ok(())
}

/// The time of an attempt follows the answers of this request, and not of the one that had its id before.
pub async fn has_no_latencies_of_the_old(cx: &Cx) -> Outcome {
    let mut draw = cx.draw();
    for quick in [draw.between(1..=900), 0] {
        let server = Server::new(0);
        let orchestrator = made(cx, &server).await?;
        let whole = draw.between(4_000..=25_000);
        let patient = |id: &str| Spec { timeout: ms(whole), cacheable: false, ..spec(id) };
        register(cx, &orchestrator, "a", patient("old")).await?;
        server.next(&url("old"), vec![Ends::With(quick, 200); 3]);
        for _ in 0..3 {
            run(cx, &orchestrator, "a").await?;
        }
        register(cx, &orchestrator, "a", patient("new")).await?;
        server.next(&url("new"), [Ends::With(86_400_000, 200)]);
        run(cx, &orchestrator, "a").await?;
        cx.settle().await;
        let seen = server.seen();
        let took = seen.get(3).and_then(|it| Some(it.ended?.0 - it.began));
        ensure_eq!(took, Some(whole), "three answers after {quick} ms; then the id is registered for another request, with a timeout of {whole} ms: for how many ms its first attempt ran without an answer"; help = "figures are those of the registered request: another one under the same id has none");
    }
    Ok(())
}

/// The next run goes by the new rules.
pub async fn goes_by_its_new_rules(cx: &Cx) -> Outcome {
    let fails = || vec![Ends::With(0, 503); 9];
    let server = Server::new(0);
    let orchestrator = made(cx, &server).await?;
    let old = Spec { retryable: false, cacheable: false, ..spec("a") };
    register(cx, &orchestrator, "a", old.clone()).await?;
    server.next(&url("a"), fails());
    run(cx, &orchestrator, "a").await?;
    ensure_eq!(server.count(), 1, "`retryable: false`, and the server fails: calls");
    let long = ms(1_000_000);
    register(cx, &orchestrator, "a", Spec { retryable: true, timeout: long, ..old.clone() })
        .await?;
    run(cx, &orchestrator, "a").await?;
    ensure_eq!(server.count(), 5, "the id is registered again with `retryable: true`, and the server fails on: calls, in all"; help = "the rules are looked up when the request is run");
    let post = Request { method: Method::POST, ..Request::get(url("a")) };
    register(cx, &orchestrator, "a", Spec { request: post, retryable: true, ..old }).await?;
    run(cx, &orchestrator, "a").await?;
    ensure_eq!(
        server.count(),
        6,
        "the id is registered again as a POST, and the server fails on: calls, in all"
    );
    // What it needs.
    let server = Server::new(100);
    let orchestrator = made(cx, &server).await?;
    for id in ["a", "need"] {
        register(cx, &orchestrator, id, Spec { cacheable: false, ..spec(id) }).await?;
    }
    run(cx, &orchestrator, "a").await?;
    let needs = vec!["need".to_owned()];
    register(cx, &orchestrator, "a", Spec { needs, cacheable: false, ..spec("a") }).await?;
    run(cx, &orchestrator, "a").await?;
    ensure_eq!(
        server.order().split_off(1),
        ["need", "a"],
        "`a` is registered again, and needs `need` now: what is sent"
    );
    Ok(())
}
