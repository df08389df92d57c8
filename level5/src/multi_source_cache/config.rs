//! The configuration of a cache.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use crate::conflict::{SourceId, Stamp};

use super::entries::View;

/// A function that makes one value of several, see [`Rule::Merge`].
pub type MergeFn<V> = dyn Fn(&[(Stamp, V)]) -> V + Send + Sync;

/// The rule that chooses among the values of the sources.
///
/// ```
/// use std::sync::Arc;
/// use level5::multi_source_cache::Rule;
///
/// // The cheapest price of all sources counts.
/// let cheapest = Rule::Merge(Arc::new(|prices: &[(_, u32)]| {
///     prices.iter().map(|(_, price)| *price).min().unwrap_or_default()
/// }));
/// assert_eq!(format!("{cheapest:?}"), "Merge");
/// ```
pub enum Rule<V> {
    /// The value with the newest stamp counts.
    Newest,
    /// The value of the source with the highest priority counts, among those that are within their ttl; of equal
    /// priorities the newest. If all are past their ttl, that of the highest priority.
    Priority,
    /// The result of the function counts, which gets the newest value of each source. They come with the oldest stamp
    /// first, so the result does not depend on the order in which they arrived.
    Merge(Arc<MergeFn<V>>),
}

// starter: keep
impl<V> Clone for Rule<V> {
    fn clone(&self) -> Self {
        match self {
            Self::Newest => Self::Newest,
            Self::Priority => Self::Priority,
            Self::Merge(merge) => Self::Merge(Arc::clone(merge)),
        }
    }
}

// starter: keep
impl<V> fmt::Debug for Rule<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Newest => "Newest",
            Self::Priority => "Priority",
            Self::Merge(_) => "Merge",
        })
    }
}

impl<V: Clone> Rule<V> {
    /// The value of a view: of its only part, or the merge of all.
    pub(super) fn value(&self, view: &View<V>) -> V {
        // Called without the lock: the function is the user's code. A single value is not merged, so that a key of one
        // source has the value that its source has.
        let parts = || view.parts.iter().map(|part| (part.stamp.clone(), V::clone(&part.value)));
        match (self, view.parts.as_slice()) {
            (Self::Merge(merge), [_, _, ..]) => merge(&parts().collect::<Vec<_>>()),
            _ => V::clone(&view.value),
        }
    }
}

/// The limits and times of a cache, and the rule that chooses its values.
///
/// ```
/// use std::num::NonZeroUsize;
/// use std::time::Duration;
/// use level5::multi_source_cache::{CacheConfig, MultiSourceCache, Rule};
///
/// let config = CacheConfig {
///     capacity: NonZeroUsize::new(10_000).unwrap(),
///     ttl: Duration::from_secs(60),
///     missing_ttl: Duration::from_secs(5),
///     load_timeout: Duration::from_secs(1),
///     pulls_at_once: NonZeroUsize::new(8).unwrap(),
///     rule: Rule::<u32>::Newest,
/// };
/// assert!(MultiSourceCache::<&str, u32>::new(config)?.is_empty());
/// # Ok::<(), level5::multi_source_cache::ConfigError>(())
/// ```
#[derive(Debug, Clone)]
pub struct CacheConfig<V> {
    /// The most keys that are kept. For one more, the key goes that was not used for the longest time.
    pub capacity: NonZeroUsize,
    /// A value is fresh while its age is less than this, unless it has a ttl of its own.
    pub ttl: Duration,
    /// The cache remembers for this time that no source has a value. Zero: not at all.
    pub missing_ttl: Duration,
    /// A source that takes longer to answer counts as failed.
    pub load_timeout: Duration,
    /// The most keys of a source that a pull loads at once.
    pub pulls_at_once: NonZeroUsize,
    /// The rule that chooses a value.
    pub rule: Rule<V>,
}

impl<V> CacheConfig<V> {
    pub(super) const fn check(&self) -> Result<(), ConfigError> {
        if self.ttl.is_zero() {
            return Err(ConfigError::ZeroTtl);
        }
        if self.load_timeout.is_zero() {
            return Err(ConfigError::ZeroLoadTimeout);
        }
        Ok(())
    }
}

/// How the cache learns of a source's changes.
///
/// ```
/// use level5::multi_source_cache::{CacheConfig, MultiSourceCache, Pushes, Rule, SyncMode};
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
/// // `Shop` has no updates, so the cache asks it every 30 s.
/// cache.add_source(Shop, SyncMode::Pull { every: Duration::from_secs(30) })?;
/// let status = cache.status(&SourceId::new("shop")).unwrap();
/// assert_eq!((status.pushes, status.failed_pulls), (Pushes::None, 0));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncMode {
    /// The cache asks for every key that it has a value of.
    Pull {
        /// The time from the beginning of one pull to that of the next one. After a pull that takes longer, the
        /// next one follows at once.
        every: Duration,
    },
    /// The source's stream of updates.
    Push,
    /// Both.
    Hybrid {
        /// The time from the beginning of one pull to that of the next one. After a pull that takes longer, the
        /// next one follows at once.
        every: Duration,
    },
}

impl SyncMode {
    pub(super) fn check(self) -> Result<(), ConfigError> {
        if self.interval().is_some_and(|every| every.is_zero()) {
            return Err(ConfigError::ZeroInterval);
        }
        Ok(())
    }

    pub(super) const fn interval(self) -> Option<Duration> {
        match self {
            Self::Pull { every } | Self::Hybrid { every } => Some(every),
            Self::Push => None,
        }
    }

    pub(super) const fn pushes(self) -> bool {
        matches!(self, Self::Push | Self::Hybrid { .. })
    }
}

/// Why a cache was not made, or a source not added.
///
/// ```
/// use level5::multi_source_cache::{CacheConfig, ConfigError, MultiSourceCache, Rule, SyncMode};
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
/// # async fn main() {
/// let zero = CacheConfig { ttl: Duration::ZERO, ..config() };
/// let refused = MultiSourceCache::<&str, u32>::new(zero).err();
/// assert_eq!(refused, Some(ConfigError::ZeroTtl));
/// // `Shop` has no updates.
/// let cache = MultiSourceCache::new(config()).unwrap();
/// let refused = cache.add_source(Shop, SyncMode::Push);
/// assert_eq!(refused, Err(ConfigError::NoUpdates(SourceId::new("shop"))));
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The `ttl` is zero: no value would ever be fresh.
    #[error("ttl is zero; a value must be fresh for a nanosecond at least")]
    ZeroTtl,
    /// The `load_timeout` is zero: no source could answer in time.
    #[error("load_timeout is zero; a source needs time to answer")]
    ZeroLoadTimeout,
    /// An interval of zero: the pulls would never pause.
    #[error("the interval between pulls is zero; it must be a nanosecond at least")]
    ZeroInterval,
    /// There is a source with this id already.
    #[error("the cache has a source `{0}` already; remove it first, or use another id")]
    DuplicateSource(SourceId),
    /// The source is to be followed by its updates, and has none.
    #[error("the source `{0}` has no updates; use SyncMode::Pull")]
    NoUpdates(SourceId),
}

/// The cache has no source with this id.
///
/// ```
/// # use level5::multi_source_cache::{CacheConfig, Rule};
/// use level5::conflict::SourceId;
/// use level5::multi_source_cache::{MultiSourceCache, Stamped, UnknownSource};
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
/// let cache = MultiSourceCache::new(config())?;
/// let price = Stamped { value: 42, at: jiff::Timestamp::UNIX_EPOCH, version: 0, ttl: None };
/// let shop = SourceId::new("shop");
/// assert_eq!(cache.set("price", price, &shop), Err(UnknownSource(shop)));
/// # Ok::<(), level5::multi_source_cache::ConfigError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the cache has no source `{0}`; add it first")]
pub struct UnknownSource(pub SourceId);
