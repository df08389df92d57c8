//! What the program knows of a user: addresses, language, and preferences.

use jiff::Timestamp;
use jiff::civil::{Time, Weekday};
use jiff::tz::TimeZone;
use level5::notifications::{
    ChannelKind, ChannelPreference, Frequency, Preferences, PreferencesError, QuietHours,
    QuietHoursError,
};
use serde::{Deserialize, Serialize};

use crate::channel::mail::is_address;
use crate::channel::webhook::is_endpoint;
use crate::sign::{Secret, SecretError};

/// The channels of the program, by the names that they have in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// The list within the application, as server-sent events.
    InApp,
    /// Mail over SMTP.
    Mail,
    /// A POST to the user's endpoint. It is the push channel of level 5.
    Webhook,
}

impl Way {
    /// The kind that level 5 has for it.
    #[must_use]
    pub const fn kind(self) -> ChannelKind {
        match self {
            Self::InApp => ChannelKind::InApp,
            Self::Mail => ChannelKind::Email,
            Self::Webhook => ChannelKind::Push,
        }
    }

    /// The way of a kind. Text messages are a webhook of their provider: the program has no channel for them.
    #[must_use]
    pub const fn of(kind: ChannelKind) -> Self {
        match kind {
            ChannelKind::InApp => Self::InApp,
            ChannelKind::Email => Self::Mail,
            ChannelKind::Push | ChannelKind::Sms => Self::Webhook,
        }
    }

    /// Its name in JSON and in the output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::InApp => "in_app",
            Self::Mail => "mail",
            Self::Webhook => "webhook",
        }
    }
}

/// Where the webhooks of a user go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// The URL, with http or https.
    pub url: String,
    /// The secret that signs them: `whsec_` and 24 to 64 bytes in base64.
    pub secret: String,
}

/// How often a user gets what is not urgent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Often {
    /// High priority at once; medium and low at the end of the window.
    #[default]
    Immediate,
    /// All at the end of the window.
    Batched,
    /// A digest each day at this local time.
    Daily(#[serde(with = "crate::as_text")] Time),
    /// A digest each week.
    Weekly {
        /// The day, 1 for Monday to 7 for Sunday.
        day: i8,
        /// The local time.
        #[serde(with = "crate::as_text")]
        at: Time,
    },
}

/// Hours without anything that is not urgent, as two times such as `22:00`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quiet {
    /// The first quiet minute.
    pub from: String,
    /// The first minute that is not quiet any more.
    pub until: String,
}

/// What the program knows of a user, as it stands in requests and in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// The language of texts, such as `en`. Templates of another language stand in where there are none.
    #[serde(default = "english")]
    pub language: String,
    /// The address for mail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mail: Option<String>,
    /// The endpoint for webhooks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<Endpoint>,
    /// The channels, the preferred one first. One without an address is skipped.
    pub channels: Vec<Way>,
    /// The time zone, such as `Europe/Berlin`.
    #[serde(default = "utc")]
    pub zone: String,
    /// The quiet hours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quiet: Option<Quiet>,
    /// How often what is not urgent is sent.
    #[serde(default)]
    pub often: Often,
}

fn english() -> String {
    "en".to_owned()
}

fn utc() -> String {
    "UTC".to_owned()
}

/// Why a profile is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// The language is no short name.
    #[error("`{0}` is no language: write a name such as `en` or `pt-br`")]
    Language(String),
    /// The address is none.
    #[error("`{0}` is no mail address")]
    Mail(String),
    /// The URL of the endpoint.
    #[error("`{0}` is no endpoint: write a URL with http or https")]
    Endpoint(String),
    /// The secret of the endpoint.
    #[error("the secret of the endpoint: {0}")]
    Secret(#[from] SecretError),
    /// The zone is unknown.
    #[error("`{0}` is no time zone: write a name such as `Europe/Berlin`")]
    Zone(String),
    /// The quiet hours.
    #[error(transparent)]
    Quiet(#[from] QuietHoursError),
    /// The day of a weekly digest.
    #[error("`{0}` is no day of the week: 1 is Monday, 7 is Sunday")]
    Day(i8),
    /// The list of channels.
    #[error(transparent)]
    Channels(#[from] PreferencesError),
}

impl Profile {
    /// A profile with the list within the application alone.
    #[must_use]
    pub fn in_app() -> Self {
        Self {
            language: english(),
            mail: None,
            webhook: None,
            channels: vec![Way::InApp],
            zone: utc(),
            quiet: None,
            often: Often::default(),
        }
    }

    /// Checks every field, and returns the preferences of level 5. Channels without an address are not enabled.
    ///
    /// # Errors
    ///
    /// [`ProfileError`], the first one.
    pub fn preferences(&self) -> Result<Preferences, ProfileError> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
        if self.language.is_empty()
            || self.language.len() > 16
            || !self.language.chars().all(is_plain)
        {
            return Err(ProfileError::Language(self.language.clone()));
        }
        if let Some(mail) = self.mail.as_ref().filter(|mail| !is_address(mail)) {
            return Err(ProfileError::Mail(mail.clone()));
        }
        if let Some(endpoint) = &self.webhook {
            if !is_endpoint(&endpoint.url) {
                return Err(ProfileError::Endpoint(endpoint.url.clone()));
            }
            Secret::parse(&endpoint.secret)?;
        }
        let channels = self.channels.iter().map(|&way| ChannelPreference {
            kind: way.kind(),
            enabled: match way {
                Way::InApp => true,
                Way::Mail => self.mail.is_some(),
                Way::Webhook => self.webhook.is_some(),
            },
        });
        let quiet = self.quiet.as_ref().map(|quiet| QuietHours::parse(&quiet.from, &quiet.until));
        let preferences = Preferences {
            channels: channels.collect(),
            zone: self.zone()?,
            quiet: quiet.transpose()?,
            frequency: match self.often {
                Often::Immediate => Frequency::Immediate,
                Often::Batched => Frequency::Batched,
                Often::Daily(at) => Frequency::Daily { at },
                Often::Weekly { day, at } => {
                    let on = Weekday::from_monday_one_offset(day);
                    Frequency::Weekly { on: on.map_err(|_| ProfileError::Day(day))?, at }
                }
            },
        };
        preferences.check()?;
        Ok(preferences)
    }

    /// The time zone.
    ///
    /// # Errors
    ///
    /// [`ProfileError::Zone`].
    pub fn zone(&self) -> Result<TimeZone, ProfileError> {
        TimeZone::get(&self.zone).map_err(|_| ProfileError::Zone(self.zone.clone()))
    }
}

/// A profile as the store keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// The profile.
    pub profile: Profile,
    /// Since when its preferences hold. What waited then was planned again at that moment.
    #[serde(with = "crate::as_text")]
    pub since: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn read(json: &str) -> Result<Preferences, String> {
        let profile: Profile = serde_json::from_str(json).map_err(|why| why.to_string())?;
        profile.preferences().map_err(|why| why.to_string())
    }

    #[test]
    fn a_profile_is_read() {
        let json = format!(
            r#"{{"language": "de", "mail": "ann@mail.example", "webhook": {{"url": "https://ann.example/hook", "secret": "{SECRET}"}},
            "channels": ["webhook", "mail", "in_app"], "zone": "Europe/Berlin", "quiet": {{"from": "22:00", "until": "07:00"}},
            "often": {{"weekly": {{"day": 1, "at": "09:00"}}}}}}"#
        );
        let preferences = read(&json).unwrap();
        assert_eq!(preferences.frequency, Frequency::WEEKLY);
        assert!(preferences.channels.iter().all(|channel| channel.enabled));
        let daily = read(r#"{"channels": ["mail"], "often": {"daily": "09:00"}}"#).unwrap();
        assert_eq!(daily.frequency, Frequency::DAILY);
        assert!(!daily.channels[0].enabled, "there is no address");
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        for (field, names) in [
            (r#""zone": "Europe/Nowhere""#, "Europe/Nowhere"),
            (r#""mail": "ann""#, "`ann`"),
            (r#""mail": "ann@mail.example\r\nBcc: eve@mail.example""#, "Bcc"),
            (r#""quiet": {"from": "22:00", "until": "25:00"}"#, "25:00"),
            (r#""often": {"weekly": {"day": 8, "at": "09:00"}}"#, "`8`"),
            (r#""often": {"daily": "9 o'clock"}"#, "9 o'clock"),
            (r#""language": "../en""#, "../en"),
            (r#""webhook": {"url": "ftp://ann.example", "secret": "whsec_"}"#, "ftp://"),
            (r#""webhook": {"url": "https://ann.example", "secret": "whsec_MfKQ"}"#, "24"),
            (r#""colour": "red""#, "colour"),
        ] {
            let why = read(&format!(r#"{{"channels": ["in_app"], {field}}}"#)).unwrap_err();
            assert!(why.contains(names), "{field}: {why}");
        }
        assert!(read(r#"{"channels": []}"#).unwrap_err().contains("empty"));
        assert!(read(r#"{"channels": ["mail", "mail"]}"#).unwrap_err().contains("twice"));
    }
}
