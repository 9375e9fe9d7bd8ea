use a3s_event_core::EventError;

use super::EventMetrics;

#[test]
fn every_kind_of_error_has_a_counter() {
    let cause = || EventError::closed("x");
    let errors = [
        EventError::invalid_subject("s", "rule"),
        EventError::invalid_option("o", "reason"),
        EventError::not_found("x", "y"),
        EventError::conflict(1, 2),
        EventError::timeout("publish", std::time::Duration::from_secs(1)),
        EventError::too_large("id", 2, 1),
        EventError::unsupported("p", "f"),
        EventError::closed("x"),
        EventError::schema_validation("t", 1, Vec::new()),
        EventError::incompatible("t", 1, 2, "full", Vec::new(), Vec::new()),
        EventError::encryption("r", None, None),
        EventError::key_unknown("k"),
        EventError::key_disabled("k"),
        EventError::key_destroyed("k"),
        EventError::undecodable("s", 1, cause()),
        EventError::exhausted("s", 1, 1),
        EventError::consumer_mismatch("c", Vec::new()),
        EventError::stream_mismatch("s", Vec::new()),
        EventError::state("load", "file", cause()),
        EventError::connection("s", cause()),
        EventError::provider("p", "publish", cause()),
    ];
    let metrics = EventMetrics::new("p");
    for error in &errors {
        metrics.publish_failed(error);
    }
    let counted = metrics.snapshot().publish_errors;
    assert_eq!(counted.len(), errors.len(), "{counted:?}");
    assert!(errors.iter().all(|error| counted[error.kind()] == 1));
}

#[test]
fn the_name_of_a_provider_cannot_break_the_page() {
    let page = EventMetrics::new("a\"b\\c\nd").render_prometheus();
    assert!(
        page.contains(r#"{messaging_system="a\"b\\c\nd"}"#),
        "{page}"
    );
}
