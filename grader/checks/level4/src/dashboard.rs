//! `dashboard::Dashboard`.

mod copies;
mod fakes;
mod loads;
mod parts;

use futures::Stream;
use grader_kit::marbles::{Marbles, Mark};
use grader_kit::{Cx, Outcome};
use level4::dashboard::{Data, Page, Part, Phase, Settings, Step};

pub use copies::{
    a_copy_answers_for_five_minutes, a_stale_copy_is_better_than_none, corrupt_copies_are_misses,
    needs_no_store, users_are_apart,
};
pub use loads::{
    a_dropped_load_stops, a_panic_passes, a_reload_keeps_the_data, begins_with_the_first_poll,
    callers_share_a_load, retry_loads_again, waits_without_looking,
};
pub use parts::{
    degrades_without_activities, fails_without_a_user, loads_the_rest_at_once,
    loads_the_user_first, retries_activities, shows_no_internal_text,
};

use fakes::{Api, Copies};

const LOAD: &str = "Dashboard::load";
const RETRY: &str = "Dashboard::retry";

/// Statuses of answers that are no successes, of all kinds; `None` is no answer.
const STATUSES: [Option<u16>; 8] =
    [Some(503), Some(404), None, Some(401), Some(400), Some(403), Some(429), Some(500)];

type Dashboard = level4::dashboard::Dashboard<Api, Copies>;

async fn dashboard(cx: &Cx, api: &Api, copies: &Copies) -> Result<Dashboard, grader_kit::Fail> {
    dashboard_with(cx, api, copies, Settings::default()).await
}

async fn dashboard_with(
    cx: &Cx,
    api: &Api,
    copies: &Copies,
    settings: Settings,
) -> Result<Dashboard, grader_kit::Fail> {
    let (api, copies) = (api.clone(), copies.clone());
    let made = move || Dashboard::new(api, copies, settings);
    cx.call_fn("Dashboard::new", made).await
}

/// A page as a message shows it: `ready: anna, 2 activities [a b], notifications [n], without activities`.
fn shown(page: &Page) -> String {
    let phase = match page.phase {
        Phase::Idle => "idle".to_owned(),
        Phase::Loading(Step::User) => "loads the user".to_owned(),
        Phase::Loading(Step::Data) => "loads the data".to_owned(),
        Phase::Ready => "ready".to_owned(),
        Phase::Failed(failure) => format!("failed ({failure:?})"),
    };
    let data = page.data.as_deref().map_or_else(|| "no data".to_owned(), shown_data);
    let without = page.degraded.iter().map(|part| match part {
        Part::Activities => ", activities degraded",
        Part::Notifications => ", notifications degraded",
    });
    format!("{phase}: {data}{}", without.collect::<String>())
}

fn shown_data(data: &Data) -> String {
    let activities: Vec<_> = data.activities.iter().map(|activity| activity.0.as_str()).collect();
    let notifications: Vec<_> =
        data.notifications.iter().map(|notification| notification.0.as_str()).collect();
    format!("{} [{}] [{}]", data.user.name, activities.join(" "), notifications.join(" "))
}

/// What comes out of a stream of pages up to `limit` ms.
async fn observed(limit: u64, pages: impl Stream<Item = Page>) -> Marbles {
    Marbles::record(limit, pages, |page| Mark::Item(shown(&page))).await
}

fn pages<'a>(pages: impl IntoIterator<Item = (u64, &'a str)>) -> Marbles {
    Marbles::at(pages.into_iter().map(|(at, text)| (at, Mark::item(text))))
}

/// What a dashboard shows now is this.
fn shows(dashboard: &Dashboard, expected: &str, headline: &str, help: &str) -> Outcome {
    let observed = shown(&dashboard.page());
    grader_kit::ensure!(observed == expected, "{headline}"; expected = expected, observed = observed, help = help);
    Ok(())
}
