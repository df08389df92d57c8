//! Every fault at every kind of call, singly and in all pairs.

mod books;

pub use books::books_agree;

use grader_kit::{Cx, Fail, Outcome};
use level3::gateway::GatewayConfig;
use level3_harness::{Case, FaultCase, pairs, singles, timeline};
use level3_sim::CallSite;

fn broken(case: &Case, trial: &FaultCase) -> Fail {
    let rule = trial.broken.first().cloned().unwrap_or_default();
    let told = match &trial.answer {
        Some(Ok(reply)) => format!("{:?}", reply.answer.status),
        Some(Err(error)) => error.to_string(),
        None => "nothing: it went away, or the process died".to_owned(),
    };
    Fail::new(format!("{case}: {rule}"))
        .expected("net charge 0 or the amount; charged exactly if one row stands and the client is told so; an answer within 10 s; no call after the end; one receipt at most")
        .observed(format!("told {told}\n{}", timeline(&trial.calls).join("\n")))
        .help(format!("again, with the timeline: cargo run -p level3-harness --example sweep -- --case '{case}'"))
}

async fn sweep(cx: Cx, sites: &[CallSite]) -> Outcome {
    crate::world::is_written(&cx).await?;
    let config = GatewayConfig::default();
    let singles = singles(&config).await;
    for single in singles.iter().filter(|single| sites.contains(&single.slot.site)) {
        if !single.trial.broken.is_empty() {
            return Err(broken(&Case { slots: vec![single.slot] }, &single.trial));
        }
    }
    let mut run = 0;
    for site in sites {
        let swept = pairs(*site, &singles, &config, |_, _| {}).await;
        run += swept.run;
        if let Some(tried) = swept.broken {
            return Err(broken(&tried.case, &tried.trial));
        }
    }
    cx.note(format!("{run} pairs of faults"));
    Ok(())
}

pub async fn create(cx: Cx) -> Outcome {
    sweep(cx, &[CallSite::Create]).await
}
pub async fn fraud(cx: Cx) -> Outcome {
    sweep(cx, &[CallSite::Fraud]).await
}
pub async fn confirm(cx: Cx) -> Outcome {
    sweep(cx, &[CallSite::Confirm]).await
}
pub async fn save(cx: Cx) -> Outcome {
    sweep(cx, &[CallSite::Save]).await
}
pub async fn receipt(cx: Cx) -> Outcome {
    sweep(cx, &[CallSite::Receipt, CallSite::ReceiptSent]).await
}
pub async fn cancel(cx: Cx) -> Outcome {
    sweep(cx, &[CallSite::Cancel]).await
}
pub async fn refund(cx: Cx) -> Outcome {
    sweep(cx, &[CallSite::Refund]).await
}
pub async fn void(cx: Cx) -> Outcome {
    sweep(cx, &[CallSite::Void, CallSite::Find]).await
}
