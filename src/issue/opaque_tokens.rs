//! Access tokens that are not JWTs: random texts, whose claims are in the store.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;

use crate::{
    jwt::{error::TokenError, reference::ReferenceTokens},
    later::Later,
    random::random_bytes,
    rejection::{Rejection, RejectionKind},
    store::{
        key::Purpose,
        record::{Record, RecordKey},
        sealed_store::SealedStore,
        store::StoreFuture,
        ttl::Ttl,
    },
};

/// The access tokens of an issuer that are not JWTs.
///
/// A token is `at_` and, in base64url, 32 random bytes and a tag. The tag proves that this issuer
/// has created the token, so that made-up tokens cause no call of the store. It derives from the
/// current secret of the store, which all instances know in each step of a rotation.
#[derive(Clone)]
pub(super) struct OpaqueTokens {
    store: SealedStore,
    issuer: Box<str>,
}

/// What begins a token. It has no dot, so that the token is not mistaken for a JWT.
const PREFIX: &[u8] = b"at_";
const RANDOM: usize = 32;
/// A tag only saves calls of the store, so 64 bits are enough.
const TAG: usize = 8;

/// A token that was not sent to anyone yet.
pub(super) struct NewToken {
    pub(super) text: String,
    key: RecordKey,
}

impl OpaqueTokens {
    /// The longest claims, in bytes: those that fit into a JWT.
    pub(super) const MAX_CLAIMS_BYTES: usize = 12 * 1024;

    pub(super) fn new(store: &SealedStore, issuer: &str) -> Self {
        Self { store: store.clone(), issuer: issuer.into() }
    }

    pub(super) fn create(&self) -> NewToken {
        let random = random_bytes::<RANDOM>();
        let mut bytes = random.to_vec();
        bytes.extend(self.tags_of(&random).next().unwrap_or_default());
        let text = ["at_", &URL_SAFE_NO_PAD.encode(&bytes)].concat();
        NewToken { text, key: self.key_of(&bytes) }
    }

    /// Keeps the claims of a token. Returns `false` if there is a token with the same text.
    pub(super) fn keep(&self, token: &NewToken, claims: &[u8], ttl: Ttl) -> StoreFuture<bool> {
        self.store.insert(&token.key, claims, ttl)
    }

    /// Removes the claims of a token, so that it is not valid any more. Another text has no effect.
    pub(super) fn remove(&self, token: &str) -> StoreFuture<()> {
        match self.parse(token.as_bytes()) {
            Some(key) => self.store.take(&key.withdrawing_access()),
            None => StoreFuture::ready(Ok(())),
        }
    }

    /// Returns the key of the record of a token, if this issuer has created the token.
    fn parse(&self, token: &[u8]) -> Option<RecordKey> {
        let encoded = token.strip_prefix(PREFIX)?;
        if encoded.len() != ((RANDOM + TAG) * 4).div_ceil(3) {
            return None;
        }
        // The decoder rejects padding and nonzero trailing bits.
        let bytes = URL_SAFE_NO_PAD.decode(encoded).ok()?;
        let (random, sent) = bytes.split_first_chunk::<RANDOM>()?;
        let is_sent = |tag: [u8; TAG]| verify_slices_are_equal(sent, &tag).is_ok();
        self.tags_of(random).any(is_sent).then(|| self.key_of(&bytes))
    }

    fn key_of(&self, token: &[u8]) -> RecordKey {
        self.store.key(Purpose::AccessToken, "token", &[self.issuer.as_bytes(), token])
    }

    /// Returns the tag for each secret of the store, the current one first.
    fn tags_of(&self, random: &[u8]) -> impl Iterator<Item = [u8; TAG]> + use<> {
        let key = self.store.key(Purpose::AccessToken, "tag", &[self.issuer.as_bytes(), random]);
        key.names().filter_map(|(name, _)| name.as_bytes().first_chunk::<TAG>().copied())
    }
}

/// Returns whether this has the form of a token that is not a JWT.
pub(super) fn is_opaque(token: &[u8]) -> bool {
    token.starts_with(PREFIX)
}

impl ReferenceTokens for OpaqueTokens {
    fn claims_of(&self, token: &[u8]) -> Option<Later<Result<Bytes, Rejection>>> {
        if !is_opaque(token) {
            return None;
        }
        let Some(key) = self.parse(token) else { return Some(Later::ready(Err(unknown()))) };
        Some(self.store.get(&[key]).map(|found| {
            let record: Option<Record> = found?.into_iter().flatten().next();
            record.map(|record| record.value).ok_or_else(unknown)
        }))
    }
}

fn unknown() -> Rejection {
    Rejection::new(RejectionKind::InvalidCredentials).with_source(TokenError::UnknownToken)
}
