/// What a backend says about itself.
///
/// # Examples
///
/// ```
/// use a3s_event_core::provider::ProviderInfo;
///
/// let info = ProviderInfo::new("redis").with_messages(12).with_bytes(4096);
/// assert_eq!(info.consumers, 0);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProviderInfo {
    /// The provider's name.
    pub provider: String,
    /// Events that are retained.
    pub messages: u64,
    /// Their size in bytes, as the backend counts it.
    pub bytes: u64,
    /// Durable consumers and open ephemeral subscriptions. A backend of several
    /// servers may take a moment to count a change.
    pub consumers: usize,
}

impl ProviderInfo {
    /// An empty backend called `provider`.
    #[must_use]
    pub fn new(provider: impl Into<String>) -> Self {
        Self {
            provider: provider.into(),
            messages: 0,
            bytes: 0,
            consumers: 0,
        }
    }

    /// Sets [`messages`](Self::messages).
    #[must_use]
    pub const fn with_messages(mut self, messages: u64) -> Self {
        self.messages = messages;
        self
    }

    /// Sets [`bytes`](Self::bytes).
    #[must_use]
    pub const fn with_bytes(mut self, bytes: u64) -> Self {
        self.bytes = bytes;
        self
    }

    /// Sets [`consumers`](Self::consumers).
    #[must_use]
    pub const fn with_consumers(mut self, consumers: usize) -> Self {
        self.consumers = consumers;
        self
    }
}

/// How far a durable consumer is behind.
///
/// # Examples
///
/// ```
/// use a3s_event_core::provider::ConsumerInfo;
///
/// let info = ConsumerInfo::new(120, 3);
/// assert_eq!((info.pending, info.unanswered), (120, 3));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConsumerInfo {
    /// Matching events that were not delivered yet.
    pub pending: u64,
    /// Delivered events without an answer that settles them, over all handles;
    /// refused ones that wait for their next delivery included.
    pub unanswered: u64,
}

impl ConsumerInfo {
    /// A consumer with `pending` undelivered and `unanswered` unsettled events.
    #[must_use]
    pub const fn new(pending: u64, unanswered: u64) -> Self {
        Self {
            pending,
            unanswered,
        }
    }
}

macro_rules! capabilities {
    ($($(#[$doc:meta])* $field:ident / $with:ident = $default:literal,)+) => {
        /// What a provider honors.
        ///
        /// What is not claimed is refused by the bus when it changes the meaning
        /// of a call, and warned about once when it only tunes it. The default
        /// claims what the required methods imply.
        ///
        /// # Examples
        ///
        /// ```
        /// use a3s_event_core::provider::Capabilities;
        ///
        /// let capabilities = Capabilities::default().with_deduplication(true);
        /// assert!(capabilities.durability && capabilities.deduplication);
        /// assert!(!capabilities.expected_sequence);
        /// ```
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Capabilities {
            $($(#[$doc])* pub $field: bool,)+
        }

        impl Default for Capabilities {
            fn default() -> Self {
                Self { $($field: $default,)+ }
            }
        }

        impl Capabilities {
            /// Claims everything, except to run inside the process.
            #[must_use]
            pub const fn all() -> Self {
                Self { in_process: false, ..Self { $($field: true,)+ } }
            }

            $(
                #[doc = concat!("Sets [`", stringify!($field), "`](Self::", stringify!($field), ").")]
                #[must_use]
                pub const fn $with(mut self, claimed: bool) -> Self {
                    self.$field = claimed;
                    self
                }
            )+
        }
    };
}

capabilities! {
    /// Durable consumers keep their position.
    durability / with_durability = true,
    /// Unanswered and refused events are delivered again, with a growing
    /// [`num_delivered`](crate::types::ReceivedEvent::num_delivered).
    redelivery / with_redelivery = true,
    /// [`msg_id`](crate::types::PublishOptions::msg_id).
    deduplication / with_deduplication = false,
    /// [`expected_sequence`](crate::types::PublishOptions::expected_sequence).
    expected_sequence / with_expected_sequence = false,
    /// [`timeout_secs`](crate::types::PublishOptions::timeout_secs).
    publish_timeout / with_publish_timeout = false,
    /// Every [`DeliverPolicy`](crate::types::DeliverPolicy).
    deliver_policies / with_deliver_policies = false,
    /// [`max_deliver`](crate::types::SubscribeOptions::max_deliver).
    max_deliver / with_max_deliver = false,
    /// [`ack_wait_secs`](crate::types::SubscribeOptions::ack_wait_secs).
    ack_wait / with_ack_wait = false,
    /// [`backoff_secs`](crate::types::SubscribeOptions::backoff_secs).
    backoff / with_backoff = false,
    /// [`max_ack_pending`](crate::types::SubscribeOptions::max_ack_pending).
    max_ack_pending / with_max_ack_pending = false,
    /// [`prefetch`](crate::types::SubscribeOptions::prefetch).
    prefetch / with_prefetch = false,
    /// [`PendingEvent::ack_confirmed`](crate::provider::PendingEvent::ack_confirmed)
    /// returns only after the backend has answered.
    confirmed_ack / with_confirmed_ack = false,
    /// [`PendingEvent::nak_after`](crate::provider::PendingEvent::nak_after).
    nak_delay / with_nak_delay = false,
    /// [`PendingEvent::term`](crate::provider::PendingEvent::term) is more than an ack.
    term / with_term = false,
    /// [`PendingEvent::in_progress`](crate::provider::PendingEvent::in_progress).
    in_progress / with_in_progress = false,
    /// Runs inside the process: an operation takes nanoseconds, so that the bus
    /// times only some of them.
    in_process / with_in_process = false,
}
