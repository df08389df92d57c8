//! `recovery`: default value, retry, degradation.

use std::cell::{Cell, RefCell};
use std::num::NonZeroU32;
use std::time::Duration;

use grader_kit::{Cx, Fail, Outcome, ensure, ensure_eq, failed, ms};
use level2::error::{SectionError, SectionFailure, SourceError};
use level2::model::{Dashboard, LowStock, Section, Users};
use level2::recovery::{Backoff, Exhausted, Recovered, degrade, or_default, retry};
use level2::settled::{SectionReport, Settled};

use crate::fake::{Fake, down, refused};
use crate::support::{returned_at, succeeded};

const NAME: &str = "recovery::retry";

fn backoff(attempts: u32, base: u64) -> Result<Backoff, Fail> {
    let attempts = NonZeroU32::new(attempts).ok_or_else(|| Fail::new("no attempts"))?;
    Ok(Backoff { attempts, base: ms(base) })
}

pub async fn a_default_keeps_its_cause(cx: Cx) -> Outcome {
    let failing: Result<u32, _> = Err(down(Section::Users));
    let observed = cx.call("recovery::or_default", async { or_default(failing, 7) }).await?.value;
    ensure_eq!(
        observed,
        Recovered { value: 7, cause: Some(down(Section::Users)) },
        "a failure is not replaced by the default, with its cause kept"
    );
    let working: Result<u32, SourceError> = Ok(3);
    let observed = cx.call("recovery::or_default", async { or_default(working, 7) }).await?.value;
    ensure_eq!(observed, Recovered { value: 3, cause: None }, "a value is not passed on as it is");
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
    cx.call(NAME, retry(backoff, attempt)).await?;
    Ok(times.into_inner())
}

pub async fn waits_double(cx: Cx) -> Outcome {
    let observed = attempts(&cx, backoff(4, 100)?).await?;
    ensure_eq!(observed, [0, 100, 300, 700], "wrong moments of the tries with a base of 100 ms";
        help = "the first wait is the base itself; each further one is twice the one before");
    let default = cx.call("Backoff::default", async { Backoff::default() }).await?.value;
    ensure_eq!(
        attempts(&cx, default).await?,
        [0, 1000, 3000],
        "wrong moments of the tries with the default"
    );
    let backoff = backoff(3, 100)?;
    for (failures, expected) in
        [(0, Duration::ZERO), (1, ms(100)), (2, ms(200)), (11, ms(102_400)), (32, ms(100 << 31))]
    {
        let delay = cx.call("Backoff::delay", async { backoff.delay(failures) }).await?.value;
        ensure_eq!(delay, expected, "wrong wait after {failures} failures");
    }
    for failures in [33, 34, 64, 65, u32::MAX] {
        let delay = cx.call("Backoff::delay", async { backoff.delay(failures) }).await?.value;
        ensure_eq!(
            delay,
            ms(100 << 31),
            "the wait after {failures} failures is not the longest one"
        );
    }
    Ok(())
}

pub async fn gives_up(cx: Cx) -> Outcome {
    for tries in [1, 3] {
        let count = Cell::new(0);
        let attempt = || {
            count.set(count.get() + 1);
            let error = SourceError::Unavailable(format!("failure {}", count.get()));
            async { Err::<(), _>(error) }
        };
        let call = cx.call(NAME, retry(backoff(tries, 1)?, attempt)).await?;
        let observed = failed(call.value, "every try failed")?;
        let last = SourceError::Unavailable(format!("failure {tries}"));
        ensure_eq!(
            observed,
            Exhausted { attempts: tries, last },
            "the error does not tell the tries and the last failure"
        );
        ensure!(count.get() == tries, "{} tries instead of {tries}", count.get());
        if tries == 1 {
            returned_at(
                call.took,
                0,
                "there is nothing to wait for after the last try",
                "wait between two tries only",
            )?;
        }
    }
    Ok(())
}

pub async fn retries_what_may_pass(cx: Cx) -> Outcome {
    let count = Cell::new(0);
    let attempt = || {
        count.set(count.get() + 1);
        let outcome = if count.get() < 2 { Err(down(Section::Users)) } else { Ok("there") };
        async { outcome }
    };
    let call = cx.call(NAME, retry(backoff(3, 1)?, attempt)).await?;
    ensure_eq!(succeeded(call.value, "the second try succeeds")?, "there", "another value");
    ensure!(count.get() == 2, "{} tries although the second succeeded", count.get();
        expected = "2 tries");
    let count = Cell::new(0);
    let attempt = || {
        count.set(count.get() + 1);
        async { Err::<(), _>(refused(Section::Users)) }
    };
    let call = cx.call(NAME, retry(backoff(3, 1)?, attempt)).await?;
    let observed = failed(call.value, "the source refused")?;
    ensure_eq!(observed, Exhausted { attempts: 1, last: refused(Section::Users) },
        "a refusal is not returned after the first try";
        help = "SourceError::is_transient tells what is worth another try");
    ensure!(count.get() == 1, "{} tries although the source refused", count.get();
        expected = "1 try");
    Ok(())
}

pub async fn degrades(cx: Cx) -> Outcome {
    let fake = Fake::new(&cx);
    let failures = [
        (Section::LowStock, SectionFailure::TimedOut { limit: ms(5000) }),
        (Section::Users, SectionFailure::from(refused(Section::Users))),
    ];
    let reports = Section::ALL.map(|section| {
        let failure = failures.iter().find(|(failed, _)| *failed == section);
        let result = match failure {
            Some((_, failure)) => Err(failure.clone()),
            None => Ok(fake.data(section)),
        };
        SectionReport { section, result, took: ms(1) }
    });
    let settled = Settled::new(reports, ms(5000));
    let observed = cx.call("recovery::degrade", async { degrade(&settled) }).await?.value;
    let expected =
        Dashboard { users: Users::default(), low_stock: LowStock::default(), ..fake.page() };
    ensure_eq!(
        observed.dashboard,
        expected,
        "the page is not what arrived, with empty sections in the gaps"
    );
    let [low_stock, users] = failures;
    let expected =
        [SectionError::new(users.0, users.1), SectionError::new(low_stock.0, low_stock.1)];
    ensure_eq!(observed.errors, expected, "the failures are not listed in the order of the page";
        help = "a page with gaps must say so, or zero orders look like a quiet day");
    Ok(())
}
