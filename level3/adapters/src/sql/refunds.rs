//! The refunds that merchants ask for, as a store keeps them.
//!
//! A refund is written before the provider is called. The transaction that writes it adds up what
//! the payment's other refunds take, those under way included, so that all refunds together never
//! exceed the charge: not when they are asked for at once, not after a restart, and not by two
//! processes at one store. A refund that has failed takes nothing.
//!
//! One process at a time works on a refund: it holds a claim, as for a receipt. Each claim has a
//! higher number, and a write with an old number is refused.

use std::time::Duration;

use level3_domain::ids::{IntentId, PaymentId};
use level3_domain::journal::{SagaId, Standing};
use level3_domain::money::Money;
use level3_domain::refund::RefundId;

use super::events::EventNote;
use super::lease::{Mark, Turn, Watch};
use super::row::Columns;
use super::view::{UnixMillis, money, unsigned};
use super::{Asked, StoreError};

/// The state of a refund.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RefundState {
    /// The refund is recorded; the provider has not confirmed it.
    Processing,
    /// The provider has accepted the refund.
    Succeeded,
    /// The provider has refused the refund, or it failed later. Its amount can be refunded again.
    Failed,
}

impl RefundState {
    /// All states.
    pub const ALL: [Self; 3] = [Self::Processing, Self::Succeeded, Self::Failed];

    /// Returns the name, as a store writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Processing => "processing",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
        }
    }

    fn from_name(name: &str) -> Result<Self, StoreError> {
        let known = Self::ALL.into_iter().find(|state| state.name() == name);
        known.ok_or_else(|| StoreError::unreadable("state of a refund", name))
    }
}

/// A refund to be recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRefund {
    /// The name of the refund, unique in the store.
    pub refund: RefundId,
    /// The payment that is refunded.
    pub payment: PaymentId,
    /// The amount in minor units of the payment's currency; `None` for all that is left.
    pub asked: Option<i64>,
}

/// A refund as the store has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefundRow {
    /// The name of the refund, unique in the store.
    pub refund: RefundId,
    /// The payment that is refunded.
    pub payment: PaymentId,
    /// The intent that was charged.
    pub intent: IntentId,
    /// The amount of the request, in minor units; `None` for all that was left.
    pub asked: Option<i64>,
    /// The amount of the refund.
    pub amount: Money,
    /// Whether the refund is under way, has succeeded or has failed.
    pub state: RefundState,
    /// The generation of the refund's key at the provider.
    pub generation: u32,
    /// The number of times that it was worked on without an outcome.
    pub attempts: u32,
    /// The provider's name of it, once it has succeeded.
    pub provider_id: Option<String>,
    /// Why it has failed, or why the last attempt had no outcome. Without secrets.
    pub cause: Option<String>,
    /// The time of the record, by the clock of the database.
    pub begun_at: UnixMillis,
    /// The time of the last change, by the clock of the database.
    pub changed_at: UnixMillis,
}

/// The right to work on a refund, until another process claims it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefundTurn {
    /// The refund as it was claimed.
    pub row: RefundRow,
    /// The number of the claim.
    pub claim: u64,
}

/// Why a refund is not recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RefundRefusal {
    /// The payment has no completed row.
    #[error("the payment is not paid")]
    NotPaid,
    /// The charge does not have so much left.
    #[error("{left} minor units are left of the charge")]
    Exceeds {
        /// What is left, in minor units.
        left: i64,
    },
}

/// The outcome of an attempt to record a refund.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefundBegun {
    /// The refund is new, and this process has claimed it.
    New(RefundTurn),
    /// The refund was recorded before. Nothing was written.
    Known(RefundRow),
    /// The refund is refused. Nothing was written.
    Refused(RefundRefusal),
}

/// The outcome of an attempt to claim a refund.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefundClaim {
    /// This process may work on the refund, and no other process may.
    Yours(RefundTurn),
    /// Another process works on the refund.
    Busy {
        /// When its claim ends, unless it writes before that.
        remaining: Duration,
    },
    /// The refund has an outcome.
    Settled(RefundRow),
    /// There is no such refund.
    Unknown,
}

/// The outcome of a refund.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefundOutcome {
    /// The provider has accepted it, under this name of its own.
    Succeeded(String),
    /// The provider has refused it for good, for this reason.
    Failed(String),
}

/// The refunds of a store. Everything that is written is on disk before its future is ready.
///
/// The calls of one process share its claims: that process has to see to it that one of them works
/// on a refund.
pub trait RefundBook: Send + Sync {
    /// Records a refund and claims it, unless the refunds of the payment would exceed the charge.
    fn begin_refund(&self, new: NewRefund) -> Asked<'_, RefundBegun>;

    /// Claims a refund that has no outcome.
    fn claim_refund(&self, refund: RefundId) -> Asked<'_, RefundClaim>;

    /// Records an attempt without an outcome, and the generation of the next one; `release` ends the
    /// claim. Returns `false`, and writes nothing, if the claim is not the latest one or the refund
    /// has an outcome.
    fn refund_attempted(
        &self,
        turn: &RefundTurn,
        generation: u32,
        cause: String,
        release: bool,
    ) -> Asked<'_, bool>;

    /// Records the outcome of a refund, and an event in the same transaction. Returns `false`, and
    /// writes nothing, if the claim is not the latest one or the refund has an outcome.
    fn settle_refund(
        &self,
        turn: &RefundTurn,
        outcome: RefundOutcome,
        note: Option<EventNote>,
    ) -> Asked<'_, bool>;

    /// Returns a refund.
    fn refund(&self, refund: RefundId) -> Asked<'_, Option<RefundRow>>;

    /// Returns the refunds of a payment, the oldest first.
    fn refunds_of(&self, payment: PaymentId) -> Asked<'_, Vec<RefundRow>>;

    /// Returns refunds without an outcome, the oldest first, `most` at most.
    fn open_refunds(&self, most: usize) -> Asked<'_, Vec<RefundId>>;
}

/// The part of a payment's row that a refund depends on.
pub(crate) struct Charged {
    pub(crate) number: i64,
    pub(crate) is_completed: bool,
    pub(crate) minor: i64,
    /// The sum of its refunds that have not failed.
    pub(crate) given: i64,
}

/// Decides the amount of a refund.
pub(crate) fn amount(charged: Option<&Charged>, asked: Option<i64>) -> Result<i64, RefundRefusal> {
    let charged = charged.filter(|charged| charged.is_completed).ok_or(RefundRefusal::NotPaid)?;
    let left = charged.minor.saturating_sub(charged.given).max(0);
    let amount = asked.unwrap_or(left);
    if amount > 0 && amount <= left { Ok(amount) } else { Err(RefundRefusal::Exceeds { left }) }
}

/// Reads a refund with its owner and the number of its claims.
pub(crate) fn refund_row<R: Columns>(row: &R) -> Result<Claimable, R::Fault> {
    let bad = |why: &dyn std::fmt::Display| StoreError::unreadable("refund", why);
    let count = |column| Ok::<_, R::Fault>(u32::try_from(row.number(column)?).unwrap_or(u32::MAX));
    let some = |text: String| (!text.is_empty()).then_some(text);
    let read = RefundRow {
        refund: RefundId::try_from(row.text(0)?).map_err(|why| bad(&why))?,
        payment: PaymentId::try_from(row.text(1)?).map_err(|why| bad(&why))?,
        intent: IntentId::new(row.text(2)?).map_err(|why| bad(&why))?,
        asked: Some(row.number(3)?).filter(|asked| *asked > 0),
        amount: money(row.number(4)?, row.text(5)?)?,
        state: RefundState::from_name(&row.text(6)?)?,
        generation: count(7)?,
        attempts: count(8)?,
        provider_id: some(row.text(9)?),
        cause: some(row.text(10)?),
        begun_at: UnixMillis(row.number(11)?),
        changed_at: UnixMillis(row.number(12)?),
    };
    let owner = Some(row.number(13)?).filter(|owner| *owner >= 0);
    Ok(Claimable { row: read, owner, claims: row.number(14)? })
}

/// A refund and who works on it.
pub(crate) struct Claimable {
    pub(crate) row: RefundRow,
    pub(crate) owner: Option<i64>,
    pub(crate) claims: i64,
}

impl Claimable {
    /// Decides about a claim. `owner_is_gone` is asked about another process only. A claim that is
    /// granted has the next number, which the caller writes.
    pub(crate) fn decide(self, watch: &Watch, me: i64, owner_is_gone: bool) -> RefundClaim {
        if self.row.state != RefundState::Processing {
            return RefundClaim::Settled(self.row);
        }
        if let Some(owner) = self.owner.filter(|owner| *owner != me) {
            let mark = Mark { epoch: owner, seq: self.claims + i64::from(self.row.attempts) };
            let name = SagaId::new(self.row.refund.as_str());
            if let Turn::Busy(remaining) = watch.turn(&name, Standing::Open, mark, owner_is_gone) {
                return RefundClaim::Busy { remaining };
            }
        }
        let claim = unsigned(self.claims.saturating_add(1));
        RefundClaim::Yours(RefundTurn { row: self.row, claim })
    }
}

/// The number of a claim as a database has it.
pub(crate) fn claim_number(turn: &RefundTurn) -> i64 {
    i64::try_from(turn.claim).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refunds_never_exceed_the_charge() {
        let charged = |given| Charged { number: 1, is_completed: true, minor: 100, given };
        assert_eq!(amount(Some(&charged(0)), None), Ok(100));
        assert_eq!(amount(Some(&charged(40)), None), Ok(60));
        assert_eq!(amount(Some(&charged(40)), Some(60)), Ok(60));
        assert_eq!(amount(Some(&charged(40)), Some(61)), Err(RefundRefusal::Exceeds { left: 60 }));
        for asked in [None, Some(1)] {
            let nothing = Err(RefundRefusal::Exceeds { left: 0 });
            assert_eq!(amount(Some(&charged(100)), asked), nothing);
            // A store that was damaged or changed by hand.
            assert_eq!(amount(Some(&charged(i64::MAX)), asked), nothing);
        }
        for asked in [0, -1, i64::MIN, i64::MAX] {
            assert!(amount(Some(&charged(0)), Some(asked)).is_err(), "{asked}");
        }
    }

    #[test]
    fn only_a_completed_payment_is_refunded() {
        assert_eq!(amount(None, None), Err(RefundRefusal::NotPaid));
        let voided = Charged { number: 1, is_completed: false, minor: 100, given: 0 };
        assert_eq!(amount(Some(&voided), None), Err(RefundRefusal::NotPaid));
    }
}
