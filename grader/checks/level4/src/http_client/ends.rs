//! Callers who leave, panics, early drops, large figures.

use std::panic::AssertUnwindSafe;
use std::pin::pin;

use futures::future::{join, join_all, poll_immediate};
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use grader_kit::{Cx, Fail, Outcome, dropped_at, ensure, ensure_eq, ms, scarce};
use http::Method;
use level4::http_client::{BatchError, Caching, Request, Settings};
use tokio::time::{sleep, timeout};

use super::fakes::{Ends, Server};
use super::{A, BATCH, GET, PROGRESSIVE, ask, client, get, items, observed, short};
use crate::ops::{NEWEST_WAKER, nz};
use crate::panics::Payload;

pub async fn a_request_lives_as_long_as_its_callers(cx: Cx) -> Outcome {
    const HELP: &str = "a request runs inside of the futures of its callers: it goes on with one of them, and is dropped with the last one";
    let server = Server::new(100);
    let client = client(&cx, &server, short()).await?;
    // The first caller leaves, another one stays.
    let leaves = timeout(ms(30), get(&client, A, Caching::Use));
    let stays = async {
        sleep(ms(10)).await;
        get(&client, A, Caching::Use).await
    };
    let call = cx.call(GET, join(leaves, stays)).await?;
    ensure!(call.value.1 == "answer 1" && call.took == ms(100), "the first of two callers leaves at 30 ms; the other one has {} at {} ms", call.value.1, call.took.as_millis(); expected = "answer 1 at 100 ms, of the same request", help = HELP);
    ensure_eq!(ask(&cx, &client, A).await?, "answer 1", "after that"; help = "the answer is kept, although the caller who began the request has left");
    // No caller is left: the request is given up, and the next call begins another one.
    let slow = Server::new(100);
    let client = super::client(&cx, &slow, short()).await?;
    dropped_at(&cx, GET, 50, get(&client, A, Caching::Use)).await?;
    ensure!(slow.running() == 0, "its only caller was dropped, and the request runs on"; expected = "it is dropped", help = HELP);
    ensure_eq!(ask(&cx, &client, A).await?, "answer 2", "after a request that was dropped"; help = HELP);
    // A progressive load, with the copy on the page.
    let load = observed(1000, client.progressive(A));
    dropped_at(&cx, PROGRESSIVE, 50, load).await?;
    ensure!(slow.running() == 0 && slow.count() == 3, "a progressive load was dropped, and its request runs on, or there was none"; expected = "it is dropped", help = HELP);
    // A batch: two hosts at once, and nothing of what has not begun.
    let settings = Settings { batch_size: nz(2), batches: nz(2), ..short() };
    let client = super::client(&cx, &slow, settings).await?;
    let requests: Vec<_> = (0..12)
        .map(|number| (number, Request::get(format!("http://{}/{number}", ["a", "b"][number % 2]))))
        .collect();
    dropped_at(&cx, BATCH, 150, client.batch(requests)).await?;
    ensure!(slow.running() == 0, "a batch was dropped, and {} requests run on", slow.running(); expected = "none", help = HELP);
    cx.pass(ms(86_400_000)).await;
    ensure!(slow.count() == 11, "12 requests in batches of 2, two at once, dropped at 150 ms: {} were sent", slow.count() - 3; expected = "8: those of the first two rounds, and none later", help = HELP);
    Ok(())
}

pub async fn a_panic_passes(cx: Cx) -> Outcome {
    let word = cx.draw().word();
    for payload in Payload::all(&word) {
        let server = Server::new(10);
        let client = client(&cx, &server, short()).await?;
        let panic = || Ends::Panic(payload.clone());
        server.next(A, [panic(), panic(), Ends::With(200, &[], "well")]);
        let panics = AssertUnwindSafe(get(&client, A, Caching::Use)).catch_unwind();
        let outcome = cx.call(GET, panics).await?.value;
        // Which panic it is, is left to `single_flight`, whose callers may get one of its own.
        let Err(panic) = outcome else {
            return Err(Fail::new("the transport panics, and the caller gets an answer")
                .expected("a panic"));
        };
        // In a batch it is a result, and the others of its host have theirs.
        let requests = [A, "http://a.example/1", "http://b.example/2"];
        let requests = requests.into_iter().map(|url| (url, Request::get(url))).collect();
        let answers = cx.call(BATCH, client.batch(requests)).await?.value;
        let text = Payload::text_of(panic.as_ref()).to_owned();
        ensure!(answers.first().is_some_and(|(_, it)| *it == Err(BatchError::Panicked(text.clone()))), "a request of a batch panics with `{text}`: {:?}", answers.first(); expected = "Panicked, with that text");
        ensure!(answers.iter().skip(1).all(|(_, it)| it.is_ok()), "a request of a batch panics, and the others have no answer: {answers:?}"; expected = "their answers");
        ensure_eq!(ask(&cx, &client, A).await?, "well", "after requests that panicked");
    }
    Ok(())
}

pub async fn begins_with_the_first_poll(cx: Cx) -> Outcome {
    let server = Server::new(10);
    let client = client(&cx, &server, short()).await?;
    let early = client.get(A, Caching::Use);
    let load = client.progressive(A);
    let post = Request { method: Method::POST, ..Request::get(A) };
    drop(client.send(post, Caching::Use));
    drop(client.batch(vec![(1, Request::get(A))]));
    drop(client.progressive(A));
    sleep(ms(50)).await;
    ensure!(server.count() == 0, "futures and streams were made and not polled, and there are {} requests", server.count(); expected = "none");
    // What is there at the first poll counts.
    ask(&cx, &client, A).await?;
    sleep(ms(20)).await;
    let hit = cx.call(GET, early).await?.value;
    ensure!(hit.is_ok_and(|hit| hit.age == ms(20)), "a future that was made before the copy, and polled 20 ms after it: no hit of 20 ms"; expected = "the copy that is there at the first poll");
    let observed = cx.call(PROGRESSIVE, observed(1000, load)).await?.value;
    let expected = items([(0, "copy of 20 ms: answer 1"), (10, "fresh: answer 2")]);
    observed.ensure(
        &expected,
        "a stream that was made before the copy",
        "look at the copies when the stream is polled",
    )?;
    // The request begins with the poll after the copy's.
    let before = server.count();
    let mut load = pin!(client.progressive(A));
    let first = cx.call(PROGRESSIVE, load.next()).await?.value;
    sleep(ms(50)).await;
    ensure!(first.is_some() && server.count() == before, "a page has the copy of a progressive load and asks for nothing more, and a request was sent"; expected = "it is sent when the next item is asked for");
    Ok(())
}

pub async fn waits_without_looking(cx: Cx) -> Outcome {
    let server = Server::new(250_000);
    let client = client(&cx, &server, short()).await?;
    let requests: Vec<_> = (0..8).map(|n| (n, Request::get(format!("http://a/{n}")))).collect();
    let load = observed(300_000, client.progressive(A));
    let gets = join_all((0..3).map(|_| get(&client, A, Caching::Use)));
    let call = cx.call(GET, futures::future::join3(gets, load, client.batch(requests))).await?;
    ensure!(call.polls < 500, "requests of 250 s with four callers, and a batch of eight, took {} polls", call.polls;
        expected = "a few: what waits is woken",
        help = "a loop that sleeps for a moment and checks again costs a processor when thousands wait");
    moves(&cx).await
}

/// Calls that one task has polled and another one awaits, alone and with callers who share the request.
async fn moves(cx: &Cx) -> Outcome {
    for others in [0, 2] {
        let server = Server::new(100);
        let client = client(cx, &server, short()).await?;
        let request = Request { method: Method::POST, ..Request::get("http://a.example/post") };
        let mut moved = vec![
            ("get", get(&client, A, Caching::Use).boxed_local()),
            ("get, with Bypass", get(&client, A, Caching::Bypass).boxed_local()),
            (
                "send",
                client
                    .send(request, Caching::Use)
                    .map(|it| super::shown(&it.map(|hit| hit.value)))
                    .boxed_local(),
            ),
            (
                "batch",
                client
                    .batch(vec![(1, Request::get("http://b.example/batch"))])
                    .map(|answers| {
                        format!("{} answer", answers.iter().filter(|(_, it)| it.is_ok()).count())
                    })
                    .boxed_local(),
            ),
            (
                "progressive",
                client
                    .progressive("http://c.example/load")
                    .map(|it| super::item(&it))
                    .collect::<Vec<_>>()
                    .map(|items| items.join(", "))
                    .boxed_local(),
            ),
        ];
        for (name, call) in &mut moved {
            ensure!(
                call.now_or_never().is_none(),
                "a request takes 100 ms, and `{name}` is ready at once"
            );
        }
        // Each is polled only when it was woken itself; the others drive the request.
        let others =
            (0..others).map(|_| ("another get", get(&client, A, Caching::Use).boxed_local()));
        let calls: FuturesUnordered<_> = others
            .chain(moved)
            .map(|(name, call)| async move { (name, timeout(ms(10_000), call).await.ok()) })
            .collect();
        let began = cx.timeline().now_ms();
        let ended = calls.map(|(name, answer)| (name, answer, cx.timeline().now_ms() - began));
        for (name, answer, at) in cx.call(GET, ended.collect::<Vec<_>>()).await?.value {
            ensure!(answer.is_some() && at == 100, "`{name}` was polled by one task and is awaited by another one, and the request takes 100 ms: it has its answer {}", if answer.is_some() { format!("at {at} ms") } else { "not within 10 s".to_owned() };
                expected = "at 100 ms", help = NEWEST_WAKER);
        }
    }
    Ok(())
}

pub async fn keeps_nothing_of_what_has_ended(cx: Cx) -> Outcome {
    let server = Server::new(0);
    let settings = Settings { capacity: nz(16), ..short() };
    let client = client(&cx, &server, settings).await?;
    for number in 0..200 {
        ask(&cx, &client, &format!("http://a/{number}")).await?;
        client.invalidate(&format!("http://a/{number}"));
    }
    server.forget();
    let _scarce = scarce(3 << 19);
    for round in 0..100_u64 {
        let many = async {
            for number in 0..50 {
                let url = format!("http://a{}/{round}/{number}", number % 50);
                let _ = client.get(&url, Caching::Use).await;
                let _ = client.get(&url, Caching::Bypass).await;
                let _ = client.get("no URL", Caching::Use).await;
                let other = format!("{url}/never");
                let _ = poll_immediate(client.get(&other, Caching::Use)).await;
                let load = pin!(client.progressive(&url));
                let _ = load.count().await;
                client.invalidate(&url);
            }
            let requests = (0..5).map(|n| ((), Request::get(format!("http://b{n}/{round}"))));
            let _ = client.batch(requests.collect()).await;
        };
        cx.call(GET, many).await?;
    }
    // Many prefixes, none of which is asked for.
    for round in 0..20_u64 {
        let many = || (0..2_000).for_each(|n| client.invalidate(&format!("http://c/{round}/{n}")));
        cx.call_fn("HttpClient::invalidate", many).await?;
    }
    Ok(())
}
