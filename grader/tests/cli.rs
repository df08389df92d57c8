//! The command line, without building a level: texts, bad input, exit codes.
use std::process::{Command, Output};

fn grader(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_grader"));
    command.args(arguments).output().expect("the grader starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Exit code 2, nothing on stdout, and every part in the message.
#[track_caller]
fn refuses(arguments: &[&str], parts: &[&str]) {
    let output = grader(arguments);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(output.stdout.is_empty(), "{}", text(&output.stdout));
    for part in parts {
        assert!(said.contains(part), "no `{part}` in: {said}");
    }
}

#[test]
fn list_names_every_criterion_once_and_without_colours() {
    let output = grader(&["list"]);
    let said = text(&output.stdout);
    assert!(output.status.success());
    for entry in grader::select::all() {
        let lines =
            said.lines().filter(|line| line.split_whitespace().next() == Some(entry.criterion.id));
        assert_eq!(lines.count(), 1, "{}", entry.criterion.id);
    }
    assert!(!said.contains('\u{1b}'), "colours although stdout is no terminal");
}

#[test]
fn show_and_hint_say_what_the_catalog_says() {
    let entry = grader::select::all().next().expect("a criterion");
    let shown = text(&grader(&["show", entry.criterion.id]).stdout);
    assert!(shown.contains(entry.criterion.requirement) && shown.contains(entry.criterion.file));
    for (nr, hint) in entry.criterion.hints.iter().enumerate() {
        let number = (nr + 1).to_string();
        let hinted = text(&grader(&["hint", entry.criterion.id, &number]).stdout);
        assert!(hinted.contains(hint), "{hinted}");
        let next = entry.criterion.hints.get(nr + 1);
        assert!(next.is_none_or(|next| !hinted.contains(next)), "a hint too many: {hinted}");
    }
}

#[test]
fn bad_names_get_a_suggestion() {
    refuses(&["levl2"], &["levl2", "did you mean `level2`", "cargo grade list"]);
    refuses(&["show", "nonsense"], &["no level, exercise or criterion `nonsense`"]);
    let race = grader::select::exercise("level2/race", &grader::select::Started::new());
    let (_, exercise) = race.expect("a clear name").expect("an exercise");
    let shown = text(&grader(&["show", "level2/race"]).stdout);
    assert!(exercise.clauses.iter().all(|clause| shown.contains(clause.text)), "{shown}");
    assert!(exercise.criteria.iter().all(|criterion| shown.contains(criterion.id)), "{shown}");
    refuses(&["show", "level2"], &["names", "criteria", "for example"]);
    let id = grader::select::all().next().expect("a criterion").criterion.id;
    let last = text(&grader(&["hint", id, "9"]).stdout);
    assert!(last.contains("this was the last hint"), "{last}");
    refuses(&["watch", "nonsense"], &["no level, exercise or criterion `nonsense`"]);
    refuses(&["hint", "nonsense"], &["no level, exercise or criterion `nonsense`"]);
    refuses(&["--format", "yaml"], &["yaml", "text", "json"]);
}

#[test]
fn no_workspace_is_said_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let name = folder.path().to_str().expect("UTF-8");
    refuses(&["--root", name], &["no workspace of the course", "cd into your clone"]);
    refuses(&["--root", "/no/such/folder"], &["/no/such/folder"]);
}

#[test]
fn a_report_that_cannot_be_written_is_refused_before_the_work() {
    refuses(
        &["--output", "/no/such/folder/report.json"],
        &["/no/such/folder", "Nothing was graded"],
    );
    let folder = tempfile::tempdir().expect("a folder");
    let name = folder.path().to_str().expect("UTF-8");
    refuses(&["--output", name], &[name, "Nothing was graded"]);
}

#[test]
fn no_cargo_is_said_so() {
    let root = grader::workspace::of_this_run().expect("root");
    let output = Command::new(env!("CARGO_BIN_EXE_grader"))
        .args(["level2", "--root"])
        .arg(root)
        .env("CARGO", "no-such-cargo")
        .output()
        .expect("the grader starts");
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("cannot start `no-such-cargo`") && said.contains("rustup"), "{said}");
}

/// A workspace in which `level` is started, as far as names are concerned.
fn workspace_with_started(level: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("Cargo.toml"), "").expect("a manifest");
    std::fs::create_dir_all(folder.path().join("grader/checks")).expect("a folder");
    std::fs::create_dir(folder.path().join(".course")).expect("a folder");
    let record = format!(r#"{{"schema":1,"levels":{{"{level}":"copy"}}}}"#);
    std::fs::write(folder.path().join(".course/starters.json"), record).expect("a record");
    folder
}

#[test]
fn the_end_of_a_name_is_enough() {
    let id = "level2/race/returns-at-the-third";
    for name in [id, "returns-at-the-third", "returns_at_the_third", "race/returns-at-the-third"] {
        let shown = text(&grader(&["show", name]).stdout);
        assert!(shown.contains(id), "{name}: {shown}");
        assert!(text(&grader(&["hint", name]).stdout).contains("1/"), "{name}");
    }
    let listed = text(&grader(&["list", "all_settled"]).stdout);
    assert!(listed.contains("level2/all-settled/contains-panics"), "{listed}");
    assert!(!listed.contains("level2/race"), "{listed}");
}

#[test]
fn a_short_name_means_the_level_that_is_under_way() {
    for level in ["level2", "level3"] {
        let workspace = workspace_with_started(level);
        let root = workspace.path().to_str().expect("UTF-8");
        let listed = text(&grader(&["list", "deadline", "--root", root]).stdout);
        assert!(listed.contains(&format!("{level}/deadline/")), "{listed}");
        assert_eq!(listed.lines().filter(|line| line.starts_with("level")).count(), 1, "{listed}");
    }
    let workspace = workspace_with_started("level1");
    let root = workspace.path().to_str().expect("UTF-8");
    let ambiguous = ["`deadline` may be", "level2/deadline", "level3/deadline"];
    refuses(&["list", "deadline", "--root", root], &ambiguous);
}

/// Forks that nothing can be taken from: their results need no build.
fn class_of(names: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for name in names {
        std::fs::create_dir_all(folder.path().join("class").join(name)).expect("a folder");
    }
    folder
}

#[test]
fn a_class_without_one_good_fork_has_a_gradebook_all_the_same() {
    let root = grader::workspace::of_this_run().expect("root");
    let folder = class_of(&["anna", "Ξένη", "名前"]);
    let out = folder.path().join("out");
    let output = Command::new(env!("CARGO_BIN_EXE_grader"))
        .arg("class")
        .arg(folder.path().join("class"))
        .arg("--out")
        .arg(&out)
        .arg("--root")
        .arg(&root)
        .output()
        .expect("the grader starts");
    let said = [text(&output.stdout), text(&output.stderr)].concat();
    if said.contains("is a learner's clone") {
        return; // where a level is started no class is graded
    }
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("3 could not be read"), "{said}");
    let book = std::fs::read_to_string(out.join("gradebook.csv")).expect("a gradebook");
    for name in
        ["points possible,", "anna,unreadable,0,", "Ξένη,unreadable,0,", "名前,unreadable,0,"]
    {
        assert!(book.lines().any(|line| line.starts_with(name)), "{book}");
    }
    assert_eq!(std::fs::read_dir(out.join("forks")).expect("forks").count(), 3);
}

#[test]
fn a_class_that_cannot_be_graded_says_why() {
    let root = grader::workspace::of_this_run().expect("root");
    let root = root.to_str().expect("UTF-8");
    let folder = class_of(&["anna"]);
    let at = |name: &str| folder.path().join(name).display().to_string();
    let (class, out) = (at("class"), at("out"));
    let inside = format!("{root}/results");
    let told = |more: &[&str], parts: &[&str]| {
        let mut arguments = vec!["class", &class, "--root", root];
        arguments.extend(more);
        refuses(&arguments, parts);
    };
    told(&["--out", &inside], &["lies in the workspace that grades", "--out"]);
    told(&["--out", &out, "--levels", "level0"], &["there is no level `level0`", "level1"]);
    told(&["--out", &out, "--shard", "9/8"], &["write the part and how many there are"]);
    told(&["--out", &out, "--deadline", "tomorrow"], &["`tomorrow` is no point in time"]);
    std::fs::write(at("class.toml"), "[late]\nfree_days = 2\n").expect("a file");
    told(
        &["--out", &out, "--settings", &at("class.toml")],
        &["class.toml: ", "missing field `due`"],
    );
    told(&["--out", &class], &["has files and no results of a class"]);
    refuses(&["class", &at("none"), "--out", &out], &["cannot read", "none"]);
    refuses(&["merge", &at("none"), "--out", &out], &["has no results of a class"]);
    refuses(&["regrade", &at("none")], &["is not there: name the result.json"]);
    assert!(!std::path::Path::new(&inside).exists());
}

#[test]
fn doctor_says_whether_this_machine_can_grade() {
    let output = grader(&["doctor"]);
    let said = text(&output.stdout);
    for subject in ["rust", "cargo", "linker", "target", "disk", "memory"] {
        assert!(said.lines().any(|line| line.split_whitespace().nth(1) == Some(subject)), "{said}");
    }
    assert!(output.status.code() == Some(0) || said.contains("stop "), "{said}");
}

#[test]
fn a_shell_completes_commands_and_where_it_can_names() {
    let words = ["watch", "level2", "level2/race", "level2/race/returns-at-the-third"];
    for (shell, known) in [("bash", 4), ("zsh", 4), ("fish", 1), ("powershell", 1), ("elvish", 1)] {
        let script = text(&grader(&["completions", shell]).stdout);
        for word in &words[..known] {
            assert!(script.contains(word), "{shell} does not complete {word}");
        }
    }
}

/// By bash itself, where it is installed.
#[test]
fn bash_completes_the_criteria_of_an_exercise() {
    let script = text(&grader(&["completions", "bash"]).stdout);
    let ask = "\nCOMP_WORDS=(grade hint level2/race/); COMP_CWORD=2\n_grade grade level2/race/ hint\n\
               printf '%s\\n' \"${COMPREPLY[@]}\"\n";
    let Ok(output) = Command::new("bash").args(["-c", &format!("{script}{ask}")]).output() else {
        eprintln!("skipped: bash is not installed");
        return;
    };
    let mut completed: Vec<String> = text(&output.stdout).lines().map(str::to_owned).collect();
    let (_, race) = grader::select::exercise("level2/race", &grader::select::Started::new())
        .expect("a clear name")
        .expect("an exercise");
    let mut criteria: Vec<&str> = race.criteria.iter().map(|criterion| criterion.id).collect();
    completed.sort_unstable();
    criteria.sort_unstable();
    assert_eq!(completed, criteria, "{}", text(&output.stderr));
}

#[test]
fn each_command_has_a_manual_page() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().to_str().expect("UTF-8");
    assert!(grader(&["man", "--out", out]).status.success());
    let help = text(&grader(&["--help"]).stdout);
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let commands = commands
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_whitespace().next());
    for command in commands.filter(|command| *command != "help") {
        let page = folder.path().join(format!("cargo-grade-{command}.1"));
        assert!(page.is_file(), "{} is missing", page.display());
    }
    let first =
        std::fs::read_to_string(folder.path().join("cargo-grade.1")).expect("the first page");
    assert!(first.contains("full core marks"), "{first}");
    refuses(&["man", "--out", "/dev/null/pages"], &["cannot write into /dev/null/pages"]);
}

/// A folder under version control.
struct Repository(tempfile::TempDir);

impl Repository {
    /// A course with one level and a few files around it.
    fn with_course() -> Self {
        let this = Self(tempfile::tempdir().expect("a folder"));
        let root = grader::workspace::of_this_run().expect("root");
        for folder in ["level1/src", "grader/criteria/level1"] {
            copy(&root.join(folder), &this.path(folder));
        }
        this.write("Cargo.toml", "[workspace.package]\nversion = \"1.0.0\"\n");
        this.write("README.md", "The course.\n");
        this.write("grader/old.md", "A page.\n");
        this.write("level1/README.md", "The level.\n");
        std::fs::create_dir_all(this.path("grader/checks")).expect("a folder");
        this.write("grader/checks/level1/kept", "");
        this.commit();
        this
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    fn root(&self) -> &str {
        self.0.path().to_str().expect("UTF-8")
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, text).expect("a file");
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_else(|_| "(none)".to_owned())
    }

    fn git(&self, arguments: &[&str]) {
        let name = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-C", self.root()];
        let done = Command::new("git").args(name).args(arguments).output().expect("git starts");
        assert!(done.status.success(), "{}", text(&done.stderr));
    }

    fn commit(&self) {
        self.git(&["init", "--quiet"]);
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "--message", "as it is"]);
    }

    /// What the update says.
    fn update(&self, course: &Self) -> String {
        let done = grader(&["update", course.root(), "--root", self.root()]);
        assert!(done.status.success(), "{}", text(&done.stderr));
        text(&done.stdout)
    }
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let to = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).expect("a copy");
        }
    }
}

/// A newer version of the course of [`Repository::with_course`].
fn newer() -> Repository {
    let course = Repository::with_course();
    course.write("Cargo.toml", "[workspace.package]\nversion = \"1.1.0\"\n");
    // A linked checkout has a file of this name.
    std::fs::remove_dir_all(course.path(".git")).expect("no repository");
    course.write(".git", "gitdir: ../course/.git/worktrees/newer\n");
    course.write("README.md", "The course, second edition.\n");
    course.write("level1/README.md", "The level, second edition.\n");
    course.write("docs/new.md", "Another page.\n");
    std::fs::remove_file(course.path("grader/old.md")).expect("a page less");
    let criteria = course.read("grader/criteria/level1/pages.toml");
    let one = "\n[[criterion]]\nname = \"turns-pages\"\n";
    let criteria = criteria.replace("\"on-demand\"", "\"asks-on-demand\"");
    course.write("grader/criteria/level1/pages.toml", &(criteria + one));
    let row = "from = \"level1/pages/on-demand\"\nto = \"level1/pages/asks-on-demand\"\n";
    course.write("grader/criteria/renamed.toml", &format!("[[renamed]]\n{row}"));
    let module = |name: &str| course.read(&format!("level1/src/{name}.rs"));
    let more = "\n/// Something more to write.\npub fn more() -> u32 {\n    7\n}\n";
    course.write("level1/src/pages.rs", &(module("pages") + more));
    course.write("level1/src/background.rs", &(module("background") + more));
    course.write("level1/src/extra.rs", &format!("//! A new exercise.\n{more}"));
    let lib = module("lib").replace("pub mod pages;", "pub mod extra;\npub mod pages;");
    course.write("level1/src/lib.rs", &lib);
    course
}

#[test]
fn an_update_leaves_the_learners_files_and_brings_the_courses() {
    let learner = Repository::with_course();
    assert!(grader(&["start", "level1", "--root", learner.root()]).status.success());
    let mine = learner.read("level1/src/pages.rs") + "// mine\n";
    learner.write("level1/src/pages.rs", &mine);
    learner.write("level1/src/notes.rs", "// my own module\n");
    learner.write("docs/mine.md", "My notes.\n");
    learner.commit();
    let course = newer();

    let said = learner.update(&course);

    for (name, expected) in [
        ("level1/src/pages.rs", mine.as_str()),
        ("level1/src/notes.rs", "// my own module\n"),
        ("docs/mine.md", "My notes.\n"),
        ("grader/old.md", "(none)"),
        ("docs/new.md", "Another page.\n"),
        ("README.md", "The course, second edition.\n"),
        ("level1/README.md", "The level, second edition.\n"),
    ] {
        assert_eq!(learner.read(name), expected, "{name}");
    }
    // The newer blanks: in place where nothing was written, beside the file where something was.
    let blank = "pub fn more() -> u32 {\n    todo!()\n}";
    for name in
        ["level1/src/extra.rs", "level1/src/background.rs", ".course/update/level1/src/pages.rs"]
    {
        assert!(learner.read(name).contains(blank), "{name}: {}", learner.read(name));
    }
    assert!(learner.read("level1/src/lib.rs").contains("pub mod extra;"));
    for part in [
        "1.0.0 -> 1.1.0",
        "extra.rs  is new",
        "pages.rs  stays yours",
        "level1/pages: turns-pages\n",
        "level1/pages/on-demand  is level1/pages/asks-on-demand now",
    ] {
        assert!(said.contains(part), "no `{part}` in: {said}");
    }
    assert!(!said.contains("criteria that are gone"), "{said}");
    let solution = text(&grader(&["solution", "level1/extra", "--root", learner.root()]).stdout);
    assert!(solution.contains("    7\n"), "the newer reference is kept: {solution}");

    // The same again changes nothing, and a later one knows what was taken.
    learner.commit();
    assert!(learner.update(&course).contains("nothing to do"));
    course.write("README.md", "Third edition.\n");
    learner.commit();
    let said = learner.update(&course);
    assert_eq!(learner.read("README.md"), "Third edition.\n");
    assert!(said.contains("1 replaced") && !said.contains("not as the course had"), "{said}");
    assert_eq!(learner.read("docs/mine.md"), "My notes.\n");
}

#[test]
fn an_update_says_what_both_have_changed() {
    let learner = Repository::with_course();
    assert!(grader(&["start", "level1", "--root", learner.root()]).status.success());
    learner.write("README.md", "My edition.\n");
    learner.write("level1/README.md", "My notes on the level.\n");
    learner.commit();
    let said = learner.update(&newer());
    assert_eq!(learner.read("README.md"), "The course, second edition.\n");
    assert_eq!(learner.read("level1/README.md"), "My notes on the level.\n");
    assert_eq!(learner.read(".course/update/level1/README.md"), "The level, second edition.\n");
    assert!(said.contains("README.md  is the course's now"), "{said}");
    assert!(said.contains("level1/README.md  stays yours"), "{said}");
}

#[test]
fn an_update_works_in_a_history_that_has_lost_its_beginning() {
    let learner = Repository::with_course();
    assert!(grader(&["start", "level1", "--root", learner.root()]).status.success());
    learner.commit();
    std::fs::remove_dir_all(learner.path(".git")).expect("no history");
    learner.commit();
    let said = learner.update(&newer());
    assert_eq!(learner.read("README.md"), "The course, second edition.\n");
    assert_eq!(learner.read("grader/old.md"), "A page.\n", "it may be the learner's");
    assert!(said.contains("README.md  is the course's now"), "{said}");
    assert!(learner.read("level1/src/extra.rs").contains("todo!()"));
}

#[test]
fn an_update_that_cannot_be_made_changes_nothing_and_says_why() {
    let learner = Repository::with_course();
    let root = learner.root();
    refuses(&["update", "/dev/null/course", "--root", root], &["/dev/null/course", "cannot clone"]);
    let empty = tempfile::tempdir().expect("a folder");
    let empty = empty.path().to_str().expect("UTF-8");
    refuses(&["update", empty, "--root", root], &[empty, "not the folder of a course"]);
    learner.write("level1/src/pages.rs", "// half a thought");
    let course = newer();
    let course = course.root();
    refuses(&["update", course, "--root", root], &["commit these first", "level1/src/pages.rs"]);
    std::fs::remove_dir_all(learner.path(".git")).expect("no repository");
    refuses(&["update", course, "--root", root], &["git init"]);
}
