//! What must hold of any two schemas.

use a3s_event_core::{
    schema::{Compatibility, EventSchema, SchemaRegistry},
    types::Event,
};
use a3s_event_schema::{MemorySchemaRegistry, check_evolution};
use proptest::{
    collection::vec,
    prelude::*,
    sample::{select, subsequence},
};
use serde_json::Value;

const FIELDS: [&str; 5] = ["a", "b", "c", "d", "e"];

fn any_schema(version: u32) -> impl Strategy<Value = EventSchema> {
    vec(0..FIELDS.len(), 0..8).prop_map(move |fields| {
        let fields: Vec<&str> = fields.into_iter().map(|field| FIELDS[field]).collect();
        crate::schema(version, &fields)
    })
}

const MODES: [Compatibility; 3] = [
    Compatibility::Backward,
    Compatibility::Forward,
    Compatibility::Full,
];

fn any_mode() -> impl Strategy<Value = Compatibility> {
    select(&MODES)
}

/// Every set of fields a document can have: the rest of it does not matter.
fn documents() -> impl Iterator<Item = Event> {
    (0..1_u32 << FIELDS.len()).map(|chosen| {
        let fields = FIELDS.iter().enumerate();
        let present = fields.filter(|(position, _)| chosen >> position & 1 == 1);
        let payload = present
            .map(|(_, &field)| (field.to_owned(), Value::Null))
            .collect();
        Event::typed(
            "events.shop.order",
            "shop",
            "order.created",
            1,
            "",
            "",
            Value::Object(payload),
        )
    })
}

/// Whether `schema` accepts `document`, asked of a registry.
fn accepts(schema: &EventSchema, document: &Event) -> bool {
    let registry = MemorySchemaRegistry::new();
    registry.register(schema.clone()).unwrap();
    let mut document = document.clone();
    document.version = schema.version;
    registry.validate(&document).is_ok()
}

fn holds(old: &EventSchema, new: &EventSchema, mode: Compatibility) -> bool {
    check_evolution(old, new, mode).is_ok()
}

/// Few of any three schemas are a chain, so all of three fields are tried.
#[test]
fn compatible_steps_add_up() {
    let subsets = |version| {
        (0..8).map(move |chosen| {
            let fields = (0..3).filter(|position| chosen >> position & 1 == 1);
            let fields: Vec<&str> = fields.map(|position| FIELDS[position]).collect();
            crate::schema(version, &fields)
        })
    };
    let mut chains = 0;
    for mode in MODES {
        for first in subsets(1) {
            for second in subsets(2).filter(|second| holds(&first, second, mode)) {
                for third in subsets(3).filter(|third| holds(&second, third, mode)) {
                    assert!(holds(&first, &third, mode));
                    chains += 1;
                }
            }
        }
    }
    // 4 chains of containment for each field, both ways, and the 8 constant ones.
    assert_eq!(chains, 64 + 64 + 8);
}

proptest! {
    #[test]
    fn every_schema_is_compatible_with_itself(schema in any_schema(1), mode in any_mode()) {
        prop_assert!(holds(&schema, &schema, mode));
    }

    #[test]
    fn full_is_backward_and_forward(old in any_schema(1), new in any_schema(2)) {
        let both = holds(&old, &new, Compatibility::Backward)
            && holds(&old, &new, Compatibility::Forward);
        prop_assert_eq!(holds(&old, &new, Compatibility::Full), both);
    }

    #[test]
    fn backward_is_forward_the_other_way(old in any_schema(1), new in any_schema(2)) {
        prop_assert_eq!(
            holds(&old, &new, Compatibility::Backward),
            holds(&new, &old, Compatibility::Forward)
        );
    }

    /// The definition itself, by enumeration of the documents.
    #[test]
    fn backward_means_that_new_accepts_all_that_old_accepts(
        old in any_schema(1),
        new in any_schema(2),
    ) {
        let contained = documents().all(|document| !accepts(&old, &document) || accepts(&new, &document));
        prop_assert_eq!(holds(&old, &new, Compatibility::Backward), contained);
    }

    #[test]
    fn a_chain_of_schemas_is_accepted_in_any_order_or_in_none(
        (lengths, order) in (
            vec(0..=FIELDS.len(), 2..6),
            Just((0..5_usize).collect::<Vec<_>>()).prop_shuffle(),
        ),
        ascending in any::<bool>(),
        mode in any_mode(),
    ) {
        // Prefixes of one list: sorted they are a compatible chain, unsorted mostly not.
        let mut lengths = lengths;
        if ascending {
            lengths.sort_unstable();
        }
        let chain: Vec<_> = (1..).zip(&lengths)
            .map(|(version, &length)| crate::schema(version, &FIELDS[..length]))
            .collect();
        let register_all = |order: &[usize]| {
            let registry = MemorySchemaRegistry::with_compatibility(mode);
            order.iter().all(|&position| registry.register(chain[position].clone()).is_ok())
        };
        let straight: Vec<_> = (0..chain.len()).collect();
        let shuffled: Vec<_> = order.into_iter().filter(|&position| position < chain.len()).collect();
        prop_assert_eq!(register_all(&straight), register_all(&shuffled));
    }

    #[test]
    fn validation_names_exactly_what_is_missing(
        schema in any_schema(1),
        present in subsequence(FIELDS.to_vec(), 0..=FIELDS.len()),
    ) {
        let registry = MemorySchemaRegistry::new();
        registry.register(schema.clone()).unwrap();
        let payload = present.iter().map(|&field| (field.to_owned(), Value::from(1))).collect();
        let event = Event::typed(
            "events.shop.order", "shop", "order.created", 1, "", "", Value::Object(payload),
        );
        let mut expected: Vec<&str> = Vec::new();
        for field in &schema.required_fields {
            if !present.contains(&field.as_str()) && !expected.contains(&field.as_str()) {
                expected.push(field);
            }
        }
        match registry.validate(&event) {
            Ok(()) => prop_assert!(expected.is_empty()),
            Err(a3s_event_core::EventError::SchemaValidation { missing, .. }) => {
                prop_assert_eq!(missing, expected);
            }
            Err(other) => prop_assert!(false, "{}", other),
        }
    }
}
