//! A payment as JSON.

use level3_adapters::sql::{DisputeRow, Store, StoreError};
use level3_domain::answer::{Answer, Status};
use level3_domain::ids::PaymentId;
use level3_domain::provider::RowStatus;
use serde::Serialize;
use serde_json::{Value, json};

use super::story::{self, Run, State};
use crate::filed::{name_of, parts, run_of};
use crate::merchants::MerchantId;
use crate::refunds::view::refunded;
use crate::time;

/// A payment with all its runs.
#[derive(Debug)]
pub(crate) struct Found {
    name: String,
    /// The runs, oldest first. There is at least one.
    runs: Vec<Run>,
    transaction: Option<String>,
    intent: Option<String>,
    receipt_pending: bool,
    /// What the customer has got back, in minor units.
    refunded: i64,
    disputes: Vec<DisputeRow>,
}

/// Reads a payment of a merchant. `None` if there is none, and if it is another merchant's.
pub(crate) async fn find(
    store: &dyn Store,
    merchant: &MerchantId,
    name: &str,
) -> Result<Option<Found>, StoreError> {
    find_until(store, merchant, name, None).await
}

/// The same with the runs up to this one.
pub(crate) async fn find_until(
    store: &dyn Store,
    merchant: &MerchantId,
    name: &str,
    last: Option<u32>,
) -> Result<Option<Found>, StoreError> {
    let mut found = Found {
        name: name.to_owned(),
        runs: Vec::new(),
        transaction: None,
        intent: None,
        receipt_pending: false,
        refunded: 0,
        disputes: Vec::new(),
    };
    // The runs are numbered without gaps, and another one begins only when the one before failed.
    for number in 1..=last.unwrap_or(u32::MAX) {
        let Some(run) = run_of(name, number) else { break };
        let Some(shown) = store.show(run).await? else { break };
        let Some(standing) = shown.standing else { break };
        let Some(run) = story::tell(standing, &shown.entries) else { break };
        let owner = parts(&run.payment.key).map(|(owner, _)| owner);
        if owner != Some(merchant.as_str()) {
            return Ok(None);
        }
        let row = shown.row.filter(|booked| booked.row.status == RowStatus::Completed);
        found.transaction = row.as_ref().map(|booked| booked.row.transaction.to_string());
        found.intent = row.map(|booked| booked.intent.to_string());
        found.receipt_pending = shown.receipt_pending;
        // Only a failed run can have a next one.
        let (is_last, is_paid) = (run.state != State::Failed, run.state == State::Paid);
        found.runs.push(run);
        if let (true, Some(run)) = (is_paid, found.last_run()) {
            found.refunded = refunded(&store.refunds_of(run.clone()).await?);
            found.disputes = store.disputes_of(run).await?;
        }
        if is_last {
            break;
        }
    }
    Ok((!found.runs.is_empty()).then_some(found))
}

impl Found {
    pub(crate) fn state(&self) -> State {
        self.runs.last().map_or(State::Processing, |run| run.state)
    }

    /// Returns the name of the last run.
    pub(crate) fn last_run(&self) -> Option<PaymentId> {
        run_of(&self.name, u32::try_from(self.runs.len()).ok()?)
    }

    /// Returns the payment without its runs, for a list.
    pub(crate) fn summary(&self) -> Value {
        let (Some(first), Some(last)) = (self.runs.first(), self.runs.last()) else {
            return Value::Null;
        };
        let key = parts(&first.payment.key).map(|(_, key)| key);
        let mut view = json!({
            "id": self.name,
            "idempotency_key": key,
            "order": first.payment.order.as_str(),
            "amount": first.payment.amount.minor(),
            "currency": first.payment.amount.currency().code(),
            "state": last.state.name(),
            "created_at": time::text(first.begun_at),
            "updated_at": time::text(last.changed_at),
        });
        if last.state == State::Paid {
            view["transaction"] = json!(self.transaction);
            view["intent"] = json!(self.intent);
            view["refunded"] = json!(self.refunded);
            view["receipt"] = json!(if self.receipt_pending { "pending" } else { "sent" });
        }
        if let (Some(cause), false) = (&last.cause, last.state == State::Paid) {
            let retryable = cause.kind.is_transient();
            view["failure"] =
                json!({ "step": cause.step, "reason": cause.reason, "retryable": retryable });
        }
        view
    }

    /// Returns the payment with its disputes and the steps of each run.
    pub(crate) fn full(&self) -> Value {
        let mut view = self.summary();
        view["runs"] =
            self.runs.iter().zip(1..).map(|(run, number)| run_json(run, number)).collect();
        view["disputes"] = self.disputes.iter().map(dispute).collect();
        view
    }
}

/// Returns a dispute as clients see it.
pub(crate) fn dispute(row: &DisputeRow) -> Value {
    let dispute = &row.dispute;
    json!({
        "id": dispute.id, "payment": name_of(row.payment.as_str()),
        "amount": dispute.amount.minor(), "currency": dispute.amount.currency().code(),
        "reason": dispute.reason, "status": dispute.status, "closed": dispute.is_closed,
        "updated_at": time::text(row.changed_at),
    })
}

fn run_json(run: &Run, number: u32) -> Value {
    let steps = run.steps.iter().map(|step| {
        json!({
            "step": step.name, "state": step.state.name(),
            "started_at": time::text(step.started_at),
            "ended_at": step.ended_at.and_then(time::text),
            "undo_attempts": step.undo_attempts,
        })
    });
    json!({
        "number": number, "state": run.state.name(),
        "started_at": time::text(run.begun_at), "updated_at": time::text(run.changed_at),
        "steps": steps.collect::<Vec<_>>(),
    })
}

/// The answer to a request for a payment: the same bytes for every repeat.
#[derive(Debug, Serialize)]
pub(crate) struct AnswerView<'a> {
    id: &'a str,
    order: &'a str,
    amount: i64,
    currency: String,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    transaction: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    intent: Option<&'a str>,
}

impl<'a> AnswerView<'a> {
    pub(crate) fn new(answer: &'a Answer, state: State) -> Self {
        let currency = answer.amount.currency().code().to_owned();
        let (transaction, intent) = match &answer.status {
            Status::Paid { transaction, intent } => (Some(transaction), Some(intent)),
            _ => (None, None),
        };
        Self {
            id: name_of(answer.payment.as_str()),
            order: answer.order.as_str(),
            amount: answer.amount.minor(),
            currency,
            state: state.name(),
            transaction: transaction.map(|it| it.as_str()),
            intent: intent.map(|it| it.as_str()),
        }
    }
}
