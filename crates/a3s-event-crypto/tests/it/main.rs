//! The public behavior of the crate.

#![allow(clippy::unwrap_used, reason = "tests may unwrap")]

mod envelope;
mod keys;
mod rotation;
mod round_trip;
mod secrecy;
mod secret_key;

use a3s_event_core::types::Event;
use a3s_event_crypto::Aes256GcmEncryptor;
use serde_json::Value;

const KEY: [u8; 32] = [0x42; 32];
const OTHER_KEY: [u8; 32] = [0x7a; 32];

fn encryptor() -> Aes256GcmEncryptor {
    Aes256GcmEncryptor::new("key-1", &KEY)
}

fn event(payload: Value) -> Event {
    Event::typed(
        "events.market.forex.usd_cny",
        "market",
        "forex.rate_change",
        2,
        "USD/CNY",
        "reuters",
        payload,
    )
}
