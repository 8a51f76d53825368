use std::{env, ffi::OsStr, fmt, path::Path};

use zeroize::Zeroizing;

use super::{
    seal::Keys,
    secret_file::read_or_create,
    secret_text::{CREATE, Key, parse, parse_lines},
};
use crate::config_error::ConfigError;
use crate::random::random_bytes;

/// The operator's key for a store: 32 random bytes, which all instances share.
///
/// It derives the keys of records and encrypts their values. During a rotation, there are two: the
/// current one, and another one whose records can be read as well.
///
/// ```no_run
/// use tower_auth::store::{Memory, SealedStore, StoreSecret};
///
/// // Created on first use. Instances on other machines need a copy of this file.
/// let secret = StoreSecret::from_file("/var/lib/orders/store.key")?;
/// // Or from an environment variable:
/// let secret = StoreSecret::from_env("ORDERS_STORE_KEY")?;
///
/// let store = SealedStore::new(Memory::new(), secret);
/// # Ok::<(), tower_auth::ConfigError>(())
/// ```
///
/// In a file or a variable, a key is base64 text, as `openssl rand -base64 32` prints it. The
/// standard and the URL-safe alphabet are accepted, with or without padding.
///
/// # Rotation
///
/// The keys of a file or a variable are the current one and, if there is a second one, the
/// *previous* one. Services read them when they start. To replace a key without losing a record:
///
/// 1. Append the new key, so that it is the second one, and restart all instances. They still write
///    with the old key, and can read what is written with the new one.
/// 2. Swap the two keys, and restart all instances. They write with the new key.
/// 3. After the longest lifetime of a record, remove the old key, and restart all instances. For
///    revocations, this is the longest lifetime of a token and 11 minutes, for sessions and the
///    logins of a `TokenIssuer` their absolute lifetime, and for webhooks `remember_for`. The keys
///    of a `TokenIssuer` are moved to the new key in step 2.
///
/// While instances restart, some of them are one step ahead. Complete each step before you start
/// the next one.
///
/// # Security
///
/// **If the key is lost**, records can no longer be read: revoked tokens are accepted again until
/// they expire, and identifiers that were used once can be used again. Replace the signing key of
/// the tokens if you cannot accept this.
///
/// **If the key is leaked**, a person who can also write to the store can create and replace
/// records. A person who can read the store can test which subjects have records. If the store has
/// the keys of a `TokenIssuer`, such a person can also sign tokens: remove these keys after the
/// rotation, with `TokenIssuer::remove_key`. Change the password of the store, then rotate the key.
/// Do not wait in step 3 if records could have been created: remove the old key at once, and revoke
/// again what must stay revoked, for example all tokens of the issuer.
///
/// **Instances with different keys do not see each other's records.** Nothing reports this. Create
/// the key once, and distribute it.
#[derive(Clone)]
pub struct StoreSecret {
    pub(crate) current: Keys,
    pub(crate) previous: Option<Keys>,
}

impl StoreSecret {
    /// Creates a secret from 32 random bytes, for example from a key management service.
    ///
    /// ```
    /// use tower_auth::store::StoreSecret;
    ///
    /// # let random = *b"0123456789abcdefghijklmnopqrstuv";
    /// let secret = StoreSecret::new(random)?;
    /// assert!(StoreSecret::new([0; 32]).is_err());
    /// # Ok::<(), tower_auth::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if the bytes are obviously not random, such as 32 zeros.
    pub fn new(key: [u8; 32]) -> Result<Self, ConfigError> {
        let key = Key::new(key).map_err(|problem| problem.at("the key of the store"))?;
        Ok(Self::of(&key))
    }

    /// Reads a secret from a file, or creates the file with a random key.
    ///
    /// The file has one or two lines with a key each: the current one and, during a
    /// [rotation](Self#rotation), the previous one. If it does not exist, it is created with the
    /// permissions 0600, in one step: of several processes that start at the same time, one creates
    /// it, and all of them read the same key. The file is read once: restart the service after a
    /// change.
    ///
    /// ```no_run
    /// use tower_auth::store::StoreSecret;
    ///
    /// let secret = StoreSecret::from_file("/var/lib/orders/store.key")?;
    /// # Ok::<(), tower_auth::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if the file can be neither read nor created, if users other than the owner
    /// and the group have any permission for it, or if it has another form. The error contains the
    /// path and never the contents.
    ///
    /// # Security
    ///
    /// The default mode of mounted secrets lets all users read them. Set it to 0440 (Kubernetes:
    /// `defaultMode`, Docker: `mode`).
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let path = path.as_ref();
        let text = read_or_create(path)?;
        let keys = parse_lines(&text);
        let (current, previous) =
            keys.map_err(|problem| problem.at(&format!("the secret file {}", path.display())))?;
        Ok(Self::of_pair(&current, previous.as_ref()))
    }

    /// Reads a secret from an environment variable: one key, or the current one and the previous
    /// one, separated by white space or a comma.
    ///
    /// ```no_run
    /// use tower_auth::store::StoreSecret;
    ///
    /// let secret = StoreSecret::from_env("ORDERS_STORE_KEY")?;
    /// # Ok::<(), tower_auth::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if the variable is not set or has another form. The error contains the name
    /// of the variable and never its value.
    ///
    /// # Security
    ///
    /// Child processes inherit environment variables, and other processes of the same user can
    /// often read them. [`from_file`](Self::from_file) does not have these weaknesses.
    pub fn from_env(name: impl AsRef<OsStr>) -> Result<Self, ConfigError> {
        let name = name.as_ref();
        let place = format!("the environment variable {}", name.display());
        let value = env::var_os(name).ok_or_else(|| {
            ConfigError::missing(format!("{place} is not set: set it to a key; {CREATE}"))
        })?;
        // Not the error of `into_string`, which contains the value.
        let value = Zeroizing::new(value.into_string().unwrap_or_default());
        let (current, previous) = parse(value.as_bytes()).map_err(|problem| problem.at(&place))?;
        Ok(Self::of_pair(&current, previous.as_ref()))
    }

    /// Creates a random secret, for a store that ends with this process.
    pub(crate) fn random() -> Self {
        Self { current: Keys::derive(&Zeroizing::new(random_bytes())), previous: None }
    }

    /// Also reads the records of another key, during a [rotation](Self#rotation).
    ///
    /// ```
    /// use tower_auth::store::StoreSecret;
    ///
    /// # let new_key = *b"0123456789abcdefghijklmnopqrstuv";
    /// # let old_key = *b"vutsrqponmlkjihgfedcba9876543210";
    /// let secret = StoreSecret::new(new_key)?.previous(old_key)?;
    /// # Ok::<(), tower_auth::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if the bytes are obviously not random, or equal to the current key.
    pub fn previous(mut self, key: [u8; 32]) -> Result<Self, ConfigError> {
        let key = Key::new(key).map_err(|problem| problem.at("the previous key of the store"))?;
        let previous = Keys::derive(key.as_bytes());
        if previous.is_same(&self.current) {
            return Err(ConfigError::conflict(
                "the previous key of the store is the current one: pass the key that it replaces",
            ));
        }
        self.previous = Some(previous);
        Ok(self)
    }

    fn of(key: &Key) -> Self {
        Self { current: Keys::derive(key.as_bytes()), previous: None }
    }

    fn of_pair(current: &Key, previous: Option<&Key>) -> Self {
        Self { previous: previous.map(|key| Keys::derive(key.as_bytes())), ..Self::of(current) }
    }
}

impl fmt::Debug for StoreSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreSecret").finish_non_exhaustive()
    }
}
