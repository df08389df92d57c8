//! What takes the place of a body.

use quote::ToTokens;
use syn::visit::Visit;
use syn::{FnArg, PathArguments, ReturnType, Signature, Type, TypeParamBound};

use super::names::idents;

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
/// rustc warns about a parameter that a body does not use, also when all it does is `todo!()`. A
/// renamed parameter (`_limit`) or an `allow` would stay in the learner's file; a line of the body
/// goes with the body. Taken by reference, because a future or a lock that is dropped at once is a
/// lint. By `&mut` where the reference changes the parameter: then its `mut` stays without a warning,
/// and the learner's first line that changes it compiles.
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
    let unused = parameters(sig).into_iter().filter(|parameter| !named.contains(&parameter.name));
    let unused: Vec<_> = unused.map(|parameter| parameter.borrowed()).collect();
    let mut lines: Vec<_> = hints.iter().map(|hint| format!("// Hint: {hint}")).collect();
    match &unused[..] {
        [] => {}
        [one] => lines.push(format!("let _ = {one};")),
        several => lines.push(format!("let _ = ({});", several.join(", "))),
    }
    lines.extend(value.lines().map(str::to_owned));
    Ok(lines)
}

/// A variable that a parameter binds.
struct Parameter {
    name: String,
    mutable: bool,
}

impl Parameter {
    fn borrowed(&self) -> String {
        format!("&{}{}", if self.mutable { "mut " } else { "" }, self.name)
    }
}

/// The variables of the parameters that a body has to use: `self` only where it is `mut self`.
fn parameters(sig: &Signature) -> Vec<Parameter> {
    struct Bound(Vec<Parameter>);
    impl<'ast> Visit<'ast> for Bound {
        fn visit_pat_ident(&mut self, pattern: &'ast syn::PatIdent) {
            let name = pattern.ident.to_string();
            let mutable = pattern.mutability.is_some() && pattern.by_ref.is_none();
            if mutable || !name.starts_with('_') {
                self.0.push(Parameter { name, mutable });
            }
            syn::visit::visit_pat_ident(self, pattern);
        }
    }
    let mut bound = Bound(Vec::new());
    for input in &sig.inputs {
        match input {
            FnArg::Typed(typed) => bound.visit_pat(&typed.pat),
            FnArg::Receiver(receiver) => {
                // `&mut self` is a type, `mut self` a binding.
                let binding = matches!(
                    receiver.kind,
                    syn::ReceiverKind::Value | syn::ReceiverKind::Typed(..)
                );
                if binding && receiver.mutability.is_some() {
                    bound.0.push(Parameter { name: "self".to_owned(), mutable: true });
                }
            }
        }
    }
    bound.0
}
