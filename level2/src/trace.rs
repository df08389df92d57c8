//! Records the calls of a load: when each began, when it ended, and how.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt as _};
use tokio::time::Instant;

use crate::model::{LowStock, Orders, Reviews, Sales, Section, Users};
use crate::source::{DashboardSource, SourceResult};

/// The state of a call.
///
/// ```
/// use std::time::Duration;
/// use level2::model::Section;
/// use level2::source::{Behaviour, SimulatedSource};
/// use level2::trace::{State, observe};
/// use tokio::time::timeout;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let source = SimulatedSource::default().with(Section::Users, Behaviour::Fails);
/// let (source, trace) = observe(source);
/// let _ = source.users().await;
/// let _ = timeout(Duration::from_millis(100), source.orders()).await; // drops the call
/// let _ = source.reviews().await;
/// let states: Vec<_> = trace.spans().iter().map(|span| span.state).collect();
/// assert_eq!(states, [State::Failed, State::Stopped, State::Answered]);
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The call has not ended.
    Running,
    /// The source answered with data.
    Answered,
    /// The source answered with an error.
    Failed,
    /// The call was dropped before it ended, or panicked.
    Stopped,
}

/// A record of one call. Times count from the beginning of the trace.
///
/// ```
/// use std::time::Duration;
/// use level2::model::Section;
/// use level2::source::SimulatedSource;
/// use level2::trace::{Span, State, observe};
/// use tokio::time::sleep;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let (source, trace) = observe(SimulatedSource::default());
/// sleep(Duration::from_millis(50)).await;
/// source.reviews().await.unwrap();
/// let (from, to) = (Duration::from_millis(50), Some(Duration::from_millis(250)));
/// let reviews = Span { section: Section::Reviews, from, to, state: State::Answered };
/// assert_eq!(trace.spans(), [reviews]);
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The section that the call loads.
    pub section: Section,
    /// When the call began.
    pub from: Duration,
    /// When it ended, or `None` while it runs.
    pub to: Option<Duration>,
    /// The state of the call.
    pub state: State,
}

/// The calls of one load, in the order in which they began.
///
/// ```
/// use std::sync::Arc;
/// use level2::parallel;
/// use level2::source::SimulatedSource;
/// use level2::trace::observe;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let (source, trace) = observe(SimulatedSource::default());
/// assert!(trace.spans().is_empty());
/// parallel::load(Arc::clone(&source)).await.unwrap();
/// assert_eq!(trace.spans().len(), 5);
/// assert_eq!(trace.elapsed().as_millis(), 600);
/// # }
/// ```
#[derive(Debug)]
pub struct Trace {
    /// An instant of tokio's clock: on a paused clock the times of a trace are exact.
    began: Instant,
    /// Spans are only added and never removed, so the index of a span identifies its call. A std lock: it is
    /// held for one push, one change or one copy, never across an `.await`, and a destructor takes it.
    spans: Mutex<Vec<Span>>,
}

impl Default for Trace {
    /// Makes an empty trace that begins now, on tokio's clock.
    fn default() -> Self {
        Self { began: Instant::now(), spans: Mutex::new(Vec::new()) }
    }
}

impl Trace {
    /// Returns the time since the trace began.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Returns the calls so far, those that are running included.
    #[must_use]
    pub fn spans(&self) -> Vec<Span> {
        // A copy: the live picture draws it while calls begin and end, and must not hold them up.
        self.lock().clone()
    }

    /// Records that a call begins, and returns the index of its span.
    fn begin(&self, section: Section) -> usize {
        let from = self.elapsed();
        let mut spans = self.lock();
        spans.push(Span { section, from, to: None, state: State::Running });
        spans.len() - 1
    }

    /// Records that the call of the span at `index` has ended.
    fn end(&self, index: usize, state: State) {
        let to = self.elapsed();
        // `get_mut` and no indexing: this runs in a destructor, and a panic there while another one unwinds
        // would abort the process. The index is always valid.
        if let Some(span) = self.lock().get_mut(index) {
            span.to = Some(to);
            span.state = state;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Span>> {
        // Every change is a single push or two assignments: a poisoned list is still a good list.
        self.spans.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wraps `source` in one that records its calls, and returns that source and the trace of the calls.
///
/// The trace begins now, on tokio's clock.
///
/// ```
/// use level2::picture::timeline;
/// use level2::source::SimulatedSource;
/// use level2::trace::observe;
///
/// #[tokio::main(flavor = "current_thread", start_paused = true)]
/// async fn main() {
///     let (source, trace) = observe(SimulatedSource::default());
///     assert!(source.reviews().await.is_ok());
///     let now = trace.elapsed();
///     assert_eq!(now.as_millis(), 200);
///     print!("{}", timeline(&trace.spans(), Some(now), now));
/// }
/// ```
#[must_use]
pub fn observe(source: impl DashboardSource + 'static) -> (Arc<dyn DashboardSource>, Arc<Trace>) {
    // Shared: the source writes to it from the calls of a load, and the caller reads it meanwhile or later.
    let trace = Arc::new(Trace::default());
    (Arc::new(Observed::new(Arc::new(source), Arc::clone(&trace))), trace)
}

/// A source that records every call to another source.
///
/// ```
/// use std::sync::Arc;
/// use level2::source::{DashboardSource, SimulatedSource};
/// use level2::trace::{Observed, Trace};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// // Two shops whose calls are in one trace.
/// let trace = Arc::new(Trace::default());
/// let shop = || Observed::new(Arc::new(SimulatedSource::default()), Arc::clone(&trace));
/// let (first, second) = (shop(), shop());
/// first.reviews().await.unwrap();
/// second.reviews().await.unwrap();
/// assert_eq!(trace.spans().len(), 2);
/// # }
/// ```
pub struct Observed {
    // Makes the calls. The answers pass through unchanged.
    inner: Arc<dyn DashboardSource>,
    // Shared with the reader, who may look while calls run, and with other observed sources.
    trace: Arc<Trace>,
}

impl Observed {
    /// Makes a source that passes calls on to `inner` and records them in `trace`.
    #[must_use]
    pub fn new(inner: Arc<dyn DashboardSource>, trace: Arc<Trace>) -> Self {
        Self { inner, trace }
    }

    /// Wraps `call` in a future that records when it begins and how it ends.
    fn watch<'a, T: Send + 'a>(
        &'a self,
        section: Section,
        call: BoxFuture<'a, SourceResult<T>>,
    ) -> BoxFuture<'a, SourceResult<T>> {
        // The span begins inside the block, at its first poll: a strategy that makes all its futures first and
        // polls one after the other shows calls one after the other, and one that is never polled shows none.
        async move {
            // `Stopped` until the call has returned: that is what stays if its future is dropped or panics.
            let mut guard = EndsWithTheCall {
                trace: &self.trace,
                index: self.trace.begin(section),
                state: State::Stopped,
            };
            let answer = call.await;
            guard.state = if answer.is_ok() { State::Answered } else { State::Failed };
            answer
        }
        .boxed()
    }
}

/// Records the end of a call from its destructor, which also runs when the call is dropped.
struct EndsWithTheCall<'a> {
    /// Where the drop writes the end.
    trace: &'a Trace,
    /// The span's place in the trace. Spans are only added, so it stays valid.
    index: usize,
    /// What the drop writes; `Stopped` until the call has returned.
    state: State,
}

impl Drop for EndsWithTheCall<'_> {
    fn drop(&mut self) {
        self.trace.end(self.index, self.state);
    }
}

impl DashboardSource for Observed {
    fn sales(&self) -> BoxFuture<'_, SourceResult<Sales>> {
        self.watch(Section::Sales, self.inner.sales())
    }

    fn users(&self) -> BoxFuture<'_, SourceResult<Users>> {
        self.watch(Section::Users, self.inner.users())
    }

    fn orders(&self) -> BoxFuture<'_, SourceResult<Orders>> {
        self.watch(Section::Orders, self.inner.orders())
    }

    fn low_stock(&self) -> BoxFuture<'_, SourceResult<LowStock>> {
        self.watch(Section::LowStock, self.inner.low_stock())
    }

    fn reviews(&self) -> BoxFuture<'_, SourceResult<Reviews>> {
        self.watch(Section::Reviews, self.inner.reviews())
    }
}

impl fmt::Debug for Observed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observed").field("trace", &self.trace).finish_non_exhaustive()
    }
}
