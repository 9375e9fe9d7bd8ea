//! Events and what surrounds them: options, filters and counts.

mod counts;
mod event;
mod options;
mod received;
mod subscription;

pub use counts::EventCounts;
pub use event::{Event, EventFields, MAX_PAYLOAD_DEPTH};
pub use options::{DeliverPolicy, PublishOptions, SubscribeOptions};
pub use received::{ReceivedEvent, StreamName};
pub use subscription::SubscriptionFilter;
