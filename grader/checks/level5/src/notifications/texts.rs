//! Texts that are cut.

use grader_kit::{Cx, Fail, Outcome, ensure_eq};
use level5::notifications::text::{push, sms};
use level5::notifications::{ChannelKind, Notification, Preferences, Priority, Rendered};

use super::high;
use crate::mailroom::{Book, MINUTE, Way, config, play, prefer, send, started};

/// Written as the table of GSM 03.38 has it, row by row, without the carriage return.
const GSM: [&str; 8] = [
    "@£$¥èéùìòÇ\nØøÅå",
    "Δ_ΦΓΛΩΠΨΣΘΞÆæßÉ",
    " !\"#¤%&'()*+,-./",
    "0123456789:;<=>?",
    "¡ABCDEFGHIJKLMNO",
    "PQRSTUVWXYZÄÖÑÜ§",
    "¿abcdefghijklmno",
    "pqrstuvwxyzäöñüà",
];
const TWO_UNITS: &str = "^{}\\[~]|€";
const OTHERS: &str = "жЯ漢字áçêñ`\tÃ—“”…Ħ";

async fn cut(cx: &Cx, name: &str, text: &str) -> Result<String, Fail> {
    cx.call_fn(name, || if name == "text::sms" { sms(text) } else { push(text) }).await
}

/// `count` clusters, and an ellipsis.
fn cut_at(clusters: &[String], count: usize, ellipsis: &str) -> String {
    format!("{}{ellipsis}", clusters[..count].concat())
}

/// The text whose clusters are known, as a channel with so much room sends it.
fn model(
    clusters: &[String],
    limit: usize,
    ellipsis: (&str, usize),
    units: fn(&str) -> usize,
) -> String {
    let all: usize = clusters.iter().map(|cluster| units(cluster)).sum();
    if all <= limit {
        return clusters.concat();
    }
    let mut used = 0;
    let fitting = clusters.iter().take_while(|cluster| {
        used += units(cluster);
        used + ellipsis.1 <= limit
    });
    let count = fitting.count();
    cut_at(clusters, count, ellipsis.0)
}

fn gsm_units(cluster: &str) -> usize {
    cluster.chars().map(|c| if TWO_UNITS.contains(c) { 2 } else { 1 }).sum()
}

fn utf16_units(cluster: &str) -> usize {
    cluster.encode_utf16().count()
}

fn characters(cluster: &str) -> usize {
    cluster.chars().count()
}

fn times(cluster: impl ToString, count: usize) -> Vec<String> {
    vec![cluster.to_string(); count]
}

pub async fn an_sms_has_160_units(cx: Cx) -> Outcome {
    const HELP: &str = "160 units of GSM-7: one for each character of its alphabet, two for each of `^ { } \\ [ ~ ] | €`; `...` is three";
    let ellipsis = ("...", 3);
    let mut texts: Vec<Vec<String>> = Vec::new();
    for c in GSM.concat().chars() {
        texts.extend([times(c, 160), times(c, 161)]);
    }
    for c in TWO_UNITS.chars() {
        texts.extend([times(c, 80), times(c, 81), [times('x', 1), times(c, 80)].concat()]);
    }
    let mut draw = cx.draw();
    let all: Vec<char> = (GSM.concat() + TWO_UNITS).chars().collect();
    for _ in 0..200 {
        let length = draw.index(400);
        texts.push((0..length).map(|_| draw.pick(&all).to_string()).collect());
    }
    texts.push(times('x', 20_000));
    for text in texts {
        let found = cut(&cx, "text::sms", &text.concat()).await?;
        let expected = model(&text, 160, ellipsis, gsm_units);
        ensure_eq!(found, expected, "a text message of {} characters of GSM-7", text.len(); help = HELP);
    }
    Ok(())
}

pub async fn other_alphabets_have_70_units(cx: Cx) -> Outcome {
    const HELP: &str = "with one character outside of GSM-7, the limit of the whole text is 70 UTF-16 units; `…` is one of them";
    let mut texts: Vec<Vec<String>> = Vec::new();
    for c in OTHERS.chars().filter(|c| !GSM.concat().contains(*c)) {
        texts.extend([times(c, 70), times(c, 71), [times(c, 1), times('x', 70)].concat()]);
    }
    for c in ["😀", "𝄞", "🦀"] {
        texts.extend([times(c, 35), times(c, 36), [times('x', 1), times(c, 35)].concat()]);
    }
    let mut draw = cx.draw();
    let all: Vec<char> = "жЯ漢字abc€ 😀🦀".chars().collect();
    for _ in 0..200 {
        let length = draw.index(150);
        let text = (0..length).map(|_| draw.pick(&all).to_string());
        // From its first character on no text of GSM-7.
        texts.push(times('漢', 1).into_iter().chain(text).collect());
    }
    texts.push(times('漢', 20_000));
    // Up to its last character a text of GSM-7.
    for length in [69, 70, 71, 159, 160, 161, 5000, draw.index(2000)] {
        let last = draw.pick(&["ж", "😀", "…"]).to_string();
        texts.push(times('x', length).into_iter().chain([last]).collect());
    }
    for text in texts {
        let found = cut(&cx, "text::sms", &text.concat()).await?;
        let expected = model(&text, 70, ("…", 1), utf16_units);
        ensure_eq!(found, expected, "a text message of {} characters, not all in GSM-7", text.len(); help = HELP);
    }
    Ok(())
}

pub async fn texts_are_cut_between_graphemes(cx: Cx) -> Outcome {
    const HELP: &str = "sum up the units of whole grapheme clusters: `text.grapheme_indices(true)` of unicode-segmentation";
    let clusters = ["👨‍👩‍👧‍👦", "🇩🇪", "e\u{301}", "👍🏽", "🏳️‍🌈", "x", "ж", "o\u{308}\u{323}"];
    let mut draw = cx.draw();
    let mut texts: Vec<Vec<String>> = Vec::new();
    for cluster in clusters {
        // Each one at each place around the limits.
        for before in 60..=69 {
            texts.push([times('ж', before), times(cluster, 60)].concat());
        }
        for before in 92..=99 {
            texts.push([times('ж', before), times(cluster, 60)].concat());
        }
    }
    for _ in 0..200 {
        let length = draw.index(120);
        let text = (0..length).map(|_| (*draw.pick(&clusters)).to_owned());
        texts.push(times('漢', 1).into_iter().chain(text).collect());
    }
    for text in texts {
        let found = cut(&cx, "text::sms", &text.concat()).await?;
        ensure_eq!(found, model(&text, 70, ("…", 1), utf16_units), "a text message with clusters of several characters"; help = HELP);
        let found = cut(&cx, "text::push", &text.concat()).await?;
        ensure_eq!(found, model(&text, 100, ("…", 1), characters), "a push message with clusters of several characters"; help = HELP);
    }
    Ok(())
}

pub async fn a_push_has_100_characters(cx: Cx) -> Outcome {
    const HELP: &str = "100 characters as `str::chars` counts them; `…` is one of them";
    let mut texts: Vec<Vec<String>> = Vec::new();
    for c in ['x', '€', 'ж', '漢', '😀', '\n'] {
        texts.extend([times(c, 0), times(c, 99), times(c, 100), times(c, 101), times(c, 3000)]);
    }
    let mut draw = cx.draw();
    let all: Vec<char> = "xyz€жЯ漢字 😀🦀".chars().collect();
    for _ in 0..200 {
        let length = 80 + draw.index(50);
        texts.push((0..length).map(|_| draw.pick(&all).to_string()).collect());
    }
    for text in texts {
        let found = cut(&cx, "text::push", &text.concat()).await?;
        ensure_eq!(found, model(&text, 100, ("…", 1), characters), "a push message of {} characters", text.len(); help = HELP);
    }
    Ok(())
}

pub async fn several_are_one_text(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let long = "long ".repeat(50);
    let words: Vec<String> = (0..2).map(|_| draw.word()).collect();
    for texts in [vec![words[0].as_str(), &words[1]], vec![&words[0], &long, &words[1]]] {
        for kind in [ChannelKind::Email, ChannelKind::InApp, ChannelKind::Sms, ChannelKind::Push] {
            let book = Book::opened(&cx, "2026-06-10T10:00:00Z");
            let notifier = started(&cx, &book, config(), [Way::new(kind, &book)]).await?;
            let script = async {
                prefer(&notifier, "ann", Preferences::new([kind]))?;
                for (number, text) in texts.iter().enumerate() {
                    let one = Notification::new(&number.to_string(), "ann", Priority::Low, text);
                    send(&notifier, one).await?;
                }
                let default =
                    Notification { topic: words[1].clone(), message: None, ..high("last", "ann") };
                let default = Notification { priority: Priority::Medium, ..default };
                send(&notifier, default).await?;
                book.until(MINUTE).await;
                Ok(())
            };
            play(&cx, MINUTE, script).await?;
            let ids = (0..texts.len()).map(|number| number.to_string());
            let ids: Vec<_> = ids.chain(["last".to_owned()]).collect();
            let default = format!("New {} notification", words[1]);
            let all: Vec<&str> = texts.iter().copied().chain([default.as_str()]).collect();
            let whole = all.join("\n");
            let expected: Vec<Rendered> = match kind {
                ChannelKind::Email | ChannelKind::InApp => ids
                    .iter()
                    .zip(&all)
                    .map(|(id, text)| Rendered {
                        ids: vec![id.as_str().into()],
                        text: (*text).to_owned(),
                    })
                    .collect(),
                ChannelKind::Sms | ChannelKind::Push => {
                    let whole: Vec<_> = whole.chars().map(String::from).collect();
                    let text = if kind == ChannelKind::Sms {
                        model(&whole, 160, ("...", 3), gsm_units)
                    } else {
                        model(&whole, 100, ("…", 1), characters)
                    };
                    vec![Rendered { ids: ids.iter().map(|id| id.as_str().into()).collect(), text }]
                }
            };
            let found: Vec<_> = book.seen().into_iter().map(|call| call.messages).collect();
            ensure_eq!(found, [expected], "the messages of {} notifications by {:?}", all.len(), kind;
                help = "mail and list: one for each. Text message and push: one for all, joined by line feeds, then cut");
        }
    }
    Ok(())
}
