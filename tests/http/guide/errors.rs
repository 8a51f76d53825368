//! The page about errors: the denials of handlers, and the responder on the outermost layer.

use axum::{Router, routing::get};
use serde_json::{Value, json};
use tower_auth::{
    AuthenticateLayer, AuthorizeLayer, Denial, Policy as _, Principal, Scheme, any_of,
    authorize::PolicyFn,
    policy_fn,
    respond::ProblemJson,
    test_util::AlwaysAs,
    transport::{Forwarded, HttpsLayer},
};

use super::{Api, Issuer, page, staff};

/// A function of the table, with its name.
type NamedDenial = (&'static str, fn() -> Denial);

fn denials() -> [NamedDenial; 6] {
    [
        ("forbidden", Denial::forbidden),
        ("insufficient_scope", || Denial::insufficient_scope("orders:cancel")),
        ("insufficient_user_authentication", || {
            Denial::insufficient_user_authentication("gold", None)
        }),
        ("indeterminate", Denial::indeterminate),
        ("unavailable", Denial::unavailable),
        ("misconfigured", Denial::misconfigured),
    ]
}

/// Returns the cells of each row of the table.
fn rows(page: &str) -> Vec<Vec<&str>> {
    let rows = page.lines().skip_while(|line| !line.starts_with("| denial |")).skip(2);
    let rows = rows.take_while(|line| line.starts_with('|'));
    rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

async fn handler_denies(authenticate: Router, path: &str) -> (String, Vec<String>) {
    let reply = Api::serve(authenticate).await.get_anonymous(path).await;
    let challenges = reply.challenges().into_iter().map(ToOwned::to_owned).collect();
    (reply.status.as_u16().to_string(), challenges)
}

#[tokio::test]
async fn guide_has_the_status_of_each_denial() {
    let page = page("errors");
    let rows = rows(&page);
    assert_eq!(rows.len(), denials().len());
    for (row, (name, denial)) in rows.into_iter().zip(denials()) {
        let [link, bearer, session, others, anonymous, in_not] = row[..] else { panic!("{row:?}") };
        assert_eq!(link, format!("[`{name}`](crate::Denial::{name})"));
        let routes = || Router::new().route("/", get(async move || Err::<(), _>(denial())));
        for (cell, schemes) in [
            (bearer, [Scheme::BEARER, Scheme::DPOP]),
            (session, [Scheme::COOKIE; 2]),
            (others, [Scheme::BASIC, Scheme::CERTIFICATE]),
        ] {
            for scheme in schemes {
                let caller = Principal::builder("alice", scheme).build();
                let layer = AuthenticateLayer::new(AlwaysAs::new(caller));
                let (status, challenges) = handler_denies(routes().layer(layer), "/").await;
                assert!(cell.starts_with(&status), "{name} {scheme}: {status}");
                assert_eq!(cell.contains("with the"), !challenges.is_empty(), "{name} {scheme}");
            }
        }
        let layer = AuthenticateLayer::optional(any_of((Issuer::new().auth(), staff())));
        let (status, challenges) = handler_denies(routes().layer(layer), "/").await;
        assert_eq!((&*status, challenges.len()), (anonymous, if status == "401" { 2 } else { 0 }));

        let policy: PolicyFn<_> = policy_fn(name, move |_, _| Err(denial()));
        let caller = Principal::builder("alice", Scheme::BEARER).build();
        let app = Router::new()
            .route("/", get(async || "ok"))
            .layer(AuthorizeLayer::new(policy.not()))
            .layer(AuthenticateLayer::new(AlwaysAs::new(caller)));
        let (status, _) = handler_denies(app, "/").await;
        assert_eq!(if status == "200" { "allowed" } else { "rejected" }, in_not, "{name}");
    }
}

#[tokio::test]
async fn responder_of_the_https_layer_renders_the_rejections_of_handlers() {
    let issuer = Issuer::new();
    let app = Router::new()
        .route("/", get(async || Err::<(), _>(Denial::insufficient_scope("orders:cancel"))))
        .layer(AuthenticateLayer::new(issuer.auth()))
        .layer(HttpsLayer::new(Forwarded::direct().tls()).responder(ProblemJson::default()));
    let api = Api::serve(app).await;
    let denied = api.get_with_token(&issuer.token(), "/").await;
    assert_eq!(denied.status, 403);
    let challenge = r#"Bearer realm="api", error="insufficient_scope", scope="orders:cancel""#;
    assert_eq!(denied.challenges(), [challenge]);
    let missing = api.get_anonymous("/").await;
    for (reply, detail) in
        [(denied, "the granted scopes are insufficient"), (missing, "credentials are required")]
    {
        let body: Value = serde_json::from_str(&reply.body).unwrap();
        assert_eq!(body["detail"], json!(detail));
    }
}
