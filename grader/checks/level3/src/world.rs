//! A gateway in a simulated world, for the criteria.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use grader_kit::{Cx, Fail, lock};
use level3::answer::{PayError, Reply, Status};
use level3::event::Event;
use level3::gateway::{Gateway, GatewayConfig};
use level3::journal::{MemoryJournal, Standing};
use level3::provider::{Providers, RowStatus};
use level3_sim::{CallSite, Ending, Fault, Faults, Latencies, Probe, Script, World};

pub use crate::requests::request;

/// Writes every call into the criterion's timeline.
struct Lines(grader_kit::Timeline);

impl Probe for Lines {
    fn began(&self, site: CallSite, nth: u32, fault: Fault) {
        match fault {
            Fault::None => self.0.record(site.name(), format!("called, #{nth}")),
            fault => self.0.record(site.name(), format!("called, #{nth}, meets {fault:?}")),
        }
    }

    fn ended(&self, site: CallSite, nth: u32, ending: &Ending) {
        self.0.record(site.name(), format!("#{nth} {ending:?}"));
    }
}

/// A gateway, the services it calls and what is true there.
pub struct Stage {
    pub world: World,
    pub script: Arc<Script>,
    pub journal: MemoryJournal,
    pub gateway: Gateway,
    pub events: Arc<Mutex<Vec<(Duration, Event)>>>,
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
    let script = Arc::new(script);
    let faults = Arc::clone(&script) as Arc<dyn Faults>;
    let lines = Arc::new(Lines(cx.timeline().clone()));
    let world = World::with(Latencies::ASSIGNMENT, faults, Some(lines));
    let journal = MemoryJournal::new();
    let events = Arc::new(Mutex::new(Vec::new()));
    let (seen, timeline) = (Arc::clone(&events), cx.timeline().clone());
    let gateway = Gateway::new(
        config,
        wrap(world.providers()),
        Arc::new(journal.clone()),
        Arc::new(move |event: Event| {
            let at = Duration::from_millis(timeline.now_ms());
            lock(&seen).push((at, event));
        }),
    )
    .map_err(|why| Fail::new(format!("Gateway::new refuses the figures: {why}")))?;
    Ok(Stage { world, script, journal, gateway, events })
}

impl Stage {
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

    pub fn terminal(&self) -> Vec<(Duration, Status)> {
        let status = |(at, event): &(Duration, Event)| match event {
            Event::Ended { status, .. } => Some((*at, status.clone())),
            _ => None,
        };
        lock(&self.events).iter().filter_map(status).collect()
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

/// One payment in the script itself, whatever comes of it: a gateway that is not written yet is found
/// here, and not in the tasks of a trial.
pub async fn is_written(cx: &Cx) -> Result<(), Fail> {
    let stage = stage(cx, Script::new())?;
    cx.call("Gateway::pay", stage.gateway.pay(request("first"))).await?;
    Ok(())
}
