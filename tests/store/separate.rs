//! Two instances with a store in memory each, which the guide to shared state advises against.

use http::{Request, Response, header::SET_COOKIE, request::Parts};
use tower_auth::{
    Authenticator as _, RejectionKind,
    issue::{RefreshError, TokenIssuer},
    session::Sessions,
    store::SealedStore,
    test_util::principal,
};

fn head(cookie: &str) -> Parts {
    Request::get("/").header("cookie", cookie).body(()).unwrap().into_parts().0
}

#[tokio::test(flavor = "multi_thread")]
async fn session_of_one_instance_is_unknown_to_the_other() {
    let [one, other] = [(); 2].map(|()| Sessions::builder(SealedStore::memory()).build().unwrap());
    let mut response = Response::new(());
    one.start(&principal("alice").build(), &head(""), &mut response).await.unwrap();
    let cookie = response.headers()[SET_COOKIE].to_str().unwrap().split(';').next().unwrap();
    assert!(one.authenticate(&head(cookie)).unwrap().await.into_result().is_ok());
    let outcome = other.authenticate(&head(cookie)).unwrap().await;
    assert!(outcome.headers().any(|(name, _)| name == SET_COOKIE));
    assert_eq!(outcome.into_result().unwrap_err().kind(), RejectionKind::InvalidCredentials);
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_and_logouts_of_one_instance_are_unknown_to_the_other() {
    let [one, other] = [(); 2].map(|()| {
        let builder = TokenIssuer::builder().issuer("https://login.example").audience("orders");
        builder.store(SealedStore::memory()).build().unwrap()
    });
    let tokens = one.issue(&principal("alice").build()).await.unwrap();
    let rejection = other.verifier().verify(tokens.access_token()).await.unwrap_err();
    assert_eq!(rejection.kind(), RejectionKind::InvalidCredentials, "{rejection:?}");
    let refreshed = other.refresh(tokens.refresh_token()).await;
    assert!(matches!(refreshed, Err(RefreshError::Malformed)), "{refreshed:?}");
    other.logout(tokens.refresh_token()).await.unwrap();
    assert!(one.refresh(tokens.refresh_token()).await.is_ok());
}
