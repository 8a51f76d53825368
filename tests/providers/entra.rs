//! Microsoft Entra ID.

use serde_json::{Value, json};
use tower_auth::{
    ConfigError, JwtAuth,
    jwt::{Issuers, TokenError},
};

use crate::{published::Jwks, sample::Sample};

const TENANT: &str = "72f988bf-86f1-41af-91ab-2d7cd011db47";
const OTHER_TENANT: &str = "8eaef023-2b34-4da1-9baa-8bc8c9d6a490";
const CONSUMERS: &str = "9188040d-6c67-4c5b-b112-36a304b66dad";
const API: &str = "6e74172b-be56-4843-9ff4-e66a39bb12e3";

fn entra(tenant: &str) -> Result<JwtAuth, ConfigError> {
    let issuer = format!("https://login.microsoftonline.com/{tenant}/v2.0");
    JwtAuth::builder(Jwks::discover(issuer))
        .audience("6e74172b-be56-4843-9ff4-e66a39bb12e3")
        .require_claim("azp")
        .scopes_from("scp")
        .build()
}

fn entra_tenants() -> Result<Issuers, ConfigError> {
    Issuers::new([
        entra("72f988bf-86f1-41af-91ab-2d7cd011db47")?,
        entra("8eaef023-2b34-4da1-9baa-8bc8c9d6a490")?,
    ])
}

fn entra_v1() -> Result<JwtAuth, ConfigError> {
    let tenant = "https://login.microsoftonline.com/72f988bf-86f1-41af-91ab-2d7cd011db47";
    let keys = Jwks::discover("https://sts.windows.net/72f988bf-86f1-41af-91ab-2d7cd011db47/")
        .discovery_url(format!("{tenant}/.well-known/openid-configuration"));
    JwtAuth::builder(keys)
        .audience(["api://orders", "6e74172b-be56-4843-9ff4-e66a39bb12e3"])
        .require_claim("appid")
        .scopes_from("scp")
        .build()
}

fn v2_issuer(tenant: &str) -> String {
    format!("https://login.microsoftonline.com/{tenant}/v2.0")
}

fn header() -> Value {
    json!({ "typ": "JWT", "alg": "RS256", "kid": "jS1Xo1OWDj_52vbwGNgvQO2VzMc" })
}

fn access_token() -> Value {
    json!({
        "aud": API, "iss": v2_issuer(TENANT), "iat": 0, "nbf": 0, "exp": 0,
        "aio": "AXQAi/8IAAAAtAaZLo3ChMif6KOnttRB7eBq4/DccQzjcJGxPYy/C3jDaNGxXd6wNIIVGRghNRnwJ1lOcAn",
        "azp": "11111111-1111-4111-8111-111111111111", "azpacr": "0", "name": "Abe Lincoln",
        "oid": "690222be-ff1a-4d56-abd1-7e4f7d38e474", "preferred_username": "abeli@acme.example",
        "rh": "I", "scp": "orders.read orders.write", "roles": ["auditor"],
        "sub": "HKZpfaHyWadeOouYlitjrI-KffTm222X5rrV3xDqfKQ", "tid": TENANT,
        "uti": "fqiBqXLPj0eQa82S-IYFAA", "ver": "2.0", "xms_cc": ["cp1"],
        "_claim_names": { "groups": "src1" },
        "_claim_sources": { "src1": { "endpoint": "https://graph.microsoft.com/v1.0/users/x" } },
    })
}

/// The changes from an access token to an ID token. Without `azp`, `azpacr` and `scp`.
fn id_token() -> Value {
    json!({
        "azp": null, "azpacr": null, "scp": null, "xms_cc": null, "nonce": "123523",
        "sid": "00000000-1111-4111-8111-000000000000", "email": "abeli@acme.example",
    })
}

#[tokio::test]
async fn only_access_tokens_of_the_tenant_are_admitted() {
    let sample = Sample::new(entra(TENANT).unwrap(), header(), access_token());
    let caller = sample.admit(json!({})).await;
    assert_eq!(caller.subject(), "HKZpfaHyWadeOouYlitjrI-KffTm222X5rrV3xDqfKQ");
    assert_eq!(caller.scopes().to_string(), "orders.read orders.write");
    assert_eq!(caller.claim::<Vec<String>>("roles").unwrap(), ["auditor"]);
    // A token of an application without a user has roles and no scopes.
    let application = json!({ "scp": null, "name": null, "preferred_username": null });
    assert!(sample.admit(application).await.scopes().is_empty());

    sample.reject_usual_near_misses().await;
    sample.reject(id_token(), TokenError::MissingClaim("azp".into())).await;
    let of_client = json!({ "aud": "11111111-1111-4111-8111-111111111111" });
    sample.reject(of_client, TokenError::Audience).await;
    sample.reject(json!({ "aud": "api://orders" }), TokenError::Audience).await;
    for tenant in [OTHER_TENANT, CONSUMERS, "common", "{tenantid}"] {
        let other = json!({ "iss": v2_issuer(tenant), "tid": tenant });
        sample.reject(other, TokenError::Issuer).await;
    }
    let v1 = json!({ "iss": format!("https://sts.windows.net/{TENANT}/"), "ver": "1.0" });
    sample.reject(v1, TokenError::Issuer).await;
}

#[tokio::test]
async fn access_tokens_of_the_listed_tenants_are_admitted() {
    let sample = Sample::new(entra_tenants().unwrap(), header(), access_token());
    for tenant in [TENANT, OTHER_TENANT] {
        let caller = sample.admit(json!({ "iss": v2_issuer(tenant), "tid": tenant })).await;
        assert_eq!(caller.issuer(), Some(&*v2_issuer(tenant)));
    }
    sample.reject_usual_near_misses().await;
    sample.reject(id_token(), TokenError::MissingClaim("azp".into())).await;
    let consumer = json!({ "iss": v2_issuer(CONSUMERS), "tid": CONSUMERS });
    sample.reject(consumer, TokenError::Issuer).await;
}

#[tokio::test]
async fn only_v1_access_tokens_of_the_tenant_are_admitted() {
    let issuer = |tenant| format!("https://sts.windows.net/{tenant}/");
    let header = json!({
        "typ": "JWT", "alg": "RS256", "x5t": "jS1Xo1OWDj_52vbwGNgvQO2VzMc",
        "kid": "jS1Xo1OWDj_52vbwGNgvQO2VzMc",
    });
    let claims = json!({
        "aud": "api://orders", "iss": issuer(TENANT), "iat": 0, "nbf": 0, "exp": 0, "acr": "1",
        "aio": "AXQAi/8IAAAAFm+E/QTG+gFnVxLjWdw8K+61AGrSOuMMF6ebaMj7XO3IbmD3fGmrOyD+NvZyGn2VaT/kDKX",
        "amr": ["pwd", "mfa"], "appid": "75dbe77f-10a3-4e59-85fd-8c127544f17c", "appidacr": "0",
        "family_name": "Lincoln", "given_name": "Abe",
        "idp": "https://sts.windows.net/72f988bf-86f1-41af-91ab-2d7cd0122247/",
        "ipaddr": "222.222.222.22", "name": "abeli", "oid": "02223b6b-aa1d-42d4-9ec0-1b2bb9194438",
        "rh": "I", "scp": "user_impersonation", "sub": "l3_roISQU222bULS9yi2k0XpqpOiMz5H3ZACo1GeXA",
        "tid": TENANT, "unique_name": "abeli@acme.example", "uti": "FVsGxYXI30-TuikuuUoFAA",
        "ver": "1.0",
    });
    let sample = Sample::new(entra_v1().unwrap(), header, claims);
    let caller = sample.admit(json!({})).await;
    assert_eq!(caller.scopes().to_string(), "user_impersonation");
    sample.admit(json!({ "aud": API })).await;

    sample.reject_usual_near_misses().await;
    let id_token =
        json!({ "aud": API, "appid": null, "appidacr": null, "scp": null, "nonce": "1" });
    sample.reject(id_token, TokenError::MissingClaim("appid".into())).await;
    sample.reject(json!({ "aud": "https://graph.windows.net" }), TokenError::Audience).await;
    sample.reject(json!({ "aud": "api://orders/" }), TokenError::Audience).await;
    sample
        .reject(json!({ "iss": issuer(OTHER_TENANT), "tid": OTHER_TENANT }), TokenError::Issuer)
        .await;
    sample.reject(json!({ "iss": v2_issuer(TENANT), "ver": "2.0" }), TokenError::Issuer).await;
}
