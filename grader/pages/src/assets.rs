//! The files of a page, compiled into the program: it needs no folder beside it.

use std::future::ready;

use axum::Router;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS,
};
use axum::middleware::map_response;
use axum::response::Response;
use axum::routing::get;

/// A file that the server sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asset {
    /// Where it is on the server.
    pub path: &'static str,
    /// Its `Content-Type`.
    pub kind: &'static str,
    /// Its content.
    pub text: &'static str,
}

impl Asset {
    /// An HTML file.
    #[must_use]
    pub const fn html(path: &'static str, text: &'static str) -> Self {
        Self { path, kind: "text/html; charset=utf-8", text }
    }

    /// A style sheet.
    #[must_use]
    pub const fn css(path: &'static str, text: &'static str) -> Self {
        Self { path, kind: "text/css; charset=utf-8", text }
    }

    /// A script.
    #[must_use]
    pub const fn js(path: &'static str, text: &'static str) -> Self {
        Self { path, kind: "text/javascript; charset=utf-8", text }
    }

    /// A picture.
    #[must_use]
    pub const fn svg(path: &'static str, text: &'static str) -> Self {
        Self { path, kind: "image/svg+xml", text }
    }
}

/// Returns the routes of the files.
pub fn files<S: Clone + Send + Sync + 'static>(assets: &[Asset]) -> Router<S> {
    assets.iter().fold(Router::new(), |router, asset| {
        let file = ([(CONTENT_TYPE, asset.kind)], asset.text);
        router.route(asset.path, get(move || ready(file)))
    })
}

/// Adds the headers of a page to all answers: it loads nothing from other places, no other page may hold it in a frame,
/// and a browser asks for its files each time.
pub fn protected<S: Clone + Send + Sync + 'static>(routes: Router<S>) -> Router<S> {
    routes.layer(map_response(protects))
}

async fn protects(mut answer: Response) -> Response {
    let headers = answer.headers_mut();
    let policy = "default-src 'self'; frame-ancestors 'none'";
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// For tests: what is wrong in the files, as `PATH: WHAT`. A page loads nothing from the network, writes no HTML from
/// data, and has every file that one of its scripts imports.
#[must_use]
pub fn faults(assets: &[Asset]) -> Vec<String> {
    let mut faults = Vec::new();
    for Asset { path, text, .. } in assets {
        // The name space of SVG is a name, and is not loaded.
        let loads = text.replace("http://www.w3.org/2000/svg", "");
        let words = ["http://", "https://", "@import", "eval(", "innerHTML"];
        let found = words.iter().filter(|word| loads.contains(**word));
        faults.extend(found.map(|word| format!("{path}: {word}")));
        for rest in text.split("from \"./").skip(1) {
            let name = format!("/{}", rest.split('"').next().unwrap_or_default());
            if !assets.iter().any(|it| it.path == name) {
                faults.push(format!("{path}: imports {name}"));
            }
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_page_must_not_have_is_found() {
        let page = Asset::html("/", "<svg xmlns=\"http://www.w3.org/2000/svg\"/>");
        let imports = "import { a } from \"./b.js\";\nit.innerHTML = \"https://example.com\";";
        let script = Asset::js("/a.js", imports);
        assert!(faults(&[page]).is_empty());
        let expected = ["/a.js: https://", "/a.js: innerHTML", "/a.js: imports /b.js"];
        assert_eq!(faults(&[page, script]), expected);
        let other = Asset::js("/b.js", "");
        assert_eq!(faults(&[script, other]), expected[..2]);
    }
}
