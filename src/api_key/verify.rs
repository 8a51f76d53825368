//! The verification of keys in requests.

use std::{error::Error, sync::Arc};

use aws_lc_rs::{constant_time, digest};
use http::request::Parts;

use super::{
    api_keys::{ApiKeys, State},
    error::InvalidApiKey,
    info::{ApiKeyInfo, StoredApiKey},
    key_text,
    owners::KeyOwner,
    recent::{Digest, claim_report},
};
use crate::{
    basic::client_address::ClientAddress,
    bearer::verifier::{TokenVerifier, Verification},
    clock::Deadline,
    header::Scheme,
    observe::event::Event,
    principal::Principal,
    rejection::{Rejection, RejectionKind},
    throttle::{Throttle, address_failures::AddressAttempt},
};

/// Verifies keys, for [`BearerAuth`](crate::bearer::BearerAuth) and
/// [`Issuers::otherwise`](crate::jwt::Issuers::otherwise).
///
/// The throttle counts a key that is verified without a request as one from an unknown address.
impl TokenVerifier for ApiKeys {
    fn verify(&self, token: &str) -> Verification {
        self.verify_key(token.as_bytes(), |_| ClientAddress::new(None))
    }

    fn verify_request(&self, token: &[u8], head: &Parts) -> Verification {
        self.verify_key(token, |throttle| throttle.client(head))
    }
}

impl ApiKeys {
    fn verify_key(
        &self,
        key: &[u8],
        client: impl FnOnce(&Throttle) -> ClientAddress,
    ) -> Verification {
        let state = &self.0;
        let Some(id) = key_text::parse(&state.prefix, key) else {
            return Verification::ready(Err(InvalidApiKey::Malformed.into()));
        };
        let check = match KeyCheck::begin(state, digest_of(key), client) {
            Ok(check) => check,
            Err(rejection) => return Verification::ready(Err(rejection)),
        };
        match state.store.find(id).into_ready() {
            Ok(found) => check.finish(found),
            Err(pending) => Verification::pending(async move { check.finish(pending.await).await }),
        }
    }
}

/// The check of one key.
struct KeyCheck {
    state: Arc<State>,
    sent: Digest,
    /// When the next use of the key is reported, if this process has accepted it before.
    accepted: Option<Arc<Deadline>>,
    /// Counts against the limit of the client, unless the key was accepted before: other clients
    /// at the same address must not lock this one out.
    attempt: Option<AddressAttempt>,
}

type BoxError = Box<dyn Error + Send + Sync>;

impl KeyCheck {
    /// Returns a rejection if the client is over its limit, or if the key is known to be unknown.
    fn begin(
        state: &Arc<State>,
        sent: Digest,
        client: impl FnOnce(&Throttle) -> ClientAddress,
    ) -> Result<Self, Rejection> {
        let accepted = state.accepted.get(&sent);
        let mut attempt = None;
        if accepted.is_none() {
            if let Some(throttle) = &state.throttle {
                attempt = Some(throttle.begin_attempt(client(throttle), &sent)?);
            }
            if state.unknown.contains(&sent, &*state.clock) {
                // Counted when it is dropped.
                drop(attempt);
                return Err(InvalidApiKey::Unknown.into());
            }
        }
        Ok(Self { state: Arc::clone(state), sent, accepted, attempt })
    }

    fn finish(mut self, found: Result<Option<StoredApiKey>, BoxError>) -> Verification {
        let judged = match found {
            Ok(found) => self.state.judge(&self.sent, found),
            Err(error) => {
                self.end_attempt(false);
                return Verification::ready(Err(unavailable(error)));
            }
        };
        self.end_attempt(matches!(judged, Err(InvalidApiKey::Unknown)));
        match judged {
            Ok(info) => self.with_owner(info),
            Err(reason) => {
                let state = &self.state;
                if self.accepted.is_some() {
                    state.accepted.remove(&self.sent);
                }
                if reason == InvalidApiKey::Unknown {
                    state.unknown.add(&self.sent, &*state.clock);
                }
                Verification::ready(Err(reason.into()))
            }
        }
    }

    fn end_attempt(&mut self, failed: bool) {
        if let Some(attempt) = self.attempt.take() {
            attempt.finish(failed);
        }
    }

    fn with_owner(self, info: ApiKeyInfo) -> Verification {
        self.state.owners.find(&info.owner).map(move |owner| {
            let owner = owner.map_err(unavailable)?.ok_or(InvalidApiKey::OwnerInactive)?;
            self.report_use(&info);
            Ok(principal(info, &owner))
        })
    }

    fn report_use(&self, info: &ApiKeyInfo) {
        let state = &self.state;
        let added;
        let next_report = match &self.accepted {
            Some(next_report) => next_report,
            None => {
                added = state.accepted.add(&self.sent);
                &added
            }
        };
        if claim_report(next_report, &*state.clock) {
            state.observer.observe(&Event::ApiKeyUsed { owner: &info.owner, id: &info.id });
        }
    }
}

impl State {
    /// Decides about the key that the store has returned. An unknown id and a wrong secret take the
    /// same path.
    fn judge(
        &self,
        sent: &Digest,
        found: Option<StoredApiKey>,
    ) -> Result<ApiKeyInfo, InvalidApiKey> {
        let digest = found.as_ref().map_or([0; 32], |key| key.digest);
        let is_equal = constant_time::verify_slices_are_equal(&digest, sent).is_ok();
        let info = found.filter(|_| is_equal).ok_or(InvalidApiKey::Unknown)?.info;
        if info.revoked_at.is_some() {
            return Err(InvalidApiKey::Revoked);
        }
        if !info.is_live(self.clock.now()) {
            return Err(InvalidApiKey::Expired);
        }
        Ok(info)
    }
}

fn principal(info: ApiKeyInfo, owner: &KeyOwner) -> Principal {
    Principal::builder(Arc::clone(&info.owner), Scheme::BEARER)
        .expires_at(info.expires_at)
        .granted(owner.limit(&info.scopes))
        .extension(info)
        .build()
}

/// Returns SHA-256 of a key. A slow hash is not needed for 160 random bits.
pub(super) fn digest_of(key: &[u8]) -> Digest {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest::digest(&digest::SHA256, key).as_ref());
    bytes
}

fn unavailable(error: BoxError) -> Rejection {
    Rejection::new(RejectionKind::Unavailable).because(error)
}
