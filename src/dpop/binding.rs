use std::{
    fmt,
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderName, HeaderValue, header::CACHE_CONTROL, request::Parts};
use jsonwebtoken::Algorithm;

use super::{
    builder::DpopBindingBuilder,
    error::ProofError,
    known_keys::KnownKeys,
    nonces::{NonceAge, Nonces},
    proof::Proof,
    rate_limit::RateLimit,
    replay::Use,
    sent::Sent,
    target::Target,
};
use crate::{
    authenticate::outcome::Outcome,
    binding::{
        binding::{Binding, Confirmation},
        cnf::Cnf,
        evidence::Evidence,
    },
    clock::Clock,
    credentials::accepted_hosts::AcceptedHosts,
    header::{Challenge, Scheme},
    json::{members::Members, value::text},
    jwt::jws::compact::Buffer,
    rejection::{Rejection, RejectionKind},
    store::sealed_store::SealedStore,
    transport::forwarded::Forwarded,
};

/// Confirms tokens that are bound to a DPoP key (`cnf.jkt`, RFC 9449 §6).
///
/// See the [module](super) for an example. Clones share the settings and the rate limit.
#[derive(Clone)]
pub struct DpopBinding(pub(super) Arc<Settings>);

pub(super) struct Settings {
    pub(super) store: SealedStore,
    pub(super) forwarded: Forwarded,
    pub(super) hosts: AcceptedHosts,
    pub(super) path_prefix: Box<str>,
    pub(super) algorithms: Vec<Algorithm>,
    pub(super) max_age: Duration,
    pub(super) leeway: Duration,
    pub(super) nonces: Option<Nonces>,
    pub(super) rate_limit: RateLimit,
    pub(super) known_keys: KnownKeys,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) challenge: Challenge,
    /// The challenge with `invalid_dpop_proof`.
    pub(super) invalid_proof: Challenge,
    /// The challenge with `use_dpop_nonce`.
    pub(super) use_nonce: Challenge,
}

const DPOP_NONCE: HeaderName = HeaderName::from_static("dpop-nonce");

impl DpopBinding {
    /// Returns a builder. The store records the proofs that were accepted, so all instances of a
    /// service must share it.
    pub fn builder(store: SealedStore) -> DpopBindingBuilder {
        DpopBindingBuilder::new(store)
    }
}

/// What a request contains for the check of its proof.
struct Request<'e> {
    method: &'e str,
    target: &'e Target,
    proof: &'e str,
}

impl<'e> Request<'e> {
    fn of(evidence: Option<&'e Evidence>) -> Result<Self, ProofError> {
        let evidence = evidence.ok_or(ProofError::Missing)?;
        // A token in another place than `Authorization` has no scheme.
        if evidence.scheme().is_some_and(|scheme| scheme != Scheme::DPOP) {
            return Err(ProofError::Scheme);
        }
        let Sent { proof, target } = evidence.dpop().ok_or(ProofError::Missing)?;
        let proof = proof.as_deref().map_err(|error| *error)?;
        let target = target.as_ref().map_err(|error| *error)?;
        Ok(Self { method: evidence.method().as_str(), target, proof })
    }
}

/// A proof that is valid, unless it was used before.
struct Checked<'a> {
    proof: Proof<'a>,
    thumbprint: String,
    /// For how long an instance could accept the proof again.
    lifetime: Duration,
    /// The age of the nonce, if one is required.
    nonce_age: Option<NonceAge>,
}

impl Settings {
    /// Checks everything but how often the key and the proof are used. What costs little comes
    /// before the signature.
    fn check<'a>(
        &self,
        cnf: &Cnf,
        request: &Request<'a>,
        token: &str,
        buffers: &'a mut [Buffer; 2],
    ) -> Result<Checked<'a>, ProofError> {
        let expected_key = thumbprint_of(cnf).ok_or(ProofError::Confirmation)?;
        let [header, claims] = buffers;
        let proof = Proof::parse(request.proof, &self.algorithms, header, claims)?;
        if proof.method != request.method {
            return Err(ProofError::Method);
        }
        Target::parse(&proof.url).ok_or(ProofError::MalformedUrl)?.check_is(request.target)?;
        let now = self.now();
        if proof.issued_at > now.saturating_add(self.leeway) {
            return Err(ProofError::NotYetValid);
        }
        if proof.issued_at.saturating_add(self.max_age) < now {
            return Err(ProofError::Expired);
        }
        if *proof.token_hash != *token_hash(token) {
            return Err(ProofError::AccessToken);
        }
        let thumbprint = proof.key.thumbprint();
        if thumbprint != expected_key {
            return Err(ProofError::OtherKey);
        }
        let nonce_age = match &self.nonces {
            Some(nonces) => {
                let age = proof.nonce.as_deref().and_then(|nonce| nonces.check(nonce, now));
                Some(age.ok_or(ProofError::Nonce)?)
            }
            None => None,
        };
        self.known_keys.verify(&proof, &thumbprint)?;
        // The leeway is a reserve for instances whose clocks are behind. A proof is accepted at the
        // end of its time, but a record does not exist any more at the end of its lifetime.
        let end = proof.issued_at.saturating_add(self.max_age).saturating_add(self.leeway);
        let lifetime = end.saturating_sub(now).saturating_add(Duration::from_millis(1));
        Ok(Checked { proof, thumbprint, lifetime, nonce_age })
    }

    fn reject(&self, error: ProofError) -> Outcome<()> {
        let rejection = Rejection::new(RejectionKind::InvalidCredentials).with_source(error);
        match error {
            // Faults of the token: `BearerAuth` adds the challenge with `invalid_token`.
            ProofError::Scheme | ProofError::Confirmation | ProofError::OtherKey => {
                Outcome::from(Err(rejection))
            }
            ProofError::Nonce => {
                // Clients look for this error in the only challenge.
                let rejection = rejection.with_only_challenge(self.use_nonce.clone());
                self.with_new_nonce(Outcome::from(Err(rejection)))
            }
            _ => Outcome::from(Err(rejection.with_challenge(self.invalid_proof.clone()))),
        }
    }

    fn with_new_nonce(&self, outcome: Outcome<()>) -> Outcome<()> {
        let nonce = self.nonces.as_ref().map(|nonces| nonces.current(self.now()));
        match nonce.and_then(|nonce| HeaderValue::try_from(nonce).ok()) {
            Some(nonce) => outcome
                .with_header(DPOP_NONCE, nonce)
                .with_header(CACHE_CONTROL, HeaderValue::from_static("no-store")),
            None => outcome,
        }
    }

    /// Returns the time since 1970.
    fn now(&self) -> Duration {
        self.clock.now().duration_since(UNIX_EPOCH).unwrap_or_default()
    }
}

impl Binding for DpopBinding {
    fn evidence(&self, head: &Parts) -> Option<Evidence> {
        let Settings { forwarded, hosts, path_prefix, .. } = &*self.0;
        let sent = Sent::of_request(forwarded, hosts, path_prefix, head);
        Some(Evidence::of_request(head).with_dpop(sent))
    }

    fn confirm(&self, cnf: &Cnf, evidence: Option<Evidence>, token: &str) -> Confirmation {
        let settings = &self.0;
        let mut buffers = [Buffer::new(), Buffer::new()];
        let request = Request::of(evidence.as_ref());
        let checked = request.and_then(|request| {
            let checked = settings.check(cnf, &request, token, &mut buffers)?;
            Ok((checked, request.target))
        });
        let (Checked { proof, thumbprint, lifetime, nonce_age }, target) = match checked {
            Ok(checked) => checked,
            Err(error) => return Confirmation::from(settings.reject(error)),
        };
        // After the signature, so that nothing but proofs of the key can use up its limit.
        if let Err(wait) = settings.rate_limit.admit(&thumbprint, settings.clock.elapsed()) {
            let rejection = Rejection::new(RejectionKind::TooManyRequests).with_retry_after(wait);
            return Confirmation::ready(Err(rejection.with_source(ProofError::RateLimited)));
        }
        let url = target.to_url();
        let (method, id) = (&*proof.method, &*proof.id);
        let used = Use { thumbprint: &thumbprint, method, url: &url, id };
        let settings = Arc::clone(settings);
        used.record(&settings.store, lifetime).map(move |is_first| match (is_first, nonce_age) {
            (Ok(true), Some(NonceAge::Earlier)) => settings.with_new_nonce(Outcome::from(Ok(()))),
            (Ok(true), _) => Outcome::from(Ok(())),
            (Ok(false), _) => settings.reject(ProofError::Replayed),
            (Err(error), _) => Outcome::from(Err(error.into())),
        })
    }

    fn members(&self) -> &[&str] {
        &["jkt"]
    }

    fn challenge(&self) -> Option<Challenge> {
        Some(self.0.challenge.clone())
    }
}

/// Returns the `jkt`, if it is the hash of a key.
fn thumbprint_of(cnf: &Cnf) -> Option<String> {
    let json = &*cnf.0;
    let thumbprint = Members::parse(json)?.get(json, "jkt").and_then(text)?;
    let is_hash = URL_SAFE_NO_PAD.decode(&*thumbprint).is_ok_and(|hash| hash.len() == 32);
    is_hash.then(|| thumbprint.into_owned())
}

/// Returns the hash of a token, as in `ath`.
pub(crate) fn token_hash(token: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, token.as_bytes()))
}

impl fmt::Debug for DpopBinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Settings { forwarded, hosts, path_prefix, algorithms, .. } = &*self.0;
        let Settings { max_age, leeway, nonces, .. } = &*self.0;
        f.debug_struct("DpopBinding")
            .field("forwarded", forwarded)
            .field("hosts", hosts)
            .field("path_prefix", path_prefix)
            .field("algorithms", algorithms)
            .field("max_age", max_age)
            .field("leeway", leeway)
            .field("nonces", &nonces.is_some())
            .finish_non_exhaustive()
    }
}
