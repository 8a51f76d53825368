//! Access to the service inside a middleware.

use tower::Layer;
use tower_auth::{
    AuthenticateLayer, RequireScopes, ResourceMetadata,
    client::{AttachLayer, BearerToken},
    transport::{Forwarded, HttpsLayer, SameOriginLayer},
};
use tower_auth_test_support::api::staff;

/// Checks the three accessors of a middleware around a `u8`.
macro_rules! assert_gives_access {
    ($layer:expr) => {
        let mut service = $layer.layer(1_u8);
        *service.get_mut() += 1;
        assert_eq!(*service.get_ref(), 2);
        assert_eq!(service.into_inner(), 2);
    };
}

#[test]
fn every_service_gives_access_to_the_inner_service() {
    let metadata = ResourceMetadata::builder("https://api.example", "https://issuer.example");
    assert_gives_access!(AuthenticateLayer::new(staff()));
    assert_gives_access!(RequireScopes::all("read"));
    assert_gives_access!(AttachLayer::new(BearerToken::new("token").unwrap()));
    assert_gives_access!(HttpsLayer::new(Forwarded::direct()));
    assert_gives_access!(SameOriginLayer::new());
    assert_gives_access!(metadata.build().unwrap());
}
