//! A signing key, or a MAC key of refresh tokens.

use std::time::Duration;

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde_json::{Value, json};
use tower_auth::{
    issue::{KeyState, KeyUse, SigningKeys, TokenIssuerBuilder},
    test_util::TestClock,
};
use tower_auth_test_support::{stub::wait_until, token::Signer};

use super::{
    Config, ISSUER, Instance, MINUTE, SECOND, Tokens, World,
    forger::{StolenKeys, token_for},
    is, secret,
};

/// An issuer whose keys are in a file, which a thief has read.
struct Fixture {
    world: World,
    file: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Self {
        Self { world: World::new(), file: tempfile::tempdir().unwrap() }
    }

    fn config(&self) -> Config<TestClock> {
        let keys = SigningKeys::eddsa().in_file(self.file.path().join("keys.json"));
        self.world.config(secret(1)).with_keys(keys)
    }

    async fn start(&self) -> Instance {
        self.config().start().await
    }

    fn steal(&self) -> StolenKeys {
        StolenKeys::from_file(&self.file.path().join("keys.json"))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn removed_signing_key_and_revoked_api_keys_end_the_access_of_a_forger() {
    let fixture = Fixture::new();
    let (here, other) = (fixture.start().await, fixture.start().await);
    let elsewhere = here.other_service(&fixture.world.clock);
    let alice = here.log_in("alice").await;
    let session = here.start_session("alice").await;
    let own = here.log_in("mallory").await;
    let stolen = fixture.steal();
    let forged = stolen.token_for("admin", &own.access, 0);
    for instance in [&here, &other] {
        assert!(is(&instance.token_user(&forged).await, "admin"));
    }
    assert_eq!(elsewhere.verify(&forged).await.unwrap().subject(), "admin");
    // A forged time of login is recent.
    let key = here.create_key(&forged).await;

    let id = &stolen.signing_ids()[0];
    let keys = here.issuer.keys().await.unwrap();
    assert!(keys.iter().any(|key| key.id() == id && key.state() == KeyState::Active));
    fixture.world.events.take("signing_keys_changed");
    assert!(here.issuer.remove_key(id).await.unwrap());
    assert_eq!(fixture.world.events.take("signing_keys_changed"), 1);
    // The successor signs at once, and the verifiers have the keys for 10 s.
    assert_ne!(stolen.signing_ids()[0], kid(&here.log_in("bob").await));
    assert!(is(&other.token_user(&forged).await, "admin"));
    fixture.world.advance(10 * SECOND);
    for instance in [&here, &other] {
        instance.wait_until_rejected(&forged).await;
        // Alice has to refresh, and is not logged out.
        assert!(instance.token_user(&alice.access).await.is_none());
        assert!(is(&instance.session_user(&session).await, "alice"));
    }
    let refreshed = here.refresh(&alice.refresh).await.unwrap();
    assert!(is(&other.token_user(&refreshed.access).await, "alice"));

    // Another service rejects the token when it has fetched the key set again.
    assert!(elsewhere.verify(&forged).await.is_ok());
    fixture.world.advance(10 * MINUTE - 10 * SECOND);
    let is_rejected = async || elsewhere.verify(&forged).await.is_err();
    wait_until("a rejection in another service", is_rejected).await;

    // The API key that the forger has created.
    assert!(is(&other.key_user(&key).await, "admin"));
    let remaining = here.issuer.logout_everywhere("admin").await.unwrap();
    assert_eq!(remaining.api_keys().len(), 1);
    assert!(is(&other.key_user(&key).await, "admin"));
    let [created] = &here.api_keys.list("admin").await.unwrap()[..] else { panic!() };
    here.api_keys.revoke("admin", &created.id).await.unwrap();
    assert!(other.key_user(&key).await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn all_keys_of_a_stolen_document_have_to_be_removed() {
    let fixture = Fixture::new();
    let here = fixture.start().await;
    let alice = here.log_in("alice").await;
    let session = here.start_session("alice").await;
    let own = here.log_in("mallory").await;
    let stolen = fixture.steal();
    assert!(here.issuer.remove_key(&stolen.signing_ids()[0]).await.unwrap());
    fixture.world.advance(10 * SECOND);
    here.wait_until_rejected(&stolen.token_for("admin", &own.access, 0)).await;
    // The document also has the successor.
    let forged = stolen.token_for("admin", &own.access, 1);
    assert!(is(&here.token_user(&forged).await, "admin"));

    for key in here.issuer.keys().await.unwrap() {
        here.issuer.remove_key(key.id()).await.unwrap();
    }
    fixture.world.advance(10 * SECOND);
    here.wait_until_rejected(&forged).await;
    let new = fixture.steal();
    assert!(stolen.signing_ids().iter().all(|id| !new.signing_ids().contains(id)));
    // The MAC keys are new as well, so all users have to log in again. Sessions have no keys.
    assert!(here.refresh(&alice.refresh).await.is_none());
    assert!(is(&here.session_user(&session).await, "alice"));
    let alice = here.log_in("alice").await;
    assert!(here.refresh(&alice.refresh).await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn replaced_pem_key_is_rejected_unless_it_still_verifies() {
    let world = World::new();
    let (old, new) = (Signer::generate("ES256", "old"), Signer::generate("ES256", "new"));
    let config = |keys| world.config(secret(1)).with_keys(keys);
    let here = config(SigningKeys::from_pem(pem(&old)).unwrap()).start().await;
    let alice = here.log_in("alice").await;
    let session = here.start_session("alice").await;
    let own = here.log_in("mallory").await;
    let forged = token_for("admin", &own.access, &old, &json!(kid(&own)));
    assert!(is(&here.token_user(&forged).await, "admin"));

    // The steps of a planned rotation keep the old key.
    let keys = SigningKeys::from_pem(pem(&new)).unwrap();
    let here = config(keys.clone().also_verify(pem(&old)).unwrap()).start().await;
    assert!(is(&here.token_user(&forged).await, "admin"));

    let here = config(keys).start().await;
    assert!(here.token_user(&forged).await.is_none());
    assert!(is(&here.session_user(&session).await, "alice"));
    assert!(here.token_user(&alice.access).await.is_none());
    let refreshed = here.refresh(&alice.refresh).await.unwrap();
    assert!(is(&here.token_user(&refreshed.access).await, "alice"));
}

#[tokio::test(flavor = "multi_thread")]
async fn removed_mac_key_and_a_revocation_of_all_logins_end_the_access_of_a_forger() {
    let fixture = Fixture::new();
    const HOUR: Duration = Duration::from_secs(3_600);
    let start = async || {
        let keys = SigningKeys::eddsa().in_file(fixture.file.path().join("keys.json"));
        let keys = keys.rotate_after(HOUR).publish_ahead(10 * MINUTE);
        // A MAC key is active for an eighth of the longest login, so for two hours.
        let configure = |issuer: TokenIssuerBuilder| {
            issuer.absolute_lifetime(16 * HOUR).refresh_idle(16 * HOUR)
        };
        Config { configure, ..fixture.config().with_keys(keys) }.start().await
    };
    let (here, other) = (start().await, start().await);
    let alice = here.log_in("alice").await;
    let stolen = fixture.steal();
    fixture.world.advance(2 * MINUTE);
    let current = here.refresh(&alice.refresh).await.unwrap();

    // The thief has an old refresh token from a log. With the key, it becomes the current one.
    let by_thief = here.refresh(&stolen.later_refresh_token(&alice.refresh)).await.unwrap();
    assert_eq!(fixture.world.events.take("store_went_back"), 1);
    assert!(is(&here.token_user(&by_thief.access).await, "alice"));
    // Another MAC key is active now. Refreshed tokens have that.
    fixture.world.advance(3 * HOUR);
    let session = here.start_session("alice").await;
    let by_thief = here.refresh(&by_thief.refresh).await.unwrap();
    assert_ne!(by_thief.refresh.split('.').nth(2), Some(stolen.mac_id()));
    let bob = here.log_in("bob").await;

    assert!(here.issuer.remove_key(stolen.mac_id()).await.unwrap());
    assert!(here.refresh(&stolen.later_refresh_token(&alice.refresh)).await.is_none());
    assert!(here.refresh(&current.refresh).await.is_none());
    // In other instances within 65 s. They have the keys for a minute.
    fixture.world.advance(65 * SECOND);
    assert!(other.refresh(&stolen.later_refresh_token(&alice.refresh)).await.is_none());
    // The login that the thief has continued has another key now.
    let by_thief = other.refresh(&by_thief.refresh).await.unwrap();
    assert!(is(&other.token_user(&by_thief.access).await, "alice"));

    here.issuer.revocations().issuer(ISSUER).await.unwrap();
    assert!(here.token_user(&by_thief.access).await.is_none());
    fixture.world.advance(5 * SECOND);
    for instance in [&here, &other] {
        assert!(instance.token_user(&by_thief.access).await.is_none());
        assert!(instance.refresh(&by_thief.refresh).await.is_none());
        assert!(instance.refresh(&bob.refresh).await.is_none(), "all users log in again");
        assert!(is(&instance.session_user(&session).await, "alice"));
    }
    let bob = here.log_in("bob").await;
    assert!(other.refresh(&bob.refresh).await.is_some());
    assert!(
        !here
            .issuer
            .keys()
            .await
            .unwrap()
            .iter()
            .any(|key| { key.key_use() == KeyUse::Mac && key.id() == stolen.mac_id() })
    );
}

fn kid(tokens: &Tokens) -> String {
    let header = tokens.access.split('.').next().unwrap();
    let header = URL_SAFE_NO_PAD.decode(header).unwrap();
    let header: Value = serde_json::from_slice(&header).unwrap();
    header["kid"].as_str().unwrap().to_owned()
}

fn pem(signer: &Signer) -> String {
    let text = STANDARD.encode(signer.to_pkcs8());
    format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n")
}
