//! What every store keeps, and what becomes of payments on each of them.
//!
//! The promises of `Journal` and `Ledger` are checked alike in memory, on SQLite and on PostgreSQL. A
//! PostgreSQL of the machine is started for it; where there is none, its tests say so and pass.

#![allow(clippy::unwrap_used, reason = "what a test unwraps fails the test")]

mod audit;
mod backend;
mod check;
mod contract;
mod durable;
mod events;
mod inbox;
mod model;
mod payments;
mod postgres;
mod postgres_gone;
mod postgres_reader;
mod postgres_tls;
mod postings;
mod refunds;
#[path = "../support/postgres.rs"]
mod server;
mod sqlite;
mod sqlite_gone;

/// The contract on one backend.
macro_rules! contract {
    ($backend:ident: $($module:ident ($lease:ident) { $($case:ident)* })*) => {
        mod $backend {
            $(mod $module {
                $(#[test]
                fn $case() {
                    crate::backend::$backend(crate::backend::$lease, crate::$module::$case);
                })*
            })*
        }
    };
}

macro_rules! contract_everywhere {
    ($($backend:ident)*) => {
        $(contract! { $backend:
            contract (SHORT) {
                a_new_saga_is_yours
                a_known_saga_is_left_alone
                one_of_many_opens_it
                records_come_back_as_they_were
                an_old_epoch_is_fenced
                nobody_writes_about_the_unknown
                an_owner_that_writes_keeps_it
                one_of_many_claims_it
                what_is_parked_can_be_claimed_at_once
                what_is_over_stays_over
                lists_are_by_standing_and_age
                a_batch_is_whole
                a_repeat_gives_the_same_row
                another_amount_is_refused
                a_void_is_for_good
                a_void_without_a_row_leaves_a_mark
                receipts_wait_in_order
                currencies_keep_their_units
                one_of_many_saves_writes
                a_save_beside_a_void_leaves_no_row
            }
            model (LONG) { random_scripts_agree }
        })*
    };
}

contract_everywhere! { memory sqlite_file postgres_database }

/// What a process leaves behind, and whole gateways.
macro_rules! durable {
    ($($backend:ident)*) => {
        $(durable! { $backend: durable {
            everything_is_kept
            the_dead_are_known
            one_that_fails_fails_alone
            a_payment_is_shown_with_its_steps
            dead_letters_are_listed
            labelled_sagas_are_listed
            rows_and_counts_are_told
            two_processes_never_both_write
            a_receipt_has_one_sender
            a_sender_that_is_gone_or_silent_loses_its_claim
        } refunds {
            refunds_never_exceed_the_charge
            refunds_at_once_never_exceed_the_charge
            a_refund_has_one_worker
            a_check_finds_refunds_beyond_the_charge
        } events {
            an_event_is_written_with_its_records
            a_delivery_is_made_until_it_has_an_end
            deliveries_are_listed
        } inbox {
            a_report_is_kept_once
            disputes_come_in_any_order
            a_refund_may_fail_late
        } audit {
            each_change_has_an_entry
            changes_of_the_trail_are_found
            two_processes_write_one_chain
        } postings {
            postings_follow_the_money
            postings_that_do_not_fit_are_found
        } payments {
            books_balance
        } crashes {
            crashes_lose_nothing
            two_recover_at_once
        }})*
    };
    ($backend:ident: durable { $($case:ident)* } refunds { $($refund:ident)* } events { $($event:ident)* } inbox { $($report:ident)* }
        audit { $($entry:ident)* } postings { $($posting:ident)* } payments { $($load:ident)* }
        crashes { $($crash:ident)* }) => {
        mod $backend {
            use crate::backend::real;

            $(#[test]
            fn $case() {
                crate::backend::$backend(|place| real().block_on(crate::durable::$case(place)));
            })*
            $(#[test]
            fn $refund() {
                crate::backend::$backend(|place| real().block_on(crate::refunds::$refund(place)));
            })*
            $(#[test]
            fn $event() {
                crate::backend::$backend(|place| real().block_on(crate::events::$event(place)));
            })*
            $(#[test]
            fn $report() {
                crate::backend::$backend(|place| real().block_on(crate::inbox::$report(place)));
            })*
            $(#[test]
            fn $entry() {
                crate::backend::$backend(|place| real().block_on(crate::audit::$entry(place)));
            })*
            $(#[test]
            fn $posting() {
                crate::backend::$backend(|place| real().block_on(crate::postings::$posting(place)));
            })*
            $(#[test]
            fn $load() {
                crate::backend::$backend(|place| real().block_on(crate::payments::$load(place)));
            })*
            // These make their own runtimes, and end them in the middle of everything.
            $(#[test]
            fn $crash() {
                crate::backend::$backend(crate::payments::$crash);
            })*
        }
    };
}

durable! { in_a_file in_postgres }
