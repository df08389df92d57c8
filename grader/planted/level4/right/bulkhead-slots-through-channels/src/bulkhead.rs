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

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
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

/// Why a pool was not added.
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

/// Why a call returned no value.
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

/// How a pool is used at one moment.
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
    /// No pools.
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
        let _slot = match Pool::enter(&pool) {
            Entry::Slot(slot) => slot,
            Entry::Place(mut place) => {
                // The sender is in the queue until the slot is sent, so there is always a slot.
                let slot = async { (&mut place.slot).await.ok() };
                let slot = match pool.config.queue_timeout {
                    None => slot.await,
                    Some(limit) => timeout(limit, slot)
                        .await
                        .map_err(|_| PoolError::QueueTimeout(limit))?,
                };
                match slot {
                    Some(slot) => slot,
                    None => std::future::pending().await,
                }
            }
            Entry::Full => {
                return Err(PoolError::QueueFull { max_queued: pool.config.max_queued });
            }
        };
        op().await.map_err(PoolError::Inner)
    }

    /// How the pool of this name is used now. `None`: there is no such pool.
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

/// While a call waits, all slots are taken: a slot that becomes free is sent to a waiting call and is never free.
struct State {
    running: usize,
    /// The calls that wait, in the order of their arrival.
    queue: VecDeque<(u64, oneshot::Sender<Slot>)>,
    arrivals: u64,
}

/// What a call gets on its arrival.
enum Entry {
    Slot(Slot),
    Place(Place),
    Full,
}

impl Pool {
    const fn new(config: PoolConfig) -> Self {
        let state = State { running: 0, queue: VecDeque::new(), arrivals: 0 };
        Self { config, state: Mutex::new(state) }
    }

    fn enter(pool: &Arc<Self>) -> Entry {
        let mut state = lock(&pool.state);
        if state.running < pool.config.max_concurrent.get() {
            state.running += 1;
            return Entry::Slot(Slot(Arc::clone(pool)));
        }
        if state.queue.len() >= pool.config.max_queued {
            return Entry::Full;
        }
        state.arrivals += 1;
        let number = state.arrivals;
        let (sender, slot) = oneshot::channel();
        state.queue.push_back((number, sender));
        Entry::Place(Place { pool: Arc::clone(pool), number, slot })
    }

    fn status(&self) -> PoolStatus {
        let state = lock(&self.state);
        PoolStatus { running: state.running, queued: state.queue.len(), config: self.config }
    }
}

/// A slot that is taken. Dropped, it is sent to the call that has waited longest, or is free.
struct Slot(Arc<Pool>);

impl Drop for Slot {
    fn drop(&mut self) {
        let next = {
            let mut state = lock(&self.0.state);
            let next = state.queue.pop_front();
            if next.is_none() {
                state.running -= 1;
            }
            next
        };
        if let Some((_, sender)) = next {
            // Outside of the lock. A call that has gone meanwhile does not take it: then it comes back, is dropped
            // here and goes to the next one. A call that goes later drops it with its channel.
            drop(sender.send(Slot(Arc::clone(&self.0))));
        }
    }
}

/// A place in the queue, and the channel that the slot comes through.
struct Place {
    pool: Arc<Pool>,
    number: u64,
    slot: oneshot::Receiver<Slot>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let gone = {
            let queue = &mut lock(&self.pool.state).queue;
            // Sorted by number.
            let at = queue.binary_search_by_key(&self.number, |(number, _)| *number);
            at.ok().and_then(|at| queue.remove(at))
        };
        drop(gone);
    }
}

/// No foreign code runs under a lock, so that no panic can leave a state half changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
