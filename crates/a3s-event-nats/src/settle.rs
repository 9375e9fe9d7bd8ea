//! Answers to deliveries.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use a3s_event_core::{
    BoxFuture, EventError, Result,
    provider::{Answer, Settle, Settled},
};
use async_nats::Subject;
use bytes::Bytes;
use tokio::time::Instant;

use crate::{
    api::{Api, ConsumerState},
    connection::Connection,
    consumer::{Plan, STRICT_SINCE},
    error::{ApiError, Unreachable, reached_nobody},
    incarnation::Incarnation,
    ledger::Ledger,
    provider::Shared,
    pull,
    stream::nanoseconds,
};

const ACK: Bytes = Bytes::from_static(b"+ACK");
const NAK: Bytes = Bytes::from_static(b"-NAK");
const TERM: Bytes = Bytes::from_static(b"+TERM");
pub(crate) const IN_PROGRESS: Bytes = Bytes::from_static(b"+WPI");

/// Longest reason of a termination in bytes: it ends up in an advisory.
const LONGEST_REASON: usize = 1024;

/// What the deliveries of one consumer share.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) connection: Arc<Connection>,
    pub(crate) api: Arc<Api>,
    /// The consumer on the wire.
    pub(crate) consumer: String,
    pub(crate) incarnation: Incarnation,
    /// The backoff that the consumer has.
    pub(crate) steps: Vec<Duration>,
    /// Whether the server reads a reason behind `+TERM`; 2.9 ignores the whole
    /// answer then.
    pub(crate) reads_reasons: bool,
    /// What is unanswered, for a consumer that may have to be made anew.
    pub(crate) ledger: Option<Arc<Ledger>>,
    /// For a subscription that does not read ahead: the refusals on their way.
    pub(crate) refusals: Option<Refusals>,
    /// Set when the consumer is gone: its name may belong to another one, which
    /// must not hear the answers.
    pub(crate) gone: Arc<AtomicBool>,
}

impl Link {
    /// The consumer that the server has made or found, of a subscription with `inbox`.
    pub(crate) fn new(
        provider: &Shared,
        plan: &Plan,
        consumer: String,
        found: &ConsumerState,
        inbox: &str,
    ) -> Self {
        let version = provider.connection.version();
        Self {
            connection: Arc::clone(&provider.connection),
            api: Arc::clone(&provider.api),
            consumer,
            incarnation: Incarnation::of(found, version),
            steps: plan.steps(),
            reads_reasons: version >= STRICT_SINCE,
            ledger: None,
            refusals: (plan.prefetch == 0).then(|| Refusals::new(inbox)),
            gone: Arc::default(),
        }
    }
}

/// The refusals that the server has not confirmed.
///
/// A server reads answers and requests apart: a request right behind a refusal
/// may be served first, with a new event before the refused one. A
/// subscription that does not read ahead waits for the confirmation instead.
#[derive(Debug)]
pub(crate) struct Refusals {
    /// Where confirmations go.
    pub(crate) reply: Subject,
    pub(crate) unconfirmed: AtomicUsize,
}

impl Refusals {
    /// The last token of the subject of confirmations.
    pub(crate) const TOKEN: &str = "refused";

    fn new(inbox: &str) -> Self {
        Self {
            reply: format!("{inbox}.{}", Self::TOKEN).into(),
            unconfirmed: AtomicUsize::new(0),
        }
    }

    pub(crate) fn confirm(&self) {
        // Late confirmations of refusals that were given up do not count below zero.
        let _ = self
            .unconfirmed
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| n.checked_sub(1));
    }

    pub(crate) fn are_confirmed(&self) -> bool {
        self.unconfirmed.load(Ordering::Acquire) == 0
    }

    pub(crate) fn give_up(&self) {
        self.unconfirmed.store(0, Ordering::Release);
    }
}

/// One delivery that waits for its answer.
pub(crate) struct Unanswered {
    pub(crate) link: Arc<Link>,
    /// Where the answer goes.
    pub(crate) reply: Subject,
    pub(crate) sequence: u64,
    pub(crate) times: u64,
}

impl Settle for Unanswered {
    fn settle(&self, _: u64, answer: Answer) -> Settled {
        let connection = &self.link.connection;
        if let Err(closed) = connection.check_open() {
            return Settled::Now(Err(closed));
        }
        if !connection.is_up() {
            return Settled::Now(Err(connection.unreachable(Unreachable::Down)));
        }
        if self.link.gone.load(Ordering::Acquire) {
            return Settled::Now(Ok(()));
        }
        let settles = matches!(answer, Answer::Ack | Answer::Term(_));
        let payload = match answer {
            Answer::AckConfirmed => return Settled::Later(self.confirmed()),
            Answer::Ack => ACK,
            Answer::Nak => NAK,
            Answer::NakAfter(delay) => self.link.delayed_nak(delay, self.times),
            Answer::Term(reason) => self.link.termination(&reason),
            Answer::InProgress => IN_PROGRESS,
            other => {
                return Settled::Now(Err(EventError::unsupported("nats", format!("{other:?}"))));
            }
        };
        let refusals = match &self.link.refusals {
            Some(refusals) if payload == NAK => {
                refusals.unconfirmed.fetch_add(1, Ordering::AcqRel);
                Some(refusals.reply.clone())
            }
            _ => None,
        };
        match connection.try_send(&self.reply, refusals.clone(), payload.clone()) {
            Some(sent) => {
                if settles && sent.is_ok() {
                    self.link.settled(self.sequence);
                }
                Settled::Now(sent)
            }
            None => {
                let (link, reply, sequence) =
                    (Arc::clone(&self.link), self.reply.clone(), self.sequence);
                Settled::Later(Box::pin(async move {
                    link.connection.send(reply, refusals, payload).await?;
                    if settles {
                        link.settled(sequence);
                    }
                    Ok(())
                }))
            }
        }
    }
}

impl Unanswered {
    fn confirmed(&self) -> BoxFuture<'static, Result<()>> {
        let (link, reply, sequence) = (Arc::clone(&self.link), self.reply.clone(), self.sequence);
        Box::pin(async move {
            link.confirm("acknowledge", reply, ACK).await?;
            link.settled(sequence);
            Ok(())
        })
    }
}

impl Link {
    fn settled(&self, sequence: u64) {
        if let Some(ledger) = &self.ledger {
            ledger.answer(sequence);
        }
    }

    /// Acknowledges without anybody having seen it. If it is not sent, the
    /// event comes again and is acknowledged then.
    pub(crate) fn acknowledge_unseen(&self, reply: &Subject) {
        let _ = self.connection.try_send(reply, None, ACK);
    }

    /// Gives deliveries back, and returns once the server has taken note of all.
    pub(crate) async fn give_back(&self, mut replies: Vec<Subject>) -> Result<()> {
        let Some(last) = replies.pop() else {
            return Ok(());
        };
        for reply in replies {
            self.connection.send(reply, None, NAK).await?;
        }
        // Answers are read in order: the last one is confirmed after all others.
        self.confirm("give back", last, NAK).await
    }

    /// Sends an answer and returns once the server has taken note of it, or has no
    /// use for it because the consumer is gone.
    async fn confirm(&self, operation: &str, reply: Subject, answer: Bytes) -> Result<()> {
        let connection = &self.connection;
        let until = Instant::now() + connection.request_timeout;
        let mut repeats = connection.repeats();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let asked = connection.request(operation, reply.clone(), None, answer.clone(), left);
            match asked.await {
                Ok(_) => return Ok(()),
                // Nobody listens: the consumer is gone, or its server is, or it has none for a moment.
                Err(error @ EventError::Connection { .. }) => {
                    if self.is_gone().await? {
                        return Ok(());
                    }
                    if !(reached_nobody(&error) && repeats.pause(until).await) {
                        return Err(error);
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Returns once the consumer has heard of everything that the connection has
    /// told the server before, or there is no consumer.
    pub(crate) async fn reach_consumer(&self) {
        const OPERATION: &str = "reach the consumer";
        let (pull, limit) = (
            self.api.pull(&self.consumer),
            self.connection.request_timeout,
        );
        let refused = Bytes::from_static(pull::REFUSED);
        let reached = self
            .connection
            .request(OPERATION, pull, None, refused, limit);
        if let Err(error) = reached.await {
            tracing::debug!(%error, consumer = %self.consumer, "a consumer could not be reached");
        }
    }

    /// Whether `found` has the name of the consumer and is another one.
    pub(crate) fn is_another(&self, found: &ConsumerState) -> bool {
        let found = Incarnation::of(found, self.connection.version());
        found.differs_from(&self.incarnation)
    }

    /// Whether the consumer does not exist any more; another one of its name
    /// does not count.
    pub(crate) async fn is_gone(&self) -> Result<bool> {
        let info = self.api.consumer_info(&self.connection, &self.consumer);
        Ok(match info.await? {
            Ok(found) => self.is_another(&found),
            Err(error) => error.no_consumer() || error.is(ApiError::STREAM_NOT_FOUND),
        })
    }

    /// A refusal with a delay. The server counts it from the first step of the
    /// backoff and waits for the step of this delivery, which is taken back
    /// here; the number may be negative.
    fn delayed_nak(&self, delay: Duration, times: u64) -> Bytes {
        let mut delay = nanoseconds(delay);
        if let (Some(first), Some(last)) = (self.steps.first(), self.steps.last()) {
            let index = usize::try_from(times.saturating_sub(1)).unwrap_or(usize::MAX);
            let step = self.steps.get(index).unwrap_or(last);
            delay = delay
                .saturating_add(nanoseconds(*first))
                .saturating_sub(nanoseconds(*step));
        }
        format!("-NAK {{\"delay\":{delay}}}").into()
    }

    fn termination(&self, reason: &str) -> Bytes {
        if reason.is_empty() || !self.reads_reasons {
            return TERM;
        }
        let mut end = reason.len().min(LONGEST_REASON);
        while !reason.is_char_boundary(end) {
            end -= 1;
        }
        format!("+TERM {}", &reason[..end]).into()
    }
}
