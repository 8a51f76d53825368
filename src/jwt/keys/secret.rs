//! HMAC secrets.

use std::{env, ffi::OsStr, fs, path::Path};

use jsonwebtoken::{Algorithm, DecodingKey};
use zeroize::Zeroizing;

use super::keys::Keys;
use crate::config_error::ConfigError;

const CREATE: &str = "create a secret with `openssl rand -base64 48`";

/// HMAC secrets.
///
/// # Security
///
/// Everyone who has the secret can sign tokens, so every service that verifies tokens can issue
/// them as well. Use public keys if the issuer is another party.
///
/// A secret needs at least as many random bytes as its hash has: 32 for HS256, 48 for HS384, 64 for
/// HS512 (RFC 7518 §3.2). `openssl rand -base64 48` prints a text of 64 characters that is
/// sufficient for all three. [`build`](crate::jwt::JwtAuthBuilder::build) returns an error for a
/// shorter secret, but cannot recognize a guessable one.
impl Keys {
    /// Creates a key for HS256 from a secret of at least 32 bytes.
    ///
    /// ```
    /// use tower_auth::{JwtAuth, jwt::Keys};
    ///
    /// # let secret = [7; 32];
    /// let tokens = JwtAuth::builder(Keys::hs256(&secret))
    ///     .issuer("https://issuer.example")
    ///     .audience("orders")
    ///     .build()?;
    /// # Ok::<(), tower_auth::ConfigError>(())
    /// ```
    ///
    /// [`build`](crate::jwt::JwtAuthBuilder::build) returns an error if the secret is too short.
    #[must_use]
    pub fn hs256(secret: &[u8]) -> Self {
        Self::new(Algorithm::HS256, DecodingKey::from_secret(secret))
    }

    /// Creates a key for HS384 from a secret of at least 48 bytes. Like [`hs256`](Self::hs256).
    #[must_use]
    pub fn hs384(secret: &[u8]) -> Self {
        Self::new(Algorithm::HS384, DecodingKey::from_secret(secret))
    }

    /// Creates a key for HS512 from a secret of at least 64 bytes. Like [`hs256`](Self::hs256).
    #[must_use]
    pub fn hs512(secret: &[u8]) -> Self {
        Self::new(Algorithm::HS512, DecodingKey::from_secret(secret))
    }

    /// Reads a secret for HS256 from an environment variable.
    ///
    /// Leading and trailing ASCII white space (spaces, tabs, form feeds, line feeds and carriage
    /// returns) is removed. The bytes of the remaining UTF-8 text are the secret: base64 and hex
    /// are not decoded.
    ///
    /// ```no_run
    /// use tower_auth::{JwtAuth, jwt::Keys};
    ///
    /// let tokens = JwtAuth::builder(Keys::hs256_from_env("ORDERS_TOKEN_SECRET")?)
    ///     .issuer("https://issuer.example")
    ///     .audience("orders")
    ///     .build()?;
    /// # Ok::<(), tower_auth::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if the variable is not set, is empty or is not Unicode. The error contains
    /// the name of the variable and never its value.
    ///
    /// # Security
    ///
    /// Create the secret with `openssl rand -base64 48`, not from words. Child processes inherit
    /// environment variables, and other processes of the same user can often read them.
    /// [`hs256_from_file`](Self::hs256_from_file) does not have these weaknesses.
    pub fn hs256_from_env(name: impl AsRef<OsStr>) -> Result<Self, ConfigError> {
        from_env(name.as_ref(), Self::hs256)
    }

    /// Reads a secret for HS384 from an environment variable, like
    /// [`hs256_from_env`](Self::hs256_from_env).
    ///
    /// # Errors
    ///
    /// As for [`hs256_from_env`](Self::hs256_from_env).
    pub fn hs384_from_env(name: impl AsRef<OsStr>) -> Result<Self, ConfigError> {
        from_env(name.as_ref(), Self::hs384)
    }

    /// Reads a secret for HS512 from an environment variable, like
    /// [`hs256_from_env`](Self::hs256_from_env).
    ///
    /// # Errors
    ///
    /// As for [`hs256_from_env`](Self::hs256_from_env).
    pub fn hs512_from_env(name: impl AsRef<OsStr>) -> Result<Self, ConfigError> {
        from_env(name.as_ref(), Self::hs512)
    }

    /// Reads a secret for HS256 from a text file, such as a mounted secret of Docker, systemd or
    /// Kubernetes.
    ///
    /// The text is treated like that of [`hs256_from_env`](Self::hs256_from_env), so the line feed
    /// at the end of the file is not part of the secret. For a secret of arbitrary bytes, read the
    /// file yourself and call [`hs256`](Self::hs256). The file is read once: restart the service
    /// after a change.
    ///
    /// ```no_run
    /// use tower_auth::jwt::Keys;
    ///
    /// let keys = Keys::hs256_from_file("/run/secrets/orders_token_secret")?;
    /// # Ok::<(), tower_auth::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be read, is empty or is not UTF-8. The error contains
    /// the path of the file and never its contents.
    ///
    /// # Security
    ///
    /// Create the secret with `openssl rand -base64 48`, not from words. Only the user of the
    /// service should have permission to read the file.
    pub fn hs256_from_file(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        from_file(path.as_ref(), Self::hs256)
    }

    /// Reads a secret for HS384 from a text file, like
    /// [`hs256_from_file`](Self::hs256_from_file).
    ///
    /// # Errors
    ///
    /// As for [`hs256_from_file`](Self::hs256_from_file).
    pub fn hs384_from_file(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        from_file(path.as_ref(), Self::hs384)
    }

    /// Reads a secret for HS512 from a text file, like
    /// [`hs256_from_file`](Self::hs256_from_file).
    ///
    /// # Errors
    ///
    /// As for [`hs256_from_file`](Self::hs256_from_file).
    pub fn hs512_from_file(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        from_file(path.as_ref(), Self::hs512)
    }
}

// The errors must not contain the value. The errors of `std` for text that is not Unicode do.

fn from_env(name: &OsStr, create: fn(&[u8]) -> Keys) -> Result<Keys, ConfigError> {
    let describe =
        |problem: &str| format!("the environment variable {} {problem}; {CREATE}", name.display());
    let value = env::var_os(name)
        .ok_or_else(|| ConfigError::missing(describe("is not set: set it to the secret")))?;
    let value = value.into_string();
    let value = value.map_err(|_| ConfigError::invalid(describe("is not Unicode text")))?;
    let value = Zeroizing::new(value);
    match value.trim_ascii() {
        "" => Err(ConfigError::missing(describe("is empty: set it to the secret"))),
        secret => Ok(create(secret.as_bytes())),
    }
}

fn from_file(path: &Path, create: fn(&[u8]) -> Keys) -> Result<Keys, ConfigError> {
    let describe = |problem: &str| format!("the secret file {} {problem}", path.display());
    let value = fs::read(path).map_err(|error| {
        let problem = "cannot be read: check the path and its permissions";
        ConfigError::io(describe(problem)).with_source(error)
    })?;
    let value = Zeroizing::new(value);
    let text = str::from_utf8(&value).map_err(|_| {
        let problem = "is not UTF-8 text: pass the bytes of a binary secret to Keys::hs256";
        ConfigError::invalid(describe(problem))
    })?;
    match text.trim_ascii() {
        "" => {
            let problem = format!("is empty: write the secret to it; {CREATE}");
            Err(ConfigError::missing(describe(&problem)))
        }
        secret => Ok(create(secret.as_bytes())),
    }
}
