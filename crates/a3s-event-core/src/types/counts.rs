use std::collections::HashMap;

use serde::{Deserialize, Serialize};

/// How many events there are, by [`category`](crate::types::EventFields::category).
///
/// Collected from categories; JSON names are camelCase.
///
/// # Examples
///
/// ```
/// use a3s_event_core::types::EventCounts;
///
/// let counts: EventCounts = ["market", "market", "system"].into_iter().collect();
/// assert_eq!(counts.categories["market"], 2);
/// assert_eq!(counts.total, 3);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventCounts {
    /// Events per category; categories without events are absent.
    pub categories: HashMap<String, u64>,
    /// Events in all.
    pub total: u64,
}

impl<'a> FromIterator<&'a str> for EventCounts {
    fn from_iter<I: IntoIterator<Item = &'a str>>(categories: I) -> Self {
        let mut counts = Self::default();
        for category in categories {
            // The entry interface would copy every category.
            match counts.categories.get_mut(category) {
                Some(count) => *count += 1,
                None => {
                    counts.categories.insert(category.to_owned(), 1);
                }
            }
            counts.total += 1;
        }
        counts
    }
}
