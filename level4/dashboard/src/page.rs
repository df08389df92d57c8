//! What a page shows at one moment: one typed snapshot, which goes to the browser as JSON.

use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::BoxStream;
use futures::{Stream, StreamExt as _, stream};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};

use crate::panels::{self, Panel, history, live, overview, search};
use crate::services::{Services, Shelf};
use crate::source::Source;
use crate::source::state::{Mode, Service, State};

/// The whole page. A part is `None` until its panel has shown something.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct PageState {
    /// The overview.
    pub overview: Option<Panel<overview::Overview>>,
    /// The orders in progress.
    pub live: Option<Panel<live::Orders>>,
    /// The search.
    pub search: Option<Panel<search::Search>>,
    /// The history of sales.
    pub history: Option<Panel<history::History>>,
    /// The shop: what the buttons for faults have done, and what it counts.
    pub source: Option<State>,
}

/// What a page asks for. As JSON, for example: `{"overview": "retry"}`, `{"search": "lamp"}` or
/// `{"fault": {"service": "user", "mode": "down"}}`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// For the overview.
    Overview(overview::Command),
    /// For the orders in progress.
    Live(live::Command),
    /// The text of the search after a keystroke.
    Search(String),
    /// For the history.
    History(history::Command),
    /// Cuts the link for live updates, or restores it. For all pages.
    Cut(bool),
    /// Decides how a service of the shop answers. For all pages.
    Fault {
        /// Which service.
        service: Service,
        /// How it answers.
        mode: Mode,
    },
}

/// The most characters of a text to search for.
pub const LONGEST_TEXT: usize = 80;

/// Why a command was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The text is longer than [`LONGEST_TEXT`].
    #[error("a text to search for has at most {LONGEST_TEXT} characters")]
    TooLong,
    /// The panel has not read the commands before this one.
    #[error("the panel is busy with earlier commands")]
    Busy,
    /// The page was closed.
    #[error("the page was closed")]
    Closed,
}

/// The side of an open page that commands are sent to. Dropping it ends no panel.
#[derive(Debug, Clone)]
pub struct Inputs {
    overview: mpsc::Sender<overview::Command>,
    live: mpsc::Sender<live::Command>,
    /// The latest text is what counts: a panel that is slow may miss those in between.
    search: watch::Sender<String>,
    history: mpsc::Sender<history::Command>,
    source: Source,
}

impl Inputs {
    /// Accepts a command.
    ///
    /// # Errors
    ///
    /// [`Refused`].
    pub fn send(&self, command: Command) -> Result<(), Refused> {
        match command {
            Command::Overview(command) => send(&self.overview, command)?,
            Command::Live(command) => send(&self.live, command)?,
            Command::Search(text) if text.chars().count() > LONGEST_TEXT => {
                return Err(Refused::TooLong);
            }
            Command::Search(text) => self.search.send(text).map_err(|_| Refused::Closed)?,
            Command::History(command) => send(&self.history, command)?,
            Command::Cut(cut) => self.source.cut(cut),
            Command::Fault { service, mode } => self.source.set(service, mode),
        }
        Ok(())
    }
}

fn send<T>(queue: &mpsc::Sender<T>, command: T) -> Result<(), Refused> {
    queue.try_send(command).map_err(|error| match error {
        mpsc::error::TrySendError::Full(_) => Refused::Busy,
        mpsc::error::TrySendError::Closed(_) => Refused::Closed,
    })
}

/// What the pages of a server have in common.
#[derive(Debug)]
pub struct Shared {
    /// The shop.
    pub source: Source,
    /// Its services without copies.
    pub services: Services,
    /// The orders in progress.
    pub feed: Arc<live::Feed>,
    /// Its services with copies.
    pub shelf: Arc<Shelf>,
    /// The longest time that a search waits for its answer.
    pub patience: Duration,
}

/// Opens a page: where its commands go, and what it shows.
///
/// The stream drives the page: nothing happens before its first poll, and dropping it stops all that the page has
/// started.
pub fn open(shared: &Shared) -> (Inputs, impl Stream<Item = PageState> + Send + use<>) {
    let (overview, overview_commands) = mpsc::channel(4);
    let (live, live_commands) = mpsc::channel(1);
    let (search, texts) = watch::channel(String::new());
    let (history, history_commands) = mpsc::channel(2);
    let source = shared.source.clone();
    let states = source.watch();
    let inputs = Inputs { overview, live, search, history, source };

    let (services, feed) = (shared.services.clone(), Arc::clone(&shared.feed));
    let patience = shared.patience;
    let (for_search, for_history) = (Arc::clone(&shared.shelf), Arc::clone(&shared.shelf));
    let overview = panels::contained(move || overview::states(services, overview_commands));
    let live = panels::contained(move || live::states(feed, live_commands));
    let search = panels::contained(move || search::states(for_search.catalogue(), texts, patience));
    let history =
        panels::contained(move || history::states(for_history.catalogue(), history_commands));
    let parts: [BoxStream<'static, Part>; 5] = [
        overview.map(Part::Overview).boxed(),
        live.map(Part::Live).boxed(),
        search.map(Part::Search).boxed(),
        history.map(Part::History).boxed(),
        panels::values(states).map(Part::Source).boxed(),
    ];
    let pages = stream::select_all(parts).scan(PageState::default(), |page, part| {
        page.changes(part);
        ready(Some(page.clone()))
    });
    (inputs, pages)
}

/// A part of the page that has changed.
enum Part {
    Overview(Panel<overview::Overview>),
    Live(Panel<live::Orders>),
    Search(Panel<search::Search>),
    History(Panel<history::History>),
    Source(State),
}

impl PageState {
    fn changes(&mut self, part: Part) {
        match part {
            Part::Overview(panel) => self.overview = Some(panel),
            Part::Live(panel) => self.live = Some(panel),
            Part::Search(panel) => self.search = Some(panel),
            Part::History(panel) => self.history = Some(panel),
            Part::Source(state) => self.source = Some(state),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_plain_json() {
        let read = |text| serde_json::from_str::<Command>(text).expect(text);
        assert_eq!(read(r#"{"overview":"retry"}"#), Command::Overview(overview::Command::Retry));
        assert_eq!(read(r#"{"search":"lamp"}"#), Command::Search("lamp".to_owned()));
        assert_eq!(read(r#"{"cut":true}"#), Command::Cut(true));
        let fault = read(r#"{"fault":{"service":"user","mode":"down"}}"#);
        assert_eq!(fault, Command::Fault { service: Service::User, mode: Mode::Down });
    }
}
