//! What a program asks.

use level3_domain::ids::PaymentId;
use level3_domain::journal::Standing;

use super::fault::Fault;
use super::journal::{list, read, saga};
use super::session::Session;
use super::writer::Operation;
use crate::sql::{
    BookedRow, Counts, DeadLetter, Entry, RowColumns, Shown, StoreError, UnixMillis, entry,
    stuck_in, unsigned,
};

pub(super) struct Show(pub(super) PaymentId);

impl Operation for Show {
    type Output = Option<Shown>;

    async fn run(&self, session: &Session) -> Result<Option<Shown>, Fault> {
        let (client, statements) = (&session.client, &session.statements);
        let name = self.0.as_str();
        let row = client.query_opt(&statements.row, &[&name]).await?;
        let row = row.as_ref().map(booked).transpose()?;
        let saga = saga(session, &statements.saga, name).await?;
        if row.is_none() && saga.is_none() {
            return Ok(None);
        }
        let pending: i64 = client.query_one(&statements.is_pending, &[&name]).await?.try_get(0)?;
        let mut shown = Shown {
            payment: self.0.clone(),
            standing: saga.as_ref().map(|saga| saga.standing),
            epoch: saga.as_ref().map_or(0, |saga| unsigned(saga.mark.epoch)),
            entries: Vec::new(),
            row,
            receipt_pending: pending > 0,
        };
        if let Some(saga) = saga {
            for row in client.query(&statements.entries, &[&saga.number]).await? {
                shown.entries.push(Entry {
                    seq: unsigned(row.try_get(0)?),
                    epoch: unsigned(row.try_get(1)?),
                    at: UnixMillis(row.try_get(2)?),
                    written: entry(row.try_get(3)?, row.try_get(4)?)?,
                });
            }
        }
        Ok(Some(shown))
    }
}

pub(super) struct DeadLetters(pub(super) i64);

impl Operation for DeadLetters {
    type Output = Vec<DeadLetter>;

    async fn run(&self, session: &Session) -> Result<Vec<DeadLetter>, Fault> {
        let mut letters = Vec::new();
        for saga in list(session, Standing::Parked, self.0).await? {
            if let Some(saga_log) = read(session, saga.as_str()).await? {
                letters.push(DeadLetter::Undo { saga, stuck: stuck_in(&saga_log.records) });
            }
        }
        let failed = &session.statements.failed_receipts;
        for row in session.client.query(failed, &[&self.0]).await? {
            let payment = PaymentId::try_from(row.try_get::<_, String>(0)?)
                .map_err(|why| StoreError::unreadable("payment", why))?;
            let failures = u32::try_from(row.try_get::<_, i64>(2)?).unwrap_or(u32::MAX);
            letters.push(DeadLetter::Receipt { payment, cause: row.try_get(1)?, failures });
        }
        Ok(letters)
    }
}

pub(super) struct Count;

impl Operation for Count {
    type Output = Counts;

    async fn run(&self, session: &Session) -> Result<Counts, Fault> {
        let mut counts = Counts::default();
        for row in session.client.query(&session.statements.counts, &[]).await? {
            counts.add(row.try_get(0)?, unsigned(row.try_get(1)?));
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
        rows.iter().map(booked).collect()
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
        // A NUL is the one character that PostgreSQL's text does not take.
        let cause = self.cause.replace('\0', " ");
        session.client.execute(failed, &[&self.payment.as_str(), &cause]).await?;
        Ok(())
    }
}

fn booked(row: &tokio_postgres::Row) -> Result<BookedRow, Fault> {
    let columns = RowColumns {
        number: row.try_get(0)?,
        payment: row.try_get(1)?,
        transaction: row.try_get(2)?,
        order: row.try_get(3)?,
        intent: row.try_get(4)?,
        minor: row.try_get(5)?,
        currency: row.try_get(6)?,
        status: row.try_get(7)?,
        saved_at: row.try_get(8)?,
    };
    Ok(columns.try_into()?)
}
