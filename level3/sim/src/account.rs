//! The account at a payment provider that behaves as Stripe does.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use level3_domain::ids::{IntentId, PaymentId};
use level3_domain::money::Money;
use level3_domain::provider::{Intent, IntentStatus, ProviderError, ProviderKey};
use level3_domain::refund::{Made, MadeRefund, RefundId, RefundKey};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::book::AppendLog;
use super::lock;
use super::net::Work;

/// The true state of an intent, which may differ from the answers that clients got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IntentTruth {
    /// The name of the intent.
    pub id: IntentId,
    /// The payment that the intent was made for.
    pub payment: PaymentId,
    /// The amount of the intent.
    pub amount: Money,
    /// The status of the intent.
    pub status: IntentStatus,
    /// How often the customer was charged.
    pub charges: u32,
    /// How often the whole amount was refunded.
    pub refunds: u32,
    /// The minor units that were refunded in parts, besides.
    pub refunded_parts: i64,
}

impl IntentTruth {
    /// Whether nothing of the charge is left.
    #[must_use]
    pub fn is_refunded(&self) -> bool {
        self.refunds > 0 || self.refunded_parts > 0 && self.net() == 0
    }

    /// Returns what the customer has paid after refunds, in minor units.
    #[must_use]
    pub fn net(&self) -> i64 {
        (i64::from(self.charges) - i64::from(self.refunds)) * self.amount.minor()
            - self.refunded_parts
    }
}

/// The provider's side: one account for any number of clients.
#[derive(Debug, Default)]
pub(super) struct Account {
    state: Mutex<State>,
    book: Option<Mutex<AppendLog<Executed>>>,
}

/// A request that was executed, with everything that its outcome depends on: executing the same requests
/// in the same order results in the same account.
#[derive(Debug, Serialize, Deserialize)]
struct Executed {
    key: Key,
    request: Request,
    work: Work,
    /// Whether the intent's pending charge had succeeded by then.
    settled: bool,
}

/// An idempotency key: of a call of a payment, or of a refund in part.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Key {
    Payment(ProviderKey),
    Refund(RefundKey),
}

#[derive(Debug, Default)]
struct State {
    intents: Vec<Record>,
    by_id: HashMap<IntentId, usize>,
    by_payment: HashMap<PaymentId, usize>,
    keys: HashMap<Key, Stored>,
}

#[derive(Debug)]
struct Record {
    truth: IntentTruth,
    /// The refunds in part.
    parts: Vec<(RefundId, Money, Made)>,
    /// Whether a request on the intent is running: Stripe allows one at a time.
    busy: bool,
    /// Charged from then on.
    settles: Option<Instant>,
}

/// The provider's record of a key.
#[derive(Debug)]
struct Stored {
    request: Request,
    /// `None` while the request is running.
    answer: Option<Result<Intent, ProviderError>>,
}

/// The parameters that have to be equal for equal keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Request {
    Create(PaymentId, Money),
    Confirm(IntentId),
    Cancel(IntentId),
    Refund(IntentId),
    Part(IntentId, RefundId, Money),
}

impl Request {
    /// The intent that the request needs.
    const fn intent(&self) -> Option<&IntentId> {
        match self {
            Self::Create(..) => None,
            Self::Confirm(id) | Self::Cancel(id) | Self::Refund(id) | Self::Part(id, ..) => {
                Some(id)
            }
        }
    }
}

impl Record {
    /// Returns the intent as the provider reports it.
    fn shown(&self) -> Intent {
        Intent {
            id: self.truth.id.clone(),
            payment: self.truth.payment.clone(),
            amount: self.truth.amount,
            status: if self.busy { IntentStatus::Processing } else { self.truth.status },
            refunded: self.truth.is_refunded(),
        }
    }

    fn settle(&mut self) {
        if self.settles.is_some_and(|at| at <= Instant::now()) {
            self.settle_now();
        }
    }

    fn settle_now(&mut self) {
        if self.settles.take().is_some() {
            self.truth.status = IntentStatus::Succeeded;
            self.truth.charges += 1;
        }
    }
}

impl State {
    fn record(&mut self, id: &IntentId) -> Option<&mut Record> {
        let index = *self.by_id.get(id)?;
        let record = self.intents.get_mut(index)?;
        record.settle();
        Some(record)
    }

    /// Makes the checks before the execution, as Stripe does: an answer from here is not stored, or was stored
    /// before.
    fn arrive(&mut self, key: &Key, request: &Request) -> Option<Result<Intent, ProviderError>> {
        if let Some(stored) = self.keys.get(key) {
            return Some(match &stored.answer {
                _ if stored.request != *request => Err(ProviderError::KeyReused),
                None => Err(ProviderError::InFlight),
                Some(answer) => answer.clone(),
            });
        }
        if let Some(id) = request.intent() {
            let Some(record) = self.record(id) else {
                return Some(Err(ProviderError::Invalid { message: format!("no intent {id}") }));
            };
            if record.busy {
                return Some(Err(ProviderError::InFlight));
            }
            if record.truth.status == IntentStatus::Processing {
                // The request cannot be executed now, and a later one may find another state.
                return Some(Err(ProviderError::WrongState { status: IntentStatus::Processing }));
            }
            record.busy = true;
        }
        self.keys.insert(key.clone(), Stored { request: request.clone(), answer: None });
        None
    }

    /// Executes the request and stores the answer.
    fn work(&mut self, key: &Key, request: &Request, work: Work) -> Result<Intent, ProviderError> {
        if let Some(record) = request.intent().and_then(|id| self.record(id)) {
            record.busy = false;
        }
        let answer = match work {
            Work::Refuse => Err(ProviderError::Declined { code: "card_declined".to_owned() }),
            Work::Break { effect: false } => Err(ProviderError::Internal),
            Work::Break { effect: true } => {
                self.execute(request, Work::Normal).and(Err(ProviderError::Internal))
            }
            work => self.execute(request, work),
        };
        let stored = Stored { request: request.clone(), answer: Some(answer.clone()) };
        self.keys.insert(key.clone(), stored);
        answer.map(|intent| match work {
            Work::WrongAmount => Intent { amount: another(intent.amount), ..intent },
            _ => intent,
        })
    }

    /// Repeats a request that another process, or an earlier one, has executed.
    fn redo(&mut self, done: &Executed) {
        let record = done.request.intent().and_then(|id| self.record(id));
        if let (true, Some(record)) = (done.settled, record) {
            record.settle_now();
        }
        // The process that asked for it has its answer, or has died.
        let _ = self.work(&done.key, &done.request, done.work);
    }

    fn execute(&mut self, request: &Request, work: Work) -> Result<Intent, ProviderError> {
        use IntentStatus::{Canceled, Processing, RequiresAction, RequiresConfirmation, Succeeded};
        let Some(id) = request.intent() else { return self.create(request) };
        let Some(record) = self.record(id) else {
            return Err(ProviderError::Invalid { message: format!("no intent {id}") });
        };
        let truth = &mut record.truth;
        match (request, truth.status) {
            (Request::Confirm(_), RequiresConfirmation | RequiresAction) => match work {
                Work::AskForAction => truth.status = RequiresAction,
                Work::TakeTime(time) => {
                    truth.status = Processing;
                    record.settles = Some(Instant::now() + time);
                }
                _ => {
                    truth.status = Succeeded;
                    truth.charges += 1;
                }
            },
            (Request::Cancel(_), RequiresConfirmation | RequiresAction) => truth.status = Canceled,
            (Request::Refund(_), Succeeded) if truth.refunds == 0 && truth.refunded_parts == 0 => {
                truth.refunds = 1;
            }
            (Request::Part(_, refund, amount), Succeeded) if amount.minor() <= truth.net() => {
                truth.refunded_parts += amount.minor();
                record.parts.push((refund.clone(), *amount, Made::Accepted));
            }
            (Request::Part(..), Succeeded) => {
                let message = "the refund is larger than what is left of the charge".to_owned();
                return Err(ProviderError::Invalid { message });
            }
            (Request::Refund(_), Succeeded) => {
                return Err(ProviderError::Invalid {
                    message: "charge_already_refunded".to_owned(),
                });
            }
            (_, status) => return Err(ProviderError::WrongState { status }),
        }
        Ok(record.shown())
    }

    /// Removes a request that has arrived and is not executed.
    fn give_up(&mut self, key: &Key, request: &Request) {
        self.keys.remove(key);
        if let Some(record) = request.intent().and_then(|id| self.record(id)) {
            record.busy = false;
        }
    }

    fn create(&mut self, request: &Request) -> Result<Intent, ProviderError> {
        let Request::Create(payment, amount) = request else {
            return Err(ProviderError::Invalid { message: "no such request".to_owned() });
        };
        let index = self.intents.len();
        let id = IntentId::new(format!("pi_{:06}", index + 1))
            .map_err(|why| ProviderError::Invalid { message: why.to_string() })?;
        let truth = IntentTruth {
            id: id.clone(),
            payment: payment.clone(),
            amount: *amount,
            status: IntentStatus::RequiresConfirmation,
            charges: 0,
            refunds: 0,
            refunded_parts: 0,
        };
        let record = Record { truth, parts: Vec::new(), busy: false, settles: None };
        let shown = record.shown();
        self.intents.push(record);
        self.by_id.insert(id, index);
        // The latest one: a search by metadata gives the newest first.
        self.by_payment.insert(payment.clone(), index);
        Ok(shown)
    }
}

/// The answer of a provider that cannot read or write its log.
fn closed(error: io::Error) -> ProviderError {
    tracing::error!(%error, "the simulated payment provider cannot use its file");
    ProviderError::Unavailable
}

/// A refund in part as the provider reports it.
pub(super) fn made(refund: &RefundId, amount: Money) -> MadeRefund {
    let provider_id = format!("sim_{refund}");
    MadeRefund { provider_id, refund: Some(refund.clone()), amount, made: Made::Accepted }
}

/// One minor unit more or, at the bound, less.
fn another(amount: Money) -> Money {
    Money::new(amount.minor() + 1, amount.currency())
        .or_else(|_| Money::new(amount.minor() - 1, amount.currency()))
        .unwrap_or(amount)
}

impl Account {
    pub(super) fn kept_in(path: &Path) -> io::Result<Self> {
        let account =
            Self { book: Some(Mutex::new(AppendLog::open(path)?)), state: Mutex::default() };
        account.catch_up()?;
        Ok(account)
    }

    pub(super) fn catch_up(&self) -> io::Result<()> {
        let Some(book) = &self.book else { return Ok(()) };
        let mut state = self.lock();
        lock(book).turn()?.read(|done| state.redo(&done))
    }

    /// The same for a request: without its log the account answers no request.
    fn current(&self) -> Result<MutexGuard<'_, State>, ProviderError> {
        self.catch_up().map_err(closed)?;
        Ok(self.lock())
    }

    /// Returns the answer that needs no execution, when the request arrives.
    pub(super) fn arrive(
        &self,
        key: &Key,
        request: &Request,
    ) -> Option<Result<Intent, ProviderError>> {
        match self.current() {
            Ok(mut state) => state.arrive(key, request),
            Err(error) => Some(Err(error)),
        }
    }

    /// Executes a request that has arrived.
    pub(super) fn work(
        &self,
        key: &Key,
        request: &Request,
        work: Work,
    ) -> Result<Intent, ProviderError> {
        let mut state = self.lock();
        match self.write(&mut state, key, request, work) {
            Ok(None) => state.work(key, request, work),
            Ok(Some(answer)) => answer,
            Err(error) => {
                state.give_up(key, request);
                Err(closed(error))
            }
        }
    }

    /// Writes the request into the log, if there is one. Returns the answer if another process was faster with
    /// the same request.
    fn write(
        &self,
        state: &mut State,
        key: &Key,
        request: &Request,
        work: Work,
    ) -> io::Result<Option<Result<Intent, ProviderError>>> {
        let Some(book) = &self.book else { return Ok(None) };
        let mut book = lock(book);
        let mut turn = book.turn()?;
        turn.read(|done| state.redo(&done))?;
        if let Some(Stored { answer: Some(answer), .. }) = state.keys.get(key) {
            return Ok(Some(answer.clone()));
        }
        let record = request.intent().and_then(|id| state.record(id));
        let settled = record.is_some_and(|record| record.settles.is_none());
        turn.write(&Executed { key: key.clone(), request: request.clone(), work, settled })?;
        Ok(None)
    }

    /// The latest intent of a payment.
    pub(super) fn find(&self, payment: &PaymentId) -> Result<Option<Intent>, ProviderError> {
        let mut state = self.current()?;
        let Some(index) = state.by_payment.get(payment).copied() else { return Ok(None) };
        Ok(state.intents.get_mut(index).map(|record| {
            record.settle();
            record.shown()
        }))
    }

    /// The refunds in part of an intent.
    pub(super) fn parts(&self, intent: &IntentId) -> Result<Vec<MadeRefund>, ProviderError> {
        let mut state = self.current()?;
        let Some(record) = state.record(intent) else {
            return Err(ProviderError::Invalid { message: format!("no intent {intent}") });
        };
        let shown = |(refund, amount, state): &(RefundId, Money, Made)| MadeRefund {
            made: *state,
            ..made(refund, *amount)
        };
        Ok(record.parts.iter().map(shown).collect())
    }

    /// Every refund in part fails.
    pub(super) fn return_parts(&self) {
        for record in &mut self.lock().intents {
            record.truth.refunded_parts = 0;
            record.parts.iter_mut().for_each(|part| part.2 = Made::Failed);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn truth(&self) -> Vec<IntentTruth> {
        let mut state = self.lock();
        state
            .intents
            .iter_mut()
            .map(|record| {
                record.settle();
                record.truth.clone()
            })
            .collect()
    }

    pub(super) fn is_busy(&self) -> bool {
        let now = Instant::now();
        let on_its_way = |record: &Record| record.settles.is_some_and(|at| at > now);
        self.lock().intents.iter().any(|record| record.busy || on_its_way(record))
    }
}
