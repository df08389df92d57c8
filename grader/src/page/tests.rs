//! A page, read by an XML parser and shown by a browser.
use std::path::PathBuf;
use std::process::Command;

use roxmltree::{Document, Node};

use super::{code, learner};
use crate::report::tests::{report, wrong};

/// The text of the element with this id.
fn by_id(document: &Document<'_>, id: &str) -> String {
    let mut elements = document.descendants();
    let found = elements.find(|node| node.attribute("id") == Some(id));
    found.unwrap_or_else(|| panic!("no element {id}")).text().unwrap_or_default().to_owned()
}

fn criteria<'a>(document: &'a Document<'a>) -> Vec<Node<'a, 'a>> {
    document.descendants().filter(|node| node.has_attribute("data-id")).collect()
}

/// An HTML page begins with a DOCTYPE, which the parser has to be allowed.
fn read(page: &str) -> Document<'_> {
    let allowed = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
    Document::parse_with_options(page, allowed).unwrap_or_else(|why| panic!("{why}\n{page}"))
}

#[test]
fn the_figures_of_the_page_are_those_of_the_result() {
    let report = report(Some(wrong));
    let page = learner(&report).expect("a page");
    let document = read(&page);
    let figures = ["core", "core-of", "bonus", "bonus-of"].map(|id| by_id(&document, id));
    let score = report.score;
    let expected = [score.core, score.core_of, score.bonus, score.bonus_of].map(|n| n.to_string());
    assert_eq!(figures, expected);
    assert_eq!(by_id(&document, "seed"), report.seed.to_string());
    let shown: Vec<(String, String)> = criteria(&document)
        .iter()
        .map(|node| {
            ["data-id", "data-status"]
                .map(|name| node.attribute(name).unwrap_or_default().to_owned())
        })
        .map(|[id, status]| (id, status))
        .collect();
    let judged: Vec<(String, String)> = report
        .criteria()
        .map(|criterion| {
            let status = serde_json::to_value(criterion.status).expect("a status");
            (criterion.id.to_owned(), status.as_str().unwrap_or_default().to_owned())
        })
        .collect();
    assert_eq!(shown, judged);
}

#[test]
fn a_failure_shows_its_parts_its_picture_and_its_hints() {
    let page = learner(&report(Some(wrong))).expect("a page");
    let document = read(&page);
    let all = criteria(&document);
    let failed = all.iter().find(|node| node.attribute("data-status") == Some("failed"));
    let text: String =
        failed.expect("a failure").descendants().filter_map(|it| it.text()).collect();
    for part in
        ["returned at 600 ms", "expected", "400 ms", "200 ms", "reviews", "answers", "Hint 1"]
    {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    assert!(failed.is_some_and(|node| node.descendants().any(|it| it.has_tag_name("svg"))));
}

#[test]
fn a_page_needs_no_network_and_runs_no_script() {
    let page = learner(&report(Some(wrong))).expect("a page");
    for word in ["<script", "http://", "https://", "javascript:", "@import", "url("] {
        assert!(!page.contains(word), "{word}");
    }
}

#[test]
fn backticks_are_code_and_nothing_is_markup() {
    assert_eq!(code("`a<b>` & `c`"), "<code>a&lt;b&gt;</code> &amp; <code>c</code>");
    assert_eq!(code("one ` alone"), "one ` alone");
}

/// The first of these programs that is installed.
fn browser() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let names = ["chromium", "chromium-browser", "google-chrome", "chrome"];
    names
        .iter()
        .flat_map(|name| folders.iter().map(move |it| it.join(name)))
        .find(|it| it.is_file())
}

#[test]
fn a_browser_shows_the_page_without_a_complaint() {
    let Some(browser) = browser() else {
        eprintln!("skipped: no Chromium is installed");
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("report.html");
    let report = report(Some(wrong));
    std::fs::write(&file, learner(&report).expect("a page")).expect("a file");
    let shown = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-quic"])
        .args(["--enable-logging=stderr", "--dump-dom"])
        .arg(format!("--user-data-dir={}", folder.path().join("profile").display()))
        .arg(format!("file://{}", file.display()))
        .output()
        .expect("Chromium starts");
    let (page, log) = (
        String::from_utf8_lossy(&shown.stdout).into_owned(),
        String::from_utf8_lossy(&shown.stderr).into_owned(),
    );
    let complaints: Vec<&str> = log.lines().filter(|line| line.contains("CONSOLE")).collect();
    assert!(complaints.is_empty(), "{complaints:?}");
    let score = format!("<b id=\"core\">{}</b>", report.score.core);
    assert!(page.contains(&score), "no {score} in {page}");
    assert_eq!(page.matches("data-id=").count(), report.criteria().count());
}
