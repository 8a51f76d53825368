use std::{convert::Infallible, future::Ready, hint::black_box};

use aliri::{
    jwa::Algorithm,
    jwt::{Audience, Audiences, CoreClaims, CoreValidator, Issuer, IssuerRef, Subject, SubjectRef},
};
use aliri_clock::UnixTime;
use aliri_oauth2::{Authority, HasScope, ScopePolicy, scope::Scope};
use aliri_tower::Oauth2Authorizer;
use axum::body::Body;
use http::{Request, Response, StatusCode};
use serde::Deserialize;
use tower::{Layer, service_fn};
use tower_auth_test_support::token::{AUDIENCE, ISSUER};

use crate::{
    Case, Row,
    whole::{ROLE, SCOPES, respond},
};

const NAME: &str = "aliri_tower";

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

/// The claims that aliri requires, and those of the application.
#[derive(Clone, Debug, Deserialize)]
#[allow(dead_code)] // A handler would read them.
struct User {
    iss: Issuer,
    aud: Audiences,
    sub: Subject,
    exp: UnixTime,
    nbf: UnixTime,
    email: String,
    name: String,
    scope: Scope,
    roles: Vec<String>,
}

macro_rules! core_claims {
    ($($claims:ty)*) => { $(
        impl CoreClaims for $claims {
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

        impl HasScope for $claims {
            fn scope(&self) -> &Scope {
                &self.scope
            }
        }
    )* };
}

core_claims!(Claims User);

pub(crate) fn rows(case: &Case, rows: &mut Vec<Row>) {
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
    let layer = authorizer.with_terse_error_handler::<Body>().jwt_layer::<()>(authority.clone());
    case.layer(rows, NAME, layer);

    let authorizer = Oauth2Authorizer::new().with_claims::<User>();
    let authorizer = authorizer.with_terse_error_handler::<Body>();
    let scopes: Scope = SCOPES.join(" ").parse().unwrap();
    let scopes = authorizer.scope_layer::<()>(ScopePolicy::from(scopes));
    let service = scopes.layer(service_fn(handler));
    case.whole(rows, NAME, authorizer.jwt_layer::<()>(authority).layer(service));
}

/// Checks the role, because aliri has no roles.
fn handler(request: Request<()>) -> Ready<Result<Response<Body>, Infallible>> {
    let user = request.extensions().get::<User>().unwrap();
    if !user.roles.iter().any(|role| role == ROLE) {
        return respond(StatusCode::FORBIDDEN);
    }
    black_box(user);
    respond(StatusCode::OK)
}
