//! Notifications: by the channels that each user prefers, when the user wants them.
//!
//! ```text
//!               urgent ─────────────────────────────────────────────▶ all channels ──┐
//!   notify ──▶  high, of an immediate user ─────────────┐                            ├─▶ Sent
//!               window: 5 s from the first one on ──────┤ quiet?                     │
//!               digest: 09:00 in the user's zone ───────┴──┬─ no ───▶ one channel ───┘
//!                                                          │          after the other ──▶ again after 1, 2, 4 s ──▶ Dead
//!                                                          └─ yes ──▶ held until the end of the quiet hours
//!
//!   expires_at reached while it waits: Expired
//! ```
//!
//! | file | what it decides |
//! |---|---|
//! | `quiet.rs`, `preferences.rs` | when something is due, by the calendar |
//! | `text.rs` | what fits into a message |
//! | `user.rs` | what of a user waits, goes, is tried again or has ended |
//! | `agenda.rs`, `state.rs` | which user is next; receipts, ids, dead letters |
//! | `channel.rs`, `deliver.rs` | one attempt: limits, panics, the order of the channels |
//! | `notifier.rs` | the timers and the tasks |
//!
//! Lesson: `level5/lessons/notifications.md`.
// starter: doc Notifications: by the channels that each user prefers, when the user wants them.
// starter: doc
// starter: doc | file | what it is |
// starter: doc |---|---|
// starter: doc | `text.rs` | what fits into a message; begin here |
// starter: doc | `quiet.rs`, `preferences.rs` | when something is due, by the calendar |
// starter: doc | `notification.rs`, `channel.rs`, `config.rs`, `metrics.rs` | what the interface speaks of |
// starter: doc | `notifier.rs` | the notifier; add files for its decisions |
// starter: doc
// starter: doc Lesson: `level5/lessons/notifications.md`.

mod agenda;
mod channel;
mod config;
mod deliver;
mod metrics;
mod notification;
mod notifier;
mod preferences;
mod quiet;
mod state;
pub mod text;
mod user;

pub use channel::{
    Channel, ChannelError, ChannelFailure, ChannelKind, Channels, DeliveryReport, Rendered,
};
pub use config::{Config, ConfigError};
pub use level3::retry;
pub use metrics::{ChannelFigures, MinuteMetrics};
pub use notification::{
    DeadReason, Fate, Notification, NotificationId, Pending, Priority, Receipt, Refused, UserId,
};
pub use notifier::{Backlog, Notifier, Report};
pub use preferences::{ChannelPreference, Frequency, Preferences, PreferencesError};
pub use quiet::{QuietHours, QuietHoursError};
