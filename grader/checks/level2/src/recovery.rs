//! `recovery`: default value, retry, degradation.

use std::cell::{Cell, RefCell};
use std::num::NonZeroU32;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::select;
use grader_kit::{Cx, Draw, Fail, Outcome, dropped_at, ensure, ensure_eq, failed, list, moved, ms};
use level2::error::{SectionFailure, SourceError};
use level2::model::{Dashboard, Section};
use level2::recovery::{Backoff, Exhausted, Recovered, degrade, or_default, retry};
use level2::settled::{SectionReport, Settled};
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::fake::{Fake, down};
use crate::plain::{self, same, same_page};
use crate::support::{A_YEAR, YEARS, names, odd, succeeded};

const NAME: &str = "recovery::retry";

fn backoff(attempts: u32, base: Duration) -> Result<Backoff, Fail> {
    let attempts = NonZeroU32::new(attempts).ok_or_else(|| Fail::new("no attempts"))?;
    Ok(Backoff { attempts, base })
}

pub async fn a_default_keeps_its_cause(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let (default, value) = (draw.below(1000), draw.between(1000..=2000));
    let cause = SourceError::Rejected(draw.text(0..=12));
    let failing: Result<u64, _> = Err(cause.clone());
    let Recovered { value: observed, cause: kept } =
        cx.call("recovery::or_default", async { or_default(failing, default) }).await?.value;
    ensure_eq!(observed, default, "a failure is not replaced by the default");
    same(
        kept.as_ref().map_or_else(|| "no cause".to_owned(), plain::source_error),
        plain::source_error(&cause),
        || "a failure is not replaced by the default, with its cause kept".to_owned(),
        "the caller must see that the value is a fallback, and why",
    )?;
    // Also where the value is the default by chance.
    for value in [value, default] {
        let working: Result<u64, SourceError> = Ok(value);
        let Recovered { value: observed, cause } =
            cx.call("recovery::or_default", async { or_default(working, default) }).await?.value;
        ensure_eq!(observed, value, "a value is not passed on as it is");
        ensure!(cause.is_none(), "a successful value has a cause";
            expected = "`cause` is None: nothing has failed");
    }
    Ok(())
}

/// The moments at which a source that is always down is tried.
async fn attempts(cx: &Cx, backoff: Backoff) -> Result<Vec<u64>, Fail> {
    let began = cx.timeline().now_ms();
    let times = RefCell::new(Vec::new());
    let attempt = || {
        cx.timeline().record("the source", "tried");
        times.borrow_mut().push(cx.timeline().now_ms() - began);
        async { Err::<(), _>(down(Section::Users)) }
    };
    let _: Result<(), Exhausted> = cx.call(NAME, retry(backoff, attempt)).await?.value;
    Ok(times.into_inner())
}

/// `base` doubled once for each failure after the first, but not after the 32nd.
fn doubled(base: Duration, failures: u32) -> Duration {
    match failures {
        0 => Duration::ZERO,
        _ => base.saturating_mul(1 << (failures - 1).min(31)),
    }
}

async fn delay(cx: &Cx, base: Duration, failures: u32) -> Outcome {
    let backoff = backoff(3, base)?;
    let observed = cx.call("Backoff::delay", async { backoff.delay(failures) }).await?.value;
    let expected = doubled(base, failures);
    if observed == expected {
        return Ok(());
    }
    let (base, near) = (plain::time(base), observed.abs_diff(expected) < expected / 1000);
    let (headline, help) = match failures {
        33.. => (
            format!("the wait after {failures} failures is not the longest one (base: {base})"),
            "the wait stops growing after the 32nd failure",
        ),
        _ if near => (
            format!("the wait after {failures} failures is rounded (base: {base})"),
            "a float cannot hold every Duration: multiply the Duration by a whole number \
             (saturating_mul)",
        ),
        _ => (
            format!("wrong wait after {failures} failures (base: {base})"),
            "no wait before the first failure, `base` after it, twice the wait before after each \
             further one, and Duration::MAX where that would be more",
        ),
    };
    Err(Fail::new(headline)
        .expected(plain::time(expected))
        .observed(plain::time(observed))
        .help(help))
}

pub async fn waits_double(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let base = draw.between(50..=150);
    for base in [100, base] {
        let observed = attempts(&cx, backoff(4, ms(base))?).await?;
        ensure_eq!(observed, [0, base, 3 * base, 7 * base],
            "wrong moments of the tries with a base of {base} ms";
            help = "the first wait is the base itself; each further one is twice the one before");
    }
    let default = cx.call("Backoff::default", async { Backoff::default() }).await?.value;
    ensure_eq!(default.attempts.get(), 3, "the default does not allow 3 attempts");
    ensure_eq!(default.base, ms(1000), "the default does not begin with a wait of 1000 ms");
    ensure_eq!(
        attempts(&cx, default).await?,
        [0, 1000, 3000],
        "wrong moments of the tries with the default"
    );
    for failures in [0, 1, 2, 3, 11, 31, 32, 33, 34, 64, 65, 256, u32::MAX] {
        delay(&cx, ms(100), failures).await?;
        delay(&cx, Duration::from_nanos(draw.between(1..=1_000_000_007)), failures).await?;
    }
    for failures in 0..=40 {
        delay(&cx, Duration::from_nanos(1), failures).await?;
    }
    moves_between_tasks(&cx).await
}

/// A retry that moves to another task, in a try or in a wait, goes on as one that stays.
async fn moves_between_tasks(cx: &Cx) -> Outcome {
    let count = Cell::new(0);
    let attempt = || {
        count.set(count.get() + 1);
        let outcome = if count.get() == 1 { Err(down(Section::Users)) } else { Ok(()) };
        async {
            sleep(ms(100)).await;
            outcome
        }
    };
    let call = cx.call(NAME, retry(backoff(3, ms(100))?, attempt)).await?;
    succeeded(call.value, "the second try succeeds")?;
    ensure!(call.took == ms(300), "two tries of 100 ms each, with a wait of 100 ms between them, take {}", plain::time(call.took);
        expected = "300 ms: the wait begins when the try has failed, not when it began",
        help = "sleep for `delay` after the failure, however long the try took");
    for at in [0, 50, 150, 250] {
        count.set(0);
        let retry = moved(at, retry(backoff(3, ms(100))?, attempt));
        let call = cx.call(NAME, retry).await?;
        succeeded(call.value, "the second try succeeds")?;
        ensure!(call.took == ms(300), "{NAME} is not woken after it has moved to another task";
            expected = "it returns at 300 ms: two tries of 100 ms, and a wait of 100 ms",
            observed = format!("it was first polled by one task and {at} ms later by another, and returned at {}",
                plain::time(call.took)),
            help = "pass each poll's own Context to the futures that you wait for: a waker that was stored \
                    belongs to the task of an earlier poll");
    }
    Ok(())
}

pub async fn waits_any_time(cx: Cx) -> Outcome {
    for failures in 0..=32 {
        delay(&cx, Duration::ZERO, failures).await?;
        delay(&cx, Duration::MAX, failures).await?;
    }
    // Twice this is a little more than there is.
    let half = Duration::MAX / 2 + Duration::from_nanos(1);
    for failures in [2, 3, 20] {
        delay(&cx, half, failures).await?;
    }
    // A wait that is no whole number of milliseconds is not cut: tokio's timers end with the millisecond.
    for base in [Duration::from_micros(500), odd(&mut cx.draw(), ms(1))] {
        let backoff = backoff(6, base)?;
        let tries = attempts(&cx, backoff).await?;
        for (failures, gap) in (1..).zip(tries.windows(2)) {
            let (least, waited) = (doubled(base, failures), ms(gap[1] - gap[0]));
            ensure!(least <= waited && waited <= least + ms(1),
                "waits {} after {failures} failure(s) with a base of {}", plain::time(waited), plain::time(base);
                expected = format!("{}, or to the end of that millisecond", plain::time(least)),
                help = "keep the wait as a Duration: in whole milliseconds it is shorter than was asked");
        }
    }
    // Waits of months and of more than a year.
    let base = A_YEAR / 2;
    let times = RefCell::new(Vec::new());
    let began = cx.timeline().now_ms();
    let attempt = || {
        times.borrow_mut().push(cx.timeline().now_ms() - began);
        async { Err::<(), _>(down(Section::Users)) }
    };
    let _ = cx.call_within(YEARS * 2, NAME, retry(backoff(3, ms(base))?, attempt)).await?;
    ensure_eq!(times.into_inner(), [0, base, 3 * base],
        "wrong moments of the tries with a base of {base} ms";
        help = "a wait is as long as `delay` says: there is no longest one but Duration::MAX");
    let tries = attempts(&cx, backoff(3, Duration::ZERO)?).await?;
    ensure!(tries.len() > 1 && tries.last() == Some(&0), "with a base of 0 ms, tries at {} ms", list(&tries);
        expected = "all of them at 0 ms: a base of zero means no wait");
    // The wait for the second try is as long as a Duration can be: nothing more happens.
    let count = Cell::new(0);
    let attempt = || {
        count.set(count.get() + 1);
        async { Err::<(), _>(down(Section::Users)) }
    };
    dropped_at(&cx, NAME, 100_000, retry(backoff(3, Duration::MAX)?, attempt)).await?;
    ensure_eq!(count.get(), 1, "wrong number of tries with a base of Duration::MAX");
    Ok(())
}

/// A failure with a number that may pass.
fn passing(number: u32) -> SourceError {
    SourceError::Unavailable(format!("failure {number}"))
}

pub async fn gives_up(cx: Cx) -> Outcome {
    let some = u32::try_from(cx.draw().between(4..=9)).unwrap_or(4);
    for (tries, base) in [(1, 7), (2, 7), (3, 7), (some, 1), (1000, 0)] {
        let (count, last_at) = (Cell::new(0), Cell::new(0));
        let attempt = || {
            count.set(count.get() + 1);
            last_at.set(cx.timeline().now_ms());
            let error = passing(count.get());
            async { Err::<(), _>(error) }
        };
        let call = cx.call(NAME, retry(backoff(tries, ms(base))?, attempt)).await?;
        let after = cx.timeline().now_ms() - last_at.get();
        let Exhausted { attempts, last } = failed(call.value, "every try failed")?;
        ensure!(count.get() == tries, "{} tries instead of {tries}", count.get();
            expected = format!("{tries} tries in all, the first included"));
        ensure!(attempts == tries, "the error does not count the tries and carry the last failure: \
                `attempts` is {attempts}";
            expected = format!("{tries}, as many as were made"));
        same(
            plain::source_error(&last),
            plain::source_error(&passing(tries)),
            || "the error does not count the tries and carry the last failure".to_owned(),
            "`last` is the error of the last try",
        )?;
        ensure!(after == 0, "returned {after} ms after the last try has failed";
            expected = "at once: there is nothing to wait for after the last try",
            help = "wait between two tries only: check whether there is another one before you wait");
    }
    Ok(())
}

pub async fn retries_transient_failures(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    // So many failures that may pass, and then a success or a refusal, with few attempts and with as many as there
    // can be.
    for (before, most) in (0..5).flat_map(|before| [(before, 6), (before, u32::MAX)]) {
        for refuses in [false, true] {
            let (count, value) = (Cell::new(0), draw.below(1_000_000));
            let refusal = SourceError::Rejected(draw.text(0..=12));
            let attempt = || {
                count.set(count.get() + 1);
                let outcome = match count.get() {
                    nth if nth <= before => Err(passing(nth)),
                    _ if refuses => Err(refusal.clone()),
                    _ => Ok(value),
                };
                async { outcome }
            };
            let call = cx.call(NAME, retry(backoff(most, ms(1))?, attempt)).await?;
            let (tries, made) = (before + 1, count.get());
            if !refuses {
                let observed = succeeded(call.value, &format!("try {tries} of {most} succeeds"))?;
                ensure_eq!(observed, value, "another value than that of the try that succeeded");
                ensure!(made == tries, "{made} tries although the {tries}. succeeded";
                    expected = format!("{tries} tries"));
                continue;
            }
            let Exhausted { attempts, last } = failed(call.value, "the source refused")?;
            let where_from =
                if tries == 1 { "the first try".to_owned() } else { format!("try {tries}") };
            ensure!(made == tries, "a refusal is not returned after {where_from}";
                expected = format!("{tries} tries: the {tries}. was refused"), observed = format!("{made} tries"),
                help = "SourceError::is_transient says what is worth another try");
            ensure!(attempts == tries, "after a refusal of {where_from} `attempts` is {attempts}";
                expected = format!("{tries}, as many as were made"));
            same(
                plain::source_error(&last),
                plain::source_error(&refusal),
                || format!("the error is not the refusal of {where_from}"),
                "`last` is the error of the last try",
            )?;
        }
    }
    Ok(())
}

/// Notes when it is dropped.
struct Noted<'a>(&'a Cell<u32>);

impl Drop for Noted<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

/// Where a retry is dropped.
#[derive(Debug, Clone, Copy)]
enum Moment {
    BeforeItsFirstPoll,
    InTry(u32),
    InTheWaitAfterTry(u32),
}

impl Moment {
    fn said(self) -> String {
        match self {
            Self::BeforeItsFirstPoll => "before its first poll".to_owned(),
            Self::InTry(nth) => format!("in try {nth}"),
            Self::InTheWaitAfterTry(nth) => format!("in the wait after try {nth}"),
        }
    }
}

pub async fn leaves_nothing_behind(cx: Cx) -> Outcome {
    use Moment::{BeforeItsFirstPoll, InTheWaitAfterTry, InTry};

    let moments = [
        BeforeItsFirstPoll,
        InTry(1),
        InTheWaitAfterTry(1),
        InTry(2),
        InTheWaitAfterTry(2),
        InTry(3),
    ];
    for moment in moments {
        let (begun, over, reached) = (Cell::new(0), Cell::new(0), Notify::new());
        let attempt = || {
            begun.set(begun.get() + 1);
            let (nth, running) = (begun.get(), Noted(&over));
            let reached = &reached;
            async move {
                let _running = running;
                if matches!(moment, InTry(wanted) if wanted == nth) {
                    reached.notify_one();
                }
                sleep(ms(100)).await;
                if matches!(moment, InTheWaitAfterTry(wanted) if wanted == nth) {
                    reached.notify_one();
                }
                Err::<(), _>(down(Section::Users))
            }
        };
        let load = retry(backoff(3, ms(100))?, attempt);
        let expected = match moment {
            BeforeItsFirstPoll => {
                drop(load);
                0
            }
            InTry(nth) | InTheWaitAfterTry(nth) => {
                let until = async {
                    reached.notified().await;
                    sleep(ms(50)).await;
                };
                let dropped = async { drop(select(pin!(load), pin!(until)).await) };
                cx.call(NAME, dropped).await?;
                nth
            }
        };
        cx.settle().await;
        let (running, said) = (begun.get() - over.get(), moment.said());
        ensure!(running == 0, "a try still runs after {NAME} was dropped {said}";
            expected = "no try is left",
            help = "a try stops when its future is dropped: keep it in the future that `retry` is");
        sleep(ms(1000)).await;
        ensure!(begun.get() == expected, "tries that had begun when {NAME} was dropped {said}: {}", begun.get();
            expected = format!("{expected}: a future does nothing before its first poll and after its drop"),
            help = "make the calls inside the future, one after the other");
    }
    Ok(())
}

pub async fn a_panic_passes_on(cx: Cx) -> Outcome {
    // What is not written is found here: below, a panic is what is wanted.
    let failing = || async { Err::<(), _>(down(Section::Users)) };
    let _ = cx.call(NAME, retry(backoff(1, ms(100))?, failing)).await?;
    for (nth, in_closure) in [(1, true), (1, false), (2, true), (2, false), (3, true), (3, false)] {
        let text = format!("try {nth}, row {} is missing", cx.draw().below(1_000_000));
        let count = Cell::new(0);
        let attempt = || {
            count.set(count.get() + 1);
            let bug = count.get() == nth;
            assert!(!(bug && in_closure), "{text}");
            let text = text.clone();
            async move {
                assert!(!bug, "{text}");
                Err::<(), _>(down(Section::Users))
            }
        };
        let backoff = backoff(3, ms(100))?;
        let caught = AssertUnwindSafe(async { retry(backoff, attempt).await }).catch_unwind();
        let outcome = cx.call(NAME, caught).await?.value;
        let place = if in_closure { "closure" } else { "future" };
        let Err(payload) = outcome else {
            return Err(Fail::new(format!(
                "a panic in the {place} of try {nth} does not reach the caller"
            ))
            .expected("the panic passes through retry: it is a bug, not a transient failure")
            .help("await the try and let its panic pass: do not catch it"));
        };
        let observed = payload.downcast_ref::<String>().cloned().unwrap_or_default();
        ensure!(observed == text, "a panic in the {place} of try {nth} reaches the caller without its text";
            expected = text, observed = observed,
            help = "await the try and let its panic pass; a payload that was caught goes on with resume_unwind");
        ensure!(count.get() == nth, "{} tries although try {nth} panicked", count.get();
            expected = format!("{nth}: after a panic there is no further try"));
    }
    Ok(())
}

/// A load in which the named sections failed.
fn settled(fake: &Fake, failures: &[(Section, SectionFailure)]) -> Settled {
    let reports = Section::ALL.map(|section| {
        let failure = failures.iter().find(|(failed, _)| *failed == section);
        let result = match failure {
            Some((_, failure)) => Err(failure.clone()),
            None => Ok(fake.data(section)),
        };
        SectionReport { section, result, took: ms(1) }
    });
    Settled::new(reports, ms(5000))
}

/// A failure of any kind.
fn failure(draw: &mut Draw) -> SectionFailure {
    let text = draw.text(0..=12);
    match draw.below(4) {
        0 => SourceError::Unavailable(text).into(),
        1 => SourceError::Rejected(text).into(),
        2 => SectionFailure::TimedOut { limit: ms(draw.below(5000)) },
        _ => SectionFailure::Panicked { message: text },
    }
}

pub async fn degrades(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    // Every choice of sections that failed, none and all included.
    // The second time they all fail in the same words.
    for chosen in 0..64_u32 {
        let fake = Fake::new(&cx);
        let same_for_all = failure(&mut draw);
        let mut failure = || match chosen {
            0..32 => failure(&mut draw),
            _ => same_for_all.clone(),
        };
        let mut failures: Vec<(Section, SectionFailure)> = (0..5)
            .filter(|bit| chosen & (1 << bit) != 0)
            .map(|bit| (Section::ALL[bit], failure()))
            .collect();
        let load = settled(&fake, &failures);
        let observed = cx.call("recovery::degrade", async { degrade(&load) }).await?.value;
        let mut expected = fake.page();
        for (section, _) in &failures {
            empty(&mut expected, *section);
        }
        same_page(
            &observed.dashboard,
            &expected,
            |section| {
                format!(
                    "the page is not what arrived, with empty sections in the gaps: {section} differs"
                )
            },
            "show each section that arrived, and an empty one where it failed",
        )?;
        failures.sort_by_key(|(section, _)| *section);
        let listed = |list: &mut dyn Iterator<Item = (Section, &SectionFailure)>| -> Vec<String> {
            list.map(|(section, failure)| format!("{section}: {}", plain::failure(failure)))
                .collect()
        };
        let wanted = listed(&mut failures.iter().map(|(section, failure)| (*section, failure)));
        let there =
            listed(&mut observed.errors.iter().map(|error| (error.section, &error.failure)));
        ensure!(there == wanted, "the failures are not listed in the order of the page";
            expected = if wanted.is_empty() { "none".to_owned() } else { wanted.join("; ") },
            observed = if there.is_empty() { "none".to_owned() } else { there.join("; ") },
            help = "a page with gaps must say so, or zero orders look like a quiet day");
    }
    degrades_what_is_not_complete(&cx, &mut draw).await
}

/// Loads that report on some of the sections only. What has no report is empty on the page, and no failure.
async fn degrades_what_is_not_complete(cx: &Cx, draw: &mut Draw) -> Outcome {
    for there in 0..31_u32 {
        let fake = Fake::new(cx);
        let reported: Vec<_> = Section::ALL
            .into_iter()
            .filter(|section| there & (1 << *section as u32) != 0)
            .collect();
        let mut failures = Vec::new();
        for section in &reported {
            if draw.chance(40) {
                failures.push((*section, failure(draw)));
            }
        }
        let reports = settled(&fake, &failures).into_reports().into_iter();
        let load =
            Settled::new(reports.filter(|report| reported.contains(&report.section)), ms(5000));
        let observed = cx.call("recovery::degrade", async { degrade(&load) }).await?.value;
        let case = format!("the load has reports on: {}", names(&reported));
        let mut expected = fake.page();
        for section in Section::ALL {
            if !reported.contains(&section) || failures.iter().any(|(one, _)| *one == section) {
                empty(&mut expected, section);
            }
        }
        same_page(
            &observed.dashboard,
            &expected,
            |section| {
                format!(
                    "the page of a load without some of the reports is wrong: {section} differs ({case})"
                )
            },
            "show each section that arrived, and an empty one for every other",
        )?;
        let listed: Vec<_> = observed.errors.iter().map(plain::error).collect();
        let wanted: Vec<_> = failures
            .iter()
            .map(|(section, failure)| format!("{section}: {}", plain::failure(failure)))
            .collect();
        same(
            plain::items(&listed),
            plain::items(&wanted),
            || {
                format!(
                    "a load without some of the reports lists other failures than it has ({case})"
                )
            },
            "what is listed are the failures of the reports: a section without a report has none",
        )?;
    }
    Ok(())
}

/// Takes a section's data from the page.
fn empty(page: &mut Dashboard, section: Section) {
    match section {
        Section::Sales => page.sales = Default::default(),
        Section::Users => page.users = Default::default(),
        Section::Orders => page.orders = Default::default(),
        Section::LowStock => page.low_stock = Default::default(),
        Section::Reviews => page.reviews = Default::default(),
    }
}
