//! Policies that combine.

use axum::{Router, routing::get};
use serde_json::{Value, json};
use tower_auth::{
    AuthenticateLayer, Policy, RequireRoles, RequireScopes, any_of,
    authorize::{Methods, RequireClaim, RequireIssuer, RequireSubject, ScopeHierarchy},
};

use super::{Api, Issuer, greet, staff};

/// Serves `GET /{user}` and `POST /{user}` under a policy.
async fn under<P>(issuer: &Issuer, policy: P) -> Api
where
    P: Policy + Send + Sync + 'static,
{
    let policy = std::sync::Arc::new(policy);
    let handlers = get(greet).post(greet).layer(tower_auth::AuthorizeLayer::new(policy));
    let app = Router::new()
        .route("/{user}", handlers)
        .layer(AuthenticateLayer::new(any_of(issuer.auth(), staff())));
    Api::serve(app).await
}

async fn status(api: &Api, issuer: &Issuer, claims: Value) -> u16 {
    api.with(&issuer.token_with(claims), "/user-1").await.status.as_u16()
}

fn scope(scopes: &str) -> String {
    format!(r#"Bearer realm="api", error="insufficient_scope", scope="{scopes}""#)
}

#[tokio::test]
async fn a_refusal_names_the_scopes_of_all_policies_at_once() {
    let issuer = Issuer::new();
    let policy = RequireScopes::all(["a"])
        .and(RequireScopes::any(["b", "c"]))
        .and(RequireScopes::all(["d", "a"]).or(RequireRoles::any(["root"])));
    let api = under(&issuer, policy).await;
    for held in ["", "a", "a b", "b d", "d", "c"] {
        let reply = api.with(&issuer.token_with(json!({ "scope": held })), "/user-1").await;
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
async fn what_no_token_could_mend_is_a_plain_403() {
    let issuer = Issuer::new();
    let policy = RequireScopes::all(["admin"])
        .and(RequireRoles::any(["clerk"]).and(RequireClaim::new("tenant", "acme")));
    let api = under(&issuer, policy).await;
    let reply = api.with(&issuer.token_with(json!({ "roles": ["clerk"] })), "/user-1").await;
    assert_eq!((reply.status.as_u16(), reply.challenges().len()), (403, 0));
    let good = json!({ "roles": ["clerk"], "tenant": "acme" });
    let reply = api.with(&issuer.token_with(good), "/user-1").await;
    assert_eq!((reply.status.as_u16(), reply.challenges()), (403, vec![&*scope("admin")]));
    let all = json!({ "roles": ["clerk"], "tenant": "acme", "scope": "admin" });
    assert_eq!(status(&api, &issuer, all).await, 200);
}

#[tokio::test]
async fn not_turns_a_refusal_around_and_lets_no_stranger_in() {
    let issuer = Issuer::new();
    let api = under(&issuer, RequireScopes::all(["guest"]).not()).await;
    assert_eq!(status(&api, &issuer, json!({})).await, 200);
    let reply = api.with(&issuer.token_with(json!({ "scope": "guest" })), "/user-1").await;
    assert_eq!((reply.status.as_u16(), reply.challenges().len()), (403, 0));
    assert_eq!(api.anonymously("/user-1").await.status, 401);
}

#[tokio::test]
async fn a_user_comes_to_what_is_theirs() {
    let issuer = Issuer::new();
    let own =
        RequireSubject::path_param("user").and(RequireIssuer::any(["https://issuer.example"]));
    let api = under(&issuer, own).await;
    let as_user = async |subject: &str, path: &str| {
        api.with(&issuer.token_with(json!({ "sub": subject })), path).await.status.as_u16()
    };
    assert_eq!(as_user("user-1", "/user-1").await, 200);
    assert_eq!(as_user("user-2", "/user-1").await, 403);
    // As axum's own extractor has it: decoded once.
    assert_eq!(as_user("ü 1", "/%C3%BC%201").await, 200);
    assert_eq!(as_user("a/b", "/a%2Fb").await, 200);
    assert_eq!(as_user("%41", "/%2541").await, 200);
    assert_eq!(as_user("A", "/%2541").await, 403);
    // What cannot be decoded is nobody's, and no fault of the service.
    assert_eq!(as_user("user-1", "/%FF").await, 403);
    // Who is not of that issuer does not get there by the name alone.
    let reply = api.as_staff("secret", "/alice").await;
    assert_eq!(reply.status, 403);
}

#[tokio::test]
async fn a_parameter_that_no_route_has_is_a_fault_of_the_service() {
    let issuer = Issuer::new();
    let api = under(&issuer, RequireSubject::path_param("name")).await;
    assert_eq!(status(&api, &issuer, json!({})).await, 500);
    // Nor does the fault turn into an admission.
    let api = under(&issuer, RequireSubject::path_param("name").not()).await;
    assert_eq!(status(&api, &issuer, json!({})).await, 500);
}

#[tokio::test]
async fn where_no_route_has_matched_nobody_is_asked_for() {
    let issuer = Issuer::new();
    for policy in [false, true] {
        let own = RequireSubject::path_param("user");
        let policy: Box<dyn Policy + Send + Sync> =
            if policy { Box::new(own.not()) } else { Box::new(own) };
        let app = Router::new()
            .route("/users/{user}", get(greet))
            .layer(tower_auth::AuthorizeLayer::new(policy))
            .layer(AuthenticateLayer::new(issuer.auth()));
        let api = Api::serve(app).await;
        assert_eq!(api.with(&issuer.token(), "/nowhere").await.status, 403);
        assert_eq!(api.with(&issuer.token(), "/users/%FF").await.status, 403);
    }
}

#[tokio::test]
async fn what_is_not_there_to_be_judged_is_not_turned_around() {
    #[derive(serde::Deserialize)]
    struct Mark {
        suspended: bool,
    }

    let issuer = Issuer::new();
    let suspended = RequireClaim::typed("suspended", |mark: &Mark| mark.suspended);
    let api = under(&issuer, suspended.not()).await;
    assert_eq!(status(&api, &issuer, json!({ "suspended": false })).await, 200);
    for odd in [json!(true), json!("true"), json!(1), json!(null)] {
        assert_eq!(status(&api, &issuer, json!({ "suspended": odd })).await, 403, "{odd}");
    }
    assert_eq!(api.as_staff("secret", "/x").await.status, 403);

    for policy in [
        Box::new(Methods::new().on([reqwest::Method::POST], RequireScopes::all(["guest"])).not())
            as Box<dyn Policy + Send + Sync>,
        Box::new(tower_auth::authorize::Routes::new().not()),
        Box::new(RequireIssuer::any([""; 0]).not()),
        Box::new(RequireSubject::any([""; 0]).not()),
        Box::new(RequireSubject::equal_to("nothing", |_| None).not()),
    ] {
        let api = under(&issuer, policy).await;
        assert_eq!(status(&api, &issuer, json!({})).await, 403);
    }
}

#[tokio::test]
async fn the_head_may_say_whose_it_is() {
    let issuer = Issuer::new();
    let query = RequireSubject::equal_to("?user", |head| {
        head.uri.query()?.strip_prefix("user=").map(Into::into)
    });
    let api = under(&issuer, query.or(RequireSubject::any(["root", "admin"]))).await;
    let get = async |path: &str| api.with(&issuer.token(), path).await.status.as_u16();
    assert_eq!(get("/x?user=user-1").await, 200);
    assert_eq!(get("/x?user=user-2").await, 403);
    assert_eq!(get("/x").await, 403);
    assert_eq!(status(&api, &issuer, json!({ "sub": "root" })).await, 200);
}

#[tokio::test]
async fn scopes_hold_others_only_where_it_is_said() {
    let issuer = Issuer::new();
    let hierarchy =
        ScopeHierarchy::new([("admin", ["admin:write"]), ("admin:write", ["admin:read"])]);
    let plain = under(&issuer, RequireScopes::all(["admin:read"])).await;
    let held = RequireScopes::all(["admin:read"]).hierarchy(&hierarchy.unwrap());
    let held = under(&issuer, held).await;
    for (scopes, without, with) in [
        ("admin", 403, 200),
        ("admin:write", 403, 200),
        ("admin:read", 200, 200),
        ("admin:", 403, 403),
    ] {
        assert_eq!(status(&plain, &issuer, json!({ "scope": scopes })).await, without, "{scopes}");
        assert_eq!(status(&held, &issuer, json!({ "scope": scopes })).await, with, "{scopes}");
    }
    let reply = held.with(&issuer.token(), "/user-1").await;
    assert_eq!(reply.challenges(), [scope("admin:read")]);
}

#[tokio::test]
async fn each_method_has_its_policy_and_others_have_none() {
    use reqwest::Method;

    let issuer = Issuer::new();
    let policy = Methods::new()
        .on([Method::GET], RequireScopes::all(["read"]))
        .on([Method::POST], RequireScopes::all(["admin"]));
    let api = under(&issuer, policy).await;
    let as_user = async |method: Method| {
        let request = api.request(method, "/user-1").bearer_auth(issuer.token());
        super::Reply::to(request).await
    };
    assert_eq!(as_user(Method::GET).await.status, 200);
    assert_eq!(as_user(Method::HEAD).await.status, 200);
    let posted = as_user(Method::POST).await;
    assert_eq!((posted.status.as_u16(), posted.challenges()), (403, vec![&*scope("admin")]));
    for other in [Method::DELETE, Method::OPTIONS, Method::from_bytes(b"get").unwrap()] {
        assert_eq!(as_user(other).await.status, 403);
    }
}

#[test]
fn a_policy_can_be_read() {
    let policy = RequireScopes::all(["a", "b"])
        .and(RequireScopes::any(["c", "d"]).or(RequireRoles::all(["x", "y"]).not()))
        .and(RequireSubject::path_param("user"));
    let text = "((scopes a, b and (any of the scopes c, d or not roles x, y)) and subject equal to {user})";
    assert_eq!(policy.to_string(), text);
    assert_eq!(format!("{policy:?}"), format!("Policy({text})"));
    let boxed: Box<dyn Policy + Send + Sync> = Box::new(policy);
    assert_eq!((boxed.to_string(), format!("{boxed:?}")), (text.into(), format!("Policy({text})")));
    assert_eq!(boxed.not().to_string(), format!("not {text}"));
    // What decides is in the text, or a change of it would pass unseen.
    let keycloak = RequireRoles::any(["admin"]).from_claim("/realm_access/roles");
    assert_eq!(keycloak.to_string(), "role admin of /realm_access/roles");
    let hierarchy = ScopeHierarchy::new([("root", ["read"]), ("write", ["read"])]).unwrap();
    let held = RequireScopes::all(["read", "x"]).hierarchy(&hierarchy);
    assert_eq!(held.to_string(), "scopes read (or root, write), x");
}
