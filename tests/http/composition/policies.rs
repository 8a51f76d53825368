//! Combined policies.

use axum::{Router, routing::get};
use serde_json::{Value, json};
use tokio::task::yield_now;
use tower_auth::{
    AuthenticateLayer, AuthorizeLayer, Denial, Policy, Principal, RequireRoles, RequireScopes,
    any_of,
    authorize::{Decision, Methods, RequireClaim, RequireIssuer, RequireSubject, ScopeHierarchy},
    policy_fn,
};

use super::{Api, Issuer, greet, staff};

/// Serves `GET /{user}` and `POST /{user}` with the given policy.
async fn serve_with_policy<P>(issuer: &Issuer, policy: P) -> Api
where
    P: Policy + 'static,
{
    let policy = std::sync::Arc::new(policy);
    let handlers = get(greet).post(greet).layer(AuthorizeLayer::new(policy));
    let app = Router::new()
        .route("/{user}", handlers)
        .layer(AuthenticateLayer::new(any_of((issuer.auth(), staff()))));
    Api::serve(app).await
}

async fn status(api: &Api, issuer: &Issuer, claims: Value) -> u16 {
    api.get_with_token(&issuer.token_with(claims), "/user-1").await.status.as_u16()
}

fn insufficient_scope(scopes: &str) -> String {
    format!(r#"Bearer realm="api", error="insufficient_scope", scope="{scopes}""#)
}

#[tokio::test]
async fn rejection_names_the_scopes_of_all_combined_policies() {
    let issuer = Issuer::new();
    let policy = RequireScopes::all(["a"])
        .and(RequireScopes::any(["b", "c"]))
        .and(RequireScopes::all(["d", "a"]).or(RequireRoles::any(["root"])));
    let api = serve_with_policy(&issuer, policy).await;
    for held in ["", "a", "a b", "b d", "d", "c"] {
        let reply =
            api.get_with_token(&issuer.token_with(json!({ "scope": held })), "/user-1").await;
        assert_eq!(reply.status, 403);
        let [challenge] = *reply.challenges() else { panic!("{reply:?}") };
        let named = challenge.rsplit_once("scope=").unwrap().1.trim_matches('"');
        let mut named: Vec<_> = named.split(' ').collect();
        named.sort_unstable();
        assert_eq!(named, ["a", "b", "c", "d"], "{held}");
    }
    assert_eq!(status(&api, &issuer, json!({ "scope": "a c d" })).await, 200);
    assert_eq!(status(&api, &issuer, json!({ "scope": "a c", "roles": ["root"] })).await, 200);
}

#[tokio::test]
async fn scopes_are_named_only_if_they_are_sufficient() {
    let issuer = Issuer::new();
    let policy = RequireScopes::all(["admin"])
        .and(RequireRoles::any(["clerk"]).and(RequireClaim::new("tenant", "acme")));
    let api = serve_with_policy(&issuer, policy).await;
    let reply =
        api.get_with_token(&issuer.token_with(json!({ "roles": ["clerk"] })), "/user-1").await;
    assert_eq!((reply.status.as_u16(), reply.challenges().len()), (403, 0));
    let without_scope = json!({ "roles": ["clerk"], "tenant": "acme" });
    let reply = api.get_with_token(&issuer.token_with(without_scope), "/user-1").await;
    assert_eq!(
        (reply.status.as_u16(), reply.challenges()),
        (403, vec![&*insufficient_scope("admin")])
    );
    let all = json!({ "roles": ["clerk"], "tenant": "acme", "scope": "admin" });
    assert_eq!(status(&api, &issuer, all).await, 200);
}

#[tokio::test]
async fn not_inverts_a_denial_and_rejects_anonymous_requests() {
    let issuer = Issuer::new();
    let api = serve_with_policy(&issuer, RequireScopes::all(["guest"]).not()).await;
    assert_eq!(status(&api, &issuer, json!({})).await, 200);
    let reply =
        api.get_with_token(&issuer.token_with(json!({ "scope": "guest" })), "/user-1").await;
    assert_eq!((reply.status.as_u16(), reply.challenges().len()), (403, 0));
    assert_eq!(api.get_anonymous("/user-1").await.status, 401);
}

#[tokio::test]
async fn subject_must_equal_the_decoded_path_parameter() {
    let issuer = Issuer::new();
    let own =
        RequireSubject::path_param("user").and(RequireIssuer::any(["https://issuer.example"]));
    let api = serve_with_policy(&issuer, own).await;
    let as_user = async |subject: &str, path: &str| {
        api.get_with_token(&issuer.token_with(json!({ "sub": subject })), path)
            .await
            .status
            .as_u16()
    };
    assert_eq!(as_user("user-1", "/user-1").await, 200);
    assert_eq!(as_user("user-2", "/user-1").await, 403);
    // The parameter is percent-decoded once, as by axum's extractor.
    assert_eq!(as_user("ü 1", "/%C3%BC%201").await, 200);
    assert_eq!(as_user("a/b", "/a%2Fb").await, 200);
    assert_eq!(as_user("%41", "/%2541").await, 200);
    assert_eq!(as_user("A", "/%2541").await, 403);
    // A parameter that cannot be decoded is the client's error, not a service error.
    assert_eq!(as_user("user-1", "/%FF").await, 403);
    // A Basic caller with the same subject does not have the required issuer.
    let reply = api.get_as_staff("secret", "/alice").await;
    assert_eq!(reply.status, 403);
}

#[tokio::test]
async fn missing_path_parameter_returns_500() {
    let issuer = Issuer::new();
    let api = serve_with_policy(&issuer, RequireSubject::path_param("name")).await;
    assert_eq!(status(&api, &issuer, json!({})).await, 500);
    // `not` does not turn the error into an admission.
    let api = serve_with_policy(&issuer, RequireSubject::path_param("name").not()).await;
    assert_eq!(status(&api, &issuer, json!({})).await, 500);
}

#[tokio::test]
async fn path_parameter_policy_returns_403_without_a_matching_route() {
    let issuer = Issuer::new();
    for inverted in [false, true] {
        let own = RequireSubject::path_param("user");
        let policy: Box<dyn Policy> = if inverted { Box::new(own.not()) } else { Box::new(own) };
        let app = Router::new()
            .route("/users/{user}", get(greet))
            .layer(AuthorizeLayer::new(policy))
            .layer(AuthenticateLayer::new(issuer.auth()));
        let api = Api::serve(app).await;
        assert_eq!(api.get_with_token(&issuer.token(), "/nowhere").await.status, 403);
        assert_eq!(api.get_with_token(&issuer.token(), "/users/%FF").await.status, 403);
    }
}

#[tokio::test]
async fn not_does_not_invert_indeterminate_denials() {
    #[derive(serde::Deserialize)]
    struct AccountClaims {
        suspended: bool,
    }

    let issuer = Issuer::new();
    let suspended = RequireClaim::typed("suspended", |account: &AccountClaims| account.suspended);
    let api = serve_with_policy(&issuer, suspended.not()).await;
    assert_eq!(status(&api, &issuer, json!({ "suspended": false })).await, 200);
    for malformed in [json!(true), json!("true"), json!(1), json!(null)] {
        assert_eq!(
            status(&api, &issuer, json!({ "suspended": malformed })).await,
            403,
            "{malformed}"
        );
    }
    assert_eq!(api.get_as_staff("secret", "/x").await.status, 403);

    for policy in [
        Box::new(Methods::new().on([reqwest::Method::POST], RequireScopes::all(["guest"])).not())
            as Box<dyn Policy>,
        Box::new(tower_auth::authorize::Routes::new().not()),
        Box::new(RequireSubject::equal_to("nothing", |_| None).not()),
    ] {
        let api = serve_with_policy(&issuer, policy).await;
        assert_eq!(status(&api, &issuer, json!({})).await, 403);
    }
}

/// The policy of a method that has none is undecided, whatever faults the other branches have.
#[tokio::test]
async fn fault_in_a_denied_branch_does_not_admit_the_caller() {
    use reqwest::Method;

    let read = || Methods::new().on([Method::GET], RequireScopes::all(["read"]));
    let admin = || RequireScopes::all(["admin"]);
    // The route has no parameter `user`.
    let fault = || RequireSubject::path_param("user");
    let pending = || {
        policy_fn("pending admin", |caller: &Principal, _| {
            let is_admin = caller.scopes().contains("admin");
            Decision::pending(async move {
                yield_now().await;
                if is_admin { Ok(()) } else { Err(Denial::forbidden()) }
            })
        })
    };
    // All mean the same as the first.
    let policies: [Box<dyn Policy>; 8] = [
        Box::new(read().and(admin().and(fault()).not()).not()),
        Box::new(read().and(fault().and(admin()).not()).not()),
        Box::new(admin().and(fault()).not().and(read()).not()),
        Box::new(read().and(admin().not().or(fault().not())).not()),
        Box::new(read().not().or(admin().and(fault()))),
        Box::new(read().and(admin().not().not().and(fault().not().not()).not()).not().not().not()),
        Box::new(read().and(pending().and(fault()).not()).not()),
        Box::new(fault().and(pending()).not().and(read()).not()),
    ];
    let issuer = Issuer::new();
    for (position, policy) in policies.into_iter().enumerate() {
        let name = policy.to_string();
        let app = Router::new()
            .route(
                "/{name}",
                get(greet).post(greet).delete(greet).layer(AuthorizeLayer::new(policy)),
            )
            .layer(AuthenticateLayer::new(issuer.auth()));
        let api = Api::serve(app).await;
        for (scope, expected_for_get) in [
            // Without `admin`, the fault does not matter: the inner `not` allows every method.
            ("read", 403),
            ("", 200),
            ("read admin", 500),
            // GET is denied for the scope, so the outer `not` allows it, whatever the fault hides.
            ("admin", 200),
        ] {
            let token = issuer.token_with(json!({ "scope": scope }));
            for (method, expected) in [
                (Method::GET, expected_for_get),
                (Method::HEAD, expected_for_get),
                (Method::POST, 403),
                (Method::DELETE, 403),
            ] {
                let request = api.request(method.clone(), "/user-1").bearer_auth(&token);
                let status = super::Reply::to(request).await.status;
                // A denial with a fault in a branch may be reported as the fault.
                let is_rejected = position > 0 && expected != 200;
                assert!(
                    status == expected || (is_rejected && matches!(status.as_u16(), 403 | 500)),
                    "{status} for {method} {scope:?} {name}"
                );
            }
        }
    }
}

#[tokio::test]
async fn subject_is_compared_with_a_value_from_the_request_head() {
    let issuer = Issuer::new();
    let query = RequireSubject::equal_to("?user", |head| {
        head.uri.query()?.strip_prefix("user=").map(Into::into)
    });
    let api = serve_with_policy(&issuer, query.or(RequireSubject::any(["root", "admin"]))).await;
    let get = async |path: &str| api.get_with_token(&issuer.token(), path).await.status.as_u16();
    assert_eq!(get("/x?user=user-1").await, 200);
    assert_eq!(get("/x?user=user-2").await, 403);
    assert_eq!(get("/x").await, 403);
    assert_eq!(status(&api, &issuer, json!({ "sub": "root" })).await, 200);
}

#[tokio::test]
async fn only_declared_hierarchies_imply_scopes() {
    let issuer = Issuer::new();
    let hierarchy =
        ScopeHierarchy::new([("admin", ["admin:write"]), ("admin:write", ["admin:read"])]);
    let plain = serve_with_policy(&issuer, RequireScopes::all(["admin:read"])).await;
    let implied = RequireScopes::all(["admin:read"]).hierarchy(&hierarchy.unwrap());
    let implied = serve_with_policy(&issuer, implied).await;
    for (scopes, without, with) in [
        ("admin", 403, 200),
        ("admin:write", 403, 200),
        ("admin:read", 200, 200),
        ("admin:", 403, 403),
    ] {
        assert_eq!(status(&plain, &issuer, json!({ "scope": scopes })).await, without, "{scopes}");
        assert_eq!(status(&implied, &issuer, json!({ "scope": scopes })).await, with, "{scopes}");
    }
    let reply = implied.get_with_token(&issuer.token(), "/user-1").await;
    assert_eq!(reply.challenges(), [insufficient_scope("admin:read")]);
}

#[tokio::test]
async fn methods_without_a_policy_return_403() {
    use reqwest::Method;

    let issuer = Issuer::new();
    let policy = Methods::new()
        .on([Method::GET], RequireScopes::all(["read"]))
        .on([Method::POST], RequireScopes::all(["admin"]));
    let api = serve_with_policy(&issuer, policy).await;
    let as_user = async |method: Method| {
        let request = api.request(method, "/user-1").bearer_auth(issuer.token());
        super::Reply::to(request).await
    };
    assert_eq!(as_user(Method::GET).await.status, 200);
    assert_eq!(as_user(Method::HEAD).await.status, 200);
    let posted = as_user(Method::POST).await;
    assert_eq!(
        (posted.status.as_u16(), posted.challenges()),
        (403, vec![&*insufficient_scope("admin")])
    );
    for other in [Method::DELETE, Method::OPTIONS, Method::from_bytes(b"get").unwrap()] {
        assert_eq!(as_user(other).await.status, 403);
    }
}

#[test]
fn policies_display_their_requirements() {
    let policy = RequireScopes::all(["a", "b"])
        .and(RequireScopes::any(["c", "d"]).or(RequireRoles::all(["x", "y"]).not()))
        .and(RequireSubject::path_param("user"));
    let text = "((scopes a, b and (any of the scopes c, d or not roles x, y)) and subject equal to {user})";
    assert_eq!(policy.to_string(), text);
    assert_eq!(format!("{policy:?}"), format!("Policy({text})"));
    let boxed: Box<dyn Policy> = Box::new(policy);
    assert_eq!((boxed.to_string(), format!("{boxed:?}")), (text.into(), format!("Policy({text})")));
    assert_eq!(boxed.not().to_string(), format!("not {text}"));
    // The text includes claim paths and hierarchies, so that a change of them is visible.
    let keycloak = RequireRoles::any(["admin"]).from_claim("/realm_access/roles");
    assert_eq!(keycloak.to_string(), "role admin of /realm_access/roles");
    let hierarchy = ScopeHierarchy::new([("root", ["read"]), ("write", ["read"])]).unwrap();
    let held = RequireScopes::all(["read", "x"]).hierarchy(&hierarchy);
    assert_eq!(held.to_string(), "scopes read (or root, write), x");
}
