//! What a hand-written `Debug` needs, and what takes its place when it needs what goes.
//!
//! `Debug` is for looking, not for learning: no exercise asks for its text. The same holds for the `Clone` of
//! a type that is `Copy`.

use proc_macro2::TokenStream;
use syn::parse::Parser;
use syn::punctuated::Punctuated;
use syn::visit::{self, Visit};
use syn::{Expr, FnArg, ImplItem, ImplItemFn, ItemImpl, Member, Pat, Signature, Stmt, Token, UnOp};

use super::names::Names;

/// Whether `item` implements `Debug`.
pub(super) fn is_debug(item: &ItemImpl) -> bool {
    let last = item.trait_.as_ref().and_then(|(path, _)| path.segments.last());
    last.is_some_and(|last| last.ident == "Debug")
}

/// Whether `item` is what a type that is `Copy` says about `Clone`: `*self`. There is nothing to write.
pub(super) fn is_clone_of_copy(item: &ItemImpl) -> bool {
    let last = item.trait_.as_ref().and_then(|(path, _)| path.segments.last());
    last.is_some_and(|last| last.ident == "Clone")
        && matches!(&item.items[..], [ImplItem::Fn(function)] if matches!(
            &function.block.stmts[..],
            [Stmt::Expr(Expr::Unary(unary), None)]
                if matches!(unary.op, UnOp::Deref(_)) && is_self(&unary.expr)
        ))
}

/// Whether `function` reads nothing but the fields in `staying`, and calls nothing of the level.
pub(super) fn needs_only(function: &ImplItemFn, staying: &Names) -> bool {
    let mut search = Search { staying, bound: Names::from(["self".to_owned()]), more: false };
    for input in &function.sig.inputs {
        if let FnArg::Typed(typed) = input {
            search.visit_pat(&typed.pat);
        }
    }
    search.visit_block(&function.block);
    !search.more
}

/// A body that shows the name of the type.
pub(super) fn stand_in(sig: &Signature, name: &str) -> String {
    let formatter = sig.inputs.iter().find_map(|input| match input {
        FnArg::Typed(typed) => match &*typed.pat {
            Pat::Ident(pattern) => Some(pattern.ident.to_string()),
            _ => None,
        },
        FnArg::Receiver(_) => None,
    });
    format!(
        "{}.debug_struct({name:?}).finish_non_exhaustive()",
        formatter.as_deref().unwrap_or("f")
    )
}

/// Looks for what a body needs apart from the fields that stay and its own variables.
struct Search<'a> {
    staying: &'a Names,
    bound: Names,
    more: bool,
}

impl Search<'_> {
    fn tokens(&mut self, tokens: TokenStream) {
        let arguments = Punctuated::<Expr, Token![,]>::parse_terminated;
        match arguments.parse2(tokens) {
            Ok(arguments) => arguments.iter().for_each(|argument| self.visit_expr(argument)),
            Err(_) => self.more = true,
        }
    }
}

fn is_self(expr: &Expr) -> bool {
    matches!(expr, Expr::Path(path) if path.path.is_ident("self"))
}

impl<'ast> Visit<'ast> for Search<'_> {
    fn visit_pat_ident(&mut self, pattern: &'ast syn::PatIdent) {
        self.bound.insert(pattern.ident.to_string());
        visit::visit_pat_ident(self, pattern);
    }

    fn visit_expr_field(&mut self, field: &'ast syn::ExprField) {
        if is_self(&field.base) {
            self.more |= match &field.member {
                Member::Named(name) => !self.staying.contains(&name.to_string()),
                // The private fields of a tuple go together.
                Member::Unnamed(_) => true,
            };
        }
        visit::visit_expr_field(self, field);
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        self.more |= is_self(&call.receiver);
        visit::visit_expr_method_call(self, call);
    }

    fn visit_expr_path(&mut self, path: &'ast syn::ExprPath) {
        // A single variable, or a variant of the type; whatever else a path leads to may go, or panic.
        let segments: Vec<_> = path.path.segments.iter().map(|it| it.ident.to_string()).collect();
        let known = match &segments[..] {
            [name] => self.bound.contains(name),
            [owner, variant] => owner == "Self" && variant.starts_with(char::is_uppercase),
            _ => false,
        };
        self.more |= !known;
    }

    fn visit_macro(&mut self, invocation: &'ast syn::Macro) {
        self.tokens(invocation.tokens.clone());
    }
}
