//! Ctrl-C.

use process_kit::{Running, run};

use crate::oracles;
use crate::process::{Place, code_fits};
use crate::stripe::Stripe;
use crate::waiting::under_way;

/// What the program says from the first Ctrl-C on.
const STOPPING: &str = "Stopping (Ctrl-C again ends at once)";

#[test]
fn once_drains() {
    let place = Place::sqlite();
    // A payment takes more than a second, so that some are under way at any time.
    let line = "--payments 100000 --rate 10 --failure-rate 0 --json";
    let running = Running::start(place.program_at(1, line));
    under_way(&place);
    running.interrupt();
    let ended = running.end();
    code_fits(&ended);
    let result = ended.json();
    assert!(result["payments"]["answered"].as_u64().unwrap() < 100_000, "{result:#}");
    assert_eq!(result["books"]["open"], 0, "{result:#}");
    oracles::check(&place);
}

#[test]
fn twice_ends_at_once_and_the_next_start_recovers() {
    let place = Place::sqlite();
    // Without its answers no payment ends, and so the drain does not end before the second Ctrl-C.
    let stripe = Stripe::silent();
    let program = |args: &str| {
        let mut program = place.program(args);
        program.args(["--stripe", &stripe.url]).env("STRIPE_SECRET_KEY", "sk_test_hidden");
        program
    };
    let running = Running::start(program("--payments 100000 --rate 40"));
    stripe.has_an_intent();
    running.interrupt();
    // The system merges two signals if the program has not taken the first one.
    running.stderr.says(STOPPING);
    running.interrupt();
    let ended = running.end();
    assert_eq!(ended.code, Some(130), "{ended:#?}");
    assert!(ended.stderr.contains("The next start finishes"), "{ended:#?}");

    stripe.answer();
    let next = run(program("recover --json"));
    assert_eq!(next.code, Some(0), "{next:#?}");
    let result = next.json();
    assert!(result["recovered"]["undone"].as_u64() > Some(0), "{result:#}");
    assert_eq!((&result["open"], &result["parked"]), (&0.into(), &0.into()), "{result:#}");
    assert!(stripe.all_are_settled());
    let (intents, paid) = stripe.counts();
    assert!(intents > 0 && paid == 0, "{paid} of {intents} are paid");
}
