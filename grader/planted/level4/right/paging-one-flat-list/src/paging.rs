//! A paged window, as one list with marks.

use std::collections::VecDeque;
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// How many items a window has where nothing else is known.
pub const DEFAULT_WINDOW: NonZeroUsize = NonZeroUsize::new(100).expect("100 is not zero");

/// The direction of a load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dir {
    /// The page after the window.
    Next,
    /// The page before the window.
    Previous,
}

/// A page as a source returns it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T, C> {
    /// The items, in the order of the list. May be empty.
    pub items: Vec<T>,
    /// Where the page before this one is. `None`: this is the first page.
    pub previous: Option<C>,
    /// Where the page after this one is. `None`: this is the last page.
    pub next: Option<C>,
}

/// A source of pages.
pub trait Pages {
    /// An item.
    type Item: Clone;
    /// The place of a page.
    type Cursor: Clone;
    /// Why a page could not be loaded. All callers that wait for the page receive it.
    type Error: Clone;

    /// Loads the page at `at`, the cursor of a neighbour of it. `None` is the page with which the list begins.
    /// `dir` is the direction in which it lies from that neighbour.
    fn load(
        &self,
        at: Option<Self::Cursor>,
        dir: Dir,
    ) -> impl Future<Output = Result<Page<Self::Item, Self::Cursor>, Self::Error>> + Send;
}

/// What is kept of a list, at one moment.
#[derive(Clone, PartialEq, Eq)]
pub struct Window<T> {
    /// The index of the first item. The first item that was ever loaded has index 0; what lies before it has
    /// negative ones. An item keeps its index, whatever is loaded and dropped.
    pub first_index: i64,
    /// The items, in the order of the list.
    pub items: Arc<[T]>,
    /// Whether there is a page after the window, as far as is known.
    pub has_next: bool,
    /// Whether there is a page before the window, as far as is known.
    pub has_previous: bool,
    /// The direction of the load that runs.
    pub loading: Option<Dir>,
}

impl<T> fmt::Debug for Window<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Window")
            .field("first_index", &self.first_index)
            .field("items", &self.items.len())
            .field("has_next", &self.has_next)
            .field("has_previous", &self.has_previous)
            .field("loading", &self.loading)
            .finish()
    }
}

/// What a call has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loaded {
    /// A page with so many items was loaded. An empty page may have pages behind it.
    Items(usize),
    /// There is no page in that direction. Nothing was called.
    AtEnd,
}

/// Why no page was added. The window is as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError<E> {
    /// The source has failed.
    #[error("the page could not be loaded: {0}")]
    Source(E),
    /// The page has more items than the window may have.
    #[error("a page of {items} items does not fit into a window of {window}")]
    PageTooLarge {
        /// The items of the page.
        items: usize,
        /// The most items of the window.
        window: usize,
    },
}

/// A long list of which a window is kept.
pub struct PagedList<P: Pages> {
    pages: P,
    window: usize,
    state: Mutex<State<P>>,
    shown: watch::Sender<Window<P::Item>>,
}

type Answer<P> = Result<Loaded, LoadError<<P as Pages>::Error>>;

/// The page behind a mark: its items, and what lies beside it.
struct Span<C> {
    items: usize,
    previous: Option<C>,
    next: Option<C>,
}

struct State<P: Pages> {
    items: VecDeque<P::Item>,
    spans: VecDeque<Span<P::Cursor>>,
    first_index: i64,
    loading: Option<Dir>,
    begun: [u64; 2],
    ended: [Option<(u64, Answer<P>)>; 2],
}

impl<P: Pages> fmt::Debug for PagedList<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PagedList").finish_non_exhaustive()
    }
}

impl<P: Pages> PagedList<P> {
    /// A list of which nothing is loaded.
    pub fn new(pages: P, window: NonZeroUsize) -> Self {
        let state = State::<P> {
            items: VecDeque::new(),
            spans: VecDeque::new(),
            first_index: 0,
            loading: None,
            begun: [0; 2],
            ended: [None, None],
        };
        let shown = watch::Sender::new(state.window());
        Self { pages, window: window.get(), state: Mutex::new(state), shown }
    }

    /// Loads the page after the window.
    ///
    /// # Errors
    ///
    /// [`LoadError`].
    pub async fn next(&self) -> Result<Loaded, LoadError<P::Error>> {
        self.load(Dir::Next).await
    }

    /// Loads the page before the window.
    ///
    /// # Errors
    ///
    /// [`LoadError`].
    pub async fn previous(&self) -> Result<Loaded, LoadError<P::Error>> {
        self.load(Dir::Previous).await
    }

    /// The window.
    pub fn watch(&self) -> watch::Receiver<Window<P::Item>> {
        self.shown.subscribe()
    }

    fn state(&self) -> MutexGuard<'_, State<P>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn load(&self, dir: Dir) -> Answer<P> {
        let side = usize::from(dir == Dir::Next);
        let mut rest = self.shown.subscribe();
        let ticket = {
            let state = self.state();
            state.begun[side] + u64::from(state.loading != Some(dir))
        };
        let at = loop {
            let begins = {
                let mut state = self.state();
                if let Some((number, answer)) = &state.ended[side]
                    && *number >= ticket
                {
                    return answer.clone();
                }
                if state.loading.is_none() {
                    let Some(at) = state.edge(dir) else { return Ok(Loaded::AtEnd) };
                    state.loading = Some(dir);
                    state.begun[side] += 1;
                    Some(at)
                } else {
                    None
                }
            };
            match begins {
                Some(at) => break at,
                // The sender is a field: it lives as long as this call.
                None => drop(rest.wait_for(|window| window.loading.is_none()).await),
            }
        };
        let over = Over(self);
        self.shown.send_modify(|window| window.loading = Some(dir));
        let page = self.pages.load(at, dir).await;
        let window = {
            let mut state = self.state();
            let answer = page.map_err(LoadError::Source).and_then(|page| state.add(page, dir, self.window));
            state.ended[side] = Some((state.begun[side], answer.clone()));
            state.loading = None;
            (answer, state.window())
        };
        let (answer, window) = window;
        self.shown.send_replace(window);
        drop(over);
        answer
    }
}

/// Clears the flag of a load that has no result.
struct Over<'a, P: Pages>(&'a PagedList<P>);

impl<P: Pages> Drop for Over<'_, P> {
    fn drop(&mut self) {
        self.0.state().loading = None;
        self.0.shown.send_if_modified(|window| window.loading.take().is_some());
    }
}

impl<P: Pages> State<P> {
    fn edge(&self, dir: Dir) -> Option<Option<P::Cursor>> {
        let cursor = match dir {
            Dir::Previous => &self.spans.front()?.previous,
            Dir::Next => match self.spans.back() {
                None => return Some(None),
                Some(span) => &span.next,
            },
        };
        cursor.clone().map(Some)
    }

    fn window(&self) -> Window<P::Item> {
        Window {
            first_index: self.first_index,
            items: self.items.iter().cloned().collect(),
            has_next: self.edge(Dir::Next).is_some(),
            has_previous: self.edge(Dir::Previous).is_some(),
            loading: None,
        }
    }

    fn add(&mut self, page: Page<P::Item, P::Cursor>, dir: Dir, window: usize) -> Answer<P> {
        let Page { items: new, previous, next } = page;
        let items = new.len();
        if items > window {
            return Err(LoadError::PageTooLarge { items, window });
        }
        let mut span = Span { items, previous, next };
        let signed = i64::try_from(items).unwrap_or(i64::MAX);
        if dir == Dir::Next {
            self.items.extend(new);
            match self.spans.back_mut() {
                Some(last) if items == 0 => last.next = span.next,
                Some(last) if last.items == 0 => {
                    span.previous = last.previous.take();
                    *last = span;
                }
                _ => self.spans.push_back(span),
            }
            while self.items.len() > window {
                let gone = self.spans.pop_front().map_or(0, |span| span.items);
                self.items.drain(..gone);
                self.first_index += i64::try_from(gone).unwrap_or(i64::MAX);
            }
        } else {
            for item in new.into_iter().rev() {
                self.items.push_front(item);
            }
            self.first_index -= signed;
            match self.spans.front_mut() {
                Some(first) if items == 0 => first.previous = span.previous,
                Some(first) if first.items == 0 => {
                    span.next = first.next.take();
                    *first = span;
                }
                _ => self.spans.push_front(span),
            }
            while self.items.len() > window {
                let gone = self.spans.pop_back().map_or(0, |span| span.items);
                let rest = self.items.len() - gone;
                self.items.truncate(rest);
            }
        }
        Ok(Loaded::Items(items))
    }
}
