//! The recorded runs of the reference are what the reference does.
use grader::scene::recorded;
use grader_proofs::scenes::record;

#[test]
fn the_reference_does_in_each_scene_what_is_recorded() {
    let root = grader::workspace::of_this_run().expect("the workspace");
    let now = record(&root).expect("every scene ends");
    for (id, figure) in &now {
        assert_eq!(recorded().get(id), Some(figure), "{id}: run the example `scenes` with --write");
    }
    assert_eq!(now.len(), recorded().len());
}
