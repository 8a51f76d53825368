use aliri::{
    jwa::Algorithm,
    jwt::{Audience, Audiences, CoreClaims, CoreValidator, Issuer, IssuerRef, Subject, SubjectRef},
};
use aliri_clock::UnixTime;
use aliri_oauth2::{Authority, HasScope, scope::Scope};
use aliri_tower::Oauth2Authorizer;
use axum::body::Body;
use serde::Deserialize;
use tower_auth_test_support::token::{AUDIENCE, ISSUER};

use crate::{Case, Rows};

/// The claims that aliri requires, and the scopes.
#[derive(Clone, Debug, Deserialize)]
struct Claims {
    iss: Issuer,
    aud: Audiences,
    sub: Subject,
    exp: UnixTime,
    nbf: UnixTime,
    scope: Scope,
}

impl CoreClaims for Claims {
    fn nbf(&self) -> Option<UnixTime> {
        Some(self.nbf)
    }

    fn exp(&self) -> Option<UnixTime> {
        Some(self.exp)
    }

    fn aud(&self) -> &Audiences {
        &self.aud
    }

    fn iss(&self) -> Option<&IssuerRef> {
        Some(&self.iss)
    }

    fn sub(&self) -> Option<&SubjectRef> {
        Some(&self.sub)
    }
}

impl HasScope for Claims {
    fn scope(&self) -> &Scope {
        &self.scope
    }
}

pub(crate) fn rows(case: &Case, rows: &mut impl Rows) {
    let algorithm = match case.algorithm {
        "HS256" => Algorithm::HS256,
        "RS256" => Algorithm::RS256,
        _ => return,
    };
    let validator = CoreValidator::default()
        .add_approved_algorithm(algorithm)
        .require_issuer(Issuer::from_static(ISSUER))
        .add_allowed_audience(Audience::from_static(AUDIENCE))
        .check_expiration()
        .check_not_before();
    let authority = Authority::new(serde_json::from_str(&case.jwks).unwrap(), validator);
    let authorizer = Oauth2Authorizer::new().with_claims::<Claims>();
    let layer = authorizer.with_terse_error_handler::<Body>().jwt_layer::<()>(authority);
    case.layer(rows, "aliri_tower", layer);
}
