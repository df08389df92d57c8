//! The orders in progress: level 4's `realtime` over its `socket`.
//!
//! All pages share one web socket. It is there while a page is open.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::{Stream, StreamExt as _, stream};
use level4::realtime::{Live, Realtime, Settings, Status};
use level4::socket::{self, Connector, WireError};
use level4_kv::Memory;
use level4_ws::WebSocket;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};

use super::{latest, values};
use crate::services::Services;
use crate::shop::Order;
use crate::source::orders::TOPIC;

/// What the user asks of the orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Connect after the socket has given up.
    Connect,
}

/// How far the orders can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Trust {
    /// There is no connection, or no snapshot since it is there.
    Connecting {
        /// The number of the attempt that runs or comes next; 1 for the first.
        attempt: u32,
        /// The socket gives up after this one.
        last: u32,
    },
    /// They are those of the shop, and follow it.
    Live,
    /// They are older, and changes may be missing.
    Stale {
        /// Their age in milliseconds when there was no snapshot.
        age_ms: u64,
    },
    /// There are none that are young enough. The panel asks again by itself.
    Failed,
    /// The socket has given up.
    GaveUp,
}

/// What the panel shows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Orders {
    /// How far they can be trusted.
    pub trust: Trust,
    /// The version of the list.
    pub version: u64,
    /// The orders. `None`: there were none yet.
    pub orders: Option<Arc<[Order]>>,
}

impl Orders {
    fn of(live: Live<Order>, failed: u32) -> Self {
        let trust = match live.status {
            Status::Connecting => {
                let last = socket().max_attempts + 1;
                Trust::Connecting { attempt: (failed + 1).min(last), last }
            }
            Status::Live => Trust::Live,
            Status::Stale { age } => {
                Trust::Stale { age_ms: u64::try_from(age.as_millis()).unwrap_or(u64::MAX) }
            }
            Status::Failed => Trust::Failed,
            Status::GaveUp => Trust::GaveUp,
        };
        Self { trust, version: live.version, orders: live.items }
    }
}

/// Waits that are short enough to watch: 0.5 s and 1.5 times as long each time, at most 3 s; nine attempts in all.
fn socket() -> socket::Config {
    socket::Config {
        max_attempts: 8,
        first_delay: Duration::from_millis(500),
        factor: 1.5,
        longest_delay: Duration::from_secs(3),
        stable_after: Duration::from_secs(2),
        ping_every: Some(Duration::from_secs(5)),
        pong_timeout: Duration::from_secs(3),
        ..socket::Config::default()
    }
}

/// A connector that counts the attempts that have failed since the last connection.
#[derive(Debug)]
struct Counted {
    inner: WebSocket,
    failed: Arc<watch::Sender<u32>>,
}

impl Connector for Counted {
    type Connection = <WebSocket as Connector>::Connection;

    async fn connect(&self) -> Result<Self::Connection, WireError> {
        let connected = self.inner.connect().await;
        self.failed.send_modify(|failed| match &connected {
            Ok(_) => *failed = 0,
            Err(_) => *failed += 1,
        });
        connected
    }
}

/// The orders for all pages.
#[derive(Debug)]
pub struct Feed {
    services: Services,
    connector: WebSocket,
    failed: Arc<watch::Sender<u32>>,
    /// Made by the first page: on a blank this is where the panic is, and there only this panel stops.
    list: OnceLock<Realtime<Services, Counted, Memory>>,
}

impl Feed {
    /// The orders of these services, with their changes from this socket.
    #[must_use]
    pub fn new(services: Services, connector: WebSocket) -> Self {
        let failed = Arc::new(watch::Sender::new(0));
        Self { services, connector, failed, list: OnceLock::new() }
    }

    /// The list, for one more run. A run begins without failures.
    fn open(&self) -> impl Stream<Item = Live<Order>> + Send + Unpin + use<> {
        let list = self.list.get_or_init(|| {
            let settings = Settings { socket: socket(), ..Settings::new(TOPIC) };
            let connector =
                Counted { inner: self.connector.clone(), failed: Arc::clone(&self.failed) };
            Realtime::new(self.services.clone(), connector, Memory::new(64 << 10), settings)
                .expect("the settings of this file are valid")
        });
        if list.now().status == Status::GaveUp {
            self.failed.send_replace(0);
        }
        list.open()
    }
}

/// What the panel shows. After the socket has given up, it waits for a command to connect.
///
/// Dropping the stream closes the web socket, if no other page is open.
pub(crate) fn states(
    feed: Arc<Feed>,
    commands: mpsc::Receiver<Command>,
) -> impl Stream<Item = Orders> + Send {
    if feed.failed.receiver_count() == 0 {
        // No page is open: an earlier run was dropped, whatever its failures.
        feed.failed.send_replace(0);
    }
    let failed = values(feed.failed.subscribe());
    let runs = stream::unfold((feed, commands, true), async |(feed, mut commands, is_first)| {
        if !is_first {
            // A command from before the end was for the run that has ended.
            while commands.try_recv().is_ok() {}
            commands.recv().await?;
        }
        Some((feed.open(), (feed, commands, false)))
    });
    latest(runs.flatten(), failed).map(|(live, failed)| Orders::of(live, failed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_attempt_is_the_next_one() {
        let live = |status| Live { items: None, version: 0, status, unreadable: 0 };
        let trust = |status, failed| Orders::of(live(status), failed).trust;
        assert_eq!(trust(Status::Connecting, 0), Trust::Connecting { attempt: 1, last: 9 });
        assert_eq!(trust(Status::Connecting, 9), Trust::Connecting { attempt: 9, last: 9 });
        let stale = Status::Stale { age: Duration::from_millis(1500) };
        assert_eq!(trust(stale, 0), Trust::Stale { age_ms: 1500 });
        assert_eq!(trust(Status::GaveUp, 9), Trust::GaveUp);
    }
}
