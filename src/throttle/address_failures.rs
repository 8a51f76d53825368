use std::hash::BuildHasher as _;
#[cfg(any(feature = "api-key", feature = "introspection"))]
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

#[cfg(feature = "issue")]
use http::request::Parts;

#[cfg(any(feature = "api-key", feature = "introspection"))]
use super::{in_flight::AttemptKeys, throttle::too_many_concurrent};
use super::{
    limits::Limits,
    throttle::{Throttle, to_wait, too_many_failures},
};
use crate::{basic::client_address::ClientAddress, rejection::Rejection};

/// Numbers the attempts, so that none shares the slot of another.
#[cfg(any(feature = "api-key", feature = "introspection"))]
static ATTEMPTS: AtomicU64 = AtomicU64::new(0);

/// An attempt of a client that has named no user, for example with an API key.
///
/// Like an [`Attempt`](super::throttle::Attempt), it counts as a failure if it is dropped before
/// [`finish`](Self::finish).
#[cfg(any(feature = "api-key", feature = "introspection"))]
pub(crate) struct AddressAttempt {
    throttle: Arc<Throttle>,
    /// Counts against the limit of attempts in flight.
    slot: AttemptKeys,
    /// What equal attempts share, so that they count as one failure. It has no networks.
    equal: AttemptKeys,
    limits: Limits,
    finished: bool,
}

#[cfg(any(feature = "api-key", feature = "introspection"))]
impl AddressAttempt {
    /// Records whether the attempt failed.
    pub(crate) fn finish(mut self, failed: bool) {
        self.end(failed);
    }

    fn end(&mut self, failed: bool) {
        if std::mem::replace(&mut self.finished, true) {
            return;
        }
        let now = self.throttle.now();
        let mut tables = self.throttle.tables();
        tables.in_flight.finish(self.slot, false);
        if tables.in_flight.finish(self.equal, failed) {
            tables.take_from_networks(self.slot.networks, self.limits, now);
        }
    }
}

#[cfg(any(feature = "api-key", feature = "introspection"))]
impl Drop for AddressAttempt {
    fn drop(&mut self) {
        self.end(true);
    }
}

/// Failures of a client that has named no user, for example with a forged refresh token. They are
/// counted in this process only, so that no such request burdens a store.
impl Throttle {
    /// Admits an attempt if the client has not exceeded the limit of its address, and does not have
    /// too many others in flight. Equal concurrent attempts count as one failure, but each costs a
    /// call of the store, so each counts as in flight.
    ///
    /// # Errors
    ///
    /// A rejection with the time until the next attempt.
    #[cfg(any(feature = "api-key", feature = "introspection"))]
    pub(crate) fn begin_attempt(
        self: &Arc<Self>,
        client: ClientAddress,
        credentials: &[u8],
    ) -> Result<AddressAttempt, Rejection> {
        let (networks, limits) = self.of_client(client);
        let number = ATTEMPTS.fetch_add(1, Ordering::Relaxed);
        let slot = self.hasher.hash_one(("attempt", number));
        let slot = AttemptKeys { networks, user: 0, pair: 0, credentials: slot };
        let credentials = self.hasher.hash_one(("address", client, credentials));
        let equal = AttemptKeys { networks: [None; 3], credentials, ..slot };
        let now = self.now();
        let mut tables = self.tables();
        match to_wait(tables.wait_of_networks(networks, limits, now)) {
            None if tables.in_flight.begin(slot, limits.max_in_flight()) => {
                tables.in_flight.begin(equal, u32::MAX);
                let throttle = Arc::clone(self);
                Ok(AddressAttempt { throttle, slot, equal, limits, finished: false })
            }
            None => Err(too_many_concurrent()),
            Some(wait) => Err(too_many_failures(wait)),
        }
    }

    /// Checks that the client has not exceeded the limit of failures from its address.
    ///
    /// # Errors
    ///
    /// A rejection with the time until the next attempt.
    #[cfg(feature = "issue")]
    pub(crate) fn check_address(&self, head: &Parts) -> Result<(), Rejection> {
        let (networks, limits) = self.of_client(self.client(head));
        let now = self.now();
        match to_wait(self.tables().wait_of_networks(networks, limits, now)) {
            None => Ok(()),
            Some(wait) => Err(too_many_failures(wait)),
        }
    }

    /// Counts a failure of the client.
    #[cfg(feature = "issue")]
    pub(crate) fn record_failure(&self, head: &Parts) {
        let (networks, limits) = self.of_client(self.client(head));
        let now = self.now();
        self.tables().take_from_networks(networks, limits, now);
    }

    /// Returns the keys and the limits of a client's networks.
    ///
    /// They are those of logins, unless the local limits of logins are divided, for an outage of
    /// the store. These failures are never in the store, so they have the full limits, and entries
    /// of their own.
    fn of_client(&self, client: ClientAddress) -> ([Option<u64>; 3], Limits) {
        let networks = self.network_keys(client);
        if self.limits.divisor == 1 {
            return (networks, self.limits);
        }
        let own = networks.map(|key| key.map(|key| self.hasher.hash_one(("address", key))));
        (own, Limits { divisor: 1, ..self.limits })
    }
}

#[cfg(all(test, feature = "issue"))]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicU64, Ordering},
        },
        time::{Duration, UNIX_EPOCH},
    };

    use super::*;
    use crate::{
        basic::credentials::BasicCredentials,
        store::{memory::memory::Memory, sealed_store::SealedStore, secret::StoreSecret},
    };

    struct Fixture {
        throttle: Arc<Throttle>,
        seconds: Arc<AtomicU64>,
    }

    impl Fixture {
        /// Creates a throttle with the default limits, by the address in a header.
        fn new(change: impl FnOnce(Throttle) -> Throttle) -> Self {
            let seconds = Arc::new(AtomicU64::new(1_000_000));
            let mock = Arc::clone(&seconds);
            let now = move || UNIX_EPOCH + Duration::from_secs(mock.load(Ordering::Relaxed));
            let throttle = Throttle::by_address(|head| {
                head.headers.get("x-from")?.to_str().ok()?.parse().ok()
            });
            Self { throttle: Arc::new(change(throttle.clock(now))), seconds }
        }

        fn advance(&self, seconds: u64) {
            self.seconds.fetch_add(seconds, Ordering::Relaxed);
        }

        /// Sends a forged token. If the address is over its limit, returns `Retry-After`.
        fn fail(&self, from: &str) -> Result<(), Option<u64>> {
            let head = head(from);
            self.throttle
                .check_address(&head)
                .map_err(|rejection| rejection.retry_after().map(|wait| wait.as_secs()))?;
            self.throttle.record_failure(&head);
            Ok(())
        }

        fn is_admitted(&self, from: &str) -> bool {
            self.throttle.check_address(&head(from)).is_ok()
        }

        /// Begins a login, and returns whether this process admits it.
        fn can_log_in(&self, from: &str) -> bool {
            let sent = BasicCredentials::new("alice", "password").unwrap();
            let client = self.throttle.client(&head(from));
            let attempt = self.throttle.admit(client, &sent, None);
            attempt.map(|attempt| attempt.finish(false)).is_ok()
        }
    }

    fn head(from: &str) -> Parts {
        http::Request::builder().header("x-from", from).body(()).unwrap().into_parts().0
    }

    fn shared(throttle: Throttle) -> Throttle {
        let secret = StoreSecret::new(*b"0123456789abcdefghijklmnopqrstuv").unwrap();
        throttle.shared(SealedStore::new(Memory::new(), secret))
    }

    #[test]
    fn ten_failures_without_a_user_reject_the_address_but_no_other() {
        for fixture in [Fixture::new(|throttle| throttle), Fixture::new(shared)] {
            for _ in 0..10 {
                assert_eq!(fixture.fail("192.0.2.1"), Ok(()));
            }
            assert_eq!(fixture.fail("192.0.2.1"), Err(Some(30)));
            assert!(fixture.is_admitted("192.0.2.2"));
            fixture.advance(30);
            assert_eq!(fixture.fail("192.0.2.1"), Ok(()));
            assert_eq!(fixture.fail("192.0.2.1"), Err(Some(30)));
        }
    }

    #[test]
    fn failures_without_a_user_count_for_logins_with_a_local_throttle() {
        let fixture = Fixture::new(|throttle| throttle);
        for _ in 0..10 {
            assert!(fixture.can_log_in("192.0.2.1"));
            assert_eq!(fixture.fail("192.0.2.1"), Ok(()));
        }
        assert!(!fixture.can_log_in("192.0.2.1"));
        assert!(fixture.can_log_in("192.0.2.2"));
    }

    /// During an outage, an address has one attempt to log in.
    #[test]
    fn failures_without_a_user_do_not_use_up_the_limit_of_an_outage() {
        let fixture = Fixture::new(shared);
        (0..10).for_each(|_| fixture.fail("192.0.2.1").unwrap());
        assert!(!fixture.is_admitted("192.0.2.1"));
        assert!(fixture.can_log_in("192.0.2.1"));
    }

    #[test]
    fn wider_networks_have_limits_for_failures_without_a_user() {
        let fixture = Fixture::new(|throttle| throttle);
        let address = |at: usize| format!("2001:db8:0:{at:x}::1");
        let admitted = (0..100).filter(|at| fixture.fail(&address(at % 64)).is_ok()).count();
        assert_eq!(admitted, 40, "the limit of a /56");
        assert!(fixture.is_admitted("2001:db8:0:100::1"));
    }

    #[test]
    fn entries_of_failures_without_a_user_are_bounded() {
        let fixture = Fixture::new(|throttle| throttle);
        for at in 0..70_000_u32 {
            let address = std::net::Ipv4Addr::from_bits(0x0a00_0000 | at);
            fixture.throttle.record_failure(&head(&address.to_string()));
        }
        assert!(fixture.throttle.tables().addresses.len() <= 65_536);
        assert!(fixture.throttle.tables().addresses.len() > 60_000);
    }
}
