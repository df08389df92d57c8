//! The demo: the same dashboard, loaded by each strategy in turn.
//!
//! In a terminal the loads run in real time, with a growing bar for each call. Where the output goes
//! elsewhere, the loads run on a paused clock, at once and exact to the millisecond.

mod args;
mod live;
mod plain;

use std::io::{self, ErrorKind, IsTerminal as _, Write as _};
use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser as _;
use futures::FutureExt as _;
use level2::all_settled::Timeouts;
use level2::error::{SectionError, SectionFailure};
use level2::model::Section;
use level2::source::SimulatedSource;
use level2::strategy::{Strategy, Summary};
use level2::trace::{Observed, Trace};

use args::Args;

/// A load that has not returned by then is stopped: without limits of their own, three of the four
/// strategies never return when a source hangs.
const PATIENCE: Duration = Duration::from_millis(6000);

/// Runs the demo as the command line asks.
pub fn main() -> ExitCode {
    demo_kit::watch();
    let args = Args::parse();
    let live = io::stdout().is_terminal();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(!live).build();
    let shown = runtime.and_then(|runtime| runtime.block_on(show(&args, live)));
    match shown {
        Ok(()) => ExitCode::SUCCESS,
        // The reader has seen enough, as with `level2 | head`.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            // When stderr is closed as well, there is no place for the error.
            let _ = writeln!(io::stderr(), "level2: cannot show the demo: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn show(args: &Args, live: bool) -> io::Result<()> {
    for (index, strategy) in args.strategies().into_iter().enumerate() {
        if index > 0 {
            writeln!(io::stdout().lock())?;
        }
        if live {
            live::show(strategy, args).await?;
        } else {
            plain::show(strategy, args).await?;
        }
    }
    Ok(())
}

/// How a load of the demo ended.
enum Ending {
    /// The load returned, with this summary.
    Returned(Summary),
    /// The load was stopped when the demo ran out of patience.
    Stopped,
    /// The load needs a part that is not written yet.
    Unwritten(demo_kit::Unwritten),
    /// The load panicked, with this message.
    Panicked(String),
}

impl Ending {
    /// When the load returned, if it did.
    fn returned(&self) -> Option<Duration> {
        match self {
            Self::Returned(summary) => Some(summary.returned),
            Self::Stopped | Self::Unwritten(_) | Self::Panicked(_) => None,
        }
    }

    /// Whether there was nothing to load with.
    fn is_unwritten(&self) -> bool {
        matches!(self, Self::Unwritten(_))
    }

    /// One line on the outcome and one on each thing to remark. `speed` is that of the load.
    fn lines(&self, speed: f64) -> Vec<String> {
        match self {
            Self::Returned(summary) => {
                let all = Section::ALL.len();
                let mut lines =
                    vec![format!("{} of {all} sections at the return", summary.sections)];
                lines.extend(summary.followed.iter().map(|(section, at)| {
                    format!("{section} followed at {} ms", in_source_time(*at, speed))
                }));
                lines.extend(summary.failures.iter().map(|error| in_source_terms(error, speed)));
                lines
            }
            Self::Stopped => vec![format!(
                "still waiting after {} ms: stopped by the demo",
                PATIENCE.as_millis()
            )],
            Self::Unwritten(part) => vec![part.to_string()],
            Self::Panicked(message) => vec![format!("panicked: {message}")],
        }
    }
}

/// Loads the dashboard once at `speed`, records the calls in `trace` and gives up after [`PATIENCE`].
async fn load(strategy: Strategy, args: &Args, speed: f64, trace: &Arc<Trace>) -> Ending {
    let simulated: SimulatedSource = args.source().at_speed(speed);
    let source = Arc::new(Observed::new(Arc::new(simulated), Arc::clone(trace)));
    let run = AssertUnwindSafe(async { strategy.run(source, timeouts(strategy, speed)).await });
    match tokio::time::timeout(PATIENCE.div_f64(speed), run.catch_unwind()).await {
        Ok(Ok(summary)) => Ending::Returned(summary),
        Ok(Err(payload)) => {
            match (demo_kit::take(), SectionFailure::from_panic(payload.as_ref())) {
                (Some(part), _) => Ending::Unwritten(part),
                (None, SectionFailure::Panicked { message }) => Ending::Panicked(message),
                (None, other) => Ending::Panicked(other.to_string()),
            }
        }
        Err(_) => Ending::Stopped,
    }
}

/// The limits of the calls at `speed`. Only one strategy has limits, and their default is part of the same
/// exercise: the others run without it.
fn timeouts(strategy: Strategy, speed: f64) -> Timeouts {
    let Timeouts { sales, users, orders, low_stock, reviews } = match strategy {
        Strategy::AllSettled => Timeouts::default(),
        Strategy::Sequential | Strategy::Parallel | Strategy::Race => Timeouts {
            sales: PATIENCE,
            users: PATIENCE,
            orders: PATIENCE,
            low_stock: PATIENCE,
            reviews: PATIENCE,
        },
    };
    let scaled = |limit: Duration| limit.div_f64(speed);
    Timeouts {
        sales: scaled(sales),
        users: scaled(users),
        orders: scaled(orders),
        low_stock: scaled(low_stock),
        reviews: scaled(reviews),
    }
}

/// The text of a failure of a load at `speed`, with the limit as the real source would have it.
fn in_source_terms(error: &SectionError, speed: f64) -> String {
    match error.failure {
        SectionFailure::TimedOut { limit } => {
            let limit = Duration::from_millis(in_source_time(limit, speed));
            SectionError::new(error.section, SectionFailure::TimedOut { limit }).to_string()
        }
        _ => error.to_string(),
    }
}

/// A time of a load at `speed`, in milliseconds of the real sources.
fn in_source_time(time: Duration, speed: f64) -> u64 {
    u64::try_from(time.mul_f64(speed).as_millis()).unwrap_or(u64::MAX)
}
