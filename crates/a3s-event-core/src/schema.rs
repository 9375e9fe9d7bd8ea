//! What a schema registry is. `a3s-event-schema` has one in memory.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{Result, types::Event};

/// The schema of one version of an event type: which fields its payload must have.
///
/// # Examples
///
/// ```
/// use a3s_event_core::schema::EventSchema;
///
/// let schema = EventSchema {
///     event_type: "forex.rate_change".to_string(),
///     version: 1,
///     required_fields: vec!["rate".to_string()],
///     description: "A reference rate changed".to_string(),
/// };
/// assert_eq!(schema.version, 1);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventSchema {
    /// The type that events name.
    pub event_type: String,
    /// The version, from 1.
    pub version: u32,
    /// Top-level fields the payload must have; a set, order and repeats do not matter.
    pub required_fields: Vec<String>,
    /// For people.
    pub description: String,
}

/// What a new version of a schema must keep.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Compatibility {
    /// What was valid under the old version is valid under the new one: readers
    /// are upgraded first. Adding a required field breaks it.
    Backward,
    /// What is valid under the new version was valid under the old one: writers
    /// are upgraded first. Removing a required field breaks it.
    Forward,
    /// Both.
    Full,
    /// Nothing is checked.
    #[default]
    None,
}

impl Compatibility {
    /// The mode in lower case, as errors name it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Backward => "backward",
            Self::Forward => "forward",
            Self::Full => "full",
            Self::None => "none",
        }
    }
}

/// Knows the schemas of event types and checks payloads against them.
///
/// Synchronous, because it runs on the publish path: a registry behind a
/// network keeps a local copy.
pub trait SchemaRegistry: Send + Sync {
    /// Adds a schema. The same content again is `Ok`: schemas never change.
    ///
    /// # Errors
    ///
    /// [`EventError::InvalidOption`](crate::EventError::InvalidOption) for an
    /// empty type, version 0, or a version that exists with other content.
    fn register(&self, schema: EventSchema) -> Result<()>;

    /// The schema of `event_type` in `version`, if there is one.
    fn get(&self, event_type: &str, version: u32) -> Result<Option<EventSchema>>;

    /// The highest registered version of `event_type`, if there is one.
    fn latest_version(&self, event_type: &str) -> Result<Option<u32>>;

    /// All registered types, sorted.
    fn list_types(&self) -> Result<Vec<String>>;

    /// Checks the payload of `event`, in plaintext, against its schema. An
    /// untyped event passes; so does an unknown type unless the registry is
    /// strict.
    ///
    /// # Errors
    ///
    /// [`EventError::SchemaValidation`](crate::EventError::SchemaValidation)
    /// naming all missing fields at once.
    fn validate(&self, event: &Event) -> Result<()>;

    /// Checks registered version `new_version` against the latest earlier
    /// version that exists. Without an earlier one it passes.
    ///
    /// # Errors
    ///
    /// [`EventError::Incompatible`](crate::EventError::Incompatible) naming the
    /// fields at fault, [`EventError::NotFound`](crate::EventError::NotFound)
    /// when `new_version` is not registered.
    fn check_compatibility(
        &self,
        event_type: &str,
        new_version: u32,
        mode: Compatibility,
    ) -> Result<()>;
}

macro_rules! forward_registry {
    ($($pointer:ident)+) => {$(
        impl<R: SchemaRegistry + ?Sized> SchemaRegistry for $pointer<R> {
            fn register(&self, schema: EventSchema) -> Result<()> {
                (**self).register(schema)
            }

            fn get(&self, event_type: &str, version: u32) -> Result<Option<EventSchema>> {
                (**self).get(event_type, version)
            }

            fn latest_version(&self, event_type: &str) -> Result<Option<u32>> {
                (**self).latest_version(event_type)
            }

            fn list_types(&self) -> Result<Vec<String>> {
                (**self).list_types()
            }

            fn validate(&self, event: &Event) -> Result<()> {
                (**self).validate(event)
            }

            fn check_compatibility(
                &self,
                event_type: &str,
                new_version: u32,
                mode: Compatibility,
            ) -> Result<()> {
                (**self).check_compatibility(event_type, new_version, mode)
            }
        }
    )+};
}

forward_registry!(Box Arc);
