//! The overview: level 4's `dashboard`, with buttons to load it again and to stop a load.

use std::time::Duration;

use futures::{Stream, StreamExt as _};
use level4::dashboard::{Dashboard, Data, Page, Part, Phase, Settings, Step};
use level4_kv::Memory;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::driven;
use crate::services::Services;

/// What the user asks of the overview.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Load it. While it loads, this changes nothing.
    Reload,
    /// Load it after a failure.
    Retry,
    /// Stop the load.
    Stop,
}

/// How complete the overview is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Look {
    /// Nothing was loaded, since the first load was stopped.
    Idle,
    /// The user is being loaded.
    LoadingUser,
    /// Activities and notifications are being loaded.
    LoadingData,
    /// Everything is there.
    Ready,
    /// A part is missing.
    Partial,
    /// Everything is there, and the notifications are an old copy.
    Degraded,
    /// There is no overview, or only the old one.
    Failed,
}

/// What the overview shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Overview {
    /// How complete it is.
    pub look: Look,
    /// Why it has failed, for the page.
    pub failure: Option<String>,
    /// Who is logged in.
    pub user: Option<String>,
    /// What the user did last. `None`: they are missing.
    pub activities: Option<Vec<String>>,
    /// What the user is to know. `None`: they are missing.
    pub notifications: Option<Vec<String>>,
    /// Whether the notifications are an old copy.
    pub is_old: bool,
}

impl Overview {
    /// What is shown of a page of the view model.
    #[must_use]
    pub fn of(page: &Page) -> Self {
        let lacks = |part| page.degraded.contains(&part);
        let data = page.data.as_deref();
        let texts = |of: fn(&Data) -> Vec<String>| data.map(of);
        let activities = texts(|data| data.activities.iter().map(|it| it.0.clone()).collect());
        let activities = activities.filter(|_| !lacks(Part::Activities));
        let notifications =
            texts(|data| data.notifications.iter().map(|it| it.0.clone()).collect());
        // The view model has no notifications, or a copy that is old: a copy without any says nothing.
        let notifications =
            notifications.filter(|it| !lacks(Part::Notifications) || !it.is_empty());
        let is_old = lacks(Part::Notifications) && notifications.is_some();
        let is_missing = activities.is_none() || notifications.is_none();
        let (look, failure) = match page.phase {
            Phase::Idle => (Look::Idle, None),
            Phase::Loading(Step::User) => (Look::LoadingUser, None),
            Phase::Loading(Step::Data) => (Look::LoadingData, None),
            Phase::Failed(failure) => (Look::Failed, Some(failure.to_string())),
            Phase::Ready if is_missing => (Look::Partial, None),
            Phase::Ready if is_old => (Look::Degraded, None),
            Phase::Ready => (Look::Ready, None),
        };
        let user = data.map(|data| data.user.name.clone());
        Self { look, failure, user, activities, notifications, is_old }
    }
}

/// The waits of the view model, short enough to watch: two retries of the activities, and copies of less than 4 s.
fn settings() -> Settings {
    let retry_after = [500, 1000].map(Duration::from_millis).into();
    Settings { retry_after, fresh_for: Duration::from_secs(4) }
}

/// What the overview shows, from its first load on.
///
/// Dropping the stream stops the load.
pub(crate) fn states(
    services: Services,
    commands: mpsc::Receiver<Command>,
) -> impl Stream<Item = Overview> + Send {
    let dashboard = Dashboard::new(services, Memory::new(64 << 10), settings());
    let pages = dashboard.pages().map(|page| Overview::of(&page));
    driven(pages, obeys(dashboard, commands))
}

/// Loads, and does what the commands say, until there are no more.
async fn obeys(dashboard: Dashboard<Services, Memory>, mut commands: mpsc::Receiver<Command>) {
    let mut command = Some(Command::Reload);
    while let Some(next) = command {
        let loads = async {
            match next {
                Command::Reload => dashboard.load().await,
                Command::Retry => dashboard.retry().await,
                Command::Stop => {}
            }
        };
        tokio::select! {
            () = loads => {}
            // Here the load is dropped, which cancels its calls.
            () = stopped(&mut commands) => {}
        }
        command = commands.recv().await;
    }
}

/// Waits for a command to stop. Others ask for the load that is on its way.
async fn stopped(commands: &mut mpsc::Receiver<Command>) {
    while let Some(command) = commands.recv().await {
        if command == Command::Stop {
            return;
        }
    }
    std::future::pending().await
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use level4::dashboard::{Activity, Failure, Notification, User};

    fn page(phase: Phase, degraded: Vec<Part>, notifications: &[&str]) -> Page {
        let user = User { id: 1, name: "Ada".to_owned() };
        let activities = match degraded.contains(&Part::Activities) {
            true => vec![],
            false => vec![Activity("Counted".to_owned())],
        };
        let notifications = notifications.iter().map(|it| Notification((*it).to_owned())).collect();
        let data = Arc::new(Data { user, activities, notifications });
        Page { phase, data: Some(data), degraded }
    }

    #[test]
    fn a_look_says_how_complete_it_is() {
        let look = |degraded, notifications| {
            Overview::of(&page(Phase::Ready, degraded, notifications)).look
        };
        assert_eq!(look(vec![], &["New"]), Look::Ready);
        assert_eq!(look(vec![], &[]), Look::Ready);
        assert_eq!(look(vec![Part::Notifications], &["New"]), Look::Degraded);
        assert_eq!(look(vec![Part::Notifications], &[]), Look::Partial);
        assert_eq!(look(vec![Part::Activities], &["New"]), Look::Partial);
        assert_eq!(look(vec![Part::Activities, Part::Notifications], &["New"]), Look::Partial);
    }

    #[test]
    fn old_data_stays_beside_a_failure() {
        let shown = Overview::of(&page(Phase::Failed(Failure::Service), vec![], &["New"]));
        assert_eq!((shown.look, shown.user.as_deref()), (Look::Failed, Some("Ada")));
        assert_eq!(shown.failure, Some(Failure::Service.to_string()));
        let page = Page { phase: Phase::Loading(Step::User), data: None, degraded: vec![] };
        let shown = Overview::of(&page);
        assert_eq!((shown.look, shown.user, shown.activities), (Look::LoadingUser, None, None));
    }
}
