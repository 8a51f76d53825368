//! Hashes that the passwords of unknown users are checked against, so that response times do not
//! reveal which users exist.

use sha2::{Digest as _, Sha256};

use super::hash::PasswordHash;

/// argon2id at the cost of new hashes. No password is known for it.
const DEFAULT_DECOY: &str = "$argon2id$v=19$m=19456,t=2,p=1$dG93ZXItYXV0aC1kZWNveQ$\
                             bm9ib2R5LWhhcy10aGlzLXBhc3N3b3JkLWV2ZXItLS0";

/// Returns the decoy for stores that have none.
pub(crate) fn default_decoy() -> PasswordHash {
    PasswordHash::of_default_cost(DEFAULT_DECOY)
}

/// Selects decoys among the hashes of the users.
///
/// Unknown users get hashes of each kind and cost with the same probability as known users.
#[derive(Clone, Default)]
pub(crate) struct Decoys {
    hashes: Vec<PasswordHash>,
    /// The digest of the first salted hash. It is the same on all machines and after a restart, and
    /// an attacker does not know it.
    seed: Option<[u8; 32]>,
}

impl Decoys {
    /// Adds the hash of a user.
    pub(crate) fn add(&mut self, hash: &PasswordHash) {
        if self.seed.is_none() && hash.is_salted() {
            self.seed = Some(*hash.digest());
        }
        self.hashes.push(hash.clone());
    }

    /// Replaces the hash of a user. The other decoys, and which user ids have them, do not change.
    pub(crate) fn replace(&mut self, old: &PasswordHash, new: &PasswordHash) {
        if let Some(hash) = self.hashes.iter_mut().find(|hash| hash.is_same(old)) {
            *hash = new.clone();
        }
    }

    /// Returns the decoy of `user_id`, or `None` if there are no hashes.
    ///
    /// A user id always gets the same decoy. Few decoys change when a user is added.
    pub(crate) fn select(&self, user_id: &str) -> Option<PasswordHash> {
        // Not a hasher of the standard library, whose result may differ between versions and
        // machines.
        let digest = Sha256::new()
            .chain_update(self.seed.unwrap_or_default())
            .chain_update(user_id)
            .finalize();
        let key = digest.first_chunk().map_or(0, |first| u64::from_be_bytes(*first));
        self.hashes.get(jump_hash(key, self.hashes.len())).cloned()
    }
}

/// Maps `key` to one of `count` buckets, by the jump consistent hash of Lamping and Veach.
///
/// All buckets have the same probability. If a bucket is added, only keys that move to the new
/// bucket change.
fn jump_hash(mut key: u64, count: usize) -> usize {
    let count = u64::try_from(count).unwrap_or(u64::MAX);
    let (mut bucket, mut next) = (0, 0);
    while next < count {
        bucket = next;
        key = key.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
        // (bucket + 1) * 2³¹ / ((key >> 33) + 1), which is greater than `bucket`.
        let scaled = u128::from(bucket + 1) << 31;
        next = u64::try_from(scaled / u128::from((key >> 33) + 1)).unwrap_or(u64::MAX);
    }
    usize::try_from(bucket).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    /// Creates decoys from `count` different hashes.
    fn decoys(count: usize) -> Decoys {
        let mut decoys = Decoys::default();
        for at in 0..count {
            let hash = format!("$2y$05$bvIG6Nmid91Mu9{at:04}WZfO5HJIMCT8riNW0hEp8f6/FuA2/mHZFpe");
            decoys.add(&PasswordHash::parse(&hash).unwrap());
        }
        decoys
    }

    fn selection(decoys: &Decoys) -> Vec<String> {
        let select = |at| decoys.select(&format!("user {at}")).unwrap().as_str().to_owned();
        (0..1000).map(select).collect()
    }

    /// Otherwise, a change after a restart or on another machine reveals that a user is unknown.
    #[test]
    fn user_id_has_the_same_decoy_on_every_machine() {
        assert_eq!(selection(&decoys(10)), selection(&decoys(10)));
    }

    /// The expected values were computed in Python.
    #[test]
    fn selection_is_defined_by_sha_256() {
        let indexes = |decoys: &Decoys| {
            ["", "alice", "bob", "carol", "dave", "☃"].map(|user_id| {
                let selected = decoys.select(user_id).unwrap();
                decoys.hashes.iter().position(|hash| hash.as_str() == selected.as_str()).unwrap()
            })
        };
        assert_eq!(indexes(&decoys(10)), [5, 2, 2, 3, 7, 9]);
        let mut unsalted = Decoys::default();
        for at in 0..10 {
            unsalted.add(&PasswordHash::dangerous_parse_insecure(&format!("plain {at}")).unwrap());
        }
        assert_eq!(indexes(&unsalted), [1, 9, 9, 6, 6, 8]);
    }

    #[test]
    fn added_user_changes_few_decoys() {
        let (before, after) = (selection(&decoys(10)), selection(&decoys(11)));
        let changed = before.iter().zip(&after).filter(|(before, after)| before != after).count();
        assert!((1..200).contains(&changed), "{changed} of 1000");
    }

    #[test]
    fn hashes_are_selected_evenly() {
        let selection = selection(&decoys(10));
        let mut shares = HashMap::new();
        selection.iter().for_each(|decoy| *shares.entry(decoy).or_insert(0) += 1);
        assert_eq!(shares.len(), 10);
        assert!(shares.values().all(|share| (50..150).contains(share)), "{shares:?}");
        assert!(Decoys::default().select("alice").is_none());
    }
}
