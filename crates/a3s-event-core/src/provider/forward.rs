use std::sync::Arc;

use async_trait::async_trait;

use super::{Capabilities, ConsumerInfo, EventProvider, ProviderInfo, Subscription};
use crate::{
    Result,
    types::{Event, PublishOptions, SubscribeOptions},
};

// A method that is not forwarded would silently lose an override: the test
// `every_method_is_forwarded` covers all of them.
macro_rules! forward_provider {
    ($pointer:ident) => {
        #[async_trait]
        impl<P: EventProvider + ?Sized> EventProvider for $pointer<P> {
            async fn publish(&self, event: &Event) -> Result<u64> {
                (**self).publish(event).await
            }

            async fn subscribe(&self, filter_subject: &str) -> Result<Box<dyn Subscription>> {
                (**self).subscribe(filter_subject).await
            }

            async fn subscribe_durable(
                &self,
                consumer_name: &str,
                filter_subject: &str,
            ) -> Result<Box<dyn Subscription>> {
                (**self)
                    .subscribe_durable(consumer_name, filter_subject)
                    .await
            }

            async fn history(
                &self,
                filter_subject: Option<&str>,
                limit: usize,
            ) -> Result<Vec<Event>> {
                (**self).history(filter_subject, limit).await
            }

            async fn unsubscribe(&self, consumer_name: &str) -> Result<()> {
                (**self).unsubscribe(consumer_name).await
            }

            async fn info(&self) -> Result<ProviderInfo> {
                (**self).info().await
            }

            async fn consumer_info(&self, consumer_name: &str) -> Result<ConsumerInfo> {
                (**self).consumer_info(consumer_name).await
            }

            fn build_subject(&self, category: &str, topic: &str) -> String {
                (**self).build_subject(category, topic)
            }

            fn category_subject(&self, category: &str) -> String {
                (**self).category_subject(category)
            }

            fn name(&self) -> &str {
                (**self).name()
            }

            async fn publish_with_options(
                &self,
                event: &Event,
                options: &PublishOptions,
            ) -> Result<u64> {
                (**self).publish_with_options(event, options).await
            }

            async fn publish_batch(&self, events: &[Event]) -> Result<Vec<u64>> {
                (**self).publish_batch(events).await
            }

            async fn subscribe_with_options(
                &self,
                filter_subject: &str,
                options: &SubscribeOptions,
            ) -> Result<Box<dyn Subscription>> {
                (**self)
                    .subscribe_with_options(filter_subject, options)
                    .await
            }

            async fn subscribe_durable_with_options(
                &self,
                consumer_name: &str,
                filter_subject: &str,
                options: &SubscribeOptions,
            ) -> Result<Box<dyn Subscription>> {
                (**self)
                    .subscribe_durable_with_options(consumer_name, filter_subject, options)
                    .await
            }

            async fn health(&self) -> Result<bool> {
                (**self).health().await
            }

            fn subject_prefix(&self) -> &str {
                (**self).subject_prefix()
            }

            fn capabilities(&self) -> Capabilities {
                (**self).capabilities()
            }

            async fn close(&self) -> Result<()> {
                (**self).close().await
            }
        }
    };
}

forward_provider!(Box);
forward_provider!(Arc);
