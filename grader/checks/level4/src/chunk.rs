//! `chunk::ChunkExt`.

mod complete;
mod passes;
mod scale;

use grader_kit::marbles::Marbles;
use grader_kit::{Cx, Outcome, moved};
use level4::chunk::ChunkExt as _;

use crate::rows::{How, mark, shown, source, try_mark};

pub use complete::{
    a_full_chunk_comes_at_once, a_full_chunk_ends_its_time, a_single_item_passes_at_once,
    no_chunk_is_empty, the_time_runs_from_the_first_item, what_is_due_comes_first,
};
pub use passes::{
    an_error_comes_after_its_chunk, errors_do_not_end_it, every_item_comes_once,
    the_end_brings_out_the_rest,
};
pub use scale::{
    a_dropped_stream_stops, begins_with_the_first_poll, keeps_one_chunk, refuses_bad_times,
    sleeps_until_a_chunk_is_due,
};

const CHUNK: &str = "ChunkExt::chunk_within";
const TRY_CHUNK: &str = "ChunkExt::try_chunk_within";

/// What comes out within `limit` milliseconds is what is expected.
async fn expect(
    cx: &Cx,
    how: How,
    input: &Marbles,
    expected: &Marbles,
    limit: u64,
    help: &str,
) -> Outcome {
    let out = source(input).chunk_within(how.make(cx).await?);
    let observed = cx.call(CHUNK, Marbles::record(limit, out, mark)).await?.value;
    observed.ensure(expected, &format!("{how}, of {}", shown(input)), help)
}

/// The same of a stream that another task polls from `at` milliseconds on.
async fn expect_moved(
    cx: &Cx,
    how: How,
    input: &Marbles,
    expected: &Marbles,
    at: u64,
    limit: u64,
) -> Outcome {
    let out = source(input).chunk_within(how.make(cx).await?);
    let observed = cx.call(CHUNK, moved(at, Marbles::record(limit, out, mark))).await?.value;
    let headline = format!("{how}, of {}, polled by another task from {at} ms on", shown(input));
    observed.ensure(
        expected,
        &headline,
        "pass the `Context` of each poll to the source and to the timer",
    )
}

/// The same for `try_chunk_within`.
async fn try_expect(
    cx: &Cx,
    how: How,
    input: &Marbles,
    expected: &Marbles,
    limit: u64,
    help: &str,
) -> Outcome {
    let out = input.clone().play().try_chunk_within(how.make(cx).await?);
    let observed = cx.call(TRY_CHUNK, Marbles::record(limit, out, try_mark)).await?.value;
    observed.ensure(expected, &format!("{how}, of {}", shown(input)), help)
}

/// What the report shows of it.
pub mod scenes {
    use grader_kit::marbles::Marbles;
    use grader_kit::{Cx, Figure, Outcome};

    use level4::chunk::ChunkExt as _;

    use super::{CHUNK, How, mark, source};

    pub async fn sizes(cx: Cx) -> Outcome {
        let input = Marbles::line("abc---d-------e-f-g-h-i--j------------k|");
        let mut lines = vec![input.drawn("in")];
        for (name, how) in
            [("3 within 60 ms", How::new(3, 60)), ("5 within 120 ms", How::new(5, 120))]
        {
            let out = source(&input).chunk_within(how.make(&cx).await?);
            let seen = cx.call(CHUNK, Marbles::record(2000, out, mark)).await?.value;
            lines.push(seen.drawn(name));
        }
        cx.show(Figure::Streams { lines });
        Ok(())
    }
}
