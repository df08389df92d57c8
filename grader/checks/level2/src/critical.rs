//! `critical::load`.

use grader_kit::{Cx, Outcome, ensure_eq, failed, ms};
use level2::all_settled::Timeouts;
use level2::critical::{CRITICAL, load};
use level2::error::SectionError;
use level2::model::Section;

use crate::fake::{Fake, Step, down, refused};
use crate::support::{nothing_left, returned_at, states_time, succeeded};

const NAME: &str = "critical::load";
const LIMITS: Timeouts = Timeouts {
    sales: ms(5000),
    users: ms(3000),
    orders: ms(3000),
    low_stock: ms(5000),
    reviews: ms(3000),
};
const SALES_AND_ORDERS: [Section; 2] = [Section::Sales, Section::Orders];

pub async fn ends_at_a_critical_failure(cx: Cx) -> Outcome {
    let error = refused(Section::Orders);
    let fake = Fake::new(&cx).with(Section::Orders, Step::Fails(100, error.clone()));
    let call = cx.call(NAME, load(fake.source(), &SALES_AND_ORDERS, LIMITS)).await?;
    let observed = failed(call.value, "orders is critical and failed")?;
    returned_at(
        call.took,
        100,
        "orders fails, and without it there is no page",
        "look at each outcome when it comes, not after all have come",
    )?;
    ensure_eq!(
        observed,
        SectionError::new(Section::Orders, error),
        "the error is not that of the critical section"
    );
    Ok(())
}

pub async fn tolerates_optional_failures(cx: Cx) -> Outcome {
    let fake = Fake::new(&cx).fails(Section::Users, 50).fails(Section::Reviews, 150);
    let call = cx.call(NAME, load(fake.source(), &SALES_AND_ORDERS, LIMITS)).await?;
    let settled = succeeded(call.value, "only optional sections failed")?;
    let expected = [Section::Users, Section::Reviews].map(|s| SectionError::new(s, down(s)));
    ensure_eq!(
        settled.errors(),
        expected,
        "the failures of the optional sections are not reported"
    );
    ensure_eq!(
        settled.partial().missing(),
        [Section::Users, Section::Reviews],
        "sections that arrived are missing"
    );
    returned_at(call.took, 600, "the slowest source, low stock, answers", "load all at once")?;
    states_time(settled.took, 600)
}

pub async fn heeds_the_list(cx: Cx) -> Outcome {
    ensure_eq!(CRITICAL, SALES_AND_ORDERS, "CRITICAL is not sales and orders");
    let only_reviews = [Section::Reviews];
    let fake = Fake::new(&cx).fails(Section::Sales, 100);
    let call = cx.call(NAME, load(fake.source(), &only_reviews, LIMITS)).await?;
    succeeded(call.value, "sales failed but only reviews was declared critical")?;
    let fake = Fake::new(&cx).fails(Section::Reviews, 100);
    let call = cx.call(NAME, load(fake.source(), &only_reviews, LIMITS)).await?;
    let observed = failed(call.value, "reviews failed and was declared critical")?;
    ensure_eq!(observed.section, Section::Reviews, "the error names another section");
    Ok(())
}

pub async fn stops_the_rest(cx: Cx) -> Outcome {
    let fake = Fake::new(&cx).fails(Section::Orders, 100);
    let call = cx.call(NAME, load(fake.source(), &SALES_AND_ORDERS, LIMITS)).await?;
    failed(call.value, "orders is critical and failed")?;
    nothing_left(&cx, &fake, "after the load has failed").await
}
