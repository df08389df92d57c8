//! Handles one report. As often as it is called, with the same result.

use std::time::Duration;

use level3_adapters::reconcile::{Outcome, Report};
use level3_adapters::sql::{Arrival, RefundState};
use level3_adapters::stripe::events::{Reported, StripeEvent};
use level3_domain::ids::IntentId;
use level3_domain::provider::Intent;
use level3_domain::refund::{Made, MadeRefund};

use super::Shared;
use crate::webhooks::event;

/// The longest pause before a report is handled once more.
const LONGEST: Duration = Duration::from_secs(600);

/// The result of handling a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Handled {
    /// Nothing is left to do. The outcome, in words.
    Done(String),
    /// It cannot be handled now, for this reason.
    Later(String),
}

/// The pause after so many failures: a second, doubled each time, at most ten minutes.
pub(super) fn pause(attempts: u32) -> Duration {
    Duration::from_secs(1).saturating_mul(2_u32.saturating_pow(attempts.min(16))).min(LONGEST)
}

impl Shared {
    pub(super) async fn handled(&self, arrival: &Arrival) -> Handled {
        // What was kept of a report is one.
        let Ok(event) = StripeEvent::read(arrival.detail.as_bytes()) else {
            return Handled::Done("unreadable".to_owned());
        };
        match event.reported {
            Reported::Intent(intent) => self.intent(intent).await,
            Reported::Refund { intent, made } => self.refund(intent, made).await,
            Reported::Dispute(dispute) => {
                let name = event::of_report(&self.store.store_id(), &arrival.name);
                match self.store.record_dispute(dispute, name).await {
                    Ok(Some(payment)) => Handled::Done(format!("dispute of {payment} recorded")),
                    Ok(None) => Handled::Done("no change of a dispute of this store".to_owned()),
                    Err(error) => Handled::Later(error.to_string()),
                }
            }
            Reported::Other => Handled::Done("nothing to do".to_owned()),
        }
    }

    async fn intent(&self, intent: Intent) -> Handled {
        match self.reports.reconciler.compare(intent).await {
            Ok(report) => after_comparison(&report),
            Err(error) => Handled::Later(error.to_string()),
        }
    }

    /// A refund that the provider has accepted may fail days later.
    async fn refund(&self, intent: IntentId, reported: MadeRefund) -> Handled {
        let Some(name) = reported.refund else { return Handled::Done("not ours".to_owned()) };
        let row = match self.store.refund(name.clone()).await {
            Ok(Some(row)) if row.intent == intent => row,
            Ok(_) => return Handled::Done("no refund of this store".to_owned()),
            Err(error) => return Handled::Later(error.to_string()),
        };
        if row.state != RefundState::Succeeded {
            // One under way finds the provider's state by itself.
            return Handled::Done(format!("{name} is {}", row.state.name()));
        }
        let found = match self.refunds.refunds_of(row.payment.clone(), intent).await {
            Ok(found) => found,
            Err(error) => return Handled::Later(error.to_string()),
        };
        let has_failed = |made: &MadeRefund| {
            made.refund.as_ref() == Some(&name)
                && made.made == Made::Failed
                && row.provider_id.as_ref() == Some(&made.provider_id)
        };
        if !found.iter().any(has_failed) {
            return Handled::Done(format!("{name} has not failed"));
        }
        let note = event::of_failed_refund(&self.store.store_id(), &name, &row.payment);
        let cause = "the refund failed after the provider had accepted it".to_owned();
        match self.store.refund_failed_late(name.clone(), cause, note).await {
            Ok(_) => Handled::Done(format!("{name} has failed")),
            Err(error) => Handled::Later(error.to_string()),
        }
    }
}

/// Decides from a comparison whether the report is handled.
fn after_comparison(report: &Report) -> Handled {
    if report.unfinished + report.parked > 0 {
        // Its recovery or its dead letter has it. When it has ended, the comparison shows the rest.
        return Handled::Later("the payment has not ended".to_owned());
    }
    let failed = report.findings.iter().find(|found| matches!(found.outcome, Outcome::Failed(_)));
    match (failed, report.findings.first()) {
        (Some(failed), _) => Handled::Later(failed.to_string()),
        (None, Some(found)) => Handled::Done(found.to_string()),
        (None, None) => Handled::Done("provider and store agree".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use level3_adapters::reconcile::{Discrepancy, Finding};
    use level3_domain::ids::PaymentId;

    use super::*;

    #[test]
    fn a_report_is_handled_when_the_payment_has_ended_and_nothing_is_left() {
        let report = Report { intents: 1, ..Report::default() };
        assert!(matches!(after_comparison(&report), Handled::Done(_)));
        let open =
            [Report { unfinished: 1, ..report.clone() }, Report { parked: 1, ..report.clone() }];
        for open in open {
            assert!(matches!(after_comparison(&open), Handled::Later(_)));
        }
        let found = |outcome| Report {
            findings: vec![Finding {
                payment: PaymentId::try_from("pay_1".to_owned()).unwrap(),
                intent: None,
                discrepancy: Discrepancy::ChargedAfterAll,
                outcome,
            }],
            ..report.clone()
        };
        assert!(matches!(after_comparison(&found(Outcome::Refunded)), Handled::Done(_)));
        let failed = Outcome::Failed("down".to_owned());
        assert!(matches!(after_comparison(&found(failed)), Handled::Later(_)));
    }

    #[test]
    fn pauses_grow_up_to_a_limit() {
        assert_eq!([pause(0), pause(3)].map(|pause| pause.as_secs()), [1, 8]);
        assert_eq!([pause(10), pause(u32::MAX)], [LONGEST; 2]);
    }
}
