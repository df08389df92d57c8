//! Random scripts of requests, faults and restarts, after which all books have to agree.
//!
//! The model is small: what the journal says of a payment decides what the provider, the ledger, the mail,
//! the events and the clients say of it. How a gateway gets there is its own affair.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use grader_kit::{Cx, Draw, Fail, Outcome, ensure, lock, ms};
use level3::answer::{PayError, Reply, Status};
use level3::gateway::GatewayConfig;
use level3::ids::PaymentId;
use level3::journal::{Journal as _, Record, SagaId, Standing};
use level3::provider::RowStatus;
use level3::request::PaymentRequest;
use level3_harness::SITES;
use level3_sim::{CallSite, Fault, Script};
use tokio::time::{sleep, timeout};

use crate::values::drawn;
use crate::world::{Stage, stage_aside};

/// How often each fault at each call is the first one of a script.
const ROUNDS: usize = 5;

/// Something that happens.
#[derive(Debug, Clone)]
enum Act {
    /// A client asks for the payment with this key.
    Pay(usize),
    /// So many milliseconds pass.
    Wait(u64),
    /// From now on every call of this kind meets the fault.
    Break(CallSite, Fault),
    /// From now on calls of this kind meet none.
    Heal(CallSite),
    /// The process dies, and the next one recovers.
    Restart,
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pay(key) => write!(f, "pay k{key}"),
            Self::Wait(time) => write!(f, "wait {time} ms"),
            Self::Break(site, fault) => write!(f, "every {site} meets {fault:?}"),
            Self::Heal(site) => write!(f, "{site} works again"),
            Self::Restart => f.write_str("the process dies, the next one recovers"),
        }
    }
}

/// Every fault at every call that the books can tell. Stored 500s are the other sweeps' affair: each of
/// them costs a key, and an outage of them more keys than a few redrives go through.
fn troubles() -> Vec<(CallSite, Fault)> {
    let faults = [
        Fault::FailBefore,
        Fault::LoseReply,
        Fault::SwallowReply,
        Fault::Hang,
        Fault::Slow(ms(700)),
        Fault::RateLimited(Some(ms(700))),
        Fault::Panic,
    ];
    let mut troubles: Vec<_> =
        SITES.into_iter().flat_map(|site| faults.map(|fault| (site, fault))).collect();
    troubles.extend([
        (CallSite::Fraud, Fault::Decline),
        (CallSite::Confirm, Fault::Decline),
        (CallSite::Confirm, Fault::RequiresAction),
        (CallSite::Confirm, Fault::Processing(ms(1500))),
        (CallSite::Refund, Fault::Decline),
    ]);
    troubles
}

/// A script that begins with this fault; what follows is drawn.
fn script(first: (CallSite, Fault), troubles: &[(CallSite, Fault)], draw: &mut Draw) -> Vec<Act> {
    let keys = draw.between(1..=3);
    let key = |draw: &mut Draw| Act::Pay(draw.index(usize::try_from(keys).unwrap_or(1)));
    let mut acts = vec![Act::Break(first.0, first.1), key(draw)];
    let mut broken = vec![first.0];
    for _ in 0..draw.between(6..=14) {
        let act = match draw.below(10) {
            0..=3 => key(draw),
            4..=6 => Act::Wait(*draw.pick(&[50, 150, 350, 650, 950, 1150, 3000, 12_000, 65_000])),
            7 => {
                let (site, fault) = *draw.pick(troubles);
                broken.push(site);
                Act::Break(site, fault)
            }
            8 => Act::Heal(*draw.pick(&broken)),
            _ => Act::Restart,
        };
        acts.push(act);
    }
    acts
}

pub async fn books_agree(cx: Cx) -> Outcome {
    crate::world::is_written(&cx).await?;
    let (mut draw, troubles) = (cx.draw(), troubles());
    let mut plays = Vec::new();
    for first in troubles.iter().flat_map(|trouble| [*trouble; ROUNDS]) {
        let acts = script(first, &troubles, &mut draw);
        plays.push(play(&cx, acts, draw.clone()));
    }
    cx.note(format!("{} scripts", plays.len()));
    futures::future::join_all(plays).await.into_iter().collect()
}

type Replies = Arc<Mutex<Vec<(usize, Result<Reply, PayError>)>>>;

async fn play(cx: &Cx, acts: Vec<Act>, mut draw: Draw) -> Outcome {
    let stage = stage_aside(cx, Script::new(), GatewayConfig::default())?;
    let requests: Vec<_> = (0..3).map(|number| drawn(&mut draw, &format!("k{number}"))).collect();
    let replies: Replies = Arc::default();
    let outcome = played(cx, &stage, &acts, &requests, &replies).await;
    outcome.map_err(|fail| {
        let script: Vec<_> = acts.iter().map(ToString::to_string).collect();
        let observed = fail.observed.clone().unwrap_or_default();
        fail.observed(format!(
            "{observed}\nthe script: {}; then everything works, recover(), redrive(), each key again{}",
            script.join(", "),
            stage.wire.lines()
        ))
    })
}

async fn played(
    cx: &Cx,
    stage: &Stage,
    acts: &[Act],
    requests: &[PaymentRequest],
    replies: &Replies,
) -> Outcome {
    let (mut gateway, mut process) = (stage.gateway.clone(), stage.process.clone());
    let (mut clients, mut restarts) = (Vec::new(), 0);
    for act in acts {
        match act {
            Act::Pay(key) => {
                let (gateway, request) = (gateway.clone(), requests[*key].clone());
                let (replies, key) = (Arc::clone(replies), *key);
                clients.push(tokio::spawn(async move {
                    let reply = gateway.pay(request).await;
                    lock(&replies).push((key, reply));
                }));
            }
            Act::Wait(time) => sleep(ms(*time)).await,
            Act::Break(site, fault) => {
                stage.script.heal(*site);
                stage.script.add(*site, *fault);
            }
            Act::Heal(site) => stage.script.heal(*site),
            Act::Restart => {
                process.kill();
                clients.drain(..).for_each(|client| client.abort());
                restarts += 1;
                (gateway, process) = stage.another(GatewayConfig::default())?;
                let heir = gateway.clone();
                clients.push(tokio::spawn(async move {
                    // Whether it can while services are ill, is not the question; the last one can.
                    let _ = heir.recover().await;
                }));
            }
        }
    }
    for site in CallSite::ALL {
        stage.script.heal(site);
    }
    // All undos that may still be under way, and the breakers.
    sleep(ms(400_000)).await;
    // Several times: a key whose refusal the provider remembers may cost one, and a breaker that is
    // half-open lets one call through.
    for _ in 0..4 {
        let recovered = timeout(ms(300_000), gateway.recover()).await;
        ensure!(
            matches!(recovered, Ok(Ok(_))),
            "everything works again, and recover() does not end with Ok"; observed = format!("{recovered:?}")
        );
        cx.call("Gateway::redrive", gateway.redrive()).await?;
        sleep(ms(5000)).await;
    }
    let asked: Vec<usize> = (0..requests.len())
        .filter(|key| acts.iter().any(|act| matches!(act, Act::Pay(asked) if asked == key)))
        .collect();
    let mut last = Vec::new();
    for key in asked {
        let reply = cx.call("Gateway::pay", gateway.pay(requests[key].clone())).await?.value;
        last.push((key, reply.clone()));
        lock(replies).push((key, reply));
    }
    let left = cx.call("Gateway::drain", gateway.drain(ms(300_000))).await?.value;
    let (open, parked) =
        (stage.journal.count(Standing::Open), stage.journal.count(Standing::Parked));
    ensure!(
        left == 0 && open == 0 && parked == 0 && gateway.dead_letters().is_empty(),
        "everything works again and everything was tried again: {left} payments under way, {open} open, {parked} parked, {} dead letters",
        gateway.dead_letters().len();
        expected = "none of any"
    );
    for (key, reply) in &last {
        let status = reply.as_ref().map(|reply| &reply.answer.status);
        ensure!(
            matches!(status, Ok(Status::Paid { .. } | Status::Declined { .. })),
            "everything works again, and k{key} is answered otherwise";
            expected = "Paid, or Declined if it was", observed = format!("{status:?}")
        );
    }
    books(stage, requests, replies, restarts).await
}

/// What the journal says of each payment decides what everything else says.
async fn books(
    stage: &Stage,
    requests: &[PaymentRequest],
    replies: &Replies,
    restarts: u32,
) -> Outcome {
    let wrong = stage.imbalance();
    ensure!(wrong.is_none(), "{}", wrong.unwrap_or_default(); expected = "charged and recorded once, or neither");
    let ended = stage.journal.list(Standing::Ended).await;
    let ended = ended.map_err(|_| Fail::new("the journal in memory does not work"))?;
    let mut paid: BTreeMap<SagaId, bool> = BTreeMap::new();
    for saga in ended {
        let log = stage.journal.read(saga.clone()).await.ok().flatten();
        let completed = log.is_some_and(|log| log.records.contains(&Record::Completed));
        paid.insert(saga, completed);
    }
    let (intents, rows, mails) = (stage.world.intents(), stage.world.rows(), stage.world.mails());
    for intent in &intents {
        let says = paid.get(&SagaId::from(&intent.payment)).copied();
        ensure!(
            says == Some(intent.net() > 0),
            "the provider and the journal do not agree about {}", intent.payment;
            expected = format!("paid in the journal: {says:?}"), observed = format!("{} charged, {}", intent.net(), intent.status)
        );
    }
    let is_paid = |payment: &PaymentId| paid.get(&SagaId::from(payment)) == Some(&true);
    for row in rows.iter().filter(|row| row.status == RowStatus::Completed) {
        ensure!(
            is_paid(&row.payment),
            "a row of {} stands, and the journal says that it is not paid",
            row.payment
        );
    }
    let count = paid.values().filter(|paid| **paid).count();
    ensure!(
        mails.len() == count && stage.world.outbox() == 0,
        "{count} payments are paid, and {} receipts are sent, with {} in the outbox", mails.len(), stage.world.outbox();
        expected = "one receipt for each payment that is paid, and none left"
    );
    let told = lock(&stage.told).clone();
    for saga in paid.keys() {
        let ends: Vec<_> = told.iter().filter(|end| SagaId::from(&end.payment) == *saga).collect();
        // A process may die between the record and the event.
        ensure!(
            ends.len() == 1 || (ends.is_empty() && restarts > 0),
            "{} Ended events for {saga}", ends.len(); expected = "one for each payment"
        );
        for end in ends {
            let says_paid = matches!(end.status, Status::Paid { .. });
            ensure!(
                Some(&says_paid) == paid.get(saga), "Event::Ended and the journal do not agree about {saga}";
                observed = format!("{:?}", end.status)
            );
        }
    }
    for (key, reply) in lock(replies).iter() {
        let Ok(reply) = reply else { continue };
        let (answer, asked) = (&reply.answer, &requests[*key]);
        let definite = !matches!(answer.status, Status::Compensating { .. });
        let says_paid = matches!(answer.status, Status::Paid { .. });
        ensure!(
            !definite || says_paid == is_paid(&answer.payment),
            "a client of k{key} and the journal do not agree about {}", answer.payment;
            observed = format!("told {:?}", answer.status)
        );
        ensure!(
            answer.amount.minor() == asked.amount && answer.order.as_str() == asked.order,
            "the answer to k{key} has another amount or order";
            observed = format!("{:?}", answer)
        );
    }
    // One run at most of each key is paid.
    for (key, request) in requests.iter().enumerate() {
        let charged: i64 = intents
            .iter()
            .filter(|intent| {
                lock(replies).iter().any(|(of, reply)| {
                    *of == key
                        && reply.as_ref().is_ok_and(|reply| reply.answer.payment == intent.payment)
                })
            })
            .map(|intent| intent.net())
            .sum();
        ensure!(
            charged == 0 || charged == request.amount,
            "k{key} is charged {charged} in all"; expected = format!("0 or {}", request.amount)
        );
    }
    Ok(())
}
