//! Amounts, keys and scores, with the boundaries of each.

use std::sync::{Arc, Mutex};

use futures::FutureExt as _;
use grader_kit::{Cx, Fail, Outcome, ensure, ensure_eq, lock, ms};
use level3::answer::{Dependency, Status};
use level3::breaker::State;
use level3::event::NoObserver;
use level3::gateway::{Gateway, GatewayConfig};
use level3::ids::{IntentId, PaymentId};
use level3::journal::{MemoryJournal, StoreId};
use level3::provider::{
    CallFuture, CreateIntent, FraudAssessment, FraudCheck, FraudQuestion, Intent, IntentStatus,
    PaymentProvider, ProviderKey, Providers, Refund, RiskScore,
};
use level3::request::PaymentRequest;
use level3_sim::{NoFaults, Script, World};
use tokio::time::sleep;

use crate::values::{amounts, drawn, keys};
use crate::world::{paid, stage, stage_with, status};

/// A fraud check that notes what it is asked, and gives every payment this score.
struct Scores {
    score: RiskScore,
    asked: Arc<Mutex<Vec<FraudQuestion>>>,
}

impl FraudCheck for Scores {
    fn check(&self, question: FraudQuestion) -> CallFuture<FraudAssessment> {
        let score = self.score;
        lock(&self.asked).push(question);
        async move {
            sleep(ms(500)).await;
            Ok(FraudAssessment { score })
        }
        .boxed()
    }
}

pub async fn charges_what_is_asked(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let asked: Arc<Mutex<Vec<FraudQuestion>>> = Arc::default();
    let fraud = Scores { score: RiskScore { hundredths: 0 }, asked: Arc::clone(&asked) };
    let wrap = |providers: Providers| Providers { fraud: Arc::new(fraud), ..providers };
    let stage = stage_with(&cx, Script::new(), GatewayConfig::default(), wrap)?;
    for (number, (amount, currency)) in amounts(&mut draw).into_iter().enumerate() {
        let key = format!("{} {number}", draw.word());
        let request =
            PaymentRequest { amount, currency: currency.to_owned(), ..drawn(&mut draw, &key) };
        let when = format!("for {amount} minor units of {currency}");
        let reply = cx.call("Gateway::pay", stage.gateway.pay(request.clone())).await?.value;
        paid(&reply, &when)?;
        sleep(ms(1000)).await;
        let Ok(reply) = reply else { continue };
        let payment = &reply.answer.payment;
        let mine = |of: &PaymentId| of == payment;
        let intents = stage.world.intents();
        let charged =
            intents.iter().find(|intent| mine(&intent.payment)).map(|intent| intent.amount);
        let rows = stage.world.rows();
        let booked = rows.iter().find(|row| mine(&row.payment)).map(|row| row.amount);
        let mails = stage.world.mails();
        let mail = mails.iter().find(|mail| mail.order.as_str() == request.order);
        let questions = lock(&asked).clone();
        let question = questions.iter().find(|question| mine(&question.payment));
        let seen = [
            ("the intent", charged),
            ("the row", booked),
            ("the receipt", mail.map(|mail| mail.amount)),
            ("the question to the fraud check", question.map(|question| question.amount)),
            ("the answer", Some(reply.answer.amount)),
        ];
        for (what, money) in seen {
            let money = money.map(|money| (money.minor(), money.currency().code().to_owned()));
            ensure!(
                money == Some((amount, currency.to_owned())),
                "{when}: {what} has another amount";
                expected = format!("{amount} {currency}"), observed = format!("{money:?}"),
                help = "an amount is a whole number of minor units from end to end: nothing multiplies, divides or rounds it"
            );
        }
        let (order, email) = (request.order.as_str(), request.email.as_str());
        let told = [
            ("the receipt", mail.map(|mail| (mail.order.as_str(), mail.email.expose()))),
            (
                "the question to the fraud check",
                question.map(|q| (q.order.as_str(), q.email.expose())),
            ),
        ];
        for (what, told) in told {
            ensure!(told == Some((order, email)), "{when}: {what} has another order or address"; expected = format!("{:?}", (order, email)), observed = format!("{told:?}"));
        }
    }
    Ok(())
}

pub async fn keys_tell_payments_apart(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let stage = stage(&cx, Script::new())?;
    let mut keys = keys(&mut draw);
    draw.shuffle(&mut keys);
    let mut payments: Vec<(String, PaymentId)> = Vec::new();
    for key in &keys {
        let request = drawn(&mut draw, key);
        let reply = cx.call("Gateway::pay", stage.gateway.pay(request.clone())).await?.value;
        paid(&reply, &format!("for the key {key:?}, which no payment has used"))?;
        let Ok(reply) = reply else { continue };
        let id = &reply.answer.payment;
        if let Some((other, _)) = payments.iter().find(|(_, known)| known == id) {
            return Err(Fail::new(format!("the keys {other:?} and {key:?} have one payment"))
                .expected("a payment for each key: every character of a key counts")
                .observed(format!("both are {id}")));
        }
        payments.push((key.clone(), id.clone()));
        let again = cx.call("Gateway::pay", stage.gateway.pay(request)).await?.value;
        ensure!(
            again.as_ref().is_ok_and(|again| again.replayed && again.answer.payment == *id),
            "a repeat of the key {key:?} is not answered with its payment";
            expected = format!("{id}, replayed"), observed = format!("{again:?}")
        );
    }
    let charged = stage.world.intents().iter().filter(|intent| intent.charges == 1).count();
    ensure_eq!(charged, keys.len(), "{} different keys are another number of charges", keys.len());
    Ok(())
}

/// Scores up to the bound, and from it on.
pub(super) async fn declines_by_score(cx: &Cx) -> Outcome {
    let mut draw = cx.draw();
    let below = u16::try_from(draw.below(9_499)).unwrap_or(0);
    let above = u16::try_from(draw.between(9_502..=9_999)).unwrap_or(9_900);
    for hundredths in [0, below, 9_498, 9_499, 9_500, 9_501, above, 10_000] {
        let score = RiskScore { hundredths };
        let fraud = Scores { score, asked: Arc::default() };
        let wrap = |providers: Providers| Providers { fraud: Arc::new(fraud), ..providers };
        let stage = stage_with(cx, Script::new(), GatewayConfig::default(), wrap)?;
        let request = drawn(&mut draw, "scored");
        let reply = cx.call("Gateway::pay", stage.gateway.pay(request)).await?.value;
        let told = status(&reply, "for a payment that the fraud check has scored")?;
        let declined = matches!(&told, Status::Declined { by, .. } if by == "fraud");
        ensure!(
            declined == (hundredths >= 9_500),
            "a payment with the score {}.{:02} is answered otherwise", hundredths / 100, hundredths % 100;
            expected = if hundredths >= 9_500 { "Declined by fraud: 95.00 and more is too risky" } else { "Paid: less than 95.00 is not too risky" },
            observed = format!("{told:?}"), help = "RiskScore::DECLINED_FROM"
        );
        ensure_eq!(
            stage.gateway.breaker(Dependency::Fraud),
            State::Closed,
            "a score opens the breaker, although the service works"
        );
    }
    Ok(())
}

/// A provider that answers for one payment with the intent of another one, which has been charged.
struct Replays {
    inner: Arc<dyn PaymentProvider>,
    victim: Intent,
}

impl Replays {
    fn mine(&self, payment: &PaymentId) -> bool {
        *payment == self.victim.payment
    }

    fn replay(&self) -> CallFuture<Intent> {
        let intent = self.victim.clone();
        async move {
            sleep(ms(200)).await;
            Ok(intent)
        }
        .boxed()
    }
}

impl PaymentProvider for Replays {
    fn create_intent(&self, request: CreateIntent) -> CallFuture<Intent> {
        if self.mine(&request.payment) { self.inner.create_intent(request) } else { self.replay() }
    }
    fn confirm(&self, key: ProviderKey, intent: IntentId) -> CallFuture<Intent> {
        if self.mine(&key.payment) { self.inner.confirm(key, intent) } else { self.replay() }
    }
    fn cancel(&self, key: ProviderKey, intent: IntentId) -> CallFuture<Intent> {
        self.inner.cancel(key, intent)
    }
    fn refund(&self, key: ProviderKey, intent: IntentId) -> CallFuture<Refund> {
        self.inner.refund(key, intent)
    }
    fn find_intent(&self, payment: PaymentId) -> CallFuture<Option<Intent>> {
        self.inner.find_intent(payment)
    }
}

fn of_store(world: &World, store: &str) -> Result<Gateway, Fail> {
    let journal = Arc::new(MemoryJournal::of(StoreId::new(store)));
    let observer = Arc::new(NoObserver);
    Gateway::new(GatewayConfig::default(), world.providers(), journal, observer)
        .map_err(|why| Fail::new(format!("Gateway::new refuses a valid configuration: {why}")))
}

pub async fn stores_share_no_names(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let world = World::new(NoFaults);
    let (first, second) = (draw.word(), draw.word());
    let request = drawn(&mut draw, "run-1-1");
    let amount = request.amount;
    // The last one is a prefix of the one before, and the store's identity is all that differs.
    let stores = [
        format!("{first} {second}"),
        format!("{second}+{first}"),
        format!("{first} {second} "),
        String::new(),
    ];
    for (number, store) in (1_i64..).zip(&stores) {
        let gateway = of_store(&world, store)?;
        let reply = cx.call("Gateway::pay", gateway.pay(request.clone())).await?.value;
        paid(
            &reply,
            &format!("in store {number} of one account, whose key another store has used"),
        )?;
        sleep(ms(2000)).await;
        let net: i64 = world.intents().iter().map(|intent| intent.net()).sum();
        let rows = world.rows().len();
        ensure!(
            net == number * amount && i64::try_from(rows) == Ok(number),
            "{number} stores with one account at the provider each have a payment that is told \"paid\": {net} are charged, with {rows} rows";
            expected = format!("{} and {number} rows: the same key in another store is another payment", number * amount),
            help = "derive every name from Journal::store_id, the client's key and the run: PaymentId::derive takes all three"
        );
    }
    let again = of_store(&world, &stores[0])?;
    cx.call("Gateway::pay", again.pay(request.clone())).await?;
    let net: i64 = world.intents().iter().map(|intent| intent.net()).sum();
    ensure!(net == 4 * amount, "the same store, opened again without its records, charges the same payment twice"; expected = "the same names as before: the provider replays what it has answered", observed = format!("{} are charged in all", net));
    foreign_intents(&cx).await
}

async fn foreign_intents(cx: &Cx) -> Outcome {
    let mut draw = cx.draw();
    for status in [IntentStatus::Succeeded, IntentStatus::RequiresConfirmation] {
        let world = World::new(NoFaults);
        let theirs = of_store(&world, "theirs")?;
        let request = drawn(&mut draw, "theirs");
        let reply = cx.call("Gateway::pay", theirs.pay(request.clone())).await?.value;
        paid(&reply, "although nothing fails")?;
        let Some(charged) = world.intents().into_iter().next() else {
            return Err(Fail::new("a payment is told \"paid\" and has no intent"));
        };
        let victim = Intent {
            id: charged.id.clone(),
            payment: charged.payment.clone(),
            amount: charged.amount,
            status,
            refunded: false,
        };
        let providers = world.providers();
        let payments =
            Arc::new(Replays { inner: Arc::clone(&providers.payments), victim: victim.clone() });
        let providers = Providers { payments, ..providers };
        let journal = Arc::new(MemoryJournal::of(StoreId::new("ours")));
        let ours = Gateway::new(GatewayConfig::default(), providers, journal, Arc::new(NoObserver))
            .map_err(|why| {
                Fail::new(format!("Gateway::new refuses a valid configuration: {why}"))
            })?;
        let same_amount = PaymentRequest { key: "ours".to_owned(), ..request };
        let reply = cx.call("Gateway::pay", ours.pay(same_amount)).await?.value;
        let told = reply.as_ref().map(|reply| reply.answer.status.clone());
        let is_paid = matches!(told, Ok(Status::Paid { .. }));
        ensure!(
            !is_paid && world.rows().len() == 1,
            "the provider answers with an intent that was made for another payment ({status}), and it is counted as paid";
            expected = "not paid: no customer was charged for this payment", observed = format!("{told:?}"),
            help = "Intent::payment says which payment an intent was made for"
        );
        sleep(ms(200_000)).await;
        let untouched = world
            .intents()
            .iter()
            .all(|intent| intent.id != victim.id || (intent.charges, intent.refunds) == (1, 0));
        ensure!(
            untouched,
            "the provider answers with an intent that was made for another payment ({status}), and undoing refunds it";
            expected = "another payment's intent is left alone: its customer has paid and has an answer",
            help = "undo what was made for this payment; find_intent says whether there is anything"
        );
    }
    Ok(())
}
