//! `deadline::Deadline`.

use std::cell::Cell;
use std::time::Duration;

use grader_kit::{Cx, Outcome, ensure, ensure_eq, ms};
use level3::deadline::{Deadline, Elapsed};
use tokio::time::sleep;

use crate::parts::OnDrop;

pub async fn counts_down(cx: Cx) -> Outcome {
    let observed = cx.call("Deadline", async {
        let deadline = Deadline::after(ms(100));
        sleep(ms(99)).await;
        let before = (deadline.remaining(), deadline.is_over());
        sleep(ms(1)).await;
        let at = (deadline.remaining(), deadline.is_over());
        sleep(ms(1)).await;
        (before, at, (deadline.remaining(), deadline.is_over()))
    });
    let (before, at, after) = observed.await?.value;
    ensure_eq!(before, (ms(1), false), "remaining() and is_over() 1 ms before the deadline are wrong";
        help = "keep the instant, not the duration: every question computes what is left of it now");
    ensure_eq!(at, (ms(0), true), "remaining() and is_over() at the deadline itself are wrong";
        help = "a deadline is over from its instant on: now >= at");
    ensure_eq!(after, (ms(0), true), "remaining() and is_over() 1 ms after the deadline are wrong");
    Ok(())
}

pub async fn keeps_a_reserve(cx: Cx) -> Outcome {
    let reserves = || {
        let deadline = Deadline::after(ms(10_000));
        let earlier = |reserve| deadline.earlier_by(reserve);
        (
            earlier(ms(2000)).remaining(),
            earlier(ms(10_000)).remaining().is_zero(),
            earlier(ms(60_000)).remaining().is_zero(),
            deadline.remaining(),
        )
    };
    let (left, exactly, beyond, own) = cx.call_fn("Deadline::earlier_by", reserves).await?;
    ensure_eq!(left, ms(8000), "10 s less a reserve of 2 s leave the wrong time");
    ensure!(exactly && beyond, "a reserve as long as the deadline, or longer, leaves time";
        expected = "nothing is left");
    ensure_eq!(own, ms(10_000), "the deadline itself has moved");
    Ok(())
}

pub async fn takes_any_duration(cx: Cx) -> Outcome {
    let extremes = || {
        let far = Deadline::after(Duration::MAX);
        let reserve = Deadline::after(ms(1000)).earlier_by(Duration::MAX).remaining();
        (far.is_over(), far.remaining() > Duration::from_secs(86_400), reserve.is_zero())
    };
    let (over, far, reserve) = cx.call_fn("Deadline", extremes).await?;
    ensure!(!over && far, "Deadline::after(Duration::MAX) is over within a day";
        help = "now + limit panics when the clock cannot express it: checked_add, and something far \
                away instead");
    ensure!(reserve, "a reserve of Duration::MAX leaves time"; expected = "nothing is left");
    Ok(())
}

pub async fn cuts_at_the_instant(cx: Cx) -> Outcome {
    let run = async {
        let deadline = Deadline::after(ms(500));
        // Some of the time is gone already.
        sleep(ms(200)).await;
        deadline.run(sleep(ms(60_000))).await
    };
    let call = cx.call("Deadline::run", run).await?;
    ensure_eq!(call.value, Err(Elapsed), "work of 60 s within 500 ms was not cut");
    ensure!(call.took == ms(500), "the work was cut at {} ms", call.took.as_millis();
        expected = "500 ms: the deadline is an instant, and 200 ms of it had passed before the run",
        help = "timeout_at, not timeout: the limit does not begin anew with each run");
    let quick = cx.call(
        "Deadline::run",
        Deadline::after(ms(500)).run(async {
            sleep(ms(100)).await;
            7
        }),
    );
    let quick = quick.await?;
    ensure_eq!(quick.value, Ok(7), "work of 100 ms within 500 ms");
    ensure!(quick.took == ms(100), "work of 100 ms took {} ms", quick.took.as_millis();
        expected = "100 ms: nobody waits for the deadline when the work is done");
    Ok(())
}

pub async fn drops_what_it_cuts(cx: Cx) -> Outcome {
    let (dropped, finished) = (Cell::new(false), Cell::new(false));
    let work = async {
        let _guard = OnDrop(&dropped);
        sleep(ms(60_000)).await;
        finished.set(true);
    };
    let run = async {
        let _ = Deadline::after(ms(500)).run(work).await;
        // Looked at while the run's own future is still there: it must let go by itself.
        dropped.get()
    };
    let dropped_in_time = cx.call("Deadline::run", run).await?.value;
    sleep(ms(120_000)).await;
    ensure!(dropped_in_time && !finished.get(), "the work goes on after the deadline";
        expected = "run drops the work's future at the deadline",
        help = "a race that only stops waiting leaves the loser running: it may still charge the card. \
                In Rust the work stops when its future is dropped");
    Ok(())
}

pub async fn starts_nothing_too_late(cx: Cx) -> Outcome {
    let polled = Cell::new(false);
    let run = async {
        let deadline = Deadline::after(ms(100));
        sleep(ms(100)).await;
        deadline.run(async { polled.set(true) }).await
    };
    let value = cx.call("Deadline::run", run).await?.value;
    ensure!(!polled.get(), "work began at the deadline itself";
        expected = "a deadline that is over runs nothing: the work is not polled",
        help = "timeout_at polls the work before it looks at the clock");
    ensure_eq!(value, Err(Elapsed), "a run that began at the deadline");
    Ok(())
}
