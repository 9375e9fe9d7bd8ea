//! The truth table, row by row.

use a3s_event_core::{
    EventError,
    schema::{Compatibility, EventSchema, SchemaRegistry},
};
use a3s_event_schema::{MemorySchemaRegistry, check_evolution};

use crate::schema;

/// A change: its name, the fields before and after, and the verdict of
/// backward, forward and full.
type Row = (
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
    [bool; 3],
);

const TABLE: &[Row] = &[
    ("the same", &["a", "b"], &["a", "b"], [true, true, true]),
    (
        "another order",
        &["a", "b"],
        &["b", "a"],
        [true, true, true],
    ),
    ("repeats", &["a", "b"], &["a", "b", "a"], [true, true, true]),
    ("nothing before and after", &[], &[], [true, true, true]),
    ("one more", &["a"], &["a", "b"], [false, true, false]),
    ("one less", &["a", "b"], &["a"], [true, false, false]),
    ("a rename", &["a"], &["b"], [false, false, false]),
    ("a swap", &["a", "b"], &["b", "c"], [false, false, false]),
    ("the first one", &[], &["a"], [false, true, false]),
    ("no more", &["a"], &[], [true, false, false]),
    ("another case", &["a"], &["A"], [false, false, false]),
];

const MODES: [Compatibility; 3] = [
    Compatibility::Backward,
    Compatibility::Forward,
    Compatibility::Full,
];

#[test]
fn every_row_of_the_truth_table_holds() {
    for (change, before, after, verdicts) in TABLE {
        let (old, new) = (schema(1, before), schema(2, after));
        for (mode, accepted) in MODES.into_iter().zip(verdicts) {
            let verdict = check_evolution(&old, &new, mode);
            assert_eq!(verdict.is_ok(), *accepted, "{change} under {mode:?}");
        }
        let unchecked = check_evolution(&old, &new, Compatibility::None);
        assert!(unchecked.is_ok(), "{change} without a mode");
    }
}

#[test]
fn every_row_holds_at_registration_and_on_request() {
    for (change, before, after, verdicts) in TABLE {
        for (mode, accepted) in MODES.into_iter().zip(verdicts) {
            let enforcing = MemorySchemaRegistry::with_compatibility(mode);
            enforcing.register(schema(1, before)).unwrap();
            let registered = enforcing.register(schema(2, after));
            assert_eq!(registered.is_ok(), *accepted, "{change} under {mode:?}");
            let latest = if *accepted { 2 } else { 1 };
            assert_eq!(
                enforcing.latest_version("order.created").unwrap(),
                Some(latest)
            );

            let lenient = MemorySchemaRegistry::new();
            lenient.register(schema(1, before)).unwrap();
            lenient.register(schema(2, after)).unwrap();
            let checked = lenient.check_compatibility("order.created", 2, mode);
            assert_eq!(checked.is_ok(), *accepted, "{change} under {mode:?}");
        }
    }
}

#[test]
fn a_description_alone_changes_nothing() {
    let described = EventSchema {
        description: "An order was placed".to_owned(),
        ..schema(2, &["a"])
    };
    for mode in MODES {
        assert!(check_evolution(&schema(1, &["a"]), &described, mode).is_ok());
    }
}

#[test]
fn the_first_version_passes_every_mode_whatever_its_number() {
    for mode in MODES {
        for version in [1, 7, u32::MAX] {
            let registry = MemorySchemaRegistry::with_compatibility(mode);
            registry.register(schema(version, &["a"])).unwrap();
            registry
                .check_compatibility("order.created", version, mode)
                .unwrap();
        }
    }
}

#[test]
fn a_refusal_names_both_versions_the_mode_and_the_fields_at_fault() {
    let old = schema(3, &["c", "b", "a"]);
    let new = schema(9, &["a", "e", "d"]);

    for (mode, text, fields_added, fields_removed) in [
        (
            Compatibility::Backward,
            "backward",
            &["d", "e"][..],
            &[][..],
        ),
        (Compatibility::Forward, "forward", &[], &["b", "c"]),
        (Compatibility::Full, "full", &["d", "e"], &["b", "c"]),
    ] {
        let refusal = check_evolution(&old, &new, mode).unwrap_err();
        let EventError::Incompatible {
            event_type,
            old_version,
            new_version,
            mode,
            added,
            removed,
            ..
        } = refusal
        else {
            panic!("not about compatibility: {refusal}");
        };
        assert_eq!(event_type, "order.created");
        assert_eq!((old_version, new_version), (3, 9));
        assert_eq!(mode, text);
        assert_eq!(added, fields_added);
        assert_eq!(removed, fields_removed);
    }
}

#[test]
fn a_gap_does_not_hide_the_earlier_version() {
    let registry = MemorySchemaRegistry::with_compatibility(Compatibility::Backward);
    registry.register(schema(1, &["a"])).unwrap();
    registry.register(schema(3, &[])).unwrap();

    let refusal = registry.register(schema(9, &["a"])).unwrap_err();
    assert!(matches!(
        refusal,
        EventError::Incompatible {
            old_version: 3,
            new_version: 9,
            ..
        }
    ));
}

#[test]
fn a_version_that_arrives_late_must_fit_between_its_neighbors() {
    let registry = MemorySchemaRegistry::with_compatibility(Compatibility::Backward);
    registry.register(schema(1, &["a", "b", "c"])).unwrap();
    registry.register(schema(5, &["a"])).unwrap();

    let too_little = registry.register(schema(3, &[])).unwrap_err();
    assert!(matches!(
        too_little,
        EventError::Incompatible {
            old_version: 3,
            new_version: 5,
            ..
        }
    ));
    let too_much = registry.register(schema(3, &["a", "d"])).unwrap_err();
    assert!(matches!(
        too_much,
        EventError::Incompatible {
            old_version: 1,
            new_version: 3,
            ..
        }
    ));
    registry.register(schema(3, &["b", "a"])).unwrap();
}

#[test]
fn one_type_can_have_a_mode_of_its_own() {
    let registry = MemorySchemaRegistry::with_compatibility(Compatibility::Full)
        .with_type_compatibility("order.created", Compatibility::None)
        .with_type_compatibility("order.created", Compatibility::Forward);
    registry.register(schema(1, &["a"])).unwrap();
    registry.register(schema(2, &["a", "b"])).unwrap();
    assert!(registry.register(schema(3, &["b"])).is_err());

    let other = |version, required| EventSchema {
        event_type: "order.paid".to_owned(),
        ..schema(version, required)
    };
    registry.register(other(1, &["a"])).unwrap();
    assert!(registry.register(other(2, &["a", "b"])).is_err());
}

#[test]
fn comparing_what_is_not_registered_is_not_found() {
    let registry = MemorySchemaRegistry::new();
    registry.register(schema(2, &["a"])).unwrap();

    for (event_type, version) in [
        ("order.created", 1),
        ("order.created", 3),
        ("order.paid", 2),
        ("", 2),
    ] {
        let refusal = registry
            .check_compatibility(event_type, version, Compatibility::None)
            .unwrap_err();
        assert!(matches!(refusal, EventError::NotFound { .. }), "{refusal}");
    }
}
