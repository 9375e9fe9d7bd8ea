//! The dashboard, the alerts and the page about them name only what a bus emits.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    sync::Arc,
};

use a3s_event::{EventBus, dlq::MemoryDlqHandler, provider::memory::MemoryProvider};
use serde_json::Value;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/observability.md");
const DASHBOARD: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../docs/grafana-dashboard.json"
);

/// Names of samples, each with the values of its labels.
type Emitted = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

fn page_of_a_bus() -> String {
    let mut bus = EventBus::new(MemoryProvider::default());
    bus.set_dlq_handler(Arc::new(MemoryDlqHandler::default()));
    bus.metrics().render_prometheus()
}

fn emitted() -> Emitted {
    let mut emitted = Emitted::new();
    for line in page_of_a_bus()
        .lines()
        .filter(|line| !line.starts_with('#'))
    {
        let (name, rest) = line.split_once('{').unwrap();
        let (labels, _) = rest.rsplit_once('}').unwrap();
        let known = emitted.entry(name.to_owned()).or_default();
        for label in labels.split(',') {
            let (label, value) = label.split_once('=').unwrap();
            let value = value.trim_matches('"').to_owned();
            known.entry(label.to_owned()).or_default().insert(value);
        }
    }
    emitted
}

/// The words of `text` that are spelled as our metrics are, each with what
/// follows it.
fn metrics_in(text: &str) -> Vec<(&str, &str)> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find(is_name) {
        rest = &rest[start..];
        let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        let ours = ["a3s_event_", "messaging_client_", "messaging_process_"];
        if ours.iter().any(|prefix| word.starts_with(prefix)) {
            found.push((word, after));
        }
        rest = after;
    }
    found
}

/// Checks the names, selectors and groupings of one query.
#[track_caller]
fn check(query: &str, emitted: &Emitted) {
    let metrics = metrics_in(query);
    assert!(!metrics.is_empty(), "{query} asks for nothing of ours");
    let mut labels = BTreeSet::new();
    for (name, after) in metrics {
        let known = emitted.get(name);
        let known = known.unwrap_or_else(|| panic!("{name} of `{query}` is not emitted"));
        labels.extend(known.keys().cloned());
        let Some((selector, _)) = after.strip_prefix('{').and_then(|it| it.split_once('}')) else {
            continue;
        };
        for matcher in selector.split(',') {
            let end = matcher.find(['=', '!', '~']).unwrap();
            let (label, value) = matcher.split_at(end);
            let values = known.get(label);
            let values = values.unwrap_or_else(|| panic!("{name} has no {label}: `{query}`"));
            let value = value.trim_start_matches(['=', '!', '~']).trim_matches('"');
            let given = value.is_empty() || value.starts_with('$') || values.contains(value);
            assert!(given, "{label} of {name} is never {value}: `{query}`");
        }
    }
    for grouping in query.split("by (").skip(1) {
        let (names, _) = grouping.split_once(')').unwrap();
        for name in names.split(',') {
            assert!(
                labels.contains(name.trim()),
                "no {name} to group by: `{query}`"
            );
        }
    }
    let count = |bracket| query.matches(bracket).count();
    assert_eq!(
        (count('('), count('{')),
        (count(')'), count('}')),
        "{query}"
    );
}

#[test]
fn every_query_of_the_dashboard_asks_for_what_is_emitted() {
    let dashboard: Value = serde_json::from_str(&fs::read_to_string(DASHBOARD).unwrap()).unwrap();
    let emitted = emitted();
    let mut asked = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        let targets = panel["targets"].as_array().unwrap();
        assert!(!targets.is_empty(), "{panel}");
        for target in targets {
            let query = target["expr"].as_str().unwrap();
            check(query, &emitted);
            asked.extend(
                metrics_in(query)
                    .into_iter()
                    .map(|(name, _)| name.to_owned()),
            );
        }
    }
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        let query = variable["query"].as_str().unwrap();
        if let Some(arguments) = query.strip_prefix("label_values(") {
            let (name, label) = arguments.trim_end_matches(')').split_once(", ").unwrap();
            assert!(emitted[name].contains_key(label), "{query}");
        }
    }
    // And the other way round: nothing that is emitted is left out.
    let forgotten: Vec<_> = emitted
        .keys()
        .filter(|name| !asked.contains(*name))
        .collect();
    assert!(forgotten.is_empty(), "{forgotten:?}");
}

#[test]
fn every_alert_asks_for_what_is_emitted() {
    let page = fs::read_to_string(PAGE).unwrap();
    let (_, rules) = page.split_once("```yaml\n").unwrap();
    let (rules, _) = rules.split_once("```").unwrap();
    let emitted = emitted();
    let alerts: Vec<_> = rules.split("- alert: ").skip(1).collect();
    for alert in &alerts {
        let (_, query) = alert.split_once("expr: ").unwrap();
        let end = query.find("for: ").or_else(|| query.find("annotations: "));
        check(&query[..end.unwrap()], &emitted);
    }
    assert!(alerts.len() > 5, "{rules}");
}

#[test]
fn the_page_lists_what_is_emitted_and_nothing_else() {
    let page = fs::read_to_string(PAGE).unwrap();
    let text = page_of_a_bus();
    let headers = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let families: BTreeMap<_, _> = headers.map(|line| line.split_once(' ').unwrap()).collect();
    let rows: BTreeMap<_, _> = page
        .lines()
        .filter_map(|line| {
            let cells: Vec<_> = line
                .split('|')
                .map(|cell| cell.trim().trim_matches('`'))
                .collect();
            let kind = cells.get(3)?.split([',', ' ']).next()?;
            let is_metric = ["counter", "gauge", "histogram"].contains(&kind);
            is_metric.then(|| (cells[2], (cells[1], kind)))
        })
        .collect();
    for (name, kind) in &families {
        let (dotted, listed) = rows
            .get(name)
            .unwrap_or_else(|| panic!("{name} is not listed"));
        assert_eq!(listed, kind, "{name}");
        let plain = name.trim_end_matches("_total").trim_end_matches("_seconds");
        assert_eq!(dotted.replace('.', "_"), plain);
    }
    assert_eq!(rows.len(), families.len());
    for (values, label) in emitted()
        .values()
        .flatten()
        .map(|(label, values)| (values, label))
    {
        let own = !["le", "messaging_system"].contains(&label.as_str());
        for value in values.iter().filter(|_| own) {
            assert!(
                page.contains(&format!("`{value}`")),
                "{label} {value} is not listed"
            );
        }
    }
}
