//! Compares both sides.

use std::collections::HashSet;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable as _};
use level3_domain::ids::PaymentId;
use level3_domain::journal::{Record, SagaId, SagaLog, Standing};
use level3_domain::provider::{Intent, IntentStatus, ProviderError, RowStatus};
use tokio::time::Instant;

use super::report::{Discrepancy, Finding, Outcome, Report, about};
use super::{Booked, ReconcileError, Reconciler};

/// The number of rows that one query reads.
const ROWS: usize = 500;
/// The time after which a call that keeps failing is given up.
const PATIENCE: Duration = Duration::from_secs(90);

/// The status of a payment's saga.
enum Ended {
    Paid(SagaLog),
    Undone,
}

impl Reconciler {
    /// Compares all intents and all rows once.
    ///
    /// # Errors
    ///
    /// [`ReconcileError`] when one of the sides cannot be read, the provider after six attempts. A
    /// repair that fails is a finding, not an error.
    ///
    /// # Cancellation
    ///
    /// Dropping the future stops the comparison. A call that is under way may still take effect.
    /// Run the comparison again.
    pub async fn run(&self) -> Result<Report, ReconcileError> {
        let mut report = Report { complete: true, ..Report::default() };
        let mut matched = HashSet::new();
        let (mut after, mut pages) = (None, 0);
        loop {
            let page = call(|| self.sides.intents.intents(after.clone())).await?;
            report.foreign += page.foreign as u64;
            report.unreadable += page.unreadable as u64;
            for intent in page.intents {
                report.intents += 1;
                self.intent(intent, &mut report, &mut matched).await?;
            }
            pages += 1;
            after = page.next;
            if after.is_none() {
                break;
            }
            if self.config.pages.is_some_and(|most| pages >= most) {
                report.complete = false;
                break;
            }
        }
        self.rows(&mut report, &matched).await?;
        Ok(report)
    }

    /// Compares one intent, of which the provider has reported a change.
    ///
    /// No decision depends on `reported` beyond the payment and the intent that it names: it may be out of
    /// date. If the payment's saga has not ended, the report counts it, and nothing is done.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    ///
    /// # Cancellation
    ///
    /// As [`run`](Self::run).
    pub async fn compare(&self, reported: Intent) -> Result<Report, ReconcileError> {
        let mut report = Report { intents: 1, ..Report::default() };
        self.intent(reported, &mut report, &mut HashSet::new()).await?;
        Ok(report)
    }

    /// Compares one intent of the list.
    async fn intent(
        &self,
        listed: Intent,
        report: &mut Report,
        matched: &mut HashSet<PaymentId>,
    ) -> Result<(), ReconcileError> {
        let saga_log = self.saga_log(&listed.payment).await?;
        let Some(saga_log) = saga_log else {
            return self.unknown(&listed, report).await;
        };
        let Some(ended) = ended(saga_log, report) else { return Ok(()) };
        if is_over(&listed) {
            return Ok(());
        }
        match ended {
            Ended::Paid(saga_log) => self.paid(listed, &saga_log, report, matched).await,
            Ended::Undone => self.undone(&listed, report).await,
        }
    }

    /// Compares an intent whose payment is paid.
    async fn paid(
        &self,
        listed: Intent,
        saga_log: &SagaLog,
        report: &mut Report,
        matched: &mut HashSet<PaymentId>,
    ) -> Result<(), ReconcileError> {
        let booked = self.sides.books.row(listed.payment.clone()).await?;
        let booked = booked.filter(|booked| booked.row.status == RowStatus::Completed);
        let is_its = booked.as_ref().is_some_and(|booked| match &booked.intent {
            Some(id) => *id == listed.id,
            // If the ledger does not store intents, the first one that is charged counts as that of
            // the row.
            None => is_charged(&listed) && !matched.contains(&listed.payment),
        });
        if let Some(booked) = booked.as_ref().filter(|_| is_its) {
            // Otherwise the comparison of the rows handles the row.
            if is_charged(&listed) {
                self.fits(&listed, booked, report, matched);
            }
            return Ok(());
        }
        let Some(now) = self.now(&listed).await? else { return Ok(()) };
        let (discrepancy, outcome) = if !is_charged(&now) {
            (Discrepancy::LeftOpen, self.repaired(self.cancel(&now)).await)
        } else if booked.is_some() {
            (Discrepancy::ChargedTwice, self.repaired(self.refund(&now)).await)
        } else {
            (Discrepancy::NotRecorded, self.repaired(self.record(&now, saga_log)).await)
        };
        if outcome == Outcome::Recorded && matched.len() < self.config.matched {
            matched.insert(now.payment.clone());
        }
        self.add(report, about(&now, discrepancy, outcome));
        Ok(())
    }

    /// Compares a charge and its row.
    fn fits(
        &self,
        charge: &Intent,
        booked: &Booked,
        report: &mut Report,
        matched: &mut HashSet<PaymentId>,
    ) {
        if matched.len() < self.config.matched {
            matched.insert(charge.payment.clone());
        }
        let (recorded, charged) = (booked.row.amount, charge.amount);
        if recorded != charged {
            let discrepancy = Discrepancy::OtherAmount { recorded, charged };
            self.add(report, about(charge, discrepancy, Outcome::Reported));
        }
    }

    /// Compares an intent whose payment was undone.
    async fn undone(&self, listed: &Intent, report: &mut Report) -> Result<(), ReconcileError> {
        let Some(now) = self.now(listed).await? else { return Ok(()) };
        let (discrepancy, outcome) = if is_charged(&now) {
            let outcome = self.repaired(async {
                // In the saga's order: first the row is voided, which also stops a late save.
                match call(|| self.sides.ledger.void(now.payment.clone())).await {
                    Ok(()) => self.refund(&now).await,
                    Err(error) => Outcome::Failed(error.to_string()),
                }
            });
            (Discrepancy::ChargedAfterAll, outcome.await)
        } else {
            (Discrepancy::LeftOpen, self.repaired(self.cancel(&now)).await)
        };
        self.add(report, about(&now, discrepancy, outcome));
        Ok(())
    }

    /// Reports an intent whose payment the journal does not know.
    async fn unknown(&self, listed: &Intent, report: &mut Report) -> Result<(), ReconcileError> {
        if !is_charged(listed) {
            return Ok(());
        }
        let outcome = match self.config.refund_unknown {
            true => self.repaired(self.refund(listed)).await,
            false => Outcome::Reported,
        };
        self.add(report, about(listed, Discrepancy::Unknown, outcome));
        Ok(())
    }

    /// Compares the rows that no charge was matched with.
    async fn rows(
        &self,
        report: &mut Report,
        matched: &HashSet<PaymentId>,
    ) -> Result<(), ReconcileError> {
        let mut after = 0;
        loop {
            let rows = self.sides.books.rows(after, ROWS).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = last.number;
            for booked in rows {
                report.rows += 1;
                let stands = booked.row.status == RowStatus::Completed;
                if stands && !matched.contains(&booked.row.payment) {
                    self.row(booked, report).await?;
                }
            }
        }
    }

    /// Compares a row that was not matched: its intent is not on the pages, or not charged.
    async fn row(&self, booked: Booked, report: &mut Report) -> Result<(), ReconcileError> {
        let payment = booked.row.payment;
        let found = match booked.intent.clone() {
            Some(id) => call(|| self.sides.intents.intent(id.clone())).await?,
            None => call(|| self.sides.payments.find_intent(payment.clone())).await?,
        };
        // An intent with this name may belong to another payment: the provider may have lost its
        // data, or another store may use the account.
        let found = found.filter(|intent| intent.payment == payment);
        let is_refunded = found.as_ref().is_some_and(|intent| intent.refunded);
        if is_refunded {
            // By its merchant, in parts or at once.
            let refunded = self.sides.books.refunded(payment.clone()).await?;
            if refunded == booked.row.amount.minor() {
                return Ok(());
            }
        }
        let discrepancy = match &found {
            Some(intent) if is_charged(intent) && intent.amount == booked.row.amount => {
                return Ok(());
            }
            Some(intent) if is_charged(intent) => {
                let (recorded, charged) = (booked.row.amount, intent.amount);
                Discrepancy::OtherAmount { recorded, charged }
            }
            found => Discrepancy::NotCharged { status: found.as_ref().map(|intent| intent.status) },
        };
        // The payment may be in the middle of an undo. Then the journal shows that, or the row is
        // voided by now.
        let saga_log = self.saga_log(&payment).await?;
        let is_unfinished = saga_log.is_some_and(|saga_log| saga_log.standing != Standing::Ended);
        let now = self.sides.books.row(payment.clone()).await?;
        let stands = now.is_some_and(|booked| booked.row.status == RowStatus::Completed);
        if stands && !is_unfinished {
            let intent = found.map(|intent| intent.id).or(booked.intent);
            let outcome = Outcome::Reported;
            self.add(report, Finding { payment, intent, discrepancy, outcome });
        }
        Ok(())
    }

    async fn saga_log(&self, payment: &PaymentId) -> Result<Option<SagaLog>, ReconcileError> {
        Ok(self.sides.journal.read(SagaId::from(payment)).await?)
    }

    /// Returns the current intent, now that its payment has ended; `None` if nothing is left to do
    /// for it.
    async fn now(&self, listed: &Intent) -> Result<Option<Intent>, ReconcileError> {
        let now = call(|| self.sides.intents.intent(listed.id.clone())).await?;
        Ok(now.filter(|intent| !is_over(intent)))
    }

    /// Makes a repair, unless the configuration forbids repairs.
    async fn repaired(&self, repair: impl Future<Output = Outcome>) -> Outcome {
        if self.config.repair { repair.await } else { Outcome::Reported }
    }

    fn add(&self, report: &mut Report, finding: Finding) {
        report.add(finding, self.config.findings);
    }
}

/// Six attempts with pauses of 6 s in all. No client waits for a reconciliation, and one that stops
/// half way has to start from the beginning.
fn patient() -> ExponentialBuilder {
    ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(200))
        .with_factor(2.0)
        .with_max_delay(Duration::from_secs(8))
        .with_max_times(5)
}

/// Makes a call until it succeeds. The pauses are those that the provider asks for, or those of the
/// schedule.
pub(super) async fn call<T, Fut>(attempt: impl FnMut() -> Fut) -> Result<T, ProviderError>
where
    Fut: Future<Output = Result<T, ProviderError>>,
{
    let begun = Instant::now();
    attempt
        .retry(patient())
        .when(ProviderError::is_transient)
        .adjust(|error, pause| {
            let pause = match (error, pause?) {
                (ProviderError::RateLimited { retry_after: Some(after) }, _) => *after,
                (_, pause) => pause,
            };
            (begun.elapsed() + pause < PATIENCE).then_some(pause)
        })
        .await
}

const fn is_charged(intent: &Intent) -> bool {
    matches!(intent.status, IntentStatus::Succeeded) && !intent.refunded
}

/// Whether nothing is left to do for the intent: the customer has not paid and will not. A charge
/// that is still under way is left to the next reconciliation.
const fn is_over(intent: &Intent) -> bool {
    intent.refunded || matches!(intent.status, IntentStatus::Canceled | IntentStatus::Processing)
}

/// Returns the outcome of the saga. If it has not ended, counts it and returns `None`.
fn ended(saga_log: SagaLog, report: &mut Report) -> Option<Ended> {
    match saga_log.standing {
        Standing::Open => report.unfinished += 1,
        Standing::Parked => report.parked += 1,
        Standing::Ended => {
            let last = saga_log.records.iter().rev().find_map(|record| match record {
                Record::Completed => Some(true),
                Record::Compensated => Some(false),
                _ => None,
            });
            return match last {
                Some(true) => Some(Ended::Paid(saga_log)),
                Some(false) => Some(Ended::Undone),
                None => {
                    report.unfinished += 1;
                    None
                }
            };
        }
    }
    None
}
