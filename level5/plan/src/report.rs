//! What a plan has done: a table, a timeline, and the same as JSON.

use std::fmt::{self, Write as _};
use std::time::Duration;

use level5::orchestrator::{Done, Origin, RequestError, RequestId};
use serde_json::{Value, json};

use crate::attempts::{Attempt, Ended};

/// The columns of the timeline.
const WIDTH: usize = 60;

/// The outcome of a request.
pub type Outcome = Result<Done, RequestError>;

/// What a plan has done.
#[derive(Debug)]
pub struct Report {
    /// Each request with its outcome, in the order of the layers.
    pub outcomes: Vec<(RequestId, Outcome)>,
    /// Every attempt, in the order in which they began.
    pub attempts: Vec<Attempt>,
    /// How long it took.
    pub took: Duration,
    /// The number of requests that may run at once, at the end.
    pub limit: usize,
}

impl Report {
    /// Whether every request has an answer.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.outcomes.iter().all(|(_, outcome)| outcome.is_ok())
    }

    /// The same for programs. Bodies of answers are not part of it.
    #[must_use]
    pub fn json(&self) -> Value {
        let requests = self.outcomes.iter().map(|(id, outcome)| {
            let of = self.attempts.iter().filter(|attempt| attempt.ids.contains(id));
            let attempts: Vec<_> = of.map(attempt_json).collect();
            let value = match outcome {
                Ok(Done { data, origin, latency, .. }) => json!({
                    "status": data.status.as_u16(), "bytes": data.body.len(), "origin": origin_name(*origin),
                    "latency_ms": ms(*latency), "attempts": attempts,
                }),
                Err(error) => json!({ "error": error.to_string(), "attempts": attempts }),
            };
            (id.clone(), value)
        });
        json!({
            "requests": requests.collect::<serde_json::Map<_, _>>(), "took_ms": ms(self.took), "limit": self.limit,
        })
    }
}

fn attempt_json(attempt: &Attempt) -> Value {
    let (until, how) = match &attempt.ended {
        None => (Value::Null, "under way".to_owned()),
        Some((until, how)) => (json!(ms(*until)), how.to_string()),
    };
    json!({ "from_ms": ms(attempt.begun), "to_ms": until, "ended": how })
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The name of an origin.
const fn origin_name(origin: Origin) -> &'static str {
    match origin {
        Origin::Network => "network",
        Origin::Cache { .. } => "cache",
        Origin::Fallback { .. } => "fallback",
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "{status}"),
            Self::Failed(why) => f.write_str(why),
            Self::Dropped => f.write_str("out of time"),
        }
    }
}

/// One line about an outcome.
#[must_use]
pub fn line(outcome: &Outcome) -> String {
    match outcome {
        Ok(Done { data, origin, latency, attempts }) => {
            let (status, took) = (data.status.as_u16(), ms(*latency));
            match origin {
                Origin::Network if *attempts > 1 => {
                    format!("{status} after {took} ms and {attempts} attempts")
                }
                Origin::Network => format!("{status} after {took} ms"),
                Origin::Cache { age } => {
                    format!("{status} from a copy that is {} ms old", ms(*age))
                }
                Origin::Fallback { age } => format!(
                    "{status} from an old copy ({} ms), since the request has failed",
                    ms(*age)
                ),
            }
        }
        Err(error) => error.to_string(),
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let longest = self.outcomes.iter().map(|(id, _)| id.chars().count()).max().unwrap_or(0);
        for (id, outcome) in &self.outcomes {
            let mark = if outcome.is_ok() { '✓' } else { '✗' };
            writeln!(f, "{mark} {id:<longest$}  {}", line(outcome))?;
        }
        writeln!(f)?;
        let took = self.took.max(Duration::from_millis(1));
        for (id, _) in &self.outcomes {
            let of: Vec<_> = self.attempts.iter().filter(|it| it.ids.contains(id)).collect();
            if !of.is_empty() {
                writeln!(f, "  {id:<longest$}  {}", bar(&of, took).trim_end())?;
            }
        }
        let answered = self.outcomes.iter().filter(|(_, outcome)| outcome.is_ok()).count();
        let (all, took) = (self.outcomes.len(), ms(self.took));
        let attempts = self.attempts.len();
        writeln!(f, "  {:<longest$}  0 {:>width$}", "", format!("{took} ms"), width = WIDTH - 2)?;
        write!(f, "\n{answered} of {all} requests answered in {took} ms, with {attempts} attempts.")
    }
}

/// Draws the attempts of a request over the time of the plan: `█` an answer of success, `▒` another end.
fn bar(attempts: &[&Attempt], took: Duration) -> String {
    let column = |at: Duration| {
        let share = at.as_secs_f64() / took.as_secs_f64();
        ((share * WIDTH as f64) as usize).min(WIDTH - 1)
    };
    let mut cells = vec![' '; WIDTH];
    for attempt in attempts {
        let (until, is_good) = match &attempt.ended {
            Some((until, Ended::Status(200..=299))) => (*until, true),
            Some((until, _)) => (*until, false),
            None => (took, false),
        };
        for cell in &mut cells[column(attempt.begun)..=column(until)] {
            *cell = if is_good { '█' } else { '▒' };
        }
    }
    let mut text = String::new();
    for cell in cells {
        // Writing into a text does not fail.
        let _ = text.write_char(cell);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_shows_when_and_how() {
        let attempt = |from, to, ended| Attempt {
            ids: vec!["a".to_owned()],
            begun: Duration::from_millis(from),
            ended: Some((Duration::from_millis(to), ended)),
        };
        let first = attempt(0, 100, Ended::Status(503));
        let second = attempt(500, 600, Ended::Status(200));
        let text = bar(&[&first, &second], Duration::from_millis(600));
        assert_eq!(text.chars().count(), WIDTH);
        assert!(text.starts_with("▒▒▒▒▒▒▒▒▒▒▒ "), "{text}");
        assert!(text.ends_with(" ██████████"), "{text}");
        // An attempt of no time still has a cell, at the very end too.
        let none = attempt(600, 600, Ended::Dropped);
        assert!(bar(&[&none], Duration::from_millis(600)).ends_with('▒'));
    }
}
