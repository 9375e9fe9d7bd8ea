use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Unix milliseconds of the system's clock; 0 before 1970.
pub(crate) fn now_millis() -> u64 {
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
}
