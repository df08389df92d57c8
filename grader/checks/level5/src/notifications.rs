//! `notifications::Notifier`, and the decisions that it is made of.

mod calendar;
mod digests;
mod ends;
mod expiry;
mod failures;
mod figures;
mod kept;
mod moves;
mod quiet;
mod texts;
mod times;
mod ways;

use jiff::civil::Time;
use jiff::tz::TimeZone;
use level5::notifications::{
    ChannelKind, Frequency, Notification, Preferences, Priority, QuietHours,
};

pub use calendar::{
    bad_times_are_refused, digests_cross_changes_of_the_clock, equal_times_are_no_quiet_hours,
    quiet_hours_begin_and_end, quiet_hours_cross_changes_of_the_clock,
};
pub use digests::{
    a_restart_keeps_its_digests, daily_digests_are_in_the_users_zone,
    weekly_digests_are_in_the_users_zone, what_comes_during_a_digest_is_in_the_next,
};
pub use ends::{
    an_expired_one_is_not_sent, dropping_stops_everything, expires_at_its_moment,
    shutdown_returns_the_rest,
};
pub use failures::{
    a_channel_that_hangs_is_left, a_panic_is_a_failure, failures_are_tried_again,
    the_last_failure_is_a_dead_letter, users_do_not_wait_for_each_other,
};
pub use figures::{deliveries_are_reported, each_minute_has_its_figures};
pub use kept::{an_id_goes_once, idle_is_free, refuses_bad_settings, what_is_kept_is_bounded};
pub use moves::{
    deliveries_of_a_user_do_not_overtake, other_preferences_move_what_waits, waits_ignore_the_wall,
};
pub use quiet::{
    a_digest_in_quiet_hours_moves, a_window_that_ends_in_quiet_hours_is_held,
    held_ones_go_at_the_end_of_quiet_hours, quiet_hours_are_the_users, urgent_passes_quiet_hours,
};
pub use texts::{
    a_push_has_100_characters, an_sms_has_160_units, other_alphabets_have_70_units,
    several_are_one_text, texts_are_cut_between_graphemes,
};
pub use times::{
    a_batch_goes_together, high_goes_at_once, the_rest_goes_after_the_window, urgent_goes_at_once,
};
pub use ways::{
    channels_are_tried_in_order, unusable_channels_are_skipped, urgent_goes_by_all_channels,
    without_a_channel_it_is_dead, without_preferences_the_defaults_hold,
};

fn low(id: &str, user: &str) -> Notification {
    Notification::new(id, user, Priority::Low, "a text")
}

fn medium(id: &str, user: &str) -> Notification {
    Notification::new(id, user, Priority::Medium, "a text")
}

fn high(id: &str, user: &str) -> Notification {
    Notification::new(id, user, Priority::High, "a text")
}

fn urgent(id: &str, user: &str) -> Notification {
    Notification::new(id, user, Priority::Urgent, "a text")
}

/// A zone by its name in the database.
fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).expect("a zone of the bundled database")
}

const fn at(hour: i8, minute: i8) -> Time {
    Time::constant(hour, minute, 0, 0)
}

/// Mail in UTC without quiet hours.
fn mail(frequency: Frequency) -> Preferences {
    Preferences { frequency, ..Preferences::new([ChannelKind::Email]) }
}

/// Mail in a zone, quiet from 22:00 to 07:00.
fn quiet_mail(name: &str, frequency: Frequency) -> Preferences {
    let quiet = Some(QuietHours::new(at(22, 0), at(7, 0)));
    Preferences { zone: zone(name), quiet, ..mail(frequency) }
}
