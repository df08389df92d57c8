//! One load, from the user to the page.

use std::sync::Arc;

use futures::future::join;
use tokio::time::sleep;

use super::{
    Activity, ApiError, DashboardApi, Data, Failure, KeyValue, Notification, Page, Part, Phase,
    Settings, Step, User,
};
use crate::state_store::Store;

/// What a dashboard is made of.
pub(super) struct Parts<A, K> {
    pub(super) api: A,
    pub(super) copies: K,
    pub(super) settings: Settings,
    pub(super) store: Store<Page>,
}

/// A load that is on its way. A guard: a load that is dropped or panics leaves the phase from before it.
pub(super) struct Loading<A: DashboardApi, K: KeyValue> {
    parts: Arc<Parts<A, K>>,
    before: Phase,
    is_over: bool,
}

impl<A: DashboardApi, K: KeyValue> Loading<A, K> {
    /// Single flight: no other load runs, so the phase is one in which none does.
    pub(super) fn begin(parts: Arc<Parts<A, K>>) -> Self {
        let before = parts.store.view().state.phase;
        parts.store.update(|page| page.phase = Phase::Loading(Step::User));
        Self { parts, before, is_over: false }
    }

    pub(super) async fn run(mut self) {
        let parts = Arc::clone(&self.parts);
        let loaded = parts.load().await;
        self.is_over = true;
        // One update: no reader sees the new phase with the old data.
        parts.store.update(|page| match loaded {
            Ok((data, degraded)) => {
                *page = Page { phase: Phase::Ready, data: Some(Arc::new(data)), degraded };
            }
            Err(error) => page.phase = Phase::Failed(Failure::of(&error)),
        });
    }
}

impl<A: DashboardApi, K: KeyValue> Drop for Loading<A, K> {
    fn drop(&mut self) {
        if !self.is_over {
            self.parts.store.update(|page| page.phase = self.before);
        }
    }
}

impl<A: DashboardApi, K: KeyValue> Parts<A, K> {
    async fn load(&self) -> Result<(Data, Vec<Part>), ApiError> {
        let user = self.api.user().await?;
        self.store.update(|page| {
            page.phase = Phase::Loading(Step::Data);
            // What another user left is not shown to this one, not even while it loads.
            if page.data.as_ref().is_some_and(|data| data.user.id != user.id) {
                (page.data, page.degraded) = (None, Vec::new());
            }
        });
        // In one task: when the load is dropped, both calls are.
        let (activities, notifications) =
            join(self.activities(&user), self.notifications(&user)).await;
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

    /// Activities, if one of the attempts brings them.
    async fn activities(&self, user: &User) -> Option<Vec<Activity>> {
        let mut waits = self.settings.retry_after.iter();
        loop {
            if let Ok(activities) = self.api.activities(user).await {
                return Some(activities);
            }
            sleep(*waits.next()?).await;
        }
    }

    /// Notifications, and whether they are fresh.
    async fn notifications(&self, user: &User) -> (Vec<Notification>, bool) {
        // The key names the user: a copy is for no other one.
        let key = format!("notifications/{}", user.id);
        // A store that cannot be read and a text that is none of ours are misses: the service has the data.
        let stored = self.copies.get(&key).ok().flatten();
        let copy = stored.and_then(|stored| {
            let notifications: Vec<_> = serde_json::from_str(&stored.text).ok()?;
            Some((notifications, stored.age))
        });
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
            Err(_) => (copy.map(|(notifications, _)| notifications).unwrap_or_default(), false),
        }
    }
}
