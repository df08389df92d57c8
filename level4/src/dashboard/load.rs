//! One load, from the user to the page.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::future::join;
use tokio::time::sleep;

use super::{
    Activity, ApiError, DashboardApi, Data, Failure, KeyValue, Notification, Page, Part, Phase,
    Settings, Step, User,
};
use crate::state_store::Store;

/// The parts that a dashboard's handles and its load share.
pub(super) struct Parts<A, K> {
    pub(super) api: A,
    /// Copies of the notifications, one for each user.
    pub(super) copies: K,
    pub(super) settings: Settings,
    /// What the page shows. It outlives the loads, so the data stays visible between them.
    pub(super) store: Store<Page>,
    /// Locked inside of updates of the store only, which run one after the other: the phase and this change together.
    pub(super) loads: Mutex<Loads>,
}

/// Which load is the newest, and what it restores if it does not end.
///
/// Two loads can overlap: the next one begins as soon as the last caller of a load is gone, on another thread or from a
/// destructor of the service, and the destructor of [`Loading`] may run after that.
#[derive(Debug)]
pub(super) struct Loads {
    /// The number of the newest load. An older one changes nothing any more.
    newest: u64,
    /// The last phase in which no load ran.
    before: Phase,
}

impl Loads {
    pub(super) const fn new() -> Self {
        Self { newest: 0, before: Phase::Idle }
    }
}

/// A load that is under way. A guard: a load that is dropped or panics restores the phase from before it. No line
/// after an `.await` runs then, and the page would show `Loading` with no load behind it.
pub(super) struct Loading<A: DashboardApi, K: KeyValue> {
    /// Owned, since the load may outlive every handle: each of its callers can drive it on.
    parts: Arc<Parts<A, K>>,
    number: u64,
    /// Whether the load has set a phase of its own, which the destructor must not replace.
    is_over: bool,
}

impl<A: DashboardApi, K: KeyValue> Loading<A, K> {
    /// Begins a load.
    pub(super) fn begin(parts: Arc<Parts<A, K>>) -> Self {
        let mut number = 0;
        parts.store.update(|page| {
            let mut loads = parts.loads();
            loads.newest += 1;
            number = loads.newest;
            // `Loading` is the phase of a load that is being dropped at this moment. This one would restore it, and
            // the page would show it without end.
            if !matches!(page.phase, Phase::Loading(_)) {
                loads.before = page.phase;
            }
            // Only the phase: the data of the last load stays visible while this one runs.
            page.phase = Phase::Loading(Step::User);
        });
        Self { parts, number, is_over: false }
    }

    /// Loads, and shows the outcome.
    pub(super) async fn run(mut self) {
        // A handle of its own: the load borrows it while `self` changes below.
        let parts = Arc::clone(&self.parts);
        let loaded = parts.load().await;
        // No await from here on: the phase is set before anything can drop this future.
        self.is_over = true;
        // One update: no reader sees the new phase with the old data, or new data as degraded by the old parts.
        parts.store.update(|page| match loaded {
            Ok((data, degraded)) => {
                *page = Page { phase: Phase::Ready, data: Some(Arc::new(data)), degraded };
            }
            // The data stays: a page that had content shows it beside the failure.
            Err(error) => page.phase = Phase::Failed(Failure::of(&error)),
        });
    }
}

impl<A: DashboardApi, K: KeyValue> Drop for Loading<A, K> {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        self.parts.store.update(|page| {
            let loads = self.parts.loads();
            // If another load has begun meanwhile, the phase is that load's.
            if loads.newest == self.number {
                page.phase = loads.before;
            }
        });
    }
}

impl<A, K> Parts<A, K> {
    /// Nothing that can panic runs under the lock.
    fn loads(&self) -> MutexGuard<'_, Loads> {
        self.loads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<A: DashboardApi, K: KeyValue> Parts<A, K> {
    /// Loads the user, and then the rest at the same time. Only a failure to load the user is an error: everything
    /// else depends on it, and a page can do without the rest.
    async fn load(&self) -> Result<(Data, Vec<Part>), ApiError> {
        let user = self.api.user().await?;
        self.store.update(|page| {
            page.phase = Phase::Loading(Step::Data);
            // The data of another user is not shown to this one, not even while it loads. In the same update as the
            // phase: no reader sees the new step above the old user's data.
            if page.data.as_ref().is_some_and(|data| data.user.id != user.id) {
                (page.data, page.degraded) = (None, Vec::new());
            }
        });
        // `join` and not two tasks: when the load is dropped, both calls are. `join` and not `try_join`: the failure of
        // one must not stop the other. They run at the same time, so the page waits for the longer one only.
        let (activities, notifications) =
            join(self.activities(&user), self.notifications(&user)).await;
        // Collected after both have ended: the order of the parts does not depend on which failed first.
        let mut degraded = Vec::new();
        let activities = activities.unwrap_or_else(|| {
            degraded.push(Part::Activities);
            Vec::new()
        });
        let (notifications, is_fresh) = notifications;
        if !is_fresh {
            degraded.push(Part::Notifications);
        }
        Ok((Data { user, activities, notifications }, degraded))
    }

    /// Loads the activities. Returns `None` when the last attempt has failed.
    async fn activities(&self, user: &User) -> Option<Vec<Activity>> {
        let mut waits = self.settings.retry_after.iter();
        loop {
            if let Ok(activities) = self.api.activities(user).await {
                return Some(activities);
            }
            // Returns after the last attempt and before a wait: no caller waits for an attempt that does not follow.
            sleep(*waits.next()?).await;
        }
    }

    /// Loads the notifications, and returns whether they are fresh. It makes one call: where a copy can stand in, the
    /// page need not wait for a retry.
    async fn notifications(&self, user: &User) -> (Vec<Notification>, bool) {
        // With the id of the user: without it, the next user of a shared browser would read this one's notifications.
        let key = format!("notifications/{}", user.id);
        // A store that cannot be read and a text that another version has written count as misses: the service has
        // the data, and a broken copy must not cost the page its part.
        let stored = self.copies.get(&key).ok().flatten();
        let copy = stored.and_then(|stored| {
            let notifications: Vec<_> = serde_json::from_str(&stored.text).ok()?;
            Some((notifications, stored.age))
        });
        // Borrowed, because an old copy is needed once more below: if the call fails.
        if let Some((notifications, age)) = &copy
            && *age < self.settings.fresh_for
        {
            return (notifications.clone(), true);
        }
        match self.api.notifications(user).await {
            Ok(notifications) => {
                // A store without room costs the next load a call, and this one nothing.
                if let Ok(text) = serde_json::to_string(&notifications) {
                    let _ = self.copies.put(&key, text);
                }
                (notifications, true)
            }
            // A copy of any age, marked as degraded. The page says that it is old, which is more than an empty part
            // says.
            Err(_) => (copy.map(|(notifications, _)| notifications).unwrap_or_default(), false),
        }
    }
}
