//! Keys, ready to verify and found at once, however many there are.

use std::{collections::HashMap, sync::Arc};

use jsonwebtoken::{Algorithm, AlgorithmFamily};

use super::{
    keys::{Key, Keys},
    skipped::SkippedKey,
};
use crate::{
    config_error::ConfigError,
    jwt::{
        crypto::{Backend, InvalidKey, Verifier},
        error::TokenError,
        jws::header_memo::{Usual, UsualHeaders},
    },
};

/// How many keys of one name and algorithm are tried.
const MAX_SAME: usize = 4;

/// Every key under every algorithm that both it and the caller's list allow.
pub(crate) struct PreparedKeys {
    keys: Vec<Prepared>,
    by_name: HashMap<Box<str>, Vec<usize>>,
    /// For tokens that name no key: the key of an algorithm, or `None` where several fit.
    sole: HashMap<Algorithm, Option<usize>>,
    /// For tokens that name a key which has no name here: the same, among keys without one.
    sole_unnamed: HashMap<Algorithm, Option<usize>>,
    pub(crate) skipped: Vec<SkippedKey>,
    pub(crate) usual: UsualHeaders,
    /// Which set of keys it is, of all that this process has prepared.
    #[cfg(feature = "token-cache")]
    pub(crate) generation: u64,
}

struct Prepared {
    algorithm: Algorithm,
    verifier: Box<dyn Verifier>,
}

impl PreparedKeys {
    /// Whether a key has this name, so that a newer set would tell nothing new of it.
    pub(crate) fn has(&self, name: Option<&str>) -> bool {
        name.is_some_and(|name| self.by_name.contains_key(name))
    }

    #[cfg(feature = "jwks")]
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(|name| &**name)
    }

    fn insert(&mut self, key: &Key, prepared: Prepared) -> Result<(), ConfigError> {
        let (algorithm, position) = (prepared.algorithm, self.keys.len());
        if let Some(name) = &key.id {
            let same = self.by_name.entry(name.clone()).or_default();
            let of_algorithm =
                |at: &&usize| self.keys.get(**at).is_some_and(|k| k.algorithm == algorithm);
            if same.iter().filter(of_algorithm).count() >= MAX_SAME {
                return self.skip(key, InvalidKey::new("too many keys have its kid and alg"));
            }
            same.push(position);
        } else {
            let sole = self.sole_unnamed.entry(algorithm);
            sole.and_modify(|sole| *sole = None).or_insert(Some(position));
        }
        let sole = self.sole.entry(algorithm);
        sole.and_modify(|sole| *sole = None).or_insert(Some(position));
        self.keys.push(prepared);
        Ok(())
    }

    /// A member of a set is left out and reported; a key that was given by itself is a fault.
    fn skip(&mut self, key: &Key, fault: InvalidKey) -> Result<(), ConfigError> {
        if key.in_set {
            self.skipped.push(SkippedKey { id: key.id.clone(), reason: fault.0 });
            return Ok(());
        }
        Err(ConfigError::new(format!("{key:?} cannot be used: {fault}")))
    }

    /// The fault of being empty, for keys that nothing will ever be added to.
    pub(crate) fn not_empty(self) -> Result<Self, ConfigError> {
        if self.keys.is_empty() { Err(self.nothing_to_verify_with()) } else { Ok(self) }
    }

    fn nothing_to_verify_with(&self) -> ConfigError {
        let mut message = String::from(
            "no key can verify a token: give one whose algorithm is among those allowed",
        );
        for skipped in self.skipped.iter().take(3) {
            message.push_str(&format!("; {skipped}"));
        }
        ConfigError::new(message)
    }

    /// Whether the key that a usual header leads to has signed this.
    pub(crate) fn verify_usual(&self, usual: &Usual, message: &[u8], signature: &[u8]) -> bool {
        self.keys.get(usual.key).is_some_and(|key| {
            key.algorithm == usual.algorithm && key.verifier.verify(message, signature).is_ok()
        })
    }

    /// Remembers a header that led to this key, whose signature was good.
    pub(crate) fn remember(
        &self,
        header: &[u8],
        algorithm: Algorithm,
        name: Option<&str>,
        key: usize,
    ) {
        // Where no key has the name, another set may have one; and where several do, each has to be tried.
        let named = name.and_then(|name| self.by_name.get(name)).map_or(&[][..], Vec::as_slice);
        let fits = |at: &&usize| self.keys.get(**at).is_some_and(|k| k.algorithm == algorithm);
        let alone = named.iter().filter(fits).count() == 1;
        self.usual.remember(header, algorithm, key, alone);
    }

    /// Checks a signature with the keys that a token's header points to, at most `MAX_SAME` of them, and gives the place of
    /// the one that has made it. One that was tried already is not tried again.
    pub(crate) fn verify(
        &self,
        algorithm: Algorithm,
        name: Option<&str>,
        message: &[u8],
        signature: &[u8],
        tried: Option<usize>,
    ) -> Result<usize, TokenError> {
        let named = name.map(|name| self.by_name.get(name));
        let (several, sole) = match named {
            Some(Some(same)) => (same.as_slice(), None),
            Some(None) => (&[][..], self.sole_unnamed.get(&algorithm)),
            None => (&[][..], self.sole.get(&algorithm)),
        };
        let mut fault = TokenError::UnknownKey;
        for position in several.iter().chain(sole.and_then(Option::as_ref)) {
            match self.keys.get(*position) {
                Some(key) if key.algorithm == algorithm => {
                    let again = tried == Some(*position);
                    if !again && key.verifier.verify(message, signature).is_ok() {
                        return Ok(*position);
                    }
                    fault = TokenError::Signature;
                }
                _ => {}
            }
        }
        Err(fault)
    }
}

#[cfg(feature = "token-cache")]
fn next_generation() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};

    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// How keys are prepared.
pub(crate) struct Preparation {
    pub(crate) backend: Arc<dyn Backend>,
    /// The caller's list. Without one, each key is held to its own algorithm.
    pub(crate) algorithms: Option<Vec<Algorithm>>,
    /// Whether HMAC secrets may be shorter than their hash.
    pub(crate) short_secrets: bool,
}

impl Preparation {
    pub(crate) fn prepare_all(&self, keys: Keys) -> Result<PreparedKeys, ConfigError> {
        let mut prepared = PreparedKeys {
            keys: Vec::new(),
            by_name: HashMap::new(),
            sole: HashMap::new(),
            sole_unnamed: HashMap::new(),
            skipped: keys.skipped,
            usual: UsualHeaders::default(),
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
                Err(fault) => prepared.skip(key, fault)?,
            }
        }
        Ok(prepared)
    }

    /// A key under each of its algorithms. It is at fault where it is good for none.
    fn prepare(&self, key: &Key) -> Result<Vec<Prepared>, InvalidKey> {
        let mut prepared = Vec::new();
        let mut fault = InvalidKey::new("its algorithm is not among those allowed");
        for algorithm in self.algorithms_of(key) {
            match self.prepare_for(algorithm, key) {
                Ok(verifier) => prepared.push(Prepared { algorithm, verifier }),
                Err(invalid) => fault = invalid,
            }
        }
        if prepared.is_empty() { Err(fault) } else { Ok(prepared) }
    }

    fn algorithms_of(&self, key: &Key) -> Vec<Algorithm> {
        let family = key.key.family();
        let own: &[Algorithm] = match (&key.algorithm, &self.algorithms, family) {
            (Some(only), ..) => std::slice::from_ref(only),
            (None, None, AlgorithmFamily::Rsa) => &[Algorithm::RS256],
            (None, None, AlgorithmFamily::Hmac) => &[Algorithm::HS256],
            (None, ..) => family.algorithms(),
        };
        let allowed = |algorithm: &Algorithm| {
            self.algorithms.as_ref().is_none_or(|list| list.contains(algorithm))
        };
        own.iter().copied().filter(allowed).collect()
    }

    fn prepare_for(
        &self,
        algorithm: Algorithm,
        key: &Key,
    ) -> Result<Box<dyn Verifier>, InvalidKey> {
        // No backend is to take a public key for a secret.
        if algorithm.family() != key.key.family() {
            return Err(InvalidKey::new("the key is of another family than the algorithm"));
        }
        if algorithm.family() == AlgorithmFamily::Hmac {
            // RFC 7518 §3.2: a key at least as long as the hash.
            let least = match algorithm {
                _ if self.short_secrets => 1,
                Algorithm::HS256 => 32,
                Algorithm::HS384 => 48,
                _ => 64,
            };
            let secret = key.key.try_get_as_bytes();
            if secret.is_ok_and(|secret| secret.len() < least) {
                return Err(InvalidKey::new(
                    "the secret is shorter than its hash: generate one of 32 bytes for HS256, 48 for \
                     HS384, 64 for HS512, or call dangerous_allow_short_secrets",
                ));
            }
        }
        self.backend.prepare(algorithm, &key.key)
    }
}
