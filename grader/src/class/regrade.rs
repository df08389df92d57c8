//! Grades a result once more, from the files that were kept with it.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;

use super::conditions::{Conditions, Sandbox};
use super::lane::{Lane, LaneError, Rules};
use super::result::{ForkResult, LevelResult, digest, levels_named};
use super::store::{self, Store, StoreError};
use crate::submission::{Files, ReadError};

/// What was found.
#[derive(Debug)]
pub struct Regraded {
    /// The fork's name.
    pub name: String,
    /// What the marks rest on now, where it is not what they rested on.
    pub conditions: Vec<String>,
    /// Criteria and levels that have another result now, a line each.
    pub differences: Vec<String>,
    /// Criteria that were compared.
    pub criteria: usize,
}

/// The result cannot be graded again.
#[derive(Debug, Error)]
pub enum RegradeError {
    /// There is no such file.
    #[error("{} is not there: name the result.json of a fork", .0.display())]
    Missing(PathBuf),
    /// It does not lie where a class leaves it.
    #[error("{} does not lie in the folder of a class (OUT/forks/NAME/result.json)", .0.display())]
    Elsewhere(PathBuf),
    /// The files beside it are other ones.
    #[error(
        "the files of {level} beside the result are not those that were graded: grade the class again"
    )]
    OtherFiles {
        /// The level.
        level: String,
    },
    /// The result, or the folder.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The files.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The build.
    #[error(transparent)]
    Lane(#[from] LaneError),
}

/// Grades the result at `path` again, with the workspace at `root`, its own seed and its own limits.
///
/// # Errors
///
/// [`RegradeError`].
pub fn regrade(
    root: &Path,
    path: &Path,
    program: PathBuf,
    sandbox: Sandbox,
) -> Result<Regraded, RegradeError> {
    let result = store::read(path)?.ok_or_else(|| RegradeError::Missing(path.to_path_buf()))?;
    let elsewhere = || RegradeError::Elsewhere(path.to_path_buf());
    let folder = path.parent().ok_or_else(elsewhere)?;
    let forks = folder.parent().filter(|forks| forks.ends_with("forks")).ok_or_else(elsewhere)?;
    let store = Store::open(forks.parent().unwrap_or(Path::new(".")))?;
    let ForkResult { conditions: then, .. } = &result;
    let now = Conditions::of_run(root, then.seed, then.seconds, sandbox);
    let mut regraded = Regraded {
        name: result.name.clone(),
        conditions: then.differences(&now),
        differences: Vec::new(),
        criteria: 0,
    };
    let mut files = BTreeMap::new();
    for level in result.levels.iter().filter(|level| !level.files.is_empty()) {
        let names = [level.name.clone()];
        for known in levels_named(&names) {
            let (kept, _) = Files::read(&folder.join("files"), known)?;
            if digest(&kept) != level.files {
                return Err(RegradeError::OtherFiles { level: level.name.clone() });
            }
            files.insert(known.name, (known, kept));
        }
    }
    if files.is_empty() {
        return Ok(regraded);
    }
    let wanted: Vec<_> = files.values().map(|(level, files)| (*level, files)).collect();
    let levels: Vec<_> = wanted.iter().map(|(level, _)| *level).collect();
    let rules =
        Rules { program, sandbox, seed: then.seed, time: Duration::from_secs(then.seconds) };
    let profiles = [root.join("target/debug")];
    let lane = Lane::prepare(root, &store.work().join("lane-0"), &profiles, &levels, &rules)?;
    for found in lane.grade(&wanted, &rules)? {
        if let Some(before) = result.levels.iter().find(|level| level.name == found.name) {
            regraded.criteria += found.criteria.len();
            regraded.differences.extend(compare(before, &found));
        }
    }
    Ok(regraded)
}

/// What is otherwise in `now`, a line each.
fn compare(before: &LevelResult, now: &LevelResult) -> Vec<String> {
    let mut differences = Vec::new();
    if before.state != now.state {
        differences.push(format!("{}: {:?} and now {:?}", before.name, before.state, now.state));
    }
    let status: BTreeMap<&str, _> =
        now.criteria.iter().map(|criterion| (criterion.id.as_str(), criterion.status)).collect();
    for criterion in &before.criteria {
        match status.get(criterion.id.as_str()) {
            None => differences.push(format!("{}: there is no such criterion now", criterion.id)),
            Some(now) if *now != criterion.status => {
                differences
                    .push(format!("{}: {:?} and now {now:?}", criterion.id, criterion.status));
            }
            Some(_) => {}
        }
    }
    let known = |id: &str| before.criteria.iter().any(|criterion| criterion.id == id);
    for criterion in now.criteria.iter().filter(|criterion| !known(&criterion.id)) {
        differences.push(format!("{}: a new criterion", criterion.id));
    }
    differences
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::class::formats::tests::example;
    use crate::report::Status;

    #[test]
    fn every_difference_is_named() {
        let fork = example("anna");
        let before = &fork.levels[0];
        assert_eq!(compare(before, before), Vec::<String>::new());
        let mut now = before.clone();
        let passed = now.criteria.iter_mut().find(|criterion| criterion.status == Status::Passed);
        let id = passed.map(|criterion| {
            criterion.status = Status::Failed;
            criterion.id.clone()
        });
        let gone = now.criteria.pop().expect("a criterion").id;
        let differences = compare(before, &now);
        assert_eq!(
            differences,
            [
                format!("{}: Passed and now Failed", id.expect("a passed criterion")),
                format!("{gone}: there is no such criterion now")
            ]
        );
    }

    #[test]
    fn a_result_that_lies_elsewhere_is_refused() {
        let root = crate::workspace::of_this_run().expect("the workspace");
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("result.json");
        let refused = |path: &Path| {
            let refused = regrade(&root, path, PathBuf::new(), Sandbox::None);
            refused.expect_err("refused").to_string()
        };
        assert!(refused(&path).contains("is not there"));
        std::fs::write(&path, serde_json::to_string(&example("anna")).expect("JSON"))
            .expect("a file");
        assert!(refused(&path).contains("does not lie in the folder of a class"));
    }
}
