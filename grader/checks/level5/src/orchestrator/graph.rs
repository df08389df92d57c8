//! Needs and batches.

use grader_kit::{Cx, Outcome, ensure, ensure_eq, list, ms};
use http::Method;
use level5::orchestrator::http_client::Request;
use level5::orchestrator::{GraphError, RequestError, Spec};
use tokio::time::sleep;

use super::fakes::{Ends, Server};
use super::{BATCH, RUN, made, register, run, shown, spec, url, with};

fn needing(id: &str, needs: &[&str]) -> Spec {
    Spec { needs: needs.iter().map(|&id| id.to_owned()).collect(), retryable: false, ..spec(id) }
}

pub async fn needs_run_first(cx: Cx) -> Outcome {
    const HELP: &str =
        "what a request needs has succeeded before it is sent, and each of them runs once";
    let server = Server::new(100);
    let orchestrator = made(&cx, &server).await?;
    // In an order in which nothing is there yet.
    for (id, needs) in
        [("e", &["c", "d"][..]), ("c", &["b"]), ("d", &["a"]), ("b", &["a"]), ("a", &[])]
    {
        let spec = Spec { cacheable: false, ..needing(id, needs) };
        register(&cx, &orchestrator, id, spec).await?;
    }
    cx.call(RUN, orchestrator.run("e")).await?;
    let mut observed: Vec<_> =
        ["a", "b", "c", "d", "e"].map(|id| (id, server.began(&url(id)))).to_vec();
    observed.sort();
    let expected = vec![
        ("a", vec![0]),
        ("b", vec![100]),
        ("c", vec![200]),
        ("d", vec![100]),
        ("e", vec![300]),
    ];
    ensure_eq!(observed, expected, "`e` needs `c` and `d`, `c` needs `b`, `b` and `d` need `a`; 100 ms each: when each was sent"; help = HELP);
    has_its_time_from_its_needs(&cx).await
}

/// The time of a request begins when all that it needs is there; and a copy of a need is as good as an answer.
async fn has_its_time_from_its_needs(cx: &Cx) -> Outcome {
    let mut draw = cx.draw();
    let (slow, quick) = (draw.between(2000..=4000), draw.between(10..=900));
    let server = Server::new(0);
    let orchestrator = made(cx, &server).await?;
    register(cx, &orchestrator, "slow", needing("slow", &[])).await?;
    let hasty = Spec { timeout: ms(1000), cacheable: false, ..needing("hasty", &["slow"]) };
    register(cx, &orchestrator, "hasty", hasty).await?;
    server.next(&url("slow"), [Ends::With(slow, 200)]);
    server.next(&url("hasty"), [Ends::With(quick, 200)]);
    let call = cx.call(RUN, orchestrator.run("hasty")).await?;
    let latency = call.value.as_ref().map(|done| done.latency.as_millis()).unwrap_or_default();
    let observed = (shown(&call.value), latency, call.took.as_millis());
    let expected =
        ("answer 2 after 1 attempts".to_owned(), u128::from(quick), u128::from(slow + quick));
    ensure_eq!(observed, expected, "`hasty`, with a timeout of 1000 ms, takes {quick} ms, and needs `slow`, which takes {slow} ms: the answer, its latency, and when the caller has it"; help = "timeout and latency count from the moment when all that a request needs has succeeded");
    // The need has a fresh copy, and then an old one that stands in.
    for (wait, fails, what) in
        [(1, false, "a fresh copy"), (400_000, true, "an old copy, and fails")]
    {
        sleep(ms(wait)).await;
        let before = server.count();
        if fails {
            server.next(&url("slow"), [Ends::With(10, 503)]);
        }
        let answer = run(cx, &orchestrator, "hasty").await?;
        let sent = server.order().split_off(before);
        let expected: &[&str] = if fails { &["slow", "hasty"] } else { &["hasty"] };
        ensure_eq!(sent, expected, "`hasty` needs `slow`, of which there is {what}: what is sent"; help = "a need that is answered by a copy has succeeded");
        ensure!(answer.starts_with("answer "), "`hasty` needs `slow`, of which there is {what}: {answer}"; expected = "an answer", help = "a need that is answered by a copy has succeeded");
    }
    Ok(())
}

pub async fn a_graph_error_sends_nothing(cx: Cx) -> Outcome {
    const HELP: &str = "look at the whole graph before the first request is sent";
    let server = Server::new(10);
    let orchestrator = made(&cx, &server).await?;
    for (id, needs) in [
        ("ok", &[][..]),
        ("x", &["ok", "a"]),
        ("a", &["b"]),
        ("b", &["c"]),
        ("c", &["a"]),
        ("self", &["self"]),
        ("lost", &["ok", "nowhere"]),
    ] {
        register(&cx, &orchestrator, id, needing(id, needs)).await?;
    }
    for (id, named) in [
        ("x", "a -> b -> c -> a"),
        ("self", "self -> self"),
        ("lost", "`nowhere`"),
        ("unknown", "`unknown`"),
    ] {
        let answer = cx.call(RUN, orchestrator.run(id)).await?.value;
        match answer {
            Err(RequestError::Graph(error)) => {
                let text = error.to_string();
                ensure!(text.contains(named), "`{id}`: the error says: {text}"; expected = format!("it names {named}"), help = "walk along the needs, and keep the path");
            }
            answer => {
                ensure!(false, "`{id}` has: {}", shown(&answer); expected = "a `RequestError::Graph`", help = HELP)
            }
        }
    }
    // Far below what the caller has asked for.
    register(&cx, &orchestrator, "deep", needing("deep", &["ok", "middle"])).await?;
    register(&cx, &orchestrator, "middle", needing("middle", &["lost"])).await?;
    for (id, expected) in [("unknown", None), ("lost", Some("lost")), ("deep", Some("lost"))] {
        let answer = cx.call(RUN, orchestrator.run(id)).await?.value;
        let needed_by = match answer {
            Err(RequestError::Graph(GraphError::Unknown { needed_by, .. })) => needed_by,
            answer => Some(shown(&answer)),
        };
        ensure_eq!(needed_by.as_deref(), expected, "`{id}` is asked for; `lost` needs an unknown request, `middle` needs `lost`, and `deep` needs `middle`: which request the error names as needing the unknown one"; help = "the reader has to correct the request that names the unknown id, and not the one that was asked for");
    }
    ensure_eq!(server.count(), 0, "calls of requests without an order"; help = HELP);
    Ok(())
}

pub async fn a_failed_need_stops_what_needs_it(cx: Cx) -> Outcome {
    let server = Server::new(10);
    let orchestrator = made(&cx, &server).await?;
    for (id, needs) in [("a", &[][..]), ("b", &["a"]), ("c", &["b"])] {
        register(&cx, &orchestrator, id, needing(id, needs)).await?;
    }
    server.next(&url("a"), [Ends::With(10, 404)]);
    let expected = "`b` has failed: `a` has failed: status 404";
    ensure_eq!(run(&cx, &orchestrator, "c").await?, expected, "`c` needs `b`, which needs `a`, which fails"; help = "`DependencyFailed` with the id that it needs, and its error");
    ensure_eq!(list(server.order()), "a", "what was sent"; help = "a request whose need has failed is not sent");
    the_first_failure_decides(&cx).await
}

/// Of several needs one fails: the answer is there at once, and the others are dropped.
async fn the_first_failure_decides(cx: &Cx) -> Outcome {
    let mut draw = cx.draw();
    let after = draw.between(10..=900);
    let mut needs = ["hangs", "fails", "quick"];
    draw.shuffle(&mut needs);
    let server = Server::new(5);
    let orchestrator = made(cx, &server).await?;
    for id in needs {
        register(cx, &orchestrator, id, needing(id, &[])).await?;
    }
    register(cx, &orchestrator, "a", needing("a", &needs)).await?;
    server.next(&url("hangs"), [Ends::With(50_000, 200)]);
    server.next(&url("fails"), [Ends::With(after, 500)]);
    let call = cx.call(RUN, orchestrator.run("a")).await?;
    let observed = (shown(&call.value), call.took.as_millis());
    let expected = ("`fails` has failed: status 500".to_owned(), u128::from(after));
    ensure_eq!(observed, expected, "`a` needs {needs:?}, of which `fails` fails after {after} ms and `hangs` takes 50 s: the result, and when it is there"; help = "the first failure decides");
    cx.settle().await;
    ensure_eq!(server.running(), 0, "`a` needs {needs:?}, of which one has failed: calls on their way afterwards"; help = "what no request waits for any more is dropped");
    // Another caller of the need that was dropped has an answer.
    let answer = cx.call(RUN, orchestrator.run("quick")).await?.value;
    ensure!(answer.is_ok(), "a need of a request that has failed is run alone: {}", shown(&answer); expected = "an answer");
    Ok(())
}

pub async fn a_batch_answers_for_every_id(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let server = Server::new(10);
    let orchestrator = made(&cx, &server).await?;
    let mut ids: Vec<String> = (0..23).map(|number| format!("r{number}")).collect();
    draw.shuffle(&mut ids);
    let mut expected = Vec::new();
    for (place, id) in ids.iter().enumerate() {
        if place % 5 == 4 {
            expected.push(format!("{id}: not registered"));
            continue;
        }
        let priority = u8::try_from(draw.below(256)).unwrap_or(0);
        register(&cx, &orchestrator, id, Spec { priority, ..needing(id, &[]) }).await?;
        let fails = place % 5 == 2;
        server.next(&url(id), [Ends::With(10, if fails { 404 } else { 200 })]);
        expected.push(format!("{id}: {}", if fails { "status 404" } else { "an answer" }));
    }
    let answers = cx.call(BATCH, orchestrator.run_batch(&ids)).await?.value;
    let observed = answers.iter().map(|(id, answer)| {
        let text = match answer {
            Ok(_) => "an answer".to_owned(),
            Err(RequestError::Graph(_)) => "not registered".to_owned(),
            answer => shown(answer),
        };
        format!("{id}: {text}")
    });
    ensure_eq!(list(observed), list(expected), "a batch of 23 ids, some of which fail: the answers"; help = "one answer for each id, in the order of the caller's list, whatever the priorities are");
    let none = cx.call(BATCH, orchestrator.run_batch(&[])).await?.value;
    ensure!(none.is_empty(), "an empty batch has {} answers", none.len(); expected = "none");
    // A slow request holds up its own group only, and there are slots enough.
    let server = Server::new(100);
    let orchestrator = with(&cx, &server, super::line::fixed(30)).await?;
    let slow = draw.index(10);
    let ids: Vec<String> = (0..30).map(|number| format!("r{number}")).collect();
    for (number, id) in ids.iter().enumerate() {
        let priority = if number < 10 { 9 } else { 1 };
        register(&cx, &orchestrator, id, Spec { priority, ..needing(id, &[]) }).await?;
        let length = if number == slow { 10_000 } else { 100 };
        server.next(&url(id), [Ends::With(length, 200)]);
    }
    let look = async {
        sleep(ms(1000)).await;
        (server.count(), server.running())
    };
    let both = async { futures::join!(orchestrator.run_batch(&ids), look).1 };
    let seen = cx.call(BATCH, both).await?.value;
    ensure_eq!(seen, (30, 1), "a batch of 30 requests and as many slots; one of the most urgent takes 10 s, and all others 100 ms: after a second, how many were sent, and how many are on their way"; help = "two groups run at once, and the next one begins when one of them has ended: do not wait for both");
    ensure!(server.most() <= 10, "a batch of 30 requests and as many slots: {} were on their way at once", server.most(); expected = "at most two groups of five");
    let mut first = server.order();
    first.truncate(10);
    let urgent = first.iter().filter(|id| ids[..10].contains(id)).count();
    ensure_eq!(urgent, 10, "of the first ten that were sent, those of the higher priority"; help = "groups are made in the order of the priorities");
    Ok(())
}

pub async fn one_id_twice_is_one_call(cx: Cx) -> Outcome {
    let server = Server::new(10);
    let orchestrator = made(&cx, &server).await?;
    for (id, needs) in [("a", &[][..]), ("b", &["a"])] {
        // Not a GET, which would be shared without a plan as well.
        let request = Request { method: Method::PUT, ..Request::get(url(id)) };
        let spec = Spec { request, ..needing(id, needs) };
        register(&cx, &orchestrator, id, spec).await?;
    }
    let ids = ["b", "a", "b", "a"].map(str::to_owned);
    let answers = cx.call(BATCH, orchestrator.run_batch(&ids)).await?.value;
    let shown = list(answers.iter().map(|(id, answer)| format!("{id}: {}", shown(answer))));
    let (a, b) = ("a: answer 1 after 1 attempts", "b: answer 2 after 1 attempts");
    ensure_eq!(shown, list([b, a, b, a]), "a batch of `b`, `a`, `b`, `a`, where `b` needs `a`"; help = "all ids of a batch share one plan");
    ensure_eq!(server.count(), 2, "how many calls there were"; help = "all ids of a batch share one plan");
    Ok(())
}

/// A batch in which a need fails while another one of the same request is on its way or in the line: that one is
/// dropped, or goes on for another request of the batch that wants it.
pub async fn a_failed_need_leaves_others(cx: &Cx) -> Outcome {
    const HELP: &str = "in a batch, drop a request that no other one waits for any more, and go on polling one that a later group wants: a future that is kept and not polled holds its slot";
    // The slots, and how a later request of the batch wants what is left behind.
    for (limit, later) in [(1, None), (1, Some("other")), (1, Some("needs")), (2, None)] {
        let server = Server::new(100);
        let orchestrator = with(cx, &server, super::line::fixed(limit)).await?;
        // Ids beyond the first group, so that the one that wants `other` comes later.
        let ids = ["first", "a", "b", "c", "d", "e"].iter().copied().chain(later);
        let ids: Vec<String> = ids.map(str::to_owned).collect();
        for id in ["fails", "other", "a", "b", "c", "d", "e"] {
            register(cx, &orchestrator, id, needing(id, &[])).await?;
        }
        // Through a request in between, which is dropped with it.
        register(cx, &orchestrator, "between", needing("between", &["other"])).await?;
        register(cx, &orchestrator, "first", needing("first", &["fails", "between"])).await?;
        register(cx, &orchestrator, "needs", needing("needs", &["other"])).await?;
        server.next(&url("fails"), [Ends::With(20, 404)]);
        // Far beyond all others, where nothing ends it but its callers.
        let length = if later.is_some() { 100 } else { 50_000 };
        server.next(&url("other"), [Ends::With(length, 200)]);
        let answers = cx.call(BATCH, orchestrator.run_batch(&ids)).await?.value;
        let ended = server.now();
        let observed = list(answers.iter().map(|(id, answer)| match answer {
            Ok(_) => format!("{id}: an answer"),
            Err(_) if id == "first" => "first: a failure".to_owned(),
            Err(_) => format!("{id}: {}", shown(answer)),
        }));
        let expected = list(ids.iter().map(|id| match id.as_str() {
            "first" => "first: a failure".to_owned(),
            id => format!("{id}: an answer"),
        }));
        let scene = format!(
            "a batch of {}, {limit} at once: `first` needs `fails`, which fails after 20 ms, and `between`, which needs `other`{}",
            ids.join(", "),
            if later == Some("needs") { ", as `needs` does" } else { "" }
        );
        ensure_eq!(observed, expected, "{scene}: the answers"; help = HELP);
        let sent = server.began(&url("other")).len();
        if later.is_some() {
            ensure_eq!(sent, 1, "{scene}: how often `other` was sent"; help = HELP);
        }
        let others =
            u64::try_from(ids.len() - 1).unwrap_or_default() + u64::from(later == Some("needs"));
        let slots = u64::try_from(limit).unwrap_or(1);
        // Every slot is used from the failure on.
        let latest = 20 + (others.div_ceil(slots) + 1) * 100;
        ensure!(ended <= latest, "{scene}: the last answer came after {ended} ms"; expected = format!("within {latest} ms: no slot is held by a request that is not polled"), help = HELP);
        ensure_eq!(server.running(), 0, "{scene}: calls on their way after the batch"; help = HELP);
    }
    Ok(())
}
