//! Keys that are ready for verification, indexed by id and algorithm.

use std::{collections::HashMap, sync::Arc};

use jsonwebtoken::{Algorithm, AlgorithmFamily};

use super::{
    keys::{Key, Keys},
    skipped::SkippedKey,
    weak_key::check_strength,
};
use crate::{
    config_error::ConfigError,
    jwt::{
        crypto::{Backend, InvalidKey, Verifier},
        error::TokenError,
        jws::header::{HeaderMemo, KnownHeader},
    },
    observe::{event::Event, observer::Observer},
};

/// The number of keys with the same id and algorithm that are tried for a token.
const MAX_KEYS_PER_ID: usize = 4;

const SEVERAL_WITHOUT_ID: &str = "another key without an id has the same algorithm, so no token can \
                                  select one of them: give each an id with with_id, or publish kid";

/// The prepared keys: one entry per key and allowed algorithm.
pub(crate) struct PreparedKeys {
    keys: Vec<PreparedKey>,
    by_id: HashMap<Box<str>, Vec<usize>>,
    /// For tokens without a `kid`: the only key of an algorithm, or `None` if there are several.
    sole_key: HashMap<Algorithm, Option<usize>>,
    /// For tokens with an unknown `kid`: the same, among the keys without an id.
    sole_key_without_id: HashMap<Algorithm, Option<usize>>,
    pub(crate) skipped: Vec<SkippedKey>,
    pub(crate) header_memo: HeaderMemo,
    /// A number that is unique to this key set within the process.
    #[cfg(feature = "token-cache")]
    pub(crate) generation: u64,
}

struct PreparedKey {
    algorithm: Algorithm,
    verifier: Box<dyn Verifier>,
}

impl PreparedKeys {
    /// Reports the keys that are not used.
    pub(crate) fn observe_skipped(&self, preparation: &Preparation) {
        let issuer = preparation.issuer.as_deref();
        for key in &self.skipped {
            preparation.observer.observe(&Event::KeySkipped { issuer, key });
        }
    }

    /// Returns whether a key has this id. If so, a newer key set is not needed for it.
    pub(crate) fn contains_key_id(&self, key_id: Option<&str>) -> bool {
        key_id.is_some_and(|key_id| self.by_id.contains_key(key_id))
    }

    #[cfg(feature = "jwks")]
    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Returns the number of keys. One that verifies several algorithms counts for each.
    #[cfg(feature = "health")]
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    #[cfg(feature = "jwks")]
    pub(crate) fn key_ids(&self) -> impl Iterator<Item = &str> {
        self.by_id.keys().map(|key_id| &**key_id)
    }

    fn insert(&mut self, key: &Key, prepared: PreparedKey) -> Result<(), ConfigError> {
        let (algorithm, position) = (prepared.algorithm, self.keys.len());
        if let Some(key_id) = &key.id {
            let same_id = self.by_id.entry(key_id.clone()).or_default();
            let has_algorithm =
                |at: &&usize| self.keys.get(**at).is_some_and(|k| k.algorithm == algorithm);
            if same_id.iter().filter(has_algorithm).count() >= MAX_KEYS_PER_ID {
                return self.skip(key, InvalidKey::new("too many keys have the same kid and alg"));
            }
            same_id.push(position);
        } else {
            let sole = self.sole_key_without_id.entry(algorithm);
            sole.and_modify(|sole| *sole = None).or_insert(Some(position));
        }
        let sole = self.sole_key.entry(algorithm);
        sole.and_modify(|sole| *sole = None).or_insert(Some(position));
        self.keys.push(prepared);
        Ok(())
    }

    /// Skips an unusable member of a set. Returns an error for a key that was configured
    /// individually.
    fn skip(&mut self, key: &Key, error: InvalidKey) -> Result<(), ConfigError> {
        let skipped = SkippedKey { id: key.id.clone(), reason: error.0 };
        if key.from_set {
            self.skipped.push(skipped);
            return Ok(());
        }
        Err(ConfigError::key(skipped.to_string()))
    }

    /// Returns an error if there is no key, for key sets that are never refreshed.
    pub(crate) fn require_nonempty(self) -> Result<Self, ConfigError> {
        if self.keys.is_empty() { Err(self.no_usable_key_error()) } else { Ok(self) }
    }

    fn no_usable_key_error(&self) -> ConfigError {
        let mut message =
            String::from("no key can verify a token: configure a key with an allowed algorithm");
        for skipped in self.skipped.iter().take(3) {
            message.push_str(&format!("; {skipped}"));
        }
        ConfigError::key(message)
    }

    /// Verifies a signature with the key of a known header.
    pub(crate) fn verify_with_known_key(
        &self,
        known: &KnownHeader,
        message: &[u8],
        signature: &[u8],
    ) -> bool {
        self.keys.get(known.key).is_some_and(|key| {
            key.algorithm == known.algorithm && key.verifier.verify(message, signature).is_ok()
        })
    }

    /// Adds a header to the memo, after `key` verified a signature under this header.
    pub(crate) fn remember_header(
        &self,
        header: &[u8],
        algorithm: Algorithm,
        key_id: Option<&str>,
        key: usize,
    ) {
        // If no key has the id, a newer set might have one. If several have it, each must be tried.
        let same_id =
            key_id.and_then(|key_id| self.by_id.get(key_id)).map_or(&[][..], Vec::as_slice);
        let matches = |at: &&usize| self.keys.get(**at).is_some_and(|k| k.algorithm == algorithm);
        let is_only_key = same_id.iter().filter(matches).count() == 1;
        self.header_memo.insert(header, algorithm, key, is_only_key);
    }

    /// Verifies a signature and returns the position of the key that verified it.
    ///
    /// Tries at most `MAX_KEYS_PER_ID` keys that match the header, except the key at `tried`.
    pub(crate) fn verify_with_matching_keys(
        &self,
        algorithm: Algorithm,
        key_id: Option<&str>,
        message: &[u8],
        signature: &[u8],
        tried: Option<usize>,
    ) -> Result<usize, TokenError> {
        let (same_id, sole) = match key_id.map(|key_id| self.by_id.get(key_id)) {
            Some(Some(same_id)) => (same_id.as_slice(), None),
            Some(None) => (&[][..], self.sole_key_without_id.get(&algorithm)),
            None => (&[][..], self.sole_key.get(&algorithm)),
        };
        let mut error = TokenError::UnknownKey;
        for position in same_id.iter().chain(sole.and_then(Option::as_ref)) {
            match self.keys.get(*position) {
                Some(key) if key.algorithm == algorithm => {
                    let was_tried = tried == Some(*position);
                    if !was_tried && key.verifier.verify(message, signature).is_ok() {
                        return Ok(*position);
                    }
                    error = TokenError::Signature;
                }
                _ => {}
            }
        }
        Err(error)
    }
}

#[cfg(feature = "token-cache")]
fn next_generation() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};

    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// The settings with which keys are prepared.
pub(crate) struct Preparation {
    pub(crate) backend: Arc<dyn Backend>,
    /// The configured list. Without a list, each key determines its algorithm.
    pub(crate) algorithms: Option<Vec<Algorithm>>,
    /// Whether HMAC secrets can be shorter than the hash.
    pub(crate) allow_short_secrets: bool,
    pub(crate) observer: Observer,
    /// The issuer of the keys, for events, if it is the only one.
    pub(crate) issuer: Option<Arc<str>>,
}

impl Preparation {
    pub(crate) fn prepare_all(&self, keys: Keys) -> Result<PreparedKeys, ConfigError> {
        let keys = keys.skip_other_uses();
        let mut prepared = PreparedKeys {
            keys: Vec::new(),
            by_id: HashMap::new(),
            sole_key: HashMap::new(),
            sole_key_without_id: HashMap::new(),
            skipped: keys.skipped,
            header_memo: HeaderMemo::default(),
            #[cfg(feature = "token-cache")]
            generation: next_generation(),
        };
        for key in &keys.keys {
            match self.prepare(key) {
                Ok(all) => {
                    for one in all {
                        prepared.insert(key, one)?;
                    }
                }
                Err(error) => prepared.skip(key, error)?,
            }
        }
        for key in keys.keys.iter().filter(|key| key.id.is_none()) {
            if !self.can_be_selected(key, &prepared) {
                prepared.skip(key, InvalidKey::new(SEVERAL_WITHOUT_ID))?;
            }
        }
        let selectable = prepared.sole_key_without_id.values().any(Option::is_some);
        if prepared.by_id.is_empty() && !selectable {
            prepared.keys.clear();
        }
        Ok(prepared)
    }

    /// Returns whether a token can select a key without an id, or the key is not usable at all.
    fn can_be_selected(&self, key: &Key, prepared: &PreparedKeys) -> bool {
        let mut found = self
            .algorithms_of(key)
            .into_iter()
            .filter_map(|algorithm| prepared.sole_key_without_id.get(&algorithm))
            .peekable();
        found.peek().is_none() || found.any(Option::is_some)
    }

    /// Prepares a key for each of its algorithms. Returns an error if it is usable with none of
    /// them.
    fn prepare(&self, key: &Key) -> Result<Vec<PreparedKey>, InvalidKey> {
        let mut prepared = Vec::new();
        let mut error = InvalidKey::new("its algorithm is not among those allowed");
        for algorithm in self.algorithms_of(key) {
            match self.prepare_for(algorithm, key) {
                Ok(verifier) => prepared.push(PreparedKey { algorithm, verifier }),
                Err(invalid) => error = invalid,
            }
        }
        if prepared.is_empty() { Err(error) } else { Ok(prepared) }
    }

    fn algorithms_of(&self, key: &Key) -> Vec<Algorithm> {
        let family = key.key.family();
        let supported: &[Algorithm] = match (&key.algorithm, &self.algorithms, family) {
            (Some(declared), ..) => std::slice::from_ref(declared),
            (None, None, AlgorithmFamily::Rsa) => &[Algorithm::RS256],
            (None, None, AlgorithmFamily::Hmac) => &[Algorithm::HS256],
            (None, ..) => family.algorithms(),
        };
        let allowed = |algorithm: &Algorithm| {
            self.algorithms.as_ref().is_none_or(|list| list.contains(algorithm))
        };
        supported.iter().copied().filter(allowed).collect()
    }

    fn prepare_for(
        &self,
        algorithm: Algorithm,
        key: &Key,
    ) -> Result<Box<dyn Verifier>, InvalidKey> {
        // A backend must never use a public key as an HMAC secret.
        if algorithm.family() != key.key.family() {
            return Err(InvalidKey::new("the key is of another family than the algorithm"));
        }
        if algorithm.family() == AlgorithmFamily::Hmac {
            // RFC 7518 §3.2: the key must be at least as long as the hash.
            let min_bytes = match algorithm {
                _ if self.allow_short_secrets => 1,
                Algorithm::HS256 => 32,
                Algorithm::HS384 => 48,
                _ => 64,
            };
            let secret = key.key.try_get_as_bytes();
            if secret.as_ref().is_ok_and(|secret| secret.is_empty()) {
                return Err(InvalidKey::new(
                    "the secret is empty, and must not be shorter than its hash: generate 32 bytes \
                     for HS256, 48 for HS384 or 64 for HS512",
                ));
            }
            if secret.is_ok_and(|secret| secret.len() < min_bytes) {
                return Err(InvalidKey::new(
                    "the secret is shorter than its hash: generate 32 bytes for HS256, 48 for \
                     HS384 or 64 for HS512",
                ));
            }
        }
        check_strength(&key.key)?;
        self.backend.prepare(algorithm, &key.key)
    }
}
