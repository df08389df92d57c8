//! Progressive loads.

use std::pin::pin;

use futures::StreamExt as _;
use grader_kit::{Cx, Outcome, ensure, ensure_eq, ms};
use level4::http_client::{Caching, Settings, TransportError};
use tokio::time::sleep;

use super::fakes::{Ends, Server};
use super::{A, GET, PROGRESSIVE, ask, client, get, item, items, observed, short};

pub async fn shows_the_copy_first(cx: Cx) -> Outcome {
    const HELP: &str = "the copy comes at once, with its age, also when it is too old for `get`; then what the server says, and the end";
    let server = Server::new(70);
    let client = client(&cx, &server, short()).await?;
    for (wait, copy, fresh) in [
        (0, None, "fresh: answer 1"),
        (0, Some("copy of 0 ms: answer 1"), "fresh: answer 2"),
        (99, Some("copy of 99 ms: answer 2"), "fresh: answer 3"),
        (100, Some("copy of 100 ms: answer 3"), "fresh: answer 4"),
        (149, Some("copy of 149 ms: answer 4"), "fresh: answer 5"),
        (150, None, "fresh: answer 6"),
    ] {
        sleep(ms(wait)).await;
        let load = observed(1000, client.progressive(A));
        let observed = cx.call(PROGRESSIVE, load).await?.value;
        let expected = items(copy.map(|copy| (0, copy)).into_iter().chain([(70, fresh)]));
        observed.ensure(
            &expected,
            &format!(
                "a ttl of 100 ms and 50 ms more, requests of 70 ms; a load {wait} ms after the last one"
            ),
            HELP,
        )?;
    }
    // By default a copy is shown for an hour more.
    let server = Server::new(10);
    let client = super::client(&cx, &server, Settings::default()).await?;
    ask(&cx, &client, A).await?;
    cx.pass(ms(3_899_999)).await;
    let load = observed(1000, client.progressive(A));
    let observed = cx.call(PROGRESSIVE, load).await?.value;
    let expected = items([(0, "copy of 3899999 ms: answer 1"), (10, "fresh: answer 2")]);
    observed.ensure(&expected, "the default settings; a copy of 1 h 4 min 59.999 s", HELP)
}

pub async fn says_what_the_refresh_brought(cx: Cx) -> Outcome {
    const HELP: &str = "compare status and body with those of the copy; headers such as Date differ in every answer";
    const SAME: &str = "unchanged";
    const DATE: &[(&str, &str)] = &[("date", "Sun, 06 Nov 1994 08:49:37 GMT")];
    for (what, ends, expected) in [
        ("the same", Ends::With(200, &[], "one"), SAME),
        ("the same, with another date", Ends::With(200, DATE, "one"), SAME),
        ("another body", Ends::With(200, &[], "two"), "fresh: two"),
        ("a body that is longer", Ends::With(200, &[], "one "), "fresh: one "),
        ("no body", Ends::With(200, &[], ""), "fresh: "),
        ("another status", Ends::With(203, &[], "one"), "fresh: one"),
    ] {
        let server = Server::new(20);
        let client = client(&cx, &server, short()).await?;
        server.next(A, [Ends::With(200, &[], "one"), ends]);
        ask(&cx, &client, A).await?;
        sleep(ms(30)).await;
        let load = observed(1000, client.progressive(A));
        let observed = cx.call(PROGRESSIVE, load).await?.value;
        let expected = items([(0, "copy of 30 ms: one"), (20, expected)]);
        observed.ensure(&expected, &format!("the server has {what}"), HELP)?;
        // In each case the answer is the copy from now on.
        sleep(ms(99)).await;
        ask(&cx, &client, A).await?;
        ensure!(server.count() == 2, "the server had {what} 99 ms ago, and there are {} requests", server.count(); expected = "2: its answer is a copy of 99 ms", help = "the refresh keeps its answer, also when it is that of the copy");
    }
    // The URL is invalidated behind the copy and before the request: the request is one of the new time.
    let server = Server::new(20);
    let client = client(&cx, &server, short()).await?;
    server.next(A, [Ends::With(200, &[], "one"), Ends::With(200, &[], "two")]);
    ask(&cx, &client, A).await?;
    let load = async {
        let mut load = pin!(client.progressive(A));
        let first = load.next().await;
        client.clone().invalidate(A);
        let last = load.next().await;
        first.into_iter().chain(last).map(|it| item(&it)).collect::<Vec<_>>()
    };
    let came = cx.call(PROGRESSIVE, load).await?.value;
    let what = "a copy is shown, its URL is invalidated, and the next item is asked for";
    ensure_eq!(came, ["copy of 0 ms: one", "fresh: two"], "{what}"; help = HELP);
    let later = ask(&cx, &client, A).await?;
    ensure!(later == "two" && server.count() == 2, "{what}, and then the URL is asked for: {later}, with {} requests in all", server.count();
        expected = "two, with 2 requests: the answer is the copy",
        help = "which copy a request replaces is decided when it begins");
    compares_with_what_was_shown(&cx).await
}

/// The copy is replaced by another caller after it was shown. What was shown counts.
async fn compares_with_what_was_shown(cx: &Cx) -> Outcome {
    const HELP: &str = "compare the answer with the copy that the stream has yielded: the cache may have another one since";
    let with = |body| Ends::With(200, &[], body);
    for (what, between, answer, expected) in [
        ("`two` again", with("two"), with("two"), "fresh: two"),
        ("`three`", with("two"), with("three"), "fresh: three"),
        ("`one` again", with("two"), with("one"), "unchanged"),
    ] {
        let server = Server::new(20);
        let client = client(cx, &server, short()).await?;
        server.next(A, [with("one"), between, answer]);
        ask(cx, &client, A).await?;
        let load = async {
            let mut load = pin!(client.progressive(A));
            let first = load.next().await;
            // A caller of its own.
            get(&client, A, Caching::Bypass).await;
            let last = load.next().await;
            first.into_iter().chain(last).map(|it| item(&it)).collect::<Vec<_>>()
        };
        let came = cx.call(PROGRESSIVE, load).await?.value;
        ensure_eq!(came, ["copy of 0 ms: one", expected], "a progressive load shows the copy `one`, another caller gets `two`, which is the copy then, and the load asks the server, which answers {what}: its items"; help = HELP);
    }
    Ok(())
}

pub async fn says_that_a_refresh_failed(cx: Cx) -> Outcome {
    const HELP: &str = "with a copy on the page, a failure is an item; without one it is an error";
    let timeout = || Ends::NoAnswer(TransportError::Timeout);
    for (ends, text) in [
        (timeout(), "no answer: Timeout"),
        (Ends::NoAnswer(TransportError::Incomplete), "no answer: Incomplete"),
        (Ends::With(500, &[], "no"), "status 500: no"),
        (Ends::With(404, &[], ""), "status 404: "),
    ] {
        let server = Server::new(20);
        let client = client(&cx, &server, short()).await?;
        server.next(A, [ends.clone(), Ends::With(200, &[], "one"), ends.clone(), ends.clone()]);
        let load = observed(1000, client.progressive(A));
        let without = cx.call(PROGRESSIVE, load).await?.value;
        let error = format!("error: {text}");
        without.ensure(&items([(20, error.as_str())]), &format!("no copy, and {text}"), HELP)?;
        cx.call(GET, get(&client, A, Caching::Use)).await?;
        let failed = format!("no refresh: {text}");
        // Twice: the copy is still there after the first failure.
        for age in [10, 40] {
            sleep(ms(10)).await;
            let load = observed(1000, client.progressive(A));
            let with = cx.call(PROGRESSIVE, load).await?.value;
            let copy = format!("copy of {age} ms: one");
            let expected = items([(0, copy.as_str()), (20, failed.as_str())]);
            with.ensure(&expected, &format!("a copy of {age} ms, and {text}"), HELP)?;
        }
    }
    Ok(())
}
