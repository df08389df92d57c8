//! What the starters ask git.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use thiserror::Error;

/// Why git did not answer.
#[derive(Debug, Error)]
pub enum GitError {
    /// The workspace is in no git repository.
    #[error("{} is in no git repository", .root.display())]
    NoRepository {
        /// The workspace.
        root: PathBuf,
    },
    /// There is no git to run.
    #[error("cannot run git ({cause}): is it installed and on the PATH?")]
    NotInstalled {
        /// The error of the operating system.
        cause: std::io::Error,
    },
    /// Git refused.
    #[error("git {command} failed: {message}")]
    Failed {
        /// The first argument and what follows.
        command: String,
        /// The message of git.
        message: String,
    },
}

/// A repository that has the workspace in it, at its top or deeper.
#[derive(Debug)]
pub(crate) struct Git {
    root: PathBuf,
}

impl Git {
    /// The repository of the workspace at `root`.
    ///
    /// # Errors
    ///
    /// [`GitError::NoRepository`] and [`GitError::NotInstalled`], which a caller may do without;
    /// [`GitError::Failed`] for a repository that git does not accept.
    pub(crate) fn open(root: &Path) -> Result<Self, GitError> {
        let absolute = std::path::absolute(root).unwrap_or_else(|_| root.to_path_buf());
        if !absolute.ancestors().any(|folder| folder.join(".git").exists()) {
            return Err(GitError::NoRepository { root: root.to_path_buf() });
        }
        let git = Self { root: root.to_path_buf() };
        git.run(&["rev-parse", "--is-inside-work-tree"])?;
        Ok(git)
    }

    /// The commit that is checked out, if it has a file below `folder`.
    pub(crate) fn head_with(&self, folder: &str) -> Option<String> {
        self.head().filter(|head| self.tree(head, folder).is_some())
    }

    /// The files below `folder` that differ from what is committed, or are not committed at all.
    pub(crate) fn uncommitted(&self, folder: &str) -> Result<Vec<PathBuf>, GitError> {
        let out = self.run(&[
            "status",
            "--porcelain",
            "-z",
            "--untracked-files=all",
            "--no-renames",
            "--ignore-submodules",
            "--",
            folder,
        ])?;
        // Relative to the top of the repository, as every path that git's status prints.
        let top = self.run(&["rev-parse", "--show-prefix"])?;
        let top = top.trim_end_matches('\n');
        let paths = out.split('\0').filter_map(|entry| entry.get(3..));
        Ok(paths.map(|path| PathBuf::from(path.strip_prefix(top).unwrap_or(path))).collect())
    }

    /// Whether the repository has a commit.
    pub(crate) fn has_commit(&self, commit: &str) -> bool {
        self.run(&["cat-file", "-e", &format!("{commit}^{{commit}}")]).is_ok()
    }

    /// Whether the repository has the contents of a folder, in whichever commit.
    pub(crate) fn has_tree(&self, tree: &str) -> bool {
        self.run(&["cat-file", "-e", &format!("{tree}^{{tree}}")]).is_ok()
    }

    /// The name that git gives the contents of `folder` in a commit: it is the same in every commit, of
    /// every history, that has the same files there.
    pub(crate) fn tree(&self, commit: &str, folder: &str) -> Option<String> {
        let tree = self.run(&["rev-parse", "--verify", "--quiet", &format!("{commit}:./{folder}")]);
        tree.ok().map(|tree| tree.trim().to_owned())
    }

    /// Whether this clone has only the end of the history.
    pub(crate) fn is_shallow(&self) -> bool {
        self.run(&["rev-parse", "--is-shallow-repository"]).is_ok_and(|it| it.trim() == "true")
    }

    /// The files in a tree, relative to it.
    pub(crate) fn files(&self, tree: &str) -> Result<Vec<String>, GitError> {
        let out = self.run(&["ls-tree", "-r", "-z", "--full-tree", "--name-only", tree])?;
        Ok(out.split('\0').filter(|path| !path.is_empty()).map(str::to_owned).collect())
    }

    /// The commit that is checked out; `None` in a repository without a commit.
    pub(crate) fn head(&self) -> Option<String> {
        let head = self.run(&["rev-parse", "--verify", "--quiet", "HEAD^{commit}"]).ok()?;
        Some(head.trim().to_owned())
    }

    /// The last commit that has changed a file, named relative to the workspace.
    pub(crate) fn last_change(&self, path: &str) -> Option<String> {
        let commit = self.run(&["log", "-1", "--format=%H", "--", path]).ok()?;
        Some(commit.trim().to_owned()).filter(|commit| !commit.is_empty())
    }

    /// A file as a tree has it.
    pub(crate) fn show(&self, tree: &str, path: &str) -> Result<String, GitError> {
        self.run(&["show", &format!("{tree}:{path}")])
    }

    fn run(&self, arguments: &[&str]) -> Result<String, GitError> {
        let failed = |message: &str| GitError::Failed {
            command: arguments.join(" ").replace('\0', " "),
            message: message.trim().to_owned(),
        };
        let mut command = Command::new("git");
        command.arg("--no-pager").arg("-C").arg(&self.root).args(arguments).stdin(Stdio::null());
        // A hook's own settings would lead to the hook's repository.
        for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX"] {
            command.env_remove(name);
        }
        // Only look: take no lock that another git may want.
        command.env("GIT_OPTIONAL_LOCKS", "0").env("LC_ALL", "C");
        let output = command.output().map_err(|cause| GitError::NotInstalled { cause })?;
        if !output.status.success() {
            return Err(failed(&String::from_utf8_lossy(&output.stderr)));
        }
        String::from_utf8(output.stdout)
            .map_err(|_| failed("it answered something that is not UTF-8"))
    }
}
