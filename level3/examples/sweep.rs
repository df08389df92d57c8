//! Every fault at every call of a payment, singly and in pairs; or one case by its name.
//!
//! `cargo run -p level3 --example sweep` runs them all, `-- --case confirm=lose-reply+save*=hang` one
//! of them, with its timeline.

use level3::gateway::GatewayConfig;
use level3::trial::{Case, SITES, Trial, one_payment, pairs, singles, timeline};

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let config = GatewayConfig::default();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, case] = arguments.as_slice()
        && flag == "--case"
    {
        let case: Case = case.parse()?;
        let trial = one_payment(&case, &config).await;
        show(&case, &trial);
        return Ok(());
    }
    let singles = singles(&config).await;
    let mut broken = 0;
    for single in &singles {
        if !single.trial.broken.is_empty() {
            broken += 1;
            println!("{}: {:?}", single.slot, single.trial.broken);
        }
    }
    println!("{} single faults, {broken} broken", singles.len());
    for site in SITES {
        let mut broken = 0;
        let swept = pairs(site, &singles, &config, |case, trial| {
            if !trial.broken.is_empty() {
                broken += 1;
                println!("{case}: {:?}", trial.broken);
            }
        })
        .await;
        println!(
            "pairs up to {site}: {} run, {} equal to single ones, {} not judged, {broken} broken",
            swept.run, swept.equal_to_single, swept.not_judged
        );
    }
    Ok(())
}

fn show(case: &Case, trial: &Trial) {
    println!("case: {case}");
    println!("answer: {:?}", trial.answer);
    println!("answered at: {:?}", trial.answered_at);
    for line in timeline(&trial.calls) {
        println!("{line}");
    }
    println!("asked again: {:?}", trial.again);
    for rule in &trial.broken {
        println!("BROKEN: {rule}");
    }
}
