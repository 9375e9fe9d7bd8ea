//! Compiles only while every trait is usable as `dyn` and from any thread.

use std::sync::Arc;

use a3s_event_core::{
    crypto::EventEncryptor,
    dlq::DlqHandler,
    provider::{EventProvider, Settle, Subscription},
    schema::SchemaRegistry,
    state::StateStore,
};

const fn threadsafe<T: Send + Sync + ?Sized>() {}
const fn movable<T: Send + ?Sized>() {}

const _: () = {
    threadsafe::<dyn EventProvider>();
    threadsafe::<dyn Settle>();
    threadsafe::<dyn SchemaRegistry>();
    threadsafe::<dyn EventEncryptor>();
    threadsafe::<dyn StateStore>();
    threadsafe::<dyn DlqHandler>();
    movable::<dyn Subscription>();
};

const fn provider<P: EventProvider + ?Sized>() {}
const fn subscription<S: Subscription + ?Sized>() {}
const fn registry<R: SchemaRegistry + ?Sized>() {}
const fn encryptor<E: EventEncryptor + ?Sized>() {}
const fn store<S: StateStore + ?Sized>() {}
const fn handler<H: DlqHandler + ?Sized>() {}

// A shared or boxed trait object is itself an implementation.
const _: () = {
    provider::<Box<dyn EventProvider>>();
    provider::<Arc<dyn EventProvider>>();
    subscription::<Box<dyn Subscription>>();
    registry::<Box<dyn SchemaRegistry>>();
    registry::<Arc<dyn SchemaRegistry>>();
    encryptor::<Box<dyn EventEncryptor>>();
    encryptor::<Arc<dyn EventEncryptor>>();
    store::<Box<dyn StateStore>>();
    store::<Arc<dyn StateStore>>();
    handler::<Box<dyn DlqHandler>>();
    handler::<Arc<dyn DlqHandler>>();
};
