//! The one error type of the workspace.

use std::{borrow::Cow, time::Duration};

/// A cause of any type, kept intact as the `source()` of an [`EventError`].
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A result whose error is an [`EventError`] unless said otherwise.
pub type Result<T, E = EventError> = std::result::Result<T, E>;

/// Everything that can go wrong, named by what the caller can do about it.
///
/// Variants carry what is needed to find the culprit (subject, consumer, key
/// id, file); payloads, keys and credentials never appear. Text speaks for one
/// layer only: the cause is in [`source`](std::error::Error::source) and is not
/// repeated. Build errors through the functions of this type; the variants may
/// gain fields.
///
/// # Examples
///
/// ```
/// use a3s_event_core::EventError;
///
/// let error = EventError::conflict(4, 7);
/// assert_eq!(error.kind(), "conflict");
/// assert!(!error.is_retryable());
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EventError {
    /// A subject, category, topic or pattern breaks a rule of
    /// [`subject`](crate::subject). Nothing was sent.
    #[error("invalid subject `{subject}`: {rule}")]
    #[non_exhaustive]
    InvalidSubject {
        /// The offending text, control characters escaped and cut at 200 characters.
        subject: String,
        /// The rule it breaks.
        rule: Cow<'static, str>,
    },

    /// An option or argument has a value that can have no meaning. Nothing was sent.
    #[error("invalid option `{option}`: {reason}")]
    #[non_exhaustive]
    InvalidOption {
        /// The name of the option.
        option: Cow<'static, str>,
        /// What is wrong and what is expected.
        reason: String,
    },

    /// Something that was named does not exist.
    #[error("{what} `{name}` not found")]
    #[non_exhaustive]
    NotFound {
        /// What kind of thing: `subscription`, `consumer`, `schema`, …
        what: Cow<'static, str>,
        /// Its name.
        name: String,
    },

    /// The stream's last sequence is not the expected one. Nothing was stored.
    #[error("expected last sequence {expected}, the stream is at {actual}")]
    #[non_exhaustive]
    Conflict {
        /// What the caller expected.
        expected: u64,
        /// The stream's last sequence over all subjects.
        actual: u64,
    },

    /// The operation did not finish in time. A publish may still be stored:
    /// retry it with the same `msg_id`.
    #[error("{operation} did not finish within {after:?}{}", ambiguity(operation))]
    #[non_exhaustive]
    Timeout {
        /// What was being done.
        operation: Cow<'static, str>,
        /// The limit that ran out.
        after: Duration,
    },

    /// The event is larger than the backend takes. Nothing was sent.
    #[error("event `{event_id}` has {size} bytes, the limit is {limit}")]
    #[non_exhaustive]
    TooLarge {
        /// The id of the event.
        event_id: String,
        /// Its size in bytes, headers counted.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },

    /// The provider does not offer what was asked for. Nothing was done.
    #[error("the {provider} provider does not support {feature}")]
    #[non_exhaustive]
    Unsupported {
        /// The provider.
        provider: Cow<'static, str>,
        /// The option or operation.
        feature: Cow<'static, str>,
    },

    /// The bus, provider or subscription was closed before the call.
    #[error("{what} is closed")]
    #[non_exhaustive]
    Closed {
        /// What is closed.
        what: Cow<'static, str>,
    },

    /// A payload does not satisfy the schema of its type. Nothing was sent.
    #[error("payload of `{event_type}` version {version} is invalid: {reason}")]
    #[non_exhaustive]
    SchemaValidation {
        /// The event type.
        event_type: String,
        /// The schema version.
        version: u32,
        /// All missing fields at once, in the order of the schema.
        missing: Vec<String>,
        /// What is wrong.
        reason: String,
    },

    /// A schema change breaks the compatibility that was asked for.
    #[error(
        "version {new_version} of `{event_type}` is not {mode} compatible with version {old_version}: {}",
        fields_at_fault(added, removed)
    )]
    #[non_exhaustive]
    Incompatible {
        /// The event type.
        event_type: String,
        /// The earlier version that was compared with.
        old_version: u32,
        /// The version that was checked.
        new_version: u32,
        /// The mode in lower case: `backward`, `forward`, `full`.
        mode: Cow<'static, str>,
        /// Required fields whose addition breaks the mode.
        added: Vec<String>,
        /// Required fields whose removal breaks the mode.
        removed: Vec<String>,
    },

    /// A payload could not be encrypted or decrypted. Tampering, a wrong key
    /// and a ciphertext of another event are indistinguishable on purpose.
    #[error("{reason}{}{}", of_event(event_id), with_key(key_id))]
    #[non_exhaustive]
    Encryption {
        /// What failed, without any detail of the plaintext.
        reason: Cow<'static, str>,
        /// The event, where one is known.
        event_id: Option<String>,
        /// The key, where one is known.
        key_id: Option<String>,
    },

    /// No key with this id is registered. Retry after the key has arrived.
    #[error(
        "unknown key `{key_id}`{}: add it to the encryptor",
        of_event(event_id)
    )]
    #[non_exhaustive]
    KeyUnknown {
        /// The key id.
        key_id: String,
        /// The event that needs it, where one is known.
        event_id: Option<String>,
    },

    /// The key is registered but disabled. Retry after it is enabled again.
    #[error("key `{key_id}` is disabled{}", of_event(event_id))]
    #[non_exhaustive]
    KeyDisabled {
        /// The key id.
        key_id: String,
        /// The event that needs it, where one is known.
        event_id: Option<String>,
    },

    /// The key was destroyed on purpose; what it encrypted stays unreadable.
    #[error("key `{key_id}` was destroyed{}", of_event(event_id))]
    #[non_exhaustive]
    KeyDestroyed {
        /// The key id.
        key_id: String,
        /// The event that needs it, where one is known.
        event_id: Option<String>,
    },

    /// A stored message is no event. It was terminated, or dead-lettered where
    /// there is a handler; the subscription goes on.
    #[error("message {sequence} of stream `{stream}` is no event")]
    #[non_exhaustive]
    Undecodable {
        /// The stream.
        stream: String,
        /// The sequence of the message.
        sequence: u64,
        /// Why it could not be read.
        source: BoxError,
    },

    /// An event used up its deliveries and no dead-letter handler took it. It
    /// was terminated; the subscription goes on.
    #[error(
        "event {sequence} of stream `{stream}` used up its {max_deliver} deliveries and was terminated: set a dead-letter handler to keep such events"
    )]
    #[non_exhaustive]
    Exhausted {
        /// The stream.
        stream: String,
        /// The sequence of the event.
        sequence: u64,
        /// How often it may be delivered.
        max_deliver: u64,
    },

    /// A durable consumer exists with another configuration.
    #[error(
        "consumer `{consumer}` exists with another configuration: {}; open it with the stored one, update it where the \
         provider can (`on_existing_durable`), or remove it and with it its position",
        differences.join(", ")
    )]
    #[non_exhaustive]
    ConsumerMismatch {
        /// The consumer.
        consumer: String,
        /// Each differing field with both values.
        differences: Vec<String>,
    },

    /// A stream exists with another configuration.
    #[error(
        "stream `{stream}` exists with another configuration: {}; ask for the stored one, or update or take it as it is \
         where the provider can (`on_existing`)",
        differences.join(", ")
    )]
    #[non_exhaustive]
    StreamMismatch {
        /// The stream.
        stream: String,
        /// Each differing field with both values.
        differences: Vec<String>,
    },

    /// A batch was stored up to an event that failed.
    #[error("the first {} events of the batch are stored, the next one failed", stored.len())]
    #[non_exhaustive]
    PartialBatch {
        /// The sequences of the stored prefix, in order.
        stored: Vec<u64>,
        /// Why the event after the prefix failed.
        source: Box<Self>,
    },

    /// Subscription state could not be saved or loaded. What was stored before
    /// is untouched.
    #[error("could not {operation} state `{location}`")]
    #[non_exhaustive]
    State {
        /// `load`, `save`, …
        operation: Cow<'static, str>,
        /// The file or place.
        location: String,
        /// Why.
        source: BoxError,
    },

    /// A value could not be turned into JSON or back.
    #[error("could not read or write JSON")]
    Serialization(#[from] serde_json::Error),

    /// The backend cannot be reached, or refused the credentials.
    #[error("no connection to {server}")]
    #[non_exhaustive]
    Connection {
        /// The server, without credentials.
        server: String,
        /// Why.
        source: BoxError,
    },

    /// A provider operation failed in a way that no other variant names.
    #[error("the {provider} provider could not {operation}")]
    #[non_exhaustive]
    Provider {
        /// The provider.
        provider: Cow<'static, str>,
        /// What was being done.
        operation: Cow<'static, str>,
        /// Why.
        source: BoxError,
    },
}

impl EventError {
    /// A rule of [`subject`](crate::subject) is broken. `subject` is escaped.
    #[must_use]
    pub fn invalid_subject(subject: &str, rule: impl Into<Cow<'static, str>>) -> Self {
        Self::InvalidSubject {
            subject: escaped(subject),
            rule: rule.into(),
        }
    }

    /// An option has a value without meaning; `reason` says what is expected.
    #[must_use]
    pub fn invalid_option(option: impl Into<Cow<'static, str>>, reason: impl Into<String>) -> Self {
        Self::InvalidOption {
            option: option.into(),
            reason: reason.into(),
        }
    }

    /// The thing of kind `what` called `name` does not exist. `name` is escaped.
    #[must_use]
    pub fn not_found(what: impl Into<Cow<'static, str>>, name: &str) -> Self {
        Self::NotFound {
            what: what.into(),
            name: escaped(name),
        }
    }

    /// The stream's last sequence is `actual` instead of `expected`.
    #[must_use]
    pub const fn conflict(expected: u64, actual: u64) -> Self {
        Self::Conflict { expected, actual }
    }

    /// `operation` did not finish within `after`. The operation `publish` makes
    /// the text say that the event may still be stored.
    #[must_use]
    pub fn timeout(operation: impl Into<Cow<'static, str>>, after: Duration) -> Self {
        Self::Timeout {
            operation: operation.into(),
            after,
        }
    }

    /// The event has `size` bytes where the backend takes `limit`.
    #[must_use]
    pub fn too_large(event_id: &str, size: usize, limit: usize) -> Self {
        Self::TooLarge {
            event_id: escaped(event_id),
            size,
            limit,
        }
    }

    /// `provider` does not offer `feature`.
    #[must_use]
    pub fn unsupported(
        provider: impl Into<Cow<'static, str>>,
        feature: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::Unsupported {
            provider: provider.into(),
            feature: feature.into(),
        }
    }

    /// `what` was closed before the call.
    #[must_use]
    pub fn closed(what: impl Into<Cow<'static, str>>) -> Self {
        Self::Closed { what: what.into() }
    }

    /// The payload lacks the fields `missing`, or is no object when that is empty.
    #[must_use]
    pub fn schema_validation(event_type: &str, version: u32, missing: Vec<String>) -> Self {
        let reason = if missing.is_empty() {
            "it is no JSON object".to_owned()
        } else {
            format!("missing required fields {}", quoted(&missing))
        };
        Self::schema_rejection(event_type, version, missing, reason)
    }

    /// The payload is refused for another reason than missing fields, such as
    /// an event type that a strict registry does not know.
    #[must_use]
    pub fn schema_rejection(
        event_type: &str,
        version: u32,
        missing: Vec<String>,
        reason: impl Into<String>,
    ) -> Self {
        Self::SchemaValidation {
            event_type: escaped(event_type),
            version,
            missing,
            reason: reason.into(),
        }
    }

    /// Version `new` breaks `mode` against version `old` by the required fields
    /// `added` and `removed`.
    #[must_use]
    pub fn incompatible(
        event_type: &str,
        old: u32,
        new: u32,
        mode: impl Into<Cow<'static, str>>,
        added: Vec<String>,
        removed: Vec<String>,
    ) -> Self {
        Self::Incompatible {
            event_type: escaped(event_type),
            old_version: old,
            new_version: new,
            mode: mode.into(),
            added,
            removed,
        }
    }

    /// Encryption or decryption failed; `reason` must not describe the plaintext.
    #[must_use]
    pub fn encryption(
        reason: impl Into<Cow<'static, str>>,
        event_id: Option<&str>,
        key_id: Option<&str>,
    ) -> Self {
        Self::Encryption {
            reason: reason.into(),
            event_id: event_id.map(escaped),
            key_id: key_id.map(escaped),
        }
    }

    /// No key `key_id` is registered.
    #[must_use]
    pub fn key_unknown(key_id: &str) -> Self {
        Self::KeyUnknown {
            key_id: escaped(key_id),
            event_id: None,
        }
    }

    /// Key `key_id` is disabled.
    #[must_use]
    pub fn key_disabled(key_id: &str) -> Self {
        Self::KeyDisabled {
            key_id: escaped(key_id),
            event_id: None,
        }
    }

    /// Key `key_id` was destroyed.
    #[must_use]
    pub fn key_destroyed(key_id: &str) -> Self {
        Self::KeyDestroyed {
            key_id: escaped(key_id),
            event_id: None,
        }
    }

    /// Message `sequence` of `stream` is no event. The cause must not quote it.
    #[must_use]
    pub fn undecodable(stream: &str, sequence: u64, source: impl Into<BoxError>) -> Self {
        Self::Undecodable {
            stream: stream.to_owned(),
            sequence,
            source: source.into(),
        }
    }

    /// Event `sequence` of `stream` used up its `max_deliver` deliveries.
    #[must_use]
    pub fn exhausted(stream: &str, sequence: u64, max_deliver: u64) -> Self {
        Self::Exhausted {
            stream: stream.to_owned(),
            sequence,
            max_deliver,
        }
    }

    /// Consumer `consumer` exists and differs in `differences`.
    #[must_use]
    pub fn consumer_mismatch(consumer: &str, differences: Vec<String>) -> Self {
        Self::ConsumerMismatch {
            consumer: escaped(consumer),
            differences,
        }
    }

    /// Stream `stream` exists and differs in `differences`.
    #[must_use]
    pub fn stream_mismatch(stream: &str, differences: Vec<String>) -> Self {
        Self::StreamMismatch {
            stream: escaped(stream),
            differences,
        }
    }

    /// Of a batch, the events with the sequences `stored` are stored and the
    /// next one failed with `source`.
    #[must_use]
    pub fn partial_batch(stored: Vec<u64>, source: Self) -> Self {
        Self::PartialBatch {
            stored,
            source: Box::new(source),
        }
    }

    /// `operation` on the state at `location` failed.
    #[must_use]
    pub fn state(
        operation: impl Into<Cow<'static, str>>,
        location: impl Into<String>,
        source: impl Into<BoxError>,
    ) -> Self {
        Self::State {
            operation: operation.into(),
            location: location.into(),
            source: source.into(),
        }
    }

    /// `server` cannot be reached. It must not contain credentials.
    #[must_use]
    pub fn connection(server: impl Into<String>, source: impl Into<BoxError>) -> Self {
        Self::Connection {
            server: server.into(),
            source: source.into(),
        }
    }

    /// `provider` could not do `operation`, for a reason no other variant names.
    #[must_use]
    pub fn provider(
        provider: impl Into<Cow<'static, str>>,
        operation: impl Into<Cow<'static, str>>,
        source: impl Into<BoxError>,
    ) -> Self {
        Self::Provider {
            provider: provider.into(),
            operation: operation.into(),
            source: source.into(),
        }
    }

    /// Names the event in an error about encryption or keys that does not name
    /// one yet; any other error stays as it is.
    ///
    /// # Examples
    ///
    /// ```
    /// use a3s_event_core::EventError;
    ///
    /// let error = EventError::key_unknown("2031").for_event("evt-1");
    /// assert_eq!(error.to_string(), "unknown key `2031` for event `evt-1`: add it to the encryptor");
    /// ```
    #[must_use]
    pub fn for_event(mut self, id: &str) -> Self {
        if let Self::Encryption { event_id, .. }
        | Self::KeyUnknown { event_id, .. }
        | Self::KeyDisabled { event_id, .. }
        | Self::KeyDestroyed { event_id, .. } = &mut self
            && event_id.is_none()
        {
            *event_id = Some(escaped(id));
        }
        self
    }

    /// The stable name of the variant, in snake case: a label for metrics and
    /// a key for logs.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::InvalidSubject { .. } => "invalid_subject",
            Self::InvalidOption { .. } => "invalid_option",
            Self::NotFound { .. } => "not_found",
            Self::Conflict { .. } => "conflict",
            Self::Timeout { .. } => "timeout",
            Self::TooLarge { .. } => "too_large",
            Self::Unsupported { .. } => "unsupported",
            Self::Closed { .. } => "closed",
            Self::SchemaValidation { .. } => "schema_validation",
            Self::Incompatible { .. } => "incompatible",
            Self::Encryption { .. } => "encryption",
            Self::KeyUnknown { .. } => "key_unknown",
            Self::KeyDisabled { .. } => "key_disabled",
            Self::KeyDestroyed { .. } => "key_destroyed",
            Self::Undecodable { .. } => "undecodable",
            Self::Exhausted { .. } => "exhausted",
            Self::ConsumerMismatch { .. } => "consumer_mismatch",
            Self::StreamMismatch { .. } => "stream_mismatch",
            Self::PartialBatch { .. } => "partial_batch",
            Self::State { .. } => "state",
            Self::Serialization(_) => "serialization",
            Self::Connection { .. } => "connection",
            Self::Provider { .. } => "provider",
        }
    }

    /// Whether the same call may succeed later without a change by the caller.
    ///
    /// True for a timeout, a lost connection, a key that has not arrived or is
    /// disabled, and a batch that stopped for one of these.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Timeout { .. }
            | Self::Connection { .. }
            | Self::KeyUnknown { .. }
            | Self::KeyDisabled { .. } => true,
            Self::PartialBatch { source, .. } => source.is_retryable(),
            _ => false,
        }
    }
}

/// Makes foreign text safe to print: control characters escaped, length bounded.
pub(crate) fn escaped(text: &str) -> String {
    const LONGEST: usize = 200;
    let mut shown = String::new();
    for character in text.chars().take(LONGEST) {
        if character.is_control() {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    if text.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    shown
}

fn quoted(names: &[String]) -> String {
    let names: Vec<String> = names
        .iter()
        .map(|name| format!("`{}`", escaped(name)))
        .collect();
    names.join(", ")
}

fn fields_at_fault(added: &[String], removed: &[String]) -> String {
    match (added.is_empty(), removed.is_empty()) {
        (false, true) => format!("it requires {} in addition", quoted(added)),
        (true, false) => format!("it no longer requires {}", quoted(removed)),
        _ => format!(
            "it requires {} in addition and no longer requires {}",
            quoted(added),
            quoted(removed)
        ),
    }
}

fn of_event(event_id: &Option<String>) -> String {
    event_id
        .as_ref()
        .map_or_else(String::new, |id| format!(" for event `{id}`"))
}

fn with_key(key_id: &Option<String>) -> String {
    key_id
        .as_ref()
        .map_or_else(String::new, |id| format!(" with key `{id}`"))
}

fn ambiguity(operation: &str) -> &'static str {
    if operation.starts_with("publish") {
        ": the event may still be stored, set `msg_id` when retrying"
    } else {
        ""
    }
}

#[cfg(test)]
mod tests;
