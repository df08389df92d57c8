//! The command line of the demo.

use clap::builder::PossibleValue;
use clap::{Parser, ValueEnum};
use level2::model::Section;
use level2::source::{Behaviour, SimulatedSource};
use level2::strategy::Strategy;

/// Load one dashboard with each of four strategies and watch the calls.
#[derive(Debug, Parser)]
#[command(name = "level2")]
pub struct Args {
    /// Show only these strategies [default: all four]
    #[arg(long, value_delimiter = ',', value_name = "STRATEGY")]
    strategy: Vec<Shown<Strategy>>,

    /// Sections whose source answers with an error
    #[arg(long, value_delimiter = ',', value_name = "SECTION")]
    fail: Vec<Shown<Section>>,

    /// Sections whose source never answers
    #[arg(long, value_delimiter = ',', value_name = "SECTION")]
    hang: Vec<Shown<Section>>,

    /// How many times faster than the real sources to run; without effect unless the output is a
    /// terminal
    #[arg(long, default_value = "1", value_parser = speed)]
    pub speed: f64,
}

impl Args {
    /// The strategies to show, each once.
    pub fn strategies(&self) -> Vec<Strategy> {
        let asked = |strategy: &Strategy| {
            self.strategy.is_empty() || self.strategy.iter().any(|shown| shown.0 == *strategy)
        };
        Strategy::ALL.into_iter().filter(asked).collect()
    }

    /// The source with the behaviour asked for. A section asked to fail and to hang hangs.
    pub fn source(&self) -> SimulatedSource {
        let failing = self.fail.iter().map(|section| (section.0, Behaviour::Fails));
        let hanging = self.hang.iter().map(|section| (section.0, Behaviour::Hangs));
        failing.chain(hanging).fold(SimulatedSource::default(), |source, (section, behaviour)| {
            source.with(section, behaviour)
        })
    }
}

/// Accepts what slows the clock at most a hundredfold and keeps a call visible.
fn speed(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(speed) if (0.01..=100.0).contains(&speed) => Ok(speed),
        Ok(_) => Err("the speed must lie between 0.01 and 100".to_owned()),
        Err(_) => Err("the speed must be a number between 0.01 and 100".to_owned()),
    }
}

/// A library type as a value of the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shown<T>(T);

impl ValueEnum for Shown<Strategy> {
    fn value_variants<'a>() -> &'a [Self] {
        const {
            &[
                Shown(Strategy::ALL[0]),
                Shown(Strategy::ALL[1]),
                Shown(Strategy::ALL[2]),
                Shown(Strategy::ALL[3]),
            ]
        }
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.0.name()))
    }
}

impl ValueEnum for Shown<Section> {
    fn value_variants<'a>() -> &'a [Self] {
        const {
            &[
                Shown(Section::Sales),
                Shown(Section::Users),
                Shown(Section::Orders),
                Shown(Section::LowStock),
                Shown(Section::Reviews),
            ]
        }
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.0.name()))
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn lists_are_split_at_commas() {
        let args = Args::parse_from(["level2", "--fail", "users,orders", "--strategy", "race"]);
        assert_eq!(args.strategies(), [Strategy::Race]);
        assert_eq!(args.fail, [Shown(Section::Users), Shown(Section::Orders)]);
    }

    #[test]
    fn a_speed_that_makes_no_sense_is_refused() {
        for speed in ["0", "-1", "1000", "NaN", "inf", "fast"] {
            assert!(Args::try_parse_from(["level2", "--speed", speed]).is_err(), "{speed}");
        }
    }
}
