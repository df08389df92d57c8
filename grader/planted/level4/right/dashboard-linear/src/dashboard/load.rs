//! One load, from the user to the page.

use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use super::{
    Activity, DashboardApi, Data, Failure, KeyValue, Notification, Page, Part, Phase,
    Settings, Step, User,
};
use crate::state_store::Store;

/// What a dashboard is made of.
pub(super) struct Parts<A, K> {
    pub(super) api: A,
    pub(super) copies: K,
    pub(super) settings: Settings,
    pub(super) store: Store<Page>,
    pub(super) loads: Mutex<Loads>,
}

/// How many loads have begun, and the phase while none is on its way.
pub(super) struct Loads(u64, Phase);

impl Loads {
    pub(super) const fn new() -> Self {
        Self(0, Phase::Idle)
    }
}

/// Puts the phase from before a load back, unless the load has come to its end.
struct PutBack<'a> {
    store: &'a Store<Page>,
    loads: &'a Mutex<Loads>,
    /// The number of the load, until it has come to its end.
    number: Option<u64>,
}

impl Drop for PutBack<'_> {
    fn drop(&mut self) {
        let Some(number) = self.number.take() else { return };
        self.store.update(|page| {
            let loads = self.loads.lock().unwrap_or_else(PoisonError::into_inner);
            if loads.0 == number {
                page.phase = loads.1;
            }
        });
    }
}

/// What a copy looks like in the store.
#[derive(Serialize, Deserialize)]
struct Copy {
    owner: u64,
    list: Vec<Notification>,
}

/// A load that is on its way.
pub(super) struct Loading<A, K>(Arc<Parts<A, K>>);

impl<A: DashboardApi, K: KeyValue> Loading<A, K> {
    pub(super) const fn begin(parts: Arc<Parts<A, K>>) -> Self {
        Self(parts)
    }

    pub(super) async fn run(self) {
        let Parts { api, store, loads, .. } = &*self.0;
        let mut number = None;
        store.update(|page| {
            let mut loads = loads.lock().unwrap_or_else(PoisonError::into_inner);
            let before = std::mem::replace(&mut page.phase, Phase::Loading(Step::User));
            let before = if matches!(before, Phase::Loading(_)) { loads.1 } else { before };
            *loads = Loads(loads.0 + 1, before);
            number = Some(loads.0);
        });
        let mut put_back = PutBack { store, loads, number };

        let user = match api.user().await {
            Ok(user) => user,
            Err(error) => {
                put_back.number = None;
                store.update(|page| page.phase = Phase::Failed(Failure::of(&error)));
                return;
            }
        };
        store.update(|page| {
            page.phase = Phase::Loading(Step::Data);
            if page.data.as_ref().is_some_and(|data| data.user.id != user.id) {
                page.data = None;
                page.degraded.clear();
            }
        });
        let (activities, (notifications, is_old)) =
            tokio::join!(self.activities(&user), self.notifications(&user));

        let mut degraded = Vec::new();
        degraded.extend(activities.is_none().then_some(Part::Activities));
        degraded.extend(is_old.then_some(Part::Notifications));
        let data = Data { user, activities: activities.unwrap_or_default(), notifications };
        let page = Page { phase: Phase::Ready, data: Some(Arc::new(data)), degraded };
        put_back.number = None;
        store.update(|shown| *shown = page);
    }

    async fn activities(&self, user: &User) -> Option<Vec<Activity>> {
        let mut result = self.0.api.activities(user).await;
        for wait in &self.0.settings.retry_after {
            if result.is_ok() {
                break;
            }
            sleep(*wait).await;
            result = self.0.api.activities(user).await;
        }
        result.ok()
    }

    /// Notifications, and whether they are an old copy or missing.
    async fn notifications(&self, user: &User) -> (Vec<Notification>, bool) {
        let Parts { api, copies, settings, .. } = &*self.0;
        let key = format!("dashboard.user-{}.notifications.v2", user.id);
        let mut copy = None;
        if let Ok(Some(stored)) = copies.get(&key)
            && let Ok(Copy { owner, list }) = serde_json::from_str(&stored.text)
            && owner == user.id
        {
            if stored.age < settings.fresh_for {
                return (list, false);
            }
            copy = Some(list);
        }
        let Ok(list) = api.notifications(user).await else {
            return (copy.unwrap_or_default(), true);
        };
        let copy = Copy { owner: user.id, list };
        if let Ok(text) = serde_json::to_string(&copy) {
            // Without room the next load needs a call.
            let _ = copies.put(&key, text);
        }
        (copy.list, false)
    }
}
