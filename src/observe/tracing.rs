#![cfg(feature = "tracing")]

#[cfg(feature = "jwt")]
use std::iter;
use std::{fmt::Display, net::IpAddr};

use tracing::{
    Level,
    field::{DisplayValue, display},
};

use super::{escaped::Escaped, event::Event, observe::Observe};
#[cfg(feature = "oidc-login")]
use crate::oidc_login::LoginErrorKind;
#[cfg(feature = "jwt")]
use crate::principal::ClaimsError;
use crate::{authorize::policy::Policy, error_chain::ErrorChain, rejection::RejectionKind};

/// The target of all events.
const TARGET: &str = "tower_auth";

/// Returns whether a subscriber receives errors.
pub(crate) fn errors_are_enabled() -> bool {
    tracing::enabled!(target: TARGET, Level::ERROR)
}

/// Returns whether a subscriber receives warnings.
#[cfg(feature = "throttle")]
pub(crate) fn warnings_are_enabled() -> bool {
    tracing::enabled!(target: TARGET, Level::WARN)
}

/// Writes the events with the crate `tracing`. It is the default observer with that feature.
///
/// The target of all events is `tower_auth`. These fields are the same for all events. Each event
/// has those that are known:
///
/// | field | what |
/// | --- | --- |
/// | `event` | the [name](Event::name) of the event |
/// | `http.request.method` | the method of the request |
/// | `url.path` | the path of the request |
/// | `http.route` | the [route](super::RequestSummary::route) of the request |
/// | `client.address` | the [address](super::RequestSummary::client_address) of the client |
/// | `scheme` | the [scheme](Event::scheme) of the credentials |
/// | `issuer` | the verified [issuer](Event::issuer) of the user, or the issuer of the keys |
/// | `subject` | the [user](Event::subject) |
/// | `policy` | the [policy](Event::policy) that admitted or rejected the request |
/// | `waited_ms` | how long the request [waited](Event::waited) for the decision |
/// | `error.type` | the [kind](Event::error_type) of a rejection or of a failed login |
/// | `error` | what has [failed](Event::error), with all causes |
///
/// The names with a dot are those of OpenTelemetry. The events, and their other fields:
///
#[doc = include_str!("tracing_events.md")]
///
/// Names, levels and fields are stable. The messages can change.
///
/// Control characters, line separators and invisible characters are escaped in all fields, because
/// the client chooses the path, and the text of an error can contain values from the request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tracing(());

/// Writes an event: its level, its message, and fields that are not the same for all events.
macro_rules! write_event {
    ($event:expr, $level:expr, $message:literal $(, $($fields:tt)+)?) => {
        tracing::event!(
            target: TARGET,
            $level,
            event = $event.name(),
            http.request.method = method($event),
            url.path = path($event),
            http.route = route($event),
            client.address = client_address($event),
            scheme = scheme($event),
            issuer = issuer($event),
            subject = subject($event),
            policy = policy($event),
            waited_ms = waited_ms($event),
            "error.type" = $event.error_type(),
            error = error($event),
            $($($fields)+,)?
            $message
        )
    };
}

impl Observe for Tracing {
    fn observed(&self, event: &Event<'_>) {
        match event {
            Event::Admitted { .. } => write_event!(event, Level::TRACE, "request admitted"),
            Event::WiringFault { .. } => write_event!(
                event,
                Level::ERROR,
                "cannot process the request: the service is misconfigured"
            ),
            Event::Rejected { .. } | Event::Throttled { .. } => write_rejection(event),
            #[cfg(feature = "throttle")]
            Event::ClientAddressUnknown { .. } => write_event!(
                event,
                Level::WARN,
                "a throttle does not know the address of a client: all such clients share one limit"
            ),
            #[cfg(feature = "jwt")]
            Event::KeySkipped { key, .. } => {
                write_event!(event, Level::WARN, "a key is not used", key = %Escaped(key));
            }
            #[cfg(feature = "jwt")]
            Event::ClaimMalformed { claim, expected, .. } => write_event!(
                event,
                Level::WARN,
                "a claim of a token with a valid signature is malformed",
                claim = ?claim,
                expected
            ),
            #[cfg(feature = "jwks")]
            Event::KeysFetched { failures, .. } => match failures {
                0 => write_event!(event, Level::DEBUG, "keys were fetched", failures),
                _ => write_event!(event, Level::INFO, "keys were fetched after failures", failures),
            },
            #[cfg(feature = "jwks")]
            Event::KeySetChanged { added, removed, .. } => {
                write_event!(event, Level::INFO, "key set changed", ?added, ?removed);
            }
            #[cfg(feature = "jwks")]
            Event::KeyFetchFailed { failures, keys_usable: true, .. } => write_event!(
                event,
                Level::WARN,
                "keys cannot be fetched: the last keys stay in use",
                failures
            ),
            #[cfg(feature = "jwks")]
            Event::KeyFetchFailed { failures, keys_usable: false, .. } => write_event!(
                event,
                Level::ERROR,
                "keys cannot be fetched, and there are no usable keys",
                failures
            ),
            #[cfg(feature = "password-hash")]
            Event::PasswordFileReloaded { users } => write_event!(
                event,
                Level::INFO,
                "the password file has changed and was read again",
                users
            ),
            #[cfg(feature = "password-hash")]
            Event::PasswordFileFailed { fault } => write_event!(
                event,
                Level::WARN,
                "cannot reload the password file; keeping its users",
                fault = %Escaped(fault)
            ),
            #[cfg(feature = "password-hash")]
            Event::HashRenewalFailed { .. } => {
                write_event!(event, Level::WARN, "cannot replace a weak password hash");
            }
            #[cfg(feature = "revocation")]
            Event::Revoked { target, .. } => {
                write_event!(event, Level::INFO, "access revoked", revoked = ?target);
            }
            #[cfg(feature = "store")]
            Event::StoreUnavailable { .. } => {
                write_event!(event, Level::WARN, "the shared store is unavailable");
            }
            #[cfg(feature = "store")]
            Event::StoreAvailable { outage } => {
                write_event!(event, Level::INFO, "the shared store is available again", ?outage);
            }
            #[cfg(feature = "store")]
            Event::StoreReverted => write_event!(
                event,
                Level::ERROR,
                "the shared store has lost records: tokens that were issued before are rejected"
            ),
            #[cfg(feature = "store")]
            Event::StoreFull { purpose, .. } => write_event!(
                event,
                Level::ERROR,
                "the shared store is full",
                purpose = purpose.as_str()
            ),
            #[cfg(feature = "store")]
            Event::StoreUnreadable { purpose, .. } => write_event!(
                event,
                Level::ERROR,
                "a record in the shared store cannot be read",
                purpose = purpose.as_str()
            ),
            #[cfg(feature = "store")]
            Event::StoreNearlyFull { purpose } => write_event!(
                event,
                Level::WARN,
                "the shared store is nearly full",
                purpose = purpose.as_str()
            ),
            #[cfg(feature = "redis")]
            Event::StoreMayEvict { policy } => write_event!(
                event,
                Level::WARN,
                "the Redis server may discard records, such as revocations, when its memory is full: set maxmemory-policy to noeviction",
                maxmemory_policy = %Escaped(policy)
            ),
            #[cfg(feature = "issue")]
            Event::LoggedIn { client_id, .. } => {
                write_event!(event, Level::INFO, "user logged in", client_id = %Escaped(client_id));
            }
            #[cfg(feature = "issue")]
            Event::TokensRefreshed { client_id, .. } => {
                let client_id = Escaped(client_id);
                write_event!(event, Level::DEBUG, "tokens refreshed", %client_id);
            }
            #[cfg(feature = "issue")]
            Event::RefreshTokenReused { client_id, .. } => write_event!(
                event,
                Level::WARN,
                "a replaced refresh token was sent: its login has ended",
                client_id = %Escaped(client_id)
            ),
            #[cfg(feature = "issue")]
            Event::LoggedOut { everywhere, .. } => {
                write_event!(event, Level::INFO, "user logged out", everywhere);
            }
            #[cfg(feature = "issue")]
            Event::StoreWentBack { found, presented } => write_event!(
                event,
                Level::ERROR,
                "the store has lost the last write of a refresh token",
                found,
                presented
            ),
            #[cfg(feature = "issue")]
            Event::SigningKeysChanged { active, added, removed } => write_event!(
                event,
                Level::INFO,
                "signing keys changed",
                active = %Escaped(active),
                ?added,
                ?removed
            ),
            #[cfg(feature = "issue")]
            Event::TokenExchanged { actor, audience, .. } => write_event!(
                event,
                Level::INFO,
                "token exchanged",
                actor = %Escaped(actor),
                audience = %Escaped(audience)
            ),
            #[cfg(feature = "issue")]
            Event::ClientTokenIssued { .. } => {
                write_event!(event, Level::INFO, "token issued to a client");
            }
            #[cfg(feature = "session")]
            Event::SessionStarted { id, .. } => {
                write_event!(event, Level::INFO, "session started", id = %Escaped(id));
            }
            #[cfg(feature = "session")]
            Event::SessionEnded { id, .. } => {
                let id = id.map(escaped);
                write_event!(event, Level::INFO, "session ended", id);
            }
            // Anyone can send a request that is no response of the provider, so that is no warning.
            #[cfg(feature = "oidc-login")]
            Event::LoginFailed { error: failure, .. } => match failure.kind() {
                LoginErrorKind::Provider | LoginErrorKind::Unavailable => write_event!(
                    event,
                    Level::WARN,
                    "login failed: the provider or the store has failed"
                ),
                LoginErrorKind::Misconfigured => {
                    write_event!(event, Level::ERROR, "login failed: the service is misconfigured");
                }
                _ => write_event!(event, Level::INFO, "login failed"),
            },
            #[cfg(feature = "api-key")]
            Event::ApiKeyCreated { id, .. } => {
                write_event!(event, Level::INFO, "API key created", id = %Escaped(id));
            }
            #[cfg(feature = "api-key")]
            Event::ApiKeyUsed { id, .. } => {
                write_event!(event, Level::DEBUG, "API key used", id = %Escaped(id));
            }
            #[cfg(feature = "api-key")]
            Event::ApiKeyRevoked { id, .. } => {
                write_event!(event, Level::INFO, "API key revoked", id = %Escaped(id));
            }
            #[cfg(feature = "webhook")]
            Event::Webhook { sender, outcome, .. } => write_event!(
                event,
                Level::DEBUG,
                "webhook received",
                sender = %Escaped(sender),
                outcome = outcome.as_str()
            ),
            #[cfg(feature = "audit")]
            Event::AuditFailed { .. } => {
                write_event!(event, Level::ERROR, "the audit log cannot be written");
            }
            #[cfg(feature = "client")]
            Event::TokenFetched { failures } => match failures {
                0 => write_event!(event, Level::DEBUG, "token fetched", failures),
                _ => write_event!(event, Level::INFO, "token fetched after failures", failures),
            },
            #[cfg(feature = "client")]
            Event::TokenFetchFailed { .. } => {
                write_event!(event, Level::WARN, "token fetch failed");
            }
            #[cfg(feature = "introspection")]
            Event::IntrospectionFailed { .. } => {
                write_event!(event, Level::WARN, "introspection failed");
            }
            #[cfg(feature = "client-oauth")]
            Event::RefreshTokenNotSaved { .. } => {
                write_event!(event, Level::ERROR, "a new refresh token was not saved");
            }
        }
    }

    #[inline]
    fn ignores_policy_admissions(&self) -> bool {
        !tracing::enabled!(target: TARGET, Level::TRACE)
    }
}

/// Writes a rejection that is not a wiring fault.
fn write_rejection(event: &Event<'_>) {
    #[cfg(feature = "jwt")]
    if let Some(mismatch) = claims_mismatch(event) {
        let claim = mismatch.claim().map(tracing::field::debug);
        return write_event!(
            event,
            Level::WARN,
            "request rejected: the claims of a valid token do not match the types of the service",
            claim
        );
    }
    match event.rejection().map(|rejection| rejection.kind()) {
        Some(RejectionKind::Unavailable) => {
            write_event!(event, Level::WARN, "cannot check the request: a backend is unavailable");
        }
        _ => write_event!(event, Level::DEBUG, "request rejected"),
    }
}

/// Returns the reason if the claims of the caller do not match the type that the service expects.
#[cfg(feature = "jwt")]
fn claims_mismatch<'a>(event: &Event<'a>) -> Option<&'a ClaimsError> {
    // The reason of a policy is the source of its denial.
    let mut reasons = iter::successors(event.error(), |&reason| reason.source());
    let error = reasons.find_map(|reason| reason.downcast_ref::<ClaimsError>());
    error.filter(|error| error.is_mismatch())
}

type Text<T> = Option<DisplayValue<Escaped<T>>>;

fn escaped<T: Display>(text: T) -> DisplayValue<Escaped<T>> {
    display(Escaped(text))
}

fn method<'a>(event: &Event<'a>) -> Text<&'a http::Method> {
    Some(escaped(event.request()?.method()))
}

fn path<'a>(event: &Event<'a>) -> Text<&'a str> {
    Some(escaped(event.request()?.path()))
}

fn route<'a>(event: &Event<'a>) -> Text<&'a str> {
    event.request()?.route().map(escaped)
}

fn client_address(event: &Event<'_>) -> Option<DisplayValue<IpAddr>> {
    event.request()?.client_address().map(display)
}

fn scheme(event: &Event<'_>) -> Option<&'static str> {
    event.scheme().map(crate::header::Scheme::as_str)
}

fn issuer<'a>(event: &Event<'a>) -> Text<&'a str> {
    event.issuer().map(escaped)
}

fn subject<'a>(event: &Event<'a>) -> Text<&'a str> {
    event.subject().map(escaped)
}

fn policy<'a>(event: &Event<'a>) -> Text<&'a dyn Policy> {
    event.policy().map(escaped)
}

fn waited_ms(event: &Event<'_>) -> Option<u64> {
    event.waited().map(|waited| u64::try_from(waited.as_millis()).unwrap_or(u64::MAX))
}

fn error<'a>(event: &Event<'a>) -> Text<ErrorChain<'a>> {
    event.error().map(|error| escaped(ErrorChain(error)))
}

#[cfg(test)]
#[path = "tracing_tests.rs"]
mod tests;
