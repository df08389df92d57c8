//! Bulkheads: a pool of slots for each dependency, so that one that hangs does not take the others with it.
//!
//! ```text
//!                      a slot is free                        it ends, fails, panics or is dropped
//!   a call ──┬──────────────────────────▶ ┌─────────┐ ─────────────────────────────────────────▶
//!            │                            │ running │            │ its slot goes to the
//!            │ no slot is free   ┌──────┐ └─────────┘ ◀──────────┘ head of the queue
//!            ├─────────────────▶ │queued│ ──────▲
//!            │                   └──────┘  a slot: first come, first served
//!            │                      └─────▶ QueueTimeout
//!            └─ the queue is full: QueueFull
//! ```
//!
//! Lesson: `level4/lessons/bulkhead.md`.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::timeout;

/// How many calls a pool takes.
///
/// ```
/// use std::num::NonZeroUsize;
/// use std::time::Duration;
/// use level4::bulkhead::PoolConfig;
///
/// let database = PoolConfig {
///     max_concurrent: NonZeroUsize::new(20).unwrap(),
///     max_queued: 100,
///     queue_timeout: Some(Duration::from_secs(1)),
/// };
/// # assert_eq!(database.max_queued, 100);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolConfig {
    /// The most operations that run at the same time.
    pub max_concurrent: NonZeroUsize,
    /// The most calls that wait for a slot. Zero: none waits.
    pub max_queued: usize,
    /// How long a call waits for a slot. `None`: until it has one.
    pub queue_timeout: Option<Duration>,
}

/// The reason why [`Bulkheads::add`] refuses a pool.
///
/// ```
/// use std::num::NonZeroUsize;
/// use level4::bulkhead::{Bulkheads, ConfigError, PoolConfig};
///
/// let one = PoolConfig { max_concurrent: NonZeroUsize::MIN, max_queued: 0, queue_timeout: None };
/// let pools = Bulkheads::new();
/// assert_eq!(pools.add("files", one), Ok(()));
/// assert_eq!(pools.add("files", one), Err(ConfigError::DuplicateName("files".to_owned())));
/// assert_eq!(pools.add("", one), Err(ConfigError::EmptyName));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The name is empty.
    #[error("the name of a pool is empty")]
    EmptyName,
    /// There is a pool of this name. It stays as it is.
    #[error("there is a pool named `{0}` already")]
    DuplicateName(String),
    /// The queue timeout is zero: no call could wait. Set `max_queued` to zero instead.
    #[error("the queue timeout is zero; for a pool without a queue, set `max_queued` to zero")]
    ZeroQueueTimeout,
}

/// The reason why a call returned no value.
///
/// ```
/// # use std::num::NonZeroUsize;
/// # use level4::bulkhead::PoolConfig;
/// use level4::bulkhead::{Bulkheads, PoolError};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let pools = Bulkheads::new();
/// # let one = PoolConfig { max_concurrent: NonZeroUsize::MIN, max_queued: 0, queue_timeout: None };
/// # pools.add("files", one).unwrap();
/// let read = || async { Err::<u32, _>("no such file") };
/// let text = match pools.run("files", read).await {
///     Ok(length) => format!("{length} bytes"),
///     Err(PoolError::Inner(error)) => error.to_owned(),
///     Err(refused) => format!("not tried: {refused}"),
/// };
/// assert_eq!(text, "no such file");
/// let refused = pools.run("mail", read).await;
/// assert_eq!(refused, Err(PoolError::UnknownPool("mail".to_owned())));
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PoolError<E> {
    /// There is no pool of this name. The operation was not called.
    #[error("there is no pool named `{0}`")]
    UnknownPool(String),
    /// No slot is free, and as many calls wait as may wait. The operation was not called.
    #[error("the pool has no free slot, and {max_queued} calls wait for one")]
    QueueFull {
        /// The most calls that wait in this pool.
        max_queued: usize,
    },
    /// The call has waited for this time without getting a slot. The operation was not called.
    #[error("the pool had no free slot for {0:?}")]
    QueueTimeout(Duration),
    /// The operation's error.
    #[error("{0}")]
    Inner(E),
}

/// The use of a pool at one moment.
///
/// ```
/// # use std::num::NonZeroUsize;
/// # use level4::bulkhead::PoolConfig;
/// use level4::bulkhead::Bulkheads;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let pools = Bulkheads::new();
/// # let one = PoolConfig { max_concurrent: NonZeroUsize::MIN, max_queued: 0, queue_timeout: None };
/// # pools.add("files", one).unwrap();
/// let status = || pools.status("files").unwrap();
/// let during = pools.run("files", || async { Ok::<_, String>(status()) }).await.unwrap();
/// assert_eq!((during.running, during.queued), (1, 0));
/// assert_eq!(status().running, 0);
/// assert_eq!(status().config.max_concurrent.get(), 1);
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolStatus {
    /// How many slots are taken.
    pub running: usize,
    /// How many calls wait for one.
    pub queued: usize,
    /// What the pool was added with.
    pub config: PoolConfig,
}

/// Pools by name.
///
/// A clone is a handle to the same pools. There is no task: an operation runs inside of its caller's future.
///
/// A circuit breaker belongs around a call, not inside of a pool. Then an open breaker refuses at once, without a place
/// in the queue. Only [`PoolError::Inner`] says something about the dependency: a full queue must not open a breaker.
///
/// ```
/// use std::num::NonZeroUsize;
/// use level4::bulkhead::{Bulkheads, PoolConfig, PoolError};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let pools = Bulkheads::new();
/// let one = PoolConfig { max_concurrent: NonZeroUsize::MIN, max_queued: 0, queue_timeout: None };
/// pools.add("files", one)?;
/// pools.add("database", one)?;
///
/// let hangs = pools.run("files", || std::future::pending::<Result<(), String>>());
/// let calls = async {
///     // `files` has no slot left. `database` knows nothing of it.
///     let refused = pools.run("files", || async { Ok::<_, String>(1) }).await;
///     assert_eq!(refused, Err(PoolError::QueueFull { max_queued: 0 }));
///     assert_eq!(pools.run("database", || async { Ok::<_, String>(2) }).await, Ok(2));
/// };
/// tokio::select! {
///     biased;
///     _ = hangs => unreachable!("it hangs"),
///     () = calls => {}
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
pub struct Bulkheads {
    // Held only to look a pool up or to add one. A call keeps its own handle to the pool.
    pools: Arc<Mutex<HashMap<String, Arc<Pool>>>>,
}

impl fmt::Debug for Bulkheads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bulkheads").field("pools", &lock(&self.pools).len()).finish()
    }
}

impl Bulkheads {
    /// Makes an object without pools.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a pool. Pools stay as long as their [`Bulkheads`].
    ///
    /// # Errors
    ///
    /// [`ConfigError`]. The pools are as they were. A second pool of the same name would double its limit.
    pub fn add(&self, name: &str, config: PoolConfig) -> Result<(), ConfigError> {
        if name.is_empty() {
            return Err(ConfigError::EmptyName);
        }
        if config.queue_timeout.is_some_and(|limit| limit.is_zero()) {
            return Err(ConfigError::ZeroQueueTimeout);
        }
        let mut pools = lock(&self.pools);
        if pools.contains_key(name) {
            return Err(ConfigError::DuplicateName(name.to_owned()));
        }
        pools.insert(name.to_owned(), Arc::new(Pool::new(config)));
        Ok(())
    }

    /// Runs `op` in a slot of the pool named `name`. If none is free, the call waits for one, after those that
    /// wait already.
    ///
    /// `op` is called when the call has its slot. The slot is free again when the operation has ended and its future
    /// is dropped, and then belongs to the call that has waited longest.
    ///
    /// # Errors
    ///
    /// [`PoolError`]. A call that is refused has not called `op`.
    ///
    /// # Panics
    ///
    /// A panic of `op` passes to the caller, and frees the slot.
    ///
    /// # Cancellation
    ///
    /// Before its first poll the future has done nothing. Dropping it stops the operation and frees its slot, or
    /// leaves the queue.
    pub async fn run<T, E, F>(&self, name: &str, op: impl FnOnce() -> F) -> Result<T, PoolError<E>>
    where
        F: Future<Output = Result<T, E>>,
    {
        let pool = lock(&self.pools).get(name).map(Arc::clone);
        let pool = pool.ok_or_else(|| PoolError::UnknownPool(name.to_owned()))?;
        // Made before the operation and dropped after it, on each of its ends: result, panic and drop.
        let _slot = match pool.enter() {
            Entry::Slot(slot) => slot,
            Entry::Place(place) => match pool.config.queue_timeout {
                None => place.await,
                // The place is polled before the timer: a slot that is free at the limit is in time.
                Some(limit) => match timeout(limit, place).await {
                    Ok(slot) => slot,
                    Err(_) => return Err(PoolError::QueueTimeout(limit)),
                },
            },
            Entry::Full => {
                return Err(PoolError::QueueFull { max_queued: pool.config.max_queued });
            }
        };
        op().await.map_err(PoolError::Inner)
    }

    /// Returns the use of the pool of this name now. `None`: there is no such pool.
    #[must_use]
    pub fn status(&self, name: &str) -> Option<PoolStatus> {
        let pool = lock(&self.pools).get(name).map(Arc::clone)?;
        let status = pool.status();
        Some(status)
    }
}

/// One pool.
struct Pool {
    config: PoolConfig,
    // Slots and queue under one lock: "no slot is free" and "stand in the queue" are one step, and so are "a slot is
    // free" and "give it to the head of the queue". Between two locks a newcomer could take a slot that was promised.
    state: Mutex<State>,
}

/// While a call waits, all slots are taken: a slot that becomes free goes to a waiting call and is never free.
struct State {
    running: usize,
    /// The calls that wait, in the order of their arrival. A call that is not here any more has got a slot.
    queue: BTreeMap<u64, Option<Waker>>,
    arrivals: u64,
}

/// What a call gets on its arrival.
enum Entry<'a> {
    Slot(Slot<'a>),
    Place(Place<'a>),
    Full,
}

impl Pool {
    const fn new(config: PoolConfig) -> Self {
        let state = State { running: 0, queue: BTreeMap::new(), arrivals: 0 };
        Self { config, state: Mutex::new(state) }
    }

    fn enter(&self) -> Entry<'_> {
        let mut state = lock(&self.state);
        if state.running < self.config.max_concurrent.get() {
            state.running += 1;
            Entry::Slot(Slot(self))
        } else if state.queue.len() < self.config.max_queued {
            state.arrivals += 1;
            let number = state.arrivals;
            state.queue.insert(number, None);
            Entry::Place(Place { pool: self, number: Some(number) })
        } else {
            Entry::Full
        }
    }

    /// A slot becomes free. It passes to the call that has waited longest.
    fn release(&self) {
        let next = {
            let mut state = lock(&self.state);
            let next = state.queue.pop_first();
            if next.is_none() {
                state.running -= 1;
            }
            next
        };
        // Outside of the lock: a waker is foreign code and may poll the call at once.
        if let Some((_, Some(waker))) = next {
            waker.wake();
        }
    }

    fn status(&self) -> PoolStatus {
        let state = lock(&self.state);
        PoolStatus { running: state.running, queued: state.queue.len(), config: self.config }
    }
}

/// A slot that is taken. It is free when this is dropped.
struct Slot<'a>(&'a Pool);

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.0.release();
    }
}

/// A place in the queue. As a future it waits for a slot.
struct Place<'a> {
    pool: &'a Pool,
    /// `None` when the slot has been taken over.
    number: Option<u64>,
}

impl<'a> Future for Place<'a> {
    type Output = Slot<'a>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Slot<'a>> {
        if let Some(number) = self.number {
            let mut state = lock(&self.pool.state);
            if let Some(waker) = state.queue.get_mut(&number) {
                // The task may be another one than at the last poll.
                waker.clone_from(&Some(cx.waker().clone()));
                return Poll::Pending;
            }
        }
        self.number = None;
        Poll::Ready(Slot(self.pool))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let Some(number) = self.number else { return };
        let waited = lock(&self.pool.state).queue.remove(&number).is_some();
        // It was given a slot and dropped before it could take it over: the slot goes to the next call.
        if !waited {
            self.pool.release();
        }
    }
}

/// No foreign code runs under a lock, so that no panic can leave a state half changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::future::join_all;
    use tokio::time::{Instant, sleep};

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn pools(max_concurrent: usize, max_queued: usize, queue_timeout: Option<u64>) -> Bulkheads {
        let max_concurrent = NonZeroUsize::new(max_concurrent).expect("a limit");
        let pools = Bulkheads::new();
        let queue_timeout = queue_timeout.map(ms);
        let config = PoolConfig { max_concurrent, max_queued, queue_timeout };
        pools.add("a", config).expect("it is the first one");
        pools
    }

    async fn call(pools: &Bulkheads) -> Result<u128, PoolError<()>> {
        let began = Instant::now();
        let op = || async {
            sleep(ms(100)).await;
            Ok(())
        };
        pools.run("a", op).await.map(|()| began.elapsed().as_millis())
    }

    #[tokio::test(start_paused = true)]
    async fn slots_queue_and_refusal() {
        let pools = pools(1, 2, Some(150));
        let calls = join_all((0..4).map(|_| call(&pools))).await;
        let full = PoolError::QueueFull { max_queued: 2 };
        assert_eq!(calls, [Ok(100), Ok(200), Err(PoolError::QueueTimeout(ms(150))), Err(full)]);
        let status = pools.status("a").map(|status| (status.running, status.queued));
        assert_eq!(status, Some((0, 0)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slot_that_is_not_taken_over_goes_on() {
        let pools = pools(1, 2, None);
        let mut holds = Box::pin(call(&pools));
        let mut gone = Box::pin(call(&pools));
        let mut waits = Box::pin(call(&pools));
        assert!(futures::poll!(&mut holds).is_pending());
        assert!(futures::poll!(&mut gone).is_pending());
        assert!(futures::poll!(&mut waits).is_pending());
        drop(holds);
        drop(gone); // it has been given the slot, and was not polled since
        assert_eq!(waits.await, Ok(100));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let pools = pools(1, 2, None);
        let config = pools.status("a").expect("it is there").config;
        assert_eq!(pools.add("", config), Err(ConfigError::EmptyName));
        assert_eq!(pools.add("a", config), Err(ConfigError::DuplicateName("a".to_owned())));
        let zero = PoolConfig { queue_timeout: Some(ms(0)), ..config };
        assert_eq!(pools.add("b", zero), Err(ConfigError::ZeroQueueTimeout));
        assert!(pools.status("b").is_none());
    }
}
