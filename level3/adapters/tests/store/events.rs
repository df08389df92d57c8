//! Events in a store, and their deliveries.

use std::sync::Arc;
use std::time::Duration;

use level3_adapters::sql::{
    DeliveryEnd, DeliveryQuery, DeliveryState, DeliveryTurn, EventNote, NewDelivery, Store,
};
use level3_domain::journal::{JournalError, Lease, Opened, Record};
use tokio::time::sleep;

use crate::backend::LONG;
use crate::contract::{begun, id};
use crate::payments::Place;

/// Longer than any test.
const CLAIM: Duration = Duration::from_secs(3600);

async fn labelled(store: &Arc<dyn Store>, name: &str) -> Lease {
    let opened = store.open_labelled(id(name), begun(name), "shop".to_owned()).await.unwrap();
    let Opened::New(lease) = opened else { panic!("{opened:?}") };
    lease
}

fn note(name: &str, filed_as: &str) -> EventNote {
    EventNote {
        name: format!("evt_{name}"),
        filed_as: id(filed_as),
        kind: "paid",
        subject: name.to_owned(),
    }
}

async fn ended(store: &Arc<dyn Store>, lease: &Lease, note: EventNote) -> Result<(), JournalError> {
    store.append_noted(lease, vec![Record::Completed], note).await
}

fn delivery(endpoint: &str) -> NewDelivery {
    NewDelivery { endpoint: endpoint.to_owned(), body: "{\"a\": \"\u{e4}\"}".to_owned() }
}

async fn claim(store: &Arc<dyn Store>) -> Vec<DeliveryTurn> {
    store.claim_deliveries(10, CLAIM).await.unwrap()
}

async fn states(store: &Arc<dyn Store>) -> Vec<(String, DeliveryState, u32)> {
    let query = DeliveryQuery { label: None, state: None, before: None, most: 10 };
    let found = store.deliveries(query).await.unwrap();
    found.into_iter().map(|one| (one.endpoint, one.state, one.attempts)).collect()
}

/// An event is there exactly if its records are.
pub async fn an_event_is_written_with_its_records(place: Place) {
    let store = place.open(LONG).await;
    let lease = labelled(&store, "a").await;
    let old = Lease { epoch: 0, ..lease.clone() };
    assert_eq!(ended(&store, &old, note("a", "a")).await, Err(JournalError::Fenced));
    assert_eq!(store.unplanned(10).await.unwrap(), []);
    ended(&store, &lease, note("a", "a")).await.unwrap();
    // Another saga with the label of the first one, and one without any.
    let Opened::New(second) = store.open(id("b"), begun("b")).await.unwrap() else { panic!() };
    ended(&store, &second, note("b", "a")).await.unwrap();
    let Opened::New(third) = store.open(id("c"), begun("c")).await.unwrap() else { panic!() };
    ended(&store, &third, note("c", "c")).await.unwrap();
    // The same event again.
    ended(&store, &third, note("a", "a")).await.unwrap();
    drop(store);
    let store = place.open(LONG).await;
    let found = store.unplanned(10).await.unwrap();
    let names: Vec<_> = found.iter().map(|one| (one.name.as_str(), one.label.as_str())).collect();
    assert_eq!(names, [("evt_a", "shop"), ("evt_b", "shop")]);
    assert_eq!((found[0].kind.as_str(), found[1].subject.as_str()), ("paid", "b"));
    assert_eq!(store.unplanned(1).await.unwrap().len(), 1);
}

/// A delivery is claimed by one process, and is due again when its time is over.
pub async fn a_delivery_is_made_until_it_has_an_end(place: Place) {
    let (store, other) = (place.open(LONG).await, place.open(LONG).await);
    let lease = labelled(&store, "a").await;
    ended(&store, &lease, note("a", "a")).await.unwrap();
    let event = store.unplanned(10).await.unwrap()[0].number;
    store.plan(event, vec![delivery("one"), delivery("two")]).await.unwrap();
    // Planned by another process at the same moment.
    other.plan(event, vec![delivery("three")]).await.unwrap();
    assert_eq!(store.unplanned(10).await.unwrap(), []);
    let short = Duration::from_millis(50);
    let turns = store.claim_deliveries(10, short).await.unwrap();
    assert_eq!(turns.len(), 2);
    assert_eq!(turns[0].delivery.body, delivery("").body);
    assert_eq!(turns[0].delivery.event, "evt_a");
    // That process dies, or is slow.
    sleep(short * 2).await;
    let mut turns = claim(&other).await;
    turns.sort_by(|a, b| a.delivery.endpoint.cmp(&b.delivery.endpoint));
    assert_eq!(turns.iter().map(|turn| turn.claim).collect::<Vec<_>>(), [2, 2]);
    assert!(claim(&store).await.is_empty());
    let late = DeliveryTurn { claim: 1, ..turns[0].clone() };
    assert!(!store.delivery_ended(&late, DeliveryEnd::Delivered).await.unwrap());
    assert!(other.delivery_ended(&turns[0], DeliveryEnd::Delivered).await.unwrap());
    let again =
        |counts| DeliveryEnd::Again { after: Duration::ZERO, cause: "503\0".to_owned(), counts };
    assert!(other.delivery_ended(&turns[1], again(true)).await.unwrap());
    let turn = claim(&store).await.remove(0);
    assert!(turn.delivery.cause.as_ref().unwrap().starts_with("503"));
    assert!(store.delivery_ended(&turn, again(false)).await.unwrap());
    let turn = claim(&store).await.remove(0);
    assert_eq!(turn.delivery.attempts, 1);
    let dead = DeliveryEnd::Dead { cause: "gone".to_owned() };
    assert!(store.delivery_ended(&turn, dead).await.unwrap());
    use DeliveryState::{Dead, Delivered, Pending};
    let (one, two) = ("one".to_owned(), "two".to_owned());
    assert_eq!(states(&store).await, [(two.clone(), Dead, 2), (one.clone(), Delivered, 0)]);
    assert!(claim(&store).await.is_empty());
    let number = turn.delivery.number;
    assert!(!store.replay(number, Some("rival".to_owned())).await.unwrap());
    assert!(!store.replay(u64::MAX, None).await.unwrap());
    assert!(store.replay(number, Some("shop".to_owned())).await.unwrap());
    assert_eq!(states(&store).await, [(two, Pending, 0), (one, Delivered, 0)]);
    assert_eq!(claim(&store).await[0].delivery.number, number);
}

/// A list has pages and filters.
pub async fn deliveries_are_listed(place: Place) {
    let store = place.open(LONG).await;
    for name in ["a", "b", "c"] {
        let lease = labelled(&store, name).await;
        ended(&store, &lease, note(name, name)).await.unwrap();
    }
    for event in store.unplanned(10).await.unwrap() {
        store.plan(event.number, vec![delivery("one")]).await.unwrap();
    }
    let query = |label: Option<&str>, state, before, most| DeliveryQuery {
        label: label.map(str::to_owned),
        state,
        before,
        most,
    };
    let list = async |query| store.deliveries(query).await.unwrap();
    let first = list(query(Some("shop"), None, None, 2)).await;
    let rest = list(query(Some("shop"), None, Some(first[1].number), 2)).await;
    let names: Vec<_> = first.iter().chain(&rest).map(|one| one.event.as_str()).collect();
    assert_eq!(names, ["evt_c", "evt_b", "evt_a"]);
    assert!(list(query(Some("rival"), None, None, 10)).await.is_empty());
    assert!(list(query(None, Some(DeliveryState::Dead), None, 10)).await.is_empty());
    assert_eq!(list(query(None, Some(DeliveryState::Pending), None, 10)).await.len(), 3);
}
