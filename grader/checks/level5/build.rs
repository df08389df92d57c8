//! Generates the table of criteria from their files.

fn main() {
    grader_criteria::generate::checks();
}
