//! One payment under a case, and the rules that it has to keep.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use level3::gateway::{Gateway, GatewayConfig};
use level3_domain::answer::{PayError, Reply, Status};
use level3_domain::event::Event;
use level3_domain::journal::{MemoryJournal, Standing};
use level3_domain::provider::{IntentStatus, RowStatus};
use level3_sim::{CallSite, Ending, Faults, Latencies, MortalJournal, Process, World};
use tokio::time::sleep;

use super::case::Case;
use super::load::request;
use super::watch::{Recorder, Seen};

/// By then `pay` has answered, whatever happens.
pub const LIMIT: Duration = Duration::from_secs(10);

/// How long the trial waits for the work after an answer: five times the time of 23 attempts to undo
/// everything, each up to its limit, with the longest pauses between them.
const PATIENCE: Duration = Duration::from_secs(1000);

/// Virtual time that one case may take: each of its processes may use up the patience, and a redrive too.
const CASE_LIMIT: Duration = Duration::from_secs(3000);

/// The result of one payment.
#[derive(Debug, Clone)]
pub struct FaultCase {
    /// The client's first answer; `None` if the client was dropped or the process died.
    pub answer: Option<Result<Reply, PayError>>,
    /// When the client got its answer.
    pub answered_at: Option<Duration>,
    /// Whether an operator had to redrive something.
    pub parked: bool,
    /// The answer to the client's repeat when every service worked again.
    pub again: Option<Result<Reply, PayError>>,
    /// Every call, in order.
    pub calls: Vec<Seen>,
    /// The rules that were broken. Empty when all is well.
    pub broken: Vec<String>,
}

impl FaultCase {
    /// The gateway's caller got a panic.
    pub(super) fn panicked() -> Self {
        Self {
            answer: None,
            answered_at: None,
            parked: false,
            again: None,
            calls: Vec::new(),
            broken: vec!["the gateway panics".to_owned()],
        }
    }

    /// A call of the gateway has not returned.
    fn overdue(calls: Vec<Seen>) -> Self {
        let limit = CASE_LIMIT.as_secs();
        let broken =
            format!("recover() or redrive() has not returned after {limit} s of virtual time");
        Self { calls, broken: vec![broken], ..Self::panicked() }
    }
}

/// The rules, checked as the trial goes on.
struct Invariants {
    world: World,
    journal: MemoryJournal,
    recorder: Arc<Recorder>,
    events: Arc<Mutex<Vec<Event>>>,
    amount: i64,
    broken: Vec<String>,
}

/// Runs one payment.
///
/// When the process dies, another one recovers; when something is parked, the services are healed and
/// it is tried again; at the end the client asks once more. After each of these the books have to
/// balance.
pub async fn one_payment(case: &Case, config: &GatewayConfig) -> FaultCase {
    let recorder = Arc::new(Recorder::new());
    let payment = one_payment_seen_by(Arc::clone(&recorder), case, config);
    match tokio::time::timeout(CASE_LIMIT, payment).await {
        Ok(trial) => trial,
        Err(_) => FaultCase::overdue(recorder.calls()),
    }
}

async fn one_payment_seen_by(
    recorder: Arc<Recorder>,
    case: &Case,
    config: &GatewayConfig,
) -> FaultCase {
    let script = Arc::new(case.script());
    let faults: Arc<dyn Faults> = Arc::clone(&script) as Arc<dyn Faults>;
    let world = World::with(Latencies::ASSIGNMENT, faults, Some(Arc::clone(&recorder) as _));
    let mut judge = Invariants::new(world, recorder);
    let process = Process::new();
    let Some(mut gateway) = judge.gateway(&process, config) else {
        return judge.trial(None, None, false, None);
    };

    let (answer, answered_at) = judge.pay(&gateway, &process).await;
    if let Some(answer) = &answer {
        judge.at_the_answer(answer, answered_at);
    }

    // A case may kill the process once for each of its faults.
    let mut process = process;
    for _ in 0..=case.slots.len() {
        judge.settle(&gateway, &process).await;
        if !process.is_dead() {
            break;
        }
        process = Process::new();
        let Some(next) = judge.gateway(&process, config) else { break };
        gateway = next;
        let (heir, death) = (gateway.clone(), process.clone());
        let recovery = tokio::spawn(async move { heir.recover().await });
        tokio::select! {
            recovered = recovery => judge.check(
                matches!(recovered, Ok(Ok(_))),
                || "recover() failed".to_owned(),
            ),
            () = death.death() => {}
        }
    }
    judge.when_quiet(answer.as_ref(), answered_at);

    let parked = !gateway.dead_letters().is_empty();
    for site in CallSite::ALL {
        script.heal(site);
    }
    if parked {
        // The breakers that the faults have opened close again.
        sleep(Duration::from_secs(120)).await;
        gateway.redrive().await;
        judge.settle(&gateway, &process).await;
        judge.check(gateway.dead_letters().is_empty(), || {
            "dead letters stay although every service works again".to_owned()
        });
    }
    judge.when_healed();

    let again = judge.ask_again(&gateway, answer.as_ref()).await;
    judge.trial(answer, answered_at, parked, again)
}

impl Invariants {
    fn new(world: World, recorder: Arc<Recorder>) -> Self {
        Self {
            world,
            journal: MemoryJournal::new(),
            recorder,
            events: Arc::default(),
            amount: request(0).amount,
            broken: Vec::new(),
        }
    }

    fn check(&mut self, holds: bool, rule: impl FnOnce() -> String) {
        if !holds {
            self.broken.push(rule());
        }
    }

    fn gateway(&mut self, process: &Process, config: &GatewayConfig) -> Option<Gateway> {
        let events = Arc::clone(&self.events);
        let gateway = Gateway::new(
            config.clone(),
            self.world.providers_of(process),
            Arc::new(MortalJournal::new(&self.journal, process)),
            Arc::new(move |event| {
                events.lock().unwrap_or_else(PoisonError::into_inner).push(event);
            }),
        );
        self.check(gateway.is_ok(), || "Gateway::new refuses the configuration".to_owned());
        gateway.ok()
    }

    /// Runs one client, which may be dropped, of a process that may die.
    async fn pay(
        &mut self,
        gateway: &Gateway,
        process: &Process,
    ) -> (Option<Result<Reply, PayError>>, Option<Duration>) {
        let leaves = self.world.caller_leaves();
        tokio::select! {
            // The answer first, should it come in the instant of something else.
            biased;
            answer = gateway.pay(request(0)) => (Some(answer), Some(self.recorder.now())),
            () = leaves.notified() => (None, None),
            () = process.death() => (None, None),
            () = sleep(LIMIT + Duration::from_secs(60)) => {
                self.broken.push("pay has not answered 60 s after its 10 s".to_owned());
                (None, None)
            }
        }
    }

    fn net(&self) -> i64 {
        self.world.intents().iter().map(|intent| intent.net()).sum()
    }

    fn completed(&self) -> usize {
        self.world.rows().iter().filter(|row| row.status == RowStatus::Completed).count()
    }

    /// Checks the rules at the moment of the client's answer.
    fn at_the_answer(&mut self, answer: &Result<Reply, PayError>, at: Option<Duration>) {
        let at = at.unwrap_or_default();
        self.check(at <= LIMIT, || format!("answered at {} ms, later than 10 s", at.as_millis()));
        let (net, rows) = (self.net(), self.completed());
        match answer.as_ref().map(|reply| &reply.answer.status) {
            Ok(Status::Paid { .. }) => self.check(net == self.amount && rows == 1, || {
                format!("told \"paid\" with {net} charged and {rows} rows")
            }),
            Ok(Status::Compensating { .. }) => {}
            Ok(status) => self.check(net == 0 && rows == 0, || {
                format!("told {status:?} with {net} charged and {rows} rows")
            }),
            Err(error) => self.check(net == 0 && rows == 0, || {
                format!("told \"{error}\" with {net} charged and {rows} rows")
            }),
        }
    }

    /// Waits until no work is running any more.
    async fn settle(&mut self, gateway: &Gateway, process: &Process) {
        let begun = self.recorder.now();
        loop {
            if process.is_dead() {
                return;
            }
            // Not drain(): the gateway is needed again.
            let idle = gateway.in_flight() == 0
                && !self.world.is_busy()
                && self.recorder.calls().iter().all(|call| {
                    call.over.is_some() || call.at + Duration::from_secs(30) < self.recorder.now()
                });
            if idle && self.quiet_for(Duration::from_secs(3)) {
                return;
            }
            if self.recorder.now() - begun > PATIENCE {
                let patience = PATIENCE.as_secs();
                self.broken.push(format!("calls go on {patience} s of virtual time later"));
                return;
            }
            sleep(Duration::from_millis(500)).await;
        }
    }

    fn quiet_for(&self, time: Duration) -> bool {
        let calls = self.recorder.calls();
        let last = calls.iter().map(|call| call.over.as_ref().map_or(call.at, |over| over.0)).max();
        last.is_none_or(|last| last + time <= self.recorder.now())
    }

    /// Checks the rules when the gateway has no work left.
    fn when_quiet(
        &mut self,
        answer: Option<&Result<Reply, PayError>>,
        answered_at: Option<Duration>,
    ) {
        self.check_safety();
        let open = self.journal.count(Standing::Open);
        self.check(open == 0, || "the payment is stuck: its journal is open".to_owned());
        let parked = self.journal.count(Standing::Parked) > 0;
        let (net, rows) = (self.net(), self.completed());
        let balanced = (net == self.amount && rows == 1) || (net == 0 && rows == 0);
        self.check(balanced || parked, || {
            format!("{net} charged, {rows} rows, and no task works on it any more")
        });
        if let Some(Ok(reply)) = answer {
            let paid = matches!(reply.answer.status, Status::Paid { .. });
            self.check(!paid || rows == 1, || "paid, and the row is gone".to_owned());
            if !matches!(reply.answer.status, Status::Compensating { .. }) {
                self.no_call_after_the_answer(answered_at);
            }
        }
        if !parked && open == 0 {
            self.nothing_left_open();
            let ended = self.terminal_events();
            let crashed = self.recorder.calls().iter().any(|call| {
                use level3_sim::Fault::{CrashAfter, CrashBefore};
                matches!(call.fault, CrashBefore | CrashAfter)
            });
            self.check(ended == 1 || (crashed && ended == 0), || {
                format!("{ended} terminal events for one payment")
            });
        }
    }

    /// Checks the rules when every service works again and parked undos were tried again.
    fn when_healed(&mut self) {
        self.check_safety();
        let parked = self.journal.count(Standing::Parked);
        self.check(parked == 0, || "still parked although every service works".to_owned());
        let (net, rows) = (self.net(), self.completed());
        self.check((net == self.amount && rows == 1) || (net == 0 && rows == 0), || {
            format!("in the end {net} charged and {rows} rows")
        });
        self.nothing_left_open();
    }

    /// Repeats the client's request with the same key while every service works.
    async fn ask_again(
        &mut self,
        gateway: &Gateway,
        first: Option<&Result<Reply, PayError>>,
    ) -> Option<Result<Reply, PayError>> {
        // Longer than a breaker stays open.
        sleep(Duration::from_secs(120)).await;
        let (paid_before, calls) = (self.completed() == 1, self.world.all_calls());
        let declined = matches!(first, Some(Ok(reply))
            if matches!(reply.answer.status, Status::Declined { .. }));
        let again = tokio::time::timeout(LIMIT * 2, gateway.pay(request(0))).await.ok();
        let status = again.as_ref().and_then(|again| again.as_ref().ok());
        let status = status.map(|reply| reply.answer.status.clone());
        let told = match &again {
            Some(Ok(reply)) => format!("{:?}", reply.answer.status),
            Some(Err(error)) => format!("the error \"{error}\""),
            None => format!("nothing within {} s", LIMIT.as_secs() * 2),
        };
        if paid_before || declined {
            let calls = self.world.all_calls() - calls;
            self.check(calls == 0, || format!("{calls} calls for a repeat of what is answered"));
        }
        if let (true, Some(Ok(first)), Some(Ok(again))) = (paid_before || declined, first, &again) {
            let same = first.answer == again.answer;
            let told = !matches!(first.answer.status, Status::Compensating { .. });
            self.check(same || !told, || "a repeat gets another answer".to_owned());
            self.check(again.replayed, || "a repeat is not marked as one".to_owned());
        }
        if paid_before {
            self.check(matches!(status, Some(Status::Paid { .. })), || {
                format!("paid, and a repeat is told {told}")
            });
        }
        sleep(Duration::from_secs(3)).await;
        let (net, rows) = (self.net(), self.completed());
        let paid = matches!(status, Some(Status::Paid { .. }));
        let right = if paid { net == self.amount && rows == 1 } else { net == 0 && rows == 0 };
        self.check(right, || format!("a repeat is told {told}: {net} charged, {rows} rows"));
        self.check_safety();
        again
    }

    /// Checks the rules that hold at every moment.
    fn check_safety(&mut self) {
        for intent in self.world.intents() {
            self.check(intent.charges <= 1, || format!("{} charged twice", intent.id));
            self.check(intent.refunds <= intent.charges, || {
                format!("{} refunded more often than charged", intent.id)
            });
        }
        let charged = self.world.intents().iter().filter(|intent| intent.net() > 0).count();
        self.check(charged <= 1, || format!("{charged} intents charged for one payment"));
        let (mails, rows) = (self.world.mails().len(), self.completed());
        self.check(mails <= 1, || format!("{mails} receipts for one payment"));
        self.check(mails <= rows, || "a receipt for a payment without a row".to_owned());
        let calls = self.recorder.calls();
        let answered = |call: &Seen| match &call.over {
            Some((at, Ending::Answered)) => Some(*at),
            _ => None,
        };
        // Of several attempts the one that was answered first, which need not be the first one.
        let checks = calls.iter().filter(|call| call.site == CallSite::Fraud);
        let checked = checks.filter_map(answered).min();
        let confirmed =
            self.recorder.calls().iter().find(|call| call.site == CallSite::Confirm).map(|c| c.at);
        self.check(confirmed.is_none() || (checked.is_some() && checked <= confirmed), || {
            "confirmed before the fraud check has answered".to_owned()
        });
    }

    fn no_call_after_the_answer(&mut self, answered: Option<Duration>) {
        let Some(answered) = answered else { return };
        let late = self.recorder.calls().into_iter().find(|call| {
            !matches!(
                call.site,
                CallSite::Receipt | CallSite::ReceiptSent | CallSite::PendingReceipts
            ) && call.at > answered
        });
        if let Some(call) = late {
            self.broken.push(format!(
                "{} #{} begins at {} ms, after the answer at {} ms",
                call.site,
                call.nth,
                call.at.as_millis(),
                answered.as_millis()
            ));
        }
    }

    /// Of a payment that is not paid, no intent may wait to be charged.
    fn nothing_left_open(&mut self) {
        for intent in self.world.intents() {
            let closed = match intent.status {
                IntentStatus::Canceled | IntentStatus::Succeeded => true,
                _ => self.completed() == 1,
            };
            self.check(closed, || format!("{} is left {}", intent.id, intent.status));
        }
    }

    fn terminal_events(&self) -> usize {
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        events.iter().filter(|event| matches!(event, Event::Ended { .. })).count()
    }

    fn trial(
        self,
        answer: Option<Result<Reply, PayError>>,
        answered_at: Option<Duration>,
        parked: bool,
        again: Option<Result<Reply, PayError>>,
    ) -> FaultCase {
        let mut broken = self.broken;
        broken.dedup();
        FaultCase { answer, answered_at, parked, again, calls: self.recorder.calls(), broken }
    }
}
