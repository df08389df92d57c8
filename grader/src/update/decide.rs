//! What becomes of one file of the course: a decision about three texts, without a disk.

/// What a file was when the course was taken last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Base<'a> {
    /// The history has it, or has that there was none.
    Known(Option<&'a [u8]>),
    /// The history does not go back so far: it was squashed, or began from a template.
    Unknown,
}

/// Whose version stands where both have changed a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// The course, in a folder where only the course has files: the grader, a level that is not started.
    CourseAlone,
    /// The course: the workspace has to build. Learners may have files of their own beside it.
    Course,
    /// The learner: the file is in the folder of a level that is started.
    Learner,
}

/// What to do with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// It is as it should be.
    Leave,
    /// The course has it and the workspace has not.
    Add,
    /// It is the course's, and the course has a newer one.
    Replace,
    /// It is the course's, and the course has dropped it.
    Remove,
    /// Both have changed it, and the course's version takes the place of the learner's.
    ReplaceEdited,
    /// Both have changed it, and the learner's version stays.
    KeepEdited,
}

/// Decides about a file: as it is in the workspace, as the newer course has it.
///
/// Where the base is not known, a file that differs counts as edited, and nothing is removed.
pub(super) fn decide(
    base: Base<'_>,
    now: Option<&[u8]>,
    new: Option<&[u8]>,
    owner: Owner,
) -> Action {
    let edited = match owner {
        Owner::CourseAlone | Owner::Course => Action::ReplaceEdited,
        Owner::Learner => Action::KeepEdited,
    };
    match (now, new) {
        (None, None) => Action::Leave,
        (Some(now), Some(new)) if same(now, new) => Action::Leave,
        (Some(now), Some(new)) => match base {
            Base::Known(Some(was)) if same(was, now) => Action::Replace,
            // The learner has changed it, the course has not.
            Base::Known(Some(was)) if same(was, new) => Action::Leave,
            _ => edited,
        },
        // The learner has removed what the course has not changed.
        (None, Some(new)) if is(base, new) => Action::Leave,
        (None, Some(_)) => Action::Add,
        // The base is a commit of the learner's, which has the learner's own files too.
        (Some(now), None) if owner == Owner::CourseAlone && is(base, now) => Action::Remove,
        (Some(_), None) => Action::Leave,
    }
}

fn is(base: Base<'_>, text: &[u8]) -> bool {
    matches!(base, Base::Known(Some(was)) if same(was, text))
}

/// Whether two files are the same apart from how their lines end: git may check out `\r\n` for `\n`.
fn same(one: &[u8], other: &[u8]) -> bool {
    let line = |line: &[u8]| line.strip_suffix(b"\r").unwrap_or(line).to_vec();
    one == other
        || one.split(|it| *it == b'\n').map(line).eq(other.split(|it| *it == b'\n').map(line))
}

#[cfg(test)]
mod tests {
    use super::{Action, Base, Owner, decide};

    const OLD: Option<&[u8]> = Some(b"old\n");
    const NEW: Option<&[u8]> = Some(b"new\n");
    const MINE: Option<&[u8]> = Some(b"mine\n");

    #[test]
    fn each_of_the_three_versions_decides() {
        let known = [
            (OLD, OLD, NEW, Action::Replace),
            (OLD, NEW, NEW, Action::Leave),
            (OLD, MINE, OLD, Action::Leave),
            (OLD, MINE, NEW, Action::ReplaceEdited),
            (OLD, OLD, None, Action::Remove),
            (OLD, MINE, None, Action::Leave),
            (OLD, None, NEW, Action::Add),
            (OLD, None, OLD, Action::Leave),
            (None, None, NEW, Action::Add),
            (None, MINE, NEW, Action::ReplaceEdited),
            (None, MINE, None, Action::Leave),
            (OLD, None, None, Action::Leave),
        ];
        for (base, now, new, expected) in known {
            let found = decide(Base::Known(base), now, new, Owner::CourseAlone);
            assert_eq!(found, expected, "{base:?} {now:?} {new:?}");
        }
    }

    #[test]
    fn a_file_that_may_be_the_learners_is_not_removed() {
        for owner in [Owner::Course, Owner::Learner] {
            assert_eq!(decide(Base::Known(MINE), MINE, None, owner), Action::Leave);
        }
    }

    #[test]
    fn without_a_base_nothing_is_removed_and_what_differs_counts_as_edited() {
        let decided = |now, new| decide(Base::Unknown, now, new, Owner::Course);
        assert_eq!(decided(OLD, NEW), Action::ReplaceEdited);
        assert_eq!(decided(OLD, OLD), Action::Leave);
        assert_eq!(decided(OLD, None), Action::Leave);
        assert_eq!(decided(None, NEW), Action::Add);
    }

    #[test]
    fn in_a_level_of_the_learner_the_learners_version_stays() {
        let base = Base::Known(OLD);
        assert_eq!(decide(base, MINE, NEW, Owner::Learner), Action::KeepEdited);
        assert_eq!(decide(base, OLD, NEW, Owner::Learner), Action::Replace);
    }

    #[test]
    fn how_lines_end_makes_no_difference() {
        let windows: Option<&[u8]> = Some(b"old\r\n");
        assert_eq!(decide(Base::Known(OLD), windows, NEW, Owner::Course), Action::Replace);
        assert_eq!(decide(Base::Known(OLD), windows, OLD, Owner::Course), Action::Leave);
    }
}
