//! The services of the shop over HTTP.

use std::future::pending;
use std::sync::PoisonError;

use axum::extract::{Query, State as Extract};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::Source;
use super::catalogue;
use super::state::{Ending, Plan, Service};

/// What a service needs for a call.
#[derive(Debug, Clone)]
struct Services {
    source: Source,
    stop: CancellationToken,
}

#[derive(Debug, Deserialize)]
struct Text {
    text: String,
}

#[derive(Debug, Deserialize)]
struct At {
    #[serde(default)]
    page: u32,
}

/// The routes of all services. A call that waits is refused when `stop` is cancelled.
pub(super) fn routes(source: Source, stop: CancellationToken) -> Router {
    Router::new()
        .route("/user", get(user))
        .route("/activities", get(activities))
        .route("/notifications", get(notifications))
        .route("/orders", get(orders))
        .route("/search", get(search))
        .route("/sales", get(sales))
        .with_state(Services { source, stop })
}

async fn user(Extract(services): Extract<Services>) -> Response {
    services.call(Service::User, |_| catalogue::account()).await
}

async fn activities(Extract(services): Extract<Services>) -> Response {
    services.call(Service::Activities, catalogue::activities).await
}

async fn notifications(Extract(services): Extract<Services>) -> Response {
    services.call(Service::Notifications, catalogue::notifications).await
}

async fn orders(Extract(services): Extract<Services>) -> Response {
    #[derive(Serialize)]
    struct Snapshot {
        items: Vec<crate::shop::Order>,
        version: u64,
    }
    let snapshot = |_| {
        let (items, version) = services.source.book().now();
        Snapshot { items, version }
    };
    services.call(Service::Orders, snapshot).await
}

async fn search(
    Extract(services): Extract<Services>,
    Query(Text { text }): Query<Text>,
) -> Response {
    services.call(Service::Search, |_| catalogue::search(&text)).await
}

async fn sales(Extract(services): Extract<Services>, Query(At { page }): Query<At>) -> Response {
    services.call(Service::Sales, |_| catalogue::sales(page)).await
}

impl Services {
    /// One call, which is the service's n-th: waits as drawn, and ends as drawn. `answer` is made at the end.
    async fn call<T: Serialize>(
        &self,
        service: Service,
        answer: impl FnOnce(u64) -> T,
    ) -> Response {
        let (visit, plan) = Visit::begin(&self.source, service);
        let ends = async {
            sleep(plan.delay).await;
            match plan.ending {
                Ending::Answer => Json(answer(visit.number)).into_response(),
                // An internal text, as services have them. No panel shows it.
                Ending::Refuse => {
                    (StatusCode::SERVICE_UNAVAILABLE, "db-7: pool empty").into_response()
                }
                Ending::Never => pending().await,
            }
        };
        let ended = self.stop.run_until_cancelled(ends).await;
        visit.ends();
        ended.unwrap_or_else(|| StatusCode::SERVICE_UNAVAILABLE.into_response())
    }
}

/// A call that is on its way. A guard: a call whose caller leaves is dropped by the server, and counted.
struct Visit {
    source: Source,
    service: Service,
    number: u64,
    is_over: bool,
}

impl Visit {
    fn begin(source: &Source, service: Service) -> (Self, Plan) {
        let shop = &source.shop;
        let (mut number, mut mode) = (0, None);
        shop.state.send_modify(|state| {
            let state = state.of(service);
            state.calls += 1;
            (number, mode) = (state.calls, Some(state.mode));
        });
        let mut chances = shop.chances.lock().unwrap_or_else(PoisonError::into_inner);
        let mode = mode.unwrap_or(super::Mode::Works);
        let plan = Plan::draw(&mut chances[service as usize], mode, &shop.pace.delays);
        (Self { source: source.clone(), service, number, is_over: false }, plan)
    }

    fn ends(mut self) {
        self.is_over = true;
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        if !self.is_over {
            self.source.shop.state.send_modify(|state| state.of(self.service).given_up += 1);
        }
    }
}
