use axum::body::Body;
use futures_util::FutureExt;
use jsonwebtoken::Algorithm;
use serde::de::DeserializeOwned;
use tower::{Layer, service_fn};
use tower_auth_test_support::token::{AUDIENCE, ISSUER, User};
use tower_oauth2_resource_server::{
    layer::OAuth2ResourceServerLayer, server::OAuth2ResourceServer, tenant::TenantConfiguration,
    validation::ClaimsValidationSpec,
};

use crate::{Case, Claims, Row, whole::checking_handler};

const NAME: &str = "tower-oauth2-resource-server";

pub(crate) fn rows(case: &Case, rows: &mut Vec<Row>) {
    case.layer(rows, NAME, layer::<Claims>(case));
    // The crate has no checks of scopes or roles: its docs leave them to the application.
    case.whole(rows, NAME, layer::<User>(case).layer(service_fn(checking_handler::<Body>)));
}

fn layer<C>(case: &Case) -> OAuth2ResourceServerLayer<Body, C>
where
    C: DeserializeOwned + Clone + Send + Sync + 'static,
{
    let audiences = vec![AUDIENCE.to_owned()];
    let tenant = TenantConfiguration::static_builder(&case.jwks)
        .claims_validation(ClaimsValidationSpec::recommended(ISSUER, &audiences))
        .allowed_algorithms(&[case.algorithm.parse::<Algorithm>().unwrap()])
        .build()
        .unwrap();
    let server = OAuth2ResourceServer::<C>::builder().add_tenant(tenant).build();
    server.now_or_never().unwrap().unwrap().into_layer()
}
