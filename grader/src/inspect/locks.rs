//! Guards of std locks that are kept while something is awaited.
use std::fs;
use std::path::Path;

use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};
use syn::{Block, Expr, ExprAwait, ExprCall, Pat, Stmt};

/// A guard that is kept across an await point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptLock {
    /// Relative to the level's folder: `src/breaker.rs`.
    pub file: String,
    /// Where the lock is taken.
    pub taken: usize,
    /// Where something is awaited meanwhile.
    pub awaited: usize,
}

/// The guards of std locks that the level in `folder` keeps across an await point, sorted by place: a
/// `let` whose value is that of `lock()`, `read()` or `write()` without an `.await`, and an `.await` after
/// it in the same block without a `drop` between them. A hint for a message, not a proof.
#[must_use]
pub fn kept_locks(folder: &Path) -> Vec<KeptLock> {
    let mut found = Vec::new();
    walk(&folder.join("src"), "src", &mut found);
    found
}

fn walk(folder: &Path, name: &str, found: &mut Vec<KeptLock>) {
    let mut entries: Vec<_> = fs::read_dir(folder).into_iter().flatten().flatten().collect();
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let (path, name) =
            (entry.path(), format!("{name}/{}", entry.file_name().to_string_lossy()));
        if path.is_dir() && !path.is_symlink() {
            walk(&path, &name, found);
        } else if path.is_file() && name.ends_with(".rs") {
            let text = fs::read_to_string(&path).unwrap_or_default();
            found.extend(in_text(&name, &text));
        }
    }
}

fn in_text(file: &str, text: &str) -> Vec<KeptLock> {
    let mut finder = Finder { file, found: Vec::new() };
    if let Ok(tree) = syn::parse_file(text) {
        finder.visit_file(&tree);
    }
    finder.found
}

struct Finder<'a> {
    file: &'a str,
    found: Vec<KeptLock>,
}

impl<'ast> Visit<'ast> for Finder<'_> {
    fn visit_block(&mut self, block: &'ast Block) {
        for (nr, stmt) in block.stmts.iter().enumerate() {
            let Stmt::Local(local) = stmt else { continue };
            let (Pat::Ident(guard), Some(value)) = (&local.pat, &local.init) else { continue };
            if !is_guard(&value.expr) {
                continue;
            }
            let mut after = After { guard: guard.ident.to_string(), dropped: false, awaited: None };
            block.stmts[nr + 1..].iter().for_each(|stmt| after.visit_stmt(stmt));
            if let Some(awaited) = after.awaited {
                let taken = local.span().start().line;
                self.found.push(KeptLock { file: self.file.to_owned(), taken, awaited });
            }
        }
        visit::visit_block(self, block);
    }
}

/// Whether the expression is the guard of a std lock: `x.lock().unwrap()` and its like, not awaited.
fn is_guard(expr: &Expr) -> bool {
    let Expr::MethodCall(call) = expr else { return false };
    let name = call.method.to_string();
    match name.as_str() {
        "lock" | "read" | "write" => call.args.is_empty(),
        "unwrap" | "expect" | "unwrap_or_else" => is_guard(&call.receiver),
        _ => false,
    }
}

/// What comes after a guard was taken.
struct After {
    guard: String,
    dropped: bool,
    awaited: Option<usize>,
}

impl<'ast> Visit<'ast> for After {
    fn visit_expr_await(&mut self, expr: &'ast ExprAwait) {
        visit::visit_expr_await(self, expr);
        if !self.dropped && self.awaited.is_none() {
            self.awaited = Some(expr.await_token.span.start().line);
        }
    }

    fn visit_expr_call(&mut self, call: &'ast ExprCall) {
        visit::visit_expr_call(self, call);
        let name = |expr: &Expr| match expr {
            Expr::Path(path) => path.path.segments.last().map(|segment| segment.ident.to_string()),
            _ => None,
        };
        let of_guard = call.args.first().and_then(name).is_some_and(|name| name == self.guard);
        self.dropped |= of_guard && name(&call.func).is_some_and(|name| name == "drop");
    }

    // What stands in another future or function runs at another time.
    fn visit_expr_async(&mut self, _: &'ast syn::ExprAsync) {}
    fn visit_expr_closure(&mut self, _: &'ast syn::ExprClosure) {}
    fn visit_item(&mut self, _: &'ast syn::Item) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn keeps(body: &str, places: &[(usize, usize)]) {
        let found = in_text("src/a.rs", &format!("async fn f() {{\n{body}\n}}"));
        let found: Vec<_> = found.iter().map(|kept| (kept.taken, kept.awaited)).collect();
        assert_eq!(found, places, "{body}");
    }

    #[test]
    fn a_guard_across_an_await_is_found_with_both_lines() {
        keeps("let state = self.state.lock().unwrap();\nop().await;", &[(2, 3)]);
        keeps(
            "let s = s.write().unwrap_or_else(|e| e.into_inner());\nif a {\nb().await;\n}",
            &[(2, 4)],
        );
        keeps("loop {\nlet s = s.lock().expect(\"x\");\nreturn op(s).await;\n}", &[(3, 4)]);
    }

    #[test]
    fn a_guard_that_is_gone_before_is_not() {
        keeps("let state = self.state.lock().unwrap();\ndrop(state);\nop().await;", &[]);
        keeps("{ let state = self.state.lock().unwrap(); }\nop().await;", &[]);
        keeps("let state = self.state.lock().await;\nop().await;", &[]);
        keeps("let n = self.state.lock().unwrap().len();\nop().await;", &[]);
        keeps("let s = s.lock().unwrap();\nlet f = async { op().await };", &[]);
    }
}
