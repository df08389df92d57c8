//! Runs a plan.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use level3::retry::SeededJitter;
use level4_http::{Reqwest, SetupError};
use level5::orchestrator::http_client::Transport;
use level5::orchestrator::{ConfigError, Orchestrator, RequestId, Spec};
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::args::Cli;
use crate::attempts::{Attempts, Watched};
use crate::plan::{Plan, PlanError};
use crate::report::Report;
use crate::view::View;

/// Why the program cannot run the plan.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// The file cannot be read.
    #[error("{}: {why}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        why: io::Error,
    },
    /// The plan is wrong.
    #[error("{}: {why}", path.display())]
    Plan {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: PlanError,
    },
    /// `--only` names no request of the plan.
    #[error("the plan has no request {0}. --check lists them")]
    Only(String),
    /// The orchestrator refuses the settings or a request.
    #[error("the plan: {0}")]
    Config(#[from] ConfigError),
    /// There is no client for HTTP.
    #[error(transparent)]
    Client(#[from] SetupError),
    /// A service of the system.
    #[error("the system refused: {0}")]
    System(io::Error),
    /// The output cannot be written.
    #[error("the output cannot be written: {0}")]
    Output(io::Error),
    /// A part of the level is not written yet.
    #[error("{0}")]
    Unwritten(demo_kit::Unwritten),
}

/// A plan that can be run.
#[derive(Debug)]
pub struct Ready {
    plan: Plan,
    specs: Vec<(RequestId, Spec)>,
    /// The requests to run, in the order of the layers.
    pub asked: Vec<RequestId>,
}

impl Ready {
    /// Checks a plan and the names of `--only`.
    ///
    /// # Errors
    ///
    /// [`ProgramError`]. Nothing was sent.
    pub fn new(cli: &Cli, text: &str) -> Result<Self, ProgramError> {
        let wrong = |why| ProgramError::Plan { path: cli.file.clone(), why };
        let plan = Plan::read(&cli.file, text).map_err(wrong)?;
        let layers = plan.layers().map_err(wrong)?;
        let specs = plan.specs().map_err(wrong)?;
        if let Some(name) = cli.only.iter().find(|name| !plan.request.contains_key(*name)) {
            return Err(ProgramError::Only(name.clone()));
        }
        let is_asked = |id: &&&RequestId| cli.only.is_empty() || cli.only.contains(id);
        let asked = layers.iter().flatten().filter(is_asked).map(|id| (*id).clone()).collect();
        Ok(Self { plan, specs, asked })
    }

    /// Returns the layers, a line for each.
    #[must_use]
    pub fn layers(&self) -> String {
        let layers = self.plan.layers().unwrap_or_default();
        let line = |(at, layer): (usize, &Vec<&RequestId>)| {
            let names: Vec<_> = layer.iter().map(|id| id.as_str()).collect();
            format!("{}. {}\n", at + 1, names.join(", "))
        };
        layers.iter().enumerate().map(line).collect()
    }

    /// Runs the plan over sockets as often as the command line asks. `each` gets the report of each run.
    ///
    /// # Errors
    ///
    /// [`ProgramError`], and those of `each`.
    ///
    /// # Cancellation
    ///
    /// Dropping the future drops all requests that are under way.
    pub async fn run(
        &self,
        cli: &Cli,
        mut each: impl FnMut(Report) -> Result<(), ProgramError>,
    ) -> Result<(), ProgramError> {
        // The time limits are those of the requests.
        let limits = level4_http::Limits { total: Duration::MAX, ..level4_http::Limits::default() };
        let requests = self.specs.iter().map(|(id, spec)| (id.clone(), spec.request.clone()));
        let attempts = Attempts::new(requests.collect());
        let transport = Watched::new(Reqwest::new(limits)?, attempts.clone());
        let seed = u64::from(std::process::id());
        let jitter = Arc::new(SeededJitter::new(seed));
        let orchestrator = Orchestrator::new(transport, self.plan.settings(), jitter)?;
        for (id, spec) in &self.specs {
            orchestrator.register(id.clone(), spec.clone())?;
        }
        for nth in 0..cli.repeat.get() {
            if nth > 0 {
                sleep(Duration::from_millis(cli.pause)).await;
            }
            each(self.once(&orchestrator, &attempts).await)?;
        }
        Ok(())
    }

    async fn once<T: Transport>(
        &self,
        orchestrator: &Orchestrator<T>,
        attempts: &Attempts,
    ) -> Report {
        let (before, begun) = (attempts.list().len(), attempts.elapsed());
        let layers = self.plan.layers().unwrap_or_default();
        let needs =
            |id: &str| self.plan.request.get(id).map_or_else(Vec::new, |it| it.needs.clone());
        let mut view = View::new(&layers, needs, before);
        let mut ticks = interval(crate::view::PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let batch = orchestrator.run_batch(&self.asked);
        tokio::pin!(batch);
        let outcomes = loop {
            tokio::select! {
                outcomes = &mut batch => break outcomes,
                _ = ticks.tick() => view.draw(attempts),
            }
        };
        view.finish(attempts);
        let mut own = attempts.list().split_off(before);
        for attempt in &mut own {
            // Since this run began.
            attempt.begun = attempt.begun.saturating_sub(begun);
            if let Some((until, _)) = &mut attempt.ended {
                *until = until.saturating_sub(begun);
            }
        }
        let took = attempts.elapsed().saturating_sub(begun);
        let limit = *orchestrator.limit().borrow();
        Report { outcomes, attempts: own, took, limit }
    }
}
