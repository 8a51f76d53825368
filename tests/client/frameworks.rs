//! hyper-util's client and reqwest, as the server sees them.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, header::AUTHORIZATION};
use http_body_util::{Empty, Full};
use tower::{Service, ServiceBuilder, ServiceExt as _};
use tower_auth::client::{
    AttachLayer, Authorization, AuthorizationSource, BasicAuthorization, BearerToken,
    RefreshingToken,
};

use crate::{Api, BoxError, Issuer, Mood, ask, client, hyper_client, ok};

fn alice() -> BasicAuthorization {
    BasicAuthorization::new("alice", "open: sesame £").unwrap()
}

/// reqwest's client, for `http`'s requests.
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

async fn ask_reqwest<C>(layer: AttachLayer<C>, url: &str) -> Result<(u16, String), BoxError>
where
    C: AuthorizationSource + 'static,
{
    let request = Request::get(url).body(reqwest::Body::default()).unwrap();
    let response = reqwest_client(layer).oneshot(request).await?;
    Ok((response.status().as_u16(), response.text().await?))
}

#[tokio::test]
async fn hyper_util_sends_each_kind_of_credentials() {
    let issuer = Issuer::new(Mood::Issues);
    let api = Api::start(&issuer).await;
    let url = api.url();
    assert_eq!(ask(&hyper_client(), &url).await.unwrap().0, 401);
    assert_eq!(ask(&client(alice()), &url).await.unwrap(), ok("alice"));
    let fixed = BearerToken::new(&issuer.jwt("robot")).unwrap();
    assert_eq!(ask(&client(fixed), &url).await.unwrap(), ok("robot"));
    let refreshing = RefreshingToken::new(issuer.source());
    assert_eq!(ask(&client(refreshing), &url).await.unwrap(), ok("token-1"));
}

#[tokio::test]
async fn reqwest_sends_each_kind_of_credentials() {
    let issuer = Issuer::new(Mood::Issues);
    let api = Api::start(&issuer).await;
    let url = api.url();
    assert_eq!(ask_reqwest(AttachLayer::new(alice()), &url).await.unwrap(), ok("alice"));
    let fixed = BearerToken::new(&issuer.jwt("robot")).unwrap();
    assert_eq!(ask_reqwest(AttachLayer::new(fixed), &url).await.unwrap(), ok("robot"));
    let refreshing = RefreshingToken::new(issuer.source());
    assert_eq!(ask_reqwest(AttachLayer::new(refreshing), &url).await.unwrap(), ok("token-1"));
}

#[tokio::test]
async fn what_is_no_url_for_reqwest_is_an_error() {
    let error = ask_reqwest(AttachLayer::new(alice()), "/path/alone").await.unwrap_err();
    assert!(error.is::<reqwest::Error>(), "{error:?}");
}

#[tokio::test]
async fn credentials_that_are_wrong_are_the_servers_to_refuse() {
    let api = Api::start(&Issuer::new(Mood::Issues)).await;
    let wrong = BasicAuthorization::new("alice", "guess").unwrap();
    assert_eq!(ask(&client(wrong), &api.url()).await.unwrap().0, 401);
}

#[tokio::test]
async fn an_authorization_that_is_there_already_stays() {
    let issuer = Issuer::new(Mood::Fails);
    let api = Api::start(&issuer).await;
    // Nor are credentials asked for, that are not needed.
    let mut client = client(RefreshingToken::new(issuer.source()));
    let own = format!("Bearer {}", issuer.jwt("own"));
    let request = Request::get(api.url()).header(AUTHORIZATION, &own).body(Empty::new()).unwrap();
    let response = client.ready().await.unwrap().call(request).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!((api.last_authorization(), issuer.asked()), (vec![own], 0));
}

#[tokio::test]
async fn layers_do_not_add_to_each_other() {
    let issuer = Issuer::new(Mood::Issues);
    let api = Api::start(&issuer).await;
    let client = ServiceBuilder::new()
        .layer(AttachLayer::new(alice()))
        .layer(AttachLayer::new(RefreshingToken::new(issuer.source())))
        .service(hyper_client());
    assert_eq!(ask(&client, &api.url()).await.unwrap(), ok("alice"));
    assert_eq!((api.last_authorization().len(), issuer.asked()), (1, 0));
}

/// A tenant's token, by the request's path.
struct PerTenant(Issuer);

impl AuthorizationSource for PerTenant {
    fn authorization(&self, head: &http::request::Parts) -> Authorization {
        let tenant = head.uri.query().unwrap_or_default();
        Authorization::ready(Ok(format!("Bearer {}", self.0.jwt(tenant)).parse().unwrap()))
    }
}

#[tokio::test]
async fn credentials_may_be_ones_own_and_known_at_run_time_only() {
    let issuer = Issuer::new(Mood::Issues);
    let api = Api::start(&issuer).await;
    let choices: [(Arc<dyn AuthorizationSource>, &str); 2] =
        [(Arc::new(PerTenant(issuer)), "tenant-7"), (Arc::new(alice()), "alice")];
    for (credentials, subject) in choices {
        let url = format!("{}?tenant-7", api.url());
        assert_eq!(ask(&client(credentials), &url).await.unwrap(), ok(subject));
    }
}

#[tokio::test]
async fn what_is_inside_sees_a_value_that_is_marked_as_sensitive() {
    let echo = tower::service_fn(async |request: Request<Full<Bytes>>| {
        Ok::<_, BoxError>(request.headers()[AUTHORIZATION].is_sensitive())
    });
    let own = PerTenant(Issuer::new(Mood::Issues));
    let request = || Request::new(Full::default());
    let own = ServiceBuilder::new().layer(AttachLayer::new(own)).service(echo);
    assert!(own.oneshot(request()).await.unwrap());
    let basic = ServiceBuilder::new().layer(AttachLayer::new(alice())).service(echo);
    assert!(basic.oneshot(request()).await.unwrap());
}

#[tokio::test]
async fn nothing_shows_a_secret() {
    let issuer = Issuer::new(Mood::Issues);
    let token = RefreshingToken::new(issuer.source());
    let value = token.header_value().await.unwrap();
    let secret = value.to_str().unwrap().strip_prefix("Bearer ").unwrap();
    let fixed = BearerToken::new(secret).unwrap();
    let layer = AttachLayer::new(fixed.clone());
    let service = client(token.clone());
    let source = issuer.issue().await.unwrap();
    let shown = format!(
        "{token:?} {fixed:?} {layer:?} {service:?} {value:?} {source:?} {:?} {:?}",
        alice(),
        token.header_value(),
    );
    assert!(!shown.contains("eyJ") && !shown.contains("sesame"), "{shown}");
    assert!(!shown.contains("YWxpY2U6"), "{shown}");
}
