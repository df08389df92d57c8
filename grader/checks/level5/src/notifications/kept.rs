//! What is kept, and what is refused.

use grader_kit::{Cx, Outcome, ensure, ensure_eq, ms};
use jiff::Timestamp;
use level5::notifications::{
    ChannelKind, Channels, Config, ConfigError, Fate, Frequency, Notification, Notifier, Pending,
    Preferences, PreferencesError, Priority, Receipt, Refused,
};
use level5::wall_clock::WallClock as _;

use super::{high, low, mail, medium, urgent};
use crate::mailroom::{
    Answer, Book, DAY, HOUR, MINUTE, SECOND, Way, config, fate, lines, play, prefer, send, started,
    with_mail,
};
use std::num::NonZeroUsize;

pub async fn an_id_goes_once(cx: Cx) -> Outcome {
    let book = Book::opened(&cx, "2026-06-10T10:00:00Z");
    let notifier = with_mail(&cx, &book).await?;
    let name = cx.draw().word();
    let ghost = format!("{name} of a dropped call");
    let script = async {
        // Calls that are made and not polled.
        drop(notifier.notify(urgent(&ghost, "ann")));
        let due = book.wall.now();
        drop(notifier.resume(Pending { notification: high(&ghost, "ben"), due }));
        let waits = notifier.backlog().notifications;
        ensure!(waits == 0, "two calls were made and dropped without a poll, and {waits} notifications wait"; expected = "none", help = "`notify` accepts in its first poll, and not when it is called");
        let again = async |when: &str, id: &str| {
            for notification in [low(id, "ann"), urgent(id, "ann"), high(id, "ben")] {
                let found = notifier.notify(notification).await.err();
                ensure_eq!(found, Some(Refused::Duplicate), "the id `{}` once more, {}", id, when);
            }
            Ok(())
        };
        send(&notifier, low(&name, "ann")).await?;
        again("while the first one waits", &name).await?;
        book.until(3000).await;
        again("while the first one waits", &name).await?;
        book.until(5010).await;
        again("while the first one is on its way", &name).await?;
        book.until(MINUTE).await;
        again("after the first one was sent", &name).await?;
        let expired = Notification { expires_at: Some(Timestamp::UNIX_EPOCH), ..low("old", "ann") };
        let end = fate(send(&notifier, expired).await?).await;
        again(&format!("after the first one ended: {end:?}"), "old").await?;
        // Other ids that look alike.
        for id in [format!("{name} "), name.to_uppercase(), "olds".to_owned(), ghost.clone()] {
            send(&notifier, high(&id, "ann")).await?;
            book.until(book.now() + SECOND).await;
        }
        Ok(())
    };
    play(&cx, 2 * MINUTE, script).await?;
    let calls: Vec<_> = book.seen().iter().map(|call| call.ids().join(" ")).collect();
    let expected =
        [name.clone(), format!("{name} "), name.to_uppercase(), "olds".to_owned(), ghost];
    ensure_eq!(calls, expected, "what is delivered";
        help = "ask a set of ids before anything else changes");
    what_is_dead_may_come_again(&cx).await
}

/// A notification that is dead was not delivered: its id is free, also for another user.
async fn what_is_dead_may_come_again(cx: &Cx) -> Outcome {
    const HELP: &str = "remember the ids of what was sent and of what has expired, and forget those of what is dead: a person sends a dead letter again";
    let waits = cx.draw().between(10..=20) * MINUTE;
    for (priority, has_channel) in
        [(Priority::High, true), (Priority::Urgent, true), (Priority::High, false)]
    {
        let book = Book::opened(cx, "2026-06-10T10:00:00Z");
        let way = Way::new(ChannelKind::Email, &book).to("bad", Answer::Fails(0));
        let notifier = started(cx, &book, config(), [way]).await?;
        let one = |user: &str| Notification::new("a", user, priority, "a text");
        let script = async {
            if !has_channel {
                prefer(&notifier, "bad", Preferences::new([ChannelKind::Push]))?;
            }
            let dead = fate_after(&book, send(&notifier, one("bad")).await?, waits).await;
            let what = if has_channel {
                format!("a notification ({priority:?}) fails as often as it may")
            } else {
                "a notification has no channel that the notifier has".to_owned()
            };
            if !matches!(dead, Some(Fate::Dead(_))) {
                // That is the business of other criteria.
                return Ok(());
            }
            let again = match notifier.notify(one("ann")).await {
                Ok(receipt) => format!("{:?}", fate_after(&book, receipt, 2 * waits).await),
                Err(refused) => format!("refused: {refused:?}"),
            };
            ensure!(again.contains("Sent"), "{what}, and it is dead; then it comes again under its id, for another user: {again}"; expected = "it is accepted and sent", help = HELP);
            let third = notifier.notify(one("ann")).await.err();
            ensure_eq!(third, Some(Refused::Duplicate), "{}, and it is dead; then it comes again under its id, and is delivered: the id once more", what; help = HELP);
            Ok(())
        };
        play(cx, 3 * waits, script).await?;
    }
    Ok(())
}

async fn fate_after(book: &Book, receipt: Receipt, at: u64) -> Option<Fate> {
    book.until(at).await;
    fate(receipt).await
}

pub async fn refuses_bad_settings(cx: Cx) -> Outcome {
    use ChannelKind::{Email, Push};
    let book = Book::opened(&cx, "2026-06-10T10:00:00Z");
    let bad = [
        (vec![], PreferencesError::NoChannels),
        (vec![Email, Push, Email], PreferencesError::ListedTwice(Email)),
        (vec![Email, Push, Push], PreferencesError::ListedTwice(Push)),
    ];
    let wall = book.wall;
    let start = async |config: Config| {
        let made = || Notifier::start(config, wall, Channels::default()).map(drop);
        cx.call_fn("Notifier::start", made).await
    };
    for (channels, error) in &bad {
        let defaults = Preferences::new(channels.clone());
        let found = start(Config { defaults, ..config() }).await?;
        ensure_eq!(
            found,
            Err(ConfigError::Defaults(*error)),
            "default preferences with the channels {:?}",
            channels
        );
    }
    let zero = Config { channel_timeout: ms(0), ..config() };
    ensure_eq!(start(zero).await?, Err(ConfigError::ZeroTimeout), "a `channel_timeout` of zero");
    let notifier = with_mail(&cx, &book).await?;
    let script = async {
        prefer(&notifier, "ann", mail(Frequency::Immediate))?;
        for (channels, error) in bad {
            let preferences =
                Preferences { frequency: Frequency::DAILY, ..Preferences::new(channels.clone()) };
            let found = notifier.set_preferences("ann".into(), preferences);
            ensure_eq!(found, Err(error), "preferences with the channels {:?}", channels);
        }
        let topic = Notification { topic: String::new(), ..high("a", "ann") };
        for (one, field) in [(high("", "ann"), "id"), (high("a", ""), "user"), (topic, "topic")] {
            let found = notifier.notify(one).await.err();
            ensure_eq!(found, Some(Refused::Empty(field)), "a notification without a {}", field);
        }
        // Nothing of it has stayed: the preferences from before hold, and the id is free. An empty text is a text.
        send(&notifier, Notification { message: Some(String::new()), ..high("a", "ann") }).await?;
        book.until(MINUTE).await;
        Ok(())
    };
    play(&cx, MINUTE, script).await?;
    book.was(
        &lines(["0 ms Email to ann: a"]),
        "a notification after preferences and notifications that were refused",
        "check before anything changes",
    )
}

pub async fn idle_is_free(cx: Cx) -> Outcome {
    const USERS: usize = 10_000;
    let book = Book::opened(&cx, "2026-06-10T10:00:00Z");
    let way = Way::new(ChannelKind::Email, &book);
    let notifier = started(&cx, &book, config(), [way]).await?;
    let tasks = cx.alive_tasks();
    let mut draw = cx.draw();
    let priorities = [Priority::Low, Priority::Medium, Priority::High, Priority::Urgent];
    let script = async {
        for number in 0..USERS {
            let user = format!("u{number}");
            let one = Notification::new(&user, &user, *draw.pick(&priorities), "a text");
            // The receipt is not kept: a notification needs none.
            send(&notifier, one).await?;
        }
        book.until(MINUTE).await;
        let backlog = notifier.backlog();
        ensure!(backlog.notifications == 0 && backlog.users == 0, "{USERS} users had a notification each, and after a minute there is {backlog:?}";
            expected = "nothing waits, and no user is kept", help = "remove a user whose last notification has its fate");
        let left = cx.alive_tasks().saturating_sub(tasks);
        ensure!(left <= 10, "{USERS} users had a notification each, and after a minute {left} more tasks are alive";
            expected = "no task for each user");
        book.until(70 * DAY).await;
        send(&notifier, high("last", "ann")).await?;
        book.until(70 * DAY + SECOND).await;
        Ok(())
    };
    play(&cx, 70 * DAY + SECOND, script).await?;
    let seen = book.seen();
    ensure_eq!(seen.len(), USERS + 1, "so many deliveries");
    let last = seen.last().map(|call| (call.at, call.ids()));
    ensure_eq!(last, Some((70 * DAY, vec!["last".to_owned()])), "a high one after ten weeks");
    super::expiry::no_user_stays(&cx).await
}

fn count(count: usize) -> NonZeroUsize {
    NonZeroUsize::new(count).unwrap_or(NonZeroUsize::MIN)
}

pub async fn what_is_kept_is_bounded(cx: Cx) -> Outcome {
    let drawn = 2 + cx.draw().index(30);
    for capacity in [1, drawn, 300] {
        // Those that wait.
        let book = Book::opened(&cx, "2026-06-10T08:00:00Z");
        let config = Config { max_pending: count(capacity), ..config() };
        let notifier = started(&cx, &book, config, [Way::new(ChannelKind::Email, &book)]).await?;
        let script = async {
            prefer(&notifier, "dan", mail(Frequency::DAILY))?;
            for round in 0..2 {
                for number in 0..capacity {
                    // Of digests, of windows, and on their way.
                    let user = ["dan", "win", "now"][number % 3];
                    let id = format!("{round}-{number}");
                    let one = if user == "now" { high(&id, user) } else { medium(&id, user) };
                    send(&notifier, one).await?;
                }
                for priority in [Priority::Low, Priority::Urgent] {
                    let one = Notification::new("more", "ann", priority, "a text");
                    let found = notifier.notify(one).await.err();
                    ensure_eq!(
                        found,
                        Some(Refused::Full { capacity }),
                        "{} wait, as many as may: one more",
                        capacity
                    );
                }
                book.until(book.now() + 2 * DAY).await;
            }
            Ok(())
        };
        play(&cx, 4 * DAY, script).await?;
    }
    // Dead letters.
    let book = Book::opened(&cx, "2026-06-10T08:00:00Z");
    let config_of = |letters| Config { dead_letters: count(letters), ..config() };
    let way = Way::new(ChannelKind::Email, &book).always(Answer::Fails(0));
    let notifier = started(&cx, &book, config_of(drawn), [way]).await?;
    let script = async {
        for number in 0..drawn + 3 {
            send(&notifier, high(&number.to_string(), &format!("u{number}"))).await?;
            book.until(book.now() + SECOND).await;
        }
        book.until(10 * MINUTE).await;
        let letters = notifier.dead_letters().letters();
        let ids: Vec<_> = letters.iter().map(|letter| letter.item.id.to_string()).collect();
        let expected: Vec<_> = (0..drawn).map(|number| number.to_string()).collect();
        ensure_eq!(ids, expected, "{} notifications are dead, {} letters are kept", drawn + 3, drawn;
            help = "a full queue keeps the older ones");
        Ok(())
    };
    play(&cx, 10 * MINUTE, script).await?;
    // Ids.
    let book = Book::opened(&cx, "2026-06-10T08:00:00Z");
    let config = Config { remembered_ids: count(drawn), ..config() };
    let notifier = started(&cx, &book, config, [Way::new(ChannelKind::Email, &book)]).await?;
    let script = async {
        for number in 0..=drawn {
            send(&notifier, high(&number.to_string(), "ann")).await?;
            book.until(book.now() + SECOND).await;
        }
        for number in [1, drawn] {
            let found = notifier.notify(high(&number.to_string(), "ann")).await.err();
            ensure_eq!(
                found,
                Some(Refused::Duplicate),
                "{} were sent, {} are remembered: number {} again",
                drawn + 1,
                drawn,
                number
            );
        }
        send(&notifier, high("0", "ann")).await?;
        Ok(())
    };
    play(&cx, MINUTE, script).await?;
    counts_whatever_has_no_fate(&cx).await
}

/// A place is taken from the acceptance to the fate, whatever happens between, and then it is free.
async fn counts_whatever_has_no_fate(cx: &Cx) -> Outcome {
    // What the one that has the only place does, at how many ms it still has it, and when it has a fate.
    for (what, taken, free) in [
        ("is on its way for 3 s", 2990, 3010),
        ("waits between two attempts", 6900, 7100),
        ("is urgent, and waits between two attempts", 6900, 7100),
        ("is held in quiet hours", 7 * HOUR - 10, 7 * HOUR + 50),
        ("is resumed, due in a day", DAY - 10, DAY + 50),
        ("waits for a digest, and expires", 4990, 5010),
        ("has no channel", 0, 10),
    ] {
        let book = Book::opened(cx, "2026-06-10T00:00:00Z");
        let config = Config { max_pending: count(1), ..config() };
        let way = Way::new(ChannelKind::Email, &book);
        let way = match what {
            "is on its way for 3 s" => way.first([Answer::Delivers(3000)]),
            _ => way.to("bad", Answer::Fails(0)),
        };
        let notifier = started(cx, &book, config, [way]).await?;
        let script = async {
            prefer(&notifier, "quiet", super::quiet_mail("UTC", Frequency::Immediate))?;
            prefer(&notifier, "dan", mail(Frequency::DAILY))?;
            prefer(&notifier, "nowhere", Preferences::new([ChannelKind::Push]))?;
            let now = book.wall.now();
            let accepted = match what {
                "is on its way for 3 s" => notifier.notify(high("a", "slow")).await,
                "waits between two attempts" => notifier.notify(high("a", "bad")).await,
                "is held in quiet hours" => notifier.notify(high("a", "quiet")).await,
                "is resumed, due in a day" => {
                    let pending = Pending { notification: low("a", "ann"), due: now + ms(DAY) };
                    notifier.resume(pending).await
                }
                "waits for a digest, and expires" => {
                    let one = Notification { expires_at: Some(now + ms(5000)), ..low("a", "dan") };
                    notifier.notify(one).await
                }
                "has no channel" => notifier.notify(high("a", "nowhere")).await,
                _ => notifier.notify(urgent("a", "bad")).await,
            };
            ensure!(accepted.is_ok(), "the only notification is refused: {accepted:?}"; expected = "it is accepted");
            let full = || Some(Refused::Full { capacity: 1 });
            for at in [0, taken / 2, taken].into_iter().filter(|at| *at <= taken && taken > 0) {
                book.until(at).await;
                let one = notifier.notify(high("more", "ann")).await.err();
                let pending = Pending { notification: high("more", "ann"), due: book.wall.now() };
                let other = notifier.resume(pending).await.err();
                ensure_eq!(
                    (one, other),
                    (full(), full()),
                    "one notification may wait, and it {what}: another one at {at} ms, accepted and resumed"
                );
            }
            book.until(free).await;
            let found = notifier.notify(high("more", "ann")).await.err();
            ensure_eq!(
                found,
                None,
                "one notification may wait, and it {what}; at {free} ms it has its fate: another one"
            );
            Ok(())
        };
        play(cx, 2 * DAY, script).await?;
    }
    Ok(())
}
