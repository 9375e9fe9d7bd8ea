use proptest::prelude::*;

use super::{
    MAX_SUBJECT_BYTES, SubjectPattern, SubjectPrefix, matches, validate_category,
    validate_consumer_name, validate_subject,
};
use crate::EventError;

/// The rules, said as plainly as possible.
fn naive_matches(pattern: &str, subject: &str) -> bool {
    let pattern: Vec<&str> = pattern.split('.').collect();
    let subject: Vec<&str> = subject.split('.').collect();
    if pattern.last() == Some(&">") {
        let head = &pattern[..pattern.len() - 1];
        return subject.len() > head.len() && tokens_match(head, &subject[..head.len()]);
    }
    tokens_match(&pattern, &subject)
}

fn tokens_match(pattern: &[&str], subject: &[&str]) -> bool {
    pattern.len() == subject.len()
        && pattern
            .iter()
            .zip(subject)
            .all(|(wanted, token)| *wanted == "*" || wanted == token)
}

#[track_caller]
fn refused(subject: &str) {
    assert!(
        matches!(
            validate_subject(subject),
            Err(EventError::InvalidSubject { .. })
        ),
        "{subject:?}"
    );
}

#[test]
fn malformed_subjects_are_refused() {
    for subject in [
        "",
        ".",
        "a.",
        ".a",
        "a..b",
        "a b",
        "a\tb",
        "a.b\r\nPUB x 0",
        "a.\u{0}",
        "a.\u{7f}",
        "a.\u{85}b",
        "a.\u{2003}b",
        "a.*",
        "a.>",
        "a*",
        "*",
        ">",
    ] {
        refused(subject);
    }
    refused(&"a".repeat(MAX_SUBJECT_BYTES + 1));
}

#[test]
fn anything_else_of_unicode_is_a_subject() {
    for subject in ["a", "a.b", "événement.café.日本", "a-b_c.$x.#1", "a.😀"] {
        assert!(validate_subject(subject).is_ok(), "{subject}");
    }
    assert!(validate_subject(&"a".repeat(MAX_SUBJECT_BYTES)).is_ok());
}

#[test]
fn a_category_is_one_token() {
    assert!(validate_category("market").is_ok());
    for category in ["market.forex", "", "*", ">", "a b", "a\nb"] {
        assert!(validate_category(category).is_err(), "{category:?}");
    }
}

#[test]
fn consumer_names_are_free_but_for_control_characters() {
    for name in ["acme.eu", "a*", ">", "é", "a b", &"x".repeat(300)] {
        assert!(validate_consumer_name(name).is_ok(), "{name}");
    }
    for name in ["", "a\r\nb", "a\0", &"x".repeat(1025)] {
        assert!(validate_consumer_name(name).is_err(), "{name:?}");
    }
}

#[test]
fn malformed_patterns_are_refused() {
    for pattern in [
        "", "a.>.b", ">.a", "a*", "*a.b", "a.b>", "a.**", "a.>>", "a..>", "a. >",
    ] {
        assert!(SubjectPattern::parse(pattern).is_err(), "{pattern:?}");
    }
}

#[test]
fn the_tail_wildcard_needs_at_least_one_token() {
    assert!(!matches("a.>", "a"));
    assert!(matches("a.>", "a.b"));
    assert!(matches("a.>", "a.b.c"));
    assert!(matches(">", "a"));
}

#[test]
fn a_prefix_is_no_wildcard_and_not_reserved() {
    for prefix in ["$JS", "$SYS.x", "_INBOX", "_INBOX.a", "a.>", "*", "", "a."] {
        assert!(SubjectPrefix::parse(prefix).is_err(), "{prefix:?}");
    }
    assert!(SubjectPrefix::parse("acme.events").is_ok());
}

#[test]
fn patterns_that_match_nothing_below_the_prefix_are_refused() {
    let prefix = SubjectPrefix::parse("acme.events").unwrap();
    for pattern in [">", "acme.>", "acme.*.x", "*.*.x.>", "acme.events.a"] {
        assert!(prefix.parse_pattern(pattern).is_ok(), "{pattern}");
    }
    for pattern in [
        "acme.events",
        "events.>",
        "*",
        "*.*",
        "acme",
        "acme.event.>",
    ] {
        assert!(prefix.parse_pattern(pattern).is_err(), "{pattern}");
    }
}

#[test]
fn patterns_are_narrowed_to_the_prefix() {
    let check = |prefix: &str, pattern: &str, expected: &str| {
        let prefix = SubjectPrefix::parse(prefix).unwrap();
        assert_eq!(prefix.parse_pattern(pattern).unwrap().as_str(), expected);
    };
    check("events", ">", "events.>");
    check("events", "events.>", "events.>");
    check("events", "*.a", "events.a");
    check("events", "*.*.x", "events.*.x");
    check("a.b", "a.>", "a.b.>");
    check("a.b", "*.b.c", "a.b.c");
    check("a.b", "a.*.>", "a.b.>");
}

#[test]
fn subjects_outside_the_prefix_are_refused() {
    let prefix = SubjectPrefix::parse("events").unwrap();
    assert!(prefix.check_subject("events.a").is_ok());
    for subject in ["events", "event.a", "eventsx.a", "other.events.a"] {
        assert!(prefix.check_subject(subject).is_err(), "{subject}");
    }
}

fn token() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["a", "b", "ab", "é"])
}

fn subject() -> impl Strategy<Value = String> {
    prop::collection::vec(token(), 1..5).prop_map(|tokens| tokens.join("."))
}

fn pattern() -> impl Strategy<Value = String> {
    let token = prop_oneof![2 => token(), 1 => Just("*")];
    (prop::collection::vec(token, 0..4), any::<bool>()).prop_map(|(mut tokens, tail)| {
        if tail || tokens.is_empty() {
            tokens.push(">");
        }
        tokens.join(".")
    })
}

proptest! {
    #[test]
    fn the_matcher_agrees_with_the_naive_one(pattern in pattern(), subject in subject()) {
        prop_assert_eq!(matches(&pattern, &subject), naive_matches(&pattern, &subject));
    }

    #[test]
    fn the_matcher_takes_any_text_without_panic(pattern in "[a.*> é]{0,8}", subject in "[a.*> é]{0,8}") {
        let _: bool = matches(&pattern, &subject);
    }

    #[test]
    fn overlap_is_having_a_common_subject(one in pattern(), other in pattern(), subject in subject()) {
        let (one, other) = (SubjectPattern::parse(&one).unwrap(), SubjectPattern::parse(&other).unwrap());
        if one.matches(&subject) && other.matches(&subject) {
            prop_assert!(one.overlaps(&other));
        }
        prop_assert_eq!(one.overlaps(&other), other.overlaps(&one));
    }

    #[test]
    fn a_covering_pattern_matches_whatever_the_covered_one_does(
        one in pattern(), other in pattern(), subject in subject()
    ) {
        let (one, other) = (SubjectPattern::parse(&one).unwrap(), SubjectPattern::parse(&other).unwrap());
        if one.covers(&other) && other.matches(&subject) {
            prop_assert!(one.matches(&subject));
        }
        prop_assert!(one.covers(&one));
    }
}
