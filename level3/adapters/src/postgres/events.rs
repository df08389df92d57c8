//! The operations of events and deliveries.

use tokio_postgres::types::ToSql;

use super::fault::Fault;
use super::session::Session;
use super::writer::Operation;
use crate::sql::{
    Change, Delivery, DeliveryQuery, DeliveryTurn, Ended, EventNote, EventRow, NewDelivery,
    delivery_row, event_row, limit, number_of, replayed,
};

/// NUL is the only character that PostgreSQL's type `text` cannot hold.
fn text(text: &str) -> String {
    text.replace('\0', " ")
}

pub(super) async fn note(session: &Session, note: &EventNote) -> Result<(), Fault> {
    let EventNote { name, filed_as, kind, subject } = note;
    let filed_as = filed_as.as_str();
    let written: [&(dyn ToSql + Sync); 4] = [name, &filed_as, kind, subject];
    session.client.execute(&session.statements.new_event, &written).await?;
    Ok(())
}

pub(super) struct Unplanned(pub(super) i64);

impl Operation for Unplanned {
    type Output = Vec<EventRow>;

    async fn run(&self, session: &Session) -> Result<Vec<EventRow>, Fault> {
        let rows = session.client.query(&session.statements.unplanned, &[&self.0]).await?;
        rows.iter().map(event_row).collect()
    }
}

pub(super) struct Plan {
    pub(super) event: i64,
    pub(super) deliveries: Vec<NewDelivery>,
}

impl Operation for Plan {
    type Output = ();

    async fn run(&self, session: &Session) -> Result<(), Fault> {
        let (client, statements) = (&session.client, &session.statements);
        // No row: another process was faster.
        if client.execute(&statements.planned, &[&self.event]).await? == 1 {
            for NewDelivery { endpoint, body } in &self.deliveries {
                let body = text(body);
                let new: [&(dyn ToSql + Sync); 3] = [&self.event, endpoint, &body];
                client.execute(&statements.new_delivery, &new).await?;
            }
        }
        Ok(())
    }
}

pub(super) struct Claim {
    pub(super) most: i64,
    pub(super) time: i64,
}

impl Operation for Claim {
    type Output = Vec<DeliveryTurn>;

    async fn run(&self, session: &Session) -> Result<Vec<DeliveryTurn>, Fault> {
        let statement = &session.statements.claim_deliveries;
        let rows = session.client.query(statement, &[&self.most, &self.time]).await?;
        rows.iter().map(delivery_row).collect()
    }
}

pub(super) struct End {
    pub(super) turn: DeliveryTurn,
    pub(super) end: Ended,
}

impl Operation for End {
    type Output = bool;

    async fn run(&self, session: &Session) -> Result<bool, Fault> {
        let number = number_of(self.turn.delivery.number);
        let (claim, state) = (number_of(self.turn.claim), self.end.state.name());
        let cause = self.end.cause.as_deref().map(text);
        let ended: [&(dyn ToSql + Sync); 6] =
            [&number, &claim, &state, &cause, &self.end.after, &self.end.failed];
        let statement = &session.statements.delivery_ended;
        Ok(session.client.execute(statement, &ended).await? == 1)
    }
}

pub(super) struct List(pub(super) DeliveryQuery);

impl Operation for List {
    type Output = Vec<Delivery>;

    async fn run(&self, session: &Session) -> Result<Vec<Delivery>, Fault> {
        let DeliveryQuery { label, state, before, most } = &self.0;
        let (state, before) = (state.map(|state| state.name()), before.map(number_of));
        let asked: [&(dyn ToSql + Sync); 4] = [label, &state, &before, &limit(*most)];
        let rows = session.client.query(&session.statements.deliveries, &asked).await?;
        rows.iter().map(|row| Ok(delivery_row(row)?.delivery)).collect()
    }
}

pub(super) struct Replay {
    pub(super) number: i64,
    pub(super) label: Option<String>,
}

impl Operation for Replay {
    type Output = bool;

    async fn run(&self, session: &Session) -> Result<bool, Fault> {
        let statement = &session.statements.replay;
        let asked: [&(dyn ToSql + Sync); 2] = [&self.number, &self.label];
        let is_written = session.client.execute(statement, &asked).await? == 1;
        if is_written {
            session.trail.note(&replayed(self.number), Change::DeliveryReplayed);
        }
        Ok(is_written)
    }
}
