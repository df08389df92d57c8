//! Far more payments than the account allows, in real time.

use process_kit::run;

use crate::oracles;
use crate::process::Place;

/// Far more than the account takes. How much is paid depends on the machine; that everything which is begun is
/// paid does not, unless the machine stands still for seconds: then the time of the payments under way is over.
#[test]
fn what_is_too_much_is_refused_before_it_begins() {
    let has_paid_all = (0..4).any(|_| offered_too_much());
    assert!(has_paid_all, "payments that were begun have failed, each time");
}

/// Returns whether everything that was begun was paid.
fn offered_too_much() -> bool {
    let place = Place::sqlite();
    let line = "--payments 5000 --rate 10000 --failure-rate 0 --json";
    // As slow as the real services: a slow machine offers far more than the account takes, too.
    let ended = run(place.program_at(1, line));
    let result = ended.json();
    let payments = &result["payments"];
    let count = |name: &str| payments[name].as_u64().unwrap();
    assert_eq!(count("answered"), 5000, "{result:#}");
    assert!(count("refused") > 2500, "{result:#}");
    assert_eq!(result["books"]["wrong"], 0, "{result:#}");
    assert_eq!(ended.code, Some(1), "payments were refused: {ended:#?}");
    let begun = 5000 - count("refused");
    assert_eq!(oracles::check(&place).payments as u64, begun, "a refused payment was begun");
    let failed = count("failed") + count("compensating");
    if failed > 0 {
        println!("{failed} of {begun} have failed: {result:#}");
        return false;
    }
    // Declined payments have their intent cancelled; nothing else is undone.
    assert!(result["undone_steps"].as_u64().unwrap() <= count("declined"), "{result:#}");
    count("paid") > 0
}
