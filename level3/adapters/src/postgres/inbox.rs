//! The operations of reports of the provider and of disputes.

use level3_domain::ids::PaymentId;
use level3_domain::refund::RefundId;
use tokio_postgres::types::ToSql;

use super::events;
use super::fault::Fault;
use super::session::Session;
use super::writer::Operation;
use crate::sql::{
    Arrival, Change, Dispute, DisputeRow, EventNote, NewArrival, StoreError, arrival_row,
    dispute_event, dispute_row,
};

/// NUL is the only character that PostgreSQL's type `text` cannot hold.
fn text(text: &str) -> String {
    text.replace('\0', " ")
}

pub(super) struct TakeIn(pub(super) NewArrival);

impl Operation for TakeIn {
    type Output = bool;

    async fn run(&self, session: &Session) -> Result<bool, Fault> {
        let NewArrival { name, kind, detail } = &self.0;
        let (name, kind, detail) = (text(name), text(kind), text(detail));
        let new: [&(dyn ToSql + Sync); 3] = [&name, &kind, &detail];
        let is_new = session.client.execute(&session.statements.arrival, &new).await? == 1;
        if is_new {
            session.trail.note(&name, Change::ReportTaken { kind });
        }
        Ok(is_new)
    }
}

pub(super) struct Unhandled(pub(super) i64);

impl Operation for Unhandled {
    type Output = Vec<Arrival>;

    async fn run(&self, session: &Session) -> Result<Vec<Arrival>, Fault> {
        let rows = session.client.query(&session.statements.unhandled, &[&self.0]).await?;
        rows.iter().map(arrival_row).collect()
    }
}

pub(super) struct Handled {
    pub(super) number: i64,
    pub(super) outcome: String,
}

impl Operation for Handled {
    type Output = ();

    async fn run(&self, session: &Session) -> Result<(), Fault> {
        let outcome = text(&self.outcome);
        let handled = &session.statements.arrival_handled;
        session.client.execute(handled, &[&self.number, &outcome]).await?;
        Ok(())
    }
}

pub(super) struct Failed {
    pub(super) number: i64,
    pub(super) cause: String,
}

impl Operation for Failed {
    type Output = ();

    async fn run(&self, session: &Session) -> Result<(), Fault> {
        let cause = text(&self.cause);
        let failed = &session.statements.arrival_failed;
        session.client.execute(failed, &[&self.number, &cause]).await?;
        Ok(())
    }
}

pub(super) struct RecordDispute {
    pub(super) dispute: Dispute,
    pub(super) event: String,
}

impl Operation for RecordDispute {
    type Output = Option<PaymentId>;

    fn key(&self) -> &str {
        &self.dispute.id
    }

    async fn run(&self, session: &Session) -> Result<Option<PaymentId>, Fault> {
        let (client, statements, dispute) = (&session.client, &session.statements, &self.dispute);
        let intent = dispute.intent.as_str();
        let found = client.query_opt(&statements.payment_of_intent, &[&intent]).await?;
        let Some(found) = found else { return Ok(None) };
        let (number, payment): (i64, String) = (found.try_get(0)?, found.try_get(1)?);
        let (reason, status) = (text(&dispute.reason), text(&dispute.status));
        let (minor, currency) = (dispute.amount.minor(), dispute.amount.currency());
        let code = currency.code();
        let new: [&(dyn ToSql + Sync); 8] = [
            &dispute.id,
            &number,
            &minor,
            &code,
            &reason,
            &status,
            &dispute.is_closed,
            &dispute.as_of,
        ];
        if client.execute(&statements.new_dispute, &new).await? == 0 {
            return Ok(None);
        }
        session.trail.note(&dispute.id, Change::dispute(&payment, dispute));
        events::note(session, &dispute_event(&self.event, &payment, dispute)).await?;
        let payment =
            PaymentId::try_from(payment).map_err(|why| StoreError::unreadable("payment", why))?;
        Ok(Some(payment))
    }
}

pub(super) struct DisputesOf(pub(super) PaymentId);

impl Operation for DisputesOf {
    type Output = Vec<DisputeRow>;

    async fn run(&self, session: &Session) -> Result<Vec<DisputeRow>, Fault> {
        let statement = &session.statements.disputes_of;
        let rows = session.client.query(statement, &[&self.0.as_str()]).await?;
        rows.iter().map(dispute_row).collect()
    }
}

pub(super) struct ShowDispute(pub(super) String);

impl Operation for ShowDispute {
    type Output = Option<DisputeRow>;

    async fn run(&self, session: &Session) -> Result<Option<DisputeRow>, Fault> {
        let row = session.client.query_opt(&session.statements.dispute, &[&self.0]).await?;
        row.as_ref().map(dispute_row).transpose()
    }
}

pub(super) struct RefundFailedLate {
    pub(super) refund: RefundId,
    pub(super) cause: String,
    pub(super) note: EventNote,
}

impl Operation for RefundFailedLate {
    type Output = bool;

    fn key(&self) -> &str {
        self.refund.as_str()
    }

    async fn run(&self, session: &Session) -> Result<bool, Fault> {
        let (statement, cause) = (&session.statements.refund_failed_late, text(&self.cause));
        let written = session.client.execute(statement, &[&self.refund.as_str(), &cause]).await?;
        if written == 1 {
            session.trail.note(self.refund.as_str(), Change::RefundFailed { cause, late: true });
            events::note(session, &self.note).await?;
        }
        Ok(written == 1)
    }
}
