//! The figures of the stages of a run.

use tokio::sync::watch;

/// The figures of one stage in one run.
///
/// Failures of earlier stages, which pass the stage without its work, are in none of them.
///
/// ```
/// use std::num::NonZeroUsize;
/// use futures::{StreamExt as _, stream};
/// use level5::pipeline::{Pipeline, Stage};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let one = NonZeroUsize::MIN;
/// let parse = Stage::new("parse", one, |text: &'static str| async move { text.parse::<u32>() });
/// let output = Pipeline::new(one).stage(parse).run(stream::iter(["1", "two", "3"]));
/// let stats = output.stats();
/// output.collect::<Vec<_>>().await;
/// let parse = stats.borrow()[0];
/// assert_eq!((parse.name, parse.taken, parse.passed, parse.failed), ("parse", 3, 2, 1));
/// assert_eq!(parse.inside(), 0);
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StageStats {
    /// The name of the stage.
    pub name: &'static str,
    /// The items that the stage has taken to work on.
    pub taken: u64,
    /// The items of those that it has handed on with a value.
    pub passed: u64,
    /// The items of those that it has handed on as failures.
    pub failed: u64,
}

impl StageStats {
    pub(super) const fn new(name: &'static str) -> Self {
        Self { name, taken: 0, passed: 0, failed: 0 }
    }

    /// Returns how many items are inside the stage: taken and not yet handed on. The stage works on them, or they wait
    /// for another attempt, for their turn or for room.
    #[must_use]
    pub const fn inside(&self) -> u64 {
        self.taken.saturating_sub(self.passed).saturating_sub(self.failed)
    }
}

/// The counter of a stage. The tasks of its items have clones of it.
#[derive(Clone)]
pub(super) struct Figures {
    /// One channel for all stages, so that a reader sees them at the same moment.
    all: watch::Sender<Vec<StageStats>>,
    /// The number of the stage.
    stage: usize,
}

impl Figures {
    pub(super) const fn new(all: watch::Sender<Vec<StageStats>>, stage: usize) -> Self {
        Self { all, stage }
    }

    pub(super) fn count_taken(&self) {
        self.change(|stage| stage.taken += 1);
    }

    pub(super) fn count_handed_on(&self, is_value: bool) {
        self.change(|stage| if is_value { stage.passed += 1 } else { stage.failed += 1 });
    }

    /// Changes the figures under the lock of the channel, so that a reader sees them before the change or after it. It
    /// also works without readers.
    fn change(&self, change: impl FnOnce(&mut StageStats)) {
        self.all.send_modify(|stages| {
            if let Some(stage) = stages.get_mut(self.stage) {
                change(stage);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inside_is_what_has_not_left() {
        let stats = StageStats { name: "parse", taken: 9, passed: 4, failed: 2 };
        assert_eq!(stats.inside(), 3);
    }
}
