//! Far more payments than the account allows, in real time.

use crate::oracles;
use crate::process::{Place, run};

/// Ten times and more of what the account takes. How much is paid depends on the machine; that everything
/// which is begun is paid does not.
#[test]
fn what_is_too_much_is_refused_before_it_begins() {
    let place = Place::sqlite();
    let line = "--payments 5000 --rate 10000 --failure-rate 0 --json";
    // As slow as the real services: a slow machine offers far more than the account takes, too.
    let ended = run(place.program_at(1, line));
    let result = ended.json();
    let payments = &result["payments"];
    let count = |name: &str| payments[name].as_u64().unwrap();
    assert_eq!(count("answered"), 5000, "{result:#}");
    assert!(count("refused") > 2500 && count("paid") > 0, "{result:#}");
    assert_eq!((count("failed"), count("compensating")), (0, 0), "{result:#}");
    assert_eq!(result["books"]["wrong"], 0, "{result:#}");
    // Declined payments have their intent cancelled; nothing else is undone.
    assert!(result["undone_steps"].as_u64().unwrap() <= count("declined"), "{result:#}");
    assert_eq!(ended.code, Some(1), "payments were refused: {ended:#?}");
    let seen = oracles::check(&place);
    assert_eq!(seen.payments as u64, count("paid") + count("declined"));
}
