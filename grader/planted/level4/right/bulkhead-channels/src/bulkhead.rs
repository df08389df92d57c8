//! Bulkheads, with a channel for each call that waits.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::collections::hash_map::Entry::{Occupied, Vacant};
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

/// How many calls a pool takes.
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
#[derive(Clone, Default)]
pub struct Bulkheads {
    pools: Arc<RwLock<HashMap<String, Arc<Pool>>>>,
}

impl fmt::Debug for Bulkheads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bulkheads").finish_non_exhaustive()
    }
}

impl Bulkheads {
    /// No pools.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a pool.
    ///
    /// # Errors
    ///
    /// [`ConfigError`].
    pub fn add(&self, name: &str, config: PoolConfig) -> Result<(), ConfigError> {
        if name.is_empty() {
            return Err(ConfigError::EmptyName);
        }
        if config.queue_timeout == Some(Duration::ZERO) {
            return Err(ConfigError::ZeroQueueTimeout);
        }
        let mut pools = self.pools.write().unwrap_or_else(PoisonError::into_inner);
        match pools.entry(name.to_owned()) {
            Occupied(taken) => Err(ConfigError::DuplicateName(taken.key().clone())),
            Vacant(free) => {
                free.insert(Arc::new(Pool::new(config)));
                Ok(())
            }
        }
    }

    fn pool(&self, name: &str) -> Option<Arc<Pool>> {
        self.pools.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// How a pool is used now.
    #[must_use]
    pub fn status(&self, name: &str) -> Option<PoolStatus> {
        Some(self.pool(name)?.status())
    }

    /// Runs `op` in a slot of a pool.
    ///
    /// # Errors
    ///
    /// [`PoolError`].
    pub async fn run<T, E, F>(
        &self,
        name: &str,
        op: impl FnOnce() -> F,
    ) -> Result<T, PoolError<E>>
    where
        F: Future<Output = Result<T, E>>,
    {
        let Some(pool) = self.pool(name) else {
            return Err(PoolError::UnknownPool(name.to_owned()));
        };
        let PoolConfig { max_queued, queue_timeout, .. } = pool.config;
        let slot = match pool.arrive() {
            Arrival::Runs(slot) => slot,
            Arrival::Refused => return Err(PoolError::QueueFull { max_queued }),
            Arrival::Waits(mut place) => {
                let sent = match queue_timeout {
                    None => (&mut place.slot).await,
                    Some(limit) => match timeout(limit, &mut place.slot).await {
                        Ok(sent) => sent,
                        Err(_) => return Err(PoolError::QueueTimeout(limit)),
                    },
                };
                match sent {
                    Ok(slot) => slot,
                    // The sender lies in the queue until it sends.
                    Err(_) => return Err(PoolError::QueueFull { max_queued }),
                }
            }
        };
        let result = op().await;
        drop(slot);
        result.map_err(PoolError::Inner)
    }
}

struct Pool {
    config: PoolConfig,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    running: usize,
    queue: VecDeque<(u64, oneshot::Sender<Slot>)>,
    arrivals: u64,
}

struct Slot(Option<Arc<Mutex<State>>>);

enum Arrival {
    Runs(Slot),
    Waits(Place),
    Refused,
}

struct Place {
    state: Arc<Mutex<State>>,
    number: u64,
    slot: oneshot::Receiver<Slot>,
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pool {
    fn new(config: PoolConfig) -> Self {
        Self { config, state: Arc::default() }
    }

    fn arrive(&self) -> Arrival {
        let mut state = lock(&self.state);
        if state.running < self.config.max_concurrent.get() {
            state.running += 1;
            return Arrival::Runs(Slot(Some(Arc::clone(&self.state))));
        }
        if state.queue.len() >= self.config.max_queued {
            return Arrival::Refused;
        }
        state.arrivals += 1;
        let number = state.arrivals;
        let (sender, slot) = oneshot::channel();
        state.queue.push_back((number, sender));
        Arrival::Waits(Place { state: Arc::clone(&self.state), number, slot })
    }

    fn status(&self) -> PoolStatus {
        let state = lock(&self.state);
        PoolStatus { running: state.running, queued: state.queue.len(), config: self.config }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let Some(state) = self.0.take() else { return };
        loop {
            let next = {
                let mut state = lock(&state);
                let next = state.queue.pop_front();
                if next.is_none() {
                    state.running -= 1;
                }
                next
            };
            let Some((_, sender)) = next else { return };
            match sender.send(Self(Some(Arc::clone(&state)))) {
                Ok(()) => return,
                // The call has gone. Its slot goes on in the next round, not by its own drop.
                Err(mut back) => drop(back.0.take()),
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mine = {
            let mut state = lock(&self.state);
            match state.queue.binary_search_by_key(&self.number, |(number, _)| *number) {
                Ok(at) => state.queue.remove(at),
                Err(_) => None,
            }
        };
        drop(mine);
        // A slot that was sent and not received is dropped with the channel, and goes on.
    }
}
