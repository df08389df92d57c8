//! Shows a payment with all its records, and the undos and receipts that failed.

use std::fmt::Write as _;

use level3_adapters::sql::{BookedRow, DeadLetter, LedgerNote, Records, Shown, Written};
use level3_domain::ids::{PaymentId, PaymentKey};
use level3_domain::journal::{Record, Standing};
use level3_domain::provider::RowStatus;
use serde_json::{Value, json};

use crate::problem::ProgramError;

/// Returns the runs of the payment with this key, or the run with this name; at least one.
pub async fn find(store: &dyn Records, name: &str) -> Result<Vec<Shown>, ProgramError> {
    let bad = |why: String| ProgramError::Name { name: name.to_owned(), why };
    let mut found = Vec::new();
    if name.starts_with("pay_") {
        let id = PaymentId::try_from(name.to_owned()).map_err(|why| bad(why.to_string()))?;
        found.extend(store.show(id).await?);
    } else {
        let key = PaymentKey::new(name).map_err(|why| bad(why.to_string()))?;
        let store_id = store.store_id();
        // A key has another run only when the one before failed.
        for run in 1.. {
            match store.show(PaymentId::derive(&store_id, &key, run)).await? {
                Some(shown) => found.push(shown),
                None => break,
            }
        }
    }
    if found.is_empty() {
        let (place, name) = (store.place().to_owned(), name.to_owned());
        return Err(ProgramError::UnknownPayment { place, name });
    }
    Ok(found)
}

/// Returns the payment as text.
pub fn text(shown: &Shown) -> String {
    let mut text = format!("{}: {}", shown.payment, standing(shown));
    if shown.epoch > 1 {
        let _ = write!(text, ", by its owner number {}", shown.epoch);
    }
    text.push('\n');
    if let Some(BookedRow { row, order, intent, .. }) = &shown.row {
        let how = if row.status == RowStatus::Completed { "paid" } else { "taken back" };
        let _ = writeln!(text, "  {order}: {} {how}, {} for {intent}", row.amount, row.transaction);
    }
    if shown.receipt_pending {
        text.push_str("  its receipt is still to be sent\n");
    }
    let begun = shown.entries.first().map(|entry| entry.at);
    for entry in &shown.entries {
        let at = begun.map_or(0, |begun| entry.at.since(begun).as_millis());
        for line in lines(&entry.written) {
            let _ = writeln!(text, "{at:8} ms  {line}");
        }
    }
    text
}

/// Returns the payment as JSON.
pub fn json(shown: &Shown) -> Value {
    let entries = shown.entries.iter().map(|entry| {
        json!({
            "number": entry.seq, "owner": entry.epoch, "unix_ms": entry.at,
            "lines": lines(&entry.written),
        })
    });
    let row = shown.row.as_ref().map(|BookedRow { row, order, intent, .. }| {
        json!({
            "transaction": row.transaction.as_str(), "order": order.as_str(),
            "intent": intent.as_str(), "amount": row.amount.to_string(),
            "completed": row.status == RowStatus::Completed,
        })
    });
    json!({
        "payment": shown.payment, "standing": standing(shown), "owner": shown.epoch, "row": row,
        "receipt_pending": shown.receipt_pending, "entries": entries.collect::<Vec<_>>(),
    })
}

fn standing(shown: &Shown) -> &'static str {
    match shown.standing {
        Some(Standing::Open) => "under way, or left by a dead process",
        Some(Standing::Parked) => "not to be undone: see payment-gateway dead-letters",
        Some(Standing::Ended) => "over",
        None => "without a journal",
    }
}

fn lines(written: &Written) -> Vec<String> {
    match written {
        Written::Saga(records) => records.iter().map(line).collect(),
        Written::Ledger(LedgerNote::RowSaved { transaction }) => {
            vec![format!("ledger: {transaction} written, its receipt put into the outbox")]
        }
        Written::Ledger(LedgerNote::RowVoided) => vec!["ledger: its row is voided".to_owned()],
    }
}

fn line(record: &Record) -> String {
    match record {
        Record::Begun { kind, .. } => format!("{kind} begun"),
        Record::StepStarted { step } => format!("{step}: begun"),
        Record::StepDone { step, .. } => format!("{step}: done"),
        Record::StepFailed { failure, may_have_acted: true } => {
            format!("{failure}; it may still have had an effect")
        }
        Record::StepFailed { failure, may_have_acted: false } => failure.to_string(),
        Record::Compensating { failure } => format!("undoing because of {failure}"),
        Record::UndoStarted { step, attempt } => format!("{step}: undoing, attempt {attempt}"),
        Record::UndoDone { step, .. } => format!("{step}: undone"),
        Record::UndoParked { step, cause, attempts } => {
            format!("{step}: not undone after {attempts} attempts: {cause}")
        }
        Record::Parked => "left for an operator".to_owned(),
        Record::Completed => "completed".to_owned(),
        Record::Compensated => "undone: the customer is not charged".to_owned(),
    }
}

/// Returns a dead letter as text.
pub fn letter_text(letter: &DeadLetter) -> String {
    match letter {
        DeadLetter::Undo { saga, stuck } => {
            let mut text = format!("{saga}: cannot be undone");
            for step in stuck {
                let _ = write!(
                    text,
                    "\n  {}: {} attempts, the last: {}",
                    step.step, step.attempts, step.cause
                );
            }
            text
        }
        DeadLetter::Receipt { payment, cause, failures } => {
            let times = if *failures == 1 { "once" } else { "more than once" };
            format!(
                "{payment}: its receipt cannot be sent, given up {times}, the last time: {cause}"
            )
        }
    }
}

/// Returns a dead letter as JSON.
pub fn letter_json(letter: &DeadLetter) -> Value {
    match letter {
        DeadLetter::Undo { saga, stuck } => {
            let steps = stuck.iter().map(
                |step| json!({ "step": step.step, "cause": step.cause, "attempts": step.attempts }),
            );
            json!({ "kind": "undo", "payment": saga, "steps": steps.collect::<Vec<_>>() })
        }
        DeadLetter::Receipt { payment, cause, failures } => {
            json!({ "kind": "receipt", "payment": payment, "cause": cause, "failures": failures })
        }
    }
}
