use std::{fmt, sync::Arc};

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::Algorithm;
#[cfg(feature = "client")]
use {
    crate::jwt::crypto::InvalidKey,
    http::{HeaderValue, Method},
    serde_json::json,
    std::time::UNIX_EPOCH,
};

use crate::{
    clock::{Clock, SystemClock},
    config_error::ConfigError,
    jwt::crypto::{key_pem::read_private, signer::Signer},
};

/// The private key of a client, to which its tokens are bound (RFC 9449).
///
/// Clones share the key. Use one key for the requests to the token endpoint and for those with the
/// token:
///
/// ```no_run
/// # #[cfg(all(feature = "client-oauth", feature = "jwks-reqwest"))] {
/// use tower_auth::{
///     client::{AttachLayer, ClientCredentials, RefreshingToken, TokenEndpoint},
///     dpop::DpopKey,
/// };
///
/// # let secret = "";
/// let key = DpopKey::new()?;
/// let endpoint = TokenEndpoint::discover("https://issuer.example")
///     .client_id("orders")
///     .client_secret(secret)
///     .dpop(key.clone())
///     .build()?;
/// let token = RefreshingToken::new(ClientCredentials::new(endpoint));
/// let layer = AttachLayer::new(token).only_to("https://stock.example")?.dpop(key);
/// # }
/// # Ok::<(), tower_auth::ConfigError>(())
/// ```
///
/// A generated key lives as long as the process, which is enough for tokens that can be requested
/// again. A refresh token of a public client is bound to the key as well (RFC 9449 §5): keep that
/// key with [`from_pem`](Self::from_pem).
#[derive(Clone)]
pub struct DpopKey {
    key: Arc<KeyState>,
    #[cfg_attr(not(feature = "client"), allow(dead_code))]
    clock: Arc<dyn Clock>,
}

struct KeyState {
    signer: Signer,
    public_jwk: Box<str>,
    thumbprint: Box<str>,
    /// The encoded header of each proof, and a dot.
    #[cfg_attr(not(feature = "client"), allow(dead_code))]
    header: Box<str>,
}

impl DpopKey {
    /// Generates a key for ES256, which all authorization servers with DPoP support.
    ///
    /// # Errors
    ///
    /// Returns an error if the system has no random numbers.
    pub fn new() -> Result<Self, ConfigError> {
        Self::generate(Algorithm::ES256)
    }

    /// Generates a key for this algorithm. An RSA key has 2048 bits, and takes up to a second.
    ///
    /// # Errors
    ///
    /// Returns an error if the algorithm is not asymmetric, such as HS256, or if the system has no
    /// random numbers.
    pub fn generate(algorithm: Algorithm) -> Result<Self, ConfigError> {
        if matches!(algorithm, Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512) {
            return Err(ConfigError::invalid(format!(
                "a DPoP key must not be a secret: replace {algorithm:?} with ES256 or EdDSA"
            )));
        }
        let signer = Signer::generate(algorithm);
        Self::of(signer.map_err(|error| unusable().with_source(error))?)
    }

    /// Reads a private key in PEM: Ed25519, P-256, P-384 or RSA. Its kind determines the algorithm:
    /// EdDSA, ES256, ES384 or RS256.
    ///
    /// # Errors
    ///
    /// Returns an error if the text is not exactly one private key of these kinds.
    pub fn from_pem(pem: impl AsRef<[u8]>) -> Result<Self, ConfigError> {
        Self::of(read_private(pem.as_ref())?)
    }

    fn of(signer: Signer) -> Result<Self, ConfigError> {
        let jwk = signer.verification_jwk().map_err(|error| unusable().with_source(error))?;
        let public_jwk = jwk.to_json().into_boxed_str();
        let thumbprint = sha256_base64url(public_jwk.as_bytes()).into();
        let alg = signer.algorithm;
        let header = format!(r#"{{"typ":"dpop+jwt","alg":"{alg:?}","jwk":{public_jwk}}}"#);
        let header = format!("{}.", URL_SAFE_NO_PAD.encode(header)).into();
        let key = Arc::new(KeyState { signer, public_jwk, thumbprint, header });
        Ok(Self { key, clock: Arc::new(SystemClock) })
    }

    /// Replaces the system clock, for tests. It determines the `iat` of proofs.
    #[must_use = "the clock applies only to the returned key"]
    pub fn clock(self, clock: impl Clock) -> Self {
        Self { clock: Arc::new(clock), ..self }
    }

    /// Returns the thumbprint of the public key (RFC 7638, SHA-256): the `jkt` of bound tokens, and
    /// the value of the parameter `dpop_jkt` (RFC 9449 §10).
    #[must_use]
    pub fn thumbprint(&self) -> &str {
        &self.key.thumbprint
    }

    /// Returns the public key as a JWK, in JSON.
    #[must_use]
    pub fn public_jwk(&self) -> &str {
        &self.key.public_jwk
    }

    /// Returns the algorithm of the proofs.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.key.signer.algorithm
    }
}

#[cfg(feature = "client")]
impl DpopKey {
    /// Returns a new proof (RFC 9449 §4.2), marked as sensitive. `target` is the URL without query
    /// and fragment.
    pub(crate) fn proof(
        &self,
        method: &Method,
        target: &str,
        token: Option<&str>,
        nonce: Option<&str>,
    ) -> Result<HeaderValue, InvalidKey> {
        let now = self.clock.now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut claims = json!({
            "jti": URL_SAFE_NO_PAD.encode(crate::random::random_bytes::<16>()),
            "htm": method.as_str(),
            "htu": target,
            "iat": now.as_secs(),
        });
        if let Some(members) = claims.as_object_mut() {
            if let Some(token) = token {
                members.insert("ath".into(), sha256_base64url(token.as_bytes()).into());
            }
            if let Some(nonce) = nonce {
                members.insert("nonce".into(), nonce.into());
            }
        }
        let mut proof = String::from(&*self.key.header);
        URL_SAFE_NO_PAD.encode_string(claims.to_string(), &mut proof);
        self.key.signer.append_signature(&mut proof)?;
        let value = HeaderValue::try_from(proof);
        let mut value = value.map_err(|_| InvalidKey::new("the proof is not a header value"))?;
        // Also keeps it out of the compression table of HTTP/2, where it is of no use.
        value.set_sensitive(true);
        Ok(value)
    }
}

fn sha256_base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, bytes))
}

fn unusable() -> ConfigError {
    ConfigError::key("cannot use the DPoP key: choose another algorithm, such as ES256")
}

/// Hides the private key.
impl fmt::Debug for DpopKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DpopKey")
            .field("algorithm", &self.algorithm())
            .field("thumbprint", &self.thumbprint())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEM: &str = "-----BEGIN PRIVATE KEY-----\n\
         MC4CAQAwBQYDK2VwBCIEIKVku7uKMdQvgCKttcFQbRCELS5csGJs7o96x7fZp0Pa\n\
         -----END PRIVATE KEY-----\n";

    #[test]
    fn secret_algorithm_or_unusable_pem_is_a_config_error() {
        for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
            let error = DpopKey::generate(algorithm).unwrap_err().to_string();
            assert!(error.contains("must not be a secret"), "{error}");
        }
        assert!(DpopKey::from_pem("").is_err());
        assert!(DpopKey::from_pem(PEM.replace("MC4C", "MC4D")).is_err());
    }

    #[test]
    fn key_of_a_file_is_the_same_each_time_and_debug_hides_it() {
        let [key, same] = [(); 2].map(|()| DpopKey::from_pem(PEM).unwrap());
        assert_eq!(key.thumbprint(), same.thumbprint());
        assert_eq!(key.algorithm(), Algorithm::EdDSA);
        assert_eq!(key.thumbprint(), sha256_base64url(key.public_jwk().as_bytes()));
        assert_ne!(key.thumbprint(), DpopKey::new().unwrap().thumbprint());
        let debug = format!("{key:?}");
        assert!(debug.contains(key.thumbprint()) && !debug.contains("signer"), "{debug}");
    }

    #[cfg(feature = "client")]
    mod proofs {
        use std::time::{Duration, SystemTime};

        use jsonwebtoken::{DecodingKey, jwk::Jwk};
        use serde_json::Value;

        use super::*;
        use crate::jwt::crypto::{AwsLc, Backend as _};

        /// Verifies the signature of a proof, and returns its header and its claims.
        fn verified(proof: &HeaderValue) -> (Value, Value) {
            assert!(proof.is_sensitive());
            let proof = proof.to_str().unwrap();
            let (message, signature) = proof.rsplit_once('.').unwrap();
            let (header, claims) = message.split_once('.').unwrap();
            let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();
            let json = |text: &str| serde_json::from_slice::<Value>(&decode(text)).unwrap();
            let header = json(header);
            let jwk: Jwk = serde_json::from_value(header["jwk"].clone()).unwrap();
            let key = DecodingKey::from_jwk(&jwk).unwrap();
            let algorithm = serde_json::from_value(header["alg"].clone()).unwrap();
            let verifier = AwsLc::default().prepare(algorithm, &key).unwrap();
            verifier.verify(message.as_bytes(), &decode(signature)).unwrap();
            (header, json(claims))
        }

        #[test]
        fn proof_of_each_algorithm_has_the_members_of_rfc_9449() {
            let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_562_265_296);
            let token = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU";
            for algorithm in
                [Algorithm::ES256, Algorithm::ES384, Algorithm::EdDSA, Algorithm::PS256]
            {
                let key = DpopKey::generate(algorithm).unwrap().clock(move || now);
                let proof = |token, nonce| {
                    let htu = "https://resource.example.org/protectedresource";
                    verified(&key.proof(&Method::GET, htu, token, nonce).unwrap())
                };
                let (header, claims) = proof(Some(token), Some("n-1"));
                assert_eq!(header["typ"], "dpop+jwt");
                assert_eq!(header["alg"], serde_json::json!(algorithm));
                assert_eq!(header["jwk"].to_string(), key.public_jwk());
                assert_eq!(header.as_object().unwrap().len(), 3);
                for private in ["d", "p", "q", "k"] {
                    assert_eq!(header["jwk"].get(private), None);
                }
                assert_eq!(claims["htm"], "GET");
                assert_eq!(claims["htu"], "https://resource.example.org/protectedresource");
                assert_eq!(claims["iat"], 1_562_265_296);
                // The example of RFC 9449 §7.1.
                assert_eq!(claims["ath"], "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo");
                assert_eq!(claims["nonce"], "n-1");
                let (_, other) = proof(None, None);
                assert_eq!((other.get("ath"), other.get("nonce")), (None, None));
                assert_ne!(other["jti"], claims["jti"]);
                assert_eq!(claims["jti"].as_str().unwrap().len(), 22);
            }
        }
    }
}
