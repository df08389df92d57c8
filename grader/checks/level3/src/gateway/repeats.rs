//! Repeats at a gateway that takes on no new payment.

use grader_kit::{Cx, Outcome, ensure, ms};
use level3::answer::{Dependency, PayError, Reply};
use level3::breaker::State;
use level3::gateway::{Gateway, GatewayConfig};
use level3_sim::{CallSite, Fault, Script};
use tokio::time::sleep;

use crate::world::{Stage, paid, request, stage};

/// Why a gateway takes on no new payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Closed {
    Drained,
    /// One service after another is down.
    Down(CallSite, Dependency),
}

impl Closed {
    const ALL: [Self; 4] = [
        Self::Drained,
        Self::Down(CallSite::Create, Dependency::Payments),
        Self::Down(CallSite::Fraud, Dependency::Fraud),
        Self::Down(CallSite::Save, Dependency::Ledger),
    ];

    fn which(self) -> String {
        match self {
            Self::Drained => "that has drained".to_owned(),
            Self::Down(_, dependency) => format!("whose breaker of {dependency} is open"),
        }
    }

    /// Closes the gateway. False if it stays open, which other criteria are about.
    async fn close(
        self,
        cx: &Cx,
        stage: &Stage,
        gateway: &Gateway,
        which: &str,
    ) -> Result<bool, grader_kit::Fail> {
        match self {
            Self::Drained => {
                cx.call("Gateway::drain", gateway.drain(ms(60_000))).await?;
                Ok(true)
            }
            Self::Down(site, dependency) => {
                stage.script.add(site, Fault::FailBefore);
                for number in 0..2 {
                    let key = format!("{which} fails {number}");
                    cx.call("Gateway::pay", gateway.pay(request(&key))).await?.value.ok();
                }
                Ok(gateway.breaker(dependency) == State::Open)
            }
        }
    }
}

fn json(reply: &Result<Reply, PayError>) -> Option<String> {
    reply.as_ref().ok().and_then(|reply| reply.answer.to_json().ok())
}

/// A payment has its answer. A repeat gets it from the gateway that has given it, and from one that was started since,
/// also when they take on nothing new: a repeat is no new payment.
pub async fn closed_gateways_know_their_answers(cx: &Cx) -> Outcome {
    for closed in Closed::ALL {
        let ends = [
            ("paid", "a", Script::new()),
            ("declined", "a", Script::new().on(CallSite::Confirm, 1, Fault::Decline)),
        ];
        for (end, key, script) in ends {
            let stage = stage(cx, script)?;
            let first = cx.call("Gateway::pay", stage.gateway.pay(request(key))).await?.value;
            if end == "paid" {
                paid(&first, "although nothing fails")?;
            }
            sleep(ms(5000)).await;
            let (heir, _) = stage.another(GatewayConfig::default())?;
            for (whose, gateway) in [("has given it", &stage.gateway), ("was started since", &heir)]
            {
                if !closed.close(cx, &stage, gateway, whose).await? {
                    continue;
                }
                let calls = stage.world.all_calls();
                let call = cx.call("Gateway::pay", gateway.pay(request(key))).await?;
                ensure!(
                    json(&call.value) == json(&first) && stage.world.all_calls() == calls,
                    "a payment is {end}, and a repeat at a gateway that {whose}, and {}, gets another answer", closed.which();
                    expected = "the bytes of the first answer, and no call: only new payments are refused",
                    observed = format!("{:?}, {} calls", call.value, stage.world.all_calls() - calls),
                    help = "ask the journal before you refuse: the answer of a payment that has ended costs no service"
                );
            }
        }
    }
    Ok(())
}
