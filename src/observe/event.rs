#[cfg(any(feature = "client-oauth", feature = "password-hash"))]
use std::error::Error;
use std::time::Duration;

use super::request_summary::RequestSummary;
#[cfg(feature = "client")]
use crate::client::error::AttachError;
#[cfg(feature = "introspection")]
use crate::introspection::error::IntrospectionError;
#[cfg(feature = "jwks")]
use crate::jwks::fetch::FetchError;
#[cfg(feature = "jwt")]
use crate::jwt::keys::skipped::SkippedKey;
#[cfg(feature = "oidc-login")]
use crate::oidc_login::login_error::LoginError;
#[cfg(feature = "revocation")]
use crate::revocation::target::RevocationTarget;
#[cfg(feature = "store")]
use crate::store::{error::StoreError, key::Purpose};
#[cfg(feature = "webhook")]
use crate::webhook::outcome::WebhookOutcome;
use crate::{
    authorize::policy::Policy, header::Scheme, principal::Principal, rejection::Rejection,
};

/// What happened.
///
/// Later versions can add events and fields.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A layer admitted a request.
    #[non_exhaustive]
    Admitted {
        /// The request.
        request: RequestSummary<'a>,
        /// The caller, or `None` for an anonymous request.
        principal: Option<&'a Principal>,
        /// The policy that admitted the request, or `None` if an authentication layer did.
        policy: Option<&'a dyn Policy>,
        /// How long the request waited for the decision, for example for a hash or a database.
        /// `None` if it was decided at once.
        ///
        /// This is not the time of the handler.
        waited: Option<Duration>,
    },
    /// A layer, an extractor or a handler rejected a request.
    #[non_exhaustive]
    Rejected {
        /// The request, or `None` if a handler returned the rejection and the layer did not keep
        /// the request.
        request: Option<RequestSummary<'a>>,
        /// The kind and, as its source, the reason.
        rejection: &'a Rejection,
        /// The caller, or `None` if the request was not authenticated.
        principal: Option<&'a Principal>,
        /// The scheme of the credentials, or `None` if there are none or it is not known. They are
        /// not verified if there is no principal.
        scheme: Option<Scheme>,
        /// The policy that rejected the request.
        policy: Option<&'a dyn Policy>,
        /// How long the request waited for the decision, as in [`Admitted`](Self::Admitted).
        waited: Option<Duration>,
    },
    /// A request was rejected because there were too many attempts.
    #[non_exhaustive]
    Throttled {
        /// The request, or `None` as in [`Rejected`](Self::Rejected).
        request: Option<RequestSummary<'a>>,
        /// The rejection, of the kind [`TooManyRequests`](crate::RejectionKind::TooManyRequests).
        rejection: &'a Rejection,
        /// The caller, or `None` if the request was not authenticated.
        principal: Option<&'a Principal>,
        /// The scheme of the credentials, as in [`Rejected`](Self::Rejected).
        scheme: Option<Scheme>,
        /// The policy that rejected the request.
        policy: Option<&'a dyn Policy>,
        /// How long the request waited for the decision, as in [`Admitted`](Self::Admitted).
        waited: Option<Duration>,
    },
    /// A request was rejected because the service is wired incorrectly, for example because a
    /// policy has no authentication layer around it.
    ///
    /// A layer reports this once; its further faults are [`Rejected`](Self::Rejected), also those
    /// with another reason. Axum creates a policy that is used as the layer of a handler again for
    /// each connection; an [`AuthorizeLayer`](crate::AuthorizeLayer) is one layer for all.
    /// Extractors and handlers report each fault. If there is no authentication layer, the default
    /// observer receives it, because no other one was set.
    #[non_exhaustive]
    WiringFault {
        /// The request, or `None` as in [`Rejected`](Self::Rejected).
        request: Option<RequestSummary<'a>>,
        /// The rejection, of the kind [`Misconfigured`](crate::RejectionKind::Misconfigured).
        rejection: &'a Rejection,
        /// The caller, or `None` if the request was not authenticated.
        principal: Option<&'a Principal>,
        /// The policy that rejected the request.
        policy: Option<&'a dyn Policy>,
    },
    /// A throttle does not know the address of a client. All such clients share one limit, so the
    /// failures of one can lock out the others.
    ///
    /// Each throttle reports this once. [`Throttle::new`](crate::throttle::Throttle::new) says what
    /// it needs.
    #[cfg(feature = "throttle")]
    #[non_exhaustive]
    ClientAddressUnknown {
        /// The request whose client has no known address.
        request: RequestSummary<'a>,
    },
    /// A key of a key set is not used.
    #[cfg(feature = "jwt")]
    #[non_exhaustive]
    KeySkipped {
        /// The issuer of the keys, or `None` if several issuers or none were set for them.
        issuer: Option<&'a str>,
        /// The key and the reason.
        key: &'a SkippedKey,
    },
    /// A claim of a token with a valid signature, or a member of a response about a token, does not
    /// have the form that a standard or the configuration requires. A token with such scopes is
    /// rejected, or grants fewer scopes than its issuer intended.
    ///
    /// This is reported once for each issuer and claim. The event does not contain the value.
    #[cfg(feature = "jwt")]
    #[non_exhaustive]
    ClaimMalformed {
        /// The issuer of the token, or `None` if any issuer is accepted.
        issuer: Option<&'a str>,
        /// The name of the claim, or the path to it in the configuration.
        claim: &'a str,
        /// What the claim must be, such as `a string`.
        expected: &'static str,
    },
    /// A key set was fetched.
    #[cfg(feature = "jwks")]
    #[non_exhaustive]
    KeysFetched {
        /// The issuer of the keys, or `None` if several issuers or none were set for them.
        issuer: Option<&'a str>,
        /// The number of fetches that failed since the last successful one.
        failures: u32,
    },
    /// The keys of a fetched key set are not those of the previous one.
    #[cfg(feature = "jwks")]
    #[non_exhaustive]
    KeySetChanged {
        /// The issuer of the keys, or `None` if several issuers or none were set for them.
        issuer: Option<&'a str>,
        /// The ids of the new keys: at most 16.
        added: &'a [String],
        /// The ids of the keys that are no longer in the set: at most 16.
        removed: &'a [String],
    },
    /// A key set could not be fetched.
    #[cfg(feature = "jwks")]
    #[non_exhaustive]
    KeyFetchFailed {
        /// The issuer of the keys, or `None` if several issuers or none were set for them.
        issuer: Option<&'a str>,
        /// The reason.
        error: &'a FetchError,
        /// The number of fetches that failed since the last successful one.
        failures: u32,
        /// Whether the last keys stay in use until the next attempt. If not, tokens get 503.
        keys_usable: bool,
    },
    /// A password file was read again because it has changed.
    #[cfg(feature = "password-hash")]
    #[non_exhaustive]
    PasswordFileReloaded {
        /// The number of users.
        users: usize,
    },
    /// A changed password file could not be read. Its last users stay in use.
    #[cfg(feature = "password-hash")]
    #[non_exhaustive]
    PasswordFileFailed {
        /// The reason.
        fault: &'a str,
    },
    /// A weak password hash could not be replaced after a login. A later login of the user tries
    /// again. This is reported at most once a minute.
    #[cfg(feature = "password-hash")]
    #[non_exhaustive]
    HashRenewalFailed {
        /// The reason.
        error: &'a (dyn Error + Send + Sync + 'static),
    },
    /// A token, a session, a subject or an issuer was revoked in this process.
    ///
    /// The event does not contain the token, the session or the subject, because these can be
    /// personal data.
    #[cfg(feature = "revocation")]
    #[non_exhaustive]
    Revoked {
        /// What was revoked.
        target: RevocationTarget,
        /// The issuer of the revoked tokens, or `None` for sessions of users without an issuer.
        issuer: Option<&'a str>,
    },
    /// A shared store does not answer.
    ///
    /// This is reported when an outage starts, and then once a minute while operations fail. If a
    /// store fails again and again, at most five outages are reported per minute.
    #[cfg(feature = "store")]
    #[non_exhaustive]
    StoreUnavailable {
        /// The reason.
        error: &'a StoreError,
    },
    /// A shared store answers again.
    ///
    /// This is reported once after one or more [`StoreUnavailable`](Self::StoreUnavailable).
    #[cfg(feature = "store")]
    #[non_exhaustive]
    StoreAvailable {
        /// The time since the first report of the outage.
        outage: Duration,
    },
    /// A shared store has lost records, because it was emptied or restored from an older copy.
    /// Tokens that were issued before are rejected.
    ///
    /// Each process that detects it reports it once.
    #[cfg(feature = "store")]
    StoreReverted,
    /// A shared store has no space for a record. This is reported once a minute per purpose.
    ///
    /// With [`Memory`](crate::store::Memory), revocations are still stored, as coarser records.
    #[cfg(feature = "store")]
    #[non_exhaustive]
    StoreFull {
        /// The reason.
        error: &'a StoreError,
        /// What the record was for.
        purpose: Purpose,
    },
    /// A shared store has a record that this crate did not write, or that was written with another
    /// secret. This is reported once a minute.
    #[cfg(feature = "store")]
    #[non_exhaustive]
    StoreUnreadable {
        /// The reason.
        error: &'a StoreError,
        /// What the record is for.
        purpose: Purpose,
    },
    /// The records of a purpose take more than 80 % of their space in a
    /// [`Memory`](crate::store::Memory) store. This is reported at most once a minute, and again
    /// only after less than 70 % were used.
    ///
    /// Set a higher [`max_bytes`](crate::store::MemoryBuilder::max_bytes), or use a shared store.
    #[cfg(feature = "store")]
    #[non_exhaustive]
    StoreNearlyFull {
        /// What the records are for.
        purpose: Purpose,
    },
    /// A Redis server has a `maxmemory-policy` that discards records when its memory is full. It
    /// could discard revocations. This is reported once.
    #[cfg(feature = "redis")]
    #[non_exhaustive]
    StoreMayEvict {
        /// The policy, such as `allkeys-lru`.
        policy: &'a str,
    },
    /// A user logged in and got tokens.
    #[cfg(feature = "issue")]
    #[non_exhaustive]
    LoggedIn {
        /// The request, or `None` if a method was called instead of
        /// [`TokenRoutes`](crate::issue::TokenRoutes).
        request: Option<RequestSummary<'a>>,
        /// The issuer of the tokens.
        issuer: &'a str,
        /// The user.
        subject: &'a str,
        /// The client that got the tokens.
        client_id: &'a str,
    },
    /// A client got new tokens for its refresh token.
    #[cfg(feature = "issue")]
    #[non_exhaustive]
    TokensRefreshed {
        /// The request, or `None` if a method was called instead of
        /// [`TokenRoutes`](crate::issue::TokenRoutes).
        request: Option<RequestSummary<'a>>,
        /// The issuer of the tokens.
        issuer: &'a str,
        /// The user.
        subject: &'a str,
        /// The client that got the tokens.
        client_id: &'a str,
    },
    /// A client sent a refresh token that had been replaced: it was probably stolen. The login has
    /// ended, and its tokens are revoked.
    #[cfg(feature = "issue")]
    #[non_exhaustive]
    RefreshTokenReused {
        /// The request, or `None` if a method was called instead of
        /// [`TokenRoutes`](crate::issue::TokenRoutes).
        request: Option<RequestSummary<'a>>,
        /// The issuer of the tokens.
        issuer: &'a str,
        /// The user.
        subject: &'a str,
        /// The client that got the tokens at the login.
        client_id: &'a str,
    },
    /// A user logged out.
    #[cfg(feature = "issue")]
    #[non_exhaustive]
    LoggedOut {
        /// The request, or `None` if a method was called instead of
        /// [`TokenRoutes`](crate::issue::TokenRoutes).
        request: Option<RequestSummary<'a>>,
        /// The issuer of the tokens.
        issuer: &'a str,
        /// The user, or `None` if the login had already ended.
        subject: Option<&'a str>,
        /// Whether all logins of the user have ended.
        everywhere: bool,
    },
    /// A store returned an older record of refresh tokens than was written: a failover lost the
    /// last write. The client was not logged out.
    #[cfg(feature = "issue")]
    #[non_exhaustive]
    StoreWentBack {
        /// The generation in the store.
        found: u64,
        /// The later generation that the client has.
        presented: u64,
    },
    /// The keys that sign tokens were changed.
    #[cfg(feature = "issue")]
    #[non_exhaustive]
    SigningKeysChanged {
        /// The id of the key that signs.
        active: &'a str,
        /// The ids of new keys.
        added: &'a [String],
        /// The ids of keys that are no longer used, not even to verify.
        removed: &'a [String],
    },
    /// A session was started for a user who has logged in.
    #[cfg(feature = "session")]
    #[non_exhaustive]
    SessionStarted {
        /// The request that started the session.
        request: RequestSummary<'a>,
        /// The issuer of the user, if the principal has one.
        issuer: Option<&'a str>,
        /// The user.
        subject: &'a str,
        /// The id of the session, which is not secret.
        id: &'a str,
    },
    /// A session was ended, or all sessions of a user.
    #[cfg(feature = "session")]
    #[non_exhaustive]
    SessionEnded {
        /// The issuer of the user, if the principal has one.
        issuer: Option<&'a str>,
        /// The user.
        subject: &'a str,
        /// The id of the session, or `None` if all sessions of the user were ended.
        id: Option<&'a str>,
    },
    /// A login at a provider failed.
    #[cfg(feature = "oidc-login")]
    #[non_exhaustive]
    LoginFailed {
        /// The request that failed.
        request: RequestSummary<'a>,
        /// What failed and, as its source, the reason.
        error: &'a LoginError,
    },
    /// An API key was created.
    #[cfg(feature = "api-key")]
    #[non_exhaustive]
    ApiKeyCreated {
        /// The owner of the key.
        owner: &'a str,
        /// The id of the key, which is not secret.
        id: &'a str,
    },
    /// An API key was used. This is reported at most once a minute for each key, by each process.
    #[cfg(feature = "api-key")]
    #[non_exhaustive]
    ApiKeyUsed {
        /// The owner of the key.
        owner: &'a str,
        /// The id of the key.
        id: &'a str,
    },
    /// An API key was revoked.
    #[cfg(feature = "api-key")]
    #[non_exhaustive]
    ApiKeyRevoked {
        /// The owner of the key.
        owner: &'a str,
        /// The id of the key.
        id: &'a str,
    },
    /// A service exchanged the token of a user for one for another audience.
    #[cfg(feature = "issue")]
    #[non_exhaustive]
    TokenExchanged {
        /// The request, or `None` if a method was called instead of
        /// [`TokenRoutes`](crate::issue::TokenRoutes).
        request: Option<RequestSummary<'a>>,
        /// The issuer of the tokens.
        issuer: &'a str,
        /// The user for whom the token is.
        subject: &'a str,
        /// The service that got the token.
        actor: &'a str,
        /// The service that accepts the token.
        audience: &'a str,
    },
    /// A service got a token for itself.
    #[cfg(feature = "issue")]
    #[non_exhaustive]
    ClientTokenIssued {
        /// The request, or `None` if a method was called instead of
        /// [`TokenRoutes`](crate::issue::TokenRoutes).
        request: Option<RequestSummary<'a>>,
        /// The issuer of the tokens.
        issuer: &'a str,
        /// The service.
        client_id: &'a str,
    },
    /// A webhook with a valid signature was received.
    #[cfg(feature = "webhook")]
    #[non_exhaustive]
    Webhook {
        /// The request.
        request: RequestSummary<'a>,
        /// The name of the sender, as it was configured.
        sender: &'a str,
        /// What happened to it.
        outcome: WebhookOutcome,
    },
    /// The audit log could not be written, or has dropped events. This is reported at most once a
    /// minute.
    #[cfg(feature = "audit")]
    #[non_exhaustive]
    AuditFailed {
        /// The reason.
        error: &'a std::io::Error,
    },
    /// A token for outgoing requests was fetched.
    #[cfg(feature = "client")]
    #[non_exhaustive]
    TokenFetched {
        /// The number of fetches that failed since the last successful one.
        failures: u32,
    },
    /// A token for outgoing requests could not be fetched.
    #[cfg(feature = "client")]
    #[non_exhaustive]
    TokenFetchFailed {
        /// The reason.
        error: &'a AttachError,
    },
    /// The endpoint of an authorization server did not say whether a token is active. The request
    /// gets 503.
    #[cfg(feature = "introspection")]
    #[non_exhaustive]
    IntrospectionFailed {
        /// The issuer of the tokens, or `None` if none was set.
        issuer: Option<&'a str>,
        /// The reason.
        error: &'a IntrospectionError,
    },
    /// The hook of a [`RefreshGrant`](crate::client::RefreshGrant) has not saved a new refresh
    /// token. If the process ends now, the user must log in again.
    ///
    /// The next exchange calls the hook again.
    #[cfg(feature = "client-oauth")]
    #[non_exhaustive]
    RefreshTokenNotSaved {
        /// The reason.
        error: &'a (dyn Error + Send + Sync + 'static),
    },
}
