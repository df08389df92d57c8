//! A client of a payment provider that behaves as Stripe does.

use std::sync::Arc;

use level3_domain::ids::{IntentId, PaymentId};
use level3_domain::provider::{
    CallFuture, CreateIntent, Intent, PaymentProvider, ProviderError, ProviderKey, Refund,
};
use level3_domain::refund::{MadeRefund, PartRefund, PartRefunds};

use super::Latencies;
use super::account::{Account, Key, Request, made};
use super::fault::CallSite;
use super::net::{Net, Work, call};
use super::process::Process;

/// A client of the account.
pub(super) struct Client {
    pub(super) net: Arc<Net>,
    pub(super) process: Process,
    pub(super) latencies: Latencies,
    pub(super) account: Arc<Account>,
}

impl Client {
    fn send(&self, site: CallSite, key: ProviderKey, request: Request) -> CallFuture<Intent> {
        let payment = Some(key.payment.clone());
        self.send_with(site, payment, Key::Payment(key), request)
    }

    fn send_with(
        &self,
        site: CallSite,
        payment: Option<PaymentId>,
        key: Key,
        request: Request,
    ) -> CallFuture<Intent> {
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
                account.arrive(key, request)
            },
            move |work| {
                let (account, key, request) = &*shared;
                account.work(key, request, work)
            },
        )
    }
}

impl PaymentProvider for Client {
    fn create_intent(&self, request: CreateIntent) -> CallFuture<Intent> {
        self.send(CallSite::Create, request.key, Request::Create(request.payment, request.amount))
    }

    fn confirm(&self, key: ProviderKey, intent: IntentId) -> CallFuture<Intent> {
        self.send(CallSite::Confirm, key, Request::Confirm(intent))
    }

    fn cancel(&self, key: ProviderKey, intent: IntentId) -> CallFuture<Intent> {
        self.send(CallSite::Cancel, key, Request::Cancel(intent))
    }

    fn refund(&self, key: ProviderKey, intent: IntentId) -> CallFuture<Refund> {
        let answer = self.send(CallSite::Refund, key, Request::Refund(intent));
        Box::pin(async move {
            answer.await.map(|intent| Refund { intent: intent.id, amount: intent.amount })
        })
    }

    fn find_intent(&self, payment: PaymentId) -> CallFuture<Option<Intent>> {
        let account = Arc::clone(&self.account);
        call(
            &self.net,
            &self.process,
            CallSite::Find,
            Some(payment.clone()),
            self.latencies.of(CallSite::Find),
            || None,
            move |work| {
                if let Work::Break { .. } = work {
                    return Err(ProviderError::Internal);
                }
                account.find(&payment)
            },
        )
    }
}

impl PartRefunds for Client {
    fn refund_part(&self, request: PartRefund) -> CallFuture<MadeRefund> {
        let PartRefund { key, payment, intent, amount } = request;
        let refund = key.refund.clone();
        let part = Request::Part(intent, refund.clone(), amount);
        let answer = self.send_with(CallSite::Refund, Some(payment), Key::Refund(key), part);
        Box::pin(async move { answer.await.map(|_| made(&refund, amount)) })
    }

    fn refunds_of(&self, payment: PaymentId, intent: IntentId) -> CallFuture<Vec<MadeRefund>> {
        let account = Arc::clone(&self.account);
        call(
            &self.net,
            &self.process,
            CallSite::Find,
            Some(payment),
            self.latencies.of(CallSite::Find),
            || None,
            move |work| match work {
                Work::Break { .. } => Err(ProviderError::Internal),
                _ => account.parts(&intent),
            },
        )
    }
}
