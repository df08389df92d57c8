//! The program as a child of a test on a runtime.

use std::path::Path;
use std::process::Command;

use process_kit::Output;

/// The program in this folder, with nothing of the environment that it looks at.
pub fn program(folder: &Path, args: &str) -> Command {
    process_kit::command(env!("CARGO_BIN_EXE_notifier"), folder, args, &["NOTIFIER_SMTP_URL"])
}

/// Waits for a line with these words, and returns the word after them. The runtime goes on meanwhile: it has what the
/// program talks to.
pub async fn says(output: &Output, words: &'static str) -> String {
    let output = output.clone();
    let rest = tokio::task::spawn_blocking(move || output.says_after(words)).await.unwrap();
    rest.split_whitespace().next().unwrap_or_default().to_owned()
}

/// Where the program listens, as a URL without a slash at the end.
pub async fn url_of(output: &Output) -> String {
    let address = says(output, "http://").await;
    format!("http://{}", address.trim_end_matches(['/', '.']))
}
