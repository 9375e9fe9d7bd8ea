use std::{
    collections::{BTreeMap, HashSet},
    sync::{PoisonError, RwLock, RwLockReadGuard},
};

use a3s_event_core::{
    EventError, Result,
    schema::{Compatibility, EventSchema, SchemaRegistry},
    types::Event,
};

use crate::compatibility::check_evolution;

/// The versions of every event type.
type Schemas = BTreeMap<String, BTreeMap<u32, EventSchema>>;

/// A schema registry in memory: schemas are registered at start-up and looked
/// up on every publish.
///
/// Nothing is enforced at registration unless
/// [`with_compatibility`](Self::with_compatibility) or
/// [`with_type_compatibility`](Self::with_type_compatibility) says so, and
/// events of unknown types pass unless it is [`strict`](Self::strict).
///
/// All methods take `&self` and may be called from any thread; readers do not
/// wait for each other.
///
/// # Order of registration
///
/// Versions may arrive in any order and may leave gaps. A new version is
/// compared with its neighbors: with the latest earlier version that exists
/// and, where later ones exist already, the earliest of these with it. So the
/// same set of schemas is accepted in any order, or refused in any order when
/// it is registered in full, and every version stays compatible with the next.
///
/// # Examples
///
/// ```
/// use a3s_event_core::schema::{Compatibility, EventSchema, SchemaRegistry};
/// use a3s_event_schema::MemorySchemaRegistry;
///
/// let registry = MemorySchemaRegistry::with_compatibility(Compatibility::Backward).strict();
/// let order = EventSchema {
///     event_type: "order.created".to_string(),
///     version: 1,
///     required_fields: vec!["id".to_string()],
///     description: "An order was placed".to_string(),
/// };
/// registry.register(order.clone())?;
///
/// let demanding = EventSchema {
///     version: 2,
///     required_fields: vec!["id".to_string(), "currency".to_string()],
///     ..order
/// };
/// let refused = registry.register(demanding).unwrap_err();
/// assert_eq!(
///     refused.to_string(),
///     "version 2 of `order.created` is not backward compatible with version 1: \
///      it requires `currency` in addition"
/// );
/// assert_eq!(registry.latest_version("order.created")?, Some(1));
/// # Ok::<(), a3s_event_core::EventError>(())
/// ```
#[derive(Debug, Default)]
pub struct MemorySchemaRegistry {
    schemas: RwLock<Schemas>,
    compatibility: Compatibility,
    by_type: BTreeMap<String, Compatibility>,
    strict: bool,
}

impl MemorySchemaRegistry {
    /// Creates an empty registry that enforces no compatibility.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Creates an empty registry that enforces `mode` for every type whenever a
    /// schema is registered.
    #[must_use]
    pub fn with_compatibility(mode: Compatibility) -> Self {
        Self {
            compatibility: mode,
            ..Self::default()
        }
    }

    /// Enforces `mode` for `event_type` in place of what holds for all types.
    #[must_use]
    pub fn with_type_compatibility(
        mut self,
        event_type: impl Into<String>,
        mode: Compatibility,
    ) -> Self {
        self.by_type.insert(event_type.into(), mode);
        self
    }

    /// Refuses typed events whose type or version is not registered. Untyped
    /// events still pass.
    #[must_use]
    pub fn strict(mut self) -> Self {
        self.strict = true;
        self
    }

    fn enforced(&self, event_type: &str) -> Compatibility {
        let by_type = self.by_type.get(event_type).copied();
        by_type.unwrap_or(self.compatibility)
    }

    fn read(&self) -> RwLockReadGuard<'_, Schemas> {
        // No write leaves a schema half inserted, so a poisoned lock guards sound data.
        self.schemas.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SchemaRegistry for MemorySchemaRegistry {
    /// Adds a schema; under an enforced mode only if it is compatible with its
    /// neighbors.
    ///
    /// The same content again is `Ok`, whatever the order of its fields.
    ///
    /// # Errors
    ///
    /// [`EventError::InvalidOption`] for an empty type, version 0, or a version
    /// that exists with other content; [`EventError::Incompatible`] naming the
    /// fields at fault. Nothing is registered then.
    fn register(&self, schema: EventSchema) -> Result<()> {
        if schema.event_type.is_empty() {
            let reason = "must not be empty: untyped events have no schema";
            return Err(EventError::invalid_option("event_type", reason));
        }
        if schema.version == 0 {
            let reason = "must be at least 1";
            return Err(EventError::invalid_option("version", reason));
        }
        let mode = self.enforced(&schema.event_type);
        // Checks and insertion are one step, or two threads could register what neither may follow.
        let mut schemas = self.schemas.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(versions) = schemas.get(&schema.event_type) {
            if let Some(existing) = versions.get(&schema.version) {
                return unchanged(existing, &schema);
            }
            if let Some((_, earlier)) = versions.range(..schema.version).next_back() {
                check_evolution(earlier, &schema, mode)?;
            }
            if let Some((_, later)) = versions.range(schema.version..).next() {
                check_evolution(&schema, later, mode)?;
            }
        }
        let versions = schemas.entry(schema.event_type.clone()).or_default();
        versions.insert(schema.version, schema);
        Ok(())
    }

    fn get(&self, event_type: &str, version: u32) -> Result<Option<EventSchema>> {
        let schemas = self.read();
        let versions = schemas.get(event_type);
        Ok(versions
            .and_then(|versions| versions.get(&version))
            .cloned())
    }

    fn latest_version(&self, event_type: &str) -> Result<Option<u32>> {
        let schemas = self.read();
        let versions = schemas.get(event_type);
        Ok(versions
            .and_then(|versions| versions.keys().next_back())
            .copied())
    }

    fn list_types(&self) -> Result<Vec<String>> {
        Ok(self.read().keys().cloned().collect())
    }

    /// Checks the payload of `event` against its schema.
    ///
    /// Untyped events pass. So do events whose type or version is not
    /// registered, unless the registry is [`strict`](MemorySchemaRegistry::strict).
    ///
    /// # Errors
    ///
    /// [`EventError::SchemaValidation`] naming all missing fields at once. It
    /// never quotes the payload.
    fn validate(&self, event: &Event) -> Result<()> {
        if event.event_type.is_empty() {
            return Ok(());
        }
        let schemas = self.read();
        let versions = schemas.get(&event.event_type);
        let Some(schema) = versions.and_then(|versions| versions.get(&event.version)) else {
            return if self.strict {
                Err(unknown(event))
            } else {
                Ok(())
            };
        };
        let refused =
            |missing| EventError::schema_validation(&event.event_type, event.version, missing);
        let Some(fields) = event.payload.as_object() else {
            return Err(refused(Vec::new()));
        };
        let mut seen = HashSet::new();
        let required = schema.required_fields.iter();
        let missing: Vec<String> = required
            .filter(|field| !fields.contains_key(*field))
            .filter(|field| seen.insert(*field))
            .cloned()
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(refused(missing))
    }

    fn check_compatibility(
        &self,
        event_type: &str,
        new_version: u32,
        mode: Compatibility,
    ) -> Result<()> {
        let schemas = self.read();
        let versions = schemas.get(event_type);
        let Some((versions, new)) =
            versions.and_then(|versions| Some((versions, versions.get(&new_version)?)))
        else {
            let name = format!("{event_type} version {new_version}");
            return Err(EventError::not_found("schema", &name));
        };
        match versions.range(..new_version).next_back() {
            Some((_, earlier)) => check_evolution(earlier, new, mode),
            None => Ok(()),
        }
    }
}

/// `Ok` if `again` says the same as `existing`, whose version it claims.
fn unchanged(existing: &EventSchema, again: &EventSchema) -> Result<()> {
    let same_fields = check_evolution(existing, again, Compatibility::Full).is_ok();
    if same_fields && existing.description == again.description {
        return Ok(());
    }
    let reason = format!(
        "version {} of `{}` exists with other content: schemas never change, register a new version",
        existing.version,
        existing.event_type.escape_debug()
    );
    Err(EventError::invalid_option("version", reason))
}

fn unknown(event: &Event) -> EventError {
    let reason = "no schema of this type and version is registered and the registry is strict";
    EventError::schema_rejection(&event.event_type, event.version, Vec::new(), reason)
}
