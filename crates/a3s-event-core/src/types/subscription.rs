use serde::{Deserialize, Serialize};

use super::SubscribeOptions;

/// What a subscriber wants to receive, as the bus manages and persists it.
///
/// JSON names are camelCase. Write `..Default::default()` for the fields you
/// do not need.
///
/// # Examples
///
/// ```
/// use a3s_event_core::types::SubscriptionFilter;
///
/// let filter = SubscriptionFilter {
///     subscriber_id: "analyst".to_string(),
///     subjects: vec!["events.market.>".to_string()],
///     durable: true,
///     ..Default::default()
/// };
/// assert!(filter.options.is_none());
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SubscriptionFilter {
    /// Who subscribes; names the filter in the bus.
    pub subscriber_id: String,
    /// Patterns of the subjects to receive; at least one.
    pub subjects: Vec<String>,
    /// Whether the position outlives the subscription.
    pub durable: bool,
    /// How events are delivered; `None` is [`SubscribeOptions::default`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub options: Option<SubscribeOptions>,
}
