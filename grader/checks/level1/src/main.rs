//! The criteria of level 1, one function each.

mod background;
mod callbacks;
mod errors;
mod fake;
mod pages;
mod parallel;
mod promise;
mod promisify;
mod styles;
mod syntax;
mod transport;

use grader_kit::criteria;
use promise::{chain, combine, life};
use styles::{callbacks_style, combinators_style, sequential_style};

fn main() -> std::process::ExitCode {
    grader_kit::main(criteria! {
        "level1/errors/statuses" => errors::statuses,
        "level1/errors/causes" => errors::causes,
        "level1/errors/request" => errors::request,
        "level1/errors/status-codes" => errors::status_codes,
        "level1/errors/operational" => errors::operational,
        "level1/errors/text" => errors::text,
        "level1/errors/source" => errors::source,
        "level1/errors/same-everywhere" => errors::same_everywhere,

        "level1/sequential/profile" => sequential_style::profile,
        "level1/sequential/user-first" => sequential_style::order,
        "level1/sequential/no-posts-without-user" => sequential_style::no_posts,
        "level1/sequential/names-the-request" => sequential_style::names,
        "level1/sequential/refuses-id-0" => sequential_style::id_0,
        "level1/sequential/stops-when-dropped" => sequential_style::dropped,
        "level1/sequential/own-work" => syntax::async_await_alone,

        "level1/parallel/profile" => parallel::profile,
        "level1/parallel/both-at-once" => parallel::both_at_once,
        "level1/parallel/fails-at-the-first" => parallel::fails_at_the_first,
        "level1/parallel/drops-the-other" => parallel::drops_the_other,
        "level1/parallel/names-the-request" => parallel::names,
        "level1/parallel/refuses-id-0" => parallel::id_0,
        "level1/parallel/stops-when-dropped" => parallel::dropped,

        "level1/combinators/profile" => combinators_style::profile,
        "level1/combinators/user-first" => combinators_style::order,
        "level1/combinators/no-posts-without-user" => combinators_style::no_posts,
        "level1/combinators/names-the-request" => combinators_style::names,
        "level1/combinators/refuses-id-0" => combinators_style::id_0,
        "level1/combinators/stops-when-dropped" => combinators_style::dropped,
        "level1/combinators/no-async" => syntax::no_async,
        "level1/combinators/own-work" => syntax::combinators_alone,

        "level1/callbacks/profile" => callbacks_style::profile,
        "level1/callbacks/user-first" => callbacks_style::order,
        "level1/callbacks/no-posts-without-user" => callbacks_style::no_posts,
        "level1/callbacks/names-the-request" => callbacks_style::names,
        "level1/callbacks/refuses-id-0" => callbacks_style::id_0,
        "level1/callbacks/never-early" => callbacks::never_early,
        "level1/callbacks/dropped-callback" => callbacks::dropped_callback,
        "level1/callbacks/loads-keep-apart" => callbacks::loads_keep_apart,
        "level1/callbacks/own-work" => syntax::callbacks_alone,

        "level1/transport/status" => transport::status,
        "level1/transport/cut-characters" => transport::cut_characters,
        "level1/transport/broken-text" => transport::broken_text,
        "level1/transport/length-limit" => transport::length_limit,
        "level1/transport/endless-body" => transport::endless_body,
        "level1/transport/broken-off" => transport::broken_off,
        "level1/transport/time-limit" => transport::time_limit,
        "level1/transport/gives-up" => transport::gives_up,

        "level1/promisify/error-first" => promisify::error_first,
        "level1/promisify/dropped" => promisify::dropped,
        "level1/promisify/result-first" => promisify::result_first,
        "level1/promisify/neither" => promisify::neither,
        "level1/promisify/result-first-dropped" => promisify::result_first_dropped,
        "level1/promisify/back-to-callbacks" => promisify::back_to_callbacks,
        "level1/promisify/panic" => promisify::panic,

        "level1/promise/executor-at-once" => life::executor_at_once,
        "level1/promise/settles-once" => life::settles_once,
        "level1/promise/states" => life::states,
        "level1/promise/is-a-future" => life::is_a_future,
        "level1/promise/from-future" => life::from_future,
        "level1/promise/abandoned" => life::abandoned,
        "level1/promise/panics" => life::panics,
        "level1/promise/then" => chain::then,
        "level1/promise/rejection-travels" => chain::rejection_travels,
        "level1/promise/catch" => chain::catch,
        "level1/promise/finally" => chain::finally,
        "level1/promise/handlers-later" => chain::handlers_later,
        "level1/promise/unawaited" => chain::unawaited,
        "level1/promise/all" => combine::all_values,
        "level1/promise/all-fails-fast" => combine::all_fails_fast,
        "level1/promise/all-settled" => combine::settled,
        "level1/promise/race" => combine::race_value,
        "level1/promise/any" => combine::any_value,
        "level1/promise/any-all-rejected" => combine::any_all_rejected,
        "level1/promise/of-nothing" => combine::of_nothing,

        "level1/pages/in-order" => pages::in_order,
        "level1/pages/on-demand" => pages::on_demand,
        "level1/pages/error-ends" => pages::error_ends,
        "level1/pages/names-the-page" => pages::names_the_page,
        "level1/pages/stops-when-dropped" => pages::stops_when_dropped,

        "level1/background/errors" => background::errors,
        "level1/background/panics" => background::panics,
        "level1/background/handler-is-contained" => background::handler_is_contained,
        "level1/background/running" => background::running,
        "level1/background/drained" => background::drained,
    })
}
