use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Act {
    Wait(Nanos),
    Reserve,
    Commit,
    Release,
    Pause(Nanos),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        2 => prop_oneof![0_u64..30, Just(99), Just(100), Just(101)].prop_map(Act::Wait),
        6 => Just(Act::Reserve),
        6 => Just(Act::Commit),
        2 => Just(Act::Release),
        1 => (0_u64..150).prop_map(Act::Pause),
    ];
    prop::collection::vec(act, 0..200)
}

/// Keeps every call and counts them again each time.
#[derive(Default)]
struct Model {
    calls: Vec<Nanos>,
    held: usize,
    paused_until: Nanos,
}

impl Model {
    fn in_window(&self, now: Nanos) -> usize {
        self.calls.iter().filter(|&&call| now - call < 100).count()
    }

    fn is_free(&self, now: Nanos, limit: usize) -> bool {
        now >= self.paused_until && self.held + self.in_window(now) < limit
    }
}

proptest! {
    #[test]
    fn agrees_with_the_model(limit in 1_usize..6, acts in acts()) {
        let (mut window, mut model, mut now) = (Window::new(limit, 100), Model::default(), 0);
        for act in acts {
            match act {
                Act::Wait(time) => now += time,
                Act::Reserve => {
                    let free = model.is_free(now, limit);
                    prop_assert_eq!(window.reserve(now), free);
                    model.held += usize::from(free);
                }
                Act::Commit if model.held > 0 => {
                    window.commit(now);
                    model.held -= 1;
                    model.calls.push(now);
                }
                Act::Release if model.held > 0 => {
                    window.release();
                    model.held -= 1;
                }
                Act::Commit | Act::Release => {}
                Act::Pause(time) => {
                    window.pause_until(now + time);
                    model.paused_until = model.paused_until.max(now + time);
                }
            }
            prop_assert_eq!(window.in_window(now), model.in_window(now));
            prop_assert!(model.in_window(now) + model.held <= limit);
            // The instant at which a slot is free is the first one at which the model has one.
            let expected = (now..now + 400).find(|&at| model.is_free(at, limit));
            let found = window.free_at().map(|at| at.max(now));
            prop_assert_eq!(found, if model.held == limit { None } else { expected });
        }
    }

    #[test]
    fn foresees_when_each_in_the_queue_gets_a_slot(
        limit in 1_usize..6,
        acts in acts(),
        pause in 0_u64..150,
    ) {
        let (mut window, mut now) = (Window::new(limit, 100), 0);
        for act in acts {
            match act {
                Act::Wait(time) => now += time,
                _ if window.reserve(now) => window.commit(now),
                _ => {}
            }
        }
        window.pause_until(now + pause);
        // Nothing is held: what is foreseen is what happens when every caller calls at once.
        let foreseen: Vec<_> = (0..3 * limit).map(|ahead| window.earliest(now, ahead)).collect();
        let mut happened = Vec::new();
        for _ in 0..3 * limit {
            // Time does not go back: a slot that is free since long before is free now.
            now = window.free_at().expect("nothing is held").max(now);
            prop_assert!(window.reserve(now));
            window.commit(now);
            happened.push(now);
        }
        prop_assert_eq!(foreseen, happened);
    }
}

#[test]
fn keeps_only_the_calls_of_the_last_window() {
    let mut window = Window::new(usize::MAX, 100);
    for now in (0..10_000).step_by(10) {
        assert!(window.reserve(now));
        window.commit(now);
        assert!(window.calls.len() <= 10, "{} calls are kept", window.calls.len());
        assert_eq!(window.earliest(now, 0), now);
    }
}

#[test]
fn far_future_does_not_overflow() {
    let mut window = Window::new(2, Nanos::MAX);
    assert!(window.reserve(5));
    window.commit(5);
    assert!(window.reserve(5));
    window.commit(5);
    assert_eq!(window.earliest(5, 100), Nanos::MAX);
}
