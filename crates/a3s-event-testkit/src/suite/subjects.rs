//! Subjects and patterns: the same rules on every provider, for everything that
//! takes one.

use std::slice;

use a3s_event_core::{
    EventError, Result,
    subject::MAX_SUBJECT_BYTES,
    types::{PublishOptions, SubscribeOptions},
};

use crate::Case;

/// The rules, said as plainly as possible: tokens are compared one by one.
fn naive_matches(pattern: &str, subject: &str) -> bool {
    let pattern: Vec<&str> = pattern.split('.').collect();
    let subject: Vec<&str> = subject.split('.').collect();
    let same = |wanted: &[&str], tokens: &[&str]| {
        wanted.len() == tokens.len()
            && wanted
                .iter()
                .zip(tokens)
                .all(|(wanted, token)| *wanted == "*" || wanted == token)
    };
    match pattern.split_last() {
        Some((&">", head)) => subject.len() > head.len() && same(head, &subject[..head.len()]),
        _ => same(&pattern, &subject),
    }
}

/// All sequences of one to `longest` tokens.
fn all_of(tokens: &[&str], longest: usize) -> Vec<String> {
    let mut all: Vec<String> = tokens.iter().map(|&token| token.to_owned()).collect();
    let mut last = all.clone();
    for _ in 1..longest {
        let longer = last
            .iter()
            .flat_map(|head| tokens.iter().map(move |token| format!("{head}.{token}")));
        last = longer.collect();
        all.extend(last.iter().cloned());
    }
    all
}

/// Topics of up to three tokens, and all patterns of up to three tokens over them.
fn topics_and_patterns() -> (Vec<String>, Vec<String>) {
    let topics = all_of(&["a", "b", "ab"], 3);
    let mut patterns = all_of(&["a", "b", "*"], 3);
    let tails: Vec<String> = patterns.iter().map(|head| format!("{head}.>")).collect();
    patterns.extend(tails);
    patterns.push(">".to_owned());
    (topics, patterns)
}

/// History selects what a naive matcher selects, for every pattern over every
/// topic of up to three tokens.
pub async fn history_agrees_with_a_naive_matcher(case: Case) {
    let (topics, patterns) = topics_and_patterns();
    let events: Vec<_> = topics.iter().map(|topic| case.event(topic)).collect();
    case.provider.publish_batch(&events).await.unwrap();
    for pattern in patterns {
        let pattern = case.subject(&pattern);
        let history = case.provider.history(Some(&pattern), 1000).await.unwrap();
        let selected: Vec<&str> = history.iter().map(|event| event.subject.as_str()).collect();
        let matching = events.iter().rev().map(|event| event.subject.as_str());
        let expected: Vec<&str> = matching
            .filter(|subject| naive_matches(&pattern, subject))
            .collect();
        assert_eq!(selected, expected, "{pattern}");
    }
}

/// Subscriptions select what a naive matcher selects, both of what is retained
/// and of what follows.
pub async fn subscriptions_agree_with_a_naive_matcher(case: Case) {
    let (topics, patterns) = topics_and_patterns();
    let events: Vec<_> = topics.iter().map(|topic| case.event(topic)).collect();
    let (retained, live) = events.split_at(events.len() / 2);
    case.provider.publish_batch(retained).await.unwrap();
    let mut readers = Vec::new();
    // Every third pattern: each kind is there, and a server is spared.
    for pattern in patterns.iter().step_by(3) {
        let pattern = case.subject(pattern);
        readers.push((case.subscribe(&pattern).await, pattern));
    }
    case.provider.publish_batch(live).await.unwrap();
    let last = case.publish("end").await;
    for (mut reader, pattern) in readers {
        for event in &events {
            if naive_matches(&pattern, &event.subject) {
                assert_eq!(reader.received().await.event.subject, event.subject);
            }
        }
        if naive_matches(&pattern, &case.subject("end")) {
            assert_eq!(reader.received().await.sequence, last);
        }
        let more = tokio::time::timeout(case.harness().quiet() / 10, reader.subscription.next());
        assert!(more.await.is_err(), "{pattern} selects more");
        reader.close().await;
    }
}

/// "`a.>` does not match `a`."
pub async fn the_tail_wildcard_needs_at_least_one_token(case: Case) {
    let mut reader = case.subscribe(&case.subject("a.>")).await;
    case.publish("a").await;
    case.publish("ab").await;
    reader.nothing().await;
    assert_eq!(case.publish("a.b").await, 3);
    assert_eq!(case.publish("a.b.c.d.e").await, 4);
    assert_eq!(reader.sequences(2).await, [3, 4]);
}

/// "`*` matches exactly one token."
pub async fn the_star_matches_exactly_one_token(case: Case) {
    let mut reader = case.subscribe(&case.subject("a.*")).await;
    for topic in ["a", "a.b", "a.b.c", "ab.c", "a.日本"] {
        case.publish(topic).await;
    }
    assert_eq!(reader.sequences(2).await, [2, 5]);
    reader.nothing().await;
}

/// "`>` alone is allowed": it is everything.
pub async fn the_tail_wildcard_alone_is_everything(case: Case) {
    case.publish("a").await;
    let mut reader = case.subscribe(">").await;
    case.publish("b.c").await;
    assert_eq!(reader.sequences(2).await, [1, 2]);
    assert_eq!(case.provider.history(Some(">"), 10).await.unwrap().len(), 2);
}

/// A subject is text of any language, and its case counts.
pub async fn subjects_are_free_text_between_the_dots(case: Case) {
    let long = "x".repeat(400);
    let topics = [
        "a-b_c",
        "A",
        "a",
        "é",
        "e\u{301}",
        "日本.東京",
        "😀",
        "$x",
        "#1,2;3",
        &long,
    ];
    for topic in topics {
        let event = case.event(topic);
        case.provider.publish(&event).await.unwrap();
        let history = case
            .provider
            .history(Some(&event.subject), 10)
            .await
            .unwrap();
        assert_eq!(history, slice::from_ref(&event), "{topic}");
        let received = case.subscribe(&event.subject).await.received().await;
        assert_eq!(received.event, event, "{topic}");
    }
}

/// 1024 bytes are a subject, 1025 are none.
pub async fn the_longest_subject_is_1024_bytes(case: Case) {
    let room = MAX_SUBJECT_BYTES - case.subject("").len();
    let longest = case.event(&"x".repeat(room));
    assert_eq!(longest.subject.len(), MAX_SUBJECT_BYTES);
    case.provider.publish(&longest).await.unwrap();
    let received = case.subscribe(&longest.subject).await.received().await;
    assert_eq!(received.event, longest);
    let longer = case.event(&"x".repeat(room + 1));
    assert_invalid(&longer.subject, case.provider.publish(&longer).await);
    assert_invalid(
        &longer.subject,
        case.provider.subscribe(&longer.subject).await,
    );
}

/// The builders put prefix, category and topic together and check nothing.
pub async fn the_builders_agree_with_the_prefix(case: Case) {
    let prefix = case.provider.subject_prefix();
    assert_eq!(
        case.provider.build_subject("market", "forex.usd"),
        format!("{prefix}.market.forex.usd")
    );
    assert_eq!(
        case.provider.category_subject("market"),
        format!("{prefix}.market.>")
    );
}

/// What breaks a rule inside a subject or a pattern; the prefix is put in front.
const MALFORMED: [&str; 14] = [
    "",
    ".",
    "a.",
    ".a",
    "a..b",
    "a b",
    " a",
    "a\tb",
    "a\r\nPUB x 0",
    "a\0",
    "a\u{7f}",
    "a\u{85}",
    "a\u{2003}b",
    "a.\n",
];

/// "Every violation is `InvalidSubject`, at once, before any I/O": a published
/// subject.
pub async fn malformed_subjects_are_refused(case: Case) {
    let prefix = case.provider.subject_prefix().to_owned();
    let mut subjects: Vec<String> = MALFORMED.iter().map(|topic| case.subject(topic)).collect();
    subjects.extend(["", " ", ".", "..", &prefix, &format!("{prefix}.")].map(str::to_owned));
    for subject in subjects {
        assert_not_published(&case, &subject).await;
    }
}

/// "No `*` or `>` inside a published subject": a server would store it.
pub async fn wildcards_are_not_published(case: Case) {
    for topic in ["*", ">", "a.*", "a.>", "a*", "*a", "a>b", "a.**"] {
        assert_not_published(&case, &case.subject(topic)).await;
    }
    assert_not_published(&case, ">").await;
}

/// "A pre-built event whose subject lies outside the provider's prefix is
/// refused by every provider."
pub async fn subjects_outside_the_prefix_are_refused(case: Case) {
    let prefix = case.provider.subject_prefix().to_owned();
    let swapped = format!("{}.sample.a", prefix.to_uppercase());
    for subject in [
        "elsewhere.sample.a",
        "$JS.API.INFO",
        "$SYS.a",
        "_INBOX.a",
        &format!("{prefix}x.sample.a"),
        &format!("x{prefix}.sample.a"),
        &swapped,
    ] {
        assert_not_published(&case, subject).await;
    }
}

async fn assert_not_published(case: &Case, subject: &str) {
    let mut event = case.event("a");
    event.subject = subject.to_owned();
    assert_invalid(subject, case.provider.publish(&event).await);
    let options = PublishOptions::default();
    let outcome = case.provider.publish_with_options(&event, &options).await;
    assert_invalid(subject, outcome);
    case.assert_nothing_stored().await;
}

/// The same for a pattern, wherever one is taken; nothing is created.
pub async fn malformed_patterns_are_refused(case: Case) {
    let mut patterns: Vec<String> = MALFORMED.iter().map(|topic| case.subject(topic)).collect();
    let wild = [
        "a*", "*a", "a.b>", ">.a", "a.>.b", "**", ">>", "*>", "a.*b.c",
    ];
    patterns.extend(wild.iter().map(|topic| case.subject(topic)));
    patterns.extend(["", " ", ".", "*.", "\r\n"].map(str::to_owned));
    for pattern in patterns {
        assert_no_pattern(&case, &pattern).await;
    }
    assert_eq!(case.consumers().await, 0);
}

/// "A pattern that can match nothing below the prefix is refused."
pub async fn patterns_that_can_match_nothing_are_refused(case: Case) {
    let prefix = case.provider.subject_prefix().to_owned();
    for pattern in [
        "elsewhere.>",
        "$JS.API.>",
        "_INBOX.>",
        "*",
        &prefix,
        &format!("{prefix}x.>"),
        &format!("{}.>", prefix.to_uppercase()),
    ] {
        assert_no_pattern(&case, pattern).await;
    }
    assert_eq!(case.consumers().await, 0);
}

async fn assert_no_pattern(case: &Case, pattern: &str) {
    let provider = &case.provider;
    let options = SubscribeOptions::default();
    assert_invalid(pattern, provider.subscribe(pattern).await);
    let opened = provider.subscribe_with_options(pattern, &options).await;
    assert_invalid(pattern, opened);
    assert_invalid(pattern, provider.history(Some(pattern), 1).await);
    for opened in [
        provider.subscribe_durable("reader", pattern).await,
        provider
            .subscribe_durable_with_options("reader", pattern, &options)
            .await,
    ] {
        if case.claims().durability {
            assert_invalid(pattern, opened);
        } else {
            assert!(opened.is_err());
        }
    }
}

/// An invalid subject, named by an error whose text cannot break a line.
#[track_caller]
fn assert_invalid<T>(subject: &str, outcome: Result<T>) {
    match outcome.map(drop) {
        Err(error @ EventError::InvalidSubject { .. }) => {
            let text = error.to_string();
            assert!(!text.contains(char::is_control), "{text:?}");
        }
        other => panic!("{subject:?}: {other:?}"),
    }
}
