//! The server of the page.
//!
//! | route | what it does |
//! |---|---|
//! | `GET /` and the files | the page |
//! | `GET /events` | a [`Snapshot`] and its charts as an event of the server, for each change |
//! | `POST /redrive` | sends all dead letters again, as far as there is room: `{"redriven": N}` |

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::State;
use axum::http::header::HeaderName;
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures::{StreamExt as _, stream};
use level5::event_processor::EventId;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::assets::ASSETS;
use crate::ingest::Moving;

/// What the routes need.
#[derive(Debug, Clone)]
pub(super) struct Context {
    pub(super) processor: Arc<Moving>,
    // The latest value counts: a browser that is slow misses those between, and keeps no memory busy.
    pub(super) shown: watch::Receiver<Value>,
    pub(super) stop: CancellationToken,
}

pub(super) fn routes(context: Context) -> Router {
    let routes =
        page_kit::files(ASSETS).route("/events", get(events)).route("/redrive", post(redrive));
    page_kit::protected(routes).with_state(context)
}

/// Sends what is shown now, and each change. The stream ends with the run.
async fn events(State(context): State<Context>) -> Response {
    let Context { mut shown, stop, .. } = context;
    shown.mark_changed();
    let changes = stream::unfold(shown, |mut shown| async move {
        shown.changed().await.ok()?;
        let text = shown.borrow_and_update().to_string();
        Some((Ok::<_, Infallible>(Event::default().data(text)), shown))
    });
    let changes = changes.take_until(stop.cancelled_owned());
    Sse::new(changes).keep_alive(KeepAlive::default()).into_response()
}

/// A browser sends this header only for pages of this server: another page may not set it without
/// asking first, and nothing here answers such a question. So no other page can press the button.
const OF_THE_PAGE: HeaderName = HeaderName::from_static("x-monitor");

async fn redrive(State(context): State<Context>, headers: HeaderMap) -> Response {
    if !headers.contains_key(OF_THE_PAGE) {
        return (StatusCode::FORBIDDEN, "the header x-monitor is missing").into_response();
    }
    let letters = context.processor.dead_letters();
    let ids: Vec<EventId> = letters.into_iter().map(|letter| letter.event.id.clone()).collect();
    // In a task of its own: a browser that goes away must not end it half way.
    let processor = Arc::clone(&context.processor);
    let redriven = tokio::spawn(async move { processor.redrive(&ids).await }).await;
    match redriven {
        Ok(Ok(count)) => Json(json!({ "redriven": count })).into_response(),
        Ok(Err(why)) => (StatusCode::CONFLICT, why.to_string()).into_response(),
        Err(why) => (StatusCode::INTERNAL_SERVER_ERROR, why.to_string()).into_response(),
    }
}
