//! The arguments of a benchmark, as far as they are not criterion's.

/// What a benchmark was asked to do.
///
/// `cargo bench -- ARGUMENTS` hands the same arguments to every target, most of them criterion's. What is
/// not known here is left to criterion, which refuses what it does not know either.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Args {
    /// `--quick`: as little as gives an answer at all.
    pub quick: bool,
    /// `--write`: bring the level's report up to date, and nothing else.
    pub write: bool,
    /// `--check`: compare the level's report with what this program would write, as far as machines do not differ, and
    /// nothing else.
    pub check: bool,
    /// Whether everything is to run: no filter, and no flag that asks for something else than measuring
    /// (`--list`, `--test`, `--profile-time`). Tables that compare cases are shown only then.
    pub all: bool,
}

impl Args {
    /// Those of this process.
    #[must_use]
    pub fn of_process() -> Self {
        Self::from(std::env::args().skip(1))
    }

    fn from(args: impl IntoIterator<Item = String>) -> Self {
        let mut parsed = Self { quick: false, write: false, check: false, all: true };
        for arg in args {
            match arg.as_str() {
                "--quick" => parsed.quick = true,
                "--write" => parsed.write = true,
                "--check" => parsed.check = true,
                "--list" | "--test" | "--profile-time" => parsed.all = false,
                flag if flag.starts_with('-') => {}
                _ => parsed.all = false,
            }
        }
        parsed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Args {
        Args::from(args.iter().map(ToString::to_string))
    }

    #[test]
    fn cargos_own_flag_changes_nothing() {
        let args = Args { quick: false, write: false, check: false, all: true };
        assert_eq!(parse(&["--bench"]), args);
    }

    #[test]
    fn a_filter_is_not_everything() {
        assert!(!parse(&["--bench", "breaker"]).all);
        assert!(!parse(&["--list"]).all);
        assert!(parse(&["--quick", "--noplot"]).all);
    }

    #[test]
    fn knows_its_own_flags() {
        assert!(parse(&["--quick"]).quick && parse(&["--write"]).write);
        assert!(parse(&["--check"]).check);
    }
}
