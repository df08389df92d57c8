//! What a stream promises besides: lanes with one owner, events of dead processes, bounds, and a server that goes away.

#[path = "../../journal/tests/support/events.rs"]
#[allow(dead_code, reason = "each test uses a part of it")]
mod events;
mod support;

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::stream as nats_stream;
use futures::FutureExt as _;
use futures::future::join_all;
use level5::event_processor::{End, Event, EventId, Journal, JournalError, Loaded};
use level5_jetstream::{
    Address, JetStreamConfig, JetStreamJournal, OpenError, Unreadable, WriteError,
};
use tokio::runtime::{Builder, Runtime};

use events::{event, letter, sized};
use support::{Nats, STREAM_BYTES};

/// Quick leases, so that a test does not wait long for a death.
fn config() -> JetStreamConfig {
    JetStreamConfig {
        lease: Duration::from_millis(600),
        answer_within: Duration::from_millis(500),
        max_bytes: STREAM_BYTES,
        ..JetStreamConfig::default()
    }
}

async fn open(address: &Address) -> JetStreamJournal {
    JetStreamJournal::open(address, config()).await.expect("a journal")
}

fn ids(events: &[Arc<Event>]) -> Vec<&str> {
    events.iter().map(|event| event.id.as_str()).collect()
}

fn delivered(id: &str) -> (EventId, End) {
    (EventId::new(id), End::Delivered)
}

fn died(id: &str) -> (EventId, End) {
    (EventId::new(id), End::Dead(letter(id)))
}

async fn client(address: &Address) -> async_nats::Client {
    let url = address.to_string();
    let server = url.rsplit_once('/').expect("a stream").0;
    async_nats::connect(server).await.expect("a connection")
}

/// The messages of the stream.
async fn messages(address: &Address) -> u64 {
    let context = async_nats::jetstream::new(client(address).await);
    let stream = context.get_stream(address.stream()).await.expect("the stream");
    stream.get_info().await.expect("the stream").state.messages
}

/// A process for itself, as far as one test can be two: its tasks run only while its runtime does.
fn process() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

#[tokio::test]
async fn a_lane_has_one_owner() {
    let Some(nats) = Nats::start() else { return };
    let address = nats.address("events");
    let first = open(&address).await;
    let second = open(&address).await;
    assert_eq!((first.figures().lane, second.figures().lane), (0, 1));
    let wanted = JetStreamConfig { lane: Some(0), ..config() };
    let refused = JetStreamJournal::open(&address, wanted).await.map(drop);
    assert_eq!(refused, Err(OpenError::InUse { lane: 0 }));
    first.append(&[event("a")]).await.expect("kept");
    second.append(&[event("b")]).await.expect("kept");
    let (of_first, of_second) = (first.load().await, second.load().await);
    assert_eq!(ids(&of_first.expect("read").pending), ["a"]);
    assert_eq!(ids(&of_second.expect("read").pending), ["b"]);
    let handle = first.clone();
    drop(first);
    assert!(handle.append(&[event("c")]).await.is_ok(), "a handle is left");
    handle.close().await;
    let again = JetStreamJournal::open(&address, wanted).await.expect("it is free");
    assert_eq!(again.recovered().pending, 2);
    assert_eq!(ids(&again.load().await.expect("read").pending), ["a", "c"]);
}

#[test]
fn the_events_of_a_dead_process_are_taken_over() {
    let Some(nats) = Nats::start() else { return };
    let address = nats.address("events");
    let (dies, lives) = (process(), process());
    let dead = dies.block_on(open(&address));
    dies.block_on(async {
        dead.append(&["a", "b", "c", "d", "e"].map(event)).await.expect("kept");
        dead.done(&[delivered("b"), died("d")]).await.expect("recorded");
    });
    let journal = lives.block_on(open(&address));
    // Its tasks stop where they are, and release nothing.
    dies.shutdown_background();
    drop(dead);
    lives.block_on(async {
        let taken = journal.taken_over().await.expect("it owns its lane");
        assert_eq!(ids(&taken), ["a", "c", "e"]);
        assert_eq!(taken, ["a", "c", "e"].map(event));
        journal.settled().await;
        journal.append(&taken[..1]).await.expect("kept");
        // A client has tried again here.
        journal.append(&[sized("c", 3)]).await.expect("kept");
        journal.decline(&EventId::new("e"));
        let figures = journal.figures();
        assert_eq!((figures.published, figures.taken_over), (1, 3), "a was there already");
        assert_eq!(journal.load().await.expect("read").pending, [event("a"), sized("c", 3)]);
        journal.done(&[delivered("a"), delivered("c")]).await.expect("recorded");
        assert_eq!(journal.load().await, Ok(Loaded::default()));
        journal.close().await;
        // The letter of the dead process: the process that opens its lane has it.
        assert_eq!(messages(&address).await, 1);
        let next = open(&address).await;
        assert_eq!(next.load().await.expect("read").dead, [letter("d")]);
    });
}

#[test]
fn a_process_that_only_seemed_dead_can_end_nothing() {
    let Some(nats) = Nats::start() else { return };
    let address = nats.address("events");
    let (sleeps, lives) = (process(), process());
    let asleep = sleeps.block_on(open(&address));
    sleeps.block_on(asleep.append(&["a", "b"].map(event))).expect("kept");
    let journal = lives.block_on(open(&address));
    // Nothing of the other runtime runs meanwhile: no lease is renewed.
    let taken = lives.block_on(journal.taken_over()).expect("it owns its lane");
    assert_eq!(ids(&taken), ["a", "b"]);
    let error = sleeps.block_on(asleep.done(&[delivered("a")])).expect_err("it has lost its lane");
    assert!(matches!(error, JournalError::Broken(_)), "{error}");
    assert_eq!(error.cause(), Some(&WriteError::Deposed { lane: 0 }));
    assert!(sleeps.block_on(asleep.append(&[event("c")])).is_err());
    assert!(sleeps.block_on(asleep.taken_over()).is_none());
    lives.block_on(async {
        assert_eq!(messages(&address).await, 2, "the end of `a` was not recorded");
        journal.append(&taken).await.expect("kept");
        journal.done(&[delivered("a"), delivered("b")]).await.expect("recorded");
        assert_eq!(messages(&address).await, 0);
    });
}

#[tokio::test]
async fn a_process_that_ends_in_order_leaves_its_events_at_once() {
    let Some(nats) = Nats::start() else { return };
    let address = nats.address("events");
    let slow = JetStreamConfig { lease: Duration::from_secs(6), ..config() };
    let first = JetStreamJournal::open(&address, slow).await.expect("a journal");
    first.append(&[event("a")]).await.expect("kept");
    let second = JetStreamJournal::open(&address, slow).await.expect("a journal");
    first.close().await;
    // At the next look, and not after the lease.
    assert_eq!(ids(&second.taken_over().await.expect("it owns its lane")), ["a"]);
}

#[tokio::test]
async fn a_full_lane_takes_ends_and_no_events() {
    let Some(nats) = Nats::start() else { return };
    let full = JetStreamConfig { max_records: 3, ..config() };
    let journal = JetStreamJournal::open(&nats.address("events"), full).await.expect("a journal");
    journal.append(&["a", "b"].map(event)).await.expect("kept");
    let refused = journal.append(&["c", "d"].map(event)).await.expect_err("full");
    assert!(matches!(refused, JournalError::Full(_)), "{refused}");
    assert_eq!(refused.cause(), Some(&WriteError::Full { max_records: 3 }));
    assert_eq!(ids(&journal.load().await.expect("read").pending), ["a", "b"]);
    journal.append(&[event("c")]).await.expect("kept");
    journal.done(&[died("a"), delivered("b")]).await.expect("recorded");
    journal.append(&[event("d")]).await.expect("kept");
    let loaded = journal.load().await.expect("read");
    assert_eq!((ids(&loaded.pending), loaded.dead), (vec!["c", "d"], vec![letter("a")]));
}

#[tokio::test]
async fn a_full_stream_refuses_and_drops_nothing() {
    let Some(nats) = Nats::start() else { return };
    let address = nats.address("events");
    let small = JetStreamConfig { max_bytes: 1 << 20, ..config() };
    let journal = JetStreamJournal::open(&address, small).await.expect("a journal");
    let mut kept = Vec::new();
    let refused = loop {
        let id = format!("{:04}", kept.len());
        match journal.append(&[sized(&id, 20_000)]).await {
            Ok(()) => kept.push(id),
            Err(error) => break error,
        }
        assert!(kept.len() < 100, "the limit is not there");
    };
    assert!(matches!(refused, JournalError::Full(_)), "{refused}");
    let cause: &WriteError = refused.cause().expect("the journal's own error");
    assert!(matches!(cause, WriteError::StreamFull { .. }) && cause.is_full(), "{cause}");
    assert!(kept.len() > 40, "{kept:?}");
    // Of a call of two, one of which fits, neither is kept.
    assert!(journal.append(&[event("small"), sized("large", 40_000)]).await.is_err());
    journal.done(&[delivered("0000"), delivered("0001")]).await.expect("ends are recorded");
    journal.append(&[event("again")]).await.expect("there is room");
    kept.drain(..2);
    kept.push("again".to_owned());
    journal.close().await;
    let journal = open(&address).await;
    assert_eq!(ids(&journal.load().await.expect("read").pending), kept);
}

#[tokio::test]
async fn an_event_that_is_too_large_is_refused_by_name() {
    let Some(nats) = Nats::start() else { return };
    let journal = open(&nats.address("events")).await;
    let refused = journal.append(&[event("a"), sized("huge", 2 << 20)]).await.expect_err("large");
    assert!(matches!(refused, JournalError::Refused(_)), "{refused}");
    let cause = refused.cause().expect("the journal's own error");
    assert!(matches!(cause, WriteError::TooLarge { id, .. } if id.as_str() == "huge"), "{cause}");
    assert_eq!(journal.load().await, Ok(Loaded::default()));
    journal.append(&[event("a")]).await.expect("kept");
}

#[tokio::test]
async fn a_stream_that_may_drop_events_is_refused() {
    let Some(nats) = Nats::start() else { return };
    let address = nats.address("events");
    let context = async_nats::jetstream::new(client(&address).await);
    let subjects = vec!["events.>".to_owned()];
    let other = nats_stream::Config { name: "events".to_owned(), subjects, ..Default::default() };
    context.create_stream(other).await.expect("a stream");
    let refused = JetStreamJournal::open(&address, config()).await.map(drop);
    assert!(matches!(refused, Err(OpenError::Stream { .. })), "{refused:?}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_an_error() {
    let address = "nats://127.0.0.1:1/events".parse().expect("an address");
    let refused = JetStreamJournal::open(&address, config()).await.map(drop);
    assert!(matches!(refused, Err(OpenError::Connect { .. })), "{refused:?}");
    let wrong = JetStreamConfig { max_records: 0, ..config() };
    let refused = JetStreamJournal::open(&address, wrong).await.map(drop);
    assert!(matches!(refused, Err(OpenError::Config { .. })), "{refused:?}");
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_named_and_stays() {
    let Some(nats) = Nats::start() else { return };
    let address = nats.address("events");
    let journal = open(&address).await;
    journal.append(&[event("a")]).await.expect("kept");
    journal.close().await;
    let context = async_nats::jetstream::new(client(&address).await);
    for payload in ["{\"v\":9,\"id\":\"newer\"}\n", "notes"] {
        let sent = context.publish("events.0.pending", payload.into()).await.expect("sent");
        sent.await.expect("stored");
    }
    let refused = JetStreamJournal::open(&address, config()).await.map(drop);
    let Err(error @ OpenError::Unreadable { .. }) = refused else { panic!("{refused:?}") };
    let text = error.to_string();
    assert!(text.contains("version 9") && text.contains("message 3 on events.0.pending"), "{text}");
    let OpenError::Unreadable { records } = error else { unreachable!("it is one") };
    assert_eq!(records[0].event, Some(EventId::new("newer")));
    let accept = JetStreamConfig { unreadable: Unreadable::Accept, ..config() };
    let journal = JetStreamJournal::open(&address, accept).await.expect("it goes on");
    assert_eq!(journal.recovered().unreadable, records);
    journal.done(&[delivered("a")]).await.expect("recorded");
    journal.close().await;
    assert_eq!(messages(&address).await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_loses_and_repeats_nothing() {
    let Some(nats) = Nats::start() else { return };
    let address = nats.address("events");
    let journal = open(&address).await;
    let names: Vec<_> = (0..4000).map(|number| format!("{number:04}")).collect();
    let appends = names.chunks(20).map(|names| {
        let (journal, names) = (journal.clone(), names.to_vec());
        tokio::spawn(async move {
            for id in names {
                journal.append(&[event(&id)]).await.expect("kept");
                if id.ends_with('7') {
                    journal.done(&[delivered(&id)]).await.expect("recorded");
                }
            }
        })
    });
    let appends: Vec<_> = appends.collect();
    while journal.figures().published < 500 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    tokio::task::block_in_place(|| {
        nats.kill();
        nats.restart();
    });
    for append in join_all(appends).await {
        append.expect("no call has failed");
    }
    let figures = journal.figures();
    println!(
        "{} published, {} again, {} of them were there",
        figures.published, figures.published_again, figures.deduplicated
    );
    let mut expected: Vec<_> = names.iter().map(String::as_str).collect();
    expected.retain(|id| !id.ends_with('7'));
    let sorted = |loaded: Loaded| {
        let mut found: Vec<_> = loaded.pending.iter().map(|it| it.id.to_string()).collect();
        found.sort();
        found
    };
    assert_eq!(sorted(journal.load().await.expect("read")), expected);
    journal.close().await;
    let journal = open(&address).await;
    let mut found = sorted(journal.load().await.expect("read"));
    // The server may have forgotten removals that it had not written when it was killed.
    let before = found.len();
    found.retain(|id| !id.ends_with('7'));
    println!("{} came back", before - found.len());
    assert_eq!(found, expected);
}

#[tokio::test]
async fn a_call_that_is_dropped_goes_on() {
    let Some(nats) = Nats::start() else { return };
    let journal = open(&nats.address("events")).await;
    let _ = journal.append(&["a", "b"].map(event)).now_or_never();
    journal.append(&[event("c")]).await.expect("kept");
    let _ = journal.done(&[delivered("a")]).now_or_never();
    // Waits until the dropped one has removed its record, as it waits for its own.
    journal.done(&[delivered("a")]).await.expect("recorded");
    assert_eq!(ids(&journal.load().await.expect("read").pending), ["b", "c"]);
}
