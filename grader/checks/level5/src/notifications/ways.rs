//! Which channels a notification goes by.

use grader_kit::{Cx, Outcome, ensure, ensure_eq};
use level5::notifications::{
    ChannelKind, ChannelPreference, Config, DeadReason, Fate, Frequency, Preferences,
};

use super::{high, low, mail, urgent};
use crate::mailroom::{
    Answer, Book, DAY, MINUTE, Way, config, fate, lines, play, prefer, send, started,
};

const KINDS: [ChannelKind; 4] =
    [ChannelKind::Email, ChannelKind::Sms, ChannelKind::Push, ChannelKind::InApp];

pub async fn channels_are_tried_in_order(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    for failing in [0, 1, 2, 1, 2, 3] {
        let mut order = KINDS.to_vec();
        draw.shuffle(&mut order);
        let book = Book::opened(&cx, "2026-06-10T10:00:00Z");
        let ways = KINDS.map(|kind| {
            let fails = order.iter().take(failing).any(|one| *one == kind);
            let answer = if fails { Answer::Fails(30) } else { Answer::Delivers(30) };
            Way::new(kind, &book).always(answer)
        });
        let notifier = started(&cx, &book, config(), ways).await?;
        let script = async {
            prefer(&notifier, "ann", Preferences::new(order.clone()))?;
            let one = send(&notifier, high("a", "ann")).await?;
            let two = send(&notifier, low("b", "ann")).await?;
            book.until(2 * MINUTE).await;
            Ok([fate(one).await, fate(two).await])
        };
        let fates = play(&cx, 2 * MINUTE, script).await?;
        let calls = |from: u64, id: &str| -> Vec<String> {
            order
                .iter()
                .take(failing + 1)
                .enumerate()
                .map(|(number, kind)| {
                    format!("{} ms {kind:?} to ann: {id}", from + 30 * number as u64)
                })
                .collect()
        };
        let expected = [calls(0, "a"), calls(5000, "b")].concat();
        let when = format!("channels {order:?}, of which the first {failing} fail after 30 ms");
        book.was(
            &expected,
            &when,
            "one after the other, in the order of the list, until one has delivered",
        )?;
        let via = Some(Fate::Sent { via: vec![order[failing]] });
        ensure_eq!(fates, [via.clone(), via], "{}: the fates", when);
    }
    Ok(())
}

pub async fn urgent_goes_by_all_channels(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    for failing in [None, Some(draw.index(4)), Some(0), Some(3)] {
        let mut order = KINDS.to_vec();
        draw.shuffle(&mut order);
        let book = Book::opened(&cx, "2026-06-10T10:00:00Z");
        let ways = order.iter().enumerate().map(|(number, kind)| {
            // It fails for what is urgent only: the second user gets other notifications.
            let way = Way::new(*kind, &book);
            if failing == Some(number) { way.to("ann", Answer::Fails(40)) } else { way }
        });
        let notifier = started(&cx, &book, config(), ways.collect::<Vec<_>>()).await?;
        let script = async {
            for user in ["ann", "ben"] {
                prefer(&notifier, user, Preferences::new(order.clone()))?;
            }
            send(&notifier, low("low", "ben")).await?;
            let alone = send(&notifier, urgent("a", "ann")).await?;
            book.until(5000).await;
            // In the millisecond in which a low one is due.
            let beside = send(&notifier, urgent("b", "ben")).await?;
            book.until(3 * MINUTE).await;
            Ok([fate(alone).await, fate(beside).await])
        };
        let [alone, beside] = play(&cx, 3 * MINUTE, script).await?;
        let mut calls: Vec<(u64, String)> = Vec::new();
        for kind in &order {
            calls.push((0, format!("{kind:?} to ann: a")));
            calls.push((5000, format!("{kind:?} to ben: b")));
        }
        calls.push((5000, format!("{:?} to ben: low", order[0])));
        calls.sort();
        let expected: Vec<_> = calls.iter().map(|(at, what)| format!("{at} ms {what}")).collect();
        let when =
            format!("channels {order:?}, an urgent one at 0 ms and one beside a low one at 5 s");
        book.was(
            &expected,
            &when,
            "what is urgent goes by each channel of the list at the same time, and is sent if one delivers; others go by one",
        )?;
        let delivering = order.iter().enumerate().filter(|(number, _)| failing != Some(*number));
        let via = delivering.map(|(_, kind)| *kind).collect();
        ensure_eq!(alone, Some(Fate::Sent { via }), "{}, number {:?} of the list fails for the first: its fate", when, failing;
            help = "it is sent by the channels that have delivered, in the order of the list");
        ensure_eq!(
            beside,
            Some(Fate::Sent { via: order.clone() }),
            "{}: the fate of the second",
            when
        );
    }
    Ok(())
}

fn off(kind: ChannelKind) -> ChannelPreference {
    ChannelPreference { kind, enabled: false }
}

fn on(kind: ChannelKind) -> ChannelPreference {
    ChannelPreference { kind, enabled: true }
}

pub async fn unusable_channels_are_skipped(cx: Cx) -> Outcome {
    use ChannelKind::{Email, InApp, Push, Sms};
    let lists = [
        vec![off(Push), on(Sms), on(Email)],
        vec![on(Sms), off(Push), on(Email), on(InApp)],
        vec![on(Sms), on(Email)],
        vec![off(Push), on(Email)],
    ];
    for channels in lists {
        let book = Book::opened(&cx, "2026-06-10T10:00:00Z");
        // There is no channel for text messages.
        let ways = [Email, Push].map(|kind| Way::new(kind, &book));
        let notifier = started(&cx, &book, config(), ways).await?;
        let preferences = Preferences { channels, ..mail(Frequency::Immediate) };
        let script = async {
            prefer(&notifier, "ann", preferences.clone())?;
            let high = send(&notifier, high("a", "ann")).await?;
            let urgent = send(&notifier, urgent("b", "ann")).await?;
            book.until(3 * MINUTE).await;
            Ok([fate(high).await, fate(urgent).await])
        };
        let fates = play(&cx, 3 * MINUTE, script).await?;
        let when = format!("mail and push are registered, the list is {:?}", preferences.channels);
        book.was(
            &lines(["0 ms Email to ann: a", "0 ms Email to ann: b"]),
            &when,
            "take those that are enabled and registered, in the order of the list; the others are no failures",
        )?;
        let via = Some(Fate::Sent { via: vec![Email] });
        ensure_eq!(fates, [via.clone(), via], "{}: the fates", when);
    }
    Ok(())
}

pub async fn without_a_channel_it_is_dead(cx: Cx) -> Outcome {
    use ChannelKind::{Email, Push, Sms};
    for channels in [vec![off(Email), off(Push)], vec![on(Sms)], vec![on(Sms), off(Email)]] {
        let book = Book::opened(&cx, "2026-06-10T10:00:00Z");
        let ways = [Email, Push].map(|kind| Way::new(kind, &book));
        let notifier = started(&cx, &book, config(), ways).await?;
        let preferences = Preferences { channels, ..mail(Frequency::Immediate) };
        let when = format!("mail and push are registered, the list is {:?}", preferences.channels);
        let script = async {
            prefer(&notifier, "ann", preferences)?;
            for notification in [high("a", "ann"), urgent("b", "ann")] {
                let one = send(&notifier, notification).await?;
                let began = book.now();
                let end = fate(one).await;
                ensure!(end == Some(Fate::Dead(DeadReason::NoChannel)) && book.now() == began, "{when}: the fate, after {} ms, is {end:?}", book.now() - began;
                    expected = "`Dead(NoChannel)` at once", help = "no wait repairs this");
            }
            book.until(DAY).await;
            let letters = notifier.dead_letters().letters();
            let ids: Vec<_> = letters.iter().map(|letter| letter.item.id.to_string()).collect();
            ensure_eq!(ids, ["a", "b"], "{}: the dead letters", when);
            Ok(())
        };
        play(&cx, DAY, script).await?;
        book.was(&[], &when, "no channel is called")?;
    }
    Ok(())
}

pub async fn without_preferences_the_defaults_hold(cx: Cx) -> Outcome {
    let book = Book::opened(&cx, "2026-06-10T10:00:00Z");
    let defaults =
        Preferences { frequency: Frequency::Batched, ..Preferences::new([ChannelKind::Push]) };
    let ways = KINDS.map(|kind| Way::new(kind, &book));
    let notifier = started(&cx, &book, Config { defaults, ..config() }, ways).await?;
    let name = cx.draw().word();
    let script = async {
        prefer(&notifier, "with preferences", mail(Frequency::Immediate))?;
        let one = send(&notifier, high("a", &name)).await?;
        send(&notifier, low("b", &name)).await?;
        send(&notifier, high("c", "with preferences")).await?;
        book.until(MINUTE).await;
        Ok(fate(one).await)
    };
    let end = play(&cx, MINUTE, script).await?;
    let expected =
        ["0 ms Email to with preferences: c".to_owned(), format!("5000 ms Push to {name}: a b")];
    book.was(
        &expected,
        &format!("`{name}` has no preferences; the defaults are `Batched` and push"),
        "a user without preferences has those of the configuration",
    )?;
    ensure_eq!(end, Some(Fate::Sent { via: vec![ChannelKind::Push] }), "its fate");
    Ok(())
}
