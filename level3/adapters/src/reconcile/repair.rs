//! Repairs differences.

use level3_domain::ids::TransactionId;
use level3_domain::journal::{Record, SagaLog};
use level3_domain::payment::Payment;
use level3_domain::provider::{
    Intent, IntentStatus, NewRow, Operation, ProviderError, ProviderKey, RowStatus,
};
use serde::Deserialize;

use super::Reconciler;
use super::compare::call;
use super::report::Outcome;
use crate::sql::ReceiptClaim;

/// The number of keys that are tried for one purpose. The gateway burns no more than that.
const GENERATIONS: u32 = 8;

/// The part of a saga's state that is needed to write the row.
#[derive(Deserialize)]
struct Kept {
    payment: Payment,
}

impl Reconciler {
    /// Refunds the charge.
    pub(super) async fn refund(&self, intent: &Intent) -> Outcome {
        self.settle(intent, Operation::Refund, Outcome::Refunded).await
    }

    /// Cancels the intent.
    pub(super) async fn cancel(&self, intent: &Intent) -> Outcome {
        self.settle(intent, Operation::Cancel, Outcome::Canceled).await
    }

    /// Refunds or cancels with the keys of the gateway, so that it happens once even if another
    /// process does the same.
    ///
    /// A stored answer may have burnt a key, or the key may have been used for another intent of
    /// the payment. So the state of the intent afterwards decides.
    async fn settle(&self, intent: &Intent, operation: Operation, done: Outcome) -> Outcome {
        let mut cause = "no key is left for it".to_owned();
        for generation in 0..GENERATIONS {
            let key =
                ProviderKey { generation, ..ProviderKey::new(intent.payment.clone(), operation) };
            let sent = call(|| {
                let (key, id) = (key.clone(), intent.id.clone());
                let payments = &self.sides.payments;
                async move {
                    match operation {
                        Operation::Refund => payments.refund(key, id).await.map(|_| ()),
                        _ => payments.cancel(key, id).await.map(|_| ()),
                    }
                }
            });
            let Err(error) = sent.await else { return done };
            match call(|| self.sides.intents.intent(intent.id.clone())).await {
                Ok(Some(now)) if now.refunded || now.status == IntentStatus::Canceled => {
                    return done;
                }
                Ok(_) => cause = error.to_string(),
                Err(unseen) => return Outcome::Failed(unseen.to_string()),
            }
            // The next key helps if this one only repeats a stored answer.
            if error.is_transient() && error != ProviderError::Internal {
                break;
            }
        }
        Outcome::Failed(cause)
    }

    /// Writes the missing row, from the state of the saga in the journal.
    pub(super) async fn record(&self, intent: &Intent, saga_log: &SagaLog) -> Outcome {
        let begun = saga_log.records.iter().find_map(|record| match record {
            Record::Begun { state, .. } => state.read::<Kept>().ok(),
            _ => None,
        });
        let Some(Kept { payment }) = begun else {
            return Outcome::Failed("the journal does not say what was ordered".to_owned());
        };
        if payment.amount != intent.amount {
            return Outcome::Failed("the journal says another amount".to_owned());
        }
        let saved = call(|| {
            self.sides.ledger.save(NewRow {
                payment: intent.payment.clone(),
                order: payment.order.clone(),
                intent: intent.id.clone(),
                amount: intent.amount,
                email: payment.email.clone(),
            })
        });
        match saved.await {
            Ok(row) if row.status == RowStatus::Completed => self.doubt(row.transaction).await,
            Ok(_) => Outcome::Failed("the row was voided".to_owned()),
            Err(error) => Outcome::Failed(error.to_string()),
        }
    }
    /// Puts the receipt of a row that was missing in doubt.
    ///
    /// The row and the doubt are two writes. A process that dies between them, or another one that sends the receipt
    /// between them, may send a second mail.
    async fn doubt(&self, transaction: TransactionId) -> Outcome {
        let Some(claims) = &self.sides.claims else { return Outcome::Recorded };
        match claims.claim_receipt(transaction.clone()).await {
            // Another process sends it, or has sent it.
            Ok(ReceiptClaim::Busy { .. } | ReceiptClaim::NotDue) => return Outcome::Recorded,
            Ok(ReceiptClaim::Yours { .. }) => {}
            Err(error) => return Outcome::Failed(error.to_string()),
        }
        match claims.release_receipt(transaction, true).await {
            Ok(()) => Outcome::Recorded,
            // The claim stays with this process, and so the receipt is in doubt for each other one.
            Err(error) => Outcome::Failed(error.to_string()),
        }
    }
}
