//! The time at which a webhook was sent.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Later timestamps have the year 33658 or more.
const MAX_DIGITS: usize = 12;

/// Parses a number of seconds since 1970: digits only.
pub(crate) fn parse(text: &str) -> Option<u64> {
    let is_number = (1..=MAX_DIGITS).contains(&text.len());
    (is_number && text.bytes().all(|byte| byte.is_ascii_digit())).then_some(())?;
    text.parse().ok()
}

/// Returns the seconds since 1970, or 0 before that.
pub(crate) fn unix_seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Returns whether a timestamp is at most `tolerance` before or after `now`, in whole seconds.
pub(crate) fn is_current(timestamp: u64, now: SystemTime, tolerance: Duration) -> bool {
    Duration::from_secs(unix_seconds(now).abs_diff(timestamp)) <= tolerance
}
