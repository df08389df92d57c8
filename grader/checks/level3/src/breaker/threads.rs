//! One breaker and several threads.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt as _;
use grader_kit::{Cx, Fail, Outcome, ensure, ensure_eq, lock};
use level3::breaker::{BreakerConfig, State, Transition};
use tokio::runtime::{Builder, Runtime};
use tokio::time::Instant;

use super::bench::{ASSIGNED, Breaker, Figures, Got, NAME, Trouble, made};
use crate::parts::linger;

/// How often two threads meet at a breaker of their own, if they have a core each.
const MEETINGS: usize = 4000;

/// Real time for that. On a busy machine they meet less often, and then pass one another.
const MEETING_TIME: Duration = Duration::from_millis(300);

/// How many calls each thread makes.
const CALLS: u64 = 4000;

const THREADS: usize = 4;

const ONE_NOTIFIER: &str = "one thread at a time notifies: it takes the changes out of a queue in their order, and a thread that finds it at work leaves its change there. Do not wait for it: a listener may call the breaker";

fn config(figures: Figures, reset_timeout: Duration) -> BreakerConfig<Trouble> {
    BreakerConfig { reset_timeout, ..figures.config() }
}

/// A thread with a runtime of its own: for a breaker that waits for a lock of tokio's.
struct Thread(Runtime);

impl Thread {
    fn new() -> Option<Self> {
        Builder::new_current_thread().enable_time().build().ok().map(Self)
    }

    fn call(&self, breaker: &Breaker, answer: Result<(), Trouble>) -> Got {
        Got::of(self.0.block_on(breaker.call(|| async move { answer })))
    }
}

/// What a thread without a runtime has to say; no machine lacks what it takes.
fn not_started() -> Fail {
    Fail::new("a thread of the grader got no runtime")
}

pub async fn threads_share_one_breaker(cx: Cx) -> Outcome {
    opens_for_all(&cx)?;
    lets_one_through(&cx)?;
    notifies_in_order(&cx)?;
    adds_up(&cx)
}

/// What the two threads of [`notifies_in_order`] tell one another.
#[derive(Default)]
struct Signals {
    /// The listener has been called with the first change, and is still at it.
    first_begins: AtomicBool,
    /// The second thread makes the next change from now on.
    next_begins: AtomicBool,
    /// The second thread has made it, and its call has returned.
    next_is_made: AtomicBool,
}

/// Real time for which the listener stays at the first change while the second thread makes the next one. A
/// breaker that lets the second thread wait for the listener uses all of it, and is right.
const LISTENS: Duration = Duration::from_millis(200);

/// The listener is still at the first change when another thread makes the next ones: they come after it.
///
/// Nothing is left to chance: the second thread does not begin before the listener is called, and the listener
/// does not record the first change before the second thread has come back, or waits for it.
fn notifies_in_order(cx: &Cx) -> Outcome {
    let opens_at_once = Figures { failures: 1, successes: 1, ..ASSIGNED };
    for _ in 0..3 {
        let (told, signals) = (Arc::<Mutex<Vec<_>>>::default(), Arc::<Signals>::default());
        let (sink, listens) = (Arc::clone(&told), Arc::clone(&signals));
        let breaker = made(config(opens_at_once, Duration::from_nanos(1)))?;
        let breaker = breaker.with_listener(move |change: &Transition| {
            if !listens.first_begins.swap(true, SeqCst) {
                let mut until = None;
                // Its time begins when the other thread does.
                while !listens.next_is_made.load(SeqCst) {
                    if listens.next_begins.load(SeqCst) {
                        let until = *until.get_or_insert_with(|| Instant::now() + LISTENS);
                        if Instant::now() >= until {
                            break;
                        }
                    }
                    std::thread::yield_now();
                }
            }
            lock(&sink).push((change.from, change.to));
        });
        let breaker = Arc::new(breaker);
        cx.on_threads(NAME, 2, move |thread| {
            let own = Thread::new();
            if thread == 0 {
                if let Some(own) = &own {
                    own.call(&breaker, Err(Trouble::Down));
                }
                // A breaker that never calls its listener: another criterion's matter.
                signals.first_begins.store(true, SeqCst);
                return;
            }
            while !signals.first_begins.load(SeqCst) {
                std::thread::yield_now();
            }
            signals.next_begins.store(true, SeqCst);
            if let Some(own) = &own {
                own.call(&breaker, Ok(()));
            }
            signals.next_is_made.store(true, SeqCst);
        })?;
        let told = lock(&told).clone();
        if let Some((from, to)) = told.first().filter(|(from, _)| *from != State::Closed) {
            return Err(Fail::new(
                "the listener was at work with the first change, closed to open, when another thread made the next one: it was notified of the later change first",
            )
            .expected("closed to open, then open to half-open, then half-open to closed")
            .observed(format!("first {from:?} to {to:?}; in all {told:?}"))
            .help(ONE_NOTIFIER));
        }
    }
    Ok(())
}

/// Two calls end at one time, and one of them opens the breaker: it is open for both.
fn opens_for_all(cx: &Cx) -> Outcome {
    let trips_at_once = Figures { failures: 1, ..ASSIGNED };
    let hour = Duration::from_secs(3600);
    let breakers = (0..MEETINGS).map(|_| made(config(trips_at_once, hour)));
    let breakers: Arc<[Breaker]> = breakers.collect::<Result<Vec<_>, _>>()?.into();
    let arrived = Arc::new(AtomicUsize::new(0));
    let (shared, gate) = (Arc::clone(&breakers), arrived);
    cx.on_threads(NAME, 2, move |thread| {
        let own = Thread::new();
        let until = Instant::now() + MEETING_TIME;
        for (number, breaker) in shared.iter().enumerate() {
            gate.fetch_add(1, SeqCst);
            while gate.load(SeqCst) < 2 * (number + 1) && Instant::now() < until {
                spin_loop();
            }
            let answer = if thread == 0 { Err(Trouble::Down) } else { Ok(()) };
            if let Some(own) = &own {
                own.call(breaker, answer);
            }
        }
    })?;
    let looks = cx.on_threads(NAME, 1, move |_| {
        let own = Thread::new()?;
        let look = |breaker: &Breaker| {
            (breaker.state(), breaker.snapshot().state, own.call(breaker, Ok(())))
        };
        Some(breakers.iter().map(look).collect::<Vec<_>>())
    })?;
    let looks = looks.into_iter().next().flatten().ok_or_else(not_started)?;
    for (state, snapshot, got) in looks {
        // At which failure it opens is a criterion of its own: here all have to agree.
        let refused = matches!(got, Got::Refused(_));
        ensure!(state == snapshot && refused == (state == State::Open),
            "a failure on one thread met a success on another one: state() is {state:?}, the snapshot says {snapshot:?}, and the next call gets {got:?}";
            expected = "one answer from all three",
            help = "decide and publish under one lock: what is written after it may be older than what another thread wrote");
    }
    Ok(())
}

/// A breaker that never closes lets one probe through at a time, whichever thread it comes from.
fn lets_one_through(cx: &Cx) -> Outcome {
    let never_closes = Figures { failures: 1, successes: u32::MAX, ..ASSIGNED };
    let breaker = Arc::new(made(config(never_closes, Duration::from_nanos(1)))?);
    let inside = AtomicUsize::new(0);
    let most = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&most);
    cx.on_threads(NAME, THREADS, move |_| {
        let Some(own) = Thread::new() else { return };
        // One more than it takes: how many exactly is a criterion of its own.
        own.call(&breaker, Err(Trouble::Down));
        own.call(&breaker, Err(Trouble::Down));
        for _ in 0..CALLS {
            let probe = breaker.call(|| async {
                seen.fetch_max(inside.fetch_add(1, SeqCst) + 1, SeqCst);
                linger();
                // Where the threads have one core, the others get it now.
                std::thread::yield_now();
                // A call from within the probe comes at the same time, whatever the threads do.
                let other = breaker.call(|| async { Ok(()) }).now_or_never();
                if let Some(Ok(())) = other {
                    seen.fetch_max(2, SeqCst);
                }
                inside.fetch_sub(1, SeqCst);
                Ok(())
            });
            let _ = own.0.block_on(probe);
        }
    })?;
    let most = most.load(SeqCst);
    ensure!(most == 1, "half-open, {most} probes of {THREADS} threads ran at the same time";
        expected = "1: the look at the places and the taking of one are one step",
        help = "look and take under one lock, or with compare_exchange");
    Ok(())
}

/// What the callers got is what the snapshot counts, and the changes follow one another.
fn adds_up(cx: &Cx) -> Outcome {
    let figures = Figures { failures: 3, successes: 1, ..ASSIGNED };
    let told: Arc<Mutex<Vec<(State, State)>>> = Arc::default();
    let sink = Arc::clone(&told);
    let breaker = made(config(figures, Duration::from_nanos(1)))?
        .with_listener(move |change: &Transition| lock(&sink).push((change.from, change.to)));
    let breaker = Arc::new(breaker);
    let shared = Arc::clone(&breaker);
    let draw = cx.draw();
    let tallies = cx.on_threads(NAME, THREADS, move |thread| {
        let mut draw = draw.clone();
        // Another part of the same stream for each thread.
        for _ in 0..thread * 7 {
            let _ = draw.below(2);
        }
        let mut tally = [0_u64; 4];
        let own = Thread::new()?;
        for _ in 0..CALLS {
            let answer = [Ok(()), Err(Trouble::Down), Err(Trouble::Down)];
            tally[match own.call(&shared, *draw.pick(&answer)) {
                Got::Success => 0,
                Got::Failed(Trouble::Down) => 1,
                Got::Failed(Trouble::Declined) => 2,
                Got::Refused(_) => 3,
            }] += 1;
        }
        Some(tally)
    })?;
    let tallies = tallies.into_iter().collect::<Option<Vec<_>>>().ok_or_else(not_started)?;
    let got = [0, 1, 2, 3].map(|which| tallies.iter().map(|tally| tally[which]).sum::<u64>());
    let s = breaker.snapshot();
    // Which error counts as what is a criterion of its own.
    ensure_eq!([s.ok, s.failed + s.neutral + s.refused], [got[0], got[1] + got[2] + got[3]],
        "calls of {THREADS} threads: those that succeeded and all others, in snapshot() and as the callers got them";
        help = "count under the lock, or with fetch_add: a load and a store lose what comes between them");
    ensure_eq!(
        (s.calls, s.dropped),
        (CALLS * THREADS as u64, 0),
        "calls and dropped in snapshot()"
    );
    let told = lock(&told).clone();
    let broken = told.windows(2).find(|pair| pair[0].1 != pair[1].0);
    if let Some([one, next]) = broken {
        return Err(Fail::new(
            "changes of state were reported in another order than they happened, or not all of them",
        )
        .expected("each change begins with the state in which the one before it ended")
        .observed(format!("{one:?}, then {next:?}"))
        .help(ONE_NOTIFIER));
    }
    // Alone again, it is a breaker as before.
    let alone = cx.on_threads(NAME, 1, move |_| {
        let own = Thread::new()?;
        for _ in 0..1000 {
            own.call(&breaker, Ok(()));
        }
        let closed = breaker.state();
        for _ in 0..=figures.failures {
            own.call(&breaker, Err(Trouble::Down));
        }
        Some((closed, breaker.state(), *breaker.watch().borrow()))
    })?;
    let (closed, opened, watched) = alone.into_iter().next().flatten().ok_or_else(not_started)?;
    ensure_eq!(
        closed,
        State::Closed,
        "the state after all threads have gone and 1000 calls have succeeded"
    );
    ensure!(opened != State::Closed, "after {} calls of {THREADS} threads, {} failures in a row do not open it", CALLS * THREADS as u64, figures.failures;
        expected = "open, as a new breaker is after as many", observed = format!("state() says {opened:?}"),
        help = "the generation that a call gets has to be the one that its outcome is compared with");
    ensure!(watched != State::Closed, "{} failures in a row have opened the breaker{}: `watch` shows another state than `state()`", figures.failures,
        if opened == State::HalfOpen { ", and its reset timeout is over" } else { "" };
        expected = format!("{opened:?}, as state() says"), observed = format!("watch() shows {watched:?}"),
        help = "send each new state with `send_replace` (`send` changes nothing while there is no receiver), also after other \
                threads have changed it");
    Ok(())
}
