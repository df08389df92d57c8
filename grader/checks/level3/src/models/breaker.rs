//! `breaker::CircuitBreaker` against its model.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use futures::FutureExt as _;
use futures::channel::oneshot;
use futures::future::{Either, select};
use grader_kit::{Cx, Outcome, list, lock, ms};
use level3::breaker::{BreakerConfig, BreakerError, CircuitBreaker, State, Transition, Trip};
use proptest::prelude::{Just, Strategy, any, prop, prop_oneof};
use tokio::time::{Instant, sleep};

use super::{Difference, Script, compare};
use crate::parts::{bug, nz, nzu};

/// How an operation ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ends {
    Well,
    Failing,
    Declined,
    Panicking,
}

#[derive(Debug, Clone)]
enum Step {
    Wait(u64),
    /// A call that ends at once.
    Call(Ends),
    /// A call whose closure panics before there is a future.
    BadCall,
    /// A call that goes on until a later step.
    Start,
    /// A call that is made and never polled.
    Make,
    /// The call that has run longest, or the n-th longest, ends.
    End(usize, Ends),
    /// Its caller goes away.
    Leave(usize),
}

#[derive(Debug, Clone)]
struct Play {
    trip: Trip,
    reset: u64,
    probes: u32,
    successes: u32,
    listener_panics: bool,
    steps: Vec<Step>,
}

fn ends() -> impl Strategy<Value = Ends> {
    prop_oneof![
        6 => Just(Ends::Failing),
        4 => Just(Ends::Well),
        2 => Just(Ends::Declined),
        1 => Just(Ends::Panicking),
    ]
}

fn steps(reset: u64, window: u64) -> impl Strategy<Value = Vec<Step>> {
    let time = prop_oneof![
        Just(1),
        Just(window - 1),
        Just(window),
        Just(reset - 1),
        Just(reset),
        1_u64..150,
    ];
    let step = prop_oneof![
        4 => time.prop_map(Step::Wait),
        8 => ends().prop_map(Step::Call),
        1 => Just(Step::BadCall),
        4 => Just(Step::Start),
        1 => Just(Step::Make),
        4 => (0_usize..4, ends()).prop_map(|(which, ends)| Step::End(which, ends)),
        2 => (0_usize..4).prop_map(Step::Leave),
    ];
    prop::collection::vec(step, 1..40)
}

/// A call from before the trip ends, or loses its caller, while the breaker is half-open and every place of a probe is
/// taken. Single steps are hardly ever drawn in this order.
fn late(
    failures: u32,
    reset: u64,
    probes: u32,
    more: impl Strategy<Value = Vec<Step>>,
) -> impl Strategy<Value = Vec<Step>> {
    let ending = prop_oneof![Just(None), ends().prop_map(Some)];
    (ending, more).prop_map(move |(ending, more)| {
        let mut steps = vec![Step::Start];
        steps.extend((0..failures).map(|_| Step::Call(Ends::Failing)));
        steps.push(Step::Wait(reset));
        steps.extend((0..probes).map(|_| Step::Start));
        steps.push(ending.map_or(Step::Leave(0), |ends| Step::End(0, ends)));
        steps.push(Step::Start);
        steps.extend(more);
        steps
    })
}

fn plays() -> impl Strategy<Value = Play> {
    // The window ends before the reset timeout in some, after it in others.
    let times = prop_oneof![Just((100, 50)), (2_u64..120, 2_u64..120)];
    let failures = prop_oneof![4 => 1_u32..4, 1 => 4_u32..7];
    let figures = (failures, any::<bool>(), 1_u32..4, 1_u32..4, any::<bool>());
    (times, figures).prop_flat_map(|((reset, window), figures)| {
        let (failures, in_window, probes, successes, listener_panics) = figures;
        let failures = nz(failures);
        let trip = match in_window {
            true => Trip::InWindow { failures, window: ms(window) },
            false => Trip::Consecutive(failures),
        };
        let steps = prop_oneof![
            4 => steps(reset, window),
            1 => late(failures.get(), reset, probes, steps(reset, window)),
        ];
        steps.prop_map(move |steps| Play { trip, reset, probes, successes, listener_panics, steps })
    })
}

impl Script for Play {
    fn lines(&self) -> Vec<String> {
        let trip = match self.trip {
            Trip::Consecutive(count) => format!("{count} failures in a row"),
            Trip::InWindow { failures, window } => {
                format!("{failures} failures within {} ms", window.as_millis())
            }
        };
        let (reset, probes, successes) = (self.reset, self.probes, self.successes);
        let listener = if self.listener_panics { "; its listener panics each time" } else { "" };
        let mut lines = vec![format!(
            "a breaker: {trip}, {reset} ms open, {probes} probes at a time, {successes} successes close it{listener}"
        )];
        lines.extend(self.steps.iter().map(|step| match step {
            Step::Wait(time) => format!("{time} ms go by"),
            Step::Call(ends) => format!("a call that {} at once", how(*ends)),
            Step::BadCall => "a call whose closure panics before there is a future".to_owned(),
            Step::Start => "a call that takes its time".to_owned(),
            Step::Make => "a call is made, and dropped before it was polled".to_owned(),
            Step::End(which, ends) => {
                format!("the call that has run {} {}", longest(*which), how(*ends))
            }
            Step::Leave(which) => {
                format!("the caller of the one that has run {} goes away", longest(*which))
            }
        }));
        lines
    }
}

const fn how(ends: Ends) -> &'static str {
    match ends {
        Ends::Well => "succeeds",
        Ends::Failing => "fails",
        Ends::Declined => "ends with a business error",
        Ends::Panicking => "panics",
    }
}

fn longest(which: usize) -> String {
    match which {
        0 => "longest".to_owned(),
        n => format!("longest but {n}, if there is one,"),
    }
}

/// The documentation, as a history that is read again for every question.
struct Model<'a> {
    play: &'a Play,
    now: u64,
    state: State,
    since: u64,
    // One more with every change of state.
    epoch: u32,
    probing: u32,
    // Since the last change of state.
    ended: Vec<(u64, Ends)>,
    changes: Vec<(State, State, u64)>,
    opened_at: Option<u64>,
    // Ended well, failing, with a business error, dropped or by a panic; and refused.
    counts: [u64; 5],
}

/// What a call is told when it comes.
enum Wanted {
    /// The epoch in which it is let in.
    In(u32),
    /// Refused for exactly this time, or for some time up to this one.
    Exactly(u64),
    AtMost(u64),
}

impl<'a> Model<'a> {
    fn new(play: &'a Play) -> Self {
        Self {
            play,
            now: 0,
            state: State::Closed,
            since: 0,
            epoch: 0,
            probing: 0,
            ended: Vec::new(),
            changes: Vec::new(),
            opened_at: None,
            counts: [0; 5],
        }
    }

    fn change(&mut self, state: State) {
        self.changes.push((self.state, state, self.now));
        (self.state, self.since, self.epoch, self.probing) = (state, self.now, self.epoch + 1, 0);
        self.ended.clear();
        if state == State::Open {
            self.opened_at = Some(self.now);
        }
    }

    fn look(&mut self) -> State {
        if self.state == State::Open && self.now - self.since >= self.play.reset {
            self.change(State::HalfOpen);
        }
        self.state
    }

    fn left(&self) -> u64 {
        match self.state {
            State::Open => self.play.reset - (self.now - self.since),
            _ => 0,
        }
    }

    fn admit(&mut self) -> Wanted {
        match self.look() {
            State::Open => {
                self.counts[4] += 1;
                Wanted::Exactly(self.left())
            }
            State::HalfOpen if self.probing >= self.play.probes => {
                self.counts[4] += 1;
                Wanted::AtMost(self.play.reset)
            }
            State::HalfOpen => {
                self.probing += 1;
                Wanted::In(self.epoch)
            }
            State::Closed => Wanted::In(self.epoch),
        }
    }

    /// `None` for a caller that went away.
    fn end(&mut self, epoch: u32, ends: Option<Ends>) {
        self.counts[match ends {
            Some(Ends::Well) => 0,
            Some(Ends::Failing) => 1,
            Some(Ends::Declined) => 2,
            Some(Ends::Panicking) | None => 3,
        }] += 1;
        if epoch != self.epoch {
            return;
        }
        self.probing = self.probing.saturating_sub(1);
        let Some(ends) = ends else { return };
        self.ended.push((self.now, ends));
        match self.state {
            State::Closed if ends == Ends::Failing && self.counting() >= self.most() => {
                self.change(State::Open);
            }
            State::HalfOpen if ends == Ends::Failing => self.change(State::Open),
            State::HalfOpen => {
                let well = self.ended.iter().filter(|(_, ends)| *ends == Ends::Well).count();
                if well >= self.play.successes as usize {
                    self.change(State::Closed);
                }
            }
            _ => {}
        }
    }

    fn most(&self) -> usize {
        match self.play.trip {
            Trip::Consecutive(most) | Trip::InWindow { failures: most, .. } => most.get() as usize,
        }
    }

    /// How many failures count towards the trip.
    fn counting(&self) -> usize {
        if self.state != State::Closed {
            return 0;
        }
        let failed = |ends: &Ends| *ends == Ends::Failing;
        match self.play.trip {
            Trip::Consecutive(_) => {
                let row = self.ended.iter().rev().take_while(|(_, ends)| *ends != Ends::Well);
                row.filter(|(_, ends)| failed(ends)).count()
            }
            Trip::InWindow { window, .. } => {
                let fresh = |at: &u64| ms(self.now - at) < window;
                self.ended.iter().filter(|(at, ends)| fresh(at) && failed(ends)).count()
            }
        }
    }
}

/// Agrees with the model of a breaker.
pub async fn breaker(cx: Cx) -> Outcome {
    compare(&cx, plays(), async |play: &Play| {
        Ok(cx.call("CircuitBreaker::call", played(play)).await?.value)
    })
    .await
}

/// The outcome of a call; `None` for one that panicked.
type Ended = Option<Result<(), BreakerError<Ends>>>;

struct Running<'a> {
    epoch: u32,
    end: oneshot::Sender<Ends>,
    call: Pin<Box<dyn Future<Output = Ended> + 'a>>,
}

async fn played(play: &Play) -> Result<(), Difference> {
    let differs = |step: usize, headline: &str, expected: String, observed: String| Difference {
        step,
        headline: headline.to_owned(),
        expected,
        observed,
    };
    let config = BreakerConfig {
        trip: play.trip,
        reset_timeout: ms(play.reset),
        probes: nzu(play.probes as usize),
        successes_to_close: nz(play.successes),
        is_failure: |ends| *ends == Ends::Failing,
    };
    let began = Instant::now();
    let told = Arc::new(Mutex::new(Vec::new()));
    let (sink, panics) = (Arc::clone(&told), play.listener_panics);
    let listener = move |transition: &Transition| {
        let at = (transition.at - began).as_millis() as u64;
        lock(&sink).push((transition.from, transition.to, at));
        if panics {
            bug("a listener");
        }
    };
    let breaker = match CircuitBreaker::new("dependency", config) {
        Ok(breaker) => breaker.with_listener(listener),
        Err(why) => {
            return Err(differs(
                0,
                "a breaker is refused",
                "a breaker".to_owned(),
                why.to_string(),
            ));
        }
    };
    let watch = breaker.watch();
    let (mut model, mut running) = (Model::new(play), Vec::<Running<'_>>::new());
    for (number, step) in play.steps.iter().enumerate() {
        let number = number + 1;
        match step {
            Step::Wait(time) => {
                sleep(ms(*time)).await;
                model.now += time;
            }
            Step::Make => drop(breaker.call(|| async { Ok(()) })),
            Step::Call(_) | Step::BadCall | Step::Start => {
                let (end, ended) = oneshot::channel();
                let (started, has_started) = oneshot::channel();
                let bad = matches!(step, Step::BadCall);
                let call = breaker.call(move || {
                    let _ = started.send(());
                    if bad {
                        bug("a closure");
                    }
                    async move {
                        match ended.await {
                            Ok(Ends::Well) => Ok(()),
                            Ok(Ends::Panicking) => bug("an operation"),
                            Ok(ends) => Err(ends),
                            // The script is over.
                            Err(_) => Err(Ends::Declined),
                        }
                    }
                });
                let call = AssertUnwindSafe(call).catch_unwind().map(Result::ok);
                // The box is what lets a call outlive this step.
                let call: Pin<Box<dyn Future<Output = Ended> + '_>> = Box::pin(call);
                let outcome = match select(has_started, call).await {
                    Either::Left((Ok(()), call)) => Ok(call),
                    // Refused, and the operation thrown away before that was said.
                    Either::Left((Err(_), call)) => Err(call.await),
                    // The closure has panicked after it was called.
                    Either::Right((None, _)) => Err(None),
                    Either::Right((ended, _)) => Err(ended),
                };
                match (model.admit(), outcome) {
                    (Wanted::In(epoch), Err(None)) if bad => model.end(epoch, None),
                    (Wanted::In(epoch), Ok(call)) => {
                        let mut one = Running { epoch, end, call };
                        match step {
                            Step::Call(ends) => {
                                let _ = one.end.send(*ends);
                                let _ = one.call.as_mut().await;
                                model.end(epoch, Some(*ends));
                            }
                            // Polled once more after its panic it would be no future any more.
                            Step::BadCall => {
                                let _ = one.call.as_mut().await;
                                model.end(epoch, None);
                            }
                            _ => running.push(one),
                        }
                    }
                    (Wanted::Exactly(wait), Err(Some(Err(BreakerError::Open { retry_after }))))
                        if retry_after == ms(wait) => {}
                    (Wanted::AtMost(most), Err(Some(Err(BreakerError::Open { retry_after }))))
                        if !retry_after.is_zero() && retry_after <= ms(most) => {}
                    (wanted, found) => {
                        let wanted = match wanted {
                            Wanted::In(_) if bad => {
                                "let through, and its panic reaches the caller".to_owned()
                            }
                            Wanted::In(_) => "let through".to_owned(),
                            Wanted::Exactly(wait) => format!("refused, for another {wait} ms"),
                            Wanted::AtMost(most) => format!("refused, for 1 to {most} ms"),
                        };
                        let found = match found {
                            Ok(_) => "let through".to_owned(),
                            Err(Some(Err(BreakerError::Open { retry_after }))) => {
                                format!("refused, for another {} ms", retry_after.as_millis())
                            }
                            Err(Some(Ok(()))) => "a success".to_owned(),
                            Err(Some(Err(BreakerError::Inner(ends)))) => {
                                format!("an error: {ends:?}")
                            }
                            Err(None) => "a panic".to_owned(),
                        };
                        return Err(differs(
                            number,
                            "the call is not treated as it should be",
                            wanted,
                            found,
                        ));
                    }
                }
            }
            Step::End(which, ends) if *which < running.len() => {
                let mut one = running.remove(*which);
                let _ = one.end.send(*ends);
                let _ = one.call.as_mut().await;
                model.end(one.epoch, Some(*ends));
            }
            Step::Leave(which) if *which < running.len() => {
                let one = running.remove(*which);
                drop(one.call);
                model.end(one.epoch, None);
            }
            Step::End(..) | Step::Leave(_) => {}
        }
        let (wanted, found) = (model.look(), breaker.state());
        if wanted != found {
            return Err(differs(
                number,
                "the breaker is not in the state that it should be in",
                format!("{wanted:?}"),
                format!("{found:?}"),
            ));
        }
        let snapshot = breaker.snapshot();
        let [ok, failed, neutral, dropped, refused] = model.counts;
        let opened = |at: Option<u64>| at.map_or("never".to_owned(), |at| format!("at {at} ms"));
        let opened_at = snapshot.opened_at.map(|at| (at - began).as_millis() as u64);
        let watched = *watch.borrow();
        let figures = [
            ("calls", model.counts.iter().sum::<u64>(), snapshot.calls),
            ("ok", ok, snapshot.ok),
            ("failed", failed, snapshot.failed),
            ("neutral", neutral, snapshot.neutral),
            ("dropped", dropped, snapshot.dropped),
            ("refused", refused, snapshot.refused),
            ("failures that count", model.counting() as u64, u64::from(snapshot.failures)),
            ("retry_after in ms", model.left(), snapshot.retry_after.as_millis() as u64),
        ];
        let texts =
            figures.map(|(name, wanted, found)| (name, wanted.to_string(), found.to_string()));
        let others = [
            ("opened_at", opened(model.opened_at), opened(opened_at)),
            ("a watcher sees", format!("{:?}", model.state), format!("{watched:?}")),
        ];
        // Only what differs.
        let differ: Vec<_> =
            texts.iter().chain(&others).filter(|(_, wanted, found)| wanted != found).collect();
        if !differ.is_empty() {
            let wanted = list(differ.iter().map(|(name, wanted, _)| format!("{name}: {wanted}")));
            let found = list(differ.iter().map(|(name, _, found)| format!("{name}: {found}")));
            let headline = "the snapshot or the watcher says something else";
            return Err(differs(number, headline, wanted, found));
        }
        if model.changes != *lock(&told) {
            let said = |changes: &[(State, State, u64)]| {
                let lines =
                    changes.iter().map(|(from, to, at)| format!("{from:?} to {to:?} at {at} ms"));
                lines.collect::<Vec<_>>().join(", ")
            };
            return Err(differs(
                number,
                "the listener got other changes",
                said(&model.changes),
                said(&lock(&told)),
            ));
        }
    }
    Ok(())
}
