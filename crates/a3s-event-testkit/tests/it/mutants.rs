//! Broken providers. Every case fails at least one of them: a case that no
//! provider fails proves nothing.

mod answering;
mod delivering;
mod ending;
mod naming;
mod optional;
mod publishing;
mod querying;
mod starting;

use std::collections::BTreeSet;

use a3s_event_testkit::{case_named, cases};

use crate::mutant::{GOOD, Mutant};

/// What is wrong, the mutant, and the cases that must notice.
type Table = &'static [(&'static str, Mutant, &'static [&'static str])];

const TABLES: [Table; 8] = [
    answering::MUTANTS,
    delivering::MUTANTS,
    ending::MUTANTS,
    naming::MUTANTS,
    optional::MUTANTS,
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
