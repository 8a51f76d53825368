//! Events of client middleware, as the default observer writes them.

use std::{future::ready, io};

use bytes::Bytes;
use http::{Request, Response};
use tower_auth::client::{RefreshGrant, RefreshingToken, TokenEndpoint};

use super::{ALONE, Log};

/// The runtime has one thread, so that the subscriber of this thread also sees other tasks.
#[tokio::test]
async fn refresh_token_that_was_not_saved_is_one_error_and_a_rejected_one_is_a_warning() {
    let _alone = ALONE.lock().await;
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_writer(log.clone()).with_ansi(false).finish();
    let _guard = tracing::subscriber::set_default(subscriber);

    let send = |request: Request<Bytes>| {
        let (status, body) = if request.body().ends_with(b"=s3cret-1") {
            let token = r#""access_token":"s3cret-a","token_type":"Bearer","expires_in":1"#;
            (200, format!(r#"{{{token},"refresh_token":"s3cret-2"}}"#))
        } else {
            (400, r#"{"error":"invalid_grant","error_description":"\u001b[2J"}"#.to_owned())
        };
        let response = Response::builder().status(status).body(Bytes::from(body)).unwrap();
        ready(Ok::<_, io::Error>(response))
    };
    let endpoint = TokenEndpoint::url("https://issuer.example/token").client(send);
    let grant = RefreshGrant::new(endpoint.build().unwrap(), "s3cret-1")
        .on_rotated(|_| ready(Err(io::Error::other("the disk is full"))));
    RefreshingToken::new(grant.clone()).header_value().await.unwrap();
    let words = ["ERROR", "a new refresh token was not saved", "the disk is full"];
    assert_eq!(log.count_lines_with(&words), 1);

    RefreshingToken::new(grant).header_value().await.unwrap_err();
    let words = ["WARN", "token fetch failed", "log in again", r"invalid_grant (\u{1b}[2J)"];
    assert_eq!(log.count_lines_with(&words), 1);
    assert_eq!(log.count_lines_with(&["tower_auth"]), 2);
    assert_eq!(log.count_lines_with(&["s3cret"]), 0);
}
