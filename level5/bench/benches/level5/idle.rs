//! Systems in which nothing happens: how often their threads wake up in a week, and what a thing that waits takes.
//!
//! A thing that waits is measured in a process of its own, since freed memory is not returned to the system.

use std::hint::black_box;
use std::time::Duration;

use bench_kit::{memory, paused};
use level5::notifications::Priority;
use tokio::runtime::{Handle, Runtime};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::events::{self, Accepts};
use crate::{Failed, requests, users};

/// How long they are watched, in virtual time.
const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

/// How many things wait.
pub const HELD: u64 = 100_000;

/// Tells a process what to hold.
const VARIABLE: &str = "LEVEL5_BENCH_HELD";

/// The systems, by name.
pub const SYSTEMS: [&str; 3] = ["event processor", "orchestrator", "notifier"];

/// The things that wait, by name.
pub const WAITING: [&str; 3] =
    ["an event that is pending", "a request that waits for a slot", "a notification of a batch"];

/// How often the thread of a system wakes up in a week. What it does when it starts is not counted.
pub fn wake_ups(system: &str) -> Result<u64, Failed> {
    let alone = count(&paused::runtime()?, &());
    let runtime = paused::runtime()?;
    let with_it = match system {
        "event processor" => {
            let idle = runtime.block_on(events::start(Accepts::open()))?;
            count(&runtime, &idle)
        }
        "orchestrator" => {
            let idle = runtime.block_on(async { requests::start(10, true) })?;
            count(&runtime, &idle)
        }
        "notifier" => {
            let idle = runtime.block_on(async { users::start(10) })?;
            count(&runtime, &idle)
        }
        other => return Err(format!("no system is called {other}").into()),
    };
    Ok(with_it.saturating_sub(alone))
}

/// Parks of the thread during a week: it wakes up after each. A few are those of the watcher, whose own timer moves
/// through the levels of tokio's timer wheel.
fn count<T>(runtime: &Runtime, idle: &T) -> u64 {
    let parks = || Handle::current().metrics().worker_park_count(0);
    let counted = runtime.block_on(async {
        sleep(Duration::from_secs(1)).await;
        let before = parks();
        sleep(WEEK).await;
        parks() - before
    });
    black_box(idle);
    counted
}

/// Holds things if this process was started for it.
pub fn child() -> Option<Result<(), Failed>> {
    let name = std::env::var(VARIABLE).ok()?;
    Some(hold(&name))
}

/// Resident bytes of one thing that waits.
///
/// # Errors
///
/// Why there is no figure.
pub fn bytes(name: &str) -> Result<f64, String> {
    memory::held(VARIABLE, name)
}

fn hold(name: &str) -> Result<(), Failed> {
    let runtime = paused::runtime()?;
    let resident = || memory::resident().ok_or("this system does not tell the memory of a process");
    let print = |before: u64, after: u64| {
        println!("{}", after.saturating_sub(before) as f64 / HELD as f64);
    };
    runtime.block_on(async {
        match WAITING.iter().position(|known| *known == name) {
            Some(0) => {
                let processor = events::start(Accepts::closed()).await?;
                let before = resident()?;
                events::ingest(&processor, HELD).await;
                print(before, resident()?);
            }
            Some(1) => {
                let orchestrator = requests::start(HELD, false)?;
                let ids: Vec<String> = (0..HELD).map(|number| number.to_string()).collect();
                let before = resident()?;
                let mut runs = JoinSet::new();
                for id in ids {
                    let orchestrator = orchestrator.clone();
                    runs.spawn(async move { orchestrator.run(&id).await.is_ok() });
                }
                // Each task runs once: all requests wait, for a slot or for the transport.
                tokio::task::yield_now().await;
                print(before, resident()?);
            }
            Some(_) => {
                let notifier = users::start(HELD)?;
                let before = resident()?;
                let receipts = users::notify(&notifier, HELD, Priority::Low).await;
                print(before, resident()?);
                black_box(receipts);
            }
            None => return Err(format!("nothing that waits is called {name}").into()),
        }
        Ok(())
    })
}
