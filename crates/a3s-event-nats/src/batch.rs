//! Publishing many events with a bounded number in flight.

use std::pin::pin;

use a3s_event_core::{
    EventError, Result,
    types::{Event, PublishOptions},
};
use async_nats::{Message, Subscriber};
use futures_util::{FutureExt, StreamExt};
use tokio::time::Instant;

use crate::{
    error::{Unreachable, failed, is_unheard},
    provider::Shared,
    publish::{Outgoing, PUBLISH},
};

/// Events that may wait for their acknowledgement.
const WINDOW: usize = 256;

impl Shared {
    /// Publishes in order. Everything that needs no server is checked for all
    /// events before the first is sent, so that such a failure stores nothing.
    pub(crate) async fn publish_batch(&self, events: &[Event]) -> Result<Vec<u64>> {
        self.connection.check_open()?;
        let mut outgoing = Vec::with_capacity(events.len());
        for event in events {
            match self.outgoing(event, &PublishOptions::default()) {
                Ok(next) => outgoing.push(next),
                Err(error) => return Err(EventError::partial_batch(Vec::new(), error)),
            }
        }
        if events.is_empty() {
            return Ok(Vec::new());
        }
        if let Err(error) = self
            .connection
            .wait_until_up(self.connection.request_timeout)
            .await
        {
            return Err(EventError::partial_batch(Vec::new(), error));
        }
        let until = Instant::now() + self.connection.request_timeout;
        let mut repeats = self.connection.repeats();
        let (batch, failure) = loop {
            let mut batch = match Batch::new(self, events).await {
                Ok(batch) => batch,
                Err(error) => return Err(EventError::partial_batch(Vec::new(), error)),
            };
            let failure = batch.run(&outgoing).await.err();
            if !(batch.reached_nobody() && repeats.pause(until).await) {
                break (batch, failure);
            }
        };
        // The answers come in any order; the prefix ends where one is missing.
        let prefix: Vec<u64> = batch.stored.iter().map_while(|stored| *stored).collect();
        match batch.refusal.or(failure) {
            None => Ok(prefix),
            Some(error) => Err(EventError::partial_batch(prefix, error)),
        }
    }
}

/// A batch under way.
struct Batch<'a> {
    shared: &'a Shared,
    events: &'a [Event],
    inbox: String,
    answers: Subscriber,
    /// The sequences, by position.
    stored: Vec<Option<u64>>,
    sizes: Vec<usize>,
    sent: usize,
    answered: usize,
    /// How many events reached nobody.
    unheard: usize,
    /// The refusal of the first event that was refused.
    refusal: Option<EventError>,
    refused_at: usize,
}

impl<'a> Batch<'a> {
    async fn new(shared: &'a Shared, events: &'a [Event]) -> Result<Self> {
        let client = shared.connection.client();
        let inbox = client.new_inbox();
        let answers = client
            .subscribe(format!("{inbox}.*"))
            .await
            .map_err(|error| failed(PUBLISH, error))?;
        Ok(Self {
            shared,
            events,
            inbox,
            answers,
            stored: vec![None; events.len()],
            sizes: Vec::with_capacity(events.len()),
            sent: 0,
            answered: 0,
            unheard: 0,
            refusal: None,
            refused_at: usize::MAX,
        })
    }

    /// Sends and waits until everything that was sent is answered.
    async fn run(&mut self, outgoing: &[Outgoing]) -> Result<()> {
        let mut outgoing = outgoing.iter();
        loop {
            while self.refusal.is_none()
                && self.sent - self.answered < WINDOW
                && let Some(next) = outgoing.next()
            {
                self.send(next.clone()).await?;
                // What has arrived is read at once, so that the window stays open.
                while let Some(Some(answer)) = self.answers.next().now_or_never() {
                    self.take(&answer)?;
                }
            }
            if self.answered == self.sent {
                return Ok(());
            }
            let connection = &self.shared.connection;
            match connection.in_time(PUBLISH, self.answers.next()).await? {
                Some(answer) => self.take(&answer)?,
                None => return Err(connection.unreachable(Unreachable::Down)),
            }
        }
    }

    async fn send(&mut self, next: Outgoing) -> Result<()> {
        let connection = &self.shared.connection;
        let reply = format!("{}.{}", self.inbox, self.sent);
        let Outgoing {
            subject,
            headers,
            payload,
        } = next;
        self.sizes.push(payload.len());
        let client = connection.client();
        let sent = async {
            match headers {
                Some(headers) => {
                    client
                        .publish_with_reply_and_headers(subject, reply, headers, payload)
                        .await
                }
                None => client.publish_with_reply(subject, reply, payload).await,
            }
        };
        let mut sent = pin!(sent);
        // A timer only where there is something to wait for.
        let sent = match sent.as_mut().now_or_never() {
            Some(sent) => sent,
            None => connection.in_time(PUBLISH, sent).await?,
        };
        sent.map_err(|error| failed(PUBLISH, error))?;
        self.sent += 1;
        Ok(())
    }

    fn take(&mut self, answer: &Message) -> Result<()> {
        let Some(index) = answer
            .subject
            .rsplit_once('.')
            .and_then(|(_, index)| index.parse::<usize>().ok())
            .filter(|&index| index < self.sent)
        else {
            return Ok(());
        };
        self.answered += 1;
        if is_unheard(answer) {
            self.unheard += 1;
            let error = self
                .shared
                .connection
                .unreachable(Unreachable::NoResponders);
            self.refuse(index, error);
            return Ok(());
        }
        match self.shared.stored(answer)? {
            Ok(stored) => self.stored[index] = Some(stored.seq),
            Err(error) => {
                let id = &self.events[index].id;
                let error = self.shared.refused(error, id, self.sizes[index]);
                self.refuse(index, error);
            }
        }
        Ok(())
    }

    /// Whether it is certain that no event of all that were sent was received.
    const fn reached_nobody(&self) -> bool {
        self.sent > 0 && self.unheard == self.sent
    }

    fn refuse(&mut self, index: usize, error: EventError) {
        if index < self.refused_at {
            self.refused_at = index;
            self.refusal = Some(error);
        }
    }
}
