use std::fmt;

use super::{SubjectPattern, validate_subject};
use crate::{EventError, Result};

/// The checked prefix that all subjects of a provider share.
///
/// Gives a provider its subject rules in one place: building subjects, and
/// refusing subjects and patterns that lie outside.
///
/// # Examples
///
/// ```
/// use a3s_event_core::subject::SubjectPrefix;
///
/// let prefix = SubjectPrefix::parse("events")?;
/// assert_eq!(prefix.subject("market", "forex.usd"), "events.market.forex.usd");
/// assert_eq!(prefix.category_pattern("market"), "events.market.>");
/// assert!(prefix.check_subject("other.market.forex").is_err());
/// assert!(prefix.parse_pattern(">").is_ok());
/// # Ok::<(), a3s_event_core::EventError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubjectPrefix {
    prefix: String,
    everything: SubjectPattern,
}

impl SubjectPrefix {
    /// Checks `prefix`: one or more tokens without wildcards, not beginning
    /// with `$` or `_INBOX`, which belong to NATS itself.
    ///
    /// # Errors
    ///
    /// [`EventError::InvalidSubject`] naming the rule that is broken.
    pub fn parse(prefix: &str) -> Result<Self> {
        validate_subject(prefix)?;
        if prefix.starts_with('$') || prefix.starts_with("_INBOX") {
            return Err(EventError::invalid_subject(
                prefix,
                "prefixes that begin with `$` or `_INBOX` are reserved",
            ));
        }
        Ok(Self {
            everything: SubjectPattern::parse(&format!("{prefix}.>"))?,
            prefix: prefix.to_owned(),
        })
    }

    /// The prefix as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.prefix
    }

    /// The pattern of everything below the prefix.
    #[must_use]
    pub const fn everything(&self) -> &SubjectPattern {
        &self.everything
    }

    /// The subject of `topic` in `category`. Checked when an event is published.
    #[must_use]
    pub fn subject(&self, category: &str, topic: &str) -> String {
        format!("{}.{category}.{topic}", self.prefix)
    }

    /// The pattern of everything in `category`. Checked when it is used.
    #[must_use]
    pub fn category_pattern(&self, category: &str) -> String {
        format!("{}.{category}.>", self.prefix)
    }

    /// Checks a subject that is about to be published.
    ///
    /// # Errors
    ///
    /// [`EventError::InvalidSubject`] when it is malformed or not below the prefix.
    pub fn check_subject(&self, subject: &str) -> Result<()> {
        validate_subject(subject)?;
        if self.everything.matches(subject) {
            return Ok(());
        }
        Err(EventError::invalid_subject(
            subject,
            format!("must lie below the prefix `{}`", self.prefix),
        ))
    }

    /// Checks and parses a pattern that is about to be used as a filter, and
    /// returns the part of it that lies below the prefix: patterns that select
    /// the same here are equal.
    ///
    /// # Errors
    ///
    /// [`EventError::InvalidSubject`] when it is malformed or can match nothing
    /// below the prefix.
    ///
    /// # Examples
    ///
    /// ```
    /// use a3s_event_core::subject::SubjectPrefix;
    ///
    /// let prefix = SubjectPrefix::parse("events")?;
    /// assert_eq!(prefix.parse_pattern(">")?.as_str(), "events.>");
    /// assert_eq!(prefix.parse_pattern("*.market.forex")?.as_str(), "events.market.forex");
    /// # Ok::<(), a3s_event_core::EventError>(())
    /// ```
    pub fn parse_pattern(&self, pattern: &str) -> Result<SubjectPattern> {
        let parsed = SubjectPattern::parse(pattern)?;
        let after = pattern.strip_prefix(&self.prefix);
        if after.is_some_and(|after| after.starts_with('.')) {
            return Ok(parsed);
        }
        if !parsed.overlaps(&self.everything) {
            return Err(EventError::invalid_subject(
                pattern,
                format!("can match nothing below the prefix `{}`", self.prefix),
            ));
        }
        let mut tokens = pattern.split('.');
        for _ in self.prefix.split('.') {
            if tokens.next() == Some(">") {
                return Ok(self.everything.clone());
            }
        }
        // The two overlap, so each token of the prefix is met by itself or a `*`.
        let rest: Vec<&str> = tokens.collect();
        SubjectPattern::parse(&format!("{}.{}", self.prefix, rest.join(".")))
    }
}

impl fmt::Display for SubjectPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.prefix)
    }
}
