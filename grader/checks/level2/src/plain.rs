//! Values of the level as texts that a learner can read, taken apart field by field.
//!
//! A check compares these texts. A verdict that rests on `==` of a type whose file the learner writes would
//! rest on the learner's own `PartialEq`.

use std::time::Duration;

use grader_kit::{Fail, Outcome};
use level2::error::{SectionFailure, SourceError};
use level2::model::{Dashboard, Section, SectionData};

/// What a source said: `unavailable: "no connection"`.
pub fn error(error: &SourceError) -> String {
    match error {
        SourceError::Unavailable(text) => format!("unavailable: {text:?}"),
        SourceError::Rejected(text) => format!("rejected: {text:?}"),
    }
}

/// Why a section is missing: `timed out after 3000 ms`.
pub fn failure(failure: &SectionFailure) -> String {
    match failure {
        SectionFailure::Source(said) => error(said),
        SectionFailure::TimedOut { limit } => format!("timed out after {}", time(*limit)),
        SectionFailure::Panicked { message } => format!("panicked: {message:?}"),
    }
}

/// A time in milliseconds, with decimals only where they are needed.
pub fn time(time: Duration) -> String {
    if time == Duration::MAX {
        return "Duration::MAX".to_owned();
    }
    let (millis, rest) = (time.as_millis(), time.subsec_nanos() % 1_000_000);
    match rest {
        0 => format!("{millis} ms"),
        _ => format!("{millis}.{rest:06} ms"),
    }
}

/// The data of a section.
pub fn data(data: &SectionData) -> String {
    match data {
        SectionData::Sales(sales) => format!(
            "sales: total {}, {} orders, average {}",
            sales.total.0, sales.orders, sales.average_order.0
        ),
        SectionData::Users(users) => format!(
            "users: {} in all, {} online, {} new",
            users.total, users.online, users.new_today
        ),
        SectionData::Orders(orders) => format!(
            "orders: {} in all, {} urgent, {} processing",
            orders.total, orders.urgent, orders.processing
        ),
        SectionData::LowStock(low) => {
            let items: Vec<_> = low
                .items
                .iter()
                .map(|item| format!("{} {:?} {}", item.id, item.name, item.stock))
                .collect();
            let items = items.join(", ");
            format!("low-stock: {} in all, {} critical, [{items}]", low.total, low.critical)
        }
        SectionData::Reviews(reviews) => format!(
            "reviews: {} in all, {} tenths, {} pending",
            reviews.total, reviews.average.tenths, reviews.pending
        ),
    }
}

/// The outcome of a section: its data, or why there is none.
pub fn result(result: &Result<SectionData, SectionFailure>) -> String {
    match result {
        Ok(there) => data(there),
        Err(why) => failure(why),
    }
}

/// The sections of a page, in its order.
pub fn page(page: &Dashboard) -> [(Section, String); 5] {
    let Dashboard { sales, users, orders, low_stock, reviews } = page.clone();
    [
        SectionData::Sales(sales),
        SectionData::Users(users),
        SectionData::Orders(orders),
        SectionData::LowStock(low_stock),
        SectionData::Reviews(reviews),
    ]
    .map(|section| (section.section(), data(&section)))
}

/// Ends the script unless the two texts are the same.
pub fn same(
    observed: impl Into<String>,
    expected: impl Into<String>,
    headline: impl FnOnce() -> String,
    help: &str,
) -> Outcome {
    let (observed, expected) = (observed.into(), expected.into());
    if observed == expected {
        return Ok(());
    }
    Err(Fail::new(headline()).expected(expected).observed(observed).help(help))
}

/// Ends the script at the first section in which two pages differ.
pub fn same_page(
    observed: &Dashboard,
    expected: &Dashboard,
    headline: impl Fn(Section) -> String,
    help: &str,
) -> Outcome {
    for ((section, there), (_, wanted)) in page(observed).into_iter().zip(page(expected)) {
        same(there, wanted, || headline(section), help)?;
    }
    Ok(())
}
