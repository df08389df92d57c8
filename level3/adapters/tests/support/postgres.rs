//! A PostgreSQL server of a test's own, from the binaries of the machine.
//!
//! It listens on loopback, keeps its data in a temporary folder, and is gone when its owner is: when
//! the [`Server`] is dropped, and also when the process that started it dies, however it dies. A shell
//! holds the server, and reads from a pipe that ends with its owner.
//!
//! Included by path where it is needed.

#![allow(
    dead_code,
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "starts a program and waits for it; each includer uses a part"
)]

use std::io::{self, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

/// How long the server may take to start or to stop.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs the server until the pipe ends, and clears away then; a word on the pipe keeps the data.
const WATCHDOG: &str = r#"
exec 2>/dev/null
"$@" </dev/null >>log 2>&1 &
server=$!
word=
read -r word
kill -QUIT $server
wait $server
[ -n "$word" ] || rm -rf "$PWD"
"#;

/// What a flush is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flush {
    /// One of the disk: for measuring, and for machines that lose their power.
    Disk,
    /// One of the operating system's cache. Survives `kill -9` of the server, and is faster.
    Cache,
}

/// A server that runs.
#[derive(Debug)]
pub struct Server {
    watchdog: Option<Child>,
    programs: PathBuf,
    folder: PathBuf,
    user: Option<(u32, u32)>,
    flush: Flush,
    port: u16,
    databases: AtomicU32,
}

impl Server {
    /// Starts a server; none, with a word on why, where there are no binaries.
    ///
    /// # Errors
    ///
    /// What keeps the binaries from working; the server's log is part of the message.
    pub fn start(flush: Flush) -> io::Result<Option<Self>> {
        Self::start_with(flush, &[])
    }

    /// The same with files in its data folder, each by its name: settings (`postgresql.auto.conf`),
    /// rules for connections (`pg_hba.conf`), a certificate and its key.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub fn start_with(flush: Flush, files: &[(&str, &str)]) -> io::Result<Option<Self>> {
        let Some(programs) = programs() else {
            println!("skipped: no PostgreSQL on this machine (PG_BIN names the folder of one)");
            return Ok(None);
        };
        let folder = tempfile::Builder::new().prefix("postgres-").tempdir()?.keep();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700))?;
        // initdb and postgres refuse to run as root.
        let user = if fs::metadata(&folder)?.uid() == 0 { nobody() } else { None };
        if let Some((uid, gid)) = user {
            chown(&folder, Some(uid), Some(gid))?;
        }
        let databases = AtomicU32::new(0);
        let mut server = Self { watchdog: None, programs, folder, user, flush, port: 0, databases };
        let made = server
            .command("initdb")
            .args(["-D", "data", "-U", "postgres", "--auth=trust", "--no-sync"])
            .args(["-E", "UTF8", "--no-locale"])
            .output()?;
        if !made.status.success() {
            return Err(io::Error::other(String::from_utf8_lossy(&made.stderr).into_owned()));
        }
        for (name, text) in files {
            let file = server.folder.join("data").join(name);
            fs::write(&file, text)?;
            fs::set_permissions(&file, fs::Permissions::from_mode(0o600))?;
            if let Some((uid, gid)) = user {
                chown(&file, Some(uid), Some(gid))?;
            }
        }
        // Free when it is looked for, perhaps taken by another process a moment later.
        for _ in 0..5 {
            server.port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
            if server.run()? {
                return Ok(Some(server));
            }
        }
        Err(server.complaint())
    }

    /// A database of its own, by its URL.
    ///
    /// # Errors
    ///
    /// When `createdb` fails.
    pub fn database(&self) -> io::Result<String> {
        let name = format!("test{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let port = self.port.to_string();
        let made = self
            .command("createdb")
            .args(["-h", "127.0.0.1", "-p", &port, "-U", "postgres", &name])
            .output()?;
        if !made.status.success() {
            return Err(io::Error::other(String::from_utf8_lossy(&made.stderr).into_owned()));
        }
        Ok(self.url(&name))
    }

    /// The URL of a database.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// Kills the server and everything that belongs to it, as a machine that fails would.
    ///
    /// # Errors
    ///
    /// When there is no server to be killed.
    pub fn kill(&mut self) -> io::Result<()> {
        let server = self.pid()?;
        // The server first, or it would start its children again.
        let mut all = vec![server.clone()];
        let children = format!("/proc/{server}/task/{server}/children");
        all.extend(
            fs::read_to_string(children)
                .unwrap_or_default()
                .split_ascii_whitespace()
                .map(ToOwned::to_owned),
        );
        Command::new("kill").arg("-KILL").args(&all).stderr(Stdio::null()).status()?;
        self.leave()
    }

    /// Starts it again, with the same data and at the same port.
    ///
    /// # Errors
    ///
    /// When it does not start; its log is part of the message.
    pub fn restart(&mut self) -> io::Result<()> {
        // What was killed may hold the port or the memory for a moment.
        for _ in 0..20 {
            if self.run()? {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(200));
        }
        Err(self.complaint())
    }

    /// Starts the server and waits until it takes connections. False if it does not.
    fn run(&mut self) -> io::Result<bool> {
        let durable = if self.flush == Flush::Disk { "on" } else { "off" };
        let ready = self.folder.join("data/postmaster.pid");
        let _ = fs::remove_file(&ready);
        let mut watchdog = self.command("/bin/sh");
        watchdog.args(["-c", WATCHDOG, "watchdog"]).arg(self.programs.join("postgres"));
        watchdog.args(["-D", "data", "-p", &self.port.to_string()]);
        for setting in [
            "listen_addresses=127.0.0.1",
            // Not every user may write to the packaged folder.
            "unix_socket_directories=",
            "shared_buffers=64MB",
            "max_connections=200",
            &format!("fsync={durable}"),
            &format!("full_page_writes={durable}"),
        ] {
            watchdog.args(["-c", setting]);
        }
        watchdog.stdin(Stdio::piped());
        let child = self.watchdog.insert(watchdog.spawn()?);
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE && child.try_wait()?.is_none() {
            // Its eighth line says so.
            let state = fs::read_to_string(&ready).unwrap_or_default();
            if state.lines().nth(7).is_some_and(|line| line.trim() == "ready") {
                return Ok(true);
            }
            // The shell waits for its pipe although the server is gone.
            if begun.elapsed() > Duration::from_secs(2) && state.is_empty() {
                break;
            }
            thread::sleep(Duration::from_millis(10));
        }
        self.leave()?;
        Ok(false)
    }

    /// Ends the watchdog, and the server if it still runs. The data stays.
    fn leave(&mut self) -> io::Result<()> {
        let Some(mut watchdog) = self.watchdog.take() else { return Ok(()) };
        if let Some(mut pipe) = watchdog.stdin.take() {
            // Gone already, perhaps.
            let _ = pipe.write_all(b"leave\n");
        }
        watchdog.wait().map(drop)
    }

    fn pid(&self) -> io::Result<String> {
        let state = fs::read_to_string(self.folder.join("data/postmaster.pid"))?;
        let pid = state.lines().next().unwrap_or_default().to_owned();
        if pid.is_empty() { Err(io::Error::other("no server runs")) } else { Ok(pid) }
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command.current_dir(&self.folder).stdin(Stdio::null());
        if let Some((uid, gid)) = self.user {
            command.uid(uid).gid(gid);
        }
        command
    }

    fn complaint(&self) -> io::Error {
        io::Error::other(fs::read_to_string(self.folder.join("log")).unwrap_or_default())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        match self.watchdog.take() {
            Some(mut watchdog) => {
                drop(watchdog.stdin.take());
                let _ = watchdog.wait();
            }
            // Never started, or killed: no other code removes the folder.
            None => drop(fs::remove_dir_all(&self.folder)),
        }
    }
}

/// The folder of the latest version's programs.
fn programs() -> Option<PathBuf> {
    let complete = |folder: &PathBuf| {
        ["initdb", "postgres", "createdb"].iter().all(|name| folder.join(name).exists())
    };
    if let Some(folder) = env::var_os("PG_BIN") {
        return Some(PathBuf::from(folder)).filter(complete);
    }
    // Where Debian and its kin put it, one folder for each version.
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let version = |path: &Path| path.file_name()?.to_str()?.parse::<u32>().ok();
    let packaged = versions
        .filter_map(|entry| Some((version(&entry.path())?, entry.path().join("bin"))))
        .filter(|(_, folder)| complete(folder))
        .max();
    packaged
        .map(|(_, folder)| folder)
        .or_else(|| env::split_paths(&env::var_os("PATH")?).find(complete))
}

/// The user and group of that name.
fn nobody() -> Option<(u32, u32)> {
    let users = fs::read_to_string("/etc/passwd").ok()?;
    let line = users.lines().find(|line| line.starts_with("nobody:"))?;
    let mut numbers = line.split(':').skip(2).map_while(|field| field.parse().ok());
    Some((numbers.next()?, numbers.next()?))
}
