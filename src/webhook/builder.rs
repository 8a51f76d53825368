use std::{fmt, sync::Arc, time::Duration};

use zeroize::Zeroizing;

use super::{
    format::WebhookFormat, keys::Keys, layer::WebhookLayer, public_key::PublicKey,
    receiver::Receiver, replay::Replays, signature::Syntax,
};
use crate::{
    clock::{Clock, SystemClock},
    config_error::ConfigError,
    header::Scheme,
    observe::{Observe, observer::Observer},
    principal::Principal,
    store::{sealed_store::SealedStore, ttl::Ttl},
    transport::forwarded::Forwarded,
};

/// Builds a [`WebhookLayer`].
///
/// Created by [`WebhookLayer::builder`]. It needs a secret or a public key, and either a store or
/// [`dangerous_allow_replays`](Self::dangerous_allow_replays).
///
/// ```
/// use std::time::Duration;
/// use tower_auth::{store::SealedStore, webhook::{WebhookFormat, WebhookLayer}};
///
/// # fn f(store: SealedStore, old: String, new: String) -> Result<(), tower_auth::ConfigError> {
/// let layer = WebhookLayer::builder(WebhookFormat::standard())
///     // During a rotation:
///     .secret(new)
///     .secret(old)
///     .sender("billing")
///     .store(store)
///     .remember_for(Duration::from_secs(7 * 24 * 60 * 60))
///     .max_body(64 * 1024)
///     .build()?;
/// # Ok(()) }
/// ```
#[must_use]
pub struct WebhookLayerBuilder {
    format: WebhookFormat,
    secrets: Vec<Zeroizing<String>>,
    public_keys: Vec<String>,
    sender: Option<Arc<str>>,
    store: Option<SealedStore>,
    allow_replays: bool,
    remember_for: Option<Duration>,
    handling_time: Option<Duration>,
    tolerance: Option<Duration>,
    max_body: usize,
    clock: Arc<dyn Clock>,
    observer: Observer,
}

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Each is tried for each request.
const MAX_SECRETS: usize = 8;
const MAX_PUBLIC_KEYS: usize = 4;

/// Each secret needs a pass over the body, which does not yield to other tasks.
const LARGEST_BODY: usize = 64 * 1024 * 1024;

/// The longest name of a sender, in bytes.
const MAX_SENDER: usize = 256;

impl WebhookLayerBuilder {
    pub(super) fn new(format: WebhookFormat) -> Self {
        Self {
            format,
            secrets: Vec::new(),
            public_keys: Vec::new(),
            sender: None,
            store: None,
            allow_replays: false,
            remember_for: None,
            handling_time: None,
            tolerance: None,
            max_body: 1024 * 1024,
            clock: Arc::new(SystemClock),
            observer: Observer::default(),
        }
    }

    /// Adds a secret that is shared with the sender, as the sender shows it. Several of them are
    /// accepted during a rotation, at most 8.
    ///
    /// For Standard Webhooks, it is base64, normally after `whsec_`. For other formats, it is text
    /// of at least 16 bytes.
    pub fn secret(mut self, secret: impl Into<String>) -> Self {
        self.secrets.push(Zeroizing::new(secret.into()));
        self
    }

    /// Adds a public key of the sender (`whpk_` and base64), for the signatures `v1a` of Standard
    /// Webhooks. At most 4 are possible.
    pub fn public_key(mut self, key: impl Into<String>) -> Self {
        self.public_keys.push(key.into());
        self
    }

    /// Sets the name of the sender, which is the subject of the principal. The default is the name
    /// of the format, such as `github`, and `webhook` for other formats.
    ///
    /// # Security
    ///
    /// Events are told apart within a sender. Two senders that share a store need different names:
    /// otherwise, one of them could send the id of the other's event first, which then counts as
    /// handled. Two layers with the same name and store handle an event once in total, which is
    /// useful for two instances and wrong for two routes that must both get it.
    pub fn sender(mut self, name: impl Into<Arc<str>>) -> Self {
        self.sender = Some(name.into());
        self
    }

    /// Sets where events are recorded, so that each is handled once. Several instances must share
    /// the store.
    pub fn store(mut self, store: SealedStore) -> Self {
        self.store = Some(store);
        self
    }

    /// Calls the handler for each webhook with a valid signature, also if the event was handled
    /// before. It is an alternative to [`store`](Self::store).
    ///
    /// # Security
    ///
    /// A webhook that was captured can be sent again as often as the sender of the request likes:
    /// until the end of the tolerance, and forever if the format has no timestamp. Senders also
    /// send an event twice if they do not get the response in time. Use this only if the handler
    /// detects duplicates itself.
    pub fn dangerous_allow_replays(mut self) -> Self {
        self.allow_replays = true;
        self
    }

    /// Sets for how long a handled event is known. The default is 3 days, the minimum is twice the
    /// tolerance, the maximum 366 days.
    ///
    /// It should be as long as the sender tries again.
    pub fn remember_for(mut self, duration: Duration) -> Self {
        self.remember_for = Some(duration);
        self
    }

    /// Sets for how long an event counts as being handled if neither its success nor its failure is
    /// recorded, for example because the process was ended. The default is 60 s, the minimum 1 s,
    /// the maximum 1 h.
    ///
    /// A handler must not take longer: the event could then be handled by two at the same time.
    pub fn handling_time(mut self, duration: Duration) -> Self {
        self.handling_time = Some(duration);
        self
    }

    /// Sets how far the timestamp may be from the time of this service, in both directions. A
    /// timestamp at the limit is accepted, in whole seconds. The default is 300 s, the maximum
    /// 1 day. The format must have a timestamp.
    pub fn tolerance(mut self, tolerance: Duration) -> Self {
        self.tolerance = Some(tolerance);
        self
    }

    /// Sets the longest body, in bytes. The default is 1 MiB, the maximum 64 MiB.
    ///
    /// Each request that is being read needs as much memory, also if its signature is invalid.
    pub fn max_body(mut self, bytes: usize) -> Self {
        self.max_body = bytes;
        self
    }

    /// Sets the clock that timestamps are compared with. The default is the system clock. See
    /// [`clock`](crate::clock).
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Sets the observer, which receives the events of this layer and of everything inside it. The
    /// default is that of the enclosing [`AuthenticateLayer`](crate::AuthenticateLayer), or else
    /// [`Tracing`](crate::observe::Tracing) with the feature `tracing`.
    pub fn observer(mut self, observer: impl Observe + 'static) -> Self {
        self.observer = self.observer.with_observer(observer);
        self
    }

    /// Sets how the client address in the events of this layer and of everything inside it is
    /// determined. By default, events have no client address.
    pub fn forwarded(mut self, forwarded: Forwarded) -> Self {
        self.observer = self.observer.with_forwarded(forwarded);
        self
    }

    /// Checks the configuration.
    ///
    /// # Errors
    ///
    /// Returns an error
    ///
    /// - if there is neither a secret nor a public key, or there are too many;
    /// - if a secret or a public key is malformed or too short, or the format has no public keys;
    /// - if there is neither a store nor `dangerous_allow_replays`, or both;
    /// - if a duration has no effect: the tolerance for a format without a timestamp, and
    ///   `remember_for` and `handling_time` without a store;
    /// - if a duration, the size of the body or the name of the sender is out of range.
    pub fn build(self) -> Result<WebhookLayer, ConfigError> {
        let keys = self.keys()?;
        let tolerance = self.checked_tolerance()?;
        let replays = self.replays(tolerance)?;
        if !(1..=LARGEST_BODY).contains(&self.max_body) {
            return Err(ConfigError::invalid("max_body must be from 1 byte to 64 MiB"));
        }
        let sender = self.sender.unwrap_or_else(|| self.format.definition().name.into());
        if !(1..=MAX_SENDER).contains(&sender.len()) {
            return Err(ConfigError::invalid("sender must have from 1 to 256 bytes"));
        }
        let receiver = Receiver {
            format: self.format,
            keys,
            principal: Principal::builder(Arc::clone(&sender), Scheme::WEBHOOK).build(),
            sender,
            replays,
            tolerance,
            max_body: self.max_body,
            clock: self.clock,
        };
        Ok(WebhookLayer::new(receiver, self.observer))
    }

    fn keys(&self) -> Result<Keys, ConfigError> {
        let format = self.format.definition();
        if self.secrets.is_empty() && self.public_keys.is_empty() {
            return Err(ConfigError::missing(
                "no secret: call secret with the one that the sender shows",
            ));
        }
        if self.secrets.len() > MAX_SECRETS || self.public_keys.len() > MAX_PUBLIC_KEYS {
            return Err(ConfigError::invalid(format!(
                "too many keys: keep at most {MAX_SECRETS} secrets and {MAX_PUBLIC_KEYS} public \
                 keys"
            )));
        }
        if !self.public_keys.is_empty() && format.syntax != Syntax::Standard {
            return Err(ConfigError::conflict(
                "only Standard Webhooks has public keys: call secret for this format",
            ));
        }
        let secrets = self.secrets.iter().map(|secret| format.secret_form.parse(secret));
        let public_keys = self.public_keys.iter().map(|key| PublicKey::parse(key));
        Ok(Keys {
            secrets: secrets.collect::<Result<_, _>>()?,
            public_keys: public_keys.collect::<Result<_, _>>()?,
        })
    }

    fn checked_tolerance(&self) -> Result<Duration, ConfigError> {
        if self.tolerance.is_some() && !self.format.definition().has_timestamp() {
            return Err(ConfigError::conflict(
                "tolerance has no effect, because the format has no timestamp: remove it, and set \
                 remember_for to the time for which a captured webhook must be rejected",
            ));
        }
        let tolerance = self.tolerance.unwrap_or(5 * MINUTE);
        if tolerance > DAY {
            return Err(ConfigError::invalid("tolerance must be at most 1 day"));
        }
        Ok(tolerance)
    }

    fn replays(&self, tolerance: Duration) -> Result<Option<Replays>, ConfigError> {
        match (&self.store, self.allow_replays) {
            (Some(store), false) => self.replays_in(store, tolerance).map(Some),
            (None, true) if self.remember_for.is_some() || self.handling_time.is_some() => {
                Err(ConfigError::conflict(
                    "remember_for and handling_time have no effect with dangerous_allow_replays: \
                     call store instead, or remove them",
                ))
            }
            (None, true) => Ok(None),
            (None, false) => Err(ConfigError::missing(
                "no store: call store, so that each event is handled once, or \
                 dangerous_allow_replays if the handler detects duplicates",
            )),
            (Some(_), true) => Err(ConfigError::conflict(
                "both store and dangerous_allow_replays are set: remove one",
            )),
        }
    }

    fn replays_in(&self, store: &SealedStore, tolerance: Duration) -> Result<Replays, ConfigError> {
        let remember_for = self.remember_for.unwrap_or(3 * DAY);
        if remember_for > 366 * DAY || remember_for < 2 * tolerance {
            return Err(ConfigError::invalid(
                "remember_for must be at least twice the tolerance, and at most 366 days: a \
                 webhook could otherwise be sent again after its event was forgotten",
            ));
        }
        let handling_time = self.handling_time.unwrap_or(MINUTE);
        if handling_time < SECOND || handling_time > 60 * MINUTE {
            return Err(ConfigError::invalid("handling_time must be from 1 s to 1 h"));
        }
        Ok(Replays {
            store: store.clone(),
            handling_time: Ttl::new(handling_time),
            // A timestamp has whole seconds, so it is accepted up to a second longer than the
            // tolerance.
            remember_for: Ttl::new(remember_for + SECOND),
        })
    }
}

impl fmt::Debug for WebhookLayerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookLayerBuilder")
            .field("format", &self.format)
            .field("sender", &self.sender)
            .finish_non_exhaustive()
    }
}
