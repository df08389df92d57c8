//! The command line.

use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::Parser;

/// Runs a plan of HTTP requests: each after those that it needs, the important ones first, again after a failure that
/// may pass, and with a copy in place of an answer that does not come.
#[derive(Debug, Clone, PartialEq, Eq, Parser)]
#[command(name = "request-plan", version, after_help = AFTER)]
pub struct Cli {
    /// The plan: a TOML file, or JSON if its name ends in .json
    pub file: PathBuf,

    /// Only these requests, and all that they need
    #[arg(long = "only", value_name = "NAME")]
    pub only: Vec<String>,

    /// How often the plan is run; later runs may use copies
    #[arg(long, default_value = "1", value_name = "N")]
    pub repeat: NonZeroU32,

    /// Milliseconds between two runs
    #[arg(long, default_value_t = 1000, value_name = "MS")]
    pub pause: u64,

    /// Check the plan, print its layers, and send nothing
    #[arg(long)]
    pub check: bool,

    /// Print the result as JSON, errors too
    #[arg(long)]
    pub json: bool,
}

const AFTER: &str = "\
A plan:
  [settings]                 # all of it may be missing
  limit = 6                  # requests at once; it follows the answers between lowest = 2 and highest = 10
  ttl_ms = 300000            # how long a copy is fresh
  stale_for_ms = 3600000     # how long an old copy may stand in for a failed request

  [request.user]
  url = \"https://api.example.com/users/7\"

  [request.orders]
  url = \"https://api.example.com/users/7/orders\"
  needs = [\"user\"]           # sent when they have succeeded
  priority = 9               # 0 to 255, the highest first
  timeout_ms = 2000          # for all attempts together; 5000 if it is missing
  # method, headers, body, retryable = true, cacheable = true

Exit codes: 0 every request has an answer, 1 some have none, 2 the plan or the command line is wrong, 130 ended by Ctrl-C";

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
        assert!(Cli::try_parse_from(["request-plan"]).is_err());
        assert!(Cli::try_parse_from(["request-plan", "x", "--repeat", "0"]).is_err());
    }
}
