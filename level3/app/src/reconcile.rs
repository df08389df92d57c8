//! Compares the ledger with any provider.

use std::sync::Arc;

use level3_adapters::reconcile::{
    Booked, Books, Outcome as Done, ReconcileConfig, ReconcileError, Reconciler, Report, Sides,
};
use level3_adapters::sql::{Asked, Store};
use level3_domain::ids::PaymentId;
use level3_domain::provider::IntentList;
use serde_json::{Value, json};

use super::args::ReconcileArgs;
use super::engine::{Engine, Payments};
use super::problem::ProgramError;

/// The rows of the store. A wrapper is needed, because a trait object of one trait cannot become
/// that of another.
struct Rows(Arc<dyn Store>);

impl Books for Rows {
    fn row(&self, payment: PaymentId) -> Asked<'_, Option<Booked>> {
        Books::row(self.0.as_ref(), payment)
    }

    fn rows(&self, after: u64, most: usize) -> Asked<'_, Vec<Booked>> {
        Books::rows(self.0.as_ref(), after, most)
    }

    fn refunded(&self, payment: PaymentId) -> Asked<'_, i64> {
        Books::refunded(self.0.as_ref(), payment)
    }
}

/// The provider, the journal and the ledger of an engine.
pub fn sides(engine: &Engine) -> Result<Sides, ProgramError> {
    let store = &engine.store.store;
    let intents: Arc<dyn IntentList> = match &engine.payments {
        Payments::Simulated => {
            // The list of a simulated provider has only the intents that this process knows.
            engine.world.catch_up().map_err(ProgramError::Services)?;
            Arc::new(engine.world.clone())
        }
        Payments::Stripe { client, .. } => Arc::new(client.clone()),
    };
    Ok(Sides {
        payments: Arc::clone(&engine.provider) as _,
        intents,
        journal: Arc::clone(store) as _,
        ledger: Arc::clone(store) as _,
        books: Arc::new(Rows(Arc::clone(store))),
        claims: Some(Arc::clone(store) as _),
    })
}

/// Compares, and repairs the differences unless `--dry-run` is given.
pub async fn reconcile(engine: &Engine, args: &ReconcileArgs) -> Result<Report, ProgramError> {
    let (store, sides) = (&engine.store.store, sides(engine)?);
    let config = ReconcileConfig {
        repair: !args.dry_run,
        refund_unknown: args.refund_unknown,
        pages: args.pages.map(|pages| pages.get()),
        ..ReconcileConfig::default()
    };
    Reconciler::new(sides, config).run().await.map_err(|error| match error {
        ReconcileError::Books(error) => ProgramError::Store(error),
        error => match (&error, store.last_error()) {
            (ReconcileError::Journal(_), Some(cause)) => ProgramError::Store(cause),
            _ => ProgramError::Reconcile { provider: engine.payments.name(), error },
        },
    })
}

/// Returns the report as text.
pub fn text(report: &Report, against: &str) -> String {
    let Report { intents, foreign, unreadable, rows, unfinished, parked, .. } = report;
    let mut text = format!("{rows} rows compared with {intents} intents of {against}.\n");
    for (count, what) in [
        (*foreign, "other intents of the account left alone"),
        (*unreadable, "intents that cannot be read"),
        (
            *unfinished,
            "payments under way left alone (payment-gateway recover finishes what a killed run has left)",
        ),
        (*parked, "payments left to payment-gateway redrive"),
    ] {
        if count > 0 {
            text += &format!("  {count} {what}\n");
        }
    }
    if !report.complete {
        text += "  Only the newest intents were compared.\n";
    }
    for finding in &report.findings {
        text += &format!("  {finding}\n");
    }
    text += &match (report.found, report.repaired) {
        (0, _) => "Everything fits.\n".to_owned(),
        (found, repaired) => {
            format!("{found} differences, {repaired} of them repaired now.\n")
        }
    };
    if report.findings.iter().any(|finding| finding.outcome == Done::Recorded) {
        text += "payment-gateway recover sends the receipts of the rows that were missing.\n";
    }
    text
}

/// Returns the report as JSON.
pub fn json(report: &Report) -> Value {
    let findings = report.findings.iter().map(|finding| {
        json!({
            "payment": finding.payment, "intent": finding.intent,
            "what": finding.discrepancy.to_string(), "done": finding.outcome.to_string(),
        })
    });
    json!({
        "rows": report.rows, "intents": report.intents, "foreign": report.foreign,
        "unreadable": report.unreadable, "unfinished": report.unfinished, "parked": report.parked,
        "complete": report.complete, "found": report.found, "repaired": report.repaired,
        "findings": findings.collect::<Vec<_>>(),
    })
}
