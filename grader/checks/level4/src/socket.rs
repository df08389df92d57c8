//! `socket::socket`.

mod frames;
mod lives;
mod polls;
mod writes;

use std::time::Duration;

use futures::Stream;
use grader_kit::marbles::{Marbles, Mark};
use grader_kit::{Cx, Fail};
use level4::socket::{Config, Event, Frame, GaveUp, Outbox};
use serde::de::DeserializeOwned;

pub use frames::{
    answers_pings_and_hides_pongs, bad_frames_are_reported, decodes_messages, hello_comes_first,
    queues_while_there_is_no_connection, silence_is_the_end,
};
pub use lives::{
    a_connect_has_a_limit, an_error_is_not_the_end, counts_until_a_connection_is_stable,
    gives_up_after_its_attempts, no_wait_is_longer_than_the_longest, reconnects_with_growing_waits,
    refuses_bad_settings, stops_when_dropped,
};
pub use polls::{begins_with_the_first_poll, waits_without_looking};
pub use writes::{a_write_has_a_limit, goes_on_without_its_outbox, unsent_frames_are_sent_again};

use crate::server::Server;

const SOCKET: &str = "socket::socket";

/// What a stream of events yields.
type Item<M> = Result<Event<M>, GaveUp>;

/// A socket whose messages are numbers.
async fn socket(
    cx: &Cx,
    server: &Server,
    config: Config,
) -> Result<(Outbox, impl Stream<Item = Item<u32>> + Unpin + use<>), Fail> {
    socket_of::<u32>(cx, server, config).await
}

async fn socket_of<M: DeserializeOwned + Send + 'static>(
    cx: &Cx,
    server: &Server,
    config: Config,
) -> Result<(Outbox, impl Stream<Item = Item<M>> + Unpin + use<M>), Fail> {
    let connector = server.clone();
    let made = cx.call_fn(SOCKET, move || level4::socket::socket(connector, config)).await?;
    made.map_err(|error| {
        Fail::new(format!("a good configuration is refused: {error:?}")).expected("it is accepted")
    })
}

/// No pings: a connection is silent for as long as it likes.
fn quiet() -> Config {
    Config { ping_every: None, ..Config::default() }
}

/// An event as a message shows it: `connected 1`, `7`, `bad frame`, `failed 2, 4000 ms`, `gave up 6`.
fn shown<M: ToString>(item: &Item<M>) -> String {
    match item {
        Ok(Event::Connected { attempt }) => format!("connected {attempt}"),
        Ok(Event::Message(message)) => message.to_string(),
        Ok(Event::BadFrame(_)) => "bad frame".to_owned(),
        Ok(Event::Reconnecting { attempt, delay }) => {
            format!("failed {attempt}, {} ms", delay.as_millis())
        }
        Err(gave_up) => format!("gave up {}", gave_up.failures),
    }
}

/// What comes out of a socket up to `limit` ms.
async fn observed<M: ToString>(limit: u64, events: impl Stream<Item = Item<M>>) -> Marbles {
    Marbles::record(limit, events, |item| Mark::Item(shown(&item))).await
}

fn events<'a>(events: impl IntoIterator<Item = (u64, &'a str)>) -> Marbles {
    Marbles::at(
        events
            .into_iter()
            .map(|(at, text)| (at, if text == "|" { Mark::End } else { Mark::item(text) })),
    )
}

fn text(text: impl ToString) -> Frame {
    Frame::Text(text.to_string())
}

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
