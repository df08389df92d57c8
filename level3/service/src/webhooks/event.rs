//! The types of events, their names, and their bodies.

use level3_adapters::sql::{DISPUTE_EVENT, EventNote, EventRow, Store, StoreError};
use level3_domain::ids::PaymentId;
use level3_domain::journal::{Record, SagaId, StoreId};
use level3_domain::refund::RefundId;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::filed::{name_of, number_of_run, run_of};
use crate::merchants::MerchantId;
use crate::payment::State;
use crate::payment::view;
use crate::refunds::view as refund_view;
use crate::time;

/// Declares the types with their names.
macro_rules! types {
    ($($(#[$doc:meta])* $event:ident = $name:literal;)*) => {
        /// The type of an event that merchants are notified of.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
        pub enum EventType {
            $($(#[$doc])* #[serde(rename = $name)] $event,)*
        }

        impl EventType {
            /// All types.
            pub const ALL: &'static [Self] = &[$(Self::$event),*];

            /// Returns the name, such as `payment.paid`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$event => $name,)* }
            }
        }
    };
}

types! {
    /// The customer has paid.
    PaymentPaid = "payment.paid";
    /// The fraud check or the bank has declined. Not charged.
    PaymentDeclined = "payment.declined";
    /// The payment has failed, and is undone.
    PaymentFailed = "payment.failed";
    /// A step of the payment could not be undone. An operator has to act.
    PaymentParked = "payment.parked";
    /// The provider has accepted the refund.
    RefundSucceeded = "refund.succeeded";
    /// The refund has failed; the customer does not get the money.
    RefundFailed = "refund.failed";
    /// The customer's bank asks for the money of a payment, or has decided about it.
    PaymentDisputed = "payment.disputed";
}

impl std::str::FromStr for EventType {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().copied().find(|event| event.name() == text);
        found.ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|event| event.name()).collect();
            format!("not an event: write {}", names.join(", "))
        })
    }
}

/// The kinds as the store has them. The type follows from the kind and the payment.
const PAID: &str = "paid";
const UNDONE: &str = "undone";
const PARKED: &str = "parked";
const REFUND: &str = "refund";
const REFUND_FAILED: &str = "refund_failed";

/// Derives the name of an event, so that a repeat is the same event.
fn name(store: &StoreId, kind: &str, subject: &str) -> String {
    let mut digest = Sha256::new();
    for part in ["event", store.as_str(), kind, subject] {
        digest.update(part.as_bytes());
        digest.update([0]);
    }
    let mut name = "evt_".to_owned();
    for byte in digest.finalize().iter().take(16) {
        name += &format!("{byte:02x}");
    }
    name
}

/// Returns the event that these records of a saga are; `None` if a merchant is not notified of them.
pub(crate) fn of_saga(store: &StoreId, saga: &SagaId, records: &[Record]) -> Option<EventNote> {
    let kind = records.iter().rev().find_map(|record| match record {
        Record::Completed => Some(PAID),
        Record::Compensated => Some(UNDONE),
        Record::Parked => Some(PARKED),
        _ => None,
    })?;
    Some(note(store, kind, saga.as_str(), saga.as_str()))
}

/// Returns the event of a refund that the provider has accepted.
pub(crate) fn of_refund(store: &StoreId, refund: &RefundId, payment: &PaymentId) -> EventNote {
    note(store, REFUND, refund.as_str(), payment.as_str())
}

/// Returns the event of a refund that has failed, at once or after it was accepted.
pub(crate) fn of_failed_refund(
    store: &StoreId,
    refund: &RefundId,
    payment: &PaymentId,
) -> EventNote {
    note(store, REFUND_FAILED, refund.as_str(), payment.as_str())
}

/// Returns the name of the event that follows from a report of the provider.
pub(crate) fn of_report(store: &StoreId, report: &str) -> String {
    name(store, DISPUTE_EVENT, report)
}

/// A payment is filed under its merchant with its first run.
fn note(store: &StoreId, kind: &'static str, subject: &str, run: &str) -> EventNote {
    let first = run_of(name_of(run), 1);
    let filed_as = first.map_or_else(|| SagaId::new(run), |first| SagaId::from(&first));
    EventNote { name: name(store, kind, subject), filed_as, kind, subject: subject.to_owned() }
}

/// An event as merchants get it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Composed {
    pub(super) event: EventType,
    pub(super) body: Value,
}

/// Composes an event from the store. `None` if the store no longer has what it is about.
///
/// The data are those of the moment at which the event is composed. A run of a payment that has ended
/// does not change, except one that was parked.
pub(super) async fn compose(
    store: &dyn Store,
    row: &EventRow,
) -> Result<Option<Composed>, StoreError> {
    let composed = match row.kind.as_str() {
        REFUND => refund(store, row, EventType::RefundSucceeded).await?,
        REFUND_FAILED => refund(store, row, EventType::RefundFailed).await?,
        DISPUTE_EVENT => dispute(store, row).await?,
        _ => payment(store, row).await?,
    };
    Ok(composed.map(|(event, data)| Composed {
        event,
        body: json!({ "type": event.name(), "timestamp": time::text(row.at), "data": data }),
    }))
}

async fn payment(
    store: &dyn Store,
    row: &EventRow,
) -> Result<Option<(EventType, Value)>, StoreError> {
    let Ok(merchant) = row.label.parse::<MerchantId>() else { return Ok(None) };
    let run = number_of_run(&row.subject);
    // Without later runs: the event is about this one.
    let found = view::find_until(store, &merchant, name_of(&row.subject), run).await?;
    let Some(found) = found else { return Ok(None) };
    let event = match (row.kind.as_str(), found.state()) {
        (PARKED, _) => EventType::PaymentParked,
        (_, State::Paid) => EventType::PaymentPaid,
        (_, State::Declined) => EventType::PaymentDeclined,
        _ => EventType::PaymentFailed,
    };
    Ok(Some((event, found.summary())))
}

async fn refund(
    store: &dyn Store,
    row: &EventRow,
    event: EventType,
) -> Result<Option<(EventType, Value)>, StoreError> {
    let Ok(refund) = RefundId::try_from(row.subject.clone()) else { return Ok(None) };
    let found = store.refund(refund).await?;
    Ok(found.map(|refund| (event, refund_view::refund(&refund))))
}

async fn dispute(
    store: &dyn Store,
    row: &EventRow,
) -> Result<Option<(EventType, Value)>, StoreError> {
    let found = store.dispute(row.subject.clone()).await?;
    Ok(found.map(|dispute| (EventType::PaymentDisputed, view::dispute(&dispute))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_saga_is_an_event_of_the_first_run() {
        let store = StoreId::new("one");
        let saga = SagaId::new("pay_0bafe22156d2698c143b86040446d366_2");
        let started = Record::StepStarted { step: "create".into() };
        assert_eq!(of_saga(&store, &saga, std::slice::from_ref(&started)), None);
        let note = of_saga(&store, &saga, &[started, Record::Completed]).unwrap();
        assert_eq!((note.kind, note.subject.as_str()), (PAID, saga.as_str()));
        assert_eq!(note.filed_as.as_str(), "pay_0bafe22156d2698c143b86040446d366_1");
        assert_eq!(of_saga(&store, &saga, &[Record::Completed]), Some(note.clone()));
        let others = [
            of_saga(&store, &saga, &[Record::Compensated]).unwrap(),
            of_saga(&StoreId::new("two"), &saga, &[Record::Completed]).unwrap(),
            of_saga(&store, &note.filed_as, &[Record::Completed]).unwrap(),
        ];
        assert!(others.iter().all(|other| other.name != note.name));
    }

    #[test]
    fn types_have_names() {
        for event in EventType::ALL {
            assert_eq!(event.name().parse(), Ok(*event));
        }
        assert!("payment.made".parse::<EventType>().is_err());
    }
}
