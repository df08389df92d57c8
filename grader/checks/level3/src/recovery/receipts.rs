//! Receipts that a dead process has left in the outbox.

use std::sync::Arc;

use grader_kit::{Cx, Fail, Outcome, ensure, ms};
use level3::gateway::GatewayConfig;
use level3::journal::MemoryJournal;
use level3::nonzero;
use level3_sim::{CallSite, Fault, Process, Script, World};

use super::{Scene, ask, recover};

/// One recovery sends all of them, however many there are.
pub async fn sends_every_receipt(cx: &Cx) -> Outcome {
    let count = cx.draw().between(250..=350);
    let script = Arc::new(Script::new().always(CallSite::Receipt, Fault::FailBefore));
    let scene = Scene { world: World::new(Arc::clone(&script)), journal: MemoryJournal::new() };
    let process = Process::new();
    let fast = GatewayConfig { rate: nonzero!(100_000), ..GatewayConfig::default() };
    let gateway = scene.gateway_with(fast, &process)?;
    let all: Vec<_> = (0..count).map(|number| ask(&gateway, format!("paid {number}"))).collect();
    for payment in all {
        let _ = payment.await;
    }
    process.kill();
    script.heal(CallSite::Receipt);
    let due = scene.world.outbox();
    if due < 200 {
        return Err(Fail::new(format!(
            "of {count} payments while the mail service is down {due} leave a receipt in the outbox"
        ))
        .expected("one for each payment: a receipt is in the outbox until it is sent"));
    }
    let heir = scene.gateway(&Process::new())?;
    let when = format!("{due} receipts are left in the outbox");
    cx.call("Gateway::recover", recover(&heir, &when)).await?.value?;
    let left = cx.call("Gateway::drain", heir.drain(ms(300_000))).await?.value;
    let (mails, outbox) = (scene.world.mails().len(), scene.world.outbox());
    ensure!(
        left == 0 && mails == due && outbox == 0,
        "{when}: after recover() and drain() {mails} are sent, and {outbox} are still there";
        expected = format!("{due} sent, none left"),
        help = "ask the outbox for as many as there can be, or ask until it is empty"
    );
    Ok(())
}
