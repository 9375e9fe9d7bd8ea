//! Broken providers. Every case fails at least one of them: a case that no
//! provider fails proves nothing.

mod answering;
mod batching;
mod delivering;
mod ending;
mod naming;
mod optional;
mod promising;
mod publishing;
mod querying;
mod starting;

use std::collections::BTreeSet;

use a3s_event_core::{
    EventError, Result,
    provider::EventProvider,
    types::{Event, PublishOptions},
};
use a3s_event_testkit::{case_named, cases};

use crate::mutant::{GOOD, Inner, Mutant};

/// What is wrong, the mutant, and the cases that must notice.
type Table = &'static [(&'static str, Mutant, &'static [&'static str])];

const TABLES: [Table; 10] = [
    answering::MUTANTS,
    batching::MUTANTS,
    delivering::MUTANTS,
    ending::MUTANTS,
    naming::MUTANTS,
    optional::MUTANTS,
    promising::MUTANTS,
    publishing::MUTANTS,
    querying::MUTANTS,
    starting::MUTANTS,
];

/// Runs the mutants of one table against the cases that must notice.
fn assert_all_caught(table: Table) {
    let mut missed = Vec::new();
    for (wrong, mutant, cases) in table {
        for case in *cases {
            if case_named(case).passes(|| mutant.harness()) {
                missed.push(format!("`{case}` passes a provider that {wrong}"));
            }
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
}

#[test]
fn every_case_fails_some_mutant() {
    let all: BTreeSet<&str> = cases().iter().map(|case| case.name).collect();
    let tables = TABLES.into_iter().flatten();
    let fallible: BTreeSet<&str> = tables.flat_map(|(_, _, cases)| *cases).copied().collect();
    let idle: Vec<&&str> = all.difference(&fallible).collect();
    assert!(idle.is_empty(), "no mutant fails {idle:#?}");
}

#[test]
fn a_mutant_without_a_change_passes_every_case() {
    let failed = cases()
        .iter()
        .filter(|case| !case.passes(|| GOOD.harness()));
    let failed: Vec<&str> = failed.map(|case| case.name).collect();
    assert!(failed.is_empty(), "{failed:#?}");
}

/// Makes something else of what is to be published.
type Change = fn(&mut Event, &mut PublishOptions);

/// A mutant that stores something else than it is given, in batches too.
macro_rules! stores {
    ($change:expr) => {
        Mutant {
            publish: |inner, mut event, mut options| {
                let change: $crate::mutants::Change = $change;
                change(&mut event, &mut options);
                Box::pin(async move { inner.publish_with_options(&event, &options).await })
            },
            batch: |inner, mut events| {
                let change: $crate::mutants::Change = $change;
                for event in &mut events {
                    change(event, &mut PublishOptions::default());
                }
                Box::pin(async move { inner.publish_batch(&events).await })
            },
            ..GOOD
        }
    };
}

use stores;

/// The last sequence, which the stream does not tell directly.
async fn last_sequence(inner: &Inner, event: &Event) -> Result<u64> {
    let probe = PublishOptions::default().with_expected_sequence(u64::MAX);
    match inner.publish_with_options(event, &probe).await {
        Err(EventError::Conflict { actual, .. }) => Ok(actual),
        Err(error) => Err(error),
        Ok(_) => unreachable!("no stream is that long"),
    }
}

fn clean(text: &str) -> String {
    let mut tokens: Vec<String> = Vec::new();
    for token in text.split('.') {
        let plain = |c: &char| !c.is_control() && !c.is_whitespace();
        let token: String = token.chars().filter(plain).collect();
        if !token.is_empty() {
            tokens.push(token);
        }
    }
    tokens.push("x".to_owned());
    tokens.join(".")
}
