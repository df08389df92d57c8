//! Provider, ledger and journal that do not agree, and what the reconciler makes of it. Simulated services
//! in virtual time; the stores on disk and an independent Stripe are at the end.

use std::sync::Arc;
use std::time::Duration;

use level3::gateway::{Gateway, GatewayConfig};
use level3_adapters::reconcile::{
    Booked, Books, Outcome, ReconcileConfig, ReconcileError, Reconciler, Sides,
};
use level3_adapters::sql::Asked;
use level3_adapters::sqlite::SqliteStore;
use level3_domain::answer::Status;
use level3_domain::event::NoObserver;
use level3_domain::ids::{IntentId, PaymentId};
use level3_domain::journal::{Journal, MemoryJournal, Record};
use level3_domain::provider::{
    CallFuture, Intent, IntentList, IntentPage, IntentStatus, Ledger, NewRow, Operation,
    ProviderError, ProviderKey, Providers, RowStatus,
};
use level3_sim::{
    CallSite, Fault, Faults, Latencies, NoFaults, RandomFaults, Rates, Script, World,
};

use crate::reconcile_shop::{
    NOTHING, Shop, SimulatedBooks, confirm, confirm_for, make, make_for, row, saga, told, undone,
};
use crate::request::request;
use crate::support::{payment, usd};

#[tokio::test(start_paused = true)]
async fn what_fits_is_left_alone() {
    let shop = Shop::new(Script::new().on(CallSite::Confirm, 2, Fault::Decline));
    for key in ["a", "b", "c"] {
        shop.pay(key).await;
    }
    let calls = shop.world.calls(CallSite::Refund) + shop.world.calls(CallSite::Cancel);
    let report = shop.reconcile().await;
    assert_eq!(told(&report), NOTHING);
    assert_eq!((report.intents, report.rows, report.complete), (3, 2, true));
    assert_eq!(shop.world.calls(CallSite::Refund) + shop.world.calls(CallSite::Cancel), calls);
}

#[tokio::test(start_paused = true)]
async fn a_charge_without_a_row_is_recorded() {
    let shop = Shop::new(NoFaults);
    for key in ["a", "b"] {
        shop.pay(key).await;
    }
    // A backup from before these payments.
    let restored = World::new(NoFaults);
    let ledger = restored.providers().ledger;
    let sides = Sides { ledger, books: Arc::new(SimulatedBooks(restored.clone())), ..shop.sides() };
    let reconciler = Reconciler::new(sides, ReconcileConfig::default());
    let report = reconciler.run().await.unwrap();
    assert_eq!(told(&report), ["charged, and not recorded; recorded"; 2]);
    assert_eq!((restored.rows().len(), restored.outbox(), report.repaired), (2, 2, 2));
    assert_eq!(shop.net(), 2 * 1999);
    assert_eq!(told(&reconciler.run().await.unwrap()), NOTHING, "once");
}

#[tokio::test(start_paused = true)]
async fn a_charge_that_came_late_is_given_back() {
    let shop = Shop::new(NoFaults);
    saga(&shop.journal, "a", undone()).await;
    shop.charge("a", 0).await;
    let report = shop.reconcile().await;
    assert_eq!(told(&report), ["charged after it was undone; refunded"]);
    assert_eq!(shop.net(), 0);
    // A save that comes later still has no row to write.
    let late = shop.world.providers().ledger.save(row("a", "pi_000001")).await;
    assert!(late.is_err(), "{late:?}");
    assert_eq!(told(&shop.reconcile().await), NOTHING);
}

#[tokio::test(start_paused = true)]
async fn a_charge_on_its_way_is_given_back_when_it_is_there() {
    let on_its_way = Fault::Processing(Duration::from_secs(60));
    let shop = Shop::new(Script::new().always(CallSite::Confirm, on_its_way));
    saga(&shop.journal, "a", undone()).await;
    shop.charge("a", 0).await;
    assert_eq!(told(&shop.reconcile().await), NOTHING);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(told(&shop.reconcile().await), ["charged after it was undone; refunded"]);
    assert_eq!(shop.net(), 0);
}

#[tokio::test(start_paused = true)]
async fn many_reconcilers_give_back_once() {
    let shop = Shop::new(NoFaults);
    saga(&shop.journal, "a", undone()).await;
    shop.charge("a", 0).await;
    let (first, second, third) = tokio::join!(shop.reconcile(), shop.reconcile(), shop.reconcile());
    for report in [first, second, third] {
        assert_eq!(report.repaired, report.found, "{report:?}");
    }
    let refunds: Vec<u32> = shop.world.intents().iter().map(|intent| intent.refunds).collect();
    assert_eq!(refunds, [1]);
}

#[tokio::test(start_paused = true)]
async fn an_open_intent_of_an_ended_payment_is_cancelled() {
    let shop = Shop::new(NoFaults);
    saga(&shop.journal, "a", undone()).await;
    let left = shop.intent("a", 0).await;
    // A second intent beside the one that was paid.
    shop.pay("b").await;
    let other = shop.intent("b", 1).await;
    assert_eq!(told(&shop.reconcile().await), ["left open; cancelled"; 2]);
    for id in [left, other] {
        assert_eq!(shop.status(&id), IntentStatus::Canceled);
    }
    assert_eq!(shop.net(), 1999);
    assert_eq!(told(&shop.reconcile().await), NOTHING);
}

#[tokio::test(start_paused = true)]
async fn a_second_charge_is_given_back() {
    let shop = Shop::new(NoFaults);
    shop.pay("a").await;
    shop.charge("a", 1).await;
    assert_eq!(shop.net(), 2 * 1999);
    assert_eq!(told(&shop.reconcile().await), ["charged twice; refunded"]);
    assert_eq!(shop.net(), 1999);
    assert_eq!(told(&shop.reconcile().await), NOTHING);
}

#[tokio::test(start_paused = true)]
async fn a_charge_that_the_journal_does_not_know_is_reported() {
    let shop = Shop::new(NoFaults);
    shop.charge("a", 0).await;
    shop.intent("b", 0).await;
    assert_eq!(told(&shop.reconcile().await), ["charged, and unknown to the journal; reported"]);
    assert_eq!(shop.net(), 1999);
    let all_ours = ReconcileConfig { refund_unknown: true, ..ReconcileConfig::default() };
    let report = shop.reconcile_with(all_ours).await;
    assert_eq!(told(&report), ["charged, and unknown to the journal; refunded"]);
    assert_eq!(shop.net(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_row_without_a_charge_is_reported() {
    let shop = Shop::new(NoFaults);
    shop.world.providers().ledger.save(row("nobody", "pi_1")).await.unwrap();
    // Refunded by hand.
    shop.pay("a").await;
    let id = shop.world.intents()[0].id.clone();
    let key = ProviderKey::new(payment("a"), Operation::Refund);
    shop.world.providers().payments.refund(key, id.clone()).await.unwrap();
    let report = shop.reconcile().await;
    let expected = [
        "recorded, and there is no intent; reported",
        "recorded, and the money was refunded; reported",
    ];
    assert_eq!(told(&report), expected);
    assert_eq!((report.findings[0].intent.clone(), &report.findings[1].intent), (None, &Some(id)));
    assert_eq!(report.findings[0].payment, payment("nobody"));
}

#[tokio::test(start_paused = true)]
async fn another_amount_is_reported() {
    let shop = Shop::new(NoFaults);
    shop.pay("a").await;
    let other = World::new(NoFaults);
    let ledger = other.providers().ledger;
    ledger.save(NewRow { amount: usd(1), ..row("a", "pi_000001") }).await.unwrap();
    let sides = Sides { ledger, books: Arc::new(SimulatedBooks(other)), ..shop.sides() };
    let report = Reconciler::new(sides, ReconcileConfig::default()).run().await.unwrap();
    assert_eq!(told(&report), ["recorded as 0.01 USD, and charged as 19.99 USD; reported"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_under_way_or_parked_is_left_to_others() {
    let shop = Shop::new(NoFaults);
    saga(&shop.journal, "open", vec![]).await;
    saga(&shop.journal, "parked", vec![Record::Parked]).await;
    for name in ["open", "parked"] {
        shop.charge(name, 0).await;
    }
    let report = shop.reconcile().await;
    assert_eq!(told(&report), NOTHING);
    assert_eq!((report.unfinished, report.parked), (1, 1));
    assert_eq!(shop.net(), 2 * 1999);
}

#[tokio::test(start_paused = true)]
async fn looking_changes_nothing() {
    let shop = Shop::new(NoFaults);
    saga(&shop.journal, "a", undone()).await;
    shop.charge("a", 0).await;
    saga(&shop.journal, "b", undone()).await;
    shop.intent("b", 0).await;
    let before = shop.world.intents();
    let look = ReconcileConfig { repair: false, ..ReconcileConfig::default() };
    let report = shop.reconcile_with(look).await;
    assert_eq!((report.found, report.repaired), (2, 0));
    assert!(report.findings.iter().all(|finding| finding.outcome == Outcome::Reported));
    assert_eq!(shop.world.intents(), before);
}

#[tokio::test(start_paused = true)]
async fn a_burnt_key_is_followed_by_the_next() {
    // Refunding breaks without an effect, and says so for the key again and again.
    let broken = Fault::Internal { effect: false };
    let shop = Shop::new(Script::new().on(CallSite::Refund, 1, broken));
    saga(&shop.journal, "a", undone()).await;
    shop.charge("a", 0).await;
    assert_eq!(told(&shop.reconcile().await), ["charged after it was undone; refunded"]);
    let refunds: Vec<u32> = shop.world.intents().iter().map(|intent| intent.refunds).collect();
    assert_eq!(refunds, [1]);
}

#[tokio::test(start_paused = true)]
async fn a_repair_that_fails_is_told_and_tried_next_time() {
    let script = Arc::new(Script::new());
    script.add(CallSite::Refund, Fault::FailBefore);
    let (world, journal) =
        (World::with(Latencies::NONE, Arc::clone(&script) as _, None), MemoryJournal::new());
    let shop = Shop { world, journal, gateway: Shop::new(NoFaults).gateway };
    saga(&shop.journal, "a", undone()).await;
    shop.charge("a", 0).await;
    let report = shop.reconcile().await;
    assert_eq!(told(&report), ["charged after it was undone; not repaired: unavailable"]);
    script.heal(CallSite::Refund);
    assert_eq!(told(&shop.reconcile().await), ["charged after it was undone; refunded"]);
}

#[tokio::test(start_paused = true)]
async fn an_account_of_many_pages() {
    const PAYMENTS: u64 = 350;
    let shop = Shop::new(NoFaults);
    let keys: Vec<String> = (0..PAYMENTS).map(|n| format!("order-{n}")).collect();
    for some in keys.chunks(50) {
        futures::future::join_all(some.iter().map(|key| shop.pay(key))).await;
    }
    let all = shop.reconcile().await;
    assert_eq!((all.intents, all.rows, all.found, all.complete), (PAYMENTS, PAYMENTS, 0, true));
    assert_eq!(shop.world.calls(CallSite::Find), 0, "every row was met on the pages");

    // Beyond the pages and beyond the memory, rows are asked for one by one.
    let narrow = ReconcileConfig { pages: Some(2), matched: 10, ..ReconcileConfig::default() };
    let some = shop.reconcile_with(narrow).await;
    assert_eq!((some.intents, some.rows, some.found, some.complete), (200, PAYMENTS, 0, false));
    assert_eq!(u64::from(shop.world.calls(CallSite::Find)), PAYMENTS - 10);
}

#[tokio::test(start_paused = true)]
async fn findings_are_counted_beyond_those_that_are_told() {
    let shop = Shop::new(NoFaults);
    for n in 0..5 {
        shop.charge(&format!("order-{n}"), 0).await;
    }
    let brief = ReconcileConfig { findings: 2, ..ReconcileConfig::default() };
    let report = shop.reconcile_with(brief).await;
    assert_eq!((report.found, report.findings.len()), (5, 2));
}

/// Lists that fail now and then.
struct Shaky {
    world: World,
    script: Script,
}

impl IntentList for Shaky {
    fn intents(&self, after: Option<IntentId>) -> CallFuture<IntentPage> {
        let nth = self.world.calls(CallSite::Find) + 1;
        let fault = self.script.fault(CallSite::Find, nth, None);
        // Counted by a call that looks for an unknown payment.
        let count = self.world.providers().payments.find_intent(payment("nobody"));
        let page = self.world.clone();
        Box::pin(async move {
            let _ = count.await;
            match fault {
                Fault::None => IntentList::intents(&page, after).await,
                Fault::RateLimited(retry_after) => Err(ProviderError::RateLimited { retry_after }),
                _ => Err(ProviderError::Unavailable),
            }
        })
    }

    fn intent(&self, id: IntentId) -> CallFuture<Option<Intent>> {
        self.world.intent(id)
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_that_fails_is_asked_again_when_it_says() {
    let shop = Shop::new(NoFaults);
    shop.pay("a").await;
    let after = Some(Duration::from_secs(7));
    let shaky = |script| Sides {
        intents: Arc::new(Shaky { world: shop.world.clone(), script }),
        ..shop.sides()
    };
    let begun = tokio::time::Instant::now();
    let busy = Script::new().on(CallSite::Find, 1, Fault::RateLimited(after));
    let report = Reconciler::new(shaky(busy), ReconcileConfig::default()).run().await.unwrap();
    assert_eq!((report.intents, report.found), (1, 0));
    assert!(begun.elapsed() >= Duration::from_secs(7), "{:?}", begun.elapsed());
    let down = Script::new().always(CallSite::Find, Fault::FailBefore);
    let stopped = Reconciler::new(shaky(down), ReconcileConfig::default()).run().await;
    assert_eq!(stopped, Err(ReconcileError::Provider(ProviderError::Unavailable)));
}

/// Payments with failures everywhere, and a reconciler that never stops looking.
#[tokio::test(start_paused = true)]
async fn beside_a_running_gateway_it_does_no_harm() {
    const PAYMENTS: usize = 300;
    let seed = std::env::var("LEVEL3_RECONCILE_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or(1);
    println!("LEVEL3_RECONCILE_SEED={seed}");
    let shop = Shop::new(RandomFaults::new(Rates::TEN_PERCENT, seed));
    let keys: Vec<String> = (0..PAYMENTS).map(|n| format!("order-{n}")).collect();
    let paying = async {
        for some in keys.chunks(15) {
            futures::future::join_all(some.iter().map(|key| shop.pay(key))).await;
        }
        shop.gateway.drain(Duration::from_secs(600)).await
    };
    let mut looks = 0;
    let looking = async {
        loop {
            looks += 1;
            let report = shop.reconcile().await;
            assert_eq!(told(&report), NOTHING, "the gateway leaves nothing behind");
            tokio::time::sleep(Duration::from_millis(151)).await;
        }
    };
    tokio::select! {
        left = paying => assert_eq!(left, 0),
        () = looking => {}
    }
    assert!(looks > 20, "{looks}");
    let rows = shop.world.rows();
    let standing = rows.iter().filter(|row| row.status == RowStatus::Completed).count();
    assert_eq!(shop.net(), 1999 * i64::try_from(standing).unwrap());
    assert_eq!(told(&shop.reconcile().await), NOTHING);
}

/// A store on disk knows which intent a row was written for.
#[tokio::test]
async fn a_store_knows_which_of_two_charges_is_the_rows() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = SqliteStore::open(folder.path().join("payments.sqlite")).await.expect("a store");
    let world = World::with(Latencies::NONE, Arc::new(NoFaults), None);
    let store = Arc::new(store);
    let providers = Providers { ledger: Arc::clone(&store) as _, ..world.providers() };
    let payments = Arc::clone(&providers.payments);
    let journal = Arc::clone(&store) as Arc<dyn Journal>;
    let gateway = Gateway::new(GatewayConfig::default(), providers, journal, Arc::new(NoObserver));
    let reply = gateway.expect("a configuration").pay(request("a")).await.expect("an answer");
    let Status::Paid { intent, .. } = &reply.answer.status else { panic!("{reply:?}") };
    let payment = reply.answer.payment.clone();
    let second = make_for(payments.as_ref(), payment.clone(), 1, "pm_card_visa").await;
    confirm_for(payments.as_ref(), payment, 1, &second).await;

    let sides = Sides {
        payments,
        intents: Arc::new(world.clone()),
        journal: Arc::clone(&store) as _,
        ledger: Arc::clone(&store) as _,
        books: Arc::clone(&store) as _,
        claims: Some(Arc::clone(&store) as _),
    };
    let reconciler = Reconciler::new(sides, ReconcileConfig::default());
    let report = reconciler.run().await.expect("all sides can be read");
    assert_eq!(told(&report), ["charged twice; refunded"]);
    for truth in world.intents() {
        let paid = if truth.id == *intent { 1999 } else { 0 };
        assert_eq!(truth.net(), paid, "the row's stays: {truth:?}");
    }
    assert_eq!(told(&reconciler.run().await.expect("all sides can be read")), NOTHING);
}

/// Books that have nothing.
struct Empty;

impl Books for Empty {
    fn row(&self, _: PaymentId) -> Asked<'_, Option<Booked>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    fn rows(&self, _: u64, _: usize) -> Asked<'_, Vec<Booked>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    fn refunded(&self, _: PaymentId) -> Asked<'_, i64> {
        Box::pin(std::future::ready(Ok(0)))
    }
}

/// The same at a Stripe that is not ours.
#[tokio::test]
async fn a_late_charge_at_an_independent_stripe_is_given_back() {
    use crate::stripe_gateway::{Account, net, only};
    let Some(account) = Account::emulated("reconcile").await else { return };
    let stripe = Arc::new(account.stripe());
    let card = account.card("tok_visa").await;
    let journal = MemoryJournal::new();
    for name in ["late", "open"] {
        saga(&journal, name, undone()).await;
    }
    let late = make(stripe.as_ref(), "late", 0, &card).await;
    confirm(stripe.as_ref(), "late", 0, &late).await;
    make(stripe.as_ref(), "open", 0, &card).await;
    let ledger: Arc<dyn Ledger> =
        World::with(Latencies::NONE, Arc::new(NoFaults), None).providers().ledger;
    let sides = Sides {
        payments: Arc::clone(&stripe) as _,
        intents: stripe,
        journal: Arc::new(journal),
        ledger,
        books: Arc::new(Empty),
        claims: None,
    };
    let reconciler = Reconciler::new(sides, ReconcileConfig::default());
    let mut told_first = told(&reconciler.run().await.expect("all sides can be read"));
    told_first.sort_unstable();
    assert_eq!(told_first, ["charged after it was undone; refunded", "left open; cancelled"]);
    assert_eq!(only(&account, &payment("late")).await, ("succeeded".to_owned(), 0));
    assert_eq!(only(&account, &payment("open")).await, ("canceled".to_owned(), 0));
    assert_eq!(told(&reconciler.run().await.expect("all sides can be read")), NOTHING);
    assert!(account.all_intents().await.iter().all(|intent| net(intent) == 0));
}
