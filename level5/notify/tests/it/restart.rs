//! Weeks of random users with digests, quiet hours and a change of the clock, in which the process dies again and again.
//!
//! Each process is a runtime with a paused clock, which is dropped at a random moment: its tasks end wherever they are.
//! The store and the providers go on, and so does the calendar.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use level5::notifications::retry::Backoff;
use level5::notifications::{Channels, Config, Frequency, Preferences};
use level5::wall_clock::{VirtualWall, WallClock};
use notifier::channel::in_app::{Bells, InApp};
use notifier::channel::{Carrier, Failure, Tracked};
use notifier::desk;
use notifier::entry::{Entry, Urgency};
use notifier::profile::{Known, Often, Profile, Quiet, Way};
use notifier::service::{Service, open};
use notifier::store::{
    Applied, Change, End, InboxItem, Letter, Limits, Loaded, Memory, Parcel, ParcelState, Status,
    Store, StoreError,
};
use notifier::templates::Templates;
use process_kit::Dice;
use tokio::runtime::Builder;
use tokio::time::{sleep, timeout};

use crate::office::{deliver, entry, profile, request};

/// How many histories are played: `NOTIFIER_HISTORIES`, or so many.
const HISTORIES: u64 = 40;
const USERS: [&str; 4] = ["ann", "ben", "cat", "dan"];
const NOTIFICATIONS: usize = 60;
const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;
/// The notifications come in so many days.
const DAYS: u64 = 21;
const WINDOW: Duration = Duration::from_secs(5);
/// The most time from the moment at which something is due to its delivery, with failures and waits between attempts,
/// while the process lives.
const LATE: SignedDuration = SignedDuration::from_mins(15);

type Book = Arc<Mutex<Vec<Note>>>;

/// A letter that a provider has kept.
#[derive(Debug, Clone)]
struct Note {
    way: Way,
    key: String,
    ids: Vec<String>,
    at: Timestamp,
    /// When it said so, if the answer was not lost.
    answered: Option<Timestamp>,
}

/// A provider that is slow, refuses now and then, and sometimes loses its answer.
struct Provider {
    way: Way,
    wall: Arc<dyn WallClock>,
    book: Book,
    dice: Mutex<Dice>,
    has_faults: bool,
}

impl Carrier for Provider {
    fn way(&self) -> Way {
        self.way
    }

    async fn carry(&self, letter: &desk::Letter) -> Result<(), Failure> {
        let (before, after, luck) = {
            let mut dice = self.dice.lock().unwrap();
            (dice.below(1500), dice.below(1500), if self.has_faults { dice.below(10) } else { 9 })
        };
        sleep(Duration::from_millis(before)).await;
        if luck == 0 {
            return Err(Failure::NotTaken("busy".to_owned()));
        }
        let ids = letter.entries.iter().map(|entry| entry.request.id.clone()).collect();
        let (way, key, at) = (self.way, letter.key.clone(), self.wall.now());
        let number = {
            let mut book = self.book.lock().unwrap();
            book.push(Note { way, key, ids, at, answered: None });
            book.len() - 1
        };
        sleep(Duration::from_millis(after)).await;
        if luck == 1 {
            return Err(Failure::Unknown("no answer".to_owned()));
        }
        self.book.lock().unwrap()[number].answered = Some(self.wall.now());
        Ok(())
    }
}

fn someone(dice: &mut Dice) -> Profile {
    let zones = ["Europe/Berlin", "America/New_York", "Asia/Kolkata", "Pacific/Auckland"];
    let time = |dice: &mut Dice| format!("{:02}:{:02}", dice.below(24), dice.below(60));
    let way = [Way::Mail, Way::Webhook, Way::InApp][dice.below(3) as usize];
    Profile {
        // One channel: after an unknown outcome, another one may deliver it too.
        channels: vec![way],
        zone: zones[dice.below(4) as usize].to_owned(),
        quiet: (dice.below(2) == 0).then(|| Quiet { from: time(dice), until: time(dice) }),
        often: match dice.below(6) {
            0 => Often::Immediate,
            1 => Often::Batched,
            2 => Often::Weekly { day: 1 + dice.below(7) as i8, at: time(dice).parse().unwrap() },
            _ => Often::Daily(time(dice).parse().unwrap()),
        },
        ..profile("http://localhost/")
    }
}

/// A notification, with what has happened to it.
struct Sent {
    user: &'static str,
    priority: Urgency,
    accepted: Timestamp,
}

fn add(at: Timestamp, millis: u64) -> Timestamp {
    at + Duration::from_millis(millis)
}

/// When a notification is due by the preferences of its user, apart from quiet hours: not before, and not after.
fn due(sent: &Sent, preferences: &Preferences) -> (Timestamp, Timestamp) {
    let Sent { priority, accepted, .. } = *sent;
    match (priority, preferences.frequency) {
        (Urgency::Urgent, _) | (Urgency::High, Frequency::Immediate) => (accepted, accepted),
        (_, Frequency::Immediate | Frequency::Batched) => (accepted, accepted + WINDOW),
        (_, digests) => {
            let digest = digests.next_digest(accepted, &preferences.zone).unwrap();
            (digest, digest)
        }
    }
}

fn play(seed: u64) {
    let mut dice = Dice::from(seed);
    let dice = &mut dice;
    let start: Timestamp = "2026-03-09T00:00:00Z".parse().unwrap();
    let limits = Limits { inbox: NonZeroUsize::new(10_000).unwrap(), ..Limits::default() };
    let (store, book) = (Memory::new(limits), Book::default());
    let profiles: HashMap<_, _> = USERS.map(|user| (user, someone(dice))).into();
    let preferences: HashMap<_, _> =
        profiles.iter().map(|(user, profile)| (*user, profile.preferences().unwrap())).collect();
    // When they come, in milliseconds from the start.
    let priorities = [Urgency::Low, Urgency::Medium, Urgency::High, Urgency::Urgent];
    let mut coming: Vec<(u64, &'static str, Urgency)> = (0..NOTIFICATIONS)
        .map(|_| {
            let (user, priority) = (dice.below(4), dice.below(4));
            (dice.below(DAYS * DAY), USERS[user as usize], priorities[priority as usize])
        })
        .collect();
    coming.sort_by_key(|(at, ..)| *at);
    let mut sent: BTreeMap<String, Sent> = BTreeMap::new();
    let mut lives: Vec<(Timestamp, Timestamp)> = Vec::new();
    let (mut wall, mut next) = (start, 0);
    let end = add(start, (DAYS + 10) * DAY);
    while wall < end {
        // Killed at any moment, or close to one at which something is due.
        let mut ends = add(wall, dice.below(3 * DAY));
        let waits: Vec<_> = sent
            .iter()
            .filter(|(id, _)| store.status(id).unwrap() == Some(Status::Pending))
            .map(|(_, sent)| due(sent, &preferences[sent.user]).1)
            .filter(|due| *due > wall)
            .collect();
        if !waits.is_empty() && dice.below(3) > 0 {
            ends = add(waits[dice.below(waits.len() as u64) as usize], dice.below(5000));
        }
        let is_last = next == coming.len() && dice.below(4) == 0;
        let ends = if is_last { end } else { ends.min(end) };
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime = runtime.unwrap();
        let life = async {
            let clock = VirtualWall::starting(wall);
            let clock: Arc<dyn WallClock> = Arc::new(clock);
            let (office, loaded) = open(Arc::new(store.clone())).unwrap();
            let provider = |way, dice: &mut Dice| {
                let (wall, book) = (Arc::clone(&clock), Arc::clone(&book));
                let dice = Mutex::new(Dice::from(dice.below(u64::MAX)));
                Tracked::new(Provider { way, wall, book, dice, has_faults: true }, office.clone())
            };
            let templates = Templates::load(None).unwrap();
            let list = InApp::new(office.clone(), templates, Bells::default());
            let channels = Channels::default()
                .with(list)
                .with(provider(Way::Mail, dice))
                .with(provider(Way::Webhook, dice));
            let (first, longest) = (Duration::from_secs(1), Duration::from_secs(60));
            let retry = Backoff::new(first, 2.0, longest, NonZeroU32::new(12).unwrap()).unwrap();
            let config = Config { window: WINDOW, retry, ..Config::default() };
            let started = Service::start(config, Arc::clone(&clock), (office, loaded), channels);
            let (service, _) = started.await.unwrap();
            if lives.is_empty() {
                for (user, profile) in &profiles {
                    service.set_profile((*user).to_owned(), profile.clone()).await.unwrap();
                }
            }
            while let Some((at, user, priority)) = coming.get(next).copied()
                && add(start, at) < ends
            {
                // What came while no process ran comes at its start.
                let wait = add(start, at).duration_since(clock.now());
                sleep(wait.try_into().unwrap_or_default()).await;
                let id = next.to_string();
                let accepted = clock.now();
                service.notify(request(&id, user, priority)).await.unwrap();
                sent.insert(id, Sent { user, priority, accepted });
                next += 1;
            }
            sleep(ends.duration_since(clock.now()).try_into().unwrap_or_default()).await;
            clock.now()
        };
        let died = runtime.block_on(life);
        // The end of all tasks.
        drop(runtime);
        lives.push((wall, died));
        wall = add(died.max(ends), dice.below(2) * dice.below(6 * HOUR));
    }
    assert_eq!(sent.len(), NOTIFICATIONS);
    judge(&sent, &preferences, &lives, &book.lock().unwrap(), &store);
}

fn judge(
    sent: &BTreeMap<String, Sent>,
    preferences: &HashMap<&str, Preferences>,
    lives: &[(Timestamp, Timestamp)],
    notes: &[Note],
    store: &Memory,
) {
    // By channel and notification: the keys of the messages in which it was.
    let mut keys: HashMap<(Way, &str), BTreeSet<&str>> = HashMap::new();
    for note in notes {
        for id in &note.ids {
            keys.entry((note.way, id)).or_default().insert(&note.key);
        }
    }
    for ((way, id), keys) in keys {
        assert_eq!(keys.len(), 1, "`{id}` is in several messages of {way:?}");
    }
    // A message is repeated only if its answer was lost, or if the process died in the moment of the answer.
    for (number, note) in notes.iter().enumerate() {
        let is_known = note.answered.is_some_and(|at| lives.iter().all(|(_, died)| *died != at));
        let again = notes[number + 1..].iter().any(|later| later.key == note.key);
        assert!(!(is_known && again), "{note:?} was repeated");
    }
    let mut digests: HashMap<(&str, Timestamp), BTreeSet<&str>> = HashMap::new();
    for (id, sent) in sent {
        let end = store.status(id).unwrap();
        let Some(Status::Ended(End::Sent { via })) = end else { panic!("`{id}` is lost: {end:?}") };
        let preferences = &preferences[sent.user];
        if via == [Way::InApp] {
            let list = store.inbox(sent.user, 0, usize::MAX).unwrap();
            assert_eq!(list.iter().filter(|item| item.id == *id).count(), 1, "`{id}`");
            continue;
        }
        let (first, last) = due(sent, preferences);
        let is_urgent = sent.priority == Urgency::Urgent;
        let noted: Vec<_> = notes.iter().filter(|note| note.ids.contains(id)).collect();
        let what = format!("`{id}` of {}, due at {last}, came at {:?}", sent.user, noted[0].at);
        assert!(noted.iter().all(|note| note.at >= first), "{what}: too early");
        let quiet = |at| preferences.quiet.and_then(|quiet| quiet.end_after(at, &preferences.zone));
        // An attempt begins outside of quiet hours, and takes some seconds.
        for note in noted.iter().filter(|_| !is_urgent) {
            let begun = note.at - SignedDuration::from_secs(4);
            assert!(quiet(begun).is_none() || quiet(note.at).is_none(), "{what}: in quiet hours");
        }
        // In a process that lived long enough, it came when it was due.
        let release = if is_urgent { last } else { quiet(last).unwrap_or(last) };
        let lives_on = |(from, to): &(Timestamp, Timestamp)| {
            // And no quiet hours began meanwhile.
            *from < release
                && *to > release + LATE
                && (is_urgent || quiet(release + LATE).is_none())
        };
        if lives.iter().any(lives_on) {
            assert!(noted[0].at <= release + LATE, "{what}: too late");
            if first == last && !is_urgent && !matches!(sent.priority, Urgency::High) {
                digests.entry((sent.user, release)).or_default().insert(&noted[0].key);
            }
        }
    }
    for ((user, at), keys) in digests {
        assert_eq!(keys.len(), 1, "the digest of {user} at {at} was divided");
    }
}

/// A store in which a webhook about a notification was delivered, and whose process died before it noted the end.
async fn left_behind(priority: Urgency) -> Memory {
    let (store, since) = (Memory::default(), "2026-01-01T00:00:00Z".parse().unwrap());
    let channels = vec![Way::Mail, Way::Webhook];
    let profile = Profile { channels, ..profile("http://localhost/") };
    let entry = Entry { request: request("1", "ann", priority), accepted_at: since };
    let (key, way, state) = ("key".to_owned(), Way::Webhook, ParcelState::Delivered);
    let parcel = Parcel { key, way, ids: vec!["1".to_owned()], state };
    let known = Known { profile, since };
    // And a parcel that came too late: nothing of it waits.
    let late = Parcel { key: "late".to_owned(), ids: vec!["0".to_owned()], ..parcel.clone() };
    let changes = [Change::Profile("ann".to_owned(), known), Change::Accept(entry)];
    let parcels = [parcel, late].map(Change::Parcel);
    store.apply(changes.into_iter().chain(parcels).collect()).await.unwrap();
    store
}

#[tokio::test(start_paused = true)]
async fn what_a_channel_has_delivered_needs_no_other_one() {
    for (priority, mails, via) in [
        (Urgency::High, 0, vec![Way::Webhook]),
        // By all channels: the one that is left is asked.
        (Urgency::Urgent, 1, vec![Way::Mail, Way::Webhook]),
    ] {
        let store = left_behind(priority).await;
        let wall: Arc<dyn WallClock> =
            Arc::new(VirtualWall::starting("2026-11-29T12:00:00Z".parse().unwrap()));
        let book = Book::default();
        let (office, loaded) = open(Arc::new(store.clone())).unwrap();
        let provider = |way| {
            let (wall, book) = (Arc::clone(&wall), Arc::clone(&book));
            let dice = Mutex::new(Dice::from(1));
            Tracked::new(Provider { way, wall, book, dice, has_faults: false }, office.clone())
        };
        let channels = Channels::default().with(provider(Way::Mail)).with(provider(Way::Webhook));
        let started = Service::start(Config::default(), wall, (office, loaded), channels).await;
        let (service, found) = started.unwrap();
        assert_eq!((found.delivered, found.resumed), (1 - mails, mails), "{priority:?}");
        sleep(Duration::from_secs(60)).await;
        assert_eq!(service.status("1").unwrap(), Some(Status::Ended(End::Sent { via })));
        let book = book.lock().unwrap();
        assert_eq!(book.len(), mails);
        assert!(book.iter().all(|note| note.way == Way::Mail));
        let left = store.load().unwrap();
        assert!(left.pending.is_empty() && left.parcels.is_empty(), "{left:?}");
    }
}

/// A store over a disk that stalls.
struct Stalls(Memory);

impl Store for Stalls {
    fn apply(&self, changes: Vec<Change>) -> BoxFuture<'_, Result<Vec<Applied>, StoreError>> {
        async move {
            sleep(Duration::from_secs(15)).await;
            self.0.apply(changes).await
        }
        .boxed()
    }

    fn load(&self) -> Result<Loaded, StoreError> {
        self.0.load()
    }

    fn inbox(&self, user: &str, after: u64, most: usize) -> Result<Vec<InboxItem>, StoreError> {
        self.0.inbox(user, after, most)
    }

    fn status(&self, id: &str) -> Result<Option<Status>, StoreError> {
        self.0.status(id)
    }

    fn letters(&self) -> Result<Vec<Letter>, StoreError> {
        self.0.letters()
    }

    fn broken(&self) -> BoxFuture<'_, StoreError> {
        self.0.broken()
    }
}

/// The notifier gives a call up after a while, and the disk is done with it later.
#[tokio::test(start_paused = true)]
async fn a_message_of_a_slow_disk_wakes_its_readers() {
    let (store, bells) = (Arc::new(Stalls(Memory::default())), Bells::default());
    store.apply(vec![Change::Accept(entry("1", "ann"))]).await.unwrap();
    let (office, _) = open(store).unwrap();
    let list = InApp::new(office.clone(), Templates::load(None).unwrap(), bells.clone());
    let mut listener = bells.listen("ann");
    assert!(timeout(Duration::from_secs(10), deliver(&list, &["1"])).await.is_err());
    listener.rings().await;
    assert_eq!(office.store.inbox("ann", 0, 10).unwrap().len(), 1);
    assert!(office.desk.is_delivered(Way::InApp, "1"));
    // The next attempt finds it.
    deliver(&list, &["1"]).await.unwrap();
    assert_eq!(office.store.inbox("ann", 0, 10).unwrap().len(), 1);
}

#[test]
fn digests_outlive_their_processes() {
    let mut dice = Dice::of_variable("NOTIFIER_SEED");
    let histories = std::env::var("NOTIFIER_HISTORIES");
    let histories = histories.map_or(HISTORIES, |histories| histories.parse().unwrap());
    for _ in 0..histories {
        let seed = dice.below(u64::MAX);
        println!("history {seed}");
        play(seed);
    }
}
