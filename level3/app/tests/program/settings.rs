//! Options of a file and of the environment.

use std::fs;

use process_kit::run;

use crate::process::program;

#[test]
fn the_options_of_a_service_are_listed_with_their_sources() {
    let folder = tempfile::tempdir().unwrap();
    let file =
        "calls = 50\nstore = \"postgres://me:hidden@db/shop\"\n[serve]\nlisten = \"127.0.0.1:9\"\n";
    fs::write(folder.path().join("gateway.toml"), file).unwrap();
    let line = "serve --check-config --config gateway.toml --temporary";
    let mut listing = program(folder.path(), line);
    listing.env("PAYMENT_GATEWAY_LISTEN", "127.0.0.1:8");
    let ended = run(listing);
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    let listed = |name: &str| {
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        let is_it = |line: &&str| line.trim_start_matches("# ").starts_with(&format!("{name} ="));
        let found = ended.stdout.lines().find(is_it);
        words(found.unwrap_or_else(|| panic!("{name}: {ended:#?}")))
    };
    assert_eq!(listed("calls"), "calls = \"50\" # gateway.toml");
    assert_eq!(listed("listen"), "listen = \"127.0.0.1:8\" # PAYMENT_GATEWAY_LISTEN");
    assert_eq!(listed("temporary"), "temporary = true # command line");
    assert_eq!(listed("seed"), "# seed = \"7\" # default");
    assert!(!ended.stdout.contains("hidden"), "{ended:#?}");
    // The text is a file for --config, which lists the same values.
    fs::write(folder.path().join("listed.toml"), &ended.stdout).unwrap();
    let again = run(program(folder.path(), "serve --check-config --config listed.toml"));
    assert_eq!(again.code, Some(0), "{again:#?}");
    let values = |text: &str| {
        let before = |line: &str| line.split('#').next().unwrap_or_default().trim_end().to_owned();
        text.lines().map(before).filter(|line| !line.is_empty()).collect::<Vec<_>>()
    };
    assert_eq!(values(&again.stdout), values(&ended.stdout));
    let json = run(program(folder.path(), "serve --check-config --json --config gateway.toml"));
    assert_eq!(json.json()["options"]["calls"]["value"], "50", "{json:#?}");
    assert_eq!(json.json()["serve"]["listen"]["source"], "gateway.toml", "{json:#?}");
}

#[test]
fn a_wrong_value_is_traced_to_its_source() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("gateway.toml"), "calls = 0\n").unwrap();
    let ended = run(program(folder.path(), "--config gateway.toml --payments 1"));
    assert_eq!(ended.code, Some(2), "{ended:#?}");
    assert!(ended.stderr.contains("--calls has the value of gateway.toml"), "{ended:#?}");
    let mut rate = program(folder.path(), "--json");
    rate.env("PAYMENT_GATEWAY_RATE", "fast");
    let ended = run(rate);
    assert_eq!(ended.code, Some(2), "{ended:#?}");
    let error = ended.json()["error"].as_str().unwrap().to_owned();
    assert!(error.ends_with("--rate has the value of PAYMENT_GATEWAY_RATE"), "{error}");
    let ended = run(program(folder.path(), "--config none.toml"));
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{ended:#?}");
    assert!(ended.stderr.contains("none.toml: No such file"), "{ended:#?}");
}
