//! The cost of an event, however many wait.

use grader_kit::{Cx, Fail, Outcome, cpu_time, ensure, ms};
use level5::event_processor::Config;
use level5::priority_queue::Priority;
use tokio::time::{Duration, sleep};

use super::fakes::{Book, Services};
use super::{INGEST, event, figures, keyed, nz, start};

/// The CPU time of an event, from its acceptance to its end, at a backlog of this size.
async fn cost(cx: &Cx, backlog: usize) -> Result<Duration, Fail> {
    let (services, book) = (Services::new(cx, 10), Book::new(cx));
    services.forget();
    services.only_counts();
    book.forget();
    let config = Config {
        flush: ms(60_000),
        threshold: nz(backlog),
        batch_size: nz(1000),
        batches_in_flight: nz(1),
        compress: false,
        remembered_ids: 1000,
        ..Config::default()
    };
    let processor = start(cx, config, &services, &book).await?;
    let begin = cpu_time();
    let fill = async {
        for number in 0..backlog {
            let priority = Priority::ALL[number % 4];
            let id = format!("e{number}");
            let next = if number % 8 == 0 {
                keyed(&id, "one", priority, &format!("k{}", number % 4096))
            } else {
                event(&id, "one", priority)
            };
            processor.ingest(next).await?;
        }
        Ok::<_, level5::event_processor::Rejected>(())
    };
    let filled = cx.call(INGEST, fill).await?.value;
    filled.map_err(|error| Fail::new(format!("one of {backlog} events is refused: {error}")))?;
    while figures(&processor).pending() > 0 {
        sleep(ms(60_000)).await;
        ensure_moves(&processor, backlog)?;
    }
    Ok((cpu_time() - begin) / u32::try_from(backlog).unwrap_or(u32::MAX))
}

fn ensure_moves(processor: &super::Running, backlog: usize) -> Outcome {
    let now = figures(processor);
    ensure!(now.delivered > 0, "{backlog} events wait, and none is delivered within a minute");
    Ok(())
}

pub async fn a_large_backlog_costs_no_more(cx: Cx) -> Outcome {
    const SMALL: usize = 2_000;
    const LARGE: usize = 50_000;
    // The first one also pays for what is used for the first time.
    let mut small = Duration::MAX;
    for _ in 0..5 {
        small = small.min(cost(&cx, SMALL).await?);
    }
    let large = cost(&cx, LARGE).await?;
    let times = large.as_secs_f64() / small.as_secs_f64().max(1e-9);
    cx.note(format!(
        "{:.1} us an event at a backlog of {SMALL}, {:.1} at one of {LARGE}",
        small.as_secs_f64() * 1e6,
        large.as_secs_f64() * 1e6
    ));
    ensure!(times < 8.0, "an event at a backlog of {LARGE} costs {times:.0} times as much CPU time as one at a backlog of {SMALL}";
        expected = "about as much",
        help = "nothing may walk through the backlog for each event: no search and no removal in the middle of a list");
    Ok(())
}
