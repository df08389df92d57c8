//! What the source is told and what it reports: faults by service, whether the link is cut, and counts.

use std::ops::Range;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::chance::Chance;

/// A service of the shop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Service {
    /// Who is logged in.
    User,
    /// What the user did last.
    Activities,
    /// What the user is to know.
    Notifications,
    /// The orders in progress, as a snapshot.
    Orders,
    /// The search for products.
    Search,
    /// The sales of the past, page by page.
    Sales,
}

impl Service {
    /// All services, in the order of [`State::services`].
    pub const ALL: [Self; 6] = [
        Self::User,
        Self::Activities,
        Self::Notifications,
        Self::Orders,
        Self::Search,
        Self::Sales,
    ];
}

/// How a service answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// With what was asked for.
    Works,
    /// Half of its answers are 503.
    Flaky,
    /// All of its answers are 503.
    Down,
    /// Not at all.
    Silent,
}

/// One service at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServiceState {
    /// Which one.
    pub service: Service,
    /// How it answers.
    pub mode: Mode,
    /// The calls that have arrived.
    pub calls: u64,
    /// The calls whose caller left before the answer.
    pub given_up: u64,
}

/// The source at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct State {
    /// Whether the link for live updates is cut.
    pub cut: bool,
    /// The web sockets that are open.
    pub sockets: usize,
    /// Every service.
    pub services: Vec<ServiceState>,
}

impl State {
    /// Every service works, and the link is there.
    #[must_use]
    pub fn new() -> Self {
        let service = |service| ServiceState { service, mode: Mode::Works, calls: 0, given_up: 0 };
        Self { cut: false, sockets: 0, services: Service::ALL.map(service).into() }
    }

    /// A service of the source.
    pub fn of(&mut self, service: Service) -> &mut ServiceState {
        // `new` makes one for each.
        &mut self.services[service as usize]
    }
}

impl Default for State {
    fn default() -> Self {
        Self::new()
    }
}

/// How a call ends after its delay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// With an answer.
    Answer,
    /// With a 503.
    Refuse,
    /// Not at all.
    Never,
}

/// What happens to one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// The time before the answer.
    pub delay: Duration,
    /// The answer.
    pub ending: Ending,
}

impl Plan {
    /// Draws the plan of a call. Every plan draws two numbers, so that a mode does not shift later draws.
    pub fn draw(chance: &mut Chance, mode: Mode, delays: &Range<Duration>) -> Self {
        let (delay, fails) = (chance.time(delays), chance.below(2) == 0);
        let ending = match mode {
            Mode::Works => Ending::Answer,
            Mode::Flaky if !fails => Ending::Answer,
            Mode::Flaky | Mode::Down => Ending::Refuse,
            Mode::Silent => Ending::Never,
        };
        Self { delay, ending }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_found_at_its_place() {
        let mut state = State::new();
        for service in Service::ALL {
            assert_eq!(state.of(service).service, service);
        }
    }

    #[test]
    fn a_mode_decides_the_ending() {
        let delays = Duration::from_millis(10)..Duration::from_millis(20);
        let endings = |mode| {
            let mut chance = Chance::new(7, 1);
            let plans = (0..100).map(|_| Plan::draw(&mut chance, mode, &delays));
            plans.map(|plan| plan.ending).collect::<Vec<_>>()
        };
        assert!(endings(Mode::Works).iter().all(|it| *it == Ending::Answer));
        assert!(endings(Mode::Down).iter().all(|it| *it == Ending::Refuse));
        assert!(endings(Mode::Silent).iter().all(|it| *it == Ending::Never));
        let refused = endings(Mode::Flaky).iter().filter(|it| **it == Ending::Refuse).count();
        assert!((30..70).contains(&refused), "{refused}");
    }
}
