//! Which payloads pass.

use std::thread;

use a3s_event_core::{EventError, schema::SchemaRegistry, types::Event};
use a3s_event_schema::MemorySchemaRegistry;
use serde_json::{Map, Value, json};

use crate::schema;

fn event(event_type: &str, version: u32, payload: Value) -> Event {
    Event::typed(
        "events.shop.order",
        "shop",
        event_type,
        version,
        "",
        "",
        payload,
    )
}

fn registry() -> MemorySchemaRegistry {
    let registry = MemorySchemaRegistry::new();
    registry.register(schema(1, &["id", "total"])).unwrap();
    registry.register(schema(3, &[])).unwrap();
    registry
}

#[track_caller]
fn missing(payload: Value) -> Vec<String> {
    let refusal = registry()
        .validate(&event("order.created", 1, payload))
        .unwrap_err();
    let EventError::SchemaValidation {
        event_type,
        version,
        missing,
        ..
    } = refusal
    else {
        panic!("not about validation: {refusal}");
    };
    assert_eq!((event_type.as_str(), version), ("order.created", 1));
    missing
}

#[test]
fn a_payload_with_all_required_fields_passes() {
    for payload in [
        json!({"id": 1, "total": 2}),
        json!({"total": null, "id": null}),
        json!({"id": {}, "total": [], "more": true}),
    ] {
        let event = event("order.created", 1, payload);
        registry().validate(&event).unwrap();
    }
}

#[test]
fn all_missing_fields_are_named_at_once_in_the_order_of_the_schema() {
    assert_eq!(missing(json!({})), ["id", "total"]);
    assert_eq!(missing(json!({"id": 1})), ["total"]);
    assert_eq!(
        missing(json!({"ID": 1, "order": {"id": 1}})),
        ["id", "total"]
    );
}

#[test]
fn a_field_that_is_required_twice_is_missing_once() {
    let registry = MemorySchemaRegistry::new();
    registry.register(schema(1, &["a", "b", "a"])).unwrap();
    let refusal = registry.validate(&event("order.created", 1, json!({})));
    assert!(matches!(
        refusal,
        Err(EventError::SchemaValidation { missing, .. }) if missing == ["a", "b"]
    ));
}

#[test]
fn what_is_no_object_is_refused_even_without_required_fields() {
    for payload in [
        json!(null),
        json!(["id", "total"]),
        json!("id"),
        json!(1),
        json!(true),
    ] {
        assert!(missing(payload.clone()).is_empty());
        let event = event("order.created", 3, payload);
        assert!(registry().validate(&event).is_err());
    }
}

#[test]
fn unknown_types_and_versions_pass_unless_the_registry_is_strict() {
    for unknown in [
        event("order.paid", 1, json!(null)),
        event("order.created", 2, json!({})),
        event("order.created", 0, json!({})),
        event("order.created", u32::MAX, json!({})),
    ] {
        registry().validate(&unknown).unwrap();
        let refusal = registry().strict().validate(&unknown).unwrap_err();
        assert!(matches!(
            refusal,
            EventError::SchemaValidation { missing, .. } if missing.is_empty()
        ));
    }
}

#[test]
fn an_untyped_event_passes_even_where_the_registry_is_strict() {
    let untyped = Event::new("events.shop.order", "shop", "", "", json!(null));
    registry().strict().validate(&untyped).unwrap();
}

#[test]
fn a_refusal_does_not_quote_the_payload() {
    let event = event("order.created", 1, json!({"password": "hunter2"}));
    let refusal = registry().validate(&event).unwrap_err();
    for text in [refusal.to_string(), format!("{refusal:?}")] {
        assert!(
            !text.contains("hunter2") && !text.contains("password"),
            "{text}"
        );
    }
}

#[test]
fn neither_depth_nor_size_of_a_payload_matters() {
    let many: Map<_, _> = (0..100_000)
        .map(|field| (format!("f{field}"), Value::Null))
        .collect();
    assert_eq!(missing(Value::Object(many)), ["id", "total"]);

    // Dropping a value this deep needs the stack, validating it does not.
    let deep = || {
        let mut deep = Value::Null;
        for _ in 0..100_000 {
            deep = Value::Array(vec![deep]);
        }
        let mut payload = json!({"id": 1});
        payload["total"] = deep;
        registry()
            .validate(&event("order.created", 1, payload))
            .unwrap();
    };
    let thread = thread::Builder::new().stack_size(1 << 29).spawn(deep);
    thread.unwrap().join().unwrap();
}
