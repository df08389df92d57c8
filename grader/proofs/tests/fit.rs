//! Every planted solution fits the reference. Builds nothing, so a change of a reference shows within
//! seconds which descriptions need a change too.
use std::collections::{BTreeMap, BTreeSet};

use grader::catalog::LEVELS;
use grader::inspect::answers_by_hand;
use grader::starter;
use grader::submission::Files;
use grader_proofs::batch::Sample;
use grader_proofs::influence::Influence;
use grader_proofs::planted::edit::Reference;
use grader_proofs::planted::of_level;
use grader_proofs::steps;

#[test]
fn every_planted_solution_fits_the_reference() {
    let root = grader::workspace::of_this_run().expect("a workspace");
    let mut wrong = Vec::new();
    for level in LEVELS {
        let (files, _) = Files::read(&root, level).expect("the reference");
        let reference = Reference::new(files);
        let influence = Influence::read(&root, level).unwrap_or_else(|error| panic!("{error}"));
        for planted in of_level(&root, level).unwrap_or_else(|error| panic!("{error}")) {
            match Sample::new(planted, &reference, level) {
                Err(error) => wrong.push(error.to_string()),
                // One that does not compile fails criteria that do not see it.
                Ok(sample) if !sample.planted.loses_all(level) => {
                    let name = &sample.planted.name;
                    let unseen = sample.unseen(&influence);
                    wrong.extend(unseen.iter().map(|id| format!("{name}: {id} cannot see it")));
                }
                Ok(_) => {}
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_step_of_a_lesson_fits_the_reference_and_its_table() {
    let root = grader::workspace::of_this_run().expect("a workspace");
    for level in LEVELS {
        let (files, _) = Files::read(&root, level).expect("the reference");
        let reference = Reference::new(files);
        for step in steps::of_level(&root, level).unwrap_or_else(|error| panic!("{error}")) {
            step.wins(&root, level).unwrap_or_else(|error| panic!("{error}"));
            step.planted.files(&reference, level).unwrap_or_else(|error| panic!("{error}"));
        }
    }
}

/// A liar is refused before it is built, and no right solution is.
#[test]
fn no_right_solution_implements_by_hand_what_checks_compare_with() {
    let root = grader::workspace::of_this_run().expect("a workspace");
    let (mut wrong, mut liars) = (Vec::new(), Vec::new());
    for level in LEVELS {
        let (files, _) = Files::read(&root, level).expect("the reference");
        wrong.extend(answers_by_hand(level, &files).iter().map(ToString::to_string));
        let reference = Reference::new(files.clone());
        for planted in of_level(&root, level).unwrap_or_else(|error| panic!("{error}")) {
            let solution =
                planted.files(&reference, level).unwrap_or_else(|error| panic!("{error}"));
            let mut changed = Files::default();
            for (path, bytes) in
                solution.iter().filter(|(path, text)| files.get(path) != Some(text))
            {
                changed.insert(path, bytes);
            }
            let found = answers_by_hand(level, &changed);
            if !found.is_empty() && planted.loses_all(level) {
                liars.push(level.name);
            } else {
                wrong.extend(found.iter().map(|found| format!("{}: {found}", planted.name)));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for level in LEVELS {
        assert!(liars.contains(&level.name), "{} has no planted liar", level.name);
    }
}

/// The file that a failure names is one that a learner has, and one that a planted fault of the criterion changes.
/// A fault in a private file of the reference decides nothing: a learner has no such file.
#[test]
fn a_criterion_names_a_file_where_its_faults_are() {
    let root = grader::workspace::of_this_run().expect("a workspace");
    let accepted = std::fs::read_to_string(root.join("grader/planted/faults-elsewhere.txt"))
        .expect("the accepted differences");
    let mut accepted: BTreeSet<&str> =
        accepted.lines().filter(|line| !line.starts_with('#')).collect();
    let mut wrong = Vec::new();
    for level in LEVELS {
        let plan = starter::plan(&root, level).unwrap_or_else(|error| panic!("{error}"));
        let has = |file: &str| {
            !plan.files().iter().any(|planned| {
                planned.path == std::path::Path::new(file) && planned.blank.is_none()
            })
        };
        let (files, _) = Files::read(&root, level).expect("the reference");
        let reference = Reference::new(files.clone());
        // The learner's files that the faults of each criterion change.
        let mut faults: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        for planted in of_level(&root, level).unwrap_or_else(|error| panic!("{error}")) {
            if planted.loses_all(level) {
                continue;
            }
            let solution =
                planted.files(&reference, level).unwrap_or_else(|error| panic!("{error}"));
            let paths = files.iter().chain(solution.iter()).map(|(path, _)| path);
            let changed: BTreeSet<String> = paths
                .filter(|path| files.get(path) != solution.get(path))
                .map(|path| format!("{}/{path}", level.name))
                .filter(|file| has(file))
                .collect();
            for id in &planted.fails {
                faults.entry(id).or_default().extend(changed.iter().cloned());
            }
        }
        for criterion in level.exercises.iter().flat_map(|exercise| exercise.criteria) {
            let (id, file) = (criterion.id, criterion.file);
            if !has(file) {
                wrong.push(format!("{id}: a learner has no {file}"));
            }
            let changed = faults.get(id).filter(|changed| !changed.is_empty());
            let elsewhere = changed.filter(|changed| !changed.contains(file));
            match (elsewhere, accepted.remove(id)) {
                (Some(changed), false) => wrong.push(format!(
                    "{id}: its file is {file}, and its faults change {}",
                    changed.iter().cloned().collect::<Vec<_>>().join(", ")
                )),
                (None, true) => wrong.push(format!(
                    "{id}: a fault changes its file now; its line in faults-elsewhere.txt goes"
                )),
                _ => {}
            }
        }
    }
    wrong.extend(accepted.iter().map(|id| format!("{id}: there is no such criterion")));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
