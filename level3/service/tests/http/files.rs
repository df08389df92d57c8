//! The files for operators, read by the tools that they are for, where those are installed.

use std::process::Command;

use serde_json::Value;

/// Runs a tool in the folder of the files. Returns whether it is installed.
fn accepts(tool: &str, args: &[&str]) -> bool {
    // Tests run in the folder of their package.
    let Ok(output) = Command::new(tool).args(args).current_dir("operations").output() else {
        println!("skipped: {tool} is not installed");
        return false;
    };
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success(), "{tool} {args:?}:\n{said}");
    true
}

#[test]
fn prometheus_accepts_the_alerts_and_raises_them_when_it_should() {
    if accepts("promtool", &["check", "rules", "alerts.yml"]) {
        accepts("promtool", &["test", "rules", "alerts-test.yml"]);
        accepts("promtool", &["check", "config", "--syntax-only", "prometheus.yml"]);
    }
}

#[test]
fn a_linter_accepts_the_image() {
    accepts("hadolint", &["Dockerfile"]);
}

#[test]
fn systemd_understands_the_unit() {
    let Ok(output) = Command::new("systemd-analyze")
        .args(["verify", "./payment-gateway.service"])
        .current_dir("operations")
        .output()
    else {
        println!("skipped: systemd-analyze is not installed");
        return;
    };
    // The program is not installed where tests run. Every other line is a mistake in the file.
    let said = String::from_utf8_lossy(&output.stderr);
    let mistakes: Vec<_> = said
        .lines()
        .filter(|line| {
            line.contains("payment-gateway.service") && !line.contains("is not executable")
        })
        .collect();
    assert!(mistakes.is_empty(), "{mistakes:#?}");
}

/// Each panel has a place of its own, a question that it answers, and the selected source.
#[test]
fn every_panel_of_the_dashboard_is_complete() {
    let text = std::fs::read_to_string("operations/grafana-dashboard.json").unwrap();
    let board: Value = serde_json::from_str(&text).unwrap();
    let panels = board["panels"].as_array().unwrap();
    let mut places = std::collections::HashSet::new();
    for panel in panels {
        assert!(places.insert((panel["gridPos"]["x"].clone(), panel["gridPos"]["y"].clone())));
        for text in ["title", "description"] {
            assert!(panel[text].as_str().is_some_and(|text| !text.is_empty()), "{panel}");
        }
        for target in panel["targets"].as_array().unwrap() {
            assert_eq!(target["datasource"]["uid"], "${source}");
        }
    }
    assert_eq!(board["templating"]["list"][0]["name"], "source");
}

/// The limits that stop a drain are longer than a drain may be.
#[test]
fn no_supervisor_ends_a_drain() {
    let longest = gateway_service::ServiceConfig::default().drain_limit.as_secs();
    for (file, before) in
        [("compose.yaml", "stop_grace_period: "), ("payment-gateway.service", "TimeoutStopSec=")]
    {
        let text = std::fs::read_to_string(format!("operations/{file}")).unwrap();
        let (_, after) = text.split_once(before).unwrap();
        let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
        assert!(digits.parse::<u64>().unwrap() > longest, "{file}");
    }
}
