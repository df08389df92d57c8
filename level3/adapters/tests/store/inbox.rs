//! What the provider reports, in a store: repeats and disorder change nothing.

use std::sync::Arc;

use level3_adapters::sql::{
    DISPUTE_EVENT, Dispute, EventNote, NewArrival, NewRefund, RefundBegun, RefundOutcome,
    RefundState, Store,
};
use level3_domain::ids::{IntentId, PaymentKey};
use level3_domain::journal::StoreId;
use level3_domain::money::{Currency, Money};
use level3_domain::refund::RefundId;

use crate::backend::LONG;
use crate::contract::{begun, payment, row};
use crate::payments::Place;

fn arrival(name: &str) -> NewArrival {
    NewArrival { name: name.to_owned(), kind: "kind".to_owned(), detail: "{}".to_owned() }
}

/// A report is kept once, until it is handled.
pub async fn a_report_is_kept_once(place: Place) {
    let store = place.open(LONG).await;
    assert!(store.take_in(arrival("evt_1")).await.unwrap());
    assert!(!store.take_in(arrival("evt_1")).await.unwrap());
    assert!(store.take_in(arrival("evt_2")).await.unwrap());
    let found = store.unhandled(10).await.unwrap();
    assert_eq!(found.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["evt_1", "evt_2"]);
    store.arrival_failed(found[0].number, "down\0".to_owned()).await.unwrap();
    store.arrival_handled(found[1].number, "done".to_owned()).await.unwrap();
    drop(store);
    let store = place.open(LONG).await;
    let found = store.unhandled(10).await.unwrap();
    assert_eq!((found.len(), found[0].attempts), (1, 1));
    // A repeat of one that is handled.
    assert!(!store.take_in(arrival("evt_2")).await.unwrap());
    assert_eq!(store.unhandled(10).await.unwrap().len(), 1);
}

fn dispute(status: &str, is_closed: bool, as_of: i64) -> Dispute {
    Dispute {
        id: "dp_1".to_owned(),
        intent: IntentId::new("pi_a").unwrap(),
        amount: Money::new(500, Currency::USD).unwrap(),
        reason: "fraudulent".to_owned(),
        status: status.to_owned(),
        is_closed,
        as_of,
    }
}

async fn paid(store: &Arc<dyn Store>) {
    let saga = payment("a").as_str().to_owned().into();
    let opened = store.open_labelled(saga, begun("a"), "shop".to_owned()).await;
    opened.unwrap();
    store.save(row("a", 1000)).await.unwrap();
}

/// The last status counts, whatever the order is in which reports come.
pub async fn disputes_come_in_any_order(place: Place) {
    let store = place.open(LONG).await;
    let record = async |store: &Arc<dyn Store>, dispute, event: &str| {
        store.record_dispute(dispute, event.to_owned()).await.unwrap().is_some()
    };
    assert!(!record(&store, dispute("needs_response", false, 10), "evt_0").await, "not ours");
    paid(&store).await;
    assert!(record(&store, dispute("under_review", false, 20), "evt_1").await);
    // An earlier report, and the same one again.
    assert!(!record(&store, dispute("needs_response", false, 10), "evt_2").await);
    assert!(!record(&store, dispute("under_review", false, 20), "evt_1").await);
    assert!(record(&store, dispute("lost", true, 30), "evt_3").await);
    assert!(!record(&store, dispute("under_review", false, 40), "evt_4").await);
    assert!(!record(&store, dispute("won", true, 40), "evt_5").await);
    let found = store.disputes_of(payment("a")).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].dispute, dispute("lost", true, 30));
    assert_eq!(store.dispute("dp_1".to_owned()).await.unwrap(), Some(found[0].clone()));
    assert_eq!(store.dispute("dp_2".to_owned()).await.unwrap(), None);
    let events = store.unplanned(10).await.unwrap();
    let names: Vec<_> = events.iter().map(|one| (one.name.as_str(), one.kind.as_str())).collect();
    assert_eq!(names, [("evt_1", DISPUTE_EVENT), ("evt_3", DISPUTE_EVENT)]);
}

/// A refund that fails after it had succeeded frees its amount.
pub async fn a_refund_may_fail_late(place: Place) {
    let store = place.open(LONG).await;
    paid(&store).await;
    let refund =
        |name: &str| RefundId::derive(&StoreId::unnamed(), &PaymentKey::new(name).unwrap());
    let new = |name: &str| NewRefund { refund: refund(name), payment: payment("a"), asked: None };
    let begun = store.begin_refund(new("first")).await.unwrap();
    let RefundBegun::New(turn) = begun else { panic!("{begun:?}") };
    let note = || EventNote {
        name: "evt_1".to_owned(),
        filed_as: payment("a").as_str().to_owned().into(),
        kind: "refund_failed",
        subject: "first".to_owned(),
    };
    let late = async || {
        store.refund_failed_late(refund("first"), "bank".to_owned(), note()).await.unwrap()
    };
    assert!(!late().await, "it is under way");
    let succeeded = RefundOutcome::Succeeded("re_stripe".to_owned());
    assert!(store.settle_refund(&turn, succeeded, None).await.unwrap());
    assert!(late().await);
    assert!(!late().await);
    let found = store.refund(refund("first")).await.unwrap().unwrap();
    assert_eq!((found.state, found.cause.as_deref()), (RefundState::Failed, Some("bank")));
    assert_eq!(store.unplanned(10).await.unwrap().len(), 1);
    assert!(matches!(store.begin_refund(new("second")).await.unwrap(), RefundBegun::New(_)));
}
