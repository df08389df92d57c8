//! Files that need each other.

use super::{Source, blank};

/// The blanks of files that are given as path and text; a path that begins with `!` is given by
/// the course.
fn blanks(files: &[(&str, &str)]) -> Vec<Option<String>> {
    let sources: Vec<_> = files
        .iter()
        .map(|(path, text)| Source {
            path: path.trim_start_matches('!').to_owned(),
            text: (*text).to_owned(),
            given: path.starts_with('!'),
        })
        .collect();
    let blanks = blank(&sources).unwrap_or_else(|it| panic!("{}: {}", it.path, it.cause));
    blanks.into_iter().map(|(_, text)| text).collect()
}

fn assert_blanks(files: &[(&str, &str)], expected: &[Option<&str>]) {
    let found = blanks(files);
    let found: Vec<_> = found.iter().map(Option::as_deref).collect();
    assert_eq!(found, expected);
}

#[test]
fn items_of_the_crate_stay_where_another_file_that_stays_names_them() {
    assert_blanks(
        &[
            ("src/lib.rs", "pub mod a;\npub mod b;\n"),
            (
                "src/a.rs",
                "pub(crate) struct Named;\npub(crate) struct Unnamed;\nimpl Named {\n    \
                 pub(crate) fn f() {}\n}\n",
            ),
            (
                "src/b.rs",
                "use crate::a::{Named, Unnamed};\npub(crate) fn f(_: Unnamed) {}\n\
                 pub trait T {\n    type X;\n}\nimpl T for u8 {\n    type X = Named;\n}\n",
            ),
        ],
        &[
            Some("pub mod a;\npub mod b;\n"),
            Some("pub(crate) struct Named;\n"),
            Some(
                "use crate::a::Named;\npub trait T {\n    type X;\n}\nimpl T for u8 {\n    \
                 type X = Named;\n}\n",
            ),
        ],
    );
}

#[test]
fn given_files_name_things_too() {
    assert_blanks(
        &[
            ("!src/lib.rs", "pub mod a;\nmod b;\nfn f() {\n    crate::a::needed();\n}\n"),
            ("src/a.rs", "pub(crate) fn needed() {}\npub(crate) fn other() {}\n"),
            ("src/b.rs", "pub fn unused() {}\n"),
        ],
        // A given file keeps its declarations, so the module behind one has to stay.
        &[Some("pub(crate) fn needed() {\n    todo!()\n}\n"), Some("")],
    );
}

#[test]
fn a_program_names_nothing_private_of_the_library() {
    assert_blanks(
        &[
            ("!src/lib.rs", "pub mod a;\n"),
            ("!src/main.rs", "mod b;\nfn main() {\n    b::write();\n}\n"),
            ("!src/b.rs", "pub(crate) fn write() {}\n"),
            ("src/a.rs", "pub(crate) fn write() {}\npub fn read() {}\n"),
        ],
        &[Some("pub fn read() {\n    todo!()\n}\n")],
    );
}

#[test]
fn what_the_parent_module_sees_is_named_there_or_nowhere() {
    assert_blanks(
        &[
            ("!src/lib.rs", "pub mod a;\npub mod b;\n"),
            ("!src/b.rs", "fn f() {\n    anything::help();\n    x.more();\n}\n"),
            ("src/a/mod.rs", "pub mod tools;\npub struct S;\n"),
            (
                "src/a/tools.rs",
                "use super::S;\npub(super) fn help() {}\nimpl S {\n    pub(super) fn more(&self) \
                 {}\n    pub fn most(&self) {}\n}\n",
            ),
        ],
        &[
            Some("pub mod tools;\npub struct S;\n"),
            Some("use super::S;\nimpl S {\n    pub fn most(&self) {\n        todo!()\n    }\n}\n"),
        ],
    );
}

#[test]
fn a_private_module_goes_with_its_declaration_when_nothing_is_left_of_it() {
    assert_blanks(
        &[
            (
                "src/lib.rs",
                "mod deep;\nmod kept;\nmod tools;\n\npub use kept::Kept;\n\n\
                 pub fn f() {\n    tools::help();\n}\n",
            ),
            ("src/deep/inner.rs", "pub fn more() {}\n"),
            ("src/deep/mod.rs", "//! Deep.\nmod inner;\n"),
            (
                "src/kept.rs",
                "pub struct Kept;\nimpl Kept {\n    pub fn f(&self) {}\n}\npub struct Other;\n",
            ),
            ("src/tools.rs", "//! Help.\nuse std::sync::Arc;\npub fn help(_: Arc<u8>) {}\n"),
        ],
        &[
            Some("mod kept;\n\npub use kept::Kept;\n\npub fn f() {\n    todo!()\n}\n"),
            None,
            None,
            Some(
                "pub struct Kept;\nimpl Kept {\n    pub fn f(&self) {\n        todo!()\n    }\n}\n",
            ),
            None,
        ],
    );
}

#[test]
fn the_same_name_in_another_module_is_another_item() {
    let two = "pub(super) struct Verdict;\n";
    assert_blanks(
        &[
            ("src/lib.rs", "mod one;\nmod two;\npub use one::{Verdict, ask};\n"),
            ("src/one/deep.rs", "pub(super) fn g(_: super::Hidden) {}\n"),
            (
                "src/one/mod.rs",
                "mod deep;\npub struct Verdict;\npub fn ask() -> Verdict {\n    Verdict\n}\n\
                 pub(crate) struct Hidden;\n",
            ),
            ("src/two.rs", two),
        ],
        &[
            Some("mod one;\npub use one::{Verdict, ask};\n"),
            None,
            Some("pub struct Verdict;\npub fn ask() -> Verdict {\n    todo!()\n}\n"),
            None,
        ],
    );
}

#[test]
fn super_and_self_lead_to_the_right_file() {
    let deep =
        "impl super::Above for super::super::Top {}\nimpl self::Own for u8 {}\ntrait Own {}\n";
    assert_blanks(
        &[
            ("src/a/deep.rs", deep),
            ("src/a/mod.rs", "mod deep;\npub(crate) trait Above {}\npub(crate) struct Top;\n"),
            ("src/lib.rs", "pub mod a;\npub(crate) struct Top;\npub(crate) struct Above;\n"),
        ],
        &[
            Some("impl super::Above for super::super::Top {}\n"),
            Some("mod deep;\npub(crate) trait Above {}\n"),
            Some("pub mod a;\npub(crate) struct Top;\n"),
        ],
    );
}

#[test]
fn what_is_re_exported_by_a_star_stays() {
    assert_blanks(
        &[
            ("src/lib.rs", "mod here;\nmod there;\npub use here::Kept;\npub use self::there::*;\n"),
            ("src/here/deep.rs", "pub struct Kept;\npub struct Other;\n"),
            ("src/here/mod.rs", "mod deep;\npub use self::deep::*;\n"),
            ("src/there.rs", "pub fn unnamed() {}\n"),
        ],
        &[
            Some("mod here;\nmod there;\npub use here::Kept;\npub use self::there::*;\n"),
            Some("pub struct Kept;\n"),
            Some("mod deep;\npub use self::deep::*;\n"),
            Some("pub fn unnamed() {\n    todo!()\n}\n"),
        ],
    );
}

#[test]
fn documentation_of_a_private_module_goes() {
    let text = "//! A lock around a map.\n//!\n//! More.\n\npub struct Kept;\n";
    let marked = text.replace("More.\n", "More.\n// starter: doc What is kept.\n");
    assert_blanks(
        &[
            (
                "src/lib.rs",
                "mod kept;\nmod marked;\npub mod open;\npub use kept::Kept;\npub use marked::Kept as B;\n",
            ),
            ("src/kept.rs", text),
            ("src/marked.rs", &marked),
            ("src/open.rs", text),
        ],
        &[
            Some(
                "mod kept;\nmod marked;\npub mod open;\npub use kept::Kept;\npub use marked::Kept as B;\n",
            ),
            Some("pub struct Kept;\n"),
            Some("//! What is kept.\n\npub struct Kept;\n"),
            Some(text),
        ],
    );
}

#[test]
fn tests_stay_that_use_only_what_stays() {
    let lib = "use std::time::Duration;\n\npub fn f() {}\n\nfn helper() -> Duration {\n    \
               Duration::ZERO\n}\n\n#[cfg(test)]\nmod private;\n#[cfg(test)]\nmod public;\n";
    let public = "mod more;\n\nuse super::*;\n\n#[test]\nfn g() {\n    f();\n    \
                  let _ = Duration::ZERO;\n}\n";
    let more = "#[test]\nfn g() {\n    crate::f();\n}\n";
    assert_blanks(
        &[
            ("src/lib.rs", lib),
            ("src/private.rs", "use super::*;\n\n#[test]\nfn g() {\n    helper();\n}\n"),
            ("src/public.rs", public),
            ("src/public/more.rs", more),
        ],
        &[
            Some("pub fn f() {\n    todo!()\n}\n\n#[cfg(test)]\nmod public;\n"),
            None,
            Some(&public.replace("use super", "use std::time::Duration;\n\nuse super")),
            Some(more),
        ],
    );
}

#[test]
fn tests_go_with_what_they_import() {
    let test = "use crate::tools::Tool;\n\n#[test]\nfn g() {\n    Tool::take();\n}\n";
    assert_blanks(
        &[
            ("src/lib.rs", "mod tools;\n\npub fn f() {}\n\n#[cfg(test)]\nmod tests;\n"),
            ("src/tests.rs", test),
            ("src/tools.rs", "pub(crate) struct Tool;\nimpl Tool {\n    pub fn take() {}\n}\n"),
        ],
        &[Some("pub fn f() {\n    todo!()\n}\n"), None, None],
    );
}

#[test]
fn files_of_tests_that_go_are_not_blanked() {
    assert_blanks(
        &[
            ("src/lib.rs", "pub fn f() {}\nfn g() {}\n\n#[cfg(test)]\nmod tests;\n"),
            ("src/tests.rs", "mod more;\npub fn no_stand_in() -> impl Own {\n    super::g()\n}\n"),
            ("src/tests/more.rs", "pub fn neither() -> impl Own {}\n"),
        ],
        &[Some("pub fn f() {\n    todo!()\n}\n"), None, None],
    );
}

#[test]
fn a_private_module_with_an_implementation_stays() {
    let text = "impl std::fmt::Debug for crate::A {}\n";
    let lib = "mod shown;\n\npub struct A;\n";
    assert_blanks(&[("src/lib.rs", lib), ("src/shown.rs", text)], &[Some(lib), Some(text)]);
}

#[test]
fn a_constant_of_another_file_keeps_what_computes_it() {
    let limits = "pub const fn limit() -> u32 {\n    7\n}\n";
    let lib = "pub mod limits;\npub const LIMIT: u32 = limits::limit();\n";
    assert_blanks(&[("src/lib.rs", lib), ("src/limits.rs", limits)], &[Some(lib), Some(limits)]);
}

#[test]
fn programs_keep_their_main() {
    assert_blanks(
        &[
            ("src/bin/tool.rs", "fn main() {\n    help();\n}\n\nfn help() {}\n"),
            ("src/lib.rs", "fn main() {}\n"),
            ("src/main.rs", "fn main() {}\n"),
        ],
        &[Some("fn main() {\n    todo!()\n}\n"), Some(""), Some("fn main() {\n    todo!()\n}\n")],
    );
}

#[test]
fn the_file_that_cannot_be_blanked_is_named() {
    let source = |path: &str, text: &str| Source {
        path: path.to_owned(),
        text: text.to_owned(),
        given: false,
    };
    let sources = [source("src/lib.rs", "pub mod a;\n"), source("src/a.rs", "fn (\n")];
    let failure = blank(&sources).unwrap_err();
    assert_eq!(failure.path, "src/a.rs");
}
