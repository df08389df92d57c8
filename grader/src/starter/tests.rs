//! Starting a level, and looking at its solution, in workspaces of one small level.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::solution::of_level;
use super::{Edited, FileState, ReferenceError, SolutionError, StarterError, plan, solution};
use crate::catalog::Level;

const LEVEL: Level =
    Level { name: "level7", title: "", bench: "", provided: &["src/model.rs"], exercises: &[] };

const LIB: &str = "//! Seven.\npub mod model;\npub mod race;\nmod tools;\n";
const LIB_BLANK: &str = "//! Seven.\npub mod model;\npub mod race;\n";
const MODEL: &str = "pub fn given() -> u8 {\n    7\n}\n";
const RACE: &str = "pub fn race(a: u8) -> u8 {\n    crate::tools::help(a)\n}\n";
const RACE_BLANK: &str = "pub fn race(a: u8) -> u8 {\n    let _ = &a;\n    todo!()\n}\n";
const TOOLS: &str = "pub fn help(a: u8) -> u8 {\n    a\n}\n";

struct Workspace {
    folder: TempDir,
    /// The workspace, in the repository or deeper.
    root: PathBuf,
}

impl Workspace {
    fn new(below: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join(below);
        let workspace = Self { folder, root };
        for (path, text) in [
            ("level7/src/lib.rs", LIB),
            ("level7/src/model.rs", MODEL),
            ("level7/src/race.rs", RACE),
            ("level7/src/tools.rs", TOOLS),
            ("level7/README.md", "Seven"),
        ] {
            workspace.write(path, text);
        }
        workspace
    }

    fn committed() -> Self {
        let workspace = Self::new("");
        workspace.git(&["init", "-q"]);
        workspace.commit();
        workspace
    }

    fn git(&self, arguments: &[&str]) -> String {
        let mut git = Command::new("git");
        git.current_dir(self.folder.path());
        git.args(["-c", "user.name=Learner", "-c", "user.email=learner@example.org"]);
        git.args(["-c", "core.autocrlf=false", "-c", "commit.gpgsign=false"]);
        let output = git.args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn commit(&self) -> String {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", "so far"]);
        self.git(&["rev-parse", "HEAD"])
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.root.join(path)).unwrap()
    }

    fn start(&self, edited: Edited) -> Result<super::Applied, StarterError> {
        plan(&self.root, &LEVEL)?.apply(edited)
    }

    fn assert_reference(&self) {
        assert_eq!(self.read("level7/src/lib.rs"), LIB);
        assert_eq!(self.read("level7/src/race.rs"), RACE);
        assert_eq!(self.read("level7/src/tools.rs"), TOOLS);
    }

    fn assert_blank(&self) {
        assert_eq!(self.read("level7/src/lib.rs"), LIB_BLANK);
        assert_eq!(self.read("level7/src/model.rs"), MODEL);
        assert_eq!(self.read("level7/src/race.rs"), RACE_BLANK);
        assert!(!self.root.join("level7/src/tools.rs").exists());
        let left: Vec<_> = fs::read_dir(self.root.join("level7/src")).unwrap().collect();
        assert_eq!(left.len(), 3, "{left:?}");
    }

    fn solution(&self) -> Vec<(PathBuf, String)> {
        of_level(&self.root, &LEVEL, None).unwrap_or_else(|error| panic!("{error}"))
    }
}

fn paths(paths: &[&str]) -> Vec<PathBuf> {
    paths.iter().map(PathBuf::from).collect()
}

fn reference() -> Vec<(PathBuf, String)> {
    [("level7/src/lib.rs", LIB), ("level7/src/race.rs", RACE), ("level7/src/tools.rs", TOOLS)]
        .map(|(path, text)| (PathBuf::from(path), text.to_owned()))
        .into()
}

#[test]
fn a_committed_level_is_started_and_its_solution_stays_in_reach() {
    let workspace = Workspace::committed();
    let head = workspace.git(&["rev-parse", "HEAD"]);
    assert_eq!(workspace.solution(), reference(), "before the start");
    let applied = workspace.start(Edited::Refuse).unwrap();
    assert_eq!(applied.blanked, paths(&["level7/src/lib.rs", "level7/src/race.rs"]));
    assert_eq!(applied.removed, paths(&["level7/src/tools.rs"]));
    assert_eq!((applied.unchanged, applied.backup), (vec![], None));
    workspace.assert_blank();
    assert!(workspace.read(".course/starters.json").contains(&head));
    assert!(!workspace.root.join(".course/reference").exists());
    assert_eq!(workspace.solution(), reference(), "after the start");
    workspace.write("level7/src/race.rs", "pub fn race(a: u8) -> u8 { a }\n");
    workspace.commit();
    workspace.commit();
    assert_eq!(workspace.solution(), reference(), "after the learner's commits");
}

#[test]
fn a_plan_changes_nothing_and_can_be_written_elsewhere() {
    let workspace = Workspace::committed();
    let plan = plan(&workspace.root, &LEVEL).unwrap();
    let states: Vec<_> = plan.files().iter().map(|file| file.state).collect();
    assert_eq!(states, [FileState::Reference; 3]);
    assert!(!plan.started());
    assert_eq!(plan.level(), "level7");
    workspace.assert_reference();
    assert!(!workspace.root.join(".course").exists());
    let scratch = Workspace::new("");
    plan.write_onto(&scratch.root).unwrap();
    scratch.assert_blank();
    assert!(!scratch.root.join(".course").exists());
}

#[test]
fn a_second_start_of_untouched_blanks_does_nothing() {
    let workspace = Workspace::committed();
    workspace.start(Edited::Refuse).unwrap();
    let again = workspace.start(Edited::Refuse).unwrap();
    assert_eq!((again.blanked, again.removed), (vec![], vec![]));
    assert_eq!(again.unchanged.len(), 3);
    workspace.commit();
    assert_eq!(workspace.start(Edited::Refuse).unwrap().unchanged.len(), 3);
    workspace.assert_blank();
}

#[test]
fn a_restored_reference_is_blanked_again() {
    let workspace = Workspace::committed();
    workspace.start(Edited::Refuse).unwrap();
    workspace.write("level7/src/race.rs", RACE);
    workspace.write("level7/src/tools.rs", TOOLS);
    fs::remove_file(workspace.root.join("level7/src/lib.rs")).unwrap();
    let applied = workspace.start(Edited::Refuse).unwrap();
    assert_eq!(applied.blanked, paths(&["level7/src/lib.rs", "level7/src/race.rs"]));
    workspace.assert_blank();
}

#[test]
fn uncommitted_work_is_refused_and_named() {
    let workspace = Workspace::committed();
    workspace.write("level7/src/race.rs", "pub fn race(a: u8) -> u8 { a }\n");
    workspace.write("level7/src/mine.rs", "// mine\n");
    let error = workspace.start(Edited::BackUp).unwrap_err();
    let StarterError::Uncommitted { files, .. } = &error else { panic!("{error}") };
    assert_eq!(files, &paths(&["level7/src/race.rs", "level7/src/mine.rs"]));
    let told = error.to_string();
    assert!(told.contains("level7/src/mine.rs") && told.contains("git add level7"), "{told}");
    assert!(!workspace.root.join(".course").exists());
    assert_eq!(workspace.read("level7/src/race.rs"), "pub fn race(a: u8) -> u8 { a }\n");
    assert_eq!(workspace.read("level7/src/lib.rs"), LIB);
}

#[test]
fn work_elsewhere_does_not_matter() {
    let workspace = Workspace::committed();
    workspace.write("level7/README.md", "Seven, with notes");
    workspace.start(Edited::Refuse).unwrap();
    workspace.assert_blank();
}

#[test]
fn edited_files_are_refused_later_or_put_aside() {
    let workspace = Workspace::committed();
    workspace.start(Edited::Refuse).unwrap();
    let mine = "pub fn race(a: u8) -> u8 { a }\n";
    for number in 1..=2 {
        workspace.write("level7/src/race.rs", mine);
        workspace.commit();
        let error = workspace.start(Edited::Refuse).unwrap_err();
        let StarterError::Edited { files, .. } = &error else { panic!("{error}") };
        assert_eq!(files, &paths(&["level7/src/race.rs"]));
        assert!(error.to_string().contains("level7/src/race.rs"), "{error}");
        assert_eq!(workspace.read("level7/src/race.rs"), mine);
        let applied = workspace.start(Edited::BackUp).unwrap();
        let backup = format!(".course/backup/level7-{number}");
        assert_eq!(applied.backup, Some(PathBuf::from(&backup)));
        assert_eq!(workspace.read(&format!("{backup}/level7/src/race.rs")), mine);
        workspace.assert_blank();
    }
    assert_eq!(workspace.solution(), reference());
}

#[test]
fn without_git_the_reference_is_copied() {
    let workspace = Workspace::new("");
    workspace.start(Edited::Refuse).unwrap();
    workspace.assert_blank();
    assert_eq!(workspace.read(".course/reference/level7/src/race.rs"), RACE);
    assert_eq!(workspace.solution(), reference());
    workspace.start(Edited::Refuse).unwrap();
    workspace.write("level7/src/race.rs", "// mine\n");
    let error = workspace.start(Edited::Refuse).unwrap_err();
    assert!(matches!(error, StarterError::Edited { .. }), "{error}");
}

#[test]
fn what_no_commit_has_is_copied_too() {
    let workspace = Workspace::new("");
    workspace.git(&["init", "-q"]);
    workspace.start(Edited::Refuse).unwrap();
    workspace.assert_blank();
    assert_eq!(workspace.solution(), reference(), "a repository without a commit");

    let workspace = Workspace::new("unpacked");
    workspace.git(&["init", "-q"]);
    workspace.git(&["commit", "-q", "--allow-empty", "-m", "something else"]);
    workspace.start(Edited::Refuse).unwrap();
    assert_eq!(workspace.solution(), reference(), "a folder that the repository does not track");
}

#[test]
fn the_workspace_may_be_deeper_in_the_repository() {
    let workspace = Workspace::new("course/rust");
    workspace.git(&["init", "-q"]);
    workspace.commit();
    workspace.write("level7/src/mine.rs", "// mine\n");
    let error = workspace.start(Edited::Refuse).unwrap_err();
    let StarterError::Uncommitted { files, .. } = &error else { panic!("{error}") };
    assert_eq!(files, &paths(&["level7/src/mine.rs"]));
    workspace.commit();
    fs::remove_file(workspace.root.join("level7/src/mine.rs")).unwrap();
    workspace.commit();
    workspace.start(Edited::Refuse).unwrap();
    workspace.assert_blank();
    assert_eq!(workspace.solution(), reference());
}

#[test]
fn line_ends_of_the_checkout_are_kept() {
    let workspace = Workspace::committed();
    workspace.start(Edited::Refuse).unwrap();
    workspace.write("level7/src/race.rs", &RACE.replace('\n', "\r\n"));
    workspace.write("level7/src/lib.rs", &LIB_BLANK.replace('\n', "\r\n"));
    let applied = workspace.start(Edited::Refuse).unwrap();
    assert_eq!(applied.blanked, paths(&["level7/src/race.rs"]));
    assert_eq!(workspace.read("level7/src/race.rs"), RACE_BLANK.replace('\n', "\r\n"));
}

#[test]
fn a_blank_level_without_a_record_is_not_taken_for_the_reference() {
    let workspace = Workspace::committed();
    workspace.start(Edited::Refuse).unwrap();
    workspace.commit();
    fs::remove_dir_all(workspace.root.join(".course")).unwrap();
    let error = workspace.start(Edited::Refuse).unwrap_err();
    assert!(matches!(error, StarterError::NothingToBlank { .. }), "{error}");
}

#[test]
fn a_commit_that_is_not_there_is_explained() {
    let workspace = Workspace::committed();
    let commit = "0123456789012345678901234567890123456789";
    workspace.write(
        ".course/starters.json",
        &format!("{{\"schema\": 1, \"levels\": {{\"level7\": {{\"commit\": \"{commit}\"}}}}}}"),
    );
    let error = of_level(&workspace.root, &LEVEL, None).unwrap_err();
    let told = error.to_string();
    assert!(told.contains(commit) && told.contains("git remote add course URL"), "{told}");
    fs::remove_dir_all(workspace.root.join(".git")).unwrap();
    let error = of_level(&workspace.root, &LEVEL, None).unwrap_err();
    assert!(
        matches!(error, SolutionError::Reference(ReferenceError::Git { .. })),
        "without git: {error}"
    );
}

#[test]
fn a_shallow_clone_is_told_how_to_get_the_rest() {
    let upstream = Workspace::committed();
    upstream.start(Edited::Refuse).unwrap();
    upstream.commit();
    upstream.write("level7/src/race.rs", "pub fn race(a: u8) -> u8 { a }\n");
    upstream.commit();
    let folder = tempfile::tempdir().unwrap();
    let url = format!("file://{}", upstream.root.display());
    let clone = folder.path().join("clone");
    upstream.git(&["clone", "-q", "--depth", "1", &url, &clone.to_string_lossy()]);
    let error = plan(&clone, &LEVEL).unwrap_err();
    assert!(error.to_string().contains("`git fetch --unshallow`"), "{error}");
    assert!(of_level(&clone, &LEVEL, None).is_err());
}

/// A history of one commit, as a squash leaves it and as a template begins: no commit of the old one is
/// in it.
fn squashed(workspace: &Workspace) -> Workspace {
    let copy = Workspace::new("");
    for path in ["level7/src/lib.rs", "level7/src/race.rs", "level7/src/tools.rs"] {
        let _ = fs::remove_file(copy.root.join(path));
        if let Ok(text) = fs::read_to_string(workspace.root.join(path)) {
            copy.write(path, &text);
        }
    }
    copy.write(".course/starters.json", &workspace.read(".course/starters.json"));
    copy.git(&["init", "-q"]);
    copy.commit();
    copy
}

#[test]
fn a_history_that_was_squashed_after_the_start_gets_the_reference_from_the_course() {
    let course = Workspace::committed();
    let learner = Workspace::committed();
    learner.start(Edited::Refuse).unwrap();
    let squashed = squashed(&learner);
    for error in [
        plan(&squashed.root, &LEVEL).unwrap_err().to_string(),
        of_level(&squashed.root, &LEVEL, None).unwrap_err().to_string(),
    ] {
        assert!(error.contains("git remote add course URL && git fetch course"), "{error}");
    }
    // What the message advises. The course has the same files in another commit.
    let url = course.root.to_string_lossy().into_owned();
    squashed.git(&["remote", "add", "course", &url]);
    squashed.git(&["fetch", "-q", "course"]);
    assert_eq!(squashed.solution(), reference());
    squashed.write("level7/src/race.rs", "pub fn race(a: u8) -> u8 { a }\n");
    squashed.start(Edited::BackUp).unwrap();
    squashed.assert_blank();
}

#[test]
fn a_squashed_history_that_still_has_the_reference_is_enough() {
    let learner = Workspace::committed();
    learner.start(Edited::Refuse).unwrap();
    let record = learner.read(".course/starters.json");
    // A template made from the course: one commit, in which the level is the reference.
    let template = Workspace::committed();
    template.write(".course/starters.json", &record);
    template.commit();
    assert_eq!(template.solution(), reference());
    template.start(Edited::Refuse).unwrap();
    template.assert_blank();
    template.commit();
    template.start(Edited::BackUp).unwrap();
    assert_eq!(template.solution(), reference());
}

#[test]
fn a_record_of_an_earlier_version_is_understood() {
    let workspace = Workspace::committed();
    workspace.start(Edited::Refuse).unwrap();
    let head = workspace.git(&["rev-parse", "HEAD"]);
    workspace.write(
        ".course/starters.json",
        &format!("{{\"schema\": 1, \"levels\": {{\"level7\": {{\"commit\": \"{head}\"}}}}}}"),
    );
    assert_eq!(workspace.solution(), reference());
}

#[test]
fn what_editors_leave_beside_a_file_is_no_work() {
    let workspace = Workspace::committed();
    for name in [".race.rs.swp", ".race.rs", "._race.rs", "race.rs.orig", ".idea/cache.rs"] {
        workspace.write(&format!("level7/src/{name}"), "litter");
    }
    // Not UTF-8, as what a file system keeps beside a file.
    fs::write(workspace.root.join("level7/src/._lib.rs"), [0, 5, 22, 7, 255]).unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink("me@host.1", workspace.root.join("level7/src/.#race.rs")).unwrap();
    assert_eq!(workspace.solution(), reference());
    workspace.start(Edited::Refuse).unwrap();
    assert_eq!(workspace.read("level7/src/race.rs"), RACE_BLANK);
    assert_eq!(workspace.read("level7/src/race.rs.orig"), "litter");
    workspace.start(Edited::BackUp).unwrap();
}

#[test]
fn folders_of_which_nothing_is_left_go() {
    let workspace = Workspace::committed();
    workspace.write("level7/src/tools/deep.rs", "pub fn more() {}\n");
    workspace.write("level7/src/tools.rs", "mod deep;\npub fn help(a: u8) -> u8 {\n    a\n}\n");
    workspace.commit();
    workspace.start(Edited::Refuse).unwrap();
    workspace.assert_blank();
    assert!(!workspace.root.join("level7/src/tools").exists());
    // An earlier version left them; what a learner keeps there stays.
    fs::create_dir_all(workspace.root.join("level7/src/tools/more")).unwrap();
    workspace.start(Edited::BackUp).unwrap();
    assert!(workspace.root.join("level7/src/tools/more").exists(), "no folder of the reference");
    fs::remove_dir(workspace.root.join("level7/src/tools/more")).unwrap();
    workspace.start(Edited::BackUp).unwrap();
    assert!(!workspace.root.join("level7/src/tools").exists());
}

#[test]
fn the_folder_of_the_course_says_what_it_is() {
    let workspace = Workspace::committed();
    workspace.start(Edited::Refuse).unwrap();
    let told = workspace.read(".course/README.md");
    for word in ["Commit it", "starters.json", "reference/", "backup/", "--restart"] {
        assert!(told.contains(word), "{word}");
    }
    workspace.write(".course/README.md", "my notes");
    workspace.start(Edited::Refuse).unwrap();
    assert_eq!(workspace.read(".course/README.md"), "my notes");
}

#[test]
fn a_damaged_record_is_refused() {
    let workspace = Workspace::committed();
    for text in ["{", "[]", "{\"schema\": 2}"] {
        workspace.write(".course/starters.json", text);
        let error = workspace.start(Edited::BackUp).unwrap_err();
        let told = error.to_string();
        assert!(told.contains("starters.json is damaged"), "{told}");
        workspace.assert_reference();
    }
}

#[test]
fn a_change_between_plan_and_deed_is_noticed() {
    let workspace = Workspace::committed();
    workspace.start(Edited::Refuse).unwrap();
    workspace.write("level7/src/race.rs", RACE);
    let plan = plan(&workspace.root, &LEVEL).unwrap();
    workspace.write("level7/src/race.rs", "// saved just now\n");
    let error = plan.apply(Edited::BackUp).unwrap_err();
    assert!(matches!(error, StarterError::Changed { .. }), "{error}");
    assert_eq!(workspace.read("level7/src/race.rs"), "// saved just now\n");
}

#[test]
fn a_record_that_cannot_be_written_leaves_the_level_alone() {
    let workspace = Workspace::committed();
    workspace.write(".course", "a file where the folder belongs");
    assert!(workspace.start(Edited::Refuse).is_err());
    workspace.assert_reference();
}

#[cfg(unix)]
#[test]
fn a_file_that_may_not_be_written_leaves_all_as_they_were() {
    use std::os::unix::fs::PermissionsExt as _;
    let workspace = Workspace::committed();
    let path = workspace.root.join("level7/src/race.rs");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
    let error = workspace.start(Edited::Refuse).unwrap_err();
    let StarterError::File(file) = &error else { panic!("{error}") };
    assert_eq!(file.path, path);
    let told = error.to_string();
    assert!(
        told.contains("writable") && told.contains("no file of the level was changed"),
        "{told}"
    );
    workspace.assert_reference();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    workspace.start(Edited::Refuse).unwrap();
    workspace.assert_blank();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
}

#[test]
fn what_was_written_is_put_back_when_a_later_file_fails() {
    let workspace = Workspace::committed();
    workspace.start(Edited::Refuse).unwrap();
    workspace.write("level7/src/race.rs", RACE);
    fs::remove_file(workspace.root.join("level7/src/lib.rs")).unwrap();
    let plan = plan(&workspace.root, &LEVEL).unwrap();
    let first = plan.files()[0].clone();
    // A folder instead of a file that is to be written: the last step fails.
    let mut failing = plan;
    failing.files.push(super::PlannedFile { path: "level7/src".into(), now: None, ..first });
    let error = failing.apply(Edited::Refuse).unwrap_err();
    assert!(matches!(error, StarterError::File(_)), "{error}");
    assert_eq!(workspace.read("level7/src/race.rs"), RACE);
    assert!(!workspace.root.join("level7/src/lib.rs").exists());
}

#[test]
fn a_module_can_be_asked_for_in_several_ways() {
    let workspace = Workspace::committed();
    for name in ["race", "race.rs", "src/race.rs", "src/race"] {
        let shown = of_level(&workspace.root, &LEVEL, Some(name)).unwrap();
        assert_eq!(shown, [(PathBuf::from("level7/src/race.rs"), RACE.to_owned())], "{name}");
    }
    workspace.write("level7/src/deep/mod.rs", "// deep\n");
    workspace.write("level7/src/deep/inner.rs", "// inner\n");
    let names = |module| -> Vec<_> {
        let shown = of_level(&workspace.root, &LEVEL, Some(module)).unwrap();
        shown.into_iter().map(|(path, _)| path).collect()
    };
    assert_eq!(names("deep"), paths(&["level7/src/deep/inner.rs", "level7/src/deep/mod.rs"]));
    assert_eq!(names("deep/inner"), paths(&["level7/src/deep/inner.rs"]));
}

#[test]
fn unknown_names_come_with_the_known_ones() {
    let workspace = Workspace::committed();
    for name in ["rase", "model", ""] {
        let error = of_level(&workspace.root, &LEVEL, Some(name)).unwrap_err();
        let SolutionError::UnknownModule { known, .. } = &error else { panic!("{error}") };
        assert_eq!(known, &["lib", "race", "tools"]);
    }
    let error = solution(Path::new("."), "level99/race").unwrap_err();
    let SolutionError::UnknownLevel { known, .. } = &error else { panic!("{error}") };
    assert!(known.contains(&"level1".to_owned()), "{error}");
}

#[test]
fn a_level_without_files_is_an_error() {
    let workspace = Workspace::new("");
    fs::remove_dir_all(workspace.root.join("level7/src")).unwrap();
    assert!(matches!(plan(&workspace.root, &LEVEL), Err(StarterError::Reference(_))));
}
