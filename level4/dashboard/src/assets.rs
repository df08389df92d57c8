//! The page's files, compiled in: the program needs no folder beside it.
#![expect(clippy::disallowed_macros, reason = "these files belong to this package")]

use page_kit::Asset;

/// Every file of the page.
pub const ASSETS: &[Asset] = &[
    Asset::html("/", include_str!("../assets/index.html")),
    Asset::css("/style.css", include_str!("../assets/style.css")),
    Asset::svg("/icon.svg", include_str!("../assets/icon.svg")),
    Asset::js("/page.js", include_str!("../assets/page.js")),
    Asset::js("/dom.js", include_str!("../assets/dom.js")),
    Asset::js("/overview.js", include_str!("../assets/overview.js")),
    Asset::js("/live.js", include_str!("../assets/live.js")),
    Asset::js("/search.js", include_str!("../assets/search.js")),
    Asset::js("/history.js", include_str!("../assets/history.js")),
    Asset::js("/faults.js", include_str!("../assets/faults.js")),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_needs_no_network_and_has_what_it_imports() {
        assert!(page_kit::faults(ASSETS).is_empty(), "{:?}", page_kit::faults(ASSETS));
    }
}
