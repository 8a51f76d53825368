//! Nonces that no instance has to store (RFC 9449 §8, §9).

use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::store::{key::Purpose, sealed_store::SealedStore};

/// Creates and checks nonces.
///
/// The nonce of a step of time is an HMAC of the number of the step, with a key that is derived from
/// the secret of the store. So it is unpredictable, and all instances agree on it.
pub(super) struct Nonces {
    store: SealedStore,
    /// By how much the clocks of the instances can differ.
    leeway: Duration,
}

/// The age of a valid nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NonceAge {
    /// The nonce is the one that a client would get now.
    Current,
    /// The client should use another nonce from now on.
    Earlier,
}

impl Nonces {
    /// A nonce is valid for one to two steps.
    pub(super) const STEP: Duration = Duration::from_secs(60);

    pub(super) fn new(store: SealedStore, leeway: Duration) -> Self {
        Self { store, leeway }
    }

    /// Returns the nonce for a client, at a time since 1970.
    pub(super) fn current(&self, now: Duration) -> String {
        self.of_step(step(now)).0
    }

    /// Returns the age of a nonce that is valid at a time since 1970.
    ///
    /// A client can use a nonce for at least a step. With the leeway, it can be one of an instance
    /// whose clock is ahead or behind.
    pub(super) fn check(&self, nonce: &str, now: Duration) -> Option<NonceAge> {
        let current = step(now);
        let is_of = |step| {
            let (own, previous) = self.of_step(step);
            [Some(own), previous].into_iter().flatten().any(|expected| {
                verify_slices_are_equal(expected.as_bytes(), nonce.as_bytes()).is_ok()
            })
        };
        if is_of(current) {
            return Some(NonceAge::Current);
        }
        let first = step(now.saturating_sub(Self::STEP).saturating_sub(self.leeway));
        let last = step(now.saturating_add(self.leeway));
        let mut others = (first..=last).filter(|step| *step != current);
        others.any(is_of).then_some(NonceAge::Earlier)
    }

    /// Returns the nonce of a step, and that of the previous secret during a rotation.
    fn of_step(&self, step: u64) -> (String, Option<String>) {
        let key = self.store.key(Purpose::DpopProof, "nonce", &[&step.to_be_bytes()]);
        let encode = |bytes: &[u8; 32]| URL_SAFE_NO_PAD.encode(bytes);
        (encode(key.current.as_bytes()), key.previous.map(|key| encode(key.as_bytes())))
    }
}

fn step(time: Duration) -> u64 {
    time.as_secs() / Nonces::STEP.as_secs()
}
