//! What only a store that survives its process can promise.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use level3_adapters::sql::{
    Counts, DeadLetter, LabelQuery, LedgerNote, ReceiptClaim, Store, UnixMillis, Written,
};
use level3_domain::ids::{IntentId, TransactionId};
use level3_domain::journal::{Claimed, Lease, Opened, Record, SagaId, Standing};
use level3_domain::provider::{NewRow, ProviderError};
use tokio::time::{Instant, sleep};

use crate::backend::LONG;
use crate::contract::{begun, payment, row, started};
use crate::payments::Place;

/// How long the operating system and the server may take to notice that a process is gone.
const NOTICED: Duration = Duration::from_secs(120);

async fn begin(store: &Arc<dyn Store>, key: &str) -> Lease {
    match store.open(payment(key).as_str().to_owned().into(), begun(key)).await.unwrap() {
        Opened::New(lease) => lease,
        known => panic!("{known:?}"),
    }
}

/// What was acknowledged is there for the next process.
pub async fn everything_is_kept(place: Place) {
    let store = place.open(LONG).await;
    let lease = begin(&store, "a").await;
    store.append(&lease, vec![started("create"), Record::Parked]).await.unwrap();
    let saved = store.save(row("a", 1999)).await.unwrap();
    store.void(payment("b")).await.unwrap();
    drop(store);
    let store = place.open(LONG).await;
    let saga_log = store.read(lease.saga.clone()).await.unwrap().unwrap();
    assert_eq!(*saga_log.records, [begun("a"), started("create"), Record::Parked]);
    assert_eq!(saga_log.standing, Standing::Parked);
    assert_eq!(store.save(row("a", 1999)).await, Ok(saved.clone()));
    assert!(store.save(row("b", 1)).await.is_err());
    let pending = store.pending_receipts(10).await.unwrap();
    assert_eq!(pending.len(), 1);
    assert_eq!(pending[0].receipt.transaction, saved.transaction);
}

/// While its owner lives a saga is its own, however long the other one's patience is; when it is gone,
/// the saga can be claimed without waiting for a lease to end.
pub async fn the_dead_are_known(place: Place) {
    let (owner, heir) = (place.open(LONG).await, place.open(LONG).await);
    let lease = begin(&owner, "a").await;
    let claimed = heir.claim(lease.saga.clone()).await.unwrap();
    assert!(matches!(claimed, Claimed::Busy { .. }), "{claimed:?}");
    drop(owner);
    let gone = Instant::now();
    loop {
        match heir.claim(lease.saga.clone()).await.unwrap() {
            Claimed::Acquired(mine, _) => break assert_eq!(mine.epoch, 2),
            Claimed::Busy { .. } => sleep(Duration::from_millis(20)).await,
            other => panic!("{other:?}"),
        }
        assert!(gone.elapsed() < NOTICED, "the end was not noticed");
    }
}

/// A payment whose intent is recorded for another is refused, and alone in that.
pub async fn one_that_fails_fails_alone(place: Place) {
    let store = place.open(LONG).await;
    store.save(row("first", 1999)).await.unwrap();
    let saves = (0..64).map(|number| {
        let mut row = row(&format!("a{number}"), 1999);
        if number % 8 == 3 {
            row = NewRow { intent: IntentId::new("pi_first").unwrap(), ..row };
        }
        store.save(row)
    });
    for (number, saved) in join_all(saves).await.into_iter().enumerate() {
        if number % 8 == 3 {
            assert!(matches!(saved, Err(ProviderError::Invalid { .. })), "{number}: {saved:?}");
        } else {
            assert!(saved.is_ok(), "{number}: {saved:?}");
        }
    }
    assert_eq!(store.pending_receipts(100).await.unwrap().len(), 57);
    // The last write worked, so there is nothing to be told.
    assert_eq!(store.last_error(), None);
}

/// The ledger's own entries stand in the saga's journal, and the saga does not see them.
pub async fn a_payment_is_shown_with_its_steps(place: Place) {
    let store = place.open(LONG).await;
    assert_eq!(store.show(payment("a")).await, Ok(None));
    let lease = begin(&store, "a").await;
    store.append(&lease, vec![started("save")]).await.unwrap();
    let saved = store.save(row("a", 1999)).await.unwrap();
    store.save(row("a", 1999)).await.unwrap();
    store.append(&lease, vec![Record::Completed]).await.unwrap();
    let shown = store.show(payment("a")).await.unwrap().unwrap();
    let written: Vec<_> = shown.entries.iter().map(|entry| entry.written.clone()).collect();
    let note = LedgerNote::RowSaved { transaction: saved.transaction.clone() };
    assert_eq!(
        written,
        [
            Written::Saga(vec![begun("a")]),
            Written::Saga(vec![started("save")]),
            Written::Ledger(note),
            Written::Saga(vec![Record::Completed]),
        ]
    );
    assert!(shown.entries.iter().zip(1..).all(|(entry, seq)| entry.seq == seq));
    assert!(shown.entries.iter().all(|entry| entry.at.0 > 1_500_000_000_000), "{shown:?}");
    assert_eq!((shown.standing, shown.epoch), (Some(Standing::Ended), 1));
    assert_eq!(shown.row.as_ref().unwrap().row, saved);
    assert_eq!(shown.row.as_ref().unwrap().intent, row("a", 1).intent);
    assert!(shown.receipt_pending);
    let saga_log = store.read(lease.saga).await.unwrap().unwrap();
    assert_eq!(saga_log.records.len(), 3);

    store.void(payment("a")).await.unwrap();
    store.void(payment("a")).await.unwrap();
    let shown = store.show(payment("a")).await.unwrap().unwrap();
    assert_eq!(shown.entries.len(), 5);
    assert_eq!(shown.entries[4].written, Written::Ledger(LedgerNote::RowVoided));
    assert!(!shown.receipt_pending);
    // A row without a saga, and a tombstone, which is no row.
    store.save(row("b", 1)).await.unwrap();
    assert_eq!(store.show(payment("b")).await.unwrap().unwrap().standing, None);
    store.void(payment("c")).await.unwrap();
    assert_eq!(store.show(payment("c")).await, Ok(None));
}

/// A list has the sagas of one label only, the newest first, page by page and by time.
pub async fn labelled_sagas_are_listed(place: Place) {
    let store = place.open(LONG).await;
    for (name, label) in [("a", "x"), ("b", "y"), ("c", "x"), ("d", "x")] {
        let opened = store.open_labelled(SagaId::new(name), begun(name), label.to_owned()).await;
        assert!(matches!(opened, Ok(Opened::New(_))), "{opened:?}");
    }
    store.open(SagaId::new("e"), begun("e")).await.unwrap();
    // The label of a saga stays.
    let again = store.open_labelled(SagaId::new("b"), begun("b"), "x".to_owned()).await;
    assert!(matches!(again, Ok(Opened::Known(_))), "{again:?}");
    drop(store);

    let store = place.open(LONG).await;
    let query = LabelQuery { label: "x".to_owned(), before: None, from: None, to: None, most: 2 };
    let names = async |query: LabelQuery| {
        let found = store.labelled(query).await.unwrap();
        found.iter().map(|one| one.saga.to_string()).collect::<Vec<_>>()
    };
    let page = store.labelled(query.clone()).await.unwrap();
    assert_eq!(names(query.clone()).await, ["d", "c"]);
    let next = LabelQuery { before: Some(page[1].saga.clone()), ..query.clone() };
    assert_eq!(names(next).await, ["a"]);
    let (c, d) = (page[1].begun_at, page[0].begun_at);
    let all = LabelQuery { most: 10, ..query };
    assert_eq!(names(LabelQuery { from: Some(UnixMillis(d.0 + 1)), ..all.clone() }).await.len(), 0);
    assert!(names(LabelQuery { from: Some(c), ..all.clone() }).await.contains(&"c".to_owned()));
    assert!(!names(LabelQuery { to: Some(c), ..all.clone() }).await.contains(&"c".to_owned()));
    assert_eq!(names(LabelQuery { label: "z".to_owned(), ..all }).await.len(), 0);
}

pub async fn dead_letters_are_listed(place: Place) {
    let store = place.open(LONG).await;
    let lease = begin(&store, "a").await;
    let parked = |step: &'static str, attempts| Record::UndoParked {
        step: step.into(),
        cause: format!("{step} is down"),
        attempts,
    };
    store
        .append(&lease, vec![parked("save", 2), parked("confirm", 23), parked("save", 3)])
        .await
        .unwrap();
    store.append(&lease, vec![Record::Parked]).await.unwrap();
    for key in ["b", "c"] {
        store.save(row(key, 5)).await.unwrap();
    }
    for cause in ["no route", "still\0no route"] {
        store.receipt_failed(payment("c"), cause.to_owned()).await.unwrap();
    }
    store.receipt_failed(payment("nobody"), "x".to_owned()).await.unwrap();
    let letters = store.dead_letters(10).await.unwrap();
    let [
        DeadLetter::Undo { saga, stuck },
        DeadLetter::Receipt { payment: unsent, cause, failures },
    ] = letters.as_slice()
    else {
        panic!("{letters:?}")
    };
    assert_eq!(*saga, lease.saga);
    let steps: Vec<_> = stuck.iter().map(|stuck| (stuck.step.as_str(), stuck.attempts)).collect();
    assert_eq!(steps, [("confirm", 23), ("save", 3)]);
    assert_eq!((unsent, *failures), (&payment("c"), 2));
    assert!(cause.starts_with("still"), "{cause}");
    // Sent after all.
    let pending = store.pending_receipts(10).await.unwrap();
    store.receipt_sent(pending[1].receipt.transaction.clone()).await.unwrap();
    assert_eq!(store.dead_letters(10).await.unwrap().len(), 1);
    assert_eq!(store.dead_letters(0).await, Ok(vec![]));
}

pub async fn rows_and_counts_are_told(place: Place) {
    let store = place.open(LONG).await;
    assert_eq!(store.counts().await, Ok(Counts::default()));
    for number in 0..25 {
        store.save(row(&format!("a{number}"), 100 + number)).await.unwrap();
    }
    store.void(payment("a7")).await.unwrap();
    store.void(payment("nobody")).await.unwrap();
    let leases = [begin(&store, "x").await, begin(&store, "y").await, begin(&store, "z").await];
    store.append(&leases[1], vec![Record::Parked]).await.unwrap();
    store.append(&leases[2], vec![Record::Completed]).await.unwrap();
    let expected = Counts {
        open: 1,
        parked: 1,
        ended: 1,
        completed: 24,
        voided: 2,
        receipts: 24,
        receipts_in_doubt: 0,
    };
    assert_eq!(store.counts().await, Ok(expected));
    let (mut amounts, mut after) = (Vec::new(), 0);
    loop {
        let page = store.rows(after, 10).await.unwrap();
        let Some(last) = page.last() else { break };
        assert!(page.len() <= 10 && last.number > after);
        after = last.number;
        amounts.extend(page.iter().map(|booked| booked.row.amount.minor()));
    }
    assert_eq!(amounts, (100..125).collect::<Vec<_>>());
}

/// Of several processes one may send a receipt, and the next one learns whether it was tried.
pub async fn a_receipt_has_one_sender(place: Place) {
    let (one, other) = (place.open(LONG).await, place.open(LONG).await);
    let receipt = one.save(row("a", 1999)).await.unwrap().transaction;
    let claim = async |store: &Arc<dyn Store>| store.claim_receipt(receipt.clone()).await.unwrap();
    let release = async |store: &Arc<dyn Store>, in_doubt| {
        store.release_receipt(receipt.clone(), in_doubt).await.unwrap();
    };
    let in_doubt = async || one.counts().await.unwrap().receipts_in_doubt;

    assert_eq!((claim(&one).await, in_doubt().await), (ReceiptClaim::Yours { in_doubt: false }, 1));
    assert!(matches!(claim(&other).await, ReceiptClaim::Busy { .. }));
    // No process releases the claim of another one.
    release(&other, false).await;
    assert!(matches!(claim(&other).await, ReceiptClaim::Busy { .. }));
    // A call of this process was dropped.
    assert_eq!(claim(&one).await, ReceiptClaim::Yours { in_doubt: true });
    release(&one, false).await;
    assert_eq!(in_doubt().await, 0);
    assert_eq!(claim(&other).await, ReceiptClaim::Yours { in_doubt: false });
    release(&other, true).await;
    assert_eq!((claim(&one).await, in_doubt().await), (ReceiptClaim::Yours { in_doubt: true }, 1));

    one.receipt_sent(receipt.clone()).await.unwrap();
    assert_eq!((claim(&one).await, in_doubt().await), (ReceiptClaim::NotDue, 0));
    release(&one, true).await;
    let voided = one.save(row("b", 1999)).await.unwrap().transaction;
    one.void(payment("b")).await.unwrap();
    assert_eq!(one.claim_receipt(voided).await.unwrap(), ReceiptClaim::NotDue);
    let unknown = TransactionId::new("txn_unknown").unwrap();
    assert_eq!(one.claim_receipt(unknown).await.unwrap(), ReceiptClaim::NotDue);
}

/// A claim outlives neither its process nor its lease.
pub async fn a_sender_that_is_gone_or_silent_loses_its_claim(place: Place) {
    let one = place.open(LONG).await;
    let (first, second) =
        (one.save(row("a", 1)).await.unwrap(), one.save(row("b", 1)).await.unwrap());
    let fresh = ReceiptClaim::Yours { in_doubt: false };
    for row in [&first, &second] {
        assert_eq!(one.claim_receipt(row.transaction.clone()).await.unwrap(), fresh);
    }
    let patient = place.open(LONG).await;
    let hasty = place.open(Duration::from_millis(50)).await;
    wait_for_a_claim(&hasty, &second.transaction).await;
    let claim = patient.claim_receipt(first.transaction.clone()).await.unwrap();
    assert!(matches!(claim, ReceiptClaim::Busy { .. }), "{claim:?}");
    drop(one);
    wait_for_a_claim(&patient, &first.transaction).await;
}

async fn wait_for_a_claim(store: &Arc<dyn Store>, receipt: &TransactionId) {
    let begun = Instant::now();
    loop {
        match store.claim_receipt(receipt.clone()).await.unwrap() {
            ReceiptClaim::Busy { .. } => sleep(Duration::from_millis(20)).await,
            claim => break assert_eq!(claim, ReceiptClaim::Yours { in_doubt: true }),
        }
        assert!(begun.elapsed() < NOTICED, "the claim does not end");
    }
}

/// Epochs fence an owner that was only slow, in whichever process it runs.
pub async fn two_processes_never_both_write(place: Place) {
    let (slow, other) = (place.open(Duration::ZERO).await, place.open(Duration::ZERO).await);
    let mut lease = begin(&slow, "a").await;
    let mut stores = [slow, other];
    for round in 0..20 {
        let old = lease.clone();
        // The patience is zero, so that a second look is enough.
        if let Claimed::Acquired(new, _) = stores[1].claim(old.saga.clone()).await.unwrap() {
            lease = new;
            stores.swap(0, 1);
            continue;
        }
        let (write, claim) = tokio::join!(
            stores[0].append(&old, vec![started("x")]),
            stores[1].claim(old.saga.clone())
        );
        match claim.unwrap() {
            // The write came first, so that the saga had changed when it was looked at.
            Claimed::Busy { .. } => {
                assert_eq!(write, Ok(()), "round {round}");
                lease = old;
            }
            Claimed::Acquired(new, saga_log) => {
                // Before the claim, and therefore part of what the claimer was given; or refused.
                let records = stores[1].read(old.saga.clone()).await.unwrap().unwrap().records;
                assert_eq!(records, saga_log.records, "round {round}: {write:?}");
                assert!(stores[0].append(&old, vec![started("late")]).await.is_err());
                lease = new;
                stores.swap(0, 1);
            }
            unlikely => panic!("{unlikely:?}"),
        }
    }
}
