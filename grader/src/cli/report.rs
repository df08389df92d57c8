//! `cargo grade report`
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use grader::page;
use grader::report::Report;
use grader::seed::Seed;
use grader::select::select;

use super::{Arguments, Exit, Failure, grade, write};

/// Where the page goes if nothing else is said, below the workspace.
const PAGE: &str = "target/grader/report.html";

pub(super) fn run(
    arguments: &Arguments,
    names: &[String],
    output: Option<&Path>,
    open: bool,
    seed: Option<Seed>,
) -> Result<Exit, Failure> {
    let names = super::full_names(arguments, names)?;
    let entries = select(&names)?;
    let root = super::root(arguments)?;
    let seed = seed.map_or_else(Seed::of_this_run, Ok)?;
    let path = output.map_or_else(|| place(&root), |path| Ok(path.to_path_buf()))?;
    let file = write::Pending::create(&path)?;
    let report = grade::judge(&root, &entries, false, seed, grade::Shows::Pictures)?;
    file.finish(&page::learner(&report)?)?;
    let score = report.score;
    write::to_stdout(&format!(
        "{} of {} core points, {} of {} bonus points\nThe page is {}\n",
        score.core,
        score.core_of,
        score.bonus,
        score.bonus_of,
        path.display()
    ))?;
    if open && let Err(why) = show(&path) {
        anstream::eprintln!("note: no browser was opened: {why}. Open the page by hand");
    }
    Ok(grade::exit(&report, &names))
}

/// Writes the page of a run to its usual place.
pub(super) fn write(root: &Path, report: &Report) -> Result<PathBuf, Failure> {
    let path = place(root)?;
    write::Pending::create(&path)?.finish(&page::learner(report)?)?;
    Ok(path)
}

/// The usual place. Its folder is made.
fn place(root: &Path) -> Result<PathBuf, Failure> {
    let path = root.join(PAGE);
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|why| format!("{}: {why}", folder.display()))?;
    }
    Ok(path)
}

/// Asks the system to open the page, and does not wait for the browser.
pub(super) fn show(page: &Path) -> std::io::Result<()> {
    let opener: &[&str] = if cfg!(target_os = "macos") {
        &["open"]
    } else if cfg!(windows) {
        &["cmd", "/C", "start", ""]
    } else {
        &["xdg-open"]
    };
    let (program, words) = opener.split_first().ok_or(std::io::ErrorKind::Unsupported)?;
    let silent = || Stdio::null();
    let mut command = Command::new(program);
    command.args(words).arg(page).stdin(silent()).stdout(silent()).stderr(silent()).spawn()?;
    Ok(())
}
