use std::{
    cmp::Ordering,
    fmt,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use super::{
    document::KeyDocument,
    key_info::{KeyInfo, KeyState, KeyUse},
    keys_error::KeysError,
    mac_key::MacKey,
    schedule::active_index,
    signing_key::SigningKey,
    signing_keys::{SigningKeys, VerifyingKey},
};
use crate::clock::Clock;

/// The keys as they were read last. Which of them are active follows from the time.
pub(crate) struct Snapshot {
    signing: Vec<Timed<Arc<SigningKey>>>,
    macs: Vec<Timed<MacKey>>,
    /// Keys that only verify.
    others: Arc<[VerifyingKey]>,
    jwks: Bytes,
    clock: Arc<dyn Clock>,
}

struct Timed<K> {
    /// In seconds since 1970. `None` for a key that does not rotate.
    active_from: Option<u64>,
    key: K,
}

impl Snapshot {
    pub(super) fn load(
        document: &KeyDocument,
        keys: &SigningKeys,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, KeysError> {
        let mut signing = Vec::new();
        match keys.fixed() {
            Some(key) => signing.push(Timed { active_from: None, key: Arc::clone(key) }),
            None => {
                for stored in &document.signing {
                    let key = Arc::new(SigningKey::new(stored.id.clone(), stored.signer()?)?);
                    signing.push(Timed { active_from: Some(stored.active_from), key });
                }
            }
        }
        let macs = document.mac.iter().filter_map(|stored| {
            let key = MacKey::new(stored.id.clone(), stored.secret()?);
            Some(Timed { active_from: Some(stored.active_from), key })
        });
        let macs = macs.collect();
        let others = Arc::clone(keys.others());
        let published = signing.iter().filter_map(|timed| timed.key.public_jwk());
        let jwks = key_set(published, &others);
        Ok(Self { signing, macs, others, jwks, clock: Arc::clone(clock) })
    }

    /// Returns an access token with this payload, signed by the active key.
    pub(crate) fn sign(&self, payload: &[u8]) -> Result<String, KeysError> {
        self.active_signing()?.sign(payload)
    }

    pub(super) fn active_signing(&self) -> Result<&SigningKey, KeysError> {
        Ok(self.active(&self.signing)?)
    }

    /// Returns the key that authenticates new refresh tokens.
    pub(crate) fn active_mac(&self) -> Result<&MacKey, KeysError> {
        self.active(&self.macs)
    }

    fn active<'a, K>(&self, keys: &'a [Timed<K>]) -> Result<&'a K, KeysError> {
        let active = keys.get(active_in(keys, self.now()));
        active.map(|timed| &timed.key).ok_or_else(|| KeysError::new("there is no active key"))
    }

    /// Returns the key with this id, if its refresh tokens are still accepted.
    pub(crate) fn mac(&self, id: &str) -> Option<&MacKey> {
        self.macs.iter().map(|timed| &timed.key).find(|key| *key.id == *id)
    }

    /// Returns the JWK set to publish.
    pub(crate) fn jwks(&self) -> Bytes {
        self.jwks.clone()
    }

    /// Returns the JWK set that verifies within this process, which can contain secrets.
    pub(super) fn verification_jwks(&self) -> Bytes {
        key_set(self.signing.iter().map(|timed| timed.key.verification_jwk()), &self.others)
    }

    /// Describes all keys.
    pub(super) fn list(&self) -> Vec<KeyInfo> {
        let now = self.now();
        let signing = infos(&self.signing, KeyUse::Signing, now, |key| (&key.id, key.algorithm()));
        let macs = infos(&self.macs, KeyUse::Mac, now, |key| (&key.id, Algorithm::HS256));
        let others = self.others.iter().map(|key| KeyInfo {
            id: key.id.clone(),
            key_use: KeyUse::Signing,
            algorithm: key.algorithm,
            state: KeyState::Retained,
            active_from: None,
        });
        signing.chain(macs).chain(others).collect()
    }

    fn now(&self) -> u64 {
        unix_seconds(self.clock.now())
    }
}

fn active_in<K>(keys: &[Timed<K>], now: u64) -> usize {
    active_index(keys.iter().map(|timed| timed.active_from.unwrap_or_default()), now)
}

fn infos<'a, K>(
    keys: &'a [Timed<K>],
    key_use: KeyUse,
    now: u64,
    describe: impl Fn(&'a K) -> (&'a Box<str>, Algorithm),
) -> impl Iterator<Item = KeyInfo> {
    let active = active_in(keys, now);
    keys.iter().enumerate().map(move |(index, timed)| {
        let (id, algorithm) = describe(&timed.key);
        let state = match index.cmp(&active) {
            Ordering::Less => KeyState::Retained,
            Ordering::Equal => KeyState::Active,
            Ordering::Greater => KeyState::Successor,
        };
        let active_from = timed.active_from.and_then(instant);
        KeyInfo { id: id.clone(), key_use, algorithm, state, active_from }
    })
}

fn key_set(keys: impl Iterator<Item = Value>, others: &[VerifyingKey]) -> Bytes {
    let others = others.iter().map(|key| key.jwk.with(key.algorithm, &key.id));
    json!({ "keys": keys.chain(others).collect::<Vec<_>>() }).to_string().into()
}

/// Returns the time in seconds since 1970.
pub(super) fn unix_seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn instant(seconds: u64) -> Option<SystemTime> {
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

/// Prints the ids of the keys.
impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.list()).finish()
    }
}
