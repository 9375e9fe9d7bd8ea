//! Pull requests, counted, and the statuses that the server answers with.

use std::time::Duration;

use async_nats::{HeaderMap, Message, Subject};
use bytes::Bytes;
use serde_json::json;

use crate::stream::nanoseconds;

/// How long a request waits at the server.
const EXPIRES: Duration = Duration::from_secs(30);

/// How often the server says that a waiting request is alive.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(2);

/// Silence that is taken for the loss of the consumer or of its requests.
pub(crate) const SILENCE: Duration = HEARTBEAT.saturating_mul(2);

/// A request that every server refuses: heartbeats take up to half of the time.
pub(crate) const REFUSED: &[u8] =
    br#"{"batch":1,"expires":1000000000,"idle_heartbeat":1000000000}"#;

/// The requests of one subscription.
#[derive(Debug)]
pub(crate) struct Requests {
    /// Where requests go.
    subject: Subject,
    /// The inbox, without the last token.
    inbox: String,
    /// Changes when the count starts anew, so that late statuses of requests
    /// that were given up are not counted.
    epoch: u32,
    /// Events asked for that have not arrived.
    outstanding: usize,
}

impl Requests {
    pub(crate) const fn new(subject: Subject, inbox: String) -> Self {
        Self {
            subject,
            inbox,
            epoch: 0,
            outstanding: 0,
        }
    }

    /// What to subscribe to.
    pub(crate) fn inbox_pattern(inbox: &str) -> String {
        format!("{inbox}.*")
    }

    pub(crate) fn inbox(&self) -> &str {
        &self.inbox
    }

    pub(crate) const fn outstanding(&self) -> usize {
        self.outstanding
    }

    /// Counts a request for `events` and returns it: subject, reply, payload.
    pub(crate) fn ask(&mut self, events: usize) -> (Subject, String, Bytes) {
        self.outstanding += events;
        let body = json!({
            "batch": events,
            "expires": nanoseconds(EXPIRES),
            "idle_heartbeat": nanoseconds(HEARTBEAT),
        });
        let reply = format!("{}.{}", self.inbox, self.epoch);
        (self.subject.clone(), reply, body.to_string().into())
    }

    /// A message arrived.
    pub(crate) const fn received(&mut self) {
        self.outstanding = self.outstanding.saturating_sub(1);
    }

    /// Nothing that was asked for will arrive.
    pub(crate) const fn reset(&mut self) {
        self.outstanding = 0;
        self.epoch = self.epoch.wrapping_add(1);
    }

    /// Takes note of a status and says what follows from it.
    pub(crate) fn status(&mut self, message: &Message) -> Status {
        let Some(code) = message.status else {
            return Status::Alive;
        };
        let description = message.description.as_deref().unwrap_or("");
        let current = message
            .subject
            .rsplit_once('.')
            .is_some_and(|(_, epoch)| epoch.parse() == Ok(self.epoch));
        let status = Status::of(code.as_u16(), description);
        if !current && status != Status::Alive {
            return Status::Ended;
        }
        match status {
            Status::Alive => {}
            Status::Ended | Status::Busy => {
                let rest = pending_messages(message.headers.as_ref());
                let rest = rest.unwrap_or(self.outstanding);
                self.outstanding = self.outstanding.saturating_sub(rest);
            }
            Status::Away | Status::Lost | Status::Refused(_) => self.reset(),
        }
        status
    }
}

/// What a status means for the subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Status {
    /// The request waits.
    Alive,
    /// The request ended; ask again.
    Ended,
    /// The consumer has too many requests; ask again later.
    Busy,
    /// The server is leaving; ask again later, or after the reconnect.
    Away,
    /// The consumer may be gone: find out.
    Lost,
    /// The consumer does not take such requests.
    Refused(String),
}

impl Status {
    fn of(code: u16, description: &str) -> Self {
        let text = description.to_ascii_lowercase();
        match code {
            100 => Self::Alive,
            404 | 408 => Self::Ended,
            503 => Self::Lost,
            409 if text.contains("consumer deleted") => Self::Lost,
            409 if text.contains("maxwaiting") || text.contains("max waiting") => Self::Busy,
            409 if text.contains("server shutdown") || text.contains("leadership change") => {
                Self::Away
            }
            409 if text.contains("exceeded") || text.contains("push based") => {
                Self::Refused(description.to_owned())
            }
            409 => Self::Ended,
            _ => Self::Refused(format!("{code} {description}")),
        }
    }
}

fn pending_messages(headers: Option<&HeaderMap>) -> Option<usize> {
    headers?.get("Nats-Pending-Messages")?.as_str().parse().ok()
}

#[cfg(test)]
mod tests {
    use async_nats::StatusCode;

    use super::*;

    fn status(subject: &str, code: u16, description: &str, pending: Option<&str>) -> Message {
        let mut headers = HeaderMap::new();
        if let Some(pending) = pending {
            headers.insert("Nats-Pending-Messages", pending);
        }
        Message {
            subject: subject.into(),
            reply: None,
            payload: Bytes::new(),
            headers: Some(headers),
            status: Some(StatusCode::from_u16(code).unwrap()),
            description: Some(description.to_owned()),
            length: 0,
        }
    }

    fn requests() -> Requests {
        Requests::new("pull".into(), "_INBOX.x".to_owned())
    }

    #[test]
    fn the_rest_of_an_expired_request_is_taken_from_the_count() {
        let mut requests = requests();
        requests.ask(100);
        requests.ask(50);
        requests.received();
        let ended = status("_INBOX.x.0", 408, "Request Timeout", Some("99"));
        assert_eq!(requests.status(&ended), Status::Ended);
        assert_eq!(requests.outstanding(), 50);
        let ended = status("_INBOX.x.0", 408, "Request Timeout", None);
        assert_eq!(requests.status(&ended), Status::Ended);
        assert_eq!(requests.outstanding(), 0);
    }

    #[test]
    fn a_status_of_a_request_that_was_given_up_is_not_counted() {
        let mut requests = requests();
        requests.ask(10);
        requests.reset();
        requests.ask(10);
        let late = status("_INBOX.x.0", 408, "Request Timeout", Some("10"));
        requests.status(&late);
        assert_eq!(requests.outstanding(), 10);
    }

    #[test]
    fn statuses_are_told_apart_by_their_text() {
        let check = |code, text, expected: Status| {
            assert_eq!(Status::of(code, text), expected, "{code} {text}");
        };
        check(100, "Idle Heartbeat", Status::Alive);
        check(409, "Consumer Deleted", Status::Lost);
        check(409, "Exceeded MaxWaiting", Status::Busy);
        check(409, "Server Shutdown", Status::Away);
        check(409, "Leadership Change", Status::Away);
        check(409, "Message Size Exceeds MaxBytes", Status::Ended);
        check(
            409,
            "Exceeded MaxRequestBatch of 10",
            Status::Refused("Exceeded MaxRequestBatch of 10".to_owned()),
        );
        check(503, "", Status::Lost);
        check(
            400,
            "Bad Request",
            Status::Refused("400 Bad Request".to_owned()),
        );
    }
}
