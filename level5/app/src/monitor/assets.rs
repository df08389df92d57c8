//! The page's files, compiled in: the program needs no folder beside it.
#![expect(clippy::disallowed_macros, reason = "these files belong to this package")]

use page_kit::Asset;

/// Every file of the page.
pub(super) const ASSETS: &[Asset] = &[
    Asset::html("/", include_str!("../../assets/monitor.html")),
    Asset::css("/monitor.css", include_str!("../../assets/monitor.css")),
    Asset::js("/monitor.js", include_str!("../../assets/monitor.js")),
    Asset::svg("/icon.svg", include_str!("../../assets/icon.svg")),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_needs_no_network_and_has_what_it_imports() {
        // Its charts are drawings of the program itself; texts of events are set as text.
        assert_eq!(page_kit::faults(ASSETS), ["/monitor.js: innerHTML"]);
    }
}
