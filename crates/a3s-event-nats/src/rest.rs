//! What a subscription leaves behind, and how it is given back.

use std::collections::VecDeque;

use a3s_event_core::{
    EventError, Result,
    provider::{Answer, DeliveryHandle},
};
use async_nats::{Message, Subject, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt;

use crate::{
    consumer::STRICT_SINCE,
    error::{failed, is_unheard},
    pull::{self, Requests},
    reader::Buffered,
    settle::Link,
};

/// Most messages that may be on their way when a subscription ends; more would
/// come again after the ack wait.
const MOST_UNDERWAY: usize = 4096;

/// Room for heartbeats and other statuses among them.
const STATUSES: usize = 16;

const STOP: &str = "stop reading";

/// The unread part of a subscription.
pub(crate) struct Rest {
    pub(crate) inbox: Subscriber,
    /// The subject of the inbox, without the last token.
    pub(crate) subject: String,
    /// What was read and not handed over.
    pub(crate) unseen: VecDeque<Buffered>,
    /// Events that were asked for and have not arrived.
    pub(crate) outstanding: usize,
    /// Messages read from the inbox.
    pub(crate) read: u64,
    /// Those among them that the server does not count.
    pub(crate) uncounted: u64,
    /// Whether that was on one connection, so that the server counts alike.
    pub(crate) counted: bool,
}

impl Rest {
    /// Stops the interest, reads what is on its way, and refuses all of it.
    ///
    /// `cap` is the most deliveries of an event, `last` what was handed over
    /// without an answer.
    pub(crate) async fn give_back(
        mut self,
        link: &Link,
        cap: Option<u64>,
        last: Option<DeliveryHandle>,
    ) -> Result<()> {
        // Where a consumer was deleted, servers before 2.10 say nothing to a request, and later
        // ones answer just one of the two subscriptions of an inbox that is renewed.
        let may_miss_it = !self.counted || link.connection.version() < STRICT_SINCE;
        if may_miss_it && link.is_gone().await? {
            return Ok(());
        }
        if !self.counted {
            self.renew_inbox(link).await?;
        }
        self.settle_down(link).await?;
        self.end_interest(link).await?;
        // Asked about a consumer, the server drops its requests without interest. Left there, one
        // of them would take the first refused event and put it behind all others. In a cluster,
        // the consumer hears of the end on the way that requests take, and of the question on another.
        if link.connection.is_clustered() {
            link.reach_consumer().await;
        }
        if link.is_gone().await? {
            return Ok(());
        }
        // A delivery that nobody saw was the last permitted one: refusing it brings nothing back.
        let spent = self
            .unseen
            .iter()
            .map(|waiting| waiting.delivered)
            .find(|delivered| cap.is_some_and(|cap| delivered.times >= cap));
        if let Some(last) = last {
            last.answer(Answer::Nak).await?;
        }
        let replies = self.unseen.into_iter().map(|waiting| waiting.reply);
        link.give_back(replies.collect()).await?;
        match (spent, cap) {
            (Some(delivered), Some(cap)) => Err(EventError::exhausted(
                &link.api.stream,
                delivered.sequence,
                cap,
            )),
            _ => Ok(()),
        }
    }

    /// Waits until nothing is on its way, as far as that can be seen: the
    /// server may still turn to a request that it has taken note of.
    async fn settle_down(&mut self, link: &Link) -> Result<()> {
        const ROUNDS: usize = 8;
        const QUIET: usize = 2;
        let mut quiet = 0;
        for _ in 0..ROUNDS {
            let before = self.unseen.len();
            self.pass_fence(link).await?;
            quiet = if self.unseen.len() == before {
                quiet + 1
            } else {
                0
            };
            if self.outstanding == 0 || quiet == QUIET {
                break;
            }
        }
        Ok(())
    }

    /// Reads on through a subscription of this connection, from where the old
    /// one was read to.
    ///
    /// The client subscribes again after a reconnect and counts on, while the
    /// server counts from zero: such an inbox has no number to end at.
    async fn renew_inbox(&mut self, link: &Link) -> Result<()> {
        let connection = &link.connection;
        let pattern = Requests::inbox_pattern(&self.subject);
        let subscribed = connection.client().subscribe(pattern);
        let subscribed = connection.in_time(STOP, subscribed).await?;
        let mut renewed = subscribed.map_err(|error| failed(STOP, error))?;
        self.pass_fence(link).await?;
        // Up to the fence both have received the same.
        let fence = self.fence();
        let copies = async {
            let (mut copies, mut uncounted) = (0, 0);
            while let Some(copy) = renewed.next().await {
                copies += 1;
                uncounted += u64::from(is_unheard(&copy));
                if copy.subject == fence {
                    break;
                }
            }
            (copies, uncounted)
        };
        (self.read, self.uncounted) = connection.in_time(STOP, copies).await?;
        self.inbox = renewed;
        Ok(())
    }

    /// Reads up to the answer to a request that the server refuses.
    ///
    /// A consumer reads its requests in order, and its messages and refusals
    /// take one way, so everything that it has sent before lies before this
    /// answer. The API answers on another way, which can be the shorter one.
    async fn pass_fence(&mut self, link: &Link) -> Result<()> {
        let connection = &link.connection;
        let fence = self.fence();
        let consumer = link.api.pull(&link.consumer);
        let payload = Bytes::from_static(pull::REFUSED);
        connection
            .send(consumer, Some(fence.clone()), payload)
            .await?;
        let passed = async {
            while let Some(message) = self.inbox.next().await {
                let passed = message.subject == fence;
                self.take(message);
                if passed {
                    break;
                }
            }
        };
        connection.in_time(STOP, passed).await
    }

    fn fence(&self) -> Subject {
        format!("{}.fence", self.subject).into()
    }

    /// Ends the interest without losing what the server sends meanwhile.
    ///
    /// A drain is not enough: the client forgets the inbox the next time it
    /// reads anything, whether the server has seen the end of the interest or
    /// not. An end after a number of messages is counted by both sides alike,
    /// so the number is set beyond what can be on its way, and the difference
    /// is made up by messages of our own.
    async fn end_interest(&mut self, link: &Link) -> Result<()> {
        let connection = &link.connection;
        let more = self.outstanding.min(MOST_UNDERWAY) + STATUSES;
        let ended = self.inbox.unsubscribe_after(self.read + more as u64).await;
        let filler = Subject::from(format!("{}.end", self.subject));
        // The client has counted what the server has not, and ends that much earlier.
        for _ in 0..more as u64 + self.uncounted {
            connection.send(filler.clone(), None, Bytes::new()).await?;
        }
        if ended.is_err() {
            // The client has ended: the server gives everything back after the ack wait.
            return Ok(());
        }
        let read = async {
            while let Some(message) = self.inbox.next().await {
                self.take(message);
            }
        };
        if connection.in_time(STOP, read).await.is_err() {
            tracing::debug!(consumer = %link.consumer, "an inbox did not end in time");
        }
        Ok(())
    }

    fn take(&mut self, message: Message) {
        self.read += 1;
        self.uncounted += u64::from(is_unheard(&message));
        if message.status.is_none()
            && let Some(waiting) = Buffered::of(message)
        {
            self.outstanding = self.outstanding.saturating_sub(1);
            self.unseen.push_back(waiting);
        }
    }
}
