//! Copies: when they answer, and which answers become one.

use std::pin::pin;
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::{join3, poll_immediate};
use grader_kit::{Cx, Fail, Outcome, ensure, ensure_eq, ms};
use level4::http_client::{
    Caching, ConfigError, Hit, HttpError, Request, Settings, TransportError,
};
use tokio::time::sleep;

use super::fakes::{Ends, Server};
use super::{A, Client, FIVE_MINUTES, GET, PROGRESSIVE, SEND, Way, ask, body, client, get, short};
use crate::ops::nz;

pub async fn a_fresh_copy_answers(cx: Cx) -> Outcome {
    const HELP: &str = "a copy answers while its age is less than the ttl, which is five minutes unless the settings say otherwise";
    let ttl = cx.draw().between(2..=5000);
    let other = Settings { ttl: ms(ttl), ..Settings::default() };
    for (ttl, settings) in [(FIVE_MINUTES, Settings::default()), (100, short()), (ttl, other)] {
        let server = Server::new(40);
        let client = client(&cx, &server, settings).await?;
        let shown = |hit: Result<Hit<level4::http_client::Response>, HttpError>| match hit {
            Ok(hit) => {
                let fresh = if hit.fresh { "fresh" } else { "stale" };
                format!("{}, {} ms old, {fresh}", body(&hit.value), hit.age.as_millis())
            }
            Err(error) => format!("{error:?}"),
        };
        let first = cx.call(GET, client.get(A, Caching::Use)).await?;
        ensure_eq!(shown(first.value), "answer 1, 0 ms old, fresh", "the first answer");
        sleep(ms(ttl - 1)).await;
        let hit = cx.call(GET, client.get(A, Caching::Use)).await?;
        let expected = format!("answer 1, {} ms old, fresh", ttl - 1);
        ensure_eq!(shown(hit.value), expected, "a ttl of {ttl} ms, and a copy of {} ms", ttl - 1; help = HELP);
        ensure!(hit.took.is_zero(), "a fresh copy answers after {} ms", hit.took.as_millis(); expected = "at once", help = HELP);
        sleep(ms(1)).await;
        let miss = cx.call(GET, client.clone().get(A, Caching::Use)).await?;
        ensure_eq!(shown(miss.value), "answer 2, 0 ms old, fresh", "a ttl of {ttl} ms, and a copy of {ttl} ms"; help = HELP);
    }
    // A time that is no whole number of milliseconds.
    let server = Server::new(0);
    let settings = Settings { ttl: Duration::from_micros(1_500), ..short() };
    let client = client(&cx, &server, settings).await?;
    for (at, expected) in [(0, "answer 1"), (1, "answer 1"), (2, "answer 2")] {
        ensure_eq!(ask(&cx, &client, A).await?, expected, "a ttl of 1.5 ms, and a `get` at {at} ms"; help = "compare the times as they are, without rounding");
        sleep(ms(1)).await;
    }
    // A caller who shares a request, and is not polled when its answer arrives.
    for (late, fresh) in [(30, true), (99, true), (100, false)] {
        let server = Server::new(40);
        let client = super::client(&cx, &server, short()).await?;
        let script = async {
            let mut waits = Box::pin(client.get(A, Caching::Use));
            let began = poll_immediate(&mut waits).await;
            let _ = client.get(A, Caching::Use).await;
            sleep(ms(late)).await;
            (began.is_some(), waits.await)
        };
        let (early, answer) = cx.call(GET, script).await?.value;
        ensure!(!early, "a request takes 40 ms, and its caller has an answer at once");
        let seen = answer.map(|hit| (hit.age, hit.fresh));
        ensure_eq!(seen, Ok((ms(late), fresh)), "a request ends at 40 ms, and one of its callers is polled {late} ms later, with a ttl of 100 ms: age, and whether it is fresh";
            help = "keep the time of the arrival with the answer, and calculate the age when a caller gets it");
    }
    each_way_uses_the_copies(&cx).await
}

/// Whatever way a caller asks: the answer becomes the copy, and a copy answers it.
async fn each_way_uses_the_copies(cx: &Cx) -> Outcome {
    const HELP: &str = "one way through copies and requests, which `get`, `send`, progressive loads and batches share";
    // That `Bypass` keeps its answer is another criterion.
    for first in Way::ALL.into_iter().filter(|way| *way != Way::Bypass) {
        for second in Way::ALL {
            // Those two ask the server although there is a copy.
            let asks = matches!(second, Way::Bypass | Way::Progressive);
            if asks || first.is_get() != second.is_get() {
                continue;
            }
            let server = Server::new(40);
            let client = client(cx, &server, short()).await?;
            let both = async {
                let one = first.ask(&client, A).await;
                sleep(ms(99)).await;
                let two = second.ask(&client, A).await;
                sleep(ms(1)).await;
                [one, two, second.ask(&client, A).await]
            };
            let answers = cx.call(SEND, both).await?.value;
            ensure_eq!(answers, ["answer 1", "answer 1", "answer 2"], "{}, and then twice {}, when the copy is 99 and 100 ms old, with a ttl of 100 ms: the answers", first.name(), second.name(); help = HELP);
        }
    }
    Ok(())
}

pub async fn bypass_asks_and_keeps(cx: Cx) -> Outcome {
    const HELP: &str = "`Bypass` leaves the look at the copies out, and nothing else: the answer is kept as any other";
    let server = Server::new(10);
    let client = client(&cx, &server, short()).await?;
    for (at, caching, expected) in [
        (0, Caching::Use, "answer 1"),
        (50, Caching::Bypass, "answer 2"),
        (10, Caching::Use, "answer 2"),
        (89, Caching::Use, "answer 2"),
        (1, Caching::Use, "answer 3"),
        (100, Caching::Bypass, "answer 4"),
        (0, Caching::Bypass, "answer 5"),
        (0, Caching::Use, "answer 5"),
    ] {
        sleep(ms(at)).await;
        let answer = cx.call(GET, get(&client, A, caching)).await?.value;
        ensure_eq!(answer, expected, "a ttl of 100 ms; {caching:?}, at {} ms", server.now(); help = HELP);
    }
    ensure!(Caching::default() == Caching::Use, "the default is {:?}", Caching::default(); expected = "Use");
    Ok(())
}

pub async fn only_successes_are_kept(cx: Cx) -> Outcome {
    const HELP: &str = "look at the status before you keep an answer: 200 to 299 are successes, the rest are errors";
    let drawn = u16::try_from(cx.draw().between(400..=599)).unwrap_or(400);
    for status in [301, 304, 400, 404, 429, 500, 503, drawn] {
        let server = Server::new(0);
        let client = client(&cx, &server, short()).await?;
        server.next(A, [Ends::With(status, &[], "no"), Ends::With(status, &[], "no")]);
        for call in 1..=2 {
            let answer = ask(&cx, &client, A).await?;
            ensure_eq!(answer, format!("status {status}: no"), "the server answers with {status}, call {call}"; help = HELP);
        }
        ensure_eq!(ask(&cx, &client, A).await?, "answer 3", "after two answers with {status}"; help = HELP);
    }
    for status in [200, 201, 204, 299] {
        let server = Server::new(0);
        let client = client(&cx, &server, short()).await?;
        server.next(A, [Ends::With(status, &[], "yes")]);
        for call in 1..=2 {
            let answer = ask(&cx, &client, A).await?;
            ensure_eq!(answer, "yes", "the server answers with {status}, call {call}"; help = HELP);
        }
    }
    let server = Server::new(0);
    let client = client(&cx, &server, short()).await?;
    for error in [
        TransportError::Connect("refused".to_owned()),
        TransportError::Timeout,
        TransportError::Incomplete,
    ] {
        server.next(A, [Ends::NoAnswer(error.clone())]);
        let failed = cx.call(GET, client.get(A, Caching::Use)).await?.value;
        let passed = failed == Err(HttpError::Transport(error.clone()));
        ensure!(passed, "there is no answer, {error:?}: {failed:?}"; expected = "that error, which is not kept");
    }
    ensure_eq!(ask(&cx, &client, A).await?, "answer 4", "after three requests without an answer"; help = HELP);
    errors_leave_the_copy(&cx).await
}

/// A copy survives each request that fails: a fresh one, and one that is too old to answer.
async fn errors_leave_the_copy(cx: &Cx) -> Outcome {
    const HELP: &str = "an error leaves the old copy as it is: a progressive load still shows it";
    let server = Server::new(0);
    let client = client(cx, &server, short()).await?;
    ask(cx, &client, A).await?;
    let statuses = (300..=599).map(|status| Ends::With(status, &[], "no"));
    let errors = [TransportError::Timeout, TransportError::Incomplete];
    let all: Vec<Ends> = statuses.chain(errors.map(Ends::NoAnswer)).collect();
    for ends in &all {
        server.next(A, [ends.clone()]);
        let _ = cx.call(GET, client.get(A, Caching::Bypass)).await?;
        ensure_eq!(ask(cx, &client, A).await?, "answer 1", "a fresh copy, and a request past it ended with {ends:?}"; help = HELP);
    }
    sleep(ms(100)).await;
    let shows = async || {
        let load = async { pin!(client.progressive(A)).next().await };
        let first = cx.call(PROGRESSIVE, load).await?.value;
        Ok::<_, Fail>(first.map_or_else(|| "nothing".to_owned(), |it| super::item(&it)))
    };
    // That a progressive load shows an old copy is another criterion.
    let copy = "copy of 100 ms: answer 1";
    if shows().await? != copy {
        return Ok(());
    }
    for ends in all {
        server.next(A, [ends.clone()]);
        let _ = cx.call(GET, client.get(A, Caching::Use)).await?;
        ensure_eq!(shows().await?, copy, "a copy that is too old, and its request ended with {ends:?}: the first item of a progressive load"; help = HELP);
    }
    Ok(())
}

pub async fn bad_urls_are_refused(cx: Cx) -> Outcome {
    let server = Server::new(0);
    let client = client(&cx, &server, short()).await?;
    for url in [
        "",
        "rates",
        "/rates",
        "a.example/rates",
        "ftp://a.example/",
        "http://",
        "http://a b/",
        "http:///x",
    ] {
        let bad = || HttpError::BadUrl(url.to_owned());
        for caching in [Caching::Use, Caching::Bypass] {
            let answer = cx.call(GET, client.get(url, caching)).await?.value;
            ensure!(answer == Err(bad()), "`get` of the URL `{url}`: {answer:?}"; expected = format!("{:?}", bad()));
        }
        let post = Request { method: http::Method::POST, ..Request::get(url) };
        let answer = cx.call(SEND, client.send(post, Caching::Use)).await?.value;
        ensure!(answer == Err(bad()), "a `POST` to the URL `{url}`: {answer:?}"; expected = format!("{:?}", bad()));
        let load = super::observed(1000, client.progressive(url));
        let observed = cx.call(PROGRESSIVE, load).await?.value;
        let expected = super::items([(0, format!("error: a bad URL: {url}").as_str())]);
        observed.ensure(&expected, &format!("a progressive load of the URL `{url}`"), "")?;
    }
    ensure!(server.count() == 0, "{} requests were sent to bad URLs", server.count(); expected = "none");
    for url in [
        "http://a.example",
        "https://A.example:8443/x?y=1",
        "http://127.0.0.1/",
        "http://[::1]:80/",
    ] {
        let answer = cx.call(GET, client.get(url, Caching::Use)).await?.value;
        ensure!(answer.is_ok(), "`get` of the URL `{url}`: {answer:?}"; expected = "its answer");
    }
    Ok(())
}

pub async fn a_copy_is_confirmed_by_its_tag(cx: Cx) -> Outcome {
    const HELP: &str = "with a copy that has an `ETag`, send it as `If-None-Match`; at 304 the copy has arrived now";
    const TAGGED: &[(&str, &str)] = &[("etag", "\"v1\"")];
    let server = Server::new(0);
    let client = client(&cx, &server, short()).await?;
    server.next(
        A,
        [
            Ends::With(200, TAGGED, "one"),
            Ends::With(304, &[], ""),
            Ends::With(304, TAGGED, "not the copy"),
            Ends::With(200, &[], "two"),
        ],
    );
    let said = |number: usize| {
        let seen = server.seen();
        seen.get(number)
            .map_or_else(|| "no request".to_owned(), |it| it.header("if-none-match").to_owned())
    };
    for (wait, expected, requests, tag) in [
        (0, "one", 1, "-"),
        (99, "one", 1, "-"),
        (2, "one", 2, "\"v1\""),
        (99, "one", 2, "\"v1\""),
        (1, "one", 3, "\"v1\""),
        (100, "two", 4, "\"v1\""),
        (100, "answer 5", 5, "-"),
    ] {
        sleep(ms(wait)).await;
        let answer = ask(&cx, &client, A).await?;
        ensure_eq!(answer, expected, "a ttl of 100 ms; the answers are 200 with the tag \"v1\", 304, 304, 200 without a tag, 200; at {} ms", server.now(); help = HELP);
        ensure!(server.count() == requests, "at {} ms there were {} requests", server.now(), server.count(); expected = requests.to_string(), help = HELP);
        ensure_eq!(said(requests - 1), tag, "`If-None-Match` of request {requests}"; help = HELP);
    }
    // A weak tag is sent as it came.
    let weak: &[(&str, &str)] = &[("etag", "W/\"v9\"")];
    let url = "http://a.example/weak";
    server.next(url, [Ends::With(200, weak, "weak"), Ends::With(304, &[], "")]);
    ask(&cx, &client, url).await?;
    sleep(ms(100)).await;
    let before = server.count();
    let answer = ask(&cx, &client, url).await?;
    ensure_eq!((answer.as_str(), said(before).as_str()), ("weak", "W/\"v9\""), "a copy with a weak tag that is too old: the answer, and `If-None-Match`"; help = HELP);
    // A tag of the caller's own stays, and the 304 is for the caller, also where the copy has the same tag.
    for (tag, nth) in [("\"mine\"", 8), ("\"v1\"", 10)] {
        server.next(A, [Ends::With(200, TAGGED, "three"), Ends::With(304, &[], "")]);
        cx.call(GET, get(&client, A, Caching::Bypass)).await?;
        let mut request = Request::get(A);
        let own = http::HeaderValue::from_static(tag);
        request.headers.insert(http::header::IF_NONE_MATCH, own);
        let answer = cx.call(SEND, client.send(request, Caching::Bypass)).await?.value;
        let is_304 =
            matches!(&answer, Err(HttpError::Status(response)) if response.status.as_u16() == 304);
        ensure!(is_304 && said(nth) == tag, "a request with a tag of its own, {tag}, and a copy with the tag \"v1\": it was sent with {} and ends as {answer:?}", said(nth); expected = "its own tag, and Status with 304: the copy is no answer to a question of the caller");
    }
    the_copy_may_go_meanwhile(&cx).await
}

/// A 304 confirms the copy whose tag was sent, also where that copy is gone when the 304 comes.
async fn the_copy_may_go_meanwhile(cx: &Cx) -> Outcome {
    const TAGGED: &[(&str, &str)] = &[("etag", "\"v1\"")];
    const OTHER: &str = "http://a.example/other";
    // The age at which the copy is asked for; a request for another URL that ends before; an invalidation.
    for (what, age, other, invalidated) in [
        ("has become too old to be shown", 120, false, false),
        ("has made room for another one", 100, true, false),
        ("was invalidated", 100, false, true),
    ] {
        let server = Server::new(40);
        let client = client(cx, &server, Settings { capacity: nz(1), ..short() }).await?;
        server.next(A, [Ends::With(200, TAGGED, "one"), Ends::With(304, &[], "")]);
        ask(cx, &client, A).await?;
        sleep(ms(age - 10)).await;
        let fetches = async {
            if other {
                let _ = client.get(OTHER, Caching::Use).await;
            }
        };
        let asks = async {
            sleep(ms(10)).await;
            get(&client, A, Caching::Use).await
        };
        let invalidates = async {
            sleep(ms(30)).await;
            if invalidated {
                client.invalidate(A);
            }
        };
        let ((), answer, ()) = cx.call(GET, join3(fetches, asks, invalidates)).await?.value;
        let sent = server.seen().last().map(|it| it.header("if-none-match").to_owned());
        ensure!(answer == "one" && sent.as_deref() == Some("\"v1\""), "a copy with the tag \"v1\" is asked for when it is {age} ms old; the 304 comes 40 ms later, when the copy {what}: the answer is {answer}";
            expected = "one: the copy whose tag was sent",
            help = "take the copy with its tag when the request is made, and keep it until the answer is there");
    }
    each_way_sends_the_tag(cx).await
}

/// Whatever way a caller asks: the request carries the copy's tag, and a 304 makes the copy young.
async fn each_way_sends_the_tag(cx: &Cx) -> Outcome {
    const TAGGED: &[(&str, &str)] = &[("etag", "\"v1\"")];
    for way in Way::ALL {
        // While the copy is fresh, where that is asked for.
        let wait = if matches!(way, Way::Bypass | Way::Progressive) { 60 } else { 100 };
        let server = Server::new(0);
        let client = client(cx, &server, short()).await?;
        server.next(A, [Ends::With(200, TAGGED, "one"), Ends::With(304, &[], "")]);
        let asks = async {
            let first = if way.is_get() { Way::Get } else { Way::Head };
            first.ask(&client, A).await;
            sleep(ms(wait)).await;
            let confirmed = way.ask(&client, A).await;
            sleep(ms(99)).await;
            (confirmed, first.ask(&client, A).await)
        };
        let (confirmed, later) = cx.call(SEND, asks).await?.value;
        let seen = server.seen();
        let sent = seen.get(1).map_or("no request", |it| it.header("if-none-match"));
        let expected = if way == Way::Progressive { "unchanged" } else { "one" };
        ensure!(sent == "\"v1\"" && confirmed == expected, "a copy with the tag \"v1\" is {wait} ms old, and {} asks again: `If-None-Match` is {sent}, and after a 304 the answer is {confirmed}", way.name();
            expected = format!("\"v1\", and {expected}"),
            help = "each request that may replace a copy carries its tag, whatever way it is asked for");
        ensure!(later == "one" && server.count() == 2, "a 304 came 99 ms ago, to {}, with a ttl of 100 ms: the answer is {later}, with {} requests in all", way.name(), server.count();
            expected = "one, with 2 requests", help = "at a 304 the copy has arrived now, whatever way it was asked for");
    }
    // A 304 confirms the copy of the cache, which is not the one that a page has shown.
    const NEWER: &[(&str, &str)] = &[("etag", "\"v2\"")];
    let server = Server::new(0);
    let client = client(cx, &server, short()).await?;
    let (one, two) = (Ends::With(200, TAGGED, "one"), Ends::With(200, NEWER, "two"));
    server.next(A, [one, two, Ends::With(304, &[], "")]);
    ask(cx, &client, A).await?;
    let load = async {
        let mut load = pin!(client.progressive(A));
        let _ = load.next().await;
        get(&client, A, Caching::Bypass).await;
        load.next().await.map_or_else(|| "nothing".to_owned(), |it| super::item(&it))
    };
    let last = cx.call(PROGRESSIVE, load).await?.value;
    ensure_eq!(last, "fresh: two", "a progressive load shows the copy `one`, another caller gets `two` with another tag, and the load's request is answered with 304: its last item";
        help = "at a 304 the value is the copy whose tag was sent: compare it with the one that was shown, like every other answer");
    Ok(())
}

pub async fn no_store_is_obeyed(cx: Cx) -> Outcome {
    let server = Server::new(0);
    let client = client(&cx, &server, short()).await?;
    let secret: [&[(&str, &str)]; 5] = [
        &[("cache-control", "no-store")],
        &[("cache-control", "private, no-store")],
        &[("cache-control", "No-Store,max-age=60")],
        &[("cache-control", "max-age=60"), ("cache-control", "no-store")],
        &[("cache-control", " no-store ")],
    ];
    for headers in secret {
        let url = format!("{A}/{}", server.count());
        server.next(&url, [Ends::With(200, headers, "secret"), Ends::With(200, headers, "secret")]);
        for call in 1..=2 {
            let before = server.count();
            let answer = ask(&cx, &client, &url).await?;
            ensure!(answer == "secret" && server.count() == before + 1, "an answer with {headers:?} was kept: call {call} made {} requests", server.count() - before;
                expected = "each call asks the server", help = "`no-store` is a directive of `Cache-Control`, alone or in a list");
        }
    }
    let kept: [&[(&str, &str)]; 3] =
        [&[], &[("cache-control", "private, max-age=0")], &[("cache-control", "x-no-store")]];
    for headers in kept {
        let url = format!("{A}/{}", server.count());
        server.next(&url, [Ends::With(200, headers, "open")]);
        for _ in 0..2 {
            let answer = ask(&cx, &client, &url).await?;
            ensure_eq!(answer, "open", "an answer with {headers:?}"; help = "only `no-store` is obeyed: the settings say how long a copy is fresh");
        }
    }
    // Whatever way a caller asks.
    const SECRET: &[(&str, &str)] = &[("cache-control", "no-store")];
    for way in Way::ALL {
        let server = Server::new(0);
        let client = super::client(&cx, &server, short()).await?;
        server.next(A, [Ends::With(200, SECRET, "secret")]);
        let asks = async {
            let answer = way.ask(&client, A).await;
            let again = if way.is_get() { Way::Get } else { Way::Head };
            (answer, again.ask(&client, A).await)
        };
        let (answer, again) = cx.call(SEND, asks).await?.value;
        ensure!(answer == "secret" && again == "answer 2", "an answer with `no-store` to {} is {answer}, and the next call gets {again}", way.name();
            expected = "secret, and then what the server says", help = "decide in one place whether an answer is kept");
    }
    Ok(())
}

pub async fn keeps_what_was_used_last(cx: Cx) -> Outcome {
    let drawn = cx.draw().index(30) + 2;
    for capacity in [1, 3, drawn] {
        let server = Server::new(0);
        let settings = Settings { capacity: nz(capacity), ..short() };
        let client = client(&cx, &server, settings).await?;
        let url = |number: usize| format!("{A}/{number}");
        let many = async {
            for number in 0..10 * capacity {
                get(&client, &url(number), Caching::Use).await;
            }
        };
        cx.call(GET, many).await?;
        let before = server.count();
        for number in (9 * capacity..10 * capacity).rev() {
            ask(&cx, &client, &url(number)).await?;
        }
        ensure!(server.count() == before, "a capacity of {capacity}, and {} URLs were asked for: of the last {capacity}, {} are gone", 10 * capacity, server.count() - before; expected = "none");
        // The last one first: it would be the one too many.
        for number in (0..9 * capacity).rev() {
            ask(&cx, &client, &url(number)).await?;
        }
        let again = server.count() - before;
        ensure!(again == 9 * capacity, "a capacity of {capacity}, and {} URLs were asked for: of the first {}, {again} were fetched again", 10 * capacity, 9 * capacity; expected = "all: there was no room for them");
    }
    Ok(())
}

pub async fn refuses_a_ttl_of_zero(cx: Cx) -> Outcome {
    for (ttl, refused) in [
        (Duration::ZERO, true),
        (Duration::from_nanos(1), false),
        (ms(1), false),
        (Duration::MAX, false),
    ] {
        for stale_for in [Duration::ZERO, ms(5), Duration::MAX] {
            let settings = Settings { ttl, stale_for, ..Settings::default() };
            let server = Server::new(0);
            let made = cx.call_fn("HttpClient::new", || Client::new(server, settings)).await?;
            let expected = if refused { "ZeroTtl" } else { "accepted" };
            let observed = match &made {
                Ok(_) => "accepted",
                Err(ConfigError::ZeroTtl) => "ZeroTtl",
            };
            ensure_eq!(observed, expected, "a ttl of {ttl:?}, with stale_for {stale_for:?}");
        }
    }
    Ok(())
}
