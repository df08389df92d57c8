//! The demonstration of the example `timeline`.

#[path = "../examples/timeline/demo.rs"]
mod demo;
#[path = "../examples/timeline/follow.rs"]
mod follow;

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::timeout;

/// Longer than the demonstration should take.
const PATIENCE: Duration = Duration::from_secs(120);

#[tokio::test]
async fn the_demonstration_shows_each_step() {
    let lines = Mutex::new(Vec::new());
    let tell = |line: &str| {
        println!("{line}");
        lines.lock().expect("lines").push(line.get(11..).unwrap_or_default().trim().to_owned());
    };
    timeout(PATIENCE, demo::play(tell)).await.expect("in time").expect("it plays");
    let lines = lines.into_inner().expect("lines");
    let at = |from: usize, part: &str| {
        let found = lines.iter().skip(from).position(|line| line.contains(part));
        from + found.unwrap_or_else(|| panic!("no `{part}` after line {from} of {lines:#?}"))
    };
    let mut from = 0;
    for part in [
        "the server has another city",
        "half of the file",
        "bob no more",
        "the server is down",
        "the server is back",
        "4 records, 0 not saved",
        "the process is away",
        "without a document",
    ] {
        from = at(from, part);
    }
    // Within a step the two sources answer in any order.
    let server = at(0, "the server has another city");
    at(server, "cy        city=\"Rome\"  from web");
    at(server, "ann       city=\"Paris\"  from web");
    at(server, "ann       file and web differ");
    let newer = at(0, "bob no more");
    at(newer, "ann       city=\"Turin\"  from file");
    at(newer, "bob       deleted by file");
    let down = at(0, "the server is down");
    at(down, "dan       city=\"Riga\"  from file");
    at(down, "web       failed: the server answers 503");
    at(at(0, "the server is back"), "web       answers again");
    let away = at(0, "the process is away");
    at(away, "store     4 records");
    at(away, "cy        deleted by web");
    at(away, "dan       deleted by file");
    let half = at(0, "half of the file");
    let deletion = lines[half..newer].iter().find(|line| line.contains("deleted"));
    assert_eq!(deletion, None, "half of a file deletes nothing");
}
