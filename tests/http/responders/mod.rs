//! Custom responders, and what outer layers and clients learn of a rejection.

mod closures;
mod join_challenges;
mod layers_between;
mod one_responder;
mod own_scheme;
mod reasons;

use std::{
    convert::Infallible,
    future::IntoFuture as _,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use axum::Router;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{Request, Response, StatusCode, request::Parts};
use http_body::Frame;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tower::{ServiceBuilder, service_fn, util::MapResponseLayer};
use tower_auth::{
    AuthenticateLayer, AuthorizeLayer, BasicAuth, JwtAuth, Principal, Rejection, RequireScopes,
    any_of,
    authenticate::AnyOf,
    basic::{BasicCredentials, PasswordVerifier, Verdict},
    jwt::Keys,
};
use tower_auth_test_support::{
    raw::{self, RawResponse},
    token::{AUDIENCE, ISSUER, Signer, claims},
};

const OUTAGE: &str = "the directory at 10.0.0.7 is down";
const SUSPENDED: &str = "the tenant has not paid";

/// A custom response body without `Default` and without conversions.
struct Page(Option<&'static str>);

impl Page {
    fn response(status: StatusCode, text: &'static str) -> Response<Self> {
        let mut response = Response::new(Self(Some(text)));
        *response.status_mut() = status;
        response
    }
}

impl http_body::Body for Page {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.take().map(|text| Ok(Frame::data(Bytes::from_static(text.as_bytes())))))
    }
}

async fn welcome<B>(_: Request<B>) -> Result<Response<Page>, Infallible> {
    Ok(Page::response(StatusCode::OK, "welcome"))
}

fn rejection_page(rejection: &Rejection, _: &Parts) -> Response<Page> {
    Page::response(rejection.kind().status(), rejection.kind().message())
}

/// A server with tokens, passwords, a policy, and an outer layer that records rejections.
struct Api {
    address: String,
    signer: Signer,
    rejections: Arc<Mutex<Vec<Rejection>>>,
}

impl Api {
    async fn serve() -> Self {
        let (signer, rejections) = (Signer::generate("ES256", "1"), Arc::<Mutex<_>>::default());
        let stack = ServiceBuilder::new()
            .layer(record_rejections(Arc::clone(&rejections)))
            .layer(AuthenticateLayer::new(jwt_or_basic(&signer)).responder(rejection_page))
            .layer(AuthorizeLayer::new(RequireScopes::all(["write"])).responder(rejection_page))
            .service(service_fn(welcome));
        let address = listen(Router::new().route_service("/", stack)).await;
        Self { address, signer, rejections }
    }

    fn send(&self, lines: &[&str]) -> RawResponse {
        send(&self.address, lines)
    }

    fn last_rejection(&self) -> Rejection {
        self.rejections.lock().unwrap().pop().expect("no rejection was recorded")
    }

    /// An `Authorization` value whose token has valid claims, except that one is replaced.
    fn bearer(&self, name: &str, value: impl Into<Value>) -> String {
        let mut claims = claims();
        claims[name] = value.into();
        format!("Bearer {}", self.signer.token(&claims))
    }
}

fn jwt_or_basic(signer: &Signer) -> AnyOf<(JwtAuth, BasicAuth<impl PasswordVerifier>)> {
    let keys = Keys::from_json(json!({ "keys": [signer.jwk()] }).to_string()).unwrap();
    let tokens = JwtAuth::builder(keys).issuer(ISSUER).audience(AUDIENCE);
    let tokens = tokens.check(|caller: &Principal| match caller.subject() {
        "suspended" => Err(SUSPENDED),
        _ => Ok(()),
    });
    let staff = |credentials: BasicCredentials| async move {
        match credentials.user_id() {
            "carol" => Verdict::unavailable(OUTAGE),
            _ => Verdict::Invalid,
        }
    };
    any_of((tokens.build().unwrap(), BasicAuth::new("staff", staff).unwrap()))
}

/// An outer layer that records the rejections in response extensions.
fn record_rejections<B>(
    rejections: Arc<Mutex<Vec<Rejection>>>,
) -> MapResponseLayer<impl FnOnce(Response<B>) -> Response<B> + Clone> {
    MapResponseLayer::new(move |response: Response<B>| {
        rejections.lock().unwrap().extend(response.extensions().get().cloned());
        response
    })
}

async fn listen(app: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(axum::serve(listener, app).into_future());
    address
}

fn send(address: &str, lines: &[&str]) -> RawResponse {
    let lines: Vec<_> = lines.iter().map(|line| ("Authorization", *line)).collect();
    raw::get(address, "/", &lines)
}

fn basic_header(user_id: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user_id}:{password}")))
}
