//! hyper-util and reqwest clients with attached credentials.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, header::AUTHORIZATION};
use http_body_util::{Empty, Full};
use tower::{Service, ServiceBuilder, ServiceExt as _};
use tower_auth::client::{
    AttachLayer, Authorization, AuthorizationSource, BasicAuthorization, BearerToken,
    RefreshingToken,
};

use crate::{Api, BoxError, Issuer, IssuerMode, client, hyper_client, ok, send_get};

fn alice() -> BasicAuthorization {
    BasicAuthorization::new("alice", "open: sesame £").unwrap()
}

/// Returns a reqwest client that takes requests of the `http` crate.
fn reqwest_client<C: AuthorizationSource + 'static>(
    layer: AttachLayer<C>,
) -> impl Service<Request<reqwest::Body>, Response = reqwest::Response, Error = BoxError, Future: Send>
+ Clone {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    ServiceBuilder::new()
        .layer(layer)
        .filter(|request: Request<reqwest::Body>| reqwest::Request::try_from(request))
        .service(client)
}

async fn send_get_with_reqwest<C>(
    layer: AttachLayer<C>,
    url: &str,
) -> Result<(u16, String), BoxError>
where
    C: AuthorizationSource + 'static,
{
    let request = Request::get(url).body(reqwest::Body::default()).unwrap();
    let response = reqwest_client(layer).oneshot(request).await?;
    Ok((response.status().as_u16(), response.text().await?))
}

#[tokio::test]
async fn hyper_util_sends_each_kind_of_credentials() {
    let issuer = Issuer::new(IssuerMode::Issue);
    let api = Api::start(&issuer).await;
    let url = api.url();
    assert_eq!(send_get(&hyper_client(), &url).await.unwrap().0, 401);
    assert_eq!(send_get(&client(alice()), &url).await.unwrap(), ok("alice"));
    let fixed = BearerToken::new(&issuer.jwt("robot")).unwrap();
    assert_eq!(send_get(&client(fixed), &url).await.unwrap(), ok("robot"));
    let refreshing = RefreshingToken::new(issuer.source());
    assert_eq!(send_get(&client(refreshing), &url).await.unwrap(), ok("token-1"));
}

#[tokio::test]
async fn reqwest_sends_each_kind_of_credentials() {
    let issuer = Issuer::new(IssuerMode::Issue);
    let api = Api::start(&issuer).await;
    let url = api.url();
    assert_eq!(send_get_with_reqwest(AttachLayer::new(alice()), &url).await.unwrap(), ok("alice"));
    let fixed = BearerToken::new(&issuer.jwt("robot")).unwrap();
    assert_eq!(send_get_with_reqwest(AttachLayer::new(fixed), &url).await.unwrap(), ok("robot"));
    let refreshing = RefreshingToken::new(issuer.source());
    assert_eq!(
        send_get_with_reqwest(AttachLayer::new(refreshing), &url).await.unwrap(),
        ok("token-1")
    );
}

#[tokio::test]
async fn invalid_reqwest_url_returns_an_error() {
    let error = send_get_with_reqwest(AttachLayer::new(alice()), "/path/alone").await.unwrap_err();
    assert!(error.is::<reqwest::Error>(), "{error:?}");
}

#[tokio::test]
async fn wrong_credentials_are_sent_and_return_401() {
    let api = Api::start(&Issuer::new(IssuerMode::Issue)).await;
    let wrong = BasicAuthorization::new("alice", "guess").unwrap();
    assert_eq!(send_get(&client(wrong), &api.url()).await.unwrap().0, 401);
}

#[tokio::test]
async fn existing_authorization_header_is_kept() {
    let issuer = Issuer::new(IssuerMode::Fail);
    let api = Api::start(&issuer).await;
    // The failing source must not be called.
    let mut client = client(RefreshingToken::new(issuer.source()));
    let existing = format!("Bearer {}", issuer.jwt("own"));
    let request =
        Request::get(api.url()).header(AUTHORIZATION, &existing).body(Empty::new()).unwrap();
    let response = client.ready().await.unwrap().call(request).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!((api.last_authorization(), issuer.fetches()), (vec![existing], 0));
}

#[tokio::test]
async fn two_layers_send_one_authorization_header() {
    let issuer = Issuer::new(IssuerMode::Issue);
    let api = Api::start(&issuer).await;
    let client = ServiceBuilder::new()
        .layer(AttachLayer::new(alice()))
        .layer(AttachLayer::new(RefreshingToken::new(issuer.source())))
        .service(hyper_client());
    assert_eq!(send_get(&client, &api.url()).await.unwrap(), ok("alice"));
    assert_eq!((api.last_authorization().len(), issuer.fetches()), (1, 0));
}

/// Attaches a token for the tenant in the query of the request.
struct PerTenant(Issuer);

impl AuthorizationSource for PerTenant {
    fn authorization(&self, head: &http::request::Parts) -> Authorization {
        let tenant = head.uri.query().unwrap_or_default();
        Authorization::ready(Ok(format!("Bearer {}", self.0.jwt(tenant)).parse().unwrap()))
    }
}

#[tokio::test]
async fn custom_source_can_be_a_trait_object() {
    let issuer = Issuer::new(IssuerMode::Issue);
    let api = Api::start(&issuer).await;
    let sources: [(Arc<dyn AuthorizationSource>, &str); 2] =
        [(Arc::new(PerTenant(issuer)), "tenant-7"), (Arc::new(alice()), "alice")];
    for (credentials, subject) in sources {
        let url = format!("{}?tenant-7", api.url());
        assert_eq!(send_get(&client(credentials), &url).await.unwrap(), ok(subject));
    }
}

#[tokio::test]
async fn attached_header_is_marked_sensitive() {
    let is_sensitive = tower::service_fn(async |request: Request<Full<Bytes>>| {
        Ok::<_, BoxError>(request.headers()[AUTHORIZATION].is_sensitive())
    });
    let custom = PerTenant(Issuer::new(IssuerMode::Issue));
    let request = || Request::new(Full::default());
    let custom = ServiceBuilder::new().layer(AttachLayer::new(custom)).service(is_sensitive);
    assert!(custom.oneshot(request()).await.unwrap());
    let basic = ServiceBuilder::new().layer(AttachLayer::new(alice())).service(is_sensitive);
    assert!(basic.oneshot(request()).await.unwrap());
}

#[tokio::test]
async fn debug_output_omits_secrets() {
    let issuer = Issuer::new(IssuerMode::Issue);
    let token = RefreshingToken::new(issuer.source());
    let value = token.header_value().await.unwrap();
    let secret = value.to_str().unwrap().strip_prefix("Bearer ").unwrap();
    let fixed = BearerToken::new(secret).unwrap();
    let layer = AttachLayer::new(fixed.clone());
    let service = client(token.clone());
    let source = issuer.issue().await.unwrap();
    let output = format!(
        "{token:?} {fixed:?} {layer:?} {service:?} {value:?} {source:?} {:?} {:?}",
        alice(),
        token.header_value(),
    );
    assert!(!output.contains("eyJ") && !output.contains("sesame"), "{output}");
    assert!(!output.contains("YWxpY2U6"), "{output}");
}
