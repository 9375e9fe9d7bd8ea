//! What is registered, found and refused; many threads at once.

use std::{sync::Barrier, thread};

use a3s_event_core::{
    EventError,
    schema::{Compatibility, EventSchema, SchemaRegistry},
};
use a3s_event_schema::MemorySchemaRegistry;

use crate::schema;

#[test]
fn what_was_registered_is_found_as_it_was() {
    let registry = MemorySchemaRegistry::new();
    let registered = EventSchema {
        description: "An order was placed".to_owned(),
        ..schema(2, &["b", "a", "b"])
    };
    registry.register(registered.clone()).unwrap();

    assert_eq!(registry.get("order.created", 2).unwrap(), Some(registered));
    assert_eq!(registry.get("order.created", 1).unwrap(), None);
    assert_eq!(registry.get("order.paid", 2).unwrap(), None);
    assert_eq!(registry.latest_version("order.paid").unwrap(), None);
}

#[test]
fn types_are_listed_sorted_and_once() {
    let registry = MemorySchemaRegistry::new();
    assert!(registry.list_types().unwrap().is_empty());
    for event_type in ["b", "c", "a", "b"] {
        for version in [2, 1] {
            let event_type = event_type.to_owned();
            registry
                .register(EventSchema {
                    event_type,
                    ..schema(version, &[])
                })
                .unwrap();
        }
    }
    assert_eq!(registry.list_types().unwrap(), ["a", "b", "c"]);
    assert_eq!(registry.latest_version("b").unwrap(), Some(2));
}

#[test]
fn the_same_content_again_is_fine_and_other_content_is_not() {
    let registry = MemorySchemaRegistry::new();
    let original = schema(1, &["a", "b"]);
    registry.register(original.clone()).unwrap();
    registry.register(original.clone()).unwrap();
    registry.register(schema(1, &["b", "a", "b"])).unwrap();

    let described = EventSchema {
        description: "other".to_owned(),
        ..original.clone()
    };
    for other in [schema(1, &["a"]), schema(1, &["a", "b", "c"]), described] {
        let refusal = registry.register(other).unwrap_err();
        assert!(matches!(refusal, EventError::InvalidOption { .. }));
    }
    assert_eq!(registry.get("order.created", 1).unwrap(), Some(original));
}

#[test]
fn a_type_or_version_that_names_nothing_is_refused() {
    let registry = MemorySchemaRegistry::new();
    let untyped = EventSchema {
        event_type: String::new(),
        ..schema(1, &[])
    };
    for meaningless in [untyped, schema(0, &[])] {
        let refusal = registry.register(meaningless).unwrap_err();
        assert!(matches!(refusal, EventError::InvalidOption { .. }));
    }
    assert!(registry.list_types().unwrap().is_empty());
}

#[test]
fn hostile_schemas_are_kept_compared_and_printed_safely() {
    let registry = MemorySchemaRegistry::with_compatibility(Compatibility::Full);
    let hostile = |version, required| EventSchema {
        event_type: "order\r\nPUB x".to_owned(),
        ..schema(version, required)
    };
    let names = ["", "\0", "🦀", "a\r\nb", "encrypted"];
    registry.register(hostile(u32::MAX, &names)).unwrap();
    registry.register(hostile(u32::MAX - 1, &names)).unwrap();

    for refusal in [
        registry.register(hostile(1, &[])).unwrap_err(),
        registry.register(hostile(u32::MAX, &[])).unwrap_err(),
        registry
            .check_compatibility("order\r\nPUB x", 7, Compatibility::Full)
            .unwrap_err(),
    ] {
        assert!(!refusal.to_string().contains(char::is_control), "{refusal}");
    }
}

#[test]
fn a_hundred_thousand_required_fields_are_no_problem() {
    let registry = MemorySchemaRegistry::with_compatibility(Compatibility::Backward);
    let many: Vec<String> = (0..100_000).map(|field| format!("f{field}")).collect();
    let with = |version, required_fields| EventSchema {
        required_fields,
        ..schema(version, &[])
    };
    registry.register(with(1, many[1..].to_vec())).unwrap();
    let refusal = registry.register(with(2, many)).unwrap_err();
    assert!(matches!(refusal, EventError::Incompatible { added, .. } if added == ["f0"]));
}

#[test]
fn of_threads_that_register_the_same_version_one_content_wins() {
    let registry = MemorySchemaRegistry::new();
    let start = Barrier::new(16);
    let fields: Vec<String> = (0..16).map(|thread| format!("f{thread}")).collect();
    let accepted = thread::scope(|scope| {
        let threads: Vec<_> = fields
            .iter()
            .map(|field| {
                let contender = || {
                    start.wait();
                    registry.register(schema(1, &[field])).is_ok()
                };
                scope.spawn(contender)
            })
            .collect();
        let results = threads.into_iter().map(|thread| thread.join().unwrap());
        results.filter(|&accepted| accepted).count()
    });
    assert_eq!(accepted, 1);
}

#[test]
fn threads_that_register_neighbors_cannot_get_past_the_mode() {
    for _ in 0..50 {
        let registry = MemorySchemaRegistry::with_compatibility(Compatibility::Backward);
        let start = Barrier::new(8);
        thread::scope(|scope| {
            for version in 1..=8_u32 {
                let (registry, start) = (&registry, &start);
                scope.spawn(move || {
                    let required: &[&str] = if version % 2 == 0 { &["a"] } else { &[] };
                    start.wait();
                    // About half are refused; which ones depends on the order.
                    registry.register(schema(version, required)).is_ok()
                });
            }
        });
        for version in 1..=8 {
            if registry.get("order.created", version).unwrap().is_some() {
                registry
                    .check_compatibility("order.created", version, Compatibility::Backward)
                    .unwrap();
            }
        }
    }
}
