//! A year of a user who travels and changes preferences: every digest comes at its local time, with all that it should
//! have.
//!
//! The model beside it plans in another way than the notifier does: it goes from offset to offset and from minute to
//! minute, and asks jiff for nothing but the offset of a moment.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::civil::{DateTime, Time, Weekday};
use jiff::tz::{Offset, TimeZone};
use jiff::{Span, Timestamp};
use level5::notifications::{
    Channel, ChannelError, ChannelKind, Channels, Config, Frequency, Notification, Notifier,
    Preferences, Priority, QuietHours, Rendered, UserId,
};
use level5::wall_clock::{VirtualWall, WallClock as _};
use proptest::prelude::{Just, ProptestConfig, Strategy, prop_assert_eq, prop_oneof, proptest};
use tokio::time::sleep;

/// Clocks that change by an hour, by half an hour, by two, around a fast, and not at all.
const ZONES: [&str; 9] = [
    "Europe/Berlin",
    "America/New_York",
    "America/St_Johns",
    "Australia/Lord_Howe",
    "Pacific/Chatham",
    "Antarctica/Troll",
    "Africa/Casablanca",
    "Asia/Kolkata",
    "UTC",
];
/// The days of the year 2026, counted from 0, on which clocks of these zones change.
const CHANGES: [u64; 9] = [45, 66, 80, 87, 94, 269, 276, 297, 304];
const BEGINS: Timestamp = Timestamp::constant(1_767_225_600, 0);
const DAY: u64 = 24 * 60 * 60 * 1000;
const WINDOW: Duration = Duration::from_secs(5);

/// What the user or the application does.
#[derive(Debug, Clone)]
enum Step {
    Notify(Priority),
    Prefer(Wish),
}

/// The preferences of the user, by name.
#[derive(Debug, Clone)]
struct Wish {
    zone: &'static str,
    frequency: Frequency,
    quiet: Option<(Time, Time)>,
}

impl Wish {
    fn zone(&self) -> TimeZone {
        TimeZone::get(self.zone).expect("a zone of the database")
    }

    fn preferences(&self) -> Preferences {
        let quiet = self.quiet.map(|(start, end)| QuietHours::new(start, end));
        let only = Preferences::new([ChannelKind::Sms]);
        Preferences { zone: self.zone(), quiet, frequency: self.frequency, ..only }
    }
}

fn time() -> impl Strategy<Value = Time> {
    // Half of them in the hours in which clocks change.
    let hour = prop_oneof![0..24_i8, 0..4_i8];
    (hour, 0..60_i8).prop_map(|(hour, minute)| Time::constant(hour, minute, 0, 0))
}

fn wish() -> impl Strategy<Value = Wish> {
    let weekly = (1..=7_i8, time()).prop_map(|(day, at)| {
        let on = Weekday::from_monday_one_offset(day).expect("a day of the week");
        Frequency::Weekly { on, at }
    });
    let frequency = prop_oneof![
        7 => time().prop_map(|at| Frequency::Daily { at }),
        3 => weekly,
        1 => Just(Frequency::Batched),
        1 => Just(Frequency::Immediate),
    ];
    let quiet = proptest::option::of((time(), time()));
    let zone = proptest::sample::select(&ZONES[..]);
    (zone, frequency, quiet).prop_map(|(zone, frequency, quiet)| Wish { zone, frequency, quiet })
}

/// A moment of the year, in milliseconds from the start. Never at a full second, so that it is never that of a digest or
/// of the end of quiet hours.
fn moment() -> impl Strategy<Value = u64> {
    let any = 0..365 * DAY;
    // Around the nights in which clocks change, and several within a window.
    let changes = (proptest::sample::select(&CHANGES[..]), 0..3 * DAY);
    let changes = changes.prop_map(|(day, millis)| (day - 1) * DAY + millis);
    let bursts = (0..8_u64, 0..12_000_u64).prop_map(|(number, millis)| number * 40 * DAY + millis);
    let at = prop_oneof![2 => any, 5 => changes, 2 => bursts];
    at.prop_map(|millis| if millis % 1000 == 0 { millis + 1 } else { millis })
}

/// Steps with their moments.
fn year() -> impl Strategy<Value = Vec<(u64, Step)>> {
    let priorities = [Priority::Low, Priority::Medium, Priority::High];
    let step = prop_oneof![
        6 => proptest::sample::select(priorities.to_vec()).prop_map(Step::Notify),
        1 => wish().prop_map(Step::Prefer),
    ];
    proptest::collection::vec((moment(), step), 1..120).prop_map(|mut steps| {
        steps.sort_by_key(|(at, _)| *at);
        // Two at the same moment have no order in time.
        steps.dedup_by_key(|(at, _)| *at);
        steps
    })
}

fn at(millis: u64) -> Timestamp {
    BEGINS + Duration::from_millis(millis)
}

fn local(moment: Timestamp, zone: &TimeZone) -> DateTime {
    zone.to_offset(moment).to_datetime(moment)
}

/// The moments at which a clock with this offset shows `shown`.
fn with(offset: Offset, shown: DateTime) -> Timestamp {
    offset.to_timestamp(shown).expect("a moment of the calendar")
}

/// The first digest after `from`.
fn digest(from: Timestamp, zone: &TimeZone, on: Option<Weekday>, time: Time) -> Timestamp {
    let today = local(from, zone).date();
    for days in -1..=9 {
        let date = today.checked_add(Span::new().days(days)).expect("a date");
        if on.is_some_and(|on| date.weekday() != on) {
            continue;
        }
        let shown = date.to_datetime(time);
        // The clock of the day before and that of the day after: a change lies between them, if there is one.
        let noon = with(zone.to_offset(from), shown);
        let [before, after] =
            [-Span::new().hours(24), Span::new().hours(24)].map(|span| zone.to_offset(noon + span));
        let moments = [before, after].map(|offset| with(offset, shown));
        let shows = |moment: &Timestamp| local(*moment, zone) == shown;
        // Twice: the first one. Never: as the clock would have shown it that was not put forward.
        let first = moments.into_iter().filter(shows).min().unwrap_or(moments[0]);
        if first > from {
            return first;
        }
    }
    unreachable!("each week has a digest")
}

/// `moment`, or the end of the quiet hours in which it lies.
fn awake(moment: Timestamp, wish: &Wish) -> Timestamp {
    let Some((start, end)) = wish.quiet else { return moment };
    let zone = wish.zone();
    let is_quiet = |moment: Timestamp| {
        let time = local(moment, &zone).time();
        if start <= end { start <= time && time < end } else { start <= time || time < end }
    };
    let mut moment = moment;
    while is_quiet(moment) {
        // To the next full minute: quiet hours and changes of a clock begin and end with one.
        let second = moment.as_second();
        moment = Timestamp::new(second - second.rem_euclid(60) + 60, 0).expect("a moment");
    }
    moment
}

/// What waits: the number of a notification, its priority, and when it is due.
struct Waits {
    number: usize,
    priority: Priority,
    due: Timestamp,
}

/// What the user gets, and when.
type Deliveries = Vec<(Timestamp, Vec<usize>)>;

/// The model: everything that waits is planned by one rule, and everything that is due at a moment goes together.
struct Model {
    wish: Wish,
    waiting: Vec<Waits>,
    window: Timestamp,
    sent: Deliveries,
}

impl Model {
    fn plan(&mut self, priority: Priority, now: Timestamp) -> Timestamp {
        match (priority, self.wish.frequency) {
            (Priority::Urgent, _) | (Priority::High, Frequency::Immediate) => now,
            (_, Frequency::Immediate | Frequency::Batched) => {
                if self.window <= now {
                    self.window = now + WINDOW;
                }
                self.window
            }
            (_, Frequency::Daily { at }) => digest(now, &self.wish.zone(), None, at),
            (_, Frequency::Weekly { on, at }) => digest(now, &self.wish.zone(), Some(on), at),
        }
    }

    /// Delivers all that is due up to this moment.
    fn until(&mut self, now: Timestamp) {
        while let Some(first) = self.waiting.iter().map(|it| it.due).min()
            && first <= now
        {
            let awake = awake(first, &self.wish);
            let due = self.waiting.extract_if(.., |it| it.due == first).collect::<Vec<_>>();
            if awake == first {
                let numbers = due.iter().map(|it| it.number).collect();
                self.sent.push((first, numbers));
            } else {
                self.waiting.extend(due.into_iter().map(|it| Waits { due: awake, ..it }));
                self.waiting.sort_by_key(|it| it.number);
            }
        }
    }

    fn step(&mut self, number: usize, now: Timestamp, step: &Step) {
        self.until(now);
        match step {
            Step::Notify(priority) => {
                let (priority, due) = (*priority, self.plan(*priority, now));
                self.waiting.push(Waits { number, priority, due });
            }
            Step::Prefer(wish) => {
                self.wish = wish.clone();
                self.window = Timestamp::MIN;
                for index in 0..self.waiting.len() {
                    self.waiting[index].due = self.plan(self.waiting[index].priority, now);
                }
            }
        }
        self.until(now);
    }
}

/// Notes what it delivers, and when.
#[derive(Clone)]
struct Phone {
    wall: VirtualWall,
    log: Arc<Mutex<Deliveries>>,
}

impl Channel for Phone {
    fn kind(&self) -> ChannelKind {
        ChannelKind::Sms
    }

    async fn deliver(&self, _: &UserId, messages: &[Rendered]) -> Result<(), ChannelError> {
        let ids = messages.iter().flat_map(|message| &message.ids);
        let numbers = ids.map(|id| id.0.parse().expect("a number")).collect();
        self.log.lock().expect("no panic under the lock").push((self.wall.now(), numbers));
        Ok(())
    }
}

/// What the notifier delivers in this year.
async fn delivered(first: &Wish, steps: &[(u64, Step)]) -> Deliveries {
    let wall = VirtualWall::starting(BEGINS);
    let phone = Phone { wall, log: Arc::default() };
    let channels = Channels::default().with(phone.clone());
    let config = Config { window: WINDOW, ..Config::default() };
    let notifier = Notifier::start(config, wall, channels).expect("the defaults");
    let prefer = |wish: &Wish| {
        notifier.set_preferences("ann".into(), wish.preferences()).expect("one channel");
    };
    prefer(first);
    let until = async |moment: Timestamp| {
        sleep(moment.duration_since(wall.now()).try_into().expect("a later moment")).await;
    };
    for (number, (millis, step)) in steps.iter().enumerate() {
        until(at(*millis)).await;
        match step {
            Step::Notify(priority) => {
                let one = Notification::new(&number.to_string(), "ann", *priority, "a text");
                notifier.notify(one).await.expect("it is new");
            }
            Step::Prefer(wish) => prefer(wish),
        }
    }
    // A week for the last digest, and a day of quiet hours.
    until(at(375 * DAY)).await;
    assert_eq!(notifier.backlog().notifications, 0);
    phone.log.lock().expect("no panic under the lock").clone()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_calendar_agrees_with_a_walk(wish in wish(), millis in moment()) {
        let (zone, now) = (wish.zone(), at(millis));
        if let Some((start, end)) = wish.quiet {
            let ends = QuietHours::new(start, end).end_after(now, &zone);
            prop_assert_eq!(ends.unwrap_or(now), awake(now, &wish));
        }
        let next = match wish.frequency {
            Frequency::Immediate | Frequency::Batched => None,
            Frequency::Daily { at } => Some(digest(now, &zone, None, at)),
            Frequency::Weekly { on, at } => Some(digest(now, &zone, Some(on), at)),
        };
        prop_assert_eq!(wish.frequency.next_digest(now, &zone), next);
    }
}

/// The hours around every change of a clock in the year: chance hardly falls into an hour that repeats.
#[test]
fn the_nights_of_changes_agree_with_a_walk() {
    let time = |text: &str| text.parse::<Time>().expect("a time of day");
    for zone in ZONES {
        let changes = TimeZone::get(zone).expect("a zone of the database");
        let year = |at: &Timestamp| *at < BEGINS + Duration::from_millis(365 * DAY);
        for change in changes.following(BEGINS).map(|change| change.timestamp()).take_while(year) {
            for (start, end) in
                [("02:00", "02:30"), ("01:10", "03:20"), ("22:00", "07:00"), ("02:30", "02:10")]
            {
                let (start, end) = (time(start), time(end));
                let frequency = Frequency::Daily { at: start };
                let wish = Wish { zone, frequency, quiet: Some((start, end)) };
                for minute in (-180..180_i64).step_by(5) {
                    let now = change + Span::new().minutes(minute) + Span::new().milliseconds(500);
                    let ends = QuietHours::new(start, end).end_after(now, &changes);
                    let what = format!("{zone} at {now}, quiet from {start} to {end}");
                    assert_eq!(ends.unwrap_or(now), awake(now, &wish), "{what}");
                    let next = frequency.next_digest(now, &changes);
                    assert_eq!(next, Some(digest(now, &changes, None, start)), "{what}");
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn digests_of_a_year_come_at_their_times(first in wish(), steps in year()) {
        let (waiting, sent) = (Vec::new(), Vec::new());
        let mut model = Model { wish: first.clone(), waiting, window: Timestamp::MIN, sent };
        for (number, (millis, step)) in steps.iter().enumerate() {
            model.step(number, at(*millis), step);
        }
        model.until(at(375 * DAY));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        let log = runtime.block_on(delivered(&first, &steps));
        prop_assert_eq!(log, model.sent);
    }
}
