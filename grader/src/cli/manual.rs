//! `cargo grade completions` and `cargo grade man`: what a shell and `man` know of the commands, written from the
//! same description as `--help`.
use std::fs;
use std::path::Path;

use clap::builder::PossibleValuesParser;
use clap::{Arg, CommandFactory as _};
use clap_complete::{Shell, generate};
use grader::catalog::{LEVELS, Level};

use super::{Arguments, Exit, Failure, write};

/// The command that a shell completes. cargo completes no aliases, so the script defines a function of this name.
const FUNCTION: &str = "grade";

/// Prints a script for a shell that completes commands, options and the names of what can be graded.
pub(super) fn completions(shell: Shell) -> Result<Exit, Failure> {
    let mut command = named(Arguments::command());
    let mut script = Vec::new();
    generate(shell, &mut command, FUNCTION, &mut script);
    let mut script = String::from_utf8(script)?;
    if let Some(function) = function(shell) {
        script.push_str(function);
    }
    write::to_stdout(&script)?;
    Ok(Exit::Success)
}

/// The definition of [`FUNCTION`] in the language of a shell.
fn function(shell: Shell) -> Option<&'static str> {
    match shell {
        Shell::Bash | Shell::Zsh => Some("\ngrade() { cargo grade \"$@\"; }\n"),
        Shell::Fish => Some("\nfunction grade; cargo grade $argv; end\n"),
        Shell::PowerShell => Some("\nfunction grade { cargo grade @args }\n"),
        _ => None,
    }
}

/// The command with the names of levels, exercises and criteria as the values of the arguments that take one.
fn named(command: clap::Command) -> clap::Command {
    let takes_names =
        |arg: &Arg| matches!(arg.get_id().as_str(), "names" | "name" | "id" | "level");
    let with_names = |arg: Arg| {
        let only_levels = arg.get_id() == "level";
        let names = LEVELS.iter().flat_map(|level| names(level, only_levels));
        arg.value_parser(PossibleValuesParser::new(names))
    };
    let change = move |arg: Arg| if takes_names(&arg) { with_names(arg) } else { arg };
    command.mut_args(change).mut_subcommands(move |sub| sub.mut_args(change))
}

/// The name of a level, and those of its exercises and criteria unless only levels are asked for.
fn names(level: &Level, only_levels: bool) -> Vec<&'static str> {
    let criteria = level.exercises.iter().flat_map(|exercise| exercise.criteria);
    let mut names = vec![level.name];
    if !only_levels {
        let ids = criteria.map(|criterion| criterion.id);
        // `level2/race/in-order` is in the exercise `level2/race`.
        names.extend(ids.flat_map(|id| [id.rsplit_once('/').map_or(id, |it| it.0), id]));
        names.sort_unstable();
        names.dedup();
    }
    names
}

/// Writes `cargo-grade.1` and one page for each command into a folder.
pub(super) fn pages(out: &Path) -> Result<Exit, Failure> {
    let failed = |error: std::io::Error| format!("cannot write into {}: {error}", out.display());
    fs::create_dir_all(out).map_err(failed)?;
    let command = Arguments::command().name("cargo-grade");
    clap_mangen::generate_to(command, out).map_err(failed)?;
    let first = out.join("cargo-grade.1");
    write::to_stdout(&format!("`man -l {}` shows the first page\n", first.display()))?;
    Ok(Exit::Success)
}
