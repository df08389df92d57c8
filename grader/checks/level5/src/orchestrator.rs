//! `orchestrator::Orchestrator`.

mod attempts;
mod copies;
mod fakes;
mod graph;
mod line;
mod replaced;
mod standins;

use std::sync::Arc;
use std::time::Duration;

use grader_kit::{Cx, Fail, Outcome, ensure_eq};
use level5::orchestrator::http_client::HttpError;
use level5::orchestrator::retry::NoJitter;
use level5::orchestrator::{Done, Origin, RequestError, Settings, Spec};

pub use attempts::{
    adapts_the_time_of_an_attempt, figures_add_up, honours_retry_after, retries_by_kind,
    sends_twice_only_what_may_be, the_timeout_is_the_whole_time,
};
pub use copies::{
    a_call_lives_as_long_as_its_callers, a_fresh_copy_answers, an_old_copy_stands_in,
    equal_requests_share_a_call, other_methods_are_never_shared, refusals_are_not_masked,
};
pub use graph::{
    a_batch_answers_for_every_id, a_failed_need_stops_what_needs_it, a_graph_error_sends_nothing,
    needs_run_first, one_id_twice_is_one_call,
};
pub use line::{
    a_panic_stays_local, adapts_the_limit, never_more_than_the_limit, no_request_starves,
    priority_decides_who_is_next, refuses_bad_settings, the_task_ends_with_the_last_handle,
};

use fakes::{Ends, Server};

const RUN: &str = "Orchestrator::run";
const BATCH: &str = "Orchestrator::run_batch";

type Orchestrator = level5::orchestrator::Orchestrator<Server>;

async fn with(cx: &Cx, server: &Server, settings: Settings) -> Result<Orchestrator, Fail> {
    let server = server.clone();
    let make = move || Orchestrator::new(server, settings, Arc::new(NoJitter));
    cx.call_fn("Orchestrator::new", make).await?.map_err(|error| {
        Fail::new(format!("the settings are refused: {error:?}")).expected("they are accepted")
    })
}

async fn made(cx: &Cx, server: &Server) -> Result<Orchestrator, Fail> {
    with(cx, server, Settings::default()).await
}

fn url(id: &str) -> String {
    format!("http://a.example/{id}")
}

/// A `GET` of the URL that belongs to this id, with a minute of time.
fn spec(id: &str) -> Spec {
    Spec { timeout: Duration::from_secs(60), ..Spec::get(url(id)) }
}

async fn register(cx: &Cx, orchestrator: &Orchestrator, id: &str, spec: Spec) -> Outcome {
    let register = || orchestrator.register(id, spec);
    cx.call_fn("Orchestrator::register", register).await?.map_err(|error| {
        Fail::new(format!("`{id}` is refused: {error:?}")).expected("it is registered")
    })
}

/// Runs a request and shows what it has brought.
async fn run(cx: &Cx, orchestrator: &Orchestrator, id: &str) -> Result<String, Fail> {
    Ok(shown(&cx.call(RUN, orchestrator.run(id)).await?.value))
}

/// An answer as a message shows it.
fn shown(answer: &Result<Done, RequestError>) -> String {
    match answer {
        Ok(Done { data, origin, attempts, .. }) => {
            let body = String::from_utf8_lossy(&data.body);
            match origin {
                Origin::Network => format!("{body} after {attempts} attempts"),
                Origin::Cache { age } => format!("{body}, a copy of {} ms", age.as_millis()),
                Origin::Fallback { age } => {
                    format!("{body}, an old copy of {} ms", age.as_millis())
                }
            }
        }
        Err(error) => failure(error),
    }
}

fn failure(error: &RequestError) -> String {
    match error {
        RequestError::DependencyFailed { id, source } => {
            format!("`{id}` has failed: {}", failure(source))
        }
        RequestError::Timeout => "no answer in time".to_owned(),
        RequestError::Http(HttpError::Status(answer)) => {
            format!("status {}", answer.status.as_u16())
        }
        RequestError::Http(error) => format!("{error:?}"),
        RequestError::Panicked(_) => "a panic".to_owned(),
        RequestError::Graph(error) => format!("{error:?}"),
    }
}

pub async fn sends_what_is_registered(cx: Cx) -> Outcome {
    let server = Server::new(30);
    let orchestrator = made(&cx, &server).await?;
    register(&cx, &orchestrator, "rates", spec("rates")).await?;
    register(&cx, &orchestrator, "none", spec("none")).await?;
    server.next(&url("none"), [Ends::With(30, 404)]);
    let call = cx.call(RUN, orchestrator.run("rates")).await?;
    ensure_eq!(shown(&call.value), "answer 1 after 1 attempts", "the answer to `rates`");
    let latency = call.value.map(|done| done.latency.as_millis()).unwrap_or_default();
    ensure_eq!(latency, 30, "the latency of an answer that takes 30 ms"; help = "measure from the moment when all that the request needs is there");
    ensure_eq!(run(&cx, &orchestrator, "none").await?, "status 404", "the server answers with 404");
    // One slot: the second request waits for it.
    let orchestrator = with(&cx, &Server::new(30), line::fixed(1)).await?;
    for id in ["first", "second"] {
        register(&cx, &orchestrator, id, spec(id)).await?;
    }
    let both = async { futures::join!(orchestrator.run("first"), orchestrator.run("second")) };
    let (_, second) = cx.call(RUN, both).await?.value;
    let latency = second.map(|done| done.latency.as_millis()).unwrap_or_default();
    ensure_eq!(latency, 60, "the latency of an answer, after 30 ms in the line and 30 ms on the way"; help = "it is the time of the caller, from the moment when all that the request needs is there: it contains the wait");
    replaced::goes_by_its_new_rules(&cx).await
}
