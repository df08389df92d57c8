//! The criteria of level 3.

mod breaker;
mod dead_letters;
mod deadline;
mod idempotency;
mod limiter;
mod models;
mod parts;
mod retry;

mod assignment;
mod gateway;
mod recovery;
mod request;
mod saga;
mod sweep;
mod world;
use std::process::ExitCode;

use grader_kit::criteria;

fn main() -> ExitCode {
    grader_kit::main(criteria! {
        "level3/deadline/counts-down" => deadline::counts_down,
        "level3/deadline/keeps-a-reserve" => deadline::keeps_a_reserve,
        "level3/deadline/takes-any-duration" => deadline::takes_any_duration,
        "level3/deadline/cuts-at-the-instant" => deadline::cuts_at_the_instant,
        "level3/deadline/drops-what-it-cuts" => deadline::drops_what_it_cuts,
        "level3/deadline/starts-nothing-too-late" => deadline::starts_nothing_too_late,

        "level3/retry/three-attempts-are-three-calls" => retry::three_attempts_are_three_calls,
        "level3/retry/returns-the-first-success" => retry::returns_the_first_success,
        "level3/retry/backs-off-exponentially" => retry::backs_off_exponentially,
        "level3/retry/stays-below-the-cap" => retry::stays_below_the_cap,
        "level3/retry/jitter-takes-up-to-a-half" => retry::jitter_takes_up_to_a_half,
        "level3/retry/draws-for-every-wait" => retry::draws_for_every_wait,
        "level3/retry/seeds-determine-the-waits" => retry::seeds_determine_the_waits,
        "level3/retry/gives-up-when-told" => retry::gives_up_when_told,
        "level3/retry/obeys-retry-after" => retry::obeys_retry_after,
        "level3/retry/no-wait-past-the-deadline" => retry::no_wait_past_the_deadline,
        "level3/retry/no-attempt-that-cannot-finish" => retry::no_attempt_that_cannot_finish,
        "level3/retry/keeps-the-last-error" => retry::keeps_the_last_error,
        "level3/retry/reports-attempts-and-waits" => retry::reports_attempts_and_waits,
        "level3/retry/refuses-bad-schedules" => retry::refuses_bad_schedules,

        "level3/breaker/opens-at-the-fifth-failure" => breaker::opens_at_the_fifth_failure,
        "level3/breaker/a-success-ends-the-row" => breaker::a_success_ends_the_row,
        "level3/breaker/says-when-to-come-back" => breaker::says_when_to_come_back,
        "level3/breaker/probes-after-the-reset-timeout" => breaker::probes_after_the_reset_timeout,
        "level3/breaker/shows-half-open-without-a-call" => breaker::shows_half_open_without_a_call,
        "level3/breaker/one-probe-at-a-time" => breaker::one_probe_at_a_time,
        "level3/breaker/a-failed-probe-reopens" => breaker::a_failed_probe_reopens,
        "level3/breaker/closes-at-the-second-success" => breaker::closes_at_the_second_success,
        "level3/breaker/closes-with-empty-counts" => breaker::closes_with_empty_counts,
        "level3/breaker/every-half-open-time-counts-anew" => breaker::every_half_open_time_counts_anew,
        "level3/breaker/a-dropped-probe-frees-its-place" => breaker::a_dropped_probe_frees_its_place,
        "level3/breaker/a-panicking-probe-frees-its-place" => breaker::a_panicking_probe_frees_its_place,
        "level3/breaker/a-gone-caller-is-no-failure" => breaker::a_gone_caller_is_no_failure,
        "level3/breaker/late-failures-decide-nothing" => breaker::late_failures_decide_nothing,
        "level3/breaker/late-successes-decide-nothing" => breaker::late_successes_decide_nothing,
        "level3/breaker/business-errors-are-neutral" => breaker::business_errors_are_neutral,
        "level3/breaker/a-business-error-decides-no-probe" => breaker::a_business_error_decides_no_probe,
        "level3/breaker/falls-back-only-while-open" => breaker::falls_back_only_while_open,
        "level3/breaker/a-window-counts-despite-successes" => breaker::a_window_counts_despite_successes,
        "level3/breaker/the-window-slides" => breaker::the_window_slides,
        "level3/breaker/figures-add-up" => breaker::figures_add_up,
        "level3/breaker/watchers-see-each-change" => breaker::watchers_see_each_change,
        "level3/breaker/listeners-may-call-the-breaker" => breaker::listeners_may_call_the_breaker,
        "level3/breaker/refuses-times-of-zero" => breaker::refuses_times_of_zero,

        "level3/limiter/goes-again-after-one-window" => limiter::goes_again_after_one_window,
        "level3/limiter/no-window-sees-too-many" => limiter::no_window_sees_too_many,
        "level3/limiter/those-who-waited-do-not-storm" => limiter::those_who_waited_do_not_storm,
        "level3/limiter/serves-in-order" => limiter::serves_in_order,
        "level3/limiter/a-hopeless-wait-is-refused-at-once" => limiter::a_hopeless_wait_is_refused_at_once,
        "level3/limiter/those-ahead-count-too" => limiter::those_ahead_count_too,
        "level3/limiter/a-refused-caller-takes-no-slot" => limiter::a_refused_caller_takes_no_slot,
        "level3/limiter/a-gone-caller-holds-up-nobody" => limiter::a_gone_caller_holds_up_nobody,
        "level3/limiter/an-unused-permit-is-given-back" => limiter::an_unused_permit_is_given_back,
        "level3/limiter/a-permit-counts-from-its-use" => limiter::a_permit_counts_from_its_use,
        "level3/limiter/refunds-go-first" => limiter::refunds_go_first,
        "level3/limiter/waits-when-the-server-says-so" => limiter::waits_when_the_server_says_so,
        "level3/limiter/waits-without-looking" => limiter::waits_without_looking,
        "level3/limiter/takes-the-same-time-at-any-limit" => limiter::takes_the_same_time_at_any_limit,
        "level3/limiter/figures-are-those-of-now" => limiter::figures_are_those_of_now,
        "level3/limiter/refuses-a-window-of-zero" => limiter::refuses_a_window_of_zero,

        "level3/dead-letters/keeps-cause-and-attempts" => dead_letters::keeps_cause_and_attempts,
        "level3/dead-letters/is-bounded" => dead_letters::is_bounded,
        "level3/dead-letters/removes-only-what-was-delivered" => dead_letters::removes_only_what_was_delivered,
        "level3/dead-letters/counts-each-redrive" => dead_letters::counts_each_redrive,
        "level3/dead-letters/parks-poison" => dead_letters::parks_poison,
        "level3/dead-letters/one-failure-stops-nobody" => dead_letters::one_failure_stops_nobody,
        "level3/dead-letters/a-panic-stops-nobody" => dead_letters::a_panic_stops_nobody,
        "level3/dead-letters/a-dropped-redrive-loses-nothing" => dead_letters::a_dropped_redrive_loses_nothing,
        "level3/dead-letters/two-redrives-deliver-once" => dead_letters::two_redrives_deliver_once,

        "level3/idempotency/a-repeat-makes-no-call" => idempotency::a_repeat_makes_no_call,
        "level3/idempotency/a-repeat-is-marked" => idempotency::a_repeat_is_marked,
        "level3/idempotency/other-parameters-are-refused" => idempotency::other_parameters_are_refused,
        "level3/idempotency/concurrent-requests-join" => idempotency::concurrent_requests_join,
        "level3/idempotency/work-outlives-its-caller" => idempotency::work_outlives_its_caller,
        "level3/idempotency/what-may-pass-frees-the-key" => idempotency::what_may_pass_frees_the_key,
        "level3/idempotency/those-who-joined-share-a-failure" => idempotency::those_who_joined_share_a_failure,
        "level3/idempotency/a-panic-frees-the-key" => idempotency::a_panic_frees_the_key,
        "level3/idempotency/keys-are-checked" => idempotency::keys_are_checked,
        "level3/idempotency/answers-are-kept-for-their-time" => idempotency::answers_are_kept_for_their_time,
        "level3/idempotency/the-store-is-bounded" => idempotency::the_store_is_bounded,

        "level3/models/breaker" => models::breaker,
        "level3/models/limiter" => models::limiter,
        "level3/models/idempotency" => models::idempotency,

        "level3/request/refuses-bad-amounts" => request::bad_amounts,
        "level3/request/refuses-unknown-currencies" => request::unknown_currencies,
        "level3/request/refuses-bad-keys" => request::bad_keys,
        "level3/request/refuses-broken-addresses" => request::broken_addresses,

        "level3/saga/runs-in-order" => saga::runs_in_order,
        "level3/saga/undoes-in-reverse" => saga::undoes_in_reverse,
        "level3/saga/undoes-the-unknown" => saga::unknown_is_undone,
        "level3/saga/leaves-what-was-not-done" => saga::not_done_is_not_undone,
        "level3/saga/a-failed-undo-stops-no-other" => saga::a_failed_undo_stops_no_other,
        "level3/saga/tries-an-undo-again" => saga::tries_an_undo_again,
        "level3/saga/parks-what-will-not-go" => saga::parks_what_will_not_go,
        "level3/saga/optional-steps-may-fail" => saga::optional_steps,
        "level3/saga/contains-panics" => saga::contains_panics,
        "level3/saga/keeps-a-reserve" => saga::keeps_a_reserve,
        "level3/saga/survives-a-dropped-caller" => saga::survives_a_dropped_caller,
        "level3/saga/writes-ahead" => saga::journalled::writes_ahead,
        "level3/saga/finishes-past-the-pivot" => saga::journalled::finishes_past_the_pivot,
        "level3/saga/undoes-before-the-pivot" => saga::journalled::undoes_before_the_pivot,
        "level3/saga/stops-when-fenced" => saga::journalled::stops_when_fenced,

        "level3/gateway/takes-1100-ms" => gateway::takes_1100,
        "level3/gateway/a-receipt-fails-nothing" => gateway::a_receipt_fails_nothing,
        "level3/gateway/declines-are-answers" => gateway::declines_are_answers,
        "level3/gateway/refusals-are-final" => gateway::answers::refusals_are_final,
        "level3/gateway/what-may-pass-is-tried-again" => gateway::answers::what_may_pass_is_tried_again,
        "level3/gateway/reads-the-answers" => gateway::answers::answers_are_read,
        "level3/gateway/obeys-retry-after" => gateway::obeys_retry_after,
        "level3/gateway/bad-input-calls-nobody" => gateway::bad_input_calls_nobody,
        "level3/gateway/answers-within-ten-seconds" => gateway::answers_within_ten_seconds,
        "level3/gateway/compensating-goes-on" => gateway::compensating_goes_on,
        "level3/gateway/keys-are-stable" => gateway::keys_are_stable,
        "level3/gateway/fails-fast-when-open" => gateway::fails_fast_when_open,
        "level3/gateway/undoing-passes-an-open-breaker" => gateway::undoing_passes_an_open_breaker,
        "level3/gateway/meters-every-wire-call" => gateway::meters_every_wire_call,
        "level3/gateway/one-terminal-event" => gateway::events::one_terminal_event,
        "level3/gateway/tells-no-secrets" => gateway::events::tells_no_secrets,
        "level3/gateway/sheds-load" => gateway::sheds_load,
        "level3/gateway/drains" => gateway::drains,
        "level3/gateway/splits-the-time" => gateway::events::time_is_split,

        "level3/assignment/succeeds-despite-failures" => assignment::succeeds,
        "level3/assignment/nothing-gets-stuck" => assignment::nothing_stuck,
        "level3/assignment/no-cascade" => assignment::no_cascade,
        "level3/assignment/compensates" => assignment::compensates,
        "level3/assignment/is-idempotent" => assignment::is_idempotent,
        "level3/assignment/latencies" => assignment::latencies,

        "level3/sweep/create" => sweep::create,
        "level3/sweep/fraud" => sweep::fraud,
        "level3/sweep/confirm" => sweep::confirm,
        "level3/sweep/save" => sweep::save,
        "level3/sweep/receipt" => sweep::receipt,
        "level3/sweep/cancel" => sweep::cancel,
        "level3/sweep/refund" => sweep::refund,
        "level3/sweep/void" => sweep::void,

        "level3/recovery/at-every-point" => recovery::at_every_point,
        "level3/recovery/two-at-once" => recovery::two_at_once,
        "level3/recovery/while-recovering" => recovery::while_recovering,
        "level3/recovery/parked-are-dead-letters" => recovery::parked_are_dead_letters,
    })
}
