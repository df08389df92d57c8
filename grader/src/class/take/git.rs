//! A commit of a fork's git repository.
//!
//! Git runs what a repository's configuration names: hooks, filters, helpers, other transports. So none of
//! it is used. A repository of the grader's own, empty and without configuration, reads the fork's objects
//! (`GIT_OBJECT_DIRECTORY`); of the fork's folder only `HEAD` and the references are copied into it.
//! Commands only list and print objects; nothing is checked out.
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use tempfile::TempDir;

use super::{Commit, DEEPEST, Kind, State, TakeError, Tree};
use crate::build::limits;
use crate::class::moment::Moment;
use crate::submission::files::MOST_BYTES;

/// A file of references larger than this, or more references, are refused.
const MOST_REF_BYTES: u64 = 16 << 20;
const MOST_REFS: usize = 20_000;

/// A repository, not yet opened.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// The folder with `HEAD` and `objects`.
    folder: PathBuf,
    /// Whether there are no files beside it.
    pub(super) is_bare: bool,
}

/// The repository in a folder, if there is one.
pub(super) fn find(path: &Path) -> Result<Option<Found>, TakeError> {
    let beside = path.join(".git");
    match fs::symlink_metadata(&beside).map(|metadata| metadata.file_type()) {
        Ok(kind) if kind.is_dir() => Ok(Some(Found { folder: beside, is_bare: false })),
        Ok(_) => Err(TakeError::Git(
            "its .git is no folder but leads to another one (a work tree of another repository, a \
             submodule): name a clone of its own"
                .to_owned(),
        )),
        Err(_) if path.join("HEAD").is_file() && path.join("objects").is_dir() => {
            Ok(Some(Found { folder: path.to_path_buf(), is_bare: true }))
        }
        Err(_) => Ok(None),
    }
}

/// A commit, opened for reading.
#[derive(Debug)]
pub(super) struct Git {
    access: Access,
    commit: Commit,
    /// The object of each file that was listed.
    objects: BTreeMap<String, String>,
    cat: Option<Cat>,
}

impl Git {
    pub(super) fn open(found: &Found, state: &State) -> Result<Git, TakeError> {
        let access = Access::new(&found.folder)?;
        let commit = access.commit(state)?;
        Ok(Git { access, commit, objects: BTreeMap::new(), cat: None })
    }

    pub(super) fn commit(&self) -> &Commit {
        &self.commit
    }
}

impl Tree for Git {
    fn list(&mut self, each: &mut dyn FnMut(String, Kind) -> bool) -> Result<(), TakeError> {
        let mut command = self.access.git();
        command.args(["ls-tree", "-r", "-z", "-l", "--full-tree", &self.commit.id]);
        let mut child = spawn(command.stdin(Stdio::null()).stdout(Stdio::piped()))?;
        let Some(out) = child.stdout.take() else { return Err(lost()) };
        let mut complete = true;
        for line in BufReader::new(out).split(0) {
            let Ok(line) = line else { break };
            let text = String::from_utf8_lossy(&line);
            // `100644 blob ID SIZE\tPATH`
            let Some((head, path)) = text.split_once('\t') else { continue };
            let head: Vec<&str> = head.split_whitespace().collect();
            let [mode, _, object, size] = head.as_slice() else { continue };
            let plain = mode.starts_with("100") && std::str::from_utf8(&line).is_ok();
            let inside = path.split('/').count() <= DEEPEST
                && !path.split('/').any(|part| matches!(part, "" | "." | ".."));
            let kind = match size.parse() {
                Ok(size) if plain && inside => Kind::File(size),
                _ => Kind::Other,
            };
            self.objects.insert(path.to_owned(), (*object).to_owned());
            if !each(path.to_owned(), kind) {
                complete = false;
                break;
            }
        }
        let _ = child.kill(); // ended already, unless no more is wanted
        let status = child.wait().map_err(|why| TakeError::Git(why.to_string()))?;
        if complete && !status.success() {
            return Err(TakeError::Git("a folder of the commit is missing or damaged".to_owned()));
        }
        Ok(())
    }

    fn read(&mut self, path: &str) -> Result<Vec<u8>, TakeError> {
        let object = self.objects.get(path).ok_or_else(lost)?;
        if self.cat.is_none() {
            self.cat = Some(Cat::start(&self.access)?);
        }
        let bytes = self.cat.as_mut().and_then(|cat| cat.read(object));
        bytes.ok_or_else(|| TakeError::Git(format!("the object of {path} is missing or damaged")))
    }
}

fn lost() -> TakeError {
    TakeError::Git("it changed while it was read".to_owned())
}

fn spawn(command: &mut Command) -> Result<Child, TakeError> {
    let child = command.stderr(Stdio::null()).spawn();
    let child =
        child.map_err(|why| TakeError::Git(format!("{why}: is git installed and on the PATH?")))?;
    // A repository can be made to unpack without end.
    limits::set(&child);
    Ok(child)
}

/// The grader's own empty repository over a fork's objects.
#[derive(Debug)]
struct Access {
    own: TempDir,
    objects: PathBuf,
}

impl Access {
    fn new(folder: &Path) -> Result<Access, TakeError> {
        let objects = folder.join("objects");
        let is_folder = |path: &Path| fs::symlink_metadata(path).is_ok_and(|kind| kind.is_dir());
        if !is_folder(&objects)
            || !is_folder(&objects.join("pack")) && objects.join("pack").exists()
        {
            return Err(TakeError::Git("its objects lie elsewhere: name a full clone".to_owned()));
        }
        for borrows in ["info/alternates", "info/http-alternates"] {
            if fs::symlink_metadata(objects.join(borrows)).is_ok() {
                return Err(TakeError::Git(format!(
                    "it borrows objects from another repository (objects/{borrows}): name a full clone"
                )));
            }
        }
        if folder.join("reftable").exists() {
            let why =
                "its references are a reftable: `git refs migrate --ref-format=files` in a clone";
            return Err(TakeError::Git(why.to_owned()));
        }
        let io = |source| TakeError::Io { path: folder.to_path_buf(), source };
        let own = tempfile::tempdir().map_err(io)?;
        let format = if is_sha256(folder) { "[extensions]\n\tobjectformat = sha256\n" } else { "" };
        let version = u8::from(!format.is_empty());
        let config =
            format!("[core]\n\trepositoryformatversion = {version}\n\tbare = true\n{format}");
        fs::write(own.path().join("config"), config).map_err(io)?;
        fs::create_dir(own.path().join("objects")).map_err(io)?;
        let mut left = MOST_REFS;
        for name in ["HEAD", "packed-refs", "shallow"] {
            copy(folder, own.path(), name, &mut left).map_err(io)?;
        }
        fs::create_dir(own.path().join("refs")).map_err(io)?;
        copy_folder(folder, own.path(), "refs/heads", 0, &mut left).map_err(io)?;
        Ok(Access { own, objects })
    }

    /// Git, with no configuration of the fork or of the teacher's account.
    fn git(&self) -> Command {
        let mut command = Command::new("git");
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("GIT_") {
                command.env_remove(name);
            }
        }
        let nothing = if cfg!(windows) { "NUL" } else { "/dev/null" };
        command.args([
            "--no-pager",
            "-c",
            "core.hooksPath=/dev/null",
            "-c",
            "protocol.allow=never",
        ]);
        command.args(["-c", "core.fsmonitor=false", "-c", "core.attributesFile=/dev/null"]);
        command.env("GIT_DIR", self.own.path()).env("GIT_OBJECT_DIRECTORY", &self.objects);
        command.env("GIT_CONFIG_GLOBAL", nothing).env("GIT_CONFIG_NOSYSTEM", "1");
        command.env("GIT_ATTR_NOSYSTEM", "1").env("GIT_NO_REPLACE_OBJECTS", "1");
        command.env("GIT_NO_LAZY_FETCH", "1").env("GIT_TERMINAL_PROMPT", "0");
        command.env("GIT_OPTIONAL_LOCKS", "0").env("LC_ALL", "C");
        command.current_dir(self.own.path());
        command
    }

    fn commit(&self, state: &State) -> Result<Commit, TakeError> {
        let (until, from) = match state {
            State::Files | State::Committed(None) => (None, "HEAD"),
            State::Committed(Some(until)) => (Some(*until), "HEAD"),
            State::Exactly(id) if id.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
                (None, id.as_str())
            }
            State::Exactly(id) => return Err(TakeError::Git(format!("`{id}` is no commit"))),
        };
        let mut command = self.git();
        command.args(["rev-list", "--max-count=1", "--timestamp"]);
        command.args(until.map(|until| format!("--min-age={}", until.0)));
        let mut child =
            spawn(command.args([from, "--"]).stdin(Stdio::null()).stdout(Stdio::piped()))?;
        let mut said = String::new();
        if let Some(out) = child.stdout.take() {
            let _ = out.take(200).read_to_string(&mut said); // no text is no commit
        }
        let _ = child.wait();
        let mut words = said.split_whitespace();
        let (time, id) = (words.next().and_then(|time| time.parse().ok()), words.next());
        match (time, id) {
            (Some(time), Some(id)) => Ok(Commit { id: id.to_owned(), time: Moment(time) }),
            _ => Err(TakeError::NoCommit(until)),
        }
    }
}

/// Whether the fork names its objects by SHA-256. The configuration is read as a text.
fn is_sha256(folder: &Path) -> bool {
    let mut text = String::new();
    let file = fs::File::open(folder.join("config"));
    let _ = file.map(|file| file.take(1 << 16).read_to_string(&mut text)); // none: the usual names
    let text = text.to_lowercase().replace([' ', '\t'], "");
    text.contains("objectformat=sha256")
}

/// Copies a plain file that is not too large; anything else counts as missing.
fn copy(from: &Path, to: &Path, name: &str, left: &mut usize) -> std::io::Result<()> {
    let plain = fs::symlink_metadata(from.join(name))
        .is_ok_and(|metadata| metadata.is_file() && metadata.len() <= MOST_REF_BYTES);
    if plain && *left > 0 {
        *left -= 1;
        let bytes = fs::read(from.join(name))?;
        fs::write(to.join(name), bytes)?;
    }
    Ok(())
}

fn copy_folder(
    from: &Path,
    to: &Path,
    name: &str,
    depth: usize,
    left: &mut usize,
) -> std::io::Result<()> {
    let is_folder = fs::symlink_metadata(from.join(name)).is_ok_and(|kind| kind.is_dir());
    if !is_folder || depth > DEEPEST {
        return Ok(());
    }
    fs::create_dir_all(to.join(name))?;
    for entry in fs::read_dir(from.join(name))? {
        let entry = entry?;
        let Ok(file_name) = entry.file_name().into_string() else { continue };
        let name = format!("{name}/{file_name}");
        if entry.file_type()?.is_dir() {
            copy_folder(from, to, &name, depth + 1, left)?;
        } else {
            copy(from, to, &name, left)?;
        }
    }
    Ok(())
}

/// A running `git cat-file --batch`.
#[derive(Debug)]
struct Cat {
    child: Child,
    ask: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Cat {
    fn start(access: &Access) -> Result<Cat, TakeError> {
        let mut command = access.git();
        command.args(["cat-file", "--batch"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = spawn(&mut command)?;
        match (child.stdin.take(), child.stdout.take()) {
            (Some(ask), Some(out)) => Ok(Cat { child, ask, answers: BufReader::new(out) }),
            _ => Err(lost()),
        }
    }

    /// The bytes of an object whose size is known to be small.
    fn read(&mut self, object: &str) -> Option<Vec<u8>> {
        writeln!(self.ask, "{object}").ok()?;
        let mut head = String::new();
        self.answers.read_line(&mut head).ok()?;
        // `ID blob SIZE`, or `ID missing`
        let size: usize = head.split_whitespace().nth(2)?.parse().ok()?;
        if size as u64 > MOST_BYTES {
            return None;
        }
        let mut bytes = vec![0; size + 1];
        self.answers.read_exact(&mut bytes).ok()?;
        bytes.pop();
        Some(bytes)
    }
}

impl Drop for Cat {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may have ended by itself
        let _ = self.child.wait();
    }
}
