use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::Algorithm;
use serde_json::{Map, Value};

use super::InvalidKey;
use crate::jwt::keys::{jwk::without_leading_zeros, public_key::read_rsa};

/// The members of a JWK that its kind of key requires (RFC 7518 §6, RFC 8037 §2), in the order of
/// RFC 7638 §3.3. All values are base64url or names, so they need no escapes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PublicJwk(Vec<(&'static str, String)>);

impl PublicJwk {
    pub(crate) fn rsa(modulus: &[u8], exponent: &[u8]) -> Self {
        let number = |bytes| encode(without_leading_zeros(bytes));
        Self(vec![("e", number(exponent)), ("kty", "RSA".into()), ("n", number(modulus))])
    }

    /// Reads an `RSAPublicKey` (RFC 8017 §A.1.1).
    pub(super) fn rsa_der(der: &[u8]) -> Result<Self, InvalidKey> {
        let (modulus, exponent) =
            read_rsa(der).map_err(|_| InvalidKey::new("not an RSA public key"))?;
        Ok(Self::rsa(modulus.as_bytes(), exponent.as_bytes()))
    }

    /// Reads a point in uncompressed form (SEC 1 §2.3.3): the byte 4, then x and y.
    pub(crate) fn ec(algorithm: Algorithm, point: &[u8]) -> Result<Self, InvalidKey> {
        let (curve, length) = match algorithm {
            Algorithm::ES256 => ("P-256", 32),
            Algorithm::ES384 => ("P-384", 48),
            _ => return Err(InvalidKey::new("not an algorithm of EC keys")),
        };
        match point {
            [4, point @ ..] if point.len() == 2 * length => {
                let (x, y) = point.split_at(length);
                let members = [("crv", curve.into()), ("kty", "EC".into())];
                Ok(Self(members.into_iter().chain([("x", encode(x)), ("y", encode(y))]).collect()))
            }
            _ => Err(InvalidKey::new("not an uncompressed point on the curve")),
        }
    }

    pub(crate) fn ed25519(key: &[u8]) -> Self {
        Self(vec![("crv", "Ed25519".into()), ("kty", "OKP".into()), ("x", encode(key))])
    }

    /// Returns the JWK of a secret, which must not be published.
    pub(super) fn secret(secret: &[u8]) -> Self {
        Self(vec![("k", encode(secret)), ("kty", "oct".into())])
    }

    /// Returns the JWK with these members added.
    pub(crate) fn with(&self, algorithm: Algorithm, id: &str) -> Value {
        let mut jwk: Map<String, Value> =
            self.0.iter().map(|(name, value)| ((*name).into(), value.as_str().into())).collect();
        jwk.insert("alg".into(), serde_json::json!(algorithm));
        jwk.insert("use".into(), "sig".into());
        jwk.insert("kid".into(), id.into());
        Value::Object(jwk)
    }

    /// Returns the thumbprint of the key (RFC 7638), with SHA-256.
    #[cfg(any(feature = "dpop", feature = "issue"))]
    pub(crate) fn thumbprint(&self) -> String {
        use aws_lc_rs::digest::{SHA256, digest};

        encode(digest(&SHA256, self.to_json().as_bytes()))
    }

    /// Returns the text whose hash is the thumbprint (RFC 7638 §3).
    pub(crate) fn to_json(&self) -> String {
        let members: Vec<_> =
            self.0.iter().map(|(name, value)| format!("\"{name}\":\"{value}\"")).collect();
        format!("{{{}}}", members.join(","))
    }
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(all(test, any(feature = "dpop", feature = "issue")))]
mod tests {
    use super::*;

    /// The examples of RFC 7638 §3.1 and RFC 8037 §A.3.
    #[test]
    fn thumbprints_are_those_of_the_rfcs() {
        let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();
        let modulus = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuh\
                       DR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5\
                       w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5h\
                       ajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniI\
                       qbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
        let rsa = PublicJwk::rsa(&decode(modulus), &[0, 1, 0, 1]);
        assert_eq!(rsa.thumbprint(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
        let ed25519 = PublicJwk::ed25519(&decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"));
        assert_eq!(ed25519.thumbprint(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }
}
