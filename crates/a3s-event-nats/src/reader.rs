//! The state of a subscription: what was asked for, what arrived, and what to
//! do when the server, the consumer or the stream goes away.

mod buffer;
mod demand;
mod gaps;
mod receive;
mod recovery;
mod timer;

use std::{
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll, Waker, ready},
};

use a3s_event_core::{BoxFuture, EventError, Result};
use async_nats::Subscriber;
use futures_util::FutureExt;
use tokio::{sync::watch, time::Sleep};

use self::{buffer::Buffer, recovery::Recovered, timer::Purpose};
pub(crate) use self::{buffer::Buffered, gaps::Gaps};
use crate::{
    consumer::Plan,
    error::failed,
    provider::Shared,
    pull::Requests,
    rest::Rest,
    settle::{IN_PROGRESS, Link},
};

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

pub(crate) struct Reader {
    pub(crate) provider: Arc<Shared>,
    pub(crate) source: Source,
    pub(crate) plan: Arc<Plan>,
    pub(crate) link: Arc<Link>,
    requests: Requests,
    inbox: Option<Subscriber>,
    buffer: Buffer,
    /// The connection that the requests belong to.
    generation: u64,
    /// The connection that the inbox was opened on.
    first_generation: u64,
    /// Messages read from the inbox.
    read: u64,
    /// Those among them that the server does not count.
    uncounted: u64,
    /// Whether the consumer may be another one of its name, so that nothing is
    /// handed over or answered until that is known.
    doubtful: bool,
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
    Gone {
        what: &'static str,
        name: String,
        /// Whether the caller knows.
        told: bool,
    },
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
            uncounted: 0,
            doubtful: false,
            requests: Requests::new(pull, inbox.subject),
            inbox: Some(inbox.subscriber),
            provider,
            source,
            plan,
            link,
            buffer: Buffer::default(),
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
            if let Some(end) = &mut self.end {
                return Poll::Ready(end.outcome());
            }
            if up {
                self.drain_inbox(cx);
                if !self.doubtful
                    && let Some(next) = self.take()
                {
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
            if up && self.poll_recovery(cx) {
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
            if up && !self.doubtful {
                return Poll::Ready(true);
            }
            if up && self.poll_recovery(cx) {
                continue;
            }
            if !self.poll_change(cx) {
                ready!(self.poll_timer(cx, up));
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
        let (generation, up) = (connection.generation(), connection.is_up());
        if connection.is_closed() {
            self.end.get_or_insert(End::Closed);
        }
        if self.link.gone.load(Ordering::Acquire)
            && let Source::Durable(name) = &self.source
        {
            // Another consumer may have the name by now, which is not ours to read.
            self.end_without("consumer", name.clone());
        }
        if up && generation != self.generation {
            // What was asked for is gone with the old connection: ask at once.
            self.generation = generation;
            self.requests.reset();
            self.buffer.mark_stale();
            // Its question went with the connection too.
            self.recovery = None;
            // While it was away, somebody may have deleted the durable and created another.
            self.doubtful = matches!(self.source, Source::Durable(_));
            if let Some(refusals) = &self.link.refusals {
                refusals.give_up();
            }
            self.timer = None;
            self.pausing = false;
            self.failures = 0;
        }
        up
    }

    /// What the subscription reads from is gone.
    fn end_without(&mut self, what: &'static str, name: String) {
        let told = false;
        self.end.get_or_insert(End::Gone { what, name, told });
    }

    /// Restarts the wait of everything that nobody has seen yet. Called under
    /// the lock that hands events out, so that no in-progress can follow the
    /// answer to an event.
    pub(crate) fn keep_alive(&mut self, cx: &mut Context<'_>) {
        if self.end.is_some()
            || self.is_gone()
            || self.doubtful
            || !self.provider.connection.is_up()
        {
            return;
        }
        self.drain_inbox(cx);
        for reply in self.buffer.replies() {
            let connection = &self.provider.connection;
            // Without room the rest waits for the next round.
            if connection.try_send(reply, None, IN_PROGRESS).is_none() {
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
            unseen: self.buffer.take(),
            outstanding: self.requests.outstanding(),
            read: self.read,
            uncounted: self.uncounted,
            counted: same_connection,
        })
    }

    /// Whether the consumer is gone, so that nothing can be given back to it.
    pub(crate) fn is_gone(&self) -> bool {
        let removed = self.link.gone.load(Ordering::Acquire);
        let is_durable = matches!(self.source, Source::Durable(_));
        (is_durable && removed) || matches!(self.end, Some(End::Gone { .. }))
    }

    /// Ends the answers of an ephemeral subscription that is about to end: its
    /// consumer goes with it, and may be half gone when they arrive.
    pub(crate) fn end_answers(&self) {
        if matches!(self.source, Source::Ephemeral) {
            self.link.gone.store(true, Ordering::Release);
        }
    }

    pub(crate) const fn missed(&self) -> u64 {
        self.gaps.missed
    }
}

impl End {
    /// An error for what is gone, once: nothing follows it.
    fn outcome(&mut self) -> Result<Option<Buffered>> {
        match self {
            Self::Gone { what, name, told } if !*told => {
                *told = true;
                Err(EventError::not_found(*what, name))
            }
            Self::Closed | Self::Gone { .. } => Ok(None),
        }
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
