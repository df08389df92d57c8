//! `breaker::CircuitBreaker` against its model.

use std::pin::Pin;

use futures::channel::oneshot;
use futures::future::{Either, select};
use grader_kit::{Cx, Outcome, ms};
use level3::breaker::{BreakerConfig, BreakerError, CircuitBreaker, State, Trip};
use proptest::prelude::{Just, Strategy, prop, prop_oneof};
use tokio::time::sleep;

use super::{Difference, Script, compare};
use crate::parts::{nz, nzu};

/// How an operation ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ends {
    Well,
    Failing,
    Declined,
}

#[derive(Debug, Clone)]
enum Step {
    Wait(u64),
    /// A call that ends at once.
    Call(Ends),
    /// A call that goes on until a later step.
    Start,
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
    steps: Vec<Step>,
}

fn ends() -> impl Strategy<Value = Ends> {
    prop_oneof![3 => Just(Ends::Failing), 2 => Just(Ends::Well), 1 => Just(Ends::Declined)]
}

fn plays() -> impl Strategy<Value = Play> {
    let step = prop_oneof![
        2 => prop_oneof![Just(1), Just(49), Just(50), Just(99), Just(100), 1_u64..150].prop_map(Step::Wait),
        4 => ends().prop_map(Step::Call),
        2 => Just(Step::Start),
        2 => (0_usize..4, ends()).prop_map(|(which, ends)| Step::End(which, ends)),
        1 => (0_usize..4).prop_map(Step::Leave),
    ];
    let trip = prop_oneof![
        (1_u32..4).prop_map(|count| Trip::Consecutive(nz(count))),
        (1_u32..4).prop_map(|count| Trip::InWindow { failures: nz(count), window: ms(50) }),
    ];
    (trip, 1_u32..3, 1_u32..4, prop::collection::vec(step, 1..40)).prop_map(
        |(trip, probes, successes, steps)| Play { trip, reset: 100, probes, successes, steps },
    )
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
        let mut lines = vec![format!(
            "a breaker: {trip}, {reset} ms open, {probes} probes at a time, {successes} successes close it"
        )];
        lines.extend(self.steps.iter().map(|step| match step {
            Step::Wait(time) => format!("{time} ms go by"),
            Step::Call(Ends::Well) => "a call that succeeds at once".to_owned(),
            Step::Call(Ends::Failing) => "a call that fails at once".to_owned(),
            Step::Call(Ends::Declined) => "a call with a business error, at once".to_owned(),
            Step::Start => "a call that takes its time".to_owned(),
            Step::End(which, ends) => {
                let how = match ends {
                    Ends::Well => "succeeds",
                    Ends::Failing => "fails",
                    Ends::Declined => "ends with a business error",
                };
                format!("the call that has run {} {how}", longest(*which))
            }
            Step::Leave(which) => {
                format!("the caller of the one that has run {} goes away", longest(*which))
            }
        }));
        lines
    }
}

fn longest(which: usize) -> String {
    match which {
        0 => "longest".to_owned(),
        n => format!("longest but {n}, if there is one,"),
    }
}

/// The documentation, as a history that is read anew for every question.
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
        }
    }

    fn change(&mut self, state: State) {
        (self.state, self.since, self.epoch, self.probing) = (state, self.now, self.epoch + 1, 0);
        self.ended.clear();
    }

    fn look(&mut self) -> State {
        if self.state == State::Open && self.now - self.since >= self.play.reset {
            self.change(State::HalfOpen);
        }
        self.state
    }

    /// The epoch in which a call is let in, or the time for which it is not.
    fn admit(&mut self) -> Result<u32, u64> {
        match self.look() {
            State::Open => Err(self.play.reset - (self.now - self.since)),
            State::HalfOpen if self.probing >= self.play.probes => Err(0),
            State::HalfOpen => {
                self.probing += 1;
                Ok(self.epoch)
            }
            State::Closed => Ok(self.epoch),
        }
    }

    /// `None` for a caller that went away.
    fn end(&mut self, epoch: u32, ends: Option<Ends>) {
        if epoch != self.epoch {
            return;
        }
        self.probing = self.probing.saturating_sub(1);
        let Some(ends) = ends else { return };
        self.ended.push((self.now, ends));
        match self.state {
            State::Closed if self.counting() => self.change(State::Open),
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

    /// Whether what has ended trips it.
    fn counting(&self) -> bool {
        let failed = |ends: &Ends| *ends == Ends::Failing;
        match self.play.trip {
            Trip::Consecutive(most) => {
                let row = self.ended.iter().rev().take_while(|(_, ends)| *ends != Ends::Well);
                row.filter(|(_, ends)| failed(ends)).count() >= most.get() as usize
            }
            Trip::InWindow { failures, window } => {
                let fresh = |at: &u64| ms(self.now - at) < window;
                self.ended.iter().filter(|(at, ends)| fresh(at) && failed(ends)).count()
                    >= failures.get() as usize
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

type Ended = Result<(), BreakerError<Ends>>;

struct Running<'a> {
    epoch: u32,
    end: oneshot::Sender<Ends>,
    call: Pin<Box<dyn Future<Output = Ended> + 'a>>,
}

async fn played(play: &Play) -> Result<(), Difference> {
    let config = BreakerConfig {
        trip: play.trip,
        reset_timeout: ms(play.reset),
        probes: nzu(play.probes as usize),
        successes_to_close: nz(play.successes),
        is_failure: |ends| *ends == Ends::Failing,
    };
    let differs = |step: usize, headline: &str, expected: String, observed: String| Difference {
        step,
        headline: headline.to_owned(),
        expected,
        observed,
    };
    let breaker = match CircuitBreaker::new("dependency", config) {
        Ok(breaker) => breaker,
        Err(why) => {
            return Err(differs(
                0,
                "a breaker is refused",
                "a breaker".to_owned(),
                why.to_string(),
            ));
        }
    };
    let (mut model, mut running) = (Model::new(play), Vec::<Running<'_>>::new());
    for (number, step) in play.steps.iter().enumerate() {
        let number = number + 1;
        match step {
            Step::Wait(time) => {
                sleep(ms(*time)).await;
                model.now += time;
            }
            Step::Call(_) | Step::Start => {
                let (end, ended) = oneshot::channel();
                let (started, has_started) = oneshot::channel();
                let call = breaker.call(|| {
                    let _ = started.send(());
                    async move {
                        match ended.await {
                            Ok(Ends::Well) => Ok(()),
                            Ok(ends) => Err(ends),
                            // The script is over.
                            Err(_) => Err(Ends::Declined),
                        }
                    }
                });
                // The box is what lets a call outlive this step.
                let call: Pin<Box<dyn Future<Output = Ended> + '_>> = Box::pin(call);
                let outcome = match select(has_started, call).await {
                    Either::Left((Ok(()), call)) => Ok(call),
                    // Refused, and the operation thrown away before that was said.
                    Either::Left((Err(_), call)) => Err(call.await),
                    Either::Right((ended, _)) => Err(ended),
                };
                match (model.admit(), outcome) {
                    (Ok(epoch), Ok(call)) => {
                        let mut one = Running { epoch, end, call };
                        match step {
                            Step::Call(ends) => {
                                let _ = one.end.send(*ends);
                                let _ = one.call.as_mut().await;
                                model.end(epoch, Some(*ends));
                            }
                            _ => running.push(one),
                        }
                    }
                    (Err(wait), Err(Err(BreakerError::Open { retry_after })))
                        if retry_after == ms(wait) => {}
                    (wanted, found) => {
                        let wanted = match wanted {
                            Ok(_) => "let through".to_owned(),
                            Err(wait) => format!("refused, for another {wait} ms"),
                        };
                        let found = match found {
                            Ok(_) => "let through".to_owned(),
                            Err(Err(BreakerError::Open { retry_after })) => {
                                format!("refused, for another {} ms", retry_after.as_millis())
                            }
                            Err(other) => format!("{other:?}"),
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
    }
    Ok(())
}
