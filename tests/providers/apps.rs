//! Sign-in for applications: Firebase, Supabase, Clerk and Descope.

use http::Request;
use serde_json::{Value, json};
use tower_auth::{
    Authenticator, ConfigError, JwtAuth,
    credentials::TokenLocation,
    jwt::{Keys, TokenError},
};

use crate::{
    published::{Jwks, RSA, SUPABASE_SECRET},
    sample::Sample,
};

fn firebase() -> Result<JwtAuth, ConfigError> {
    JwtAuth::builder(Jwks::discover("https://securetoken.google.com/acme-orders"))
        .audience("acme-orders")
        .build()
}

fn firebase_session() -> Result<JwtAuth, ConfigError> {
    let keys = Jwks::url("https://www.googleapis.com/identitytoolkit/v3/relyingparty/publicKeys");
    JwtAuth::builder(keys.pem_map())
        .issuer("https://session.firebase.google.com/acme-orders")
        .audience("acme-orders")
        .token_from(TokenLocation::cookie("__Host-session"))
        .build()
}

fn supabase() -> Result<JwtAuth, ConfigError> {
    let project = "https://abcdefghijklmnopqrst.supabase.co/auth/v1";
    JwtAuth::builder(Jwks::url(format!("{project}/.well-known/jwks.json")))
        .issuer(project)
        .audience("authenticated")
        .require_claim_value("role", "authenticated")
        .build()
}

fn supabase_secret(keys: Keys) -> Result<JwtAuth, ConfigError> {
    JwtAuth::builder(keys)
        .issuer("https://abcdefghijklmnopqrst.supabase.co/auth/v1")
        .audience("authenticated")
        .require_claim_value("role", "authenticated")
        .build()
}

fn clerk() -> Result<JwtAuth, ConfigError> {
    JwtAuth::builder(Jwks::url("https://clerk.shop.example/.well-known/jwks.json"))
        .issuer("https://clerk.shop.example")
        .audience("https://shop.example")
        .audience_from("azp")
        .require_claim("sid")
        .require_claim_value("sts", "active")
        .build()
}

fn descope() -> Result<JwtAuth, ConfigError> {
    let project = "P2YuRTmSv8PdoasfasfWiLoBrZP9";
    JwtAuth::builder(Jwks::url(format!("https://api.descope.com/v2/keys/{project}")))
        .issuer([project.to_owned(), format!("https://api.descope.com/{project}")])
        .dangerous_any_audience()
        .require_claim_value("drn", "DS")
        .build()
}

fn firebase_claims(issuer: &str) -> Value {
    json!({
        "name": "Jane", "iss": issuer, "aud": "acme-orders", "auth_time": 1_534_417_139,
        "user_id": "CUCPCuD50xgKeEfVggJ1fYQYNOj1", "sub": "CUCPCuD50xgKeEfVggJ1fYQYNOj1",
        "iat": 0, "exp": 0, "email": "jane@example.com", "email_verified": false, "admin": true,
        "firebase": {
            "identities": { "google.com": ["1076915035"], "email": ["jane@example.com"] },
            "sign_in_provider": "password", "tenant": "acme-x1y2z",
        },
    })
}

#[tokio::test]
async fn only_firebase_id_tokens_of_the_project_are_admitted() {
    let header = json!({ "alg": "RS256", "kid": "3b4f2c", "typ": "JWT" });
    let claims = firebase_claims("https://securetoken.google.com/acme-orders");
    let sample = Sample::new(firebase().unwrap(), header, claims);
    assert_eq!(sample.admit(json!({})).await.subject(), "CUCPCuD50xgKeEfVggJ1fYQYNOj1");

    sample.reject_usual_near_misses().await;
    // All projects have the same keys.
    let other = json!({ "iss": "https://securetoken.google.com/evil", "aud": "evil" });
    sample.reject(other, TokenError::Issuer).await;
    sample.reject(json!({ "aud": "evil" }), TokenError::Audience).await;
    for (issuer, aud) in [
        ("https://session.firebase.google.com/acme-orders", "acme-orders"),
        ("https://firebaseappcheck.googleapis.com/123456789012", "projects/acme-orders"),
        ("https://securetoken.google.com/", "acme-orders"),
    ] {
        sample.reject(json!({ "iss": issuer, "aud": aud }), TokenError::Issuer).await;
    }
    sample.reject(json!({ "sub": "" }), TokenError::MissingClaim("sub".into())).await;
}

#[tokio::test]
async fn only_firebase_session_cookies_of_the_project_are_admitted() {
    let header = json!({ "alg": "RS256", "kid": "eZKp-A" });
    let claims = firebase_claims("https://session.firebase.google.com/acme-orders");
    let sample = Sample::new(firebase_session().unwrap(), header, claims);
    sample.admit(json!({})).await;
    sample.reject_usual_near_misses().await;
    let id_token = json!({ "iss": "https://securetoken.google.com/acme-orders" });
    sample.reject(id_token, TokenError::Issuer).await;
    sample.reject(json!({ "aud": "evil" }), TokenError::Audience).await;
}

#[tokio::test]
async fn firebase_session_is_read_only_from_its_cookie() {
    let header = json!({ "alg": "RS256", "kid": "eZKp-A" });
    let mut claims = firebase_claims("https://session.firebase.google.com/acme-orders");
    claims["exp"] = 4_102_444_800_u64.into();
    let token = RSA.token_with(&header, &claims);
    let tokens = firebase_session().unwrap();
    let head = |name, value: String| {
        Request::builder().header(name, value).body(()).unwrap().into_parts().0
    };
    let cookie = head("cookie", format!("a=1; __Host-session={token}"));
    assert!(tokens.authenticate(&cookie).unwrap().await.into_result().is_ok());
    for (name, value) in [("authorization", "Bearer "), ("cookie", "__session=")] {
        assert!(tokens.authenticate(&head(name, format!("{value}{token}"))).is_none(), "{name}");
    }
}

const SUPABASE: &str = "https://abcdefghijklmnopqrst.supabase.co/auth/v1";

fn supabase_user() -> Value {
    json!({
        "aal": "aal1", "amr": [{ "method": "password", "timestamp": 1_640_991_600 }],
        "app_metadata": { "provider": "email", "providers": ["email"] }, "aud": "authenticated",
        "email": "user@example.com", "exp": 0, "iat": 0, "iss": SUPABASE, "phone": "",
        "role": "authenticated", "session_id": "123e4567-e89b-12d3-a456-426614174000",
        "sub": "123e4567-e89b-12d3-a456-426614174000",
        "user_metadata": { "name": "John Doe", "avatar": null, "score": 0.5 },
        "is_anonymous": false,
    })
}

#[tokio::test]
async fn only_supabase_users_of_the_project_are_admitted() {
    let es256 =
        json!({ "alg": "ES256", "kid": "b81269f1-21d8-4f2e-b719-c2240a840d90", "typ": "JWT" });
    // A legacy project: the `kid` names a secret that is not published.
    let hs256 = json!({ "alg": "HS256", "kid": "hvgRAyTjxOyT0sBo", "typ": "JWT" });
    let with_secret = supabase_secret(Keys::hs256(SUPABASE_SECRET)).unwrap();
    for (tokens, header) in [(supabase().unwrap(), es256), (with_secret, hs256)] {
        let sample = Sample::new(tokens, header, supabase_user());
        let caller = sample.admit(json!({})).await;
        assert_eq!(caller.subject(), "123e4567-e89b-12d3-a456-426614174000");
        assert!(!caller.claim::<bool>("is_anonymous").unwrap());

        sample.reject_usual_near_misses().await;
        for role in ["anon", "service_role", "supabase_admin"] {
            let other = json!({ "role": role });
            sample.reject(other, TokenError::ClaimValue("role".into())).await;
            // A key of the project, which is a token without a subject.
            let key = json!({
                "iss": "supabase", "ref": "abcdefghijklmnopqrst", "role": role, "aud": null,
                "sub": null,
            });
            sample.reject(key, TokenError::Issuer).await;
        }
        sample.reject(json!({ "aud": "anon" }), TokenError::Audience).await;
        let other_project = json!({ "iss": "https://zzzzzzzzzzzzzzzzzzzz.supabase.co/auth/v1" });
        sample.reject(other_project, TokenError::Issuer).await;
    }
}

#[tokio::test]
async fn only_clerk_sessions_of_the_application_are_admitted() {
    let header = json!({
        "alg": "RS256", "cat": "cl_B7d4PD111AAA", "kid": "ins_3DGC6RbgQaOglagDsLk6LCFM35J",
        "typ": "JWT",
    });
    let claims = json!({
        "azp": "https://shop.example", "exp": 0, "fva": [85, -1], "iat": 0,
        "iss": "https://clerk.shop.example", "jti": "1234567890", "nbf": 0,
        "o": { "id": "org_123", "rol": "admin", "slg": "org-slug", "per": "read,manage", "fpm": "3" },
        "pla": "o:pro", "fea": "o:dashboard", "sid": "sess_3DGFRsC6DifD8ixBMuzDhZ854TQ",
        "sts": "active", "sub": "user_3DGDPJWoHeW2vdGyTqRFP1g7ysm", "v": 2,
    });
    let sample = Sample::new(clerk().unwrap(), header, claims);
    let caller = sample.admit(json!({})).await;
    assert_eq!(caller.subject(), "user_3DGDPJWoHeW2vdGyTqRFP1g7ysm");

    sample.reject_usual_near_misses().await;
    for azp in ["https://evil.example", "http://shop.example", "https://shop.example/"] {
        sample.reject(json!({ "azp": azp }), TokenError::Audience).await;
    }
    sample.reject(json!({ "azp": null }), TokenError::Audience).await;
    // A token of a JWT template for another service.
    sample.reject(json!({ "aud": "https://db.example" }), TokenError::Audience).await;
    sample.reject(json!({ "sid": null }), TokenError::MissingClaim("sid".into())).await;
    // The user has not yet chosen an organization.
    sample.reject(json!({ "sts": "pending" }), TokenError::ClaimValue("sts".into())).await;
    let other = json!({ "iss": "https://balanced-chamois-79.clerk.accounts.dev" });
    sample.reject(other, TokenError::Issuer).await;
}

#[tokio::test]
async fn only_descope_session_tokens_of_the_project_are_admitted() {
    let header = json!({ "alg": "RS256", "kid": "SK2YuRTmOwT7yYw1q0vRAIVdmQMt3", "typ": "JWT" });
    let claims = json!({
        "amr": ["email"], "drn": "DS", "exp": 0, "iat": 0, "iss": "P2YuRTmSv8PdoasfasfWiLoBrZP9",
        "permissions": ["User Admin"], "rexp": "2024-01-10T00:57:21Z", "roles": ["Tenant Admin"],
        "sub": "U2YualoWDiRkFAEpoyOwAEyT07jk", "dct": "T2abc",
        "tenants": { "T2abc": { "permissions": ["orders"], "roles": [] } },
    });
    let sample = Sample::new(descope().unwrap(), header, claims);
    assert_eq!(sample.admit(json!({})).await.subject(), "U2YualoWDiRkFAEpoyOwAEyT07jk");
    let url = "https://api.descope.com/P2YuRTmSv8PdoasfasfWiLoBrZP9";
    sample.admit(json!({ "iss": url, "aud": ["P2YuRTmSv8PdoasfasfWiLoBrZP9"] })).await;

    sample.reject_usual_near_misses().await;
    let not_a_session = TokenError::ClaimValue("drn".into());
    sample.reject(json!({ "drn": "DSR" }), not_a_session.clone()).await;
    // An ID token for an application.
    let id_token = json!({ "drn": null, "iss": url, "aud": ["shop-web"], "nonce": "n" });
    sample.reject(id_token, not_a_session).await;
    for other in ["P2OPANdSmtackRAJlrRKFxFcoriw", "https://api.descope.com/v1/apps/P2YuRTm"] {
        sample.reject(json!({ "iss": other }), TokenError::Issuer).await;
    }
}
