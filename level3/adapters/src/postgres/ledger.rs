//! The ledger's operations.

use std::sync::Arc;

use level3_domain::ids::{Email, OrderId, PaymentId, TransactionId};
use level3_domain::provider::{NewRow, PendingReceipt, ProviderError, Receipt, Row, RowStatus};
use tokio_postgres::types::ToSql;

use super::fault::Fault;
use super::session::Session;
use super::writer::Operation;
use crate::sql::{
    Change, LedgerNote, OutboxEntry, ReceiptClaim, StoreError, Watch, decide, money, note,
    transaction_of,
};

pub(super) struct Save(pub(super) NewRow);

impl Operation for Save {
    type Output = Result<Row, ProviderError>;

    fn key(&self) -> &str {
        self.0.payment.as_str()
    }

    async fn run(&self, session: &Session) -> Result<Self::Output, Fault> {
        let new = &self.0;
        let transaction = transaction_of(&new.payment)?;
        let body = note(&LedgerNote::RowSaved { transaction: transaction.clone() })?;
        let saved = session
            .client
            .query_opt(
                &session.statements.save,
                &[
                    &new.payment.as_str(),
                    &transaction.as_str(),
                    &new.order.as_str(),
                    &new.intent.as_str(),
                    &new.amount.minor(),
                    &new.amount.currency().code(),
                    &new.email.expose(),
                    &body,
                ],
            )
            .await?;
        let row = Row {
            transaction,
            payment: new.payment.clone(),
            amount: new.amount,
            status: RowStatus::Completed,
        };
        if saved.is_none() {
            return saved_before(session, row).await;
        }
        session.trail.note(new.payment.as_str(), Change::saved(new)?);
        Ok(Ok(row))
    }
}

/// Returns the row that exists already; an error if its amount differs or the payment was voided.
async fn saved_before(session: &Session, asked: Row) -> Result<Result<Row, ProviderError>, Fault> {
    let row =
        session.client.query_one(&session.statements.saved, &[&asked.payment.as_str()]).await?;
    if row.try_get::<_, &str>(0)? == "voided" {
        return Ok(Err(ProviderError::Invalid { message: "the payment was voided".to_owned() }));
    }
    let amount = money(row.try_get(1)?, row.try_get(2)?)?;
    Ok(if amount == asked.amount { Ok(asked) } else { Err(ProviderError::KeyReused) })
}

pub(super) struct Void(pub(super) PaymentId);

impl Operation for Void {
    type Output = ();

    fn key(&self) -> &str {
        self.0.as_str()
    }

    async fn run(&self, session: &Session) -> Result<(), Fault> {
        let (client, statements) = (&session.client, &session.statements);
        let transaction = transaction_of(&self.0)?;
        let body = note(&LedgerNote::RowVoided)?;
        let voided = client
            .query_opt(&statements.void, &[&self.0.as_str(), &transaction.as_str(), &body])
            .await?;
        // No row was changed: the payment was voided before.
        if let Some(row) = voided {
            session.trail.note(self.0.as_str(), Change::RowVoided);
            client.execute(&statements.no_receipt, &[&row.try_get::<_, i64>(0)?]).await?;
        }
        Ok(())
    }
}

pub(super) struct PendingReceipts(pub(super) i64);

impl Operation for PendingReceipts {
    type Output = Vec<PendingReceipt>;

    async fn run(&self, session: &Session) -> Result<Vec<PendingReceipt>, Fault> {
        let rows = session.client.query(&session.statements.pending, &[&self.0]).await?;
        rows.iter().map(pending).collect()
    }
}

fn pending(row: &tokio_postgres::Row) -> Result<PendingReceipt, Fault> {
    let bad = |why: &dyn std::fmt::Display| StoreError::unreadable("receipt", why);
    let text = |column: usize| row.try_get::<_, String>(column);
    let receipt = Receipt {
        transaction: TransactionId::new(text(1)?).map_err(|why| bad(&why))?,
        order: OrderId::new(text(2)?).map_err(|why| bad(&why))?,
        amount: money(row.try_get(3)?, text(4)?)?,
        email: Email::new(text(5)?).map_err(|why| bad(&why))?,
    };
    let payment = PaymentId::try_from(text(0)?).map_err(|why| bad(&why))?;
    Ok(PendingReceipt { payment, receipt })
}

/// Returns the name of the payment of a transaction: see [`transaction_of`]. Operations on an entry of
/// the outbox have it as their key, as those on its row do.
fn payment_of(transaction: &TransactionId) -> String {
    let name = transaction.as_str();
    name.strip_prefix("txn_").map_or(name.to_owned(), |name| format!("pay_{name}"))
}

/// Removes the receipt of this payment's row from the outbox.
pub(super) struct ReceiptSent {
    transaction: TransactionId,
    key: String,
}

impl ReceiptSent {
    pub(super) fn new(transaction: TransactionId) -> Self {
        let key = payment_of(&transaction);
        Self { transaction, key }
    }
}

impl Operation for ReceiptSent {
    type Output = ();

    fn key(&self) -> &str {
        &self.key
    }

    async fn run(&self, session: &Session) -> Result<(), Fault> {
        let sent = &session.statements.receipt_sent;
        session.client.execute(sent, &[&self.transaction.as_str()]).await?;
        Ok(())
    }
}

pub(super) struct ClaimReceipt {
    transaction: TransactionId,
    key: String,
    watch: Arc<Watch>,
    me: i32,
}

impl ClaimReceipt {
    pub(super) fn new(transaction: TransactionId, watch: Arc<Watch>, me: i32) -> Self {
        let key = payment_of(&transaction);
        Self { transaction, key, watch, me }
    }
}

impl Operation for ClaimReceipt {
    type Output = ReceiptClaim;

    fn key(&self) -> &str {
        &self.key
    }

    async fn run(&self, session: &Session) -> Result<ReceiptClaim, Fault> {
        let (client, statements) = (&session.client, &session.statements);
        let name = self.transaction.as_str();
        let Some(row) = client.query_opt(&statements.outbox_entry, &[&name]).await? else {
            return Ok(ReceiptClaim::NotDue);
        };
        let entry = OutboxEntry {
            payment: row.try_get(0)?,
            sender: row.try_get(1)?,
            claims: row.try_get(2)?,
            in_doubt: row.try_get(3)?,
        };
        let other = entry.sender.and_then(|sender| i32::try_from(sender).ok());
        let is_gone = match other.filter(|sender| *sender != self.me) {
            Some(sender) => client.query_one(&statements.is_gone, &[&sender]).await?.try_get(0)?,
            None => false,
        };
        let claim = decide(&self.watch, self.me.into(), &self.transaction, &entry, is_gone);
        if matches!(claim, ReceiptClaim::Yours { .. }) {
            client.execute(&statements.claim_receipt, &[&entry.payment, &self.me]).await?;
        }
        Ok(claim)
    }
}

pub(super) struct ReleaseReceipt {
    transaction: TransactionId,
    key: String,
    me: i32,
    in_doubt: bool,
}

impl ReleaseReceipt {
    pub(super) fn new(transaction: TransactionId, me: i32, in_doubt: bool) -> Self {
        let key = payment_of(&transaction);
        Self { transaction, key, me, in_doubt }
    }
}

impl Operation for ReleaseReceipt {
    type Output = ();

    fn key(&self) -> &str {
        &self.key
    }

    async fn run(&self, session: &Session) -> Result<(), Fault> {
        let release = &session.statements.release_receipt;
        let parameters: [&(dyn ToSql + Sync); 3] =
            [&self.transaction.as_str(), &self.me, &self.in_doubt];
        session.client.execute(release, &parameters).await?;
        Ok(())
    }
}
