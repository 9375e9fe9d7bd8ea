//! Publishing one event.

use std::time::Duration;

use a3s_event_core::{
    EventError, Result,
    types::{Event, PublishOptions},
};
use async_nats::{HeaderMap, HeaderValue, Message, Subject, header};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;
use tokio::time::{self, Instant};

use crate::{
    api::{Answer, answer_of},
    error::{ApiError, failed, reached_nobody},
    provider::Shared,
};

pub(crate) const PUBLISH: &str = "publish";

/// Before an event whose repeat is being stored is sent again.
const IN_PROCESS: Duration = Duration::from_millis(50);

/// Longest `tracestate` that is passed on.
const LONGEST_TRACE_STATE: usize = 512;

/// An event that passed every check that needs no server.
#[derive(Clone)]
pub(crate) struct Outgoing {
    pub(crate) subject: Subject,
    pub(crate) headers: Option<HeaderMap>,
    pub(crate) payload: Bytes,
}

/// What the server says about a stored event.
#[derive(Debug, Deserialize)]
pub(crate) struct Stored {
    pub(crate) stream: String,
    pub(crate) seq: u64,
    #[serde(default)]
    pub(crate) duplicate: bool,
}

impl Shared {
    pub(crate) async fn publish(&self, event: &Event, options: &PublishOptions) -> Result<u64> {
        self.connection.check_open()?;
        options.validate()?;
        let outgoing = self.outgoing(event, options)?;
        let limit = match options.timeout_secs {
            Some(seconds) => seconds_bounded(seconds),
            None => self.connection.request_timeout,
        };
        let size = outgoing.payload.len();
        let until = Instant::now() + limit;
        let late = || self.connection.timed_out(PUBLISH, limit);
        if let Some(expected) = options.expected_sequence
            && options.msg_id.is_some()
            && self.connection.keeps_ids_of_refused()
        {
            let looked = time::timeout_at(until, self.stream_info()).await;
            let actual = looked.map_err(|_| late())??.state.last_seq;
            if actual != expected {
                return self.misplaced(expected, actual, options).await;
            }
        }
        let stored = match self.store(outgoing, until).await {
            Err(EventError::Timeout { .. }) => return Err(late()),
            stored => stored?,
        };
        match (stored, options.expected_sequence) {
            // Servers before 2.12 look at the id first: a repeat of another event than the one
            // behind the expected sequence is a conflict all the same.
            (Ok(stored), Some(expected))
                if stored.duplicate && Some(stored.seq) != expected.checked_add(1) =>
            {
                let actual = self.stream_info().await?.state.last_seq;
                Err(EventError::conflict(expected, actual))
            }
            (Ok(stored), _) => Ok(stored.seq),
            (Err(error), Some(expected)) if error.is(ApiError::WRONG_LAST_SEQUENCE) => {
                let actual = match last_sequence_in(&error.description) {
                    Some(actual) => actual,
                    None => self.stream_info().await?.state.last_seq,
                };
                self.misplaced(expected, actual, options).await
            }
            (Err(error), _) => Err(self.refused(error, &event.id, size)),
        }
    }

    /// Checks and serializes an event.
    pub(crate) fn outgoing(&self, event: &Event, options: &PublishOptions) -> Result<Outgoing> {
        self.settings.prefix.check_subject(&event.subject)?;
        let mut payload = Vec::with_capacity(event.measure()?);
        serde_json::to_writer(&mut payload, &**event)?;
        let headers = headers(event, options)?;
        let size = payload.len() + headers.as_ref().map_or(0, wire_length);
        let limit = self.connection.client().max_payload();
        let limit = limit.min(self.max_message.unwrap_or(usize::MAX));
        if size > limit {
            return Err(EventError::too_large(&event.id, size, limit));
        }
        Ok(Outgoing {
            subject: event.subject.as_str().into(),
            headers,
            payload: payload.into(),
        })
    }

    /// Sends an event before `until`; again where nobody has received it, and where
    /// a cluster refuses it because its repeat is being stored, to hear of its sequence.
    async fn store(&self, outgoing: Outgoing, until: Instant) -> Result<Answer<Stored>> {
        let Outgoing {
            subject,
            headers,
            payload,
        } = outgoing;
        let mut repeats = self.connection.repeats();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let (subject, headers, payload) = (subject.clone(), headers.clone(), payload.clone());
            let sent = self
                .connection
                .request(PUBLISH, subject, headers, payload, left);
            let answer = match sent.await {
                Ok(answer) => answer,
                Err(error) if reached_nobody(&error) && repeats.pause(until).await => continue,
                Err(error) => return Err(error),
            };
            match self.stored(&answer)? {
                Err(error) if error.is(ApiError::DUPLICATE_IN_PROCESS) => {}
                // The same in the words of 2.10: nothing has the sequence 0.
                Ok(Stored { seq: 0, .. }) => {}
                stored => return Ok(stored),
            }
            let next = Instant::now() + IN_PROCESS;
            if next >= until {
                return Err(self.connection.timed_out(PUBLISH, left));
            }
            time::sleep_until(next).await;
        }
    }

    /// Reads the answer to a publish.
    pub(crate) fn stored(&self, answer: &Message) -> Result<Answer<Stored>> {
        let stored: Answer<Stored> = answer_of(PUBLISH, answer)?;
        match &stored {
            Ok(stored) if stored.stream != *self.stream => Err(failed(
                PUBLISH,
                format!("stream `{}` has stored the event", stored.stream),
            )),
            _ => Ok(stored),
        }
    }

    /// The error of an event that the server refused.
    pub(crate) fn refused(&self, error: ApiError, event_id: &str, size: usize) -> EventError {
        if error.is(ApiError::MESSAGE_TOO_LARGE) {
            let limit = self.max_message.unwrap_or(0);
            return EventError::too_large(event_id, size, limit);
        }
        error.during(PUBLISH)
    }

    /// Whether the event `sequence` was published with `msg_id`.
    async fn holds(&self, sequence: u64, msg_id: &str) -> Result<bool> {
        let which = json!({"seq": sequence});
        let message = self.api.message(&self.connection, &which).await?;
        Ok(message.is_some_and(|m| m.header("Nats-Msg-Id").as_deref() == Some(msg_id)))
    }

    /// What comes of an event that was to follow `expected` where the stream ends
    /// at `actual`: its own repeat, which servers from 2.12 on refuse as well, or
    /// a conflict.
    async fn misplaced(&self, expected: u64, actual: u64, options: &PublishOptions) -> Result<u64> {
        if let Some(msg_id) = &options.msg_id
            && let Some(original) = expected.checked_add(1)
            && self.holds(original, msg_id).await?
        {
            return Ok(original);
        }
        Err(EventError::conflict(expected, actual))
    }
}

/// A limit in seconds, no longer than a year, so that no sum of times overflows.
pub(crate) fn seconds_bounded(seconds: u64) -> Duration {
    Duration::from_secs(seconds.min(365 * 24 * 3600))
}

fn headers(event: &Event, options: &PublishOptions) -> Result<Option<HeaderMap>> {
    let mut headers = HeaderMap::new();
    if let Some(msg_id) = &options.msg_id {
        let value: HeaderValue = msg_id
            .parse()
            .map_err(|_| EventError::invalid_option("msg_id", "must not hold a line break"))?;
        headers.insert(header::NATS_MESSAGE_ID, value);
    }
    if let Some(expected) = options.expected_sequence {
        headers.insert(
            header::NATS_EXPECTED_LAST_SEQUENCE,
            HeaderValue::from(expected),
        );
    }
    if let Some(parent) = event.metadata.get("traceparent")
        && is_trace_parent(parent)
        && let Ok(value) = parent.parse::<HeaderValue>()
    {
        headers.insert("traceparent", value);
        if let Some(state) = event.metadata.get("tracestate")
            && state.len() <= LONGEST_TRACE_STATE
            && !state.chars().any(char::is_control)
            && let Ok(value) = state.parse::<HeaderValue>()
        {
            headers.insert("tracestate", value);
        }
    }
    Ok((!headers.is_empty()).then_some(headers))
}

/// The size of headers on the wire, as the server counts them.
fn wire_length(headers: &HeaderMap) -> usize {
    let around = "NATS/1.0\r\n\r\n".len();
    headers.iter().fold(around, |length, (name, values)| {
        let name: &str = name.as_ref();
        values.iter().fold(length, |length, value| {
            length + name.len() + value.as_str().len() + ": \r\n".len()
        })
    })
}

/// Whether `value` is a `traceparent` by the W3C: `00-<32>-<16>-<2>` in lower
/// case hexadecimal digits, ids not zero; a higher version may add a part.
fn is_trace_parent(value: &str) -> bool {
    let Some(known) = value.get(..55) else {
        return false;
    };
    let hex = |part: &str| {
        part.bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    let zero = |part: &str| part.bytes().all(|b| b == b'0');
    let parts: Vec<&str> = known.split('-').collect();
    let [version, trace, span, flags] = parts[..] else {
        return false;
    };
    let lengths = [version, trace, span, flags].map(str::len) == [2, 32, 16, 2];
    let rest = &value[55..];
    lengths
        && [version, trace, span, flags].into_iter().all(hex)
        && !zero(trace)
        && !zero(span)
        && version != "ff"
        && (rest.is_empty() || (version != "00" && rest.starts_with('-')))
        && !rest.chars().any(char::is_control)
}

/// The number at the end of `wrong last sequence: 7`.
fn last_sequence_in(description: &str) -> Option<u64> {
    description.rsplit_once(':')?.1.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_parent_is_passed_on_only_when_it_is_well_formed() {
        let check = |value: &str, expected: bool| assert_eq!(is_trace_parent(value), expected);
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        check(good, true);
        check(&good.to_uppercase(), false);
        check(&good.replace("b7ad6b7169203331", "0000000000000000"), false);
        check(&format!("{good}-more"), false);
        check(&format!("01{}-more", &good[2..]), true);
        check(&format!("01{}-a\r\nb", &good[2..]), false);
        check(&format!("ff{}", &good[2..]), false);
        check("00-short", false);
        check("", false);
    }

    #[test]
    fn no_text_of_a_caller_breaks_a_header() {
        let event = Event::new("events.a.b", "a", "", "", json!(null))
            .with_metadata("traceparent", "00-x\r\nNats-Rollup: all")
            .with_metadata("tracestate", "a=b\r\nNats-Rollup: all");
        assert!(
            headers(&event, &PublishOptions::default())
                .unwrap()
                .is_none()
        );
        let options = PublishOptions::default().with_msg_id("a\r\nb");
        assert!(headers(&event, &options).is_err());
    }

    #[test]
    fn the_actual_sequence_is_read_from_the_refusal() {
        assert_eq!(last_sequence_in("wrong last sequence: 42"), Some(42));
        assert_eq!(last_sequence_in("wrong last sequence"), None);
    }
}
