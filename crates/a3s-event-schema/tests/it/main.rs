//! The public behavior of the crate.

#![allow(clippy::unwrap_used, reason = "tests may unwrap")]

mod evolution;
mod laws;
mod registry;
mod validation;

use a3s_event_core::schema::EventSchema;

/// Version `version` of the type `order.created`.
fn schema(version: u32, required: &[&str]) -> EventSchema {
    EventSchema {
        event_type: "order.created".to_owned(),
        version,
        required_fields: required.iter().map(|&field| field.to_owned()).collect(),
        description: String::new(),
    }
}
