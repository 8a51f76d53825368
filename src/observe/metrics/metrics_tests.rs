use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    time::Duration,
};

use http::Request;
use metrics::Unit;

use self::test_recorder::TestRecorder;
use super::{Metrics, names::EVENT_NAMES};
use crate::{
    authorize::policies::scopes::RequireScopes,
    client::error::AttachError,
    header::Scheme,
    jwks::fetch::FetchError,
    jwt::keys::skipped::SkippedKey,
    observe::{event::Event, observe::Observe, request_summary::RequestSummary},
    oidc_login::{LoginError, LoginErrorKind},
    principal::Principal,
    rejection::{Rejection, RejectionKind},
    revocation::target::RevocationTarget,
    store::{
        error::{StoreError, StoreErrorKind},
        key::Purpose,
    },
    webhook::outcome::WebhookOutcome,
};

#[path = "test_recorder.rs"]
mod test_recorder;

const ISSUER: &str = "https://issuer.example";

/// All kinds of `Event::Rejected`.
const KINDS: [RejectionKind; 12] = [
    RejectionKind::MissingCredentials,
    RejectionKind::MalformedRequest,
    RejectionKind::InvalidCredentials,
    RejectionKind::CredentialsTooLarge,
    RejectionKind::ContentTooLarge,
    RejectionKind::Conflict,
    RejectionKind::InsufficientScope,
    RejectionKind::InsufficientAuthentication,
    RejectionKind::Forbidden,
    RejectionKind::CrossSite,
    RejectionKind::HttpsRequired,
    RejectionKind::Unavailable,
];

fn metrics() -> (Metrics, TestRecorder) {
    let recorder = TestRecorder::default();
    (
        Metrics::builder()
            .issuers([ISSUER, "https://b.example"])
            .recorder(recorder.clone())
            .build(),
        recorder,
    )
}

/// Returns the series that an event changes, with their new values.
fn changes(metrics: &Metrics, recorder: &TestRecorder, event: &Event<'_>) -> Vec<(String, f64)> {
    let before = recorder.series();
    metrics.observed(event);
    let after = recorder.series().into_iter();
    after.filter(|(name, value)| before.get(name) != Some(value)).collect()
}

fn assert_changes(
    (metrics, recorder): &(Metrics, TestRecorder),
    event: &Event<'_>,
    expected: &[(&str, f64)],
) {
    let expected: Vec<_> =
        expected.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
    assert_eq!(changes(metrics, recorder, event), expected, "{event:?}");
}

#[test]
fn every_event_changes_exactly_the_documented_series() {
    let (head, ()) = Request::new(()).into_parts();
    let request = RequestSummary::of(&head, None);
    let (some_request, issuer, subject, client_id) = (Some(request), ISSUER, "alice", "web");
    let introspection = crate::introspection::IntrospectionError::new(
        crate::introspection::IntrospectionErrorKind::Outage,
        "no response",
    );
    let key = SkippedKey { id: Some("key-1".into()), reason: "secret reason".into() };
    let fetch_error = FetchError::new("timeout");
    let failed = io::Error::other("disk");
    let unavailable = StoreError::new(StoreErrorKind::Unavailable);
    let attach = AttachError::new("timeout");
    let (ids, purpose, id) = (["key-2".to_owned()], Purpose::Session, "id-1");
    let (added, removed) = (&ids[..], &ids[..]);
    let named = [
        Event::ClientAddressUnknown { request },
        Event::KeySkipped { issuer: Some(issuer), key: &key },
        Event::ClaimMalformed { issuer: Some(issuer), claim: "scope", expected: "a string" },
        Event::KeySetChanged { issuer: Some(issuer), added, removed },
        Event::PasswordFileReloaded { users: 7 },
        Event::PasswordFileFailed { fault: "missing" },
        Event::HashRenewalFailed { error: &failed },
        Event::Revoked { target: RevocationTarget::Subject, issuer: Some(issuer) },
        Event::StoreReverted,
        Event::StoreFull { error: &unavailable, purpose },
        Event::StoreUnreadable { error: &unavailable, purpose },
        Event::StoreNearlyFull { purpose },
        Event::StoreMayEvict { policy: "allkeys-lru" },
        Event::LoggedIn { request: some_request, issuer, subject, client_id },
        Event::TokensRefreshed { request: some_request, issuer, subject, client_id },
        Event::RefreshTokenReused { request: some_request, issuer, subject, client_id },
        Event::LoggedOut { request: None, issuer, subject: Some(subject), everywhere: true },
        Event::StoreWentBack { found: 1, presented: 2 },
        Event::SigningKeysChanged { active: "key-2", added, removed },
        Event::SessionStarted { request, issuer: Some(issuer), subject, id },
        Event::SessionEnded { issuer: Some(issuer), subject, id: Some(id) },
        Event::ApiKeyCreated { owner: subject, id },
        Event::ApiKeyUsed { owner: subject, id },
        Event::ApiKeyRevoked { owner: subject, id },
        Event::TokenExchanged { request: None, issuer, subject, actor: "web", audience: "api" },
        Event::ClientTokenIssued { request: None, issuer, client_id },
        Event::AuditFailed { error: &failed },
        Event::TokenFetched { failures: 0 },
        Event::TokenFetchFailed { error: &attach },
        Event::IntrospectionFailed { issuer: None, error: &introspection },
        Event::RefreshTokenNotSaved { error: &failed },
    ];
    let observed = metrics();
    let mut names: BTreeSet<_> = named.iter().map(Event::name).collect();
    for count in [1.0, 2.0] {
        for event in &named {
            let series = format!("tower_auth.events{{auth.event={}}}", event.name());
            assert_changes(&observed, event, &[(&series, count)]);
        }
    }
    // These also set the gauge, whose first value is 0.
    let available = "tower_auth.store.available{}";
    let lost = Event::StoreUnavailable { error: &unavailable };
    let found = Event::StoreAvailable { outage: Duration::from_secs(1) };
    let count = |event: &Event<'_>| format!("tower_auth.events{{auth.event={}}}", event.name());
    assert_changes(&observed, &lost, &[(&count(&lost), 1.0), (available, 0.0)]);
    assert_changes(&observed, &found, &[(&count(&found), 1.0), (available, 1.0)]);
    assert_changes(&observed, &lost, &[(&count(&lost), 2.0), (available, 0.0)]);
    names.extend([lost.name(), found.name()]);
    assert_eq!(names, EVENT_NAMES.iter().copied().collect());

    for (issuer, label) in [
        (Some(ISSUER), "auth.issuer=https://issuer.example,"),
        (Some("https://other.example"), "auth.issuer=_OTHER,"),
        (None, ""),
    ] {
        for (event, outcome) in [
            (Event::KeysFetched { issuer, failures: 3 }, "succeeded"),
            (
                Event::KeyFetchFailed {
                    issuer,
                    error: &fetch_error,
                    failures: 1,
                    keys_usable: true,
                },
                "failed",
            ),
            (
                Event::KeyFetchFailed {
                    issuer,
                    error: &fetch_error,
                    failures: 1,
                    keys_usable: false,
                },
                "failed_without_keys",
            ),
        ] {
            let series = format!("tower_auth.key_fetches{{{label}auth.outcome={outcome}}}");
            assert_changes(&observed, &event, &[(&series, 1.0)]);
        }
    }
    for (kind, error_type) in [
        (LoginErrorKind::InvalidState, "invalid_state"),
        (LoginErrorKind::Denied, "denied"),
        (LoginErrorKind::Provider, "provider"),
        (LoginErrorKind::Unavailable, "unavailable"),
        (LoginErrorKind::Forbidden, "forbidden"),
        (LoginErrorKind::Insufficient, "insufficient"),
        (LoginErrorKind::Misconfigured, "misconfigured"),
    ] {
        let event = Event::LoginFailed { request, error: &LoginError::new(kind).because("alice") };
        let series = format!("tower_auth.login_failures{{error.type={error_type}}}");
        assert_changes(&observed, &event, &[(&series, 1.0)]);
    }
    for (outcome, name) in [
        (WebhookOutcome::Handled, "handled"),
        (WebhookOutcome::Failed, "failed"),
        (WebhookOutcome::Duplicate, "duplicate"),
        (WebhookOutcome::InProgress, "in_progress"),
    ] {
        let event = Event::Webhook { request, sender: "stripe", outcome };
        let series = format!("tower_auth.webhooks{{auth.sender=stripe,auth.outcome={name}}}");
        assert_changes(&observed, &event, &[(&series, 1.0)]);
    }
}

#[test]
fn admissions_are_counted_once_by_scheme_and_issuer() {
    let (head, ()) = Request::new(()).into_parts();
    let request = RequestSummary::of(&head, None);
    let policy = RequireScopes::all("read");
    let observed = metrics();
    let caller = |scheme, issuer: Option<&str>| {
        let builder = Principal::builder("alice", scheme);
        match issuer {
            Some(issuer) => builder.issuer(issuer).build(),
            None => builder.build(),
        }
    };
    for (scheme, issuer, labels) in [
        (Scheme::BEARER, Some(ISSUER), "auth.scheme=Bearer,auth.issuer=https://issuer.example"),
        (Scheme::BEARER, Some("https://x.example"), "auth.scheme=Bearer,auth.issuer=_OTHER"),
        (Scheme::BEARER, None, "auth.scheme=Bearer"),
        (Scheme::new("basic"), None, "auth.scheme=Basic"),
        (
            Scheme::COOKIE,
            Some("https://b.example"),
            "auth.scheme=Cookie,auth.issuer=https://b.example",
        ),
        (Scheme::WEBHOOK, None, "auth.scheme=Webhook"),
        (Scheme::new("Negotiate"), None, "auth.scheme=_OTHER"),
    ] {
        let caller = caller(scheme, issuer);
        let event =
            Event::Admitted { request, principal: Some(&caller), policy: None, waited: None };
        let series = format!("tower_auth.admissions{{{labels}}}");
        assert_changes(&observed, &event, &[(&series, 1.0)]);
        assert_changes(&observed, &event, &[(&series, 2.0)]);
    }
    let anonymous = Event::Admitted { request, principal: None, policy: None, waited: None };
    assert_changes(&observed, &anonymous, &[("tower_auth.admissions{}", 1.0)]);

    // The admission of a policy is not counted. Waits are recorded in seconds.
    let caller = caller(Scheme::BEARER, Some(ISSUER));
    let (principal, policy) = (Some(&caller), Some(&policy as _));
    let event = Event::Admitted { request, principal, policy, waited: None };
    assert_changes(&observed, &event, &[]);
    let waited = Some(Duration::from_millis(1500));
    let event = Event::Admitted { request, principal, policy, waited };
    let wait = "tower_auth.wait.duration{auth.step=authorization,auth.scheme=Bearer}";
    assert_changes(&observed, &event, &[(wait, 1.5)]);
    let event = Event::Admitted { request, principal, policy: None, waited };
    let series = "tower_auth.admissions{auth.scheme=Bearer,auth.issuer=https://issuer.example}";
    let wait = "tower_auth.wait.duration{auth.step=authentication,auth.scheme=Bearer}";
    assert_changes(&observed, &event, &[(series, 3.0), (wait, 1.5)]);
    assert_changes(&observed, &event, &[(series, 4.0), (wait, 3.0)]);
}

#[test]
fn rejections_are_counted_by_kind_and_scheme() {
    let (head, ()) = Request::new(()).into_parts();
    let request = Some(RequestSummary::of(&head, None));
    let policy = RequireScopes::all("read");
    let caller = Principal::builder("alice", Scheme::BASIC).build();
    let observed = metrics();
    for kind in KINDS {
        let rejection = Rejection::new(kind).because("alice");
        let scheme = Some(Scheme::BASIC);
        let event = Event::Rejected {
            request,
            rejection: &rejection,
            principal: None,
            scheme,
            policy: None,
            waited: None,
        };
        let series =
            format!("tower_auth.rejections{{auth.scheme=Basic,error.type={}}}", kind.as_str());
        assert_changes(&observed, &event, &[(&series, 1.0)]);
        assert_changes(&observed, &event, &[(&series, 2.0)]);
    }
    let rejection = Rejection::new(RejectionKind::TooManyRequests);
    let waited = Some(Duration::from_millis(250));
    let throttled = Event::Throttled {
        request: None,
        rejection: &rejection,
        principal: None,
        scheme: None,
        policy: None,
        waited,
    };
    assert_changes(
        &observed,
        &throttled,
        &[
            ("tower_auth.rejections{error.type=too_many_requests}", 1.0),
            ("tower_auth.wait.duration{auth.step=authentication}", 0.25),
        ],
    );
    let rejection = Rejection::new(RejectionKind::Misconfigured);
    let fault = Event::WiringFault {
        request,
        rejection: &rejection,
        principal: Some(&caller),
        policy: Some(&policy),
    };
    assert_changes(
        &observed,
        &fault,
        &[("tower_auth.rejections{auth.scheme=Basic,error.type=misconfigured}", 1.0)],
    );
    let rejection = Rejection::new(RejectionKind::Forbidden);
    let denied = Event::Rejected {
        request,
        rejection: &rejection,
        principal: Some(&caller),
        scheme: Some(Scheme::BASIC),
        policy: Some(&policy),
        waited,
    };
    assert_changes(
        &observed,
        &denied,
        &[
            ("tower_auth.rejections{auth.scheme=Basic,error.type=forbidden}", 3.0),
            ("tower_auth.wait.duration{auth.step=authorization,auth.scheme=Basic}", 0.25),
        ],
    );
}

#[test]
fn equal_rejections_of_several_schemes_have_series_of_their_own() {
    let observed = metrics();
    let rejection = Rejection::new(RejectionKind::InvalidCredentials);
    for (scheme, label) in [
        (Some(Scheme::BEARER), "auth.scheme=Bearer,"),
        (Some(Scheme::BASIC), "auth.scheme=Basic,"),
        (Some(Scheme::new("Negotiate")), "auth.scheme=_OTHER,"),
        (None, ""),
    ] {
        let event = Event::Rejected {
            request: None,
            rejection: &rejection,
            principal: None,
            scheme,
            policy: None,
            waited: None,
        };
        let series = format!("tower_auth.rejections{{{label}error.type=invalid_credentials}}");
        assert_changes(&observed, &event, &[(&series, 1.0)]);
    }
}

#[test]
fn documentation_lists_every_metric_event_and_kind() {
    let text = include_str!("series.md");
    let row = |start: &str| -> BTreeSet<&str> {
        let line = text.lines().find(|line| line.starts_with(start)).unwrap();
        line.split('`').skip(3).step_by(2).collect()
    };
    assert_eq!(row("| `auth.event` |"), EVENT_NAMES.iter().copied().collect());
    let kinds = row("| `error.type` of rejections |");
    assert_eq!(kinds.len(), 14);
    assert!(KINDS.iter().all(|kind| kinds.contains(kind.as_str())), "{kinds:?}");
    let (_, recorder) = metrics();
    for name in recorder.described().keys() {
        assert!(text.contains(&format!("| `{name}` |")), "{name}");
    }
}

#[test]
fn senders_beyond_the_limit_share_a_series() {
    let (head, ()) = Request::new(()).into_parts();
    let (request, outcome) = (RequestSummary::of(&head, None), WebhookOutcome::Handled);
    let (metrics, recorder) = metrics();
    for number in 0..1000 {
        let sender = format!("sender-{number}");
        metrics.observed(&Event::Webhook { request, sender: &sender, outcome });
        metrics.observed(&Event::Webhook { request, sender: "sender-0", outcome });
    }
    let series: BTreeMap<_, _> =
        recorder.series().into_iter().filter(|(name, _)| name.contains("webhooks")).collect();
    assert_eq!(series.len(), 65);
    let value = |sender: &str| {
        series[&format!("tower_auth.webhooks{{auth.sender={sender},auth.outcome=handled}}")]
    };
    assert_eq!([value("sender-0"), value("sender-63"), value("_OTHER")], [1001.0, 1.0, 936.0]);
}

#[test]
fn rare_series_exist_from_the_start_with_the_value_zero() {
    let (metrics, recorder) = metrics();
    assert!(metrics.is_recording());
    let series = recorder.series();
    assert!(series.values().all(|value| *value == 0.0));
    // Three outcomes for each of the two issuers.
    assert_eq!(series.len(), EVENT_NAMES.len() + 6, "{series:?}");
    for name in [
        "tower_auth.events{auth.event=refresh_token_reused}",
        "tower_auth.key_fetches{auth.issuer=https://b.example,auth.outcome=failed_without_keys}",
    ] {
        assert!(series.contains_key(name), "{name} is not in {series:?}");
    }
    let described = recorder.described();
    assert_eq!(described.len(), 8);
    assert_eq!(described["tower_auth.wait.duration"], Some(Unit::Seconds));
    assert_eq!(described["tower_auth.admissions"], Some(Unit::Count));
}

#[test]
fn events_before_the_recorder_are_lost_but_later_ones_are_counted() {
    let (head, ()) = Request::new(()).into_parts();
    let request = RequestSummary::of(&head, None);
    let rejection = Rejection::new(RejectionKind::Forbidden);
    let caller = Principal::builder("alice", Scheme::BASIC).build();
    let events = [
        Event::Admitted {
            request,
            principal: Some(&caller),
            policy: None,
            waited: Some(Duration::from_secs(2)),
        },
        Event::Rejected {
            request: None,
            rejection: &rejection,
            principal: None,
            scheme: None,
            policy: None,
            waited: None,
        },
        Event::StoreReverted,
        Event::StoreUnavailable { error: &StoreError::new(StoreErrorKind::Unavailable) },
        Event::KeysFetched { issuer: None, failures: 0 },
        Event::Webhook { request, sender: "stripe", outcome: WebhookOutcome::Handled },
    ];
    let observer = Metrics::new();
    assert!(!observer.is_recording());
    events.iter().for_each(|event| observer.observed(event));
    let recorder = TestRecorder::default();
    metrics::with_local_recorder(&recorder, || {
        assert!(observer.is_recording());
        events.iter().for_each(|event| observer.observed(event));
    });
    let series: Vec<_> = recorder.series().into_iter().filter(|(_, value)| *value != 0.0).collect();
    let expected = [
        ("tower_auth.admissions{auth.scheme=Basic}", 1.0),
        ("tower_auth.events{auth.event=store_reverted}", 1.0),
        ("tower_auth.events{auth.event=store_unavailable}", 1.0),
        ("tower_auth.key_fetches{auth.outcome=succeeded}", 1.0),
        ("tower_auth.rejections{error.type=forbidden}", 1.0),
        ("tower_auth.wait.duration{auth.step=authentication,auth.scheme=Basic}", 2.0),
        ("tower_auth.webhooks{auth.sender=stripe,auth.outcome=handled}", 1.0),
    ];
    assert_eq!(series, expected.map(|(name, value)| (name.to_owned(), value)));
}
