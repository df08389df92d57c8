//! The search for products: level 4's `debounce`, `cancel`, `http_client` and `state_store`.
//!
//! ```text
//!   keystroke ─┬─▶ the text is shown, and the request under way is cancelled
//!              └─▶ debounce ── 300 ms without a keystroke ─▶ request ─▶ answered, failed or cancelled
//!                     └─────── the text was cleared ───────▶ no request, no results
//! ```

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::Fuse;
use futures::{FutureExt as _, Stream, StreamExt as _};
use level4::cancel::{Stopped, with_timeout_and_cancel};
use level4::debounce::{Debounce, DebounceExt as _, Edge};
use level4::state_store::Store;
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{driven, values};
use crate::services::{Aged, Catalogue, ShopError};
use crate::shop::{Found, Product};

/// A text is sent after so much time without a keystroke.
const QUIET: Duration = Duration::from_millis(300);
/// The requests that the log keeps.
const LOG: usize = 5;

/// Where the search is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Nothing is typed.
    Idle,
    /// A keystroke was the last event: the debounce waits for silence.
    Typing,
    /// A request is under way.
    Searching,
    /// The results are those of the text.
    Found,
    /// The request of the text has failed.
    Failed,
}

/// How a request has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Outcome {
    /// It is under way.
    Running,
    /// The shop has answered.
    Answered {
        /// The products that match.
        total: usize,
    },
    /// A copy has answered, and nothing was sent.
    Copied {
        /// The age of the copy in milliseconds.
        age_ms: u64,
    },
    /// A keystroke has cancelled it.
    Cancelled,
    /// There is no usable answer.
    Failed,
}

/// A request, for the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Counts the requests of this page.
    pub number: u64,
    /// What was searched for.
    pub query: String,
    /// How it has ended.
    pub outcome: Outcome,
    /// How long it took, in milliseconds; zero while it runs.
    pub took_ms: u64,
}

/// The results of a search.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Results {
    /// What was searched for.
    pub query: String,
    /// The first products that match.
    pub products: Vec<Product>,
    /// How many match.
    pub total: usize,
}

/// What the panel shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Search {
    /// What is typed.
    pub text: String,
    /// Where the search is.
    pub phase: Phase,
    /// Why it has failed, for the page.
    pub failure: Option<String>,
    /// The results of the last request that was answered, until the next one is or the text is cleared.
    pub results: Option<Results>,
    /// The last requests, the newest first.
    pub log: VecDeque<Entry>,
    /// The keystrokes of this page.
    pub keystrokes: u64,
    /// The requests of this page.
    pub requests: u64,
}

impl Search {
    fn new() -> Self {
        Self {
            text: String::new(),
            phase: Phase::Idle,
            failure: None,
            results: None,
            log: VecDeque::new(),
            keystrokes: 0,
            requests: 0,
        }
    }

    /// A keystroke has changed the text.
    fn types(&mut self, text: &str) {
        text.clone_into(&mut self.text);
        self.keystrokes += 1;
        self.failure = None;
        self.phase = Phase::Typing;
    }

    /// The text was cleared.
    fn clears(&mut self) {
        (self.phase, self.results) = (Phase::Idle, None);
    }

    /// A request begins. Returns its number.
    fn begins(&mut self, query: &str) -> u64 {
        self.requests += 1;
        self.phase = Phase::Searching;
        let entry = Entry {
            number: self.requests,
            query: query.to_owned(),
            outcome: Outcome::Running,
            took_ms: 0,
        };
        self.log.push_front(entry);
        self.log.truncate(LOG);
        self.requests
    }

    /// A request ends.
    fn ends(
        &mut self,
        number: u64,
        ended: Result<Aged<Found>, Stopped<ShopError>>,
        took: Duration,
    ) {
        // Requests end before the next one begins, so it is still in the log.
        let Some(entry) = self.log.iter_mut().find(|entry| entry.number == number) else { return };
        entry.took_ms = millis(took);
        match ended {
            Ok(Aged { value: Found { products, total }, age }) => {
                // What is older than its request was there before it.
                entry.outcome = match age > took {
                    true => Outcome::Copied { age_ms: millis(age) },
                    false => Outcome::Answered { total },
                };
                let query = entry.query.clone();
                self.results = Some(Results { query, products, total });
                self.phase = Phase::Found;
            }
            // The keystroke that has cancelled it has set the phase.
            Err(Stopped::Cancelled) => entry.outcome = Outcome::Cancelled,
            Err(Stopped::TimedOut(_)) => self.fails(number, ShopError::Silent),
            Err(Stopped::Failed(why)) => self.fails(number, why),
        }
    }

    fn fails(&mut self, number: u64, why: ShopError) {
        if let Some(entry) = self.log.iter_mut().find(|entry| entry.number == number) {
            entry.outcome = Outcome::Failed;
        }
        (self.phase, self.failure, self.results) = (Phase::Failed, Some(why.to_string()), None);
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// What the search shows. Each value of `texts` is the text after a keystroke; the first one is not a keystroke. A request
/// may take as long as `limit`.
///
/// Dropping the stream drops the request under way.
pub(crate) fn states(
    catalogue: Catalogue,
    texts: watch::Receiver<String>,
    limit: Duration,
) -> impl Stream<Item = Search> + Send {
    let store = Store::new(Search::new());
    let shown = store.select(|view| view.state.clone());
    driven(shown, obeys(catalogue, store, texts, limit))
}

/// The token of the request under way. A keystroke cancels it, and the next request has another one.
#[derive(Debug, Default)]
struct UnderWay(Mutex<CancellationToken>);

impl UnderWay {
    fn cancel(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).cancel();
    }

    fn renew(&self) -> CancellationToken {
        let token = CancellationToken::new();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = token.clone();
        token
    }
}

async fn obeys(
    catalogue: Catalogue,
    store: Store<Search>,
    texts: watch::Receiver<String>,
    limit: Duration,
) {
    let how = Debounce::new(QUIET, Edge::Trailing).expect("a wait that is not zero");
    let under_way = Arc::new(UnderWay::default());
    // Before the debounce: the request under way is out of date at the keystroke, and not 300 ms later.
    let typed = values(texts).skip(1).inspect(|text| {
        under_way.cancel();
        store.update(|search| search.types(text));
    });
    let mut queries = pin!(typed.debounce_reset_when(how, |text| text.trim().is_empty()));
    let mut request = pin!(Fuse::terminated());
    loop {
        tokio::select! {
            // A keystroke first, so that an answer of the same moment does not overtake it.
            biased;
            query = queries.next() => match query {
                Some(text) if text.trim().is_empty() => store.update(Search::clears),
                Some(text) => {
                    let token = under_way.renew();
                    request.set(asks(&catalogue, &store, text, limit, token).fuse());
                }
                None => return,
            },
            () = &mut request => {}
        }
    }
}

/// One request, from its line in the log to its outcome.
async fn asks(
    catalogue: &Catalogue,
    store: &Store<Search>,
    text: String,
    limit: Duration,
    token: CancellationToken,
) {
    let query = text.trim();
    let mut number = 0;
    store.update(|search| number = search.begins(query));
    let began = Instant::now();
    let ended = with_timeout_and_cancel(limit, &token, catalogue.search(query)).await;
    let took = began.elapsed();
    store.update(|search| search.ends(number, ended, took));
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn found(age: Duration) -> Result<Aged<Found>, Stopped<ShopError>> {
        let products = vec![Product { name: "Blue lamp".to_owned(), cents: 900 }];
        Ok(Aged { value: Found { products, total: 1 }, age })
    }

    #[test]
    fn an_answer_is_shown_until_the_text_is_cleared() {
        let mut search = Search::new();
        search.types("lamp");
        assert_eq!((search.phase, search.keystrokes), (Phase::Typing, 1));
        let number = search.begins("lamp");
        search.ends(number, found(Duration::ZERO), MS * 7);
        assert_eq!(
            (search.phase, search.log[0].outcome),
            (Phase::Found, Outcome::Answered { total: 1 })
        );
        search.types("lamps");
        assert_eq!(search.results.as_ref().map(|it| it.query.as_str()), Some("lamp"));
        search.types("");
        search.clears();
        assert_eq!((search.phase, search.results), (Phase::Idle, None));
    }

    #[test]
    fn a_cancelled_request_changes_only_the_log() {
        let mut search = Search::new();
        search.types("la");
        let number = search.begins("la");
        search.types("lam");
        search.ends(number, Err(Stopped::Cancelled), MS * 12);
        assert_eq!((search.phase, search.log[0].outcome), (Phase::Typing, Outcome::Cancelled));
        assert_eq!((search.results, search.log[0].took_ms), (None, 12));
    }

    #[test]
    fn a_failure_replaces_older_results() {
        let mut search = Search::new();
        for (ended, outcome) in [
            (found(Duration::from_secs(1)), Outcome::Copied { age_ms: 1000 }),
            (Err(Stopped::Failed(ShopError::Service)), Outcome::Failed),
            (Err(Stopped::TimedOut(MS)), Outcome::Failed),
        ] {
            let number = search.begins("lamp");
            search.ends(number, ended, Duration::ZERO);
            assert_eq!(search.log[0].outcome, outcome);
        }
        assert_eq!((search.phase, search.results.is_none()), (Phase::Failed, true));
        assert_eq!(search.failure, Some(ShopError::Silent.to_string()));
        for _ in 0..LOG {
            search.begins("lamp");
        }
        assert_eq!(search.log.len(), LOG);
    }
}
