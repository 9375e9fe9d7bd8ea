//! What does the bus cost beside its provider alone, and encryption beside its
//! parts: JSON, a random nonce, AES-256-GCM and base64?

use std::{hint::black_box, sync::Arc};

use a3s_event::{
    Event, EventBus, Result,
    crypto::{Aes256GcmEncryptor, EventEncryptor},
    provider::memory::MemoryProvider,
    schema::{EventSchema, MemorySchemaRegistry, SchemaRegistry},
};
use a3s_event_benches::{
    Arguments, Goal, Stopwatch, Table, event, events, memory, payload, payload_of, single_thread,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    rand::{SecureRandom, SystemRandom},
};

const SUBJECT: &str = "events.market.forex.usd_cny";
const KEY: [u8; 32] = [7; 32];

fn main() -> Result<()> {
    let arguments = Arguments::read();
    let title = "The pipeline, beside the provider alone and the parts of encryption";
    let table = Table::new(title, &arguments);
    bus(&table, arguments.scaled(100_000))?;
    for (size, operations) in [(1024, 20_000), (64 * 1024, 1000)] {
        encryption(&table, size, arguments.scaled(operations));
    }
    Ok(())
}

fn bus(table: &Table, operations: usize) -> Result<()> {
    let runtime = single_thread();
    let publish = |bus: &EventBus, events: &[Event]| {
        let stopwatch = Stopwatch::start();
        runtime.block_on(async {
            for event in events {
                black_box(bus.publish_event(event).await.expect("published"));
            }
        });
        stopwatch.time(operations)
    };
    let alone = || {
        let (provider, events) = (memory(0), events(operations));
        let stopwatch = Stopwatch::start();
        runtime.block_on(async {
            for event in &events {
                black_box(provider.publish(event).await.expect("published"));
            }
        });
        stopwatch.time(operations)
    };
    let untyped = || publish(&EventBus::from_provider(memory(0)), &events(operations));
    table.compare(
        "publish through the bus, beside the provider",
        [("", Goal::Stated)],
        untyped,
        alone,
    );

    let registry = MemorySchemaRegistry::new();
    registry.register(EventSchema {
        event_type: "rate".to_owned(),
        version: 1,
        required_fields: ["rate", "pair"].map(str::to_owned).to_vec(),
        description: String::new(),
    })?;
    let registry: Arc<dyn SchemaRegistry> = Arc::new(registry);
    let typed = || {
        let bus = EventBus::with_schema_registry(MemoryProvider::default(), Arc::clone(&registry));
        let make = |_| Event::typed(SUBJECT, "market", "rate", 1, "", "reuters", payload());
        publish(&bus, &(0..operations).map(make).collect::<Vec<_>>())
    };
    table.compare(
        "publish of a typed event with its schema, beside the provider",
        [("", Goal::Stated)],
        typed,
        alone,
    );
    Ok(())
}

fn encryption(table: &Table, size: usize, operations: usize) {
    let encryptor = Aes256GcmEncryptor::new("bench", &KEY);
    let event = event(SUBJECT, payload_of(size));
    let ours = || {
        let stopwatch = Stopwatch::start();
        for _ in 0..operations {
            black_box(encryptor.encrypt_event(&event).expect("encrypted"));
        }
        stopwatch.time(operations)
    };
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &KEY).expect("a key"));
    let random = SystemRandom::new();
    let parts = || {
        let stopwatch = Stopwatch::start();
        for _ in 0..operations {
            let mut text = serde_json::to_vec(&event.payload).expect("JSON");
            let mut nonce = [0; NONCE_LEN];
            random.fill(&mut nonce).expect("randomness");
            key.seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::empty(),
                &mut text,
            )
            .expect("encrypted");
            black_box((STANDARD.encode(nonce), STANDARD.encode(&text)));
        }
        stopwatch.time(operations)
    };
    let name = format!("encryption of {size} bytes, beside its parts");
    table.compare(&name, [("", Goal::AtLeast(0.8))], ours, parts);
}
