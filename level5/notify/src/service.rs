//! The service: level 5's notifier, with what it has accepted in a store.
//!
//! ```text
//!  notify ──▶ store: accepted ──▶ answer to the caller
//!                  │
//!                  └▶ Notifier ──▶ channels ──▶ fate ──▶ store: ended
//!
//!  start ──▶ store: what has not ended ──▶ ended, if a channel has delivered it
//!                                     └──▶ resumed, due when it was due
//! ```

use std::collections::HashMap;
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use jiff::Timestamp;
use level5::notifications::{
    Backlog, Channels, Config, ConfigError, DeliveryReport, Fate, NotificationId, Notifier,
    Pending, Receipt, Refused, UserId,
};
use level5::wall_clock::WallClock;
use tokio::sync::{broadcast, mpsc};
use tokio::task::JoinHandle;

use crate::channel::Office;
use crate::desk::Desk;
use crate::entry::{Entry, Request, RequestError, Urgency};
use crate::plan::{Since, dues};
use crate::profile::{Known, Profile, ProfileError, Way};
use crate::store::{Applied, Change, End, Letter, Loaded, Parcel, Status, Store, StoreError};

/// A digest or a window that was due while no process ran is due so long after the start: all of it is resumed by then,
/// and goes together.
const GRACE: Duration = Duration::from_millis(100);
/// The most ends that are recorded together.
const ENDS: usize = 512;

/// Why a service does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The settings of the notifier.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A notification of the store is refused.
    #[error("a notification of the store cannot be resumed: {0}")]
    Refused(#[from] Refused),
}

/// Why a notification is not accepted. Nothing of it is kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotifyError {
    /// The request.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The notifier takes no more, now or at all.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The store cannot keep it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The task that accepts has panicked, or its runtime ends.
    #[error("the service has failed")]
    Failed,
}

/// Why a profile is not kept. The old one stays.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProfileRefused {
    /// The profile.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// The store cannot keep it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The task that keeps has panicked, or its runtime ends.
    #[error("the service has failed")]
    Failed,
}

/// The answer to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    /// It is in the store, and is sent when it is due.
    New,
    /// Its id was accepted before.
    Known,
}

/// What a start has found in its store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recovered {
    /// Notifications that had not ended, and are resumed.
    pub resumed: usize,
    /// Notifications that a channel had delivered, and whose end was not recorded. They are not sent again.
    pub delivered: usize,
    /// Parcels whose outcome is unknown. They are sent again under the same ids.
    pub unknown: usize,
}

/// Accepts notifications and sends them. It outlives its process: what it has accepted is in the store.
///
/// Dropping it stops everything, as level 5's notifier does. The next service on the same store goes on.
pub struct Service {
    notifier: Notifier,
    office: Office,
    wall: Arc<dyn WallClock>,
    max_pending: NonZeroUsize,
    // `None` after a shutdown. Held to send, never across an await.
    receipts: Mutex<Option<mpsc::UnboundedSender<Receipt>>>,
    settles: Mutex<Option<JoinHandle<()>>>,
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("notifier", &self.notifier).finish_non_exhaustive()
    }
}

/// Reads a store, and makes what channels need.
///
/// # Errors
///
/// [`StoreError`].
pub fn open(store: Arc<dyn Store>) -> Result<(Office, Loaded), StoreError> {
    let loaded = store.load()?;
    let desk = Arc::new(Desk::new(&loaded));
    Ok((Office { desk, store }, loaded))
}

impl Service {
    /// Starts a service that goes on with what its store holds. `channels` use the same office.
    ///
    /// # Errors
    ///
    /// [`StartError`].
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub async fn start(
        config: Config,
        wall: Arc<dyn WallClock>,
        (office, loaded): (Office, Loaded),
        channels: Channels,
    ) -> Result<(Arc<Self>, Recovered), StartError> {
        let mut recovered = Recovered { unknown: office.desk.unknown(), ..Recovered::default() };
        let settled = settled(&office.desk);
        recovered.delivered = settled.len();
        record(&office, &settled).await?;
        sweep(&office, &loaded.parcels).await?;
        let pending: Vec<Entry> = loaded
            .pending
            .into_iter()
            .filter(|it| office.desk.entry(&it.request.id).is_some())
            .collect();
        recovered.resumed = pending.len();
        // Room for all that an earlier process with other settings has accepted.
        let room = NonZeroUsize::new(pending.len()).unwrap_or(NonZeroUsize::MIN);
        let max_pending = config.max_pending.max(room);
        let (defaults, window) = (config.defaults.clone(), config.window);
        let config = Config { max_pending, ..config };
        let notifier = Notifier::start(config, Arc::clone(&wall), channels)?;
        let mut users = HashMap::new();
        for (user, known) in &loaded.profiles {
            // A profile was checked before it was kept. One that is wrong by now, as after an update of the zones, is
            // as none: its user has the list within the application.
            let Ok(preferences) = known.profile.preferences() else {
                tracing::error!(user, "the profile is not valid any more");
                continue;
            };
            if notifier.set_preferences(user.as_str().into(), preferences.clone()).is_ok() {
                users.insert(user.as_str(), Since { preferences, since: known.since });
            }
        }
        let now = wall.now();
        let soon = now.checked_add(GRACE).unwrap_or(Timestamp::MAX);
        let dues = dues(&pending, &users, &defaults, window, (now, soon));
        let (receipts, accepted) = mpsc::unbounded_channel();
        for (entry, due) in pending.iter().zip(dues) {
            let pending = Pending { notification: entry.notification(), due };
            let receipt = notifier.resume(pending).await?;
            // The receiver is below.
            let _ = receipts.send(receipt);
        }
        let settles = tokio::spawn(settle(accepted, office.clone()));
        let service = Self {
            notifier,
            office,
            wall,
            max_pending,
            receipts: Mutex::new(Some(receipts)),
            settles: Mutex::new(Some(settles)),
        };
        Ok((Arc::new(service), recovered))
    }

    /// Accepts a notification. It is in the store when this returns.
    ///
    /// # Errors
    ///
    /// [`NotifyError`].
    ///
    /// # Cancellation
    ///
    /// A call that was polled once goes on, also if the future is dropped.
    pub async fn notify(self: &Arc<Self>, request: Request) -> Result<Accepted, NotifyError> {
        request.check()?;
        let service = Arc::clone(self);
        // In a task of its own: dropped between the store and the notifier, a notification would be kept and not sent
        // before the next start.
        let accepts = tokio::spawn(async move { service.accept(request).await });
        accepts.await.unwrap_or(Err(NotifyError::Failed))
    }

    async fn accept(&self, request: Request) -> Result<Accepted, NotifyError> {
        // Before the disk is asked: a service that is full must not write each refusal twice.
        let capacity = self.max_pending.get();
        if self.backlog().notifications >= capacity {
            return Err(Refused::Full { capacity }.into());
        }
        let entry = Entry { request, accepted_at: self.wall.now() };
        let id = entry.request.id.clone();
        let notification = entry.notification();
        let applied = self.office.store.apply(vec![Change::Accept(entry.clone())]).await?;
        if applied == [Applied::Nothing] {
            return Ok(Accepted::Known);
        }
        // Before the notifier has it: a channel may look it up at once.
        self.office.desk.accept(entry);
        match self.notifier.notify(notification).await {
            Ok(receipt) => {
                let receipts = self.receipts.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(receipts) = &*receipts {
                    // The receiver is there until the last sender is gone.
                    let _ = receipts.send(receipt);
                }
                Ok(Accepted::New)
            }
            Err(refused) => {
                self.office.desk.end(&id);
                self.office.store.apply(vec![Change::Forget(id)]).await?;
                match refused {
                    // The notifier remembers more ids than the store does.
                    Refused::Duplicate => Ok(Accepted::Known),
                    refused => Err(refused.into()),
                }
            }
        }
    }

    /// Sets the profile of a user. It is in the store when this returns, and holds for what waits.
    ///
    /// # Errors
    ///
    /// [`ProfileRefused`].
    ///
    /// # Cancellation
    ///
    /// As [`notify`](Self::notify).
    pub async fn set_profile(
        self: &Arc<Self>,
        user: String,
        profile: Profile,
    ) -> Result<(), ProfileRefused> {
        let preferences = profile.preferences()?;
        let service = Arc::clone(self);
        let keeps = tokio::spawn(async move {
            let Office { desk, store } = &service.office;
            let _changes = desk.profiles.lock().await;
            let old = desk.known(&user);
            let is_same =
                |old: &Known| old.profile.preferences().is_ok_and(|old| old == preferences);
            // Only other preferences plan again what waits; a new address does not.
            let since = old.filter(|old| is_same(old)).map(|old| old.since);
            let is_new = since.is_none();
            let known = Known { profile, since: since.unwrap_or_else(|| service.wall.now()) };
            store.apply(vec![Change::Profile(user.clone(), known.clone())]).await?;
            desk.know(&user, known);
            if is_new {
                // They were checked above.
                let _ = service.notifier.set_preferences(UserId::from(user.as_str()), preferences);
            }
            Ok(())
        });
        keeps.await.unwrap_or(Err(ProfileRefused::Failed))
    }

    /// The profile of a user. `None`: the user has none, and gets notifications in the list within the application.
    #[must_use]
    pub fn profile(&self, user: &str) -> Option<Profile> {
        self.office.desk.known(user).map(|known| known.profile.clone())
    }

    /// Sends a dead letter again. `None` if there is none with this id.
    ///
    /// # Errors
    ///
    /// As [`notify`](Self::notify). The letter stays.
    pub async fn redrive(self: &Arc<Self>, id: &str) -> Result<Option<Accepted>, NotifyError> {
        match self.office.store.status(id)? {
            Some(Status::Dead(letter)) => Ok(Some(self.notify(letter.entry.request).await?)),
            _ => Ok(None),
        }
    }

    /// What is known of an id.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn status(&self, id: &str) -> Result<Option<Status>, StoreError> {
        self.office.store.status(id)
    }

    /// The dead letters, the oldest one first.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn letters(&self) -> Result<Vec<Letter>, StoreError> {
        self.office.store.letters()
    }

    /// Where messages are kept.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.office.store
    }

    /// The calls of channels that end from now on.
    #[must_use]
    pub fn deliveries(&self) -> broadcast::Receiver<DeliveryReport> {
        self.notifier.deliveries()
    }

    /// The number of notifications that wait, and of their users.
    #[must_use]
    pub fn backlog(&self) -> Backlog {
        self.notifier.backlog()
    }

    /// Stops the service: it accepts nothing more, and deliveries that are under way may end within `deadline`. What
    /// waits stays in the store. Returns how many those are.
    ///
    /// # Cancellation
    ///
    /// As the notifier's shutdown. Another call continues.
    pub async fn shutdown(&self, deadline: Duration) -> usize {
        let report = self.notifier.shutdown(deadline).await;
        drop(self.receipts.lock().unwrap_or_else(PoisonError::into_inner).take());
        let settles = self.settles.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(settles) = settles {
            // Every fate is known now, so it ends. A panic of it was reported.
            let _ = settles.await;
        }
        report.pending.len()
    }
}

/// The notifications that need no further attempt, though their end was not recorded. Urgent ones go by all channels:
/// those that have not delivered are still asked.
fn settled(desk: &Desk) -> Vec<(String, End)> {
    let delivered = desk.delivered().into_iter();
    let is_over =
        |id: &str| desk.entry(id).is_some_and(|entry| entry.request.priority != Urgency::Urgent);
    delivered.filter(|(id, _)| is_over(id)).map(|(id, via)| (id, End::Sent { via })).collect()
}

/// Records how notifications have ended, and forgets what was needed to send them.
async fn record(office: &Office, ends: &[(String, End)]) -> Result<(), StoreError> {
    let mut changes = Vec::with_capacity(ends.len());
    for (id, end) in ends {
        changes.push(Change::End(id.clone(), end.clone()));
        changes.extend(office.desk.end(id).into_iter().map(Change::DropParcel));
    }
    if !changes.is_empty() {
        office.store.apply(changes).await?;
    }
    Ok(())
}

/// Removes parcels that were recorded after the last of their notifications had ended, as when a channel is given up while
/// the disk is slow.
async fn sweep(office: &Office, parcels: &[Parcel]) -> Result<(), StoreError> {
    let left = parcels.iter().filter(|parcel| !office.desk.has(&parcel.key));
    let changes: Vec<_> = left.map(|parcel| Change::DropParcel(parcel.key.clone())).collect();
    if !changes.is_empty() {
        office.store.apply(changes).await?;
    }
    Ok(())
}

/// Records the fates of notifications, those that are known at the same time together. Ends with the last receipt.
async fn settle(mut receipts: mpsc::UnboundedReceiver<Receipt>, office: Office) {
    let mut fates = FuturesUnordered::new();
    let mut is_open = true;
    while is_open || !fates.is_empty() {
        let first = tokio::select! {
            receipt = receipts.recv(), if is_open => {
                match receipt {
                    Some(receipt) => fates.push(fate(receipt)),
                    None => is_open = false,
                }
                continue;
            }
            Some(first) = fates.next() => first,
        };
        let mut ends = vec![first];
        while ends.len() < ENDS
            && let Some(Some(next)) = fates.next().now_or_never()
        {
            ends.push(next);
        }
        let ends: Vec<_> = ends.into_iter().flatten().collect();
        if let Err(error) = record(&office, &ends).await {
            // The store is broken. The next process learns from the marks of the parcels what was delivered.
            tracing::error!(%error, "the ends of notifications were not recorded");
        }
    }
}

/// The end of a notification; `None` for one that stays in the store.
async fn fate(receipt: Receipt) -> Option<(String, End)> {
    let NotificationId(id) = receipt.id.clone();
    let end = match receipt.fate().await {
        Fate::Sent { via } => End::Sent { via: via.into_iter().map(Way::of).collect() },
        Fate::Expired => End::Expired,
        Fate::Dead(reason) => End::Dead { why: reason.to_string() },
        Fate::Pending { .. } => return None,
    };
    Some((id.to_string(), end))
}
