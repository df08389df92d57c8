//! What is shown while the grader builds and judges: on stderr, so that a report can be piped.
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use grader::build::Part;
use grader::grade::Progress;
use grader::report::count;
use grader::select::Entry;
use grader::supervise::Verdict;
use indicatif::{ProgressBar, ProgressStyle};

/// A spinner on a terminal, gone when the work is done.
#[derive(Debug, Default)]
pub(super) struct Spinner {
    building: OnceLock<ProgressBar>,
    judging: OnceLock<ProgressBar>,
    packages: AtomicU64,
}

fn styled(bar: ProgressBar, template: &str) -> ProgressBar {
    let bar = match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar, // a worse picture is better than none
    };
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

impl Progress for Spinner {
    fn building(&self, parts: &[Part]) {
        let names: Vec<String> = parts.iter().map(Part::to_string).collect();
        let bar = styled(ProgressBar::new_spinner(), "{spinner} building {prefix}: {msg}");
        bar.set_prefix(names.join(", "));
        self.building.get_or_init(|| bar);
    }

    fn built(&self, package: &str) {
        let count = self.packages.fetch_add(1, Ordering::Relaxed) + 1;
        if let Some(bar) = self.building.get() {
            bar.set_message(format!("{count} packages, {package}"));
        }
    }

    fn waiting(&self, why: &str) {
        if let Some(bar) = self.building.get() {
            bar.set_message(why.to_owned());
        }
    }

    fn judging(&self, criteria: usize) {
        if let Some(bar) = self.building.get() {
            bar.finish_and_clear();
        }
        let bar = ProgressBar::new(criteria as u64);
        self.judging.get_or_init(|| styled(bar, "{spinner} judging {pos}/{len} {msg}"));
    }

    fn judged(&self, entry: &Entry, _verdict: &Verdict) {
        if let Some(bar) = self.judging.get() {
            bar.set_message(entry.criterion.id);
            bar.inc(1);
        }
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        for bar in [self.building.get(), self.judging.get()].into_iter().flatten() {
            bar.finish_and_clear();
        }
    }
}

/// Two plain lines where there is no terminal.
#[derive(Debug)]
pub(super) struct Lines;

impl Progress for Lines {
    fn building(&self, parts: &[Part]) {
        let names: Vec<String> = parts.iter().map(Part::to_string).collect();
        anstream::eprintln!("building {}", names.join(", "));
    }

    fn waiting(&self, why: &str) {
        anstream::eprintln!("{why}");
    }

    fn judging(&self, criteria: usize) {
        let criteria = count(criteria, "criterion", "criteria");
        anstream::eprintln!("judging {criteria}");
    }
}
