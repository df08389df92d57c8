//! The page's files, compiled in: the program needs no folder beside it.
#![expect(clippy::disallowed_macros, reason = "these files belong to this package")]

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

macro_rules! asset {
    ($path:literal, $kind:literal, $file:literal) => {
        Asset { path: $path, kind: $kind, text: include_str!(concat!("../assets/", $file)) }
    };
}

/// Every file of the page.
pub const ASSETS: &[Asset] = &[
    asset!("/", "text/html; charset=utf-8", "form.html"),
    asset!("/form.css", "text/css; charset=utf-8", "form.css"),
    asset!("/icon.svg", "image/svg+xml", "icon.svg"),
    asset!("/form.js", "text/javascript; charset=utf-8", "form.js"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_needs_no_network() {
        for Asset { path, text, .. } in ASSETS {
            // The name space of SVG is a name, and is not loaded.
            let text = text.replace("http://www.w3.org/2000/svg", "");
            for word in ["http://", "https://", "@import", "eval(", "innerHTML"] {
                assert!(!text.contains(word), "{path}: {word}");
            }
        }
    }

    #[test]
    fn every_file_that_a_file_names_is_there() {
        let is_there = |name: &str| ASSETS.iter().any(|it| it.path == name);
        for Asset { path, text, .. } in ASSETS {
            for rest in text.split("from \"./").skip(1) {
                let name = format!("/{}", rest.split('"').next().unwrap_or_default());
                assert!(is_there(&name), "{path} imports {name}");
            }
        }
    }
}
