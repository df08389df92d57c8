//! The queries of a program.

use level3_domain::ids::PaymentId;
use level3_domain::journal::{SagaId, Standing};

use super::fault::Fault;
use super::journal::{list_unfinished, read, saga};
use super::session::{Reading, Session};
use super::writer::Operation;
use crate::sql::{
    BookedRow, Columns, Counts, DeadLetter, LabelQuery, Labelled, Shown, UnixMillis, add_count,
    booked_row, failed_receipt, journal_entry, labelled, limit, shown, stuck_in,
};

impl Columns for tokio_postgres::Row {
    type Fault = Fault;

    fn text(&self, column: usize) -> Result<String, Fault> {
        Ok(self.try_get(column)?)
    }

    fn number(&self, column: usize) -> Result<i64, Fault> {
        Ok(self.try_get(column)?)
    }
}

/// Returns a payment with all its records.
pub(super) async fn show(from: Reading<'_>, payment: &PaymentId) -> Result<Option<Shown>, Fault> {
    let Reading { client, queries } = from;
    let name = payment.as_str();
    let row = client.query_opt(&queries.row, &[&name]).await?;
    let row = row.as_ref().map(booked_row).transpose()?;
    let saga = saga(client, &queries.saga, name).await?;
    let stands = saga.as_ref().map(|saga| (saga.standing, saga.mark.epoch));
    let pending = client.query_one(&queries.is_pending, &[&name]).await?.try_get(0)?;
    let Some(mut shown) = shown(payment, stands, row, pending) else { return Ok(None) };
    if let Some(saga) = saga {
        for row in client.query(&queries.entries, &[&saga.number]).await? {
            shown.entries.push(journal_entry(&row)?);
        }
    }
    Ok(Some(shown))
}

/// Returns the failed undos and receipts, at most so many of each.
pub(super) async fn dead_letters(from: Reading<'_>, most: i64) -> Result<Vec<DeadLetter>, Fault> {
    let mut letters = Vec::new();
    for saga in list_unfinished(from, Standing::Parked, most).await? {
        if let Some(saga_log) = read(from, saga.as_str()).await? {
            letters.push(DeadLetter::Undo { saga, stuck: stuck_in(&saga_log.records) });
        }
    }
    for row in from.client.query(&from.queries.failed_receipts, &[&most]).await? {
        letters.push(failed_receipt(&row)?);
    }
    Ok(letters)
}

pub(super) struct Show(pub(super) PaymentId);

impl Operation for Show {
    type Output = Option<Shown>;

    async fn run(&self, session: &Session) -> Result<Option<Shown>, Fault> {
        show(session.reading(), &self.0).await
    }
}

pub(super) struct DeadLetters(pub(super) i64);

impl Operation for DeadLetters {
    type Output = Vec<DeadLetter>;

    async fn run(&self, session: &Session) -> Result<Vec<DeadLetter>, Fault> {
        dead_letters(session.reading(), self.0).await
    }
}

pub(super) struct Count;

impl Operation for Count {
    type Output = Counts;

    async fn run(&self, session: &Session) -> Result<Counts, Fault> {
        let mut counts = Counts::default();
        for row in session.client.query(&session.statements.counts, &[]).await? {
            add_count(&mut counts, &row)?;
        }
        Ok(counts)
    }
}

pub(super) struct Rows {
    pub(super) after: i64,
    pub(super) most: i64,
}

impl Operation for Rows {
    type Output = Vec<BookedRow>;

    async fn run(&self, session: &Session) -> Result<Vec<BookedRow>, Fault> {
        let rows =
            session.client.query(&session.statements.rows, &[&self.after, &self.most]).await?;
        rows.iter().map(booked_row).collect()
    }
}

pub(super) struct WithLabel(pub(super) LabelQuery);

impl Operation for WithLabel {
    type Output = Vec<Labelled>;

    async fn run(&self, session: &Session) -> Result<Vec<Labelled>, Fault> {
        let LabelQuery { label, before, from, to, most } = &self.0;
        let before = before.as_ref().map(SagaId::as_str);
        let from = from.unwrap_or(UnixMillis(i64::MIN));
        let to = to.unwrap_or(UnixMillis(i64::MAX));
        let statement = &session.statements.labelled;
        let rows = session
            .client
            .query(statement, &[label, &before, &from.0, &to.0, &limit(*most)])
            .await?;
        rows.iter().map(labelled).collect()
    }
}

pub(super) struct ReceiptFailed {
    pub(super) payment: PaymentId,
    pub(super) cause: String,
}

impl Operation for ReceiptFailed {
    type Output = ();

    fn key(&self) -> &str {
        self.payment.as_str()
    }

    async fn run(&self, session: &Session) -> Result<(), Fault> {
        let failed = &session.statements.receipt_failed;
        // NUL is the only character that PostgreSQL's type `text` cannot hold.
        let cause = self.cause.replace('\0', " ");
        session.client.execute(failed, &[&self.payment.as_str(), &cause]).await?;
        Ok(())
    }
}
