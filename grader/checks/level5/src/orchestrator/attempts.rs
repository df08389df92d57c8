//! Attempts: how many, when, and for how long.

use std::sync::Arc;

use grader_kit::{Cx, Fail, Outcome, ensure, ensure_eq, ms};
use http::Method;
use level5::orchestrator::http_client::{Request, TransportError};
use level5::orchestrator::retry::Jitter;
use level5::orchestrator::{Settings, Spec};

use super::fakes::{Ends, Server};
use super::{Orchestrator, RUN, made, register, run, spec, url, with};

/// A request with enough time for every retry.
fn patient(id: &str) -> Spec {
    Spec { timeout: ms(1_000_000), cacheable: false, ..spec(id) }
}

pub async fn retries_by_kind(cx: Cx) -> Outcome {
    const HELP: &str = "three retries after 5xx, 429 and timeouts, two after other failures of the transport, none after other 4xx; 1 s, doubled each time, times 1.5 for 5xx and 3 for 429";
    let connect = || TransportError::Connect("refused".to_owned());
    let cases: [(&str, Vec<Ends>, &[u64], &str); 8] = [
        ("500", vec![Ends::With(0, 500); 9], &[0, 1500, 4500, 10_500], "status 500"),
        ("503", vec![Ends::With(0, 503); 9], &[0, 1500, 4500, 10_500], "status 503"),
        ("429", vec![Ends::With(0, 429); 9], &[0, 3000, 9000, 21_000], "status 429"),
        (
            "timeout",
            vec![Ends::NoAnswer(TransportError::Timeout); 9],
            &[0, 1000, 3000, 7000],
            "no answer in time",
        ),
        (
            "connect",
            vec![Ends::NoAnswer(connect()); 9],
            &[0, 1000, 3000],
            "Transport(Connect(\"refused\"))",
        ),
        ("404", vec![Ends::With(0, 404); 9], &[0], "status 404"),
        ("403", vec![Ends::With(0, 403); 9], &[0], "status 403"),
        ("once", vec![Ends::With(0, 502)], &[0, 1500], "answer 2 after 2 attempts"),
    ];
    for (name, script, expected, answer) in cases {
        let server = Server::new(0);
        let orchestrator = made(&cx, &server).await?;
        register(&cx, &orchestrator, "a", patient("a")).await?;
        server.next(&url("a"), script);
        let observed = run(&cx, &orchestrator, "a").await?;
        ensure_eq!(server.began(&url("a")), expected, "`{name}`, without jitter: when the attempts began, in ms"; help = HELP);
        ensure_eq!(observed, answer, "`{name}`: the result"; help = HELP);
    }
    // Jitter shortens each wait by at most a half.
    let draw = f64::from(u32::try_from(cx.draw().below(1000)).unwrap_or_default()) / 1000.0;
    for (status, nominal) in [(500, [1500, 3000, 6000]), (429, [3000, 6000, 12_000])] {
        for unit in [0.0, draw] {
            let server = Server::new(0);
            let orchestrator = jittered(&cx, &server, unit).await?;
            register(&cx, &orchestrator, "a", patient("a")).await?;
            server.next(&url("a"), vec![Ends::With(0, status); 9]);
            run(&cx, &orchestrator, "a").await?;
            let began = server.began(&url("a"));
            let waits: Vec<u64> = began.windows(2).map(|pair| pair[1] - pair[0]).collect();
            let ok = waits.iter().zip(nominal).all(|(wait, most)| (most / 2..most).contains(wait));
            ensure!(ok && waits.len() == nominal.len(), "{status} each time, with a jitter of {unit}: the waits between the attempts are {waits:?} ms"; expected = format!("each shorter than {nominal:?} ms, and none shorter than the half"), help = "`Backoff::delay` with the number of the attempt and `jitter.unit()`");
        }
    }
    Ok(())
}

pub async fn honours_retry_after(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    for seconds in [draw.between(31..=90), draw.between(4..=30), 300] {
        let server = Server::new(0);
        let orchestrator = made(&cx, &server).await?;
        register(&cx, &orchestrator, "a", patient("a")).await?;
        server.next(&url("a"), [Ends::After(429, seconds), Ends::After(429, 1)]);
        cx.call(RUN, orchestrator.run("a")).await?;
        let expected = [0, seconds * 1000, seconds * 1000 + 1000];
        ensure_eq!(server.began(&url("a")), expected, "429 with `Retry-After: {seconds}`, then with 1: when the attempts began"; help = "the server's wish stands in for the schedule, also if it is longer than the cap");
    }
    // As often as the schedule has it, and at once if the server says so.
    let server = Server::new(0);
    let orchestrator = made(&cx, &server).await?;
    register(&cx, &orchestrator, "a", patient("a")).await?;
    let asked = [draw.between(1..=90), 0, draw.between(1..=90), 7, 7, 7];
    server.next(&url("a"), asked.map(|seconds| Ends::After(429, seconds)));
    let answer = run(&cx, &orchestrator, "a").await?;
    let third = (asked[0] + asked[2]) * 1000;
    let expected = ([0, asked[0] * 1000, asked[0] * 1000, third].to_vec(), "status 429".to_owned());
    ensure_eq!((server.began(&url("a")), answer), expected, "429 each time, with `Retry-After` of {asked:?} one after the other: when the attempts began, and the result"; help = "the server says when the next attempt is made, and the schedule how many there are");
    asks_for_a_time(&cx).await
}

/// Always the same number.
#[derive(Debug)]
struct Always(f64);

impl Jitter for Always {
    fn unit(&self) -> f64 {
        self.0
    }
}

async fn jittered(cx: &Cx, server: &Server, unit: f64) -> Result<Orchestrator, Fail> {
    let server = server.clone();
    let make = move || Orchestrator::new(server, Settings::default(), Arc::new(Always(unit)));
    cx.call_fn("Orchestrator::new", make).await?.map_err(|error| {
        Fail::new(format!("the default settings are refused: {error:?}"))
            .expected("they are accepted")
    })
}

/// What the server asks for has no jitter, and only a 429 asks.
async fn asks_for_a_time(cx: &Cx) -> Outcome {
    let mut draw = cx.draw();
    for unit in [0.0, 0.5, 1.0] {
        let server = Server::new(0);
        let orchestrator = jittered(cx, &server, unit).await?;
        register(cx, &orchestrator, "a", patient("a")).await?;
        let (first, second) = (draw.between(1..=3), draw.between(31..=300));
        server.next(&url("a"), [Ends::After(429, first), Ends::After(429, second)]);
        cx.call(RUN, orchestrator.run("a")).await?;
        let expected = [0, first * 1000, (first + second) * 1000];
        ensure_eq!(server.began(&url("a")), expected, "429 with `Retry-After: {first}`, then with {second}, and a jitter of {unit}: when the attempts began"; help = "jitter belongs to the schedule: who comes before the time that the server asks for is refused again");
    }
    for (status, expected) in
        [(503, &[0, 1500][..]), (500, &[0, 1500]), (408, &[0, 1000]), (404, &[0]), (301, &[0])]
    {
        let server = Server::new(0);
        let orchestrator = made(cx, &server).await?;
        register(cx, &orchestrator, "a", patient("a")).await?;
        let seconds = draw.between(2..=300);
        server.next(&url("a"), [Ends::After(status, seconds)]);
        cx.call(RUN, orchestrator.run("a")).await?;
        ensure_eq!(server.began(&url("a")), expected, "{status} with `Retry-After: {seconds}`, without jitter: when the attempts began"; help = "the `Retry-After` of a 429 stands in for the schedule; every other status keeps its own");
    }
    Ok(())
}

pub async fn sends_twice_only_what_may_be(cx: Cx) -> Outcome {
    let with = |method: Method, retryable| {
        let request = Request { method, ..Request::get(url("a")) };
        Spec { request, retryable, ..patient("a") }
    };
    let cases = [
        (Method::GET, true, 2),
        (Method::PUT, true, 2),
        (Method::DELETE, true, 2),
        (Method::POST, true, 1),
        (Method::PATCH, true, 1),
        (Method::GET, false, 1),
        (Method::PUT, false, 1),
    ];
    for (method, retryable, expected) in cases {
        let server = Server::new(0);
        let orchestrator = made(&cx, &server).await?;
        register(&cx, &orchestrator, "a", with(method.clone(), retryable)).await?;
        server.next(&url("a"), [Ends::With(0, 500)]);
        cx.call(RUN, orchestrator.run("a")).await?;
        ensure_eq!(server.count(), expected, "a {method} with `retryable: {retryable}` fails once with 500: how often it was sent"; help = "only what is retryable and idempotent is sent again");
    }
    // Equal requests at the same time, of which one may be sent again.
    for patient_first in [true, false] {
        let server = Server::new(100);
        let orchestrator = made(&cx, &server).await?;
        for (id, retryable) in [("once", false), ("again", true)] {
            let spec = Spec { cacheable: true, ..with(Method::GET, retryable) };
            register(&cx, &orchestrator, id, spec).await?;
        }
        server.next(&url("a"), [Ends::With(100, 500), Ends::With(100, 500)]);
        let (first, second) = if patient_first { ("again", "once") } else { ("once", "again") };
        let both = async { futures::join!(orchestrator.run(first), orchestrator.run(second)) };
        let (one, two) = cx.call(RUN, both).await?.value;
        let (again, once) = if patient_first { (one, two) } else { (two, one) };
        let observed = (once.is_ok(), again.is_ok());
        ensure_eq!(observed, (false, true), "two equal GETs at once, the server fails twice, and of `{first}`, which came first, and `{second}` only `again` is retryable: whether `once` and `again` have an answer"; help = "each of them has its own rule: a call that is sent again is not shared with one that is not");
    }
    Ok(())
}

pub async fn the_timeout_is_the_whole_time(cx: Cx) -> Outcome {
    const HELP: &str =
        "one deadline around the wait for a slot, all attempts and the waits between them";
    // The second attempt begins after 1600 ms, and no third one before 4700 ms.
    let timeout = cx.draw().between(2000..=3000);
    let scripts = [
        ("an answer that takes a day", vec![Ends::With(86_400_000, 200)], 1),
        ("a failure after 100 ms each time", vec![Ends::With(100, 500); 9], 2),
    ];
    for (name, script, calls) in scripts {
        let server = Server::new(0);
        let orchestrator = made(&cx, &server).await?;
        let spec = Spec { timeout: ms(timeout), ..patient("a") };
        register(&cx, &orchestrator, "a", spec).await?;
        server.next(&url("a"), script);
        let call = cx.call(RUN, orchestrator.run("a")).await?;
        let observed = (call.took.as_millis(), super::shown(&call.value), server.count());
        let expected = (u128::from(timeout), "no answer in time".to_owned(), calls);
        ensure_eq!(observed, expected, "{name}, and a timeout of {timeout} ms: when the caller has what, after how many calls"; help = HELP);
        cx.settle().await;
        ensure_eq!(server.running(), 0, "{name}: calls on their way after the timeout"; help = "what the deadline ends is dropped");
    }
    // Two ids of one request share a call, and each has its own time.
    for (hasty_first, retryable) in [(true, true), (false, true), (true, false), (false, false)] {
        let server = Server::new(1000);
        let orchestrator = made(&cx, &server).await?;
        for (id, timeout) in [("hasty", 500), ("patient", 5000)] {
            let spec = Spec { timeout: ms(timeout), retryable, ..spec("a") };
            register(&cx, &orchestrator, id, spec).await?;
        }
        let timed = async |id: &str| {
            let answer = orchestrator.run(id).await;
            (answer.is_ok(), server.now())
        };
        let both = async {
            if hasty_first {
                futures::join!(timed("hasty"), timed("patient"))
            } else {
                let (patient, hasty) = futures::join!(timed("patient"), timed("hasty"));
                (hasty, patient)
            }
        };
        let (hasty, patient) = cx.call(RUN, both).await?.value;
        let first = if hasty_first { "hasty" } else { "patient" };
        ensure_eq!(hasty, (false, 500), "two ids of one request (`retryable: {retryable}`) with timeouts of 500 and 5000 ms, an answer takes 1000 ms, and the {first} one came first: whether the one with 500 ms has an answer, and when"; help = "the time belongs to the caller, and not to the call that it joins");
        ensure!(patient.0 && patient.1 <= 2000, "the same, and the one with 5000 ms: whether it has an answer, and when: {patient:?}"; expected = "an answer at 1000 ms, or at 1500 ms after a call of its own", help = "a call that ends with the time of another caller is no answer for one that has time left");
    }
    Ok(())
}

pub async fn adapts_the_time_of_an_attempt(cx: Cx) -> Outcome {
    // The answers before, in ms and status; then the time that an attempt has, of a timeout of 10 s.
    let seconds = |secs: u64| Ends::With(secs * 1000, 200);
    let cases: [(&str, Vec<Ends>, u64); 9] = [
        ("nothing", vec![], 10_000),
        ("one answer after 10 ms", vec![Ends::With(10, 200)], 5000),
        ("answers after 2 s and 4 s", vec![Ends::With(2000, 200), Ends::With(4000, 200)], 7500),
        (
            "one answer after 2 s, one quick failure",
            vec![Ends::With(2000, 200), Ends::With(0, 404)],
            7500,
        ),
        ("one quick failure", vec![Ends::With(0, 404)], 10_000),
        (
            "nine answers after 2 s, one quick failure",
            [vec![seconds(2); 9], vec![Ends::With(0, 404)]].concat(),
            5000,
        ),
        (
            "eight answers after 2 s, one quick failure",
            [vec![Ends::With(0, 404)], vec![seconds(2); 8]].concat(),
            7500,
        ),
        ("one answer after 6 s", vec![seconds(6)], 10_000),
        (
            "five answers after 5 s, five after 1 s",
            [vec![seconds(5); 5], vec![seconds(1); 5]].concat(),
            7500,
        ),
    ];
    for (name, before, expected) in cases {
        let server = Server::new(0);
        let orchestrator = made(&cx, &server).await?;
        register(&cx, &orchestrator, "a", Spec { timeout: ms(10_000), ..patient("a") }).await?;
        let count = before.len();
        server.next(&url("a"), before.into_iter().chain([Ends::With(86_400_000, 200)]));
        for _ in 0..=count {
            cx.call(RUN, orchestrator.run("a")).await?;
        }
        cx.settle().await;
        let seen = server.seen();
        let took = seen.get(count).and_then(|it| Some(it.ended?.0 - it.began));
        ensure_eq!(took, Some(expected), "a timeout of 10 s; before it {name}: for how many ms an attempt without an answer ran"; help = "2.5 times the mean latency of successful attempts, 1.5 times more below 90 % success, between the half of `timeout` and all of it");
    }
    // A long timeout: an attempt has 30 s at most.
    let server = Server::new(0);
    let orchestrator = made(&cx, &server).await?;
    let long = cx.draw().between(61_000..=600_000);
    register(&cx, &orchestrator, "a", Spec { timeout: ms(long), retryable: false, ..patient("a") })
        .await?;
    server.next(&url("a"), [seconds(1), Ends::With(86_400_000, 200)]);
    for _ in 0..2 {
        cx.call(RUN, orchestrator.run("a")).await?;
    }
    cx.settle().await;
    let took = server.seen().get(1).and_then(|it| Some(it.ended?.0 - it.began));
    ensure_eq!(took, Some(30_000), "a timeout of {long} ms, and an answer after 1 s before: for how many ms an attempt without an answer ran"; help = "an attempt never has more than 30 s: it holds a slot");
    super::replaced::has_no_latencies_of_the_old(&cx).await
}

pub async fn figures_add_up(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let server = Server::new(0);
    let orchestrator = made(&cx, &server).await?;
    register(&cx, &orchestrator, "a", Spec { retryable: false, ..patient("a") }).await?;
    register(&cx, &orchestrator, "b", patient("b")).await?;
    let mut latencies: Vec<u64> = (1..=20).map(|number| number * 10).collect();
    draw.shuffle(&mut latencies);
    server.next(&url("a"), [Ends::With(5, 500)]);
    server.next(&url("a"), latencies.into_iter().map(|latency| Ends::With(latency, 200)));
    for _ in 0..21 {
        cx.call(RUN, orchestrator.run("a")).await?;
    }
    let shown = |id: &str| {
        let it = orchestrator.metrics(id)?;
        Some((it.attempts, it.ok, it.mean.as_millis(), it.p95.as_millis()))
    };
    ensure_eq!(shown("a"), Some((21, 20, 105, 190)), "a failure after 5 ms and answers after 10, 20 ... 200 ms: attempts, successes, mean and p95 in ms"; help = "only successful attempts have a latency; p95 is the 19th of 20 in order");
    ensure_eq!(shown("b"), Some((0, 0, 0, 0)), "the figures of a request that was never sent");
    ensure_eq!(shown("c"), None, "the figures of an unknown id");
    counts_from_the_slot(&cx).await?;
    counts_the_newest(&cx).await?;
    super::replaced::begins_with_no_figures(&cx).await
}

/// More answers than are kept: the oldest ones do not count any more.
async fn counts_the_newest(cx: &Cx) -> Outcome {
    let mut draw = cx.draw();
    let (slow, quick) = (draw.between(500..=900), draw.between(10..=90));
    let many = 96 + draw.index(4);
    let server = Server::new(quick);
    let orchestrator = made(cx, &server).await?;
    register(cx, &orchestrator, "a", Spec { retryable: false, ..patient("a") }).await?;
    // Failures between them are no latencies, and put none out.
    let before = (0..30).map(|_| Ends::With(slow, 200));
    let between =
        (0..many + 20).map(|number| Ends::With(quick, if number < many { 200 } else { 500 }));
    server.next(&url("a"), before.chain(between));
    let all = async {
        for _ in 0..30 + many + 20 {
            drop(orchestrator.run("a").await);
        }
    };
    cx.call(RUN, all).await?;
    let seen = orchestrator
        .metrics("a")
        .map(|it| (it.attempts, it.ok, it.mean.as_millis(), it.p95.as_millis()));
    let kept = u64::try_from(100 - many).unwrap_or(0);
    let mean = (kept * slow + (100 - kept) * quick) / 100;
    // The 95th of a hundred in order: four slow ones are beyond it.
    let expected = (30 + many as u64 + 20, 30 + many as u64, u128::from(mean), u128::from(quick));
    ensure_eq!(seen, Some(expected), "30 answers after {slow} ms, then {many} after {quick} ms and 20 failures: attempts, successes, mean and p95 in ms"; help = "mean and p95 are those of the newest 100 successful attempts");
    Ok(())
}

/// Requests that wait in the line before they are sent.
async fn counts_from_the_slot(cx: &Cx) -> Outcome {
    let server = Server::new(20);
    let orchestrator = with(cx, &server, super::line::fixed(1)).await?;
    let once = |id: &str| Spec { retryable: false, ..patient(id) };
    for id in ["slow", "quick"] {
        register(cx, &orchestrator, id, once(id)).await?;
    }
    register(cx, &orchestrator, "hangs", Spec { timeout: ms(500), ..once("hangs") }).await?;
    server.next(&url("slow"), [Ends::With(300, 200), Ends::With(300, 200)]);
    server.next(&url("hangs"), [Ends::With(86_400_000, 200)]);
    let shown = |id: &str| {
        let it = orchestrator.metrics(id)?;
        Some((it.attempts, it.ok, it.mean.as_millis()))
    };
    for (second, expected, what) in [
        ("quick", (1, 1, 20), "is answered after 20 ms"),
        ("hangs", (1, 0, 0), "has no answer within its timeout of 500 ms"),
    ] {
        let both = async { futures::join!(orchestrator.run("slow"), orchestrator.run(second)) };
        cx.call(RUN, both).await?;
        ensure_eq!(shown(second), Some(expected), "there is one slot, and a request waits for it for 300 ms and {what}: its attempts, successes and mean in ms"; help = "an attempt begins with its slot, and one that the request's timeout ends has failed");
    }
    Ok(())
}
