//! Users with fixed passwords. tower-http knows one, and compares the header's value as it was sent.

use std::convert::Infallible;

use axum::body::Body;
use http::{Request, Response, StatusCode};
use tower::{Layer, Service};
use tower_auth::{AuthenticateLayer, BasicAuth, basic::Users};
use tower_http::validate_request::ValidateRequestHeaderLayer;

use crate::{
    Inner, Row, Rows,
    case::{answer, inner},
};

const RIGHT: &str = "Basic YWxpY2U6Y29ycmVjdCBob3JzZQ==";
const WRONG: &str = "Basic YWxpY2U6Y29ycmVjdCBob3JzZSA=";

pub(crate) fn rows(rows: &mut impl Rows) {
    let users = Users::new([("alice", "correct horse")]).unwrap();
    layer(rows, "tower-auth", AuthenticateLayer::new(BasicAuth::new("staff", users).unwrap()));
    #[allow(deprecated)] // There is no other of theirs.
    let theirs = ValidateRequestHeaderLayer::basic("alice", "correct horse");
    layer(rows, "tower-http", theirs);
}

fn layer<L, S>(rows: &mut impl Rows, name: &'static str, layer: L)
where
    L: Layer<Inner<Body>, Service = S>,
    S: Service<Request<()>, Response = Response<Body>, Error = Infallible>,
{
    let mut service = layer.layer(inner());
    for (with, value, status) in [
        ("admitted", Some(RIGHT), StatusCode::OK),
        ("refused", Some(WRONG), StatusCode::UNAUTHORIZED),
        ("missing", None, StatusCode::UNAUTHORIZED),
    ] {
        assert_eq!(answer(&mut service, value), status, "{name}");
        rows.request(Row::new("basic", with, name), &mut service, value);
    }
}
