//! Random notifications over weeks: what is accepted has one fate, and was delivered as the fate says.

use std::collections::BTreeMap;

use grader_kit::{Cx, Draw, Fail, Outcome, ensure, ms};
use jiff::civil::{Time, Weekday};
use jiff::tz::TimeZone;
use level5::notifications::{
    ChannelKind, Config, Fate, Frequency, Notification, Preferences, Priority, QuietHours,
};
use level5::wall_clock::WallClock as _;

use crate::mailroom::{
    Answer, Book, DAY, End, HOUR, MINUTE, SECOND, Way, config, fate, play, prefer, send, started,
};

const SCRIPTS: usize = 12;
const NOTIFICATIONS: usize = 80;
const USERS: [&str; 5] = ["ann", "ben", "cat", "dan", "eve"];
const KINDS: [ChannelKind; 3] = [ChannelKind::Email, ChannelKind::Sms, ChannelKind::Push];

fn time(draw: &mut Draw) -> Time {
    let number = |drawn: u64| i8::try_from(drawn).unwrap_or_default();
    Time::new(number(draw.below(24)), number(draw.below(60)), 0, 0).unwrap_or_default()
}

fn preferences(draw: &mut Draw) -> Preferences {
    let mut channels = KINDS.to_vec();
    draw.shuffle(&mut channels);
    channels.truncate(1 + draw.index(3));
    let zones: [&str; 4] =
        ["Europe/Berlin", "America/New_York", "Asia/Kolkata", "Pacific/Auckland"];
    let mut preferences = Preferences::new(channels);
    preferences.zone = TimeZone::get(zones[draw.index(4)]).unwrap_or(TimeZone::UTC);
    preferences.frequency = match draw.below(4) {
        0 => Frequency::Immediate,
        1 => Frequency::Batched,
        2 => Frequency::Daily { at: time(draw) },
        _ => {
            let days = [Weekday::Monday, Weekday::Wednesday, Weekday::Sunday];
            Frequency::Weekly { on: *draw.pick(&days), at: time(draw) }
        }
    };
    preferences.quiet = draw.chance(60).then(|| QuietHours::new(time(draw), time(draw)));
    for channel in &mut preferences.channels {
        channel.enabled = draw.chance(85);
    }
    preferences
}

fn answers(draw: &mut Draw) -> Vec<Answer> {
    let answer = |draw: &mut Draw| match draw.below(10) {
        0..=4 => Answer::Delivers(draw.below(3000)),
        5..=7 => Answer::Fails(draw.below(3000)),
        8 => Answer::Hangs,
        _ => Answer::Panics(draw.below(100)),
    };
    (0..1000).map(|_| answer(draw)).collect()
}

/// What happens at a moment of a script.
enum Step {
    Notifies(Box<Notification>, Option<u64>),
    Prefers(&'static str, Box<Preferences>),
}

fn script(draw: &mut Draw) -> Vec<(u64, Step)> {
    let priorities = [Priority::Low, Priority::Medium, Priority::High, Priority::Urgent];
    // Half of them come close together, the others spread over the days. The last day is for what is left.
    let when = |draw: &mut Draw| match draw.below(2) {
        0 => draw.below(20 * DAY),
        _ => draw.below(20) * DAY + 9 * HOUR + draw.below(30 * SECOND),
    };
    let mut steps: Vec<(u64, Step)> = (0..NOTIFICATIONS)
        .map(|number| {
            let (user, priority) = (*draw.pick(&USERS), *draw.pick(&priorities));
            let one = Notification::new(&number.to_string(), user, priority, "a text");
            let lasts = draw.chance(20).then(|| draw.below(2 * DAY));
            (when(draw), Step::Notifies(Box::new(one), lasts))
        })
        .collect();
    steps.extend((0..15).map(|_| {
        let user = *draw.pick(&USERS);
        (when(draw), Step::Prefers(user, Box::new(preferences(draw))))
    }));
    steps.sort_by_key(|(at, _)| *at);
    steps
}

pub async fn every_notification_has_one_fate(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    for _ in 0..SCRIPTS {
        // The clocks of Berlin and New York change within the weeks.
        let book = Book::opened(&cx, "2026-03-02T00:00:00Z");
        let ways: Vec<_> = KINDS.map(|kind| Way::new(kind, &book).first(answers(&mut draw))).into();
        let config = Config { channel_timeout: ms(4000), ..config() };
        let notifier = started(&cx, &book, config, ways).await?;
        let steps = script(&mut draw);
        let users: Vec<_> = USERS.map(|user| (user, preferences(&mut draw))).into();
        let length = 21 * DAY + MINUTE;
        let run = async {
            for (user, preferences) in users {
                prefer(&notifier, user, preferences)?;
            }
            let mut receipts = Vec::new();
            for (at, step) in steps {
                book.until(at).await;
                match step {
                    Step::Prefers(user, preferences) => prefer(&notifier, user, *preferences)?,
                    Step::Notifies(mut one, lasts) => {
                        one.expires_at = lasts.map(|lasts| book.wall.now() + ms(lasts));
                        receipts.push(((*one).clone(), send(&notifier, *one).await?));
                    }
                }
            }
            book.until(length).await;
            notifier.shutdown(ms(100)).await;
            let mut fates = Vec::new();
            for (one, receipt) in receipts {
                fates.push((one, fate(receipt).await));
            }
            Ok(fates)
        };
        let fates = play(&cx, length, run).await?;
        agree(&book, fates)?;
    }
    Ok(())
}

/// The channels have seen what the fates say.
fn agree(book: &Book, fates: Vec<(Notification, Option<Fate>)>) -> Outcome {
    let mut delivered: BTreeMap<String, Vec<ChannelKind>> = BTreeMap::new();
    for call in book.seen() {
        if matches!(call.end, Some((_, End::Delivered))) {
            for id in call.ids() {
                delivered.entry(id).or_default().push(call.kind);
            }
        }
    }
    for (one, fate) in fates {
        let Notification { id, user, priority, .. } = &one;
        let what = format!("`{id}` of {user}, {priority:?}, expires_at {:?}", one.expires_at);
        let Some(fate) = fate else {
            return Err(Fail::new(format!(
                "{what}: the notifier is shut down, and there is no fate"
            ))
            .expected("each notification that was accepted has one"));
        };
        let mut by = delivered.remove(&*id.0).unwrap_or_default();
        by.sort();
        let mut expected = match &fate {
            Fate::Sent { via } => via.clone(),
            // Whether a call that was dropped at the end has arrived is not known.
            _ => Vec::new(),
        };
        expected.sort();
        ensure!(by == expected, "{what}: its fate is {fate:?}, and it was delivered by {by:?}";
            expected = format!("delivered once by each of {expected:?}"), help = "what is sent leaves the list, and what is not sent stays in it");
    }
    Ok(())
}
