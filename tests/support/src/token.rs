//! A test token signer, with generated keys or keys from a JWK.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::{
    encoding::AsBigEndian,
    hmac,
    rand::SystemRandom,
    rsa::{KeyPairComponents, KeySize},
    signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaKeyPair},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::{Value, json};

pub const ISSUER: &str = "https://issuer.example";
pub const AUDIENCE: &str = "https://api.example";

/// Returns the current time in seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// Returns claims that are valid for ten minutes.
pub fn claims() -> Value {
    json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": "user-1", "exp": now() + 600, "scope": "read write",
    })
}

/// Returns claims as issuers write them. The signed part has 483 bytes, a size for which others
/// publish benchmarks.
pub fn usual_claims() -> Value {
    let now = now();
    json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": "user-1", "exp": now + 600, "iat": now, "nbf": now,
        "jti": "7f1cb1f5-3c0d-4e0e-9a0b-6a4f7be2f9d1", "client_id": "orders-web",
        "email": "alice@example.com", "name": "Alice Pleasance Liddell", "roles": ["user"],
        "scope": "openid profile orders:read orders:write",
    })
}

/// Six of the [`usual_claims`], as an application deserializes them.
#[derive(Clone, Debug, Deserialize)]
pub struct User {
    pub sub: String,
    pub exp: u64,
    pub email: String,
    pub name: String,
    pub scope: String,
    pub roles: Vec<String>,
}

/// A key that signs tokens with one algorithm.
pub struct Signer {
    pub algorithm: &'static str,
    pub id: Option<String>,
    key: SigningKey,
}

enum SigningKey {
    Secret(Vec<u8>),
    Rsa(RsaKeyPair),
    Ecdsa(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

impl Signer {
    /// Generates a key.
    pub fn generate(algorithm: &'static str, id: &str) -> Self {
        let key = match algorithm {
            "HS256" => SigningKey::Secret(random(32)),
            "HS384" => SigningKey::Secret(random(48)),
            "HS512" => SigningKey::Secret(random(64)),
            "ES256" => SigningKey::Ecdsa(
                EcdsaKeyPair::generate(&signature::ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(),
            ),
            "ES384" => SigningKey::Ecdsa(
                EcdsaKeyPair::generate(&signature::ECDSA_P384_SHA384_FIXED_SIGNING).unwrap(),
            ),
            "EdDSA" => SigningKey::Ed(Ed25519KeyPair::generate().unwrap()),
            _ => SigningKey::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()),
        };
        Self { algorithm, id: Some(id.to_owned()), key }
    }

    /// Creates an HMAC signer with this secret.
    pub fn secret(algorithm: &'static str, id: Option<&str>, secret: &[u8]) -> Self {
        Self { algorithm, id: id.map(str::to_owned), key: SigningKey::Secret(secret.to_vec()) }
    }

    /// Signs with another algorithm of the same key type.
    pub fn with_algorithm(self, algorithm: &'static str) -> Self {
        Self { algorithm, ..self }
    }

    /// Reads a private key in PKCS #8 DER. Tokens have no `kid`.
    pub fn from_pkcs8(algorithm: &'static str, der: &[u8]) -> Self {
        let ecdsa = |curve| SigningKey::Ecdsa(EcdsaKeyPair::from_pkcs8(curve, der).unwrap());
        let key = match algorithm {
            "ES256" => ecdsa(&signature::ECDSA_P256_SHA256_FIXED_SIGNING),
            "ES384" => ecdsa(&signature::ECDSA_P384_SHA384_FIXED_SIGNING),
            "EdDSA" => SigningKey::Ed(Ed25519KeyPair::from_pkcs8(der).unwrap()),
            _ => SigningKey::Rsa(RsaKeyPair::from_pkcs8(der).unwrap()),
        };
        Self { algorithm, id: None, key }
    }

    /// Returns the private key of an ES256 signer in PKCS #8 DER.
    pub fn to_pkcs8(&self) -> Vec<u8> {
        match &self.key {
            SigningKey::Ecdsa(pair) => pair.to_pkcs8v1().unwrap().as_ref().to_vec(),
            _ => panic!("not an EC key"),
        }
    }

    /// Reads the RSA key of a private JWK.
    pub fn from_rsa_jwk(algorithm: &'static str, jwk: &Value) -> Self {
        let part = |name: &str| URL_SAFE_NO_PAD.decode(jwk[name].as_str().unwrap()).unwrap();
        let key = RsaKeyPair::from_components(&KeyPairComponents {
            public_key: signature::RsaPublicKeyComponents { n: part("n"), e: part("e") },
            d: part("d"),
            p: part("p"),
            q: part("q"),
            dP: part("dp"),
            dQ: part("dq"),
            qInv: part("qi"),
        });
        let id = jwk["kid"].as_str().map(str::to_owned);
        Self { algorithm, id, key: SigningKey::Rsa(key.unwrap()) }
    }

    /// Returns the JWK that verifies the signatures: the public key, or the HMAC secret.
    pub fn jwk(&self) -> Value {
        let mut jwk = match &self.key {
            SigningKey::Secret(secret) => json!({ "kty": "oct", "k": encode(secret) }),
            SigningKey::Rsa(pair) => {
                let public = signature::RsaPublicKeyComponents::<Vec<u8>>::from(pair.public_key());
                json!({ "kty": "RSA", "n": encode(public.n), "e": encode(public.e) })
            }
            SigningKey::Ecdsa(pair) => {
                let point = pair.public_key();
                let point: aws_lc_rs::encoding::EcPublicKeyUncompressedBin<'_> =
                    point.as_be_bytes().unwrap();
                let (x, y) = point.as_ref()[1..].split_at(point.as_ref().len() / 2);
                let curve = if self.algorithm == "ES256" { "P-256" } else { "P-384" };
                json!({ "kty": "EC", "crv": curve, "x": encode(x), "y": encode(y) })
            }
            SigningKey::Ed(pair) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "x": encode(pair.public_key()) })
            }
        };
        jwk["alg"] = self.algorithm.into();
        if let Some(id) = &self.id {
            jwk["kid"] = id.as_str().into();
        }
        jwk
    }

    /// Signs a token with these claims and a header with `alg`, `typ` and `kid`.
    pub fn token(&self, claims: &Value) -> String {
        let mut header = json!({ "alg": self.algorithm, "typ": "JWT" });
        if let Some(id) = &self.id {
            header["kid"] = id.as_str().into();
        }
        self.token_with(&header, claims)
    }

    /// Signs a token with this header and these claims.
    pub fn token_with(&self, header: &Value, claims: &Value) -> String {
        self.sign(&encode(header.to_string()), &encode(claims.to_string()))
    }

    /// Signs these two encoded parts, which need not be valid.
    pub fn sign(&self, header: &str, payload: &str) -> String {
        let message = format!("{header}.{payload}");
        let signature = encode(self.signature(message.as_bytes()));
        format!("{message}.{signature}")
    }

    fn signature(&self, message: &[u8]) -> Vec<u8> {
        let rng = SystemRandom::new();
        match &self.key {
            SigningKey::Secret(secret) => {
                let algorithm = match self.algorithm {
                    "HS256" => hmac::HMAC_SHA256,
                    "HS384" => hmac::HMAC_SHA384,
                    _ => hmac::HMAC_SHA512,
                };
                hmac::sign(&hmac::Key::new(algorithm, secret), message).as_ref().to_vec()
            }
            SigningKey::Rsa(pair) => {
                let padding: &dyn signature::RsaEncoding = match self.algorithm {
                    "RS256" => &signature::RSA_PKCS1_SHA256,
                    "RS384" => &signature::RSA_PKCS1_SHA384,
                    "RS512" => &signature::RSA_PKCS1_SHA512,
                    "PS256" => &signature::RSA_PSS_SHA256,
                    "PS384" => &signature::RSA_PSS_SHA384,
                    _ => &signature::RSA_PSS_SHA512,
                };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(padding, &rng, message, &mut signature).unwrap();
                signature
            }
            SigningKey::Ecdsa(pair) => pair.sign(&rng, message).unwrap().as_ref().to_vec(),
            SigningKey::Ed(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }
}

/// Encodes bytes as base64url without padding.
pub fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub fn random(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    aws_lc_rs::rand::fill(&mut bytes).unwrap();
    bytes
}
