//! The gateway against mocked services: what it calls, how often, and with what.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use level3::answer::Status;
use level3::event::NoObserver;
use level3::gateway::{Gateway, GatewayConfig, Undelivered};
use level3::ids::{IntentId, PaymentId, TransactionId};
use level3::journal::MemoryJournal;
use level3::provider::{
    CallFuture, CreateIntent, FraudAssessment, FraudCheck, FraudQuestion, Intent, IntentStatus,
    Ledger, NewRow, Operation, PaymentProvider, PendingReceipt, ProviderError, ProviderKey,
    Providers, Receipt, Receipts, Refund, RiskScore, Row, RowStatus,
};
use level3_harness::request;
use mockall::mock;
use mockall::predicate::function;

mock! {
    PaymentProvider {}
    impl PaymentProvider for PaymentProvider {
        fn create_intent(&self, request: CreateIntent) -> CallFuture<Intent>;
        fn confirm(&self, key: ProviderKey, intent: IntentId) -> CallFuture<Intent>;
        fn cancel(&self, key: ProviderKey, intent: IntentId) -> CallFuture<Intent>;
        fn refund(&self, key: ProviderKey, intent: IntentId) -> CallFuture<Refund>;
        fn find_intent(&self, payment: PaymentId) -> CallFuture<Option<Intent>>;
    }
}

mock! {
    FraudCheck {}
    impl FraudCheck for FraudCheck {
        fn check(&self, question: FraudQuestion) -> CallFuture<FraudAssessment>;
    }
}

mock! {
    Ledger {}
    impl Ledger for Ledger {
        fn save(&self, row: NewRow) -> CallFuture<Row>;
        fn void(&self, payment: PaymentId) -> CallFuture<()>;
        fn pending_receipts(&self, most: usize) -> CallFuture<Vec<PendingReceipt>>;
        fn receipt_sent(&self, transaction: TransactionId) -> CallFuture<()>;
    }
}

mock! {
    Receipts {}
    impl Receipts for Receipts {
        fn send(&self, receipt: Receipt) -> CallFuture<()>;
    }
}

fn answer<T: Send + 'static>(result: Result<T, ProviderError>) -> CallFuture<T> {
    std::future::ready(result).boxed()
}

fn intent(key: &ProviderKey, status: IntentStatus) -> Intent {
    let amount = request(0).validate().expect("a valid request").amount;
    let id = IntentId::new("pi_1").expect("a name");
    Intent { id, payment: key.payment.clone(), amount, status, refunded: false }
}

fn created(request: &CreateIntent) -> CallFuture<Intent> {
    answer(Ok(intent(&request.key, IntentStatus::RequiresConfirmation)))
}

/// Services of which each works; a test replaces what it is about.
struct Mocks {
    payments: MockPaymentProvider,
    fraud: MockFraudCheck,
    ledger: MockLedger,
    receipts: MockReceipts,
}

impl Mocks {
    fn new() -> Self {
        let mut mocks = Self {
            payments: MockPaymentProvider::new(),
            fraud: MockFraudCheck::new(),
            ledger: MockLedger::new(),
            receipts: MockReceipts::new(),
        };
        mocks.payments.expect_create_intent().returning(|request| created(&request));
        mocks
    }

    fn approved(mut self) -> Self {
        let verdict = FraudAssessment { score: RiskScore { hundredths: 100 } };
        self.fraud.expect_check().times(1).returning(move |_| answer(Ok(verdict)));
        self
    }

    fn confirmed(mut self) -> Self {
        self.payments
            .expect_confirm()
            .times(1)
            .returning(|key, _| answer(Ok(intent(&key, IntentStatus::Succeeded))));
        self
    }

    fn saved(mut self) -> Self {
        self.ledger.expect_save().times(1).returning(|row| answer(Ok(written(&row))));
        self
    }

    async fn pay(self) -> (Status, Gateway) {
        let providers = Providers {
            payments: Arc::new(self.payments),
            fraud: Arc::new(self.fraud),
            ledger: Arc::new(self.ledger),
            receipts: Arc::new(self.receipts),
        };
        let journal = Arc::new(MemoryJournal::new());
        let config = GatewayConfig::default();
        let gateway =
            Gateway::new(config, providers, journal, Arc::new(NoObserver)).expect("valid figures");
        let reply = gateway.pay(request(0)).await.expect("an answer");
        // What goes on in the background.
        tokio::time::sleep(Duration::from_secs(60)).await;
        (reply.answer.status.clone(), gateway)
    }
}

fn written(row: &NewRow) -> Row {
    Row {
        transaction: TransactionId::new("txn_1").expect("a name"),
        payment: row.payment.clone(),
        amount: row.amount,
        status: RowStatus::Completed,
    }
}

#[tokio::test(start_paused = true)]
async fn a_payment_calls_each_service_once() {
    let mut mocks = Mocks::new().approved().confirmed().saved();
    mocks.receipts.expect_send().times(1).returning(|_| answer(Ok(())));
    mocks.ledger.expect_receipt_sent().times(1).returning(|_| answer(Ok(())));
    let (status, gateway) = mocks.pay().await;
    assert!(matches!(status, Status::Paid { .. }), "{status:?}");
    assert!(gateway.dead_letters().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_risky_payment_is_cancelled_and_never_confirmed() {
    let mut mocks = Mocks::new();
    let verdict = FraudAssessment { score: RiskScore::DECLINED_FROM };
    mocks.fraud.expect_check().times(1).returning(move |_| answer(Ok(verdict)));
    mocks.payments.expect_confirm().never();
    mocks
        .payments
        .expect_cancel()
        .times(1)
        .returning(|key, _| answer(Ok(intent(&key, IntentStatus::Canceled))));
    let (status, _) = mocks.pay().await;
    assert!(matches!(status, Status::Declined { .. }), "{status:?}");
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_asked_for_with_the_same_key() {
    let mut mocks = Mocks::new().approved().saved();
    let first =
        function(|key: &ProviderKey| key.operation == Operation::Confirm && key.generation == 0);
    let mut attempts = 0;
    mocks.payments.expect_confirm().times(2).with(first, mockall::predicate::always()).returning(
        move |key, _| {
            attempts += 1;
            match attempts {
                1 => answer(Err(ProviderError::ConnectionLost)),
                _ => answer(Ok(intent(&key, IntentStatus::Succeeded))),
            }
        },
    );
    mocks.receipts.expect_send().returning(|_| answer(Ok(())));
    mocks.ledger.expect_receipt_sent().returning(|_| answer(Ok(())));
    let (status, _) = mocks.pay().await;
    assert!(matches!(status, Status::Paid { .. }), "{status:?}");
}

#[tokio::test(start_paused = true)]
async fn a_row_that_cannot_be_written_refunds_once() {
    let mut mocks = Mocks::new().approved().confirmed();
    mocks.ledger.expect_save().times(3).returning(|_| answer(Err(ProviderError::Unavailable)));
    // Refused before anything was done: there is no row to take back.
    mocks.ledger.expect_void().never();
    mocks.payments.expect_cancel().never();
    mocks.payments.expect_refund().times(1).returning(|_, intent| {
        let amount = request(0).validate().unwrap().amount;
        answer(Ok(Refund { intent, amount }))
    });
    let (status, _) = mocks.pay().await;
    assert!(matches!(status, Status::Failed { retryable: true, .. }), "{status:?}");
}

#[tokio::test(start_paused = true)]
async fn an_answer_about_another_amount_is_given_back() {
    let mut mocks = Mocks::new().approved();
    mocks.payments.expect_confirm().times(1).returning(|key, _| {
        let other = level3::money::Money::new(1, level3::money::Currency::USD).unwrap();
        answer(Ok(Intent { amount: other, ..intent(&key, IntentStatus::Succeeded) }))
    });
    let charged = ProviderError::WrongState { status: IntentStatus::Succeeded };
    mocks.payments.expect_cancel().returning(move |_, _| answer(Err(charged.clone())));
    mocks.payments.expect_refund().times(1).returning(|_, intent| {
        let amount = request(0).validate().unwrap().amount;
        answer(Ok(Refund { intent, amount }))
    });
    let (status, _) = mocks.pay().await;
    assert!(matches!(status, Status::Failed { retryable: false, .. }), "{status:?}");
}

#[tokio::test(start_paused = true)]
async fn a_receipt_that_cannot_be_sent_is_a_dead_letter() {
    let mut mocks = Mocks::new().approved().confirmed().saved();
    mocks.receipts.expect_send().times(3).returning(|_| answer(Err(ProviderError::Unavailable)));
    let (status, gateway) = mocks.pay().await;
    assert!(matches!(status, Status::Paid { .. }), "{status:?}");
    let letters = gateway.dead_letters();
    assert_eq!(letters.len(), 1);
    assert!(matches!(letters[0].item.as_ref(), Undelivered::Receipt(_)));
    assert_eq!(letters[0].attempts, 3);
}

#[tokio::test(start_paused = true)]
async fn what_the_journal_does_not_take_is_not_done() {
    struct Down;
    use level3::journal::{
        Claimed, Journal, JournalError, JournalFuture, Lease, Opened, Record, SagaId, SagaLog,
        Standing, StoreId,
    };
    fn down<'a, T: Send + 'a>() -> JournalFuture<'a, T> {
        std::future::ready(Err(JournalError::Unavailable)).boxed()
    }
    impl Journal for Down {
        fn store_id(&self) -> StoreId {
            StoreId::unnamed()
        }
        fn open(&self, _: SagaId, _: Record) -> JournalFuture<'_, Opened> {
            down()
        }
        fn append(&self, _: &Lease, _: Vec<Record>) -> JournalFuture<'_, ()> {
            down()
        }
        fn claim(&self, _: SagaId) -> JournalFuture<'_, Claimed> {
            down()
        }
        fn read(&self, _: SagaId) -> JournalFuture<'_, Option<SagaLog>> {
            down()
        }
        fn list(&self, _: Standing) -> JournalFuture<'_, Vec<SagaId>> {
            down()
        }
    }
    let mut payments = MockPaymentProvider::new();
    payments.expect_create_intent().never();
    let providers = Providers {
        payments: Arc::new(payments),
        fraud: Arc::new(MockFraudCheck::new()),
        ledger: Arc::new(MockLedger::new()),
        receipts: Arc::new(MockReceipts::new()),
    };
    let config = GatewayConfig { rate: NonZeroUsize::MIN, ..GatewayConfig::default() };
    let gateway = Gateway::new(config, providers, Arc::new(Down), Arc::new(NoObserver)).unwrap();
    let reply = gateway.pay(request(0)).await;
    assert_eq!(reply, Err(level3::answer::PayError::JournalUnavailable));
}
