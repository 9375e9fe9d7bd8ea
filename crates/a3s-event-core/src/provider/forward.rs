use std::sync::Arc;

use super::{Capabilities, ConsumerInfo, EventProvider, ProviderInfo, Subscription};
use crate::{
    BoxFuture, Result,
    types::{Event, PublishOptions, SubscribeOptions},
};

// The asynchronous methods are written as `async_trait` expands them, without
// `async`: the future of the inner provider is passed on as it is, where an
// `async fn` would box it a second time.
//
// A method that is not forwarded would silently lose an override: the test
// `every_method_is_forwarded` covers all of them.
macro_rules! forward_provider {
    ($pointer:ident) => {
        impl<P: EventProvider + ?Sized> EventProvider for $pointer<P> {
            forward_async! {
                fn publish<'event>(event: &'event Event) -> u64;
                fn subscribe<'filter>(filter_subject: &'filter str) -> Box<dyn Subscription>;
                fn subscribe_durable<'name, 'filter>(
                    consumer_name: &'name str,
                    filter_subject: &'filter str,
                ) -> Box<dyn Subscription>;
                fn history<'filter>(
                    filter_subject: Option<&'filter str>,
                    limit: usize,
                ) -> Vec<Event>;
                fn unsubscribe<'name>(consumer_name: &'name str) -> ();
                fn info<>() -> ProviderInfo;
                fn consumer_info<'name>(consumer_name: &'name str) -> ConsumerInfo;
                fn publish_with_options<'event, 'options>(
                    event: &'event Event,
                    options: &'options PublishOptions,
                ) -> u64;
                fn publish_batch<'events>(events: &'events [Event]) -> Vec<u64>;
                fn subscribe_with_options<'filter, 'options>(
                    filter_subject: &'filter str,
                    options: &'options SubscribeOptions,
                ) -> Box<dyn Subscription>;
                fn subscribe_durable_with_options<'name, 'filter, 'options>(
                    consumer_name: &'name str,
                    filter_subject: &'filter str,
                    options: &'options SubscribeOptions,
                ) -> Box<dyn Subscription>;
                fn health<>() -> bool;
                fn close<>() -> ();
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

            fn subject_prefix(&self) -> &str {
                (**self).subject_prefix()
            }

            fn capabilities(&self) -> Capabilities {
                (**self).capabilities()
            }
        }
    };
}

macro_rules! forward_async {
    ($(fn $method:ident<$($life:lifetime),*>(
        $($argument:ident: $type:ty),* $(,)?
    ) -> $output:ty;)+) => {$(
        fn $method<'this, $($life,)* 'async_trait>(
            &'this self,
            $($argument: $type,)*
        ) -> BoxFuture<'async_trait, Result<$output>>
        where
            'this: 'async_trait,
            $($life: 'async_trait,)*
            Self: 'async_trait,
        {
            (**self).$method($($argument),*)
        }
    )+};
}

forward_provider!(Box);
forward_provider!(Arc);
