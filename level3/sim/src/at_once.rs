//! Services that answer at once and remember nothing.

use std::future::ready;
use std::sync::Arc;

use futures::FutureExt as _;
use level3_domain::ids::{IntentId, InvalidText, PaymentId, TransactionId};
use level3_domain::money::Money;
use level3_domain::provider::{
    CallFuture, CreateIntent, FraudAssessment, FraudCheck, FraudQuestion, Intent, IntentStatus,
    Ledger, NewRow, PaymentProvider, PendingReceipt, ProviderError, ProviderKey, Providers,
    Receipt, Receipts, Refund, RiskScore, Row, RowStatus,
};

/// All four services: every call succeeds in its first poll.
///
/// For measuring what a gateway itself costs. They keep nothing, so a test cannot ask them afterwards what
/// was charged: a [`World`](super::World) with [`Latencies::NONE`](super::Latencies::NONE) can be asked
/// that, and costs more than a gateway does.
#[derive(Debug, Clone)]
pub struct InstantServices {
    intent: IntentId,
    transaction: TransactionId,
    amount: Money,
}

impl InstantServices {
    /// Makes services for payments of this amount. They remember no payment, and a gateway checks the amount.
    ///
    /// # Errors
    ///
    /// Never; the error type is that of all names.
    pub fn new(amount: Money) -> Result<Self, InvalidText> {
        let (intent, transaction) = (IntentId::new("pi_1")?, TransactionId::new("txn_1")?);
        Ok(Self { intent, transaction, amount })
    }

    /// Returns clients of the services.
    #[must_use]
    pub fn providers(&self) -> Providers {
        let all = Arc::new(self.clone());
        Providers {
            payments: Arc::clone(&all) as _,
            fraud: Arc::clone(&all) as _,
            ledger: Arc::clone(&all) as _,
            receipts: all,
        }
    }

    fn intent(&self, payment: PaymentId, status: IntentStatus) -> CallFuture<Intent> {
        let (id, amount) = (self.intent.clone(), self.amount);
        answer(Intent { id, payment, amount, status, refunded: false })
    }
}

fn answer<T: Send + 'static>(value: T) -> CallFuture<T> {
    ready(Ok::<_, ProviderError>(value)).boxed()
}

impl PaymentProvider for InstantServices {
    fn create_intent(&self, request: CreateIntent) -> CallFuture<Intent> {
        self.intent(request.payment, IntentStatus::RequiresConfirmation)
    }

    fn confirm(&self, key: ProviderKey, _intent: IntentId) -> CallFuture<Intent> {
        self.intent(key.payment, IntentStatus::Succeeded)
    }

    fn cancel(&self, key: ProviderKey, _intent: IntentId) -> CallFuture<Intent> {
        self.intent(key.payment, IntentStatus::Canceled)
    }

    fn refund(&self, _key: ProviderKey, intent: IntentId) -> CallFuture<Refund> {
        answer(Refund { intent, amount: self.amount })
    }

    fn find_intent(&self, payment: PaymentId) -> CallFuture<Option<Intent>> {
        let found = self.intent(payment, IntentStatus::Succeeded);
        async { found.await.map(Some) }.boxed()
    }
}

impl FraudCheck for InstantServices {
    fn check(&self, _question: FraudQuestion) -> CallFuture<FraudAssessment> {
        answer(FraudAssessment { score: RiskScore { hundredths: 0 } })
    }
}

impl Ledger for InstantServices {
    fn save(&self, row: NewRow) -> CallFuture<Row> {
        let NewRow { payment, amount, .. } = row;
        let transaction = self.transaction.clone();
        answer(Row { transaction, payment, amount, status: RowStatus::Completed })
    }

    fn void(&self, _payment: PaymentId) -> CallFuture<()> {
        answer(())
    }

    fn pending_receipts(&self, _most: usize) -> CallFuture<Vec<PendingReceipt>> {
        answer(Vec::new())
    }

    fn receipt_sent(&self, _transaction: TransactionId) -> CallFuture<()> {
        answer(())
    }
}

impl Receipts for InstantServices {
    fn send(&self, _receipt: Receipt) -> CallFuture<()> {
        answer(())
    }
}
