//! Issues the tokens.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::{error::Unspecified, hmac, rand};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::json;
use tower_auth::jwt::Keys;

pub const ISSUER: &str = "https://notes.example";
pub const AUDIENCE: &str = "notes";

/// Signs tokens with a secret that is lost when the process ends.
pub struct Issuer {
    secret: [u8; 32],
    lifetime: Duration,
}

impl Issuer {
    pub fn new(lifetime: Duration) -> Result<Self, Unspecified> {
        let mut secret = [0; 32];
        rand::fill(&mut secret)?;
        Ok(Self { secret, lifetime })
    }

    /// Returns the keys that verify the tokens.
    pub fn keys(&self) -> Keys {
        Keys::hs256(&self.secret)
    }

    /// Returns a token for this subject, and when it expires.
    pub fn token(&self, subject: &str) -> (String, SystemTime) {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let expires = since_1970.as_secs() + self.lifetime.as_secs();
        let header = json!({ "alg": "HS256", "typ": "JWT" });
        let claims = json!({ "iss": ISSUER, "aud": AUDIENCE, "sub": subject, "exp": expires });
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let signed = format!(
            "{}.{}",
            encode(header.to_string().as_bytes()),
            encode(claims.to_string().as_bytes())
        );
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.secret);
        let signature = hmac::sign(&key, signed.as_bytes());
        let expires_at = UNIX_EPOCH + Duration::from_secs(expires);
        (format!("{signed}.{}", encode(signature.as_ref())), expires_at)
    }
}
