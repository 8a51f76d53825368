use std::{convert::Infallible, fmt, hash::RandomState, sync::Arc, time::Duration};

use http::request::Parts;
use quick_cache::{UnitWeighter, sync::Cache};

use super::{
    authorization::{Authorization, AuthorizationSource},
    endpoint_failure::{EndpointFailure, Outcome},
    error::{AttachError, AttachErrorKind, BoxError},
    grant_parameters::GrantParameters,
    refresher::{Settings, TokenRefresher},
    source::{Expiry, Token, TokenSource},
    subject_token::SubjectToken,
    token_endpoint::TokenEndpoint,
};
use crate::{
    clock::{Clock, SystemClock},
    observe::{Observe, observer::Observer},
    one_or_many::OneOrMany,
};

const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

/// How many tokens are kept, and how long each of the two can be.
const MAX_TOKENS: usize = 8_192;
const MAX_TOKEN_BYTES: usize = 16 * 1024;
/// How long a token is used if the issuer does not send a lifetime.
const DEFAULT_LIFETIME: Duration = Duration::from_secs(60);

/// Tokens with which a service calls another one in the name of its caller (token exchange, RFC
/// 8693).
///
/// Each request has the [`SubjectToken`] of the caller in its extensions. It is exchanged at the
/// token endpoint, and the new token is kept for further requests until shortly before its expiry.
///
/// ```no_run
/// # #[cfg(feature = "jwks-reqwest")] {
/// use bytes::Bytes;
/// use http::{HeaderMap, Request};
/// use tower::ServiceBuilder;
/// use tower_auth::client::{AttachLayer, ExchangedToken, SubjectToken, TokenEndpoint};
///
/// # let secret = "";
/// let endpoint = TokenEndpoint::discover("https://issuer.example")
///     .client_id("orders")
///     .client_secret(secret)
///     .build()?;
/// let tokens = ExchangedToken::new(endpoint).audience("stock").scopes("stock:read");
/// let layer = AttachLayer::new(tokens).only_to("https://stock.example")?;
///
/// /// In a handler: creates a request in the name of the caller.
/// fn request_for(headers: &HeaderMap) -> Option<Request<Bytes>> {
///     let mut request = Request::new(Bytes::new());
///     *request.uri_mut() = "https://stock.example/items".parse().ok()?;
///     request.extensions_mut().insert(SubjectToken::from_headers(headers)?);
///     Some(request)
/// }
/// # }
/// # Ok::<(), tower_auth::ConfigError>(())
/// ```
///
/// Clones share the tokens. Up to 8192 of up to 16 KiB are kept. Concurrent requests with one token
/// share one exchange. After a failure, the requests with this token fail for 5 s.
///
/// # Errors
///
/// A request fails with an [`AttachError`]. The response to the caller depends on its kind:
///
/// | kind | reason | response |
/// | --- | --- | --- |
/// | [`LoggedOut`] | the issuer has rejected the token (`invalid_request`, `invalid_grant`) | 401 |
/// | [`InsufficientScope`] | the caller lacks a scope (`invalid_scope`) | 403 |
/// | others | the issuer is not available, or has rejected this service | 503 |
///
/// # Security
///
/// - A token is used only for requests with the same subject token.
/// - A logout does not remove the tokens that are kept. So verify the token of each caller, with
///   the [revocations](crate::revocation) of the issuer if a logout must take effect at once.
///
/// [`LoggedOut`]: AttachErrorKind::LoggedOut
/// [`InsufficientScope`]: AttachErrorKind::InsufficientScope
#[derive(Clone)]
#[must_use = "pass it to AttachLayer::new"]
pub struct ExchangedToken {
    config: Config,
    tokens: Arc<Tokens>,
}

/// The key is the text of the subject token, so that two callers cannot have the same one.
type Tokens = Cache<Arc<str>, Arc<TokenRefresher>, UnitWeighter, RandomState>;

#[derive(Clone)]
struct Config {
    endpoint: TokenEndpoint,
    parameters: GrantParameters,
    clock: Arc<dyn Clock>,
    observer: Observer,
}

impl ExchangedToken {
    /// Creates a source of tokens for the client of this endpoint.
    pub fn new(endpoint: TokenEndpoint) -> Self {
        let mut parameters = GrantParameters::new(GRANT_TYPE);
        parameters.add("subject_token_type", ACCESS_TOKEN);
        parameters.add("requested_token_type", ACCESS_TOKEN);
        let (clock, observer) = (Arc::new(SystemClock), Observer::default());
        Self::from_config(Config { endpoint, parameters, clock, observer })
    }

    /// Creates a source without tokens: those of other settings must not be used.
    fn from_config(config: Config) -> Self {
        let weight = u64::try_from(MAX_TOKENS).unwrap_or(u64::MAX);
        let hasher = RandomState::new();
        let tokens = Cache::with(MAX_TOKENS, weight, UnitWeighter, hasher, Default::default());
        Self { config, tokens: Arc::new(tokens) }
    }

    fn with(self, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = self.config;
        change(&mut config);
        Self::from_config(config)
    }

    /// Requests tokens for these audiences: the names of the service that is called.
    pub fn audience<K>(self, audiences: impl OneOrMany<str, K>) -> Self {
        self.with(|config| config.parameters.add("audience", audiences))
    }

    /// Requests tokens for these resources (`resource`, RFC 8707).
    pub fn resource<K>(self, resources: impl OneOrMany<str, K>) -> Self {
        self.with(|config| config.parameters.add("resource", resources))
    }

    /// Requests these scopes. By default, and with an empty list, the issuer decides: often, they
    /// are all of the caller.
    pub fn scopes<K>(self, scopes: impl OneOrMany<str, K>) -> Self {
        self.with(|config| config.parameters.set_scopes(scopes))
    }

    /// Replaces the system clock, for tests.
    pub fn clock(self, clock: impl Clock) -> Self {
        self.with(|config| config.clock = Arc::new(clock))
    }

    /// Sets the observer of failed exchanges. The default is the [default
    /// observer](crate::observe::set_default).
    pub fn observer(self, observer: impl Observe + 'static) -> Self {
        self.with(|config| config.observer = Observer::default().with_observer(observer))
    }

    /// Returns the value of the `Authorization` header for the caller with this token, marked as
    /// sensitive. It is available immediately if the token was exchanged before.
    ///
    /// # Panics
    ///
    /// The future panics when it is polled if it must wait in a tokio runtime whose timers are not
    /// enabled.
    pub fn header_value(&self, subject: &SubjectToken) -> Authorization {
        if subject.text().len() > MAX_TOKEN_BYTES {
            let message = "the token of the caller is too long to be exchanged";
            let error = AttachError::because(AttachErrorKind::Source, message);
            return Authorization::ready(Err(error));
        }
        let refresher = self.tokens.get_or_insert_with(subject.text(), || {
            Ok::<_, Infallible>(Arc::new(self.config.refresher(subject)))
        });
        match refresher {
            Ok(refresher) => refresher.authorization(),
        }
    }
}

impl Config {
    /// Returns what exchanges the token of one caller.
    fn refresher(&self, subject: &SubjectToken) -> TokenRefresher {
        let Self { endpoint, parameters, clock, observer } = self.clone();
        TokenRefresher::new(Settings {
            source: Arc::new(ExchangeSource { endpoint, parameters, subject: subject.clone() }),
            clock,
            timeout: Duration::from_secs(10),
            cooldown: Duration::from_secs(5),
            // A new token does not live longer if it ends with the token of the caller.
            refresh_ahead: Duration::ZERO,
            observer,
        })
    }
}

impl AuthorizationSource for ExchangedToken {
    fn authorization(&self, head: &Parts) -> Authorization {
        match head.extensions.get() {
            Some(subject) => self.header_value(subject),
            None => Authorization::ready(Err(AttachError::because(
                AttachErrorKind::Source,
                "the request has no SubjectToken in its extensions: insert that of the caller",
            ))),
        }
    }
}

/// The exchange of the token of one caller.
struct ExchangeSource {
    endpoint: TokenEndpoint,
    parameters: GrantParameters,
    subject: SubjectToken,
}

impl TokenSource for ExchangeSource {
    async fn token(&self) -> Result<Token, BoxError> {
        let mut parameters = self.parameters.pairs();
        parameters.push(("subject_token", self.subject.text()));
        let response = self.endpoint.request(&parameters).await.map_err(exchange_error)?;
        let token = response.access.map_err(|failure| failure.error)?;
        if token.value.len() > MAX_TOKEN_BYTES {
            return Err("the token endpoint returned a token of more than 16 KiB".into());
        }
        Ok(match token.expiry {
            Expiry::Never => token.expires_in(DEFAULT_LIFETIME),
            Expiry::In(_) | Expiry::At(_) => token,
        })
    }
}

/// Returns an error that tells whether the caller or the issuer is the reason (RFC 8693 §2.2.2).
fn exchange_error(failure: EndpointFailure) -> AttachError {
    let (kind, message) = match failure.outcome {
        Outcome::Rejected | Outcome::InvalidRequest => (
            AttachErrorKind::LoggedOut,
            "the issuer has rejected the token of the caller, who must log in again",
        ),
        Outcome::InvalidScope => {
            (AttachErrorKind::InsufficientScope, "the caller lacks a scope of the other service")
        }
        Outcome::Unknown | Outcome::NonceRequired | Outcome::Failed => return failure.error,
    };
    AttachError::because(kind, message).caused_by(failure.error)
}

/// Shows neither tokens nor the client.
impl fmt::Debug for ExchangedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Config { endpoint, parameters, .. } = &self.config;
        f.debug_struct("ExchangedToken")
            .field("endpoint", endpoint)
            .field("parameters", parameters)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use http::{Request, Response};

    use super::*;

    #[test]
    fn tokens_are_bounded() {
        async fn never(_: Request<bytes::Bytes>) -> Result<Response<bytes::Bytes>, BoxError> {
            Err("not called outside of a runtime".into())
        }
        let endpoint = TokenEndpoint::url("https://a.example/token").client(never).build();
        let tokens = ExchangedToken::new(endpoint.unwrap());
        for number in 0..3 * MAX_TOKENS {
            drop(tokens.header_value(&SubjectToken::new(number.to_string())));
        }
        let kept = tokens.tokens.len();
        assert!((1_000..=MAX_TOKENS).contains(&kept), "{kept}");
    }
}
