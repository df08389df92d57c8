//! Every planted solution fits the reference. Builds nothing, so a change of a reference shows within
//! seconds which descriptions need a change too.
use grader::catalog::LEVELS;
use grader::inspect::answers_by_hand;
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
