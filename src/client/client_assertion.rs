//! The signature that authenticates a client instead of a secret (`private_key_jwt`).

use std::{
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::json;
use zeroize::Zeroizing;

use super::endpoint_failure::EndpointFailure;
use crate::{
    clock::Clock,
    config_error::ConfigError,
    jwt::crypto::{key_pem::read_private, signer::Signer},
    random::random_bytes,
};

/// The value of `client_assertion_type` (RFC 7523 §2.2).
pub(super) const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// A private key of a client.
pub(crate) struct ClientKey {
    signer: Signer,
    /// The encoded header.
    header: String,
    clock: Arc<dyn Clock>,
}

impl ClientKey {
    /// How long the endpoint can accept an assertion.
    const LIFETIME: Duration = Duration::from_secs(60);

    /// Reads a private key in PEM. Its kind determines the algorithm.
    pub(super) fn read(
        pem: &[u8],
        id: Option<&str>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ConfigError> {
        let signer = read_private(pem)?;
        let mut header = json!({ "alg": signer.algorithm, "typ": "JWT" });
        if let (Some(id), Some(header)) = (id, header.as_object_mut()) {
            header.insert("kid".into(), id.into());
        }
        let header = URL_SAFE_NO_PAD.encode(header.to_string());
        Ok(Self { signer, header, clock })
    }

    /// Returns a new assertion (RFC 7523 §3), which the endpoint accepts once.
    pub(super) fn assertion(
        &self,
        client_id: &str,
        audience: &str,
    ) -> Result<Zeroizing<String>, EndpointFailure> {
        let now = self.clock.now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let claims = json!({
            "iss": client_id,
            "sub": client_id,
            "aud": audience,
            "jti": URL_SAFE_NO_PAD.encode(random_bytes::<16>()),
            "iat": now.as_secs(),
            "exp": now.saturating_add(Self::LIFETIME).as_secs(),
        });
        let mut assertion = Zeroizing::new(format!("{}.", self.header));
        URL_SAFE_NO_PAD.encode_string(claims.to_string(), &mut assertion);
        let signed = self.signer.append_signature(&mut assertion);
        signed.map_err(|_| EndpointFailure::because("the key of the client cannot sign"))?;
        Ok(assertion)
    }
}
