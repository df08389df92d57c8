//! The state of a payment and its steps, read off the records of a run. Pure: no clock, no store.

use level3_adapters::sql::{Entry, UnixMillis, Written};
use level3_domain::journal::{FailureKind, Record, Standing};
use level3_domain::payment::Payment;

use crate::filed::payment_of;

/// The state of a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// The payment is under way.
    Processing,
    /// Charged once, and recorded. Final.
    Paid,
    /// Declined by the fraud check or the bank. Not charged. Final.
    Declined,
    /// Failed, and not charged. A repeat with the same key may try again.
    Failed,
    /// The steps of the payment are being undone.
    Compensating,
    /// A step could not be undone; it waits for an operator.
    Parked,
}

impl State {
    /// All states.
    pub const ALL: [Self; 6] = [
        Self::Processing,
        Self::Paid,
        Self::Declined,
        Self::Failed,
        Self::Compensating,
        Self::Parked,
    ];

    /// Returns the name, such as `paid`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Processing => "processing",
            Self::Paid => "paid",
            Self::Declined => "declined",
            Self::Failed => "failed",
            Self::Compensating => "compensating",
            Self::Parked => "parked",
        }
    }

    /// Returns the state with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// Why a payment failed or was declined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cause {
    pub(crate) step: String,
    /// In words, without the secrets of the request.
    pub(crate) reason: String,
    pub(crate) kind: FailureKind,
}

/// The state of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StepState {
    Running,
    Done,
    Failed,
    Undoing,
    Undone,
    Parked,
}

impl StepState {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Undoing => "undoing",
            Self::Undone => "undone",
            Self::Parked => "parked",
        }
    }
}

/// A step of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) name: String,
    pub(crate) state: StepState,
    pub(crate) started_at: UnixMillis,
    /// When the step had its last outcome.
    pub(crate) ended_at: Option<UnixMillis>,
    pub(crate) undo_attempts: u32,
}

/// One run of a payment. A payment has another run only when the one before failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) payment: Payment,
    pub(crate) state: State,
    pub(crate) steps: Vec<Step>,
    pub(crate) cause: Option<Cause>,
    pub(crate) begun_at: UnixMillis,
    pub(crate) changed_at: UnixMillis,
}

/// Tells the story of a run. `None` if its first record is not that of a payment.
pub(crate) fn tell(standing: Standing, entries: &[Entry]) -> Option<Run> {
    let records = || {
        entries.iter().flat_map(|entry| match &entry.written {
            Written::Saga(records) => records.iter().map(|record| (entry.at, record)).collect(),
            Written::Ledger(_) => Vec::new(),
        })
    };
    let (begun_at, payment) = records().find_map(|(at, record)| match record {
        Record::Begun { state, .. } => Some((at, payment_of(state)?)),
        _ => None,
    })?;
    let changed_at = entries.last().map_or(begun_at, |entry| entry.at);
    let mut run = Run {
        payment,
        state: State::Processing,
        steps: Vec::new(),
        cause: None,
        begun_at,
        changed_at,
    };
    for (at, record) in records() {
        run.add(at, record);
    }
    if standing == Standing::Parked {
        run.state = State::Parked;
    }
    Some(run)
}

impl Run {
    fn add(&mut self, at: UnixMillis, record: &Record) {
        match record {
            Record::Begun { .. } => {}
            Record::StepStarted { step } => {
                // A recovery begins a step again that the owner before has begun.
                if self.step(step).is_none() {
                    self.steps.push(Step {
                        name: step.to_string(),
                        state: StepState::Running,
                        started_at: at,
                        ended_at: None,
                        undo_attempts: 0,
                    });
                }
            }
            Record::StepDone { step, .. } => self.ended(step, StepState::Done, at),
            Record::StepFailed { failure, .. } => self.ended(&failure.step, StepState::Failed, at),
            Record::Compensating { failure } => {
                let reason = redacted(&failure.message, &self.payment);
                self.cause =
                    Some(Cause { step: failure.step.to_string(), reason, kind: failure.kind });
                self.state = State::Compensating;
            }
            Record::UndoStarted { step, attempt } => {
                if let Some(step) = self.step(step) {
                    step.state = StepState::Undoing;
                    step.undo_attempts = *attempt;
                }
            }
            Record::UndoDone { step, .. } => self.ended(step, StepState::Undone, at),
            Record::UndoParked { step, attempts, .. } => {
                self.ended(step, StepState::Parked, at);
                if let Some(step) = self.step(step) {
                    step.undo_attempts = *attempts;
                }
            }
            Record::Parked => self.state = State::Parked,
            Record::Completed => self.state = State::Paid,
            Record::Compensated => {
                let kind = self.cause.as_ref().map(|cause| cause.kind);
                let declined = kind == Some(FailureKind::Declined);
                self.state = if declined { State::Declined } else { State::Failed };
            }
        }
    }

    fn step(&mut self, name: &str) -> Option<&mut Step> {
        self.steps.iter_mut().find(|step| step.name == name)
    }

    fn ended(&mut self, name: &str, state: StepState, at: UnixMillis) {
        if let Some(step) = self.step(name) {
            step.state = state;
            step.ended_at = Some(at);
        }
    }
}

/// Returns the text without the secrets of the payment: a service may repeat what it was sent.
pub(crate) fn redacted(text: &str, payment: &Payment) -> String {
    text.replace(payment.email.expose(), "***").replace(payment.card.expose(), "***")
}

#[cfg(test)]
mod tests {
    use level3_domain::ids::{CardToken, Email, OrderId, PaymentKey};
    use level3_domain::journal::{Payload, SagaFailure};
    use level3_domain::money::{Currency, Money};

    use super::*;

    fn payment() -> Payment {
        Payment {
            key: PaymentKey::new("shop/1").unwrap(),
            order: OrderId::new("1").unwrap(),
            amount: Money::new(1050, Currency::USD).unwrap(),
            email: Email::new("ann@example.com").unwrap(),
            card: CardToken::new("pm_card_visa").unwrap(),
        }
    }

    fn told(standing: Standing, records: Vec<Record>) -> Run {
        let state = Payload::of(&serde_json::json!({ "payment": payment() })).unwrap();
        let begun = Record::Begun { kind: "payment".into(), state };
        let entries: Vec<_> = std::iter::once(begun)
            .chain(records)
            .enumerate()
            .map(|(place, record)| Entry {
                seq: place as u64 + 1,
                epoch: 1,
                at: UnixMillis(place as i64 * 100),
                written: Written::Saga(vec![record]),
            })
            .collect();
        tell(standing, &entries).unwrap()
    }

    fn done(step: &'static str) -> [Record; 2] {
        let state = Payload::of(&0).unwrap();
        [Record::StepStarted { step: step.into() }, Record::StepDone { step: step.into(), state }]
    }

    fn failure(kind: FailureKind) -> SagaFailure {
        let message = "pm_card_visa of ann@example.com is wrong".to_owned();
        SagaFailure { step: "confirm".into(), kind, message }
    }

    #[test]
    fn a_payment_that_completes_is_paid() {
        let mut records = done("create").to_vec();
        let open = told(Standing::Open, records.clone());
        assert_eq!((open.state, open.steps.len()), (State::Processing, 1));
        records.push(Record::Completed);
        let run = told(Standing::Ended, records);
        assert_eq!(run.state, State::Paid);
        assert_eq!(run.steps[0].state, StepState::Done);
        assert_eq!(run.steps[0].started_at, UnixMillis(100));
        assert_eq!(run.steps[0].ended_at, Some(UnixMillis(200)));
        assert_eq!((run.begun_at, run.changed_at), (UnixMillis(0), UnixMillis(300)));
    }

    #[test]
    fn a_payment_is_declined_or_failed_once_it_is_undone() {
        for (kind, state) in
            [(FailureKind::Declined, State::Declined), (FailureKind::Transient, State::Failed)]
        {
            let mut records = done("create").to_vec();
            records.push(Record::StepStarted { step: "confirm".into() });
            let failure = failure(kind);
            let failed = Record::StepFailed { failure: failure.clone(), may_have_acted: true };
            records.extend([failed, Record::Compensating { failure }]);
            records.push(Record::UndoStarted { step: "create".into(), attempt: 2 });
            let undoing = told(Standing::Open, records.clone());
            assert_eq!(undoing.state, State::Compensating);
            assert_eq!(undoing.steps[0].state, StepState::Undoing);
            let state_after = Payload::of(&0).unwrap();
            records.push(Record::UndoDone { step: "create".into(), state: state_after });
            records.push(Record::Compensated);
            let run = told(Standing::Ended, records);
            assert_eq!(run.state, state);
            let states: Vec<_> = run.steps.iter().map(|step| step.state).collect();
            assert_eq!(states, [StepState::Undone, StepState::Failed]);
            assert_eq!(run.steps[0].undo_attempts, 2);
            let cause = run.cause.unwrap();
            assert_eq!(cause.reason, "*** of *** is wrong");
            assert_eq!(cause.kind.is_transient(), state == State::Failed);
        }
    }

    #[test]
    fn what_is_parked_waits_for_an_operator() {
        let mut records = done("create").to_vec();
        records.push(Record::Compensating { failure: failure(FailureKind::Transient) });
        let cause = "down".to_owned();
        records.push(Record::UndoParked { step: "create".into(), cause, attempts: 23 });
        records.push(Record::Parked);
        let run = told(Standing::Parked, records);
        assert_eq!((run.state, run.steps[0].state), (State::Parked, StepState::Parked));
        assert_eq!(run.steps[0].undo_attempts, 23);
    }

    #[test]
    fn a_saga_of_another_kind_is_no_payment() {
        let begun = Record::Begun { kind: "refund".into(), state: Payload::of(&1).unwrap() };
        let entry =
            Entry { seq: 1, epoch: 1, at: UnixMillis(0), written: Written::Saga(vec![begun]) };
        assert_eq!(tell(Standing::Open, &[entry]), None);
    }

    #[test]
    fn states_have_names() {
        for state in State::ALL {
            assert_eq!(State::from_name(state.name()), Some(state));
        }
    }
}
