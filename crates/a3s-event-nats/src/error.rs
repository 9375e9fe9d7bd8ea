//! What goes wrong on the way to a server, as an `EventError`.

use std::{borrow::Cow, fmt};

use a3s_event_core::{BoxError, EventError};
use async_nats::{Message, StatusCode};
use serde::Deserialize;

/// The name of the provider.
pub(crate) const NATS: &str = "nats";

/// An error that the JetStream API answers with.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct ApiError {
    /// Like a status of HTTP.
    #[serde(default)]
    pub(crate) code: u16,
    /// What exactly, from the list of the server.
    #[serde(default)]
    pub(crate) err_code: u32,
    /// For people.
    #[serde(default)]
    pub(crate) description: String,
}

impl ApiError {
    pub(crate) const STREAM_NOT_FOUND: u32 = 10059;
    pub(crate) const STREAM_EXISTS: u32 = 10058;
    pub(crate) const STREAM_UPDATE_REFUSED: u32 = 10052;
    pub(crate) const CONSUMER_NOT_FOUND: u32 = 10014;
    pub(crate) const CONSUMER_MISSING: u32 = 10149;
    pub(crate) const CONSUMER_EXISTS: u32 = 10148;
    pub(crate) const CONSUMER_CREATE_REFUSED: u32 = 10012;
    pub(crate) const CONSUMER_NAME_TAKEN: u32 = 10013;
    pub(crate) const MESSAGE_NOT_FOUND: u32 = 10037;
    pub(crate) const WRONG_LAST_SEQUENCE: u32 = 10071;
    pub(crate) const MESSAGE_TOO_LARGE: u32 = 10054;
    /// An event with the same id is being stored by the cluster.
    pub(crate) const DUPLICATE_IN_PROCESS: u32 = 10158;
    /// The cluster has no leader at the moment.
    const CLUSTER_UNAVAILABLE: u32 = 10008;
    const CLUSTER_NOT_LEADER: u32 = 10009;

    /// Whether the error is `code` of the list of the server.
    pub(crate) const fn is(&self, code: u32) -> bool {
        self.err_code == code
    }

    /// Whether a consumer does not exist, in the words of any version.
    pub(crate) const fn no_consumer(&self) -> bool {
        matches!(
            self.err_code,
            Self::CONSUMER_NOT_FOUND | Self::CONSUMER_MISSING
        )
    }

    /// Whether the cluster answers otherwise as soon as it has agreed on a leader.
    pub(crate) const fn passes(&self) -> bool {
        matches!(
            self.err_code,
            Self::CLUSTER_UNAVAILABLE | Self::CLUSTER_NOT_LEADER
        )
    }

    /// The error for the caller of `operation`.
    pub(crate) fn during(self, operation: impl Into<Cow<'static, str>>) -> EventError {
        EventError::provider(NATS, operation, self)
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the server answered {} ({}/{})",
            self.description, self.code, self.err_code
        )
    }
}

impl std::error::Error for ApiError {}

/// Why a request got no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreachable {
    /// The client has no connection.
    #[error("the connection is down")]
    Down,
    /// Nobody listens.
    #[error(
        "nobody answers: JetStream is off (start the server with `-js`), its domain is another, or the cluster has no leader yet"
    )]
    NoResponders,
}

/// Whether it is certain that nobody has received the request that failed.
pub(crate) fn reached_nobody(error: &EventError) -> bool {
    let EventError::Connection { source, .. } = error else {
        return false;
    };
    matches!(source.downcast_ref(), Some(Unreachable::NoResponders))
}

/// Whether `answer` says that nobody has received its request. The server writes
/// this without counting it among the messages of the subscription.
pub(crate) fn is_unheard(answer: &Message) -> bool {
    answer.status == Some(StatusCode::NO_RESPONDERS)
}

/// An error of this provider with a cause.
pub(crate) fn failed(
    operation: impl Into<Cow<'static, str>>,
    source: impl Into<BoxError>,
) -> EventError {
    EventError::provider(NATS, operation, source)
}
