#![cfg(all(
    feature = "api-key",
    feature = "introspection",
    feature = "issue",
    feature = "oidc-login",
    feature = "password-hash",
    feature = "redis",
    feature = "webhook"
))]

use std::time::{Duration, UNIX_EPOCH};

use http::Request;
use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::{
    authorize::{policies::scopes::RequireScopes, policy::Policy},
    client::error::AttachError,
    header::Scheme,
    introspection::{IntrospectionError, IntrospectionErrorKind},
    jwks::fetch::FetchError,
    jwt::keys::skipped::SkippedKey,
    observe::{
        audit::{class::AuditClass, line::MAX_LINE},
        request_summary::KeptRequest,
    },
    oidc_login::{LoginError, LoginErrorKind},
    principal::Principal,
    rejection::{Rejection, RejectionKind},
    store::{StoreError, StoreErrorKind, key::Purpose},
    webhook::outcome::WebhookOutcome,
};

/// Calls `observe` with one event of each kind, with this text wherever an event has a text that
/// others choose.
fn each_event(text: &str, mut observe: impl FnMut(&Event<'_>)) {
    let head = Request::post("/p?token=hidden").body(()).unwrap().into_parts().0;
    let request = RequestSummary::kept(KeptRequest {
        method: &head.method,
        uri: &head.uri,
        route: Some(text),
        client_address: "2001:db8::1".parse().ok(),
    });
    let caller = Principal::builder(text, Scheme::BEARER).build();
    let (principal, scheme) = (Some(&caller), Some(Scheme::BASIC));
    let policy = RequireScopes::all(["read"]);
    let policy = Some(&policy as &dyn Policy);
    let rejection = |kind| Rejection::new(kind).because(text.to_owned());
    let waited = Some(Duration::from_millis(2));
    let list = vec![text.to_owned(); 16];
    let (added, removed) = (&*list, &*list);
    let (subject, issuer, client_id, id, owner) = (text, text, text, text, text);
    let error = StoreError::new(StoreErrorKind::Unavailable).with_source(text.to_owned());
    let (error, purpose) = (&error, Purpose::Session);

    observe(&Event::Admitted { request, principal, policy, waited });
    observe(&Event::Admitted { request, principal: None, policy: None, waited: None });
    let forbidden = &rejection(RejectionKind::Forbidden);
    let rejected = Some(request);
    observe(&Event::Rejected {
        request: rejected,
        rejection: forbidden,
        principal,
        scheme,
        policy,
        waited,
    });
    let invalid = &rejection(RejectionKind::InvalidCredentials);
    let none = None;
    observe(&Event::Rejected {
        request: rejected,
        rejection: invalid,
        principal: none,
        scheme,
        policy: None,
        waited,
    });
    let throttled = &rejection(RejectionKind::TooManyRequests);
    observe(&Event::Throttled {
        request: rejected,
        rejection: throttled,
        principal: none,
        scheme,
        policy: None,
        waited,
    });
    let fault = &rejection(RejectionKind::Misconfigured);
    observe(&Event::WiringFault { request: None, rejection: fault, principal: none, policy: None });
    observe(&Event::ClientAddressUnknown { request });
    let skipped = SkippedKey { id: Some(text.into()), reason: text.to_owned().into() };
    observe(&Event::KeySkipped { issuer: Some(issuer), key: &skipped });
    let expected = "a string";
    observe(&Event::ClaimMalformed { issuer: Some(issuer), claim: text, expected });
    observe(&Event::KeysFetched { issuer: Some(issuer), failures: 3 });
    observe(&Event::KeySetChanged { issuer: Some(issuer), added, removed });
    let fetch = FetchError::new(text);
    observe(&Event::KeyFetchFailed { issuer: None, error: &fetch, failures: 1, keys_usable: true });
    observe(&Event::PasswordFileFailed { fault: text });
    let boxed: Box<dyn std::error::Error + Send + Sync> = text.into();
    observe(&Event::HashRenewalFailed { error: &*boxed });
    for target in [
        RevocationTarget::Token,
        RevocationTarget::Session,
        RevocationTarget::Subject,
        RevocationTarget::Issuer,
    ] {
        observe(&Event::Revoked { target, issuer: Some(issuer) });
    }
    observe(&Event::StoreUnavailable { error });
    observe(&Event::StoreAvailable { outage: Duration::from_secs(90) });
    observe(&Event::StoreReverted);
    observe(&Event::StoreFull { error, purpose });
    observe(&Event::StoreUnreadable { error, purpose });
    observe(&Event::StoreNearlyFull { purpose });
    observe(&Event::StoreMayEvict { policy: text });
    let (known, request) = (request, Some(request));
    observe(&Event::LoggedIn { request, issuer, subject, client_id });
    observe(&Event::TokensRefreshed { request, issuer, subject, client_id });
    observe(&Event::RefreshTokenReused { request, issuer, subject, client_id });
    observe(&Event::LoggedOut { request, issuer, subject: Some(subject), everywhere: true });
    observe(&Event::StoreWentBack { found: 7, presented: 8 });
    observe(&Event::SigningKeysChanged { active: text, added, removed });
    observe(&Event::SessionStarted { request: known, issuer: None, subject, id });
    observe(&Event::SessionEnded { issuer: Some(issuer), subject, id: Some(id) });
    let login = LoginError::new(LoginErrorKind::Provider).because(text.to_owned());
    observe(&Event::LoginFailed { request: known, error: &login });
    observe(&Event::ApiKeyCreated { owner, id });
    observe(&Event::ApiKeyUsed { owner, id });
    observe(&Event::ApiKeyRevoked { owner, id });
    observe(&Event::TokenExchanged { request, issuer, subject, actor: text, audience: text });
    observe(&Event::ClientTokenIssued { request, issuer, client_id });
    observe(&Event::Webhook { request: known, sender: text, outcome: WebhookOutcome::Failed });
    observe(&Event::TokenFetched { failures: 2 });
    observe(&Event::TokenFetchFailed { error: &AttachError::new(text) });
    let failed = IntrospectionError::new(IntrospectionErrorKind::Outage, text.to_owned());
    observe(&Event::IntrospectionFailed { issuer: None, error: &failed });
    observe(&Event::RefreshTokenNotSaved { error: &*boxed });
}

fn line(event: &Event<'_>, identities: &Identities) -> String {
    let mut out = Vec::new();
    write_record(&mut out, Timestamp::of(UNIX_EPOCH), event, identities);
    String::from_utf8(out).unwrap()
}

/// The members in the table in the docs of `AuditLog`.
fn documented() -> Vec<String> {
    let docs = include_str!("audit_log.rs").lines();
    let rows = docs.filter_map(|line| line.strip_prefix("/// | `")?.split(" |").next());
    let names = rows.flat_map(|row| row.split(", ").map(|name| name.trim_matches('`').to_owned()));
    names.chain(["time".into(), "event".into()]).collect()
}

#[test]
fn each_event_has_its_members() {
    let mut lines = Vec::new();
    each_event("x", |event| {
        let class = AuditClass::of(event).unwrap();
        let line = line(event, &Identities::plain());
        let line = line.strip_prefix("{\"time\":\"1970-01-01T00:00:00.000Z\",\"event\":").unwrap();
        lines.push(format!("{class:?} {}", line.trim_end().trim_end_matches('}')));
    });
    let expected = include_str!("record_tests.txt");
    let found = lines.join("\n") + "\n";
    assert!(found == expected, "record_tests.txt has other lines than these:\n{found}");
}

#[test]
fn members_are_those_of_the_table_in_the_docs() {
    let documented = documented();
    let mut used = vec!["admissions", "rejections", "denials", "security", "operations"];
    let mut members: Vec<String> = used.drain(..).map(str::to_owned).collect();
    each_event("x", |event| {
        let line: Value = serde_json::from_str(&line(event, &Identities::plain())).unwrap();
        members.extend(line.as_object().unwrap().keys().cloned());
    });
    members.sort();
    members.dedup();
    for member in &members {
        assert!(documented.contains(member), "{member} is not documented");
    }
    for name in &documented {
        assert!(members.contains(name), "{name} is not written");
    }
}

#[test]
fn line_of_the_longest_texts_is_bounded() {
    let identities = Identities::hashed(b"0123456789abcdefghijklmnopqrstuv").unwrap();
    for text in ["\u{1b}", "é", "\u{e0001}", "a"] {
        for length in [200, 250, 1_000, 100_000] {
            for identities in [&identities, &Identities::plain()] {
                each_event(&text.repeat(length), |event| {
                    let line = line(event, identities);
                    assert!(line.len() <= MAX_LINE, "{} {}", event.name(), line.len());
                });
            }
        }
    }
}

#[test]
fn hashed_lines_contain_no_text_of_a_user() {
    let identities = Identities::hashed(b"0123456789abcdefghijklmnopqrstuv").unwrap();
    each_event("alice7", |event| {
        let line: Value = serde_json::from_str(&line(event, &identities)).unwrap();
        for member in ["subject", "client_id", "actor", "address", "policy", "path", "reason"] {
            let text = line[member].as_str().unwrap_or("hmac:");
            assert!(text.starts_with("hmac:"), "{line}");
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_text_gives_one_line_of_json(
        text in prop::collection::vec(any::<char>(), 0..80).prop_map(String::from_iter),
    ) {
        each_event(&text, |event| {
            let line = line(event, &Identities::plain());
            let value: Value = serde_json::from_str(&line).unwrap();
            assert_eq!(value["event"], event.name());
            assert_eq!(line.matches('\n').count(), 1);
            assert!(line.ends_with("}\n"));
            if let Some(subject) = value.get("subject") {
                assert_eq!(subject, &text);
            }
        });
    }
}
