use std::{error::Error, time::Duration};

use super::{event::Event, request_summary::RequestSummary};
use crate::{
    authorize::policy::Policy, header::Scheme, principal::Principal, rejection::Rejection,
};

/// Fields that several events have. For all others, the methods return `None`.
#[allow(unreachable_patterns)] // without features, there are no other events
impl<'a> Event<'a> {
    /// Returns the name of the event, such as `refresh_token_reused`.
    ///
    /// Each event has its own name, which does not change in later versions.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Admitted { .. } => "admitted",
            Self::Rejected { .. } => "rejected",
            Self::Throttled { .. } => "throttled",
            Self::WiringFault { .. } => "wiring_fault",
            #[cfg(feature = "throttle")]
            Self::ClientAddressUnknown { .. } => "client_address_unknown",
            #[cfg(feature = "jwt")]
            Self::KeySkipped { .. } => "key_skipped",
            #[cfg(feature = "jwt")]
            Self::ClaimMalformed { .. } => "claim_malformed",
            #[cfg(feature = "jwks")]
            Self::KeysFetched { .. } => "keys_fetched",
            #[cfg(feature = "jwks")]
            Self::KeySetChanged { .. } => "key_set_changed",
            #[cfg(feature = "jwks")]
            Self::KeyFetchFailed { .. } => "key_fetch_failed",
            #[cfg(feature = "password-hash")]
            Self::PasswordFileReloaded { .. } => "password_file_reloaded",
            #[cfg(feature = "password-hash")]
            Self::PasswordFileFailed { .. } => "password_file_failed",
            #[cfg(feature = "password-hash")]
            Self::HashRenewalFailed { .. } => "hash_renewal_failed",
            #[cfg(feature = "revocation")]
            Self::Revoked { .. } => "revoked",
            #[cfg(feature = "store")]
            Self::StoreUnavailable { .. } => "store_unavailable",
            #[cfg(feature = "store")]
            Self::StoreAvailable { .. } => "store_available",
            #[cfg(feature = "store")]
            Self::StoreReverted => "store_reverted",
            #[cfg(feature = "store")]
            Self::StoreFull { .. } => "store_full",
            #[cfg(feature = "store")]
            Self::StoreUnreadable { .. } => "store_unreadable",
            #[cfg(feature = "store")]
            Self::StoreNearlyFull { .. } => "store_nearly_full",
            #[cfg(feature = "redis")]
            Self::StoreMayEvict { .. } => "store_may_evict",
            #[cfg(feature = "issue")]
            Self::LoggedIn { .. } => "logged_in",
            #[cfg(feature = "issue")]
            Self::TokensRefreshed { .. } => "tokens_refreshed",
            #[cfg(feature = "issue")]
            Self::RefreshTokenReused { .. } => "refresh_token_reused",
            #[cfg(feature = "issue")]
            Self::LoggedOut { .. } => "logged_out",
            #[cfg(feature = "issue")]
            Self::StoreWentBack { .. } => "store_went_back",
            #[cfg(feature = "issue")]
            Self::SigningKeysChanged { .. } => "signing_keys_changed",
            #[cfg(feature = "session")]
            Self::SessionStarted { .. } => "session_started",
            #[cfg(feature = "session")]
            Self::SessionEnded { .. } => "session_ended",
            #[cfg(feature = "oidc-login")]
            Self::LoginFailed { .. } => "login_failed",
            #[cfg(feature = "api-key")]
            Self::ApiKeyCreated { .. } => "api_key_created",
            #[cfg(feature = "api-key")]
            Self::ApiKeyUsed { .. } => "api_key_used",
            #[cfg(feature = "api-key")]
            Self::ApiKeyRevoked { .. } => "api_key_revoked",
            #[cfg(feature = "issue")]
            Self::TokenExchanged { .. } => "token_exchanged",
            #[cfg(feature = "issue")]
            Self::ClientTokenIssued { .. } => "client_token_issued",
            #[cfg(feature = "webhook")]
            Self::Webhook { .. } => "webhook",
            #[cfg(feature = "audit")]
            Self::AuditFailed { .. } => "audit_failed",
            #[cfg(feature = "client")]
            Self::TokenFetched { .. } => "token_fetched",
            #[cfg(feature = "client")]
            Self::TokenFetchFailed { .. } => "token_fetch_failed",
            #[cfg(feature = "introspection")]
            Self::IntrospectionFailed { .. } => "introspection_failed",
            #[cfg(feature = "client-oauth")]
            Self::RefreshTokenNotSaved { .. } => "refresh_token_not_saved",
        }
    }

    /// Returns the request that caused the event, if it is known.
    #[must_use]
    pub fn request(&self) -> Option<RequestSummary<'a>> {
        match *self {
            Self::Admitted { request, .. } => Some(request),
            Self::Rejected { request, .. }
            | Self::Throttled { request, .. }
            | Self::WiringFault { request, .. } => request,
            #[cfg(feature = "throttle")]
            Self::ClientAddressUnknown { request } => Some(request),
            #[cfg(feature = "issue")]
            Self::LoggedIn { request, .. }
            | Self::TokensRefreshed { request, .. }
            | Self::RefreshTokenReused { request, .. }
            | Self::LoggedOut { request, .. }
            | Self::TokenExchanged { request, .. }
            | Self::ClientTokenIssued { request, .. } => request,
            #[cfg(feature = "session")]
            Self::SessionStarted { request, .. } => Some(request),
            #[cfg(feature = "oidc-login")]
            Self::LoginFailed { request, .. } => Some(request),
            #[cfg(feature = "webhook")]
            Self::Webhook { request, .. } => Some(request),
            _ => None,
        }
    }

    /// Returns the caller of the request of a decision. The caller was authenticated.
    #[must_use]
    #[inline]
    pub fn principal(&self) -> Option<&'a Principal> {
        match *self {
            Self::Admitted { principal, .. }
            | Self::Rejected { principal, .. }
            | Self::Throttled { principal, .. }
            | Self::WiringFault { principal, .. } => principal,
            _ => None,
        }
    }

    /// Returns why a request was rejected.
    #[must_use]
    pub fn rejection(&self) -> Option<&'a Rejection> {
        match *self {
            Self::Rejected { rejection, .. }
            | Self::Throttled { rejection, .. }
            | Self::WiringFault { rejection, .. } => Some(rejection),
            _ => None,
        }
    }

    /// Returns the scheme of the credentials. They are not verified if there is no
    /// [principal](Self::principal).
    #[must_use]
    #[inline]
    pub fn scheme(&self) -> Option<Scheme> {
        match *self {
            Self::Admitted { principal, .. } | Self::WiringFault { principal, .. } => {
                principal.map(Principal::scheme)
            }
            Self::Rejected { scheme, .. } | Self::Throttled { scheme, .. } => scheme,
            #[cfg(feature = "webhook")]
            Self::Webhook { .. } => Some(Scheme::WEBHOOK),
            _ => None,
        }
    }

    /// Returns the issuer of the user or of the keys. It is never that of an invalid token, except
    /// for [`ClaimMalformed`](Self::ClaimMalformed), whose token has a valid signature.
    #[must_use]
    pub fn issuer(&self) -> Option<&'a str> {
        match *self {
            #[cfg(feature = "jwt")]
            Self::KeySkipped { issuer, .. } | Self::ClaimMalformed { issuer, .. } => issuer,
            #[cfg(feature = "jwks")]
            Self::KeysFetched { issuer, .. }
            | Self::KeySetChanged { issuer, .. }
            | Self::KeyFetchFailed { issuer, .. } => issuer,
            #[cfg(feature = "revocation")]
            Self::Revoked { issuer, .. } => issuer,
            #[cfg(feature = "issue")]
            Self::LoggedIn { issuer, .. }
            | Self::TokensRefreshed { issuer, .. }
            | Self::RefreshTokenReused { issuer, .. }
            | Self::LoggedOut { issuer, .. }
            | Self::TokenExchanged { issuer, .. }
            | Self::ClientTokenIssued { issuer, .. } => Some(issuer),
            #[cfg(feature = "session")]
            Self::SessionStarted { issuer, .. } | Self::SessionEnded { issuer, .. } => issuer,
            #[cfg(feature = "introspection")]
            Self::IntrospectionFailed { issuer, .. } => issuer,
            _ => self.principal().and_then(Principal::issuer),
        }
    }

    /// Returns the user that the event is about: the caller, the owner of a session or of an API
    /// key, or the service that got a token for itself.
    #[must_use]
    pub fn subject(&self) -> Option<&'a str> {
        match *self {
            #[cfg(feature = "issue")]
            Self::LoggedIn { subject, .. }
            | Self::TokensRefreshed { subject, .. }
            | Self::RefreshTokenReused { subject, .. }
            | Self::TokenExchanged { subject, .. } => Some(subject),
            #[cfg(feature = "issue")]
            Self::LoggedOut { subject, .. } => subject,
            #[cfg(feature = "issue")]
            Self::ClientTokenIssued { client_id, .. } => Some(client_id),
            #[cfg(feature = "session")]
            Self::SessionStarted { subject, .. } | Self::SessionEnded { subject, .. } => {
                Some(subject)
            }
            #[cfg(feature = "api-key")]
            Self::ApiKeyCreated { owner, .. }
            | Self::ApiKeyUsed { owner, .. }
            | Self::ApiKeyRevoked { owner, .. } => Some(owner),
            _ => self.principal().map(Principal::subject),
        }
    }

    /// Returns the policy that admitted or rejected the request. Its `Display` text describes it.
    #[must_use]
    pub fn policy(&self) -> Option<&'a dyn Policy> {
        match *self {
            Self::Admitted { policy, .. }
            | Self::Rejected { policy, .. }
            | Self::Throttled { policy, .. }
            | Self::WiringFault { policy, .. } => policy,
            _ => None,
        }
    }

    /// Returns how long a request waited for a decision, if it was not decided at once.
    #[must_use]
    #[inline]
    pub fn waited(&self) -> Option<Duration> {
        match *self {
            Self::Admitted { waited, .. }
            | Self::Rejected { waited, .. }
            | Self::Throttled { waited, .. } => waited,
            _ => None,
        }
    }

    /// Returns what has failed: the reason of a rejection, or the error of an operation.
    ///
    /// It can contain text of the client: escape it before you log it. It contains no secret.
    #[must_use]
    pub fn error(&self) -> Option<&'a (dyn Error + 'static)> {
        match *self {
            #[cfg(feature = "jwks")]
            Self::KeyFetchFailed { error, .. } => Some(error),
            #[cfg(feature = "password-hash")]
            Self::HashRenewalFailed { error } => Some(error),
            #[cfg(feature = "store")]
            Self::StoreUnavailable { error }
            | Self::StoreFull { error, .. }
            | Self::StoreUnreadable { error, .. } => Some(error),
            #[cfg(feature = "oidc-login")]
            Self::LoginFailed { error, .. } => Some(error),
            #[cfg(feature = "audit")]
            Self::AuditFailed { error } => Some(error),
            #[cfg(feature = "client")]
            Self::TokenFetchFailed { error } => Some(error),
            #[cfg(feature = "introspection")]
            Self::IntrospectionFailed { error, .. } => Some(error),
            #[cfg(feature = "client-oauth")]
            Self::RefreshTokenNotSaved { error } => Some(error),
            _ => self.rejection().and_then(|rejection| rejection.source()),
        }
    }

    /// Returns the kind of a rejection or of a failed login, in lower case, such as
    /// `invalid_credentials`.
    #[must_use]
    #[inline]
    pub fn error_type(&self) -> Option<&'static str> {
        match *self {
            #[cfg(feature = "oidc-login")]
            Self::LoginFailed { error, .. } => Some(error.kind().as_str()),
            _ => self.rejection().map(|rejection| rejection.kind().as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use crate::observe::{
        event_class::EventClass,
        test_events::{HOSTILE, for_each_event},
    };

    #[test]
    fn each_event_has_a_name_of_its_own() {
        let mut names = BTreeSet::new();
        let mut kinds = BTreeSet::new();
        for_each_event(|event| {
            // The text starts with the name of the variant.
            let text = format!("{event:?}");
            let kind = text.split(|c: char| !c.is_alphanumeric()).next().unwrap().to_owned();
            let name = event.name();
            assert_eq!(name.replace('_', ""), kind.to_ascii_lowercase());
            assert!(name.bytes().all(|byte| byte == b'_' || byte.is_ascii_lowercase()), "{name}");
            assert_eq!(names.insert(name), kinds.insert(kind), "{name}");
        });
        // With all features, the test has an event of each kind.
        #[cfg(all(
            feature = "api-key",
            feature = "audit",
            feature = "introspection",
            feature = "oidc-login",
            feature = "password-hash",
            feature = "redis",
            feature = "webhook"
        ))]
        {
            let source = include_str!("event_fields.rs");
            let source = source.split("    /// Returns the request that").next().unwrap();
            let in_source: BTreeSet<_> =
                source.split("=> \"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
            assert_eq!(names, in_source);
        }
    }

    #[test]
    fn field_of_an_event_is_returned() {
        for_each_event(|event| {
            let (name, text) = (event.name(), format!("{event:?}"));
            let has = |field: &str| text.contains(&format!("{field}: "));
            let is_decision = event.class() == EventClass::Rejection && name != "login_failed";
            let is_admitted = name == "admitted" && !text.contains("principal: None");
            let has_caller = is_decision || is_admitted;
            assert_eq!(event.principal().is_some(), has_caller, "{text}");
            assert_eq!(event.policy().is_some(), has_caller, "{text}");
            let has_waited = has_caller && name != "wiring_fault";
            assert_eq!(event.waited().is_some(), has_waited, "{text}");
            let has_scheme = has_caller || name == "webhook";
            assert_eq!(event.scheme().is_some(), has_scheme, "{text}");
            assert_eq!(event.request().is_some(), has("request"), "{text}");
            assert_eq!(event.rejection().is_some(), has("rejection"), "{text}");
            assert_eq!(event.error().is_some(), has("error") || has("rejection"), "{text}");
            let has_type = has("rejection") || name == "login_failed";
            assert_eq!(event.error_type().is_some(), has_type, "{text}");
            assert_eq!(event.issuer().is_some(), has_caller || has("issuer"), "{text}");
            let has_subject = has_caller
                || has("subject")
                || has("owner")
                || (has("client_id") && name == "client_token_issued");
            assert_eq!(event.subject().is_some(), has_subject, "{text}");
            for found in [event.issuer(), event.subject()].into_iter().flatten() {
                assert_eq!(found, HOSTILE, "{text}");
            }
        });
    }
}
