//! Bytes of what is there a hundred thousand times: of what waits, and of values in a cache.
//!
//! Each kind is measured in a process of its own, since freed memory is not returned to the system.

use std::collections::HashMap;
use std::hint::black_box;

use bench_kit::{memory, paused};

use crate::{caches, idle};

type Failed = Box<dyn std::error::Error>;

/// How many of each are held.
pub const HELD: u64 = 100_000;

/// Tells a process what to hold.
const VARIABLE: &str = "LEVEL4_BENCH_HELD";

/// The caches, as they are told.
pub const CACHES: [&str; 4] = ["this course", "moka", caches::QUICK, "std HashMap, no cache"];

/// Does the work if this process was started for it.
pub fn child() -> Option<Result<(), Failed>> {
    let name = std::env::var(VARIABLE).ok()?;
    Some(hold(&name))
}

/// Resident bytes of each of what is called so: a kind of what waits, or a value in one of [`CACHES`].
///
/// # Errors
///
/// Why there is no figure.
pub fn bytes(name: &str) -> Result<f64, String> {
    memory::held(VARIABLE, name)
}

fn hold(name: &str) -> Result<(), Failed> {
    let runtime = paused::runtime()?;
    let _in_runtime = runtime.enter();
    let resident = || memory::resident().ok_or("this system does not tell the memory of a process");
    let before;
    match CACHES.iter().position(|cache| *cache == name) {
        Some(0) => {
            before = resident()?;
            let cache = caches::empty(HELD)?;
            (0..HELD).for_each(|key| cache.put(key, key));
            print(before, resident()?, cache.len() as u64);
        }
        Some(1) => {
            before = resident()?;
            let cache = caches::moka(HELD);
            runtime.block_on(async {
                for key in 0..HELD {
                    cache.insert(key, key).await;
                }
                cache.run_pending_tasks().await;
            });
            print(before, resident()?, cache.entry_count());
        }
        Some(2) => {
            before = resident()?;
            let cache = caches::quick(HELD);
            (0..HELD).for_each(|key| cache.insert(key, key));
            print(before, resident()?, cache.len() as u64);
        }
        Some(_) => {
            before = resident()?;
            let map: HashMap<u64, u64> = (0..HELD).map(|key| (key, key)).collect();
            print(before, resident()?, black_box(map).len() as u64);
        }
        None => {
            let kind = idle::kind_of(name)?.ok_or("nothing that waits is called so")?;
            let mut held = Vec::with_capacity(HELD as usize);
            // One before the others: what they share belongs to none of them.
            let first = kind.begin();
            before = resident()?;
            (0..HELD).for_each(|_| held.push(kind.begin()));
            print(before, resident()?, held.len() as u64);
            drop(first);
        }
    }
    Ok(())
}

fn print(before: u64, after: u64, held: u64) {
    println!("{}", after.saturating_sub(before) as f64 / held.max(1) as f64);
}
