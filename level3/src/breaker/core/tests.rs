use proptest::prelude::*;

use super::*;

const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn rules(trip: Trip) -> Rules {
    Rules {
        trip,
        reset_timeout: ms(60_000),
        probes: NonZeroUsize::MIN,
        successes_to_close: NonZeroU32::new(2).expect("2 is not 0"),
    }
}

fn consecutive(count: u32) -> Trip {
    Trip::Consecutive(NonZeroU32::new(count).expect("some failures"))
}

/// A core and a clock that the test moves.
struct Bench {
    core: Core,
    now: Instant,
}

impl Bench {
    fn new(rules: Rules) -> Self {
        Self { core: Core::new(rules), now: Instant::now() }
    }

    fn end(&mut self, outcome: CallOutcome) {
        let ticket = self.core.admit(self.now).expect("let in");
        self.core.settle(ticket, outcome, self.now);
    }

    fn opened(rules: Rules) -> Self {
        let mut bench = Self::new(rules);
        for _ in 0..5 {
            bench.end(CallOutcome::Failure);
        }
        assert_eq!(bench.state(), State::Open);
        bench
    }

    fn wait(&mut self, millis: u64) {
        self.now += ms(millis);
    }

    fn state(&mut self) -> State {
        self.core.state(self.now)
    }
}

#[test]
fn opens_at_the_fifth_failure_in_a_row() {
    let mut bench = Bench::new(rules(consecutive(5)));
    for _ in 0..4 {
        bench.end(CallOutcome::Failure);
    }
    bench.end(CallOutcome::Success);
    for _ in 0..4 {
        bench.end(CallOutcome::Failure);
        assert_eq!(bench.state(), State::Closed);
    }
    bench.end(CallOutcome::Ignored);
    bench.end(CallOutcome::Failure);
    assert_eq!(bench.state(), State::Open);
}

#[test]
fn is_half_open_at_the_reset_timeout() {
    let mut bench = Bench::opened(rules(consecutive(5)));
    bench.wait(59_999);
    assert_eq!(bench.core.admit(bench.now), Err(ms(1)));
    assert_eq!(bench.state(), State::Open);
    bench.wait(1);
    assert_eq!(bench.state(), State::HalfOpen);
    assert!(bench.core.admit(bench.now).is_ok());
    assert_eq!(bench.core.admit(bench.now), Err(ms(60_000)));
}

#[test]
fn closes_with_empty_counts() {
    let mut bench = Bench::opened(rules(consecutive(5)));
    bench.wait(60_000);
    bench.end(CallOutcome::Success);
    assert_eq!(bench.state(), State::HalfOpen);
    bench.end(CallOutcome::Success);
    assert_eq!(bench.state(), State::Closed);
    assert_eq!(bench.core.failures(bench.now), 0);
}

#[test]
fn a_failed_probe_reopens_for_the_full_time() {
    let mut bench = Bench::opened(rules(consecutive(5)));
    for before in [0, 1] {
        bench.wait(60_000);
        (0..before).for_each(|_| bench.end(CallOutcome::Success));
        bench.end(CallOutcome::Failure);
        assert_eq!(bench.core.admit(bench.now), Err(ms(60_000)));
    }
    // The successes of the last half-open time do not count in this one.
    bench.wait(60_000);
    bench.end(CallOutcome::Success);
    assert_eq!(bench.state(), State::HalfOpen);
}

#[test]
fn a_probe_that_decides_nothing_gives_its_place_back() {
    let mut bench = Bench::opened(rules(consecutive(5)));
    bench.wait(60_000);
    for _ in 0..3 {
        bench.end(CallOutcome::Ignored);
    }
    assert_eq!(bench.state(), State::HalfOpen);
}

#[test]
fn what_comes_late_decides_nothing() {
    let mut bench = Bench::new(rules(consecutive(5)));
    let late: Vec<_> =
        (0..4).map(|_| bench.core.admit(bench.now).expect("let in while closed")).collect();
    for _ in 0..5 {
        bench.end(CallOutcome::Failure);
    }
    bench.wait(30_000);
    bench.core.settle(late[0], CallOutcome::Failure, bench.now);
    assert_eq!(bench.core.retry_after(bench.now), ms(30_000));
    bench.core.settle(late[1], CallOutcome::Success, bench.now);
    assert_eq!(bench.state(), State::Open);
    bench.wait(30_000);
    let probe = bench.core.admit(bench.now).expect("the probe");
    bench.core.settle(late[2], CallOutcome::Success, bench.now);
    bench.core.settle(late[3], CallOutcome::Failure, bench.now);
    assert_eq!(bench.state(), State::HalfOpen);
    assert!(bench.core.admit(bench.now).is_err(), "the probe still has its place");
    bench.core.settle(probe, CallOutcome::Success, bench.now);
    assert_eq!(bench.state(), State::HalfOpen);
}

#[test]
fn a_window_slides() {
    let failures = NonZeroU32::new(5).expect("5 is not 0");
    let mut bench = Bench::new(rules(Trip::InWindow { failures, window: ms(60_000) }));
    bench.end(CallOutcome::Failure);
    bench.wait(30_000);
    for _ in 0..3 {
        bench.end(CallOutcome::Failure);
        bench.end(CallOutcome::Success);
    }
    bench.wait(29_999);
    assert_eq!(bench.core.failures(bench.now), 4);
    bench.wait(1);
    assert_eq!(bench.core.failures(bench.now), 3);
    bench.end(CallOutcome::Failure);
    assert_eq!(bench.state(), State::Closed);
    bench.end(CallOutcome::Failure);
    assert_eq!(bench.state(), State::Open);
}

#[test]
fn tells_of_each_change_once() {
    let mut bench = Bench::opened(rules(consecutive(5)));
    bench.wait(60_000);
    bench.state();
    bench.state();
    bench.end(CallOutcome::Success);
    bench.end(CallOutcome::Success);
    let told: Vec<_> =
        std::iter::from_fn(|| bench.core.next_pending()).map(|t| (t.from, t.to)).collect();
    let expected = [
        (State::Closed, State::Open),
        (State::Open, State::HalfOpen),
        (State::HalfOpen, State::Closed),
    ];
    assert_eq!(told, expected);
}

/// The same rules as a history that is read again for every question.
struct Model {
    rules: Rules,
    now: u64,
    // Everything that happened since the last change of state, and which state that was.
    state: State,
    since: u64,
    epoch: usize,
    running: usize,
    outcomes: Vec<(u64, CallOutcome)>,
}

impl Model {
    fn change(&mut self, state: State) {
        self.state = state;
        self.since = self.now;
        self.epoch += 1;
        self.running = 0;
        self.outcomes.clear();
    }

    fn look(&mut self) -> State {
        if self.state == State::Open && ms(self.now - self.since) >= self.rules.reset_timeout {
            self.change(State::HalfOpen);
        }
        self.state
    }

    fn admit(&mut self) -> Result<usize, Duration> {
        match self.look() {
            State::Open => Err(self.rules.reset_timeout - ms(self.now - self.since)),
            State::HalfOpen if self.running >= self.rules.probes.get() => {
                Err(self.rules.reset_timeout)
            }
            _ => {
                self.running += 1;
                Ok(self.epoch)
            }
        }
    }

    fn counting(&self) -> usize {
        match (self.state, self.rules.trip) {
            (State::Closed, Trip::Consecutive(_)) => {
                let decided =
                    self.outcomes.iter().rev().filter(|(_, v)| *v != CallOutcome::Ignored);
                decided.take_while(|(_, outcome)| *outcome == CallOutcome::Failure).count()
            }
            (State::Closed, Trip::InWindow { window, .. }) => self
                .outcomes
                .iter()
                .filter(|(at, v)| *v == CallOutcome::Failure && ms(self.now - at) < window)
                .count(),
            _ => 0,
        }
    }

    fn settle(&mut self, epoch: usize, outcome: CallOutcome) {
        if epoch != self.epoch {
            return;
        }
        self.running -= 1;
        self.outcomes.push((self.now, outcome));
        if self.state == State::Closed {
            let most = match self.rules.trip {
                Trip::Consecutive(most) | Trip::InWindow { failures: most, .. } => most,
            };
            if outcome == CallOutcome::Failure && self.counting() >= most.get() as usize {
                self.change(State::Open);
            }
        } else if outcome == CallOutcome::Failure {
            self.change(State::Open);
        } else {
            let won = self.outcomes.iter().filter(|(_, v)| *v == CallOutcome::Success).count();
            if won >= self.rules.successes_to_close.get() as usize {
                self.change(State::Closed);
            }
        }
    }
}

#[derive(Debug, Clone)]
enum Act {
    Wait(u64),
    Admit,
    // Ends one of the running calls.
    Settle(prop::sample::Index, CallOutcome),
    Look,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let outcome = prop_oneof![
        4 => Just(CallOutcome::Failure),
        2 => Just(CallOutcome::Success),
        1 => Just(CallOutcome::Ignored),
    ];
    let act = prop_oneof![
        2 => prop_oneof![0_u64..40, Just(99_u64), Just(100), Just(1), 50_u64..150].prop_map(Act::Wait),
        5 => Just(Act::Admit),
        5 => (any::<prop::sample::Index>(), outcome).prop_map(|(i, v)| Act::Settle(i, v)),
        1 => Just(Act::Look),
    ];
    prop::collection::vec(act, 0..200)
}

fn any_rules() -> impl Strategy<Value = Rules> {
    let count = (1_u32..6).prop_map(|n| NonZeroU32::new(n).expect("not 0"));
    let trip =
        (count.clone(), prop::option::of(1_u64..200)).prop_map(|(failures, window)| match window {
            Some(window) => Trip::InWindow { failures, window: ms(window) },
            None => Trip::Consecutive(failures),
        });
    (trip, 1_usize..4, count).prop_map(|(trip, probes, successes_to_close)| Rules {
        trip,
        reset_timeout: ms(100),
        probes: NonZeroUsize::new(probes).expect("not 0"),
        successes_to_close,
    })
}

proptest! {
    #[test]
    fn agrees_with_the_model(rules in any_rules(), acts in acts()) {
        let mut bench = Bench::new(rules);
        let mut model = Model {
            rules,
            now: 0,
            state: State::Closed,
            since: 0,
            epoch: 0,
            running: 0,
            outcomes: Vec::new(),
        };
        let mut running = Vec::new();
        for act in acts {
            match act {
                Act::Wait(millis) => {
                    bench.wait(millis);
                    model.now += millis;
                }
                Act::Admit => {
                    let (found, expected) = (bench.core.admit(bench.now), model.admit());
                    prop_assert_eq!(found.err(), expected.err());
                    if let (Ok(ticket), Ok(epoch)) = (found, expected) {
                        running.push((ticket, epoch));
                    }
                }
                Act::Settle(_, _) if running.is_empty() => {}
                Act::Settle(which, outcome) => {
                    let (ticket, epoch) = running.swap_remove(which.index(running.len()));
                    bench.core.settle(ticket, outcome, bench.now);
                    model.settle(epoch, outcome);
                }
                Act::Look => prop_assert_eq!(bench.state(), model.look()),
            }
            prop_assert_eq!(bench.core.failures(bench.now) as usize, model.counting());
        }
        prop_assert_eq!(bench.state(), model.look());
    }
}
