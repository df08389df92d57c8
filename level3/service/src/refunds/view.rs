//! A refund as JSON.

use level3_adapters::sql::{RefundRow, RefundState};
use serde_json::{Value, json};

use crate::filed::name_of;
use crate::time;

/// Returns the refund as clients see it: the same for every repeat once it has an outcome.
pub(crate) fn refund(row: &RefundRow) -> Value {
    let mut view = json!({
        "id": row.refund.as_str(),
        "payment": name_of(row.payment.as_str()),
        "amount": row.amount.minor(),
        "currency": row.amount.currency().code(),
        "state": row.state.name(),
        "created_at": time::text(row.begun_at),
        "updated_at": time::text(row.changed_at),
    });
    if let (RefundState::Failed, Some(cause)) = (row.state, &row.cause) {
        view["reason"] = json!(cause);
    }
    view
}

/// Returns what the customer has got back, in minor units.
pub(crate) fn refunded(rows: &[RefundRow]) -> i64 {
    let made = rows.iter().filter(|row| row.state == RefundState::Succeeded);
    made.map(|row| row.amount.minor()).sum()
}
