//! What the payment provider reports by itself, and the disputes that it reports.
//!
//! A report is written before it is acknowledged, under the provider's name of it, so a repeat changes
//! nothing. It is handled afterwards, as often as needed: handling one twice, or two in the wrong order,
//! has the same result as once and in order.

use level3_domain::ids::{IntentId, PaymentId};
use level3_domain::journal::SagaId;
use level3_domain::money::Money;
use level3_domain::refund::RefundId;

use super::events::EventNote;
use super::row::Columns;
use super::view::{UnixMillis, money, unsigned};
use super::{Asked, StoreError};

/// A report to be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewArrival {
    /// The provider's name of it, which is unique.
    pub name: String,
    /// The type of the report, in the provider's words.
    pub kind: String,
    /// The part of it that is needed to handle it, as JSON. Without data of persons.
    pub detail: String,
}

/// A report that is not handled yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// The number of the report; later reports have greater ones.
    pub number: u64,
    /// The provider's name of the report, the same for each repeat.
    pub name: String,
    /// The type of the report, in the provider's words.
    pub kind: String,
    /// The part of the report that its handling needs, as JSON.
    pub detail: String,
    /// The number of times that handling it has failed.
    pub attempts: u32,
}

/// A dispute as the provider reports it: the customer's bank asks for the money.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dispute {
    /// The provider's name of the dispute.
    pub id: String,
    /// The intent whose charge is disputed.
    pub intent: IntentId,
    /// The disputed amount.
    pub amount: Money,
    /// The reason, in the provider's words.
    pub reason: String,
    /// The status, in the provider's words.
    pub status: String,
    /// Whether the status is final.
    pub is_closed: bool,
    /// When the provider reported this, in seconds since 1970 by the provider's clock.
    pub as_of: i64,
}

/// A dispute of a payment of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DisputeRow {
    /// The dispute, as the provider reported it last.
    pub dispute: Dispute,
    /// The payment whose charge is disputed.
    pub payment: PaymentId,
    /// When it changed last, by the clock of the database.
    pub changed_at: UnixMillis,
}

/// The kind of the event that [`Inbox::record_dispute`] writes.
pub const DISPUTE_EVENT: &str = "dispute";

/// The reports of a store. Everything that is written is on disk before its future is ready.
pub trait Inbox: Send + Sync {
    /// Keeps a report. Returns `false`, and writes nothing, if the store has it already.
    fn take_in(&self, arrival: NewArrival) -> Asked<'_, bool>;

    /// Returns reports that are not handled, the oldest first, `most` at most.
    fn unhandled(&self, most: usize) -> Asked<'_, Vec<Arrival>>;

    /// Notes that a report is handled, and with which outcome.
    fn arrival_handled(&self, number: u64, outcome: String) -> Asked<'_, ()>;

    /// Notes that handling a report has failed.
    fn arrival_failed(&self, number: u64, cause: String) -> Asked<'_, ()>;

    /// Records a dispute, and an event with this name in the same transaction: its kind is
    /// [`DISPUTE_EVENT`], and its subject the dispute. Returns the payment; `None`, and writes nothing,
    /// if the store has no payment with this charge, or this or a later state of the dispute.
    fn record_dispute(&self, dispute: Dispute, event: String) -> Asked<'_, Option<PaymentId>>;

    /// Returns the disputes of a payment, the oldest first.
    fn disputes_of(&self, payment: PaymentId) -> Asked<'_, Vec<DisputeRow>>;

    /// Returns a dispute.
    fn dispute(&self, id: String) -> Asked<'_, Option<DisputeRow>>;

    /// Turns a refund that had succeeded into one that has failed, and writes an event in the same
    /// transaction. Returns `false`, and writes nothing, if it is in another state.
    fn refund_failed_late(
        &self,
        refund: RefundId,
        cause: String,
        note: EventNote,
    ) -> Asked<'_, bool>;
}

/// Returns the event of a dispute of this payment. Its label is that of the payment's first run.
pub(crate) fn dispute_event(name: &str, payment: &str, dispute: &Dispute) -> EventNote {
    let first =
        payment.rsplit_once('_').map_or(payment.to_owned(), |(name, _)| format!("{name}_1"));
    EventNote {
        name: name.to_owned(),
        filed_as: SagaId::from(first),
        kind: DISPUTE_EVENT,
        subject: dispute.id.clone(),
    }
}

/// Reads a report.
pub(crate) fn arrival_row<R: Columns>(row: &R) -> Result<Arrival, R::Fault> {
    Ok(Arrival {
        number: unsigned(row.number(0)?),
        name: row.text(1)?,
        kind: row.text(2)?,
        detail: row.text(3)?,
        attempts: u32::try_from(row.number(4)?).unwrap_or(u32::MAX),
    })
}

/// Reads a dispute.
pub(crate) fn dispute_row<R: Columns>(row: &R) -> Result<DisputeRow, R::Fault> {
    let bad = |why: &dyn std::fmt::Display| StoreError::unreadable("dispute", why);
    let dispute = Dispute {
        id: row.text(0)?,
        intent: IntentId::new(row.text(2)?).map_err(|why| bad(&why))?,
        amount: money(row.number(3)?, row.text(4)?)?,
        reason: row.text(5)?,
        status: row.text(6)?,
        is_closed: row.number(7)? != 0,
        as_of: row.number(8)?,
    };
    let payment = PaymentId::try_from(row.text(1)?).map_err(|why| bad(&why))?;
    Ok(DisputeRow { dispute, payment, changed_at: UnixMillis(row.number(9)?) })
}
