//! What has to be true in the end, by the provider's own truth. Written apart from what the program
//! itself checks.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use level3_adapters::postgres::{PostgresAddress, PostgresReader, PostgresStore};
use level3_adapters::sql::{BookedRow, Store};
use level3_adapters::sqlite::{SqliteReader, SqliteStore};
use level3_domain::ids::{PaymentId, TransactionId};
use level3_domain::journal::{SagaId, Standing};
use level3_domain::provider::RowStatus;
use level3_sim::{NoFaults, World};
use process_kit::PATIENCE;

use crate::process::Place;

/// What was seen while looking.
#[derive(Debug, Default, Clone, Copy)]
pub struct Seen {
    pub payments: usize,
    pub charged: usize,
    /// Payments that had more than one owner: a recovery took them over.
    pub taken_over: usize,
}

/// Runs a test's own questions to a store.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().unwrap().block_on(future)
}

pub async fn open(url: &str) -> Arc<dyn Store> {
    match url.strip_prefix("sqlite:") {
        Some(file) => Arc::new(SqliteStore::open(Path::new(file)).await.unwrap()),
        None => Arc::new(PostgresStore::connect(url).await.unwrap()),
    }
}

/// The sagas that are open.
pub fn open_sagas(place: &Place) -> Vec<SagaId> {
    block_on(async { open(&place.url).await.list(Standing::Open).await.unwrap() })
}

/// No customer is charged twice or for another amount, each charge has one row and the other way round, no
/// customer gets two receipts, and nothing is open.
pub fn check(place: &Place) -> Seen {
    check_with(place, &place.simulated())
}

/// The same with the simulated services somewhere else.
pub fn check_with(place: &Place, simulated: &Path) -> Seen {
    block_on(async {
        let seen = look(&*open(&place.url).await, simulated).await;
        let world = World::new(NoFaults).kept_in(simulated).unwrap();
        books_agree(&place.url, &world).await;
        seen
    })
}

/// The audit trail is whole, the postings add up to zero, and they say that the provider has what it has
/// by its own account.
pub async fn books_agree(url: &str, world: &World) {
    let (audited, balance) = match url.strip_prefix("sqlite:") {
        Some(file) => {
            let reader = SqliteReader::open(Path::new(file)).await.unwrap();
            (reader.audit(Vec::new()).await, reader.trial_balance().await)
        }
        None => {
            let address = PostgresAddress::new(url).unwrap();
            let reader = PostgresReader::connect(address, PATIENCE).await.unwrap();
            (reader.audit(Vec::new()).await, reader.trial_balance().await)
        }
    };
    let (audited, balance) = (audited.unwrap().unwrap(), balance.unwrap().unwrap());
    assert!(audited.is_fine(), "{audited:#?}");
    assert!(balance.is_fine(), "{balance:#?}");
    let mut net: HashMap<String, i64> = HashMap::new();
    for intent in world.intents() {
        *net.entry(intent.amount.currency().code().to_owned()).or_default() += intent.net();
    }
    for (currency, net) in net {
        assert_eq!(balance.at_provider(&currency), net, "{currency}: {balance:#?}");
    }
}

async fn look(store: &dyn Store, simulated: &Path) -> Seen {
    let world = World::new(NoFaults).kept_in(simulated).unwrap();
    let counts = store.counts().await.unwrap();
    assert_eq!((counts.open, counts.parked), (0, 0), "something is left: {counts:?}");

    let mut seen = Seen::default();
    for saga in store.list(Standing::Ended).await.unwrap() {
        let payment = PaymentId::try_from(saga.as_str().to_owned()).unwrap();
        let shown = store.show(payment).await.unwrap().unwrap();
        seen.payments += 1;
        seen.taken_over += usize::from(shown.epoch > 1);
    }

    let mut net: HashMap<PaymentId, i64> = HashMap::new();
    let mut amounts = HashMap::new();
    for intent in world.intents() {
        assert!(intent.charges <= 1 && intent.refunds <= intent.charges, "{intent:?}");
        *net.entry(intent.payment.clone()).or_default() += intent.net();
        let other = amounts.insert(intent.payment.clone(), intent.amount);
        assert!(other.is_none_or(|other| other == intent.amount), "{intent:?}");
    }
    for (payment, net) in &net {
        let amount = amounts[payment].minor();
        assert!(*net == 0 || *net == amount, "{payment}: {net} charged of {amount}");
    }
    net.retain(|_, net| *net != 0);
    seen.charged = net.len();

    let mut mails: HashMap<TransactionId, u32> = HashMap::new();
    for mail in world.mails() {
        *mails.entry(mail.transaction).or_default() += 1;
    }
    for BookedRow { row, .. } in store.rows(0, usize::MAX >> 1).await.unwrap() {
        let (charged, mails) = (net.remove(&row.payment), mails.remove(&row.transaction));
        if row.status == RowStatus::Completed {
            assert_eq!(charged, Some(row.amount.minor()), "{row:?}");
            assert!(mails.unwrap_or(0) <= 1, "{row:?} has {mails:?} receipts");
            // The outbox is the other place where it may be.
            assert!(mails.is_some() || counts.receipts > 0, "{row:?} has no receipt");
        } else {
            assert_eq!((charged, mails), (None, None), "{row:?}");
        }
    }
    assert!(net.is_empty(), "charged without a row: {net:?}");
    assert!(mails.is_empty(), "receipts without a row: {mails:?}");
    seen
}
