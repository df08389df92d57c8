//! The fraud check, the ledger and the mail.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt as _;
use level3_domain::ids::{PaymentId, TransactionId};
use level3_domain::money::Money;
use level3_domain::provider::{
    CallFuture, FraudAssessment, FraudCheck, FraudQuestion, Ledger, MailFeed, MailTrace, NewRow,
    PendingReceipt, ProviderError, Receipt, Receipts, RiskScore, Row, RowStatus,
};
use tokio::time::sleep;

use super::book::AppendLog;
use super::fault::{CallSite, Dice};
use super::net::{Net, Work, call};
use super::process::Process;
use super::{Latencies, lock};

/// Maps faults that a service without keys cannot have to an outage or a refusal.
fn refusal(work: Work, code: &str) -> Option<ProviderError> {
    match work {
        Work::Break { effect: false } => Some(ProviderError::Internal),
        Work::Refuse => Some(ProviderError::Declined { code: code.to_owned() }),
        _ => None,
    }
}

/// A client of the fraud check.
pub(super) struct FraudClient {
    pub(super) net: Arc<Net>,
    pub(super) process: Process,
    pub(super) latencies: Latencies,
    pub(super) dice: Arc<Dice>,
}

impl FraudCheck for FraudClient {
    fn check(&self, question: FraudQuestion) -> CallFuture<FraudAssessment> {
        let dice = Arc::clone(&self.dice);
        let latency = self.latencies.of(CallSite::Fraud);
        call(
            &self.net,
            &self.process,
            CallSite::Fraud,
            Some(question.payment),
            latency,
            || None,
            move |work| {
                // Scores below the bound: the plan of faults decides which payments are above it.
                let low = dice.below(u64::from(RiskScore::DECLINED_FROM.hundredths));
                match work {
                    Work::Break { .. } => Err(ProviderError::Internal),
                    Work::Refuse => Ok(FraudAssessment { score: RiskScore { hundredths: 9900 } }),
                    _ => Ok(FraudAssessment {
                        score: RiskScore { hundredths: u16::try_from(low).unwrap_or(0) },
                    }),
                }
            },
        )
    }
}

/// The rows of the ledger, which may differ from the answers that clients got.
#[derive(Debug, Default)]
pub(super) struct LedgerState {
    state: Mutex<BooksState>,
}

#[derive(Debug, Default)]
struct BooksState {
    rows: Vec<Row>,
    by_payment: HashMap<PaymentId, usize>,
    /// The payments that must not get a row any more.
    voided: HashSet<PaymentId>,
    outbox: Vec<PendingReceipt>,
}

impl LedgerState {
    pub(super) fn rows(&self) -> Vec<Row> {
        lock(&self.state).rows.clone()
    }

    pub(super) fn outbox(&self) -> usize {
        lock(&self.state).outbox.len()
    }
}

impl BooksState {
    fn save(&mut self, new: NewRow) -> Result<Row, ProviderError> {
        if let Some(row) = self.by_payment.get(&new.payment).and_then(|&at| self.rows.get(at)) {
            return match row.status {
                RowStatus::Completed if row.amount == new.amount => Ok(row.clone()),
                RowStatus::Completed => Err(ProviderError::KeyReused),
                RowStatus::Voided => Err(voided()),
            };
        }
        if self.voided.contains(&new.payment) {
            return Err(voided());
        }
        let transaction = TransactionId::new(format!("txn_{:06}", self.rows.len() + 1))
            .map_err(|why| ProviderError::Invalid { message: why.to_string() })?;
        let row = Row {
            transaction: transaction.clone(),
            payment: new.payment.clone(),
            amount: new.amount,
            status: RowStatus::Completed,
        };
        self.by_payment.insert(new.payment.clone(), self.rows.len());
        self.rows.push(row.clone());
        let receipt =
            Receipt { transaction, order: new.order, amount: new.amount, email: new.email };
        self.outbox.push(PendingReceipt { payment: new.payment, receipt });
        Ok(row)
    }

    fn void(&mut self, payment: &PaymentId) {
        if let Some(row) = self.by_payment.get(payment).and_then(|&at| self.rows.get_mut(at)) {
            row.status = RowStatus::Voided;
        }
        self.outbox.retain(|pending| pending.payment != *payment);
        self.voided.insert(payment.clone());
    }
}

fn voided() -> ProviderError {
    ProviderError::Invalid { message: "the payment was voided".to_owned() }
}

/// A client of the ledger.
pub(super) struct LedgerClient {
    pub(super) net: Arc<Net>,
    pub(super) process: Process,
    pub(super) latencies: Latencies,
    pub(super) books: Arc<LedgerState>,
}

impl LedgerClient {
    fn send<T: Send + 'static>(
        &self,
        site: CallSite,
        payment: Option<PaymentId>,
        execute: impl FnOnce(&mut BooksState, Work) -> Result<T, ProviderError> + Send + 'static,
    ) -> CallFuture<T> {
        let books = Arc::clone(&self.books);
        let latency = self.latencies.of(site);
        call(
            &self.net,
            &self.process,
            site,
            payment,
            latency,
            || None,
            move |work| {
                if let Some(refused) = refusal(work, "constraint_violation") {
                    return Err(refused);
                }
                let answer = execute(&mut lock(&books.state), work);
                match work {
                    Work::Break { effect: true } => answer.and(Err(ProviderError::Internal)),
                    _ => answer,
                }
            },
        )
    }
}

impl Ledger for LedgerClient {
    fn save(&self, row: NewRow) -> CallFuture<Row> {
        self.send(CallSite::Save, Some(row.payment.clone()), move |books, work| {
            let row = books.save(row)?;
            match work {
                Work::WrongAmount => {
                    let amount = Money::new(row.amount.minor() + 1, row.amount.currency());
                    Ok(Row { amount: amount.unwrap_or(row.amount), ..row })
                }
                _ => Ok(row),
            }
        })
    }

    fn void(&self, payment: PaymentId) -> CallFuture<()> {
        self.send(CallSite::Void, Some(payment.clone()), move |books, _| {
            books.void(&payment);
            Ok(())
        })
    }

    fn pending_receipts(&self, most: usize) -> CallFuture<Vec<PendingReceipt>> {
        self.send(CallSite::PendingReceipts, None, move |books, _| {
            Ok(books.outbox.iter().take(most).cloned().collect())
        })
    }

    fn receipt_sent(&self, transaction: TransactionId) -> CallFuture<()> {
        self.send(CallSite::ReceiptSent, None, move |books, _| {
            books.outbox.retain(|pending| pending.receipt.transaction != transaction);
            Ok(())
        })
    }
}

/// The mails that were sent.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    state: Mutex<Sent>,
    book: Option<Mutex<AppendLog<Receipt>>>,
}

#[derive(Debug, Default)]
struct Sent {
    // A mail that was sent twice is here twice.
    mails: Vec<Receipt>,
    of: HashSet<TransactionId>,
}

impl Sent {
    fn add(&mut self, receipt: Receipt) {
        self.of.insert(receipt.transaction.clone());
        self.mails.push(receipt);
    }
}

impl Outgoing {
    pub(super) fn kept_in(path: &Path) -> io::Result<Self> {
        let outgoing =
            Self { book: Some(Mutex::new(AppendLog::open(path)?)), state: Mutex::default() };
        outgoing.catch_up()?;
        Ok(outgoing)
    }

    pub(super) fn catch_up(&self) -> io::Result<()> {
        let Some(book) = &self.book else { return Ok(()) };
        let mut state = lock(&self.state);
        lock(book).turn()?.read(|receipt| state.add(receipt))
    }

    pub(super) fn sent(&self) -> Vec<Receipt> {
        lock(&self.state).mails.clone()
    }

    /// Whether a mail of this transaction was sent, by any process.
    pub(super) fn has(&self, transaction: &TransactionId) -> io::Result<bool> {
        self.catch_up()?;
        Ok(lock(&self.state).of.contains(transaction))
    }

    /// Sends a mail. Unless `repeats`, a transaction that has a mail gets no second one.
    fn send(&self, receipt: Receipt, repeats: bool) -> io::Result<()> {
        let mut state = lock(&self.state);
        let Some(book) = &self.book else {
            if repeats || !state.of.contains(&receipt.transaction) {
                state.add(receipt);
            }
            return Ok(());
        };
        let mut book = lock(book);
        let mut turn = book.turn()?;
        turn.read(|receipt| state.add(receipt))?;
        if repeats || !state.of.contains(&receipt.transaction) {
            turn.write(&receipt)?;
            state.add(receipt);
        }
        Ok(())
    }
}

/// A client of the mail service.
pub(super) struct MailClient {
    pub(super) net: Arc<Net>,
    pub(super) process: Process,
    pub(super) latencies: Latencies,
    pub(super) outgoing: Arc<Outgoing>,
    /// Whether a repeated request sends another mail.
    pub(super) repeats: bool,
}

impl Receipts for MailClient {
    fn send(&self, receipt: Receipt) -> CallFuture<()> {
        let (outgoing, repeats) = (Arc::clone(&self.outgoing), self.repeats);
        let latency = self.latencies.of(CallSite::Receipt);
        call(
            &self.net,
            &self.process,
            CallSite::Receipt,
            None,
            latency,
            || None,
            move |work| {
                if let Some(refused) = refusal(work, "address_rejected") {
                    return Err(refused);
                }
                if let Err(error) = outgoing.send(receipt, repeats) {
                    tracing::error!(%error, "the simulated mail service cannot write its file");
                    return Err(ProviderError::Unavailable);
                }
                match work {
                    Work::Break { .. } => Err(ProviderError::Internal),
                    _ => Ok(()),
                }
            },
        )
    }
}

/// The activity feed of the mail service: it shows a mail at once.
pub(super) struct FeedClient {
    pub(super) latency: Duration,
    pub(super) outgoing: Arc<Outgoing>,
}

impl MailFeed for FeedClient {
    fn look(&self, transaction: TransactionId) -> CallFuture<MailTrace> {
        let (outgoing, latency) = (Arc::clone(&self.outgoing), self.latency);
        async move {
            sleep(latency).await;
            match outgoing.has(&transaction) {
                Ok(true) => Ok(MailTrace::Accepted),
                Ok(false) => Ok(MailTrace::NotShown),
                Err(error) => {
                    tracing::error!(%error, "the simulated mail service cannot read its file");
                    Err(ProviderError::Unavailable)
                }
            }
        }
        .boxed()
    }
}
