//! Finds a password that is not in the URL: in the variables and the file that clients of PostgreSQL
//! read.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use super::address::Environment;

/// The password of an account. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// Wraps a password.
    #[must_use]
    pub const fn new(password: String) -> Self {
        Self(password)
    }

    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(***)")
    }
}

/// The account that a password is for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Account<'a> {
    pub(super) host: &'a str,
    pub(super) port: u16,
    pub(super) database: &'a str,
    pub(super) user: &'a str,
}

/// The result of the search.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    Password(Password),
    /// There is none. The text names a file that was passed over, and why.
    Nothing(Option<String>),
}

/// Returns the password of `PGPASSWORD`, or else that of the file `PGPASSWORD_FILE`, or else that
/// of the account in the password file.
pub(super) fn find(environment: Environment<'_>, account: Account<'_>) -> Found {
    let found = |password: String| Found::Password(Password(password));
    let file = |name: &str| environment(name).map(PathBuf::from);
    if let Some(password) = environment("PGPASSWORD").and_then(|it| OsString::into_string(it).ok())
    {
        return found(password);
    }
    if let Some(file) = file("PGPASSWORD_FILE") {
        return match private(&file) {
            Ok(text) => found(text.lines().next().unwrap_or_default().to_owned()),
            Err(why) => Found::Nothing(Some(why)),
        };
    }
    let listed = file("PGPASSFILE");
    let is_named = listed.is_some();
    let listed = listed.or_else(|| Some(file("HOME")?.join(".pgpass")));
    match listed {
        Some(file) if is_named || file.exists() => match private(&file) {
            Ok(text) => match in_list(&text, account) {
                Some(password) => found(password),
                None => Found::Nothing(Some(format!("{} has no line for it", file.display()))),
            },
            Err(why) => Found::Nothing(Some(why)),
        },
        _ => Found::Nothing(None),
    }
}

/// Reads a file that only its owner may read.
fn private(file: &Path) -> Result<String, String> {
    let unusable = |why: String| format!("{} cannot be used: {why}", file.display());
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let metadata = fs::metadata(file).map_err(|why| unusable(why.to_string()))?;
        // Anything but a plain file, such as a pipe of the shell, has no other readers to fear.
        if metadata.is_file() && metadata.permissions().mode() & 0o077 != 0 {
            return Err(unusable("others may read it; chmod 600 keeps them out".to_owned()));
        }
    }
    fs::read_to_string(file).map_err(|why| unusable(why.to_string()))
}

/// Returns the password of the first line that matches: `HOST:PORT:DATABASE:USER:PASSWORD`, where
/// `*` matches anything.
fn in_list(text: &str, account: Account<'_>) -> Option<String> {
    let port = account.port.to_string();
    let wanted = [account.host, port.as_str(), account.database, account.user];
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(fields).find_map(|mut fields| {
        let fits = fields.len() == wanted.len() + 1
            && fields.iter().zip(wanted).all(|(field, wanted)| field == "*" || field == wanted);
        if fits { fields.pop() } else { None }
    })
}

/// Splits a line into its fields. A backslash escapes a colon or another backslash; the password
/// may contain colons.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        let is_last = fields.len() == 5;
        match character {
            ':' if !is_last => fields.push(String::new()),
            '\\' => fields.last_mut().into_iter().for_each(|last| last.extend(characters.next())),
            other => fields.last_mut().into_iter().for_each(|last| last.push(other)),
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCOUNT: Account<'_> = Account { host: "db", port: 5432, database: "shop", user: "me" };

    fn password(text: &str) -> Found {
        Found::Password(Password::new(text.to_owned()))
    }

    #[test]
    fn the_first_line_that_fits_counts() {
        let text = "# a comment\nother:5432:shop:me:no\ndb:5432:*:me:a:b\\\\c\n*:*:*:*:late\n";
        assert_eq!(in_list(text, ACCOUNT).as_deref(), Some("a:b\\c"));
        let other = Account { user: "you", ..ACCOUNT };
        assert_eq!(in_list(text, other).as_deref(), Some("late"));
        assert_eq!(in_list("db:5432:shop:me", ACCOUNT), None);
    }

    #[test]
    fn the_variable_comes_before_the_files() {
        let folder = tempfile::tempdir().unwrap();
        let (secret, list) = (folder.path().join("secret"), folder.path().join(".pgpass"));
        for (file, text) in [(&secret, "from the file\nmore\n"), (&list, "db:*:*:me:listed\n")] {
            fs::write(file, text).unwrap();
            own(file);
        }
        let look = |set: &[(&str, &Path)]| {
            let get = |name: &str| {
                let found = set.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| value.as_os_str().to_owned())
            };
            find(&get, ACCOUNT)
        };
        let word = Path::new("from the variable");
        assert_eq!(
            look(&[("PGPASSWORD", word), ("PGPASSWORD_FILE", &secret), ("PGPASSFILE", &list)]),
            password("from the variable")
        );
        assert_eq!(
            look(&[("PGPASSWORD_FILE", &secret), ("PGPASSFILE", &list)]),
            password("from the file")
        );
        assert_eq!(look(&[("PGPASSFILE", &list)]), password("listed"));
        assert_eq!(look(&[("HOME", folder.path())]), password("listed"));
        assert_eq!(look(&[]), Found::Nothing(None));
        let missing = folder.path().join("missing");
        let Found::Nothing(Some(why)) = look(&[("PGPASSFILE", &missing)]) else { panic!() };
        assert!(why.contains("missing"), "{why}");
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_others_may_read_is_passed_over() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        fs::write(&file, "hunter2").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        let get = |name: &str| (name == "PGPASSWORD_FILE").then(|| file.clone().into());
        let Found::Nothing(Some(why)) = find(&get, ACCOUNT) else { panic!() };
        assert!(why.contains("chmod 600") && !why.contains("hunter2"), "{why}");
        assert!(!format!("{:?}", password("hunter2")).contains("hunter2"));
    }

    fn own(file: &Path) {
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
        }
        let _ = file;
    }
}
