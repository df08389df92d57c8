//! What `all_settled::settle` makes of one call.
//!
//! `critical` and `progressive` are built on it. Their criteria expect what it says, so that its faults
//! cost the criteria of its own exercise only.

use std::time::Duration;

use grader_kit::{Cx, Outcome, ensure, ms};
use level2::all_settled::{Timeouts, settle};
use level2::model::Section;
use level2::settled::SectionReport;

use crate::fake::{Fake, Figures};
use crate::plain;
use crate::support::catching;

/// Limits that no source of a criterion reaches, unless it hangs.
pub const LIMITS: [u64; 5] = [5000, 3000, 3000, 5000, 3000];

/// Limits in the order of the page, in milliseconds.
pub const fn limits([sales, users, orders, low_stock, reviews]: [u64; 5]) -> Timeouts {
    Timeouts {
        sales: ms(sales),
        users: ms(users),
        orders: ms(orders),
        low_stock: ms(low_stock),
        reviews: ms(reviews),
    }
}

/// Sets the limit of one section, in milliseconds.
pub fn set_limit(limits: &mut Timeouts, section: Section, limit: u64) {
    set(limits, section, ms(limit));
}

/// Sets the limit of one section.
pub fn set(limits: &mut Timeouts, section: Section, limit: Duration) {
    let of_section = match section {
        Section::Sales => &mut limits.sales,
        Section::Users => &mut limits.users,
        Section::Orders => &mut limits.orders,
        Section::LowStock => &mut limits.low_stock,
        Section::Reviews => &mut limits.reviews,
    };
    *of_section = limit;
}

/// A section that was settled alone.
pub struct Alone {
    /// Its report.
    pub report: SectionReport,
    /// The report's result as text.
    pub shown: String,
    /// When it was there, in milliseconds after the call.
    pub at: u64,
    /// How often its source was called.
    pub calls: usize,
    /// Whether no call of it was left.
    pub clean: bool,
}

/// Settles `section` of a twin of `fake` alone. `None` if that does not end, or panics.
pub async fn alone(cx: &Cx, fake: &Fake, section: Section, timeouts: Timeouts) -> Option<Alone> {
    let twin = fake.twin();
    cx.timeline().record(
        "the grader",
        format!("calls `settle` for {section} alone, to see what the load has to say of it"),
    );
    let settled = settle(section, twin.source(), timeouts.of(section));
    let (result, took) = catching(cx, "all_settled::settle", settled).await.ok()?;
    let report = result.ok()?;
    cx.settle().await;
    let (calls, clean) = (twin.called().len(), twin.running().is_empty());
    let at = u64::try_from(took.as_millis()).ok()?;
    Some(Alone { shown: plain::report(&report), report, at, calls, clean })
}

/// Those of `sections` whose data `settle` reports as it is, whatever the numbers are.
pub async fn settled_right(cx: &Cx, sections: &[Section]) -> Vec<Section> {
    let mut right = Vec::new();
    for &section in sections {
        let mut both = true;
        for figures in [Figures::Zeros, Figures::Largest] {
            let fake = Fake::new(cx).answering(figures);
            let data = plain::data(&fake.data(section));
            let alone = alone(cx, &fake, section, limits(LIMITS)).await;
            both &= alone.is_some_and(|alone| alone.shown == data);
        }
        if both {
            right.push(section);
        }
    }
    right
}

/// `report` says what `settle` says of its section alone.
pub fn agrees(report: &SectionReport, alone: &Alone, case: &str) -> Outcome {
    let section = plain::section(alone.report.section);
    ensure!(plain::report(report) == alone.shown, "the report on {section} is not what its source said";
        expected = format!("{} ({case})", alone.shown), observed = plain::report(report),
        help = "report each section as `settle` does: its data, its error as it is, TimedOut with its \
                own limit, or Panicked with the text of the panic");
    ensure!(report.took == alone.report.took,
        "the report on {section} says {}", plain::time(report.took);
        expected = format!("{}, from its call to its outcome ({case})", plain::time(alone.report.took)),
        help = "a report counts from the start of its own call, not of the load");
    Ok(())
}
