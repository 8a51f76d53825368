use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::Algorithm;

use super::signing_key::SigningKey;
use crate::{
    config_error::ConfigError,
    jwt::crypto::{
        key_pem::{read_private, read_public},
        public_jwk::PublicJwk,
        signer::Signer,
    },
    secret_check::is_guessable,
};

/// How access tokens are signed, and where the keys of an issuer are kept.
///
/// ```
/// use std::time::Duration;
/// use tower_auth::issue::SigningKeys;
///
/// // Ed25519 keys, sealed in the store of the issuer. This is the default.
/// let keys = SigningKeys::eddsa();
///
/// // ECDSA keys, in a file.
/// let keys = SigningKeys::es256()
///     .in_file("/var/lib/accounts/signing-keys.json")
///     .rotate_after(Duration::from_secs(30 * 24 * 60 * 60));
/// ```
///
/// An issuer also has *MAC keys*, which authenticate refresh tokens. They are kept in the same
/// place and are never published.
///
/// # Which algorithm
///
/// | | use it if |
/// | --- | --- |
/// | [`eddsa`](Self::eddsa) | all services support Ed25519; it is the fastest |
/// | [`es256`](Self::es256) | a service does not support Ed25519 |
/// | [`rs256`](Self::rs256) | a service supports only RSA; signing takes about 20 times as long |
/// | [`hs256`](Self::hs256) | one service issues and verifies the tokens |
///
/// # Rotation
///
/// Keys are created, published, used, retained and dropped without the operator:
///
/// 1. At the first start, a key is created, which is active at once, and its *successor*, which is
///    already published. Services that cache the key set therefore know a key before it signs.
/// 2. After [`rotate_after`](Self::rotate_after), the successor becomes the active key, and a new
///    successor is created, at least [`publish_ahead`](Self::publish_ahead) before it is used.
/// 3. The previous key is retained until the last token that it has signed has expired, and 8
///    minutes longer. Then it is dropped.
///
/// MAC keys rotate in the same way. They are retained until the last login that they belong to has
/// reached its absolute end. At most 16 keys of each kind exist. For this, MAC keys are active for
/// at least an eighth of the absolute lifetime of a login.
///
/// An issuer reads the keys again when they are older than 60 s, while it serves requests. So all
/// instances see a change after at most a minute. Their clocks may differ by 30 s. Another
/// algorithm takes effect [`publish_ahead`](Self::publish_ahead) after the first instance has
/// started with it.
///
/// # Where the keys are
///
/// - **In the store**, by default: sealed with the store's secret, so that all instances share
///   them. A store in memory loses them when the process ends, and then all users have to log in
///   again.
/// - **[In a file](Self::in_file)**, for an issuer on one machine.
/// - **[In PEM](Self::from_pem)**, if another program creates the signing keys. The MAC keys are
///   still in the store or the file.
///
/// If the place cannot be read, the last keys stay in use until they are half as old as
/// [`publish_ahead`](Self::publish_ahead), but at most 12 h. Then requests get 503. Keys that are
/// damaged are an error, and are never replaced: restore them from a backup. If you delete them
/// instead, all users have to log in again.
///
/// # Security
///
/// - **Everyone who has a signing key can create tokens for any user.** If one leaks, remove it
///   with `TokenIssuer::remove_key`. Its successor signs at once, and this process rejects the
///   tokens of the removed key within 10 s. Other instances do so within a minute, and services
///   that cache the key set when they fetch it again (10 min by default in this crate).
/// - **Everyone who has a MAC key can create refresh tokens**, for which the id of a login is
///   needed as well. If one leaks, remove it. This ends all logins whose current refresh token was
///   created with it. Then revoke all logins, because a thief can have continued one of them.
/// - **Everyone who can read the store and has its secret has all keys.** After such a leak, rotate
///   the secret of the store and remove all keys.
/// - The file is created with the mode 0600, and an issuer does not start if users other than the
///   owner and the group can read it. Keep backups of it as safe as the file.
/// - With [`hs256`](Self::hs256), everyone who can verify a token can also create one.
#[derive(Clone)]
#[must_use = "pass it to TokenIssuerBuilder::keys"]
pub struct SigningKeys {
    source: KeySource,
    others: Arc<[VerifyingKey]>,
    file: Option<PathBuf>,
    rotate_after: Duration,
    publish_ahead: Duration,
}

#[derive(Clone)]
enum KeySource {
    Generated(Algorithm),
    Fixed(Arc<SigningKey>),
}

/// A public key that is published, and does not sign.
#[derive(Clone, Debug)]
pub(super) struct VerifyingKey {
    pub(super) id: Box<str>,
    pub(super) algorithm: Algorithm,
    pub(super) jwk: PublicJwk,
}

const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl SigningKeys {
    /// Signs with Ed25519 keys (`EdDSA`), which are generated and rotate. This is the default.
    ///
    /// ```
    /// use tower_auth::issue::SigningKeys;
    ///
    /// let keys = SigningKeys::eddsa();
    /// ```
    pub fn eddsa() -> Self {
        Self::new(KeySource::Generated(Algorithm::EdDSA))
    }

    /// Signs with ECDSA keys on the curve P-256 (`ES256`), which are generated and rotate.
    ///
    /// ```
    /// use tower_auth::issue::SigningKeys;
    ///
    /// let keys = SigningKeys::es256();
    /// ```
    pub fn es256() -> Self {
        Self::new(KeySource::Generated(Algorithm::ES256))
    }

    /// Signs with RSA keys of 2048 bits (`RS256`), which are generated and rotate.
    ///
    /// ```
    /// use tower_auth::issue::SigningKeys;
    ///
    /// let keys = SigningKeys::rs256();
    /// ```
    pub fn rs256() -> Self {
        Self::new(KeySource::Generated(Algorithm::RS256))
    }

    /// Signs with secrets (`HS256`), which are generated and rotate. Nothing is published.
    ///
    /// ```
    /// use tower_auth::issue::SigningKeys;
    ///
    /// let keys = SigningKeys::hs256();
    /// ```
    ///
    /// # Security
    ///
    /// This is for one service that issues the tokens and verifies them with
    /// `TokenIssuer::verifier`. A service that can verify a token can also create one. So do not
    /// share the secrets with other services, but choose [`eddsa`](Self::eddsa).
    pub fn hs256() -> Self {
        Self::new(KeySource::Generated(Algorithm::HS256))
    }

    /// Signs with this private key, which does not rotate. Its id is its thumbprint (RFC 7638).
    ///
    /// The text is a PEM block `PRIVATE KEY`, `RSA PRIVATE KEY` or `EC PRIVATE KEY`. The kind of
    /// the key determines the algorithm: `EdDSA` for Ed25519, `ES256` for P-256, `ES384` for P-384,
    /// and `RS256` for RSA.
    ///
    /// To replace the key, start all instances with the old key and
    /// [`also_verify`](Self::also_verify) for the new one, and wait until all services have fetched
    /// the key set. Then swap the two keys. Remove the old one when its tokens have expired.
    ///
    /// ```no_run
    /// use tower_auth::issue::SigningKeys;
    ///
    /// // Created with `openssl genpkey -algorithm ed25519`.
    /// let keys = SigningKeys::from_pem(std::fs::read("/run/secrets/signing-key.pem")?)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if the text has no private key or several, or if the key is encrypted,
    /// damaged or of another kind. The error says how to fix it, and never contains the key.
    ///
    /// # Security
    ///
    /// Access tokens of keys that were generated before are rejected after a change to a key in
    /// PEM. Clients then refresh.
    pub fn from_pem(pem: impl AsRef<[u8]>) -> Result<Self, ConfigError> {
        let signer = read_private(pem.as_ref())?;
        let jwk = signer.verification_jwk();
        let id = jwk.map_err(|error| unusable().with_source(error))?.thumbprint();
        Self::fixed_key(id, signer)
    }

    /// Signs with this secret (`HS256`), which does not rotate. Nothing is published.
    ///
    /// ```
    /// use tower_auth::issue::SigningKeys;
    ///
    /// # let secret = *b"0123456789abcdefghijklmnopqrstuv";
    /// let keys = SigningKeys::from_hs256_secret(secret)?;
    /// assert!(SigningKeys::from_hs256_secret("hunter2").is_err());
    /// # Ok::<(), tower_auth::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if the secret has fewer than 32 bytes or is obviously not random.
    ///
    /// # Security
    ///
    /// See [`hs256`](Self::hs256). Create the secret with `openssl rand -base64 48`, not from
    /// words: everyone who has a token can try to guess it.
    pub fn from_hs256_secret(secret: impl AsRef<[u8]>) -> Result<Self, ConfigError> {
        const CREATE: &str = "create a secret with `openssl rand -base64 48`";
        let secret = secret.as_ref();
        if secret.len() < 32 {
            return Err(ConfigError::key(format!(
                "the secret for HS256 has {} bytes, but at least 32 are required; {CREATE}",
                secret.len()
            )));
        }
        if is_guessable(secret) {
            return Err(ConfigError::key(format!(
                "the secret for HS256 is not random, so it can be guessed; {CREATE}"
            )));
        }
        let signer = Signer::from_der(Algorithm::HS256, secret);
        let signer = signer.map_err(|error| unusable().with_source(error))?;
        // A thumbprint would be a hash of the secret alone, for which tables exist.
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let tag = hmac::sign(&key, b"tower-auth issue: key id");
        let id = URL_SAFE_NO_PAD.encode(tag.as_ref().get(..8).unwrap_or_default());
        Self::fixed_key(id, signer)
    }

    /// Also publishes and accepts this key, which does not sign: the one before the current one, or
    /// the one after it.
    ///
    /// The text is a PEM public key or certificate, or the private key. Its id is its thumbprint
    /// (RFC 7638).
    ///
    /// ```
    /// use tower_auth::issue::SigningKeys;
    ///
    /// let keys = SigningKeys::eddsa().also_verify(
    ///     "-----BEGIN PUBLIC KEY-----
    /// MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=
    /// -----END PUBLIC KEY-----",
    /// )?;
    /// # Ok::<(), tower_auth::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if the text is not a PEM key that can be used, if the key is already
    /// there, or if there are already 16 keys.
    pub fn also_verify(mut self, pem: impl AsRef<[u8]>) -> Result<Self, ConfigError> {
        let (algorithm, jwk) = read_public(pem.as_ref())?;
        let id: Box<str> = jwk.thumbprint().into();
        let is_known = self.others.iter().any(|key| key.id == id)
            || self.fixed().is_some_and(|key| key.id == id);
        if is_known {
            return Err(ConfigError::conflict(format!(
                "the key {id} occurs twice: remove a call of also_verify"
            )));
        }
        if self.others.len() == 16 {
            return Err(ConfigError::invalid(
                "also_verify was called for more than 16 keys: remove those whose tokens have \
                 expired",
            ));
        }
        let others = self.others.iter().cloned().chain([VerifyingKey { id, algorithm, jwk }]);
        self.others = others.collect();
        Ok(self)
    }

    /// Keeps the keys in this file instead of the store of the issuer.
    ///
    /// The issuer creates the file at its first request, with the mode 0600. Each change replaces
    /// it in one step, so a crash leaves either the old or the new keys. Several processes on one
    /// machine can share it. The issuer needs the permission to create files in its folder.
    ///
    /// ```
    /// use tower_auth::issue::SigningKeys;
    ///
    /// let keys = SigningKeys::eddsa().in_file("/var/lib/accounts/signing-keys.json");
    /// ```
    ///
    /// `TokenIssuerBuilder::build` returns an error if the file exists and cannot be read, has
    /// another form, or can be read by users other than the owner and the group.
    pub fn in_file(mut self, path: impl AsRef<Path>) -> Self {
        self.file = Some(path.as_ref().to_owned());
        self
    }

    /// Sets how long a key is active. The default is 90 days.
    ///
    /// `TokenIssuerBuilder::build` returns an error unless it is from 1 h to 400 days, and at least
    /// an eighth of the lifetime of access tokens.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_auth::issue::SigningKeys;
    ///
    /// let keys = SigningKeys::eddsa().rotate_after(Duration::from_secs(30 * 24 * 60 * 60));
    /// ```
    pub fn rotate_after(mut self, duration: Duration) -> Self {
        self.rotate_after = duration;
        self
    }

    /// Sets for how long a key is published before it signs. The default is 1 day.
    ///
    /// Choose a time that is longer than the services that verify the tokens cache the key set.
    /// `TokenIssuerBuilder::build` returns an error unless it is at least 10 min and at most
    /// [`rotate_after`](Self::rotate_after).
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_auth::issue::SigningKeys;
    ///
    /// let keys = SigningKeys::eddsa().publish_ahead(Duration::from_secs(7 * 24 * 60 * 60));
    /// ```
    pub fn publish_ahead(mut self, duration: Duration) -> Self {
        self.publish_ahead = duration;
        self
    }

    fn new(source: KeySource) -> Self {
        Self {
            source,
            others: Arc::new([]),
            file: None,
            rotate_after: 90 * DAY,
            publish_ahead: DAY,
        }
    }

    fn fixed_key(id: String, signer: Signer) -> Result<Self, ConfigError> {
        let key = SigningKey::new(id, signer).map_err(|error| unusable().with_source(error))?;
        Ok(Self::new(KeySource::Fixed(Arc::new(key))))
    }

    /// Checks the settings for access tokens with this lifetime.
    pub(super) fn check(&self, access: Duration) -> Result<(), ConfigError> {
        if self.rotate_after < HOUR || self.rotate_after > 400 * DAY {
            return Err(ConfigError::invalid(
                "rotate_after of the signing keys must be from 1 h to 400 days",
            ));
        }
        if self.rotate_after < access / 8 {
            return Err(ConfigError::invalid(
                "rotate_after of the signing keys must be at least an eighth of access_lifetime: \
                 too many keys would be published",
            ));
        }
        if self.publish_ahead < HOUR / 6 || self.publish_ahead > self.rotate_after {
            return Err(ConfigError::invalid(
                "publish_ahead of the signing keys must be at least 10 min and at most rotate_after",
            ));
        }
        Ok(())
    }

    /// Returns the algorithm of keys that are generated.
    pub(super) fn generated(&self) -> Option<Algorithm> {
        match &self.source {
            KeySource::Generated(algorithm) => Some(*algorithm),
            KeySource::Fixed(_) => None,
        }
    }

    /// Returns the key that does not rotate.
    pub(super) fn fixed(&self) -> Option<&Arc<SigningKey>> {
        match &self.source {
            KeySource::Generated(_) => None,
            KeySource::Fixed(key) => Some(key),
        }
    }

    pub(super) fn others(&self) -> &Arc<[VerifyingKey]> {
        &self.others
    }

    pub(super) fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    pub(super) fn rotation(&self) -> (Duration, Duration) {
        (self.rotate_after, self.publish_ahead)
    }
}

fn unusable() -> ConfigError {
    ConfigError::key("the signing key cannot be used: create another one")
}

/// Hides the keys.
impl fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut keys = f.debug_struct("SigningKeys");
        match &self.source {
            KeySource::Generated(algorithm) => keys.field("algorithm", algorithm),
            KeySource::Fixed(key) => keys.field("key", key),
        };
        keys.field("also_verify", &self.others.iter().map(|key| &key.id).collect::<Vec<_>>())
            .field("file", &self.file)
            .field("rotate_after", &self.rotate_after)
            .field("publish_ahead", &self.publish_ahead)
            .finish()
    }
}
