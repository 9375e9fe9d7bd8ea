//! Opening a durable consumer: created by one of many, never changed in silence.

use a3s_event_core::{EventError, Result};

use crate::{
    api::{Action, Api, ConsumerState, no_stream},
    connection::Connection,
    consumer::{ExistingDurable, Plan, STRICT_SINCE, check_echo},
    error::{ApiError, failed},
    incarnation, names,
};

/// Opens the durable `name`, or creates it.
pub(crate) async fn open(
    on: &Connection,
    api: &Api,
    name: &str,
    plan: &Plan,
    on_existing: ExistingDurable,
) -> Result<ConsumerState> {
    let version = on.version();
    let wire_name = names::wire_name(name);
    let mut config = plan.durable(name, version)?;
    incarnation::name(&mut config, on);
    // Two rounds: somebody else may delete the consumer between the two requests.
    for _ in 0..2 {
        // An old server would overwrite, so it is asked first.
        let exists = if version < STRICT_SINCE {
            match api.consumer_info(on, &wire_name).await? {
                Ok(_) => true,
                Err(error) if error.no_consumer() => false,
                Err(error) => return Err(refused(api, error)),
            }
        } else {
            false
        };
        if !exists {
            plan.check_start(version)?;
            match api
                .create_consumer(on, &wire_name, &config, Action::Create)
                .await?
            {
                Ok(info) => {
                    check_echo(&config, &info)?;
                    return Ok(info);
                }
                Err(error) if taken(&error) => {}
                Err(error) => return Err(refused(api, error)),
            }
        }
        match api.consumer_info(on, &wire_name).await? {
            Ok(info) => return adopt(on, api, name, plan, on_existing, info).await,
            Err(error) if error.no_consumer() => {}
            Err(error) => return Err(refused(api, error)),
        }
    }
    Err(failed(
        "open the consumer",
        "it appears and disappears all the time",
    ))
}

async fn adopt(
    on: &Connection,
    api: &Api,
    name: &str,
    plan: &Plan,
    on_existing: ExistingDurable,
    found: ConsumerState,
) -> Result<ConsumerState> {
    let version = on.version();
    let differences = plan.differences(name, version, &found.config);
    if differences.is_empty() {
        return Ok(found);
    }
    if on_existing == ExistingDurable::Refuse {
        return Err(EventError::consumer_mismatch(name, differences));
    }
    let config = plan.changed(version, &found.config);
    let action = if version < STRICT_SINCE {
        Action::Any
    } else {
        Action::Update
    };
    let updated = api
        .create_consumer(on, &names::wire_name(name), &config, action)
        .await?
        .map_err(|error| refused(api, error))?;
    let remaining = plan.differences(name, version, &updated.config);
    if remaining.is_empty() {
        return Ok(updated);
    }
    Err(EventError::consumer_mismatch(name, remaining))
}

/// Whether another consumer has the name, in the words of any version.
const fn taken(error: &ApiError) -> bool {
    matches!(
        error.err_code,
        ApiError::CONSUMER_EXISTS
            | ApiError::CONSUMER_CREATE_REFUSED
            | ApiError::CONSUMER_NAME_TAKEN
    )
}

/// The error of a consumer that the server does not want.
pub(crate) fn refused(api: &Api, error: ApiError) -> EventError {
    if error.is(ApiError::STREAM_NOT_FOUND) {
        return no_stream(&api.stream);
    }
    error.during("create the consumer")
}
