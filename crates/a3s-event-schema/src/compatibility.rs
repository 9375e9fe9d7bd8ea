use std::collections::BTreeSet;

use a3s_event_core::{
    EventError, Result,
    schema::{Compatibility, EventSchema},
};

/// Checks whether schema `new` may follow schema `old` under `mode`.
///
/// A schema stands for the set of payloads it accepts. Backward: everything that
/// `old` accepts is accepted by `new`. Forward: everything that `new` accepts is
/// accepted by `old`. Full: both. Only the required fields count, as sets.
///
/// # Errors
///
/// [`EventError::Incompatible`] naming the required fields whose addition or
/// removal breaks `mode`, sorted.
///
/// # Examples
///
/// ```
/// use a3s_event_core::schema::{Compatibility, EventSchema};
/// use a3s_event_schema::check_evolution;
///
/// let old = EventSchema {
///     event_type: "order.created".to_string(),
///     version: 1,
///     required_fields: vec!["id".to_string()],
///     description: String::new(),
/// };
/// let new = EventSchema {
///     version: 2,
///     required_fields: vec!["id".to_string(), "currency".to_string()],
///     ..old.clone()
/// };
///
/// // A stored order without a currency is valid under 1 and invalid under 2.
/// assert!(check_evolution(&old, &new, Compatibility::Backward).is_err());
/// assert!(check_evolution(&old, &new, Compatibility::Forward).is_ok());
/// ```
pub fn check_evolution(old: &EventSchema, new: &EventSchema, mode: Compatibility) -> Result<()> {
    let (backward, forward) = match mode {
        Compatibility::None => return Ok(()),
        Compatibility::Backward => (true, false),
        Compatibility::Forward => (false, true),
        // `Full`, and the strictest reading of any mode that is added later.
        _ => (true, true),
    };
    let before = required(old);
    let after = required(new);
    let breaking = |checked: bool, these: &BTreeSet<&str>, those: &BTreeSet<&str>| {
        let differing = these.difference(those).filter(|_| checked);
        differing.map(|&field| field.to_owned()).collect::<Vec<_>>()
    };
    let added = breaking(backward, &after, &before);
    let removed = breaking(forward, &before, &after);
    if added.is_empty() && removed.is_empty() {
        return Ok(());
    }
    Err(EventError::incompatible(
        &new.event_type,
        old.version,
        new.version,
        mode.as_str(),
        added,
        removed,
    ))
}

fn required(schema: &EventSchema) -> BTreeSet<&str> {
    schema.required_fields.iter().map(String::as_str).collect()
}
