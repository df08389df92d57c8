//! A growing bar for each call, in real time.

use std::io::{self, Write as _};
use std::sync::Arc;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use level2::model::Section;
use level2::strategy::Strategy;
use level2::trace::{Span, State, Trace};
use tokio::time::{MissedTickBehavior, interval};

use super::args::Args;
use super::in_source_time;

/// Thirty pictures a second look smooth.
const FRAME: Duration = Duration::from_millis(33);

/// Runs one load in real time and draws its calls while they run.
pub async fn show(strategy: Strategy, args: &Args) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{strategy}")?;
    let trace = Arc::new(Trace::default());
    let bars = Bars::new(args.speed);
    let mut frames = interval(FRAME);
    frames.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut load = std::pin::pin!(super::load(strategy, args, args.speed, &trace));
    let ending = loop {
        tokio::select! {
            ending = &mut load => break ending,
            _ = frames.tick() => bars.draw(&trace),
        }
    };
    bars.draw(&trace);
    if ending.is_unwritten() {
        bars.all.clear()?;
    }
    bars.finish();
    let mut out = io::stdout().lock();
    if let Some(returned) = ending.returned() {
        writeln!(out, "  returned at {} ms", in_source_time(returned, args.speed))?;
    }
    for line in ending.lines(args.speed) {
        writeln!(out, "  {line}")?;
    }
    out.flush()
}

/// One bar for each section. A full bar is as long as the section's latency.
struct Bars {
    /// Draws the bars together, so that they do not overwrite one another's lines.
    all: MultiProgress,
    /// In the order of the page.
    bars: [(Section, ProgressBar); Section::ALL.len()],
    /// How many times faster than the sources' own time the demo runs. A bar's length is in the sources' time.
    speed: f64,
}

impl Bars {
    fn new(speed: f64) -> Self {
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stdout());
        let bars = Section::ALL.map(|section| {
            let length = u64::try_from(section.latency().as_millis()).unwrap_or(u64::MAX);
            // As many columns as the latency has steps of 20 ms: longer calls have longer bars.
            let template = format!("  {{prefix:10}} {{bar:{}.cyan/dim}} {{msg}}", length / 20);
            // The template is fixed but for a number; should a version of the library refuse it, its
            // own style still shows every bar.
            let style = ProgressStyle::with_template(&template)
                .unwrap_or_else(|_| ProgressStyle::default_bar())
                .progress_chars("█▌·");
            let bar =
                all.add(ProgressBar::new(length).with_style(style).with_prefix(section.name()));
            bar.set_message("not called");
            (section, bar)
        });
        Self { all, bars, speed }
    }

    /// Brings every bar up to date with the last call of its section.
    fn draw(&self, trace: &Trace) {
        let (spans, now) = (trace.spans(), trace.elapsed());
        for (section, bar) in &self.bars {
            if let Some(span) = spans.iter().rfind(|span| span.section == *section) {
                self.update(bar, span, now);
            }
        }
    }

    fn update(&self, bar: &ProgressBar, span: &Span, now: Duration) {
        let to = span.to.unwrap_or(now);
        let ran = in_source_time(to.saturating_sub(span.from), self.speed);
        let what = match span.state {
            State::Running => "...",
            State::Answered => "answered",
            State::Failed => "failed",
            State::Stopped => "stopped",
        };
        bar.set_position(ran.min(bar.length().unwrap_or(ran)));
        bar.set_message(format!("{ran} ms {what}"));
    }

    /// Leaves the last picture on the screen.
    fn finish(&self) {
        for (_, bar) in &self.bars {
            bar.abandon();
        }
        // Dropped bars would otherwise be drawn once more below what follows.
        self.all.set_draw_target(ProgressDrawTarget::hidden());
    }
}
