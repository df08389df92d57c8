//! Compares the provider's intents with the ledger's rows and the journal, and repairs the
//! differences.
//!
//! The records agree as long as every party keeps its contract. Sometimes one does not: a provider
//! charges after it was told to cancel, or makes an intent whose request it had refused; a backup
//! of the ledger is older than its last rows; an operator refunds by hand. Only a comparison finds
//! such differences.
//!
//! | the journal says | the intent | the row | what is done |
//! |---|---|---|---|
//! | paid | charged | completed | nothing: they agree |
//! | paid | charged | missing | recorded |
//! | paid | charged | another intent's | refunded |
//! | paid | not charged, or refunded | completed | reported, unless its merchant has asked for the refunds |
//! | undone | charged | any | refunded, and the row voided |
//! | paid or undone | open | not this one's | cancelled |
//! | nothing | charged | | reported; refunded if [`ReconcileConfig::refund_unknown`] says so |
//! | under way or parked | any | any | nothing: recovery and dead letters have it |
//!
//! # Beside a running gateway
//!
//! Only payments whose saga has ended are touched. Such an end is final: no other code works on
//! them. A page of the list may be older than that end, so the intent is read once more after the
//! journal, and no decision depends on the list. Repairs use the gateway's own idempotency keys and
//! the ledger's unique rows. So any number of reconciliations may run at once, each may stop
//! anywhere, and a second one finds nothing left to do.
//!
//! # Cost
//!
//! A reconciliation makes one call for a hundred intents, one read of journal and ledger for each
//! intent of this system, and one call for each row without a matching charge on the pages. Memory
//! does not grow with the account. The calls bypass the gateway's rate limiter, one at a time.

mod compare;
mod repair;
mod report;
mod sides;

use std::fmt;
use std::sync::Arc;

pub use report::{Discrepancy, Finding, Outcome, Report};
pub use sides::{Booked, Books};

use level3_domain::journal::{Journal, JournalError};
use level3_domain::provider::{IntentList, Ledger, PaymentProvider, ProviderError};

use super::sql::{ReceiptClaims, StoreError};

/// The sides of a reconciliation: what is compared, and the services for repairs.
#[derive(Clone)]
pub struct Sides {
    /// Refunds and cancels.
    pub payments: Arc<dyn PaymentProvider>,
    /// Lists the same account.
    pub intents: Arc<dyn IntentList>,
    /// Knows the outcome of each payment.
    pub journal: Arc<dyn Journal>,
    /// Writes the missing rows.
    pub ledger: Arc<dyn Ledger>,
    /// Reads the rows.
    pub books: Arc<dyn Books>,
    /// The claims of receipts, if the store has them. The receipt of a row that was missing may have been sent before
    /// the row was lost, so it is put in doubt: its sender looks for the mail first.
    pub claims: Option<Arc<dyn ReceiptClaims>>,
}

impl fmt::Debug for Sides {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sides")
    }
}

/// The configuration of a reconciliation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReconcileConfig {
    /// Whether differences are repaired; otherwise they are only reported. `true` by default.
    pub repair: bool,
    /// Whether charges that the journal does not know are refunded. Where two systems share an
    /// account, such a charge may belong to the other one. `false` by default.
    pub refund_unknown: bool,
    /// How many pages of intents are read, the newest first. All of them by default.
    pub pages: Option<u32>,
    /// How many payments are kept in memory between the pages and the rows. 100 000 by default,
    /// about 10 MB; each further row costs one call.
    pub matched: usize,
    /// How many findings the report lists. 1000 by default; further ones are counted and logged.
    pub findings: usize,
}

impl Default for ReconcileConfig {
    fn default() -> Self {
        Self { repair: true, refund_unknown: false, pages: None, matched: 100_000, findings: 1000 }
    }
}

/// Why a reconciliation has stopped half way. The repairs until then stay in effect.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReconcileError {
    /// The provider cannot be read.
    #[error("the payment provider: {0}")]
    Provider(#[from] ProviderError),
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The ledger cannot be read.
    #[error(transparent)]
    Books(#[from] StoreError),
}

/// Compares the sides and repairs the differences.
#[derive(Debug, Clone)]
pub struct Reconciler {
    sides: Sides,
    config: ReconcileConfig,
}

impl Reconciler {
    /// Makes a reconciler of these sides.
    #[must_use]
    pub const fn new(sides: Sides, config: ReconcileConfig) -> Self {
        Self { sides, config }
    }
}
