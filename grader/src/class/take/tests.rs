//! What is taken from forks of all three kinds, and what is not.
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use super::*;

/// A course with two files of the course and two of the learner.
fn pristine() -> Pristine {
    Pristine::of(&[
        ("Cargo.toml", "[workspace.package]\nversion = \"0.3.0\"\n"),
        ("level2/Cargo.toml", "[package]\n"),
        ("level2/src/lib.rs", "pub mod race;\n"),
        ("level2/src/race.rs", "fn reference() {}\n"),
    ])
}

/// A fork of it: `race` is the learner's, everything else is as it was.
const FORK: &[(&str, &str)] = &[
    ("Cargo.toml", "[workspace.package]\nversion = \"0.3.0\"\n"),
    ("level2/Cargo.toml", "[package]\n"),
    ("level2/src/lib.rs", "pub mod race;\n"),
    ("level2/src/race.rs", "fn mine() {}\n"),
    ("level2/src/race/deep.rs", "fn deep() {}\n"),
];

fn lay(folder: &Path, files: &[(&str, &str)]) {
    for (path, text) in files {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
        fs::write(path, text).expect("a file");
    }
}

fn taken(path: &Path) -> Taken {
    take(path, &State::Files, &pristine()).unwrap_or_else(|why| panic!("{why}"))
}

fn refused(path: &Path) -> String {
    take(path, &State::Files, &pristine()).expect_err("refused").to_string()
}

#[track_caller]
fn paths(taken: &Taken, level: &str) -> Vec<String> {
    let files = taken.levels.get(level).expect("the level").as_ref().expect("readable");
    files.iter().map(|(path, _)| path.to_owned()).collect()
}

/// The fork as a folder, as a zip file with a folder at its top, and as a repository.
fn all_kinds(folder: &Path, files: &[(&str, &str)]) -> [PathBuf; 3] {
    let plain = folder.join("plain");
    lay(&plain, files);
    let archive = folder.join("archive.zip");
    let mut writer = ::zip::ZipWriter::new(fs::File::create(&archive).expect("a file"));
    for (path, text) in files {
        let options = ::zip::write::SimpleFileOptions::default();
        writer.start_file(format!("fork-main/{path}"), options).expect("an entry");
        writer.write_all(text.as_bytes()).expect("an entry");
    }
    writer.finish().expect("an archive");
    let repository = folder.join("repository");
    lay(&repository, files);
    commit(&repository, "2027-01-01T00:00:00Z");
    let bare = folder.join("bare.git");
    fs::rename(repository.join(".git"), &bare).expect("moved");
    [plain, archive, bare]
}

/// Runs git in a folder, with no configuration of the machine.
fn git(folder: &Path, date: &str, arguments: &[&str]) {
    let mut command = Command::new("git");
    command.arg("-C").arg(folder).args(["-c", "user.name=n", "-c", "user.email=e"]).args(arguments);
    command.env("GIT_COMMITTER_DATE", date).env("GIT_AUTHOR_DATE", date);
    command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
    for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
        command.env_remove(name);
    }
    let output = command.stdin(Stdio::null()).output().expect("git");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn commit(folder: &Path, date: &str) {
    if !folder.join(".git").exists() {
        git(folder, date, &["init", "-q", "-b", "main"]);
    }
    git(folder, date, &["add", "--all"]);
    git(folder, date, &["commit", "-q", "-m", "work"]);
}

#[test]
fn the_same_files_are_taken_from_every_kind_of_source() {
    let folder = tempfile::tempdir().expect("a folder");
    for path in all_kinds(folder.path(), FORK) {
        let taken = taken(&path);
        let found = paths(&taken, "level2");
        assert_eq!(found, ["src/lib.rs", "src/race.rs", "src/race/deep.rs"], "{}", path.display());
        let files = taken.levels["level2"].as_ref().expect("readable");
        assert_eq!(files.get("src/race.rs"), Some(b"fn mine() {}\n".as_slice()));
        assert!(taken.changes.is_empty(), "{:?}", taken.changes);
        assert!(!taken.levels.contains_key("level1"));
    }
}

#[test]
fn what_a_fork_changed_besides_is_named_and_left_behind() {
    let folder = tempfile::tempdir().expect("a folder");
    let files = [
        ("Cargo.toml", "[workspace.package]\nversion = \"0.2.0\"\n"),
        (".cargo/config.toml", "[build]\nrustc-wrapper = \"./evil\"\n"),
        ("level2/build.rs", "fn main() {}"),
        ("level2/src/lib.rs", "pub mod race; // changed\n"),
        ("level2/src/race.rs", "fn mine() {}\n"),
        ("level2/src/.race.rs.swp", "swap"),
        ("level2/target/debug/x.rs", "built"),
        ("level2/src/target/module.rs", "mine"),
    ];
    for path in all_kinds(folder.path(), &files) {
        let taken = taken(&path);
        assert_eq!(paths(&taken, "level2"), ["src/lib.rs", "src/race.rs", "src/target/module.rs"]);
        let changes = &taken.changes;
        assert_eq!(
            changes.changed.first,
            ["Cargo.toml", "level2/src/lib.rs"],
            "{}",
            path.display()
        );
        assert_eq!(
            changes.added.first,
            [".cargo/config.toml", "level2/build.rs", "level2/src/.race.rs.swp"]
        );
        assert_eq!(changes.missing.first, ["level2/Cargo.toml"]);
        assert_eq!(changes.version.as_deref(), Some("0.2.0"));
    }
}

#[test]
fn other_line_ends_are_no_change() {
    let folder = tempfile::tempdir().expect("a folder");
    let files: Vec<(&str, String)> =
        FORK.iter().map(|(path, text)| (*path, text.replace('\n', "\r\n"))).collect();
    let files: Vec<(&str, &str)> =
        files.iter().map(|(path, text)| (*path, text.as_str())).collect();
    lay(folder.path(), &files);
    assert!(taken(folder.path()).changes.is_empty());
}

#[cfg(unix)]
#[test]
fn links_and_devices_never_come_along() {
    use std::os::unix::fs::symlink;

    let folder = tempfile::tempdir().expect("a folder");
    let secret = folder.path().join("secret.rs");
    fs::write(&secret, "the teacher's").expect("a file");
    fs::create_dir(folder.path().join("elsewhere")).expect("a folder");
    fs::write(folder.path().join("elsewhere/other.rs"), "the teacher's").expect("a file");
    let fork = folder.path().join("fork");
    lay(&fork, FORK);
    symlink(&secret, fork.join("level2/src/secret.rs")).expect("a link");
    symlink(folder.path().join("elsewhere"), fork.join("level2/src/more")).expect("a link");
    symlink(folder.path(), fork.join("level1")).expect("a link");
    let pipe = fork.join("level2/src/pipe.rs");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
    let found = taken(&fork);
    assert_eq!(paths(&found, "level2"), ["src/lib.rs", "src/race.rs", "src/race/deep.rs"]);
    assert_eq!(
        found.changes.no_files.first,
        ["level1", "level2/src/more", "level2/src/pipe.rs", "level2/src/secret.rs"]
    );
    // The same in a commit, which has no pipes.
    fs::remove_file(pipe).expect("removed");
    commit(&fork, "2027-01-01T00:00:00Z");
    let found = take(&fork, &State::Committed(None), &pristine()).expect("a commit");
    assert_eq!(paths(&found, "level2"), ["src/lib.rs", "src/race.rs", "src/race/deep.rs"]);
    assert_eq!(found.changes.no_files.count, 3);

    symlink(&fork, folder.path().join("linked")).expect("a link");
    assert!(refused(&folder.path().join("linked")).contains("is a link"));
    let hollow = folder.path().join("hollow");
    fs::create_dir_all(hollow.join("level2")).expect("a folder");
    symlink(fork.join("level2/src"), hollow.join("level2/src")).expect("a link");
    assert!(refused(&hollow).contains("has no levelN/src"));
}

#[test]
fn the_last_commit_before_the_deadline_counts() {
    let folder = tempfile::tempdir().expect("a folder");
    let race = folder.path().join("level2/src/race.rs");
    lay(folder.path(), FORK);
    for (date, text) in [
        ("2027-01-01T00:00:00Z", "first"),
        ("2027-01-02T00:00:00Z", "second"),
        ("2027-01-03T00:00:00Z", "late"),
    ] {
        fs::write(&race, text).expect("a file");
        commit(folder.path(), date);
    }
    fs::write(&race, "not committed").expect("a file");
    let text = |state: State| {
        let found = take(folder.path(), &state, &pristine()).map_err(|why| why.to_string())?;
        let files = found.levels["level2"].as_ref().expect("readable");
        let text =
            String::from_utf8_lossy(files.get("src/race.rs").expect("the file")).into_owned();
        Ok::<_, String>((text, found.commit))
    };
    let until = |time: &str| State::Committed(Some(time.parse().expect("a time")));
    let (found, second) = text(until("2027-01-02T12:00:00+02:00")).expect("a commit");
    assert_eq!(found, "second");
    let second = second.expect("a commit");
    assert_eq!(second.time.to_string(), "2027-01-02T00:00:00Z");
    assert_eq!(text(until("2027-01-02T00:00:00Z")).expect("a commit").0, "second");
    assert_eq!(text(State::Committed(None)).expect("a commit").0, "late");
    assert_eq!(text(State::Exactly(second.id)).expect("a commit").0, "second");
    assert_eq!(text(State::Files).expect("files").0, "not committed");
    let too_early = text(until("2026-12-31T00:00:00Z")).expect_err("no commit");
    assert_eq!(too_early, "it has no commit before 2026-12-31T00:00:00Z");
    assert!(text(State::Exactly("--all".to_owned())).is_err());
}

/// Hooks, filters, an alias, a monitor and another transport, each of which would leave a file.
#[cfg(unix)]
#[test]
fn nothing_that_a_repository_configures_is_run() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = tempfile::tempdir().expect("a folder");
    let fork = folder.path().join("fork");
    let trap = folder.path().join("trap");
    lay(&fork, FORK);
    lay(&fork, &[(".gitattributes", "*.rs filter=evil diff=evil text\n")]);
    commit(&fork, "2027-01-01T00:00:00Z");
    let evil = format!("touch {}", trap.display());
    let script = fork.join(".git/evil.sh");
    fs::write(&script, format!("#!/bin/sh\n{evil}\n")).expect("a script");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("permissions");
    for hook in ["post-checkout", "reference-transaction", "post-index-change", "pre-auto-gc"] {
        fs::copy(&script, fork.join(".git/hooks").join(hook))
            .or_else(|_| {
                fs::create_dir_all(fork.join(".git/hooks"))?;
                fs::copy(&script, fork.join(".git/hooks").join(hook))
            })
            .expect("a hook");
    }
    let script = script.display();
    let config = format!(
        "[core]\n\trepositoryformatversion = 1\n\tfsmonitor = {script}\n\tpager = {script}\n\tsshCommand = {script}\n\
         \teditor = {script}\n\thooksPath = {hooks}\n\
         [filter \"evil\"]\n\tsmudge = {script}\n\tclean = {script}\n\tprocess = {script}\n\trequired = true\n\
         [diff \"evil\"]\n\ttextconv = {script}\n\tcommand = {script}\n\
         [alias]\n\tls-tree = !{script}\n\trev-list = !{script}\n\tcat-file = !{script}\n\
         [extensions]\n\tpartialClone = origin\n\
         [remote \"origin\"]\n\turl = ext::{script}\n\tpromisor = true\n\tuploadpack = {script}\n\
         [protocol]\n\tallow = always\n[include]\n\tpath = /dev/zero\n",
        hooks = fork.join(".git/hooks").display(),
    );
    fs::write(fork.join(".git/config"), config).expect("a configuration");
    for state in [State::Committed(None), State::Files] {
        let found = take(&fork, &state, &pristine()).expect("the files");
        assert_eq!(paths(&found, "level2").len(), 3);
    }
    // An object that is missing is not fetched.
    let objects = fork.join(".git/objects");
    for entry in fs::read_dir(&objects).expect("objects").flatten() {
        if entry.file_name().len() == 2 {
            fs::remove_dir_all(entry.path()).expect("removed");
        }
    }
    assert!(take(&fork, &State::Committed(None), &pristine()).is_err());
    assert!(!trap.exists(), "something of the repository was run");
}

#[test]
fn a_repository_that_leads_elsewhere_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let fork = folder.path().join("fork");
    lay(&fork, FORK);
    commit(&fork, "2027-01-01T00:00:00Z");
    let committed =
        || take(&fork, &State::Committed(None), &pristine()).expect_err("refused").to_string();
    let alternates = fork.join(".git/objects/info/alternates");
    fs::create_dir_all(alternates.parent().expect("a parent")).expect("a folder");
    fs::write(&alternates, "/somewhere/else/objects\n").expect("a file");
    assert!(committed().contains("borrows objects"), "{}", committed());
    fs::remove_dir_all(fork.join(".git")).expect("removed");
    fs::write(fork.join(".git"), "gitdir: /somewhere/else\n").expect("a file");
    assert!(committed().contains("its .git is no folder"), "{}", committed());
}

#[test]
fn too_much_costs_the_level_or_the_fork_and_is_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let many = folder.path().join("many");
    lay(&many, FORK);
    fs::create_dir(many.join("level1")).expect("a folder");
    fs::create_dir(many.join("level1/src")).expect("a folder");
    for number in 0..10_000 {
        fs::write(many.join(format!("level1/src/f{number}.rs")), "").expect("a file");
    }
    let found = taken(&many);
    let why = found.levels["level1"].as_ref().expect_err("too many");
    assert!(why.contains("level1/src/ has 10000 source files"), "{why}");
    assert_eq!(paths(&found, "level2").len(), 3);

    let large = folder.path().join("large");
    lay(&large, FORK);
    let file = fs::File::create(large.join("level2/src/large.rs")).expect("a file");
    file.set_len(1 << 40).expect("a hole");
    let found = taken(&large);
    let why = found.levels["level2"].as_ref().expect_err("too large");
    assert!(why.contains("level2/src/large.rs is larger than 1 MiB"), "{why}");
}

#[test]
fn what_is_no_fork_says_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("empty")).expect("a folder");
    assert!(refused(&at("empty")).contains("is it a fork of the course?"));
    assert!(refused(&at("missing")).contains("is not there"));
    assert!(refused(Path::new("https://example.org/fork.git")).contains("clone it first"));
    fs::write(at("text.zip"), "no archive").expect("a file");
    assert!(refused(&at("text.zip")).contains("not a readable zip file"));
    lay(&at("two"), &[("a/level2/src/race.rs", ""), ("b/level2/src/race.rs", "")]);
    assert!(refused(&at("two")).contains("has no levelN/src"));
    fs::create_dir(at("new")).expect("a folder");
    git(&at("new"), "2027-01-01T00:00:00Z", &["init", "-q"]);
    let found =
        take(&at("new"), &State::Committed(None), &pristine()).expect_err("no commit").to_string();
    assert_eq!(found, "it has no commit");
}

#[test]
fn names_in_an_archive_lead_nowhere() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.zip");
    let mut writer = ::zip::ZipWriter::new(fs::File::create(&path).expect("a file"));
    let options = ::zip::write::SimpleFileOptions::default();
    for name in [
        "level2/src/race.rs",
        "level2/src/../../../up.rs",
        "level2\\src\\any.rs",
        "level2/src/имя.rs",
    ] {
        writer.start_file(name, options).expect("an entry");
        writer.write_all(b"fn a() {}").expect("an entry");
    }
    writer.add_symlink("level2/src/link.rs", "/etc/passwd", options).expect("a link");
    writer.start_file("level2/src/bomb.rs", options).expect("an entry");
    writer.write_all(&vec![b' '; 1 << 20]).expect("an entry");
    writer.finish().expect("an archive");
    let found = taken(&path);
    let found_paths = paths(&found, "level2");
    assert_eq!(found_paths, ["src/any.rs", "src/bomb.rs", "src/race.rs", "src/имя.rs"]);
    assert_eq!(found.changes.no_files.count, 2, "{:?}", found.changes);
}
