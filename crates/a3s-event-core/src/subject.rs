//! Subjects name events, patterns select them. The rules are those of NATS and
//! hold on every provider; they are checked here, before anything reaches a
//! backend.
//!
//! - A subject is one or more tokens, separated by single dots. A token is not
//!   empty and holds no white space, no control character and no `*` or `>`.
//!   Everything else of Unicode is allowed. At most [`MAX_SUBJECT_BYTES`].
//! - In a pattern, `*` stands for exactly one token and `>`, as the last token,
//!   for one or more: `a.>` does not match `a`. A `*` or `>` that is only part
//!   of a token is refused, because NATS would take it literally.
//! - A [`SubjectPrefix`] is the part that all subjects of a provider share. The
//!   token behind it is the category, the rest the topic.
//!
//! Refusing control characters is more than tidiness: a line break in a
//! subject is a command injection on the NATS protocol.

mod pattern;
mod prefix;

pub use pattern::{SubjectPattern, matches};
pub use prefix::SubjectPrefix;

use crate::{EventError, Result};

/// Longest subject, pattern or prefix in bytes. NATS ends a connection whose
/// protocol line exceeds 4096 bytes; this leaves room for the rest of the line.
pub const MAX_SUBJECT_BYTES: usize = 1024;

/// Longest consumer name in bytes.
pub const MAX_CONSUMER_NAME_BYTES: usize = 1024;

/// Checks a full subject, as an event carries it.
///
/// # Errors
///
/// [`EventError::InvalidSubject`] naming the rule that is broken.
///
/// # Examples
///
/// ```
/// use a3s_event_core::subject;
///
/// assert!(subject::validate_subject("events.market.forex.usd_cny").is_ok());
/// assert!(subject::validate_subject("events.market.>").is_err());
/// assert!(subject::validate_subject("events..forex").is_err());
/// ```
pub fn validate_subject(subject: &str) -> Result<()> {
    validate_tokens(subject, |token| {
        if token.contains(['*', '>']) {
            return Err("`*` and `>` stand only in patterns");
        }
        Ok(())
    })
}

/// Checks a category: exactly one token without wildcards.
///
/// # Errors
///
/// [`EventError::InvalidSubject`] naming the rule that is broken.
pub fn validate_category(category: &str) -> Result<()> {
    if category.contains('.') {
        return Err(EventError::invalid_subject(
            category,
            "a category is one token, without dots",
        ));
    }
    validate_subject(category)
}

/// Checks a topic: one or more tokens without wildcards.
///
/// # Errors
///
/// [`EventError::InvalidSubject`] naming the rule that is broken.
pub fn validate_topic(topic: &str) -> Result<()> {
    validate_subject(topic)
}

/// Checks the name of a durable consumer: not empty, no control characters, at
/// most [`MAX_CONSUMER_NAME_BYTES`]. Providers map any such name to one that
/// their backend takes, without two names ever meeting.
///
/// # Errors
///
/// [`EventError::InvalidOption`] naming the rule that is broken.
pub fn validate_consumer_name(name: &str) -> Result<()> {
    let rule = if name.is_empty() {
        "must not be empty"
    } else if name.len() > MAX_CONSUMER_NAME_BYTES {
        "must not be longer than 1024 bytes"
    } else if name.chars().any(char::is_control) {
        "must not hold control characters"
    } else {
        return Ok(());
    };
    Err(EventError::invalid_option("consumer_name", rule))
}

/// Checks length and tokens of `text`; `check` sees each well-formed token.
fn validate_tokens(
    text: &str,
    mut check: impl FnMut(&str) -> Result<(), &'static str>,
) -> Result<()> {
    let invalid = |rule: &'static str| Err(EventError::invalid_subject(text, rule));
    if text.is_empty() {
        return invalid("must not be empty");
    }
    if text.len() > MAX_SUBJECT_BYTES {
        return invalid("must not be longer than 1024 bytes");
    }
    if has_space_or_control(text) {
        return invalid("white space and control characters are not allowed");
    }
    for token in text.split('.') {
        if token.is_empty() {
            return invalid("tokens between dots must not be empty");
        }
        if let Err(rule) = check(token) {
            return invalid(rule);
        }
    }
    Ok(())
}

fn has_space_or_control(text: &str) -> bool {
    // Nearly all subjects are ASCII, where bytes decide.
    if text.is_ascii() {
        return text.bytes().any(|byte| byte <= b' ' || byte == 0x7f);
    }
    text.chars().any(|c| c.is_control() || c.is_whitespace())
}

#[cfg(test)]
mod tests;
