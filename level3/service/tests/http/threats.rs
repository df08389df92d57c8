//! The threat model names tests that exist.

use std::fs;
use std::path::Path;

#[test]
fn each_test_that_the_threat_model_names_exists() {
    // Tests run in the folder of their package.
    let page = fs::read_to_string("threat-model.md").unwrap();
    let mut named = 0;
    for span in page.split('`').skip(1).step_by(2).filter(|span| span.contains("tests/")) {
        named += 1;
        let (file, function) = match span.split_once(": ") {
            Some((file, function)) => (file, Some(function)),
            None => (span, None),
        };
        let text =
            fs::read_to_string(Path::new(file)).unwrap_or_else(|why| panic!("{file}: {why}"));
        if let Some(function) = function {
            assert!(text.contains(&format!("fn {function}(")), "{file} has no {function}");
        }
    }
    assert!(named > 30, "{named}");
}
