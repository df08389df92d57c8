//! The criteria of level 2 and the sources they run against.
//!
//! Each criterion watches one behaviour and lets every other pass, so that a fault costs its own
//! criterion and no second one. None of them depends on how a load is built: joined futures, streams,
//! spawned tasks, channels and tower services are all right.

mod all_settled;
mod any;
mod cache;
mod critical;
mod deadline;
mod fake;
mod metrics;
mod parallel;
mod progressive;
mod queue;
mod race;
mod recovery;
mod retry_failed;
mod sequential;
mod support;

use grader_kit::criteria;

fn main() -> std::process::ExitCode {
    grader_kit::main(criteria! {
        "level2/sequential/takes-2000-ms" => sequential::takes_2000,
        "level2/sequential/asks-in-order" => sequential::asks_in_order,
        "level2/sequential/carries-every-section" => sequential::carries_every_section,
        "level2/sequential/stops-at-the-first-failure" => sequential::stops_at_the_first_failure,
        "level2/sequential/names-the-failure" => sequential::names_the_failure,
        "level2/sequential/leaves-nothing-behind" => sequential::leaves_nothing_behind,

        "level2/parallel/takes-600-ms" => parallel::takes_600,
        "level2/parallel/starts-all-at-once" => parallel::starts_all_at_once,
        "level2/parallel/carries-every-section" => parallel::carries_every_section,
        "level2/parallel/fails-at-the-first-failure" => parallel::fails_at_the_first_failure,
        "level2/parallel/stops-the-rest" => parallel::stops_the_rest,
        "level2/parallel/leaves-nothing-behind" => parallel::leaves_nothing_behind,

        "level2/race/returns-at-the-third" => race::returns_at_the_third,
        "level2/race/hands-over-the-first-three" => race::hands_over_the_first_three,
        "level2/race/a-failure-is-no-success" => race::a_failure_is_no_success,
        "level2/race/lists-early-failures" => race::lists_early_failures,
        "level2/race/hands-over-the-rest" => race::hands_over_the_rest,
        "level2/race/the-rest-carries-failures" => race::the_rest_carries_failures,
        "level2/race/a-dropped-rest-stops" => race::a_dropped_rest_stops,
        "level2/race/too-few-at-once" => race::too_few_at_once,
        "level2/race/too-few-tells-all" => race::too_few_tells_all,
        "level2/race/leaves-nothing-behind" => race::leaves_nothing_behind,

        "level2/all-settled/takes-600-ms" => all_settled::takes_600,
        "level2/all-settled/keeps-what-arrived" => all_settled::keeps_what_arrived,
        "level2/all-settled/names-each-failure" => all_settled::names_each_failure,
        "level2/all-settled/measures-each-section" => all_settled::measures_each_section,
        "level2/all-settled/default-timeouts" => all_settled::default_timeouts,
        "level2/all-settled/cuts-a-hung-source" => all_settled::cuts_a_hung_source,
        "level2/all-settled/each-source-has-its-own-limit" => all_settled::each_source_has_its_own_limit,
        "level2/all-settled/stops-what-it-cuts" => all_settled::stops_what_it_cuts,
        "level2/all-settled/contains-panics" => all_settled::contains_panics,
        "level2/all-settled/contains-early-failures" => all_settled::contains_early_failures,
        "level2/all-settled/leaves-nothing-behind" => all_settled::leaves_nothing_behind,

        "level2/deadline/passes-results-on" => deadline::passes_results_on,
        "level2/deadline/cuts-at-the-limit" => deadline::cuts_at_the_limit,
        "level2/deadline/stops-the-work" => deadline::stops_the_work,
        "level2/deadline/partial-at-the-limit" => deadline::partial_at_the_limit,
        "level2/deadline/partial-waits-no-longer" => deadline::partial_waits_no_longer,

        "level2/retry-failed/asks-only-for-the-failed" => retry_failed::asks_only_for_the_failed,
        "level2/retry-failed/leaves-the-hopeless" => retry_failed::leaves_the_hopeless,
        "level2/retry-failed/takes-the-newer-outcome" => retry_failed::takes_the_newer_outcome,
        "level2/retry-failed/nothing-to-do" => retry_failed::nothing_to_do,

        "level2/critical/ends-at-a-critical-failure" => critical::ends_at_a_critical_failure,
        "level2/critical/tolerates-optional-failures" => critical::tolerates_optional_failures,
        "level2/critical/heeds-the-list" => critical::heeds_the_list,
        "level2/critical/stops-the-rest" => critical::stops_the_rest,

        "level2/cache/asks-every-time" => cache::asks_every_time,
        "level2/cache/falls-back" => cache::falls_back,
        "level2/cache/names-the-cause" => cache::names_the_cause,
        "level2/cache/expires" => cache::expires,
        "level2/cache/has-nothing-at-first" => cache::has_nothing_at_first,

        "level2/progressive/shows-the-critical-first" => progressive::shows_the_critical_first,
        "level2/progressive/holds-the-others-back" => progressive::holds_the_others_back,
        "level2/progressive/hands-over-the-second-phase" => progressive::hands_over_the_second_phase,
        "level2/progressive/a-critical-failure-ends-it" => progressive::a_critical_failure_ends_it,
        "level2/progressive/leaves-nothing-behind" => progressive::leaves_nothing_behind,

        "level2/any/first-success-wins" => any::first_success_wins,
        "level2/any/stops-the-losers" => any::stops_the_losers,
        "level2/any/lists-every-error" => any::lists_every_error,
        "level2/any/no-replica-is-a-failure" => any::no_replica_is_a_failure,

        "level2/queue/bounds-the-jobs" => queue::bounds_the_jobs,
        "level2/queue/first-come-first-served" => queue::first_come_first_served,
        "level2/queue/no-newcomer-overtakes" => queue::no_newcomer_overtakes,
        "level2/queue/survives-failing-jobs" => queue::survives_failing_jobs,
        "level2/queue/survives-dropped-callers" => queue::survives_dropped_callers,
        "level2/queue/five-by-default" => queue::five_by_default,

        "level2/metrics/counts-a-load" => metrics::counts_a_load,
        "level2/metrics/load-time" => metrics::load_time,
        "level2/metrics/success-rate" => metrics::success_rate,
        "level2/metrics/failure-count" => metrics::failure_count,
        "level2/metrics/timeout-rate" => metrics::timeout_rate,
        "level2/metrics/adds-up" => metrics::adds_up,
        "level2/metrics/worst" => metrics::worst,

        "level2/recovery/a-default-keeps-its-cause" => recovery::a_default_keeps_its_cause,
        "level2/recovery/waits-double" => recovery::waits_double,
        "level2/recovery/gives-up" => recovery::gives_up,
        "level2/recovery/retries-what-may-pass" => recovery::retries_what_may_pass,
        "level2/recovery/degrades" => recovery::degrades,
    })
}
