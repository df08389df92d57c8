//! The server of the page.
//!
//! | route | what it does |
//! |---|---|
//! | `GET /` and the files | the page |
//! | `GET /events` | opens a page: `session` with its number, then a [`PageState`] for each change |
//! | `POST /commands/{number}` | a [`Command`] as JSON; 204 when it was accepted |

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures::{StreamExt as _, future, stream};
use page_kit::{ListenError, Sessions};
use tokio::net::TcpListener;
use tokio::sync::mpsc::Sender;
use tokio_util::sync::CancellationToken;

use crate::assets::ASSETS;
use crate::page::{self, Command, LONGEST, PageState};

/// The time that connections have to end.
const FAREWELL: Duration = Duration::from_secs(3);
/// The most bytes of a command.
const COMMAND: usize = 4 << 10;

/// Why a server does not start, or has ended.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The address of the page.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The listener broke, or the system refused something else.
    #[error("the system refused: {0}")]
    System(#[from] io::Error),
}

/// A server that listens and does not serve yet.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
}

#[derive(Debug, Clone)]
struct Context {
    sessions: Sessions<Sender<Command>>,
    stop: CancellationToken,
}

impl Server {
    /// Listens, and starts nothing.
    ///
    /// # Errors
    ///
    /// [`ServerError`].
    pub async fn bind(address: SocketAddr) -> Result<Self, ServerError> {
        let (listener, address) = page_kit::listen(address).await?;
        Ok(Self { listener, address })
    }

    /// Where the page is.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` is cancelled. Then pages are closed and requests that are under way are answered; after three
    /// seconds the rest is left to the end of the runtime.
    ///
    /// # Errors
    ///
    /// [`ServerError::System`] when the listener breaks.
    ///
    /// # Cancellation
    ///
    /// Dropping the future closes the listener. To end connections too, cancel `stop`.
    pub async fn serve(self, stop: CancellationToken) -> Result<(), ServerError> {
        let context = Context { sessions: Sessions::default(), stop: stop.clone() };
        let serves = axum::serve(self.listener, routes(context));
        let served = async { serves.with_graceful_shutdown(stop.clone().cancelled_owned()).await };
        tokio::select! {
            ended = served => ended.map_err(ServerError::System),
            () = async {
                stop.cancelled().await;
                tokio::time::sleep(FAREWELL).await;
            } => Ok(()),
        }
    }
}

fn routes(context: Context) -> Router {
    let routes = page_kit::files(ASSETS)
        .route("/events", get(events))
        .route("/commands/{number}", post(command))
        .layer(DefaultBodyLimit::max(COMMAND));
    page_kit::protected(routes).with_state(context)
}

/// Opens a page. Its stream ends with the server.
async fn events(State(context): State<Context>) -> Response {
    let Ok((commands, states)) = page::open() else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let Some(session) = context.sessions.begin(commands) else {
        let text = "Too many pages are open. Close one of them.";
        return (StatusCode::SERVICE_UNAVAILABLE, text).into_response();
    };
    let opened = Event::default().event("session").data(session.number.to_string());
    let states = states.map(move |state| {
        // The session is part of the stream: it ends where the stream is dropped.
        let _open = &session;
        event(&state)
    });
    let events = stream::once(future::ready(opened)).chain(states);
    let events = events.take_until(context.stop.cancelled_owned()).map(Ok::<_, Infallible>);
    Sse::new(events).keep_alive(KeepAlive::default()).into_response()
}

fn event(state: &PageState) -> Event {
    // Texts and numbers: there is nothing that JSON cannot hold.
    Event::default().json_data(state).unwrap_or_default()
}

async fn command(
    State(context): State<Context>,
    Path(number): Path<u64>,
    Json(command): Json<Command>,
) -> Response {
    if let Command::Set { value, .. } = &command
        && value.chars().count() > LONGEST
    {
        let text = format!("a value has at most {LONGEST} characters");
        return (StatusCode::UNPROCESSABLE_ENTITY, text).into_response();
    }
    let Some(commands) = context.sessions.of(number) else {
        return (StatusCode::NOT_FOUND, "there is no such page").into_response();
    };
    match commands.send(command).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(_) => (StatusCode::NOT_FOUND, "the page was closed").into_response(),
    }
}
