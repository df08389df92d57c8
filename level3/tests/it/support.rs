//! What the tests have in common.

use std::sync::{Arc, Mutex};

use level3::answer::Status;
use level3::event::Event;
use level3::gateway::{Gateway, GatewayConfig};
use level3::journal::MemoryJournal;
use level3_sim::{Faults, World};

/// A gateway in a world of its own.
pub struct Setup {
    pub world: World,
    pub gateway: Gateway,
    pub events: Arc<Mutex<Vec<Event>>>,
}

pub fn setup(faults: impl Faults + 'static) -> Setup {
    setup_with(faults, GatewayConfig::default())
}

pub fn setup_with(faults: impl Faults + 'static, config: GatewayConfig) -> Setup {
    let world = World::new(faults);
    let events = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&events);
    let gateway = Gateway::new(
        config,
        world.providers(),
        Arc::new(MemoryJournal::new()),
        Arc::new(move |event| seen.lock().expect("no panic").push(event)),
    )
    .expect("a valid configuration");
    Setup { world, gateway, events }
}

impl Setup {
    pub fn terminal_events(&self) -> Vec<Status> {
        let events = self.events.lock().expect("no panic");
        let status = |event: &Event| match event {
            Event::Ended { status, .. } => Some(status.clone()),
            _ => None,
        };
        events.iter().filter_map(status).collect()
    }

    /// What customers have paid in the end.
    pub fn net(&self) -> i64 {
        self.world.intents().iter().map(|intent| intent.net()).sum()
    }
}
