//! The spans that the gateway's work lies in.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use grader_kit::{Cx, Fail, Outcome, dropped_at, ensure, lock, ms};
use level3::event::Event;
use level3::gateway::{Gateway, GatewayConfig};
use level3::journal::{LEASE, MemoryJournal};
use level3_sim::{CallSite, Fault, Latencies, MortalJournal, Process, Script, World};
use tokio::time::sleep;
use tracing::span::{Attributes, Id, Record};
use tracing::{Dispatch, Instrument as _, Metadata, Span, Subscriber, dispatcher, info_span};
use tracing_core::span::Current;

use crate::world::request;

/// A subscriber that knows which spans are entered, and in which others they were made. One thread uses it.
#[derive(Clone, Default)]
struct Spans(Arc<Mutex<Known>>);

#[derive(Default)]
struct Known {
    /// What each span is and its parent, by its id.
    spans: BTreeMap<u64, (&'static Metadata<'static>, Option<u64>)>,
    entered: Vec<u64>,
}

impl Spans {
    /// Whether the code that asks runs within this span, or within a span that was made in it.
    fn are_within(&self, span: &Span) -> bool {
        let known = lock(&self.0);
        let wanted = span.id().map(|id| id.into_u64());
        let mut at = known.entered.last().copied();
        while at.is_some() && at != wanted {
            at = at.and_then(|id| known.spans.get(&id)?.1);
        }
        at.is_some()
    }
}

impl Subscriber for Spans {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut known = lock(&self.0);
        let parent = match span.parent() {
            Some(parent) => Some(parent.into_u64()),
            None if span.is_contextual() => known.entered.last().copied(),
            None => None,
        };
        let id = known.spans.len() as u64 + 1;
        known.spans.insert(id, (span.metadata(), parent));
        Id::from_u64(id)
    }
    fn current_span(&self) -> Current {
        let known = lock(&self.0);
        let Some(id) = known.entered.last() else { return Current::none() };
        let of = |(metadata, _): &(&'static _, _)| Current::new(Id::from_u64(*id), metadata);
        known.spans.get(id).map_or_else(Current::none, of)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &tracing::Event<'_>) {}
    fn enter(&self, span: &Id) {
        lock(&self.0).entered.push(span.into_u64());
    }
    fn exit(&self, span: &Id) {
        let mut known = lock(&self.0);
        if let Some(at) = known.entered.iter().rposition(|id| *id == span.into_u64()) {
            known.entered.remove(at);
        }
    }
}

/// What happens to the payment.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Course {
    Paid,
    Undone,
    ItsClientIsGone,
    Recovered,
}

pub async fn keeps_the_callers_span(cx: Cx) -> Outcome {
    let spans = Spans::default();
    let _guard = dispatcher::set_default(&Dispatch::new(spans.clone()));
    for course in [Course::Paid, Course::Undone, Course::ItsClientIsGone, Course::Recovered] {
        cx.timeline().restart();
        let script = match course {
            Course::Undone => Script::new().always(CallSite::Save, Fault::FailBefore),
            _ => Script::new(),
        };
        let world = World::with(Latencies::ASSIGNMENT, Arc::new(script), None);
        let (journal, process) = (MemoryJournal::new(), Process::new());
        let span = info_span!("client");
        // Each event, and whether it was emitted within the caller's span.
        let told: Arc<Mutex<Vec<(Event, bool)>>> = Arc::default();
        let make = |process: &Process| {
            let (told, spans, span) = (Arc::clone(&told), spans.clone(), span.clone());
            let timeline = cx.timeline().clone();
            let observer = move |event: Event| {
                let is_within = spans.are_within(&span);
                let place = if is_within { "within" } else { "outside of" };
                timeline.record("the gateway", format!("{event:?}, {place} the caller's span"));
                lock(&told).push((event, is_within));
            };
            let kept = Arc::new(MortalJournal::new(&journal, process));
            let providers = world.providers_of(process);
            Gateway::new(GatewayConfig::default(), providers, kept, Arc::new(observer))
                .map_err(|why| Fail::new(format!("Gateway::new refuses the figures: {why}")))
        };
        let gateway = make(&process)?;
        let paying = gateway.pay(request("a"));
        let name = match course {
            Course::Paid | Course::Undone => {
                cx.call("Gateway::pay", paying.instrument(span.clone())).await?;
                "pay"
            }
            Course::ItsClientIsGone => {
                let at = cx.draw().between(10..=900);
                dropped_at(&cx, "Gateway::pay", at, paying.instrument(span.clone())).await?;
                "pay"
            }
            Course::Recovered => {
                dropped_at(&cx, "Gateway::pay", cx.draw().between(1010..=1090), paying).await?;
                process.kill();
                sleep(LEASE + ms(1)).await;
                lock(&told).clear();
                let heir = make(&Process::new())?;
                let recovering = async { heir.recover().await }.instrument(span.clone());
                cx.call("Gateway::recover", recovering).await?;
                "recover"
            }
        };
        sleep(ms(60_000)).await;
        let told = lock(&told).clone();
        ensure!(
            told.iter().any(|(event, _)| matches!(event, Event::Ended { .. })),
            "a payment has no Event::Ended, one minute after {name}()";
            expected = "its events", observed = format!("{told:?}")
        );
        if let Some((event, _)) = told.iter().find(|(_, is_within)| !is_within) {
            return Err(Fail::new(format!(
                "{name}() is polled within a span of `tracing`, and an event of the payment is emitted outside of it ({course:?})"
            ))
            .expected("all events within the span of the call that began the work")
            .observed(format!("{event:?}"))
            .help("a spawned task begins outside of all spans: `task.in_current_span()`, of `tracing::Instrument`, where you spawn it"));
        }
    }
    Ok(())
}
