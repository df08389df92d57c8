//! Rows that the ledger answers with.

use std::sync::Arc;

use futures::FutureExt as _;
use grader_kit::{Cx, Outcome, ensure};
use level3::gateway::GatewayConfig;
use level3::ids::{PaymentId, PaymentKey, TransactionId};
use level3::journal::StoreId;
use level3::provider::{CallFuture, Ledger, NewRow, PendingReceipt, Providers, Row, RowStatus};
use level3_sim::Script;

use super::answers::{in_another_currency, off_by};
use crate::world::{is_paid, request, stage_with};

/// A ledger that answers with another row than was asked for.
struct OddLedger {
    inner: Arc<dyn Ledger>,
    change: fn(Row) -> Row,
}

impl Ledger for OddLedger {
    fn save(&self, row: NewRow) -> CallFuture<Row> {
        let change = self.change;
        self.inner.save(row).map(move |answer| answer.map(change)).boxed()
    }
    fn void(&self, payment: PaymentId) -> CallFuture<()> {
        self.inner.void(payment)
    }
    fn pending_receipts(&self, most: usize) -> CallFuture<Vec<PendingReceipt>> {
        self.inner.pending_receipts(most)
    }
    fn receipt_sent(&self, transaction: TransactionId) -> CallFuture<()> {
        self.inner.receipt_sent(transaction)
    }
}

pub async fn reads_rows(cx: &Cx) -> Outcome {
    type Change = fn(Row) -> Row;
    let odd: [(&str, Change); 5] = [
        ("a row of one minor unit less", |row| Row { amount: off_by(row.amount, -1), ..row }),
        ("a row of one minor unit more", |row| Row { amount: off_by(row.amount, 1), ..row }),
        ("a row in another currency", |row| Row { amount: in_another_currency(row.amount), ..row }),
        ("a row that is taken back", |row| Row { status: RowStatus::Voided, ..row }),
        ("the row of another payment", |row| {
            let another = PaymentKey::new("another").ok();
            let other = another.map(|key| PaymentId::derive(&StoreId::unnamed(), &key, 1));
            Row { payment: other.unwrap_or_else(|| row.payment.clone()), ..row }
        }),
    ];
    for (what, change) in odd {
        let wrap = move |providers: Providers| {
            let inner = Arc::clone(&providers.ledger);
            Providers { ledger: Arc::new(OddLedger { inner, change }), ..providers }
        };
        let stage = stage_with(cx, Script::new(), GatewayConfig::default(), wrap)?;
        let reply = cx.call("Gateway::pay", stage.gateway.pay(request("a"))).await?.value;
        let paid = reply.as_ref().is_ok_and(|reply| is_paid(&reply.answer.status));
        ensure!(
            !paid,
            "the ledger answers a save with {what}, and the payment is Paid";
            expected = "paid only when the row is this payment's and stands", observed = format!("{reply:?}"),
            help = "compare the row in the answer with the one that was asked for: `payment`, `amount` and `status`"
        );
    }
    Ok(())
}
