//! What can be counted in the source, from its syntax tree.

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use std::collections::BTreeSet;
use syn::visit::{self, Visit};
use syn::{Expr, ExprCall, ExprClosure, ExprMethodCall, ExprTry, File, Item, ItemFn, Macro};

/// The figures of one style.
pub struct Count {
    /// Lines that hold a token of the style's items, without comments, docs, `use` and attributes.
    pub lines: usize,
    /// The same for the function that does the load.
    pub entry_lines: usize,
    /// How many closures, blocks and matches lie around the innermost expression of the load.
    pub depth: usize,
    /// Places that say what to do about an error: `?`, `map_err` and the like, `Err(..)` in an
    /// expression or a pattern, and a macro or combinator that passes errors on.
    pub error_sites: usize,
}

/// Counts in a file what belongs to the function `entry`: all of it but the functions `others`.
/// `None` when there is no such function.
pub fn count(text: &str, entry: &str, others: &[&str]) -> syn::Result<Option<Count>> {
    let file: File = syn::parse_file(text)?;
    let (mut lines, mut errors, mut load) = (BTreeSet::new(), ErrorSites(0), None);
    for item in &file.items {
        match item {
            Item::Use(_) => continue,
            Item::Fn(function) if others.iter().any(|other| function.sig.ident == other) => {
                continue;
            }
            Item::Fn(function) if function.sig.ident == entry => load = Some(function),
            _ => {}
        }
        code_lines(item.to_token_stream(), &mut lines);
        errors.visit_item(item);
    }
    Ok(load.map(|load| Count {
        lines: lines.len(),
        entry_lines: {
            let mut lines = BTreeSet::new();
            code_lines(load.to_token_stream(), &mut lines);
            lines.len()
        },
        depth: depth(load),
        error_sites: errors.0,
    }))
}

/// The lines of all tokens, but for attributes, which is what doc comments are.
fn code_lines(stream: TokenStream, lines: &mut BTreeSet<usize>) {
    let mut trees = stream.into_iter().peekable();
    while let Some(tree) = trees.next() {
        let attribute = matches!(&tree, TokenTree::Punct(punct) if punct.as_char() == '#')
            && matches!(trees.peek(), Some(TokenTree::Group(_)));
        if attribute {
            trees.next();
            continue;
        }
        lines.insert(tree.span().start().line);
        if let TokenTree::Group(group) = tree {
            lines.insert(group.span_close().start().line);
            code_lines(group.stream(), lines);
        }
    }
}

fn depth(function: &ItemFn) -> usize {
    struct Depth {
        now: usize,
        most: usize,
    }
    impl Depth {
        fn within(&mut self, visit: impl FnOnce(&mut Self)) {
            self.now += 1;
            self.most = self.most.max(self.now);
            visit(self);
            self.now -= 1;
        }
    }
    impl<'ast> Visit<'ast> for Depth {
        fn visit_expr(&mut self, expr: &'ast Expr) {
            match expr {
                // A closure and the block that is its body are one level.
                Expr::Closure(ExprClosure { body, .. }) => self.within(|this| match &**body {
                    Expr::Block(block) => visit::visit_block(this, &block.block),
                    body => this.visit_expr(body),
                }),
                Expr::Match(_) | Expr::If(_) | Expr::Async(_) | Expr::Loop(_) | Expr::While(_) => {
                    self.within(|this| visit::visit_expr(this, expr));
                }
                _ => visit::visit_expr(self, expr),
            }
        }
    }
    let mut depth = Depth { now: 0, most: 0 };
    depth.visit_block(&function.block);
    depth.most
}

struct ErrorSites(usize);

impl<'ast> Visit<'ast> for ErrorSites {
    fn visit_expr_try(&mut self, expr: &'ast ExprTry) {
        self.0 += 1;
        visit::visit_expr_try(self, expr);
    }

    fn visit_expr_method_call(&mut self, call: &'ast ExprMethodCall) {
        let names = ["and_then", "map_err", "map_ok", "or_else", "unwrap_or", "unwrap_or_else"];
        if names.iter().any(|name| call.method == name) {
            self.0 += 1;
        }
        visit::visit_expr_method_call(self, call);
    }

    fn visit_expr_call(&mut self, call: &'ast ExprCall) {
        if matches!(&*call.func, Expr::Path(path) if path.path.is_ident("Err")) {
            self.0 += 1;
        }
        visit::visit_expr_call(self, call);
    }

    fn visit_pat_tuple_struct(&mut self, pattern: &'ast syn::PatTupleStruct) {
        if pattern.path.is_ident("Err") {
            self.0 += 1;
        }
        visit::visit_pat_tuple_struct(self, pattern);
    }

    fn visit_macro(&mut self, called: &'ast Macro) {
        if called.path.segments.last().is_some_and(|last| last.ident == "try_join") {
            self.0 += 1;
        }
    }
}
