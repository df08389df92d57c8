//! Requests that are the same, and requests that are not.

use futures::future::{join, join_all};
use futures::{StreamExt as _, future};
use grader_kit::{Cx, Outcome, ensure, ensure_eq, ms};
use http::header::{ACCEPT, ACCEPT_LANGUAGE, AUTHORIZATION, HeaderName, USER_AGENT};
use http::{HeaderValue, Method};
use level4::http_client::{Caching, Request, Settings};
use tokio::time::sleep;

use super::fakes::{Ends, Server};
use super::{A, GET, SEND, ask, client, get, item, send, short};
use crate::ops::nz;

pub async fn one_request_for_all_callers(cx: Cx) -> Outcome {
    const HELP: &str = "copies and shared requests belong together: who finds no copy joins a request that is on its way";
    let server = Server::new(100);
    let client = client(&cx, &server, short()).await?;
    // Callers of each kind, some of them later, while the request is on its way.
    let late = |at: u64, caching| {
        let client = client.clone();
        async move {
            sleep(ms(at)).await;
            get(&client, A, caching).await
        }
    };
    let plain = join_all((0..5).map(|number| late(number * 20, Caching::Use)));
    let others = join(late(30, Caching::Bypass), late(99, Caching::Bypass));
    let load = async {
        sleep(ms(10)).await;
        client.progressive(A).map(|it| item(&it)).collect::<Vec<_>>().await
    };
    let call = cx.call(GET, future::join3(plain, others, load)).await?;
    ensure!(server.count() == 1, "five `get`, two with `Bypass` and a progressive load ask for the same URL at once: {} requests", server.count(); expected = "1", help = HELP);
    ensure!(call.took == ms(100), "callers who share a request of 100 ms have their answers at {} ms", call.took.as_millis(); expected = "100 ms", help = HELP);
    let (mut answers, others, load) = call.value;
    answers.extend([others.0, others.1]);
    ensure!(answers.iter().all(|answer| answer == "answer 1"), "callers who share a request have other answers: {answers:?}"; expected = "answer 1");
    ensure_eq!(load, ["fresh: answer 1"], "the progressive load that shares the request");
    // The shared answer is a copy for those who come later.
    let later = ask(&cx, &client, A).await?;
    ensure_eq!(later, "answer 1", "after a request that many shared"; help = HELP);
    // An error reaches all.
    server.next("http://a.example/broken", [Ends::With(500, &[], "no")]);
    let all = join_all((0..3).map(|_| get(&client, "http://a.example/broken", Caching::Use)));
    let all = cx.call(GET, all).await?.value;
    ensure!(all.iter().all(|it| it == "status 500: no"), "three callers share a request that fails: {all:?}"; expected = "the error, for each of them");
    Ok(())
}

fn with(name: HeaderName, value: &'static str) -> Request {
    let mut request = Request::get(A);
    request.headers.insert(name, HeaderValue::from_static(value));
    request
}

pub async fn requests_are_apart(cx: Cx) -> Outcome {
    const HELP: &str =
        "the key of a copy has the method, the URL and the values of the headers of `vary`";
    let server = Server::new(10);
    let client = client(&cx, &server, short()).await?;
    let head = Request { method: Method::HEAD, ..Request::get(A) };
    let mut twice = with(ACCEPT, "text/html");
    twice.headers.append(ACCEPT, HeaderValue::from_static("text/plain"));
    let all = [
        ("GET", Request::get(A)),
        ("HEAD", head),
        ("another path", Request::get("http://a.example/rates/")),
        ("capital letters in the path", Request::get("http://a.example/Rates")),
        ("another query", Request::get("http://a.example/rates?x=1")),
        ("another host", Request::get("http://b.example/rates")),
        ("another scheme", Request::get("https://a.example/rates")),
        ("Accept", with(ACCEPT, "text/html")),
        ("another Accept", with(ACCEPT, "application/json")),
        ("two of Accept", twice),
        ("Accept-Language", with(ACCEPT_LANGUAGE, "text/html")),
        ("Authorization", with(AUTHORIZATION, "Bearer anna")),
        ("another Authorization", with(AUTHORIZATION, "Bearer bert")),
    ];
    // At once, so that none joins another one; then again, when each has a copy of its own.
    let at_once =
        join_all(all.iter().map(|(_, request)| client.send(request.clone(), Caching::Use)));
    let first = cx.call(SEND, at_once).await?.value;
    ensure!(server.count() == all.len(), "{} requests that differ are sent at once, and the server sees {}", all.len(), server.count(); expected = all.len().to_string(), help = HELP);
    for ((what, request), first) in all.into_iter().zip(first) {
        let first = super::shown(&first.map(|hit| hit.value));
        let again = send(&cx, &client, request).await?;
        ensure_eq!(again, first, "the copy of a request that differs in this: {what}"; help = HELP);
    }
    // Headers that are not in the list make no difference.
    let before = server.count();
    let agent = send(&cx, &client, with(USER_AGENT, "a")).await?;
    ensure!(agent == "answer 1" && server.count() == before, "a request with a header that is not in `vary` has no part in the copy without it"; help = HELP);
    let server = Server::new(0);
    let settings = Settings { vary: vec![USER_AGENT], ..short() };
    let client = super::client(&cx, &server, settings).await?;
    for (request, expected) in [
        (with(USER_AGENT, "a"), "answer 1"),
        (with(USER_AGENT, "b"), "answer 2"),
        (with(ACCEPT, "text/html"), "answer 3"),
        (with(ACCEPT, "application/json"), "answer 3"),
    ] {
        let answer = send(&cx, &client, request.clone()).await?;
        ensure_eq!(answer, expected, "`vary` is User-Agent alone; a request with {:?}", request.headers; help = HELP);
    }
    Ok(())
}

pub async fn other_methods_go_through(cx: Cx) -> Outcome {
    const HELP: &str =
        "only `GET` and `HEAD` have copies and are shared: a second POST is a second order";
    let own = Method::from_bytes(b"PURGE").unwrap_or(Method::TRACE);
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH, Method::OPTIONS, own] {
        let server = Server::new(10);
        let client = client(&cx, &server, short()).await?;
        let request = Request { method: method.clone(), body: b"one".to_vec(), ..Request::get(A) };
        let three = join_all((0..3).map(|_| client.send(request.clone(), Caching::Use)));
        cx.call(SEND, three).await?;
        send(&cx, &client, request.clone()).await?;
        ensure!(server.count() == 4, "three {method} at once and one later: {} requests", server.count(); expected = "4", help = HELP);
        let passed = server.seen().iter().all(|seen| seen.request == request);
        ensure!(passed, "a {method} reaches the server changed"; expected = format!("{request:?}"));
        let get = ask(&cx, &client, A).await?;
        ensure_eq!(get, "answer 5", "a GET after {method} of the same URL"; help = HELP);
        server.next(A, [Ends::With(409, &[], "no")]);
        let failed = send(&cx, &client, request.clone()).await?;
        ensure_eq!(failed, "status 409: no", "a {method} that the server refuses");
        send(&cx, &client, request).await?;
        let get = ask(&cx, &client, A).await?;
        ensure_eq!(get, "answer 5", "a GET whose copy is there, after one more {method} of the same URL";
            help = "only `invalidate` forgets a copy: what a request of another method changes is the caller's knowledge");
    }
    Ok(())
}

pub async fn invalidates_by_prefix(cx: Cx) -> Outcome {
    const HELP: &str = "every copy whose URL begins with the prefix is gone, and no other one";
    let urls = [
        "http://a.example/users",
        "http://a.example/users/1",
        "http://a.example/users/1?full",
        "http://a.example/rates",
        "http://b.example/users/1",
    ];
    for (prefix, gone) in [
        ("http://a.example/users/1", vec![1, 2]),
        ("http://a.example/users", vec![0, 1, 2]),
        ("http://a.example/", vec![0, 1, 2, 3]),
        ("http://b.example/users/1", vec![4]),
        // In the middle of a word: a prefix is one of the text.
        ("http://a.example/us", vec![0, 1, 2]),
        ("http://a.example/users/1?f", vec![2]),
        ("http://a", vec![0, 1, 2, 3]),
        ("http", vec![0, 1, 2, 3, 4]),
        ("", vec![0, 1, 2, 3, 4]),
        ("/users", vec![]),
        ("http://c.example/", vec![]),
        ("http://a.example/users/1?full&more", vec![]),
    ] {
        let server = Server::new(0);
        let client = client(&cx, &server, short()).await?;
        for url in urls {
            ask(&cx, &client, url).await?;
        }
        // Twice: what was fetched between the two is gone too.
        for round in 1..=2 {
            cx.call_fn("HttpClient::invalidate", || client.clone().invalidate(prefix)).await?;
            for (index, url) in urls.into_iter().enumerate() {
                let before = server.count();
                ask(&cx, &client, url).await?;
                let asked = server.count() > before;
                ensure!(asked == gone.contains(&index), "`{prefix}` was invalidated {round} times, and {url} was {}", if asked { "fetched again" } else { "answered by its copy" };
                    expected = if asked { "its copy is untouched" } else { "its copy is gone" }, help = HELP);
            }
        }
    }
    // Also many prefixes, each of which is asked for again.
    let server = Server::new(0);
    let client = client(&cx, &server, short()).await?;
    for number in 0..300 {
        let url = format!("http://a.example/users/{}", number % 150);
        ask(&cx, &client, &url).await?;
        client.invalidate(&url);
        let before = server.count();
        ask(&cx, &client, &url).await?;
        ask(&cx, &client, &url).await?;
        ensure!(server.count() == before + 1, "{} prefixes were invalidated one after the other, and the last one is asked for twice: {} requests", number + 1, server.count() - before; expected = "1", help = HELP);
    }
    stays_forgotten(&cx).await
}

/// A copy that was invalidated does not come back, however many other prefixes are invalidated after it.
async fn stays_forgotten(cx: &Cx) -> Outcome {
    const COPIES: usize = 90;
    let mut draw = cx.draw();
    let server = Server::new(0);
    let client = client(cx, &server, Settings { capacity: nz(1_000), ..short() }).await?;
    let mut urls: Vec<_> =
        (0..COPIES).map(|number| format!("http://a.example/{}/{number}", draw.word())).collect();
    for url in &urls {
        ask(cx, &client, url).await?;
    }
    for url in &urls {
        client.invalidate(url);
    }
    draw.shuffle(&mut urls);
    for url in &urls {
        let before = server.count();
        ask(cx, &client, url).await?;
        ensure!(server.count() == before + 1, "{COPIES} copies were invalidated, each by its own URL, and {url} was answered by its copy";
            expected = "its copy is gone, and stays so when other prefixes are invalidated",
            help = "to forget a prefix is to say again that its copies are good: when there are too many, forget all copies instead");
    }
    Ok(())
}

pub async fn an_obsolete_request_is_not_kept(cx: Cx) -> Outcome {
    const HELP: &str = "a request that began before the invalidation may bring what was there before it: its callers get it, and that is all";
    let server = Server::new(100);
    let client = client(&cx, &server, short()).await?;
    let first = get(&client, A, Caching::Use);
    let invalidates = async {
        sleep(ms(50)).await;
        client.invalidate("http://a.example/");
        // Who comes now does not join.
        get(&client, A, Caching::Use).await
    };
    let (first, second) = cx.call(GET, join(first, invalidates)).await?.value;
    ensure_eq!(first, "answer 1", "a request was invalidated while it was on its way: its caller");
    ensure_eq!(second, "answer 2", "a caller who comes after the invalidation"; help = HELP);
    ensure_eq!(ask(&cx, &client, A).await?, "answer 2", "at 150 ms, with both answers there"; help = HELP);
    // Alone: nothing is kept of it.
    client.invalidate(A);
    let alone = get(&client, A, Caching::Bypass);
    let invalidates = async {
        sleep(ms(50)).await;
        client.invalidate(A);
    };
    cx.call(GET, join(alone, invalidates)).await?;
    ensure_eq!(ask(&cx, &client, A).await?, "answer 4", "a request was invalidated while it was on its way, and its answer has come"; help = HELP);
    Ok(())
}
