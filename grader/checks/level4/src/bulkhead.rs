//! `bulkhead::Bulkheads`.

mod ends;
mod line;
mod scale;
mod settings;

use futures::future::join_all;
use grader_kit::{Cx, Fail, ms};
use level4::bulkhead::{Bulkheads, PoolConfig, PoolError};

use crate::ops::{Ops, nz};

pub use ends::{
    a_dropped_caller_frees_its_place, a_panic_frees_its_slot, an_error_is_the_operations,
};
pub use line::{
    a_full_queue_refuses_at_once, a_queue_timeout_ends_the_wait, first_come_first_served,
    never_more_than_the_limit, no_newcomer_overtakes, pools_are_apart,
};
pub use scale::{
    begins_with_the_first_poll, keeps_nothing_of_what_has_ended, takes_any_limit,
    ten_thousand_wait, threads_share_a_pool, waits_without_looking,
};
pub use settings::{refuses_bad_pools, status_counts, unknown_pools_are_errors};

const RUN: &str = "Bulkheads::run";
const ADD: &str = "Bulkheads::add";

type Answer = Result<usize, PoolError<String>>;

const fn config(max: usize, queued: usize, timeout: Option<u64>) -> PoolConfig {
    let queue_timeout = match timeout {
        Some(timeout) => Some(ms(timeout)),
        None => None,
    };
    PoolConfig { max_concurrent: nz(max), max_queued: queued, queue_timeout }
}

async fn add(cx: &Cx, pools: &Bulkheads, name: &str, config: PoolConfig) -> Result<(), Fail> {
    cx.call_fn(ADD, || pools.add(name, config)).await?.map_err(|error| {
        Fail::new(format!("a pool with {config:?} is refused: {error:?}")).expected("it is added")
    })
}

/// A pool named `a`.
async fn pool(cx: &Cx, max: usize, queued: usize, timeout: Option<u64>) -> Result<Bulkheads, Fail> {
    let pools = cx.call_fn("Bulkheads::new", Bulkheads::new).await?;
    add(cx, &pools, "a", config(max, queued, timeout)).await?;
    Ok(pools)
}

/// A call of pool `a`.
async fn call(pools: &Bulkheads, ops: &Ops<'_>, number: usize, length: u64) -> Answer {
    pools.run("a", || async move { Ok(ops.run(number, length).await) }).await
}

/// So many calls at once, numbered from 0.
async fn calls(pools: &Bulkheads, ops: &Ops<'_>, count: usize, length: u64) -> Vec<Answer> {
    join_all((0..count).map(|number| call(pools, ops, number, length))).await
}
