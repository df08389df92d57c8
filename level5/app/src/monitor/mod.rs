//! A page in a browser that shows a run while it goes on.
//!
//! ```text
//!  run ── once a second ──▶ Snapshot ──▶ History: charts ──▶ watch ──▶ each open page
//!                                                                        │
//!  Processor ◀────────────────── POST /redrive ──────────────────────────┘
//! ```
//!
//! The page reads; the only thing that it can change is what [`Processor::redrive`] changes.
//!
//! [`Processor::redrive`]: level5::event_processor::Processor::redrive

mod assets;
mod history;
mod server;
mod snapshot;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::figures::Figures;
use crate::ingest::Moving;
use crate::sink::Heard;
use history::History;
use server::Context;
pub use snapshot::{Failing, Letter, Phase, Snapshot, Waiting};

/// The pause between two snapshots.
const PERIOD: Duration = Duration::from_secs(1);
/// How long open pages have to get their last event.
const FAREWELL: Duration = Duration::from_secs(1);

/// A page that is served. Dropping it leaves the server running until the runtime ends.
#[derive(Debug)]
pub struct Monitor {
    address: SocketAddr,
    shown: watch::Sender<Value>,
    history: History,
    last: Option<(Instant, u64, u64)>,
    begun: Instant,
    stop: CancellationToken,
    task: JoinHandle<io::Result<()>>,
}

impl Monitor {
    /// Listens, and serves the page in a task.
    ///
    /// # Errors
    ///
    /// The address cannot be listened on.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub async fn start(address: SocketAddr, processor: Arc<Moving>) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let (shown, receiver) = watch::channel(Value::Null);
        let stop = CancellationToken::new();
        let routes = server::routes(Context { processor, shown: receiver, stop: stop.clone() });
        let ends = stop.clone().cancelled_owned();
        let serves = axum::serve(listener, routes).with_graceful_shutdown(ends);
        let task = tokio::spawn(async move { serves.await });
        let begun = Instant::now();
        Ok(Self { address, shown, history: History::default(), last: None, begun, stop, task })
    }

    /// Where the page is.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Shows the figures of now, if those that are shown are a second old.
    pub fn show(&mut self, processor: &Moving, figures: &Figures, heard: &Heard, phase: Phase) {
        let now = Instant::now();
        if self.last.is_some_and(|(last, ..)| now.saturating_duration_since(last) < PERIOD) {
            return;
        }
        let snapshot = self.snapshot(now, processor, figures, heard, phase);
        self.history.add(&snapshot);
        match self.history.charts() {
            // No page is open, or it shows the next one.
            Ok(charts) => {
                drop(self.shown.send_replace(json!({ "now": snapshot, "charts": charts })))
            }
            Err(error) => tracing::warn!(%error, "the monitor shows no charts"),
        }
    }

    fn snapshot(
        &mut self,
        now: Instant,
        processor: &Moving,
        figures: &Figures,
        heard: &Heard,
        phase: Phase,
    ) -> Snapshot {
        let metrics = processor.metrics().borrow().clone();
        let accepted = figures.accepted.load(std::sync::atomic::Ordering::Relaxed);
        let (before, accepted_before, delivered_before) =
            self.last.replace((now, accepted, metrics.delivered)).unwrap_or((self.begun, 0, 0));
        let seconds = now.saturating_duration_since(before).as_secs_f64().max(0.001);
        let rate = |now: u64, before: u64| now.saturating_sub(before) as f64 / seconds;
        let ms = |time: Duration| time.as_secs_f64() * 1000.0;
        let letters = processor.dead_letters();
        Snapshot {
            phase,
            seconds: now.saturating_duration_since(self.begun).as_secs_f64(),
            accepted,
            delivered: metrics.delivered,
            dead: metrics.dead,
            accepted_per_second: rate(accepted, accepted_before),
            delivered_per_second: rate(metrics.delivered, delivered_before),
            backlog: snapshot::backlog(&metrics),
            accepted_after_ms: figures.percentiles(),
            delivered_after_mean_ms: ms(metrics.latency.mean),
            delivered_after_p99_ms: ms(metrics.latency.p99),
            failing: heard.failing().iter().map(Failing::from).collect(),
            letters: letters.iter().take(snapshot::LISTED).map(Letter::from).collect(),
        }
    }

    /// Closes the page. Browsers that have it open show that the run has ended.
    pub async fn close(self) {
        self.stop.cancel();
        // A connection that does not end is left to the end of the runtime.
        if let Ok(Ok(Err(error))) = timeout(FAREWELL, self.task).await {
            tracing::warn!(%error, "the monitor has failed");
        }
    }
}
