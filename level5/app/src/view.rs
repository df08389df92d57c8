//! Shows the progress: a picture in a terminal, a line from time to time elsewhere.

use std::env;
use std::ffi::OsStr;
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::atomic::Ordering;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use level5::event_processor::Metrics;
use level5::priority_queue::Priority;
use tokio::time::Instant;

use crate::figures::Figures;
use crate::sink::Heard;

/// Written to stderr, so that stdout has the result and nothing else.
#[derive(Debug)]
pub struct View {
    kind: Kind,
    last: (Instant, u64, u64),
}

#[derive(Debug)]
enum Kind {
    Picture(Box<Picture>),
    Lines,
}

/// A bar and three lines of figures below it.
#[derive(Debug)]
struct Picture {
    all: MultiProgress,
    bar: ProgressBar,
    lines: [ProgressBar; 3],
}

impl View {
    /// Makes a view for this number of events; `None` if it is unknown.
    #[must_use]
    pub fn new(events: Option<u64>) -> Self {
        let last = (Instant::now(), 0, 0);
        if !io::stderr().is_terminal() || !can_draw(env::var_os("TERM").as_deref()) {
            return Self { kind: Kind::Lines, last };
        }
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
        // The templates are fixed. If a version of the library refuses one, the default style shows the same figures.
        let style = |template: &str| {
            ProgressStyle::with_template(template)
                .unwrap_or_else(|_| ProgressStyle::default_bar())
                .progress_chars("█▌·")
        };
        let bar = match events {
            Some(events) => ProgressBar::new(events)
                .with_style(style("{bar:40.cyan/dim} {pos} of {len} ended in {elapsed}")),
            None => {
                ProgressBar::no_length().with_style(style("{spinner} {pos} ended in {elapsed}"))
            }
        };
        let bar = all.add(bar);
        let lines = [(); 3].map(|()| all.add(ProgressBar::new(1).with_style(style("  {msg}"))));
        Self { kind: Kind::Picture(Box::new(Picture { all, bar, lines })), last }
    }

    /// The time from one [`draw`](Self::draw) to the next.
    #[must_use]
    pub const fn period(&self) -> Duration {
        match self.kind {
            Kind::Picture(_) => Duration::from_millis(200),
            Kind::Lines => Duration::from_secs(2),
        }
    }

    /// Draws the progress.
    pub fn draw(&mut self, metrics: &Metrics, figures: &Figures, heard: &Heard, stopping: bool) {
        let accepted = figures.accepted.load(Ordering::Relaxed);
        let (now, delivered) = (Instant::now(), metrics.delivered);
        let (before, accepted_before, delivered_before) = self.last;
        let seconds = now.saturating_duration_since(before).as_secs_f64().max(0.001);
        let rate = |now: u64, before: u64| (now.saturating_sub(before) as f64 / seconds) as u64;
        let (accepting, delivering) =
            (rate(accepted, accepted_before), rate(delivered, delivered_before));
        self.last = (now, accepted, delivered);
        let failing: Vec<_> = heard
            .failing()
            .iter()
            .map(|(service, times)| format!("{service} ({times} in a row)"))
            .collect();
        let failing = if failing.is_empty() { "none".to_owned() } else { failing.join(", ") };
        let times = figures.percentiles();
        let lines = [
            format!("{accepted} accepted, {accepting}/s; {delivered} delivered, {delivering}/s"),
            format!(
                "pending: {}; {} dead letters; failing services: {failing}",
                backlog(metrics),
                metrics.dead
            ),
            format!(
                "accepted after p50 {:.1} ms, p95 {:.1} ms, p99 {:.1} ms; delivered after {} ms, p99 {} ms",
                times.p50,
                times.p95,
                times.p99,
                metrics.latency.mean.as_millis(),
                metrics.latency.p99.as_millis()
            ),
        ];
        let hint = "taking no more events (Ctrl-C again ends at once)";
        match &self.kind {
            Kind::Picture(picture) => {
                picture.bar.set_position(delivered + metrics.dead);
                for (line, text) in picture.lines.iter().zip(lines) {
                    line.set_message(text);
                }
                if stopping
                    && let Ok(style) =
                        ProgressStyle::with_template(&format!("{{pos}} ended; {hint}"))
                {
                    picture.bar.set_style(style);
                }
            }
            Kind::Lines if stopping => say(&format!("{hint}: {}", lines.join("; "))),
            Kind::Lines => say(&lines.join("; ")),
        }
    }

    /// Removes the picture: the summary has all its figures.
    pub fn finish(self) {
        if let Kind::Picture(picture) = self.kind {
            picture.bar.finish_and_clear();
            for line in &picture.lines {
                line.finish_and_clear();
            }
            picture.all.set_draw_target(ProgressDrawTarget::hidden());
        }
    }
}

/// The pending events by priority, the most important first.
#[must_use]
pub fn backlog(metrics: &Metrics) -> String {
    let names = Priority::ALL.iter().map(|priority| format!("{priority:?}").to_lowercase());
    let shown: Vec<_> = metrics
        .backlog
        .iter()
        .zip(names)
        .rev()
        .map(|(count, name)| format!("{count} {name}"))
        .collect();
    shown.join(", ")
}

/// Whether a terminal with this name can move its cursor. A dumb terminal cannot; a terminal without a name is one of
/// Windows, and can.
fn can_draw(terminal: Option<&OsStr>) -> bool {
    terminal.is_none_or(|name| name != "dumb")
}

/// Writes one line to stderr.
pub fn say(text: &str) {
    // An error is ignored: if stderr is closed there is no reader.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dumb_terminal_gets_lines() {
        assert!(!can_draw(Some(OsStr::new("dumb"))));
        assert!(can_draw(Some(OsStr::new("xterm-256color"))) && can_draw(None));
    }

    #[test]
    fn the_backlog_begins_with_what_matters_most() {
        let metrics = Metrics { backlog: [1, 2, 3, 4], ..Metrics::default() };
        assert_eq!(backlog(&metrics), "4 critical, 3 high, 2 medium, 1 low");
    }
}
