//! Every planted solution fits the reference. Builds nothing, so a change of a reference shows within
//! seconds which descriptions need a change too.
use std::path::Path;

use grader::catalog::LEVELS;
use grader::submission::Files;
use grader_proofs::planted::of_level;

#[test]
fn every_planted_solution_fits_the_reference() {
    let root = grader::workspace::find(Path::new(env!("CARGO_MANIFEST_DIR"))).expect("a workspace");
    let mut misfits = Vec::new();
    for level in LEVELS {
        let (reference, _) = Files::read(&root, level).expect("the reference");
        let planted = of_level(&root, level).unwrap_or_else(|error| panic!("{error}"));
        misfits.extend(planted.iter().filter_map(|p| p.files(&reference, level).err()));
    }
    let misfits: Vec<String> = misfits.iter().map(ToString::to_string).collect();
    assert!(misfits.is_empty(), "{}", misfits.join("\n"));
}
