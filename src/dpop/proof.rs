//! DPoP proofs (RFC 9449 §4.2).

use std::{borrow::Cow, time::Duration};

use jsonwebtoken::Algorithm;

use super::{error::ProofError, public_key::PublicKey};
use crate::{
    json::{members::Members, value::text},
    jwt::{
        crypto::Verifier,
        jws::{
            compact::{Buffer, Compact, decode},
            header::{is_same_type, parse_algorithm},
        },
    },
};

/// A parsed proof. Its signature is not verified yet.
pub(super) struct Proof<'a> {
    pub(super) key: PublicKey,
    pub(super) id: Cow<'a, str>,
    pub(super) method: Cow<'a, str>,
    pub(super) url: Cow<'a, str>,
    /// The time since 1970.
    pub(super) issued_at: Duration,
    pub(super) token_hash: Cow<'a, str>,
    pub(super) nonce: Option<Cow<'a, str>>,
    signed: &'a [u8],
    signature: Vec<u8>,
}

/// The longest `jti` in bytes.
const MAX_ID: usize = 256;

impl<'a> Proof<'a> {
    /// The longest proof in bytes. One with an RSA key of 4096 bits has about 2.5 KiB.
    pub(super) const MAX_BYTES: usize = 8 * 1024;

    /// Parses a proof. The buffers receive the decoded header and claims.
    pub(super) fn parse(
        proof: &'a str,
        algorithms: &[Algorithm],
        header: &'a mut Buffer,
        claims: &'a mut Buffer,
    ) -> Result<Self, ProofError> {
        if proof.len() > Self::MAX_BYTES {
            return Err(ProofError::TooLong);
        }
        let not_compact = |_| ProofError::NotCompactJws;
        let compact = Compact::parse(proof.as_bytes()).map_err(not_compact)?;
        let header = decode(compact.header, header).map_err(not_compact)?;
        let claims = decode(compact.payload, claims).map_err(not_compact)?;
        let mut signature = Buffer::new();
        let signature = decode(compact.signature, &mut signature).map_err(not_compact)?.to_vec();
        let key = parse_header(header, algorithms)?;
        Self::parse_claims(claims, key, compact.signed, signature)
    }

    fn parse_claims(
        json: &'a [u8],
        key: PublicKey,
        signed: &'a [u8],
        signature: Vec<u8>,
    ) -> Result<Self, ProofError> {
        let json = str::from_utf8(json).map_err(|_| ProofError::MalformedClaims)?;
        let claims = Members::parse(json).ok_or(ProofError::MalformedClaims)?;
        let malformed = ProofError::MalformedClaim;
        let required = |name| claims.get(json, name).and_then(text).ok_or_else(|| malformed(name));
        let nonce = match claims.get(json, "nonce") {
            Some(_) => Some(required("nonce")?),
            None => None,
        };
        let id = required("jti")?;
        if !(1..=MAX_ID).contains(&id.len()) {
            return Err(malformed("jti"));
        }
        let issued_at = claims.get(json, "iat").and_then(parse_instant);
        Ok(Self {
            key,
            id,
            method: required("htm")?,
            url: required("htu")?,
            issued_at: issued_at.ok_or_else(|| malformed("iat"))?,
            token_hash: required("ath")?,
            nonce,
            signed,
            signature,
        })
    }

    /// Verifies that the signature is one by this key, which is the one in the header.
    pub(super) fn verify_signature(&self, key: &dyn Verifier) -> Result<(), ProofError> {
        key.verify(self.signed, &self.signature).map_err(|_| ProofError::Signature)
    }
}

fn parse_header(json: &[u8], algorithms: &[Algorithm]) -> Result<PublicKey, ProofError> {
    let json = str::from_utf8(json).map_err(|_| ProofError::MalformedHeader)?;
    let header = Members::parse(json).ok_or(ProofError::MalformedHeader)?;
    if header.get(json, "crit").is_some() || header.get(json, "b64").is_some() {
        return Err(ProofError::CriticalHeader);
    }
    let typ = header.get(json, "typ").and_then(text).ok_or(ProofError::Type)?;
    if !is_same_type(&typ, "dpop+jwt") {
        return Err(ProofError::Type);
    }
    let algorithm = header.get(json, "alg").and_then(text).ok_or(ProofError::MalformedHeader)?;
    let algorithm = parse_algorithm(&algorithm).filter(|it| algorithms.contains(it));
    let algorithm = algorithm.ok_or(ProofError::Algorithm)?;
    let jwk = header.get(json, "jwk").ok_or(ProofError::MalformedHeader)?;
    PublicKey::parse(jwk, algorithm)
}

/// Reads a number of seconds since 1970, which can have a fraction (RFC 7519 §2).
fn parse_instant(json: &str) -> Option<Duration> {
    match json.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        // Strings have quotes.
        Err(_) => Duration::try_from_secs_f64(json.parse().ok()?).ok(),
    }
}
