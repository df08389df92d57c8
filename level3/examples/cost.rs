//! What the gateway itself costs: payments with services that answer at once.
//!
//! `cargo run --release -p level3 --example cost`

use std::num::NonZeroUsize;
use std::sync::Arc;

use level3::event::NoObserver;
use level3::gateway::{Gateway, GatewayConfig};
use level3::journal::MemoryJournal;
use level3::sim::{Flawless, Latencies, World};
use level3::trial::request;

const PAYMENTS: u32 = 200_000;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let world = World::with(Latencies::NONE, Arc::new(Flawless), None);
    let journal = Arc::new(MemoryJournal::new());
    // A limit that is never met: this measures what a call costs, not how long it waits.
    let rate = NonZeroUsize::new(10_000_000).ok_or("not zero")?;
    let config = GatewayConfig { rate, ..GatewayConfig::default() };
    let gateway = Gateway::new(config, world.providers(), journal, Arc::new(NoObserver))?;
    // Real time is what is measured here.
    #[expect(clippy::disallowed_methods)]
    let begin = std::time::Instant::now();
    for number in 0..PAYMENTS {
        gateway.pay(request(number)).await?;
    }
    let each = begin.elapsed() / PAYMENTS;
    println!("{PAYMENTS} payments, {} ns each, simulated services included", each.as_nanos());
    Ok(())
}
