//! One list on several threads.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use futures::future::poll_immediate;
use grader_kit::{Cx, Outcome, ensure, ensure_eq};
use level4::paging::{Dir, Loaded, Page, PagedList, Pages};
use tokio::runtime::Builder;
use tokio::task::yield_now;

use super::NEXT;
use crate::ops::nz;

const THREADS: usize = 4;
/// So many that the threads meet on a busy machine too.
const PAGES: i64 = 4_000;
const WINDOW: usize = 7;

/// Pages of one to three items, which are numbered from 0 on. A cursor is the number of a page.
#[derive(Clone, Default)]
struct Numbers(Arc<State>);

#[derive(Default)]
struct State {
    loads: AtomicUsize,
    running: AtomicUsize,
    most: AtomicUsize,
}

/// The first item of a page: three pages have six items.
const fn first(page: i64) -> i64 {
    6 * page.div_euclid(3) + [0, 1, 3][page.rem_euclid(3) as usize]
}

impl Pages for Numbers {
    type Item = i64;
    type Cursor = i64;
    type Error = Infallible;

    async fn load(&self, at: Option<i64>, _: Dir) -> Result<Page<i64, i64>, Infallible> {
        self.0.loads.fetch_add(1, SeqCst);
        self.0.most.fetch_max(self.0.running.fetch_add(1, SeqCst) + 1, SeqCst);
        let _ends = Ends(&self.0.running);
        for _ in 0..2 {
            yield_now().await;
        }
        let page = at.unwrap_or(0);
        let next = (page + 1 < PAGES).then_some(page + 1);
        let items = (first(page)..first(page + 1)).collect();
        Ok(Page { items, previous: (page > 0).then_some(page - 1), next })
    }
}

struct Ends<'a>(&'a AtomicUsize);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

pub async fn threads_share_a_list(cx: Cx) -> Outcome {
    loads_each_page_once(&cx)?;
    walks_and_leaves(&cx).await
}

/// All threads walk to the end.
fn loads_each_page_once(cx: &Cx) -> Outcome {
    let pages = Numbers::default();
    let list = Arc::new(PagedList::new(pages.clone(), nz(WINDOW)));
    let shared = Arc::clone(&list);
    let back = cx.on_threads(NEXT, THREADS, move |_| {
        let Ok(runtime) = Builder::new_current_thread().enable_time().build() else { return 0 };
        let (window, mut most, mut back) = (shared.watch(), 0, 0);
        runtime.block_on(async {
            while shared.next().await != Ok(Loaded::AtEnd) {
                let window = window.borrow();
                let end = window.first_index + window.items.len() as i64;
                back += usize::from(end < most);
                most = end.max(most);
            }
        });
        back
    })?;
    let back: usize = back.iter().sum();
    ensure!(back == 0, "{THREADS} threads call `next`, and nothing else: a window that ends before an earlier one is shown {back} times";
        expected = "0: the list goes on, and not back", help = "show a window before the next load can begin");
    let (loads, most) = (pages.0.loads.load(SeqCst), pages.0.most.load(SeqCst));
    ensure_eq!((loads, most), (PAGES as usize, 1), "{THREADS} threads call `next` up to the end of {PAGES} pages: how often a page is loaded, and how many loads there are at once";
        help = "who waits for a load shares its page, and the look for a load that runs is one step with its begin");
    ends_well(&list, "threads have called `next` up to the end")?;
    let last = list.watch().borrow().items.last().copied();
    ensure_eq!(last, Some(first(PAGES) - 1), "threads have called `next` up to the end: the last item of the window"; help = "show a window before the next load can begin");
    Ok(())
}

/// The window has whole pages that lie side by side, each item at its index.
fn ends_well(list: &PagedList<Numbers>, when: &str) -> Outcome {
    let window = list.watch().borrow().clone();
    let expected: Vec<_> = (window.first_index..).take(window.items.len()).collect();
    ensure!(window.items[..] == expected[..], "{when}: the window begins with index {} and has the items {:?}", window.first_index, window.items;
        expected = "each item has its index", help = "pages and index change in one step");
    ensure!(
        window.items.len() <= WINDOW,
        "{when}: a window of {WINDOW} has {} items",
        window.items.len()
    );
    ensure!(window.loading.is_none(), "{when}, no call is left, and the window says that a load runs"; expected = "`loading` is None");
    Ok(())
}

/// The threads go in both directions, and some of their calls are dropped.
async fn walks_and_leaves(cx: &Cx) -> Outcome {
    const ROUNDS: usize = 4_000;
    let list = Arc::new(PagedList::new(Numbers::default(), nz(WINDOW)));
    let shared = Arc::clone(&list);
    cx.on_threads("next and previous", THREADS, move |thread| {
        let Ok(runtime) = Builder::new_current_thread().enable_time().build() else { return };
        runtime.block_on(async {
            for round in 0..ROUNDS {
                match (thread + round) % 8 {
                    0 | 3 => drop(shared.previous().await),
                    1 => {
                        let _ = poll_immediate(shared.next()).await;
                    }
                    2 => {
                        let _ = poll_immediate(shared.previous()).await;
                    }
                    _ => drop(shared.next().await),
                }
            }
        });
    })?;
    ends_well(&list, "threads have called `next` and `previous`, and dropped some of the calls")?;
    // No lock and no turn has stayed with a call that is gone.
    for dir in [Dir::Previous, Dir::Next] {
        let calls = async {
            match dir {
                Dir::Next => while list.next().await != Ok(Loaded::AtEnd) {},
                Dir::Previous => while list.previous().await != Ok(Loaded::AtEnd) {},
            }
        };
        cx.call("next and previous", calls).await?;
        ends_well(&list, &format!("after that, calls of {dir:?} up to the end"))?;
    }
    Ok(())
}
