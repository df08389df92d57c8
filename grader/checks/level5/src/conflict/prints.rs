//! Fingerprints of contents.

use grader_kit::{Cx, Draw, Outcome, ensure};
use level5::conflict::Fingerprint;
use serde_json::{Value, json};

use super::fields;

/// Contents that are the same text once names and values are written one after the other: the name or the value of one
/// field contains what stands between two fields.
fn look_alike(draw: &mut Draw) -> Vec<(Value, Value)> {
    let (name, next, value) = (draw.word(), format!("z{}", draw.word()), draw.below(1000));
    let two = json!({ &name: value, &next: value });
    let mut pairs = Vec::new();
    for after_name in [":", "\":", "=", "", " ", ": ", "\0", "\n"] {
        for after_value in [",", ",\"", "&", ";", "", " ", ", ", "\0", "\n"] {
            let both = format!("{name}{after_name}{value}{after_value}{next}");
            pairs.push((two.clone(), json!({ &both: value })));
            let rest = format!("{value}{after_value}{next}{after_name}{value}");
            pairs.push((
                json!({ &name: value.to_string(), &next: value.to_string() }),
                json!({ &name: rest }),
            ));
            pairs.push((json!({ "in": &two }), json!({ "in": { &both: value } })));
            // The same in the items of a list.
            let items = format!("{name}{after_value}{next}");
            pairs.push((json!({ "in": [&name, &next] }), json!({ "in": [items] })));
        }
    }
    // A bracket or a brace in a name, and a name that is empty.
    let inner = json!({ &name: { &next: value } });
    for open in [":{", "\":{\"", "{", ".", "/", ""] {
        pairs.push((inner.clone(), json!({ format!("{name}{open}{next}"): value })));
    }
    pairs.push((json!({ "": value }), json!({})));
    pairs.push((json!({ "": { "": value } }), json!({ "": value })));
    // Integers that one double stands for, and large ones that differ in their last digit.
    for (one, other) in [
        (json!((1_u64 << 53) + 1), json!(1_u64 << 53)),
        (json!(i64::MIN), json!(i64::MIN + 1)),
        (json!(1.0e300), json!(1.0e299)),
        (json!(f64::MIN_POSITIVE), json!(0.0)),
    ] {
        pairs.push((json!({ &name: one }), json!({ &name: other })));
    }
    pairs
}

/// A drawn object, up to four levels deep.
fn content(draw: &mut Draw, depth: u8) -> Value {
    let members = (0..draw.between(1..=3)).map(|_| (draw.word(), inner(draw, depth + 1)));
    Value::Object(members.collect())
}

fn inner(draw: &mut Draw, depth: u8) -> Value {
    match draw.below(if depth > 3 { 5 } else { 8 }) {
        0 => json!(draw.word()),
        1 => json!(draw.below(100)),
        2 => json!(draw.chance(50)),
        3 => Value::Null,
        4 => json!(f64::from(u32::try_from(draw.below(1000)).unwrap_or_default()) / 7.0),
        5 => Value::Array((0..draw.between(1..=3)).map(|_| inner(draw, depth + 1)).collect()),
        _ => content(draw, depth),
    }
}

/// Makes one leaf a text that no drawn one is.
fn changes_a_leaf(draw: &mut Draw, value: &mut Value) {
    match value {
        Value::Object(members) => {
            let place = draw.index(members.len());
            if let Some((_, member)) = members.iter_mut().nth(place) {
                changes_a_leaf(draw, member);
            }
        }
        Value::Array(items) => {
            let place = draw.index(items.len());
            changes_a_leaf(draw, &mut items[place]);
        }
        Value::String(text) => text.push('!'),
        Value::Bool(is) => *is = !*is,
        leaf => *leaf = json!(format!("{leaf}")),
    }
}

pub async fn fingerprints_cover_the_whole(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let long = draw.text(2000..=3000);
    let print = |json: &Value| Fingerprint::of(Some(&fields(json)));
    let word = draw.word();
    let differ = [
        (json!({"name": "A"}), json!({"name": "B", "z": 9})),
        (json!({"name": "A", "z": 8}), json!({"name": "A", "z": 9})),
        (json!({"text": format!("{long}a")}), json!({"text": format!("{long}b")})),
        (json!({"text": format!("a{long}")}), json!({"text": format!("b{long}")})),
        (json!({"list": ["a", "b"]}), json!({"list": ["b", "a"]})),
        (json!({"list": ["a", "b"]}), json!({"list": ["a,b"]})),
        (json!({"list": [1, 2]}), json!({"list": [12]})),
        (json!({"list": ["a\",\"b"]}), json!({"list": ["a", "b"]})),
        (json!({"list": [["a"], "b"]}), json!({"list": [["a", "b"]]})),
        (json!({"n": 1}), json!({"n": "1"})),
        (json!({"n": null}), json!({})),
        (json!({"n": null}), json!({"n": "null"})),
        (json!({"n": false}), json!({"n": 0})),
        (json!({"n": []}), json!({"n": {}})),
        (json!({"n": ""}), json!({"n": null})),
        (json!({"a": {"b": 1}, "c": 2}), json!({"a": {"b": 1, "c": 2}})),
        (json!({"ab": "c"}), json!({"a": "bc"})),
        (json!({"名前": "東京"}), json!({"名前": "京都"})),
        (json!({"e": "é"}), json!({"e": "e"})),
        (json!({"e": "😀"}), json!({"e": "😁"})),
        (json!({"n": u64::MAX}), json!({"n": u64::MAX - 1})),
        (json!({"n": 0.1}), json!({"n": 0.2})),
        (json!({"n": -1.5}), json!({"n": 1.5})),
        (json!({"n": -1}), json!({"n": 1})),
        (json!({"n": -1}), json!({"n": u64::MAX})),
        (json!({"n": 1.5}), json!({"n": 1.5_f64.next_up()})),
        (json!({"n": true}), json!({"n": "true"})),
        (json!({"n": []}), json!({"n": [null]})),
        (json!({"n": [[]]}), json!({"n": [[], []]})),
        (json!({"n": {"m": null}}), json!({"n": {}})),
        (json!({"n": "a"}), json!({"n": "A"})),
        (json!({"n": "a"}), json!({"n": "a "})),
        (json!({"n": "a"}), json!({"N": "a"})),
        (json!({"n": "a\nb"}), json!({"n": "a\\nb"})),
        (json!({"n": "a b"}), json!({"n": "a  b"})),
        // The same letter in two ways of writing it: two texts.
        (json!({"n": "\u{e9}"}), json!({"n": "e\u{301}"})),
        (json!({&word: 1}), json!({format!("{word}s"): 1})),
    ];
    for (a, b) in differ.iter().chain(&look_alike(&mut draw)) {
        let (one, other) = cx.call_fn("Fingerprint::of", || (print(a), print(b))).await?;
        ensure!(one != other, "{} and {} have equal fingerprints", grader_kit::short(&a.to_string()), grader_kit::short(&b.to_string());
            expected = "different contents have different fingerprints", help = "the whole content goes into it, as UTF-8");
    }
    // Drawn contents, of which one leaf is another one: however deep it is.
    for _ in 0..150 {
        let a = content(&mut draw, 0);
        let mut b = a.clone();
        changes_a_leaf(&mut draw, &mut b);
        let (one, other) = cx.call_fn("Fingerprint::of", || (print(&a), print(&b))).await?;
        ensure!(one != other, "{} and {} have equal fingerprints", grader_kit::short(&a.to_string()), grader_kit::short(&b.to_string());
            expected = "different contents have different fingerprints", help = "the whole content goes into it, each value at every depth");
    }
    let (none, empty) =
        cx.call_fn("Fingerprint::of", || (Fingerprint::of(None), print(&json!({})))).await?;
    ensure!(none != empty, "a deleted record and one without fields have equal fingerprints");
    // Equal contents, whose objects were filled in another order, on several levels.
    let mut names: Vec<String> = (0..12).map(|number| format!("{}{number}", draw.word())).collect();
    let object = |names: &[String]| {
        let members = names.iter().map(|name| (name.clone(), json!(name.len())));
        Value::Object(members.collect())
    };
    let (flat, inner) = (object(&names), names.clone());
    draw.shuffle(&mut names);
    let shuffled = object(&names);
    let nest = |object: &Value| json!({ "outer": [{ "inner": object }, inner.len()] });
    for (a, b) in [(flat.clone(), shuffled.clone()), (nest(&flat), nest(&shuffled))] {
        let (one, other) = cx.call_fn("Fingerprint::of", || (print(&a), print(&b))).await?;
        ensure!(one == other, "the members of an object came in another order, and the fingerprint is another one";
            expected = "the order of members does not matter", help = "sort the members of every object");
    }
    // Equal numbers that are written differently.
    for wrap in [|zero| json!({ "n": zero }), |zero| json!({ "n": [1, { "n": zero }] })] {
        let (a, b): (Value, Value) = (wrap(0.0_f64), wrap(-0.0_f64));
        let (one, other) = cx.call_fn("Fingerprint::of", || (print(&a), print(&b))).await?;
        ensure!(one == other, "{a} and {b} are equal contents, and their fingerprints differ"; expected = "equal fingerprints", help = "`0.0` and `-0.0` are one number with two texts: write one of them");
    }
    Ok(())
}
