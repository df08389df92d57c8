//! The history of sales: level 4's `paging`, for a list that is scrolled without end.

use std::num::NonZeroUsize;
use std::sync::Arc;

use futures::Stream;
use futures::StreamExt as _;
use level4::paging::{Dir, PagedList, Window};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};

use super::{both, driven};
use crate::services::Catalogue;
use crate::shop::Sale;

/// The sales that are kept: three pages.
const WINDOW: NonZeroUsize = NonZeroUsize::MIN.saturating_add(89);

/// What the user asks of the history, by scrolling or with a button.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// The page after the window.
    Next,
    /// The page before the window.
    Previous,
}

impl From<Dir> for Command {
    fn from(dir: Dir) -> Self {
        match dir {
            Dir::Next => Self::Next,
            Dir::Previous => Self::Previous,
        }
    }
}

/// What the panel shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct History {
    /// How many sales lie before the window.
    pub first_index: i64,
    /// The sales of the window.
    pub sales: Arc<[Sale]>,
    /// Whether there is a page after the window.
    pub has_next: bool,
    /// Whether there is a page before the window.
    pub has_previous: bool,
    /// The load that runs.
    pub loading: Option<Command>,
    /// Why the last load has failed, and which one it was.
    pub failure: Option<Failed>,
}

/// A load that has failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failed {
    /// Its direction: the button that tries again sends it.
    pub load: Command,
    /// Why, for the page.
    pub text: String,
}

/// What the history shows, from its first page on.
///
/// Dropping the stream drops the load that runs.
pub(crate) fn states(
    catalogue: Catalogue,
    commands: mpsc::Receiver<Command>,
) -> impl Stream<Item = History> + Send {
    let list = PagedList::new(catalogue, WINDOW);
    let failures = watch::Sender::new(None);
    let shown = both(list.watch(), failures.subscribe());
    let shown = shown.map(|(window, failure)| History::of(window, failure));
    driven(shown, obeys(list, commands, failures))
}

impl History {
    fn of(window: Window<Sale>, failure: Option<Failed>) -> Self {
        let Window { first_index, items, has_next, has_previous, loading } = window;
        let loading = loading.map(Command::from);
        Self { first_index, sales: items, has_next, has_previous, loading, failure }
    }
}

/// Loads the first page, and then what the commands say, until there are no more.
async fn obeys(
    list: PagedList<Catalogue>,
    mut commands: mpsc::Receiver<Command>,
    failures: watch::Sender<Option<Failed>>,
) {
    let mut command = Some(Command::Next);
    while let Some(load) = command {
        // Before the load: no page sees the new window beside the failure of an older load.
        failures.send_if_modified(|last| last.take().is_some());
        let loaded = match load {
            Command::Next => list.next().await,
            Command::Previous => list.previous().await,
        };
        if let Err(why) = loaded {
            failures.send_replace(Some(Failed { load, text: why.to_string() }));
        }
        command = commands.recv().await;
    }
}
