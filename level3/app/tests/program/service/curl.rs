//! The commands of the service's README, as they stand there.

use std::path::Path;
use std::process::Command;

use super::client::{order, pay};
use super::start::{Serving, command, key};
use crate::oracles;
use crate::process::Place;

/// The blocks that are marked as commands for a shell.
fn blocks(text: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once("```sh\n") {
        let (block, after) = after.split_once("```").unwrap();
        blocks.push(block.to_owned());
        rest = after;
    }
    blocks
}

#[test]
fn the_commands_of_the_readme_work() {
    if Command::new("curl").arg("--version").output().is_err() {
        println!("skipped: there is no curl");
        return;
    }
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../service/README.md");
    let blocks = blocks(&std::fs::read_to_string(readme).unwrap());
    assert!(blocks.len() >= 3);
    let place = Place::sqlite();
    let key = key(&place);
    let serving = Serving::start(command(&place, ""));
    let shell = |script: &str| {
        let mut shell = Command::new("sh");
        shell.args(["-euc", script]).env("KEY", &key);
        let output = shell.env("URL", format!("http://{}", serving.address)).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{script}\n{output:?}");
        text
    };
    let first = shell(&blocks[0]);
    assert!(first.contains("\"state\":\"paid\""), "{first}");
    assert_eq!(shell(&blocks[0]), first, "the same bytes");
    let all = blocks[1..].iter().map(|block| shell(block)).collect::<String>();
    for words in
        ["\"runs\":", "\"ready\":true", "payment_gateway_payments_total", "\"delivered\":0"]
    {
        assert!(all.contains(words), "{words}: {all}");
    }
}

/// Prometheus' own client library reads the figures, and another project's validator the document.
#[test]
fn tools_of_others_read_what_the_service_says() {
    let place = Place::sqlite();
    let key = key(&place);
    let serving = Serving::start(command(&place, ""));
    // Most figures appear with the first payment.
    let paid = oracles::block_on(pay(&serving.address, &key, "one", &order(1))).unwrap();
    assert_eq!(paid.status, 201, "{paid:?}");
    let check = |what: &str, module: &str, script: &str, path: &str| {
        let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned());
        let run = |script: &str| {
            let mut python = Command::new(&python);
            python.args(["-c", script]).env("KEY", &key);
            python.env("URL", format!("http://{}{path}", serving.address)).output()
        };
        match run(&format!("import {module}")) {
            Ok(found) if found.status.success() => {}
            _ => return println!("skipped: Python has no {module} to read {what}"),
        }
        let get = "import json, os, urllib.request as u\n\
             r = u.Request(os.environ['URL'], headers={'Authorization': 'Bearer ' + os.environ['KEY']})\n\
             text = u.urlopen(r).read().decode()\n";
        let output = run(&format!("{get}{script}")).unwrap();
        assert!(output.status.success(), "{what}: {output:?}");
        println!("{module} has read {what}");
    };
    check(
        "the figures",
        "prometheus_client",
        "from prometheus_client.openmetrics.parser import text_string_to_metric_families as p\n\
         assert len(list(p(text))) > 10",
        "/metrics",
    );
    check(
        "the document",
        "openapi_spec_validator",
        "import openapi_spec_validator as v\nv.validate(json.loads(text))",
        "/openapi.json",
    );
}
