use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::timeout;

use super::connection::Connection;
use crate::observe::{event::Event, observer::Observer};

/// Reports once if the server may discard records when its memory is full.
#[derive(Clone, Default)]
pub(super) struct EvictionCheck {
    observer: Observer,
    is_reported: Arc<AtomicBool>,
}

impl EvictionCheck {
    pub(super) fn new(observer: Observer) -> Self {
        Self { observer, is_reported: Arc::default() }
    }

    /// Asks the server in a task. A server that does not tell is not reported.
    pub(super) fn start(&self, connection: Connection, limit: Duration) {
        let this = self.clone();
        tokio::spawn(async move {
            let Ok(Ok(servers)) = timeout(limit, connection.memory_info()).await else { return };
            if let Some(policy) = servers.iter().find_map(|info| evicting_policy(info))
                && !this.is_reported.swap(true, Ordering::Relaxed)
            {
                this.observer.observe(&Event::StoreMayEvict { policy });
            }
        });
    }
}

/// Returns the `maxmemory-policy` in `INFO memory` unless it is `noeviction`.
fn evicting_policy(info: &str) -> Option<&str> {
    let policy = info.lines().find_map(|line| line.strip_prefix("maxmemory_policy:"))?.trim();
    let is_policy = |c: char| c.is_ascii_lowercase() || c == '-';
    (policy != "noeviction" && policy.len() <= 32 && policy.chars().all(is_policy))
        .then_some(policy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_policy_that_evicts_is_returned() {
        let info = |name: &str| format!("# Memory\r\nmaxmemory:0\r\nmaxmemory_policy:{name}\r\n");
        for policy in ["allkeys-lru", "volatile-ttl"] {
            assert_eq!(evicting_policy(&info(policy)), Some(policy));
        }
        for info in [info("noeviction"), info("\u{1b}[2J"), "maxmemory:0".into(), String::new()] {
            assert_eq!(evicting_policy(&info), None, "{info:?}");
        }
    }
}
