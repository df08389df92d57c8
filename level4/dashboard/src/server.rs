//! The server of the page: its files, its events and its commands.
//!
//! | route | what it does |
//! |---|---|
//! | `GET /` and the files | the page |
//! | `GET /events` | opens a page: `session` with its number, then a [`PageState`] for each change |
//! | `POST /commands/{number}` | a [`Command`] as JSON; 204 when it was accepted |
//!
//! An open page lives as long as its stream of events. When the browser closes it, all that the page has started is
//! dropped.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures::{StreamExt as _, future, stream};
use level4_http::Reqwest;
use level4_ws::WebSocket;
use page_kit::{ListenError, Sessions};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::assets::ASSETS;
use crate::page::{self, Command, Inputs, PageState, Refused, Shared};
use crate::panels::live::Feed;
use crate::services::{Services, Shelf};
use crate::source::{Listeners, Pace, Source};

/// How a server is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where it listens.
    pub host: IpAddr,
    /// On which port; 0 lets the system choose.
    pub port: u16,
    /// Decides delays, faults and orders of the simulated shop.
    pub seed: u64,
    /// How fast the shop is.
    pub pace: Pace,
    /// The longest time that the page waits for an answer of the shop.
    pub patience: Duration,
}

/// Why a server does not start, or has ended.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The address of the page.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The simulated shop has no sockets, or a listener broke.
    #[error("the system refused: {0}")]
    System(#[from] io::Error),
    /// There is no client for the simulated shop.
    #[error("the client of the simulated shop cannot be set up: {0}")]
    Client(String),
}

/// A server that listens and does not serve yet.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    source: Source,
    listeners: Listeners,
    shared: Shared,
    sessions: Sessions<Inputs>,
}

/// The time that connections have to end.
const FAREWELL: Duration = Duration::from_secs(3);
/// The most bytes of an answer of the shop, and of a message of its web socket.
const BYTES: usize = 256 << 10;
/// The most bytes of a command.
const COMMAND: usize = 4 << 10;

impl Server {
    /// Listens, and starts nothing.
    ///
    /// # Errors
    ///
    /// [`ServerError`].
    pub async fn bind(settings: Settings) -> Result<Self, ServerError> {
        let Settings { host, port, seed, pace, patience } = settings;
        let address = SocketAddr::new(host, port);
        let (listener, address) = page_kit::listen(address).await?;
        let (source, listeners) = (Source::new(seed, pace), Listeners::bind().await?);
        let shared = clients(source.clone(), &listeners, patience)?;
        Ok(Self { listener, address, source, listeners, shared, sessions: Sessions::default() })
    }

    /// Where the page is.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The simulated shop.
    #[must_use]
    pub const fn source(&self) -> &Source {
        &self.source
    }

    /// The pages that are open.
    #[must_use]
    pub const fn sessions(&self) -> &Sessions<Inputs> {
        &self.sessions
    }

    /// Serves until `stop` is cancelled. Then pages are closed and requests that are on their way are answered; after
    /// three seconds the rest is left to the end of the runtime.
    ///
    /// # Errors
    ///
    /// [`ServerError::System`] when a listener breaks.
    ///
    /// # Cancellation
    ///
    /// Dropping the future closes the listeners. To end connections too, cancel `stop`.
    pub async fn serve(self, stop: CancellationToken) -> Result<(), ServerError> {
        let Self { listener, source, listeners, shared, sessions, .. } = self;
        let context = Context { shared: Arc::new(shared), sessions, stop: stop.clone() };
        // The shop ends after the pages, which talk to it.
        let closed = CancellationToken::new();
        let page = async {
            let serves = axum::serve(listener, routes(context));
            let ended = serves.with_graceful_shutdown(stop.clone().cancelled_owned()).await;
            closed.cancel();
            ended
        };
        let all = future::try_join(page, source.serve(listeners, closed.clone()));
        tokio::select! {
            ended = all => ended.map(|_| ()).map_err(ServerError::System),
            () = async {
                stop.cancelled().await;
                tokio::time::sleep(FAREWELL).await;
                closed.cancel();
            } => Ok(()),
        }
    }
}

/// The clients of the shop that all pages use.
fn clients(
    source: Source,
    listeners: &Listeners,
    patience: Duration,
) -> Result<Shared, ServerError> {
    let refused = |why: &dyn std::error::Error| ServerError::Client(why.to_string());
    let limits = level4_http::Limits { connect: patience, total: patience, body: BYTES };
    let transport = Reqwest::new(limits).map_err(|why| refused(&why))?;
    let base = format!("http://{}/", listeners.services_at);
    let services = Services::new(transport, base.parse().map_err(|why| refused(&why))?);
    let limits = level4_ws::Limits { connect: patience, message: BYTES };
    let connector = WebSocket::new(&format!("ws://{}/", listeners.feed_at), limits);
    let connector = connector.map_err(|why| refused(&why))?;
    let feed = Arc::new(Feed::new(services.clone(), connector));
    Ok(Shared { source, shelf: Arc::new(Shelf::new(services.clone())), services, feed, patience })
}

/// What the routes need.
#[derive(Debug, Clone)]
struct Context {
    shared: Arc<Shared>,
    sessions: Sessions<Inputs>,
    stop: CancellationToken,
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
    let (inputs, states) = page::open(&context.shared);
    let Some(session) = context.sessions.begin(inputs) else {
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
    // Numbers, texts and lists: there is nothing that JSON cannot hold.
    Event::default().json_data(state).unwrap_or_default()
}

async fn command(
    State(context): State<Context>,
    Path(number): Path<u64>,
    Json(command): Json<Command>,
) -> Response {
    let Some(inputs) = context.sessions.of(number) else {
        return (StatusCode::NOT_FOUND, "there is no such page").into_response();
    };
    match inputs.send(command) {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(why) => {
            let status = match why {
                Refused::TooLong => StatusCode::UNPROCESSABLE_ENTITY,
                Refused::Busy => StatusCode::TOO_MANY_REQUESTS,
                Refused::Closed => StatusCode::NOT_FOUND,
            };
            (status, why.to_string()).into_response()
        }
    }
}
