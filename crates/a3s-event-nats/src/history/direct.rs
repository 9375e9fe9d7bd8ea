use a3s_event_core::Result;
use async_nats::{HeaderMap, Message, Subscriber};
use serde_json::{Value, json};

use super::{Page, READ, Stored, newest_of_leader, next_answer};
use crate::{error::failed, provider::Shared};

/// Most bytes of one read: the server sends them without flow control.
const MOST_BYTES: usize = 8 * 1024 * 1024;

/// Reads batches directly from the stream, from 2.11 on.
pub(super) struct Direct<'a> {
    shared: &'a Shared,
    filter: &'a str,
    /// Whether servers that may lag behind the leader answer, too.
    pub(super) replicated: bool,
    inbox: String,
    answers: Subscriber,
    request: u64,
}

impl<'a> Direct<'a> {
    pub(super) async fn open(
        shared: &'a Shared,
        filter: &'a str,
        replicated: bool,
    ) -> Result<Self> {
        let connection = &shared.connection;
        connection.wait_until_up(connection.request_timeout).await?;
        let inbox = connection.client().new_inbox();
        let answers = connection
            .client()
            .subscribe(format!("{inbox}.*"))
            .await
            .map_err(|error| failed(READ, error))?;
        Ok(Self {
            shared,
            filter,
            replicated,
            inbox,
            answers,
            request: 0,
        })
    }

    pub(super) async fn read(&mut self, sequence: u64, most: usize) -> Result<Page> {
        let request = json!({
            "seq": sequence,
            "next_by_subj": self.filter,
            "batch": most,
            "max_bytes": MOST_BYTES,
        });
        let mut page = Page {
            messages: Vec::new(),
            pending: 0,
        };
        let mut answer = self.ask(&request).await?;
        loop {
            match answer.status.map(|status| status.as_u16()) {
                None => page.messages.push(stored(answer)?),
                Some(204) => {
                    page.pending = number(answer.headers.as_ref(), "Nats-Num-Pending").unwrap_or(0);
                    return Ok(page);
                }
                Some(404) => return Ok(page),
                Some(_) => return Err(unexpected(&answer)),
            }
            answer = next_answer(&self.shared.connection, &mut self.answers).await?;
        }
    }

    pub(super) async fn newest(&mut self) -> Result<Option<u64>> {
        if self.replicated {
            return newest_of_leader(self.shared, self.filter).await;
        }
        let answer = self.ask(&json!({"last_by_subj": self.filter})).await?;
        match answer.status.map(|status| status.as_u16()) {
            None => Ok(Some(stored(answer)?.sequence)),
            Some(404) => Ok(None),
            Some(_) => Err(unexpected(&answer)),
        }
    }

    /// Sends a request and waits for the first answer.
    async fn ask(&mut self, request: &Value) -> Result<Message> {
        self.request += 1;
        let inbox = format!("{}.{}", self.inbox, self.request).into();
        let Shared {
            connection, api, ..
        } = self.shared;
        let request = request.to_string().into();
        super::ask(
            connection,
            api.direct_get(),
            &inbox,
            request,
            &mut self.answers,
        )
        .await
    }
}

fn stored(message: Message) -> Result<Stored> {
    match number(message.headers.as_ref(), "Nats-Sequence") {
        Some(sequence) => Ok(Stored {
            sequence,
            payload: message.payload,
        }),
        None => Err(failed(READ, "the server sent a message without a sequence")),
    }
}

fn unexpected(answer: &Message) -> a3s_event_core::EventError {
    let code = answer.status.map_or(0, |status| status.as_u16());
    let text = answer.description.as_deref().unwrap_or("");
    failed(READ, format!("the server answered {code} {text}"))
}

fn number(headers: Option<&HeaderMap>, name: &str) -> Option<u64> {
    headers?.get(name)?.as_str().parse().ok()
}
