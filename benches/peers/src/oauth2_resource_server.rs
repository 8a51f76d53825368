use axum::body::Body;
use futures_util::FutureExt;
use jsonwebtoken::Algorithm;
use tower_auth_test_support::token::{AUDIENCE, ISSUER};
use tower_oauth2_resource_server::{
    server::OAuth2ResourceServer, tenant::TenantConfiguration, validation::ClaimsValidationSpec,
};

use crate::{Case, Claims, Rows};

pub(crate) fn rows(case: &Case, rows: &mut impl Rows) {
    let audiences = vec![AUDIENCE.to_owned()];
    let tenant = TenantConfiguration::static_builder(&case.jwks)
        .claims_validation(ClaimsValidationSpec::recommended(ISSUER, &audiences))
        .allowed_algorithms(&[case.algorithm.parse::<Algorithm>().unwrap()])
        .build()
        .unwrap();
    let server = OAuth2ResourceServer::<Claims>::builder().add_tenant(tenant).build();
    let server = server.now_or_never().unwrap().unwrap();
    case.layer(rows, "tower-oauth2-resource-server", server.into_layer::<Body>());
}
