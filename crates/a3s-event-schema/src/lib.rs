//! Schemas for events: which fields a payload must have, and which changes of
//! that are compatible.
//!
//! - [`MemorySchemaRegistry`] keeps the schemas of a service in memory. Give it
//!   to a bus and every typed event is validated before it is published.
//! - [`check_evolution`] compares two schemas without a registry, for a check in
//!   continuous integration or a registry of your own.
//!
//! # Rules
//!
//! A schema accepts a payload when it is a JSON object that has every required
//! field; `null` counts as present, further fields do not matter. From that
//! follows what a change does:
//!
//! | change | [`Backward`] | [`Forward`] | [`Full`] |
//! |---|---|---|---|
//! | a required field is added | refused | accepted | refused |
//! | a required field is removed | accepted | refused | refused |
//! | both | refused | refused | refused |
//! | only order, repeats or description differ | accepted | accepted | accepted |
//!
//! [`Backward`]: a3s_event_core::schema::Compatibility::Backward
//! [`Forward`]: a3s_event_core::schema::Compatibility::Forward
//! [`Full`]: a3s_event_core::schema::Compatibility::Full
//!
//! # Examples
//!
//! ```
//! use a3s_event_core::{
//!     EventError,
//!     schema::{Compatibility, EventSchema, SchemaRegistry},
//!     types::Event,
//! };
//! use a3s_event_schema::MemorySchemaRegistry;
//!
//! let registry = MemorySchemaRegistry::with_compatibility(Compatibility::Backward);
//! registry.register(EventSchema {
//!     event_type: "forex.rate_change".to_string(),
//!     version: 1,
//!     required_fields: vec!["pair".to_string(), "rate".to_string()],
//!     description: "A reference rate changed".to_string(),
//! })?;
//!
//! let event = Event::typed(
//!     "events.market.forex.usd_cny",
//!     "market",
//!     "forex.rate_change",
//!     1,
//!     "USD/CNY",
//!     "reuters",
//!     serde_json::json!({"rate": 7.3521}),
//! );
//! let Err(EventError::SchemaValidation { missing, .. }) = registry.validate(&event) else {
//!     panic!("the pair is missing");
//! };
//! assert_eq!(missing, ["pair"]);
//! # Ok::<(), EventError>(())
//! ```

mod compatibility;
mod registry;

pub use compatibility::check_evolution;
pub use registry::MemorySchemaRegistry;
