//! What became of a consumer that went silent, and what follows from it.

use std::{
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
    time::Duration,
};

use a3s_event_core::{EventError, Result, types::DeliverPolicy};
use tokio::time;

use super::{Inbox, Reader, Source};
use crate::{
    consumer::Plan, ephemeral, error::ApiError, provider::Shared, pull::Requests, settle::Link,
};

/// After which a consumer of one subscription that says nothing counts as out of
/// reach in a cluster. It was silent for longer before it was asked.
const OUT_OF_REACH: Duration = Duration::from_secs(3);

/// How often a consumer is created that nobody answers for: the servers may place
/// it on one that is gone.
const PLACES: u32 = 3;

/// How often a consumer that nobody reads from is deleted where nobody answers.
const DELETIONS: u32 = 10;

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
    // The only server that has the consumer may be gone, while others have the stream.
    let ephemeral = matches!(source, Source::Ephemeral);
    let patience = (ephemeral && provider.connection.is_clustered()).then_some(OUT_OF_REACH);
    let mut found = look(&link, patience).await;
    if found == Found::Silence && patience.is_none() {
        return Recovered::Later;
    }
    if found == Found::Nothing
        && let Source::Durable(name) = source
    {
        link.gone.store(true, Ordering::Release);
        return Recovered::Gone {
            what: "consumer",
            name,
        };
    }
    if matches!(found, Found::Nothing | Found::Silence) {
        match provider.api.stream_info(&provider.connection).await {
            Ok(Ok(info)) if info.created == provider.created => {}
            // Resuming in another stream would deliver nothing, or the wrong events.
            Ok(Ok(info)) => {
                return Recovered::Gone {
                    what: "stream",
                    name: format!(
                        "{} as created {} (the one there now was created {})",
                        provider.api.stream, provider.created, info.created
                    ),
                };
            }
            Ok(Err(error)) if error.is(ApiError::STREAM_NOT_FOUND) => found = Found::NoStream,
            Ok(Err(_)) | Err(_) => return Recovered::Later,
        }
    }
    if found == Found::Silence {
        // Had all servers stood still, the consumer would answer now, as the stream did.
        found = look(&link, patience).await;
    }
    match found {
        Found::Consumer => return Recovered::Alive,
        Found::NoStream => {
            link.gone.store(true, Ordering::Release);
            return Recovered::Gone {
                what: "stream",
                name: provider.api.stream.clone(),
            };
        }
        Found::Nothing | Found::Silence => {}
    }
    let resume = link.ledger.as_ref().and_then(|ledger| ledger.resume());
    let resume = match plan.options.deliver_policy {
        // Before the first delivery there is no place between the newest events to go on from.
        DeliverPolicy::LastPerSubject => resume,
        _ => resume.or(Some(position + 1)),
    };
    match make_anew(&provider, &plan, resume, &link).await {
        Ok((anew, inbox)) => {
            if found == Found::Silence {
                delete(&provider, link.consumer.clone());
            }
            Recovered::Anew(anew, inbox)
        }
        Err(error) => {
            tracing::warn!(%error, "a vanished consumer could not be made anew yet");
            Recovered::Later
        }
    }
}

/// What the servers say about a consumer.
#[derive(Clone, Copy, PartialEq)]
enum Found {
    Consumer,
    /// No consumer of the name, or another one, with events and deliveries of its own.
    Nothing,
    NoStream,
    /// No answer, or none that tells.
    Silence,
}

async fn look(link: &Link, patience: Option<Duration>) -> Found {
    let asked = link.api.consumer_info(&link.connection, &link.consumer);
    let asked = time::timeout(patience.unwrap_or(Duration::MAX), asked);
    match asked.await {
        Ok(Ok(Ok(found))) if !link.is_another(&found) => Found::Consumer,
        Ok(Ok(Ok(_))) => Found::Nothing,
        Ok(Ok(Err(error))) if error.no_consumer() => Found::Nothing,
        Ok(Ok(Err(error))) if error.is(ApiError::STREAM_NOT_FOUND) => Found::NoStream,
        Ok(_) | Err(_) => Found::Silence,
    }
}

async fn make_anew(
    provider: &Shared,
    plan: &Plan,
    resume: Option<u64>,
    old: &Link,
) -> Result<(Link, Inbox)> {
    let connection = &provider.connection;
    let patience = connection.is_clustered().then_some(OUT_OF_REACH);
    let patience = patience.unwrap_or(Duration::MAX);
    for _ in 0..PLACES {
        let inbox = provider.inbox().await?;
        let name = ephemeral::new_name(provider);
        let ledger = old.ledger.clone();
        let made = ephemeral::create(provider, name.clone(), plan, resume, ledger, &inbox.subject);
        match time::timeout(patience, made).await {
            Ok(made) => return made.map(|(link, _)| (link, inbox)),
            // It may have been placed on a server that is gone.
            Err(_) => delete(provider, name),
        }
    }
    Err(connection.timed_out("create the consumer", patience.saturating_mul(PLACES)))
}

/// Deletes a consumer that nobody reads from, which would stay for some minutes.
fn delete(provider: &Shared, name: String) {
    let (connection, api) = (Arc::clone(&provider.connection), Arc::clone(&provider.api));
    tokio::spawn(async move {
        // Nobody else has the name, so that it may be asked for until a leader hears it.
        for _ in 0..DELETIONS {
            match api.delete_consumer(&connection, &name).await {
                Err(EventError::Timeout { .. }) => {}
                Err(error) => {
                    tracing::debug!(%error, consumer = %name, "a consumer could not be deleted");
                    return;
                }
                Ok(()) => return,
            }
        }
    });
}
