//! Values of the level as text that the checks make themselves.
//!
//! A comparison by an impl of the judged crate (`PartialEq`, `Debug`, `Display`) asks the learner for the
//! verdict. These functions take the values apart by their public fields, so that two texts are equal
//! exactly if the values are, and a failure shows what was compared.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use grader_kit::{Fail, Outcome};
use level2::error::{SectionError, SectionFailure, SourceError};
use level2::model::{
    Dashboard, LowStock, Orders, Reviews, Sales, Section, SectionData, StockItem, Users,
};
use level2::settled::SectionReport;

/// Characters of a text that a message shows.
const MOST_SHOWN: usize = 100;

/// The name of a section: `low-stock`.
pub fn section(section: Section) -> &'static str {
    match section {
        Section::Sales => "sales",
        Section::Users => "users",
        Section::Orders => "orders",
        Section::LowStock => "low-stock",
        Section::Reviews => "reviews",
    }
}

/// The names of sections: `sales, low-stock`, or `none`.
pub fn sections<'a>(all: impl IntoIterator<Item = &'a Section>) -> String {
    grader_kit::list(all.into_iter().map(|&one| section(one)))
}

/// Whether two sections are the same.
pub fn same_section(one: Section, other: Section) -> bool {
    section(one) == section(other)
}

/// All fields of a section's data, with its name.
pub fn data(data: &SectionData) -> String {
    match data {
        SectionData::Sales(data) => sales(data),
        SectionData::Users(data) => users(data),
        SectionData::Orders(data) => orders(data),
        SectionData::LowStock(data) => low_stock(data),
        SectionData::Reviews(data) => reviews(data),
    }
}

/// The section that the data belongs to.
pub fn section_of(data: &SectionData) -> Section {
    match data {
        SectionData::Sales(_) => Section::Sales,
        SectionData::Users(_) => Section::Users,
        SectionData::Orders(_) => Section::Orders,
        SectionData::LowStock(_) => Section::LowStock,
        SectionData::Reviews(_) => Section::Reviews,
    }
}

/// All fields of the sales.
pub fn sales(sales: &Sales) -> String {
    let Sales { total, orders, average_order } = sales;
    format!("sales: {} cents from {orders} orders, {} on average", total.0, average_order.0)
}

fn users(users: &Users) -> String {
    let Users { total, online, new_today } = users;
    format!("users: {total}, {online} online, {new_today} new")
}

/// All fields of the orders.
pub fn orders(orders: &Orders) -> String {
    let Orders { total, urgent, processing } = orders;
    format!("orders: {total}, {urgent} urgent, {processing} in work")
}

fn low_stock(low_stock: &LowStock) -> String {
    let LowStock { total, critical, items } = low_stock;
    let items: Vec<_> = items
        .iter()
        .map(|StockItem { id, name, stock }| format!("{stock} of {name:?} (no. {id})"))
        .collect();
    format!("low-stock: {total}, {critical} critical, items: [{}]", items.join(", "))
}

fn reviews(reviews: &Reviews) -> String {
    let Reviews { total, average, pending } = reviews;
    format!("reviews: {total}, {} tenths of a star, {pending} pending", average.tenths)
}

/// The five sections of a page, in its order.
pub fn page(page: &Dashboard) -> [String; 5] {
    [
        sales(&page.sales),
        users(&page.users),
        orders(&page.orders),
        low_stock(&page.low_stock),
        reviews(&page.reviews),
    ]
}

/// The variant of a source's error, and its text.
pub fn source_error(error: &SourceError) -> String {
    match error {
        SourceError::Unavailable(text) => format!("Unavailable({})", quoted(text)),
        SourceError::Rejected(text) => format!("Rejected({})", quoted(text)),
    }
}

/// A text as a learner reads it. A long one is cut; its length and checksum stand for the rest.
pub fn quoted(text: &str) -> String {
    let length = text.chars().count();
    if length <= MOST_SHOWN {
        return format!("{text:?}");
    }
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    let start: String = text.chars().take(MOST_SHOWN / 2).collect();
    format!("{start:?} and so on, {length} characters with the checksum {:x}", hasher.finish())
}

/// Why a section is missing, with all fields.
pub fn failure(failure: &SectionFailure) -> String {
    match failure {
        SectionFailure::Source(error) => source_error(error),
        SectionFailure::TimedOut { limit } => format!("TimedOut {{ limit: {} }}", time(*limit)),
        SectionFailure::Panicked { message } => {
            format!("Panicked {{ message: {} }}", quoted(message))
        }
    }
}

/// The section and its failure: `users: Rejected("...")`.
pub fn error(error: &SectionError) -> String {
    format!("{}: {}", section(error.section), failure(&error.failure))
}

/// The data of a section or its failure, with its name.
pub fn report(report: &SectionReport) -> String {
    match &report.result {
        Ok(found) => data(found),
        Err(found) => format!("{}: {}", section(report.section), failure(found)),
    }
}

/// A duration in milliseconds, with decimals only where they are needed.
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

/// The items of a list, or `none`.
pub fn items(items: &[String]) -> String {
    if items.is_empty() { "none".to_owned() } else { items.join("; ") }
}

/// The data of a section, or why there is none.
pub fn result(result: &Result<SectionData, SectionFailure>) -> String {
    match result {
        Ok(there) => data(there),
        Err(why) => failure(why),
    }
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
    let pages = page(observed).into_iter().zip(page(expected));
    for (section, (there, wanted)) in Section::ALL.into_iter().zip(pages) {
        same(there, wanted, || headline(section), help)?;
    }
    Ok(())
}
