//! The stream behind a provider: created, or compared with what is there.

use std::time::Duration;

use a3s_event_core::{EventError, Result, subject::SubjectPattern, subject::SubjectPrefix};
use serde_json::{Value, json};

use crate::{
    api::{Api, Fields, StreamInfo, no_stream},
    config::NatsConfig,
    connection::Connection,
    error::{ApiError, failed},
};

/// What happens when the stream exists with other settings than the caller's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExistingStream {
    /// [`EventError::StreamMismatch`] with each differing field and both values.
    #[default]
    Refuse,
    /// The differing fields are changed, as far as the server lets them be
    /// changed; `StreamMismatch` otherwise. All other fields stay as they are,
    /// and subjects are only ever added.
    Update,
    /// The stream is taken as it is, and must exist: for streams that somebody
    /// else owns. Only its subjects are looked at, which must cover the prefix.
    Bind,
}

/// When a stored event may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Retention {
    /// When a limit of the stream says so; the default of the server.
    Limits,
    /// When every durable consumer that matches has acknowledged it.
    Interest,
    /// When it is acknowledged once. Allows one consumer per subject.
    WorkQueue,
}

/// What happens when a limit of the stream is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Discard {
    /// The oldest events go; the default of the server.
    Old,
    /// New events are refused.
    New,
}

/// What the builder adds to the configuration; `None` is not compared.
#[derive(Debug, Clone, Default)]
pub(crate) struct StreamOptions {
    pub(crate) replicas: Option<usize>,
    pub(crate) retention: Option<Retention>,
    pub(crate) discard: Option<Discard>,
    pub(crate) duplicate_window: Option<Duration>,
    pub(crate) on_existing: ExistingStream,
}

impl StreamOptions {
    pub(crate) fn validate(&self, config: &NatsConfig) -> Result<()> {
        if self.replicas == Some(0) {
            return Err(EventError::invalid_option("replicas", "must be at least 1"));
        }
        let Some(window) = self.duplicate_window else {
            return Ok(());
        };
        // The server takes 100 ms as the least.
        if window < Duration::from_millis(100) {
            return Err(EventError::invalid_option(
                "duplicate_window",
                "must be at least 100 milliseconds",
            ));
        }
        if config.max_age_secs > 0 && window > Duration::from_secs(config.max_age_secs) {
            return Err(EventError::invalid_option(
                "duplicate_window",
                "must not be longer than max_age_secs",
            ));
        }
        Ok(())
    }

    /// The fields that the caller has set, by the server's names.
    fn wanted(&self, config: &NatsConfig, prefix: &SubjectPrefix) -> Fields {
        let mut wanted = Fields::new();
        let mut set = |field: &str, value: Value| wanted.insert(field.to_owned(), value);
        set("subjects", json!([prefix.everything().as_str()]));
        set("storage", json!(config.storage.as_str()));
        set("max_msgs", json!(or_unlimited(config.max_events)));
        set("max_bytes", json!(or_unlimited(config.max_bytes)));
        set("max_age", json!(config.max_age_secs * 1_000_000_000));
        if let Some(replicas) = self.replicas {
            set("num_replicas", json!(replicas));
        }
        if let Some(retention) = self.retention {
            let name = match retention {
                Retention::Limits => "limits",
                Retention::Interest => "interest",
                Retention::WorkQueue => "workqueue",
            };
            set("retention", json!(name));
        }
        if let Some(discard) = self.discard {
            let name = match discard {
                Discard::Old => "old",
                Discard::New => "new",
            };
            set("discard", json!(name));
        }
        if let Some(window) = self.duplicate_window {
            set("duplicate_window", json!(nanoseconds(window)));
        }
        wanted
    }
}

/// Makes sure that the stream exists as the caller wants it.
pub(crate) async fn open(
    on: &Connection,
    api: &Api,
    config: &NatsConfig,
    prefix: &SubjectPrefix,
    options: &StreamOptions,
) -> Result<StreamInfo> {
    let wanted = options.wanted(config, prefix);
    // Two rounds: somebody else may create the stream between the two requests.
    for _ in 0..2 {
        match api.stream_info(on).await? {
            Ok(found) => return adopt(on, api, prefix, options, &wanted, found).await,
            Err(error) if !error.is(ApiError::STREAM_NOT_FOUND) => {
                return Err(error.during("read the stream"));
            }
            Err(_) if options.on_existing == ExistingStream::Bind => {
                return Err(no_stream(&api.stream));
            }
            Err(_) => {}
        }
        let mut created = wanted.clone();
        created.insert("name".to_owned(), json!(api.stream));
        // Newest-first history reads directly.
        created.insert("allow_direct".to_owned(), json!(true));
        match api.create_stream(on, &created).await? {
            Ok(info) => return echoed(&api.stream, &wanted, info),
            Err(error) if error.is(ApiError::STREAM_EXISTS) => {}
            Err(error) => return Err(error.during("create the stream")),
        }
    }
    Err(failed(
        "create the stream",
        "it appears and disappears all the time",
    ))
}

async fn adopt(
    on: &Connection,
    api: &Api,
    prefix: &SubjectPrefix,
    options: &StreamOptions,
    wanted: &Fields,
    found: StreamInfo,
) -> Result<StreamInfo> {
    let differences = differences(wanted, &found.config);
    match options.on_existing {
        ExistingStream::Bind => {
            if covers(&found.config, prefix) {
                return Ok(found);
            }
            Err(EventError::stream_mismatch(
                &api.stream,
                vec![difference(
                    "subjects",
                    &wanted["subjects"],
                    found.config.get("subjects"),
                )],
            ))
        }
        _ if differences.is_empty() => Ok(found),
        ExistingStream::Refuse => Err(EventError::stream_mismatch(&api.stream, differences)),
        ExistingStream::Update => {
            let mut changed = found.config;
            for (field, value) in wanted {
                if field == "subjects" {
                    if !covers(&changed, prefix)
                        && let Some(Value::Array(subjects)) = changed.get_mut(field)
                    {
                        subjects.push(json!(prefix.everything().as_str()));
                    }
                } else {
                    changed.insert(field.clone(), value.clone());
                }
            }
            // The server lowers the window to a smaller age by itself only when it is unset.
            if !wanted.contains_key("duplicate_window") {
                lower_window(&mut changed);
            }
            match api.update_stream(on, &changed).await? {
                Ok(info) => echoed(&api.stream, wanted, info),
                Err(error) if error.is(ApiError::STREAM_UPDATE_REFUSED) => {
                    let mut differences = differences;
                    differences.push(error.description);
                    Err(EventError::stream_mismatch(&api.stream, differences))
                }
                Err(error) => Err(error.during("update the stream")),
            }
        }
    }
}

fn lower_window(config: &mut Fields) {
    let (age, window) = (
        crate::api::number(config, "max_age"),
        crate::api::number(config, "duplicate_window"),
    );
    if age > 0 && window > age {
        config.insert("duplicate_window".to_owned(), json!(age));
    }
}

/// Compares what the server made of a configuration with what was sent.
fn echoed(stream: &str, wanted: &Fields, info: StreamInfo) -> Result<StreamInfo> {
    let differences = differences(wanted, &info.config);
    if differences.is_empty() {
        return Ok(info);
    }
    Err(EventError::stream_mismatch(stream, differences))
}

/// The fields that differ, with both values.
fn differences(wanted: &Fields, found: &Fields) -> Vec<String> {
    wanted
        .iter()
        .filter(|(field, value)| !agrees(field, value, found.get(*field)))
        .map(|(field, value)| difference(field, value, found.get(field)))
        .collect()
}

fn agrees(field: &str, wanted: &Value, found: Option<&Value>) -> bool {
    match field {
        // More subjects than ours are nothing that the caller has set.
        "subjects" => {
            texts(Some(wanted)).all(|ours| texts(found).any(|theirs| covers_pattern(theirs, ours)))
        }
        "max_msgs" | "max_bytes" => {
            wanted.as_i64() == Some(or_unlimited(found.and_then(Value::as_i64).unwrap_or(0)))
        }
        _ => found.is_some_and(|found| found == wanted),
    }
}

fn difference(field: &str, wanted: &Value, found: Option<&Value>) -> String {
    let found = found.unwrap_or(&Value::Null);
    match field {
        "max_msgs" => format!(
            "max_events: {} wanted, {} found",
            limit(wanted),
            limit(found)
        ),
        "max_bytes" => format!(
            "max_bytes: {} wanted, {} found",
            limit(wanted),
            limit(found)
        ),
        "max_age" => {
            let seconds = |age: &Value| age.as_f64().unwrap_or(0.0) / 1e9;
            format!(
                "max_age_secs: {} wanted, {} found",
                seconds(wanted),
                seconds(found)
            )
        }
        "num_replicas" => format!("replicas: {wanted} wanted, {found} found"),
        "duplicate_window" => {
            let seconds = |age: &Value| age.as_f64().unwrap_or(0.0) / 1e9;
            format!(
                "duplicate_window: {}s wanted, {}s found",
                seconds(wanted),
                seconds(found)
            )
        }
        _ => format!("{field}: {wanted} wanted, {found} found"),
    }
}

/// A limit as the configuration writes it, where 0 is unlimited.
fn limit(value: &Value) -> i64 {
    value.as_i64().unwrap_or(0).max(0)
}

const fn or_unlimited(limit: i64) -> i64 {
    if limit <= 0 { -1 } else { limit }
}

fn covers(config: &Fields, prefix: &SubjectPrefix) -> bool {
    texts(config.get("subjects"))
        .any(|subject| covers_pattern(subject, prefix.everything().as_str()))
}

fn covers_pattern(outer: &str, inner: &str) -> bool {
    match (SubjectPattern::parse(outer), SubjectPattern::parse(inner)) {
        (Ok(outer), Ok(inner)) => outer.covers(&inner),
        // A stream may hold subjects that our rules refuse.
        _ => outer == inner,
    }
}

fn texts(list: Option<&Value>) -> impl Iterator<Item = &str> {
    list.and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
}

/// A duration as the server counts it.
pub(crate) fn nanoseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted() -> Fields {
        let prefix = SubjectPrefix::parse("events").unwrap();
        StreamOptions::default().wanted(&NatsConfig::default(), &prefix)
    }

    #[test]
    fn only_what_the_caller_set_is_compared() {
        let mut found = wanted();
        found.insert("num_replicas".to_owned(), json!(3));
        found.insert("retention".to_owned(), json!("interest"));
        found.insert("subjects".to_owned(), json!(["audit.>", ">"]));
        assert_eq!(differences(&wanted(), &found), Vec::<String>::new());
    }

    #[test]
    fn each_difference_shows_both_values_by_the_names_of_the_configuration() {
        let mut found = wanted();
        found.insert("max_msgs".to_owned(), json!(-1));
        found.insert("max_age".to_owned(), json!(60_000_000_000_u64));
        found.insert("storage".to_owned(), json!("memory"));
        found.insert("subjects".to_owned(), json!(["other.>"]));
        assert_eq!(
            differences(&wanted(), &found),
            [
                "max_age_secs: 604800 wanted, 60 found",
                "max_events: 100000 wanted, 0 found",
                "storage: \"file\" wanted, \"memory\" found",
                "subjects: [\"events.>\"] wanted, [\"other.>\"] found",
            ]
        );
    }
}
