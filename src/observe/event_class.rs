use std::fmt;

use super::event::Event;

/// What an event is about: for observers that keep some events longer than others.
///
/// Anyone can cause many rejections, and any caller can cause many admissions. An observer that has
/// limited space should keep them apart from the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EventClass {
    /// Normal use: a request was admitted, or a client got tokens that replace others.
    Admission,
    /// A request or a login was rejected.
    Rejection,
    /// A change of what someone may do: a login, a logout, a revocation, a key, a lost record. Also
    /// the reuse of a refresh token.
    Security,
    /// The state of the service and its backends.
    Operation,
}

impl EventClass {
    /// Returns the name of the class in lower case.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admission => "admission",
            Self::Rejection => "rejection",
            Self::Security => "security",
            Self::Operation => "operation",
        }
    }
}

impl fmt::Display for EventClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Event<'_> {
    /// Returns the class of the event.
    #[must_use]
    pub fn class(&self) -> EventClass {
        match self {
            Self::Admitted { .. } => EventClass::Admission,
            #[cfg(feature = "api-key")]
            Self::ApiKeyUsed { .. } => EventClass::Admission,
            #[cfg(feature = "issue")]
            Self::TokensRefreshed { .. } | Self::ClientTokenIssued { .. } => EventClass::Admission,
            #[cfg(feature = "webhook")]
            Self::Webhook { .. } => EventClass::Admission,

            Self::Rejected { .. } | Self::Throttled { .. } | Self::WiringFault { .. } => {
                EventClass::Rejection
            }
            #[cfg(feature = "oidc-login")]
            Self::LoginFailed { .. } => EventClass::Rejection,

            #[cfg(feature = "api-key")]
            Self::ApiKeyCreated { .. } | Self::ApiKeyRevoked { .. } => EventClass::Security,
            #[cfg(feature = "issue")]
            Self::LoggedIn { .. }
            | Self::RefreshTokenReused { .. }
            | Self::LoggedOut { .. }
            | Self::StoreWentBack { .. }
            | Self::SigningKeysChanged { .. }
            | Self::TokenExchanged { .. } => EventClass::Security,
            #[cfg(feature = "session")]
            Self::SessionStarted { .. } | Self::SessionEnded { .. } => EventClass::Security,
            #[cfg(feature = "revocation")]
            Self::Revoked { .. } => EventClass::Security,
            #[cfg(feature = "store")]
            Self::StoreReverted => EventClass::Security,
            #[cfg(feature = "jwks")]
            Self::KeySetChanged { .. } => EventClass::Security,
            #[cfg(feature = "password-hash")]
            Self::PasswordFileReloaded { .. } => EventClass::Security,

            #[cfg(feature = "throttle")]
            Self::ClientAddressUnknown { .. } => EventClass::Operation,
            #[cfg(feature = "jwt")]
            Self::KeySkipped { .. } | Self::ClaimMalformed { .. } => EventClass::Operation,
            #[cfg(feature = "jwks")]
            Self::KeysFetched { .. } | Self::KeyFetchFailed { .. } => EventClass::Operation,
            #[cfg(feature = "password-hash")]
            Self::PasswordFileFailed { .. } | Self::HashRenewalFailed { .. } => {
                EventClass::Operation
            }
            #[cfg(feature = "store")]
            Self::StoreUnavailable { .. }
            | Self::StoreAvailable { .. }
            | Self::StoreFull { .. }
            | Self::StoreUnreadable { .. }
            | Self::StoreNearlyFull { .. } => EventClass::Operation,
            #[cfg(feature = "redis")]
            Self::StoreMayEvict { .. } => EventClass::Operation,
            #[cfg(feature = "audit")]
            Self::AuditFailed { .. } => EventClass::Operation,
            #[cfg(feature = "client")]
            Self::TokenFetched { .. } | Self::TokenFetchFailed { .. } => EventClass::Operation,
            #[cfg(feature = "introspection")]
            Self::IntrospectionFailed { .. } => EventClass::Operation,
            #[cfg(feature = "client-oauth")]
            Self::RefreshTokenNotSaved { .. } => EventClass::Operation,
        }
    }
}
