//! A payment provider that behaves as Stripe does.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::fault::Site;
use super::net::{Net, Work, call};
use super::process::Process;
use super::{Latencies, lock};
use crate::ids::{IntentId, PaymentId};
use crate::money::Money;
use crate::provider::{
    Answer, CreateIntent, Intent, IntentStatus, PaymentProvider, ProviderError, ProviderKey, Refund,
};

/// What really is the case with an intent, whatever any client was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IntentTruth {
    /// Its name.
    pub id: IntentId,
    /// Which payment it was made for.
    pub payment: PaymentId,
    /// How much.
    pub amount: Money,
    /// Where it stands.
    pub status: IntentStatus,
    /// How often the customer was charged.
    pub charges: u32,
    /// How often the amount was given back.
    pub refunds: u32,
}

impl IntentTruth {
    /// What the customer has paid in the end, in minor units.
    #[must_use]
    pub fn net(&self) -> i64 {
        (i64::from(self.charges) - i64::from(self.refunds)) * self.amount.minor()
    }
}

/// The provider's side: one account, whatever number of clients.
#[derive(Debug, Default)]
pub(super) struct Account {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    intents: Vec<Record>,
    by_id: HashMap<IntentId, usize>,
    by_payment: HashMap<PaymentId, usize>,
    keys: HashMap<ProviderKey, Stored>,
}

#[derive(Debug)]
struct Record {
    truth: IntentTruth,
    /// A request on it is running: Stripe lets only one at a time.
    busy: bool,
    /// Charged from then on.
    settles: Option<Instant>,
}

/// What the provider knows of a key.
#[derive(Debug)]
struct Stored {
    request: Request,
    /// `None` while the request is running.
    answer: Option<Result<Intent, ProviderError>>,
}

/// The parameters that have to be the same for the same key.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Request {
    Create(PaymentId, Money),
    Confirm(IntentId),
    Cancel(IntentId),
    Refund(IntentId),
}

impl Record {
    /// As the provider reports it.
    fn shown(&self) -> Intent {
        Intent {
            id: self.truth.id.clone(),
            payment: self.truth.payment.clone(),
            amount: self.truth.amount,
            status: if self.busy { IntentStatus::Processing } else { self.truth.status },
            refunded: self.truth.refunds > 0,
        }
    }

    fn settle(&mut self) {
        if self.settles.is_some_and(|at| at <= Instant::now()) {
            self.settles = None;
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

    /// What Stripe does before it executes anything: an answer from here is not stored, or was stored
    /// before.
    fn arrive(
        &mut self,
        key: &ProviderKey,
        request: &Request,
    ) -> Option<Result<Intent, ProviderError>> {
        if let Some(stored) = self.keys.get(key) {
            return Some(match &stored.answer {
                _ if stored.request != *request => Err(ProviderError::KeyReused),
                None => Err(ProviderError::InFlight),
                Some(answer) => answer.clone(),
            });
        }
        let on = match request {
            Request::Create(..) => None,
            Request::Confirm(id) | Request::Cancel(id) | Request::Refund(id) => Some(id),
        };
        if let Some(id) = on {
            let Some(record) = self.record(id) else {
                return Some(Err(ProviderError::Invalid { message: format!("no intent {id}") }));
            };
            if record.busy {
                return Some(Err(ProviderError::InFlight));
            }
            if record.truth.status == IntentStatus::Processing {
                // Nothing can be done to it now, and a later request may find it otherwise.
                return Some(Err(ProviderError::WrongState { status: IntentStatus::Processing }));
            }
            record.busy = true;
        }
        self.keys.insert(key.clone(), Stored { request: request.clone(), answer: None });
        None
    }

    /// Executes the request and stores the answer.
    fn work(
        &mut self,
        key: &ProviderKey,
        request: &Request,
        work: Work,
    ) -> Result<Intent, ProviderError> {
        if let Request::Confirm(id) | Request::Cancel(id) | Request::Refund(id) = request
            && let Some(record) = self.record(id)
        {
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
        if let Some(stored) = self.keys.get_mut(key) {
            stored.answer = Some(answer.clone());
        }
        answer.map(|intent| match work {
            Work::WrongAmount => Intent { amount: another(intent.amount), ..intent },
            _ => intent,
        })
    }

    fn execute(&mut self, request: &Request, work: Work) -> Result<Intent, ProviderError> {
        use IntentStatus::{Canceled, Processing, RequiresAction, RequiresConfirmation, Succeeded};
        let (Request::Confirm(id) | Request::Cancel(id) | Request::Refund(id)) = request else {
            return self.create(request);
        };
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
            (Request::Refund(_), Succeeded) if truth.refunds == 0 => truth.refunds = 1,
            (Request::Refund(_), Succeeded) => {
                return Err(ProviderError::Invalid {
                    message: "charge_already_refunded".to_owned(),
                });
            }
            (_, status) => return Err(ProviderError::WrongState { status }),
        }
        Ok(record.shown())
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
        };
        let record = Record { truth, busy: false, settles: None };
        let shown = record.shown();
        self.intents.push(record);
        self.by_id.insert(id, index);
        // The latest one: a search by metadata gives the newest first.
        self.by_payment.insert(payment.clone(), index);
        Ok(shown)
    }
}

/// One minor unit more or, at the bound, less.
fn another(amount: Money) -> Money {
    Money::new(amount.minor() + 1, amount.currency())
        .or_else(|_| Money::new(amount.minor() - 1, amount.currency()))
        .unwrap_or(amount)
}

impl Account {
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

/// A client of the account.
pub(super) struct Client {
    pub(super) net: Arc<Net>,
    pub(super) process: Process,
    pub(super) latencies: Latencies,
    pub(super) account: Arc<Account>,
}

impl Client {
    fn send(&self, site: Site, key: ProviderKey, request: Request) -> Answer<Intent> {
        let payment = Some(key.payment.clone());
        let shared = Arc::new((Arc::clone(&self.account), key, request));
        let arriving = Arc::clone(&shared);
        call(
            &self.net,
            &self.process,
            site,
            payment,
            self.latencies.of(site),
            move || {
                let (account, key, request) = &*arriving;
                account.lock().arrive(key, request)
            },
            move |work| {
                let (account, key, request) = &*shared;
                account.lock().work(key, request, work)
            },
        )
    }
}

impl PaymentProvider for Client {
    fn create_intent(&self, request: CreateIntent) -> Answer<Intent> {
        self.send(Site::Create, request.key, Request::Create(request.payment, request.amount))
    }

    fn confirm(&self, key: ProviderKey, intent: IntentId) -> Answer<Intent> {
        self.send(Site::Confirm, key, Request::Confirm(intent))
    }

    fn cancel(&self, key: ProviderKey, intent: IntentId) -> Answer<Intent> {
        self.send(Site::Cancel, key, Request::Cancel(intent))
    }

    fn refund(&self, key: ProviderKey, intent: IntentId) -> Answer<Refund> {
        let answer = self.send(Site::Refund, key, Request::Refund(intent));
        Box::pin(async move {
            answer.await.map(|intent| Refund { intent: intent.id, amount: intent.amount })
        })
    }

    fn find_intent(&self, payment: PaymentId) -> Answer<Option<Intent>> {
        let account = Arc::clone(&self.account);
        call(
            &self.net,
            &self.process,
            Site::Find,
            Some(payment.clone()),
            self.latencies.of(Site::Find),
            || None,
            move |work| {
                if let Work::Break { .. } = work {
                    return Err(ProviderError::Internal);
                }
                let mut state = lock(&account.state);
                let Some(index) = state.by_payment.get(&payment).copied() else { return Ok(None) };
                Ok(state.intents.get_mut(index).map(|record| {
                    record.settle();
                    record.shown()
                }))
            },
        )
    }
}
