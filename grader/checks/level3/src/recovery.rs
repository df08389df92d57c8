//! The process dies, at every point at which it can, and another one takes over.

use std::sync::Arc;

use grader_kit::{Cx, Fail, Outcome, ensure};
use level3::event::NoObserver;
use level3::gateway::{Gateway, GatewayConfig};
use level3::journal::{MemoryJournal, Standing};
use level3::provider::{IntentStatus, RowStatus};
use level3::sim::{CrashPoint, Fault, Process, Script, Site, World};
use tokio::time::sleep;

use crate::world::{ms, request};

/// Payments whose crashes are looked at: one that goes well, and ones that go back from each step.
fn scripts() -> [(&'static str, fn() -> Script); 4] {
    [
        ("a payment that goes well", Script::new),
        ("a payment whose row cannot be written", || {
            Script::new().always(Site::Save, Fault::Decline)
        }),
        ("a payment that is too risky", || Script::new().always(Site::Fraud, Fault::Decline)),
        ("a payment that is charged without an answer", || {
            Script::new()
                .on(Site::Confirm, 1, Fault::LoseReply)
                .always(Site::Save, Fault::FailBefore)
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
        let (providers, journal) = (self.world.providers_of(process), self.journal.of(process));
        Gateway::new(GatewayConfig::default(), providers, Arc::new(journal), Arc::new(NoObserver))
            .map_err(|why| Fail::new(format!("Gateway::new refuses the figures: {why}")))
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

    /// The books balance, and nothing is open.
    fn check(&self, when: &str) -> Outcome {
        let rows =
            self.world.rows().iter().filter(|row| row.status == RowStatus::Completed).count();
        let intents = self.world.intents();
        let net: i64 = intents.iter().map(|intent| intent.net()).sum();
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
        ensure!(
            rows == 0 || self.world.mails().len() == 1,
            "{when}: the receipt of a paid payment is lost";
            expected = "sent once: it stands in the outbox"
        );
        Ok(())
    }
}

/// Every point of a payment at which its process can die.
fn points() -> impl Iterator<Item = CrashPoint> {
    (1..60).flat_map(|nth| [CrashPoint::Before(nth), CrashPoint::After(nth)])
}

pub async fn at_every_point(cx: Cx) -> Outcome {
    for (what, script) in scripts() {
        let mut tried = 0;
        for point in points() {
            let scene = Scene::new(script());
            if !scene.crash(point).await? {
                break;
            }
            tried += 1;
            let gateway = scene.gateway(&Process::new())?;
            let recovered = cx.call("Gateway::recover", gateway.recover()).await?.value;
            ensure!(recovered.is_ok(), "recover() fails"; observed = format!("{recovered:?}"));
            sleep(ms(10_000)).await;
            scene.check(&format!("{what}, dead {point:?}"))?;
        }
        cx.note(format!("{what}: {tried} points"));
        ensure!(tried > 10, "{what}: the process is not found to do anything"; observed = format!("{tried} actions"));
    }
    Ok(())
}

pub async fn two_at_once(cx: Cx) -> Outcome {
    for (what, script) in scripts() {
        for point in points() {
            let scene = Scene::new(script());
            if !scene.crash(point).await? {
                break;
            }
            let (one, two) = (scene.gateway(&Process::new())?, scene.gateway(&Process::new())?);
            let before = scene.world.calls(Site::Refund) + scene.world.calls(Site::Cancel);
            let both = async { tokio::join!(one.recover(), two.recover()) };
            let (one, two) = cx.call("two Gateway::recover", both).await?.value;
            sleep(ms(10_000)).await;
            let when = format!("{what}, dead {point:?}, two recover");
            scene.check(&when)?;
            let undos = scene.world.calls(Site::Refund) + scene.world.calls(Site::Cancel) - before;
            ensure!(undos <= 1, "{when}: {undos} cancels and refunds"; expected = "one of the two has claimed the payment, the other leaves it alone");
            let worked: usize = [one, two].iter().flatten().map(|r| r.finished + r.undone).sum();
            ensure!(worked <= 1, "{when}: both say that they have ended it"; observed = format!("{worked}"));
        }
    }
    Ok(())
}

pub async fn while_recovering(cx: Cx) -> Outcome {
    for (what, script) in scripts() {
        for point in points() {
            let scene = Scene::new(script());
            if !scene.crash(point).await? {
                break;
            }
            // The heir dies as well, at each of its own points.
            for second in points().step_by(2) {
                let scene = Scene::new(script());
                scene.crash(point).await?;
                let heir = Process::that_dies(second);
                let gateway = scene.gateway(&heir)?;
                tokio::select! {
                    _ = gateway.recover() => sleep(ms(2000)).await,
                    () = heir.death() => {}
                }
                if !heir.is_dead() {
                    break;
                }
                let gateway = scene.gateway(&Process::new())?;
                let recovered = cx.call("Gateway::recover", gateway.recover()).await?.value;
                ensure!(recovered.is_ok(), "recover() fails"; observed = format!("{recovered:?}"));
                sleep(ms(10_000)).await;
                scene.check(&format!("{what}, dead {point:?}, its heir dead {second:?}"))?;
            }
        }
    }
    Ok(())
}
