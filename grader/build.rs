//! Generates the catalog from the criteria's files, and remembers what the grader is built from.
use std::path::Path;

/// What the grader and its catalog are built from, as `src/build/sources.rs` names it.
const GRADER: &[&str] = &[
    "grader/Cargo.toml",
    "grader/build.rs",
    "grader/src",
    "grader/protocol",
    "grader/criteria",
    "grader/fingerprint",
];

fn main() {
    grader_criteria::generate::catalog();
    // Relative, since clones that share a target folder share what is built in it.
    let root = Path::new("..");
    for part in GRADER {
        println!("cargo::rerun-if-changed={}", root.join(part).display());
    }
    println!("cargo::rustc-env=GRADER_BUILT_FROM={}", grader_fingerprint::of(root, GRADER));
}
