//! A simulated shop on loopback: services over HTTP with drawn delays and faults, and live updates over a web socket.
//!
//! ```text
//!   Source ── control ──▶ watch of State ◀── counts ──┬── routes   GET /user, /activities, ... one call: delay, ending
//!                                                     └── feed     one web socket: every change of the order book
//! ```
//!
//! The panels reach it over TCP only, as they would reach a real one.

pub mod catalogue;
pub mod chance;
mod feed;
pub mod orders;
mod routes;
pub mod state;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{broadcast, watch};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use chance::Chance;
use orders::{Book, Message};
use state::{Mode, Service, State};

/// How fast the shop is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pace {
    /// The time before an answer.
    pub delays: Range<Duration>,
    /// The time between two changes of the orders.
    pub changes: Duration,
}

impl Default for Pace {
    /// Answers after 200 to 900 ms, and a change every 900 ms: slow enough to see.
    fn default() -> Self {
        let ms = Duration::from_millis;
        Self { delays: ms(200)..ms(900), changes: ms(900) }
    }
}

/// The updates that a web socket may be behind before it is closed.
const BEHIND: usize = 64;

/// A handle to the shop: what the page's buttons act on. A clone is the same shop.
#[derive(Debug, Clone)]
pub struct Source {
    shop: Arc<Shop>,
}

#[derive(Debug)]
struct Shop {
    pace: Pace,
    state: watch::Sender<State>,
    /// A generator for each service, in their order. Locked for one draw.
    chances: Mutex<Vec<Chance>>,
    /// Changed and announced under one lock: the versions on the channel are in order, and a snapshot is that of
    /// the last announced version.
    book: Mutex<Book>,
    changes: broadcast::Sender<Arc<Message>>,
}

/// The sockets of the shop, before it serves them.
#[derive(Debug)]
pub struct Listeners {
    services: TcpListener,
    feed: TcpListener,
    /// Where the services are.
    pub services_at: SocketAddr,
    /// Where the web socket is.
    pub feed_at: SocketAddr,
}

impl Listeners {
    /// Two ports of loopback that the system chooses.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub async fn bind() -> io::Result<Self> {
        let services = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let feed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let (services_at, feed_at) = (services.local_addr()?, feed.local_addr()?);
        Ok(Self { services, feed, services_at, feed_at })
    }
}

impl Source {
    /// A shop that a seed decides.
    #[must_use]
    pub fn new(seed: u64, pace: Pace) -> Self {
        let chances = Service::ALL.map(|service| Chance::new(seed, 1 + service as u64));
        let shop = Shop {
            pace,
            state: watch::Sender::new(State::new()),
            chances: Mutex::new(chances.into()),
            book: Mutex::new(Book::new(Chance::new(seed, 0))),
            changes: broadcast::Sender::new(BEHIND),
        };
        Self { shop: Arc::new(shop) }
    }

    /// The state of the shop, now and after each change.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<State> {
        self.shop.state.subscribe()
    }

    /// Cuts the link for live updates: open web sockets break, and new ones are refused. Or restores it.
    pub fn cut(&self, cut: bool) {
        self.shop.state.send_if_modified(|state| std::mem::replace(&mut state.cut, cut) != cut);
    }

    /// Decides how a service answers the calls that arrive from now on.
    pub fn set(&self, service: Service, mode: Mode) {
        let changes =
            |state: &mut State| std::mem::replace(&mut state.of(service).mode, mode) != mode;
        self.shop.state.send_if_modified(changes);
    }

    /// Serves until `stop` is cancelled. It ends when every connection has ended.
    ///
    /// # Errors
    ///
    /// What the system says about a listener.
    ///
    /// # Cancellation
    ///
    /// Dropping the future closes the listeners and the web sockets. Connections of HTTP that are open stay until
    /// `stop` is cancelled.
    pub async fn serve(&self, listeners: Listeners, stop: CancellationToken) -> io::Result<()> {
        let Listeners { services, feed, .. } = listeners;
        let routes = routes::routes(self.clone(), stop.clone());
        let http =
            axum::serve(services, routes).with_graceful_shutdown(stop.clone().cancelled_owned());
        let (http, _, _) = tokio::join!(
            http,
            stop.run_until_cancelled(feed::serve(self, feed)),
            stop.run_until_cancelled(self.works()),
        );
        http
    }

    /// The shop at work: its orders change. It never ends.
    async fn works(&self) {
        loop {
            sleep(self.shop.pace.changes).await;
            let mut book = self.book();
            let message = Arc::new(book.step());
            // Without a web socket there is no receiver.
            let _ = self.shop.changes.send(message);
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // No code of a caller runs under the lock.
        self.shop.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
