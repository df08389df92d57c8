//! Texts from facts: a template for each language, topic and form.
//!
//! | file | what it is |
//! |---|---|
//! | `LANGUAGE/TOPIC.line.txt` | one line: the list within the application, webhooks, and the lines of a digest |
//! | `LANGUAGE/TOPIC.subject.txt` | the subject of a mail about one notification |
//! | `LANGUAGE/TOPIC.mail.txt`, `LANGUAGE/TOPIC.mail.html` | its text |
//! | `LANGUAGE/digest.subject.txt`, `.mail.txt`, `.mail.html` | a mail about several |
//!
//! Where a file is missing, that of the topic `any` stands in, then those of the language `en`. Templates see `topic`,
//! `data`, `user`, `at` (the local time of the acceptance), and for mails `lines`. Files that end with `html` escape what
//! they show.
#![expect(clippy::disallowed_macros, reason = "these files belong to this package")]

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior};
use serde::Serialize;

use crate::desk::Letter;
use crate::entry::Entry;
use crate::profile::Profile;

/// The languages, topics and forms that are compiled in.
const BUILT_IN: &[(&str, &str)] = &[
    ("en/any.line.txt", include_str!("../templates/en/any.line.txt")),
    ("en/any.subject.txt", include_str!("../templates/en/any.subject.txt")),
    ("en/any.mail.txt", include_str!("../templates/en/any.mail.txt")),
    ("en/any.mail.html", include_str!("../templates/en/any.mail.html")),
    ("en/digest.subject.txt", include_str!("../templates/en/digest.subject.txt")),
    ("en/digest.mail.txt", include_str!("../templates/en/digest.mail.txt")),
    ("en/digest.mail.html", include_str!("../templates/en/digest.mail.html")),
    ("en/invoice.line.txt", include_str!("../templates/en/invoice.line.txt")),
    ("en/login.line.txt", include_str!("../templates/en/login.line.txt")),
    ("en/likes.line.txt", include_str!("../templates/en/likes.line.txt")),
    ("de/any.line.txt", include_str!("../templates/de/any.line.txt")),
    ("de/any.mail.txt", include_str!("../templates/de/any.mail.txt")),
    ("de/any.mail.html", include_str!("../templates/de/any.mail.html")),
    ("de/digest.subject.txt", include_str!("../templates/de/digest.subject.txt")),
    ("de/digest.mail.txt", include_str!("../templates/de/digest.mail.txt")),
    ("de/digest.mail.html", include_str!("../templates/de/digest.mail.html")),
    ("de/invoice.line.txt", include_str!("../templates/de/invoice.line.txt")),
    ("de/login.line.txt", include_str!("../templates/de/login.line.txt")),
    ("de/likes.line.txt", include_str!("../templates/de/likes.line.txt")),
];

/// The topic and the language that stand in for others.
const ANY: &str = "any";
const ENGLISH: &str = "en";
const DIGEST: &str = "digest";

/// Why templates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// A folder or a file cannot be read.
    #[error("{}: {why}", path.display())]
    Read {
        /// Where.
        path: PathBuf,
        /// What the system said.
        why: io::Error,
    },
    /// A template is wrong, or cannot show these facts.
    #[error("the template {0}")]
    Template(String),
}

/// A mail, ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// The subject, one line.
    pub subject: String,
    /// The text.
    pub text: String,
    /// The same as HTML.
    pub html: String,
}

/// The templates. A clone is a handle to the same ones.
#[derive(Debug, Clone)]
pub struct Templates {
    /// With the rules of all templates, and without sources: each render parses its source, which is short.
    environment: Arc<Environment<'static>>,
    sources: Arc<HashMap<String, String>>,
}

/// What a template sees of a notification.
#[derive(Debug, Serialize)]
struct Facts<'a> {
    topic: &'a str,
    user: &'a str,
    data: &'a serde_json::Map<String, serde_json::Value>,
    at: String,
    lines: &'a [String],
}

impl Templates {
    /// The templates that are compiled in, and those below `folder`, which replace them by their names.
    ///
    /// # Errors
    ///
    /// [`TemplateError`], also for a file that is no template.
    pub fn load(folder: Option<&Path>) -> Result<Self, TemplateError> {
        let mut environment = Environment::new();
        // A name that is missing is an error, and the stand-in is used: a mail with a gap is not sent.
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        let built_in = BUILT_IN.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
        let mut sources: HashMap<_, _> = built_in.collect();
        if let Some(folder) = folder {
            sources.extend(read(folder)?);
        }
        for (name, source) in &sources {
            let parsed = environment.template_from_named_str(name, source);
            parsed.map_err(|why| wrong(name, &why))?;
        }
        Ok(Self { environment: Arc::new(environment), sources: Arc::new(sources) })
    }

    /// One line about a notification. Line breaks become spaces.
    ///
    /// # Errors
    ///
    /// [`TemplateError::Template`] when no template can show it.
    pub fn line(&self, entry: &Entry, profile: &Profile) -> Result<String, TemplateError> {
        let line = self.render(&profile.language, "line.txt", entry, profile, &[])?;
        Ok(line.split_whitespace().collect::<Vec<_>>().join(" "))
    }

    /// A mail about the notifications of a letter.
    ///
    /// # Errors
    ///
    /// [`TemplateError::Template`] when no template can show them.
    pub fn mail(&self, letter: &Letter) -> Result<Mail, TemplateError> {
        let profile = &letter.profile;
        let lines = letter.entries.iter().map(|entry| self.line(entry, profile));
        let lines = lines.collect::<Result<Vec<_>, _>>()?;
        let [first, rest @ ..] = letter.entries.as_slice() else {
            return Err(TemplateError::Template("of a letter without notifications".to_owned()));
        };
        let render = |form: &str| {
            if rest.is_empty() {
                self.render(&profile.language, form, first, profile, &lines)
            } else {
                self.digest(form, letter, &lines)
            }
        };
        let subject = render("subject.txt")?;
        // One line: a line break in a subject would begin another header.
        let subject = subject.split_whitespace().collect::<Vec<_>>().join(" ");
        Ok(Mail { subject, text: render("mail.txt")?, html: render("mail.html")? })
    }

    fn digest(
        &self,
        form: &str,
        letter: &Letter,
        lines: &[String],
    ) -> Result<String, TemplateError> {
        let names = [letter.profile.language.as_str(), ENGLISH]
            .map(|language| format!("{language}/{DIGEST}.{form}"));
        let facts = serde_json::json!({ "user": letter.user, "lines": lines });
        let context = Serde(&facts).into();
        self.first_of(&names, &context)
    }

    fn render(
        &self,
        language: &str,
        form: &str,
        entry: &Entry,
        profile: &Profile,
        lines: &[String],
    ) -> Result<String, TemplateError> {
        let topic = entry.request.topic.as_str();
        let names = [(language, topic), (language, ANY), (ENGLISH, topic), (ENGLISH, ANY)]
            .map(|(language, topic)| format!("{language}/{topic}.{form}"));
        let zone = profile.zone().unwrap_or(jiff::tz::TimeZone::UTC);
        let facts = Facts {
            topic,
            user: &entry.request.user,
            data: &entry.request.data,
            at: zone.to_datetime(entry.accepted_at).strftime("%Y-%m-%d %H:%M").to_string(),
            lines,
        };
        self.first_of(&names, &Serde(&facts).into())
    }

    /// The first of these templates that exists and can show the facts.
    fn first_of(
        &self,
        names: &[String],
        context: &minijinja::Value,
    ) -> Result<String, TemplateError> {
        let mut error = None;
        for name in names {
            let Some(source) = self.sources.get(name) else { continue };
            match self.environment.render_named_str(name, source, context) {
                Ok(text) => return Ok(text),
                Err(why) => {
                    tracing::warn!(name, %why, "a template cannot show a notification");
                    error.get_or_insert_with(|| wrong(name, &why));
                }
            }
        }
        let none = || TemplateError::Template(format!("{} is missing", names.join(", ")));
        Err(error.unwrap_or_else(none))
    }
}

fn wrong(name: &str, why: &minijinja::Error) -> TemplateError {
    TemplateError::Template(format!("{name}: {why}"))
}

/// The templates below a folder, by `LANGUAGE/FILE`.
fn read(folder: &Path) -> Result<Vec<(String, String)>, TemplateError> {
    let at = |path: &Path| {
        let path = path.to_owned();
        |why: io::Error| TemplateError::Read { path, why }
    };
    let mut found = Vec::new();
    for language in fs::read_dir(folder).map_err(at(folder))? {
        let language = language.map_err(at(folder))?.path();
        if !language.is_dir() {
            continue;
        }
        for file in fs::read_dir(&language).map_err(at(&language))? {
            let path = file.map_err(at(&language))?.path();
            let (Some(language), Some(file)) = (language.file_name(), path.file_name()) else {
                continue;
            };
            let name = format!("{}/{}", language.to_string_lossy(), file.to_string_lossy());
            if name.ends_with(".txt") || name.ends_with(".html") {
                found.push((name, fs::read_to_string(&path).map_err(at(&path))?));
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::{Map, Value, json};

    use super::*;
    use crate::entry::{Request, Urgency};

    fn entry(topic: &str, data: Value) -> Entry {
        let data = match data {
            Value::Object(data) => data,
            _ => Map::new(),
        };
        let (id, user, topic) = ("1".to_owned(), "ann".to_owned(), topic.to_owned());
        let priority = Urgency::Medium;
        let request = Request { id, user, topic, priority, data, expires_at: None };
        Entry { request, accepted_at: "2026-07-01T22:30:00Z".parse::<Timestamp>().unwrap() }
    }

    fn letter(language: &str, entries: Vec<Entry>) -> Letter {
        let zone = "Europe/Berlin".to_owned();
        let profile = Profile { language: language.to_owned(), zone, ..Profile::in_app() };
        let entries = entries.into_iter().map(Arc::new).collect();
        Letter { key: "key".to_owned(), user: "ann".to_owned(), profile, entries }
    }

    fn line(language: &str, entry: Entry) -> String {
        let letter = letter(language, vec![entry]);
        Templates::load(None).unwrap().line(&letter.entries[0], &letter.profile).unwrap()
    }

    #[test]
    fn a_line_is_in_the_language_of_the_user() {
        let invoice = || entry("invoice", json!({"number": "4711", "amount": "12.50 EUR"}));
        assert_eq!(line("en", invoice()), "Invoice 4711 over 12.50 EUR is there.");
        assert_eq!(line("de", invoice()), "Die Rechnung 4711 über 12.50 EUR ist da.");
        assert_eq!(line("fr", invoice()), "Invoice 4711 over 12.50 EUR is there.");
        let likes = |count: u32| entry("likes", json!({"count": count, "what": "a picture"}));
        assert_eq!(line("en", likes(1)), "1 person likes a picture.");
        assert_eq!(line("en", likes(3)), "3 people like a picture.");
        assert_eq!(line("en", entry("weather", json!({"text": "It rains."}))), "It rains.");
        // A fact is missing: the stand-in, and no gap.
        assert_eq!(line("en", entry("invoice", json!({}))), "New invoice notification");
        assert_eq!(
            line("en", entry("login", json!({"place": "Oslo"}))),
            "Login from Oslo at 2026-07-02 00:30."
        );
    }

    #[test]
    fn a_mail_escapes_html_and_has_one_line_of_subject() {
        let templates = Templates::load(None).unwrap();
        let text = "<script>\r\nBcc: eve@mail.example";
        let mail = templates.mail(&letter("en", vec![entry("it", json!({"text": text}))])).unwrap();
        assert_eq!(mail.subject, "<script> Bcc: eve@mail.example");
        assert!(mail.text.contains("<script>"), "{}", mail.text);
        assert!(mail.html.contains("&lt;script&gt;"), "{}", mail.html);
        assert!(!mail.html.contains("<script>"), "{}", mail.html);
    }

    #[test]
    fn a_digest_is_one_mail() {
        let entries =
            || vec![entry("a", json!({"text": "One"})), entry("b", json!({"text": "Two <b>"}))];
        let templates = Templates::load(None).unwrap();
        let mail = templates.mail(&letter("en", entries())).unwrap();
        assert_eq!(mail.subject, "2 notifications");
        assert!(mail.text.contains("* One\n* Two <b>"), "{}", mail.text);
        assert!(mail.html.contains("<li>Two &lt;b&gt;</li>"), "{}", mail.html);
        let german = templates.mail(&letter("de", entries())).unwrap();
        assert_eq!(german.subject, "2 Mitteilungen");
    }

    #[test]
    fn a_folder_replaces_and_adds_templates() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("fr")).unwrap();
        let file = folder.path().join("fr/invoice.line.txt");
        fs::write(&file, "La facture {{ data.number }}").unwrap();
        let templates = Templates::load(Some(folder.path())).unwrap();
        let letter = letter("fr", vec![entry("invoice", json!({"number": 1, "amount": 2}))]);
        let profile = &letter.profile;
        assert_eq!(templates.line(&letter.entries[0], profile).unwrap(), "La facture 1");
        fs::write(&file, "{% if %}").unwrap();
        let why = Templates::load(Some(folder.path())).unwrap_err().to_string();
        assert!(why.contains("fr/invoice.line.txt"), "{why}");
    }
}
