//! A page, read by an XML parser and shown by a browser.
use std::path::PathBuf;
use std::process::Command;

use roxmltree::{Document, Node};

use grader_protocol::Figure;

use super::{code, learner};
use crate::catalog::LEVELS;
use crate::report::tests::{report, wrong};
use crate::report::{Report, json};
use crate::scene::{Played, recorded};

/// The text of the element with this id.
fn by_id(document: &Document<'_>, id: &str) -> String {
    let mut elements = document.descendants();
    let found = elements.find(|node| node.attribute("id") == Some(id));
    found.unwrap_or_else(|| panic!("no element {id}")).text().unwrap_or_default().to_owned()
}

fn criteria<'a>(document: &'a Document<'a>) -> Vec<Node<'a, 'a>> {
    document.descendants().filter(|node| node.has_attribute("data-id")).collect()
}

/// A failed run with every scene of the course. In one the learner's run is the reference's, one failed
/// and in the others it is the reference's of another scene of the same kind.
fn with_scenes() -> Report {
    let mut report = report(Some(wrong));
    let scenes = || LEVELS.iter().flat_map(|it| it.exercises).flat_map(|it| it.scenes);
    for (at, scene) in scenes().enumerate() {
        let reference = &recorded()[scene.id];
        let alike = |figure: &&Figure| {
            std::mem::discriminant(*figure) == std::mem::discriminant(reference)
                && *figure != reference
        };
        let other = recorded().values().find(alike).unwrap_or(reference);
        let own = match at {
            0 => Some(reference),
            1 => None,
            _ => Some(other),
        };
        let why = own.is_none().then(|| "the `load` panicked".to_owned());
        let (own, reference) = (own.cloned(), Some(reference.clone()));
        report.levels[0].scenes.push(Played {
            id: scene.id,
            title: scene.title,
            own,
            why,
            reference,
        });
    }
    report
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

/// The rows of the tables within an element.
fn rows(node: Node<'_, '_>) -> Vec<String> {
    let rows = node.descendants().filter(|it| it.has_tag_name("tr"));
    let text = |row: Node<'_, '_>| {
        let cells = row.children().filter(|it| it.has_tag_name("td"));
        cells.map(|cell| cell.text().unwrap_or_default()).collect::<Vec<_>>().join(" | ")
    };
    rows.map(text).filter(|text| !text.is_empty()).collect()
}

/// What the table of a figure has to say, from the result as JSON.
fn said(whose: &str, figure: &serde_json::Value) -> Vec<String> {
    let ms = |us: &serde_json::Value| format!("{} ms", us.as_u64().expect("a time") / 1000);
    let text = |text: &serde_json::Value| text.as_str().expect("a text").to_owned();
    let list = |name: &str| figure[name].as_array().expect("a list").iter();
    match figure["kind"].as_str().expect("a kind") {
        "calls" => list("events")
            .map(|it| {
                format!("{} | {} | {}", ms(&it["at_us"]), text(&it["who"]), text(&it["what"]))
            })
            .collect(),
        "streams" => list("lines")
            .flat_map(|line| {
                line["marks"].as_array().expect("marks").iter().map(move |it| (line, it))
            })
            .map(|(line, it)| {
                let what = match it["kind"].as_str() {
                    Some("end") => "the end".to_owned(),
                    Some("error") => "an error".to_owned(),
                    _ => text(&it["text"]),
                };
                format!("{} | {} | {what}", ms(&it["at_us"]), text(&line["name"]))
            })
            .collect(),
        "states" => list("changes")
            .map(|it| format!("{whose} | {} | {}", text(&it["state"]), ms(&it["at_us"])))
            .collect(),
        "latencies" => {
            let took: Vec<_> = list("took_us").collect();
            let at = |percent: usize| ms(took[(took.len() * percent).div_ceil(100) - 1]);
            let [p50, p90, p95, p99, all] = [50, 90, 95, 99, 100].map(at);
            vec![format!("{whose} | {} | {p50} | {p90} | {p95} | {p99} | {all}", took.len())]
        }
        "admissions" => {
            let admitted: Vec<_> = list("admitted_us").collect();
            let last = ms(admitted.last().expect("a call"));
            vec![format!("{whose} | {} | {last}", admitted.len())]
        }
        other => panic!("a figure of an unknown kind: {other}"),
    }
}

#[test]
fn the_pictures_show_the_figures_of_the_result() {
    let report = with_scenes();
    let page = learner(&report).expect("a page");
    let document = read(&page);
    let text = json::render(&report).expect("JSON");
    let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let scenes = json["levels"][0]["scenes"].as_array().expect("scenes");
    assert_eq!(scenes.len(), recorded().len());
    for scene in scenes {
        let id = scene["id"].as_str().expect("an id");
        let mut all = document.descendants();
        let shown = all.find(|it| it.attribute("data-scene") == Some(id)).expect("the scene");
        assert!(shown.descendants().any(|it| it.has_tag_name("svg")), "{id}");
        let rows = rows(shown);
        let same = scene["own"] == scene["reference"];
        for (whose, name) in [("yours", "own"), ("the reference", "reference")] {
            if scene[name].is_null() || (same && name == "reference") {
                continue;
            }
            for row in said(whose, &scene[name]) {
                assert!(rows.iter().any(|it| it.starts_with(&row)), "{id}: no `{row}` in {rows:?}");
            }
        }
    }
}

#[test]
fn streams_of_a_failure_are_marbles() {
    use grader_protocol::figure::{Line, Mark, MarkKind};
    let fail = || {
        let mark = Mark { at_us: 30_000, kind: MarkKind::Item, text: "c".to_owned() };
        let line = |name: &str| Line { name: name.to_owned(), marks: vec![mark.clone()] };
        let lines = vec![line("expected"), line("observed")];
        grader_protocol::Fail { figure: Some(Box::new(Figure::Streams { lines })), ..wrong() }
    };
    let page = learner(&report(Some(fail))).expect("a page");
    let document = read(&page);
    let all = criteria(&document);
    let failed = all.iter().find(|node| node.attribute("data-status") == Some("failed"));
    let rows = rows(*failed.expect("a failure"));
    assert!(rows.contains(&"30 ms | expected | c".to_owned()), "{rows:?}");
}

#[test]
fn a_page_needs_no_network_and_runs_no_script() {
    let page = learner(&with_scenes()).expect("a page");
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
    let report = with_scenes();
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
    assert_eq!(page.matches("data-scene=").count(), recorded().len());
    // Each scene has a picture at least, and each picture came through the browser's own parser.
    assert!(page.matches("<svg class=\"plot\"").count() >= recorded().len());
}
