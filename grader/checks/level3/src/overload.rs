//! More payments than can be paid.

mod figures;
mod places;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use grader_kit::{Cx, Fail, Outcome, ensure, lock, ms};
use level3::answer::{PayError, Reply, Status};
use level3::event::NoObserver;
use level3::gateway::{Gateway, GatewayConfig};
use level3::ids::PaymentId;
use level3::journal::MemoryJournal;
use level3::provider::Providers;
use level3_sim::{CallSite, Fault, Faults, Latencies, NarrowFraudCheck, World};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};

use crate::world::{is_paid, request};

/// What the account can take: 100 calls a second, two for each payment.
const CAPACITY: u64 = 50;
/// How long a load lasts before its payments are counted.
const WARM_UP: Duration = Duration::from_secs(4);

type Told = Result<Reply, PayError>;

/// A gateway in front of services that note every call.
struct Counter {
    gateway: Gateway,
    calls: Arc<Calls>,
}

/// The calls, in order: what was called, for which payment, when.
#[derive(Default)]
struct Calls {
    /// Every such charge is declined, counted from the first; 0 for none.
    every_nth_declined: u32,
    /// Whether the fraud check declines every payment.
    fraudulent: AtomicBool,
    /// Whether the ledger is down and a refund gets no answer.
    stuck: AtomicBool,
    /// Whether the first cancel of each payment is answered with a 500 that had no effect.
    cancels_burn: AtomicBool,
    burnt: Mutex<HashSet<PaymentId>>,
    seen: Mutex<Vec<(CallSite, PaymentId, Instant)>>,
    declined: Mutex<HashSet<PaymentId>>,
}

impl Faults for Calls {
    fn fault(&self, site: CallSite, nth: u32, payment: Option<&PaymentId>) -> Fault {
        let Some(payment) = payment else { return Fault::None };
        lock(&self.seen).push((site, payment.clone(), Instant::now()));
        if site == CallSite::Fraud && self.fraudulent.load(Ordering::Relaxed) {
            return Fault::Decline;
        }
        let burns = site == CallSite::Cancel && self.cancels_burn.load(Ordering::Relaxed);
        if burns && lock(&self.burnt).insert(payment.clone()) {
            return Fault::Internal { effect: false };
        }
        match site {
            CallSite::Save if self.stuck.load(Ordering::Relaxed) => return Fault::FailBefore,
            CallSite::Refund if self.stuck.load(Ordering::Relaxed) => return Fault::Hang,
            _ => {}
        }
        let every = self.every_nth_declined;
        if site == CallSite::Confirm && every > 0 && nth.is_multiple_of(every) {
            lock(&self.declined).insert(payment.clone());
            return Fault::Decline;
        }
        Fault::None
    }
}

impl Calls {
    fn payments(&self) -> HashSet<PaymentId> {
        lock(&self.seen).iter().map(|(_, payment, _)| payment.clone()).collect()
    }

    fn of(&self, site: CallSite) -> Vec<(PaymentId, Instant)> {
        let seen = lock(&self.seen);
        let of_site = seen.iter().filter(|(at, ..)| *at == site);
        of_site.map(|(_, payment, at)| (payment.clone(), *at)).collect()
    }
}

/// The outcomes of a load.
#[derive(Default)]
struct Counts {
    offered: u64,
    /// Answers within the time in which they are counted.
    paid_a_second: f64,
    paid: u64,
    declined: u64,
    refused: Vec<Duration>,
    /// Everything else, with the words of the first.
    failed: u64,
    first_failure: String,
}

impl Counter {
    fn new(
        every_nth_declined: u32,
        wrap: impl FnOnce(Providers) -> Providers,
    ) -> Result<Self, Fail> {
        Self::with(GatewayConfig::default(), every_nth_declined, wrap)
    }

    fn with(
        config: GatewayConfig,
        every_nth_declined: u32,
        wrap: impl FnOnce(Providers) -> Providers,
    ) -> Result<Self, Fail> {
        Self::at(Latencies::ASSIGNMENT, config, every_nth_declined, wrap)
    }

    fn at(
        latencies: Latencies,
        config: GatewayConfig,
        every_nth_declined: u32,
        wrap: impl FnOnce(Providers) -> Providers,
    ) -> Result<Self, Fail> {
        let calls = Arc::new(Calls { every_nth_declined, ..Calls::default() });
        let world = World::with(latencies, Arc::clone(&calls) as _, None);
        let journal = Arc::new(MemoryJournal::new());
        let providers = wrap(world.providers());
        let gateway =
            Gateway::new(config, providers, journal, Arc::new(NoObserver)).map_err(|why| {
                Fail::new(format!("Gateway::new refuses a valid configuration: {why}"))
            })?;
        Ok(Self { gateway, calls })
    }

    fn spawn(&self, key: String) -> JoinHandle<(Told, Instant)> {
        let gateway = self.gateway.clone();
        tokio::spawn(async move { (gateway.pay(request(&key)).await, Instant::now()) })
    }

    /// One payment in the script itself: a gateway that is not written yet is found here, and not in the
    /// tasks of a load.
    async fn first(&self, cx: &Cx) -> Result<(), Fail> {
        let told = cx.call("Gateway::pay", self.gateway.pay(request("first"))).await?.value;
        ensure!(
            matches!(&told, Ok(reply) if is_paid(&reply.answer.status)),
            "the only payment of an idle gateway is not paid";
            observed = format!("{told:?}")
        );
        Ok(())
    }

    /// Offers payments at a steady rate, and counts those that are paid after the warm-up.
    async fn load(&self, name: &str, a_second: u64, lasts: Duration) -> Counts {
        let begin = Instant::now();
        let end = begin + WARM_UP + lasts;
        let mut clients = Vec::new();
        for number in 0.. {
            let at = begin + Duration::from_micros(number * 1_000_000 / a_second);
            if at >= end {
                break;
            }
            sleep_until(at).await;
            clients.push(self.spawn(format!("{name} {number}")));
        }
        let mut counts = Counts { offered: clients.len() as u64, ..Counts::default() };
        let mut in_time = 0_u32;
        for client in clients {
            match client.await {
                Ok((told, at)) => {
                    let is_in_time = at > begin + WARM_UP && at <= end;
                    let is_paid = counts.count(told);
                    in_time += u32::from(is_paid && is_in_time);
                }
                Err(panic) => counts.fail(panic.to_string()),
            }
        }
        counts.paid_a_second = f64::from(in_time) / lasts.as_secs_f64();
        counts
    }
}

impl Counts {
    fn count(&mut self, told: Told) -> bool {
        match told.map(|reply| reply.answer.status.clone()) {
            Ok(Status::Paid { .. }) => {
                self.paid += 1;
                return true;
            }
            Ok(Status::Declined { .. }) => self.declined += 1,
            Ok(status) => self.fail(format!("{status:?}")),
            Err(PayError::Overloaded { retry_after }) => self.refused.push(retry_after),
            Err(error) => self.fail(format!("{error:?}")),
        }
        false
    }

    fn fail(&mut self, why: String) {
        if self.failed == 0 {
            self.first_failure = why;
        }
        self.failed += 1;
    }

    fn told(&self) -> String {
        let Self { offered, paid, declined, refused, failed, first_failure, .. } = self;
        let refused = refused.len();
        let first =
            if *failed > 0 { format!(", the first: {first_failure}") } else { String::new() };
        format!(
            "{offered} offered: {paid} paid, {declined} declined, {refused} Overloaded, {failed} failed{first}"
        )
    }
}

pub async fn goodput_holds(cx: Cx) -> Outcome {
    for times in [2, 10, 100] {
        let counter = Counter::new(0, |providers| providers)?;
        counter.first(&cx).await?;
        // Far more come to nothing, so the time may be shorter.
        let lasts = Duration::from_secs(if times == 100 { 4 } else { 10 });
        let counts = counter.load("load", times * CAPACITY, lasts).await;
        ensure!(
            counts.paid_a_second >= 0.95 * CAPACITY as f64,
            "of {} payments a second, {:.1} are paid in a second", times * CAPACITY, counts.paid_a_second;
            expected = "47.5 and more: the account allows 100 calls a second, and a payment needs two",
            observed = counts.told(),
            help = "payments that have begun compete for calls until none of them gets its last one in time; refuse a payment unless all its calls can be made"
        );
    }
    Ok(())
}

pub async fn refuses_before_the_first_call(cx: Cx) -> Outcome {
    let counter = Counter::new(0, |providers| providers)?;
    counter.first(&cx).await?;
    let counts = counter.load("load", 10 * CAPACITY, ms(2000)).await;
    // The first payment as well.
    let admitted = 1 + counts.paid + counts.declined + counts.failed;
    let called = counter.calls.payments().len() as u64;
    ensure!(
        !counts.refused.is_empty(),
        "with ten times the capacity offered, no payment is Overloaded"; observed = counts.told()
    );
    ensure!(
        called <= admitted,
        "{} payments are refused as Overloaded although services were called for them", called - admitted;
        expected = "no call for a payment that is refused", observed = counts.told(),
        help = "admission comes before the saga: a call that was made has to be undone, which takes more calls"
    );
    Ok(())
}

pub async fn admitted_payments_are_paid(cx: Cx) -> Outcome {
    cx.call_fn("Backlog::reserve", || figures::reserves_what_the_rate_allows(&cx)).await??;
    for (what, a_second) in [("ten times", 10 * CAPACITY), ("a hundred times", 100 * CAPACITY)] {
        let counter = Counter::new(0, |providers| providers)?;
        counter.first(&cx).await?;
        let counts = counter.load("load", a_second, ms(2000)).await;
        ensure!(
            counts.failed == 0 && counts.declined == 0,
            "with {what} the capacity offered, {} payments are admitted and not paid although nothing fails",
            counts.failed + counts.declined;
            expected = "paid, or refused as Overloaded before the first call", observed = counts.told(),
            help = "a payment may begin when the account can make all its calls in time, together with those of the payments that have begun"
        );
    }
    Ok(())
}

pub async fn refuses_no_more_than_it_must(cx: Cx) -> Outcome {
    let counter = Counter::new(0, |providers| providers)?;
    counter.first(&cx).await?;
    let all_paid = |counts: &Counts, when: &str| {
        ensure!(
            counts.paid == counts.offered,
            "{} payments are not paid {when}", counts.offered - counts.paid;
            expected = "all paid: there is room for them", observed = counts.told(),
            help = "reserved calls are worked off as time passes; the limit of the payments under way must leave room for what the account allows"
        );
        Ok(())
    };
    all_paid(&counter.load("before", 45, ms(2000)).await, "of 45 in a second")?;
    sleep(ms(5000)).await;
    let burst: Vec<_> = (0..40).map(|number| counter.spawn(format!("burst {number}"))).collect();
    let mut counts = Counts { offered: 40, ..Counts::default() };
    for payment in burst {
        match payment.await {
            Ok((told, _)) => drop(counts.count(told)),
            Err(panic) => counts.fail(panic.to_string()),
        }
    }
    all_paid(&counts, "of 40 that come at once to an idle gateway")?;
    counter.load("too many", 10 * CAPACITY, ms(2000)).await;
    sleep(ms(10_000)).await;
    all_paid(&counter.load("after", 45, ms(2000)).await, "of 45 in a second, after an overload")?;
    declined_ones_take_no_room(&cx).await?;
    cx.call_fn("Backlog::reserve", || figures::accepts_what_takes_long(&cx)).await??;
    cx.call_fn("Backlog::pause_for", || figures::pauses_side_by_side(&cx)).await??;
    cx.call_fn("ConcurrencyLimit::sample", || figures::rises_again(&cx)).await??;
    places::slow_accounts_accept_a_payment(&cx).await?;
    places::slow_receipts_take_no_room(&cx).await?;
    places::repeats_take_no_room(&cx).await
}

/// The fraud check declines all payments: each makes a create and a cancel, and no confirm.
async fn declined_ones_take_no_room(cx: &Cx) -> Outcome {
    let counter = Counter::new(0, |providers| providers)?;
    counter.first(cx).await?;
    counter.calls.fraudulent.store(true, Ordering::Relaxed);
    let counts = counter.load("declined", 45, ms(10_000)).await;
    ensure!(
        counts.declined == counts.offered,
        "of 45 payments a second, which the fraud check declines, {} are refused", counts.offered - counts.declined;
        expected = "all declined: each makes two calls, and the account allows 100 a second", observed = counts.told(),
        help = "release the calls that a payment will not make, as soon as that is known"
    );
    Ok(())
}

pub async fn undoes_before_it_begins(cx: Cx) -> Outcome {
    let counter = Counter::new(3, |providers| providers)?;
    counter.first(&cx).await?;
    counter.load("load", 10 * CAPACITY, ms(6000)).await;
    sleep(ms(20_000)).await;
    let calls = &counter.calls;
    let (creates, cancels) = (calls.of(CallSite::Create), calls.of(CallSite::Cancel));
    let declined = lock(&calls.declined).clone();
    // A confirm is answered after 300 ms, and its cancel is due then.
    let due: HashMap<PaymentId, Instant> = calls
        .of(CallSite::Confirm)
        .into_iter()
        .filter(|(payment, _)| declined.contains(payment))
        .map(|(payment, at)| (payment, at + ms(300)))
        .collect();
    ensure!(
        declined.len() >= 20 && cancels.len() >= declined.len(),
        "of {} declined charges, {} are cancelled", declined.len(), cancels.len();
        expected = "a cancel for each"
    );
    for (payment, made) in cancels {
        let Some(due) = due.get(&payment) else { continue };
        let before = creates.iter().filter(|(_, at)| *at > *due && *at < made).count();
        ensure!(
            before == 0,
            "{before} new payments make their first call while a cancel is due";
            expected = "what undoes goes before every new payment",
            observed = format!("the cancel waits {} ms", (made - *due).as_millis()),
            help = "ask the limiter with Priority::Refund for whatever undoes"
        );
    }
    looks_up_before_it_begins(&cx).await
}

/// The provider answers each first cancel with a 500 that had no effect: the undo looks the intent up, and goes on.
async fn looks_up_before_it_begins(cx: &Cx) -> Outcome {
    // When a lookup is due: with the answer to the cancel.
    let due = |at: Instant| at + Latencies::ASSIGNMENT.of(CallSite::Cancel);
    let first_cancels = |calls: &Calls| {
        let mut first: HashMap<PaymentId, Instant> = HashMap::new();
        for (payment, at) in calls.of(CallSite::Cancel) {
            first.entry(payment).or_insert(at);
        }
        first
    };
    // A gateway may wait before it looks up, or not look up at all.
    let quiet = Counter::new(1, |providers| providers)?;
    quiet.calls.cancels_burn.store(true, Ordering::Relaxed);
    cx.call("Gateway::pay", quiet.gateway.pay(request("first"))).await?.value.ok();
    sleep(ms(20_000)).await;
    let cancels = first_cancels(&quiet.calls);
    let at_once =
        quiet.calls.of(CallSite::Find).iter().any(|(payment, at)| {
            cancels.get(payment).is_some_and(|cancelled| due(*cancelled) == *at)
        });
    if !at_once {
        return Ok(());
    }
    let counter = Counter::new(3, |providers| providers)?;
    counter.first(cx).await?;
    counter.calls.cancels_burn.store(true, Ordering::Relaxed);
    counter.load("load", 10 * CAPACITY, ms(6000)).await;
    sleep(ms(20_000)).await;
    let calls = &counter.calls;
    let (creates, cancels) = (calls.of(CallSite::Create), first_cancels(calls));
    for (payment, made) in calls.of(CallSite::Find) {
        let Some(due) = cancels.get(&payment).map(|at| due(*at)) else { continue };
        let before = creates.iter().filter(|(_, at)| *at > due && *at < made).count();
        ensure!(
            before == 0,
            "a cancel is answered with a 500, and {before} new payments make their first call before the undo looks the intent up";
            expected = "what undoes goes before every new payment: a lookup of an undo too",
            observed = format!("the lookup waits {} ms", (made - due).as_millis()),
            help = "ask the limiter with Priority::Refund for each call of an undo, also for one that moves no money"
        );
    }
    Ok(())
}

pub async fn follows_the_slowest_service(cx: Cx) -> Outcome {
    cx.call_fn("ConcurrencyLimit::sample", || figures::stays_at_or_below_the_maximum(&cx))
        .await??;
    // 16 at once, 500 ms each: 32 in a second.
    let narrow = |providers: Providers| {
        let fraud = Arc::new(NarrowFraudCheck::new(Arc::clone(&providers.fraud), 16));
        Providers { fraud, ..providers }
    };
    for a_second in [47, 100, 1000] {
        let counter = Counter::new(0, narrow)?;
        counter.first(&cx).await?;
        let counts = counter.load("load", a_second, ms(20_000)).await;
        ensure!(
            counts.paid_a_second >= 28.0 && counts.failed == 0,
            "a fraud check answers 32 questions a second; of {a_second} payments a second, {:.1} are paid in a second and {} fail",
            counts.paid_a_second, counts.failed;
            expected = "28 and more in a second, and none fails", observed = counts.told(),
            help = "the questions that wait at the fraud check take longer and longer, up to their time limit: let fewer payments in when its answers become slow"
        );
    }
    Ok(())
}

pub async fn says_when_to_come_back(cx: Cx) -> Outcome {
    let counter = Counter::new(0, |providers| providers)?;
    counter.first(&cx).await?;
    let counts = counter.load("load", 10 * CAPACITY, ms(2000)).await;
    let wrong = counts.refused.iter().find(|after| after.is_zero() || **after > ms(10_000));
    ensure!(
        wrong.is_none() && !counts.refused.is_empty(),
        "a refusal does not say when to come back";
        expected = "a `retry_after` of more than 0 and at most 10 000 ms", observed = format!("{wrong:?}"),
        help = "the time until the account has made enough of the calls that it owes"
    );
    refuses_for_seconds(&cx).await?;
    knows_before_the_first_end(&cx).await?;
    never_says_at_once(&cx).await?;
    // The last one that is refused comes back, alone.
    for round in 0..5 {
        sleep(ms(10_000)).await;
        let mut clients = Vec::new();
        // Another number of payments in each round, so that the last one does not always meet a free place.
        for number in 0..1500 + 3 * round {
            let key = format!("round {round}, {number}");
            clients.push((key.clone(), counter.spawn(key)));
            sleep(ms(2)).await;
        }
        let mut last = None;
        for (key, client) in clients.into_iter().rev() {
            if !client.is_finished() {
                continue;
            }
            if let Ok((Err(PayError::Overloaded { retry_after }), at)) = client.await {
                last = Some((key, retry_after, at));
                break;
            }
        }
        let Some((key, retry_after, at)) = last else { continue };
        sleep_until(at + retry_after).await;
        let told = cx.call("Gateway::pay", counter.gateway.pay(request(&key))).await?.value;
        ensure!(
            told.is_ok(),
            "a payment that is offered again after `retry_after` is refused again";
            expected = format!("admitted {} ms after the refusal, when no other payment is offered", retry_after.as_millis()),
            observed = format!("{told:?}")
        );
    }
    Ok(())
}

/// The first burst after a start: no payment has ended yet, and none says how long one takes.
async fn knows_before_the_first_end(cx: &Cx) -> Outcome {
    let few = u32::try_from(cx.draw().between(1..=9)).unwrap_or(1);
    let limited = GatewayConfig { max_in_flight: few, ..GatewayConfig::default() };
    for (config, offered) in [(GatewayConfig::default(), 6 * CAPACITY), (limited, CAPACITY / 2)] {
        let max_in_flight = config.max_in_flight;
        let counter = Counter::with(config, 0, |providers| providers)?;
        let burst = (0..offered).map(|number| {
            let gateway = counter.gateway.clone();
            async move { gateway.pay(request(&format!("burst {number}"))).await }
        });
        let burst = futures::future::join_all(burst.collect::<Vec<_>>());
        let mut counts = Counts { offered, ..Counts::default() };
        for told in cx.call("Gateway::pay", burst).await?.value {
            counts.count(told);
        }
        let wrong = counts.refused.iter().find(|after| after.is_zero() || **after > ms(10_000));
        ensure!(
            wrong.is_none() && !counts.refused.is_empty(),
            "{offered} payments come at once to a gateway that was just started, with max_in_flight {max_in_flight}: a refusal does not say when to come back";
            expected = "a `retry_after` of more than 0 and at most 10 000 ms",
            observed = format!("{wrong:?}; {}", counts.told()),
            help = "begin with a guess of how long a payment takes, for as long as none has ended"
        );
    }
    Ok(())
}

/// Payments whose undo takes minutes say nothing about when the next one may come.
async fn refuses_for_seconds(cx: &Cx) -> Outcome {
    let few = u32::try_from(cx.draw().between(4..=9)).unwrap_or(4);
    let limited = GatewayConfig { max_in_flight: few, ..GatewayConfig::default() };
    for config in [GatewayConfig::default(), limited] {
        let max_in_flight = config.max_in_flight;
        let counter = Counter::with(config, 0, |providers| providers)?;
        counter.first(cx).await?;
        counter.calls.stuck.store(true, Ordering::Relaxed);
        for number in 0..3 {
            drop(counter.spawn(format!("stuck {number}")));
        }
        sleep(ms(60_000)).await;
        counter.calls.stuck.store(false, Ordering::Relaxed);
        sleep(ms(60_000)).await;
        let a_second = if max_in_flight == few { 2 * CAPACITY } else { 100 * CAPACITY };
        let counts = counter.load("after", a_second, ms(1000)).await;
        let longest = counts.refused.iter().max().copied().unwrap_or_default();
        ensure!(
            !counts.refused.is_empty() && longest <= ms(10_000),
            "with max_in_flight {max_in_flight}, after payments whose undo took a minute, a refusal says: come back in {} ms", longest.as_millis();
            expected = "a `retry_after` of at most 10 000 ms", observed = counts.told(),
            help = "how long an undo takes is no measure for a payment: bound it by GatewayConfig::total"
        );
    }
    Ok(())
}

/// Payments that take no time say nothing either.
async fn never_says_at_once(cx: &Cx) -> Outcome {
    let few = u32::try_from(cx.draw().between(1..=9)).unwrap_or(1);
    let config = GatewayConfig { max_in_flight: few, ..GatewayConfig::default() };
    let counter = Counter::at(Latencies::NONE, config, 0, |providers| providers)?;
    counter.first(cx).await?;
    let burst = (0..25).map(|number| {
        let gateway = counter.gateway.clone();
        async move { gateway.pay(request(&format!("burst {number}"))).await }
    });
    let burst = futures::future::join_all(burst.collect::<Vec<_>>());
    let told = cx.call("Gateway::pay", burst).await?.value;
    let at_once = told.iter().any(
        |told| matches!(told, Err(PayError::Overloaded { retry_after }) if retry_after.is_zero()),
    );
    ensure!(
        !at_once,
        "services answer at once, and 25 payments come together to a gateway with max_in_flight {few}: one is refused with a `retry_after` of 0 ms";
        expected = "a `retry_after` of more than 0",
        help = "a client that obeys zero comes back in a loop: at least a millisecond, however fast the last payment was"
    );
    Ok(())
}

pub async fn repeats_are_not_refused(cx: Cx) -> Outcome {
    let counter = Counter::new(0, |providers| providers)?;
    counter.first(&cx).await?;
    let load = counter.load("load", 10 * CAPACITY, ms(1000));
    let repeats = async {
        let mut told = Vec::new();
        for _ in 0..20 {
            sleep(ms(200)).await;
            told.push(counter.gateway.pay(request("first")).await);
        }
        told
    };
    let (_, told) = tokio::join!(load, repeats);
    let other = told
        .iter()
        .find(|told| !matches!(told, Ok(reply) if reply.replayed && is_paid(&reply.answer.status)));
    ensure!(
        other.is_none(),
        "under overload, a payment that was paid before does not get its answer";
        expected = "the stored answer: it needs no call", observed = format!("{other:?}"),
        help = "look for the key before you refuse"
    );
    Ok(())
}
