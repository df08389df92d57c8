//! Keeps a watched file and a document behind a URL in step, and prints what happens.
//!
//! `cargo run -p level5-sources --example timeline -- FILE URL STORE` follows both until Ctrl-C; the records are in the file
//! `STORE`. Without arguments it makes a file and a server of its own, and plays some changes, a fault, and a restart.

mod demo;
mod follow;

use std::error::Error;
use std::io::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

fn tell(line: &str) {
    // A reader that has closed the output, as `head` does, ends nothing.
    let _ = writeln!(io::stdout().lock(), "{line}");
}

/// Until Ctrl-C.
async fn until_stopped(file: &str, url: &str, store: &str) -> Result<(), Box<dyn Error>> {
    let (pressed, mut stop) = watch::channel(false);
    ctrlc::set_handler(move || pressed.send_modify(|pressed| *pressed = true))?;
    let (file, store, began) = (Path::new(file), Path::new(store), Instant::now());
    let places = follow::Places { file, url, store, began };
    let stopped = async {
        // An error says that the handler is gone, which lives as long as the program.
        let _ = stop.wait_for(|pressed| *pressed).await;
    };
    follow::follow_both(&places, Duration::from_secs(5), stopped, tell).await
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let work = async {
        match arguments.as_slice() {
            [] => demo::play(tell).await,
            [file, url, store] => until_stopped(file, url, store).await,
            _ => Err("expected FILE URL STORE, or nothing for a demonstration".into()),
        }
    };
    match demo_kit::written(work).await {
        Ok(done) => done,
        Err(part) => {
            tell(&part.to_string());
            Ok(())
        }
    }
}
