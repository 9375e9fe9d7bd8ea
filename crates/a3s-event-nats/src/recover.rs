//! What became of a consumer that went silent.

use std::sync::{Arc, atomic::Ordering};

use a3s_event_core::{Result, types::DeliverPolicy};

use crate::{
    api::{Action, ConsumerState},
    connection::Connection,
    consumer::{Plan, STRICT_SINCE, check_echo},
    durable::refused,
    error::ApiError,
    ledger::Ledger,
    provider::Shared,
    reader::Source,
    settle::{Link, Refusals},
};

/// What was found out.
pub(crate) enum Recovered {
    /// The consumer is there: ask it again.
    Alive,
    /// The server could not be asked: try later.
    Later,
    /// The consumer was made anew.
    Anew(Link),
    /// It is gone for good.
    Gone { what: &'static str, name: String },
}

pub(crate) async fn recover(
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
    match create_ephemeral(&provider, &plan, resume, link.ledger.clone(), &inbox).await {
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

/// Creates a consumer of one subscription.
pub(crate) async fn create_ephemeral(
    provider: &Shared,
    plan: &Plan,
    resume: Option<u64>,
    ledger: Option<Arc<Ledger>>,
    inbox: &str,
) -> Result<(Link, ConsumerState)> {
    let Shared {
        connection, api, ..
    } = provider;
    let version = connection.version();
    let name = format!("_e{}", unique_token(connection));
    let config = plan.ephemeral(&name, version, resume)?;
    let info = api
        .create_consumer(connection, &name, &config, Action::Create)
        .await?
        .map_err(|error| refused(api, error))?;
    check_echo(&config, &info)?;
    let start = info.position(plan.first_sequence());
    let ledger = ledger.unwrap_or_else(|| Arc::new(Ledger::new(start)));
    let link = Link {
        connection: Arc::clone(connection),
        api: Arc::clone(api),
        consumer: name,
        steps: plan.steps(),
        reads_reasons: version >= STRICT_SINCE,
        ledger: Some(ledger),
        refusals: (plan.prefetch == 0).then(|| Refusals::new(inbox)),
        gone: Arc::default(),
    };
    Ok((link, info))
}

/// A token that nobody else has, as the client makes them for inboxes.
pub(crate) fn unique_token(connection: &Connection) -> String {
    let inbox = connection.client().new_inbox();
    match inbox.rsplit_once('.') {
        Some((_, token)) => token.to_owned(),
        None => inbox,
    }
}
