//! The process dies, at every point at which it can, and another one takes over.

mod cut_short;
mod letters;
mod parked;
mod receipts;

pub use parked::parked_are_dead_letters;

use std::sync::Arc;

use grader_kit::{Cx, Fail, Outcome, ensure, ms};
use level3::answer::PayError;
use level3::event::NoObserver;
use level3::gateway::{Gateway, GatewayConfig, Recovered};
use level3::journal::{Journal as _, MemoryJournal, Opened, Payload, Record, SagaId, Standing};
use level3::nonzero;
use level3::provider::{IntentStatus, RowStatus};
use level3::request::PaymentRequest;
use level3_sim::{
    CallSite, CrashPoint, Fault, Faults, Latencies, MortalJournal, Process, Script, World,
};
use tokio::time::sleep;

use crate::world::request;

/// Makes a new script of the faults of one payment.
type Scripted = fn() -> Script;

/// Payments whose crashes are looked at: one that goes well, and ones that go back from each step.
fn scripts() -> [(&'static str, Scripted); 4] {
    [
        ("a payment that goes well", Script::new),
        ("a payment whose row cannot be written", || {
            Script::new().always(CallSite::Save, Fault::Decline)
        }),
        ("a payment that is too risky", || Script::new().always(CallSite::Fraud, Fault::Decline)),
        ("a payment that is charged without an answer", || {
            Script::new()
                .on(CallSite::Confirm, 1, Fault::LoseReply)
                .always(CallSite::Save, Fault::FailBefore)
        }),
    ]
}

struct Scene {
    world: World,
    journal: MemoryJournal,
}

impl Scene {
    fn new(script: Script) -> Self {
        Self { world: World::new(script), journal: MemoryJournal::new() }
    }

    fn gateway(&self, process: &Process) -> Result<Gateway, Fail> {
        self.gateway_with(GatewayConfig::default(), process)
    }

    fn gateway_with(&self, config: GatewayConfig, process: &Process) -> Result<Gateway, Fail> {
        let (providers, journal) =
            (self.world.providers_of(process), MortalJournal::new(&self.journal, process));
        Gateway::new(config, providers, Arc::new(journal), Arc::new(NoObserver))
            .map_err(|why| Fail::new(format!("Gateway::new refuses a valid configuration: {why}")))
    }

    /// A payment in a process that dies at the point. False if the payment was over before that.
    async fn crash(&self, point: CrashPoint) -> Result<bool, Fail> {
        let process = Process::that_dies(point);
        let gateway = self.gateway(&process)?;
        tokio::select! {
            _ = gateway.pay(request("a")) => sleep(ms(2000)).await,
            () = process.death() => {}
        }
        Ok(process.is_dead())
    }

    /// What customers have paid in the end, in minor units.
    fn net(&self) -> i64 {
        self.world.intents().iter().map(|intent| intent.net()).sum()
    }

    /// The books balance, and nothing is open.
    fn check(&self, when: &str) -> Outcome {
        let rows =
            self.world.rows().iter().filter(|row| row.status == RowStatus::Completed).count();
        let (intents, net) = (self.world.intents(), self.net());
        let help = "claim every open saga; finish it if the customer is charged, undo it otherwise, with the same keys";
        ensure!(
            self.journal.count(Standing::Open) == 0,
            "{when}: the payment is still open after recover()"; help = help
        );
        ensure!(
            (net == 1999 && rows == 1) || (net == 0 && rows == 0),
            "{when}: {net} charged and {rows} rows after recover()";
            expected = "both or neither", help = help
        );
        let waiting = intents
            .iter()
            .filter(|i| !matches!(i.status, IntentStatus::Canceled | IntentStatus::Succeeded));
        ensure!(waiting.count() == 0, "{when}: an intent is left open after recover()"; help = help);
        let twice = intents.iter().any(|intent| intent.charges > 1 || intent.refunds > 1);
        ensure!(!twice && self.world.mails().len() <= 1, "{when}: something is done twice"; help = help);
        Ok(())
    }
}

/// Every point at which a process that takes so many actions can die.
fn points(actions: u32) -> impl Iterator<Item = CrashPoint> {
    (1..=actions).flat_map(|nth| [CrashPoint::Before(nth), CrashPoint::After(nth)])
}

/// How many actions a payment takes, its receipt included.
async fn actions(script: Script) -> Result<u32, Fail> {
    let (scene, process) = (Scene::new(script), Process::new());
    let gateway = scene.gateway(&process)?;
    let _ = gateway.pay(request("a")).await;
    sleep(ms(3000)).await;
    Ok(process.actions())
}

/// Tries something at every point of every payment, side by side, and tells the first that is wrong.
async fn everywhere<F>(
    cx: &Cx,
    name: &str,
    attempt: fn(&'static str, fn() -> Script, CrashPoint) -> F,
) -> Outcome
where
    F: Future<Output = Outcome> + Send + 'static,
{
    crate::world::is_written(cx).await?;
    for (what, script) in scripts() {
        let actions = actions(script()).await?;
        ensure!(actions > 5, "{what}: the process is seen to do {actions} things only"; help = "journal each effect before it is tried");
        cx.note(format!("{what}: {} points", 2 * actions));
        let running: Vec<_> =
            points(actions).map(|point| tokio::spawn(attempt(what, script, point))).collect();
        for one in running {
            let ended = async { one.await.unwrap_or_else(|_| Err(Fail::new("it panics"))) };
            cx.call(name, ended).await?.value?;
        }
    }
    Ok(())
}

async fn recover(gateway: &Gateway, when: &str) -> Result<Recovered, Fail> {
    let recovery = tokio::time::timeout(ms(200_000), gateway.recover()).await;
    match recovery {
        Ok(Ok(recovered)) => Ok(recovered),
        Ok(Err(error)) => {
            Err(Fail::new(format!("{when}: recover() fails")).observed(error.to_string()))
        }
        Err(_) => Err(Fail::new(format!("{when}: recover() does not end within 200 s"))),
    }
}

async fn once(what: &'static str, script: fn() -> Script, point: CrashPoint) -> Outcome {
    let when = format!("{what}, dead {point:?}");
    let scene = Scene::new(script());
    scene.crash(point).await?;
    let gateway = scene.gateway(&Process::new())?;
    let was_open = scene.journal.count(Standing::Open);
    let recovered = recover(&gateway, &when).await?;
    let told = recovered.finished + recovered.undone;
    ensure!(
        told == was_open, "{when}: recover() reports {told} payments, and {was_open} were open";
        observed = format!("{recovered:?}")
    );
    let left = gateway.drain(ms(60_000)).await;
    ensure!(left == 0, "{when}: {left} payments under way after a drain of 60 s");
    scene.check(&when)?;
    let paid = scene.world.rows().iter().any(|row| row.status == RowStatus::Completed);
    ensure!(
        !paid || scene.world.mails().len() == 1,
        "{when}: the receipt of a paid payment is not sent after recover() and drain()";
        expected = "sent once: it stands in the outbox",
        observed = format!("{} mails, {} in the outbox", scene.world.mails().len(), scene.world.outbox()),
        help = "a receipt leaves the outbox when it is sent, and recover() sends those that are left; a drain waits for them from then on"
    );
    if paid {
        let other = PaymentRequest { amount: 5, ..request("a") };
        let reply = gateway.pay(other).await;
        match reply {
            Err(PayError::KeyReused) => {}
            Err(PayError::JournalUnreadable(why)) => {
                return Err(Fail::new(format!(
                    "{when}: the new process cannot read what the journal holds of an ended payment"
                ))
                .expected("KeyReused, for the same key with another amount")
                .observed(why)
                .help("recovery writes records that every later process must be able to read"));
            }
            reply => ensure!(
                reply == Err(PayError::KeyReused),
                "{when}: the same key with another amount is not refused by the new process";
                expected = "KeyReused", observed = format!("{reply:?}"),
                help = "compare with the state that the saga began with: Saga::begun_with"
            ),
        }
    }
    Ok(())
}

async fn twice(what: &'static str, script: fn() -> Script, point: CrashPoint) -> Outcome {
    let when = format!("{what}, dead {point:?}, two recover");
    let scene = Scene::new(script());
    scene.crash(point).await?;
    let (one, two) = (scene.gateway(&Process::new())?, scene.gateway(&Process::new())?);
    let calls = |site| scene.world.calls(site);
    let before = (calls(CallSite::Refund), calls(CallSite::Cancel));
    let (one, two) = tokio::join!(recover(&one, &when), recover(&two, &when));
    let ended = |recovered: Recovered| recovered.finished + recovered.undone;
    let ended = ended(one?) + ended(two?);
    sleep(ms(10_000)).await;
    scene.check(&when)?;
    let (refunds, cancels) =
        (calls(CallSite::Refund) - before.0, calls(CallSite::Cancel) - before.1);
    ensure!(
        ended <= 1 && refunds <= 1 && cancels <= 1,
        "{when}: {ended} of them say that they have ended it, with {refunds} refunds and {cancels} cancels";
        expected = "one of the two has claimed the payment, and the other leaves it alone"
    );
    Ok(())
}

async fn again(what: &'static str, script: fn() -> Script, point: CrashPoint) -> Outcome {
    // The heir dies as well, at each of its own points.
    let heirs: Vec<_> =
        points(20).map(|second| tokio::spawn(heir(what, script, point, second))).collect();
    for heir in heirs {
        heir.await.unwrap_or_else(|_| Err(Fail::new("it panics")))?;
    }
    Ok(())
}

async fn heir(
    what: &'static str,
    script: fn() -> Script,
    point: CrashPoint,
    second: CrashPoint,
) -> Outcome {
    let when = format!("{what}, dead {point:?}, its heirs dead {second:?}");
    let scene = Scene::new(script());
    scene.crash(point).await?;
    // And the one after it. Each comes when the lease of the one before has ended, so that it dies at
    // work and not while it waits.
    for _ in 0..2 {
        sleep(ms(60_000)).await;
        let heir = Process::that_dies(second);
        let gateway = scene.gateway(&heir)?;
        tokio::select! {
            _ = gateway.recover() => sleep(ms(2000)).await,
            () = heir.death() => {}
        }
    }
    recover(&scene.gateway(&Process::new())?, &when).await?;
    sleep(ms(2000)).await;
    scene.check(&when)
}

pub async fn at_every_point(cx: Cx) -> Outcome {
    everywhere(&cx, "Gateway::recover", once).await?;
    leaves_strangers_alone().await?;
    cut_short::outlives_an_owner(&cx).await
}

/// Something else that writes to the same journal.
async fn leaves_strangers_alone() -> Outcome {
    let scene = Scene::new(Script::new());
    let state = Payload::of(&"a ride").map_err(|_| Fail::new("a state cannot be written"))?;
    let first = Record::Begun { kind: "ride".into(), state };
    let opened = scene.journal.open(SagaId::new("ride-1"), first).await;
    ensure!(matches!(opened, Ok(Opened::New(_))), "the journal in memory does not work");
    sleep(ms(60_000)).await;
    recover(&scene.gateway(&Process::new())?, "a saga of another kind in the journal").await?;
    ensure!(
        scene.journal.count(Standing::Open) == 1,
        "recover() ends a saga in the journal that is no payment";
        help = "Record::Begun tells the kind of a saga, Saga::kind that of payments"
    );
    Ok(())
}

/// What is left when a process has done for a payment what it could, and is gone.
async fn left_by_another(script: Script) -> Result<(Scene, Arc<Script>), Fail> {
    let script = Arc::new(script);
    let faults = Arc::clone(&script) as Arc<dyn Faults>;
    let world = World::with(Latencies::ASSIGNMENT, faults, None);
    let scene = Scene { world, journal: MemoryJournal::new() };
    let first = Process::new();
    let _ = scene.gateway(&first)?.pay(request("a")).await;
    sleep(ms(200_000)).await;
    first.kill();
    Ok((scene, script))
}

pub async fn two_at_once(cx: Cx) -> Outcome {
    everywhere(&cx, "two Gateway::recover", twice).await?;
    cut_short::a_lost_lease_is_no_error(&cx).await
}

pub async fn while_recovering(cx: Cx) -> Outcome {
    everywhere(&cx, "Gateway::recover after Gateway::recover", again).await?;
    cut_short::a_dropped_recovery_goes_on(&cx).await
}

/// The process dies while it undoes a payment, or right before: what was to be undone stays so.
pub async fn undoing_goes_on(cx: Cx) -> Outcome {
    crate::world::is_written(&cx).await?;
    let scripts: [(&'static str, Scripted); 3] = [
        ("a payment whose row cannot be written", || {
            Script::new().always(CallSite::Save, Fault::Decline)
        }),
        ("a payment whose row may be written", || {
            Script::new().always(CallSite::Save, Fault::LoseReply)
        }),
        ("a payment that the bank declines", || {
            Script::new().always(CallSite::Confirm, Fault::Decline)
        }),
    ];
    for (what, script) in scripts {
        let actions = actions(script()).await?;
        let running: Vec<_> = points(actions)
            .map(|point| tokio::spawn(no_way_forward(what, script, point)))
            .collect();
        for one in running {
            let ended = async { one.await.unwrap_or_else(|_| Err(Fail::new("it panics"))) };
            cx.call("Gateway::recover", ended).await?.value?;
        }
    }
    Ok(())
}

async fn no_way_forward(what: &'static str, script: Scripted, point: CrashPoint) -> Outcome {
    let when = format!("{what}, dead {point:?}");
    let script = Arc::new(script());
    let world = World::new(Arc::clone(&script));
    let scene = Scene { world, journal: MemoryJournal::new() };
    scene.crash(point).await?;
    // Everything works again: what has failed before could succeed now.
    let undone_before = scene.world.calls(CallSite::Refund)
        + scene.world.calls(CallSite::Cancel)
        + scene.world.calls(CallSite::Void);
    script.heal(CallSite::Save);
    script.heal(CallSite::Confirm);
    let gateway = scene.gateway(&Process::new())?;
    recover(&gateway, &when).await?;
    gateway.drain(ms(60_000)).await;
    scene.check(&when)?;
    let rows = scene.world.rows().iter().filter(|row| row.status == RowStatus::Completed).count();
    ensure!(
        undone_before == 0 || (scene.net() == 0 && rows == 0),
        "{when}: undoing had begun, and the next process goes forward: {} charged, {rows} rows", scene.net();
        expected = "nothing charged and no row: what was once to be undone is undone, however far the first process came",
        help = "Record::Compensating says that the way is back, also after the pivot"
    );
    Ok(())
}

/// Hundreds of payments in every state: some begun, some charged, some parked, some with a receipt to be
/// sent.
pub async fn hundreds_at_once(cx: Cx) -> Outcome {
    crate::world::is_written(&cx).await?;
    receipts::sends_every_receipt(&cx).await?;
    let count = u32::try_from(cx.draw().between(700..=800)).unwrap_or(700);
    let parked = 120;
    let script = Arc::new(
        Script::new()
            .always(CallSite::Save, Fault::FailBefore)
            .always(CallSite::Refund, Fault::Decline),
    );
    let world = World::new(Arc::clone(&script));
    let scene = Scene { world, journal: MemoryJournal::new() };
    let fast = GatewayConfig { rate: nonzero!(100_000), ..GatewayConfig::default() };
    // Those that cannot be undone. All begin before the breaker of the ledger opens.
    let process = Process::new();
    let gateway = scene.gateway_with(fast.clone(), &process)?;
    let first: Vec<_> =
        (0..parked).map(|number| ask(&gateway, format!("parked {number}"))).collect();
    for payment in first {
        let _ = payment.await;
    }
    sleep(ms(60_000)).await;
    process.kill();
    let was_parked = scene.journal.count(Standing::Parked);
    script.heal(CallSite::Save);
    script.heal(CallSite::Refund);
    // And those that a second process leaves behind wherever they are.
    let process = Process::new();
    let gateway = scene.gateway_with(fast, &process)?;
    for number in 0..count {
        ask(&gateway, format!("open {number}"));
        if number % 3 == 0 {
            sleep(ms(5)).await;
        }
    }
    process.kill();
    let was_open = scene.journal.count(Standing::Open);
    let unsent = scene.world.outbox();
    let heir = scene.gateway(&Process::new())?;
    let begun = tokio::time::Instant::now();
    let when =
        format!("{was_open} open and {was_parked} parked payments, {unsent} receipts to send");
    let recovered = cx.call("Gateway::recover", recover(&heir, &when)).await?.value?;
    let took = begun.elapsed();
    ensure!(
        recovered.finished + recovered.undone + recovered.parked == was_open,
        "{when}: recover() reports another number of payments"; observed = format!("{recovered:?}")
    );
    ensure!(
        took <= ms(120_000), "{when}: recover() takes {} ms", took.as_millis();
        expected = "the lease of 20 s, and then many payments side by side: 120 000 ms at most",
        help = "a task for each payment, bounded by a semaphore"
    );
    let letters = heir.dead_letters().len();
    ensure!(
        letters >= was_parked, "{when}: {letters} dead letters after recover()"; expected = "one at least for each parked payment"
    );
    // A key whose refusal the provider remembers may cost the first one.
    for _ in 0..2 {
        cx.call("Gateway::redrive", heir.redrive()).await?;
    }
    let left = cx.call("Gateway::drain", heir.drain(ms(120_000))).await?.value;
    let (open, still) =
        (scene.journal.count(Standing::Open), scene.journal.count(Standing::Parked));
    ensure!(
        left == 0 && open == 0 && still == 0 && heir.dead_letters().is_empty() && scene.world.outbox() == 0,
        "{when}: after recover(), redrive() and drain() {open} are open and {still} parked, with {} dead letters and {} receipts to send",
        heir.dead_letters().len(), scene.world.outbox();
        expected = "none of any"
    );
    let rows: Vec<_> =
        scene.world.rows().into_iter().filter(|row| row.status == RowStatus::Completed).collect();
    let (net, mails) = (scene.net(), scene.world.mails().len());
    let due: i64 = rows.iter().map(|row| row.amount.minor()).sum();
    ensure!(
        net == due && mails == rows.len(),
        "{when}: in the end {net} are charged for rows of {due}, with {mails} receipts for {} rows", rows.len();
        expected = "charged exactly what is recorded, a receipt for each"
    );
    Ok(())
}

fn ask(gateway: &Gateway, key: String) -> tokio::task::JoinHandle<()> {
    let gateway = gateway.clone();
    tokio::spawn(async move {
        let _ = gateway.pay(request(&key)).await;
    })
}
