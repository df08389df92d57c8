//! The chapters of `level1/lessons`: one for each exercise, an opening and a closing one.
//!
//! Begin with [`contents`]. The modules here hold no code; they exist so that the Rust in the chapters
//! is compiled and run by `cargo test -p level1 --doc`.

// A chapter refers to the others, and to the exercises, with reference links such as
// `[promise][lesson-promise]`. Each Markdown file defines its links at its end, as paths, for readers of
// the repository. In the documentation these paths lead nowhere, so every page begins with definitions
// that name modules: where a link is defined twice, the first definition counts.
macro_rules! chapters {
    ($($name:ident: $file:literal,)+) => {
        $(
            #[doc = "[lesson-start]: mod@crate::lessons::async_for_javascript_developers"]
            #[doc = "[lesson-errors]: mod@crate::lessons::errors"]
            #[doc = "[lesson-sequential]: mod@crate::lessons::sequential"]
            #[doc = "[lesson-parallel]: mod@crate::lessons::parallel"]
            #[doc = "[lesson-combinators]: mod@crate::lessons::combinators"]
            #[doc = "[lesson-callbacks]: mod@crate::lessons::callbacks"]
            #[doc = "[lesson-promisify]: mod@crate::lessons::promisify"]
            #[doc = "[lesson-promise]: mod@crate::lessons::promise"]
            #[doc = "[lesson-pages]: mod@crate::lessons::pages"]
            #[doc = "[lesson-background]: mod@crate::lessons::background"]
            #[doc = "[lesson-transport]: mod@crate::lessons::transport"]
            #[doc = "[lesson-closing]: mod@crate::lessons::closing"]
            #[doc = "[module-errors]: mod@crate::errors"]
            #[doc = "[module-async-await]: mod@crate::async_await"]
            #[doc = "[module-combinators]: mod@crate::combinators"]
            #[doc = "[module-callbacks]: mod@crate::callbacks"]
            #[doc = "[module-promisify]: mod@crate::promisify"]
            #[doc = "[module-promise]: mod@crate::promise"]
            #[doc = "[module-pages]: mod@crate::pages"]
            #[doc = "[module-background]: mod@crate::background"]
            #[doc = "[module-transport]: mod@crate::transport"]
            #[doc = ""]
            #[doc = include_str!(concat!("../lessons/", $file))]
            pub mod $name {}
        )+
    };
}

chapters! {
    contents: "README.md",
    async_for_javascript_developers: "async-for-javascript-developers.md",
    errors: "errors.md",
    sequential: "sequential.md",
    parallel: "parallel.md",
    combinators: "combinators.md",
    callbacks: "callbacks.md",
    promisify: "promisify.md",
    promise: "promise.md",
    pages: "pages.md",
    background: "background.md",
    transport: "transport.md",
    closing: "closing.md",
}
