//! What the course provides: types, simulation, drawings.

use std::sync::Arc;

use level2::all_settled::Timeouts;
use level2::error::{SectionError, SectionFailure};
use level2::model::{Cents, PartialDashboard, Rating, Section, SectionData, Users};
use level2::picture::timeline;
use level2::settled::{SectionReport, Settled};
use level2::source::{Behaviour, SimulatedSource};
use level2::strategy::Strategy;
use level2::trace::{Observed, State, Trace};

use crate::sources::{down, ms, refused};

#[test]
fn amounts_and_ratings_print_exactly() {
    assert_eq!(Cents(36_550).to_string(), "$365.50");
    assert_eq!(Cents(5).to_string(), "$0.05");
    assert_eq!(Rating { tenths: 43 }.to_string(), "4.3");
}

#[test]
fn errors_name_the_section_and_the_cause() {
    let error = |failure| SectionError::new(Section::LowStock, failure).to_string();
    assert_eq!(error(SectionFailure::from(refused())), "low-stock: rejected: refused");
    assert_eq!(
        error(SectionFailure::TimedOut { limit: ms(3000) }),
        "low-stock: timed out after 3000 ms"
    );
    assert_eq!(error(SectionFailure::from_panic(&"a bug")), "low-stock: panicked: a bug");
    assert_eq!(error(SectionFailure::from_panic(&7_u8)), "low-stock: panicked: no message");
}

#[test]
fn the_text_of_a_panic_is_found_in_its_box_too() {
    let text =
        |payload: &(dyn std::any::Any + Send)| SectionFailure::from_panic(payload).to_string();
    let row = 7;
    let payload = std::panic::catch_unwind(|| panic!("row {row}")).unwrap_err();
    assert_eq!(text(payload.as_ref()), "panicked: row 7");
    assert_eq!(text(&payload), "panicked: row 7");
    let payload = std::panic::catch_unwind(|| std::panic::panic_any(row)).unwrap_err();
    assert_eq!(text(&payload), "panicked: no message");
}

#[test]
fn only_what_may_succeed_later_is_transient() {
    assert!(SectionFailure::from(down()).is_transient());
    assert!(SectionFailure::TimedOut { limit: ms(1) }.is_transient());
    assert!(!SectionFailure::from(refused()).is_transient());
    assert!(!SectionFailure::from_panic(&"a bug").is_transient());
}

#[test]
fn a_page_is_complete_with_all_sections() {
    let mut page = PartialDashboard::default();
    assert_eq!(page.missing(), Section::ALL);
    page.insert(SectionData::Users(Users::default()));
    assert!(!page.missing().contains(&Section::Users));
    assert_eq!(page.complete(), None);
}

#[test]
fn a_newer_report_replaces_an_older_one() {
    let report = |section, result| SectionReport { section, result, took: ms(1) };
    let users = Ok(SectionData::Users(Users::default()));
    let settled = Settled::new(
        [
            report(Section::Reviews, Err(down().into())),
            report(Section::Users, Err(down().into())),
            report(Section::Users, users.clone()),
        ],
        ms(2),
    );
    let sections: Vec<_> = settled.reports().iter().map(|report| report.section).collect();
    assert_eq!(sections, [Section::Users, Section::Reviews]);
    assert_eq!(settled.get(Section::Users).map(|report| &report.result), Some(&users));
    assert_eq!(settled.errors().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_trace_shows_what_was_stopped() {
    let trace = Arc::new(Trace::default());
    let source = SimulatedSource::default().with(Section::Users, Behaviour::Fails);
    let source = Arc::new(Observed::new(Arc::new(source), Arc::clone(&trace)));
    let summary = Strategy::Parallel.run(source, Timeouts::default()).await;
    let failures: Vec<_> = summary.failures.iter().map(ToString::to_string).collect();
    assert_eq!(failures, ["users: unavailable: the users service is down"]);
    let states: Vec<_> = trace.spans().iter().map(|span| (span.section, span.state)).collect();
    for (section, state) in states {
        let expected = match section {
            Section::Users => State::Failed,
            Section::Reviews => State::Answered,
            _ => State::Stopped,
        };
        assert_eq!(state, expected, "{section}");
    }
    let picture = timeline(&trace.spans(), Some(summary.returned), ms(600));
    assert!(picture.contains("0 .. 300 ms failed"), "{picture}");
    assert!(picture.contains("^ returned at 300 ms"), "{picture}");
}

#[tokio::test(start_paused = true)]
async fn the_simulation_can_be_sped_up() {
    let source = Arc::new(SimulatedSource::default().at_speed(2.0).at_speed(f64::NAN));
    let summary = Strategy::Sequential.run(source, Timeouts::default()).await;
    assert_eq!(summary.returned, ms(1000));
}
