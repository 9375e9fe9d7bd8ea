//! Publishes to memory: what `cargo xtask ci --full` counts the instructions of.
//!
//! `publishes WHAT COUNT` publishes the same events over and over, through the
//! bare provider or through a bus with more or less measuring, and ends. The
//! difference of two counts is what the publishes alone take, once the history
//! is full, as it is in the long run.
//!
//! | what | measures |
//! | --- | --- |
//! | `provider` | nothing: no bus |
//! | `off` | nothing |
//! | `counters` | counters, never the clock |
//! | `sampled` | the default: counters, and one publish in 16 by the clock |
//! | `exported` | the default, also for a recorder of the `metrics` crate |
//! | `full` | counters and each publish by the clock, also for a recorder |

use std::env;

use a3s_event::{
    EventBus, Result,
    provider::{
        EventProvider,
        memory::{MemoryConfig, MemoryProvider},
    },
};
use a3s_event_benches::{SUBJECTS, events, single_thread};
use metrics_util::debugging::DebuggingRecorder;

const USAGE: &str = "usage: publishes provider|off|counters|sampled|exported|full COUNT";

fn main() -> Result<()> {
    let mut arguments = env::args().skip(1);
    let what = arguments.next().expect(USAGE);
    let count: usize = arguments
        .next()
        .and_then(|text| text.parse().ok())
        .expect(USAGE);
    let events = events(SUBJECTS);
    let events = events.iter().cycle().take(count);
    let provider = MemoryProvider::new(MemoryConfig {
        max_events: 512,
        ..MemoryConfig::default()
    });
    let recorder = DebuggingRecorder::new();
    single_thread().block_on(async {
        if what == "provider" {
            let provider: Box<dyn EventProvider> = Box::new(provider);
            for event in events {
                provider.publish(event).await?;
            }
            return Ok(());
        }
        let bus = EventBus::builder(provider);
        let bus = match what.as_str() {
            "off" => bus.metrics(false),
            "counters" => bus.latency_sampling(0),
            "sampled" => bus,
            "exported" => bus.recorder(&recorder),
            "full" => bus.latency_sampling(1).recorder(&recorder),
            _ => panic!("{USAGE}"),
        };
        let bus = bus.build();
        for event in events {
            bus.publish_event(event).await?;
        }
        Ok(())
    })
}
