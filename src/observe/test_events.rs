//! One event of each kind, with text that an observer must escape.

use std::time::Duration;

use http::{Request, request::Parts};

use super::{decided::Decided, event::Event, request_summary::RequestSummary};
use crate::{
    authorize::{denial::Denial, policies::policy_fn::policy_fn, policy::Policy},
    header::Scheme,
    principal::Principal,
    rejection::{Rejection, RejectionKind},
};

/// Sets the color of a terminal to red.
pub(crate) const HOSTILE: &str = "\u{9b}31mforged";

fn head() -> Parts {
    Request::get(format!("/{HOSTILE}")).body(()).unwrap().into_parts().0
}

/// Calls a function with one event of each kind, and with the variants that are logged differently.
pub(crate) fn for_each_event(mut observe: impl FnMut(&Event<'_>)) {
    let head = head();
    let request = RequestSummary::of(&head, None);
    for_each_decision(request, &mut observe);
    #[cfg(feature = "throttle")]
    observe(&Event::ClientAddressUnknown { request });
    #[cfg(feature = "jwt")]
    for_each_key_event(&mut observe);
    #[cfg(feature = "password-hash")]
    for_each_password_event(&mut observe);
    #[cfg(feature = "revocation")]
    observe(&Event::Revoked {
        target: crate::revocation::target::RevocationTarget::Subject,
        issuer: Some(HOSTILE),
    });
    #[cfg(feature = "store")]
    for_each_store_event(&mut observe);
    #[cfg(feature = "issue")]
    for_each_issue_event(request, &mut observe);
    #[cfg(feature = "session")]
    {
        let (issuer, subject, id) = (Some(HOSTILE), HOSTILE, HOSTILE);
        observe(&Event::SessionStarted { request, issuer, subject, id });
        observe(&Event::SessionEnded { issuer, subject, id: Some(id) });
        observe(&Event::SessionEnded { issuer, subject, id: None });
    }
    #[cfg(feature = "oidc-login")]
    {
        use crate::oidc_login::{LoginError, LoginErrorKind};

        for kind in [
            LoginErrorKind::InvalidState,
            LoginErrorKind::Provider,
            LoginErrorKind::Unavailable,
            LoginErrorKind::Misconfigured,
        ] {
            let error = &LoginError::new(kind).because(HOSTILE);
            observe(&Event::LoginFailed { request, error });
        }
    }
    #[cfg(feature = "api-key")]
    {
        let (owner, id) = (HOSTILE, HOSTILE);
        observe(&Event::ApiKeyCreated { owner, id });
        observe(&Event::ApiKeyUsed { owner, id });
        observe(&Event::ApiKeyRevoked { owner, id });
    }
    #[cfg(feature = "webhook")]
    {
        use crate::webhook::outcome::WebhookOutcome;

        observe(&Event::Webhook { request, sender: HOSTILE, outcome: WebhookOutcome::Handled });
    }
    #[cfg(feature = "audit")]
    observe(&Event::AuditFailed { error: &std::io::Error::other(HOSTILE) });
    #[cfg(feature = "client")]
    {
        observe(&Event::TokenFetched { failures: 0 });
        observe(&Event::TokenFetched { failures: 1 });
        let error = &crate::client::error::AttachError::new(HOSTILE);
        observe(&Event::TokenFetchFailed { error });
    }
    #[cfg(feature = "introspection")]
    {
        use crate::introspection::{IntrospectionError, IntrospectionErrorKind};

        let error = IntrospectionError::new(IntrospectionErrorKind::Outage, "no response");
        observe(&Event::IntrospectionFailed {
            issuer: Some(HOSTILE),
            error: &error.caused_by(HOSTILE),
        });
    }
    #[cfg(feature = "client-oauth")]
    observe(&Event::RefreshTokenNotSaved { error: &std::io::Error::other(HOSTILE) });
}

fn for_each_decision(request: RequestSummary<'_>, observe: &mut impl FnMut(&Event<'_>)) {
    let principal = Principal::builder(HOSTILE, Scheme::BEARER).issuer(HOSTILE).build();
    let policy = policy_fn(HOSTILE, |_, _| Ok::<_, Denial>(()));
    let decided = Decided {
        principal: Some(&principal),
        policy: Some(&policy as &dyn Policy),
        waited: Some(Duration::from_millis(1_500)),
        scheme: None,
    };
    observe(&Decided::default().admitted(request));
    observe(&decided.admitted(request));
    for kind in [
        RejectionKind::Forbidden,
        RejectionKind::Unavailable,
        RejectionKind::TooManyRequests,
        RejectionKind::Misconfigured,
    ] {
        let rejection = Rejection::new(kind).because(HOSTILE);
        observe(&decided.rejected(&rejection, Some(request), || true));
    }
    #[cfg(feature = "jwt")]
    {
        let mismatch = crate::principal::ClaimsError::mismatch(Some(HOSTILE));
        observe(&decided.rejected(&mismatch.into(), Some(request), || true));
    }
}

#[cfg(feature = "jwt")]
fn for_each_key_event(observe: &mut impl FnMut(&Event<'_>)) {
    use crate::jwt::keys::skipped::SkippedKey;

    let issuer = Some(HOSTILE);
    let key = &SkippedKey { id: Some(HOSTILE.into()), reason: HOSTILE.into() };
    observe(&Event::KeySkipped { issuer, key });
    observe(&Event::ClaimMalformed { issuer, claim: HOSTILE, expected: "a string" });
    #[cfg(feature = "jwks")]
    {
        let (error, failures) = (&crate::jwks::fetch::FetchError::new(HOSTILE), 2);
        let (added, removed) = (&[HOSTILE.to_owned()], &[HOSTILE.to_owned()]);
        observe(&Event::KeysFetched { issuer, failures: 0 });
        observe(&Event::KeysFetched { issuer, failures });
        observe(&Event::KeySetChanged { issuer, added, removed });
        for keys_usable in [true, false] {
            observe(&Event::KeyFetchFailed { issuer, error, failures, keys_usable });
        }
    }
}

#[cfg(feature = "password-hash")]
fn for_each_password_event(observe: &mut impl FnMut(&Event<'_>)) {
    observe(&Event::PasswordFileReloaded { users: 3 });
    observe(&Event::PasswordFileFailed { fault: HOSTILE });
    observe(&Event::HashRenewalFailed { error: &std::io::Error::other(HOSTILE) });
}

#[cfg(feature = "store")]
fn for_each_store_event(observe: &mut impl FnMut(&Event<'_>)) {
    use crate::store::{
        error::{StoreError, StoreErrorKind},
        key::Purpose,
    };

    let error = &StoreError::new(StoreErrorKind::Unavailable).with_source(HOSTILE);
    let purpose = Purpose::Webhook;
    observe(&Event::StoreUnavailable { error });
    observe(&Event::StoreAvailable { outage: Duration::from_secs(5) });
    observe(&Event::StoreReverted);
    observe(&Event::StoreFull { error, purpose });
    observe(&Event::StoreUnreadable { error, purpose });
    observe(&Event::StoreNearlyFull { purpose });
    #[cfg(feature = "redis")]
    observe(&Event::StoreMayEvict { policy: HOSTILE });
}

#[cfg(feature = "issue")]
fn for_each_issue_event(request: RequestSummary<'_>, observe: &mut impl FnMut(&Event<'_>)) {
    let (request, issuer, subject, client_id) = (Some(request), HOSTILE, HOSTILE, HOSTILE);
    let ids = &[HOSTILE.to_owned()];
    observe(&Event::LoggedIn { request, issuer, subject, client_id });
    observe(&Event::TokensRefreshed { request, issuer, subject, client_id });
    observe(&Event::RefreshTokenReused { request, issuer, subject, client_id });
    observe(&Event::LoggedOut { request, issuer, subject: Some(subject), everywhere: true });
    observe(&Event::StoreWentBack { found: 1, presented: 2 });
    observe(&Event::SigningKeysChanged { active: HOSTILE, added: ids, removed: ids });
    let (actor, audience) = (HOSTILE, HOSTILE);
    observe(&Event::TokenExchanged { request, issuer, subject, actor, audience });
    observe(&Event::ClientTokenIssued { request, issuer, client_id });
}
