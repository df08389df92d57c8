//! What stands around a call: limits, stops, retries, compositions. Each for a call or an operation.

use std::convert::Infallible;
use std::hint::black_box;
use std::num::{NonZeroU32, NonZeroUsize};

use futures::future::{join_all, select_ok};
use futures::{StreamExt as _, stream};
use futures_concurrency::prelude::*;
use level4::bulkhead::{Bulkheads, PoolConfig};
use level4::cancel::{cancellable, with_timeout};
use level4::compose::{Agreement, Ratio, first_ok, fold_steps, keep_ok, quorum};
use level4::limiter::Limiter;
use level4::recovery::{Class, Classify, Recovery};
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tower::{Service as _, ServiceExt as _};

use crate::work::{HOUR, SIZE, later, work};
use bench_kit::work::Work;

type Failed = Box<dyn std::error::Error>;

/// Operations of a composition. Times are rounded up to it.
const MANY: u64 = 100;

/// All of them.
pub fn all(runtime: &Runtime) -> Result<Vec<Work<'_>>, Failed> {
    Ok(vec![
        limiter(runtime),
        batch(runtime),
        bulkhead(runtime)?,
        limit(runtime),
        token(runtime),
        recovery(runtime),
        steps(runtime),
        kept(runtime),
        first(runtime),
        agreed(runtime)?,
    ])
}

/// A call with a free slot.
fn limiter(runtime: &Runtime) -> Work<'_> {
    let limiter = Limiter::new(SIZE);
    Work::new("limiter, a call", move |times| {
        runtime.block_on(async {
            for _ in 0..times {
                let _ = black_box(limiter.run(work).await);
            }
        });
    })
    .beside("tokio Semaphore", "an object to acquire and release, no operation", bare(runtime))
    .beside(
        "tower concurrency_limit",
        "the caller needs `&mut`, or a clone for each call",
        towers(runtime),
    )
}

fn bare(runtime: &Runtime) -> impl FnMut(u64) + '_ {
    let slots = Semaphore::new(SIZE.get());
    move |times| {
        runtime.block_on(async {
            for _ in 0..times {
                let slot = slots.acquire().await;
                let _ = black_box(work().await);
                drop(slot);
            }
        });
    }
}

fn towers(runtime: &Runtime) -> impl FnMut(u64) + '_ {
    let mut service = tower::ServiceBuilder::new()
        .concurrency_limit(SIZE.get())
        .service_fn(|()| async { work().await });
    move |times| {
        runtime.block_on(async {
            for _ in 0..times {
                let Ok(ready) = service.ready().await;
                let _ = black_box(ready.call(()).await);
            }
        });
    }
}

/// An operation of a batch of a hundred, ten at once.
fn batch(runtime: &Runtime) -> Work<'_> {
    let ten = NonZeroUsize::MIN.saturating_add(9);
    let limiter = Limiter::new(ten);
    Work::new("limiter, an operation of a batch", move |times| {
        runtime.block_on(async {
            for _ in 0..times.div_ceil(MANY) {
                let ops = (0..MANY).map(|_| later).collect();
                black_box(limiter.run_all(ops).await);
            }
        });
    })
    .beside("futures buffered", "a panic ends the batch; no limit with others", move |times| {
        runtime.block_on(async {
            for _ in 0..times.div_ceil(MANY) {
                let ops = stream::iter((0..MANY).map(|_| later())).buffered(ten.get());
                black_box(ops.collect::<Vec<_>>().await);
            }
        });
    })
    .beside(
        "futures-concurrency, a limited stream",
        "the results come as they are ready; a panic ends the batch",
        move |times| {
            runtime.block_on(async {
                for _ in 0..times.div_ceil(MANY) {
                    let ops: Vec<u64> = (0..MANY).collect();
                    let ops = ops.into_co_stream().limit(Some(ten)).map(|_| later());
                    black_box(ops.collect::<Vec<_>>().await);
                }
            });
        },
    )
}

/// A call with a free slot, in a pool that is found by its name.
fn bulkhead(runtime: &Runtime) -> Result<Work<'_>, Failed> {
    let pools = Bulkheads::new();
    let config = PoolConfig { max_concurrent: SIZE, max_queued: 0, queue_timeout: None };
    pools.add("it", config)?;
    Ok(Work::new("bulkhead, a call", move |times| {
        runtime.block_on(async {
            for _ in 0..times {
                let _ = black_box(pools.run("it", work).await);
            }
        });
    })
    .beside("tokio Semaphore", "one pool; a queue without a bound, no figures", bare(runtime))
    .beside(
        "tower concurrency_limit",
        "one pool; a queue without a bound, no figures",
        towers(runtime),
    ))
}

fn limit(runtime: &Runtime) -> Work<'_> {
    Work::new("cancel, a limit of time", move |times| {
        runtime.block_on(async {
            for _ in 0..times {
                let _ = black_box(with_timeout(HOUR, work()).await);
            }
        });
    })
    .beside("tokio timeout", "an error in an error", move |times| {
        runtime.block_on(async {
            for _ in 0..times {
                let _ = black_box(timeout(HOUR, work()).await);
            }
        });
    })
}

fn token(runtime: &Runtime) -> Work<'_> {
    let (own, other) = (CancellationToken::new(), CancellationToken::new());
    Work::new("cancel, a token", move |times| {
        runtime.block_on(async {
            for _ in 0..times {
                let _ = black_box(cancellable(&own, work()).await);
            }
        });
    })
    .beside(
        "tokio-util run_until_cancelled",
        "begins the work under a cancelled token",
        move |times| {
            runtime.block_on(async {
                for _ in 0..times {
                    let _ = black_box(other.run_until_cancelled(work()).await);
                }
            });
        },
    )
}

#[derive(Debug, Clone)]
struct Down;

impl Classify for Down {
    fn class(&self) -> Class {
        Class::Network
    }
}

async fn up() -> Result<u64, Down> {
    Ok(black_box(1))
}

fn recovery(runtime: &Runtime) -> Work<'_> {
    let three = NonZeroU32::MIN.saturating_add(2);
    let recovery = Recovery::new();
    Work::new("recovery, a call that succeeds", move |times| {
        runtime.block_on(async {
            for _ in 0..times {
                let _ = black_box(recovery.run("it", three, up).await);
            }
        });
    })
    .beside("backon", "no classes, no fallback, no figures, no clock", move |times| {
        use backon::Retryable as _;
        let schedule = backon::ExponentialBuilder::default().with_max_times(2);
        runtime.block_on(async {
            for _ in 0..times {
                let _ = black_box(up.retry(black_box(schedule)).await);
            }
        });
    })
}

/// A step of a hundred.
fn steps(runtime: &Runtime) -> Work<'_> {
    let step = |value: u64| async move { Ok::<_, Infallible>(black_box(value + 1)) };
    Work::new("compose, a step", move |times| {
        runtime.block_on(async {
            for _ in 0..times.div_ceil(MANY) {
                let steps = (0..MANY).map(|_| step).collect();
                let _ = black_box(fold_steps(0, steps).await);
            }
        });
    })
    .beside("futures try_fold", "does not say which step has failed", move |times| {
        use futures::TryStreamExt as _;
        runtime.block_on(async {
            for _ in 0..times.div_ceil(MANY) {
                let steps = stream::iter((0..MANY).map(|_| Ok(step)));
                let _ = black_box(steps.try_fold(0, |value, step| step(value)).await);
            }
        });
    })
}

/// An operation of a hundred, ten at once, of which all are kept.
fn kept(runtime: &Runtime) -> Work<'_> {
    let ten = NonZeroUsize::MIN.saturating_add(9);
    Work::new("compose, a selected operation", move |times| {
        runtime.block_on(async {
            for _ in 0..times.div_ceil(MANY) {
                let ops = (0..MANY).map(|_| later()).collect();
                black_box(keep_ok(ten, ops, |_, _| true).await);
            }
        });
    })
    .beside("futures buffer_unordered", "no places: the order is lost", move |times| {
        runtime.block_on(async {
            for _ in 0..times.div_ceil(MANY) {
                let ops = stream::iter((0..MANY).map(|_| later())).buffer_unordered(ten.get());
                black_box(
                    ops.filter_map(|it| std::future::ready(it.ok())).collect::<Vec<_>>().await,
                );
            }
        });
    })
}

/// Ten operations of which the last one succeeds.
async fn last(place: u64) -> Result<u64, u64> {
    tokio::task::yield_now().await;
    if place == 9 { Ok(place) } else { Err(place) }
}

fn first(runtime: &Runtime) -> Work<'_> {
    Work::new("compose, the first of ten", move |times| {
        runtime.block_on(async {
            for _ in 0..times {
                let _ = black_box(first_ok((0..10).map(last).collect()).await);
            }
        });
    })
    .beside(
        "futures select_ok",
        "one error of all; polls all for each wake; panics without operations",
        move |times| {
            runtime.block_on(async {
                for _ in 0..times {
                    let _ = black_box(select_ok((0..10).map(|it| Box::pin(last(it)))).await);
                }
            });
        },
    )
    .beside("futures-concurrency race_ok", "does not say which one has won", move |times| {
        runtime.block_on(async {
            for _ in 0..times {
                let ops: Vec<_> = (0..10).map(last).collect();
                let _ = black_box(ops.race_ok().await);
            }
        });
    })
}

/// Five operations, of which three have to agree.
fn agreed(runtime: &Runtime) -> Result<Work<'_>, Failed> {
    let most = Ratio::new(3, 5)?;
    Ok(Work::new("compose, a quorum of three of five", move |times| {
        runtime.block_on(async {
            for _ in 0..times {
                let ops = (0..5).map(|_| later()).collect();
                let _ = black_box(quorum(ops, most, Agreement::SameValue).await);
            }
        });
    })
    .beside(
        "futures buffer_unordered and take",
        "counts, and compares nothing; waits for those that cannot help",
        move |times| {
            runtime.block_on(async {
                for _ in 0..times {
                    let ops = stream::iter((0..5).map(|_| later())).buffer_unordered(5).take(3);
                    black_box(ops.collect::<Vec<_>>().await);
                }
            });
        },
    )
    .beside("futures join_all", "waits for all", move |times| {
        runtime.block_on(async {
            for _ in 0..times {
                black_box(join_all((0..5).map(|_| later())).await);
            }
        });
    }))
}
