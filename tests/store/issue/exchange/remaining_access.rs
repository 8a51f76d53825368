//! API keys after a logout.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use tower_auth::{
    api_key::{
        ApiKeyFuture, ApiKeyStore, ApiKeys, Inserted, MemoryApiKeys, NewApiKey, StoredApiKey,
    },
    bearer::TokenVerifier as _,
    issue::IssueError,
    observe::Event,
};

use super::{Fixture, alice, exchange, outcome, ready};

/// A store of keys that can be switched off.
#[derive(Clone, Default)]
struct Keys(Arc<(MemoryApiKeys, AtomicBool)>);

impl ApiKeyStore for Keys {
    fn find(&self, id: &str) -> ApiKeyFuture<Option<StoredApiKey>> {
        self.0.0.find(id)
    }

    fn insert(&self, key: StoredApiKey, most: usize) -> ApiKeyFuture<Inserted> {
        self.0.0.insert(key, most)
    }

    fn list(&self, owner: &str) -> ApiKeyFuture<Vec<StoredApiKey>> {
        match self.0.1.load(Ordering::Relaxed) {
            true => ApiKeyFuture::ready(Err("switched off".into())),
            false => self.0.0.list(owner),
        }
    }

    fn revoke(&self, id: &str, at: SystemTime) -> ApiKeyFuture<bool> {
        self.0.0.revoke(id, at)
    }

    fn expire(&self, id: &str, at: SystemTime) -> ApiKeyFuture<()> {
        self.0.0.expire(id, at)
    }
}

fn keys(fixture: &Fixture, store: &Keys) -> ApiKeys {
    let keys = ApiKeys::builder("acme", store.clone()).dangerous_trust_owners();
    keys.clock(fixture.clock.clone()).observer(|_: &Event<'_>| {}).build().unwrap()
}

fn create(keys: &ApiKeys, owner: &str, name: &str, seconds: u64) -> (String, String) {
    let request = NewApiKey::new(name).lifetime(Duration::from_secs(seconds));
    let created = ready(keys.dangerous_create_for(owner, request)).unwrap();
    (created.info().id.to_string(), created.key().to_owned())
}

#[test]
fn logout_everywhere_lists_the_live_keys_of_the_user_which_stay_valid() {
    let fixture = Fixture::new();
    let store = Keys::default();
    let keys = keys(&fixture, &store);
    let issuer = fixture.builder().api_keys(keys.clone()).build().unwrap();
    let (first, key) = create(&keys, "alice", "nightly export", 1_000);
    create(&keys, "alice", "expired", 1);
    let (revoked, _) = create(&keys, "alice", "revoked", 1_000);
    ready(keys.revoke("alice", &revoked)).unwrap();
    create(&keys, "bob", "other", 1_000);
    fixture.advance(2);

    let remaining = ready(issuer.logout_everywhere("alice")).unwrap();
    let listed: Vec<_> =
        remaining.api_keys().iter().map(|key| (key.id.to_string(), key.name.to_string())).collect();
    assert_eq!(listed, [(first.clone(), "nightly export".to_owned())]);
    assert!(!format!("{remaining:?}").contains(&key));
    assert_eq!(ready(keys.verify(&key)).unwrap().subject(), "alice");

    ready(keys.revoke("alice", &first)).unwrap();
    assert!(ready(issuer.logout_everywhere("alice")).unwrap().api_keys().is_empty());
    assert!(ready(keys.verify(&key)).is_err());
}

#[test]
fn logout_takes_effect_although_the_keys_cannot_be_listed() {
    let fixture = Fixture::new();
    let store = Keys::default();
    let keys = keys(&fixture, &store);
    let builder = fixture.builder().service_audiences("invoices").api_keys(keys.clone());
    let issuer = builder.build().unwrap();
    let user = alice(&issuer);
    create(&keys, "alice", "nightly export", 1_000);
    store.0.1.store(true, Ordering::Relaxed);
    let result = ready(issuer.logout_everywhere("alice"));
    assert!(matches!(result, Err(IssueError::Unavailable(_))), "{result:?}");
    assert_eq!(fixture.events.count("logged out"), 1);
    assert_eq!(outcome(&exchange(&issuer, &user)), "Revoked");
    store.0.1.store(false, Ordering::Relaxed);
    assert_eq!(ready(issuer.logout_everywhere("alice")).unwrap().api_keys().len(), 1);
}

#[test]
fn without_keys_nothing_remains() {
    let fixture = Fixture::new();
    let issuer = fixture.issuer();
    assert!(ready(issuer.logout_everywhere("alice")).unwrap().api_keys().is_empty());
}
