//! A store that several threads use.

use std::panic::resume_unwind;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

use grader_kit::{Cx, Outcome, ensure};
use level3::idempotency::{Answered, Completion, IdempotencyError, Store, StoreConfig};
use tokio::runtime::Builder;
use tokio::task::yield_now;

use super::NAME;

const ROUNDS: usize = 40;

/// How often a thread lets others run before it goes on without them.
const PATIENCE: u32 = 10_000;

/// What two threads know of one key.
#[derive(Debug, Default)]
struct Round {
    /// The work behind the key runs.
    runs: AtomicBool,
    /// The other request waits for it.
    joined: AtomicBool,
    woken: AtomicBool,
    /// The other request has its answer and has asked again.
    asked_again: AtomicBool,
}

impl Round {
    /// Waits for what the other thread does, or for so long that it cannot.
    fn wait_for(flag: &AtomicBool) -> bool {
        (0..PATIENCE).any(|_| {
            thread::yield_now();
            flag.load(Ordering::Acquire)
        })
    }
}

/// Stays in the call that wakes until the request has asked again: what a store does after it wakes comes too
/// late then. A store that wakes under its lock is left after a while.
struct Holds(Arc<Round>);

impl Wake for Holds {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.0.woken.swap(true, Ordering::AcqRel) {
            Round::wait_for(&self.0.asked_again);
        }
    }
}

type Asked = Result<Answered<u32>, IdempotencyError>;

/// A request that waits gets a failure and asks again at once: it runs its own work.
pub async fn asks_again_when_woken(cx: &Cx) -> Outcome {
    let store: Store<usize, (), u32> = Store::new(StoreConfig::default());
    let rounds: Arc<Vec<Arc<Round>>> = Arc::new((0..ROUNDS).map(|_| Arc::default()).collect());
    let calls = Arc::new(AtomicU32::new(0));
    let seen = cx.on_threads(NAME, 2, move |thread| {
        let Ok(runtime) = Builder::new_current_thread().enable_time().start_paused(true).build()
        else {
            return Vec::new();
        };
        let mut seen = Vec::new();
        for (key, round) in rounds.iter().enumerate() {
            if thread == 0 {
                let mine = Arc::clone(round);
                let work = || async move {
                    mine.runs.store(true, Ordering::Release);
                    while !mine.joined.load(Ordering::Acquire) {
                        thread::yield_now();
                        yield_now().await;
                    }
                    if key % 2 == 0 {
                        resume_unwind(Box::new("work with a bug"));
                    }
                    Completion::Released(0)
                };
                let _ = runtime.block_on(store.run(&key, (), work));
                // Until the other thread is through with this key.
                Round::wait_for(&round.asked_again);
                continue;
            }
            while !round.runs.load(Ordering::Acquire) {
                thread::yield_now();
            }
            let _inside = runtime.enter();
            let waker = Waker::from(Arc::new(Holds(Arc::clone(round))));
            let own = || async { Completion::Released(1) };
            let mut joins = pin!(store.run(&key, (), own));
            let mut polled = joins.as_mut().poll(&mut Context::from_waker(&waker));
            round.joined.store(true, Ordering::Release);
            while polled.is_pending() {
                thread::yield_now();
                if round.woken.load(Ordering::Acquire) {
                    polled = joins.as_mut().poll(&mut Context::from_waker(&waker));
                }
            }
            let calls = Arc::clone(&calls);
            let number = || {
                calls.fetch_add(1, Ordering::Relaxed);
                async { Completion::Stored(2) }
            };
            let again = runtime.block_on(store.run(&key, (), number));
            round.asked_again.store(true, Ordering::Release);
            let Poll::Ready(first) = polled else { continue };
            seen.push((first, again));
        }
        seen
    })?;
    let seen: Vec<(Asked, Asked)> = seen.into_iter().flatten().collect();
    for (first, again) in &seen {
        let failed = match first {
            Ok(Answered { completion: Completion::Released(0), replayed: true }) => "released",
            Err(IdempotencyError::Lost) => "lost",
            // It came when the work was over, or the failure is another criterion of its own.
            _ => continue,
        };
        let is_own =
            matches!(again, Ok(Answered { completion: Completion::Stored(2), replayed: false }));
        ensure!(
            is_own,
            "a request waits for work that is {failed}, and asks again on its thread at once: it gets that failure once more";
            expected = "its own work runs: the key is free as soon as a waiting request has the failure",
            observed = format!("{again:?}"),
            help = "free the key first, then wake the requests that wait"
        );
    }
    ensure!(
        !seen.is_empty(),
        "no request that waits for the work behind its key is woken on another thread"
    );
    Ok(())
}
