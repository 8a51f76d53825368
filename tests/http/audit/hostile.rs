use axum::{Router, routing::get};
use http::Request;
use tower::ServiceExt as _;
use tower_auth::{
    AuthenticateLayer, BasicAuth,
    basic::Users,
    observe::{AuditLog, Event},
};
use tower_auth_test_support::{api::Api, raw};

use super::{Pipe, lines};

#[tokio::test]
async fn hostile_path_cannot_forge_a_line() {
    let folder = tempfile::tempdir().unwrap();
    let audit = AuditLog::directory(folder.path()).build().unwrap();
    let users = Users::new([("alice", "secret")]).unwrap();
    let layer = AuthenticateLayer::new(BasicAuth::new("staff", users).unwrap());
    let app = Router::new().route("/", get(async || "ok")).layer(layer.observer(audit.clone()));
    let api = Api::serve(app).await;
    let paths = [
        "/\",\"subject\":\"alice",
        "/\\\",\\\"event\\\":\\\"logged_in",
        "/\u{202e}\u{2028}{\"event\":\"logged_in\"}",
        "/%0a{\"event\":\"logged_in\"}",
        &format!("/{}", "\u{e9}".repeat(8_000)),
    ];
    for path in paths {
        let (address, path) = (api.address.clone(), path.to_owned());
        let send = move || raw::get(&address, &path, &[]).status;
        let status = tokio::task::spawn_blocking(send).await.unwrap();
        assert!(status == 401 || status == 404 || status == 400, "{status}");
    }
    let lines = lines(&audit, folder.path()).await;
    assert!(lines.iter().any(|line| line["path"] == paths[0]), "{lines:#?}");
    for line in lines {
        assert_eq!(line["event"], "rejected");
        assert_eq!(line["kind"], "missing_credentials");
        assert!(line.get("subject").is_none());
        assert!(line["path"].as_str().unwrap().len() <= 1_024);
    }
}

/// A flood of long paths and user names, while nothing is written.
#[tokio::test]
async fn flood_of_long_requests_is_bounded_and_counted() {
    const REQUESTS: u64 = 3_000;
    const BYTES: usize = 256 * 1_024;

    let pipe = Pipe::default();
    let audit = AuditLog::writer(pipe.clone()).queue(1_000_000, BYTES);
    let audit = audit.observer(|_: &Event<'_>| {}).build().unwrap();
    pipe.set_closed(true);
    let users = Users::new([("alice", "secret")]).unwrap();
    let layer = AuthenticateLayer::new(BasicAuth::new("staff", users).unwrap());
    let app = Router::new().route("/", get(async || "ok")).layer(layer.observer(audit.clone()));
    for index in 0..REQUESTS {
        let path = format!("/{index}{}", "%00".repeat(10_000));
        let request = Request::get(path).body(axum::body::Body::empty()).unwrap();
        app.clone().oneshot(request).await.unwrap();
    }
    let dropped = audit.dropped();
    assert!(dropped.rejections() > REQUESTS / 2, "{dropped:?}");
    pipe.set_closed(false);
    audit.flush().await.unwrap();
    assert!(pipe.bytes() <= BYTES + 1_000, "{}", pipe.bytes());
}
