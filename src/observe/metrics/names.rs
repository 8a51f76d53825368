//! The names of the metrics and of their labels. The docs of `Metrics` list them.

use metrics::Unit;

pub(super) const ADMISSIONS: &str = "tower_auth.admissions";
pub(super) const REJECTIONS: &str = "tower_auth.rejections";
pub(super) const WAIT_DURATION: &str = "tower_auth.wait.duration";
pub(super) const EVENTS: &str = "tower_auth.events";
#[cfg(feature = "jwks")]
pub(super) const KEY_FETCHES: &str = "tower_auth.key_fetches";
#[cfg(feature = "oidc-login")]
pub(super) const LOGIN_FAILURES: &str = "tower_auth.login_failures";
#[cfg(feature = "store")]
pub(super) const STORE_AVAILABLE: &str = "tower_auth.store.available";
#[cfg(feature = "webhook")]
pub(super) const WEBHOOKS: &str = "tower_auth.webhooks";

pub(super) const EVENT: &str = "auth.event";
pub(super) const ISSUER: &str = "auth.issuer";
#[cfg(any(feature = "jwks", feature = "webhook"))]
pub(super) const OUTCOME: &str = "auth.outcome";
pub(super) const SCHEME: &str = "auth.scheme";
#[cfg(feature = "webhook")]
pub(super) const SENDER: &str = "auth.sender";
pub(super) const STEP: &str = "auth.step";
pub(super) const ERROR_TYPE: &str = "error.type";
pub(super) const ROUTE: &str = "http.route";

/// The value of a label for all values that have none of their own, as in OpenTelemetry.
pub(super) const OTHER: &str = "_OTHER";

/// The values of [`EVENT`]: the names of all events that no other metric counts.
pub(super) const EVENT_NAMES: &[&str] = &[
    #[cfg(feature = "throttle")]
    "client_address_unknown",
    #[cfg(feature = "jwt")]
    "key_skipped",
    #[cfg(feature = "jwt")]
    "claim_malformed",
    #[cfg(feature = "jwks")]
    "key_set_changed",
    #[cfg(feature = "password-hash")]
    "password_file_reloaded",
    #[cfg(feature = "password-hash")]
    "password_file_failed",
    #[cfg(feature = "password-hash")]
    "hash_renewal_failed",
    #[cfg(feature = "revocation")]
    "revoked",
    #[cfg(feature = "store")]
    "store_unavailable",
    #[cfg(feature = "store")]
    "store_available",
    #[cfg(feature = "store")]
    "store_reverted",
    #[cfg(feature = "store")]
    "store_full",
    #[cfg(feature = "store")]
    "store_unreadable",
    #[cfg(feature = "store")]
    "store_nearly_full",
    #[cfg(feature = "redis")]
    "store_may_evict",
    #[cfg(feature = "issue")]
    "logged_in",
    #[cfg(feature = "issue")]
    "tokens_refreshed",
    #[cfg(feature = "issue")]
    "refresh_token_reused",
    #[cfg(feature = "issue")]
    "logged_out",
    #[cfg(feature = "issue")]
    "store_went_back",
    #[cfg(feature = "issue")]
    "signing_keys_changed",
    #[cfg(feature = "session")]
    "session_started",
    #[cfg(feature = "session")]
    "session_ended",
    #[cfg(feature = "api-key")]
    "api_key_created",
    #[cfg(feature = "api-key")]
    "api_key_used",
    #[cfg(feature = "api-key")]
    "api_key_revoked",
    #[cfg(feature = "issue")]
    "token_exchanged",
    #[cfg(feature = "issue")]
    "client_token_issued",
    #[cfg(feature = "audit")]
    "audit_failed",
    #[cfg(feature = "client")]
    "token_fetched",
    #[cfg(feature = "client")]
    "token_fetch_failed",
    #[cfg(feature = "introspection")]
    "introspection_failed",
    #[cfg(feature = "client-oauth")]
    "refresh_token_not_saved",
];

/// Gives the recorder the unit and the help text of each metric.
pub(super) fn describe(recorder: &dyn metrics::Recorder) {
    let counter = |name: &'static str, help: &'static str| {
        recorder.describe_counter(name.into(), Some(Unit::Count), help.into());
    };
    counter(ADMISSIONS, "Requests that an authentication layer admitted.");
    counter(REJECTIONS, "Requests that a layer, an extractor or a handler rejected.");
    counter(EVENTS, "Events of logins, sessions, tokens, keys and stores.");
    #[cfg(feature = "jwks")]
    counter(KEY_FETCHES, "Attempts to fetch the keys of an issuer.");
    #[cfg(feature = "oidc-login")]
    counter(LOGIN_FAILURES, "Failed logins at a provider.");
    #[cfg(feature = "webhook")]
    counter(WEBHOOKS, "Webhooks with a valid signature.");
    recorder.describe_histogram(
        WAIT_DURATION.into(),
        Some(Unit::Seconds),
        "How long requests waited for a decision that was not made at once.".into(),
    );
    #[cfg(feature = "store")]
    recorder.describe_gauge(
        STORE_AVAILABLE.into(),
        Some(Unit::Count),
        "Whether the shared store answers: 1, or 0 during an outage.".into(),
    );
}
