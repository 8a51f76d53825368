use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use tokio::sync::watch;

use super::{in_flight::AttemptKeys, window::Counters};
use crate::rejection::Rejection;

/// The attempts in flight about which the store decides. Equal attempts share a decision, and
/// together they count once.
#[derive(Default)]
pub(crate) struct EqualAttempts {
    by_credentials: HashMap<u64, Group>,
    /// The number of groups that the store admitted, by network.
    admitted: HashMap<u64, u32>,
    /// The number of groups that this process admitted, by network.
    admitted_locally: HashMap<u64, u32>,
}

struct Group {
    members: u32,
    failed: bool,
    is_admitted_locally: bool,
    decision: watch::Receiver<Decision>,
}

/// What the store said about an attempt.
#[derive(Clone)]
pub(crate) enum Decision {
    Pending,
    /// The attempt is admitted, and was counted as a failure.
    Admitted(Arc<Counters>),
    Rejected(Rejection),
    /// The store did not answer: the limits of this process decide.
    Local,
}

/// What remains to be done when an attempt has ended.
pub(crate) struct Settlement {
    /// Whether this process counts failures of the attempt.
    pub(crate) is_local: bool,
    /// Counters from which the attempt must be subtracted, because all equal attempts succeeded.
    pub(crate) refund: Option<Arc<Counters>>,
}

impl EqualAttempts {
    /// Changes the keys of an attempt if an equal one in flight has failed, so that it counts
    /// again. Otherwise, attempts that overlap could have a password checked forever.
    pub(crate) fn after_failures(&self, mut keys: AttemptKeys) -> AttemptKeys {
        let has_failed = |key| self.by_credentials.get(&key).is_some_and(|group| group.failed);
        // Few steps, because attempts in flight are limited.
        while has_failed(keys.credentials) {
            keys.credentials = keys.credentials.wrapping_add(1);
        }
        keys
    }

    /// Adds an attempt. The first of equal attempts gets the sender, with which it tells the others
    /// the decision. The sender is a member on its own, which [`decide`](Self::decide) removes.
    pub(crate) fn join(
        &mut self,
        keys: AttemptKeys,
    ) -> (watch::Receiver<Decision>, Option<watch::Sender<Decision>>) {
        match self.by_credentials.entry(keys.credentials) {
            Entry::Occupied(mut entry) => {
                let group = entry.get_mut();
                group.members = group.members.saturating_add(1);
                (group.decision.clone(), None)
            }
            Entry::Vacant(entry) => {
                let (sender, decision) = watch::channel(Decision::Pending);
                entry.insert(Group {
                    members: 2,
                    failed: false,
                    is_admitted_locally: false,
                    decision: decision.clone(),
                });
                (decision, Some(sender))
            }
        }
    }

    /// Tells all equal attempts the decision, and removes the sender.
    pub(crate) fn decide(
        &mut self,
        keys: AttemptKeys,
        sender: &watch::Sender<Decision>,
        decision: Decision,
    ) {
        if matches!(decision, Decision::Admitted(_)) {
            add(&mut self.admitted, keys);
        }
        sender.send_replace(decision);
        // Nothing to settle: a request is still a member, or was dropped and has failed.
        self.leave(keys, false);
    }

    /// Removes an attempt.
    pub(crate) fn leave(&mut self, keys: AttemptKeys, failed: bool) -> Settlement {
        let Entry::Occupied(mut entry) = self.by_credentials.entry(keys.credentials) else {
            return Settlement { is_local: true, refund: None };
        };
        let group = entry.get_mut();
        group.failed |= failed;
        group.members = group.members.saturating_sub(1);
        let decision = group.decision.borrow().clone();
        let is_local = matches!(decision, Decision::Local);
        if group.members > 0 {
            return Settlement { is_local, refund: None };
        }
        let group = entry.remove();
        if group.is_admitted_locally {
            subtract(&mut self.admitted_locally, keys);
        }
        let failed = group.failed;
        let Decision::Admitted(counters) = decision else {
            return Settlement { is_local, refund: None };
        };
        subtract(&mut self.admitted, keys);
        Settlement { is_local, refund: (!failed).then_some(counters) }
    }

    /// Admits an attempt about which this process decides, unless its address has `max` others, or
    /// one of the wider networks as many as its factor allows.
    pub(crate) fn admit_locally(&mut self, keys: AttemptKeys, max: u32) -> bool {
        let Some(group) = self.by_credentials.get_mut(&keys.credentials) else { return false };
        if group.is_admitted_locally {
            return true;
        }
        let is_full = |(network, factor): (u64, u32)| {
            let count = self.admitted_locally.get(&network).copied().unwrap_or_default();
            count >= max.saturating_mul(factor)
        };
        if keys.networks_with_factors().any(is_full) {
            return false;
        }
        group.is_admitted_locally = true;
        add(&mut self.admitted_locally, keys);
        true
    }

    /// Returns whether passwords from this network are being checked. If they are correct, their
    /// attempts become available again.
    pub(crate) fn is_checking(&self, network: u64) -> bool {
        self.admitted.contains_key(&network)
    }
}

fn add(counts: &mut HashMap<u64, u32>, keys: AttemptKeys) {
    for (network, _) in keys.networks_with_factors() {
        let count = counts.entry(network).or_default();
        *count = count.saturating_add(1);
    }
}

fn subtract(counts: &mut HashMap<u64, u32>, keys: AttemptKeys) {
    for (network, _) in keys.networks_with_factors() {
        if let Entry::Occupied(mut count) = counts.entry(network) {
            *count.get_mut() = count.get().saturating_sub(1);
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}
