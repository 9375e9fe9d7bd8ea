//! Who may depend on whom, on how much, and on what never.

use crate::project::{FACADE, Member, SERVER_HELPER};

const CORE: &str = "a3s-event-core";
const BUS: &str = "a3s-event-bus";
const MEMORY: &str = "a3s-event-memory";
const NATS: &str = "a3s-event-nats";
const SCHEMA: &str = "a3s-event-schema";
const CRYPTO: &str = "a3s-event-crypto";
const STATE: &str = "a3s-event-state";
const TESTKIT: &str = "a3s-event-testkit";
const TESTS: &str = "a3s-event-tests";
const BENCHES: &str = "a3s-event-benches";

/// Nobody is served by counting the dependencies of what is not published.
const ANY: usize = usize::MAX;

/// A crate; what of the workspace it may use; what it may use for its tests besides; how many third parties it may name.
type Rule = (
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
    usize,
);

/// Core uses nothing, not even for tests: through the testkit it would meet a second copy of its own types.
const RULES: &[Rule] = &[
    (CORE, &[], &[], 7),
    (MEMORY, &[CORE], &[TESTKIT], 4),
    (NATS, &[CORE], &[TESTKIT, SERVER_HELPER], 13),
    (SCHEMA, &[CORE], &[], 2),
    (CRYPTO, &[CORE], &[], 6),
    (STATE, &[CORE], &[], 5),
    // Four, and behind features `metrics`, `opentelemetry` and `tracing-opentelemetry`.
    (BUS, &[CORE], &[MEMORY, SCHEMA, CRYPTO, STATE], 7),
    (TESTKIT, &[CORE], &[MEMORY], 4),
    (
        FACADE,
        &[CORE, BUS, MEMORY, NATS, SCHEMA, CRYPTO, STATE],
        &[TESTKIT, SERVER_HELPER],
        0,
    ),
    (TESTS, &[FACADE, TESTKIT], &[SERVER_HELPER], ANY),
    (BENCHES, &[FACADE, TESTKIT], &[SERVER_HELPER], ANY),
    (SERVER_HELPER, &[], &[], ANY),
    ("xtask", &[], &[], ANY),
];

/// Second stacks for TLS and cryptography beside ring, and clients for HTTP.
const DENIED: &str = "aws-lc-rs aws-lc-sys boring native-tls openssl openssl-sys \
                      attohttpc curl hyper isahc reqwest surf ureq";

/// In core: a second crate for time, and runtimes.
const DENIED_IN_CORE: &str = "chrono async-std smol tokio";

/// Complains about dependencies inside the workspace that point the wrong way.
pub(super) fn directions(member: &Member) -> Vec<String> {
    let name = &member.name;
    let Some((_, uses, tests_with, _)) = rule(name) else {
        return vec![format!(
            "{name} has no rule in xtask/src/tidy/dependencies.rs"
        )];
    };
    let mut complaints = Vec::new();
    for needed in member.dependencies.iter().filter(|needed| needed.member) {
        let other = needed.name.as_str();
        let for_tests = needed.development && tests_with.contains(&other);
        if !uses.contains(&other) && !for_tests {
            let even = if needed.development {
                " even for tests"
            } else {
                ""
            };
            complaints.push(format!("{name} may not depend on {other}{even}"));
        }
    }
    complaints
}

/// Counts the third parties that a crate names for its users, optional ones included, and says how many it may.
pub(super) fn budget(member: &Member) -> (usize, usize) {
    let counts = member
        .dependencies
        .iter()
        .filter(|needed| !needed.member && !needed.development);
    let mut names: Vec<_> = counts.map(|needed| &needed.name).collect();
    names.sort_unstable();
    names.dedup();
    (
        names.len(),
        rule(&member.name).map_or(0, |(.., limit)| *limit),
    )
}

/// Complains about crates that a published crate may not be built from.
pub(super) fn denied(name: &str, tree: &[&str]) -> Vec<String> {
    let in_core = if name == CORE { DENIED_IN_CORE } else { "" };
    let denied = DENIED.split_whitespace().chain(in_core.split_whitespace());
    denied
        .filter(|denied| tree.contains(denied))
        .map(|denied| format!("{name} is built from {denied}, which is denied"))
        .collect()
}

fn rule(name: &str) -> Option<&'static Rule> {
    RULES.iter().find(|(found, ..)| *found == name)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::project::members;

    /// A member as `cargo metadata` describes it; a dependency is (name, kind, whether of the workspace).
    fn member(name: &str, dependencies: &[(&str, Option<&str>, bool)]) -> Member {
        let dependency = |(name, kind, inside): &(&str, Option<&str>, bool)| json!({ "name": name, "kind": kind, "path": inside.then_some("/w") });
        let dependencies: Vec<_> = dependencies.iter().map(dependency).collect();
        let package = json!({ "name": name, "dependencies": dependencies });
        members(&json!({ "packages": [package] })).remove(0)
    }

    #[test]
    fn a_leaf_may_use_core_and_test_with_the_testkit() {
        let dependencies = [
            (CORE, None, true),
            (TESTKIT, Some("dev"), true),
            ("tokio", None, false),
        ];
        assert_eq!(directions(&member(MEMORY, &dependencies)), [""; 0]);
    }

    #[test]
    fn a_leaf_may_not_use_a_leaf_or_the_testkit() {
        assert_eq!(
            directions(&member(
                MEMORY,
                &[(STATE, None, true), (TESTKIT, None, true)]
            )),
            [
                "a3s-event-memory may not depend on a3s-event-state",
                "a3s-event-memory may not depend on a3s-event-testkit"
            ]
        );
    }

    #[test]
    fn core_may_use_no_crate_of_the_workspace_even_for_tests() {
        assert_eq!(
            directions(&member(CORE, &[(TESTKIT, Some("dev"), true)])),
            ["a3s-event-core may not depend on a3s-event-testkit even for tests"]
        );
    }

    #[test]
    fn a_crate_without_a_rule_is_named() {
        assert_eq!(directions(&member("a3s-event-kafka", &[])).len(), 1);
    }

    #[test]
    fn only_third_parties_for_users_count_against_the_limit() {
        let mut dependencies = vec![(CORE, None, true), ("proptest", Some("dev"), false)];
        dependencies.extend([("serde", None, false), ("serde", Some("build"), false)]);
        assert_eq!(budget(&member(SCHEMA, &dependencies)), (1, 2));
    }

    #[test]
    fn runtimes_are_denied_in_core_and_openssl_everywhere() {
        let tree = ["openssl-sys", "serde", "tokio"];
        assert_eq!(denied(CORE, &tree).len(), 2);
        assert_eq!(denied(NATS, &tree).len(), 1);
    }
}
