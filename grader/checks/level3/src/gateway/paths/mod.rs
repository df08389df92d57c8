//! Rules that hold on every path: see the [`table`].

mod table;
mod walk;

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::time::Duration;

use grader_kit::{Cx, Draw, Fail, Outcome, ensure, lock, ms};
use level3::answer::Status;
use level3::gateway::{GatewayConfig, StepConfig, UndoLimits};
use level3::ids::PaymentId;
use level3::journal::Standing;
use level3::provider::RowStatus;
use level3::request::PaymentRequest;
use level3_sim::{CallSite, Fault, Script};
use tokio::time::{Instant, sleep};

use super::repeats;
use crate::world::{WireCall, is_paid, request, stage};
use table::{Path, Rule, paths_of};
use walk::{Asked, Plan, Walked, walk, walk_all};

pub async fn meters_every_wire_call(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let mut plans = Vec::new();
    for path in paths_of(Rule::Metering) {
        // More payments than the limit lets through in a second, with retries on top.
        let rate = usize::try_from(draw.between(8..=12)).unwrap_or(10);
        let retries = if path == Path::Redrive { 0 } else { 8 };
        let script = (1..=retries).fold(Script::new(), |script, nth| {
            script.on(CallSite::Create, nth, Fault::RateLimited(None))
        });
        let mut plan = Plan::new(24, script);
        plan.config.rate = NonZeroUsize::MIN.saturating_add(rate - 1);
        plan.what = format!("24 payments and {rate} calls a second");
        plans.push((path, plan));
        if path == Path::Undo {
            // Each refund is answered with a 500, and what it has done has to be looked up.
            let script = (1..=24).fold(Script::new(), |script, nth| {
                script.on(CallSite::Refund, nth, Fault::Internal { effect: false })
            });
            let mut plan = Plan::new(24, script);
            plan.config.rate = NonZeroUsize::MIN.saturating_add(rate - 1);
            plan.what = format!("24 payments, refunds that fail and {rate} calls a second");
            plans.push((path, plan));
        }
    }
    walk_all(&cx, plans, metered).await
}

fn metered(walked: &Walked) -> Outcome {
    let rate = walked.config.rate.get();
    let calls = walked.stage.wire.calls();
    let to_provider = calls.iter().filter(|call| call.site.is_payment_provider());
    let mut times: Vec<Instant> = to_provider.map(|call| call.at).collect();
    times.sort_unstable();
    // A process knows nothing of the calls of one that has died.
    let (dead, living): (Vec<Instant>, Vec<Instant>) =
        times.iter().partition(|at| walked.died.is_some_and(|died| **at <= died));
    let most_of = |times: &[Instant]| {
        let within = |start: Instant| {
            times.iter().filter(|at| **at >= start && **at < start + ms(1000)).count()
        };
        times.iter().map(|start| within(*start)).max().unwrap_or(0)
    };
    let most = most_of(&dead).max(most_of(&living));
    ensure!(
        most <= rate, "{}: {most} calls to the provider within one second", walked.when();
        expected = format!("{rate} at most, as GatewayConfig::rate says: retries, undos and lookups included"),
        help = "one limiter for the account, and a slot for each wire call, not for each step or payment"
    );
    // Payments for which there is no room are refused before their first call.
    ensure!(times.len() > rate, "{}: the provider is hardly called", walked.when(); observed = format!("{} calls", times.len()));
    Ok(())
}

/// How long a call of a kind may be open at most.
fn limit_of(config: &GatewayConfig, site: CallSite) -> Duration {
    let undo = config.undo.confirm.max(config.undo.create);
    match site {
        CallSite::Create => config.create.limit.max(config.undo.create),
        CallSite::Fraud => config.fraud.limit,
        CallSite::Confirm => config.confirm.limit,
        CallSite::Save => config.save.limit,
        CallSite::Receipt | CallSite::ReceiptSent | CallSite::PendingReceipts => {
            config.receipt.limit
        }
        CallSite::Cancel | CallSite::Refund => undo,
        CallSite::Void => config.undo.save,
        // Asked on the way forward and on the way back.
        CallSite::Find => config.create.limit.max(config.confirm.limit).max(undo),
    }
}

/// Limits that are not the default's.
fn drawn_limits(draw: &mut Draw) -> GatewayConfig {
    let config = GatewayConfig::default();
    let mut limited = |step: StepConfig, from: u64| StepConfig {
        limit: ms(from + 10 * draw.between(0..=20)),
        ..step
    };
    let (create, fraud) = (limited(config.create, 1000), limited(config.fraud, 1500));
    let (confirm, save) = (limited(config.confirm, 1500), limited(config.save, 600));
    let receipt = limited(config.receipt, 2000);
    let mut undo = |from: u64| ms(from + 10 * draw.between(0..=20));
    let undo = UndoLimits { create: undo(600), confirm: undo(700), save: undo(250) };
    GatewayConfig { create, fraud, confirm, save, receipt, undo, ..config }
}

pub async fn cuts_every_call(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let forward = [CallSite::Create, CallSite::Fraud, CallSite::Confirm, CallSite::Save];
    let outbox = [CallSite::Receipt, CallSite::ReceiptSent];
    let mut plans = Vec::new();
    for path in paths_of(Rule::Limits) {
        // One kind of call after another, so that each hang is met.
        let sites: Vec<CallSite> = match path {
            Path::Undo => vec![CallSite::Refund, CallSite::Void, CallSite::Cancel],
            Path::Recovery => vec![CallSite::Cancel, CallSite::Refund, CallSite::PendingReceipts],
            Path::Redrive => vec![CallSite::Receipt, CallSite::Refund],
            _ => forward.into_iter().chain(outbox).collect(),
        };
        for site in sites {
            // Of what undoes, a request that is lost: the other ones could not be told from done.
            let fault = match site {
                CallSite::Cancel | CallSite::Refund | CallSite::Void => Fault::Hang,
                _ => *draw.pick(&[Fault::Hang, Fault::SwallowReply]),
            };
            let script = match (path, site) {
                (Path::Redrive, _) => Script::new(),
                (Path::Undo, CallSite::Cancel) => Script::new()
                    .on(site, 1, fault)
                    .on(site, 2, fault)
                    .always(CallSite::Confirm, Fault::Decline),
                _ => Script::new().on(site, 1, fault).on(site, 2, fault),
            };
            let mut plan = Plan::new(1, script);
            if path == Path::Redrive {
                (plan.receipts, plan.meets) = (site == CallSite::Receipt, Some((site, fault)));
            }
            plan.config = drawn_limits(&mut draw);
            plan.what = format!("calls of {site} that get no answer");
            plans.push((path, plan));
        }
    }
    walk_all(&cx, plans, cut).await
}

fn cut(walked: &Walked) -> Outcome {
    let ours = |call: &WireCall| walked.died.is_none_or(|died| call.at >= died);
    for call in walked.stage.wire.calls().iter().filter(|call| ours(call)) {
        let limit = limit_of(&walked.config, call.site);
        let open = call.over.as_ref().map(|(over, _)| *over - call.at);
        let shown = open.map(|open| format!("{} ms", open.as_millis()));
        ensure!(
            open.is_some_and(|open| open <= limit + ms(1)),
            "{}: {} #{} is waited for longer than its limit", walked.when(), call.site, call.nth;
            expected = format!("given up after the {} ms that GatewayConfig says", limit.as_millis()),
            observed = shown.unwrap_or("still open at the end".to_owned()),
            help = "a call that hangs ends when its limit cuts it; undoing has limits too: UndoLimits"
        );
    }
    Ok(())
}

pub(super) async fn answers_by_the_deadline(cx: &Cx) -> Outcome {
    let mut draw = cx.draw();
    let sites =
        [CallSite::Create, CallSite::Fraud, CallSite::Confirm, CallSite::Save, CallSite::Refund];
    let mut plans = Vec::new();
    for path in paths_of(Rule::Deadline) {
        for site in sites {
            let fault = *draw.pick(&[Fault::Hang, Fault::SwallowReply]);
            let mut plan = Plan::new(2, Script::new().always(site, fault));
            // Shorter than the default's and longer, each on every path.
            plan.config.total = ms(match site {
                CallSite::Create | CallSite::Confirm => draw.between(7_000..=9_000),
                _ => draw.between(10_500..=12_000),
            });
            plan.what = format!("every call of {site} without an answer");
            plans.push((path, plan));
        }
    }
    let judge = |walked: &Walked| {
        let total = walked.config.total;
        for asked in &walked.asked {
            ensure!(
                asked.took <= total, "{}: pay answers after {} ms", walked.when(), asked.took.as_millis();
                expected = format!("an answer within the {} ms of GatewayConfig::total, compensation included", total.as_millis()),
                observed = format!("{:?}", asked.reply),
                help = "one deadline for the whole payment; every attempt and every wait asks it first, a wait for another caller's work too"
            );
        }
        Ok(())
    };
    walk_all(cx, plans, judge).await
}

pub async fn one_terminal_event(cx: Cx) -> Outcome {
    let mut plans = Vec::new();
    for path in paths_of(Rule::OneEnd) {
        let ends = [
            ("", Script::new()),
            ("the bank declines", Script::new().always(CallSite::Confirm, Fault::Decline)),
            ("the ledger is down", Script::new().always(CallSite::Save, Fault::FailBefore)),
        ];
        for (what, script) in ends {
            let mut plan = Plan::new(3, script);
            plan.what = what.to_owned();
            // What is redriven has failed in a way of its own.
            if path != Path::Redrive || what.is_empty() {
                plans.push((path, plan));
            }
        }
    }
    walk_all(&cx, plans, ended_once).await
}

fn ended_once(walked: &Walked) -> Outcome {
    let when = walked.when();
    let told = lock(&walked.stage.told).clone();
    let mut counts: HashMap<PaymentId, usize> = HashMap::new();
    for end in &told {
        *counts.entry(end.payment.clone()).or_default() += 1;
        ensure!(
            end.standing == Some(Standing::Ended),
            "{when}: Event::Ended comes before the end is in the journal";
            expected = "the record first: a process that dies in between has reported no end that is not in the journal",
            observed = format!("the journal says {:?}, and Ended comes with {:?}", end.standing, end.status)
        );
    }
    let most = counts.values().max().copied().unwrap_or_default();
    ensure!(
        most <= 1, "{when}: {most} Ended events for one payment";
        expected = "exactly one for each payment, whichever process ends it and however often it is asked for",
        observed = format!("{:?}", told.iter().map(|end| (&end.payment, &end.status)).collect::<Vec<_>>())
    );
    let intents = walked.stage.world.intents();
    let untold = intents.iter().find(|intent| !counts.contains_key(&intent.payment));
    ensure!(
        untold.is_none(), "{when}: no Ended event for a payment that has ended";
        expected = "one for each payment, also for those that a recovery or a redrive brings to their end",
        observed = format!("{} payments, {} Ended events", intents.len(), told.len())
    );
    for asked in &walked.asked {
        let Ok(reply) = &asked.reply else { continue };
        let answer = &reply.answer;
        let end = told.iter().find(|end| end.payment == answer.payment);
        let other = end.filter(|end| end.status != answer.status);
        ensure!(
            other.is_none() || matches!(answer.status, Status::Compensating { .. }),
            "{when}: the client's answer differs from Event::Ended";
            expected = format!("{:?}", other.map(|end| &end.status)),
            observed = format!("{:?}", answer.status)
        );
    }
    Ok(())
}

pub async fn leaks_no_secrets(cx: Cx) -> Outcome {
    let mut plans = Vec::new();
    for path in paths_of(Rule::Secrets) {
        for (site, fault) in [
            (CallSite::Receipt, Fault::FailBefore),
            (CallSite::Receipt, Fault::Decline),
            (CallSite::Receipt, Fault::Panic),
            (CallSite::Save, Fault::Decline),
        ] {
            let script = Script::new().on(CallSite::Confirm, 1, Fault::LoseReply);
            let mut plan = Plan::new(2, script.always(site, fault));
            plan.what = format!("{site} under {fault:?}");
            plans.push((path, plan));
        }
    }
    for site in [CallSite::Fraud, CallSite::Confirm, CallSite::Save] {
        let mut plan = Plan::new(1, Script::new().always(site, Fault::Panic));
        plan.what = format!("{site} under {:?}", Fault::Panic);
        plans.push((Path::Normal, plan));
    }
    // A redrive fails in ways of its own, and its letters name other causes than before.
    for (receipts, site) in [(true, CallSite::Receipt), (false, CallSite::Refund)] {
        for fault in [Fault::Panic, Fault::Decline, Fault::Hang] {
            let mut plan = Plan::new(1, Script::new());
            (plan.receipts, plan.meets) = (receipts, Some((site, fault)));
            plan.what = format!("{site} under {fault:?}");
            plans.push((Path::Redrive, plan));
        }
    }
    walk_all(&cx, plans, silent).await?;
    let stage = stage(&cx, Script::new())?;
    let bad = PaymentRequest { email: "broken secret@x".to_owned(), ..request("b") };
    let refused = cx.call("Gateway::pay", stage.gateway.pay(bad)).await?.value;
    let text = format!("{refused:?}");
    ensure!(!text.contains("broken secret"), "an error gives the e-mail address away"; observed = text);
    Ok(())
}

fn silent(walked: &Walked) -> Outcome {
    let mut said = walked.said.clone();
    for asked in &walked.asked {
        said.push(("an answer", format!("{:?}", asked.reply)));
        match &asked.reply {
            Ok(reply) => {
                said.push(("an answer's JSON", reply.answer.to_json().unwrap_or_default()));
            }
            Err(error) => said.push(("an error", error.to_string())),
        }
        said.push(("a request", format!("{:?}", asked.request)));
        said.push(("the checked payment", format!("{:?}", asked.request.validate())));
    }
    let events = lock(&walked.stage.events).clone();
    said.extend(events.iter().map(|(_, event)| ("an event", format!("{event:?}"))));
    for request in &walked.requests {
        for (secret, name) in
            [(&request.email, "the e-mail address"), (&request.card, "the card token")]
        {
            for (what, text) in &said {
                ensure!(
                    !text.contains(secret.as_str()), "{}: {what} gives {name} away", walked.when();
                    expected = "neither the e-mail address nor the card token in anything that the gateway gives out",
                    observed = text.clone()
                );
            }
        }
    }
    Ok(())
}

pub async fn one_owner_at_a_time(cx: Cx) -> Outcome {
    let mut plans = Vec::new();
    // Three of each: where the second process comes in is drawn.
    for path in paths_of(Rule::OneOwner).flat_map(|path| [path; 3]) {
        let mut plan = Plan::new(1, Script::new());
        plan.two = true;
        plan.what = "with two processes".to_owned();
        plans.push((path, plan));
    }
    walk_all(&cx, plans, one_at_a_time).await
}

fn one_at_a_time(walked: &Walked) -> Outcome {
    let calls = walked.stage.wire.calls();
    let outbox = [CallSite::PendingReceipts, CallSite::Receipt, CallSite::ReceiptSent];
    let mut calls: Vec<&WireCall> = calls
        .iter()
        .filter(|call| walked.died.is_none_or(|died| call.at >= died))
        .filter(|call| !outbox.contains(&call.site))
        .collect();
    calls.sort_by_key(|call| call.at);
    for pair in calls.windows(2) {
        let [one, two] = pair else { continue };
        let over = one.over.as_ref().map(|(over, _)| *over);
        ensure!(
            over.is_some_and(|over| over <= two.at),
            "{}: they work on one payment at once: {} #{} begins while {} #{} is under way",
            walked.when(), two.site, two.nth, one.site, one.nth;
            expected = "one owner at a time: the process that finds the saga begun waits for its end, or for its lease to end",
            help = "Journal::open says which process begins a saga, Journal::claim which takes it over"
        );
    }
    let wrong = walked.stage.imbalance();
    ensure!(wrong.is_none(), "{}: {}", walked.when(), wrong.unwrap_or_default(); expected = "charged and recorded once, or neither");
    Ok(())
}

pub async fn does_nothing_twice(cx: Cx) -> Outcome {
    let sites =
        [CallSite::Create, CallSite::Confirm, CallSite::Save, CallSite::Receipt, CallSite::Refund];
    let mut plans = Vec::new();
    for path in paths_of(Rule::Idempotency) {
        for site in sites {
            if path == Path::Redrive && site == CallSite::Refund {
                continue;
            }
            let mut plan = Plan::new(2, Script::new().on(site, 1, Fault::LoseReply));
            plan.what = format!("the first answer of {site} lost");
            plans.push((path, plan));
        }
    }
    // What an attempt may have done stays open, whatever the next ones are answered.
    for (site, then) in [
        (CallSite::Create, Fault::FailBefore),
        (CallSite::Confirm, Fault::FailBefore),
        (CallSite::Save, Fault::FailBefore),
        (CallSite::Save, Fault::Decline),
    ] {
        let script = Script::new().on(site, 1, Fault::LoseReply).on(site, 2, then);
        let mut plan = Plan::new(1, script.on(site, 3, then));
        plan.what = format!("the first answer of {site} lost, and then {then:?}");
        plans.push((Path::Normal, plan));
    }
    walk_all(&cx, plans, once_each).await?;
    every_process_knows_the_answer(&cx).await?;
    repeats::closed_gateways_know_their_answers(&cx).await
}

/// Two processes are asked for one payment at the same time: the client of the one that does not work on it gets
/// the payment's answer as well, as soon as the journal has it.
async fn every_process_knows_the_answer(cx: &Cx) -> Outcome {
    let mut plans = Vec::new();
    for path in [Path::Normal, Path::Joined, Path::Repeat] {
        let mut plan = Plan::new(2, Script::new());
        plan.two = true;
        plan.what = "nothing fails, and two processes are asked".to_owned();
        plans.push((path, plan));
    }
    let judge = |walked: &Walked| {
        once_each(walked)?;
        for asked in &walked.asked {
            let told = asked.reply.as_ref().map(|reply| &reply.answer.status);
            ensure!(
                told.is_ok_and(is_paid), "{}: the payment is paid after a second or two, and a client has another answer", walked.when();
                expected = "Paid, for the clients of both processes: each has 10 s until its answer is due",
                observed = format!("{told:?} after {} ms", asked.took.as_millis()),
                help = "the process that finds the payment begun reads the journal again every now and then: the other one may end it long before its lease does"
            );
        }
        Ok(())
    };
    walk_all(cx, plans, judge).await
}

/// Whether another request with this key was told that it is paid: a failure that may pass leaves the key free.
fn is_paid_later(walked: &Walked, asked: &Asked) -> bool {
    walked.asked.iter().any(|other| {
        other.request.key == asked.request.key
            && other.reply.as_ref().is_ok_and(|reply| is_paid(&reply.answer.status))
    })
}

/// Charged and recorded once or not at all, for every request; and the clients know it.
fn once_each(walked: &Walked) -> Outcome {
    let when = walked.when();
    let wrong = walked.stage.imbalance();
    ensure!(wrong.is_none(), "{when}: {}", wrong.unwrap_or_default(); expected = "charged and recorded once, or neither");
    let (intents, rows, mails) =
        (walked.stage.world.intents(), walked.stage.world.rows(), walked.stage.world.mails());
    for asked in &walked.asked {
        let Ok(reply) = &asked.reply else {
            return Err(Fail::new(format!("{when}: pay gives an error"))
                .observed(format!("{:?}", asked.reply)));
        };
        let answer = &reply.answer;
        let order = asked.request.order.as_str();
        let same_order = |order_of: &str| order_of == order;
        ensure!(
            same_order(answer.order.as_str()) && answer.amount.minor() == asked.request.amount,
            "{when}: the answer is about another order or amount";
            expected = format!("{order}, {}", asked.request.amount),
            observed = format!("{}, {}", answer.order.as_str(), answer.amount.minor())
        );
        let net: i64 =
            intents.iter().filter(|i| i.payment == answer.payment).map(|intent| intent.net()).sum();
        let row = rows
            .iter()
            .any(|row| row.payment == answer.payment && row.status == RowStatus::Completed);
        let sent = mails.iter().filter(|mail| same_order(mail.order.as_str())).count();
        let (due, is_right) = match &answer.status {
            status if is_paid(status) => (
                "the amount charged, a row, one receipt",
                net == asked.request.amount && row && sent == 1,
            ),
            Status::Compensating { .. } => ("one receipt at most", sent <= 1),
            // A later run of the key may have been paid, and a receipt names the order only.
            _ => (
                "nothing charged, no row, no receipt",
                net == 0 && !row && (sent == 0 || is_paid_later(walked, asked)),
            ),
        };
        ensure!(
            is_right, "{when}: told {:?}, and {net} are charged with {} and {sent} receipts", answer.status, if row { "a row" } else { "no row" };
            expected = due
        );
        let other = walked.asked.iter().find(|other| {
            other.request.key == asked.request.key
                && other.reply.as_ref().is_ok_and(|reply| {
                    reply.answer.status != answer.status
                        && !matches!(
                            reply.answer.status,
                            Status::Compensating { .. } | Status::Failed { .. }
                        )
                        && !matches!(
                            answer.status,
                            Status::Compensating { .. } | Status::Failed { .. }
                        )
                })
        });
        ensure!(
            other.is_none(), "{when}: the same request gets two different answers";
            observed = format!("{:?} and {:?}", answer.status, other.map(|other| &other.reply))
        );
    }
    Ok(())
}

pub async fn leaves_nothing_running(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    ends_with_its_payment(&cx).await?;
    for path in paths_of(Rule::Memory) {
        let mut plan = Plan::new(20, Script::new());
        // Longer than everything that the walk waits for.
        plan.config.total = Duration::from_secs(3600);
        let walked = walk(&cx, path, plan, &mut draw).await?;
        let left = cx.alive_tasks().saturating_sub(walked.tasks);
        ensure!(
            left == 0,
            "path \"{}\": {left} tasks are left 400 s after 20 payments were over", path.name();
            expected = "none: a gateway that keeps a task for each payment of the last day runs out of memory",
            help = "forget old answers when the store is used, not in a task that sleeps until then"
        );
        for gateway in &walked.gateways {
            let counted = gateway.in_flight();
            ensure!(counted == 0, "path \"{}\": in_flight() is {counted} when all is over", path.name(); expected = "0");
        }
    }
    Ok(())
}

/// Payments that are over, with their receipts and their undos: not minutes later, nothing is left of them.
async fn ends_with_its_payment(cx: &Cx) -> Outcome {
    let scripts = [
        ("are paid", Script::new()),
        ("the bank declines", Script::new().always(CallSite::Confirm, Fault::Decline)),
        ("the ledger fails", Script::new().always(CallSite::Save, Fault::FailBefore)),
    ];
    for (what, script) in scripts {
        let before = cx.alive_tasks();
        let stage = stage(cx, script)?;
        // One after another, so that no breaker opens and no pause between attempts is long.
        for number in 0..3 {
            let key = format!("{what} {number}");
            let twice = async {
                tokio::join!(stage.gateway.pay(request(&key)), stage.gateway.pay(request(&key)))
            };
            cx.call("Gateway::pay", twice).await?;
        }
        sleep(ms(3000)).await;
        cx.settle().await;
        let calls = stage.wire.calls();
        let is_over = stage.open() == 0 && calls.iter().all(|call| call.over.is_some());
        let left = cx.alive_tasks().saturating_sub(before);
        ensure!(
            !is_over || left == 0,
            "{left} tasks are left 3 s after 3 payments that {what} were over";
            expected = "none: each payment that has ended would leave a task in memory",
            help = "what waits or watches for a payment ends with it: let the payment's own task do it"
        );
    }
    Ok(())
}
