//! Texts, as each channel can send them: cut, and of several one. No clock, no I/O.

use std::fmt::Write as _;

use unicode_segmentation::UnicodeSegmentation as _;

use super::channel::{ChannelKind, Rendered};
use super::notification::Notification;

/// The most units of a text message of GSM-7 characters.
const SMS_GSM: usize = 160;
/// The most UTF-16 units of any other text message.
const SMS_UTF16: usize = 70;
/// The most characters of a push message.
const PUSH: usize = 100;

/// The basic alphabet of GSM 03.38. A character takes one unit.
const GSM: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà";
/// Its extension. A character takes two units: an escape comes before it.
const GSM_EXTENSION: &str = "\u{c}^{}\\[~]|€";

/// Returns `text` as a text message.
///
/// A text whose characters are all in GSM-7 has room for 160 units, where `^ { } \ [ ~ ] | €` and the form feed take
/// two units each. Any other text has room for 70 UTF-16 units. A text that fits is left as it is. Any other one is cut
/// between two grapheme clusters, as late as possible, and gets an ellipsis, which lies within the limit: `...` in
/// GSM-7, which has no `…`, and `…` otherwise. The whole text decides about the alphabet, before it is cut.
#[must_use]
pub fn sms(text: &str) -> String {
    if text.chars().all(|c| gsm_units(c).is_some()) {
        let units = |text: &str| text.chars().filter_map(gsm_units).sum();
        cut(text, SMS_GSM, "...", units)
    } else {
        cut(text, SMS_UTF16, "…", |text| text.encode_utf16().count())
    }
}

/// Returns `text` as a push message: 100 characters at most, as `str::chars` counts them. A longer one is cut between
/// two grapheme clusters, as late as possible, and gets a `…`, which lies within the limit.
#[must_use]
pub fn push(text: &str) -> String {
    cut(text, PUSH, "…", |text| text.chars().count())
}

/// The messages for a delivery of these notifications: a text message and a push message are one for all, whose texts
/// are joined by line feeds before the whole is cut; mail and list have one for each.
pub(super) fn render<'a>(
    kind: ChannelKind,
    notifications: impl IntoIterator<Item = &'a Notification>,
) -> Vec<Rendered> {
    let each = notifications.into_iter();
    let cut = match kind {
        ChannelKind::Email | ChannelKind::InApp => {
            return each
                .map(|one| Rendered { ids: vec![one.id.clone()], text: words(one) })
                .collect();
        }
        ChannelKind::Sms => sms,
        ChannelKind::Push => push,
    };
    let (mut ids, mut text) = (Vec::new(), String::new());
    for one in each {
        let separator = if ids.is_empty() { "" } else { "\n" };
        // Writing into a `String` does not fail.
        let _ = write!(text, "{separator}{}", words(one));
        ids.push(one.id.clone());
    }
    vec![Rendered { ids, text: cut(&text) }]
}

fn words(notification: &Notification) -> String {
    let default = || format!("New {} notification", notification.topic);
    notification.message.clone().unwrap_or_else(default)
}

/// The units of a character in GSM-7. `None`: GSM-7 does not have it.
fn gsm_units(c: char) -> Option<usize> {
    if GSM.contains(c) { Some(1) } else { GSM_EXTENSION.contains(c).then_some(2) }
}

fn cut(text: &str, limit: usize, ellipsis: &str, units: impl Fn(&str) -> usize) -> String {
    if units(text) <= limit {
        return text.to_owned();
    }
    // By clusters: a cut within one would leave half of an emoji, or a letter without its accent.
    let room = limit.saturating_sub(units(ellipsis));
    let (mut used, mut end) = (0, 0);
    for (at, cluster) in text.grapheme_indices(true) {
        used += units(cluster);
        if used > room {
            break;
        }
        end = at + cluster.len();
    }
    format!("{}{ellipsis}", &text[..end])
}
