//! Generates the catalog from the criteria's files.

fn main() {
    grader_criteria::generate::catalog();
}
