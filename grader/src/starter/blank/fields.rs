//! What becomes of the fields of a struct that stays.

use quote::ToTokens;
use syn::spanned::Spanned;
use syn::{Field, Fields, FieldsNamed, FieldsUnnamed, GenericParam, Generics, ItemStruct};

use super::BlankError;
use super::items::{Pass, is_public};
use super::names::{Names, idents};

/// The field that keeps generic parameters in use (E0392).
const PLACE: &str = "_todo";

/// Takes the private fields of `item` away.
///
/// They stay where the derived code shows them to the world: a struct that is serialized, or an
/// error whose message names them.
pub(super) fn blank(
    pass: &mut Pass<'_>,
    item: &ItemStruct,
    hints: &[String],
) -> Result<(), BlankError> {
    if derives_its_shape(item) {
        return Ok(());
    }
    match &item.fields {
        Fields::Named(fields) => named(pass, item, fields, hints),
        Fields::Unnamed(fields) => {
            unnamed(pass, &item.generics, fields);
            Ok(())
        }
        Fields::Unit => Ok(()),
    }
}

/// The names of the fields of `item` that stay: all of them if the struct is `kept` as it is.
pub(super) fn staying(pass: &Pass<'_>, item: &ItemStruct, kept: bool) -> Result<Names, BlankError> {
    let all = kept || derives_its_shape(item);
    let mut names = Names::new();
    for field in &item.fields {
        if let Some(name) = &field.ident
            && (all || stays(pass, field)?)
        {
            names.insert(name.to_string());
        }
    }
    Ok(names)
}

fn stays(pass: &Pass<'_>, field: &Field) -> Result<bool, BlankError> {
    let marked = pass.marked(field, &field.attrs)?;
    let name = field.ident.as_ref().map(ToString::to_string).unwrap_or_default();
    let stays = is_public(&field.vis)
        || name == PLACE
        || pass.uses.members.contains(&name)
        || (!matches!(field.vis, syn::Visibility::Inherited)
            && pass.seen_by(&field.vis).contains(&name));
    Ok(!marked.drop && (marked.keep || stays))
}

fn derives_its_shape(item: &ItemStruct) -> bool {
    item.attrs.iter().filter(|attribute| attribute.path().is_ident("derive")).any(|attribute| {
        let derived = idents(attribute.meta.to_token_stream());
        derived.contains("Serialize") || derived.contains("Error")
    })
}

fn named(
    pass: &mut Pass<'_>,
    item: &ItemStruct,
    fields: &FieldsNamed,
    hints: &[String],
) -> Result<(), BlankError> {
    let mut going = Vec::new();
    for field in &fields.named {
        if !stays(pass, field)? {
            going.push(field);
        }
    }
    if going.is_empty() {
        return Ok(());
    }
    let staying = fields.named.iter().filter(|field| !going.iter().any(|gone| gone == field));
    let phantom = phantom(&item.generics, staying);
    let (newline, outer) = (pass.newline, pass.edits.indent(&item.span().byte_range()));
    let mut lines = format!("{outer}    // your fields{newline}");
    for hint in hints {
        lines += &format!("{outer}    // Hint: {hint}{newline}");
    }
    if let Some(phantom) = phantom {
        lines += &format!("{outer}    {PLACE}: {phantom},{newline}");
    }
    let inner = fields.brace_token.span.open().byte_range().end
        ..fields.brace_token.span.close().byte_range().start;
    if going.len() == fields.named.len() {
        pass.edits.replace(inner, format!("{newline}{lines}{outer}"));
        return Ok(());
    }
    if let Some(last) = fields.named.last()
        && !fields.named.trailing_punct()
        && !going.contains(&last)
    {
        let end = last.span().byte_range().end;
        pass.edits.replace(end..end, ",".to_owned());
    }
    for field in going {
        pass.edits.remove(field.span().byte_range());
    }
    // In front of the closing brace's line.
    let line = pass.source[..inner.end].rfind('\n').map_or(inner.end, |end| end + 1);
    pass.edits.replace(line..line, lines);
    Ok(())
}

/// A tuple of private fields empties as a whole; where a public field counts on its place, all stay.
fn unnamed(pass: &mut Pass<'_>, generics: &Generics, fields: &FieldsUnnamed) {
    let inner = fields.paren_token.span.open().byte_range().end
        ..fields.paren_token.span.close().byte_range().start;
    let blank_already = pass.source[inner.clone()].trim_start().starts_with("/* your fields */");
    if blank_already || fields.unnamed.iter().any(|field| is_public(&field.vis)) {
        return;
    }
    let place = phantom(generics, [].into_iter()).map(|phantom| format!(" {phantom}"));
    pass.edits.replace(inner, format!("/* your fields */{}", place.unwrap_or_default()));
}

/// A type that uses every parameter which the fields do not, if there is one.
fn phantom<'a>(generics: &Generics, fields: impl Iterator<Item = &'a Field>) -> Option<String> {
    let mut used = Names::new();
    let mut text = String::new();
    for field in fields {
        used.extend(idents(field.ty.to_token_stream()));
        text += &field.ty.to_token_stream().to_string();
    }
    let mut types = Vec::new();
    let mut lifetimes = Vec::new();
    let mut sized = true;
    for param in &generics.params {
        match param {
            GenericParam::Type(param) if !used.contains(&param.ident.to_string()) => {
                let maybe = |bound: &syn::TypeParamBound| matches!(bound, syn::TypeParamBound::Trait(bound) if bound.maybe.is_some());
                sized &= !param.bounds.iter().any(maybe);
                types.push(param.ident.to_string());
            }
            GenericParam::Lifetime(param) if !text.contains(&param.lifetime.to_string()) => {
                lifetimes.push(format!("&{} ", param.lifetime));
            }
            _ => {}
        }
    }
    sized &= !generics.where_clause.to_token_stream().to_string().contains("? Sized");
    if types.is_empty() && lifetimes.is_empty() {
        return None;
    }
    let types = match &types[..] {
        [] => "()".to_owned(),
        [one] => one.clone(),
        many if sized => format!("({})", many.join(", ")),
        // A tuple has room for sized types only.
        many => {
            let each = many.iter().map(|name| format!("std::marker::PhantomData<{name}>"));
            format!("({})", each.collect::<Vec<_>>().join(", "))
        }
    };
    // A reference to all of them also implies that they outlive it (E0309).
    Some(format!("std::marker::PhantomData<{}{types}>", lifetimes.concat()))
}
