//! The findings of a reconciliation.

use std::fmt;

use level3_domain::ids::{IntentId, PaymentId};
use level3_domain::money::Money;
use level3_domain::provider::{Intent, IntentStatus};

/// A difference between the ledger and the provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Discrepancy {
    /// The payment is charged, and paid according to the journal, but there is no row.
    NotRecorded,
    /// The payment is charged although it was undone: the charge was executed late.
    ChargedAfterAll,
    /// The payment is charged a second time: the row belongs to another intent.
    ChargedTwice,
    /// An intent is charged for a payment that the journal does not know.
    Unknown,
    /// The intent is neither charged nor cancelled, and no process will do either.
    LeftOpen,
    /// There is a row without a charge.
    NotCharged {
        /// The status of the intent; `None` if there is no intent.
        status: Option<IntentStatus>,
    },
    /// The row and the charge have different amounts.
    OtherAmount {
        /// The amount of the row.
        recorded: Money,
        /// The amount that was charged.
        charged: Money,
    },
}

impl fmt::Display for Discrepancy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotRecorded => f.write_str("charged, and not recorded"),
            Self::ChargedAfterAll => f.write_str("charged after it was undone"),
            Self::ChargedTwice => f.write_str("charged twice"),
            Self::Unknown => f.write_str("charged, and unknown to the journal"),
            Self::LeftOpen => f.write_str("left open"),
            Self::NotCharged { status: Some(IntentStatus::Succeeded) } => {
                f.write_str("recorded, and the money was refunded")
            }
            Self::NotCharged { status: Some(status) } => write!(f, "recorded, and {status}"),
            Self::NotCharged { status: None } => f.write_str("recorded, and there is no intent"),
            Self::OtherAmount { recorded, charged } => {
                write!(f, "recorded as {recorded}, and charged as {charged}")
            }
        }
    }
}

/// The action that a reconciliation took about a difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing: an operator has to look at it, or repairs are turned off.
    Reported,
    /// The row is written now, and its receipt is in the outbox.
    Recorded,
    /// The money is refunded now.
    Refunded,
    /// The intent is cancelled now.
    Canceled,
    /// The repair failed. The next reconciliation tries again.
    Failed(String),
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reported => f.write_str("reported"),
            Self::Recorded => f.write_str("recorded"),
            Self::Refunded => f.write_str("refunded"),
            Self::Canceled => f.write_str("cancelled"),
            Self::Failed(cause) => write!(f, "not repaired: {cause}"),
        }
    }
}

/// A difference between the provider and the ledger, and its repair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The payment that differs.
    pub payment: PaymentId,
    /// The intent, if there is one.
    pub intent: Option<IntentId>,
    /// How the ledger and the provider differ.
    pub discrepancy: Discrepancy,
    /// The action that the reconciliation took.
    pub outcome: Outcome,
}

impl fmt::Display for Finding {
    /// `pay_..._1 (pi_1): charged twice; refunded`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.payment)?;
        if let Some(intent) = &self.intent {
            write!(f, " ({intent})")?;
        }
        write!(f, ": {}; {}", self.discrepancy, self.outcome)
    }
}

/// The counts and findings of a reconciliation.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// Intents of this system that were compared.
    pub intents: u64,
    /// Other intents of the account.
    pub foreign: u64,
    /// Intents of this system that cannot be read. They are in the log.
    pub unreadable: u64,
    /// Rows that were compared.
    pub rows: u64,
    /// Intents whose payment is under way, or waits to be recovered.
    pub unfinished: u64,
    /// Intents whose payment is among the dead letters.
    pub parked: u64,
    /// Whether all intents were compared, and not only the newest.
    pub complete: bool,
    /// The number of differences.
    pub found: u64,
    /// The number of differences that were repaired.
    pub repaired: u64,
    /// The first of them; see [`ReconcileConfig::findings`](super::ReconcileConfig::findings).
    pub findings: Vec<Finding>,
}

impl Report {
    pub(super) fn add(&mut self, finding: Finding, most: usize) {
        tracing::warn!(%finding, "reconciliation");
        self.found += 1;
        if matches!(finding.outcome, Outcome::Recorded | Outcome::Refunded | Outcome::Canceled) {
            self.repaired += 1;
        }
        if self.findings.len() < most {
            self.findings.push(finding);
        }
    }
}

pub(super) fn about(intent: &Intent, discrepancy: Discrepancy, outcome: Outcome) -> Finding {
    let (payment, intent) = (intent.payment.clone(), Some(intent.id.clone()));
    Finding { payment, intent, discrepancy, outcome }
}
