//! Double-entry bookkeeping: where the money of each payment and refund is.
//!
//! | change | debit | credit |
//! |---|---|---|
//! | a row of the ledger is written: the customer was charged | `provider` | `merchants` |
//! | the row is voided: the charge is undone | `merchants` | `provider` |
//! | a refund is recorded | `merchants` | `refunds in transit` |
//! | the provider accepts it | `refunds in transit` | `provider` |
//! | the provider refuses it | `refunds in transit` | `merchants` |
//! | it fails after it had succeeded | `provider` | `merchants` |
//!
//! `provider` is what the provider has of the customers' money, `merchants` what is owed to the
//! merchants, and `refunds in transit` what is owed to customers. A posting has a line for each of its two
//! accounts: a debit is positive, a credit negative, so the lines of a posting, of a currency and of the
//! whole store add up to zero. The transaction of a change writes its posting, and a change is posted
//! once. Fees, payouts and disputed amounts are not posted.

pub(crate) mod statements;
mod trial;

pub use trial::{AccountBalance, TrialBalance};

pub(crate) use trial::Balancer;

use super::Change;

/// An account, by its name in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Account {
    Provider,
    Merchants,
    RefundsInTransit,
}

impl Account {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Provider => "provider",
            Self::Merchants => "merchants",
            Self::RefundsInTransit => "refunds in transit",
        }
    }
}

/// A posting: its amount is that of the payment or of the refund.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Posting {
    /// Why it is made. A payment or a refund has at most one posting for each reason.
    pub(crate) reason: &'static str,
    pub(crate) is_of_refund: bool,
    pub(crate) debit: Account,
    pub(crate) credit: Account,
}

impl Posting {
    /// Returns the posting of a change; `None` if it moves no money.
    pub(crate) const fn of(change: &Change) -> Option<Self> {
        use Account::{Merchants, Provider, RefundsInTransit};
        let (reason, is_of_refund, debit, credit) = match change {
            Change::RowSaved { .. } => ("paid", false, Provider, Merchants),
            Change::RowVoided => ("voided", false, Merchants, Provider),
            Change::RefundBegun { .. } => ("refund begun", true, Merchants, RefundsInTransit),
            Change::RefundSucceeded { .. } => {
                ("refund succeeded", true, RefundsInTransit, Provider)
            }
            Change::RefundFailed { late: false, .. } => {
                ("refund failed", true, RefundsInTransit, Merchants)
            }
            Change::RefundFailed { late: true, .. } => {
                ("refund returned", true, Provider, Merchants)
            }
            Change::SagaBegun { .. }
            | Change::SagaClaimed { .. }
            | Change::SagaCompleted
            | Change::SagaCompensated
            | Change::SagaParked
            | Change::DisputeChanged { .. }
            | Change::ReportTaken { .. }
            | Change::DeliveryReplayed => return None,
        };
        Some(Self { reason, is_of_refund, debit, credit })
    }
}
