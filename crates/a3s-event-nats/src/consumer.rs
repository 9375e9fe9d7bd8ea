//! What a subscription asks of the server, and whether it got it.

use std::time::Duration;

use a3s_event_core::{
    EventError, Result,
    subject::SubjectPrefix,
    types::{DeliverPolicy, SubscribeOptions},
};
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    api::{ConsumerState, Fields, text},
    client::LARGEST_PREFETCH,
    error::{NATS, failed},
    names,
    stream::nanoseconds,
};

/// The first version with strict creation, metadata and backoff without a cap.
pub(crate) const STRICT_SINCE: (u32, u32) = (2, 10);

/// An unlimited number of deliveries where a server wants a number.
const UNLIMITED_DELIVERIES: i64 = (1 << 31) - 1;

/// How long an ephemeral consumer outlives its last sign of life at least.
const LEAST_INACTIVITY: Duration = Duration::from_secs(300);

/// What happens when a durable is opened with another filter or other options
/// than it was created with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExistingDurable {
    /// [`EventError::ConsumerMismatch`] with each difference.
    #[default]
    Refuse,
    /// Filter, ack wait, backoff and limits are changed for everybody who
    /// shares the name; the position stays.
    Update,
}

/// A consumer as the caller wants it.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// What it selects, below the prefix of the provider.
    pub(crate) filter: String,
    pub(crate) options: SubscribeOptions,
    /// Events to read ahead; 0 asks when the reader asks.
    pub(crate) prefetch: usize,
}

impl Plan {
    pub(crate) fn new(
        prefix: &SubjectPrefix,
        filter_subject: &str,
        options: &SubscribeOptions,
        default_prefetch: usize,
    ) -> Result<Self> {
        let pattern = prefix.parse_pattern(filter_subject)?;
        options.validate()?;
        let prefetch = options.prefetch.unwrap_or(default_prefetch);
        if !options.backoff_secs.is_empty() && options.ack_wait_secs.is_some() {
            tracing::warn!("backoff_secs replaces ack_wait_secs, which has no effect");
        }
        Ok(Self {
            filter: pattern.as_str().to_owned(),
            options: options.clone(),
            // A delivery counts when the server sends it, seen or not.
            prefetch: match options.delivery_cap() {
                Some(_) => 0,
                // A permission and no demand: as many as the client can hold.
                None => prefetch.min(LARGEST_PREFETCH),
            },
        })
    }

    /// The waits after the first, second, … delivery; the last one repeats.
    /// Steps that the cap makes unreachable are left out: servers refuse them.
    pub(crate) fn steps(&self) -> Vec<Duration> {
        let reachable = self.options.delivery_cap().map_or(usize::MAX, |cap| {
            usize::try_from(cap - 1).unwrap_or(usize::MAX)
        });
        self.options
            .backoff_secs
            .iter()
            .take(reachable)
            .map(|&seconds| Duration::from_secs(seconds))
            .collect()
    }

    /// The wait after the first delivery.
    fn ack_wait(&self) -> Duration {
        let first = self.options.backoff_secs.first().copied();
        let seconds = first
            .or(self.options.ack_wait_secs)
            .unwrap_or(SubscribeOptions::DEFAULT_ACK_WAIT_SECS);
        Duration::from_secs(seconds)
    }

    fn waits(&self) -> impl Iterator<Item = Duration> {
        self.steps().into_iter().chain([self.ack_wait()])
    }

    /// The shortest time that an unanswered event is left alone.
    pub(crate) fn shortest_wait(&self) -> Duration {
        self.waits().min().unwrap_or(Duration::from_secs(1))
    }

    /// The first sequence that may be handed over. Servers before 2.11 start
    /// with the next event where the start lies beyond the end of the stream.
    pub(crate) const fn first_sequence(&self) -> u64 {
        match self.options.deliver_policy {
            DeliverPolicy::ByStartSequence { sequence } => sequence,
            _ => 0,
        }
    }

    /// Refuses a start that the server would get wrong.
    ///
    /// While the bound on unanswered events is reached, servers before 2.10 skip
    /// events of the snapshot of `LastPerSubject`.
    pub(crate) fn check_start(&self, version: (u32, u32)) -> Result<()> {
        let bounded = self.options.max_ack_pending.is_some_and(|bound| bound > 0);
        let snapshot = self.options.deliver_policy == DeliverPolicy::LastPerSubject;
        if version < STRICT_SINCE && bounded && snapshot {
            return Err(EventError::unsupported(
                NATS,
                "max_ack_pending together with LastPerSubject on a server before 2.10",
            ));
        }
        Ok(())
    }

    /// The fields that make up the identity of a durable.
    fn shared_fields(&self, version: (u32, u32)) -> Fields {
        let steps = self.steps();
        let cap = match self.options.delivery_cap() {
            Some(cap) => i64::try_from(cap).unwrap_or(UNLIMITED_DELIVERIES),
            None if version < STRICT_SINCE && !steps.is_empty() => UNLIMITED_DELIVERIES,
            None => -1,
        };
        let bound = self.options.pending_bound();
        let bound = bound.and_then(|bound| i64::try_from(bound).ok());
        let mut fields = Fields::new();
        let mut set = |field: &str, value: Value| fields.insert(field.to_owned(), value);
        set("filter_subject", json!(self.filter));
        set("ack_policy", json!("explicit"));
        set("ack_wait", json!(nanoseconds(self.ack_wait())));
        set("max_deliver", json!(cap));
        set("max_ack_pending", json!(bound.unwrap_or(-1)));
        if !steps.is_empty() {
            let steps: Vec<i64> = steps.into_iter().map(nanoseconds).collect();
            set("backoff", json!(steps));
        }
        fields
    }

    /// The configuration of the durable `name`.
    pub(crate) fn durable(&self, name: &str, version: (u32, u32)) -> Result<Fields> {
        let wire_name = names::wire_name(name);
        let mut fields = self.shared_fields(version);
        fields.insert("description".to_owned(), json!(names::description(name)));
        if version < STRICT_SINCE {
            // Older servers overwrite what exists, except for this number.
            fields.insert("max_waiting".to_owned(), json!(fingerprint(&fields)));
        }
        fields.insert("name".to_owned(), json!(wire_name));
        fields.insert("durable_name".to_owned(), json!(wire_name));
        start(&mut fields, &self.options.deliver_policy)?;
        Ok(fields)
    }

    /// The configuration of an ephemeral consumer that starts with its policy,
    /// or at `resume`.
    pub(crate) fn ephemeral(
        &self,
        wire_name: &str,
        version: (u32, u32),
        resume: Option<u64>,
    ) -> Result<Fields> {
        let mut fields = self.shared_fields(version);
        let longest = self.waits().max().unwrap_or(LEAST_INACTIVITY);
        let inactivity = longest.saturating_mul(2).max(LEAST_INACTIVITY);
        fields.insert("name".to_owned(), json!(wire_name));
        fields.insert(
            "inactive_threshold".to_owned(),
            json!(nanoseconds(inactivity)),
        );
        let policy = match resume {
            Some(sequence) => &DeliverPolicy::ByStartSequence { sequence },
            None => &self.options.deliver_policy,
        };
        start(&mut fields, policy)?;
        Ok(fields)
    }

    /// How the durable that exists differs; the start position does not count.
    pub(crate) fn differences(
        &self,
        name: &str,
        version: (u32, u32),
        found: &Fields,
    ) -> Vec<String> {
        let mut wanted = self.shared_fields(version);
        wanted.insert("description".to_owned(), json!(names::description(name)));
        let stored_steps = found.get("backoff").filter(|steps| !steps.is_null());
        if stored_steps.is_some() || wanted.contains_key("backoff") {
            // The ack wait only repeats the first of the steps, which replace it.
            wanted.remove("ack_wait");
        }
        let mut differences: Vec<String> = wanted
            .iter()
            .filter(|(field, value)| !agrees(field, value, found.get(*field)))
            .map(|(field, value)| {
                let found = found.get(field).unwrap_or(&Value::Null);
                shown(field, value, found)
            })
            .collect();
        if !wanted.contains_key("backoff")
            && let Some(steps) = stored_steps
        {
            differences.push(shown("backoff", &Value::Null, steps));
        }
        if !text(found, "deliver_subject").is_empty() {
            differences.push("it is a push consumer".to_owned());
        }
        differences
    }

    /// The stored configuration with our fields in it.
    pub(crate) fn changed(&self, version: (u32, u32), stored: &Fields) -> Fields {
        let mut changed = stored.clone();
        changed.remove("backoff");
        changed.extend(self.shared_fields(version));
        changed
    }
}

/// Whether the server kept what it was sent.
pub(crate) fn check_echo(sent: &Fields, info: &ConsumerState) -> Result<()> {
    let lost: Vec<&str> = sent
        .iter()
        .filter(|(field, value)| !agrees(field, value, info.config.get(*field)))
        .map(|(field, _)| field.as_str())
        .collect();
    if lost.is_empty() {
        return Ok(());
    }
    Err(failed(
        "create the consumer",
        format!("the server does not honor {}", lost.join(", ")),
    ))
}

fn agrees(field: &str, wanted: &Value, found: Option<&Value>) -> bool {
    let Some(found) = found else {
        return false;
    };
    match field {
        "max_deliver" => deliveries(wanted) == deliveries(found),
        // The server adds to it.
        "metadata" => wanted.as_object().is_some_and(|wanted| {
            wanted
                .iter()
                .all(|(key, value)| found.get(key) == Some(value))
        }),
        // The format is the server's.
        "opt_start_time" => true,
        _ => wanted == found,
    }
}

/// A cap on deliveries with one value for unlimited.
fn deliveries(value: &Value) -> i64 {
    match value.as_i64().unwrap_or(-1) {
        cap if cap <= 0 || cap >= UNLIMITED_DELIVERIES => -1,
        cap => cap,
    }
}

/// A difference by the names of the options, in their units.
fn shown(field: &str, wanted: &Value, found: &Value) -> String {
    let seconds = |value: &Value| match value {
        Value::Array(steps) => {
            let steps: Vec<String> = steps.iter().map(in_seconds).collect();
            format!("[{}]", steps.join(", "))
        }
        Value::Null => "none".to_owned(),
        value => in_seconds(value),
    };
    let (name, wanted, found) = match field {
        "ack_wait" => ("ack_wait_secs", seconds(wanted), seconds(found)),
        "backoff" => ("backoff_secs", seconds(wanted), seconds(found)),
        "max_deliver" => (
            field,
            deliveries(wanted).to_string(),
            deliveries(found).to_string(),
        ),
        "description" => ("name", wanted.to_string(), found.to_string()),
        _ => (field, wanted.to_string(), found.to_string()),
    };
    format!("{name}: {wanted} wanted, {found} stored")
}

fn in_seconds(value: &Value) -> String {
    (value.as_f64().unwrap_or(0.0) / 1e9).to_string()
}

fn start(fields: &mut Fields, policy: &DeliverPolicy) -> Result<()> {
    let mut set = |field: &str, value: Value| fields.insert(field.to_owned(), value);
    let name = match policy {
        DeliverPolicy::All | DeliverPolicy::ByStartSequence { sequence: 0 } => "all",
        DeliverPolicy::Last => "last",
        DeliverPolicy::New => "new",
        DeliverPolicy::LastPerSubject => "last_per_subject",
        DeliverPolicy::ByStartSequence { sequence } => {
            set("opt_start_seq", json!(sequence));
            "by_start_sequence"
        }
        DeliverPolicy::ByStartTime { timestamp } => {
            set("opt_start_time", json!(rfc3339(*timestamp)?));
            "by_start_time"
        }
        other => {
            return Err(EventError::unsupported(
                "nats",
                format!("deliver policy {other:?}"),
            ));
        }
    };
    set("deliver_policy", json!(name));
    Ok(())
}

/// An instant as the server reads it, which counts nanoseconds in 64 bits: what
/// is later is as far in the future.
fn rfc3339(millis: u64) -> Result<String> {
    const LATEST: i128 = i64::MAX as i128;
    let nanos = (i128::from(millis) * 1_000_000).min(LATEST);
    OffsetDateTime::from_unix_timestamp_nanos(nanos)
        .ok()
        .and_then(|time| time.format(&Rfc3339).ok())
        .ok_or_else(|| EventError::invalid_option("deliver_policy", "the start time is too late"))
}

/// A number that differs where the options differ, in a field that no server
/// lets one overwrite. Far above the default of 512, which it has to be at least.
fn fingerprint(fields: &Fields) -> u64 {
    const VALUES: u64 = 1_000_000;
    let text = Value::Object(fields.clone()).to_string();
    let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    let first = digest.as_ref().iter().take(8);
    512 + first.fold(0_u64, |number, &byte| number << 8 | u64::from(byte)) % VALUES
}

/// The lowest sequence that a durable was told to start with.
pub(crate) fn stored_first_sequence(info: &ConsumerState) -> u64 {
    let stored = info.config.get("opt_start_seq");
    stored.and_then(Value::as_u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(options: SubscribeOptions) -> Plan {
        let prefix = SubjectPrefix::parse("events").unwrap();
        Plan::new(&prefix, "events.a.>", &options, 200).unwrap()
    }

    #[test]
    fn a_cap_on_deliveries_forbids_reading_ahead() {
        assert_eq!(plan(SubscribeOptions::default()).prefetch, 200);
        assert_eq!(
            plan(SubscribeOptions::default().with_max_deliver(3)).prefetch,
            0
        );
        assert_eq!(
            plan(SubscribeOptions::default().with_max_deliver(0)).prefetch,
            200
        );
    }

    #[test]
    fn nothing_forbids_a_prefetch_beyond_what_the_client_holds() {
        let options = SubscribeOptions::default().with_prefetch(usize::MAX);
        assert_eq!(plan(options).prefetch, LARGEST_PREFETCH);
    }

    #[test]
    fn unreachable_backoff_steps_are_not_sent() {
        let options = SubscribeOptions::default()
            .with_backoff_secs([1, 5, 30])
            .with_max_deliver(2);
        let fields = plan(options).durable("d", (2, 12)).unwrap();
        assert_eq!(fields["backoff"], json!([1_000_000_000]));
        assert_eq!(fields["ack_wait"], json!(1_000_000_000));
        assert_eq!(fields["max_deliver"], json!(2));
    }

    #[test]
    fn a_start_time_beyond_what_a_server_counts_is_its_latest() {
        assert_eq!(rfc3339(0).unwrap(), "1970-01-01T00:00:00Z");
        let latest = rfc3339(u64::MAX).unwrap();
        assert_eq!(latest, "2262-04-11T23:47:16.854775807Z");
        assert_eq!(rfc3339(9_300_000_000_000).unwrap(), latest);
    }

    #[test]
    fn an_old_server_gets_a_number_of_deliveries_and_a_fingerprint() {
        let backoff = plan(SubscribeOptions::default().with_backoff_secs([1]));
        let fields = backoff.durable("d", (2, 9)).unwrap();
        assert_eq!(fields["max_deliver"], json!(UNLIMITED_DELIVERIES));
        let other = plan(SubscribeOptions::default())
            .durable("d", (2, 9))
            .unwrap();
        assert_ne!(fields["max_waiting"], other["max_waiting"]);
        assert!(
            !backoff
                .durable("d", (2, 10))
                .unwrap()
                .contains_key("max_waiting")
        );
    }

    #[test]
    fn differences_are_in_the_units_of_the_options_and_leave_the_start_out() {
        let stored = plan(SubscribeOptions::default().with_deliver_policy(DeliverPolicy::New))
            .durable("d", (2, 12))
            .unwrap();
        let same = plan(SubscribeOptions::default());
        assert_eq!(
            same.differences("d", (2, 12), &stored),
            Vec::<String>::new()
        );
        let other = plan(
            SubscribeOptions::default()
                .with_backoff_secs([1, 2])
                .with_max_ack_pending(7),
        );
        assert_eq!(
            other.differences("d", (2, 12), &stored),
            [
                "backoff_secs: [1, 2] wanted, none stored",
                "max_ack_pending: 7 wanted, 1000 stored",
            ]
        );
    }
}
