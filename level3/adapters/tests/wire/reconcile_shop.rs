//! A shop in memory for the reconciler's tests, and what is put into it past the gateway.

use std::sync::Arc;

use futures::FutureExt as _;
use level3::gateway::{Gateway, GatewayConfig};
use level3_adapters::reconcile::{
    Booked, Books, Finding, ReconcileConfig, Reconciler, Report, Sides,
};
use level3_adapters::sql::Asked;
use level3_domain::answer::Status;
use level3_domain::event::NoObserver;
use level3_domain::ids::{CardToken, Email, IntentId, OrderId, PaymentId};
use level3_domain::journal::{
    FailureKind, Journal, MemoryJournal, Opened, Payload, Record, SagaFailure, SagaId,
};
use level3_domain::provider::{
    CreateIntent, IntentStatus, NewRow, Operation, PaymentProvider, ProviderKey, Providers,
};
use level3_sim::{Faults, World};
use serde_json::json;

use crate::request::request;
use crate::support::{payment, usd};

/// A shop with everything in memory.
pub struct Shop {
    pub world: World,
    pub journal: MemoryJournal,
    pub gateway: Gateway,
}

impl Shop {
    pub fn new(faults: impl Faults + 'static) -> Self {
        let (world, journal) = (World::new(faults), MemoryJournal::new());
        let gateway = Gateway::new(
            GatewayConfig::default(),
            world.providers(),
            Arc::new(journal.clone()),
            Arc::new(NoObserver),
        );
        Self { gateway: gateway.expect("a configuration"), world, journal }
    }

    pub fn sides(&self) -> Sides {
        let world = Arc::new(self.world.clone());
        let Providers { payments, ledger, .. } = self.world.providers();
        let journal = Arc::new(self.journal.clone());
        let books = Arc::new(SimulatedBooks(self.world.clone()));
        Sides { payments, intents: world, journal, ledger, books, claims: None }
    }

    pub async fn reconcile(&self) -> Report {
        self.reconcile_with(ReconcileConfig::default()).await
    }

    pub async fn reconcile_with(&self, config: ReconcileConfig) -> Report {
        Reconciler::new(self.sides(), config).run().await.expect("all sides can be read")
    }

    /// Pays, unless a breaker lets nothing through.
    pub async fn pay(&self, key: &str) -> Option<Status> {
        let reply = self.gateway.pay(request(key)).await.ok()?;
        Some(reply.answer.status.clone())
    }

    /// Makes an intent for the payment, past any gateway.
    pub async fn intent(&self, name: &str, generation: u32) -> IntentId {
        make(self.world.providers().payments.as_ref(), name, generation, "pm_card_visa").await
    }

    /// The same, charged.
    pub async fn charge(&self, name: &str, generation: u32) -> IntentId {
        let id = self.intent(name, generation).await;
        confirm(self.world.providers().payments.as_ref(), name, generation, &id).await;
        id
    }

    pub fn net(&self) -> i64 {
        self.world.intents().iter().map(|intent| intent.net()).sum()
    }

    pub fn status(&self, id: &IntentId) -> IntentStatus {
        let intents = self.world.intents();
        intents.iter().find(|intent| intent.id == *id).expect("it is there").status
    }
}

pub async fn make(to: &dyn PaymentProvider, name: &str, generation: u32, card: &str) -> IntentId {
    make_for(to, payment(name), generation, card).await
}

/// The same for a payment of a store with an identity.
pub async fn make_for(
    to: &dyn PaymentProvider,
    payment: PaymentId,
    generation: u32,
    card: &str,
) -> IntentId {
    let key =
        ProviderKey { generation, ..ProviderKey::new(payment.clone(), Operation::CreateIntent) };
    let card = CardToken::new(card).expect("a token");
    let request = CreateIntent { key, payment, amount: usd(1999), card };
    to.create_intent(request).await.expect("an intent").id
}

pub async fn confirm(to: &dyn PaymentProvider, name: &str, generation: u32, id: &IntentId) {
    confirm_for(to, payment(name), generation, id).await;
}

pub async fn confirm_for(
    to: &dyn PaymentProvider,
    payment: PaymentId,
    generation: u32,
    id: &IntentId,
) {
    let key = ProviderKey { generation, ..ProviderKey::new(payment, Operation::Confirm) };
    to.confirm(key, id.clone()).await.expect("a charge");
}

pub fn row(name: &str, intent: &str) -> NewRow {
    NewRow {
        payment: payment(name),
        order: OrderId::new("order").expect("a name"),
        intent: IntentId::new(intent).expect("a name"),
        amount: usd(1999),
        email: Email::new("someone@example.com").expect("an address"),
    }
}

/// A saga that has come this far.
pub async fn saga(journal: &dyn Journal, name: &str, records: Vec<Record>) {
    let state = Payload::of(&json!({ "id": payment(name) })).expect("JSON");
    let first = Record::Begun { kind: "payment".into(), state };
    let opened = journal.open(SagaId::from(&payment(name)), first).await;
    let Ok(Opened::New(lease)) = opened else { panic!("{opened:?}") };
    if !records.is_empty() {
        journal.append(&lease, records).await.expect("a journal");
    }
}

pub fn undone() -> Vec<Record> {
    let failure = SagaFailure {
        step: "confirm".into(),
        kind: FailureKind::Transient,
        message: "no answer".to_owned(),
    };
    vec![Record::Compensating { failure }, Record::Compensated]
}

/// What the report says, one line for each finding.
pub fn told(report: &Report) -> Vec<String> {
    let without_name = |finding: &Finding| format!("{}; {}", finding.discrepancy, finding.outcome);
    assert_eq!(report.found, report.findings.len() as u64);
    report.findings.iter().map(without_name).collect()
}

pub const NOTHING: [String; 0] = [];

/// The simulated ledger, without latencies and faults.
pub struct SimulatedBooks(pub World);

impl Books for SimulatedBooks {
    fn row(&self, payment: PaymentId) -> Asked<'_, Option<Booked>> {
        let found = numbered(&self.0).find(|booked| booked.row.payment == payment);
        std::future::ready(Ok(found)).boxed()
    }

    fn rows(&self, after: u64, most: usize) -> Asked<'_, Vec<Booked>> {
        let rows = numbered(&self.0).filter(|booked| booked.number > after).take(most);
        std::future::ready(Ok(rows.collect())).boxed()
    }

    fn refunded(&self, _: PaymentId) -> Asked<'_, i64> {
        std::future::ready(Ok(0)).boxed()
    }
}

fn numbered(world: &World) -> impl Iterator<Item = Booked> {
    let rows = World::rows(world).into_iter();
    (1..).zip(rows).map(|(number, row)| Booked { number, row, intent: None })
}
