use std::{
    collections::HashMap,
    fmt,
    ops::{Deref, DerefMut},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use time::OffsetDateTime;
use ulid::Ulid;

use crate::{EventError, Result, clock::now_millis};

/// How deep arrays and objects may nest in a payload.
///
/// JSON text nested deeper than 127 levels cannot be read back by `serde_json`,
/// and the event around the payload is one of them. Every provider refuses a
/// deeper payload at publish, so that nothing is stored that nobody can read.
pub const MAX_PAYLOAD_DEPTH: usize = 126;

/// An event: a cheap handle on [`EventFields`].
///
/// A clone shares the fields: passing an event to a thousand subscribers,
/// retaining it and publishing it copy no payload. Reading goes through
/// [`Deref`], writing through [`DerefMut`], which first copies the fields if
/// another handle shares them, so that nobody else sees the change.
///
/// # What differs from a plain struct
///
/// - Moving one field out needs [`into_fields`](Self::into_fields):
///   `event.into_fields().payload`.
/// - Patterns match on the fields: `let EventFields { id, .. } = &*event`.
/// - Two mutable borrows at once need one `let fields = &mut *event;` first.
/// - A change through one handle is not seen through its clones.
///
/// # JSON
///
/// The fields in camelCase, see [`EventFields`].
///
/// # Examples
///
/// ```
/// use a3s_event_core::types::Event;
///
/// let mut event = Event::new(
///     "events.market.forex.usd_cny",
///     "market",
///     "USD/CNY broke through 7.35",
///     "reuters",
///     serde_json::json!({"rate": 7.3521}),
/// )
/// .with_metadata("desk", "fx");
///
/// let shared = event.clone();
/// event.payload["rate"] = serde_json::json!(7.4);
///
/// assert_eq!(shared.payload["rate"], 7.3521);
/// assert!(event.id.starts_with("evt-"));
/// ```
#[derive(Clone)]
pub struct Event(Arc<Shared>);

/// What the handles of one event share.
// In this order, so that publishing reads one cache line of it.
#[repr(C)]
struct Shared {
    /// What `measure` found, 0 if nobody has asked since the last change.
    measured: AtomicUsize,
    fields: EventFields,
}

impl Clone for Shared {
    /// Copies for a writer, whose change makes the measured size worthless.
    fn clone(&self) -> Self {
        Self {
            measured: AtomicUsize::new(0),
            fields: self.fields.clone(),
        }
    }
}

/// The fields of an [`Event`].
///
/// JSON names are camelCase. Fields that a newer writer added are ignored;
/// `event_type`, `version` and `metadata` have defaults, so that events written
/// before these fields existed still read. Payload numbers survive bit for bit.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
// In this order: what a publish reads comes first.
#[repr(C)]
pub struct EventFields {
    /// Full subject: prefix, category and topic.
    pub subject: String,
    /// Unique id: `evt-` and a ULID, so that ids sort by time of creation.
    pub id: String,
    /// First subject token after the prefix: what `EventBus::counts` counts by.
    /// Whoever writes an event keeps the two in line; `EventBus::publish` does.
    pub category: String,
    /// Name of the schema; empty for an untyped event.
    #[serde(default)]
    pub event_type: String,
    /// Version of the schema, from 1.
    #[serde(default = "first_version")]
    pub version: u32,
    /// Any JSON, nested up to [`MAX_PAYLOAD_DEPTH`].
    pub payload: Value,
    /// One line for people. Never encrypted.
    pub summary: String,
    /// Who produced the event.
    pub source: String,
    /// When the event was created, in Unix milliseconds.
    pub timestamp: u64,
    /// Further keys and values. Never encrypted.
    #[serde(default)]
    pub metadata: HashMap<String, String>,
}

const fn first_version() -> u32 {
    1
}

impl Event {
    /// Creates an untyped event with a fresh id and the current time.
    ///
    /// Nothing is checked here: providers check the subject when the event is
    /// published.
    #[must_use]
    pub fn new(
        subject: impl Into<String>,
        category: impl Into<String>,
        summary: impl Into<String>,
        source: impl Into<String>,
        payload: Value,
    ) -> Self {
        Self::typed(subject, category, "", 1, summary, source, payload)
    }

    /// Creates an event of a type that a schema registry may know.
    ///
    /// # Examples
    ///
    /// ```
    /// use a3s_event_core::types::Event;
    ///
    /// let event = Event::typed(
    ///     "events.market.forex.usd_cny",
    ///     "market",
    ///     "forex.rate_change",
    ///     2,
    ///     "USD/CNY",
    ///     "reuters",
    ///     serde_json::json!({"rate": 7.3521, "pair": "usd_cny"}),
    /// );
    /// assert_eq!((event.event_type.as_str(), event.version), ("forex.rate_change", 2));
    /// ```
    #[must_use]
    pub fn typed(
        subject: impl Into<String>,
        category: impl Into<String>,
        event_type: impl Into<String>,
        version: u32,
        summary: impl Into<String>,
        source: impl Into<String>,
        payload: Value,
    ) -> Self {
        let event = Self::from(EventFields {
            id: fresh_id(),
            subject: subject.into(),
            category: category.into(),
            event_type: event_type.into(),
            version,
            payload,
            summary: summary.into(),
            source: source.into(),
            timestamp: now_millis(),
            metadata: HashMap::new(),
        });
        // Now that the payload is in the cache; too deep a one is refused by
        // whoever publishes it.
        let _: Result<usize> = event.measure();
        event
    }

    /// Adds one metadata entry, replacing an earlier value of the key.
    #[must_use]
    pub fn with_metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.insert(key.into(), value.into());
        self
    }

    /// Replaces the payload. Other handles keep theirs; of what they share,
    /// everything but the payload is copied.
    ///
    /// # Examples
    ///
    /// ```
    /// use a3s_event_core::types::Event;
    ///
    /// let event = Event::new("events.a.b", "a", "", "", serde_json::json!({"rate": 7.35}));
    /// let sealed = event.clone().with_payload(serde_json::json!("sealed"));
    /// assert_eq!((sealed.id.as_str(), &event.payload["rate"]), (event.id.as_str(), &7.35.into()));
    /// ```
    #[must_use]
    pub fn with_payload(mut self, payload: Value) -> Self {
        if Arc::get_mut(&mut self.0).is_some() {
            self.payload = payload;
            return self;
        }
        Self::from(EventFields {
            id: self.id.clone(),
            subject: self.subject.clone(),
            category: self.category.clone(),
            event_type: self.event_type.clone(),
            version: self.version,
            payload,
            summary: self.summary.clone(),
            source: self.source.clone(),
            timestamp: self.timestamp,
            metadata: self.metadata.clone(),
        })
    }

    /// Returns the fields; copies them only if another handle shares them.
    #[must_use]
    pub fn into_fields(self) -> EventFields {
        Arc::unwrap_or_clone(self.0).fields
    }

    /// The size of the event as JSON in bytes, without escapes: an estimate that
    /// allocates nothing and is off by a few bytes a number. It is measured once
    /// and remembered until a field is borrowed for writing.
    ///
    /// # Errors
    ///
    /// [`EventError::InvalidOption`] when the payload nests deeper than
    /// [`MAX_PAYLOAD_DEPTH`]. Providers call this before they store or send.
    pub fn measure(&self) -> Result<usize> {
        match self.0.measured.load(Ordering::Relaxed) {
            0 => {
                let size = self.0.fields.measure()?;
                self.0.measured.store(size, Ordering::Relaxed);
                Ok(size)
            }
            size => Ok(size),
        }
    }

    /// Whether both handles share the same fields in memory.
    #[must_use]
    pub fn ptr_eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl EventFields {
    /// The time of creation, with millisecond precision.
    ///
    /// A timestamp beyond the year 9999 gives the last representable instant.
    #[must_use]
    pub fn time(&self) -> OffsetDateTime {
        const LATEST: i128 = 253_402_300_799_999;
        let millis = i128::from(self.timestamp).min(LATEST);
        OffsetDateTime::from_unix_timestamp_nanos(millis * 1_000_000)
            .unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }

    fn measure(&self) -> Result<usize> {
        // Names, quotes, colons, commas and the two numbers of the event around the payload.
        const AROUND: usize = 140;

        let Some(payload) = measure_value(&self.payload, MAX_PAYLOAD_DEPTH) else {
            return Err(EventError::invalid_option(
                "payload",
                format!(
                    "nests deeper than {MAX_PAYLOAD_DEPTH} levels, which no reader could parse"
                ),
            ));
        };
        let metadata: usize = self
            .metadata
            .iter()
            .map(|(key, value)| key.len() + value.len() + 6)
            .sum();
        Ok(AROUND
            + self.id.len()
            + self.subject.len()
            + self.category.len()
            + self.event_type.len()
            + self.summary.len()
            + self.source.len()
            + metadata
            + payload)
    }
}

/// Size of `value` as JSON; `None` when it nests deeper than `depth`.
fn measure_value(value: &Value, depth: usize) -> Option<usize> {
    // Recursion is bounded by `depth`, whatever the value is.
    Some(match value {
        Value::Null | Value::Bool(true) => 4,
        Value::Bool(false) => 5,
        Value::Number(_) => 8,
        Value::String(text) => text.len() + 2,
        Value::Array(items) => {
            let depth = depth.checked_sub(1)?;
            let mut size = 2 + items.len();
            for item in items {
                size += measure_value(item, depth)?;
            }
            size
        }
        Value::Object(entries) => {
            let depth = depth.checked_sub(1)?;
            let mut size = 2;
            for (key, item) in entries {
                size += key.len() + 4 + measure_value(item, depth)?;
            }
            size
        }
    })
}

fn fresh_id() -> String {
    let mut buffer = [0; ulid::ULID_LEN];
    let ulid = Ulid::generate().array_to_str(&mut buffer);
    ["evt-", ulid].concat()
}

impl Deref for Event {
    type Target = EventFields;

    fn deref(&self) -> &EventFields {
        &self.0.fields
    }
}

impl DerefMut for Event {
    fn deref_mut(&mut self) -> &mut EventFields {
        let shared = Arc::make_mut(&mut self.0);
        *shared.measured.get_mut() = 0;
        &mut shared.fields
    }
}

impl From<EventFields> for Event {
    fn from(fields: EventFields) -> Self {
        Self(Arc::new(Shared {
            measured: AtomicUsize::new(0),
            fields,
        }))
    }
}

impl From<Event> for EventFields {
    fn from(event: Event) -> Self {
        event.into_fields()
    }
}

impl PartialEq for Event {
    fn eq(&self, other: &Self) -> bool {
        self.ptr_eq(other) || **self == **other
    }
}

impl Serialize for Event {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (**self).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Event {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        EventFields::deserialize(deserializer).map(Self::from)
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.describe("Event", f)
    }
}

impl fmt::Debug for EventFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.describe("EventFields", f)
    }
}

impl EventFields {
    /// Sizes instead of contents: a log line must not leak a payload.
    fn describe(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(name)
            .field("id", &self.id)
            .field("subject", &self.subject)
            .field("event_type", &self.event_type)
            .field("version", &self.version)
            .field("source", &self.source)
            .field("timestamp", &self.timestamp)
            .field("summary_bytes", &self.summary.len())
            .field(
                "payload_bytes",
                &measure_value(&self.payload, MAX_PAYLOAD_DEPTH),
            )
            .field("metadata_entries", &self.metadata.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
