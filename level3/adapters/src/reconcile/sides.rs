//! The ledger, as a reconciliation reads it. The provider's side is
//! [`IntentList`](level3_domain::provider::IntentList).

use futures::FutureExt as _;

use level3_domain::ids::{IntentId, PaymentId};
use level3_domain::provider::Row;

use crate::sql::{Asked, BookedRow, RefundState, Store};

/// The part of a row that is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Booked {
    /// The number of the row in the ledger.
    pub number: u64,
    /// The row, as the ledger stores it.
    pub row: Row,
    /// The intent that was charged, if the ledger stores it.
    pub intent: Option<IntentId>,
}

impl From<BookedRow> for Booked {
    fn from(booked: BookedRow) -> Self {
        Self { number: booked.number, row: booked.row, intent: Some(booked.intent) }
    }
}

/// A ledger that can be read. Every [`Store`] can.
pub trait Books: Send + Sync {
    /// Returns the row of a payment, completed or voided.
    fn row(&self, payment: PaymentId) -> Asked<'_, Option<Booked>>;
    /// Returns the rows in the order in which they were written, from the one after number `after`
    /// (0 for the first), `most` at most.
    fn rows(&self, after: u64, most: usize) -> Asked<'_, Vec<Booked>>;
    /// Returns the sum of the refunds that merchants have asked for and that have not failed, in minor
    /// units.
    fn refunded(&self, payment: PaymentId) -> Asked<'_, i64>;
}

impl<S: Store + ?Sized> Books for S {
    fn row(&self, payment: PaymentId) -> Asked<'_, Option<Booked>> {
        let shown = self.show(payment);
        async move { Ok(shown.await?.and_then(|shown| shown.row).map(Booked::from)) }.boxed()
    }

    fn rows(&self, after: u64, most: usize) -> Asked<'_, Vec<Booked>> {
        let rows = Store::rows(self, after, most);
        async move { Ok(rows.await?.into_iter().map(Booked::from).collect()) }.boxed()
    }

    fn refunded(&self, payment: PaymentId) -> Asked<'_, i64> {
        let refunds = self.refunds_of(payment);
        async move {
            let refunds = refunds.await?;
            let given = refunds.iter().filter(|refund| refund.state != RefundState::Failed);
            Ok(given.map(|refund| refund.amount.minor()).sum())
        }
        .boxed()
    }
}
