//! Jobs of CI services: GitHub Actions and GitLab CI/CD.

use serde_json::json;
use tower_auth::{ConfigError, JwtAuth, jwt::TokenError};

use crate::{published::Jwks, sample::Sample};

fn github_actions() -> Result<JwtAuth, ConfigError> {
    JwtAuth::builder(Jwks::discover("https://token.actions.githubusercontent.com"))
        .audience("https://orders.example")
        .require_claim_value("repository", "acme/orders")
        .require_claim_value("repository_id", "74")
        .require_claim_value("ref", "refs/heads/main")
        .build()
}

fn gitlab_ci() -> Result<JwtAuth, ConfigError> {
    JwtAuth::builder(Jwks::discover("https://gitlab.com"))
        .audience("https://orders.example")
        .require_claim_value("project_id", "20")
        .require_claim_value("ref_path", "refs/heads/main")
        .require_claim_value("ref_protected", "true")
        .build()
}

#[tokio::test]
async fn only_github_jobs_of_the_repository_and_branch_are_admitted() {
    let header = json!({
        "typ": "JWT", "alg": "RS256", "x5t": "eBZ_cn3sXYAd0ch4THBKHIgOwOE",
        "kid": "78167F727DEC5D801DD1C8784C704A1C880EC0E1",
    });
    let claims = json!({
        "jti": "example-id", "sub": "repo:acme/orders:environment:prod", "environment": "prod",
        "aud": "https://orders.example", "ref": "refs/heads/main", "ref_protected": "true",
        "sha": "example-sha", "repository": "acme/orders", "repository_owner": "acme",
        "actor_id": "12", "repository_visibility": "private", "repository_id": "74",
        "repository_owner_id": "65", "run_id": "example-run-id", "run_number": "10",
        "run_attempt": "2", "runner_environment": "github-hosted", "actor": "octocat",
        "workflow": "example-workflow", "head_ref": "", "base_ref": "", "event_name": "push",
        "enterprise": "avocado-corp", "enterprise_id": "2", "ref_type": "branch",
        "workflow_ref": "acme/orders/.github/workflows/deploy.yml@refs/heads/main",
        "job_workflow_ref": "acme/orders/.github/workflows/deploy.yml@refs/heads/main",
        "iss": "https://token.actions.githubusercontent.com", "nbf": 0, "exp": 0, "iat": 0,
    });
    let sample = Sample::new(github_actions().unwrap(), header, claims);
    let caller = sample.admit(json!({})).await;
    assert_eq!(caller.subject(), "repo:acme/orders:environment:prod");

    sample.reject_usual_near_misses().await;
    // Every repository can request a token for this audience.
    let other = json!({
        "repository": "attacker/orders", "repository_owner": "attacker", "repository_id": "99",
        "sub": "repo:attacker/orders:ref:refs/heads/main",
    });
    sample.reject(other, TokenError::ClaimValue("repository".into())).await;
    let recreated = json!({ "repository_id": "99" });
    sample.reject(recreated, TokenError::ClaimValue("repository_id".into())).await;
    let pull_request = json!({
        "ref": "refs/pull/7/merge", "event_name": "pull_request", "head_ref": "patch",
        "base_ref": "main", "sub": "repo:acme/orders:pull_request",
    });
    sample.reject(pull_request, TokenError::ClaimValue("ref".into())).await;
    sample.reject(json!({ "aud": "https://github.com/acme" }), TokenError::Audience).await;
    let enterprise = json!({ "iss": "https://token.actions.githubusercontent.com/avocado-corp" });
    sample.reject(enterprise, TokenError::Issuer).await;
}

#[tokio::test]
async fn only_gitlab_jobs_of_the_project_and_branch_are_admitted() {
    let header = json!({
        "kid": "4i3sFE7sxqNPOT7FdvcGA1ZVGGI_r-tsDXnEuYT4ZqE", "typ": "JWT", "alg": "RS256",
    });
    let claims = json!({
        "namespace_id": "72", "namespace_path": "acme", "project_id": "20",
        "project_path": "acme/orders", "user_id": "1", "user_login": "sample-user",
        "user_email": "sample-user@example.com", "user_access_level": "developer",
        "user_identities": [{ "provider": "github", "extern_uid": "2435223452345" }],
        "pipeline_id": "574", "pipeline_source": "push", "job_id": "302", "ref": "main",
        "ref_type": "branch", "ref_path": "refs/heads/main", "ref_protected": "true",
        "groups_direct": ["acme/deployers"], "environment": "prod",
        "environment_protected": "false", "deployment_tier": "production", "runner_id": 1,
        "runner_environment": "self-hosted", "sha": "714a629c0b401fdce83e847fc9589983fc6f46bc",
        "project_visibility": "private", "jti": "235b3a54-b797-45c7-ae9a-f72d7bc6ef5b",
        "iss": "https://gitlab.com", "iat": 0, "nbf": 0, "exp": 0,
        "sub": "project_path:acme/orders:ref_type:branch:ref:main", "aud": "https://orders.example",
    });
    let sample = Sample::new(gitlab_ci().unwrap(), header, claims);
    let caller = sample.admit(json!({})).await;
    assert_eq!(caller.subject(), "project_path:acme/orders:ref_type:branch:ref:main");
    sample.admit(json!({ "aud": ["https://orders.example", "https://vault.example"] })).await;

    sample.reject_usual_near_misses().await;
    let other = json!({ "project_id": "21", "project_path": "attacker/orders" });
    sample.reject(other, TokenError::ClaimValue("project_id".into())).await;
    let branch =
        json!({ "ref": "main2", "ref_path": "refs/heads/main2", "ref_protected": "false" });
    sample.reject(branch, TokenError::ClaimValue("ref_path".into())).await;
    let unprotected = json!({ "ref_protected": "false" });
    sample.reject(unprotected, TokenError::ClaimValue("ref_protected".into())).await;
    sample.reject(json!({ "aud": "https://gitlab.com" }), TokenError::Audience).await;
    sample.reject(json!({ "iss": "https://gitlab.acme.example" }), TokenError::Issuer).await;
    // An ID token of a user, from the same issuer and keys.
    let user = json!({
        "sub": "1", "project_id": null, "ref_path": null, "ref_protected": null, "auth_time": 1,
        "sub_legacy": "a1b2", "email_verified": true, "groups_direct": ["acme"],
    });
    sample.reject(user, TokenError::ClaimValue("project_id".into())).await;
}
