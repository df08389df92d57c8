//! The page's files, compiled in: the program needs no folder beside it.
#![expect(clippy::disallowed_macros, reason = "these files belong to this package")]

use page_kit::Asset;

/// Every file of the page.
pub(crate) const ASSETS: &[Asset] = &[
    Asset::html("/", include_str!("../assets/notifier.html")),
    Asset::css("/notifier.css", include_str!("../assets/notifier.css")),
    Asset::svg("/icon.svg", include_str!("../assets/icon.svg")),
    Asset::js("/notifier.js", include_str!("../assets/notifier.js")),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_needs_no_network_and_has_what_it_imports() {
        assert!(page_kit::faults(ASSETS).is_empty(), "{:?}", page_kit::faults(ASSETS));
    }
}
