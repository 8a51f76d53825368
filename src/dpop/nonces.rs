//! Nonces that no instance has to store (RFC 9449 §8, §9).

use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::store::{key::Purpose, sealed_store::SealedStore};

/// Creates and checks nonces.
///
/// The nonce of a step of time is an HMAC of the number of the step, with a key that is derived
/// from the secret of the store. So it is unpredictable, and all instances agree on it.
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

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn nonces(leeway: u64) -> Nonces {
        Nonces::new(SealedStore::memory(), Duration::from_secs(leeway))
    }

    /// Each second of some minutes, for each nonce of these.
    #[test]
    fn nonce_is_valid_from_leeway_before_its_step_to_a_step_and_leeway_after_it() {
        for leeway in [0, 1, 5, 60] {
            let nonces = nonces(leeway);
            for step in 10..20_u64 {
                let start = step * 60;
                let nonce = nonces.current(Duration::from_secs(start + step));
                for second in 0..1_800 {
                    let expected = match second {
                        _ if (start..start + 60).contains(&second) => Some(NonceAge::Current),
                        _ if second + leeway >= start && second < start + 120 + leeway => {
                            Some(NonceAge::Earlier)
                        }
                        _ => None,
                    };
                    let found = nonces.check(&nonce, Duration::from_secs(second));
                    assert_eq!(found, expected, "{leeway} {step} {second}");
                }
            }
        }
    }

    #[test]
    fn nonces_differ_and_depend_on_the_secret() {
        let (one, other) = (nonces(5), nonces(5));
        let at = |step| Nonces::STEP * step;
        let all: HashSet<String> =
            (0..1_000).flat_map(|step| [one.current(at(step)), other.current(at(step))]).collect();
        assert_eq!(all.len(), 2_000);
        assert_eq!(one.check(&other.current(at(1)), at(1)), None);
    }

    #[test]
    fn times_at_the_limits_are_checked_without_a_panic() {
        let nonces = nonces(60);
        for now in [Duration::ZERO, Duration::from_secs(1), Duration::MAX] {
            assert_eq!(nonces.check(&nonces.current(now), now), Some(NonceAge::Current));
            assert_eq!(nonces.check("", now), None);
        }
    }
}
