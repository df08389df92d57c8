//! A gateway in a simulated world, for the criteria.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt as _;
use grader_kit::{Cx, Fail, lock};
use level3::answer::{PayError, Reply, Status};
use level3::event::Event;
use level3::gateway::{Gateway, GatewayConfig};
use level3::ids::PaymentId;
use level3::journal::{Journal, MemoryJournal, SagaId, Standing, StoreId};
use level3::provider::{Providers, RowStatus};
use level3_sim::{
    CallSite, Ending, Fault, Faults, Latencies, MortalJournal, Probe, Process, Script, World,
};
use tokio::time::Instant;

pub use crate::requests::request;

/// A call to a service, as it saw it.
#[derive(Debug, Clone)]
pub struct WireCall {
    pub site: CallSite,
    pub nth: u32,
    pub at: Instant,
    /// When it was over for the gateway, and how; none while it is open.
    pub over: Option<(Instant, Ending)>,
}

/// Writes every call down, and into the criterion's timeline.
pub struct Wire {
    begun: Instant,
    /// None where several stages are judged side by side: one that fails shows its own calls.
    timeline: Option<grader_kit::Timeline>,
    calls: Mutex<Vec<WireCall>>,
}

impl Wire {
    pub fn calls(&self) -> Vec<WireCall> {
        lock(&self.calls).clone()
    }

    /// The last calls as lines of text, for a failure.
    pub fn lines(&self) -> String {
        let calls = self.calls();
        let most = 40;
        let mut text = String::new();
        if calls.len() > most {
            text.push_str(&format!("\n({} calls before)", calls.len() - most));
        }
        for call in calls.iter().skip(calls.len().saturating_sub(most)) {
            let since = |at: Instant| at.saturating_duration_since(self.begun).as_millis();
            let over = match &call.over {
                None => "still open".to_owned(),
                Some((at, Ending::Answered)) => format!("answered at {} ms", since(*at)),
                Some((at, Ending::Failed(error))) => format!("{error} at {} ms", since(*at)),
                Some((at, Ending::GivenUp)) => format!("given up at {} ms", since(*at)),
            };
            text.push_str(&format!(
                "\n{:>6} ms  {} #{}: {over}",
                since(call.at),
                call.site,
                call.nth
            ));
        }
        text
    }

    fn record(&self, site: CallSite, what: String) {
        if let Some(timeline) = &self.timeline {
            timeline.record(site.name(), what);
        }
    }
}

impl Probe for Wire {
    fn began(&self, site: CallSite, nth: u32, fault: Fault) {
        match fault {
            Fault::None => self.record(site, format!("called, #{nth}")),
            fault => self.record(site, format!("called, #{nth}, meets {fault:?}")),
        }
        lock(&self.calls).push(WireCall { site, nth, at: Instant::now(), over: None });
    }

    fn ended(&self, site: CallSite, nth: u32, ending: &Ending) {
        self.record(site, format!("#{nth} {ending:?}"));
        let over = Some((Instant::now(), ending.clone()));
        let mut calls = lock(&self.calls);
        if let Some(call) = calls.iter_mut().rfind(|call| call.site == site && call.nth == nth) {
            call.over = over;
        }
    }
}

/// What an observer was told about the end of a payment.
#[derive(Debug, Clone)]
pub struct Told {
    pub payment: PaymentId,
    pub status: Status,
    /// Where the payment's saga stood in the journal at that moment.
    pub standing: Option<Standing>,
}

/// A gateway, the services it calls and what is true there.
pub struct Stage {
    pub world: World,
    pub script: Arc<Script>,
    pub journal: MemoryJournal,
    pub process: Process,
    pub gateway: Gateway,
    pub wire: Arc<Wire>,
    pub events: Arc<Mutex<Vec<(Duration, Event)>>>,
    pub told: Arc<Mutex<Vec<Told>>>,
    timeline: grader_kit::Timeline,
}

pub fn stage(cx: &Cx, script: Script) -> Result<Stage, Fail> {
    stage_with(cx, script, GatewayConfig::default(), |providers| providers)
}

pub fn stage_with(
    cx: &Cx,
    script: Script,
    config: GatewayConfig,
    wrap: impl FnOnce(Providers) -> Providers,
) -> Result<Stage, Fail> {
    stage_on(cx, script, config, wrap, |journal| journal)
}

/// The same with something between the gateway and its journal as well.
pub fn stage_on(
    cx: &Cx,
    script: Script,
    config: GatewayConfig,
    wrap: impl FnOnce(Providers) -> Providers,
    before: impl FnOnce(Arc<dyn Journal>) -> Arc<dyn Journal>,
) -> Result<Stage, Fail> {
    make(cx, Some(cx.timeline().clone()), script, config, wrap, before)
}

/// The same for stages that are judged side by side: they share no timeline.
pub fn stage_aside(cx: &Cx, script: Script, config: GatewayConfig) -> Result<Stage, Fail> {
    make(cx, None, script, config, |providers| providers, |journal| journal)
}

fn make(
    cx: &Cx,
    shown: Option<grader_kit::Timeline>,
    script: Script,
    config: GatewayConfig,
    wrap: impl FnOnce(Providers) -> Providers,
    before: impl FnOnce(Arc<dyn Journal>) -> Arc<dyn Journal>,
) -> Result<Stage, Fail> {
    let script = Arc::new(script);
    let faults = Arc::clone(&script) as Arc<dyn Faults>;
    let (begun, calls) = (Instant::now(), Mutex::default());
    let wire = Arc::new(Wire { begun, timeline: shown, calls });
    let world = World::with(Latencies::ASSIGNMENT, faults, Some(Arc::clone(&wire) as _));
    let journal = MemoryJournal::of(StoreId::new("the store of this check"));
    let process = Process::new();
    let (events, told) = (Arc::default(), Arc::default());
    let timeline = cx.timeline().clone();
    let observer = observer(&journal, &events, &told, &timeline);
    let kept = before(Arc::new(MortalJournal::new(&journal, &process)));
    let gateway = Gateway::new(config, wrap(world.providers_of(&process)), kept, observer)
        .map_err(|why| Fail::new(format!("Gateway::new refuses a valid configuration: {why}")))?;
    Ok(Stage { world, script, journal, process, gateway, wire, events, told, timeline })
}

type Events = Arc<Mutex<Vec<(Duration, Event)>>>;

fn observer(
    journal: &MemoryJournal,
    events: &Events,
    told: &Arc<Mutex<Vec<Told>>>,
    timeline: &grader_kit::Timeline,
) -> Arc<dyn level3::event::Observer> {
    let (journal, events) = (journal.clone(), Arc::clone(events));
    let (told, timeline) = (Arc::clone(told), timeline.clone());
    Arc::new(move |event: Event| {
        if let Event::Ended { payment, status, .. } = &event {
            // A journal in memory answers in the first poll.
            let log = journal.read(SagaId::from(payment)).now_or_never().and_then(Result::ok);
            let standing = log.flatten().map(|log| log.standing);
            let (payment, status) = (payment.clone(), status.clone());
            lock(&told).push(Told { payment, status, standing });
        }
        let at = Duration::from_millis(timeline.now_ms());
        lock(&events).push((at, event));
    })
}

impl Stage {
    /// Another process with a gateway on the same services and the same journal.
    pub fn another(&self, config: GatewayConfig) -> Result<(Gateway, Process), Fail> {
        let process = Process::new();
        let kept = Arc::new(MortalJournal::new(&self.journal, &process));
        let observer = observer(&self.journal, &self.events, &self.told, &self.timeline);
        let gateway = Gateway::new(config, self.world.providers_of(&process), kept, observer)
            .map_err(|why| {
                Fail::new(format!("Gateway::new refuses a valid configuration: {why}"))
            })?;
        Ok((gateway, process))
    }

    /// What customers have paid in the end, in minor units.
    pub fn net(&self) -> i64 {
        self.world.intents().iter().map(|intent| intent.net()).sum()
    }

    /// Rows that stand.
    pub fn rows(&self) -> usize {
        self.world.rows().iter().filter(|row| row.status == RowStatus::Completed).count()
    }

    pub fn open(&self) -> usize {
        self.journal.count(Standing::Open)
    }

    /// Charged and recorded, or neither; nothing twice. What is wrong, if anything is.
    pub fn imbalance(&self) -> Option<String> {
        let intents = self.world.intents();
        if let Some(twice) = intents.iter().find(|intent| intent.charges > 1 || intent.refunds > 1)
        {
            return Some(format!(
                "{} is charged {} times and refunded {} times",
                twice.id, twice.charges, twice.refunds
            ));
        }
        let rows = self.world.rows();
        for row in rows.iter().filter(|row| row.status == RowStatus::Completed) {
            let net: i64 =
                intents.iter().filter(|i| i.payment == row.payment).map(|i| i.net()).sum();
            if net != row.amount.minor() {
                return Some(format!(
                    "a row of {} stands, and {net} are charged for it",
                    row.amount.minor()
                ));
            }
        }
        let recorded = |payment: &PaymentId| {
            rows.iter().any(|row| row.payment == *payment && row.status == RowStatus::Completed)
        };
        let charged = intents.iter().find(|intent| intent.net() != 0 && !recorded(&intent.payment));
        charged.map(|intent| format!("{} stay charged without a row", intent.net()))
    }
}

/// The status, or what the learner is told when there is none.
pub fn status(reply: &Result<Reply, PayError>, when: &str) -> Result<Status, Fail> {
    match reply {
        Ok(reply) => Ok(reply.answer.status.clone()),
        Err(error) => {
            Err(Fail::new(format!("pay gives an error {when}")).observed(format!("{error:?}")))
        }
    }
}

pub fn is_paid(status: &Status) -> bool {
    matches!(status, Status::Paid { .. })
}

/// The answer is `Paid`, or a failure that shows it.
pub fn paid(reply: &Result<Reply, PayError>, when: &str) -> Result<(), Fail> {
    let status = status(reply, when)?;
    match is_paid(&status) {
        true => Ok(()),
        false => Err(Fail::new(format!("not paid {when}"))
            .expected("Paid")
            .observed(format!("{status:?}"))),
    }
}

/// One payment in the script itself, with any outcome: a gateway that is not written yet is found
/// here, and not in the tasks of a trial.
pub async fn is_written(cx: &Cx) -> Result<(), Fail> {
    let stage = stage(cx, Script::new())?;
    cx.call("Gateway::pay", stage.gateway.pay(request("first"))).await?;
    Ok(())
}
