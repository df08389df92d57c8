//! What takes the place of a body.

use quote::ToTokens;
use syn::visit::Visit;
use syn::{FnArg, Pat, PathArguments, ReturnType, Signature, Type, TypeParamBound};

use super::names::{Names, idents};

/// The value that stands for a result until the learner writes one.
///
/// `todo!()` does nearly everywhere. An opaque return type needs a value of some type that fits its
/// bounds.
///
/// # Errors
///
/// The return type as text, when no value is known for it.
pub(super) fn stand_in(output: &ReturnType) -> Result<String, String> {
    let ReturnType::Type(_, ty) = output else { return Ok("todo!()".to_owned()) };
    let text = || ty.to_token_stream().to_string();
    let (outer, inner) = match &**ty {
        Type::ImplTrait(outer) => (Some(outer), opaque_types(ty) - 1),
        _ => (None, opaque_types(ty)),
    };
    if inner > 0 {
        return Err(text());
    }
    let Some(outer) = outer else { return Ok("todo!()".to_owned()) };
    // What stands in, and the further bounds that it meets.
    let mut value = ("todo!()".to_owned(), NEVER);
    let mut further = Vec::new();
    for bound in &outer.bounds {
        let TypeParamBound::Trait(bound) = bound else { continue };
        let Some(last) = bound.path.segments.last() else { continue };
        let found = match last.ident.to_string().as_str() {
            // Closures without captures, and what wraps them, are all of these.
            "Send" | "Sync" | "Unpin" | "Sized" => continue,
            "Future" => ("std::future::poll_fn(|_| todo!())".to_owned(), NONE),
            "Stream" => ("futures::stream::poll_fn(|_| todo!())".to_owned(), NONE),
            "Iterator" => ("std::iter::from_fn(|| todo!())".to_owned(), &["Clone"][..]),
            "Fn" | "FnMut" | "FnOnce" => {
                let PathArguments::Parenthesized(arguments) = &last.arguments else {
                    return Err(text());
                };
                let arguments = vec!["_"; arguments.inputs.len()].join(", ");
                (format!("move |{arguments}| todo!()"), &["Clone", "Copy"][..])
            }
            other => {
                further.push(other.to_owned());
                continue;
            }
        };
        if value.1 != NEVER {
            return Err(text());
        }
        value = found;
    }
    let (value, met) = value;
    further.iter().all(|bound| met.contains(&bound.as_str())).then_some(value).ok_or_else(text)
}

const NONE: &[&str] = &[];

/// Some traits of the never type, which `todo!()` falls back to since edition 2024.
const NEVER: &[&str] = &["Clone", "Copy", "Debug", "Display", "Error"];

fn opaque_types(ty: &Type) -> usize {
    struct Count(usize);
    impl<'ast> Visit<'ast> for Count {
        fn visit_type_impl_trait(&mut self, ty: &'ast syn::TypeImplTrait) {
            self.0 += 1;
            syn::visit::visit_type_impl_trait(self, ty);
        }
    }
    let mut count = Count(0);
    count.visit_type(ty);
    count.0
}

/// The lines of a blank body: hints, a use of every parameter, the value.
///
/// rustc warns about parameters that a body does not use, also when all it does is `todo!()`. A
/// renamed parameter (`_limit`) or an `allow` would stay in the learner's file; a line of the body
/// goes with the body. By reference, because a moved generic value is an error in a `const fn`
/// (E0493) and a lock or a future that is let go is a lint.
pub(super) fn lines(
    sig: &Signature,
    body: Option<&str>,
    hints: &[String],
) -> Result<Vec<String>, String> {
    let value = match body {
        Some(body) => body.to_owned(),
        None => stand_in(&sig.output)?,
    };
    let named = value.parse().map(idents).unwrap_or_default();
    let unused: Vec<_> = parameters(sig).into_iter().filter(|name| !named.contains(name)).collect();
    let mut lines: Vec<_> = hints.iter().map(|hint| format!("// Hint: {hint}")).collect();
    match &unused[..] {
        [] => {}
        [name] => lines.push(format!("let _ = &{name};")),
        names => lines.push(format!("let _ = (&{});", names.join(", &"))),
    }
    lines.extend(value.lines().map(str::to_owned));
    Ok(lines)
}

/// The variables that the parameters bind.
fn parameters(sig: &Signature) -> Vec<String> {
    struct Bound(Vec<String>);
    impl<'ast> Visit<'ast> for Bound {
        fn visit_pat_ident(&mut self, pattern: &'ast syn::PatIdent) {
            let name = pattern.ident.to_string();
            if !name.starts_with('_') {
                self.0.push(name);
            }
            syn::visit::visit_pat_ident(self, pattern);
        }
    }
    let mut bound = Bound(Vec::new());
    for input in &sig.inputs {
        if let FnArg::Typed(typed) = input {
            bound.visit_pat(&typed.pat);
        }
    }
    bound.0
}

/// The spans of every `mut` in front of a parameter that a blank body does not change, up to the
/// name: rustc would call them unused.
pub(super) fn needless_mut(sig: &Signature, body: Option<&str>) -> Vec<std::ops::Range<usize>> {
    let named: Names = body.and_then(|body| body.parse().ok()).map(idents).unwrap_or_default();
    let mut found = Vec::new();
    for input in &sig.inputs {
        match input {
            FnArg::Receiver(receiver) => {
                // `&mut self` is a type, `mut self` a binding.
                let binding = matches!(
                    receiver.kind,
                    syn::ReceiverKind::Value | syn::ReceiverKind::Typed(..)
                );
                if let Some(mutability) = receiver.mutability
                    && binding
                    && !named.contains("self")
                {
                    let name = receiver.self_token.span.byte_range();
                    found.push(mutability.span.byte_range().start..name.start);
                }
            }
            FnArg::Typed(typed) => {
                let Pat::Ident(pattern) = &*typed.pat else { continue };
                if let Some(mutability) = pattern.mutability
                    && !named.contains(&pattern.ident.to_string())
                {
                    let name = pattern.ident.span().byte_range();
                    found.push(mutability.span.byte_range().start..name.start);
                }
            }
        }
    }
    found
}
