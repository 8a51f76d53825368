//! Stands in for an identity provider: signs access tokens.

use std::{
    error::Error,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::{hmac, rand};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::json;
use tower_auth::jwt::Keys;

/// The audience of access tokens.
pub const AUDIENCE: &str = "orders";

pub struct Issuer {
    secret: [u8; 32],
}

impl Issuer {
    pub const NAME: &str = "https://issuer.example";

    pub fn new() -> Result<Self, Box<dyn Error>> {
        let mut secret = [0; 32];
        rand::fill(&mut secret)?;
        Ok(Self { secret })
    }

    /// Returns the keys that verify the tokens.
    pub fn keys(&self) -> Keys {
        Keys::hs256(&self.secret)
    }

    /// Returns an access token that is valid for an hour.
    pub fn token(&self, scope: &str) -> Result<String, Box<dyn Error>> {
        let end = SystemTime::now().duration_since(UNIX_EPOCH)? + Duration::from_secs(3600);
        let claims = json!({
            "iss": Self::NAME, "aud": AUDIENCE, "sub": "bob", "exp": end.as_secs(), "scope": scope,
        });
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let header = encode(br#"{"alg":"HS256","typ":"JWT"}"#);
        let signed = format!("{header}.{}", encode(claims.to_string().as_ref()));
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.secret);
        let signature = hmac::sign(&key, signed.as_bytes());
        Ok(format!("{signed}.{}", encode(signature.as_ref())))
    }
}
