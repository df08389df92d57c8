//! `realtime::Realtime`.

mod copies;
mod fakes;
mod follows;
mod readers;
mod snapshots;

use std::time::Duration;

use futures::Stream;
use grader_kit::marbles::{Marbles, Mark};
use grader_kit::{Cx, Fail};
use level4::realtime::{Live, Realtime, Settings, Status};
use level4::socket::{Config, ConfigError};

use crate::server::Server;

pub use copies::{
    a_failed_snapshot_shows_the_copy, an_empty_list_is_a_list, needs_no_store,
    the_copy_follows_the_updates,
};
pub use follows::{
    a_key_is_there_once, an_old_update_is_skipped, an_update_during_the_snapshot_counts,
    follows_the_updates, loads_the_list, other_messages_do_not_disturb,
    unreadable_messages_are_reported,
};
pub use readers::{
    a_new_reader_begins_again, a_panic_passes, begins_with_the_first_poll, refuses_bad_settings,
    the_last_reader_closes, two_readers_share_a_connection, waits_without_looking,
};
pub use snapshots::{
    a_full_buffer_costs_a_snapshot, a_list_from_before_is_shown_while_it_is_young,
    a_reconnect_asks_again, a_snapshot_is_tried_again, subscribes_before_it_asks,
    without_a_list_it_fails,
};

use fakes::{Api, Copies, Row};

const OPEN: &str = "Realtime::open";

type List = Realtime<Api, Server, Copies>;

/// A topic, and no pings: a connection is silent for as long as it likes.
fn settings() -> Settings {
    let mut settings = Settings::new("orders");
    settings.socket = Config { ping_every: None, ..Config::default() };
    settings
}

/// A server, a service, a store, and the list over them.
struct Scene {
    server: Server,
    api: Api,
    copies: Copies,
    list: List,
}

async fn made(
    cx: &Cx,
    (server, api, copies): (&Server, &Api, &Copies),
    settings: Settings,
) -> Result<Result<List, ConfigError>, Fail> {
    let (server, api, copies) = (server.clone(), api.clone(), copies.clone());
    cx.call_fn("Realtime::new", move || Realtime::new(api, server, copies, settings)).await
}

async fn scene_with(
    cx: &Cx,
    (server, api, copies): (Server, Api, Copies),
    settings: Settings,
) -> Result<Scene, Fail> {
    let list = made(cx, (&server, &api, &copies), settings).await?.map_err(|error| {
        Fail::new(format!("good settings are refused: {error:?}")).expected("they are accepted")
    })?;
    Ok(Scene { server, api, copies, list })
}

/// A server that accepts.
async fn scene(cx: &Cx, api: Api) -> Result<Scene, Fail> {
    let server = Server::new([], crate::server::Answer::Accepts);
    scene_with(cx, (server, api, Copies::new()), settings()).await
}

/// A state as a message shows it: `live 3: 1a 2b`, `stale for 50 ms 3: none`, `connecting`.
fn shown(live: &Live<Row>) -> String {
    let status = match live.status {
        Status::Connecting => "connecting".to_owned(),
        Status::Live => "live".to_owned(),
        Status::Stale { age } => format!("stale for {} ms", age.as_millis()),
        Status::Failed => "failed".to_owned(),
        Status::GaveUp => "gave up".to_owned(),
    };
    let rows = |rows: &[Row]| match rows {
        [] => "none".to_owned(),
        rows => {
            rows.iter().map(|row| format!("{}{}", row.id, row.text)).collect::<Vec<_>>().join(" ")
        }
    };
    let items = live.items.as_deref().map(|items| format!(" {}: {}", live.version, rows(items)));
    let unreadable = match live.unreadable {
        0 => String::new(),
        count => format!(", {count} unreadable"),
    };
    format!("{status}{}{unreadable}", items.unwrap_or_default())
}

/// What a reader sees up to `limit` ms: of each millisecond the last state, and each state once.
async fn seen(limit: u64, states: impl Stream<Item = Live<Row>>) -> Marbles {
    let all = Marbles::record(limit, states, |live| Mark::Item(shown(&live))).await;
    let mut marks: Vec<(u64, Mark)> = Vec::new();
    for (at, mark) in all.marks() {
        if marks.last().is_some_and(|(last, it)| last == at && matches!(it, Mark::Item(_)))
            && matches!(mark, Mark::Item(_))
        {
            marks.pop();
        }
        if marks.last().is_none_or(|(_, last)| last != mark) {
            marks.push((*at, mark.clone()));
        }
    }
    Marbles::at(marks)
}

/// Of what a reader has seen, the states with a list. Without one the status is another criterion's business.
fn lists(seen: &Marbles) -> Marbles {
    let has_list = |mark: &Mark| matches!(mark, Mark::Item(text) if text.contains(": "));
    Marbles::at(seen.marks().iter().filter(|(_, mark)| has_list(mark)).cloned())
}

fn states<'a>(states: impl IntoIterator<Item = (u64, &'a str)>) -> Marbles {
    Marbles::at(
        states
            .into_iter()
            .map(|(at, text)| (at, if text == "|" { Mark::End } else { Mark::item(text) })),
    )
}

/// Runs a script beside a reader, and returns what the reader has seen up to `limit` ms.
async fn watch<F: Future>(cx: &Cx, list: &List, limit: u64, script: F) -> Result<Marbles, Fail> {
    let both = futures::future::join(seen(limit, list.open()), script);
    Ok(cx.call(OPEN, both).await?.value.0)
}

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
