//! The interface over HTTP.
//!
//! | route | what it does |
//! |---|---|
//! | `PUT /users/{user}` | sets a [`Profile`]; 204 when it is in the store |
//! | `GET /users/{user}` | the profile, without the secret of its endpoint |
//! | `GET /users/{user}/events` | the list within the application as server-sent events; `Last-Event-ID` continues |
//! | `POST /notifications` | a [`Request`]; 202 when it is in the store, 200 if its id was accepted before |
//! | `GET /notifications/{id}` | what is known of it |
//! | `GET /dead-letters` | what could not be delivered |
//! | `POST /dead-letters/{id}` | sends it again; the body is `{}` |
//! | `GET /` | a page with the list of a user |
//!
//! Callers are the servers of the application. The program does not know who may read the list of a user, so it listens
//! on this machine only, unless `--host` names another address.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use futures::{StreamExt as _, stream};
use level5::notifications::Refused;
use serde::de::IgnoredAny;
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::assets::ASSETS;
use crate::channel::in_app::{Bells, Listener};
use crate::entry::{LONGEST_NAME, Request};
use crate::profile::Profile;
use crate::service::{Accepted, NotifyError, ProfileRefused, Service};
use crate::store::{End, InboxItem, Status, Store, StoreError};

/// The most bytes of a request.
const BODY: usize = 64 << 10;
/// The most messages that are read from the store at once.
const PAGE: usize = 100;
/// The most lists that are read at the same time.
const STREAMS: usize = 4096;

/// What the routes need.
#[derive(Debug, Clone)]
pub struct Context {
    /// A place for each list that is read.
    streams: Arc<Semaphore>,
    service: Arc<Service>,
    bells: Bells,
    stop: CancellationToken,
}

impl Context {
    /// Routes to a service whose lists ring these bells. `stop` ends the streams.
    #[must_use]
    pub fn new(service: Arc<Service>, bells: Bells, stop: CancellationToken) -> Self {
        Self { streams: Arc::new(Semaphore::new(STREAMS)), service, bells, stop }
    }
}

/// The routes of the interface.
pub fn routes(context: Context) -> Router {
    let routes = page_kit::files(ASSETS)
        .route("/users/{user}", put(set_profile).get(profile))
        .route("/users/{user}/events", get(events))
        .route("/notifications", post(notify))
        .route("/notifications/{id}", get(status))
        .route("/dead-letters", get(letters))
        .route("/dead-letters/{id}", post(redrive))
        .layer(DefaultBodyLimit::max(BODY));
    page_kit::protected(routes).with_state(context)
}

/// An answer that says why a request was refused.
fn refuse(status: StatusCode, why: &str) -> Response {
    (status, Json(json!({ "error": why }))).into_response()
}

fn broken(error: &StoreError) -> Response {
    refuse(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string())
}

async fn notify(State(context): State<Context>, Json(request): Json<Request>) -> Response {
    answer(context.service.notify(request).await)
}

/// The body is any JSON: a page of another server may not send that type without asking first, and nothing here answers
/// such a question.
async fn redrive(
    State(context): State<Context>,
    Path(id): Path<String>,
    Json(_): Json<IgnoredAny>,
) -> Response {
    match context.service.redrive(&id).await {
        Ok(Some(accepted)) => answer(Ok(accepted)),
        Ok(None) => refuse(StatusCode::NOT_FOUND, "there is no dead letter with this id"),
        Err(error) => answer(Err(error)),
    }
}

fn answer(outcome: Result<Accepted, NotifyError>) -> Response {
    match outcome {
        Ok(Accepted::New) => StatusCode::ACCEPTED.into_response(),
        Ok(Accepted::Known) => StatusCode::OK.into_response(),
        Err(error) => {
            let why = error.to_string();
            match error {
                NotifyError::Request(_) => refuse(StatusCode::UNPROCESSABLE_ENTITY, &why),
                NotifyError::Refused(Refused::Full { .. } | Refused::Closed) => {
                    let mut answer = refuse(StatusCode::SERVICE_UNAVAILABLE, &why);
                    answer.headers_mut().insert(RETRY_AFTER, 1.into());
                    answer
                }
                NotifyError::Refused(_) => refuse(StatusCode::UNPROCESSABLE_ENTITY, &why),
                NotifyError::Store(_) | NotifyError::Failed => {
                    refuse(StatusCode::INTERNAL_SERVER_ERROR, &why)
                }
            }
        }
    }
}

async fn status(State(context): State<Context>, Path(id): Path<String>) -> Response {
    let (state, more) = match context.service.status(&id) {
        Ok(Some(Status::Pending)) => ("pending", json!(null)),
        Ok(Some(Status::Ended(End::Sent { via }))) => ("sent", json!(via)),
        Ok(Some(Status::Ended(End::Expired))) => ("expired", json!(null)),
        Ok(Some(Status::Ended(End::Dead { why }))) => ("dead", json!(why)),
        Ok(Some(Status::Dead(letter))) => ("dead", json!(letter.why)),
        Ok(None) => return refuse(StatusCode::NOT_FOUND, "this id is not known, or not any more"),
        Err(error) => return broken(&error),
    };
    let body = match state {
        "sent" => json!({ "id": id, "state": state, "via": more }),
        "dead" => json!({ "id": id, "state": state, "why": more }),
        _ => json!({ "id": id, "state": state }),
    };
    Json(body).into_response()
}

async fn letters(State(context): State<Context>) -> Response {
    match context.service.letters() {
        Ok(letters) => Json(letters).into_response(),
        Err(error) => broken(&error),
    }
}

async fn set_profile(
    State(context): State<Context>,
    Path(user): Path<String>,
    Json(profile): Json<Profile>,
) -> Response {
    if user.chars().count() > LONGEST_NAME {
        return refuse(StatusCode::UNPROCESSABLE_ENTITY, "the name of the user is too long");
    }
    match context.service.set_profile(user, profile).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(ProfileRefused::Profile(why)) => {
            refuse(StatusCode::UNPROCESSABLE_ENTITY, &why.to_string())
        }
        Err(error) => refuse(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

async fn profile(State(context): State<Context>, Path(user): Path<String>) -> Response {
    match context.service.profile(&user) {
        Some(mut profile) => {
            if let Some(endpoint) = &mut profile.webhook {
                endpoint.secret = "hidden".to_owned();
            }
            Json(profile).into_response()
        }
        None => refuse(StatusCode::NOT_FOUND, "this user has no profile"),
    }
}

/// What a stream of a list has read so far.
struct Reader {
    store: Arc<dyn Store>,
    user: String,
    last: u64,
    listener: Listener,
    _place: OwnedSemaphorePermit,
}

/// Sends the messages of a user after `Last-Event-ID`, and each new one. The stream ends with the program.
async fn events(
    State(context): State<Context>,
    Path(user): Path<String>,
    headers: HeaderMap,
) -> Response {
    let Ok(place) = Arc::clone(&context.streams).try_acquire_owned() else {
        return refuse(StatusCode::SERVICE_UNAVAILABLE, "too many lists are read");
    };
    let last = headers.get("last-event-id").and_then(|last| last.to_str().ok()?.parse().ok());
    // Before the first read: a message that comes in between rings, and is not missed.
    let listener = context.bells.listen(&user);
    let store = Arc::clone(context.service.store());
    let reader = Reader { store, user, last: last.unwrap_or(0), listener, _place: place };
    let messages = stream::unfold(reader, |mut reader| async move {
        let items = reader.next().await?;
        Some((stream::iter(items), reader))
    });
    let events = messages.flatten().take_until(context.stop.cancelled_owned());
    Sse::new(events).keep_alive(KeepAlive::default()).into_response()
}

impl Reader {
    /// The next messages, at least one. `None` when the store cannot be read: the client tries again.
    async fn next(&mut self) -> Option<Vec<Result<Event, Infallible>>> {
        loop {
            let items = self.store.inbox(&self.user, self.last, PAGE).ok()?;
            if let Some(newest) = items.last() {
                self.last = newest.number;
                let event = |item: InboxItem| {
                    // Texts and numbers: there is nothing that JSON cannot hold.
                    let event = Event::default().json_data(&item).unwrap_or_default();
                    Ok(event.id(item.number.to_string()))
                };
                return Some(items.into_iter().map(event).collect());
            }
            self.listener.rings().await;
        }
    }
}
