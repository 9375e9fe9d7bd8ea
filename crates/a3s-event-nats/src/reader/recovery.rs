//! What became of a consumer that went silent, and what follows from it.

use std::{
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
    time::Duration,
};

use a3s_event_core::{Result, types::DeliverPolicy};
use tokio::time;

use super::{Inbox, Reader, Source};
use crate::{
    consumer::Plan, ephemeral, error::ApiError, provider::Shared, pull::Requests, settle::Link,
};

/// After which a consumer of one subscription that says nothing is made anew, on
/// a server that does. It was silent for longer before it was asked.
const OUT_OF_REACH: Duration = Duration::from_secs(3);

/// What was found out.
pub(super) enum Recovered {
    /// The consumer is there: ask it again.
    Alive,
    /// The server could not be asked: try later.
    Later,
    /// The consumer was made anew, with an inbox that the old one does not know:
    /// it may only be out of reach, and deliver what it was asked for.
    Anew(Link, Inbox),
    /// It is gone for good.
    Gone { what: &'static str, name: String },
}

impl Reader {
    /// Goes on with finding out; says whether anything was found out.
    pub(super) fn poll_recovery(&mut self, cx: &mut Context<'_>) -> bool {
        if self.doubtful && !self.pausing {
            self.find_out();
        }
        let Some(recovery) = &mut self.recovery else {
            return false;
        };
        let Poll::Ready(recovered) = recovery.as_mut().poll(cx) else {
            return false;
        };
        // What the old consumer has sent is not to be taken for the new one's.
        self.drain_inbox(cx);
        self.recovery = None;
        self.apply(recovered);
        true
    }

    /// Asks the server whether the consumer still exists.
    pub(super) fn find_out(&mut self) {
        if self.recovery.is_none() {
            self.recovery = Some(Box::pin(recover(
                Arc::clone(&self.provider),
                self.source.clone(),
                Arc::clone(&self.plan),
                Arc::clone(&self.link),
                self.gaps.position,
            )));
        }
    }

    pub(super) fn apply(&mut self, recovered: Recovered) {
        match recovered {
            Recovered::Alive if self.doubtful => self.doubtful = false,
            // Asked again after a moment, so that no answer can make a busy loop.
            Recovered::Alive | Recovered::Later => self.pause(),
            Recovered::Anew(link, inbox) => {
                tracing::warn!(
                    consumer = %self.link.consumer,
                    stream = %self.provider.api.stream,
                    "the consumer of a subscription had vanished and was made anew"
                );
                let pull = self.provider.api.pull(&link.consumer);
                self.requests = Requests::new(pull, inbox.subject);
                self.inbox = Some(inbox.subscriber);
                self.first_generation = inbox.generation;
                (self.read, self.uncounted) = (0, 0);
                if let Some(ledger) = &link.ledger {
                    ledger.forget_consumer();
                }
                self.link = Arc::new(link);
                // The new consumer delivers them again; the old one hears no answers.
                self.buffer.take();
                self.gaps.forget_consumer();
                self.doubtful = false;
            }
            Recovered::Gone { what, name } => self.end_without(what, name),
        }
    }
}

async fn recover(
    provider: Arc<Shared>,
    source: Source,
    plan: Arc<Plan>,
    link: Arc<Link>,
    position: u64,
) -> Recovered {
    let Shared {
        connection, api, ..
    } = &*provider;
    let asked = api.consumer_info(connection, &link.consumer);
    match time::timeout(OUT_OF_REACH, asked).await {
        Ok(Ok(Ok(found))) if !link.is_another(&found) => return Recovered::Alive,
        // Another one of the name, with events and deliveries of its own.
        Ok(Ok(Ok(_))) => {}
        Ok(Ok(Err(error))) if error.no_consumer() => {}
        Ok(Ok(Err(error))) if error.is(ApiError::STREAM_NOT_FOUND) => {
            link.gone.store(true, Ordering::Release);
            return gone_stream(&provider);
        }
        // The only server that has the consumer may be gone, and others have the stream.
        Err(_) if matches!(source, Source::Ephemeral) => {}
        Ok(Ok(Err(_)) | Err(_)) | Err(_) => return Recovered::Later,
    }
    if let Source::Durable(name) = source {
        link.gone.store(true, Ordering::Release);
        return Recovered::Gone {
            what: "consumer",
            name,
        };
    }
    match api.stream_info(connection).await {
        Ok(Ok(info)) if info.created == provider.created => {}
        // Resuming in another stream would deliver nothing, or the wrong events.
        Ok(Ok(info)) => {
            return Recovered::Gone {
                what: "stream",
                name: format!(
                    "{} as created {} (the one there now was created {})",
                    api.stream, provider.created, info.created
                ),
            };
        }
        Ok(Err(error)) if error.is(ApiError::STREAM_NOT_FOUND) => return gone_stream(&provider),
        Ok(Err(_)) | Err(_) => return Recovered::Later,
    }
    let resume = link.ledger.as_ref().and_then(|ledger| ledger.resume());
    let resume = match plan.options.deliver_policy {
        // Before the first delivery there is no place between the newest events to go on from.
        DeliverPolicy::LastPerSubject => resume,
        _ => resume.or(Some(position + 1)),
    };
    match make_anew(&provider, &plan, resume, &link).await {
        Ok((link, inbox)) => Recovered::Anew(link, inbox),
        Err(error) => {
            tracing::warn!(%error, "a vanished consumer could not be made anew yet");
            Recovered::Later
        }
    }
}

async fn make_anew(
    provider: &Shared,
    plan: &Plan,
    resume: Option<u64>,
    old: &Link,
) -> Result<(Link, Inbox)> {
    let inbox = provider.inbox().await?;
    let ledger = old.ledger.clone();
    let made = ephemeral::create(provider, plan, resume, ledger, &inbox.subject);
    let (link, _) = made.await?;
    Ok((link, inbox))
}

fn gone_stream(provider: &Shared) -> Recovered {
    Recovered::Gone {
        what: "stream",
        name: provider.api.stream.clone(),
    }
}
