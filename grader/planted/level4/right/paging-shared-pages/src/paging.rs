//! A paged window, as a list of shared pages that is replaced.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Semaphore, watch};

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

type Answer<P> = Result<Loaded, LoadError<<P as Pages>::Error>>;
type Row<P> = Vec<Arc<Page<<P as Pages>::Item, <P as Pages>::Cursor>>>;

/// A long list of which a window is kept.
pub struct PagedList<P: Pages> {
    pages: P,
    window: usize,
    loads: Semaphore,
    row: Mutex<(Row<P>, i64)>,
    /// For each direction: those who have come since the last load of it began, and the answer that they get.
    joins: [Mutex<Arc<Mutex<Option<Answer<P>>>>>; 2],
    shown: watch::Sender<Window<P::Item>>,
}

impl<P: Pages> fmt::Debug for PagedList<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PagedList").finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn edge<P: Pages>(row: &Row<P>, dir: Dir) -> Option<Option<P::Cursor>> {
    match dir {
        Dir::Next => row.last().map_or(Some(None), |page| page.next.clone().map(Some)),
        Dir::Previous => row.first()?.previous.clone().map(Some),
    }
}

fn window<P: Pages>(row: &Row<P>, first_index: i64) -> Window<P::Item> {
    let items: Vec<_> = row.iter().flat_map(|page| &page.items).cloned().collect();
    Window {
        first_index,
        items: items.into(),
        has_next: edge::<P>(row, Dir::Next).is_some(),
        has_previous: edge::<P>(row, Dir::Previous).is_some(),
        loading: None,
    }
}

impl<P: Pages> PagedList<P> {
    /// A list of which nothing is loaded.
    pub fn new(pages: P, size: NonZeroUsize) -> Self {
        let shown = watch::Sender::new(window::<P>(&Vec::new(), 0));
        let joins = [Mutex::default(), Mutex::default()];
        let row = Mutex::new((Vec::new(), 0));
        Self { pages, window: size.get(), loads: Semaphore::new(1), row, joins, shown }
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

    async fn load(&self, dir: Dir) -> Answer<P> {
        let join = &self.joins[usize::from(dir == Dir::Next)];
        // All who come until a load of this direction ends have the same slot for its answer.
        let slot = Arc::clone(&lock(join));
        // The semaphore is never closed; an error would be a load that nothing keeps apart.
        let _permit = self.loads.acquire().await;
        let told = lock(&slot).clone();
        if let Some(answer) = told {
            return answer;
        }
        let begins = edge::<P>(&lock(&self.row).0, dir);
        let Some(at) = begins else { return Ok(Loaded::AtEnd) };
        let quiet = Quiet(&self.shown);
        self.shown.send_modify(|window| window.loading = Some(dir));
        let page = self.pages.load(at, dir).await;
        let answer = page.map_err(LoadError::Source).and_then(|page| self.add(page, dir));
        *lock(&slot) = Some(answer.clone());
        *lock(join) = Arc::default();
        if answer.is_ok() {
            let next = {
                let row = lock(&self.row);
                window::<P>(&row.0, row.1)
            };
            self.shown.send_replace(next);
        }
        drop(quiet);
        answer
    }

    fn add(&self, page: Page<P::Item, P::Cursor>, dir: Dir) -> Answer<P> {
        let items = page.items.len();
        if items > self.window {
            return Err(LoadError::PageTooLarge { items, window: self.window });
        }
        let (mut row, mut first) = lock(&self.row).clone();
        let next = dir == Dir::Next;
        // An empty page and its neighbour become one.
        let neighbour = if next { row.last() } else { row.first() };
        let page = match neighbour.map(Arc::clone) {
            Some(beside) if items == 0 || beside.items.is_empty() => {
                if next { row.pop().map(drop) } else { Some(drop(row.remove(0))) };
                let items = if items == 0 { beside.items.clone() } else { page.items };
                let (previous, after) = if next {
                    (beside.previous.clone(), page.next)
                } else {
                    (page.previous, beside.next.clone())
                };
                Page { items, previous, next: after }
            }
            _ => page,
        };
        if next {
            row.push(Arc::new(page));
        } else {
            row.insert(0, Arc::new(page));
            first -= i64::try_from(items).unwrap_or(i64::MAX);
        }
        while row.iter().map(|page| page.items.len()).sum::<usize>() > self.window {
            if next {
                first += i64::try_from(row.remove(0).items.len()).unwrap_or(i64::MAX);
            } else {
                row.pop();
            }
        }
        *lock(&self.row) = (row, first);
        Ok(Loaded::Items(items))
    }
}

struct Quiet<'a, T>(&'a watch::Sender<Window<T>>);

impl<T> Drop for Quiet<'_, T> {
    fn drop(&mut self) {
        self.0.send_if_modified(|window| window.loading.take().is_some());
    }
}
