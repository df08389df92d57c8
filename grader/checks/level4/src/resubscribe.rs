//! `resubscribe::resubscribe`.

mod circuit;
mod counts;
mod ends;
mod source;

use std::num::NonZeroU32;
use std::sync::Arc;

use futures::Stream;
use grader_kit::marbles::{Marbles, Mark};
use grader_kit::{Cx, Fail, Outcome, ensure_eq, ms};
use level4::resubscribe::breaker::{BreakerConfig, CircuitBreaker, Trip};
use level4::resubscribe::retry::Backoff;
use level4::resubscribe::{Again, GiveUp, Resubscribe, Rule};

pub use circuit::{
    no_subscription_while_the_circuit_is_open, one_probe_after_the_reset_time,
    the_first_item_is_the_success,
};
pub use counts::{
    an_item_resets_the_counts, at_once_is_at_once, each_class_has_its_own_count, each_wait_draws,
    items_pass, other_errors_have_a_count_too, the_first_rule_decides, the_last_error_passes,
    waits_grow,
};
pub use ends::{
    a_dropped_stream_stops, a_failed_source_is_dropped, a_panic_passes, begins_with_the_first_poll,
    keeps_nothing_of_what_has_ended, waits_without_looking,
};

use source::Source;

const RESUBSCRIBE: &str = "resubscribe::resubscribe";

/// The error of a source: the status of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status(u16);

type Item = Result<u32, GiveUp<Status>>;

fn make<'a>(source: &'a Source, how: Resubscribe<Status>) -> impl Stream<Item = Item> + 'a {
    level4::resubscribe::resubscribe(|| source.subscribe(), how)
}

/// An item as a message shows it: `7`, `503 after 4`, `open for 60000 ms, 503 after 3`.
fn shown(item: Item) -> Mark {
    Mark::Item(match item {
        Ok(number) => number.to_string(),
        Err(GiveUp::Exhausted { last, subscriptions }) => {
            format!("{} after {subscriptions}", last.0)
        }
        Err(GiveUp::CircuitOpen { retry_after, last, subscriptions }) => {
            let last = last.map_or_else(|| "no error".to_owned(), |last| last.0.to_string());
            format!("open for {} ms, {last} after {subscriptions}", retry_after.as_millis())
        }
    })
}

fn events<'a>(events: impl IntoIterator<Item = (u64, &'a str)>) -> Marbles {
    Marbles::at(
        events
            .into_iter()
            .map(|(at, text)| (at, if text == "|" { Mark::End } else { Mark::item(text) })),
    )
}

/// Up to `limit` ms, this comes out of a stream on `source`.
async fn expect(
    cx: &Cx,
    (source, how): (&Source, Resubscribe<Status>),
    limit: u64,
    expected: &[(u64, &str)],
    headline: &str,
    help: &str,
) -> Outcome {
    let stream = make(source, how);
    let seen = cx.call(RESUBSCRIBE, Marbles::record(limit, stream, shown)).await?.value;
    seen.ensure(&events(expected.iter().copied()), headline, help)
}

/// The source was subscribed to at these times.
fn expect_subscriptions(source: &Source, expected: &[u64], headline: &str, help: &str) -> Outcome {
    ensure_eq!(source.subscriptions(), expected, "{headline}: the subscriptions, in ms"; help = help);
    Ok(())
}

fn nz32(count: u32) -> NonZeroU32 {
    NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN)
}

/// Waits of 1 s, doubled, at most 10 s.
fn after(attempts: u32) -> Result<Again, Fail> {
    backoff(1_000, attempts)
}

/// Waits of `base` ms, doubled, at most ten times as long.
fn backoff(base: u64, attempts: u32) -> Result<Again, Fail> {
    let made = Backoff::new(ms(base), 2.0, ms(base * 10), nz32(attempts));
    made.map(Again::After).map_err(|error| {
        Fail::new(format!(
            "level 3's Backoff::new refuses {base} ms doubled up to {} ms: {error}",
            base * 10
        ))
        .expected("it is accepted")
    })
}

/// Every error is followed by `again`.
fn always(again: Again) -> Resubscribe<Status> {
    Resubscribe { otherwise: again, ..Resubscribe::default() }
}

fn rule(when: fn(&Status) -> bool, again: Again) -> Rule<Status> {
    Rule { when, again }
}

/// Opens at the `failures`-th failure in a row, for a minute; `successes` close it again.
fn breaker(failures: u32, successes: u32) -> Result<Arc<CircuitBreaker<Status>>, Fail> {
    let config = BreakerConfig {
        trip: Trip::Consecutive(nz32(failures)),
        successes_to_close: nz32(successes),
        ..BreakerConfig::payment(|_| true)
    };
    CircuitBreaker::new("source", config).map(Arc::new).map_err(|error| {
        Fail::new(format!("level 3's CircuitBreaker::new refuses a reset after 60 s: {error}"))
            .expected("it is accepted")
    })
}

/// What the report shows of it.
pub mod scenes {
    use grader_kit::marbles::{Marbles, Mark};
    use grader_kit::{Cx, Figure, Outcome};

    use super::source::{Source, Step};
    use super::{RESUBSCRIBE, after, always, make, shown};

    /// A source that fails three times, yields, fails once more, and then goes on to its end.
    pub async fn failing_source(cx: Cx) -> Outcome {
        let scripts = [
            vec![Step::Wait(500), Step::Item(1), Step::Wait(500), Step::Error(503)],
            vec![Step::Error(503)],
            vec![Step::Error(503)],
            vec![Step::Wait(500), Step::Item(2), Step::Wait(500), Step::Error(503)],
            vec![Step::Wait(500), Step::Item(3), Step::Wait(500), Step::Item(4), Step::End],
        ];
        let source = Source::new(&cx, scripts, vec![Step::End]);
        let stream = make(&source, always(after(5)?));
        let seen = cx.call(RESUBSCRIBE, Marbles::record(60_000, stream, shown)).await?.value;
        let subscriptions = source.subscriptions();
        let subscribed =
            (1..).zip(&subscriptions).map(|(nr, at)| (*at, Mark::item(format!("#{nr}"))));
        let subscribed = Marbles::at(subscribed).drawn("subscribes");
        cx.show(Figure::Streams { lines: vec![subscribed, seen.drawn("out")] });
        Ok(())
    }
}
