//! Bulkheads, with numbers that are called.

use std::collections::HashMap;
use std::collections::BTreeMap;
use std::collections::hash_map::Entry::{Occupied, Vacant};
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::Notify;
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
        let Some(turn) = pool.turn() else { return Err(PoolError::QueueFull { max_queued }) };
        if !turn.called() {
            let waits = async {
                while !turn.called() {
                    turn.bell.notified().await;
                }
            };
            match queue_timeout {
                None => waits.await,
                Some(limit) => {
                    if timeout(limit, waits).await.is_err() {
                        return Err(PoolError::QueueTimeout(limit));
                    }
                }
            }
        }
        let result = op().await;
        drop(turn);
        result.map_err(PoolError::Inner)
    }
}

struct Pool {
    config: PoolConfig,
    line: Mutex<Line>,
}

#[derive(Default)]
struct Line {
    /// The numbers that were called and have not left.
    running: usize,
    waiting: BTreeMap<u64, Arc<Notify>>,
    last: u64,
}

/// A call in its pool, from its arrival to its end.
struct Turn<'a> {
    pool: &'a Pool,
    number: u64,
    bell: Arc<Notify>,
}

impl Pool {
    fn new(config: PoolConfig) -> Self {
        Self { config, line: Mutex::default() }
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn turn(&self) -> Option<Turn<'_>> {
        let mut line = self.line();
        let runs = line.running < self.config.max_concurrent.get();
        if !runs && line.waiting.len() >= self.config.max_queued {
            return None;
        }
        line.last += 1;
        let (number, bell) = (line.last, Arc::new(Notify::new()));
        if runs {
            line.running += 1;
        } else {
            line.waiting.insert(number, Arc::clone(&bell));
        }
        drop(line);
        Some(Turn { pool: self, number, bell })
    }

    fn status(&self) -> PoolStatus {
        let line = self.line();
        PoolStatus { running: line.running, queued: line.waiting.len(), config: self.config }
    }
}

impl Turn<'_> {
    fn called(&self) -> bool {
        !self.pool.line().waiting.contains_key(&self.number)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let next = {
            let mut line = self.pool.line();
            if line.waiting.remove(&self.number).is_some() {
                return;
            }
            let next = line.waiting.pop_first();
            if next.is_none() {
                line.running -= 1;
            }
            next
        };
        if let Some((_, bell)) = next {
            bell.notify_one();
        }
    }
}
