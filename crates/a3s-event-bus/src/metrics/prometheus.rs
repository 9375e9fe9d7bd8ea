use std::fmt::{Arguments, Display, Write};

use super::MetricsSnapshot;

/// Error kinds of publishes that never reached a backend: they count as
/// refused, not as sent.
const NEVER_SENT: [&str; 10] = [
    "invalid_subject",
    "invalid_option",
    "too_large",
    "unsupported",
    "closed",
    "schema_validation",
    "encryption",
    "key_unknown",
    "key_disabled",
    "key_destroyed",
];

pub(super) fn render(system: &str, figures: &MetricsSnapshot) -> String {
    let mut page = Page {
        text: String::with_capacity(8 * 1024),
        system,
        family: "",
    };

    page.family(
        "messaging_client_sent_messages_total",
        "counter",
        "Publishes handed to the provider; those that failed carry an error type.",
    );
    let publish = ("messaging_operation_name", "publish");
    page.sample("", &[publish], figures.published);
    let (refused, failed): (Vec<_>, Vec<_>) = figures
        .publish_errors
        .iter()
        .partition(|(kind, _)| NEVER_SENT.contains(*kind));
    for (kind, count) in failed {
        page.sample("", &[publish, ("error_type", kind)], *count);
    }
    page.family(
        "a3s_event_publish_refusals_total",
        "counter",
        "Publishes that were refused before anything was sent.",
    );
    for (kind, count) in refused {
        page.sample("", &[("error_type", kind)], *count);
    }
    page.family(
        "a3s_event_schema_rejections_total",
        "counter",
        "Publishes that a schema refused.",
    );
    page.sample("", &[], figures.schema_rejections);

    page.family(
        "messaging_client_operation_duration_seconds",
        "histogram",
        "How long the provider took to publish one event; see a3s_event_latency_sampling.",
    );
    let latency = &figures.publish_latency;
    let mut below = 0;
    for bucket in &latency.buckets {
        below += bucket.count;
        let bound = bucket
            .upper_micros
            .map_or_else(|| "+Inf".to_owned(), |micros| seconds(micros * 1_000));
        page.sample("_bucket", &[publish, ("le", &bound)], below);
    }
    page.sample("_sum", &[publish], seconds(latency.sum_nanos));
    page.sample("_count", &[publish], latency.count);
    page.family(
        "a3s_event_latency_sampling",
        "gauge",
        "One publish in this many is timed; 0 is none.",
    );
    page.sample("", &[], latency.sampling);

    page.family(
        "messaging_client_consumed_messages_total",
        "counter",
        "Deliveries that reached the bus; a redelivery counts again.",
    );
    let receive = ("messaging_operation_name", "receive");
    page.sample("", &[receive], figures.received);
    page.family(
        "a3s_event_redeliveries_total",
        "counter",
        "Deliveries of events that had been delivered before.",
    );
    page.sample("", &[], figures.redelivered);
    page.family(
        "a3s_event_settlements_total",
        "counter",
        "Answers to deliveries.",
    );
    for (outcome, count) in [
        ("ack", figures.acked),
        ("nak", figures.nacked),
        ("term", figures.terminated),
        ("dropped", figures.unanswered),
    ] {
        page.sample("", &[("outcome", outcome)], count);
    }

    page.family(
        "a3s_event_dead_lettered_total",
        "counter",
        "Events that the dead-letter handler took.",
    );
    for (kind, count) in &figures.dead_lettered_by_kind {
        page.sample("", &[("reason", kind)], *count);
    }
    page.family(
        "a3s_event_dead_letter_failures_total",
        "counter",
        "Dead letters that the handler did not take.",
    );
    page.sample("", &[], figures.dead_letter_errors);
    page.family(
        "a3s_event_exhausted_total",
        "counter",
        "Events terminated above their cap on deliveries, without a handler.",
    );
    page.sample("", &[], figures.exhausted);
    if let Some(depth) = figures.dlq_depth {
        page.family("a3s_event_dlq_depth", "gauge", "Dead letters in store.");
        page.sample("", &[], depth);
    }

    page.family(
        "a3s_event_crypto_operations_total",
        "counter",
        "Payloads that were encrypted or decrypted.",
    );
    page.sample("", &[("op", "encrypt")], figures.encrypted);
    page.sample("", &[("op", "decrypt")], figures.decrypted);
    page.family(
        "a3s_event_crypto_failures_total",
        "counter",
        "Payloads that could not be encrypted or decrypted.",
    );
    page.sample("", &[("op", "encrypt")], figures.encryption_failures);
    page.sample("", &[("op", "decrypt")], figures.decryption_failures);

    page.family(
        "a3s_event_subscriptions_active",
        "gauge",
        "Open subscriptions.",
    );
    page.sample("", &[], figures.active_subscriptions);
    page.text
}

struct Page<'a> {
    text: String,
    system: &'a str,
    family: &'static str,
}

impl Page<'_> {
    /// Begins a family; the samples that follow are its own.
    fn family(&mut self, name: &'static str, kind: &str, help: &str) {
        self.family = name;
        self.push(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    }

    fn sample(&mut self, suffix: &str, labels: &[(&str, &str)], value: impl Display) {
        let (family, system) = (self.family, escaped(self.system));
        self.push(format_args!(
            "{family}{suffix}{{messaging_system=\"{system}\""
        ));
        for (name, value) in labels {
            self.push(format_args!(",{name}=\"{value}\""));
        }
        self.push(format_args!("}} {value}\n"));
    }

    fn push(&mut self, text: Arguments<'_>) {
        // Writing to a string does not fail.
        let _ = self.text.write_fmt(text);
    }
}

/// The name of a provider as the value of a label; all others are our own.
fn escaped(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for character in value.chars() {
        match character {
            '\\' => escaped.push_str("\\\\"),
            '"' => escaped.push_str("\\\""),
            '\n' => escaped.push_str("\\n"),
            _ => escaped.push(character),
        }
    }
    escaped
}

/// Nanoseconds as a decimal number of seconds, exactly.
fn seconds(nanos: u64) -> String {
    let digits = format!("{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000);
    digits
        .trim_end_matches('0')
        .trim_end_matches('.')
        .to_owned()
}
