//! Results as pages for a browser. A page is one file: it needs no network and runs no script.
//!
//! The templates lie beside this module. They are well-formed XML as well, so that a test can read a page with
//! a parser and compare its figures with the result.

mod plot;
pub(crate) mod view;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use minijinja::value::{Serde, Value};
use minijinja::{AutoEscape, Environment, HtmlEscape, context};

use crate::report::Report;
use view::Level;

/// The templates by their names.
const TEMPLATES: [(&str, &str); 4] = [
    ("page.html", include_str!("page.html")),
    ("style.css", include_str!("style.css")),
    ("learner.html", include_str!("learner.html")),
    ("fork.html", include_str!("fork.html")),
];

/// The page of a learner's run.
///
/// # Errors
///
/// Only if a template is wrong: what a template is given does not make it fail.
pub fn learner(report: &Report) -> Result<String, minijinja::Error> {
    let levels: Vec<Level<'_>> = report.levels.iter().map(Level::of_report).collect();
    let scenes: BTreeMap<&str, Vec<plot::SceneView<'_>>> = report
        .levels
        .iter()
        .map(|level| (level.name, level.scenes.iter().map(plot::scene).collect()))
        .collect();
    environment()?.get_template("learner.html")?.render(context! {
        levels => Serde(levels),
        scenes => Serde(scenes),
        score => Serde(report.score),
        seed => report.seed.number(),
        version => env!("CARGO_PKG_VERSION"),
        seconds => (report.build_ms + report.judge_ms).div_ceil(1000),
    })
}

/// The templates. What they are given is escaped.
pub(crate) fn environment() -> Result<Environment<'static>, minijinja::Error> {
    let mut environment = Environment::new();
    // The style sheet is the course's own, and a quote in it stays a quote.
    environment.set_auto_escape_callback(|name| match name {
        "style.css" => AutoEscape::None,
        _ => AutoEscape::Html,
    });
    environment.add_filter("code", |text: String| Value::from_safe_string(code(&text)));
    for (name, text) in TEMPLATES {
        environment.add_template(name, text)?;
    }
    Ok(environment)
}

/// Escapes a text and shows what stands between backticks as code. A backtick without a second one stays.
fn code(text: &str) -> String {
    let escaped = HtmlEscape(text).to_string();
    let mut parts = escaped.split('`');
    let mut out = parts.next().unwrap_or_default().to_owned();
    while let Some(inside) = parts.next() {
        match parts.next() {
            Some(after) => out += &format!("<code>{inside}</code>{after}"),
            None => out += &format!("`{inside}"),
        }
    }
    out
}
