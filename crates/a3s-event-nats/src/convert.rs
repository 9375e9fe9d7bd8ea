//! Events and messages.

use std::fmt;

use a3s_event_core::types::Event;

/// What the reply subject of a delivery says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Delivered {
    /// How often it was delivered, this time included.
    pub(crate) times: u64,
    /// Its sequence in the stream.
    pub(crate) sequence: u64,
    /// The number of the delivery within the consumer.
    pub(crate) consumer_sequence: u64,
    /// How many matching events wait behind it.
    pub(crate) pending: u64,
}

impl Delivered {
    /// Reads `$JS.ACK.<stream>.<consumer>.<times>.<sequence>.<consumer
    /// sequence>.<time>.<pending>`, with domain and account before the stream
    /// where the server sends them, and one more token behind.
    pub(crate) fn parse(reply: &str) -> Option<Self> {
        let rest = reply.strip_prefix("$JS.ACK.")?;
        let skipped = match rest.split('.').count() {
            7 => 2,
            9.. => 4,
            _ => return None,
        };
        let mut numbers = rest
            .split('.')
            .skip(skipped)
            .map(|token| token.parse().ok());
        let mut next = || numbers.next().flatten();
        let (times, sequence, consumer_sequence) = (next()?, next()?, next()?);
        next()?;
        Some(Self {
            times,
            sequence,
            consumer_sequence,
            pending: next()?,
        })
    }
}

/// Why a message is no event. Quotes nothing of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NoEvent {
    line: usize,
    column: usize,
    kind: serde_json::error::Category,
}

impl fmt::Display for NoEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use serde_json::error::Category;
        let what = match self.kind {
            Category::Data => "not the fields of an event",
            Category::Eof => "JSON that ends too early",
            Category::Syntax | Category::Io => "no JSON",
        };
        write!(f, "{what}, at line {} column {}", self.line, self.column)
    }
}

impl std::error::Error for NoEvent {}

/// Reads an event.
pub(crate) fn event_of(payload: &[u8]) -> Result<Event, NoEvent> {
    serde_json::from_slice(payload).map_err(|error| NoEvent {
        line: error.line(),
        column: error.column(),
        kind: error.classify(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_the_reply_subject_are_read() {
        let expected = Delivered {
            times: 2,
            sequence: 31,
            consumer_sequence: 17,
            pending: 5,
        };
        for reply in [
            "$JS.ACK.S.c.2.31.17.1700000000000000000.5",
            "$JS.ACK.hub.ACCHASH.S.c.2.31.17.1700000000000000000.5",
            "$JS.ACK._.ACCHASH.S.c.2.31.17.1700000000000000000.5.token",
        ] {
            assert_eq!(Delivered::parse(reply), Some(expected), "{reply}");
        }
        for reply in ["", "_INBOX.a.b", "$JS.ACK.S.c.2", "$JS.ACK.S.c.x.31.17.1.5"] {
            assert_eq!(Delivered::parse(reply), None, "{reply}");
        }
    }

    #[test]
    fn what_is_no_event_is_described_without_quoting_it() {
        for payload in ["s3cret", "{\"id\": 4711}", "[\"s3cret\"", "\"s3cret\""] {
            let error = event_of(payload.as_bytes()).unwrap_err();
            let shown = format!("{error} {error:?}");
            assert!(
                !shown.contains("s3cret") && !shown.contains("4711"),
                "{shown}"
            );
        }
    }
}
