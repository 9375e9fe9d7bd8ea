//! What a provider does not claim it refuses: each guard is true where the case
//! applies, and otherwise proves the refusal before it says so.

use std::time::Duration;

use a3s_event_core::{
    Result,
    provider::{Capabilities, Subscription},
    types::{PublishOptions, SubscribeOptions},
};

use super::{Case, assert_unsupported};
use crate::Reader;

/// A long delay: nothing that waits for it comes during a case.
const LONG: Duration = Duration::from_secs(3600);

impl Case {
    /// Subscribes to everything with `options`. `None` where the provider does
    /// not claim one of them: then it has refused, and created nothing.
    pub(crate) async fn ephemeral(&self, options: &SubscribeOptions) -> Option<Reader> {
        self.ephemeral_on(&self.everything(), options).await
    }

    /// Subscribes to `pattern` with `options`, like [`ephemeral`](Self::ephemeral).
    pub(crate) async fn ephemeral_on(
        &self,
        pattern: &str,
        options: &SubscribeOptions,
    ) -> Option<Reader> {
        let before = self.consumers().await;
        let opened = self.provider.subscribe_with_options(pattern, options).await;
        self.honored_or_refused(self.claims_all_of(options), opened, before)
            .await
    }

    /// Opens a durable on everything with `options`. `None` where the provider
    /// does not claim durability or one of them: then it has refused, and
    /// created nothing.
    pub(crate) async fn durable(&self, name: &str, options: &SubscribeOptions) -> Option<Reader> {
        self.durable_on(name, &self.everything(), options).await
    }

    /// Opens a durable on `pattern` with `options`, like [`durable`](Self::durable).
    pub(crate) async fn durable_on(
        &self,
        name: &str,
        pattern: &str,
        options: &SubscribeOptions,
    ) -> Option<Reader> {
        let before = self.consumers().await;
        let claimed = self.claims().durability && self.claims_all_of(options);
        let opened = if *options == SubscribeOptions::default() {
            self.provider.subscribe_durable(name, pattern).await
        } else {
            self.provider
                .subscribe_durable_with_options(name, pattern, options)
                .await
        };
        self.honored_or_refused(claimed, opened, before).await
    }

    async fn honored_or_refused(
        &self,
        claimed: bool,
        opened: Result<Box<dyn Subscription>>,
        consumers_before: usize,
    ) -> Option<Reader> {
        if claimed {
            return Some(self.reader(opened.expect("the provider claims to honor this")));
        }
        assert_unsupported(opened.map(drop));
        assert_eq!(self.consumers().await, consumers_before);
        None
    }

    pub(crate) fn claims_all_of(&self, options: &SubscribeOptions) -> bool {
        let claims = self.claims();
        options
            .set_options()
            .all(|option| claims_subscribe(claims, option))
    }

    /// Publishes one event with `options`. `None` where the provider does not
    /// claim one of them: then it has refused, and stored nothing.
    pub(crate) async fn publish_with(
        &self,
        topic: &str,
        options: &PublishOptions,
    ) -> Option<Result<u64>> {
        let claims = self.claims();
        let claimed = options
            .set_options()
            .all(|option| claims_publish(claims, option));
        let event = self.event(topic);
        let outcome = self.provider.publish_with_options(&event, options).await;
        if claimed {
            return Some(outcome);
        }
        assert_unsupported(outcome);
        assert!(!self.stored_ids().await.contains(&event.id));
        None
    }

    /// Whether refused events come again; otherwise a nak is refused.
    pub(crate) async fn redelivers(&self) -> bool {
        if self.claims().redelivery {
            return true;
        }
        let mut reader = self.with_one_event().await;
        assert_unsupported(reader.pending().await.nak().await);
        reader.nothing().await;
        false
    }

    /// Whether a nak can be delayed; otherwise a delayed nak is refused.
    pub(crate) async fn delays(&self) -> bool {
        if self.claims().nak_delay {
            return true;
        }
        let mut reader = self.with_one_event().await;
        assert_unsupported(reader.pending().await.nak_after(LONG).await);
        false
    }

    /// Whether the time to answer can be extended; otherwise that is refused.
    pub(crate) async fn extends(&self) -> bool {
        if self.claims().in_progress {
            return true;
        }
        let mut reader = self.with_one_event().await;
        assert_unsupported(reader.pending().await.in_progress().await);
        false
    }

    async fn with_one_event(&self) -> Reader {
        self.publish("refused").await;
        self.subscribe_all().await
    }
}

/// Whether `claims` covers the subscribe option called `option`.
pub(crate) fn claims_subscribe(claims: Capabilities, option: &str) -> bool {
    match option {
        "deliver_policy" => claims.deliver_policies,
        "max_deliver" => claims.max_deliver,
        "max_ack_pending" => claims.max_ack_pending,
        "backoff_secs" => claims.backoff,
        "ack_wait_secs" => claims.ack_wait,
        "prefetch" => claims.prefetch,
        _ => panic!("the suite does not know the option {option}"),
    }
}

/// Whether `claims` covers the publish option called `option`.
pub(crate) fn claims_publish(claims: Capabilities, option: &str) -> bool {
    match option {
        "msg_id" => claims.deduplication,
        "expected_sequence" => claims.expected_sequence,
        "timeout_secs" => claims.publish_timeout,
        _ => panic!("the suite does not know the option {option}"),
    }
}
