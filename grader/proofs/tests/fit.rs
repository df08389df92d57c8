//! Every planted solution fits the reference. Builds nothing, so a change of a reference shows within
//! seconds which descriptions need a change too.
use grader::catalog::LEVELS;
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
