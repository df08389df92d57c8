//! The events that the gateway sends to its observer.

use std::num::NonZeroUsize;

use grader_kit::{Cx, Outcome, ensure, ensure_eq, lock, ms};
use level3::event::Event;
use level3::gateway::GatewayConfig;
use level3_sim::{CallSite, Fault, Script};

use crate::world::{request, stage, stage_with};

pub async fn splits_the_time(cx: Cx) -> Outcome {
    let stage = stage(&cx, Script::new().on(CallSite::Confirm, 1, Fault::FailBefore))?;
    cx.call("Gateway::pay", stage.gateway.pay(request("a"))).await?;
    let events = lock(&stage.events).clone();
    let called = events.iter().find_map(|(_, event)| match event {
        Event::Called { step: "confirm", attempts, waiting, backoff, wire, .. } => {
            Some((*attempts, waiting.as_millis(), *backoff, wire.as_millis()))
        }
        _ => None,
    });
    let Some((attempts, waiting, backoff, wire)) = called else {
        return Err(grader_kit::Fail::new("no event says what the calls of confirm took"));
    };
    ensure_eq!(
        (attempts, waiting, wire),
        (2, 0, 600),
        "Event::Called reports other attempts, waiting or wire times for two calls of 300 ms"
    );
    ensure!(
        backoff >= ms(1) && backoff <= ms(2000),
        "Event::Called reports a pause of {} ms between the two attempts",
        backoff.as_millis()
    );
    let done: Vec<_> = events
        .iter()
        .filter_map(|(_, event)| match event {
            Event::StepDone { step, took, .. } => Some((*step, took.as_millis())),
            _ => None,
        })
        .collect();
    let due =
        [("create", 200), ("fraud", 500), ("confirm", 600 + backoff.as_millis()), ("save", 100)];
    let fits =
        due.iter().zip(&done).all(|(due, done)| due.0 == done.0 && due.1.abs_diff(done.1) <= 1);
    ensure!(
        fits && done.len() == due.len(), "Event::StepDone tells other steps or milliseconds";
        expected = format!("{due:?}"), observed = format!("{done:?}")
    );
    // One call a second: create at 0 ms, so that confirm, due at 700 ms, waits for 300. Whether it does
    // is another criterion's matter; here it is reported.
    let config = GatewayConfig { rate: NonZeroUsize::MIN, ..GatewayConfig::default() };
    let stage = stage_with(&cx, Script::new(), config, |providers| providers)?;
    cx.call("Gateway::pay", stage.gateway.pay(request("b"))).await?;
    let events = lock(&stage.events).clone();
    let called = |name| {
        events.iter().find_map(|(at, event)| match event {
            Event::Called { step, waiting, wire, .. } if *step == name => {
                Some((*at, *waiting, *wire))
            }
            _ => None,
        })
    };
    let (Some((checked, ..)), Some((confirmed, waiting, wire))) =
        (called("fraud"), called("confirm"))
    else {
        return Err(grader_kit::Fail::new("no event says what the calls of confirm took"));
    };
    let waited = confirmed.saturating_sub(checked).saturating_sub(wire);
    ensure!(
        waiting.abs_diff(waited) <= ms(1),
        "a call waits {} ms for the limiter, and Event::Called reports {} ms",
        waited.as_millis(),
        waiting.as_millis()
    );
    // Failed calls take time as well.
    let script = Script::new().always(CallSite::Save, Fault::FailBefore);
    let stage = stage_with(&cx, script, GatewayConfig::default(), |providers| providers)?;
    cx.call("Gateway::pay", stage.gateway.pay(request("c"))).await?;
    let events = lock(&stage.events).clone();
    let failed = events.iter().find_map(|(_, event)| match event {
        Event::Called { step: "save", attempts, wire, .. } => Some((*attempts, wire.as_millis())),
        _ => None,
    });
    ensure_eq!(
        failed,
        Some((3, 300)),
        "the attempts and the wire time in Event::Called for a step whose three calls of 100 ms fail";
        help = "a step that fails has called its service too: emit the event before you look at the outcome"
    );
    Ok(())
}
