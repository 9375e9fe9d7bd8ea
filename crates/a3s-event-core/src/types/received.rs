use std::{borrow::Borrow, fmt, ops::Deref, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Event;

/// An event with what the delivery adds to it. JSON names are camelCase.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ReceivedEvent {
    /// The event.
    pub event: Event,
    /// Its position in the stream; sequences strictly increase from 1.
    pub sequence: u64,
    /// How often it was delivered to this consumer, this time included: 1 the
    /// first time.
    pub num_delivered: u64,
    /// The stream that stores it.
    pub stream: StreamName,
    /// How many further events wait for this consumer, where the provider knows.
    pub pending: Option<u64>,
}

impl ReceivedEvent {
    /// Describes a delivery of `event`, with an unknown number of pending events.
    #[must_use]
    pub fn new(
        event: Event,
        sequence: u64,
        num_delivered: u64,
        stream: impl Into<StreamName>,
    ) -> Self {
        Self {
            event,
            sequence,
            num_delivered,
            stream: stream.into(),
            pending: None,
        }
    }

    /// Adds the number of events that wait behind this one.
    #[must_use]
    pub const fn with_pending(mut self, pending: u64) -> Self {
        self.pending = Some(pending);
        self
    }
}

/// The name of a stream: reads as a `&str` and costs next to nothing to clone.
///
/// A static name is a pointer, without the shared reference count that would
/// cost more than a delivery in memory; any other name is shared.
///
/// # Examples
///
/// ```
/// use a3s_event_core::types::StreamName;
///
/// let stream = StreamName::from("A3S_EVENTS".to_string());
/// assert_eq!(stream, "A3S_EVENTS");
/// assert!(stream.starts_with("A3S"));
/// ```
#[derive(Clone)]
pub struct StreamName(Name);

#[derive(Clone)]
enum Name {
    Static(&'static str),
    Shared(Arc<str>),
}

impl StreamName {
    /// Names a stream by a constant.
    #[must_use]
    pub const fn from_static(name: &'static str) -> Self {
        Self(Name::Static(name))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Name::Static(name) => name,
            Name::Shared(name) => name,
        }
    }
}

impl Deref for StreamName {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for StreamName {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl Borrow<str> for StreamName {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

impl fmt::Debug for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl From<&str> for StreamName {
    fn from(name: &str) -> Self {
        Self(Name::Shared(name.into()))
    }
}

impl From<String> for StreamName {
    fn from(name: String) -> Self {
        Self(Name::Shared(name.into()))
    }
}

impl From<Arc<str>> for StreamName {
    fn from(name: Arc<str>) -> Self {
        Self(Name::Shared(name))
    }
}

impl Serialize for StreamName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self)
    }
}

impl<'de> Deserialize<'de> for StreamName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::from)
    }
}

impl From<StreamName> for String {
    fn from(name: StreamName) -> Self {
        name.as_str().to_owned()
    }
}

impl PartialEq for StreamName {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for StreamName {}

impl std::hash::Hash for StreamName {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl PartialEq<str> for StreamName {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for StreamName {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl PartialEq<String> for StreamName {
    fn eq(&self, other: &String) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<StreamName> for &str {
    fn eq(&self, other: &StreamName) -> bool {
        *self == other.as_str()
    }
}

impl PartialEq<StreamName> for String {
    fn eq(&self, other: &StreamName) -> bool {
        self == other.as_str()
    }
}
