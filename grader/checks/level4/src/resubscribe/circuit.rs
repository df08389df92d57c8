//! With a breaker of level 3.

use std::sync::Arc;

use futures::future::join;
use grader_kit::marbles::{Marbles, Mark};
use grader_kit::{Cx, Outcome, ensure_eq, ms};
use level4::resubscribe::breaker::{CircuitBreaker, State};
use level4::resubscribe::{Again, Resubscribe};
use tokio::time::sleep;

use super::source::{Source, Step};
use super::{
    RESUBSCRIBE, Status, after, always, backoff, breaker, events, expect, expect_subscriptions,
    make, nz32, shown,
};

fn with(breaker: &Arc<CircuitBreaker<Status>>, again: Again) -> Resubscribe<Status> {
    Resubscribe { breaker: Some(Arc::clone(breaker)), ..always(again) }
}

pub async fn no_subscription_while_the_circuit_is_open(cx: Cx) -> Outcome {
    const HELP: &str = "the subscription is the breaker's call; a breaker that is open for longer than the wait ends the stream at once";
    let shared = breaker(3, 2)?;
    let source = Source::failing(&cx, &[501, 502, 503]);
    let what = "a source that fails; nine attempts, and a breaker that opens at the third failure for 60 s";
    let expected = [(3_000, "open for 60000 ms, 503 after 3"), (3_000, "|")];
    expect(&cx, (&source, with(&shared, after(9)?)), 100_000, &expected, what, HELP).await?;
    expect_subscriptions(&source, &[0, 1_000, 3_000], what, HELP)?;
    // Another stream on the same breaker, after a wait.
    sleep(ms(20_000)).await;
    let open_for = shared.snapshot().retry_after.as_millis();
    let other = Source::new(&cx, [], vec![Step::Item(1), Step::End]);
    let refused = format!("open for {open_for} ms, no error after 0");
    let expected = [(0, refused.as_str()), (0, "|")];
    let what = "another stream on the same breaker, 20 s later";
    expect(&cx, (&other, with(&shared, after(9)?)), 100, &expected, what, HELP).await?;
    expect_subscriptions(&other, &[], what, "a breaker that refuses: `make` is not called")?;
    // The breaker opens during the wait, by the failure of another stream.
    let shared = breaker(2, 2)?;
    let source = Source::failing(&cx, &[503]);
    let stream = make(&source, with(&shared, after(9)?));
    let fails = async {
        sleep(ms(400)).await;
        let other = Source::failing(&cx, &[500]);
        Marbles::record(10, make(&other, with(&shared, Again::Never)), shown).await
    };
    let (seen, _) =
        cx.call(RESUBSCRIBE, join(Marbles::record(100_000, stream, shown), fails)).await?.value;
    seen.ensure(
        &events([(1_000, "open for 59400 ms, 503 after 1"), (1_000, "|")]),
        "a source that fails at 0 ms; while it waits for 1 s, another stream's failure at 400 ms opens the breaker for 60 s",
        "a refusal after a wait is `CircuitOpen` with the error that the wait followed",
    )?;
    // It opens by the failure of another stream, and then a source fails that has yielded an item.
    let shared = breaker(1, 1)?;
    let script = vec![Step::Item(1), Step::Wait(500), Step::Error(503)];
    let source = Source::new(&cx, [script], vec![Step::Item(2)]);
    let stream = make(&source, with(&shared, after(9)?));
    let fails = async {
        sleep(ms(200)).await;
        let other = Source::failing(&cx, &[500]);
        Marbles::record(10, make(&other, with(&shared, Again::Never)), shown).await
    };
    let both = join(Marbles::record(10_000, stream, shown), fails);
    let (seen, _) = cx.call(RESUBSCRIBE, both).await?.value;
    let is_open = |mark: &Mark| matches!(mark, Mark::Item(text) if text.starts_with("open for"));
    let opened = seen.marks().iter().find(|(_, mark)| is_open(mark)).map(|(at, _)| *at);
    ensure_eq!(opened, Some(500), "a source that yields an item and fails at 500 ms; another stream's failure at 200 ms has opened the breaker for 60 s, and the wait is 1 s: when the stream says `CircuitOpen`";
        help = "after each error, whether it came before the first item or behind it, ask how long the breaker is open");
    // The attempts are used up in the moment in which it opens.
    let shared = breaker(2, 2)?;
    let source = Source::failing(&cx, &[503]);
    let what = "a source that fails; two attempts, and a breaker that opens at the second failure";
    expect(
        &cx,
        (&source, with(&shared, after(2)?)),
        100_000,
        &[(1_000, "503 after 2"), (1_000, "|")],
        what,
        "no attempt is left: the error is `Exhausted`, whatever the breaker says",
    )
    .await
}

pub async fn one_probe_after_the_reset_time(cx: Cx) -> Outcome {
    const HELP: &str = "half-open from exactly the reset time on: the subscription after the wait is the probe, the only one";
    // A wait that is as long as the breaker is open.
    let shared = breaker(2, 1)?;
    let scripts =
        [vec![Step::Error(503)], vec![Step::Error(503)], vec![Step::Wait(500), Step::Error(504)]];
    let source = Source::new(&cx, scripts, vec![Step::Item(1)]);
    let stream = make(&source, with(&shared, backoff(60_000, 9)?));
    let other = Source::new(&cx, [], vec![Step::Item(2), Step::End]);
    let how = with(&shared, after(9)?);
    let meanwhile = async {
        sleep(ms(180_200)).await;
        Marbles::record(100, make(&other, how), shown).await
    };
    // 0 s, 60 s: the breaker is open. The next wait is 120 s: the probe at 180 s, which fails at 180.5 s.
    let both = join(Marbles::record(400_000, stream, shown), meanwhile);
    let (seen, refused) = cx.call(RESUBSCRIBE, both).await?.value;
    let what = "a breaker that opens at the second failure for 60 s; waits of 60, 120 and 240 s; the probe at 180 s fails";
    seen.ensure(&events([]), what, HELP)?;
    expect_subscriptions(&source, &[0, 60_000, 180_000], what, HELP)?;
    refused.ensure(
        &events([(0, "open for 60000 ms, no error after 0"), (0, "|")]),
        "another stream while the probe runs",
        "the breaker lets one probe pass at a time",
    )?;
    // At the very boundary.
    let shared = breaker(1, 1)?;
    let source = Source::failing(&cx, &[503]);
    let what = "a breaker that opens at each failure for 60 s; waits of 60 and 120 s";
    expect(
        &cx,
        (&source, with(&shared, backoff(60_000, 3)?)),
        400_000,
        &[(180_000, "503 after 3"), (180_000, "|")],
        what,
        HELP,
    )
    .await?;
    // A probe that fails opens it at once.
    let shared = breaker(3, 1)?;
    let source = Source::failing(&cx, &[503]);
    let once = Again::AtOnce { attempts: nz32(1) };
    let states = async {
        let mut states = Vec::new();
        for wait in [0, 0, 0, 60_000] {
            sleep(ms(wait)).await;
            let stream = make(&source, with(&shared, once));
            Marbles::record(100, stream, shown).await;
            states.push(shared.state());
        }
        states
    };
    let states = cx.call(RESUBSCRIBE, states).await?.value;
    let expected = [State::Closed, State::Closed, State::Open, State::Open];
    ensure_eq!(states, expected, "a breaker that opens at the third failure: its state after each of three failures, and after a probe that fails a minute later"; help = "a probe that fails opens the circuit at once: the breaker counts it");
    Ok(())
}

pub async fn the_first_item_is_the_success(cx: Cx) -> Outcome {
    const HELP: &str = "for the breaker a subscription lasts until its first item or its end";
    let open = async |shared: &Arc<CircuitBreaker<Status>>| -> Outcome {
        let source = Source::failing(&cx, &[503]);
        cx.call(
            RESUBSCRIBE,
            Marbles::record(100, make(&source, with(shared, Again::Never)), shown),
        )
        .await?;
        sleep(ms(60_000)).await;
        ensure_eq!(shared.state(), State::HalfOpen, "a failure opens a breaker, and 60 s later"; help = "an error before the first item is a failure");
        Ok(())
    };
    for (what, script) in [
        ("an item, and the source lives on", vec![Step::Wait(50), Step::Item(1)]),
        (
            "an item, and an error long after it",
            vec![Step::Wait(50), Step::Item(1), Step::Wait(20_000), Step::Error(503)],
        ),
        ("an end without an item", vec![Step::Wait(50), Step::End]),
    ] {
        let shared = breaker(1, 1)?;
        open(&shared).await?;
        let source = Source::new(&cx, [], script);
        let state = async {
            sleep(ms(100)).await;
            let early = shared.state();
            sleep(ms(25_000)).await;
            (early, shared.state())
        };
        let stream = make(&source, with(&shared, Again::Never));
        let both = join(Marbles::record(30_000, stream, shown), state);
        let (_, state) = cx.call(RESUBSCRIBE, both).await?.value;
        ensure_eq!(state, (State::Closed, State::Closed), "a half-open breaker, and a probe with {what}: its state after 100 ms and after 25 s"; help = HELP);
    }
    // Long probes hold up no other one.
    let shared = breaker(1, 2)?;
    open(&shared).await?;
    let source = Source::new(&cx, [], vec![Step::Item(1)]);
    let streams =
        [make(&source, with(&shared, Again::Never)), make(&source, with(&shared, Again::Never))];
    let [one, two] = streams.map(|stream| Marbles::record(1_000, stream, shown));
    let (one, two) = cx.call(RESUBSCRIBE, join(one, two)).await?.value;
    for seen in [one, two] {
        seen.ensure(&events([(0, "1")]), "a half-open breaker that two successes close, and two streams at the same time: each one", HELP)?;
    }
    ensure_eq!(shared.state(), State::Closed, "a half-open breaker, and two streams with an item each"; help = HELP);
    Ok(())
}
