//! The channels by which a notification reaches a user.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::time::timeout;

use super::notification::{NotificationId, UserId};

/// The kinds of channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChannelKind {
    /// Mail. A message for each notification, of any length.
    Email,
    /// A text message. One for all notifications of a delivery, cut by [`text::sms`](super::text::sms).
    Sms,
    /// A push message. One for all notifications of a delivery, cut by [`text::push`](super::text::push).
    Push,
    /// A list within the application. A message for each notification, of any length.
    InApp,
}

/// A message as a channel sends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The notifications that are in it, in the order in which they were accepted.
    pub ids: Vec<NotificationId>,
    /// The text.
    pub text: String,
}

/// Why a provider did not deliver, in its words. For a log, not for the user.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ChannelError(pub String);

/// Why a channel failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChannelFailure {
    /// Its provider returned an error.
    #[error(transparent)]
    Error(#[from] ChannelError),
    /// Its provider gave no answer within `Config::channel_timeout`.
    #[error("it gave no answer in time")]
    TimedOut,
    /// Its code panicked.
    #[error("it panicked")]
    Panicked,
}

/// One call of a channel, when it has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryReport {
    /// The user to whom the messages were addressed.
    pub user: UserId,
    /// The channel that was called.
    pub channel: ChannelKind,
    /// The notifications that were delivered together, in the order in which they were accepted.
    pub ids: Vec<NotificationId>,
    /// Whether the channel has delivered.
    pub result: Result<(), ChannelFailure>,
}

/// A provider of one channel: mail, text messages, push messages, or the list within the application.
pub trait Channel: Send + Sync + 'static {
    /// The kind of the channel. It never changes.
    fn kind(&self) -> ChannelKind;

    /// Delivers messages to a user, all of them or none.
    ///
    /// The notifier drops the future at `Config::channel_timeout`, and when the notifier is stopped. After a failure it
    /// calls again: a provider that supports it should use the ids to recognise a repeated call.
    ///
    /// # Errors
    ///
    /// [`ChannelError`] when nothing was delivered.
    fn deliver(
        &self,
        to: &UserId,
        messages: &[Rendered],
    ) -> impl Future<Output = Result<(), ChannelError>> + Send;
}

/// The channels of a notifier, one of each kind.
///
/// ```
/// use level5::notifications::{Channel, ChannelError, ChannelKind, Channels, Rendered, UserId};
///
/// struct Log;
///
/// impl Channel for Log {
///     fn kind(&self) -> ChannelKind {
///         ChannelKind::InApp
///     }
///
///     async fn deliver(&self, to: &UserId, messages: &[Rendered]) -> Result<(), ChannelError> {
///         println!("{to}: {messages:?}");
///         Ok(())
///     }
/// }
///
/// let channels = Channels::default().with(Log);
/// assert!(channels.has(ChannelKind::InApp) && !channels.has(ChannelKind::Email));
/// ```
#[derive(Clone, Default)]
pub struct Channels {
    /// In `Arc`s, so that the channels can be cloned: several deliveries use a channel at the same time.
    // starter: keep
    registered: BTreeMap<ChannelKind, Arc<dyn DynChannel>>,
}

// starter: keep
impl fmt::Debug for Channels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.registered.keys()).finish()
    }
}

impl Channels {
    /// These channels and `channel`, which replaces one of its kind.
    // starter: keep
    #[must_use]
    pub fn with(mut self, channel: impl Channel) -> Self {
        self.registered.insert(channel.kind(), Arc::new(channel));
        self
    }

    /// Whether there is a channel of this kind.
    // starter: keep
    #[must_use]
    pub fn has(&self, kind: ChannelKind) -> bool {
        self.registered.contains_key(&kind)
    }

    /// The call of one channel, without a limit and with its panics. `None`: there is no such channel.
    ///
    /// # Panics
    ///
    /// As the channel does, when this method is called or when its future is polled.
    // starter: keep
    pub fn call<'a>(
        &'a self,
        kind: ChannelKind,
        to: &'a UserId,
        messages: &'a [Rendered],
    ) -> Option<BoxFuture<'a, Result<(), ChannelError>>> {
        self.registered.get(&kind).map(|channel| channel.deliver(to, messages))
    }

    /// Delivers messages to a user by one channel, within `limit`.
    ///
    /// # Errors
    ///
    /// [`ChannelFailure`]: of the provider, when `limit` has passed without an answer, or when the provider panics. A
    /// channel that is not there fails with an error that says so.
    ///
    /// # Cancellation
    ///
    /// Dropping the future drops that of the provider, and so does the end of the limit.
    pub async fn deliver(
        &self,
        kind: ChannelKind,
        to: &UserId,
        messages: &[Rendered],
        limit: Duration,
    ) -> Result<(), ChannelFailure> {
        // The call is made inside of the block: a provider may panic before it returns a future. Uncaught, a panic
        // would end the task of the delivery, and its user's lane would be busy without end.
        let call = async {
            match self.call(kind, to, messages) {
                Some(call) => call.await,
                None => Err(ChannelError(format!("no channel {kind:?} is registered"))),
            }
        };
        // `AssertUnwindSafe`: what its panic leaves half-changed is the provider's own.
        let call = AssertUnwindSafe(call).catch_unwind();
        // Around the guard, so that the limit drops the provider's future: a call that goes on could deliver after
        // the next channel was tried.
        match timeout(limit, call).await {
            Err(_) => Err(ChannelFailure::TimedOut),
            Ok(Err(_)) => Err(ChannelFailure::Panicked),
            Ok(Ok(delivered)) => delivered.map_err(ChannelFailure::Error),
        }
    }
}

/// A [`Channel`] of any type, with boxed futures: those of the trait differ from type to type.
// starter: keep
trait DynChannel: Send + Sync {
    fn deliver<'a>(
        &'a self,
        to: &'a UserId,
        messages: &'a [Rendered],
    ) -> BoxFuture<'a, Result<(), ChannelError>>;
}

// starter: keep
impl<C: Channel> DynChannel for C {
    fn deliver<'a>(
        &'a self,
        to: &'a UserId,
        messages: &'a [Rendered],
    ) -> BoxFuture<'a, Result<(), ChannelError>> {
        Channel::deliver(self, to, messages).boxed()
    }
}
