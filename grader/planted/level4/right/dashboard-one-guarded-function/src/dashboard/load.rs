//! One load.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use tokio::time::sleep;

use super::{
    Activity, DashboardApi, Data, Failure, Inner, KeyValue, Notification, Page, Part, Phase, Step,
    User,
};
use crate::state_store::Store;

/// Restores the page from before, unless a page was settled.
pub(super) struct Settled {
    store: Store<Page>,
    /// How many loads have begun, and the phase from before them.
    loads: Arc<Mutex<(u64, Phase)>>,
    number: Option<u64>,
}

impl Settled {
    pub(super) fn new(store: Store<Page>, loads: Arc<Mutex<(u64, Phase)>>) -> Self {
        let mut number = None;
        store.update(|page| {
            let mut loads = loads.lock().unwrap_or_else(PoisonError::into_inner);
            loads.0 += 1;
            number = Some(loads.0);
            match page.phase {
                Phase::Loading(_) => {}
                phase => loads.1 = phase,
            }
            page.phase = Phase::Loading(Step::User);
        });
        Self { store, loads, number }
    }

    pub(super) fn before(&self) -> Page {
        self.store.view().state.clone()
    }

    pub(super) fn settle(&mut self, page: Page) {
        self.number = None;
        self.store.update(|now| *now = page);
    }
}

impl Drop for Settled {
    fn drop(&mut self) {
        if let Some(number) = self.number.take() {
            self.store.update(|page| {
                let loads = self.loads.lock().unwrap_or_else(PoisonError::into_inner);
                if loads.0 == number {
                    page.phase = loads.1;
                }
            });
        }
    }
}

pub(super) async fn load<A: DashboardApi, K: KeyValue>(inner: &Inner<A, K>, mut page: Page) -> Page {
    page.phase = Phase::Loading(Step::User);
    inner.store.update(|now| *now = page.clone());
    let user = match inner.api.user().await {
        Ok(user) => user,
        Err(error) => return Page { phase: Phase::Failed(Failure::of(&error)), ..page },
    };
    page.phase = Phase::Loading(Step::Data);
    let same = page.data.as_ref().is_some_and(|data| data.user.id == user.id);
    if !same {
        page.data = None;
        page.degraded.clear();
    }
    inner.store.update(|now| *now = page);
    let mut first = pin!(activities(inner, &user));
    let mut second = pin!(notifications(inner, &user));
    let (mut left, mut right) = (None, None);
    poll_fn(|cx| {
        if left.is_none()
            && let Poll::Ready(value) = first.as_mut().poll(cx)
        {
            left = Some(value);
        }
        if right.is_none()
            && let Poll::Ready(value) = second.as_mut().poll(cx)
        {
            right = Some(value);
        }
        if left.is_some() && right.is_some() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    let (activities, no_activities) = left.unwrap_or_default();
    let (notifications, old) = right.unwrap_or_default();
    let degraded = [(Part::Activities, no_activities), (Part::Notifications, old)]
        .into_iter()
        .filter_map(|(part, missing)| missing.then_some(part))
        .collect();
    let data = Data { user: user.clone(), activities, notifications };
    Page { phase: Phase::Ready, data: Some(Arc::new(data)), degraded }
}

/// Activities, and whether they are missing.
async fn activities<A: DashboardApi, K>(inner: &Inner<A, K>, user: &User) -> (Vec<Activity>, bool) {
    let mut result = inner.api.activities(user).await;
    for wait in &inner.settings.retry_after {
        if result.is_ok() {
            break;
        }
        sleep(*wait).await;
        result = inner.api.activities(user).await;
    }
    let missing = result.is_err();
    (result.unwrap_or_default(), missing)
}

/// Notifications, and whether they are old or missing.
async fn notifications<A: DashboardApi, K: KeyValue>(
    inner: &Inner<A, K>,
    user: &User,
) -> (Vec<Notification>, bool) {
    let key = format!("user {} notifications", user.id);
    let mut copy: Option<Vec<Notification>> = None;
    if let Ok(Some(stored)) = inner.copies.get(&key) {
        copy = serde_json::from_str(&stored.text).ok();
        if stored.age < inner.settings.fresh_for
            && let Some(copy) = copy.take()
        {
            return (copy, false);
        }
    }
    let Ok(fetched) = inner.api.notifications(user).await else {
        return (copy.unwrap_or_default(), true);
    };
    let stored = serde_json::to_string(&fetched).map(|text| inner.copies.put(&key, text));
    drop(stored);
    (fetched, false)
}
