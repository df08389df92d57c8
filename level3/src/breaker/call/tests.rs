use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::{join, pending};
use tokio::time::{sleep, timeout};

use super::*;

const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// `true` is a failure of the dependency.
type Breaker = CircuitBreaker<bool>;

fn breaker() -> Breaker {
    CircuitBreaker::new("payments", BreakerConfig::payment(|&failure| failure)).expect("valid")
}

async fn end(breaker: &Breaker, result: Result<(), bool>) -> Result<(), BreakerError<bool>> {
    breaker.call(|| async move { result }).await
}

async fn trip(breaker: &Breaker) {
    for _ in 0..5 {
        assert_eq!(end(breaker, Err(true)).await, Err(BreakerError::Inner(true)));
    }
    assert_eq!(breaker.state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn refuses_without_calling_and_counts_down() {
    let breaker = breaker();
    trip(&breaker).await;
    for left in [60_000, 40_000, 20_000] {
        let refused = breaker.call(|| -> std::future::Ready<Result<(), bool>> { panic!("called") });
        assert_eq!(refused.await, Err(BreakerError::Open { retry_after: ms(left) }));
        sleep(ms(20_000)).await;
    }
    assert_eq!(breaker.state(), State::HalfOpen);
}

#[tokio::test(start_paused = true)]
async fn a_success_ends_a_row_of_failures() {
    let breaker = breaker();
    for _ in 0..10 {
        for _ in 0..4 {
            let _ = end(&breaker, Err(true)).await;
        }
        end(&breaker, Ok(())).await.expect("closed");
    }
    assert_eq!((breaker.state(), breaker.snapshot().failures), (State::Closed, 0));
}

#[tokio::test(start_paused = true)]
async fn a_call_is_a_probe_that_closes_it() {
    let breaker = breaker();
    trip(&breaker).await;
    sleep(ms(60_000)).await;
    end(&breaker, Ok(())).await.expect("a probe");
    assert_eq!(breaker.state(), State::HalfOpen);
    end(&breaker, Ok(())).await.expect("a probe");
    assert_eq!(breaker.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn one_probe_at_a_time() {
    let breaker = breaker();
    trip(&breaker).await;
    sleep(ms(60_000)).await;
    let slow = || async {
        sleep(ms(100)).await;
        Ok(())
    };
    let (probe, other) = join(breaker.call(slow), end(&breaker, Ok(()))).await;
    assert_eq!(probe, Ok(()));
    // Not zero: a caller that obeys must not spin until the probe ends.
    assert_eq!(other, Err(BreakerError::Open { retry_after: ms(60_000) }));
}

#[tokio::test(start_paused = true)]
async fn more_probes_if_asked_for() {
    let probes = NonZeroUsize::new(3).expect("3 is not 0");
    let config = BreakerConfig { probes, ..BreakerConfig::payment(|&failure: &bool| failure) };
    let breaker = Arc::new(CircuitBreaker::new("payments", config).expect("valid"));
    trip(&breaker).await;
    sleep(ms(60_000)).await;
    let calls = (0..5).map(|_| {
        breaker.call(|| async {
            sleep(ms(100)).await;
            Ok(())
        })
    });
    let done = futures::future::join_all(calls).await;
    assert_eq!(done.iter().filter(|result| result.is_ok()).count(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_is_dropped_or_panics_gives_its_place_back() {
    let breaker = breaker();
    trip(&breaker).await;
    sleep(ms(60_000)).await;
    let hung = breaker.call(pending::<Result<(), bool>>);
    assert!(timeout(ms(100), hung).await.is_err());
    let call = breaker.call(|| async { panic!("a bug") as Result<(), bool> });
    assert!(AssertUnwindSafe(call).catch_unwind().await.is_err());
    let call = breaker.call(|| -> std::future::Ready<Result<(), bool>> { panic!("a bug") });
    assert!(AssertUnwindSafe(call).catch_unwind().await.is_err());
    assert_eq!(breaker.state(), State::HalfOpen);
    assert_eq!(end(&breaker, Ok(())).await, Ok(()));
    assert_eq!(breaker.snapshot().dropped, 3);
}

#[tokio::test(start_paused = true)]
async fn business_errors_are_neutral() {
    let breaker = breaker();
    for _ in 0..4 {
        let _ = end(&breaker, Err(true)).await;
    }
    for _ in 0..20 {
        assert_eq!(end(&breaker, Err(false)).await, Err(BreakerError::Inner(false)));
    }
    assert_eq!((breaker.state(), breaker.snapshot().failures), (State::Closed, 4));
    let _ = end(&breaker, Err(true)).await;
    assert_eq!(breaker.state(), State::Open);
    sleep(ms(60_000)).await;
    let _ = end(&breaker, Err(false)).await;
    assert_eq!(breaker.state(), State::HalfOpen);
}

#[tokio::test(start_paused = true)]
async fn late_results_decide_nothing() {
    let breaker = breaker();
    let late = |at, result| {
        breaker.call(move || async move {
            sleep(ms(at)).await;
            result
        })
    };
    let script = async {
        trip(&breaker).await;
        sleep(ms(30_001)).await;
        assert_eq!(breaker.snapshot().retry_after, ms(29_999), "a late failure moves nothing");
        sleep(ms(30_000)).await;
        assert_eq!(breaker.state(), State::HalfOpen);
        end(&breaker, Ok(())).await.expect("the only success that counts");
        assert_eq!(breaker.state(), State::HalfOpen);
    };
    let late = join(late(30_000, Err(true)), late(60_000, Ok(())));
    let _ = join(late, script).await;
    assert_eq!(breaker.state(), State::HalfOpen);
}

#[tokio::test(start_paused = true)]
async fn the_fallback_stands_in_only_while_open() {
    let breaker = breaker();
    let fallback = |_: Duration| None;
    assert_eq!(breaker.call_or(|| async { Ok(Some(1)) }, fallback).await, Ok(Some(1)));
    assert_eq!(
        breaker.call_or(|| async { Err(true) }, fallback).await,
        Err::<Option<i32>, _>(true)
    );
    for _ in 0..4 {
        let _ = end(&breaker, Err(true)).await;
    }
    assert_eq!(breaker.call_or(|| async { Ok(Some(1)) }, fallback).await, Ok(None));
    let wait = breaker.call_or(|| async { Ok(ms(0)) }, |retry_after| retry_after).await;
    assert_eq!(wait, Ok(ms(60_000)));
    let snapshot = breaker.snapshot();
    assert_eq!((snapshot.ok, snapshot.refused), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn figures_add_up() {
    let breaker = breaker();
    end(&breaker, Ok(())).await.expect("closed");
    let _ = end(&breaker, Err(false)).await;
    let _ = timeout(ms(1), breaker.call(pending::<Result<(), bool>>)).await;
    trip(&breaker).await;
    let opened_at = Some(Instant::now());
    let _ = end(&breaker, Ok(())).await;
    sleep(ms(10)).await;
    let expected = Snapshot {
        state: State::Open,
        calls: 9,
        ok: 1,
        failed: 5,
        neutral: 1,
        dropped: 1,
        refused: 1,
        failures: 0,
        opened_at,
        retry_after: ms(59_990),
    };
    assert_eq!(breaker.snapshot(), expected);
}

#[tokio::test(start_paused = true)]
async fn tells_of_every_change_in_order() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&told);
    let breaker = breaker().with_listener(move |transition| {
        sink.lock().expect("no panic").push((transition.from, transition.to));
    });
    let mut watch = breaker.watch();
    assert_eq!(*watch.borrow_and_update(), State::Closed);
    trip(&breaker).await;
    assert_eq!(*watch.borrow_and_update(), State::Open);
    sleep(ms(60_000)).await;
    breaker.state();
    assert_eq!(*watch.borrow_and_update(), State::HalfOpen);
    let _ = end(&breaker, Err(true)).await;
    assert_eq!(*watch.borrow_and_update(), State::Open);
    let expected = [
        (State::Closed, State::Open),
        (State::Open, State::HalfOpen),
        (State::HalfOpen, State::Open),
    ];
    assert_eq!(*told.lock().expect("no panic"), expected);
}

#[tokio::test(start_paused = true)]
async fn a_listener_may_call_the_breaker_or_panic() {
    let breaker = Arc::new_cyclic(|weak: &std::sync::Weak<Breaker>| {
        let weak = weak.clone();
        breaker().with_listener(move |transition| {
            let breaker = weak.upgrade().expect("alive");
            assert_eq!(breaker.state(), transition.to);
            let _ = end(&breaker, Ok(())).now_or_never();
            panic!("a bug");
        })
    });
    trip(&breaker).await;
    assert_eq!(breaker.snapshot().refused, 1);
    sleep(ms(60_000)).await;
    // Half-open is noticed; the listener's own probe succeeds.
    assert_eq!(breaker.state(), State::HalfOpen);
    end(&breaker, Ok(())).await.expect("the second success");
    assert_eq!(breaker.state(), State::Closed);
}

#[test]
fn refuses_times_of_zero() {
    let valid = BreakerConfig::payment(|&failure: &bool| failure);
    let reset = BreakerConfig { reset_timeout: ms(0), ..valid };
    assert_eq!(
        CircuitBreaker::new("x", reset).map(|_| ()),
        Err(BreakerConfigError::ZeroResetTimeout)
    );
    let failures = NonZeroU32::MIN;
    let trip = Trip::InWindow { failures, window: ms(0) };
    let window = BreakerConfig { trip, ..valid };
    assert_eq!(CircuitBreaker::new("x", window).map(|_| ()), Err(BreakerConfigError::ZeroWindow));
}

#[test]
fn one_breaker_for_many_threads() {
    let breaker = Arc::new(breaker());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_time()
        .build()
        .expect("a runtime");
    let done = runtime.block_on(async {
        let tasks = (0..8).map(|number| {
            let breaker = Arc::clone(&breaker);
            tokio::spawn(async move {
                for round in 0..5_000_u32 {
                    let result = if (round + number) % 7 == 0 { Err(true) } else { Ok(()) };
                    let _ = end(&breaker, result).await;
                }
            })
        });
        futures::future::join_all(tasks).await
    });
    assert!(done.iter().all(Result::is_ok));
    let snapshot = breaker.snapshot();
    assert_eq!(snapshot.calls, 40_000);
    assert_eq!(snapshot.ok + snapshot.failed + snapshot.refused, 40_000);
}

/// What the documentation of [`CircuitBreaker::call`] says about time limits.
#[tokio::test(start_paused = true)]
async fn a_probe_that_hangs_keeps_its_place_until_its_own_limit() {
    let breaker = breaker();
    trip(&breaker).await;
    sleep(ms(60_000)).await;
    let limited = breaker.call(|| async {
        timeout(ms(2000), pending::<Result<(), bool>>()).await.unwrap_or(Err(true))
    });
    let others = async {
        sleep(ms(1999)).await;
        let refused = end(&breaker, Ok(())).await;
        assert_eq!(refused, Err(BreakerError::Open { retry_after: ms(60_000) }));
    };
    let (probe, ()) = join(limited, others).await;
    assert_eq!(probe, Err(BreakerError::Inner(true)));
    assert_eq!(breaker.state(), State::Open, "the timeout is a failed probe");
}

/// A probe has its place from its admission on, whatever it waits for before its wire call.
#[tokio::test(start_paused = true)]
async fn a_probe_that_waits_for_the_limiter_keeps_the_others_out() {
    use crate::deadline::Deadline;
    use crate::limiter::{Priority, RateLimiter};

    let limiter = RateLimiter::new(NonZeroUsize::MIN, ms(1000)).expect("a window");
    let breaker = breaker();
    trip(&breaker).await;
    sleep(ms(60_000)).await;
    limiter.admit(Priority::Charge, Deadline::never()).await.expect("a free slot");
    let metered = || async {
        // The wait has a deadline, so the place is free again in time.
        let limit = Deadline::after(ms(1500));
        limiter.admit(Priority::Charge, limit).await.map_err(|_| false)
    };
    let others = async {
        sleep(ms(999)).await;
        let refused = end(&breaker, Ok(())).await;
        assert!(matches!(refused, Err(BreakerError::Open { .. })), "{refused:?}");
        sleep(ms(2)).await;
        assert_eq!(end(&breaker, Ok(())).await, Ok(()));
    };
    let (probe, ()) = join(breaker.call(metered), others).await;
    assert_eq!(probe, Ok(()));
    assert_eq!(breaker.state(), State::Closed);
}
