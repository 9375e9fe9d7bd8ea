use serde::{Deserialize, Serialize};

use crate::{EventError, Result};

/// How one publish behaves. The default asks for nothing special.
///
/// # Examples
///
/// ```
/// use a3s_event_core::types::PublishOptions;
///
/// let options = PublishOptions {
///     msg_id: Some("order-4711-paid".to_string()),
///     ..Default::default()
/// };
/// options.validate()?;
/// # Ok::<(), a3s_event_core::EventError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PublishOptions {
    /// Deduplication id: a repeat within the provider's window (2 minutes
    /// unless configured) is stored once and returns the first one's sequence,
    /// also after that event was purged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub msg_id: Option<String>,
    /// The stream's last sequence over all subjects, as the publisher knows it;
    /// anything else is [`EventError::Conflict`]. `Some(0)`: the stream never
    /// held an event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_sequence: Option<u64>,
    /// Limit of the call in seconds, from 1; `None` is the provider's limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_secs: Option<u64>,
}

impl PublishOptions {
    /// Sets [`msg_id`](Self::msg_id).
    #[must_use]
    pub fn with_msg_id(mut self, msg_id: impl Into<String>) -> Self {
        self.msg_id = Some(msg_id.into());
        self
    }

    /// Sets [`expected_sequence`](Self::expected_sequence).
    #[must_use]
    pub const fn with_expected_sequence(mut self, sequence: u64) -> Self {
        self.expected_sequence = Some(sequence);
        self
    }

    /// Sets [`timeout_secs`](Self::timeout_secs).
    #[must_use]
    pub const fn with_timeout_secs(mut self, seconds: u64) -> Self {
        self.timeout_secs = Some(seconds);
        self
    }

    /// Checks that every value has a meaning.
    ///
    /// # Errors
    ///
    /// [`EventError::InvalidOption`] for a `msg_id` that is empty, holds a control
    /// character, or begins or ends with white space (it travels in a header),
    /// and for a timeout of 0.
    pub fn validate(&self) -> Result<()> {
        if let Some(msg_id) = &self.msg_id {
            if msg_id.is_empty() {
                return Err(EventError::invalid_option("msg_id", "must not be empty"));
            }
            if msg_id.chars().any(char::is_control) {
                return Err(EventError::invalid_option(
                    "msg_id",
                    "must not hold control characters",
                ));
            }
            // Headers lose it on the way, so that two ids would meet.
            if msg_id.trim() != msg_id {
                return Err(EventError::invalid_option(
                    "msg_id",
                    "must not begin or end with white space",
                ));
            }
        }
        if self.timeout_secs == Some(0) {
            return Err(EventError::invalid_option(
                "timeout_secs",
                "must be at least 1",
            ));
        }
        Ok(())
    }

    /// The names of the options that are set, most significant first.
    pub fn set_options(&self) -> impl Iterator<Item = &'static str> + use<> {
        [
            ("msg_id", self.msg_id.is_some()),
            ("expected_sequence", self.expected_sequence.is_some()),
            ("timeout_secs", self.timeout_secs.is_some()),
        ]
        .into_iter()
        .filter_map(|(name, set)| set.then_some(name))
    }
}

/// How events are delivered to one subscription or durable consumer.
///
/// The default delivers everything retained and then what follows, gives 30
/// seconds to answer, redelivers without limit, and holds at most 1000
/// unanswered events.
///
/// # Examples
///
/// ```
/// use a3s_event_core::types::{DeliverPolicy, SubscribeOptions};
///
/// let options = SubscribeOptions {
///     max_deliver: Some(5),
///     backoff_secs: vec![1, 5, 30],
///     deliver_policy: DeliverPolicy::New,
///     ..Default::default()
/// };
/// options.validate()?;
/// # Ok::<(), a3s_event_core::EventError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SubscribeOptions {
    /// How often an event is delivered at most; `None`, 0 and −1 are unlimited.
    /// With a cap nothing is read ahead, because a delivery that nobody saw would
    /// count: over a network each event costs a round trip, and several handles
    /// make up for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_deliver: Option<i64>,
    /// Seconds to wait for an answer to the first, second, … delivery before
    /// the next one; the last step repeats. Replaces `ack_wait_secs`. Says
    /// nothing about a plain nak, which redelivers at once: a handler that fails
    /// and wants to wait answers with a delay of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub backoff_secs: Vec<u64>,
    /// How many events may be unanswered over all handles of the consumer;
    /// `None` is 1000, −1 unlimited. At the limit new events wait,
    /// redeliveries do not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_ack_pending: Option<i64>,
    /// Where to start.
    #[serde(default)]
    pub deliver_policy: DeliverPolicy,
    /// Seconds to wait for an answer before an event is delivered again;
    /// `None` is 30.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ack_wait_secs: Option<u64>,
    /// How many events a provider may fetch ahead of the reader; `None` is the
    /// provider's default, 0 fetches when the reader asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefetch: Option<usize>,
}

impl SubscribeOptions {
    /// Seconds to wait for an answer unless `ack_wait_secs` says otherwise.
    pub const DEFAULT_ACK_WAIT_SECS: u64 = 30;
    /// Unanswered events a consumer may hold unless `max_ack_pending` says otherwise.
    pub const DEFAULT_MAX_ACK_PENDING: u64 = 1000;

    /// Sets [`max_deliver`](Self::max_deliver).
    #[must_use]
    pub const fn with_max_deliver(mut self, deliveries: i64) -> Self {
        self.max_deliver = Some(deliveries);
        self
    }

    /// Sets [`backoff_secs`](Self::backoff_secs).
    #[must_use]
    pub fn with_backoff_secs(mut self, steps: impl Into<Vec<u64>>) -> Self {
        self.backoff_secs = steps.into();
        self
    }

    /// Sets [`max_ack_pending`](Self::max_ack_pending).
    #[must_use]
    pub const fn with_max_ack_pending(mut self, events: i64) -> Self {
        self.max_ack_pending = Some(events);
        self
    }

    /// Sets [`deliver_policy`](Self::deliver_policy).
    #[must_use]
    pub const fn with_deliver_policy(mut self, policy: DeliverPolicy) -> Self {
        self.deliver_policy = policy;
        self
    }

    /// Sets [`ack_wait_secs`](Self::ack_wait_secs).
    #[must_use]
    pub const fn with_ack_wait_secs(mut self, seconds: u64) -> Self {
        self.ack_wait_secs = Some(seconds);
        self
    }

    /// Sets [`prefetch`](Self::prefetch).
    #[must_use]
    pub const fn with_prefetch(mut self, events: usize) -> Self {
        self.prefetch = Some(events);
        self
    }

    /// The cap on deliveries; `None` is unlimited.
    #[must_use]
    pub fn delivery_cap(&self) -> Option<u64> {
        self.max_deliver
            .and_then(|cap| u64::try_from(cap).ok())
            .filter(|&cap| cap > 0)
    }

    /// The bound on unanswered events; `None` is unlimited.
    #[must_use]
    pub fn pending_bound(&self) -> Option<u64> {
        match self.max_ack_pending {
            None => Some(Self::DEFAULT_MAX_ACK_PENDING),
            Some(bound) => u64::try_from(bound).ok(),
        }
    }

    /// Checks that every value has a meaning.
    ///
    /// # Errors
    ///
    /// [`EventError::InvalidOption`] for a negative value other than −1, for a
    /// `max_ack_pending` or `ack_wait_secs` of 0, and for a 0 in
    /// `backoff_secs`.
    pub fn validate(&self) -> Result<()> {
        if self.max_deliver.is_some_and(|cap| cap < -1) {
            return Err(EventError::invalid_option(
                "max_deliver",
                "must be positive, or 0 or -1 for unlimited",
            ));
        }
        if self
            .max_ack_pending
            .is_some_and(|bound| bound == 0 || bound < -1)
        {
            return Err(EventError::invalid_option(
                "max_ack_pending",
                "must be positive, or -1 for unlimited",
            ));
        }
        if self.ack_wait_secs == Some(0) {
            return Err(EventError::invalid_option(
                "ack_wait_secs",
                "must be at least 1",
            ));
        }
        if self.backoff_secs.contains(&0) {
            return Err(EventError::invalid_option(
                "backoff_secs",
                "every step must be at least 1",
            ));
        }
        Ok(())
    }

    /// The names of the options that are set, most significant first.
    pub fn set_options(&self) -> impl Iterator<Item = &'static str> + use<> {
        [
            ("deliver_policy", self.deliver_policy != DeliverPolicy::All),
            ("max_deliver", self.delivery_cap().is_some()),
            ("max_ack_pending", self.max_ack_pending.is_some()),
            ("backoff_secs", !self.backoff_secs.is_empty()),
            ("ack_wait_secs", self.ack_wait_secs.is_some()),
            ("prefetch", self.prefetch.is_some()),
        ]
        .into_iter()
        .filter_map(|(name, set)| set.then_some(name))
    }
}

/// Where a subscription or a new durable consumer starts.
///
/// Counts only when a durable is created; an existing one goes on from its
/// position.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "type")]
#[non_exhaustive]
pub enum DeliverPolicy {
    /// Everything that is retained, then what follows.
    #[default]
    All,
    /// The newest matching event, then what follows; `New` if there is none.
    Last,
    /// Only what is published after the subscription exists.
    New,
    /// From a sequence on, inclusive. 0 is `All`; beyond the end of the
    /// stream it waits for that sequence.
    ByStartSequence {
        /// The first sequence to deliver.
        sequence: u64,
    },
    /// What was stored at an instant or later; in the future it is `New`.
    ByStartTime {
        /// Unix milliseconds of the time of storing, not of the event's timestamp.
        timestamp: u64,
    },
    /// The newest event of each matching subject, in order of their sequences
    /// as of the creation, then everything newer.
    LastPerSubject,
}
