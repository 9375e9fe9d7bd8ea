//! What the bus adds to a provider, with the same cases on every provider.
//!
//! A case gets a [`Stage`](stage::Stage): storage of its own and as many
//! processes on it as it asks for. It is a test of its own on memory, where
//! time is paused, and on a real server.

/// Makes tests of cases, `async fn(Stage)`, on memory and on NATS.
macro_rules! cases {
    ($($(#[$attribute:meta])* $case:ident)+ $(; on nats only: $($foreign:ident)+)?) => {
        mod memory {
            $(
                $(#[$attribute])*
                #[test]
                fn $case() {
                    crate::pipeline::stage::Stage::memory().play(super::$case);
                }
            )+
        }

        #[cfg(feature = "full")]
        mod nats {
            $(
                $(#[$attribute])*
                #[test]
                #[ignore = "needs nats-server"]
                fn $case() {
                    crate::pipeline::stage::Stage::nats().play(super::$case);
                }
            )+
            $($(
                #[test]
                #[ignore = "needs nats-server"]
                fn $foreign() {
                    crate::pipeline::stage::Stage::nats().play(super::$foreign);
                }
            )+)?
        }
    };
}

mod batches;
mod dead_letters;
mod encryption;
mod everyday;
mod schemas;
pub(crate) mod stage;
mod subscriptions;
pub(crate) mod support;
