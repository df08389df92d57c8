//! Payments that take a path, and what was seen of them.

use std::time::Duration;

use grader_kit::{Cx, Draw, Fail, ms};
use level3::answer::{PayError, Reply};
use level3::gateway::{Gateway, GatewayConfig};
use level3::request::PaymentRequest;
use level3_sim::{CallSite, Fault, Script};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::table::Path;
use crate::values;
use crate::world::{Stage, stage_aside};

/// Longer than anything that a payment of a path goes on with: every undo there is, and a lease.
const OVER: Duration = Duration::from_secs(400);

/// Longer than a lease, and than the pause between two attempts to undo something.
const QUIET: Duration = Duration::from_secs(30);

/// How a path is taken.
pub struct Plan {
    /// How many payments take it at once.
    pub crowd: u32,
    /// What goes wrong besides what makes the path.
    pub script: Script,
    pub config: GatewayConfig,
    /// A second process on the same journal does the same at the same time.
    pub two: bool,
    /// Of a redrive: it is the receipts that are redriven, and not the undos.
    pub receipts: bool,
    /// Of a redrive: what the first one meets.
    pub meets: Option<(CallSite, Fault)>,
    /// What goes wrong, for messages; empty where nothing does.
    pub what: String,
}

impl Plan {
    pub fn new(crowd: u32, script: Script) -> Self {
        let config = GatewayConfig::default();
        Self {
            crowd,
            script,
            config,
            two: false,
            receipts: false,
            meets: None,
            what: String::new(),
        }
    }
}

/// A client's request and its outcome.
pub struct Asked {
    pub request: PaymentRequest,
    pub reply: Result<Reply, PayError>,
    pub took: Duration,
}

/// What a walk has left.
pub struct Walked {
    when: String,
    pub config: GatewayConfig,
    pub stage: Stage,
    /// The gateways that live, the one that was begun last at the end.
    pub gateways: Vec<Gateway>,
    pub requests: Vec<PaymentRequest>,
    pub asked: Vec<Asked>,
    /// When a process died, if one did.
    pub died: Option<Instant>,
    /// Whatever the gateway gave out besides answers and events, as `Debug` shows it.
    pub said: Vec<(&'static str, String)>,
    /// Tasks before the gateway began, and those that died with their process.
    pub tasks: usize,
}

impl Walked {
    /// Waits until no call is under way and none was for a while, or for as long as anything may go on.
    async fn until_quiet(&self) {
        let begun = Instant::now();
        while begun.elapsed() < OVER {
            sleep(ms(1000)).await;
            let ours = |at: Instant| self.died.is_none_or(|died| at >= died);
            let quiet = self
                .stage
                .wire
                .calls()
                .iter()
                .filter(|call| ours(call.at))
                .all(|call| call.over.as_ref().is_some_and(|(over, _)| over.elapsed() > QUIET));
            if quiet && begun.elapsed() > QUIET {
                return;
            }
        }
    }

    /// The failure of a rule, with the calls of this walk.
    pub fn fail(&self, fail: Fail) -> Fail {
        let observed = fail.observed.clone().unwrap_or_default();
        fail.observed(format!("{observed}{}", self.stage.wire.lines()))
    }

    /// What the walk is about, for messages.
    pub fn when(&self) -> &str {
        &self.when
    }
}

type Running = Vec<(PaymentRequest, JoinHandle<(Result<Reply, PayError>, Duration)>)>;

fn ask(gateway: &Gateway, requests: &[PaymentRequest]) -> Running {
    requests
        .iter()
        .map(|request| {
            let (gateway, mine) = (gateway.clone(), request.clone());
            let pay = async move {
                let begun = Instant::now();
                let reply = gateway.pay(mine).await;
                (reply, begun.elapsed())
            };
            (request.clone(), tokio::spawn(pay))
        })
        .collect()
}

async fn answers(cx: &Cx, path: Path, running: Running, to: &mut Vec<Asked>) -> Result<(), Fail> {
    for (request, task) in running {
        let wait = async { timeout(ms(60_000), task).await };
        match cx.call("Gateway::pay", wait).await?.value {
            Ok(Ok((reply, took))) => to.push(Asked { request, reply, took }),
            Ok(Err(_)) => return Err(Fail::new(format!("path \"{}\": pay panics", path.name()))),
            Err(_) => {
                return Err(Fail::new(format!(
                    "path \"{}\": pay has not answered after 60 s",
                    path.name()
                ))
                .expected("an answer within the 10 s of GatewayConfig::total"));
            }
        }
    }
    Ok(())
}

/// What makes the path, besides what the plan says goes wrong.
fn with_faults(path: Path, receipts: bool, script: Script) -> Script {
    match path {
        Path::Undo => script.always(CallSite::Save, Fault::LoseReply),
        Path::Redrive if receipts => script.always(CallSite::Receipt, Fault::FailBefore),
        Path::Redrive => script
            .always(CallSite::Save, Fault::FailBefore)
            .always(CallSite::Refund, Fault::Decline),
        _ => script,
    }
}

/// Takes all of them side by side, and judges each.
pub async fn walk_all(
    cx: &Cx,
    plans: Vec<(Path, Plan)>,
    judge: impl Fn(&Walked) -> grader_kit::Outcome,
) -> grader_kit::Outcome {
    let judge = &judge;
    let walks = plans.into_iter().map(|(path, plan)| {
        let mut draw = cx.draw();
        async move {
            let walked = walk(cx, path, plan, &mut draw).await?;
            judge(&walked).map_err(|fail| walked.fail(fail))
        }
    });
    futures::future::join_all(walks).await.into_iter().collect()
}

/// Lets `plan.crowd` payments with drawn values take the path, and waits until all is over.
pub async fn walk(cx: &Cx, path: Path, plan: Plan, draw: &mut Draw) -> Result<Walked, Fail> {
    let tasks = cx.alive_tasks();
    let config = plan.config.clone();
    let requests: Vec<_> = (0..plan.crowd)
        .map(|number| {
            let key = format!("{} {number}", draw.word());
            values::drawn(draw, &key)
        })
        .collect();
    let script = with_faults(path, plan.receipts, plan.script);
    let stage = stage_aside(cx, script, config.clone())?;
    let what = if plan.what.is_empty() { String::new() } else { format!(", {}", plan.what) };
    let first = stage.gateway.clone();
    let mut walked = Walked {
        when: format!("path \"{}\"{what}", path.name()),
        config: config.clone(),
        gateways: vec![first.clone()],
        stage,
        requests: requests.clone(),
        asked: Vec::new(),
        died: None,
        said: Vec::new(),
        tasks,
    };
    let second = match plan.two {
        true => {
            let (second, _) = walked.stage.another(config.clone())?;
            walked.gateways.insert(0, second.clone());
            second
        }
        false => first.clone(),
    };
    let mut asked = Vec::new();
    let mut running = ask(&first, &requests);
    if plan.two {
        running.extend(ask(&second, &requests));
    }
    match path {
        Path::Normal | Path::Undo => answers(cx, path, running, &mut asked).await?,
        Path::Repeat => {
            answers(cx, path, running, &mut asked).await?;
            sleep(ms(draw.between(1..=30_000))).await;
            let again = [ask(&first, &requests), ask(&second, &requests)];
            for again in again {
                answers(cx, path, again, &mut asked).await?;
            }
        }
        Path::Joined => {
            sleep(ms(draw.between(1..=900))).await;
            running.extend(ask(&second, &requests));
            running.extend(ask(&first, &requests));
            answers(cx, path, running, &mut asked).await?;
        }
        Path::Cancelled => {
            // A call that is dropped before its first poll has asked for nothing.
            cx.settle().await;
            sleep(ms(draw.between(0..=1050))).await;
            running.iter().for_each(|(_, task)| task.abort());
            cx.settle().await;
            if plan.two {
                answers(cx, path, ask(&second, &requests), &mut asked).await?;
            }
        }
        Path::Recovery => {
            sleep(ms(draw.between(720..=980))).await;
            // Clients of a dead process learn nothing.
            running.iter().for_each(|(_, task)| task.abort());
            kill(cx, &mut walked).await;
            // What the living process calls is later than what the dead one has called.
            sleep(ms(1)).await;
            let (heir, _) = walked.stage.another(config.clone())?;
            walked.gateways = vec![heir.clone()];
            let meanwhile = ask(&heir, &requests);
            let recovery = timeout(OVER, heir.recover());
            let recovered = if plan.two {
                let (other, _) = walked.stage.another(config)?;
                walked.gateways.insert(0, other.clone());
                let both = async { tokio::join!(other.recover(), recovery).1 };
                cx.call("two Gateway::recover", both).await?.value
            } else {
                cx.call("Gateway::recover", recovery).await?.value
            };
            let Ok(recovered) = recovered else {
                let after = OVER.as_secs();
                let fail = Fail::new(format!("{}: recover() never finished, not in {after} s", walked.when()))
                    .expected("an end within seconds: each call of a recovery is given up after its limit, that for the outbox too")
                    .help("a call that is still open below has no limit: a deadline that never comes cuts nothing");
                return Err(walked.fail(fail));
            };
            answers(cx, path, meanwhile, &mut asked).await?;
            walked.said.push(("what recover() returns", format!("{recovered:?}")));
        }
        Path::Redrive => {
            answers(cx, path, running, &mut asked).await?;
            walked.until_quiet().await;
            note_letters(&mut walked);
            walked.stage.script.heal(CallSite::Refund);
            walked.stage.script.heal(CallSite::Receipt);
            if plan.two {
                second.recover().await.map_err(|error| {
                    Fail::new("recover() fails with a parked payment").observed(error.to_string())
                })?;
            }
            if let Some((site, fault)) = plan.meets {
                walked.stage.script.add(site, fault);
                cx.call("Gateway::redrive", first.redrive()).await?;
                note_letters(&mut walked);
                walked.stage.script.heal(site);
            }
            // A key whose refusal the provider remembers may cost the first one.
            for _ in 0..3 {
                let both = async { tokio::join!(first.redrive(), second.redrive()) };
                cx.call("Gateway::redrive", both).await?;
                sleep(ms(1000)).await;
            }
        }
        Path::Drain => {
            sleep(ms(draw.between(1..=900))).await;
            let draining = cx.call("Gateway::drain", first.drain(OVER));
            let left = draining.await?.value;
            if left != 0 {
                return Err(Fail::new(format!("drain says that {left} payments are under way"))
                    .expected("0: each ends within seconds"));
            }
            answers(cx, path, running, &mut asked).await?;
        }
        Path::Restarted => {
            answers(cx, path, running, &mut asked).await?;
            walked.until_quiet().await;
            kill(cx, &mut walked).await;
            let (heir, _) = walked.stage.another(config)?;
            walked.gateways.push(heir.clone());
            for _ in 0..2 {
                answers(cx, path, ask(&heir, &requests), &mut asked).await?;
            }
        }
    }
    walked.until_quiet().await;
    cx.settle().await;
    note_letters(&mut walked);
    walked.asked = asked;
    Ok(walked)
}

/// The first process dies. Its tasks never go on.
async fn kill(cx: &Cx, walked: &mut Walked) {
    walked.stage.process.kill();
    walked.died = Some(Instant::now());
    cx.settle().await;
    walked.tasks = walked.tasks.max(cx.alive_tasks());
    walked.gateways.clear();
}

fn note_letters(walked: &mut Walked) {
    for gateway in &walked.gateways {
        let letters = gateway.dead_letters();
        walked.said.push(("a dead letter", format!("{letters:?}")));
        walked.said.push(("the gateway", format!("{gateway:?}")));
    }
}
