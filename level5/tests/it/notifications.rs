//! A night of one user: what is urgent goes, the rest waits for the morning, and a restart changes nothing.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::civil::time;
use jiff::tz::TimeZone;
use level5::notifications::{
    Channel, ChannelError, ChannelKind, Channels, Config, Fate, Frequency, Notification, Notifier,
    Preferences, Priority, QuietHours, Rendered, UserId,
};
use level5::wall_clock::{VirtualWall, WallClock as _};
use tokio::time::sleep;

/// Notes what it delivers, and when.
#[derive(Clone)]
struct Phone {
    wall: VirtualWall,
    log: Arc<Mutex<Vec<String>>>,
}

impl Channel for Phone {
    fn kind(&self) -> ChannelKind {
        ChannelKind::Sms
    }

    async fn deliver(&self, to: &UserId, messages: &[Rendered]) -> Result<(), ChannelError> {
        let texts: Vec<&str> = messages.iter().map(|one| one.text.as_str()).collect();
        let line = format!("{} {to}: {}", self.wall.now(), texts.join(" | "));
        self.log.lock().expect("no panic under the lock").push(line);
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_night_and_a_restart() {
    // 23:00 in Berlin, on the evening before the clock is put forward.
    let wall = VirtualWall::starting("2026-03-28T22:00:00Z".parse().expect("a date"));
    let phone = Phone { wall, log: Arc::default() };
    let preferences = Preferences {
        zone: TimeZone::get("Europe/Berlin").expect("a zone of the database"),
        quiet: Some(QuietHours::new(time(22, 0, 0, 0), time(7, 0, 0, 0))),
        frequency: Frequency::Batched,
        ..Preferences::new([ChannelKind::Sms])
    };
    let start = || {
        let channels = Channels::default().with(phone.clone());
        let notifier = Notifier::start(Config::default(), wall, channels).expect("the defaults");
        notifier.set_preferences("ann".into(), preferences.clone()).expect("one channel");
        notifier
    };
    let notifier = start();
    let mut receipts = Vec::new();
    for (id, priority) in
        [("likes", Priority::Low), ("fire", Priority::Urgent), ("bill", Priority::High)]
    {
        let one = Notification::new(id, "ann", priority, id);
        receipts.push(notifier.notify(one).await.expect("it is new"));
    }
    sleep(Duration::from_secs(60)).await;
    let report = notifier.shutdown(Duration::from_secs(1)).await;
    assert_eq!(report.pending.len(), 2);
    let fates = futures::future::join_all(receipts.into_iter().map(|one| one.fate())).await;
    let due = "2026-03-29T05:00:00Z".parse().expect("a date");
    let held = Fate::Pending { due };
    let sent = Fate::Sent { via: vec![ChannelKind::Sms] };
    assert_eq!(fates, [held.clone(), sent, held]);

    let notifier = start();
    for pending in report.pending {
        notifier.resume(pending).await.expect("it is new here");
    }
    sleep(Duration::from_secs(24 * 60 * 60)).await;
    let log = phone.log.lock().expect("no panic under the lock").clone();
    // A night of 8 hours: 07:00 is at 05:00 UTC.
    assert_eq!(log, ["2026-03-28T22:00:00Z ann: fire", "2026-03-29T05:00:00Z ann: likes\nbill"]);
}
