//! Payments that have failed for a reason that may pass, and are asked for again.

use grader_kit::{Cx, Outcome, ensure, ms};
use level3::answer::Status;
use level3::gateway::GatewayConfig;
use level3_sim::{CallSite, Fault, Script};
use tokio::time::sleep;

use crate::world::{Stage, is_paid, request, stage_aside, status};

/// Longer than a breaker stays open, and than an undo whose service is back may still wait.
const LATER: std::time::Duration = std::time::Duration::from_secs(200);

/// However a service has failed, the same request pays when it works again.
pub async fn every_failure_may_pass(cx: &Cx) -> Outcome {
    let faults = [
        Fault::FailBefore,
        Fault::LoseReply,
        Fault::Hang,
        Fault::Panic,
        Fault::RateLimited(None),
        Fault::Internal { effect: false },
    ];
    let mut cases = Vec::new();
    for site in [CallSite::Create, CallSite::Fraud, CallSite::Confirm, CallSite::Save] {
        // That an undo gets past the stored answers of create is a matter of keys, and of criteria of its own.
        let is_of_keys =
            |fault| site == CallSite::Create && matches!(fault, Fault::Internal { .. });
        cases.extend(
            faults.into_iter().filter(|fault| !is_of_keys(*fault)).map(|fault| (site, fault)),
        );
    }
    let tried = cases.into_iter().map(|(site, fault)| passes(cx, site, fault));
    futures::future::join_all(tried).await.into_iter().collect::<Outcome>()?;
    a_crash_may_pass(cx).await
}

async fn passes(cx: &Cx, site: CallSite, fault: Fault) -> Outcome {
    let script = Script::new().always(site, fault);
    let stage = stage_aside(cx, script, GatewayConfig::default())?;
    let first = cx.call("Gateway::pay", stage.gateway.pay(request("a"))).await?.value;
    stage.script.heal(site);
    sleep(LATER).await;
    let what = format!("every call of {site} meets {fault:?}, and the service works again later");
    pays(cx, &stage, &stage.gateway, &what, &format!("{first:?}")).await
}

/// A process dies before it has charged the customer; the next one undoes the payment.
async fn a_crash_may_pass(cx: &Cx) -> Outcome {
    for at in [100, cx.draw().between(201..=699)] {
        let stage = stage_aside(cx, Script::new(), GatewayConfig::default())?;
        let gateway = stage.gateway.clone();
        let paying = tokio::spawn(async move { gateway.pay(request("a")).await });
        sleep(ms(at)).await;
        stage.process.kill();
        paying.abort();
        let (heir, _) = stage.another(GatewayConfig::default())?;
        let recovered = cx.call("Gateway::recover", heir.recover()).await?.value;
        let what = format!(
            "a process dies {at} ms after a payment has begun, and another one recovers it"
        );
        pays(cx, &stage, &heir, &what, &format!("recover() returned {recovered:?}")).await?;
    }
    Ok(())
}

async fn pays(
    cx: &Cx,
    stage: &Stage,
    gateway: &level3::gateway::Gateway,
    what: &str,
    before: &str,
) -> Outcome {
    let again = cx.call("Gateway::pay", gateway.pay(request("a"))).await?.value;
    let answer = status(&again, &format!("when {what}"))?;
    let is_failed = matches!(answer, Status::Failed { .. } | Status::Declined { .. });
    ensure!(
        is_paid(&answer) && stage.net() == 1999,
        "{what}; the same request is sent again, and {}",
        if is_failed { "gets the failure again" } else { "the customer has not paid the amount once" };
        expected = "Paid: after a transient failure the key is free, and the next run begins",
        observed = format!("{answer:?}, {} charged; before: {before}{}", stage.net(), stage.wire.lines()),
        help = "FailureKind::is_transient says what another run may change: everything but a refusal and a decline, a panic and an interruption too"
    );
    Ok(())
}
