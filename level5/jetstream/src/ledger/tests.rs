//! Decisions about records, without a server.

use jiff::Timestamp;
use level5::event_processor::{DeadLetter, Service};
use level5::priority_queue::Priority;

use super::*;

fn event(id: &str) -> Arc<Event> {
    Arc::new(Event {
        id: EventId::new(id),
        kind: "kind".to_owned(),
        key: None,
        priority: Priority::Low,
        at: Timestamp::UNIX_EPOCH,
        data: bytes::Bytes::new(),
    })
}

fn pending(id: &str) -> Content {
    Content::Pending(event(id))
}

fn dead(id: &str) -> Content {
    let (event, service) = (event(id), Service::new("mail"));
    Content::Dead(DeadLetter { event, service, attempts: 4, reason: String::new() })
}

fn ledger() -> Ledger {
    Ledger::new(0, 10, 100)
}

/// A call whose records are numbered in the stream as they are in the ledger.
fn call(ledger: &mut Ledger, contents: &[Content]) -> Vec<Order> {
    let orders = ledger.begin(contents.to_vec()).expect("room");
    orders.iter().for_each(|order| ledger.stored(*order, order.number));
    ledger.commit(&orders);
    orders
}

fn of_dead(generation: u64, number: u64, content: Content) -> Stored {
    let place = Place { lane: 7, sequence: 1000 + number, ack: Some("ack".into()) };
    Stored { order: Order { generation, number }, place, content }
}

fn shown(ledger: &Ledger) -> (Vec<String>, Vec<String>) {
    let Loaded { pending, dead } = ledger.loaded();
    let pending = pending.iter().map(|event| event.id.to_string()).collect();
    (pending, dead.iter().map(|letter| letter.event.id.to_string()).collect())
}

/// The numbers in the stream of what has to be removed, and removes it.
fn remove(ledger: &mut Ledger) -> Vec<u64> {
    let taken = ledger.take_leaving(100);
    taken.iter().for_each(|(order, _)| ledger.removed(*order));
    let mut sequences: Vec<_> = taken.into_iter().map(|(_, place)| place.sequence).collect();
    sequences.sort_unstable();
    sequences
}

#[test]
fn a_record_is_kept_when_its_call_is_committed() {
    let mut ledger = ledger();
    let orders = ledger.begin(vec![pending("a"), pending("b")]).expect("room");
    ledger.stored(orders[0], 1);
    assert!(ledger.is_writing(&EventId::new("a")) && shown(&ledger).0.is_empty());
    ledger.stored(orders[1], 2);
    ledger.commit(&orders);
    assert_eq!((shown(&ledger).0, ledger.kept()), (vec!["a".to_owned(), "b".to_owned()], 2));
    assert!(!ledger.has_leaving());
}

#[test]
fn a_failed_call_leaves_what_was_there() {
    let mut ledger = ledger();
    call(&mut ledger, &[pending("a")]);
    let orders = ledger.begin(vec![pending("a"), pending("b")]).expect("room");
    ledger.stored(orders[0], 2);
    ledger.abort(&orders);
    assert_eq!(shown(&ledger).0, ["a"]);
    assert_eq!(remove(&mut ledger), [2]);
    // The answer about the other one comes late.
    ledger.stored(orders[1], 3);
    assert_eq!(remove(&mut ledger), [3]);
    assert_eq!(shown(&ledger).0, ["a"]);
}

#[test]
fn a_newer_record_replaces_the_older_ones() {
    let mut ledger = ledger();
    call(&mut ledger, &[pending("a"), pending("b"), pending("a")]);
    assert_eq!(shown(&ledger).0, ["b", "a"]);
    assert_eq!(remove(&mut ledger), [1]);
    call(&mut ledger, &[dead("b")]);
    assert_eq!(shown(&ledger), (vec!["a".to_owned()], vec!["b".to_owned()]));
    assert_eq!(remove(&mut ledger), [2]);
}

#[test]
fn calls_that_are_committed_in_another_order_keep_the_newest() {
    let mut ledger = ledger();
    let first = ledger.begin(vec![pending("a")]).expect("room");
    let second = ledger.begin(vec![pending("a")]).expect("room");
    ledger.stored(first[0], 5);
    ledger.stored(second[0], 4);
    ledger.commit(&second);
    ledger.commit(&first);
    assert_eq!(shown(&ledger).0, ["a"]);
    assert_eq!(remove(&mut ledger), [5]);
}

#[test]
fn what_has_ended_is_removed_until_that_succeeds() {
    let mut ledger = ledger();
    call(&mut ledger, &[pending("a")]);
    let id = EventId::new("a");
    ledger.end(&id);
    assert!(ledger.is_leaving(&id) && shown(&ledger).0.is_empty());
    let [(order, place)] = ledger.take_leaving(9).try_into().expect("one");
    assert!(!ledger.has_leaving() && ledger.is_leaving(&id), "it is being removed");
    ledger.not_removed(order, place);
    assert_eq!(remove(&mut ledger), [1]);
    assert!(!ledger.is_leaving(&id) && ledger.by_id.is_empty());
}

#[test]
fn a_full_lane_takes_ends_and_no_events() {
    let mut ledger = Ledger::new(0, 1, 2);
    call(&mut ledger, &[pending("a"), pending("b")]);
    assert_eq!(ledger.begin(vec![pending("c")]), Err(WriteError::Full { max_records: 2 }));
    call(&mut ledger, &[dead("a")]);
    ledger.end(&EventId::new("b"));
    remove(&mut ledger);
    call(&mut ledger, &[pending("c")]);
    assert_eq!(shown(&ledger), (vec!["c".to_owned()], vec!["a".to_owned()]));
}

#[test]
fn a_lane_that_is_opened_has_the_newest_of_each_event() {
    let mut ledger = ledger();
    ledger.restore(vec![
        of_dead(3, 2, pending("b")),
        of_dead(3, 1, pending("a")),
        of_dead(4, 1, dead("a")),
        of_dead(2, 9, pending("b")),
    ]);
    assert_eq!(shown(&ledger), (vec!["b".to_owned()], vec!["a".to_owned()]));
    assert_eq!(remove(&mut ledger), [1001, 1009]);
}

#[test]
fn a_delivery_tells_where_the_acknowledgement_goes() {
    let mut ledger = ledger();
    let order = call(&mut ledger, &[pending("a")])[0];
    let place = Place { lane: 0, sequence: 1, ack: Some("there".into()) };
    let delivered = |order| Stored { order, place: place.clone(), content: pending("a") };
    assert_eq!(ledger.delivered(delivered(order)), None);
    assert_eq!(ledger.ack(order), Some("there".into()));
    // Removed before, and delivered again by a server that has forgotten it.
    ledger.end(&EventId::new("a"));
    remove(&mut ledger);
    assert_eq!(ledger.delivered(delivered(order)), None);
    assert_eq!(remove(&mut ledger), [1]);
    // Of a process that is treated as dead.
    let other = delivered(Order { generation: 9, number: 1 });
    assert_eq!(ledger.delivered(other.clone()), Some(other));
}

#[test]
fn an_offered_event_is_accepted_without_a_write() {
    let mut ledger = ledger();
    let offered = vec![
        of_dead(20, 2, pending("b")),
        of_dead(20, 1, pending("a")),
        of_dead(20, 3, pending("c")),
        of_dead(20, 4, dead("c")),
        of_dead(20, 5, dead("d")),
    ];
    let events = ledger.offer(offered);
    let ids: Vec<_> = events.iter().map(|event| event.id.as_str()).collect();
    assert_eq!(ids, ["a", "b"]);
    assert_eq!(shown(&ledger), (vec![], vec![]));
    // The letter of `c` stays, and the older record of `c` goes.
    assert_eq!(remove(&mut ledger), [1003]);
    assert_eq!(ledger.begin(vec![Content::Pending(Arc::clone(&events[0]))]), Ok(vec![]));
    assert_eq!(shown(&ledger).0, ["a"]);
    // This one was accepted before, from a client that has tried again.
    ledger.decline(&EventId::new("b"));
    assert_eq!(remove(&mut ledger), [1002]);
    assert!(ledger.has_of_lane(7));
    ledger.end(&EventId::new("a"));
    assert_eq!(remove(&mut ledger), [1001]);
    assert!(!ledger.has_of_lane(7));
}

#[test]
fn an_offered_event_whose_call_was_dropped_stays() {
    let mut ledger = ledger();
    ledger.offer(vec![of_dead(20, 1, pending("a"))]);
    call(&mut ledger, &[pending("a"), pending("b")]);
    ledger.withdraw(&EventId::new("a"));
    ledger.withdraw(&EventId::new("b"));
    assert_eq!(shown(&ledger).0, Vec::<String>::new());
    assert_eq!(remove(&mut ledger), [1]);
    assert!(ledger.has_of_lane(7));
}

#[test]
fn another_event_with_an_offered_id_replaces_it() {
    let mut ledger = ledger();
    ledger.offer(vec![of_dead(20, 1, pending("a"))]);
    let mut other = (*event("a")).clone();
    other.kind = "other".to_owned();
    call(&mut ledger, &[Content::Pending(Arc::new(other))]);
    assert_eq!(shown(&ledger).0, ["a"]);
    assert_eq!(remove(&mut ledger), [1001]);
}
