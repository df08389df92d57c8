//! A headless Chromium, driven over its DevTools protocol: a web socket with JSON.
//!
//! One tab, one command at a time. What the page complains about is collected on the way. This is for tests: whatever
//! fails ends the test with a panic.
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    clippy::missing_panics_doc,
    reason = "it starts a browser, and only tests use it"
)]

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, Stdio};

use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::{Duration, sleep, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

/// Longer than anything here takes, whatever else runs on the machine.
const LONG: Duration = Duration::from_secs(120);

/// Returns the browser, if one is installed. Otherwise says that the test is skipped, and why.
#[must_use]
pub fn installed() -> Option<PathBuf> {
    let found = find();
    if found.is_none() {
        eprintln!("skipped: no Chromium is installed (chromium, chromium-browser, google-chrome)");
    }
    found
}

fn find() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let places = names.iter().flat_map(|name| folders.iter().map(move |it| it.join(name)));
    places.into_iter().find(|it| it.is_file())
}

/// A browser with one tab. Dropping it ends the browser.
#[derive(Debug)]
pub struct Browser {
    /// The complaints of the page so far: errors of its code and of the console.
    pub complaints: Vec<String>,
    socket: WebSocketStream<TcpStream>,
    /// The session of the tab.
    tab: String,
    last: u64,
    _process: Process,
    _profile: tempfile::TempDir,
}

#[derive(Debug)]
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Browser {
    /// Starts the browser with an empty tab.
    pub async fn start(program: &OsStr) -> Self {
        let profile = tempfile::tempdir().expect("a folder");
        let mut child = Command::new(program)
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"])
            .args(["--disable-quic", "--disable-background-networking", "--disable-sync"])
            .args(["--disable-component-update", "--remote-debugging-port=0"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("Chromium starts");
        let stderr = child.stderr.take().expect("its stderr");
        let process = Process(child);
        let (host, path) = timeout(LONG, address(stderr)).await.expect("an address in time");
        let stream = TcpStream::connect(&host).await.expect("a connection");
        let opened = client_async(format!("ws://{host}/{path}"), stream).await;
        let (socket, _) = opened.expect("a handshake");
        let mut browser = Self {
            complaints: Vec::new(),
            socket,
            tab: String::new(),
            last: 0,
            _process: process,
            _profile: profile,
        };
        let targets = browser.call("Target.getTargets", json!({})).await;
        let targets = targets["targetInfos"].as_array().expect("a list").clone();
        let target = targets.iter().find(|target| target["type"] == "page").expect("a tab");
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = browser.call("Target.attachToTarget", attach).await;
        browser.tab = attached["sessionId"].as_str().expect("a session").to_owned();
        for domain in ["Page.enable", "Runtime.enable", "Log.enable"] {
            browser.call(domain, json!({})).await;
        }
        browser
    }

    /// Sends a command and waits for its result.
    pub async fn call(&mut self, method: &str, params: Value) -> Value {
        self.last += 1;
        let id = self.last;
        let mut command = json!({ "id": id, "method": method, "params": params });
        if !self.tab.is_empty() {
            command["sessionId"] = json!(self.tab);
        }
        let text = Message::text(command.to_string());
        self.socket.send(text).await.expect("Chromium is there");
        let answers = async {
            loop {
                let message = self.socket.next().await.expect("Chromium is there");
                let Message::Text(text) = message.expect("a frame") else { continue };
                let message: Value = serde_json::from_str(&text).expect("JSON");
                if message["id"] == id {
                    return message;
                }
                self.complaints.extend(complaint(&message));
            }
        };
        let answer = timeout(LONG, answers).await.unwrap_or_else(|_| panic!("no answer: {method}"));
        assert!(answer["error"].is_null(), "{method}: {answer}");
        answer["result"].clone()
    }

    /// The value of an expression in the page.
    pub async fn value(&mut self, expression: &str) -> Value {
        let params =
            json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let result = self.call("Runtime.evaluate", params).await;
        assert!(result["exceptionDetails"].is_null(), "{expression}: {result}");
        result["result"]["value"].clone()
    }

    /// Waits until an expression in the page is true.
    pub async fn until(&mut self, expression: &str) {
        self.until_by("null", expression).await;
    }

    /// Does something in the page again and again, until an expression in it is true.
    pub async fn until_by(&mut self, action: &str, expression: &str) {
        let holds = async {
            while self.value(expression).await != true {
                self.value(action).await;
                sleep(Duration::from_millis(20)).await;
            }
        };
        let held = timeout(LONG, holds).await;
        if held.is_err() {
            let page = self.value("document.body.innerText").await;
            panic!("never true: {expression}. The page says {page:#}");
        }
    }

    /// Clicks in the middle of an element, as a mouse does.
    pub async fn click(&mut self, selector: &str) {
        let place = format!(
            "(() => {{ const it = document.querySelector({selector:?}); it.scrollIntoView({{block: 'center'}}); \
             const r = it.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; }})()"
        );
        let place = self.value(&place).await;
        for kind in ["mousePressed", "mouseReleased"] {
            let event = json!({ "type": kind, "x": place[0], "y": place[1], "button": "left", "clickCount": 1 });
            self.call("Input.dispatchMouseEvent", event).await;
        }
    }

    /// Types a text where the focus is, one key after the other.
    pub async fn types(&mut self, text: &str) {
        for key in text.chars() {
            for kind in ["keyDown", "keyUp"] {
                let mut event = json!({ "type": kind, "key": key.to_string() });
                if kind == "keyDown" {
                    event["text"] = json!(key.to_string());
                }
                self.call("Input.dispatchKeyEvent", event).await;
            }
        }
    }

    /// Presses a key that makes no character.
    pub async fn presses(&mut self, key: &str, code: u32) {
        for kind in ["rawKeyDown", "keyUp"] {
            let event = json!({ "type": kind, "key": key, "windowsVirtualKeyCode": code });
            self.call("Input.dispatchKeyEvent", event).await;
        }
    }

    /// Presses Enter where the focus is.
    pub async fn enter(&mut self) {
        for kind in ["keyDown", "keyUp"] {
            let mut event = json!({ "type": kind, "key": "Enter", "windowsVirtualKeyCode": 13 });
            if kind == "keyDown" {
                event["text"] = json!("\r");
            }
            self.call("Input.dispatchKeyEvent", event).await;
        }
    }

    /// The size of the window, as a telephone or a desk has it.
    pub async fn size(&mut self, width: u32, height: u32) {
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.call("Emulation.setDeviceMetricsOverride", metrics).await;
    }

    /// `light` or `dark`.
    pub async fn scheme(&mut self, scheme: &str) {
        let feature = json!({ "name": "prefers-color-scheme", "value": scheme });
        self.call("Emulation.setEmulatedMedia", json!({ "features": [feature] })).await;
    }
}

impl Browser {
    /// Opens a page, and waits until it is loaded.
    pub async fn open(&mut self, url: &str) {
        self.call("Page.navigate", json!({ "url": url })).await;
        self.until("location.href !== 'about:blank' && document.readyState === 'complete'").await;
    }

    /// Writes a picture into the folder that the variable names, if it is set: of the whole page, or of what the window
    /// shows.
    pub async fn picture(&mut self, variable: &str, name: &str, whole: bool) {
        let Some(folder) = std::env::var_os(variable).map(PathBuf::from) else { return };
        let params = json!({ "format": "png", "captureBeyondViewport": whole });
        let picture = self.call("Page.captureScreenshot", params).await;
        let text = picture["data"].as_str().expect("a picture");
        let bytes = data_encoding::BASE64.decode(text.as_bytes()).expect("base64");
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(folder.join(format!("{name}.png")), bytes).expect("a file");
    }

    /// The texts whose contrast with what is behind them is below 4.5 to 1, which WCAG 2.2 asks for at level AA.
    pub async fn low_contrast(&mut self) -> Value {
        let script = r"(() => {
        const rgb = (text) => text.match(/[\d.]+/g).map(Number);
        const light = ([r, g, b]) => {
            const part = (it) => (it /= 255) <= 0.04045 ? it / 12.92 : ((it + 0.055) / 1.055) ** 2.4;
            return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
        };
        const behind = (it) => {
            for (; it; it = it.parentElement) {
                const colour = rgb(getComputedStyle(it).backgroundColor);
                if (colour.length === 3 || colour[3] === 1) return colour;
            }
            return [255, 255, 255];
        };
        // A row that has just changed fades from another colour, which is that of a tag.
        for (const it of document.getAnimations()) it.cancel();
        const words = (it) => [...it.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
        return [...document.querySelectorAll('body *')].filter(words).flatMap((it) => {
            const [a, b] = [light(rgb(getComputedStyle(it).color)), light(behind(it))];
            const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
            return ratio < 4.5 ? [`${it.outerHTML.slice(0, 80)}: ${ratio.toFixed(2)}`] : [];
        });
    })()";
        self.value(script).await
    }

    /// How many controls have no name that a screen reader could read.
    pub async fn nameless(&mut self) -> Value {
        let script = "[...document.querySelectorAll('button, select, input, [tabindex]')].filter(it => \
            !(it.textContent.trim() && it.tagName === 'BUTTON') && !it.labels?.length && !it.ariaLabel && \
            !it.getAttribute('aria-labelledby')).length";
        self.value(script).await
    }

    /// The elements that reach beyond a window of this width.
    pub async fn wider_than(&mut self, width: u32) -> Value {
        let script = format!(
            "[...document.querySelectorAll('body *')].filter(it => !it.classList.contains('hidden') && \
             !it.closest('.scroll') && it.getBoundingClientRect().right > {width}.5).map(it => it.outerHTML.slice(0, 80))"
        );
        self.value(&script).await
    }
}

/// What a message says that the page complains about.
fn complaint(message: &Value) -> Option<String> {
    let params = &message["params"];
    let is_bad = match message["method"].as_str()? {
        "Runtime.exceptionThrown" => true,
        "Runtime.consoleAPICalled" => matches!(params["type"].as_str(), Some("error" | "warning")),
        "Log.entryAdded" => matches!(params["entry"]["level"].as_str(), Some("error" | "warning")),
        _ => false,
    };
    is_bad.then(|| params.to_string())
}

/// Where Chromium says that it listens: `127.0.0.1:PORT` and a path. What it says afterwards is read and dropped, so
/// that it never waits for a reader.
async fn address(stderr: ChildStderr) -> (String, String) {
    let (told, hears) = oneshot::channel();
    std::thread::spawn(move || {
        let mut told = Some(told);
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            let Some((_, address)) = line.split_once("DevTools listening on ws://") else {
                continue;
            };
            if let Some(told) = told.take() {
                let _ = told.send(address.trim().to_owned());
            }
        }
    });
    let address = hears.await.expect("Chromium listens");
    let (host, path) = address.split_once('/').expect("a path");
    (host.to_owned(), path.to_owned())
}
