//! The promises of `Journal` and `Ledger`, one by one.

use std::time::Duration;

use futures::future::join_all;
use level3_domain::ids::{Email, IntentId, OrderId, PaymentId, PaymentKey, TransactionId};
use level3_domain::journal::{
    Claimed, FailureKind, Journal, JournalError, Lease, Opened, Payload, Record, SagaFailure,
    SagaId, SagaLog, Standing, StoreId,
};
use level3_domain::money::{Currency, Money};
use level3_domain::provider::{NewRow, ProviderError, RowStatus};
use tokio::time::{Instant, sleep};

use crate::backend::Subject;

pub fn id(name: &str) -> SagaId {
    SagaId::new(name)
}

pub fn begun(state: &str) -> Record {
    Record::Begun { kind: "payment".into(), state: Payload::of(&state).unwrap() }
}

pub fn started(step: &'static str) -> Record {
    Record::StepStarted { step: step.into() }
}

pub fn payment(key: &str) -> PaymentId {
    PaymentId::derive(&StoreId::unnamed(), &PaymentKey::new(key).unwrap(), 1)
}

pub fn row(key: &str, minor: i64) -> NewRow {
    NewRow {
        payment: payment(key),
        order: OrderId::new(format!("order \u{2116} {key}")).unwrap(),
        intent: IntentId::new(format!("pi_{key}")).unwrap(),
        amount: Money::new(minor, Currency::USD).unwrap(),
        email: Email::new("someone@example.com").unwrap(),
    }
}

async fn open(journal: &dyn Journal, name: &str) -> Lease {
    match journal.open(id(name), begun(name)).await.unwrap() {
        Opened::New(lease) => lease,
        known => panic!("{name} is not new: {known:?}"),
    }
}

async fn saga_log(journal: &dyn Journal, name: &str) -> SagaLog {
    journal.read(id(name)).await.unwrap().unwrap()
}

/// Claims it as soon as its owner has been silent for long enough.
async fn take_over(subject: &Subject, name: &str) -> (Lease, SagaLog) {
    for _ in 0..5 {
        match subject.journal.claim(id(name)).await.unwrap() {
            Claimed::Acquired(lease, saga_log) => return (lease, saga_log),
            Claimed::Busy { remaining } => {
                assert!(remaining <= subject.lease, "{remaining:?} of {:?}", subject.lease);
                sleep(remaining).await;
            }
            other => panic!("{name} cannot be claimed: {other:?}"),
        }
    }
    panic!("{name} is busy although no owner writes about it");
}

pub async fn a_new_saga_is_yours(subject: Subject) {
    let lease = open(subject.journal.as_ref(), "a").await;
    assert_eq!(lease, Lease { saga: id("a"), epoch: 1 });
    let kept = saga_log(subject.journal.as_ref(), "a").await;
    assert_eq!(kept.standing, Standing::Open);
    assert_eq!(*kept.records, [begun("a")]);
}

pub async fn a_known_saga_is_left_alone(subject: Subject) {
    let journal = subject.journal.as_ref();
    let lease = open(journal, "a").await;
    journal.append(&lease, vec![started("create")]).await.unwrap();
    let again = journal.open(id("a"), begun("something else")).await.unwrap();
    let Opened::Known(kept) = again else { panic!("{again:?}") };
    assert_eq!(*kept.records, [begun("a"), started("create")]);
    assert_eq!(kept, saga_log(journal, "a").await);
    // The owner is still the owner.
    journal.append(&lease, vec![started("confirm")]).await.unwrap();
}

pub async fn one_of_many_opens_it(subject: Subject) {
    let many = (0..20).map(|_| subject.journal.open(id("a"), begun("a")));
    let opened = join_all(many).await;
    let new = opened.iter().filter(|opened| matches!(opened, Ok(Opened::New(_)))).count();
    let known = opened.iter().filter(|opened| matches!(opened, Ok(Opened::Known(_)))).count();
    assert_eq!((new, known), (1, 19));
    assert_eq!(saga_log(subject.journal.as_ref(), "a").await.records.len(), 1);
}

pub async fn records_come_back_as_they_were(subject: Subject) {
    let journal = subject.journal.as_ref();
    let lease = open(journal, "a").await;
    let failure = || SagaFailure {
        step: "confirm".into(),
        kind: FailureKind::Interrupted,
        message: "it's \"gone\"; \\ \u{1f4b8} \u{0} '%_".to_owned(),
    };
    let state = Payload::of(&("state", 1, [1.5])).unwrap();
    let batches = [
        vec![started("create")],
        vec![Record::StepDone { step: "create".into(), state: state.clone() }, started("confirm")],
        vec![
            Record::StepFailed { failure: failure(), may_have_acted: true },
            Record::Compensating { failure: failure() },
            Record::UndoStarted { step: "confirm".into(), attempt: u32::MAX },
        ],
        vec![
            Record::UndoParked { step: "confirm".into(), cause: "no".to_owned(), attempts: 23 },
            Record::UndoDone { step: "create".into(), state },
        ],
        vec![Record::Compensated],
    ];
    let mut all = vec![begun("a")];
    for batch in batches {
        journal.append(&lease, batch.clone()).await.unwrap();
        all.extend(batch);
    }
    let kept = saga_log(journal, "a").await;
    assert_eq!(*kept.records, all);
    assert_eq!(kept.standing, Standing::Ended);
}

pub async fn an_old_epoch_is_fenced(subject: Subject) {
    let journal = subject.journal.as_ref();
    let old = open(journal, "a").await;
    let (new, kept) = take_over(&subject, "a").await;
    assert_eq!(new, Lease { saga: id("a"), epoch: 2 });
    assert_eq!(*kept.records, [begun("a")]);
    let late = journal.append(&old, vec![started("late")]).await;
    assert_eq!(late, Err(JournalError::Fenced));
    let never = Lease { saga: id("a"), epoch: 3 };
    assert_eq!(journal.append(&never, vec![started("never")]).await, Err(JournalError::Fenced));
    let far = Lease { saga: id("a"), epoch: u64::MAX };
    assert_eq!(journal.append(&far, vec![started("never")]).await, Err(JournalError::Fenced));
    journal.append(&new, vec![started("create")]).await.unwrap();
    assert_eq!(*saga_log(journal, "a").await.records, [begun("a"), started("create")]);
}

pub async fn nobody_writes_about_the_unknown(subject: Subject) {
    let journal = subject.journal.as_ref();
    assert_eq!(journal.read(id("a")).await, Ok(None));
    assert_eq!(journal.claim(id("a")).await, Ok(Claimed::Unknown));
    let lease = Lease { saga: id("a"), epoch: 1 };
    assert_eq!(journal.append(&lease, vec![started("x")]).await, Err(JournalError::Fenced));
    assert_eq!(journal.read(id("a")).await, Ok(None));
}

pub async fn an_owner_that_writes_keeps_it(subject: Subject) {
    // On a busy machine a real owner may be silent for longer than its lease. Then nothing is decided, and the next
    // saga is tried.
    for number in 0..50 {
        if keeps_it(&subject, &format!("a{number}")).await {
            return;
        }
    }
    panic!("no owner has written in time");
}

/// Returns whether the owner has written in time, each time.
async fn keeps_it(subject: &Subject, name: &str) -> bool {
    let journal = subject.journal.as_ref();
    // Before each write: others see it later, and count from then.
    let mut written = Instant::now();
    let lease = open(journal, name).await;
    for step in ["create", "fraud", "confirm"] {
        let claimed = journal.claim(id(name)).await.unwrap();
        if !matches!(claimed, Claimed::Busy { .. }) {
            assert!(
                written.elapsed() >= subject.lease,
                "{claimed:?} after {:?}",
                written.elapsed()
            );
            return false;
        }
        // Three of these are longer than a lease.
        sleep(subject.lease / 2).await;
        written = Instant::now();
        journal.append(&lease, vec![started(step)]).await.unwrap();
    }
    let claimed = journal.claim(id(name)).await.unwrap();
    let silent = written.elapsed();
    let Claimed::Busy { remaining } = claimed else {
        assert!(silent >= subject.lease, "{claimed:?} after {silent:?}");
        return false;
    };
    assert!(remaining + silent >= subject.lease && remaining <= subject.lease, "{remaining:?}");
    true
}

pub async fn one_of_many_claims_it(subject: Subject) {
    let _ = open(subject.journal.as_ref(), "a").await;
    let _ = subject.journal.claim(id("a")).await.unwrap();
    sleep(subject.lease + Duration::from_millis(5)).await;
    let claims = join_all((0..20).map(|_| subject.journal.claim(id("a")))).await;
    let yours = claims.iter().filter(|claim| matches!(claim, Ok(Claimed::Acquired(..)))).count();
    let busy = claims.iter().filter(|claim| matches!(claim, Ok(Claimed::Busy { .. }))).count();
    assert_eq!((yours, busy), (1, 19), "{claims:?}");
}

pub async fn what_is_parked_can_be_claimed_at_once(subject: Subject) {
    let journal = subject.journal.as_ref();
    let old = open(journal, "a").await;
    journal.append(&old, vec![Record::Parked]).await.unwrap();
    assert_eq!(saga_log(journal, "a").await.standing, Standing::Parked);
    let claimed = journal.claim(id("a")).await.unwrap();
    let Claimed::Acquired(new, kept) = claimed else { panic!("{claimed:?}") };
    assert_eq!((new.epoch, kept.standing), (2, Standing::Open));
    assert_eq!(saga_log(journal, "a").await.standing, Standing::Open);
    assert_eq!(journal.append(&old, vec![started("x")]).await, Err(JournalError::Fenced));
    // Claimed, it is its new owner's.
    let second = journal.claim(id("a")).await.unwrap();
    assert!(matches!(second, Claimed::Busy { .. }), "{second:?}");
    journal.append(&new, vec![Record::Compensated]).await.unwrap();
    assert_eq!(saga_log(journal, "a").await.standing, Standing::Ended);
}

pub async fn what_is_over_stays_over(subject: Subject) {
    let journal = subject.journal.as_ref();
    let lease = open(journal, "a").await;
    journal.append(&lease, vec![Record::Completed]).await.unwrap();
    let claimed = journal.claim(id("a")).await.unwrap();
    let Claimed::Ended(kept) = claimed else { panic!("{claimed:?}") };
    assert_eq!(kept.standing, Standing::Ended);
    assert_eq!(*kept.records, [begun("a"), Record::Completed]);
}

pub async fn lists_are_by_standing_and_age(subject: Subject) {
    let journal = subject.journal.as_ref();
    let names = ["z", "m", "a", "k", "b", "y"];
    let mut leases = Vec::new();
    for name in names {
        leases.push(open(journal, name).await);
    }
    journal.append(&leases[1], vec![Record::Parked]).await.unwrap();
    journal.append(&leases[3], vec![Record::Parked]).await.unwrap();
    journal.append(&leases[4], vec![Record::Completed]).await.unwrap();
    journal.append(&leases[0], vec![Record::Compensated]).await.unwrap();
    let list = async |standing| journal.list(standing).await.unwrap();
    assert_eq!(list(Standing::Open).await, [id("a"), id("y")]);
    assert_eq!(list(Standing::Parked).await, [id("m"), id("k")]);
    assert_eq!(list(Standing::Ended).await, [id("z"), id("b")]);
}

/// A reader never sees part of a batch, not even of one whose writer went away.
pub async fn a_batch_is_whole(subject: Subject) {
    let journal = subject.journal.as_ref();
    let lease = open(journal, "a").await;
    for _ in 0..40 {
        let batch = vec![started("one"), started("two"), started("three")];
        let write = journal.append(&lease, batch);
        // Polled once and dropped.
        let gone = tokio::time::timeout(Duration::ZERO, write).await;
        assert!(gone.is_err() || gone == Ok(Ok(())));
        assert_eq!(saga_log(journal, "a").await.records.len() % 3, 1);
    }
}

pub async fn a_repeat_gives_the_same_row(subject: Subject) {
    let first = subject.ledger.save(row("a", 1999)).await.unwrap();
    assert_eq!((first.payment.clone(), first.status), (payment("a"), RowStatus::Completed));
    assert_eq!(first.amount, Money::new(1999, Currency::USD).unwrap());
    let again = subject.ledger.save(row("a", 1999)).await.unwrap();
    assert_eq!(first, again);
    let other = subject.ledger.save(row("b", 1999)).await.unwrap();
    assert_ne!(first.transaction, other.transaction);
    assert_eq!(subject.ledger.pending_receipts(10).await.unwrap().len(), 2);
}

pub async fn another_amount_is_refused(subject: Subject) {
    let first = subject.ledger.save(row("a", 1999)).await.unwrap();
    assert_eq!(subject.ledger.save(row("a", 2000)).await, Err(ProviderError::KeyReused));
    let in_euro = NewRow { amount: Money::new(1999, Currency::EUR).unwrap(), ..row("a", 1999) };
    assert_eq!(subject.ledger.save(in_euro).await, Err(ProviderError::KeyReused));
    assert_eq!(subject.ledger.save(row("a", 1999)).await, Ok(first));
}

pub async fn a_void_is_for_good(subject: Subject) {
    subject.ledger.save(row("a", 1999)).await.unwrap();
    subject.ledger.save(row("b", 1999)).await.unwrap();
    for _ in 0..2 {
        subject.ledger.void(payment("a")).await.unwrap();
        let again = subject.ledger.save(row("a", 1999)).await;
        assert!(matches!(again, Err(ProviderError::Invalid { .. })), "{again:?}");
        let pending = subject.ledger.pending_receipts(10).await.unwrap();
        assert_eq!(pending.len(), 1, "{pending:?}");
        assert_eq!(pending[0].payment, payment("b"));
    }
}

pub async fn a_void_without_a_row_leaves_a_mark(subject: Subject) {
    subject.ledger.void(payment("a")).await.unwrap();
    let late = subject.ledger.save(row("a", 1999)).await;
    assert!(matches!(late, Err(ProviderError::Invalid { .. })), "{late:?}");
    assert_eq!(subject.ledger.pending_receipts(10).await, Ok(vec![]));
}

pub async fn receipts_wait_in_order(subject: Subject) {
    let keys = ["z", "m", "a", "k"];
    let mut rows = Vec::new();
    for key in keys {
        rows.push(subject.ledger.save(row(key, 500)).await.unwrap());
    }
    let pending = subject.ledger.pending_receipts(3).await.unwrap();
    assert_eq!(pending.len(), 3);
    for ((pending, kept), key) in pending.iter().zip(&rows).zip(keys) {
        let asked = row(key, 500);
        assert_eq!(pending.payment, asked.payment);
        assert_eq!(pending.receipt.transaction, kept.transaction);
        assert_eq!(pending.receipt.order, asked.order);
        assert_eq!(pending.receipt.amount, asked.amount);
        assert_eq!(pending.receipt.email, asked.email);
    }
    for _ in 0..2 {
        subject.ledger.receipt_sent(rows[1].transaction.clone()).await.unwrap();
    }
    let nobody = TransactionId::new("txn_of_nobody").unwrap();
    subject.ledger.receipt_sent(nobody).await.unwrap();
    let pending = subject.ledger.pending_receipts(usize::MAX).await.unwrap();
    let payments: Vec<_> = pending.into_iter().map(|pending| pending.payment).collect();
    assert_eq!(payments, [payment("z"), payment("a"), payment("k")]);
    // A repeat of the save of one whose receipt is sent does not ask for a second receipt.
    subject.ledger.save(row("m", 500)).await.unwrap();
    assert_eq!(subject.ledger.pending_receipts(10).await.unwrap().len(), 3);
    assert_eq!(subject.ledger.pending_receipts(0).await, Ok(vec![]));
}

pub async fn currencies_keep_their_units(subject: Subject) {
    for (key, currency, minor) in
        [("a", Currency::JPY, 1), ("b", Currency::KWD, 99_999_999), ("c", Currency::EUR, 1050)]
    {
        let amount = Money::new(minor, currency).unwrap();
        let saved = subject.ledger.save(NewRow { amount, ..row(key, 1) }).await.unwrap();
        assert_eq!(saved.amount, amount);
    }
    let pending = subject.ledger.pending_receipts(10).await.unwrap();
    let shown: Vec<_> = pending.iter().map(|one| one.receipt.amount.to_string()).collect();
    assert_eq!(shown, ["1 JPY", "99999.999 KWD", "10.50 EUR"]);
}

pub async fn one_of_many_saves_writes(subject: Subject) {
    let saves = join_all((0..20).map(|_| subject.ledger.save(row("a", 1999)))).await;
    let first = saves[0].clone().unwrap();
    assert!(saves.iter().all(|save| save.as_ref() == Ok(&first)), "{saves:?}");
    assert_eq!(subject.ledger.pending_receipts(10).await.unwrap().len(), 1);
}

pub async fn a_save_beside_a_void_leaves_no_row(subject: Subject) {
    for round in 0..100 {
        let key = format!("a{round}");
        let (save, void) =
            (subject.ledger.save(row(&key, 1999)), subject.ledger.void(payment(&key)));
        let (saved, voided) = if round % 2 == 0 {
            tokio::join!(save, void)
        } else {
            let (voided, saved) = tokio::join!(void, save);
            (saved, voided)
        };
        voided.unwrap();
        // It was written before it was taken back, or never.
        assert!(matches!(saved, Ok(_) | Err(ProviderError::Invalid { .. })), "{saved:?}");
        let again = subject.ledger.save(row(&key, 1999)).await;
        assert!(matches!(again, Err(ProviderError::Invalid { .. })), "{again:?}");
    }
    assert_eq!(subject.ledger.pending_receipts(10).await, Ok(vec![]));
}
