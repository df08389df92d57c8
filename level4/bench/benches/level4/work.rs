//! A piece of work that level 4 does, and others do beside it.

use std::convert::Infallible;
use std::hint::black_box;
use std::num::NonZeroUsize;
use std::time::Duration;

use bench_kit::contest::Case;
use futures::{Stream, StreamExt as _};
use tokio::runtime::Runtime;

/// Longer than any measurement: no limit of time is met.
pub const HOUR: Duration = Duration::from_secs(3600);

/// Of a chunk, a limit, a window, a cache.
pub const SIZE: NonZeroUsize = NonZeroUsize::new(100).unwrap();

/// The name of this course among the peers.
const OWN: &str = "this course";

/// A peer at a work.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    /// The library and its function.
    pub name: &'static str,
    /// What level 4 promises and this peer does not.
    pub lacks: &'static str,
}

/// A piece of work with its figures still to come: names only.
#[derive(Debug, Clone)]
pub struct Rows {
    /// The name of the work.
    pub work: &'static str,
    /// Those that do it too.
    pub peers: Vec<Peer>,
}

/// A piece of work: how level 4 does it, and how its peers do.
pub struct Work<'a> {
    rows: Rows,
    cases: Vec<Case<'a>>,
}

impl<'a> Work<'a> {
    /// The work of this name: `run(n)` does it `n` times with level 4.
    pub fn new(work: &'static str, run: impl FnMut(u64) + 'a) -> Self {
        let cases = vec![Case::new(case(work, OWN), run)];
        Self { rows: Rows { work, peers: Vec::new() }, cases }
    }

    /// The same work with a peer.
    pub fn beside(
        mut self,
        name: &'static str,
        lacks: &'static str,
        run: impl FnMut(u64) + 'a,
    ) -> Self {
        self.cases.push(Case::new(case(self.rows.work, name), run));
        self.rows.peers.push(Peer { name, lacks });
        self
    }

    /// The names, and what is to be measured.
    pub fn split(self) -> (Rows, Vec<Case<'a>>) {
        (self.rows, self.cases)
    }
}

/// The name of the case of `peer` at `work`.
pub fn case(work: &str, peer: &str) -> String {
    format!("{work}/{peer}")
}

/// The name of the case of level 4 at `work`.
pub fn own(work: &str) -> String {
    case(work, OWN)
}

/// Reads a stream to its end.
pub fn drain<T>(runtime: &Runtime, items: impl Stream<Item = T>) {
    runtime.block_on(items.for_each(|item| {
        black_box(item);
        std::future::ready(())
    }));
}

/// An operation that succeeds at once.
pub async fn work() -> Result<u64, Infallible> {
    Ok(black_box(1))
}

/// An operation that succeeds at its second poll: calls that run at once overlap.
pub async fn later() -> Result<u64, Infallible> {
    tokio::task::yield_now().await;
    Ok(black_box(1))
}
