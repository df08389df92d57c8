//! The whole gateway in front of a Stripe that is not ours: the emulator, and Stripe's own test mode where
//! a key is set. What counts is what Stripe says afterwards, asked past the client under test.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use level3::breaker;
use level3::gateway::{Gateway, GatewayConfig};
use level3::nonzero;
use level3::request::PaymentRequest;
use level3::retry::Backoff;
use level3_adapters::stripe::{Stripe, StripeConfig, StripeKey};
use level3_domain::answer::{Answer, Dependency, Status};
use level3_domain::event::NoObserver;
use level3_domain::ids::{PaymentId, PaymentKey};
use level3_domain::journal::{MemoryJournal, StoreId};
use level3_domain::provider::{
    IntentStatus, Operation, PaymentProvider, ProviderError, ProviderKey, Providers, RowStatus,
};
use level3_sim::{
    CallSite, Fault, Faults, Latencies, NoFaults, RandomFaults, Rates, Script, World,
};
use serde_json::Value;

use crate::bad_wire::BadWire;
use crate::request::request;
use crate::stripe_world::account;
use crate::support::KEY;

/// An account of Stripe's, asked directly.
pub struct Account {
    url: String,
    key: String,
    http: reqwest::Client,
}

impl Account {
    pub async fn emulated(name: &str) -> Option<Self> {
        Some(Self::new(account(name).await?, KEY.to_owned()))
    }

    fn new(url: String, key: String) -> Self {
        // As the adapter does it: the first one in a process stays.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().timeout(Duration::from_secs(30)).build();
        Self { url, key, http: http.expect("a client") }
    }

    pub fn stripe(&self) -> Stripe {
        self.stripe_at(self.url.clone())
    }

    fn stripe_at(&self, base_url: String) -> Stripe {
        let key = StripeKey::new(&self.key).expect("a key of test mode");
        Stripe::new(StripeConfig { base_url, ..StripeConfig::new(key) }).expect("a configuration")
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Value {
        let answer = request.bearer_auth(&self.key).send().await.expect("an answer");
        let text = answer.text().await.expect("a body");
        serde_json::from_str(&text).expect("JSON")
    }

    /// A payment method of one of Stripe's test cards.
    pub async fn card(&self, token: &str) -> String {
        let form = [("type", "card"), ("card[token]", token)];
        let url = format!("{}/v1/payment_methods", self.url);
        let made = self.send(self.http.post(url).form(&form)).await;
        made["id"].as_str().expect("a payment method").to_owned()
    }

    /// All intents of a payment.
    async fn intents(&self, payment: &PaymentId) -> Vec<Value> {
        let all = self.all_intents().await;
        let is_its = |intent: &Value| intent["metadata"]["payment"] == payment.as_str();
        all.into_iter().filter(is_its).collect()
    }

    /// The newest hundred intents of the account.
    pub async fn all_intents(&self) -> Vec<Value> {
        let list = "v1/payment_intents?limit=100&expand[]=data.latest_charge";
        let page = self.send(self.http.get(format!("{}/{list}", self.url))).await;
        page["data"].as_array().expect("a list").clone()
    }
}

/// What the customer has paid for an intent in the end.
pub fn net(intent: &Value) -> i64 {
    let refunded = intent["latest_charge"]["amount_refunded"].as_i64().unwrap_or(0);
    intent["amount_received"].as_i64().expect("an amount") - refunded
}

fn status_of(intent: &Value) -> &str {
    intent["status"].as_str().expect("a status")
}

/// A gateway to this Stripe; the other services are simulated and answer at once.
struct Shop {
    world: World,
    gateway: Gateway,
}

impl Shop {
    fn new(stripe: &Stripe, faults: impl Faults + 'static) -> Self {
        let world = World::with(Latencies::NONE, Arc::new(faults), None);
        let payments = Arc::new(stripe.clone());
        let providers = Providers { payments, ..world.providers() };
        let mut config = GatewayConfig {
            // The emulator shares two cores with everything else here.
            total: Duration::from_secs(60),
            ..GatewayConfig::default()
        };
        let ms = Duration::from_millis;
        let attempts = nonzero!(5);
        let backoff = Backoff::new(ms(5), 2.0, ms(50), attempts).expect("figures");
        for step in [&mut config.create, &mut config.fraud, &mut config.confirm, &mut config.save] {
            step.limit = Duration::from_secs(10);
            step.retry.backoff = backoff;
        }
        config.receipt.retry.backoff = backoff;
        config.undo.create = Duration::from_secs(10);
        config.undo.confirm = Duration::from_secs(10);
        let journal = Arc::new(MemoryJournal::new());
        let gateway = Gateway::new(config, providers, journal, Arc::new(NoObserver));
        Self { world, gateway: gateway.expect("a configuration") }
    }

    async fn pay(&self, key: &str, card: &str) -> Arc<Answer> {
        self.gateway
            .pay(PaymentRequest { card: card.to_owned(), ..request(key) })
            .await
            .expect("an answer")
            .answer
    }
}

fn id(key: &str) -> PaymentId {
    PaymentId::derive(&StoreId::unnamed(), &PaymentKey::new(key).expect("a key"), 1)
}

/// The one intent of a payment: its status and what is paid for it.
pub async fn only(account: &Account, payment: &PaymentId) -> (String, i64) {
    let intents = account.intents(payment).await;
    assert_eq!(intents.len(), 1, "{intents:?}");
    (status_of(&intents[0]).to_owned(), net(&intents[0]))
}

/// Every case on one account. `run` keeps payments apart where an account has a past.
async fn the_whole_gateway(account: &Account, run: &str) {
    let stripe = account.stripe();
    stripe.check().await.expect("it takes the key");
    let good = account.card("tok_visa").await;
    let key = |case: &str| format!("{run}-{case}");

    // Paid, and paid once: this gateway answers a repeat from its store, another gateway, which does not
    // know the payment, by Stripe's keys.
    let paid = key("paid");
    for shop in [Shop::new(&stripe, NoFaults), Shop::new(&account.stripe(), NoFaults)] {
        for _ in 0..2 {
            let answer = shop.pay(&paid, &good).await;
            assert!(matches!(answer.status, Status::Paid { .. }), "{answer:?}");
        }
    }
    assert_eq!(only(account, &id(&paid)).await, ("succeeded".to_owned(), 1999));

    // Declined by the bank, and by the fraud check.
    let declined = key("declined");
    let poor = account.card("tok_visa_chargeDeclinedInsufficientFunds").await;
    let answer = Shop::new(&stripe, NoFaults).pay(&declined, &poor).await;
    let reason = "declined: insufficient_funds".to_owned();
    assert_eq!(answer.status, Status::Declined { by: "confirm".to_owned(), reason });
    assert_eq!(only(account, &id(&declined)).await, ("canceled".to_owned(), 0));

    let risky = key("risky");
    let suspicious = Script::new().always(CallSite::Fraud, Fault::Decline);
    let answer = Shop::new(&stripe, suspicious).pay(&risky, &good).await;
    assert!(matches!(&answer.status, Status::Declined { by, .. } if by == "fraud"), "{answer:?}");
    assert_eq!(only(account, &id(&risky)).await, ("canceled".to_owned(), 0));

    // A card that asks for 3-D Secure is not paid.
    let secure = key("3ds");
    let card = account.card("tok_threeDSecureRequired").await;
    let answer = Shop::new(&stripe, NoFaults).pay(&secure, &card).await;
    assert!(matches!(&answer.status, Status::Declined { by, .. } if by == "confirm"), "{answer:?}");
    assert_eq!(only(account, &id(&secure)).await, ("canceled".to_owned(), 0));

    // Charged and not recorded: refunded.
    let unrecorded = key("unrecorded");
    let broken = Script::new().always(CallSite::Save, Fault::FailBefore);
    let answer = Shop::new(&stripe, broken).pay(&unrecorded, &good).await;
    assert!(matches!(&answer.status, Status::Failed { step, .. } if step == "save"), "{answer:?}");
    assert_eq!(only(account, &id(&unrecorded)).await, ("succeeded".to_owned(), 0));

    // The client alone.
    let found = stripe.find_intent(id(&paid)).await.expect("an answer").expect("an intent");
    assert_eq!((found.status, found.refunded), (IntentStatus::Succeeded, false));
    let key_of = |operation, generation| ProviderKey {
        generation,
        ..ProviderKey::new(id(&paid), operation)
    };
    let cancel = stripe.cancel(key_of(Operation::Cancel, 0), found.id.clone()).await;
    let status = IntentStatus::Succeeded;
    assert_eq!(cancel, Err(ProviderError::WrongState { status }));
    let first = stripe.refund(key_of(Operation::Refund, 0), found.id.clone()).await;
    let again = stripe.refund(key_of(Operation::Refund, 0), found.id.clone()).await;
    assert_eq!(first.expect("a refund"), again.expect("the same one"));
    let another = stripe.refund(key_of(Operation::Refund, 1), found.id.clone()).await;
    let another = another.expect_err("no second refund");
    assert!(matches!(&another, ProviderError::Invalid { message } if message.contains("refunded")));
    let found = account.stripe().find_intent(id(&paid)).await.expect("an answer");
    assert!(found.expect("an intent").refunded);
    assert_eq!(only(account, &id(&paid)).await, ("succeeded".to_owned(), 0));
    let reused = stripe.confirm(key_of(Operation::Refund, 0), intent_of(account, &secure).await);
    assert_eq!(reused.await, Err(ProviderError::KeyReused));
    assert_eq!(stripe.find_intent(id(&key("never"))).await, Ok(None));
}

async fn intent_of(account: &Account, key: &str) -> level3_domain::ids::IntentId {
    let intents = account.intents(&id(key)).await;
    level3_domain::ids::IntentId::new(intents[0]["id"].as_str().expect("an id")).expect("a name")
}

#[tokio::test]
async fn the_gateway_pays_at_an_independent_stripe() {
    let Some(account) = Account::emulated("gateway").await else { return };
    the_whole_gateway(&account, "emulated").await;
}

#[tokio::test]
async fn two_gateways_with_one_key_charge_once() {
    let Some(account) = Account::emulated("two_gateways").await else { return };
    let card = account.card("tok_visa").await;
    let shops: Vec<Shop> = (0..4).map(|_| Shop::new(&account.stripe(), NoFaults)).collect();
    // Journals of their own: all that stands between them and four charges are the keys.
    let answers = futures::future::join_all(shops.iter().map(|shop| shop.pay("same", &card))).await;
    for answer in answers {
        assert!(matches!(answer.status, Status::Paid { .. }), "{answer:?}");
    }
    assert_eq!(only(&account, &id("same")).await, ("succeeded".to_owned(), 1999));
}

#[tokio::test]
async fn a_wire_that_loses_a_tenth_charges_once_or_not_at_all() {
    const PAYMENTS: usize = 60;
    let Some(account) = Account::emulated("bad_wire").await else { return };
    let seed = std::env::var("LEVEL3_WIRE_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or(1);
    println!("LEVEL3_WIRE_SEED={seed}");
    let port = account.url.split([':', '/']).nth(4).and_then(|text| text.parse().ok());
    let port = port.expect("a port");
    let wire = BadWire::new(port, 100, seed).await;
    let url = account.url.replace(&format!(":{port}/"), &format!(":{}/", wire.address.port()));
    let stripe = account.stripe_at(url);
    // The other services fail as often as the assignment's test wants.
    let shop = Shop::new(&stripe, RandomFaults::new(Rates::TEN_PERCENT, seed));
    let card = account.card("tok_visa").await;
    let keys: Vec<String> = (0..PAYMENTS).map(|n| format!("order-{n}")).collect();
    // Eight at once, so that five failures in a row, which open the breaker, are bad luck.
    let paying = futures::stream::iter(&keys).map(|key| shop.pay(key, &card)).buffered(8);
    let answers: Vec<_> = paying.collect().await;
    assert_eq!(shop.gateway.drain(Duration::from_secs(60)).await, 0, "it is brought to an end");

    let intents = account.all_intents().await;
    let charged = intents.iter().filter(|intent| net(intent) != 0).count();
    let rows = shop.world.rows();
    let standing = rows.iter().filter(|row| row.status == RowStatus::Completed).count();
    assert_eq!(charged, standing, "a row for each charge");
    let mut paid = 0;
    for (key, answer) in keys.iter().zip(&answers) {
        let of = |intent: &&Value| intent["metadata"]["payment"] == id(key).as_str();
        let nets: Vec<i64> = intents.iter().filter(of).map(net).collect();
        let charged = matches!(answer.status, Status::Paid { .. });
        paid += usize::from(charged);
        assert_eq!(nets.iter().sum::<i64>(), if charged { 1999 } else { 0 }, "{answer:?} {nets:?}");
        let open = |intent: &&Value| !matches!(status_of(intent), "succeeded" | "canceled");
        assert_eq!(intents.iter().filter(of).filter(open).count(), 0, "{answer:?}");
    }
    assert!(wire.lost() > PAYMENTS / 10, "the wire was bad: {}", wire.lost());
    let is_open = shop.gateway.breaker(Dependency::Payments) != breaker::State::Closed;
    assert!(is_open || paid > PAYMENTS * 8 / 10, "most are still paid: {paid}");
}

/// Stripe itself. Test mode moves no money.
#[tokio::test]
async fn the_gateway_pays_at_stripes_test_mode() {
    use std::io::Write as _;
    let key = std::env::var("STRIPE_SECRET_KEY").unwrap_or_default();
    if !key.starts_with("sk_test_") {
        let why = "skipped, STRIPE_SECRET_KEY is no key of test mode";
        let _ = writeln!(std::io::stderr(), "the_gateway_pays_at_stripes_test_mode: {why}");
        return;
    }
    // Keys live a day: every run needs payments of its own.
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("a clock").as_millis();
    let account = Account::new("https://api.stripe.com".to_owned(), key);
    the_whole_gateway(&account, &format!("level3-{now}")).await;
}
