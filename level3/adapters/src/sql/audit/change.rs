//! The changes that the trail records.

use level3_domain::journal::Record;
use level3_domain::money::Money;
use level3_domain::provider::NewRow;
use serde::{Deserialize, Serialize};

use crate::sql::{Dispute, RefundOutcome, StoreError, transaction_of};

/// A change of a store. The entry of the trail has the name of the thing that has changed beside it.
///
/// The name of the variant is the first field of the JSON, by which queries select entries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum Change {
    /// A saga was begun.
    SagaBegun {
        /// The kind of the saga.
        kind: String,
        /// Its label, if it has one.
        label: Option<String>,
    },
    /// A process has taken a saga over: after a crash, or because an operator redrives it.
    SagaClaimed {
        /// The number of the claim; the first owner has 1.
        epoch: i64,
    },
    /// All steps of a saga are done.
    SagaCompleted,
    /// A saga was undone.
    SagaCompensated,
    /// A step of a saga could not be undone.
    SagaParked,
    /// A row of the ledger was written.
    RowSaved {
        /// The name of the row.
        transaction: String,
        /// The merchant's order.
        order: String,
        /// The intent that was charged.
        intent: String,
        /// The amount in minor units.
        minor: i64,
        /// The currency.
        currency: String,
    },
    /// A row of the ledger was voided, or can never be written.
    RowVoided,
    /// A refund was recorded.
    RefundBegun {
        /// The payment.
        payment: String,
        /// The amount in minor units.
        minor: i64,
        /// The currency.
        currency: String,
    },
    /// The provider has accepted a refund.
    RefundSucceeded {
        /// The provider's name of it.
        provider: String,
    },
    /// A refund has failed.
    RefundFailed {
        /// Why.
        cause: String,
        /// Whether it had succeeded before.
        late: bool,
    },
    /// A dispute has begun, or has another state.
    DisputeChanged {
        /// The payment.
        payment: String,
        /// The disputed amount in minor units.
        minor: i64,
        /// The currency.
        currency: String,
        /// The status, in the provider's words.
        status: String,
    },
    /// The provider has sent a report.
    ReportTaken {
        /// What it says has happened, in the provider's words.
        kind: String,
    },
    /// A notification is sent once more, as a merchant or an operator asks.
    DeliveryReplayed,
}

impl Change {
    /// Returns the change that these records make to the status of their saga.
    pub(crate) fn of_records(records: &[Record]) -> Option<Self> {
        records.iter().rev().find_map(|record| match record {
            Record::Completed => Some(Self::SagaCompleted),
            Record::Compensated => Some(Self::SagaCompensated),
            Record::Parked => Some(Self::SagaParked),
            _ => None,
        })
    }

    pub(crate) fn saved(new: &NewRow) -> Result<Self, StoreError> {
        Ok(Self::RowSaved {
            transaction: transaction_of(&new.payment)?.as_str().to_owned(),
            order: new.order.as_str().to_owned(),
            intent: new.intent.as_str().to_owned(),
            minor: new.amount.minor(),
            currency: new.amount.currency().code().to_owned(),
        })
    }

    pub(crate) fn refund(payment: &str, amount: &Money) -> Self {
        Self::RefundBegun {
            payment: payment.to_owned(),
            minor: amount.minor(),
            currency: amount.currency().code().to_owned(),
        }
    }

    pub(crate) fn settled(outcome: &RefundOutcome) -> Self {
        match outcome {
            RefundOutcome::Succeeded(provider) => {
                Self::RefundSucceeded { provider: provider.clone() }
            }
            RefundOutcome::Failed(cause) => {
                Self::RefundFailed { cause: cause.clone(), late: false }
            }
        }
    }

    pub(crate) fn dispute(payment: &str, dispute: &Dispute) -> Self {
        Self::DisputeChanged {
            payment: payment.to_owned(),
            minor: dispute.amount.minor(),
            currency: dispute.amount.currency().code().to_owned(),
            status: dispute.status.clone(),
        }
    }

    /// Returns the JSON that the trail keeps.
    pub(crate) fn encode(&self) -> Result<String, StoreError> {
        serde_json::to_string(self).map_err(|why| StoreError::unreadable("change", why))
    }

    /// Reads the JSON of the trail.
    pub(crate) fn decode(body: &str) -> Result<Self, StoreError> {
        // The message of the library would repeat a part of the text.
        let at = |why: serde_json::Error| format!("at byte {}", why.column());
        serde_json::from_str(body).map_err(|why| StoreError::unreadable("change", at(why)))
    }
}
