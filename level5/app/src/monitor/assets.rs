//! The page's files, compiled in: the program needs no folder beside it.
#![expect(clippy::disallowed_macros, reason = "these files belong to this package")]

/// A file that the server sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Asset {
    /// Where it is on the server.
    pub(super) path: &'static str,
    /// Its `Content-Type`.
    pub(super) kind: &'static str,
    /// Its content.
    pub(super) text: &'static str,
}

macro_rules! asset {
    ($path:literal, $kind:literal, $file:literal) => {
        Asset { path: $path, kind: $kind, text: include_str!(concat!("../../assets/", $file)) }
    };
}

/// Every file of the page.
pub(super) const ASSETS: &[Asset] = &[
    asset!("/", "text/html; charset=utf-8", "monitor.html"),
    asset!("/monitor.css", "text/css; charset=utf-8", "monitor.css"),
    asset!("/monitor.js", "text/javascript; charset=utf-8", "monitor.js"),
    asset!("/icon.svg", "image/svg+xml", "icon.svg"),
];
