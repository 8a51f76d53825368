//! Stands in for an OpenID provider: signs access tokens and logout tokens.

use std::{
    error::Error,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::{hmac, rand};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use tower_auth::jwt::Keys;

/// The audience of access tokens.
pub const AUDIENCE: &str = "orders";
/// The audience of logout tokens: the id of this service at the provider.
pub const CLIENT_ID: &str = "orders-web";

pub struct Issuer {
    /// The `iss` of the tokens.
    pub name: String,
    secret: [u8; 32],
}

impl Issuer {
    /// The lifetime of access tokens.
    pub const TOKEN_LIFE: Duration = Duration::from_secs(3600);

    /// Creates an issuer with a new secret, and a new name, so that the records of an earlier run
    /// do not affect its tokens.
    pub fn new() -> Result<Self, Box<dyn Error>> {
        let mut secret = [0; 32];
        rand::fill(&mut secret)?;
        Ok(Self { name: format!("https://issuer.example/{}", random_text()?), secret })
    }

    /// Returns the keys that verify the tokens.
    pub fn keys(&self) -> Keys {
        Keys::hs256(&self.secret)
    }

    /// Returns an access token of a session.
    pub fn access_token(
        &self,
        user: &str,
        sid: &str,
        scope: &str,
    ) -> Result<String, Box<dyn Error>> {
        let claims = json!({ "aud": AUDIENCE, "sub": user, "sid": sid, "scope": scope });
        self.sign("at+jwt", claims, Self::TOKEN_LIFE)
    }

    /// Returns a logout token (OpenID Connect Back-Channel Logout 1.0), which ends a session.
    ///
    /// The specification recommends a lifetime of 2 min. This one is printed for later use.
    pub fn logout_token(&self, user: &str, sid: &str) -> Result<String, Box<dyn Error>> {
        let events = json!({ "http://schemas.openid.net/event/backchannel-logout": {} });
        let claims = json!({ "aud": CLIENT_ID, "sub": user, "sid": sid, "events": events });
        self.sign("logout+jwt", claims, Self::TOKEN_LIFE)
    }

    fn sign(&self, typ: &str, mut claims: Value, life: Duration) -> Result<String, Box<dyn Error>> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        claims["iss"] = self.name.as_str().into();
        claims["iat"] = now.into();
        claims["exp"] = (now + life.as_secs()).into();
        claims["jti"] = random_text()?.into();
        let header = json!({ "alg": "HS256", "typ": typ });
        let [header, claims] = [header, claims].map(|part| encode(part.to_string().as_bytes()));
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.secret);
        let signature = hmac::sign(&key, format!("{header}.{claims}").as_bytes());
        Ok(format!("{header}.{claims}.{}", encode(signature.as_ref())))
    }
}

fn random_text() -> Result<String, Box<dyn Error>> {
    let mut bytes = [0; 12];
    rand::fill(&mut bytes)?;
    Ok(encode(&bytes))
}

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
