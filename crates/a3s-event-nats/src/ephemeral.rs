//! Creating a consumer of one subscription.

use std::sync::Arc;

use a3s_event_core::Result;

use crate::{
    api::{Action, ConsumerState},
    consumer::{Plan, check_echo},
    durable::refused,
    incarnation::unique_token,
    ledger::Ledger,
    provider::Shared,
    settle::Link,
};

/// A name that no consumer has.
pub(crate) fn new_name(provider: &Shared) -> String {
    format!("_e{}", unique_token(&provider.connection))
}

/// Creates the consumer `name` of one subscription.
pub(crate) async fn create(
    provider: &Shared,
    name: String,
    plan: &Plan,
    resume: Option<u64>,
    ledger: Option<Arc<Ledger>>,
    inbox: &str,
) -> Result<(Link, ConsumerState)> {
    let Shared {
        connection, api, ..
    } = provider;
    let version = connection.version();
    plan.check_start(version)?;
    let config = plan.ephemeral(&name, version, resume)?;
    let info = api
        .create_consumer(connection, &name, &config, Action::Create)
        .await?
        .map_err(|error| refused(api, error))?;
    check_echo(&config, &info)?;
    let start = info.position(plan.first_sequence());
    let ledger = ledger.unwrap_or_else(|| Arc::new(Ledger::new(start)));
    let link = Link {
        ledger: Some(ledger),
        ..Link::new(provider, plan, name, &info, inbox)
    };
    Ok((link, info))
}
