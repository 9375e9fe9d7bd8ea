//! The state of a subscription: what was asked for, what arrived, and what to
//! do when the server, the consumer or the stream goes away.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use a3s_event_core::{BoxFuture, EventError, Result};
use async_nats::{Message, Subject, Subscriber};
use futures_util::{FutureExt, Stream};
use tokio::{
    sync::watch,
    time::{self, Sleep},
};

use crate::{
    consumer::Plan,
    convert::Delivered,
    error::failed,
    provider::Shared,
    pull::{Requests, SILENCE, Status},
    recover::{self, Recovered},
    rest::Rest,
    settle::{IN_PROGRESS, Link},
};

/// How often a lost connection is looked at, should no event report its return.
const LOOK: Duration = Duration::from_millis(200);

/// How long a request waits for the confirmation of a refusal.
const LONGEST_REFUSAL: Duration = Duration::from_secs(1);

/// First pause after the server could not be asked; doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Who a subscription reads from.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    /// The durable with the name that the user gave it.
    Durable(String),
    /// A consumer of its own.
    Ephemeral,
}

/// Where the messages of a subscription arrive.
pub(crate) struct Inbox {
    /// Its subject, without the last token.
    pub(crate) subject: String,
    pub(crate) subscriber: Subscriber,
    /// The connection that it was opened on.
    pub(crate) generation: u64,
}

/// A message that waits to be handed over.
#[derive(Debug)]
pub(crate) struct Buffered {
    pub(crate) message: Message,
    pub(crate) reply: Subject,
    pub(crate) delivered: Delivered,
}

pub(crate) struct Reader {
    pub(crate) provider: Arc<Shared>,
    pub(crate) source: Source,
    pub(crate) plan: Arc<Plan>,
    pub(crate) link: Arc<Link>,
    requests: Requests,
    inbox: Option<Subscriber>,
    buffer: VecDeque<Buffered>,
    /// How many of the buffer were delivered by a connection that is gone.
    stale: usize,
    /// The connection that the requests belong to.
    generation: u64,
    /// The connection that the inbox was opened on.
    first_generation: u64,
    /// Messages read from the inbox.
    read: u64,
    /// Whether anything arrived since the timer was set.
    heard: bool,
    timer: Option<(Purpose, Pin<Box<Sleep>>)>,
    changed: BoxFuture<'static, watch::Receiver<()>>,
    recovery: Option<BoxFuture<'static, Recovered>>,
    /// A request that found no room.
    asking: Option<BoxFuture<'static, bool>>,
    failures: u32,
    pausing: bool,
    refused: Option<String>,
    end: Option<End>,
    gaps: Gaps,
    /// Who waits for the next message.
    waker: Option<Waker>,
}

/// Why nothing more comes.
enum End {
    Closed,
    Gone { what: &'static str, name: String },
}

/// What the timer waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Silence,
    Pause,
    Refusal,
    Connection,
}

impl Buffered {
    /// Takes a message apart; `None` if it is no delivery.
    pub(crate) fn of(message: Message) -> Option<Self> {
        let reply = message.reply.clone()?;
        let delivered = Delivered::parse(&reply)?;
        Some(Self {
            message,
            reply,
            delivered,
        })
    }
}

impl Reader {
    pub(crate) fn new(
        provider: Arc<Shared>,
        source: Source,
        plan: Arc<Plan>,
        link: Arc<Link>,
        inbox: Inbox,
        gaps: Gaps,
    ) -> Self {
        let pull = provider.api.pull(&link.consumer);
        Self {
            changed: next_change(provider.connection.changes()),
            generation: provider.connection.generation(),
            first_generation: inbox.generation,
            read: 0,
            requests: Requests::new(pull, inbox.subject),
            inbox: Some(inbox.subscriber),
            provider,
            source,
            plan,
            link,
            buffer: VecDeque::new(),
            stale: 0,
            heard: false,
            timer: None,
            recovery: None,
            asking: None,
            failures: 0,
            pausing: false,
            refused: None,
            end: None,
            gaps,
            waker: None,
        }
    }

    /// The next message, as soon as there is one and the connection is up: the
    /// answer to an event that is handed over without one would be lost.
    pub(crate) fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Buffered>>> {
        loop {
            let up = self.notice_connection();
            if let Some(end) = &self.end {
                return Poll::Ready(end.outcome());
            }
            if up {
                self.drain_inbox(cx);
                if let Some(next) = self.take() {
                    if self.plan.prefetch > 0 {
                        self.poll_ask(cx);
                    }
                    return Poll::Ready(Ok(Some(next)));
                }
            }
            if let Some(text) = self.refused.take() {
                self.pause();
                return Poll::Ready(Err(failed("pull events", text)));
            }
            if let Some(recovery) = &mut self.recovery
                && let Poll::Ready(recovered) = recovery.as_mut().poll(cx)
            {
                // What the old consumer has sent is not to be taken for the new one's.
                self.drain_inbox(cx);
                self.recovery = None;
                self.apply(recovered);
                continue;
            }
            if up && self.poll_ask(cx) {
                continue;
            }
            if self.poll_change(cx) {
                continue;
            }
            if self.poll_timer(cx, up).is_pending() {
                self.waker = Some(cx.waker().clone());
                return Poll::Pending;
            }
        }
    }

    /// Who has to look again after the inbox was looked into by somebody else.
    pub(crate) const fn take_waker(&mut self) -> Option<Waker> {
        self.waker.take()
    }

    /// Waits until answers can be sent. `false` when the provider is closed.
    pub(crate) fn poll_up(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        loop {
            let up = self.notice_connection();
            if self.end.is_some() {
                return Poll::Ready(!matches!(self.end, Some(End::Closed)));
            }
            if up {
                return Poll::Ready(true);
            }
            if !self.poll_change(cx) {
                ready!(self.poll_timer(cx, false));
            }
        }
    }

    /// Asks to be woken when the connection changes; says whether it just has.
    fn poll_change(&mut self, cx: &mut Context<'_>) -> bool {
        match self.changed.poll_unpin(cx) {
            Poll::Ready(changes) => {
                self.changed = next_change(changes);
                true
            }
            Poll::Pending => false,
        }
    }

    /// Notices what became of the connection; says whether it is up.
    fn notice_connection(&mut self) -> bool {
        let connection = &self.provider.connection;
        if connection.is_closed() {
            self.end.get_or_insert(End::Closed);
        }
        let (generation, up) = (connection.generation(), connection.is_up());
        if up && generation != self.generation {
            // What was asked for is gone with the old connection: ask at once.
            self.generation = generation;
            self.requests.reset();
            self.stale = self.buffer.len();
            if let Some(refusals) = &self.link.refusals {
                refusals.give_up();
            }
            self.timer = None;
            self.pausing = false;
            self.failures = 0;
        }
        up
    }

    /// Moves everything that has arrived into the buffer.
    fn drain_inbox(&mut self, cx: &mut Context<'_>) {
        // Taken out, so that each message can be received where it is.
        let Some(mut inbox) = self.inbox.take() else {
            return;
        };
        loop {
            match Pin::new(&mut inbox).poll_next(cx) {
                Poll::Ready(Some(message)) => {
                    self.read += 1;
                    self.receive(message);
                }
                Poll::Ready(None) => {
                    // The client itself ended: nothing comes any more.
                    self.end.get_or_insert(End::Closed);
                    break;
                }
                Poll::Pending => break,
            }
        }
        self.inbox = Some(inbox);
    }

    fn receive(&mut self, message: Message) {
        self.heard = true;
        if let Some(refusals) = &self.link.refusals
            && message.subject == refusals.reply
        {
            refusals.confirm();
            return;
        }
        if message.status.is_some() {
            match self.requests.status(&message) {
                Status::Alive | Status::Ended => {}
                Status::Busy | Status::Away => self.pause(),
                Status::Lost => self.find_out(),
                Status::Refused(text) => self.refused = Some(text),
            }
            return;
        }
        self.requests.received();
        let Some(arrived) = Buffered::of(message) else {
            tracing::warn!("a message that is no delivery reached the inbox and was dropped");
            return;
        };
        let delivered = arrived.delivered;
        self.failures = 0;
        if let Some(ledger) = &self.link.ledger {
            ledger.deliver(&delivered);
        }
        let again = delivered.times > 1;
        if again || self.stale > 0 {
            let waiting = self
                .buffer
                .iter_mut()
                .find(|waiting| waiting.delivered.sequence == delivered.sequence);
            if let Some(waiting) = waiting {
                // It waits here already: one event, with the newest delivery.
                *waiting = arrived;
                return;
            }
        }
        self.gaps.note(&delivered);
        if again {
            // Redeliveries precede new events.
            let new = self.buffer.iter().position(|b| b.delivered.times == 1);
            self.buffer
                .insert(new.unwrap_or(self.buffer.len()), arrived);
        } else {
            self.buffer.push_back(arrived);
        }
    }

    /// The next of the buffer that is to be handed over.
    fn take(&mut self) -> Option<Buffered> {
        loop {
            let next = self.buffer.pop_front()?;
            self.stale = self.stale.saturating_sub(1);
            let sequence = next.delivered.sequence;
            let answered = self.link.ledger.as_ref();
            let unwanted = answered.is_some_and(|ledger| ledger.is_answered(sequence))
                || sequence < self.gaps.first;
            if !unwanted {
                return Some(next);
            }
            self.link.acknowledge_unseen(&next.reply);
        }
    }

    /// Asks for more where it is time to. Whether anything was sent.
    fn poll_ask(&mut self, cx: &mut Context<'_>) -> bool {
        if let Some(asking) = &mut self.asking {
            match asking.as_mut().poll(cx) {
                Poll::Ready(sent) => {
                    self.asking = None;
                    if !sent {
                        self.requests.reset();
                        self.pause();
                    }
                    return true;
                }
                Poll::Pending => return false,
            }
        }
        if self.recovery.is_some() || self.pausing || self.is_refusing() || self.inbox.is_none() {
            return false;
        }
        let most = self.plan.prefetch.max(1);
        let held = self.requests.outstanding() + self.buffer.len();
        if held > most / 2 {
            return false;
        }
        let (subject, reply, payload) = self.requests.ask(most - held);
        let client = self.provider.connection.client().clone();
        let mut sent: BoxFuture<'static, bool> = Box::pin(async move {
            client
                .publish_with_reply(subject, reply, payload)
                .await
                .is_ok()
        });
        match sent.as_mut().poll(cx) {
            Poll::Ready(true) => {}
            Poll::Ready(false) => {
                self.requests.reset();
                self.pause();
            }
            Poll::Pending => self.asking = Some(sent),
        }
        true
    }

    /// Whether a refusal is on its way that the next request must not overtake.
    fn is_refusing(&self) -> bool {
        let refusals = self.link.refusals.as_ref();
        refusals.is_some_and(|refusals| !refusals.are_confirmed())
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>, up: bool) -> Poll<()> {
        let (purpose, after) = if !up {
            (Purpose::Connection, LOOK)
        } else if self.pausing {
            (Purpose::Pause, pause_after(self.failures))
        } else if self.recovery.is_none() && self.is_refusing() {
            (Purpose::Refusal, LONGEST_REFUSAL)
        } else if self.recovery.is_none() && self.requests.outstanding() > 0 {
            (Purpose::Silence, SILENCE)
        } else {
            return Poll::Pending;
        };
        let timer = match &mut self.timer {
            Some((set, timer)) if *set == purpose => timer,
            timer => {
                self.heard = false;
                &mut timer.insert((purpose, Box::pin(time::sleep(after)))).1
            }
        };
        ready!(timer.as_mut().poll(cx));
        self.timer = None;
        match purpose {
            Purpose::Connection => {}
            Purpose::Pause => self.pausing = false,
            Purpose::Refusal => {
                if let Some(refusals) = &self.link.refusals {
                    refusals.give_up();
                }
            }
            Purpose::Silence if self.heard => {}
            Purpose::Silence => {
                tracing::debug!(consumer = %self.link.consumer, "no heartbeat: asking the server");
                self.requests.reset();
                self.find_out();
            }
        }
        Poll::Ready(())
    }

    fn pause(&mut self) {
        self.failures = self.failures.saturating_add(1);
        self.pausing = true;
        self.timer = None;
    }

    /// Asks the server whether the consumer still exists.
    fn find_out(&mut self) {
        if self.recovery.is_none() {
            self.recovery = Some(Box::pin(recover::recover(
                Arc::clone(&self.provider),
                self.source.clone(),
                Arc::clone(&self.plan),
                Arc::clone(&self.link),
                self.gaps.position,
                self.requests.inbox().to_owned(),
            )));
        }
    }

    fn apply(&mut self, recovered: Recovered) {
        match recovered {
            // Asked again after a moment, so that no answer can make a busy loop.
            Recovered::Alive | Recovered::Later => self.pause(),
            Recovered::Anew(link) => {
                tracing::warn!(
                    consumer = %self.link.consumer,
                    stream = %self.provider.api.stream,
                    "the consumer of a subscription had vanished and was made anew"
                );
                self.requests
                    .redirect(self.provider.api.pull(&link.consumer));
                if let Some(ledger) = &link.ledger {
                    ledger.forget_consumer();
                }
                self.link = Arc::new(link);
                // The new consumer delivers them again; the old one hears no answers.
                self.buffer.clear();
                self.stale = 0;
                self.gaps.forget_consumer();
            }
            Recovered::Gone { what, name } => self.end = Some(End::Gone { what, name }),
        }
    }

    /// Restarts the wait of everything that nobody has seen yet. Called under
    /// the lock that hands events out, so that no in-progress can follow the
    /// answer to an event.
    pub(crate) fn keep_alive(&mut self, cx: &mut Context<'_>) {
        if self.end.is_some() || !self.provider.connection.is_up() {
            return;
        }
        self.drain_inbox(cx);
        for waiting in &self.buffer {
            let connection = &self.provider.connection;
            // Without room the rest waits for the next round.
            if connection
                .try_send(&waiting.reply, None, IN_PROGRESS)
                .is_none()
            {
                return;
            }
        }
    }

    /// Ends the subscription and hands out what has to be given back.
    pub(crate) fn end(&mut self) -> Option<Rest> {
        if !matches!(self.end, Some(End::Gone { .. })) {
            self.end = Some(End::Closed);
        }
        self.recovery = None;
        self.asking = None;
        let same_connection = self.generation == self.first_generation
            && self.generation == self.provider.connection.generation();
        Some(Rest {
            inbox: self.inbox.take()?,
            subject: self.requests.inbox().to_owned(),
            unseen: std::mem::take(&mut self.buffer),
            outstanding: self.requests.outstanding(),
            read: same_connection.then_some(self.read),
        })
    }

    /// Whether the consumer is gone, so that nothing can be given back to it.
    pub(crate) const fn is_gone(&self) -> bool {
        matches!(self.end, Some(End::Gone { .. }))
    }

    pub(crate) const fn missed(&self) -> u64 {
        self.gaps.missed
    }
}

impl End {
    fn outcome(&self) -> Result<Option<Buffered>> {
        match self {
            Self::Closed => Ok(None),
            Self::Gone { what, name } => Err(EventError::not_found(*what, name)),
        }
    }
}

/// Where a subscription is in the stream, and what it had to skip.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gaps {
    /// Nothing below it is handed over.
    first: u64,
    /// The highest sequence that arrived, or the one before the start.
    position: u64,
    /// The last delivery within the consumer.
    delivery: Option<u64>,
    missed: u64,
    /// Whether every sequence of the stream is for this subscription, so that
    /// a gap is a loss.
    everything: bool,
}

impl Gaps {
    pub(crate) const fn new(first: u64, position: u64, everything: bool) -> Self {
        Self {
            first,
            position,
            delivery: None,
            missed: 0,
            everything,
        }
    }

    /// Takes note of a delivery. What other handles of a durable got is the
    /// gap in the numbers of the deliveries; the rest was removed.
    fn note(&mut self, delivered: &Delivered) {
        let last = self.delivery.replace(delivered.consumer_sequence);
        let (from, to) = (self.position, delivered.sequence);
        if to <= from {
            return;
        }
        self.position = to;
        if !self.everything || delivered.times > 1 || to <= self.first {
            return;
        }
        let elsewhere = match last {
            Some(last) => delivered.consumer_sequence.saturating_sub(last + 1),
            None => delivered.consumer_sequence.saturating_sub(1),
        };
        let gone = (to - from - 1).saturating_sub(elsewhere);
        if gone > 0 {
            self.missed += gone;
            tracing::warn!(gone, from, to, "events were removed before they were read");
        }
    }

    const fn forget_consumer(&mut self) {
        self.delivery = None;
    }
}

fn next_change(mut changes: watch::Receiver<()>) -> BoxFuture<'static, watch::Receiver<()>> {
    Box::pin(async move {
        if changes.changed().await.is_err() {
            // The connection is dropped with its provider: nothing changes any more.
            std::future::pending::<()>().await;
        }
        changes
    })
}

/// Doubles with the failures, and spreads over half of it so that many
/// subscriptions do not come back in one moment.
fn pause_after(failures: u32) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(16));
    let pause = doubled.min(LONGEST_PAUSE);
    let noise = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), failures);
    pause / 2 + pause.mul_f64((noise % 1000) as f64 / 2000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn delivery(sequence: u64, consumer_sequence: u64) -> Delivered {
        Delivered {
            times: 1,
            sequence,
            consumer_sequence,
            pending: 0,
        }
    }

    #[test]
    fn gaps_are_counted_where_every_sequence_matters() {
        let mut gaps = Gaps::new(0, 0, true);
        gaps.note(&delivery(1, 1));
        gaps.note(&delivery(2, 2));
        gaps.note(&delivery(10, 3));
        assert_eq!(gaps.missed, 7);
        // Another handle took two of them.
        gaps.note(&delivery(14, 6));
        assert_eq!(gaps.missed, 8);
        let mut filtered = Gaps::new(0, 0, false);
        filtered.note(&delivery(9, 1));
        assert_eq!(filtered.missed, 0);
    }

    #[test]
    fn pauses_grow_up_to_a_bound() {
        assert!(pause_after(1) <= FIRST_PAUSE);
        assert!(pause_after(1_000_000) <= LONGEST_PAUSE);
        assert!(pause_after(1_000_000) >= LONGEST_PAUSE / 2);
    }
}
