//! Shows a plan while it runs: a line for each request in a terminal, a line for each end of an attempt elsewhere.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use level5::orchestrator::RequestId;

use crate::attempts::{Attempt, Attempts};

/// The time from one drawing to the next.
pub const PERIOD: Duration = Duration::from_millis(100);

/// Written to stderr, so that stdout has the result and nothing else.
#[derive(Debug)]
pub enum View {
    /// A picture of the graph: requests of a layer have the same indentation.
    Picture(Box<Picture>),
    /// How many attempts were reported.
    Lines(usize),
}

/// A line for each request.
#[derive(Debug)]
pub struct Picture {
    all: MultiProgress,
    bars: BTreeMap<RequestId, ProgressBar>,
    /// Attempts of earlier runs.
    before: usize,
}

impl View {
    /// Makes a view of these layers, with what each request needs. The first `before` attempts belong to earlier runs.
    #[must_use]
    pub fn new(
        layers: &[Vec<&RequestId>],
        needs: impl Fn(&str) -> Vec<RequestId>,
        before: usize,
    ) -> Self {
        if !io::stderr().is_terminal() {
            return Self::Lines(before);
        }
        let all = MultiProgress::new();
        let mut bars = BTreeMap::new();
        for (depth, layer) in layers.iter().enumerate() {
            for id in layer {
                let indent = "  ".repeat(depth);
                // The template is fixed, but for the name. A name with a brace is shown by the default style.
                let style = ProgressStyle::with_template(&format!("{indent}{{prefix}}  {{msg}}"))
                    .unwrap_or_else(|_| ProgressStyle::default_bar());
                let bar = all.add(ProgressBar::new(1).with_style(style));
                bar.set_prefix((*id).clone());
                let needs = needs(id);
                bar.set_message(match needs.as_slice() {
                    [] => "waits".to_owned(),
                    needs => format!("waits for {}", needs.join(", ")),
                });
                bars.insert((*id).clone(), bar);
            }
        }
        Self::Picture(Box::new(Picture { all, bars, before }))
    }

    /// Draws what has changed.
    pub fn draw(&mut self, attempts: &Attempts) {
        let list = attempts.list();
        match self {
            Self::Picture(picture) => {
                let own = list.get(picture.before..).unwrap_or_default();
                for (id, bar) in &picture.bars {
                    let of: Vec<_> = own.iter().filter(|it| it.ids.contains(id)).collect();
                    if let Some(last) = of.last() {
                        bar.set_message(state(last, of.len(), attempts.elapsed()));
                    }
                }
            }
            Self::Lines(reported) => {
                // In the order in which they began: one that is under way holds back those behind it.
                while let Some(attempt) = list.get(*reported)
                    && let Some((until, how)) = &attempt.ended
                {
                    *reported += 1;
                    say(&format!("{} ms: {}: {how}", until.as_millis(), attempt.ids.join(", ")));
                }
            }
        }
    }

    /// Removes the picture: the report has all of it.
    pub fn finish(mut self, attempts: &Attempts) {
        self.draw(attempts);
        if let Self::Picture(picture) = &self {
            // An error leaves the picture on the screen.
            let _ = picture.all.clear();
        }
    }
}

fn state(last: &Attempt, count: usize, now: Duration) -> String {
    let nth = if count > 1 { format!(", attempt {count}") } else { String::new() };
    match &last.ended {
        None => {
            let since = now.saturating_sub(last.begun);
            format!("sent {} ms ago{nth}", since.as_millis())
        }
        Some((_, how)) => format!("{how}{nth}"),
    }
}

/// Writes one line to stderr.
pub fn say(text: &str) {
    // An error is ignored: if stderr is closed there is no reader.
    let _ = writeln!(io::stderr().lock(), "{text}");
}
