use std::{
    borrow::Cow,
    collections::BTreeSet,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use a3s_event_core::{
    EventError, Result,
    provider::{Capabilities, EventProvider},
    subject::{SubjectPattern, SubjectPrefix, validate_subject},
    types::{DeliverPolicy, PublishOptions, SubscribeOptions},
};

/// The provider, and what it honors.
pub(crate) struct Backend {
    provider: Arc<dyn EventProvider>,
    pub(crate) capabilities: Capabilities,
    /// `None` when the provider's prefix breaks the rules.
    prefix: Option<SubjectPrefix>,
    best_effort: bool,
    /// Options that were dropped and warned about.
    warned: Mutex<BTreeSet<&'static str>>,
    pub(crate) status: Arc<Status>,
}

/// What subscriptions know of the backend. They do not hold the provider, so
/// that it ends them when its last owner drops it.
pub(crate) struct Status {
    pub(crate) provider_name: String,
    closed: AtomicBool,
}

impl Status {
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }
}

impl Backend {
    pub(crate) fn new(provider: Arc<dyn EventProvider>, best_effort: bool) -> Self {
        Self {
            capabilities: provider.capabilities(),
            prefix: SubjectPrefix::parse(provider.subject_prefix()).ok(),
            status: Arc::new(Status {
                provider_name: provider.name().to_owned(),
                closed: AtomicBool::new(false),
            }),
            provider,
            best_effort,
            warned: Mutex::default(),
        }
    }

    // A reference, because methods of the `Arc` itself are one call more.
    pub(crate) fn provider(&self) -> &dyn EventProvider {
        &*self.provider
    }

    pub(crate) fn provider_arc(&self) -> Arc<dyn EventProvider> {
        Arc::clone(&self.provider)
    }

    pub(crate) fn name(&self) -> &str {
        self.provider.name()
    }

    pub(crate) fn close(&self) {
        self.status.closed.store(true, Ordering::Release);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.status.is_closed()
    }

    pub(crate) fn ensure_open(&self) -> Result<()> {
        if self.is_closed() {
            return Err(EventError::closed("event bus"));
        }
        Ok(())
    }

    /// Checks the subject of a pre-built event.
    ///
    /// A provider in this process checks it too, remembers the outcome, and
    /// takes less time for all the rest than this check.
    pub(crate) fn check_subject(&self, subject: &str) -> Result<()> {
        if self.capabilities.in_process {
            return Ok(());
        }
        match &self.prefix {
            Some(prefix) => prefix.check_subject(subject),
            None => validate_subject(subject),
        }
    }

    pub(crate) fn parse_pattern(&self, pattern: &str) -> Result<SubjectPattern> {
        match &self.prefix {
            Some(prefix) => prefix.parse_pattern(pattern),
            None => SubjectPattern::parse(pattern),
        }
    }

    /// Checks publish options and takes out those that only tune and that the
    /// provider does not offer.
    pub(crate) fn honored_publish<'a>(
        &self,
        mut options: Cow<'a, PublishOptions>,
    ) -> Result<Cow<'a, PublishOptions>> {
        if *options == PublishOptions::default() {
            return Ok(options);
        }
        options.validate()?;
        for option in options.set_options() {
            if self.keeps(option)? {
                continue;
            }
            let options = options.to_mut();
            match option {
                "msg_id" => options.msg_id = None,
                "expected_sequence" => options.expected_sequence = None,
                _ => options.timeout_secs = None,
            }
        }
        Ok(options)
    }

    /// Checks subscribe options and gives what to ask the provider for.
    ///
    /// The cap on deliveries stays here: the bus counts itself and leaves the
    /// provider's own cap unlimited, so that neither a crash on the last attempt
    /// nor a failed dead-letter write strands an event. Nothing is read ahead
    /// then, because a delivery that nobody saw would count.
    pub(crate) fn honored_subscribe(&self, options: &SubscribeOptions) -> Result<SubscribeOptions> {
        options.validate()?;
        let mut honored = options.clone();
        if options.delivery_cap().is_some() {
            honored.prefetch = self.capabilities.prefetch.then_some(0);
        }
        honored.max_deliver = None;
        for option in honored.clone().set_options() {
            if self.keeps(option)? {
                continue;
            }
            match option {
                "deliver_policy" => honored.deliver_policy = DeliverPolicy::All,
                "max_ack_pending" => honored.max_ack_pending = None,
                "backoff_secs" => honored.backoff_secs.clear(),
                "ack_wait_secs" => honored.ack_wait_secs = None,
                _ => honored.prefetch = None,
            }
        }
        Ok(honored)
    }

    /// Whether a filter that asks for durability gets it.
    pub(crate) fn honored_durability(&self, durable: bool) -> Result<bool> {
        Ok(durable && self.keeps("durable")?)
    }

    /// Whether the provider gets `option`; an error if it must not be dropped.
    fn keeps(&self, option: &'static str) -> Result<bool> {
        let claimed = &self.capabilities;
        let (honored, changes_meaning) = match option {
            "msg_id" => (claimed.deduplication, true),
            "expected_sequence" => (claimed.expected_sequence, true),
            "deliver_policy" => (claimed.deliver_policies, true),
            "durable" => (claimed.durability, true),
            "timeout_secs" => (claimed.publish_timeout, false),
            "max_ack_pending" => (claimed.max_ack_pending, false),
            "backoff_secs" => (claimed.backoff, false),
            "ack_wait_secs" => (claimed.ack_wait, false),
            "prefetch" => (claimed.prefetch, false),
            // An option that core added since: the provider decides.
            _ => (true, true),
        };
        if honored {
            return Ok(true);
        }
        if changes_meaning && !self.best_effort {
            return Err(EventError::unsupported(self.name().to_owned(), option));
        }
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if warned.insert(option) {
            tracing::warn!(
                provider = self.name(),
                option,
                "the provider does not support this option: it is left out from now on"
            );
        }
        Ok(false)
    }
}
