//! Refunds in a store: their sum, their names, and who works on one.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use level3_adapters::sql::{
    NewRefund, RefundBegun, RefundClaim, RefundOutcome, RefundRefusal, RefundState, RefundTurn,
    Store,
};
use level3_domain::ids::PaymentKey;
use level3_domain::journal::StoreId;
use level3_domain::refund::RefundId;
use tokio::time::{Instant, sleep};

use crate::backend::LONG;
use crate::contract::{payment, row};
use crate::payments::Place;

/// How long the operating system and the server may take to notice that a process is gone.
const NOTICED: Duration = Duration::from_secs(120);

fn refund(name: &str) -> RefundId {
    RefundId::derive(&StoreId::unnamed(), &PaymentKey::new(name).unwrap())
}

fn new(name: &str, asked: Option<i64>) -> NewRefund {
    NewRefund { refund: refund(name), payment: payment("a"), asked }
}

async fn begin(store: &Arc<dyn Store>, name: &str, asked: Option<i64>) -> RefundBegun {
    store.begin_refund(new(name, asked)).await.unwrap()
}

async fn begun(store: &Arc<dyn Store>, name: &str, asked: Option<i64>) -> RefundTurn {
    match begin(store, name, asked).await {
        RefundBegun::New(turn) => turn,
        other => panic!("{other:?}"),
    }
}

fn exceeds(left: i64) -> RefundBegun {
    RefundBegun::Refused(RefundRefusal::Exceeds { left })
}

fn succeeded() -> RefundOutcome {
    RefundOutcome::Succeeded("re_stripe".to_owned())
}

/// A refund that has failed takes nothing; one that is under way does.
pub async fn refunds_never_exceed_the_charge(place: Place) {
    let store = place.open(LONG).await;
    let not_paid = RefundBegun::Refused(RefundRefusal::NotPaid);
    assert_eq!(begin(&store, "early", None).await, not_paid);
    store.save(row("a", 1000)).await.unwrap();
    let first = begun(&store, "first", Some(400)).await;
    assert_eq!(
        (first.claim, first.row.amount.minor(), first.row.intent.as_str()),
        (1, 400, "pi_a")
    );
    assert_eq!(begin(&store, "too much", Some(601)).await, exceeds(600));
    assert_eq!(begin(&store, "first", Some(400)).await, RefundBegun::Known(first.row.clone()));
    let rest = begun(&store, "rest", None).await;
    assert_eq!((rest.row.amount.minor(), rest.row.asked), (600, None));
    assert_eq!(begin(&store, "none left", None).await, exceeds(0));
    assert!(store.settle_refund(&first, succeeded(), None).await.unwrap());
    let refused = RefundOutcome::Failed("the bank says no".to_owned());
    assert!(store.settle_refund(&rest, refused, None).await.unwrap());
    // An outcome is final.
    assert!(!store.settle_refund(&rest, succeeded(), None).await.unwrap());
    begun(&store, "again", None).await;
    let found = store.refunds_of(payment("a")).await.unwrap();
    let found: Vec<_> = found.iter().map(|one| (one.amount.minor(), one.state)).collect();
    use RefundState::{Failed, Processing, Succeeded};
    assert_eq!(found, [(400, Succeeded), (600, Failed), (600, Processing)]);
    assert_eq!(store.open_refunds(10).await.unwrap(), [refund("again")]);
    store.save(row("b", 1000)).await.unwrap();
    store.void(payment("b")).await.unwrap();
    let of_b = NewRefund { payment: payment("b"), ..new("b", None) };
    assert_eq!(store.begin_refund(of_b).await.unwrap(), not_paid);
}

/// Many at once, by two processes, and each name twice.
pub async fn refunds_at_once_never_exceed_the_charge(place: Place) {
    let stores = [place.open(LONG).await, place.open(LONG).await];
    stores[0].save(row("a", 1000)).await.unwrap();
    let many = (0..40).map(|number| {
        // Each name is asked for by both, at the same moment.
        let (store, name) = (&stores[number % 2], format!("refund-{}", number / 2));
        async move { begin(store, &name, Some(90)).await }
    });
    let mut taken = 0;
    for begun in join_all(many).await {
        match begun {
            RefundBegun::New(turn) => taken += turn.row.amount.minor(),
            RefundBegun::Known(row) => assert_eq!(row.state, RefundState::Processing),
            refused => assert_eq!(refused, exceeds(10)),
        }
    }
    assert_eq!(taken, 990);
    let found = stores[1].refunds_of(payment("a")).await.unwrap();
    assert_eq!(found.iter().map(|one| one.amount.minor()).sum::<i64>(), 990);
}

/// One process at a time works on a refund; the next one continues where it was.
pub async fn a_refund_has_one_worker(place: Place) {
    let (one, other) = (place.open(LONG).await, place.open(LONG).await);
    one.save(row("a", 1000)).await.unwrap();
    let first = begun(&one, "first", None).await;
    let claim = async |store: &Arc<dyn Store>| store.claim_refund(refund("first")).await.unwrap();
    assert!(matches!(claim(&other).await, RefundClaim::Busy { .. }));
    assert_eq!(other.claim_refund(refund("other")).await.unwrap(), RefundClaim::Unknown);
    let cause = || "no answer\0".to_owned();
    assert!(one.refund_attempted(&first, 0, cause(), false).await.unwrap());
    assert!(matches!(claim(&other).await, RefundClaim::Busy { .. }));
    assert!(one.refund_attempted(&first, 3, cause(), true).await.unwrap());
    let RefundClaim::Yours(second) = claim(&other).await else { panic!("it was released") };
    assert_eq!((second.claim, second.row.generation, second.row.attempts), (2, 3, 2));
    assert!(second.row.cause.as_ref().unwrap().starts_with("no answer"));
    // The first worker was only slow.
    assert!(!one.settle_refund(&first, succeeded(), None).await.unwrap());
    assert!(!one.refund_attempted(&first, 9, cause(), true).await.unwrap());
    drop(other);
    let gone = Instant::now();
    let third = loop {
        match claim(&one).await {
            RefundClaim::Yours(turn) => break turn,
            RefundClaim::Busy { .. } => sleep(Duration::from_millis(20)).await,
            other => panic!("{other:?}"),
        }
        assert!(gone.elapsed() < NOTICED, "the end was not noticed");
    };
    assert!(one.settle_refund(&third, succeeded(), None).await.unwrap());
    let RefundClaim::Settled(settled) = claim(&one).await else { panic!("it is settled") };
    assert_eq!(settled.provider_id.as_deref(), Some("re_stripe"));
    assert_eq!(one.refund(refund("first")).await.unwrap(), Some(settled.clone()));
    drop(one);
    let store = place.open(LONG).await;
    assert_eq!(store.refund(refund("first")).await.unwrap(), Some(settled));
    assert_eq!(store.open_refunds(10).await.unwrap(), []);
}

/// A check of the whole store adds the refunds up.
pub async fn a_check_finds_refunds_beyond_the_charge(place: Place) {
    let store = place.open(LONG).await;
    store.save(row("a", 1000)).await.unwrap();
    begun(&store, "first", Some(400)).await;
    drop(store);
    let beyond = async |place: &Place| {
        let checked = crate::check::check(place).await.unwrap();
        checked
            .faults
            .iter()
            .any(|fault| fault.what == "its refunds of 1001 exceed its charge of 1000")
    };
    assert!(!beyond(&place).await);
    let damage = "UPDATE refunds SET minor = 1001";
    match &place {
        Place::File(path) => {
            rusqlite::Connection::open(path).unwrap().execute(damage, ()).unwrap();
        }
        Place::Url(url) => {
            let (client, connection) =
                tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
            tokio::spawn(connection);
            client.execute(damage, &[]).await.unwrap();
        }
    }
    assert!(beyond(&place).await);
}
