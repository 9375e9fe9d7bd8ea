use a3s_event_core::{EventError, Result};
use async_nats::Message;
use serde_json::json;

use super::{Page, READ, Stored, ask, newest_of_leader, next_answer};
use crate::{
    api::{Action, Fields, no_stream},
    convert::Delivered,
    error::{ApiError, failed},
    incarnation::unique_token,
    provider::Shared,
    stream::nanoseconds,
};

/// How long a probe outlives a process that ends in the middle.
const INACTIVITY: std::time::Duration = std::time::Duration::from_secs(10);

/// How long a probe waits for events that it has counted; some may be removed meanwhile.
const EXPIRES: std::time::Duration = std::time::Duration::from_secs(1);

/// Reads through consumers that are made for one read, where the server or the
/// stream has no batched direct reads: a new consumer says how many matches
/// follow, and delivers them.
pub(super) struct Probe<'a> {
    shared: &'a Shared,
    filter: &'a str,
    /// The probe that exists.
    current: Option<String>,
}

impl<'a> Probe<'a> {
    pub(super) const fn open(shared: &'a Shared, filter: &'a str) -> Self {
        Self {
            shared,
            filter,
            current: None,
        }
    }

    pub(super) async fn read(&mut self, sequence: u64, most: usize) -> Result<Page> {
        self.remove().await?;
        let Shared {
            connection, api, ..
        } = self.shared;
        let name = format!("_p{}", unique_token(connection));
        let mut config = Fields::new();
        let mut set = |field: &str, value| config.insert(field.to_owned(), value);
        set("name", json!(name));
        set("filter_subject", json!(self.filter));
        set("deliver_policy", json!("by_start_sequence"));
        set("opt_start_seq", json!(sequence));
        set("ack_policy", json!("none"));
        set("mem_storage", json!(true));
        set("num_replicas", json!(1));
        set("inactive_threshold", json!(nanoseconds(INACTIVITY)));
        let info = match api
            .create_consumer(connection, &name, &config, Action::Create)
            .await?
        {
            Ok(info) => info,
            Err(error) if error.is(ApiError::STREAM_NOT_FOUND) => {
                return Err(no_stream(&api.stream));
            }
            Err(error) => return Err(error.during(READ)),
        };
        self.current = Some(name.clone());
        let there = usize::try_from(info.num_pending).unwrap_or(usize::MAX);
        let mut page = Page {
            messages: Vec::new(),
            pending: info.num_pending,
        };
        if there > 0 {
            let expected = most.min(there);
            page.messages = self.pull(&name, expected).await?;
            // Fewer than were counted: the rest is gone.
            page.pending = match page.messages.len() == expected {
                true => info.num_pending.saturating_sub(expected as u64),
                false => 0,
            };
        }
        Ok(page)
    }

    pub(super) async fn newest(&self) -> Result<Option<u64>> {
        newest_of_leader(self.shared, self.filter).await
    }

    pub(super) async fn end(mut self) -> Result<()> {
        self.remove().await
    }

    async fn remove(&mut self) -> Result<()> {
        match self.current.take() {
            Some(name) => {
                let Shared {
                    connection, api, ..
                } = self.shared;
                api.delete_consumer(connection, &name).await
            }
            None => Ok(()),
        }
    }

    /// Fetches `events` of the probe `name`, or what is left of them.
    async fn pull(&self, name: &str, events: usize) -> Result<Vec<Stored>> {
        let connection = &self.shared.connection;
        let client = connection.client();
        let inbox = client.new_inbox();
        let mut answers = client
            .subscribe(inbox.clone())
            .await
            .map_err(|error| failed(READ, error))?;
        // Not `no_wait`: a probe that was just made may find nothing at first.
        let request = json!({"batch": events, "expires": nanoseconds(EXPIRES)}).to_string();
        let (pull, inbox) = (self.shared.api.pull(name), inbox.into());
        let mut answer = ask(connection, pull, &inbox, request.into(), &mut answers).await?;
        let mut fetched = Vec::new();
        while let Some(stored) = stored(answer)? {
            fetched.push(stored);
            if fetched.len() == events {
                break;
            }
            answer = next_answer(connection, &mut answers).await?;
        }
        Ok(fetched)
    }
}

/// The message of an answer; `None` when the request has ended.
fn stored(answer: Message) -> Result<Option<Stored>> {
    match answer.status.map(|status| status.as_u16()) {
        None => {}
        Some(404 | 408) => return Ok(None),
        Some(code) => {
            let text = answer.description.as_deref().unwrap_or("");
            return Err(failed(READ, format!("the server answered {code} {text}")));
        }
    }
    let delivered = answer.reply.as_deref().and_then(Delivered::parse);
    match delivered {
        Some(delivered) => Ok(Some(Stored {
            sequence: delivered.sequence,
            payload: answer.payload,
        })),
        None => Err(EventError::provider(
            "nats",
            READ,
            "a message without a delivery",
        )),
    }
}
