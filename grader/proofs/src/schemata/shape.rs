//! A source file as the functions in it and the rest, and what a changed file does to them.
use std::ops::Range;

use syn::spanned::Spanned as _;
use syn::{Block, ImplItem, Item, ReturnType, Signature, TraitItem};

use crate::planted::tokens::{Token, text, tokens};

/// A source file, read as Rust.
#[derive(Debug)]
pub(super) struct Shape {
    source: String,
    /// The inner attributes of the file.
    header: String,
    nodes: Vec<Node>,
}

/// An item.
#[derive(Debug)]
struct Node {
    /// The tokens that the node must share with its counterpart: all but a function's body and the items
    /// within braces.
    key: String,
    /// Its bytes, with attributes and doc comments.
    at: Range<usize>,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// A function whose body can have several versions.
    Function(Range<usize>),
    /// An `impl` block, a trait or a module: its items.
    Container(Vec<Node>),
    /// Anything else. It has one version.
    Whole,
}

/// One thing that a changed file does otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// Another body of a function.
    Body {
        /// The bytes of the reference's body, with its braces.
        at: Range<usize>,
        /// The other body, with its braces.
        text: String,
    },
    /// One more item.
    Added {
        /// Where it is inserted in the reference.
        at: usize,
        /// The item.
        text: String,
        /// Its tokens.
        tokens: String,
        /// What two items of one scope cannot share: `fn helper`.
        head: String,
        /// Where its scope begins in the reference.
        scope: usize,
    },
}

impl Shape {
    /// Reads a source file; `None` when it is no Rust, which only the compiler can explain.
    pub(super) fn read(source: &str) -> Option<Shape> {
        let row = tokens(source).ok()?;
        let file = syn::parse_file(source).ok()?;
        let nodes: Vec<Node> = file.items.iter().map(|it| Node::of_item(it, &row)).collect();
        let start = nodes.first().map_or(source.len(), |node| node.at.start);
        Some(Shape { source: source.to_owned(), header: within(&row, 0..start), nodes })
    }

    /// What a changed file does otherwise; `None` when it does more than give functions other bodies and add
    /// items.
    pub(super) fn changes_of(&self, changed: &Shape) -> Option<Vec<Change>> {
        let mut changes = Vec::new();
        let same = self.header == changed.header
            && compare(
                &self.nodes,
                &changed.nodes,
                0,
                self.source.len(),
                changed,
                self,
                &mut changes,
            );
        same.then_some(changes)
    }
}

/// Adds to `changes` what `changed` does otherwise within one scope, which reaches from `scope` to `end` in
/// the reference. Whether that is all it does.
fn compare(
    reference: &[Node],
    changed: &[Node],
    scope: usize,
    end: usize,
    of: &Shape,
    from: &Shape,
    changes: &mut Vec<Change>,
) -> bool {
    let mut open = reference.iter().peekable();
    for node in changed {
        let Some(same) = open.next_if(|it| it.key == node.key) else {
            let at = open.peek().map_or(end, |next| next.at.start);
            let text = of.source[node.at.clone()].to_owned();
            let Some(row) = tokens(&text).ok() else { return false };
            if drops_what_is_there(&row, from) {
                return false;
            }
            let (tokens, head) = (crate::planted::tokens::text(&row), head(&row));
            changes.push(Change::Added { at, text, tokens, head, scope });
            continue;
        };
        match (&same.kind, &node.kind) {
            (Kind::Function(was), Kind::Function(is)) => {
                let (old, new) = (&from.source[was.clone()], &of.source[is.clone()]);
                let tokens = |source| tokens(source).map(|row| text(&row)).unwrap_or_default();
                if old != new && tokens(old) != tokens(new) {
                    changes.push(Change::Body { at: was.clone(), text: new.to_owned() });
                }
            }
            (Kind::Container(was), Kind::Container(is)) => {
                // Before its closing brace.
                let end = same.at.end - 1;
                if !compare(was, is, same.at.start, end, of, from, changes) {
                    return false;
                }
            }
            _ => {}
        }
    }
    open.next().is_none()
}

/// Whether an item is an `impl Drop` for a type of the reference: it would run in every solution of the tree.
fn drops_what_is_there(item: &[Token], reference: &Shape) -> bool {
    let words: Vec<&str> = item.iter().map(|token| token.text.as_str()).collect();
    let ours = |name: &str| {
        let made = ["struct", "enum"].map(|kind| format!("{kind} {name} "));
        let keys = reference.nodes.iter().map(|node| format!("{} ", node.key));
        keys.into_iter().any(|key| made.iter().any(|made| key.contains(made)))
    };
    words.first() == Some(&"impl")
        && words.windows(3).any(|words| words[0] == "Drop" && words[1] == "for" && ours(words[2]))
}

/// What an item is called: its tokens up to its body, its type or its value.
fn head(row: &[Token]) -> String {
    let is_use = row.iter().take(4).any(|token| token.text == "use");
    let ends =
        |token: &&Token| is_use || !matches!(token.text.as_str(), "{" | "(" | "=" | ";" | ":");
    let head: Vec<Token> = row.iter().take_while(ends).cloned().collect();
    text(&head)
}

impl Node {
    fn of_item(item: &Item, row: &[Token]) -> Node {
        let at = item.span().byte_range();
        match item {
            Item::Fn(item) => Node::of_function(at, &item.sig, Some(&item.block), row),
            Item::Impl(item) => {
                let nodes = item.items.iter().map(|inner| {
                    let at = inner.span().byte_range();
                    match inner {
                        ImplItem::Fn(inner) => {
                            Node::of_function(at, &inner.sig, Some(&inner.block), row)
                        }
                        _ => Node::whole(at, row),
                    }
                });
                let open = item.brace_token.span.open().byte_range().start;
                Node::container(at, open, nodes.collect(), row)
            }
            Item::Trait(item) => {
                let nodes = item.items.iter().map(|inner| {
                    let at = inner.span().byte_range();
                    match inner {
                        TraitItem::Fn(inner) => {
                            Node::of_function(at, &inner.sig, inner.default.as_ref(), row)
                        }
                        _ => Node::whole(at, row),
                    }
                });
                let open = item.brace_token.span.open().byte_range().start;
                Node::container(at, open, nodes.collect(), row)
            }
            Item::Mod(item) => match &item.content {
                Some((brace, items)) => {
                    let nodes = items.iter().map(|inner| Node::of_item(inner, row)).collect();
                    let open = brace.span.open().byte_range().start;
                    Node::container(at, open, nodes, row)
                }
                None => Node::whole(at, row),
            },
            _ => Node::whole(at, row),
        }
    }

    fn of_function(
        at: Range<usize>,
        signature: &Signature,
        block: Option<&Block>,
        row: &[Token],
    ) -> Node {
        match block {
            Some(block) if has_versions(signature) => {
                let block = block.span().byte_range();
                let key = within(row, at.start..block.start);
                Node { key, at, kind: Kind::Function(block) }
            }
            _ => Node::whole(at, row),
        }
    }

    fn container(at: Range<usize>, open: usize, nodes: Vec<Node>, row: &[Token]) -> Node {
        Node { key: within(row, at.start..open), at, kind: Kind::Container(nodes) }
    }

    fn whole(at: Range<usize>, row: &[Token]) -> Node {
        Node { key: within(row, at.clone()), at, kind: Kind::Whole }
    }
}

/// Whether the versions of a function can stand beside one another. A `const fn` cannot choose at run time,
/// and with `-> impl Trait` each version returns a type of its own.
fn has_versions(signature: &Signature) -> bool {
    let opaque = match &signature.output {
        ReturnType::Default => false,
        ReturnType::Type(_, ty) => {
            let row = quote::ToTokens::to_token_stream(ty).to_string();
            row.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == "impl")
        }
    };
    signature.constness.is_none() && !opaque
}

/// The tokens of some bytes.
fn within(row: &[Token], at: Range<usize>) -> String {
    let start = row.partition_point(|token| token.at.start < at.start);
    let end = row.partition_point(|token| token.at.end <= at.end);
    text(&row[start..end.max(start)])
}
