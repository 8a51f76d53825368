//! The verification of keys in requests.

use std::sync::Arc;

use aws_lc_rs::{constant_time, digest};
use http::request::Parts;

use super::{
    api_keys::{ApiKeys, State},
    error::InvalidApiKey,
    info::{ApiKeyInfo, StoredApiKey},
    key_text,
    owners::KeyOwner,
    store::ApiKeyFuture,
};
use crate::{
    bearer::verifier::{TokenVerifier, Verification},
    header::Scheme,
    principal::Principal,
    rejection::{Rejection, RejectionKind},
};

impl TokenVerifier for ApiKeys {
    fn verify(&self, token: &str) -> Verification {
        self.verify_key(token.as_bytes())
    }

    fn verify_request(&self, token: &[u8], _: &Parts) -> Verification {
        self.verify_key(token)
    }
}

impl ApiKeys {
    fn verify_key(&self, key: &[u8]) -> Verification {
        let state = &self.0;
        let Some(id) = key_text::parse(&state.prefix, key) else {
            return Verification::ready(Err(InvalidApiKey::Malformed.into()));
        };
        let sent = digest_of(key);
        match state.store.find(id).into_ready() {
            Ok(found) => match state.judge(&sent, found) {
                Ok(info) => state.with_owner(info),
                Err(rejection) => Verification::ready(Err(rejection)),
            },
            Err(pending) => {
                let state = Arc::clone(state);
                Verification::pending(async move {
                    let info = state.judge(&sent, pending.await)?;
                    state.with_owner(info).await
                })
            }
        }
    }
}

type Found<T> = Result<Option<T>, Box<dyn std::error::Error + Send + Sync>>;

impl State {
    /// An unknown id and a wrong secret take the same path.
    fn judge(&self, sent: &[u8; 32], found: Found<StoredApiKey>) -> Result<ApiKeyInfo, Rejection> {
        let found = found.map_err(unavailable)?;
        let digest = found.as_ref().map_or([0; 32], |key| key.digest);
        let is_equal = constant_time::verify_slices_are_equal(&digest, sent).is_ok();
        let info = found.filter(|_| is_equal).ok_or(InvalidApiKey::Unknown)?.info;
        if info.revoked_at.is_some() {
            return Err(InvalidApiKey::Revoked.into());
        }
        if !info.is_live(self.clock.now()) {
            return Err(InvalidApiKey::Expired.into());
        }
        Ok(info)
    }

    fn with_owner(&self, info: ApiKeyInfo) -> Verification {
        let owner: ApiKeyFuture<Option<KeyOwner>> = self.owners.find(&info.owner);
        owner.map(move |owner| {
            let owner = owner.map_err(unavailable)?.ok_or(InvalidApiKey::OwnerInactive)?;
            let scopes = owner.limit(&info.scopes);
            let caller = Principal::builder(Arc::clone(&info.owner), Scheme::BEARER)
                .expires_at(info.expires_at)
                .granted(scopes)
                .extension(info);
            Ok(caller.build())
        })
    }
}

/// Returns SHA-256 of a key. A slow hash is not needed for 160 random bits.
pub(super) fn digest_of(key: &[u8]) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest::digest(&digest::SHA256, key).as_ref());
    bytes
}

fn unavailable(error: Box<dyn std::error::Error + Send + Sync>) -> Rejection {
    Rejection::new(RejectionKind::Unavailable).because(error)
}
