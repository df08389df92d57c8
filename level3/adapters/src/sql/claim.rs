//! The right to send a receipt.

use std::time::Duration;

use level3_domain::ids::TransactionId;
use level3_domain::journal::{SagaId, Standing};

use super::Asked;
use super::lease::{Mark, Turn, Watch};

/// The outcome of an attempt to claim a receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReceiptClaim {
    /// This process may send the receipt, and no other process may.
    Yours {
        /// Whether an earlier attempt may have sent it.
        in_doubt: bool,
    },
    /// Another process is sending the receipt.
    Busy {
        /// When its claim ends, unless it claims again before that.
        remaining: Duration,
    },
    /// The outbox does not have it: it was sent, or its payment was voided.
    NotDue,
}

/// The claims of receipts in an outbox, which all processes at the store see.
///
/// A claim belongs to a process. It ends when the process releases it or is gone, or when the
/// process has been silent about the receipt for the length of a lease. The calls of one process
/// share its claims: that process has to see to it that one of them sends.
pub trait ReceiptClaims: Send + Sync {
    /// Claims the receipt of a transaction. The claim is on disk before the future is ready.
    ///
    /// # Errors
    ///
    /// [`StoreError`](super::StoreError). Whether the receipt is claimed may be unknown then.
    fn claim_receipt(&self, transaction: TransactionId) -> Asked<'_, ReceiptClaim>;

    /// Releases a claim of this process. `in_doubt` says whether the receipt may have been sent, for
    /// the next claim of it. Changes nothing if the claim is another process's.
    ///
    /// # Errors
    ///
    /// [`StoreError`](super::StoreError).
    fn release_receipt(&self, transaction: TransactionId, in_doubt: bool) -> Asked<'_, ()>;
}

/// An entry of the outbox, as far as claims are concerned.
pub(crate) struct OutboxEntry {
    /// The number of the row that the receipt is for.
    pub(crate) payment: i64,
    /// The instance that has claimed it.
    pub(crate) sender: Option<i64>,
    /// The number of claims until now.
    pub(crate) claims: i64,
    /// Whether an attempt before the last release may have sent it.
    pub(crate) in_doubt: bool,
}

/// Decides about a claim. `sender_is_gone` is asked about another process only.
pub(crate) fn decide(
    watch: &Watch,
    me: i64,
    transaction: &TransactionId,
    entry: &OutboxEntry,
    sender_is_gone: bool,
) -> ReceiptClaim {
    let Some(sender) = entry.sender else {
        return ReceiptClaim::Yours { in_doubt: entry.in_doubt };
    };
    // A claim that was not released: its attempt may have been executed.
    let yours = ReceiptClaim::Yours { in_doubt: true };
    if sender == me {
        return yours;
    }
    let mark = Mark { epoch: sender, seq: entry.claims };
    let name = SagaId::new(transaction.as_str());
    match watch.turn(&name, Standing::Open, mark, sender_is_gone) {
        Turn::Busy(remaining) => ReceiptClaim::Busy { remaining },
        Turn::Yours | Turn::Over => yours,
    }
}
