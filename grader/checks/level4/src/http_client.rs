//! `http_client::HttpClient`.

mod batches;
mod copies;
mod ends;
mod fakes;
mod steps;
mod together;

use futures::Stream;
use grader_kit::marbles::{Marbles, Mark};
use grader_kit::{Cx, Fail, ms};
use level4::http_client::{Caching, HttpError, Progress, Request, Response, Settings};

use crate::ops::nz;

pub use batches::{a_batch_keeps_its_order, batches_are_of_one_host, one_failure_stays_one};
pub use copies::{
    a_copy_is_confirmed_by_its_tag, a_fresh_copy_answers, bad_urls_are_refused,
    bypass_asks_and_keeps, keeps_what_was_used_last, no_store_is_obeyed, only_successes_are_kept,
    refuses_a_ttl_of_zero,
};
pub use ends::{
    a_panic_passes, a_request_lives_as_long_as_its_callers, begins_with_the_first_poll,
    keeps_nothing_of_what_has_ended, waits_without_looking,
};
pub use steps::{says_that_a_refresh_failed, says_what_the_refresh_brought, shows_the_copy_first};
pub use together::{
    an_obsolete_request_is_not_kept, invalidates_by_prefix, one_request_for_all_callers,
    other_methods_go_through, requests_are_apart,
};

use fakes::Server;

const SEND: &str = "HttpClient::send";
const GET: &str = "HttpClient::get";
const BATCH: &str = "HttpClient::batch";
const PROGRESSIVE: &str = "HttpClient::progressive";

const FIVE_MINUTES: u64 = 300_000;
const A: &str = "http://a.example/rates";

type Client = level4::http_client::HttpClient<Server>;

async fn client(cx: &Cx, server: &Server, settings: Settings) -> Result<Client, Fail> {
    let server = server.clone();
    let made = cx.call_fn("HttpClient::new", move || Client::new(server, settings)).await?;
    made.map_err(|error| {
        Fail::new(format!("the settings are refused: {error:?}")).expected("they are accepted")
    })
}

/// Fresh for 100 ms and shown for 50 ms more.
fn short() -> Settings {
    Settings { ttl: ms(100), stale_for: ms(50), capacity: nz(100), ..Settings::default() }
}

fn body(response: &Response) -> String {
    String::from_utf8_lossy(&response.body).into_owned()
}

/// An answer as a message shows it: its body, or its error.
fn shown(answer: &Result<Response, HttpError>) -> String {
    match answer {
        Ok(response) => body(response),
        Err(HttpError::BadUrl(url)) => format!("a bad URL: {url}"),
        Err(HttpError::Transport(error)) => format!("no answer: {error:?}"),
        Err(HttpError::Status(response)) => {
            format!("status {}: {}", response.status.as_u16(), body(response))
        }
    }
}

/// The answer to a `GET`, shown.
async fn get(client: &Client, url: &str, caching: Caching) -> String {
    shown(&client.get(url, caching).await.map(|hit| hit.value))
}

/// A `GET` that a copy may answer, shown.
async fn ask(cx: &Cx, client: &Client, url: &str) -> Result<String, Fail> {
    Ok(cx.call(GET, get(client, url, Caching::Use)).await?.value)
}

/// The answer to a request that a copy may answer, shown.
async fn send(cx: &Cx, client: &Client, request: Request) -> Result<String, Fail> {
    let answer = cx.call(SEND, client.send(request, Caching::Use)).await?.value;
    Ok(shown(&answer.map(|hit| hit.value)))
}

/// An item of a progressive load as a message shows it.
fn item(item: &Result<Progress, HttpError>) -> String {
    match item {
        Ok(Progress::Cached { value, age }) => {
            format!("copy of {} ms: {}", age.as_millis(), body(value))
        }
        Ok(Progress::Fresh(value)) => format!("fresh: {}", body(value)),
        Ok(Progress::Unchanged) => "unchanged".to_owned(),
        Ok(Progress::RevalidateFailed(error)) => {
            format!("no refresh: {}", shown(&Err(error.clone())))
        }
        Err(error) => format!("error: {}", shown(&Err(error.clone()))),
    }
}

/// What comes out of a progressive load.
async fn observed(limit: u64, items: impl Stream<Item = Result<Progress, HttpError>>) -> Marbles {
    Marbles::record(limit, items, |it| Mark::Item(item(&it))).await
}

/// These items at these times, and the end with the last one.
fn items<'a>(items: impl IntoIterator<Item = (u64, &'a str)>) -> Marbles {
    let mut marks: Vec<_> = items.into_iter().map(|(at, text)| (at, Mark::item(text))).collect();
    let end = marks.last().map_or(0, |(at, _)| *at);
    marks.push((end, Mark::End));
    Marbles::at(marks)
}
