//! `cargo run -q -p grader-proofs --example rename -- LEVEL FILE OLD NEW` gives a name of a reference solution's file
//! another one, there and in each planted solution and each step of a lesson that edits the file.
//!
//! `rename level3 src/breaker/core.rs count failures`. The name changes in the whole file; for one that other files use
//! too, name each of them in a run of its own. `cargo test -p grader-proofs --test fit` says within seconds whether all
//! of them still fit.
use std::fs;
use std::path::{Path, PathBuf};

use grader::catalog::level;
use grader_proofs::rename;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let given: Vec<String> = std::env::args().skip(1).collect();
    let [name, file, old, new] = given.as_slice() else {
        return Err("usage: rename LEVEL FILE OLD NEW".into());
    };
    let level = level(name).ok_or_else(|| format!("there is no level `{name}`"))?;
    for identifier in [old, new] {
        syn::parse_str::<syn::Ident>(identifier)
            .map_err(|_| format!("`{identifier}` is not an identifier"))?;
    }
    let root = grader::workspace::find(&std::env::current_dir()?)?;
    let path = root.join(level.name).join(file);
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let renamed = rename::source(&text, old, new)
        .map_err(|error| format!("{}: not made of Rust tokens: {error}", path.display()))?;
    if renamed == text {
        return Err(format!("{} does not name `{old}`", path.display()).into());
    }
    if renamed_already(&text, new) {
        return Err(format!("{} has a `{new}` already", path.display()).into());
    }
    fs::write(&path, renamed)?;
    println!("{}", path.display());
    let mut faults = Vec::new();
    descriptions(&root.join("grader/planted").join(level.name), &mut faults)?;
    for path in faults {
        let text = fs::read_to_string(&path)?;
        let renamed = rename::planted(&text, file, old, new);
        if renamed != text {
            fs::write(&path, renamed)?;
            println!("{}", path.display());
        }
    }
    Ok(())
}

/// Whether `source` has an identifier `name`: two things would become one.
fn renamed_already(source: &str, name: &str) -> bool {
    grader_proofs::planted::tokens::tokens(source)
        .is_ok_and(|row| row.iter().any(|token| token.text == name))
}

/// The descriptions of planted solutions below `folder`.
fn descriptions(folder: &Path, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            descriptions(&path, found)?;
        } else if path.extension().is_some_and(|it| it == "toml") {
            found.push(path);
        }
    }
    Ok(())
}
