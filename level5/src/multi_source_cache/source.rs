//! The sources of a cache, and the questions that the cache asks them.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use jiff::Timestamp;
use tokio::time::timeout;

use crate::conflict::{SourceId, Stamp};

/// A value with the time at which its source wrote it.
///
/// ```
/// use std::time::Duration;
/// use level5::conflict::SourceId;
/// use level5::multi_source_cache::Stamped;
///
/// let at = "2026-11-28T12:00:00Z".parse()?;
/// let price = Stamped { value: 42, at, version: 3, ttl: Some(Duration::from_secs(5)) };
/// let stamp = price.stamp(SourceId::new("shop"));
/// assert_eq!((stamp.at, stamp.version, stamp.source.as_str()), (at, 3, "shop"));
/// # Ok::<(), jiff::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamped<V> {
    /// The value.
    pub value: V,
    /// When the source wrote it, by the source's own clock.
    pub at: Timestamp,
    /// Counts the source's writes where the clock is too coarse. The cache completes both to a [`Stamp`].
    pub version: u64,
    /// The value is fresh while its age is less than this. `None`: the `ttl` of the cache's configuration.
    pub ttl: Option<Duration>,
}

impl<V> Stamped<V> {
    /// Returns the whole stamp, with the source.
    // starter: keep
    #[must_use]
    pub const fn stamp(&self, source: SourceId) -> Stamp {
        Stamp { at: self.at, version: self.version, source }
    }
}

/// Why a source did not answer. The text is the source's own, for a log.
///
/// ```
/// use level5::multi_source_cache::{Failure, SourceError};
///
/// let error = SourceError("connection refused".to_owned());
/// assert_eq!(error.to_string(), "connection refused");
/// assert_eq!(Failure::from(error.clone()), Failure::Failed(error));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SourceError(pub String);

/// One item of a source's updates.
///
/// ```
/// use level5::multi_source_cache::{Stamped, Update};
///
/// let price = Stamped { value: 42, at: jiff::Timestamp::UNIX_EPOCH, version: 0, ttl: None };
/// let updates = [Update::Changed("price", price), Update::Lost(3)];
/// let lines = updates.iter().map(|update| match update {
///     Update::Changed(key, price) => format!("{key} is {} now", price.value),
///     Update::Lost(number) => format!("{number} updates were lost"),
/// });
/// assert_eq!(lines.collect::<Vec<_>>(), ["price is 42 now", "3 updates were lost"]);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Update<K, V> {
    /// The key has this value from now on.
    Changed(K, Stamped<V>),
    /// This number of updates was lost before the cache could read them.
    Lost(u64),
}

/// A source of values.
///
/// ```
/// # use level5::multi_source_cache::{CacheConfig, MultiSourceCache, Rule, SyncMode};
/// use futures::stream::BoxStream;
/// use level5::conflict::SourceId;
/// use level5::multi_source_cache::{CacheSource, SourceError, Stamped, Update};
/// # use std::num::NonZeroUsize;
/// # use std::time::Duration;
/// # fn config() -> CacheConfig<u32> {
/// #     CacheConfig {
/// #         capacity: NonZeroUsize::MIN,
/// #         ttl: Duration::from_secs(60),
/// #         missing_ttl: Duration::ZERO,
/// #         load_timeout: Duration::from_secs(1),
/// #         pulls_at_once: NonZeroUsize::MIN,
/// #         rule: Rule::Newest,
/// #     }
/// # }
///
/// /// A shop with one price, which reports no changes.
/// struct Shop;
///
/// impl CacheSource<&'static str, u32> for Shop {
///     fn id(&self) -> SourceId {
///         SourceId::new("shop")
///     }
///
///     fn priority(&self) -> u8 {
///         1
///     }
///
///     async fn load(&self, key: &&'static str) -> Result<Option<Stamped<u32>>, SourceError> {
///         let price = Stamped { value: 42, at: jiff::Timestamp::UNIX_EPOCH, version: 0, ttl: None };
///         Ok((*key == "price").then_some(price))
///     }
///
///     fn updates(&self) -> Option<BoxStream<'static, Update<&'static str, u32>>> {
///         None
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let cache = MultiSourceCache::new(config())?;
/// cache.add_source(Shop, SyncMode::Pull { every: Duration::from_secs(30) })?;
/// assert_eq!(cache.get(&"price", None).await?.unwrap().value, 42);
/// # Ok(())
/// # }
/// ```
pub trait CacheSource<K, V>: Send + Sync + 'static {
    /// Returns the name of the source. It does not change.
    fn id(&self) -> SourceId;

    /// Returns the rank of the source. More is higher. It does not change.
    fn priority(&self) -> u8;

    /// Loads the value of a key, or `None` if the source has none.
    ///
    /// # Errors
    ///
    /// [`SourceError`] if the source cannot answer.
    ///
    /// # Cancellation
    ///
    /// The cache drops the future at the `load_timeout` and with the last caller that waits for it; that of a pull
    /// also when the source is removed.
    fn load(&self, key: &K)
    -> impl Future<Output = Result<Option<Stamped<V>>, SourceError>> + Send;

    /// Returns the updates from now on, if the source can report them. The cache calls this once, when the source is
    /// added.
    fn updates(&self) -> Option<BoxStream<'static, Update<K, V>>>;
}

/// Why a load passed a source over.
///
/// ```
/// use level5::multi_source_cache::{CacheConfig, Failure, MultiSourceCache, Rule, SyncMode};
/// # use std::num::NonZeroUsize;
/// # use std::time::Duration;
/// # fn config() -> CacheConfig<u32> {
/// #     CacheConfig {
/// #         capacity: NonZeroUsize::MIN,
/// #         ttl: Duration::from_secs(60),
/// #         missing_ttl: Duration::ZERO,
/// #         load_timeout: Duration::from_secs(1),
/// #         pulls_at_once: NonZeroUsize::MIN,
/// #         rule: Rule::Newest,
/// #     }
/// # }
/// # use futures::stream::BoxStream;
/// # use level5::conflict::SourceId;
/// # use level5::multi_source_cache::{CacheSource, SourceError, Stamped, Update};
/// # struct Down;
/// # impl CacheSource<&'static str, u32> for Down {
/// #     fn id(&self) -> SourceId {
/// #         SourceId::new("shop")
/// #     }
/// #     fn priority(&self) -> u8 {
/// #         1
/// #     }
/// #     async fn load(&self, _: &&'static str) -> Result<Option<Stamped<u32>>, SourceError> {
/// #         Err(SourceError("connection refused".to_owned()))
/// #     }
/// #     fn updates(&self) -> Option<BoxStream<'static, Update<&'static str, u32>>> {
/// #         None
/// #     }
/// # }
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // `Down` answers each load with an error.
/// let cache = MultiSourceCache::new(config())?;
/// cache.add_source(Down, SyncMode::Pull { every: Duration::from_secs(30) })?;
/// let failed = cache.get(&"price", None).await.unwrap_err();
/// let text = match &failed.failures[0] {
///     (source, Failure::Failed(error)) => format!("{source}: {error}"),
///     (source, Failure::TimedOut(limit)) => format!("{source}: no answer within {limit:?}"),
///     (source, Failure::Panicked) => format!("{source}: a bug"),
/// };
/// assert_eq!(text, "shop: connection refused");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// It returned an error.
    #[error("{0}")]
    Failed(#[from] SourceError),
    /// It did not answer within this time.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// It panicked.
    #[error("panicked")]
    Panicked,
}

/// The error of a load: no source has a value, and at least one has failed.
///
/// ```
/// use level5::multi_source_cache::{CacheConfig, MultiSourceCache, Rule, SyncMode};
/// # use std::num::NonZeroUsize;
/// # use std::time::Duration;
/// # fn config() -> CacheConfig<u32> {
/// #     CacheConfig {
/// #         capacity: NonZeroUsize::MIN,
/// #         ttl: Duration::from_secs(60),
/// #         missing_ttl: Duration::ZERO,
/// #         load_timeout: Duration::from_secs(1),
/// #         pulls_at_once: NonZeroUsize::MIN,
/// #         rule: Rule::Newest,
/// #     }
/// # }
/// # use futures::stream::BoxStream;
/// # use level5::conflict::SourceId;
/// # use level5::multi_source_cache::{CacheSource, SourceError, Stamped, Update};
/// # struct Down;
/// # impl CacheSource<&'static str, u32> for Down {
/// #     fn id(&self) -> SourceId {
/// #         SourceId::new("shop")
/// #     }
/// #     fn priority(&self) -> u8 {
/// #         1
/// #     }
/// #     async fn load(&self, _: &&'static str) -> Result<Option<Stamped<u32>>, SourceError> {
/// #         Err(SourceError("connection refused".to_owned()))
/// #     }
/// #     fn updates(&self) -> Option<BoxStream<'static, Update<&'static str, u32>>> {
/// #         None
/// #     }
/// # }
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // `Down` answers each load with an error.
/// let cache = MultiSourceCache::new(config())?;
/// cache.add_source(Down, SyncMode::Pull { every: Duration::from_secs(30) })?;
/// let failed = cache.get(&"price", None).await.unwrap_err();
/// assert_eq!(failed.to_string(), "no source has answered with a value, and 1 failed");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no source has answered with a value, and {} failed", failures.len())]
pub struct AllSourcesFailed {
    /// The sources that failed, in the order in which they were asked, and why.
    pub failures: Vec<(SourceId, Failure)>,
}

/// Whether updates of a source arrive.
///
/// ```
/// use level5::multi_source_cache::{Pushes, SyncStatus};
///
/// let status = SyncStatus { pushes: Pushes::Ended, lost: 0, failed_pulls: 0 };
/// let text = match status.pushes {
///     Pushes::None => "pulled",
///     Pushes::Live => "live",
///     Pushes::Ended => "no updates any more",
/// };
/// assert_eq!(text, "no updates any more");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushes {
    /// The source is not followed by its updates.
    None,
    /// Its stream is open.
    Live,
    /// Its stream has ended. A [hybrid](super::SyncMode::Hybrid) source is pulled from then on.
    Ended,
}

/// How a source is followed.
///
/// ```
/// use level5::multi_source_cache::{CacheConfig, MultiSourceCache, Pushes, Rule};
/// use level5::multi_source_cache::{SyncMode, SyncStatus};
/// # use std::num::NonZeroUsize;
/// # use std::time::Duration;
/// # fn config() -> CacheConfig<u32> {
/// #     CacheConfig {
/// #         capacity: NonZeroUsize::MIN,
/// #         ttl: Duration::from_secs(60),
/// #         missing_ttl: Duration::ZERO,
/// #         load_timeout: Duration::from_secs(1),
/// #         pulls_at_once: NonZeroUsize::MIN,
/// #         rule: Rule::Newest,
/// #     }
/// # }
/// # use futures::stream::BoxStream;
/// # use level5::conflict::SourceId;
/// # use level5::multi_source_cache::{CacheSource, SourceError, Stamped, Update};
/// # struct Shop;
/// # impl CacheSource<&'static str, u32> for Shop {
/// #     fn id(&self) -> SourceId {
/// #         SourceId::new("shop")
/// #     }
/// #     fn priority(&self) -> u8 {
/// #         1
/// #     }
/// #     async fn load(&self, key: &&'static str) -> Result<Option<Stamped<u32>>, SourceError> {
/// #         let at = jiff::Timestamp::UNIX_EPOCH;
/// #         let price = Stamped { value: 42, at, version: 0, ttl: None };
/// #         Ok((*key == "price").then_some(price))
/// #     }
/// #     fn updates(&self) -> Option<BoxStream<'static, Update<&'static str, u32>>> {
/// #         None
/// #     }
/// # }
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let cache = MultiSourceCache::new(config())?;
/// cache.add_source(Shop, SyncMode::Pull { every: Duration::from_secs(30) })?;
/// let status = cache.status(&SourceId::new("shop"));
/// assert_eq!(status, Some(SyncStatus { pushes: Pushes::None, lost: 0, failed_pulls: 0 }));
/// assert_eq!(cache.status(&SourceId::new("crm")), None);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SyncStatus {
    /// Whether its updates arrive.
    pub pushes: Pushes,
    /// The number of updates that were lost.
    pub lost: u64,
    /// The number of loads of pulls that have failed.
    pub failed_pulls: u64,
}

/// A [`CacheSource`] of any type. The futures of the trait differ from type to type; here they are boxed, so that
/// sources of several types stand in one map.
pub(super) trait AnySource<K, V>: Send + Sync {
    fn id(&self) -> SourceId;
    fn priority(&self) -> u8;
    fn load(self: Arc<Self>, key: K)
    -> BoxFuture<'static, Result<Option<Stamped<V>>, SourceError>>;
    fn updates(&self) -> Option<BoxStream<'static, Update<K, V>>>;
}

impl<K: Send + Sync + 'static, V: Send + 'static, S: CacheSource<K, V>> AnySource<K, V> for S {
    fn id(&self) -> SourceId {
        CacheSource::id(self)
    }

    fn priority(&self) -> u8 {
        CacheSource::priority(self)
    }

    fn load(
        self: Arc<Self>,
        key: K,
    ) -> BoxFuture<'static, Result<Option<Stamped<V>>, SourceError>> {
        // The future owns the source and the key: it may outlive the removal of the source, and no lock is held while
        // it runs. The source's own code runs at the first poll and not here.
        async move { CacheSource::load(&*self, &key).await }.boxed()
    }

    fn updates(&self) -> Option<BoxStream<'static, Update<K, V>>> {
        CacheSource::updates(self)
    }
}

/// A handle to a registered source, to ask it without the lock.
pub(super) struct Asked<K, V> {
    pub(super) id: SourceId,
    /// The number of its registration. An answer counts only if it is still that of the source with this id.
    pub(super) number: u64,
    pub(super) source: Arc<dyn AnySource<K, V>>,
}

impl<K, V> Asked<K, V> {
    /// The answer of the source, within the limit. A panic is a failure of this source, and of no caller.
    pub(super) async fn load(
        &self,
        key: K,
        limit: Duration,
    ) -> Result<Option<Stamped<V>>, Failure> {
        // Nothing of a future that has panicked is used afterwards. Uncaught, the panic of one source would end the
        // load of all callers, or the task that follows the source.
        let load = AssertUnwindSafe(Arc::clone(&self.source).load(key)).catch_unwind();
        match timeout(limit, load).await {
            Err(_) => Err(Failure::TimedOut(limit)),
            Ok(Err(_)) => Err(Failure::Panicked),
            Ok(Ok(answer)) => Ok(answer?),
        }
    }
}
