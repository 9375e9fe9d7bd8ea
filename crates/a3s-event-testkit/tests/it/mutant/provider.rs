use std::{sync::Arc, time::Duration};

use a3s_event_core::{
    Result, async_trait,
    provider::{Capabilities, ConsumerInfo, EventProvider, ProviderInfo, Subscription},
    types::{Event, PublishOptions, SubscribeOptions},
};
use a3s_event_testkit::{Clock, Harness, Limits};

use super::{Inner, Mutant, subscription::MutantSubscription};

impl Mutant {
    fn provider(self, limits: Limits) -> Arc<dyn EventProvider> {
        Arc::new(MutantProvider {
            inner: (self.build)(limits),
            mutant: self,
        })
    }

    fn wrap(self, opened: Result<Box<dyn Subscription>>) -> Result<Box<dyn Subscription>> {
        let inner = opened.map_err(self.error)?;
        Ok(Box::new(MutantSubscription::new(inner, self)))
    }
}

pub(super) struct MutantHarness(pub(super) Mutant);

#[async_trait]
impl Harness for MutantHarness {
    async fn provider(&self) -> Arc<dyn EventProvider> {
        self.0.provider(Limits::default())
    }

    async fn provider_with(&self, limits: Limits) -> Option<Arc<dyn EventProvider>> {
        Some(self.0.provider(limits))
    }

    async fn reopen(&self) -> Option<Arc<dyn EventProvider>> {
        if !self.0.reopens {
            return None;
        }
        Some(self.provider().await)
    }

    fn clock(&self) -> Clock {
        Clock::Tokio
    }

    // Cases that need threads run on the real clock: they should fail soon.
    fn patience(&self) -> Duration {
        Duration::from_secs(5)
    }

    fn quiet(&self) -> Duration {
        Duration::from_millis(50)
    }

    fn counts_missed(&self) -> bool {
        true
    }
}

struct MutantProvider {
    inner: Inner,
    mutant: Mutant,
}

impl MutantProvider {
    fn inner(&self) -> Inner {
        Arc::clone(&self.inner)
    }
}

#[async_trait]
impl EventProvider for MutantProvider {
    async fn publish(&self, event: &Event) -> Result<u64> {
        self.publish_with_options(event, &PublishOptions::default())
            .await
    }

    async fn subscribe(&self, filter_subject: &str) -> Result<Box<dyn Subscription>> {
        self.subscribe_with_options(filter_subject, &SubscribeOptions::default())
            .await
    }

    async fn subscribe_durable(
        &self,
        consumer_name: &str,
        filter_subject: &str,
    ) -> Result<Box<dyn Subscription>> {
        let options = SubscribeOptions::default();
        self.subscribe_durable_with_options(consumer_name, filter_subject, &options)
            .await
    }

    async fn history(&self, filter_subject: Option<&str>, limit: usize) -> Result<Vec<Event>> {
        let filter = filter_subject.map(str::to_owned);
        let history = (self.mutant.history)(self.inner(), filter, limit).await;
        history.map_err(self.mutant.error)
    }

    async fn unsubscribe(&self, consumer_name: &str) -> Result<()> {
        let outcome = (self.mutant.unsubscribe)(self.inner(), consumer_name.to_owned()).await;
        outcome.map_err(self.mutant.error)
    }

    async fn info(&self) -> Result<ProviderInfo> {
        let info = self.inner.info().await.map_err(self.mutant.error)?;
        Ok((self.mutant.info)(info))
    }

    async fn consumer_info(&self, consumer_name: &str) -> Result<ConsumerInfo> {
        let info = (self.mutant.consumer_info)(self.inner(), consumer_name.to_owned()).await;
        info.map_err(self.mutant.error)
    }

    fn build_subject(&self, category: &str, topic: &str) -> String {
        self.inner.build_subject(category, topic)
    }

    fn category_subject(&self, category: &str) -> String {
        self.inner.category_subject(category)
    }

    fn name(&self) -> &str {
        self.inner.name()
    }

    async fn publish_with_options(&self, event: &Event, options: &PublishOptions) -> Result<u64> {
        let stored = (self.mutant.publish)(self.inner(), event.clone(), options.clone()).await;
        stored.map_err(self.mutant.error)
    }

    async fn publish_batch(&self, events: &[Event]) -> Result<Vec<u64>> {
        let stored = (self.mutant.batch)(self.inner(), events.to_vec()).await;
        stored.map_err(self.mutant.error)
    }

    async fn subscribe_with_options(
        &self,
        filter_subject: &str,
        options: &SubscribeOptions,
    ) -> Result<Box<dyn Subscription>> {
        let pattern = filter_subject.to_owned();
        let opened = (self.mutant.subscribe)(self.inner(), pattern, options.clone()).await;
        self.mutant.wrap(opened)
    }

    async fn subscribe_durable_with_options(
        &self,
        consumer_name: &str,
        filter_subject: &str,
        options: &SubscribeOptions,
    ) -> Result<Box<dyn Subscription>> {
        let (name, pattern) = (consumer_name.to_owned(), filter_subject.to_owned());
        let opened = (self.mutant.durable)(self.inner(), name, pattern, options.clone()).await;
        self.mutant.wrap(opened)
    }

    async fn health(&self) -> Result<bool> {
        (self.mutant.health)(self.inner())
            .await
            .map_err(self.mutant.error)
    }

    fn subject_prefix(&self) -> &str {
        (self.mutant.prefix)(self.inner.subject_prefix())
    }

    fn capabilities(&self) -> Capabilities {
        (self.mutant.claims)(self.inner.capabilities())
    }

    async fn close(&self) -> Result<()> {
        (self.mutant.close)(self.inner())
            .await
            .map_err(self.mutant.error)
    }
}
