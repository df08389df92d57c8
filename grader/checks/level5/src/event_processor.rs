//! `event_processor::Processor` and `priority_queue::PriorityQueue`.

mod answers;
mod batches;
mod closes;
mod conserve;
mod ends;
mod fakes;
mod figures;
mod journals;
mod known;
mod places;
mod queue;
mod scale;

use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;

use grader_kit::{Cx, Fail, ms};
use level5::event_processor::breaker::{BreakerConfig, Trip};
use level5::event_processor::{
    Config, Event, EventId, Metrics, Processor, Rejected, SendError, Service,
};
use level5::priority_queue::Priority;

pub use answers::{
    a_key_keeps_its_order, acks_are_of_single_events, an_open_breaker_parks,
    final_errors_are_not_tried_again, retries_wait_and_end, untyped_errors_are_transient,
};
pub use batches::{
    a_full_batch_goes_at_once, a_hanging_service_delays_no_other, a_partial_batch_goes_at_its_time,
    a_send_has_a_limit, low_events_have_their_turn, several_batches_on_the_way,
};
pub use conserve::conserves_every_event;
pub use ends::{
    a_dropped_ingest_is_withdrawn, a_panic_stays_local, dropping_it_stops_everything,
    idle_costs_nothing, keeps_nothing_of_what_has_ended, refuses_after_shutdown,
    shuts_down_in_order,
};
pub use figures::{
    a_batch_decodes, dead_letters_have_a_cap, figures_add_up, redrive_sends_again,
    takes_any_setting,
};
pub use journals::{
    a_failed_record_is_repeated, goes_on_after_a_stop, journal_first, memory_journal_keeps,
    the_journal_learns_every_end,
};
pub use places::{
    accepts_exactly_the_threshold, an_id_is_accepted_once, backpressure_shows_the_crossings,
    critical_events_have_a_reserve, evicts_nothing, validates_first,
};
pub use queue::{
    critical_goes_next, queue_keeps_order, queue_lifts_what_waited, queue_shares_turns,
};
pub use scale::a_large_backlog_costs_no_more;

use fakes::{Book, Services};

const START: &str = "Processor::start";
const INGEST: &str = "Processor::ingest";
const REDRIVE: &str = "Processor::redrive";
const SHUTDOWN: &str = "Processor::shutdown";

type Running = Processor<Services, Book>;

/// `count` as the interfaces take it. 0 becomes 1; no criterion asks for 0.
const fn nz(count: usize) -> NonZeroUsize {
    match NonZeroUsize::new(count) {
        Some(count) => count,
        None => NonZeroUsize::MIN,
    }
}

/// Each event goes alone and at once, one after another for each service; no breaker opens.
fn one_by_one() -> Config {
    Config {
        batch_size: nz(1),
        flush: ms(0),
        batches_in_flight: nz(1),
        breaker: no_breaker(),
        compress: false,
        ..Config::default()
    }
}

/// A breaker that does not open in any check.
fn no_breaker() -> BreakerConfig<SendError> {
    BreakerConfig {
        trip: Trip::Consecutive(NonZeroU32::MAX),
        ..BreakerConfig::windowed(SendError::is_transient)
    }
}

/// An event for the service `to`, which is its kind as well.
fn event(id: &str, to: &str, priority: Priority) -> Event {
    Event {
        id: EventId::new(id),
        kind: to.to_owned(),
        key: None,
        priority,
        at: jiff::Timestamp::UNIX_EPOCH,
        data: format!("data of {id}").into(),
    }
}

fn keyed(id: &str, to: &str, priority: Priority, key: &str) -> Event {
    Event { key: Some(key.to_owned()), ..event(id, to, priority) }
}

async fn start(cx: &Cx, config: Config, services: &Services, book: &Book) -> Result<Running, Fail> {
    let route = |event: &Event| Service::new(event.kind.as_str());
    let started = Processor::start(config, services.clone(), book.clone(), route);
    let started = cx.call(START, started).await?.value;
    started.map_err(|error| Fail::new(format!("the processor does not start: {error:?}")))
}

/// An event that has to be accepted.
async fn accept(cx: &Cx, processor: &Running, event: Event) -> Result<(), Fail> {
    let id = event.id.clone();
    let answer = cx.call(INGEST, processor.ingest(event)).await?.value;
    answer.map_err(|rejected| {
        Fail::new(format!("event {id} is refused")).expected("Ok").observed(format!("{rejected:?}"))
    })
}

/// Events of one priority for one service that have to be accepted.
async fn accept_all(
    cx: &Cx,
    processor: &Running,
    ids: impl IntoIterator<Item = String>,
    to: &str,
    priority: Priority,
) -> Result<(), Fail> {
    for id in ids {
        accept(cx, processor, event(&id, to, priority)).await?;
    }
    Ok(())
}

/// The ids `a0`, `a1` and so on.
fn ids(name: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{name}{number}")).collect()
}

fn figures(processor: &Running) -> Metrics {
    processor.metrics().borrow().clone()
}

fn is_backpressure(answer: &Result<(), Rejected>) -> bool {
    matches!(answer, Err(Rejected::Backpressure { retry_after }) if !retry_after.is_zero())
}

fn dead(processor: &Running) -> Vec<String> {
    processor.dead_letters().iter().map(|letter| letter.event.id.to_string()).collect()
}

fn names(events: &[Arc<Event>]) -> Vec<String> {
    events.iter().map(|event| event.id.to_string()).collect()
}
