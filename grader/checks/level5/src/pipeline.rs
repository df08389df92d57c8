//! `pipeline::Pipeline`.

mod ends;
mod failures;
mod figures;
mod flow;
mod retries;
mod room;
mod scale;
mod works;

use std::num::NonZeroUsize;

use futures::StreamExt as _;
use grader_kit::{Cx, Fail};
use level5::pipeline::{Failed, Output, Pipeline};

use works::Works;

pub use ends::{
    a_panic_of_the_input_reaches_the_caller, an_empty_input_ends_at_once,
    begins_with_the_first_poll, dropping_the_output_stops_everything, two_runs_are_apart,
};
pub use failures::{
    a_failure_names_its_item, a_hanging_item_holds_its_slot_only, a_panic_is_a_failure,
    failures_keep_their_place, others_go_on_after_a_failure,
};
pub use figures::{figures_add_up, figures_are_live};
pub use flow::{
    an_item_waits_for_no_other, every_item_passes_every_stage, never_more_than_its_limit,
    ordered_keeps_the_order, stages_work_at_the_same_time, unordered_hands_on_as_ready,
    without_stages_items_pass,
};
pub use retries::{a_waiting_retry_holds_its_slot_only, retries_as_the_policy_says};
pub use room::{
    an_ordered_stage_keeps_the_bound, pulls_nothing_without_room,
    stops_pulling_when_the_consumer_stops, works_while_the_consumer_is_busy,
};
pub use scale::{
    keeps_nothing_of_what_has_passed, takes_any_limit, the_output_may_move_to_another_task,
    waits_without_looking,
};

const RUN: &str = "Pipeline::run";

/// The pipelines of most scripts: items are numbers, and errors are texts.
type Line = Pipeline<u64, u64, String>;
type Answer = Result<u64, Failed<String>>;

/// `count` as the interfaces take it. 0 becomes 1; no criterion asks for 0.
const fn nz(count: usize) -> NonZeroUsize {
    match NonZeroUsize::new(count) {
        Some(count) => count,
        None => NonZeroUsize::MIN,
    }
}

/// A pipeline of these stages, each as its name and limit, whose items take `length` milliseconds in each.
fn line(works: &Works, buffer: usize, stages: &[(&'static str, usize)], length: u64) -> Line {
    stages.iter().fold(Pipeline::new(nz(buffer)), |line, (name, max)| {
        line.stage(works.stage(name, *max, move |_, _| works::takes(length)))
    })
}

/// All results of a run, each with the millisecond in which it came.
async fn all(
    cx: &Cx,
    works: &Works,
    output: Output<u64, String>,
) -> Result<Vec<(u64, Answer)>, Fail> {
    let results = output.map(|result| {
        works.deliver();
        (works.now(), result)
    });
    Ok(cx.call(RUN, results.collect::<Vec<_>>()).await?.value)
}

/// The values among results, in their order.
fn values(results: &[(u64, Answer)]) -> Vec<u64> {
    results.iter().filter_map(|(_, result)| result.as_ref().ok().copied()).collect()
}

/// The limits of a pipeline's stages as a message shows them: `5, 3 and 2`.
fn limits(stages: &[(&'static str, usize)]) -> String {
    let limits: Vec<_> = stages.iter().map(|(_, max)| max.to_string()).collect();
    match limits.split_last() {
        None => "no stage".to_owned(),
        Some((last, [])) => format!("one stage with a limit of {last}"),
        Some((last, rest)) => format!("stages with limits of {} and {last}", rest.join(", ")),
    }
}

/// What the report shows of it.
pub mod scenes {
    use grader_kit::figure::{Line, Mark, MarkKind};
    use grader_kit::{Cx, Figure, Outcome};

    use super::works::{Works, takes};
    use super::{all, nz};

    /// Ten items; the first and the sixth take longer in the second stage.
    pub async fn two_stages(cx: Cx) -> Outcome {
        let length = |item: u64| if item.is_multiple_of(5) { 300 } else { 60 };
        let mut lines = Vec::new();
        for ordered in [false, true] {
            let works = Works::new(&cx);
            let first = works.stage("parse", 2, |_, _| takes(40));
            let second = works.stage("store", 3, move |item, _| takes(length(item)));
            let second = if ordered { second.ordered() } else { second };
            let line = super::Line::new(nz(2)).stage(first).stage(second);
            let results = all(&cx, &works, line.run(works.input(10))).await?;
            if !ordered {
                for stage in ["parse", "store"] {
                    let seen = works.seen();
                    let of_stage = seen.iter().filter(|seen| seen.stage == stage);
                    lines.push(marks(
                        format!("begins {stage}"),
                        of_stage.map(|it| (it.began, it.item)),
                    ));
                }
            }
            let name = if ordered { "out, ordered" } else { "out" };
            let values = results.iter().filter_map(|(at, it)| Some((*at, *it.as_ref().ok()?)));
            lines.push(marks(name.to_owned(), values));
        }
        cx.show(Figure::Streams { lines });
        Ok(())
    }

    fn marks(name: String, items: impl Iterator<Item = (u64, u64)>) -> Line {
        let mark = |(at, item): (u64, u64)| Mark {
            at_us: at * 1000,
            kind: MarkKind::Item,
            text: item.to_string(),
        };
        Line { name, marks: items.map(mark).collect() }
    }
}
