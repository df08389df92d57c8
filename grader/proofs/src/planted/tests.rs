use grader::submission::Files;

use super::edit::{Edit, EditError, Reference};
use super::header::Header;
use super::tokens::{text, tokens};

const SOURCE: &str = r#"//! A counter.
use std::fmt;

/// Counts.
pub struct Counter<T> {
    most: u64, // never 0
    seen: T,
}

impl<T> Counter<T> {
    /// Adds one.
    fn add(&mut self, count: &mut u64) -> bool {
        // Counts first.
        *count += 1;
        *count >= /* as the assignment says */ self.most
    }

    fn most(&self) -> u64 {
        self.most
    }
}

impl<T> fmt::Display for Counter<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.most)
    }
}

impl From<u8> for Counter<u8> {
    fn from(most: u8) -> Self {
        struct Guard;
        impl Drop for Guard {
            fn drop(&mut self) {}
        }
        Self { most: most.into(), seen: 0 }
    }
}

impl From<u16> for Counter<u8> {
    fn from(most: u16) -> Self {
        Self { most: most.into(), seen: 1 }
    }
}

mod inner {
    pub(super) const MOST: u64 = 7;
}
"#;

/// The source after the edits of a description.
fn edited(edits: &str) -> Result<String, EditError> {
    let edits: Vec<Edit> = Header::read(&format!("why = \"a test\"\n{edits}"), false)
        .unwrap_or_else(|what| panic!("{what}"))
        .edits;
    let mut files = Files::default();
    files.insert("src/counter.rs", SOURCE);
    let files = Reference::new(files).edited(&edits)?;
    let bytes = files.get("src/counter.rs").expect("the file is still there");
    Ok(String::from_utf8_lossy(bytes).into_owned())
}

fn edit(rest: &str) -> String {
    format!("[[edit]]\nfile = \"src/counter.rs\"\n{rest}\n")
}

/// The edits make the tokens of `SOURCE` with `old` replaced by `new`.
#[track_caller]
fn becomes(edits: &str, old: &str, new: &str) {
    assert_eq!(SOURCE.matches(old).count(), 1, "{old}");
    let row = |source: &str| text(&tokens(source).expect("Rust"));
    let edited = edited(edits).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(row(&edited), row(&SOURCE.replace(old, new)));
}

#[track_caller]
fn refused(edits: &str, says: &str) {
    let error = edited(edits).expect_err("it does not fit").to_string();
    assert!(error.contains(says), "{error}");
}

#[test]
fn comments_and_layout_between_tokens_do_not_count() {
    becomes(
        &edit(
            r#"item = "impl Counter / fn add"
find = "*count>=self . most"
replace = "*count > self.most""#,
        ),
        "*count >= /* as the assignment says */ self.most",
        "*count > self.most",
    );
    becomes(
        &edit(
            r#"item = "impl Counter / fn add"
find = "{ *count += 1; *count >= self.most }"
replace = "{ true }""#,
        ),
        "{\n        // Counts first.\n        *count += 1;\n        *count >= /* as the assignment says */ self.most\n    }",
        "{ true }",
    );
}

#[test]
fn doc_comments_are_no_tokens_but_attributes_are() {
    let row = tokens("//! a\n/// b\n#[doc = \"c\"]\n/** d */ fn e() { //! f\n }").expect("Rust");
    assert_eq!(text(&row), "# [ doc = \"c\" ] fn e ( ) { }");
}

#[test]
fn text_is_inserted_beside_tokens() {
    let item = r#"item = "impl Counter / fn add""#;
    becomes(
        &edit(&format!("{item}\nfind = \"*count += 1\"\nbefore = \"self.most += 1;\"")),
        "*count += 1;",
        "self.most += 1; *count += 1;",
    );
    becomes(
        &edit(&format!("{item}\nfind = \"*count += 1\"\nafter = \"+ 1\"")),
        "*count += 1;",
        "*count += 1 + 1;",
    );
}

#[test]
fn text_is_inserted_at_either_end_of_an_item_and_at_the_end_of_the_file() {
    becomes(
        &edit("item = \"impl Counter / fn add\"\nprepend = \"*count = 0;\""),
        "*count += 1;",
        "*count = 0; *count += 1;",
    );
    becomes(
        &edit("item = \"struct Counter\"\nappend = \"more: bool,\""),
        "seen: T,",
        "seen: T, more: bool,",
    );
    becomes(
        &edit("item = \"impl Counter\"\nappend = \"fn none(&self) {}\""),
        "self.most\n    }\n}\n\nimpl<T> fmt",
        "self.most\n    }\n fn none(&self) {} }\n\nimpl<T> fmt",
    );
    becomes(
        &edit("append = \"use std::sync::Arc;\""),
        "pub(super) const MOST: u64 = 7;\n}",
        "pub(super) const MOST: u64 = 7;\n} use std::sync::Arc;",
    );
    refused(&edit("item = \"mod inner / const MOST\"\nappend = \"x\""), "has no braces");
}

#[test]
fn tokens_items_and_imports_are_deleted() {
    becomes(&edit("find = \"use std::fmt;\"\nreplace = \"\""), "use std::fmt;\n", "");
    becomes(
        &edit("item = \"impl Counter / fn most\"\nreplace = \"\""),
        "fn most(&self) -> u64 {\n        self.most\n    }",
        "",
    );
    becomes(
        &edit("item = \"mod inner / const MOST\"\nreplace = \"\""),
        "pub(super) const MOST: u64 = 7;",
        "",
    );
}

#[test]
fn an_impl_block_is_named_with_or_without_its_generics() {
    for item in ["impl Display for Counter", "impl fmt::Display for Counter<T>"] {
        becomes(
            &edit(&format!("item = \"{item} / fn fmt\"\nfind = \"self.most\"\nreplace = \"0\"")),
            "\"{}\", self.most",
            "\"{}\", 0",
        );
    }
    becomes(
        &edit("item = \"impl From<u16> for Counter / fn from\"\nfind = \"1\"\nreplace = \"2\""),
        "seen: 1",
        "seen: 2",
    );
    refused(
        &edit("item = \"impl From for Counter\"\nreplace = \"\""),
        "has 2 items `impl From for Counter`, on lines 29, 39",
    );
}

#[test]
fn an_item_within_a_function_has_a_path() {
    becomes(
        &edit(
            "item = \"impl From<u8> for Counter / fn from / impl Drop for Guard / fn drop\"\nprepend = \"todo!();\"",
        ),
        "fn drop(&mut self) {}",
        "fn drop(&mut self) { todo!(); }",
    );
}

#[test]
fn every_edit_refers_to_the_reference() {
    let both = |second: &str| {
        let first =
            edit("item = \"impl Counter / fn most\"\nfind = \"self.most\"\nreplace = \"8\"");
        first + &edit(second)
    };
    becomes(
        &both("item = \"impl Counter / fn most\"\nfind = \"u64\"\nreplace = \"u32\""),
        "-> u64 {\n        self.most",
        "-> u32 { 8",
    );
    refused(&both("find = \"8\"\nreplace = \"9\""), "does not have the tokens `8`");
    refused(
        &both("item = \"impl Counter / fn most\"\nreplace = \"\""),
        "two edits of src/counter.rs change the same tokens, on line 19",
    );
}

#[test]
fn brackets_to_find_come_in_pairs() {
    refused(&edit("find = \"u8) -> Self\"\nreplace = \"\""), "each bracket needs its partner");
}

#[test]
fn a_missing_item_is_named_beside_those_that_look_like_it() {
    let error = edited(&edit("item = \"impl Count / fn add\"\nfind = \"1\"\nreplace = \"2\""))
        .expect_err("no such item")
        .to_string();
    assert!(error.contains("src/counter.rs has no item `impl Count / fn add`"), "{error}");
    assert!(error.contains("are `impl Counter / fn add`"), "{error}");
}

#[test]
fn missing_tokens_are_named_beside_what_comes_closest() {
    refused(
        &edit(
            "item = \"impl Counter / fn add\"\nfind = \"*count >= self.limit\"\nreplace = \"true\"",
        ),
        "`impl Counter / fn add` of src/counter.rs does not have the tokens `*count >= self.limit`; line 15 \
         comes closest: it has `*count >= self.` and then `most` instead of `limit`",
    );
}

#[test]
fn tokens_that_stand_there_twice_are_refused_with_their_lines() {
    refused(
        &edit("item = \"impl Counter / fn add\"\nfind = \"*count\"\nreplace = \"1\""),
        "has the tokens `*count` 2 times, on lines 14, 15",
    );
}

#[test]
fn a_missing_file_is_named_beside_those_that_look_like_it() {
    refused(
        "[[edit]]\nfile = \"src/count.rs\"\nappend = \"\"",
        "there is no src/count.rs; the files with the most similar names are `src/counter.rs`",
    );
}

#[test]
fn keys_that_do_not_go_together_are_refused() {
    refused(&edit("replace = \"\""), "an edit of src/counter.rs needs `find`, or an `item`");
    refused(
        &edit("find = \"pub struct\"\nappend = \"\""),
        "one of `replace`, `before` and `after`",
    );
    assert!(Header::read("why = \"x\"\n[[edit]]\nfile = \"f\"\nline = 3", false).is_err());
}

#[test]
fn a_wrong_solution_says_what_fails_and_what_the_learner_is_told() {
    assert!(Header::read("why = \"x\"", true).is_err());
    assert!(Header::read("why = \"x\"\nfails = [\"level1\"]", true).is_err());
    assert!(Header::read("why = \"x\"\nfails = [\"level1\"]\nsays = \"y\"", true).is_ok());
    assert!(Header::read("why = \"x\"\nfails = [\"level1\"]\nsays = \"y\"", false).is_err());
}
