//! The promise written by hand beside what tokio and futures offer for the same.

use std::hint::black_box;

use bench_kit::contest::Case;
use futures::TryFutureExt as _;
use futures::future::{ready, try_join_all};
use level1::promise::{Broken, Promise, all};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

const SETTLE: &str = "resolved, then awaited";
const CHAIN: &str = "three `then`";
const ALL: &str = "`all` of five";
const ONESHOT: &str = "tokio::sync::oneshot, sent, then awaited";
const AND_THEN: &str = "three `and_then` of futures";
const JOIN: &str = "futures::try_join_all of five";

/// What is compared with what.
pub const PAIRS: [(&str, &str); 3] = [(SETTLE, ONESHOT), (CHAIN, AND_THEN), (ALL, JOIN)];

type Number = Result<u64, Broken>;

/// The cases of [`PAIRS`].
pub fn cases(runtime: &Runtime) -> Vec<Case<'_>> {
    vec![
        Case::new(SETTLE, |times| {
            runtime.block_on(async {
                for number in 0..times {
                    let promise: Promise<u64, Broken> =
                        Promise::new(|resolver| resolver.resolve(black_box(number)));
                    let _ = black_box(promise.await);
                }
            });
        }),
        Case::new(ONESHOT, |times| {
            runtime.block_on(async {
                for number in 0..times {
                    let (sender, receiver) = oneshot::channel();
                    // The receiver is there.
                    let _ = sender.send(black_box(number));
                    let _ = black_box(receiver.await);
                }
            });
        }),
        Case::new(CHAIN, |times| {
            runtime.block_on(async {
                let next = |number| Number::Ok(number + 1);
                for number in 0..times {
                    let promise: Promise<u64, Broken> = Promise::resolved(black_box(number));
                    let _ = black_box(promise.then(next).then(next).then(next).await);
                }
            });
        }),
        Case::new(AND_THEN, |times| {
            runtime.block_on(async {
                let next = |number| ready(Number::Ok(number + 1));
                for number in 0..times {
                    let first = ready(Number::Ok(black_box(number)));
                    let _ = black_box(first.and_then(next).and_then(next).and_then(next).await);
                }
            });
        }),
        Case::new(ALL, |times| {
            runtime.block_on(async {
                for number in 0..times {
                    let five = (0..5).map(|more| Promise::<_, Broken>::resolved(number + more));
                    let _ = black_box(all(five).await);
                }
            });
        }),
        Case::new(JOIN, |times| {
            runtime.block_on(async {
                for number in 0..times {
                    let five = (0..5).map(|more| ready(Number::Ok(number + more)));
                    let _ = black_box(try_join_all(five).await);
                }
            });
        }),
    ]
}
