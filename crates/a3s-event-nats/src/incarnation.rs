//! Telling a consumer from another one that took its name.

use serde_json::{Value, json};

use crate::{
    api::{ConsumerState, Fields},
    connection::Connection,
    consumer::STRICT_SINCE,
};

/// The field of the metadata that names an incarnation.
const FIELD: &str = "a3s-event.incarnation";

/// The first version that gives the time of creation unchanged after a restart.
const EXACT_SINCE: (u32, u32) = (2, 12);

/// One of the consumers that have a name, one after the other.
///
/// Answers and positions of one mean nothing to the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Incarnation(Option<String>);

impl Incarnation {
    /// Which one the server speaks of.
    pub(crate) fn of(found: &ConsumerState, version: (u32, u32)) -> Self {
        let named = found.config.get("metadata").and_then(|all| all.get(FIELD));
        Self(match named.and_then(Value::as_str) {
            Some(name) => Some(name.to_owned()),
            // One that somebody else has created.
            None => (version >= EXACT_SINCE).then(|| found.created.clone()),
        })
    }

    /// Whether the two are known to be different.
    pub(crate) fn differs_from(&self, other: &Self) -> bool {
        matches!((&self.0, &other.0), (Some(one), Some(other)) if one != other)
    }
}

/// Names the incarnation that `config` creates, where servers keep the name.
pub(crate) fn name(config: &mut Fields, on: &Connection) {
    if on.version() >= STRICT_SINCE {
        let name = unique_token(on);
        config.insert("metadata".to_owned(), json!({ FIELD: name }));
    }
}

/// A token that nobody else has, as the client makes them for inboxes.
pub(crate) fn unique_token(connection: &Connection) -> String {
    let inbox = connection.client().new_inbox();
    match inbox.rsplit_once('.') {
        Some((_, token)) => token.to_owned(),
        None => inbox,
    }
}
