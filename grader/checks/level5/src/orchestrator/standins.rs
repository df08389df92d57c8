//! Old copies: which one stands in, of which age, and for which failures.

use std::time::Duration;

use futures::future::join_all;
use futures::join;
use grader_kit::{Cx, Outcome, ensure_eq, ms};
use level5::orchestrator::http_client::TransportError;
use level5::orchestrator::{Origin, Settings, Spec};
use tokio::time::sleep;

use super::fakes::{Ends, Server};
use super::{RUN, register, run, shown, spec, url, with};

const HELP: &str = "look for the copy when the request has failed, and not when it begins: by then it is older, may be too old, or is another one";

/// Copies that are fresh for so many milliseconds, and stand in for so many more.
fn brief(ttl: u64, stale: u64) -> Settings {
    let (ttl, stale_for) = (Duration::from_millis(ttl), Duration::from_millis(stale));
    Settings { ttl, stale_for, ..Settings::default() }
}

/// Every failure that may pass, and what the answer says beside the copy.
pub async fn for_all_that_may_pass(cx: &Cx) -> Outcome {
    let mut draw = cx.draw();
    let connect = TransportError::Connect("refused".to_owned());
    let takes = draw.between(1..=900);
    let cases = [
        ("408", Ends::With(takes, 408)),
        ("429", Ends::With(takes, 429)),
        ("500", Ends::With(takes, 500)),
        ("599", Ends::With(takes, 599)),
        ("a failure of the transport", Ends::NoAnswer(connect)),
        ("a timeout of the transport", Ends::NoAnswer(TransportError::Timeout)),
        ("no answer", Ends::With(86_400_000, 200)),
    ];
    for (what, ends) in cases {
        let server = Server::new(takes);
        let orchestrator = with(cx, &server, brief(10_000, 60_000)).await?;
        let whole = 6000;
        let once = Spec { retryable: false, timeout: ms(whole), ..spec("a") };
        register(cx, &orchestrator, "a", once).await?;
        run(cx, &orchestrator, "a").await?;
        // The mean of the answers is short, so an attempt has the half of the whole time.
        let takes = if matches!(ends, Ends::With(86_400_000, _)) { whole / 2 } else { takes };
        sleep(ms(draw.between(10_000..=60_000))).await;
        server.next(&url("a"), [ends.clone(), ends]);
        let asked = server.now();
        // All callers of a call have the copy.
        let answers =
            cx.call(RUN, join_all(["a", "a"].map(|id| orchestrator.run(id)))).await?.value;
        let age = asked + takes - server_first(&server);
        for answer in answers {
            let shown = shown(&answer);
            let said = answer.ok().map(|it| (it.attempts, it.latency.as_millis(), it.origin));
            let origin = Origin::Fallback { age: ms(age) };
            ensure_eq!(said, Some((0, u128::from(takes), origin)), "beside an old copy the server has {what} {takes} ms after it was asked, for two callers, who have: {shown}. The attempts, the latency in ms and the origin"; help = HELP);
        }
    }
    grows_older_meanwhile(cx).await?;
    is_replaced_meanwhile(cx).await
}

/// When the first answer was there.
fn server_first(server: &Server) -> u64 {
    server.seen().first().and_then(|it| it.ended).map_or(0, |(at, _)| at)
}

/// The copy is in time when the request begins, and may not be when it has failed.
async fn grows_older_meanwhile(cx: &Cx) -> Outcome {
    let mut draw = cx.draw();
    let (ttl, stale) = (draw.between(10_000..=60_000), draw.between(11_000..=60_000));
    let length = draw.between(1000..=9000);
    for (left, stands_in) in [(length + 1, true), (length, false), (length - 1, false), (1, false)]
    {
        let server = Server::new(0);
        let orchestrator = with(cx, &server, brief(ttl, stale)).await?;
        let once = Spec { retryable: false, timeout: ms(30_000), ..spec("a") };
        register(cx, &orchestrator, "a", once).await?;
        run(cx, &orchestrator, "a").await?;
        // So much of its time is left when the request begins.
        sleep(ms(ttl + stale - left)).await;
        server.next(&url("a"), [Ends::With(length, 503)]);
        let observed = run(cx, &orchestrator, "a").await?;
        let age = ttl + stale - left + length;
        let expected = if stands_in {
            format!("answer 1, an old copy of {age} ms")
        } else {
            "status 503".to_owned()
        };
        ensure_eq!(observed, expected, "a copy may stand in for {left} ms more, and the request fails after {length} ms"; help = HELP);
    }
    Ok(())
}

/// Another request, which shares the copy and not the call, is answered before this one has failed.
async fn is_replaced_meanwhile(cx: &Cx) -> Outcome {
    let mut draw = cx.draw();
    let (at, takes) = (draw.between(100..=900), draw.between(1000..=2000));
    for stored in [true, false] {
        for had_one in [true, false] {
            let server = Server::new(0);
            let orchestrator = with(cx, &server, brief(10_000, 60_000)).await?;
            for (id, retryable) in [("fails", false), ("newer", true)] {
                register(cx, &orchestrator, id, Spec { retryable, ..spec("a") }).await?;
            }
            if had_one {
                run(cx, &orchestrator, "newer").await?;
            }
            sleep(ms(10_000)).await;
            let newer = if stored { Ends::With(0, 200) } else { Ends::Controlled("no-store") };
            server.next(&url("a"), [Ends::With(takes, 503), newer]);
            let later = async {
                sleep(ms(at)).await;
                orchestrator.run("newer").await
            };
            let (answer, other) =
                cx.call(RUN, async { join!(orchestrator.run("fails"), later) }).await?.value;
            let number = 2 + usize::from(had_one);
            if !shown(&other).starts_with(&format!("answer {number} ")) {
                // That the two share no call is what another criterion asks.
                return Ok(());
            }
            let expected = if stored {
                format!("answer {number}, an old copy of {} ms", takes - at)
            } else {
                "status 503".to_owned()
            };
            ensure_eq!(shown(&answer), expected, "a request is on its way for {takes} ms and fails with 503; {} when it begins, and at {at} ms an equal request with the other `retryable` is answered{}", if had_one { "there is an old copy" } else { "there is no copy" }, if stored { "" } else { ", with `Cache-Control: no-store`" }; help = HELP);
        }
    }
    Ok(())
}
