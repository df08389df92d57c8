//! The operations of refunds.

use std::sync::Arc;

use level3_domain::ids::PaymentId;
use level3_domain::refund::RefundId;
use tokio::sync::OwnedMutexGuard;
use tokio_postgres::types::ToSql;

use super::events;
use super::fault::Fault;
use super::session::Session;
use super::writer::Operation;
use crate::sql::{
    Change, Charged, Claimable, EventNote, NewRefund, RefundBegun, RefundClaim, RefundOutcome,
    RefundRow, RefundState, RefundTurn, StoreError, Watch, claim_number, refund_amount, refund_row,
};

async fn find(session: &Session, refund: &RefundId) -> Result<Option<Claimable>, Fault> {
    let found = session.client.query_opt(&session.statements.refund, &[&refund.as_str()]).await?;
    found.as_ref().map(refund_row).transpose()
}

/// NUL is the only character that PostgreSQL's type `text` cannot hold.
fn text(text: &str) -> String {
    text.replace('\0', " ")
}

/// Records a refund.
///
/// The row of the payment is locked before the sum is read, so processes that record refunds of one
/// payment do it one after the other; the sum is read by a later statement, which sees what the one
/// before has committed. Operations of one group share a transaction, and their statements
/// interleave, so the lock does not separate them: the guard does. It is held until the operation
/// has its answer, and so no two of this process are in one group.
pub(super) struct Begin {
    pub(super) new: NewRefund,
    pub(super) me: i32,
    pub(super) _alone: OwnedMutexGuard<()>,
}

impl Operation for Begin {
    type Output = RefundBegun;

    fn key(&self) -> &str {
        self.new.payment.as_str()
    }

    async fn run(&self, session: &Session) -> Result<RefundBegun, Fault> {
        let (client, statements, new) = (&session.client, &session.statements, &self.new);
        let payment = new.payment.as_str();
        let locked = client.query_opt(&statements.charged, &[&payment]).await?;
        if let Some(known) = find(session, &new.refund).await? {
            return Ok(RefundBegun::Known(known.row));
        }
        let charged = match locked {
            None => None,
            Some(row) => {
                let number: i64 = row.try_get(0)?;
                let given = client.query_one(&statements.refunded, &[&number]).await?.try_get(0)?;
                let (is_completed, minor) = (row.try_get(1)?, row.try_get(2)?);
                Some(Charged { number, is_completed, minor, given })
            }
        };
        let amount = match refund_amount(charged.as_ref(), new.asked) {
            Ok(amount) => amount,
            Err(refusal) => return Ok(RefundBegun::Refused(refusal)),
        };
        let number = charged.map(|charged| charged.number);
        let name = new.refund.as_str();
        let written: [&(dyn ToSql + Sync); 5] = [&name, &number, &new.asked, &amount, &self.me];
        client.execute(&statements.new_refund, &written).await?;
        let begun = find(session, &new.refund).await?;
        let begun = begun.ok_or_else(|| StoreError::unreadable("refund", "it was just written"))?;
        session.trail.note(name, Change::refund(payment, &begun.row.amount));
        Ok(RefundBegun::New(RefundTurn { row: begun.row, claim: 1 }))
    }
}

pub(super) struct Claim {
    pub(super) refund: RefundId,
    pub(super) watch: Arc<Watch>,
    pub(super) me: i32,
}

impl Operation for Claim {
    type Output = RefundClaim;

    fn key(&self) -> &str {
        self.refund.as_str()
    }

    async fn run(&self, session: &Session) -> Result<RefundClaim, Fault> {
        let (client, statements) = (&session.client, &session.statements);
        // Locked until the end of the transaction: no other process claims it meanwhile.
        client.execute(&statements.lock_refund, &[&self.refund.as_str()]).await?;
        let Some(found) = find(session, &self.refund).await? else {
            return Ok(RefundClaim::Unknown);
        };
        let other = found.owner.and_then(|owner| i32::try_from(owner).ok());
        let is_gone = match other.filter(|owner| *owner != self.me) {
            Some(owner) => client.query_one(&statements.is_gone, &[&owner]).await?.try_get(0)?,
            None => false,
        };
        let claim = found.decide(&self.watch, self.me.into(), is_gone);
        if let RefundClaim::Yours(turn) = &claim {
            let name = self.refund.as_str();
            let claimed: [&(dyn ToSql + Sync); 3] = [&name, &self.me, &claim_number(turn)];
            client.execute(&statements.refund_claimed, &claimed).await?;
        }
        Ok(claim)
    }
}

pub(super) struct Attempted {
    pub(super) turn: RefundTurn,
    pub(super) generation: u32,
    pub(super) cause: String,
    pub(super) release: bool,
}

impl Operation for Attempted {
    type Output = bool;

    fn key(&self) -> &str {
        self.turn.row.refund.as_str()
    }

    async fn run(&self, session: &Session) -> Result<bool, Fault> {
        let (name, claim) = (self.turn.row.refund.as_str(), claim_number(&self.turn));
        let (generation, cause) = (i64::from(self.generation), text(&self.cause));
        let attempted: [&(dyn ToSql + Sync); 5] =
            [&name, &claim, &generation, &cause, &self.release];
        let statement = &session.statements.refund_attempted;
        Ok(session.client.execute(statement, &attempted).await? == 1)
    }
}

pub(super) struct Settle {
    pub(super) turn: RefundTurn,
    pub(super) outcome: RefundOutcome,
    pub(super) note: Option<EventNote>,
}

impl Operation for Settle {
    type Output = bool;

    fn key(&self) -> &str {
        self.turn.row.refund.as_str()
    }

    async fn run(&self, session: &Session) -> Result<bool, Fault> {
        let outcome = match &self.outcome {
            RefundOutcome::Succeeded(provider) => RefundOutcome::Succeeded(text(provider)),
            RefundOutcome::Failed(cause) => RefundOutcome::Failed(text(cause)),
        };
        let (state, provider, cause) = match &outcome {
            RefundOutcome::Succeeded(provider) => (RefundState::Succeeded, Some(provider), None),
            RefundOutcome::Failed(cause) => (RefundState::Failed, None, Some(cause)),
        };
        let (name, claim) = (self.turn.row.refund.as_str(), claim_number(&self.turn));
        let settled: [&(dyn ToSql + Sync); 5] = [&name, &claim, &state.name(), &provider, &cause];
        let statement = &session.statements.refund_settled;
        let is_written = session.client.execute(statement, &settled).await? == 1;
        if is_written {
            session.trail.note(name, Change::settled(&outcome));
        }
        if let (true, Some(note)) = (is_written, &self.note) {
            events::note(session, note).await?;
        }
        Ok(is_written)
    }
}

pub(super) struct Show(pub(super) RefundId);

impl Operation for Show {
    type Output = Option<RefundRow>;

    async fn run(&self, session: &Session) -> Result<Option<RefundRow>, Fault> {
        Ok(find(session, &self.0).await?.map(|found| found.row))
    }
}

pub(super) struct OfPayment(pub(super) PaymentId);

impl Operation for OfPayment {
    type Output = Vec<RefundRow>;

    async fn run(&self, session: &Session) -> Result<Vec<RefundRow>, Fault> {
        let statement = &session.statements.refunds_of;
        let rows = session.client.query(statement, &[&self.0.as_str()]).await?;
        rows.iter().map(|row| Ok(refund_row(row)?.row)).collect()
    }
}

pub(super) struct Open(pub(super) i64);

impl Operation for Open {
    type Output = Vec<RefundId>;

    async fn run(&self, session: &Session) -> Result<Vec<RefundId>, Fault> {
        let rows = session.client.query(&session.statements.open_refunds, &[&self.0]).await?;
        let read = |row: &tokio_postgres::Row| {
            RefundId::try_from(row.try_get::<_, String>(0)?)
                .map_err(|why| StoreError::unreadable("refund", why).into())
        };
        rows.iter().map(read).collect()
    }
}
