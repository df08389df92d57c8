//! Shows the progress: a picture in a terminal, a line from time to time elsewhere.

use std::env;
use std::ffi::OsStr;
use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use level3::breaker::State;
use level3_domain::answer::Dependency;

use super::engine::Engine;

const SERVICES: [Dependency; 4] =
    [Dependency::Payments, Dependency::Fraud, Dependency::Ledger, Dependency::Receipts];

/// Written to stderr, so that stdout has the result and nothing else.
pub enum View {
    Picture(Box<Picture>),
    Lines,
}

/// A bar and three lines of figures below it.
pub struct Picture {
    all: MultiProgress,
    bar: ProgressBar,
    lines: [ProgressBar; 3],
}

impl View {
    /// Makes a view for this number of payments.
    pub fn new(payments: u32) -> Self {
        if !io::stderr().is_terminal() || !can_draw(env::var_os("TERM").as_deref()) {
            return Self::Lines;
        }
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
        // Both templates are fixed. If a version of the library refuses one, the default style
        // shows the same figures.
        let style = |template: &str| {
            ProgressStyle::with_template(template)
                .unwrap_or_else(|_| ProgressStyle::default_bar())
                .progress_chars("█▌·")
        };
        let bar = ProgressBar::new(u64::from(payments))
            .with_style(style("{bar:40.cyan/dim} {pos} of {len} answered in {elapsed}"));
        let bar = all.add(bar);
        let lines = [(); 3].map(|()| all.add(ProgressBar::new(1).with_style(style("  {msg}"))));
        Self::Picture(Box::new(Picture { all, bar, lines }))
    }

    /// The time from one [`draw`](Self::draw) to the next.
    pub const fn period(&self) -> Duration {
        match self {
            Self::Picture(_) => Duration::from_millis(100),
            Self::Lines => Duration::from_secs(2),
        }
    }

    /// Draws the progress.
    pub fn draw(&self, engine: &Engine, stopping: bool) {
        let lines = lines(engine);
        match self {
            Self::Picture(picture) => {
                picture.bar.set_position(engine.figures.all());
                for (line, text) in picture.lines.iter().zip(lines) {
                    line.set_message(text);
                }
                if stopping {
                    picture.bar.set_style(
                        ProgressStyle::with_template(
                            "{pos} answered; finishing what is under way (Ctrl-C again ends at once)",
                        )
                        .unwrap_or_else(|_| ProgressStyle::default_bar()),
                    );
                }
            }
            Self::Lines => {
                let answered = engine.figures.all();
                let stopping = if stopping { "Stopping (Ctrl-C again ends at once): " } else { "" };
                say(&format!("{stopping}{answered} answered; {}", lines.join("; ")));
            }
        }
    }

    /// Removes the picture: the summary has all its figures.
    pub fn finish(self) {
        if let Self::Picture(picture) = self {
            picture.bar.finish_and_clear();
            for line in &picture.lines {
                line.finish_and_clear();
            }
            picture.all.set_draw_target(ProgressDrawTarget::hidden());
        }
    }
}

/// Whether a terminal with this name can move its cursor. A dumb terminal cannot; a terminal
/// without a name is one of Windows, and can.
fn can_draw(terminal: Option<&OsStr>) -> bool {
    terminal.is_none_or(|name| name != "dumb")
}

/// Writes one line of progress to stderr.
pub fn say(text: &str) {
    // An error is ignored: if stderr is closed there is no reader.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

fn lines(engine: &Engine) -> [String; 3] {
    let (figures, gateway) = (&engine.figures, &engine.gateway);
    let latency = figures.percentiles();
    [
        format!(
            "success {:.2} %, {} declined; p50 {} ms, p95 {} ms, p99 {} ms",
            figures.success().share,
            figures.declined.get(),
            latency.p50_ms,
            latency.p95_ms,
            latency.p99_ms,
        ),
        format!(
            "{} calls to the provider in the last second, {} retries; breakers: {}",
            engine.provider.last_second(),
            figures.retries.get(),
            breakers(engine),
        ),
        format!(
            "{} under way, {} steps undone; {} receipts sent, {} dead letters",
            gateway.in_flight(),
            figures.undone.get(),
            figures.receipts_sent.get(),
            gateway.dead_letters().len(),
        ),
    ]
}

fn breakers(engine: &Engine) -> String {
    let ajar: Vec<_> = SERVICES
        .into_iter()
        .filter_map(|service| match engine.gateway.breaker(service) {
            State::Closed => None,
            State::Open => Some(format!("{service} open")),
            State::HalfOpen => Some(format!("{service} half-open")),
        })
        .collect();
    if ajar.is_empty() { "all closed".to_owned() } else { ajar.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dumb_terminal_gets_lines() {
        assert!(!can_draw(Some(OsStr::new("dumb"))));
        assert!(can_draw(Some(OsStr::new("xterm-256color"))));
        assert!(can_draw(None));
    }
}
