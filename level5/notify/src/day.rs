//! A simulated day: the real service and templates, providers that are simulated, and a virtual clock.
//!
//! It is the night in which the clock of Berlin is put forward. The process dies before the morning and comes back after
//! the moment at which notifications were due.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Time;
use level5::notifications::{
    Channel, ChannelError, ChannelKind, Channels, Config, Rendered, UserId,
};
use level5::wall_clock::{VirtualWall, WallClock};
use serde_json::{Map, Value, json};
use tokio::time::sleep;

use crate::channel::in_app::{Bells, InApp};
use crate::channel::{Carrier, Failure, Tracked};
use crate::desk::{Desk, Letter};
use crate::entry::{Request, Urgency};
use crate::problem::ProgramError;
use crate::profile::{Endpoint, Often, Profile, Quiet, Way};
use crate::service::{Accepted, NotifyError, Service, StartError, open};
use crate::store::{Memory, Store, StoreError};
use crate::templates::{TemplateError, Templates};

/// When the day begins: a Saturday evening in Europe.
const BEGINS: Timestamp = Timestamp::constant(1_774_720_800, 0);
/// The process dies, and comes back.
const DIES: (u64, u64) = (10 * HOUR, 11 * HOUR + 30 * MINUTE);
const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const ENDS: u64 = 24 * HOUR;
/// A secret as documentation has them: nothing is signed here.
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Why the day cannot be played.
#[derive(Debug, thiserror::Error)]
pub enum DayError {
    /// The service did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The templates.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// A notification was refused.
    #[error(transparent)]
    Notify(#[from] NotifyError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A profile was refused.
    #[error("{0}")]
    Profile(String),
}

impl From<DayError> for ProgramError {
    fn from(error: DayError) -> Self {
        match error {
            DayError::Start(error) => Self::Start(error),
            DayError::Template(error) => Self::Template(error),
            DayError::Store(error) => Self::Store(error),
            other => Self::System(std::io::Error::other(other.to_string())),
        }
    }
}

/// What the processes of the day share.
#[derive(Clone)]
struct Stage {
    store: Memory,
    wall: Arc<dyn WallClock>,
    templates: Templates,
    lines: Arc<Mutex<Vec<String>>>,
    /// By user: the last message of the list that was shown.
    shown: Arc<Mutex<HashMap<String, u64>>>,
}

impl Stage {
    fn say(&self, line: String) {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }

    /// A line about a user, with the time of the user.
    fn about(&self, user: &str, zone: &str, what: &str, text: &str) {
        let now = self.wall.now();
        let zone = jiff::tz::TimeZone::get(zone).unwrap_or(jiff::tz::TimeZone::UTC);
        let utc = now.strftime("%H:%M:%S");
        let local = zone.to_datetime(now);
        self.say(format!("{utc}  {user:<4}{}  {what:<9}{text}", local.strftime("%a %H:%M")));
    }

    async fn start(&self) -> Result<Arc<Service>, DayError> {
        let (office, loaded) = open(Arc::new(self.store.clone()))?;
        let desk = Arc::clone(&office.desk);
        let list = InApp::new(office.clone(), self.templates.clone(), Bells::default());
        let list = List { list, stage: self.clone(), desk };
        let simulated = |way| Tracked::new(Simulated { way, stage: self.clone() }, office.clone());
        let channels =
            Channels::default().with(list).with(simulated(Way::Mail)).with(simulated(Way::Webhook));
        let wall = Arc::clone(&self.wall);
        let (service, found) =
            Service::start(Config::default(), wall, (office, loaded), channels).await?;
        if found.resumed > 0 {
            let utc = self.wall.now().strftime("%H:%M:%S");
            self.say(format!("{utc}  The program starts: {} notifications wait.", found.resumed));
        }
        Ok(service)
    }

    async fn until(&self, second: u64) {
        let at = BEGINS + Duration::from_secs(second);
        sleep(at.duration_since(self.wall.now()).try_into().unwrap_or_default()).await;
    }
}

/// A provider that prints what it gets. One user's endpoint is busy for some seconds, and another one's mail address
/// does not exist.
struct Simulated {
    way: Way,
    stage: Stage,
}

impl Carrier for Simulated {
    fn way(&self) -> Way {
        self.way
    }

    async fn carry(&self, letter: &Letter) -> Result<(), Failure> {
        sleep(Duration::from_millis(300)).await;
        let (user, zone) = (letter.user.as_str(), letter.profile.zone.as_str());
        let way = self.way.name();
        if user == "cat" && self.stage.wall.now() < BEGINS + Duration::from_secs(HOUR + 8) {
            self.stage.about(user, zone, way, "503: the endpoint is busy");
            return Err(Failure::NotTaken("503 Service Unavailable".to_owned()));
        }
        if user == "eve" {
            self.stage.about(user, zone, way, "550: there is no such address");
            return Err(Failure::Refused("550 no such user".to_owned()));
        }
        let mail = self.stage.templates.mail(letter);
        let mail = mail.map_err(|why| Failure::Refused(why.to_string()))?;
        let lines = letter.entries.iter();
        let lines = lines.map(|entry| self.stage.templates.line(entry, &letter.profile));
        let lines: Result<Vec<_>, _> = lines.collect();
        let lines = lines.map_err(|why| Failure::Refused(why.to_string()))?;
        let text = match self.way {
            Way::Mail if lines.len() > 1 => format!("{}: {}", mail.subject, lines.join(" | ")),
            _ => lines.join(" | "),
        };
        self.stage.about(user, zone, way, &text);
        Ok(())
    }
}

/// The list within the application, which prints what comes into it.
struct List {
    list: InApp,
    stage: Stage,
    desk: Arc<Desk>,
}

impl Channel for List {
    fn kind(&self) -> ChannelKind {
        ChannelKind::InApp
    }

    async fn deliver(&self, to: &UserId, messages: &[Rendered]) -> Result<(), ChannelError> {
        self.list.deliver(to, messages).await?;
        let mut shown = self.stage.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let last = shown.entry(to.0.to_string()).or_default();
        let items = self.stage.store.inbox(&to.0, *last, usize::MAX);
        let zone = self.desk.profile(&to.0).zone;
        for item in items.map_err(|error| ChannelError(error.to_string()))? {
            *last = item.number;
            self.stage.about(&to.0, &zone, Way::InApp.name(), &item.text);
        }
        Ok(())
    }
}

/// The users of the day. Dan has no profile.
fn profiles() -> [(&'static str, Profile); 4] {
    let mail = |user: &str| Some(format!("{user}@mail.example"));
    let nine = Time::constant(9, 0, 0, 0);
    [
        (
            "ann",
            Profile {
                language: "de".to_owned(),
                mail: mail("ann"),
                channels: vec![Way::InApp, Way::Mail],
                zone: "Europe/Berlin".to_owned(),
                quiet: Some(Quiet { from: "22:00".to_owned(), until: "07:00".to_owned() }),
                ..Profile::in_app()
            },
        ),
        (
            "ben",
            Profile {
                mail: mail("ben"),
                channels: vec![Way::Mail],
                zone: "America/New_York".to_owned(),
                often: Often::Daily(nine),
                ..Profile::in_app()
            },
        ),
        (
            "cat",
            Profile {
                webhook: Some(Endpoint {
                    url: "https://cat.example/hook".to_owned(),
                    secret: SECRET.to_owned(),
                }),
                channels: vec![Way::Webhook],
                zone: "Asia/Kolkata".to_owned(),
                often: Often::Batched,
                ..Profile::in_app()
            },
        ),
        ("eve", Profile { mail: mail("eve"), channels: vec![Way::Mail], ..Profile::in_app() }),
    ]
}

/// The notifications of the day: the second, the user, the topic, the priority, the data, and the seconds until it
/// expires.
type Coming = (u64, &'static str, &'static str, Urgency, Value, Option<u64>);

fn notifications() -> Vec<Coming> {
    let likes = |count: u32| json!({"count": count, "what": "\u{201c}Alps\u{201d}"});
    let invoice = |number: u32| json!({"number": number, "amount": "12.50 EUR"});
    let text = |text: &str| json!({ "text": text });
    use Urgency::{High, Low, Medium, Urgent};
    vec![
        (0, "ann", "likes", Low, likes(3), None),
        (2, "ann", "likes", Low, likes(1), None),
        (30 * MINUTE, "ben", "invoice", Medium, invoice(4711), None),
        (HOUR, "cat", "build", Medium, text("Build 17 has failed."), None),
        (HOUR + 1, "cat", "build", Medium, text("Build 18 is fine."), None),
        (3 * HOUR + 30 * MINUTE, "ann", "invoice", High, invoice(4712), None),
        (3 * HOUR + 45 * MINUTE, "ann", "login", Urgent, json!({"place": "Oslo"}), None),
        (5 * HOUR, "ben", "likes", Low, likes(2), None),
        (6 * HOUR, "ben", "sale", Low, text("The sale ends at noon in Berlin."), Some(4 * HOUR)),
        (9 * HOUR, "ann", "likes", Low, likes(5), None),
        (12 * HOUR, "dan", "weather", High, text("It rains."), None),
        (13 * HOUR, "eve", "invoice", High, invoice(4713), None),
        (14 * HOUR, "ben", "login", Urgent, json!({"place": "Lima"}), None),
    ]
}

/// Plays the day on the clock of the runtime, which is to be paused. Returns the lines of its report.
///
/// # Errors
///
/// [`DayError`].
pub async fn play() -> Result<Vec<String>, DayError> {
    let wall = Arc::new(VirtualWall::starting(BEGINS));
    let (store, templates) = (Memory::default(), Templates::load(None)?);
    let (lines, shown) = (Arc::default(), Arc::default());
    let stage = Stage { store, wall, templates, lines, shown };
    stage.say(
        "A day of notifications on a virtual clock: UTC, the user, and the user's time.".to_owned(),
    );
    stage.say("In Berlin it is the night in which the clock is put forward.\n".to_owned());
    let mut service = stage.start().await?;
    for (user, profile) in profiles() {
        let set = service.set_profile(user.to_owned(), profile).await;
        set.map_err(|why| DayError::Profile(why.to_string()))?;
    }
    let mut ids = Vec::new();
    let mut has_died = false;
    for (number, (second, user, topic, priority, data, lasts)) in
        notifications().into_iter().enumerate()
    {
        if second > DIES.1 && !has_died {
            service = die(&stage, service).await?;
            has_died = true;
        }
        stage.until(second).await;
        let data = data.as_object().cloned().unwrap_or_else(Map::new);
        let (id, user, topic) = (format!("{topic}-{number}"), user.to_owned(), topic.to_owned());
        let expires_at = lasts.map(|lasts| stage.wall.now() + Duration::from_secs(lasts));
        ids.push(id.clone());
        let request = Request { id, user, topic, priority, data, expires_at };
        if service.notify(request).await? == Accepted::Known {
            stage.say("A notification was known before.".to_owned());
        }
    }
    stage.until(ENDS).await;
    let waits = service.shutdown(Duration::from_secs(10)).await;
    report(&stage, &ids, waits)?;
    let mut lines = stage.lines.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(std::mem::take(&mut *lines))
}

/// Ends the process without a farewell, and starts another one on its store.
async fn die(stage: &Stage, service: Arc<Service>) -> Result<Arc<Service>, DayError> {
    stage.until(DIES.0).await;
    let waits = service.backlog().notifications;
    drop(service);
    let utc = stage.wall.now().strftime("%H:%M:%S");
    stage.say(format!("{utc}  The program dies. {waits} notifications are in the store."));
    stage.until(DIES.1).await;
    stage.start().await
}

/// How each notification has ended.
fn report(stage: &Stage, ids: &[String], waits: usize) -> Result<(), DayError> {
    use crate::store::{End, Status};
    let (mut sent, mut expired, mut dead) = (0, 0, Vec::new());
    for id in ids {
        match stage.store.status(id)? {
            Some(Status::Ended(End::Sent { .. })) => sent += 1,
            Some(Status::Ended(End::Expired)) => expired += 1,
            Some(Status::Dead(letter)) => dead.push(format!("{id}: {}", letter.why)),
            _ => {}
        }
    }
    let accepted = ids.len();
    stage.say(format!(
        "\n{accepted} accepted = {sent} sent + {expired} expired + {} dead + {waits} waiting",
        dead.len()
    ));
    dead.into_iter().for_each(|letter| stage.say(format!("dead letter {letter}")));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_day_ends_well() {
        let lines = play().await.unwrap().join("\n");
        for expected in [
            // The window joins two, and the language is the user's.
            "18:00:05  ann Sat 19:00  in_app   3 Personen mögen “Alps”.",
            // Urgent, in quiet hours.
            "21:45:00  ann Sat 22:45  in_app   Anmeldung aus Oslo",
            "21:45:00  ann Sat 22:45  mail     Anmeldung aus Oslo",
            // Held until 07:00, which was an hour earlier on this day; the program was dead then.
            "05:30:00  ann Sun 07:30  in_app   Die Rechnung 4712",
            "13:00:00  ben Sun 09:00  mail     2 notifications: ",
            "13 accepted = 11 sent + 1 expired + 1 dead + 0 waiting",
        ] {
            assert_eq!(lines.matches(expected).count(), 1, "{expected} in\n{lines}");
        }
    }
}
