//! What became of a consumer that went silent, and what follows from it.

use std::sync::{Arc, atomic::Ordering};

use a3s_event_core::types::DeliverPolicy;

use super::{End, Reader, Source};
use crate::{consumer::Plan, ephemeral, error::ApiError, provider::Shared, settle::Link};

/// What was found out.
pub(super) enum Recovered {
    /// The consumer is there: ask it again.
    Alive,
    /// The server could not be asked: try later.
    Later,
    /// The consumer was made anew.
    Anew(Link),
    /// It is gone for good.
    Gone { what: &'static str, name: String },
}

impl Reader {
    /// Asks the server whether the consumer still exists.
    pub(super) fn find_out(&mut self) {
        if self.recovery.is_none() {
            self.recovery = Some(Box::pin(recover(
                Arc::clone(&self.provider),
                self.source.clone(),
                Arc::clone(&self.plan),
                Arc::clone(&self.link),
                self.gaps.position,
                self.requests.inbox().to_owned(),
            )));
        }
    }

    pub(super) fn apply(&mut self, recovered: Recovered) {
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
                self.buffer.take();
                self.gaps.forget_consumer();
            }
            Recovered::Gone { what, name } => self.end = Some(End::Gone { what, name }),
        }
    }
}

async fn recover(
    provider: Arc<Shared>,
    source: Source,
    plan: Arc<Plan>,
    link: Arc<Link>,
    position: u64,
    inbox: String,
) -> Recovered {
    let Shared {
        connection, api, ..
    } = &*provider;
    match api.consumer_info(connection, &link.consumer).await {
        Ok(Ok(_)) => return Recovered::Alive,
        Ok(Err(error)) if error.no_consumer() => {}
        Ok(Err(error)) if error.is(ApiError::STREAM_NOT_FOUND) => return gone_stream(&provider),
        Ok(Err(_)) | Err(_) => return Recovered::Later,
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
    match ephemeral::create(&provider, &plan, resume, link.ledger.clone(), &inbox).await {
        Ok((link, _)) => Recovered::Anew(link),
        Err(error) => {
            tracing::warn!(%error, "a vanished consumer could not be made anew yet");
            Recovered::Later
        }
    }
}

fn gone_stream(provider: &Shared) -> Recovered {
    Recovered::Gone {
        what: "stream",
        name: provider.api.stream.clone(),
    }
}
