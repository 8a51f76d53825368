#![cfg(feature = "tracing")]

#[cfg(feature = "jwt")]
use std::iter;
use std::{error::Error as _, net::IpAddr};

use tracing::field::{DisplayValue, display};

use super::{escaped::Escaped, event::Event, observe::Observe, request_summary::RequestSummary};
#[cfg(feature = "oidc-login")]
use crate::oidc_login::{LoginError, LoginErrorKind};
#[cfg(feature = "jwt")]
use crate::principal::ClaimsError;
use crate::{
    error_chain::ErrorChain,
    rejection::{Rejection, RejectionKind},
};

/// The target of all events.
const TARGET: &str = "tower_auth";

/// Returns whether a subscriber receives errors.
pub(crate) fn errors_are_enabled() -> bool {
    tracing::enabled!(target: TARGET, tracing::Level::ERROR)
}

/// Writes the events with the crate `tracing`. It is the default observer with that feature.
///
/// Faults of the service, faults of a shared store that an operator must correct, and refresh
/// tokens that were not saved are errors. Outages, and valid tokens whose claims do not match the
/// types of the service, are warnings. A failed login at a provider is an error if the service is
/// misconfigured, a warning if the provider or the store has failed, and otherwise an info. Other
/// rejections have the level debug, and admitted requests have the level trace. The target of all
/// events is `tower_auth`. The field `client.address` is set if the client address is known
/// ([`AuthenticateLayer::forwarded`](crate::AuthenticateLayer::forwarded)).
///
/// Control characters, line separators and invisible characters are escaped in all fields, because
/// the client chooses the path, and the text of a reason can contain values from the request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tracing(());

impl Observe for Tracing {
    fn observed(&self, event: &Event<'_>) {
        match event {
            Event::Admitted { request, principal, .. } => {
                let scheme = principal.map(|caller| caller.scheme());
                tracing::trace!(
                    target: TARGET,
                    path = path(Some(*request)),
                    client.address = client_address(Some(*request)),
                    ?scheme,
                    "request admitted"
                );
            }
            Event::WiringFault { request, rejection, .. } => {
                tracing::error!(
                    target: TARGET,
                    path = path(*request),
                    client.address = client_address(*request),
                    reason = reason(rejection),
                    "cannot process the request: the service is misconfigured"
                );
            }
            Event::Rejected { request, rejection, .. }
            | Event::Throttled { request, rejection, .. } => {
                write_rejection(*request, rejection);
            }
            #[cfg(feature = "jwt")]
            Event::KeySkipped { key, .. } => {
                tracing::warn!(target: TARGET, key = %Escaped(key), "a key is not used");
            }
            #[cfg(feature = "jwks")]
            Event::KeysFetched { failures: 0, .. } => {
                tracing::debug!(target: TARGET, "keys were fetched");
            }
            #[cfg(feature = "jwks")]
            Event::KeysFetched { failures, .. } => {
                tracing::info!(target: TARGET, failures, "keys were fetched after failures");
            }
            #[cfg(feature = "jwks")]
            Event::KeySetChanged { added, removed, .. } => {
                tracing::info!(target: TARGET, ?added, ?removed, "key set changed");
            }
            #[cfg(feature = "jwks")]
            Event::KeyFetchFailed { error, failures, keys_usable: true, .. } => {
                tracing::warn!(target: TARGET, error = %Escaped(ErrorChain(*error)), failures, "keys cannot be fetched: the last keys stay in use");
            }
            #[cfg(feature = "jwks")]
            Event::KeyFetchFailed { error, failures, keys_usable: false, .. } => {
                tracing::error!(
                    target: TARGET,
                    error = %Escaped(ErrorChain(*error)),
                    failures,
                    "keys cannot be fetched, and there are no usable keys"
                );
            }
            #[cfg(feature = "password-hash")]
            Event::PasswordFileReloaded { users } => {
                tracing::info!(target: TARGET, users, "the password file has changed and was read again");
            }
            #[cfg(feature = "password-hash")]
            Event::PasswordFileFailed { fault } => {
                tracing::warn!(target: TARGET, fault = %Escaped(fault), "cannot reload the password file; keeping its users");
            }
            #[cfg(feature = "password-hash")]
            Event::HashRenewalFailed { error } => {
                tracing::warn!(target: TARGET, error = %Escaped(ErrorChain(*error)), "cannot replace a weak password hash");
            }
            #[cfg(feature = "revocation")]
            Event::Revoked { target, issuer } => {
                tracing::info!(target: TARGET, revoked = ?target, issuer = %Escaped(issuer), "access revoked");
            }
            #[cfg(feature = "store")]
            Event::StoreUnavailable { error } => {
                tracing::warn!(target: TARGET, error = %Escaped(ErrorChain(*error)), "the shared store is unavailable");
            }
            #[cfg(feature = "store")]
            Event::StoreAvailable { outage } => {
                tracing::info!(target: TARGET, ?outage, "the shared store is available again");
            }
            #[cfg(feature = "store")]
            Event::StoreReverted => {
                tracing::error!(target: TARGET, "the shared store has lost records: tokens that were issued before are rejected");
            }
            #[cfg(feature = "store")]
            Event::StoreFull { error, purpose } => {
                tracing::error!(
                    target: TARGET,
                    purpose = purpose.as_str(),
                    error = %Escaped(ErrorChain(*error)),
                    "the shared store is full"
                );
            }
            #[cfg(feature = "store")]
            Event::StoreUnreadable { error, purpose } => {
                tracing::error!(
                    target: TARGET,
                    purpose = purpose.as_str(),
                    error = %Escaped(ErrorChain(*error)),
                    "a record in the shared store cannot be read"
                );
            }
            #[cfg(feature = "store")]
            Event::StoreNearlyFull { purpose } => {
                tracing::warn!(target: TARGET, purpose = purpose.as_str(), "the shared store is nearly full");
            }
            #[cfg(feature = "redis")]
            Event::StoreMayEvict { policy } => {
                tracing::warn!(
                    target: TARGET,
                    policy,
                    "the Redis server may discard records, such as revocations, when its memory is full: set maxmemory-policy to noeviction"
                );
            }
            #[cfg(feature = "issue")]
            Event::LoggedIn { subject, client_id, .. } => {
                tracing::info!(target: TARGET, subject = %Escaped(subject), client_id = %Escaped(client_id), "user logged in");
            }
            #[cfg(feature = "issue")]
            Event::TokensRefreshed { subject, client_id, .. } => {
                tracing::debug!(target: TARGET, subject = %Escaped(subject), client_id = %Escaped(client_id), "tokens refreshed");
            }
            #[cfg(feature = "issue")]
            Event::RefreshTokenReused { subject, client_id, .. } => {
                tracing::warn!(target: TARGET, subject = %Escaped(subject), client_id = %Escaped(client_id), "a replaced refresh token was sent: its login has ended");
            }
            #[cfg(feature = "issue")]
            Event::LoggedOut { subject, everywhere, .. } => {
                tracing::info!(target: TARGET, subject = subject.map(|subject| display(Escaped(subject))), everywhere, "user logged out");
            }
            #[cfg(feature = "issue")]
            Event::StoreWentBack { found, presented } => {
                tracing::error!(target: TARGET, found, presented, "the store has lost the last write of a refresh token");
            }
            #[cfg(feature = "issue")]
            Event::SigningKeysChanged { active, added, removed } => {
                tracing::info!(target: TARGET, active, ?added, ?removed, "signing keys changed");
            }
            #[cfg(feature = "session")]
            Event::SessionStarted { subject, id, .. } => {
                tracing::info!(target: TARGET, subject = %Escaped(subject), id, "session started");
            }
            #[cfg(feature = "session")]
            Event::SessionEnded { subject, id, .. } => {
                tracing::info!(target: TARGET, subject = %Escaped(subject), id, "session ended");
            }
            #[cfg(feature = "oidc-login")]
            Event::LoginFailed { request, error } => write_login_failure(*request, error),
            #[cfg(feature = "api-key")]
            Event::ApiKeyCreated { owner, id } => {
                tracing::info!(target: TARGET, owner = %Escaped(owner), id = %Escaped(id), "API key created");
            }
            #[cfg(feature = "api-key")]
            Event::ApiKeyUsed { owner, id } => {
                tracing::debug!(target: TARGET, owner = %Escaped(owner), id = %Escaped(id), "API key used");
            }
            #[cfg(feature = "api-key")]
            Event::ApiKeyRevoked { owner, id } => {
                tracing::info!(target: TARGET, owner = %Escaped(owner), id = %Escaped(id), "API key revoked");
            }
            #[cfg(feature = "issue")]
            Event::TokenExchanged { subject, actor, audience, .. } => {
                tracing::info!(target: TARGET, subject = %Escaped(subject), actor = %Escaped(actor), audience = %Escaped(audience), "token exchanged");
            }
            #[cfg(feature = "issue")]
            Event::ClientTokenIssued { client_id, .. } => {
                tracing::info!(target: TARGET, client_id = %Escaped(client_id), "token issued to a client");
            }
            #[cfg(feature = "webhook")]
            Event::Webhook { request, sender, outcome } => {
                tracing::debug!(
                    target: TARGET,
                    path = path(Some(*request)),
                    client.address = client_address(Some(*request)),
                    sender,
                    outcome = outcome.as_str(),
                    "webhook received"
                );
            }
            #[cfg(feature = "audit")]
            Event::AuditFailed { error } => {
                tracing::error!(target: TARGET, error = %Escaped(ErrorChain(*error)), "the audit log cannot be written");
            }
            #[cfg(feature = "client")]
            Event::TokenFetched { failures: 0 } => {
                tracing::debug!(target: TARGET, "token fetched");
            }
            #[cfg(feature = "client")]
            Event::TokenFetched { failures } => {
                tracing::info!(target: TARGET, failures, "token fetched after failures");
            }
            #[cfg(feature = "client")]
            Event::TokenFetchFailed { error } => {
                tracing::warn!(target: TARGET, error = %Escaped(ErrorChain(*error)), "token fetch failed");
            }
            #[cfg(feature = "client-oauth")]
            Event::RefreshTokenNotSaved { error } => {
                tracing::error!(target: TARGET, error = %Escaped(ErrorChain(*error)), "a new refresh token was not saved");
            }
        }
    }
}

/// Returns the path of a request. The client chooses it.
fn path(request: Option<RequestSummary<'_>>) -> Option<DisplayValue<Escaped<&str>>> {
    request.map(|request| display(Escaped(request.path())))
}

/// Returns the address of the client of a request, if it is known.
fn client_address(request: Option<RequestSummary<'_>>) -> Option<DisplayValue<IpAddr>> {
    request?.client_address().map(display)
}

/// Returns why a request was rejected, with all causes. These can contain text of the client.
fn reason(rejection: &Rejection) -> Option<DisplayValue<Escaped<ErrorChain<'_>>>> {
    rejection.source().map(|reason| display(Escaped(ErrorChain(reason))))
}

/// Writes a rejection that is not a wiring fault.
#[inline]
pub(crate) fn write_rejection(request: Option<RequestSummary<'_>>, rejection: &Rejection) {
    let kind = rejection.kind();
    #[cfg(feature = "jwt")]
    if let Some(error) = claims_mismatch(rejection) {
        tracing::warn!(
            target: TARGET,
            path = path(request),
            client.address = client_address(request),
            claim = error.claim().map(debug),
            error = %Escaped(error),
            "request rejected: the claims of a valid token do not match the types of the service"
        );
        return;
    }
    if kind == RejectionKind::Unavailable {
        tracing::warn!(
            target: TARGET,
            path = path(request),
            client.address = client_address(request),
            reason = reason(rejection),
            "cannot check the request: a backend is unavailable"
        );
    } else {
        tracing::debug!(
            target: TARGET,
            path = path(request),
            client.address = client_address(request),
            ?kind,
            reason = reason(rejection),
            "request rejected"
        );
    }
}

/// Writes a failed login. Anyone can send a request that is no response of the provider, so that is
/// no warning.
#[cfg(feature = "oidc-login")]
fn write_login_failure(request: RequestSummary<'_>, error: &LoginError) {
    let request = Some(request);
    let (path, address) = (path(request), client_address(request));
    let error_text = Escaped(ErrorChain(error));
    match error.kind() {
        LoginErrorKind::Provider | LoginErrorKind::Unavailable => {
            tracing::warn!(target: TARGET, path, client.address = address, error = %error_text, "login failed");
        }
        LoginErrorKind::Misconfigured => {
            tracing::error!(target: TARGET, path, client.address = address, error = %error_text, "login failed");
        }
        _ => {
            tracing::info!(target: TARGET, path, client.address = address, error = %error_text, "login failed");
        }
    }
}

/// Returns the reason if the claims of the caller do not match the type that the service expects.
#[cfg(feature = "jwt")]
fn claims_mismatch(rejection: &Rejection) -> Option<&ClaimsError> {
    // The reason of a policy is the source of its denial.
    let mut reasons = iter::successors(rejection.source(), |&reason| reason.source());
    let error = reasons.find_map(|reason| reason.downcast_ref::<ClaimsError>());
    error.filter(|error| error.is_mismatch())
}
