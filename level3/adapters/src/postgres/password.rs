//! Finds a password that is not in the URL: in the variable or the file that every client of
//! PostgreSQL reads.

use std::env;
use std::fs;
use std::path::PathBuf;

/// The account that a password is for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Account<'a> {
    pub(super) host: &'a str,
    pub(super) port: u16,
    pub(super) database: &'a str,
    pub(super) user: &'a str,
}

/// Returns the password of `PGPASSWORD`, or else that of the account in the password file.
pub(super) fn find(account: Account<'_>) -> Option<String> {
    if let Ok(password) = env::var("PGPASSWORD") {
        return Some(password);
    }
    let file = env::var_os("PGPASSFILE").map(PathBuf::from);
    let file = file.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".pgpass")))?;
    in_file(&fs::read_to_string(file).ok()?, account)
}

/// Returns the password of the first line that matches: `HOST:PORT:DATABASE:USER:PASSWORD`, where
/// `*` matches anything.
fn in_file(text: &str, account: Account<'_>) -> Option<String> {
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

    #[test]
    fn the_first_line_that_fits_counts() {
        let account = Account { host: "db", port: 5432, database: "shop", user: "me" };
        let text = "# a comment\nother:5432:shop:me:no\ndb:5432:*:me:a:b\\\\c\n*:*:*:*:late\n";
        assert_eq!(in_file(text, account).as_deref(), Some("a:b\\c"));
        let other = Account { user: "you", ..account };
        assert_eq!(in_file(text, other).as_deref(), Some("late"));
        assert_eq!(in_file("db:5432:shop:me", account), None);
    }
}
