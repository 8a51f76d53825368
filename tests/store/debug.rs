//! No `Debug` text and no error message contains a secret, a subject, a session or an address.

use std::{
    collections::HashSet,
    error::Error,
    fmt::Debug,
    sync::{Arc, Mutex},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::Request;
use tower_auth::{
    BasicAuth,
    basic::Users,
    observe::{Event, Observe},
    revocation::Revocations,
    store::{Memory, Purpose, SealedStore, StoreErrorKind, StoreKey, StoreSecret, Ttl},
    test_util::{TestClock, TokenMint},
    throttle::Throttle,
};
use tower_auth_test_support::store::SwitchedStore;

const SECRET: &[u8; 32] = b"secret-key-of-the-operator-32-by";
const PREVIOUS: &[u8; 32] = b"former-key-of-the-operator-32-by";
const ISSUER: &str = "https://issuer.example";
const SUBJECT: &str = "mallory@example.com";
const SESSION: &str = "session-4711";
const TOKEN_ID: &str = "token-0815";
const ADDRESS: &str = "203.0.113.77";

/// Returns all texts that must not appear.
fn forbidden() -> Vec<String> {
    let mut texts: Vec<String> = [SUBJECT, SESSION, TOKEN_ID, ADDRESS].map(str::to_owned).into();
    for key in [SECRET, PREVIOUS] {
        // Part of the key is enough.
        let part = &key[..9];
        texts.push(String::from_utf8(part.into()).unwrap());
        texts.push(part.iter().map(|byte| format!("{byte:02x}")).collect());
        texts.push(format!("{part:?}").trim_matches(['[', ']']).to_owned());
        texts.push(STANDARD.encode(part));
    }
    texts
}

#[track_caller]
fn assert_redacted(value: &dyn Debug) {
    for text in [format!("{value:?}"), format!("{value:#?}")] {
        let compact = text.replace("\n", "").replace("    ", "");
        for forbidden in forbidden() {
            assert!(!text.contains(&forbidden), "{forbidden} in {text}");
            assert!(!compact.contains(&forbidden.replace(", ", ",")), "{forbidden} in {text}");
        }
    }
}

/// Also checks the causes.
#[track_caller]
fn assert_error_is_redacted(error: &(dyn Error + 'static)) {
    assert_redacted(&error);
    let mut cause = Some(error);
    while let Some(error) = cause {
        assert_redacted(&error.to_string());
        cause = error.source();
    }
}

/// The texts of all events.
#[derive(Clone, Default)]
struct Events(Arc<Mutex<Vec<String>>>);

impl Events {
    fn assert_redacted(&self, expected: &str) {
        let events = self.0.lock().unwrap();
        assert!(events.iter().any(|event| event.starts_with(expected)), "{events:?}");
        events.iter().for_each(|event| assert_redacted(event));
    }
}

impl Observe for Events {
    fn observed(&self, event: &Event<'_>) {
        self.0.lock().unwrap().push(format!("{event:?}"));
    }
}

fn revocations(store: SealedStore, events: Events) -> Revocations {
    let builder = Revocations::builder(store).longest_token_life(Duration::from_secs(3_600));
    let builder = builder.staleness(Duration::ZERO).observer(events);
    assert_redacted(&builder);
    builder.build().unwrap()
}

fn secret() -> StoreSecret {
    StoreSecret::new(*SECRET).unwrap().previous(*PREVIOUS).unwrap()
}

fn token(mint: &TokenMint) -> String {
    let token = mint.token(SUBJECT).audience("orders").claim("jti", TOKEN_ID);
    token.claim("sid", SESSION).sign()
}

#[test]
fn forbidden_texts_are_found() {
    for text in forbidden() {
        let found = std::panic::catch_unwind(|| assert_redacted(&text));
        assert!(found.is_err(), "{text}");
    }
    assert!(std::panic::catch_unwind(|| assert_redacted(SECRET)).is_err());
}

#[tokio::test]
async fn types_of_stores_and_revocations_are_redacted() {
    assert_redacted(&secret());
    let (memory, events) = (Memory::new(), Events::default());
    let store = SealedStore::new(memory.clone(), secret()).observer(events.clone());
    let revocations = revocations(store.clone(), events.clone());
    let mint = TokenMint::new(ISSUER);
    let tokens = mint.validator("orders").revocations(revocations.clone()).build().unwrap();
    let token = token(&mint);
    let caller = tokens.verify(&token).await.unwrap();
    revocations.token(&caller).await.unwrap();
    revocations.session(ISSUER, SESSION).await.unwrap();
    revocations.subject(ISSUER, SUBJECT).await.unwrap();
    revocations.issuer(ISSUER).await.unwrap();

    let rejection = tokens.verify(&token).await.unwrap_err();
    assert_error_is_redacted(&rejection);
    for value in [&memory as &dyn Debug, &store, &revocations, &tokens] {
        assert_redacted(value);
    }
    events.assert_redacted("Revoked");
    let key = StoreKey::new(Purpose::Revocation, [1; 32]);
    for value in [&key as &dyn Debug, &Purpose::Replay, &Ttl::MAX] {
        assert_redacted(value);
    }
}

#[tokio::test]
async fn errors_of_stores_and_revocations_are_redacted() {
    for kind in [StoreErrorKind::Unavailable, StoreErrorKind::Full, StoreErrorKind::Unreadable] {
        let (store, events) = (SwitchedStore::new(TestClock::new()), Events::default());
        let sealed = SealedStore::new(store.clone(), secret()).observer(events.clone());
        let revocations = revocations(sealed, events.clone());
        let mint = TokenMint::new(ISSUER);
        let tokens = mint.validator("orders").revocations(revocations.clone()).build().unwrap();
        let caller = tokens.verify(&token(&mint)).await.unwrap();
        store.set_fault(kind);
        assert_error_is_redacted(&revocations.token(&caller).await.unwrap_err());
        assert_error_is_redacted(&revocations.session(ISSUER, SESSION).await.unwrap_err());
        assert_error_is_redacted(&revocations.subject(ISSUER, SUBJECT).await.unwrap_err());
        assert_error_is_redacted(&revocations.issuer(ISSUER).await.unwrap_err());
        assert_error_is_redacted(&tokens.verify(&token(&mint)).await.unwrap_err());
        events.assert_redacted(&format!("Store{kind:?}"));
    }
}

#[tokio::test]
async fn throttle_is_redacted() {
    let (clock, events) = (TestClock::new(), Events::default());
    let store = SwitchedStore::new(clock.clone());
    let sealed = SealedStore::new(store.clone(), secret()).observer(events.clone());
    let throttle = || Throttle::by_address(|_| ADDRESS.parse().ok()).shared(sealed.clone());
    assert_redacted(&throttle());
    let users = Users::new([(SUBJECT, "secret-key-of-mallory")]).unwrap();
    let staff = BasicAuth::new("staff", users).unwrap().throttle(throttle()).unwrap();
    let head = Request::new(()).into_parts().0;
    let mut kinds = HashSet::new();
    for fault in [None, Some(StoreErrorKind::Unavailable)] {
        store.set_fault(fault);
        // A rejection is repeated for a second without the store.
        clock.advance(Duration::from_secs(1));
        for _ in 0..12 {
            let rejection = staff.verify(SUBJECT, "secret-key-guess", &head).await.unwrap_err();
            assert_error_is_redacted(&rejection);
            kinds.insert(rejection.kind());
        }
        assert_redacted(&staff);
    }
    assert_eq!(kinds.len(), 2, "401 and 429");
    events.assert_redacted("StoreUnavailable");
}
