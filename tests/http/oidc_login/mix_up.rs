//! One application with two providers, one of which is hostile (RFC 9207, RFC 9700 §4.4).

use std::net::SocketAddr;

use axum::Router;
use tokio::net::TcpListener;
use tower_auth::{oidc_login::OidcLogin, session::Sessions, test_util::TestClock};
use tower_auth_test_support::{
    oidc_stub::{CLIENT_ID, CLIENT_SECRET, OidcStub},
    store::SwitchedStore,
    user_agent::UserAgent,
};

use super::{SESSION, accept, app, location, only, with_parameter};
use crate::sessions::Events;

struct Setup {
    url: String,
    honest: OidcStub,
    evil: OidcStub,
    events: Events,
}

impl Setup {
    /// The two providers have callbacks of their own, as RFC 9700 requires, or share one path.
    async fn new() -> Self {
        let clock = TestClock::new();
        let (honest, evil) =
            (OidcStub::start(clock.clone()).await, OidcStub::start(clock.clone()).await);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let events = Events::default();
        // Both share the store, so the sealed cookies have the same key.
        let store = SwitchedStore::new(clock.clone());
        let sessions = Sessions::builder(store.sealed()).clock(clock.clone()).build().unwrap();
        let login = |provider: &OidcStub, name: &str| -> Router {
            let login = OidcLogin::discover(provider.issuer())
                .client_id(CLIENT_ID)
                .client_secret(CLIENT_SECRET)
                .redirect_uri(format!("{url}/{name}/callback"))
                .login_path(format!("/{name}/login"))
                .logout_path(format!("/{name}/logout"))
                .then(accept)
                .sessions(sessions.clone())
                .clock(clock.clone())
                .observer(events.clone());
            login.build().unwrap().into_router()
        };
        let app =
            app(&sessions, &clock).merge(login(&honest, "honest")).merge(login(&evil, "evil"));
        let app = app.into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, honest, evil, events }
    }

    /// Starts a login at this provider, and returns the URL of the callback.
    async fn callback_of(&self, browser: &UserAgent, name: &str) -> String {
        let reply = browser.open(&format!("{}/{name}/login", self.url)).await;
        location(&browser.follow_link(&location(&reply)).await)
    }

    fn assert_no_code_was_sent(&self, browser: &UserAgent) {
        assert!(browser.cookie(&self.url, SESSION).is_none());
        for provider in [&self.honest, &self.evil] {
            assert!(provider.received("/token").is_empty(), "{:?}", self.events.take());
        }
    }
}

#[tokio::test]
async fn both_providers_work() {
    let setup = Setup::new().await;
    for (name, provider) in [("honest", &setup.honest), ("evil", &setup.evil)] {
        let browser = UserAgent::new();
        let callback = setup.callback_of(&browser, name).await;
        assert_eq!(browser.follow_link(&callback).await.status, 303, "{:?}", setup.events.take());
        let reply = browser.open(&format!("{}/account", setup.url)).await;
        assert!(reply.body.ends_with(&format!("of {}", provider.issuer())), "{reply:?}");
        only(provider.received("/token"));
    }
}

/// The hostile provider sends the browser to the honest one. The code of the honest one must not
/// reach the token endpoint of the hostile one.
#[tokio::test]
async fn response_of_another_provider_is_rejected_by_its_iss() {
    let setup = Setup::new().await;
    let browser = UserAgent::new();
    let callback = setup.callback_of(&browser, "evil").await;
    let mixed = with_parameter(&callback, "iss", Some(setup.honest.issuer()));
    let reply = browser.follow_link(&mixed).await;
    assert!([400, 502].contains(&reply.status.as_u16()), "{reply:?}");
    setup.assert_no_code_was_sent(&browser);
}

/// The honest provider says that it sends `iss`.
#[tokio::test]
async fn response_without_iss_is_rejected_if_the_provider_sends_it() {
    let setup = Setup::new().await;
    setup.honest.change_callback(|parameters| parameters.retain(|(name, _)| name != "iss"));
    let browser = UserAgent::new();
    let callback = setup.callback_of(&browser, "honest").await;
    let reply = browser.follow_link(&callback).await;
    assert!([400, 502].contains(&reply.status.as_u16()), "{reply:?}");
    setup.assert_no_code_was_sent(&browser);
}

#[tokio::test]
async fn response_without_iss_is_accepted_if_the_provider_never_sends_it() {
    let setup = Setup::new().await;
    setup.honest.change_callback(|parameters| parameters.retain(|(name, _)| name != "iss"));
    setup.honest.change_metadata(|metadata| {
        metadata["authorization_response_iss_parameter_supported"] = false.into();
    });
    let browser = UserAgent::new();
    let callback = setup.callback_of(&browser, "honest").await;
    assert_eq!(browser.follow_link(&callback).await.status, 303, "{:?}", setup.events.take());
}

/// The state of a login at one provider is not valid at the callback of the other.
#[tokio::test]
async fn state_of_another_provider_is_rejected() {
    let setup = Setup::new().await;
    for (from, to) in [("honest", "evil"), ("evil", "honest")] {
        for has_iss in [true, false] {
            let browser = UserAgent::new();
            let callback = setup.callback_of(&browser, from).await;
            let mut moved = callback.replace(&format!("/{from}/"), &format!("/{to}/"));
            if !has_iss {
                let target = if to == "evil" { &setup.evil } else { &setup.honest };
                moved = with_parameter(&moved, "iss", Some(target.issuer()));
            }
            let reply = browser.follow_link(&moved).await;
            assert_eq!(reply.status, 400, "{from} {to}: {reply:?}");
            setup.assert_no_code_was_sent(&browser);
        }
    }
}

/// A hostile provider that names the honest issuer in its metadata or its ID tokens.
#[tokio::test]
async fn provider_cannot_log_users_of_another_issuer_in() {
    let setup = Setup::new().await;
    let honest = setup.honest.issuer().to_owned();
    setup.evil.change_claims(move |claims| claims["iss"] = honest.clone().into());
    let browser = UserAgent::new();
    let callback = setup.callback_of(&browser, "evil").await;
    assert_eq!(browser.follow_link(&callback).await.status, 502);
    assert!(browser.cookie(&setup.url, SESSION).is_none());
}
