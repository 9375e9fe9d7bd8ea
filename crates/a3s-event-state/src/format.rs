//! What stands in a state file.

use std::collections::{BTreeMap, HashMap};

use a3s_event_core::{BoxError, types::SubscriptionFilter};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The format that is written.
const FORMAT_VERSION: u64 = 1;

/// Largest file that is written or read, in bytes.
pub(crate) const MAX_BYTES: usize = 16 << 20;

pub(crate) type Subscriptions = HashMap<String, SubscriptionFilter>;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    format_version: u64,
    // Sorted, so that a change of one subscription is a small difference.
    subscriptions: BTreeMap<&'a str, &'a SubscriptionFilter>,
}

/// Writes `subscriptions`; refuses what [`decode`] would not read back.
pub(crate) fn encode(subscriptions: &Subscriptions) -> Result<Vec<u8>, BoxError> {
    check_keys(subscriptions)?;
    let entries = subscriptions.iter();
    let mut bytes = serde_json::to_vec_pretty(&Document {
        format_version: FORMAT_VERSION,
        subscriptions: entries.map(|(id, filter)| (id.as_str(), filter)).collect(),
    })?;
    bytes.push(b'\n');
    check_size(bytes.len())?;
    Ok(bytes)
}

/// Reads what [`encode`] wrote, or the bare map that the predecessor wrote.
///
/// Whatever could be lost by reading and writing again is an error, such as a
/// field that a newer version added.
pub(crate) fn decode(bytes: &[u8]) -> Result<Subscriptions, BoxError> {
    check_size(bytes.len())?;
    if bytes.is_empty() {
        return Err("the file is empty; remove it to start without subscriptions".into());
    }
    let Value::Object(mut document) = serde_json::from_slice(bytes)? else {
        return Err("the file holds no JSON object".into());
    };
    // In a bare map, `formatVersion` could only be the id of a subscriber.
    let stored = if let Some(Value::Number(version)) = document.get("formatVersion") {
        if version.as_u64() != Some(FORMAT_VERSION) {
            return Err(format!(
                "the file has format {version}, this version reads {FORMAT_VERSION}"
            )
            .into());
        }
        document.remove("formatVersion");
        let stored = document.remove("subscriptions");
        if let Some(field) = document.keys().next() {
            return Err(format!("unknown field `{}`", field.escape_debug()).into());
        }
        stored.ok_or("the field `subscriptions` is missing")?
    } else {
        Value::Object(document)
    };
    let subscriptions = Subscriptions::deserialize(&stored)?;
    check_keys(&subscriptions)?;
    let understood = serde_json::to_value(&subscriptions)?;
    if let Some(lost) = first_lost(&stored, &understood) {
        return Err(format!("unknown content at `{}`", lost.escape_debug()).into());
    }
    Ok(subscriptions)
}

/// Checks that every filter stands under the id of its subscriber.
pub(crate) fn check_keys(subscriptions: &Subscriptions) -> Result<(), BoxError> {
    for (key, filter) in subscriptions {
        if *key != filter.subscriber_id {
            return Err(format!(
                "the filter of subscriber `{}` stands under `{}`",
                filter.subscriber_id.escape_debug(),
                key.escape_debug()
            )
            .into());
        }
    }
    Ok(())
}

fn check_size(size: usize) -> Result<(), BoxError> {
    if size > MAX_BYTES {
        return Err(format!("larger than {MAX_BYTES} bytes").into());
    }
    Ok(())
}

/// The path of the first thing in `stored` that is not in `understood`.
fn first_lost(stored: &Value, understood: &Value) -> Option<String> {
    let below = |name: &str, path: String| match path.as_str() {
        "" => Some(name.to_owned()),
        path => Some(format!("{name}.{path}")),
    };
    match (stored, understood) {
        (Value::Object(stored), Value::Object(understood)) => {
            stored.iter().find_map(|(name, value)| {
                let path = match understood.get(name) {
                    Some(understood) => first_lost(value, understood)?,
                    // Defaults are left out when they are written.
                    None if value.is_null() || *value == Value::Array(Vec::new()) => return None,
                    None => String::new(),
                };
                below(name, path)
            })
        }
        (stored, understood) if stored == understood => None,
        _ => Some(String::new()),
    }
}
