//! Users with fixed passwords. tower-http supports one user, and compares the header value as a
//! whole.

use std::convert::Infallible;

use axum::body::Body;
use http::{Request, Response, StatusCode};
use tower::{Layer, Service};
use tower_auth::{AuthenticateLayer, BasicAuth, basic::Users};
use tower_http::validate_request::ValidateRequestHeaderLayer;

use crate::{
    Inner, Row, RowName,
    case::{inner, status_of},
    row::request_row,
};

const VALID: &str = "Basic YWxpY2U6Y29ycmVjdCBob3JzZQ==";
const WRONG: &str = "Basic YWxpY2U6Y29ycmVjdCBob3JzZSA=";

pub(crate) fn rows(rows: &mut Vec<Row>) {
    let users = Users::new([("alice", "correct horse")]).unwrap();
    layer(rows, "tower-auth", AuthenticateLayer::new(BasicAuth::new("staff", users).unwrap()));
    #[allow(deprecated)] // tower-http has no other layer for Basic.
    let tower_http = ValidateRequestHeaderLayer::basic("alice", "correct horse");
    layer(rows, "tower-http", tower_http);
}

fn layer<L, S>(rows: &mut Vec<Row>, name: &'static str, layer: L)
where
    L: Layer<Inner<Body>, Service = S>,
    S: Service<Request<()>, Response = Response<Body>, Error = Infallible> + Clone + 'static,
{
    let service = layer.layer(inner());
    for (with, value, status) in [
        ("valid password", Some(VALID), StatusCode::OK),
        ("wrong password", Some(WRONG), StatusCode::UNAUTHORIZED),
        ("missing credentials", None, StatusCode::UNAUTHORIZED),
    ] {
        assert_eq!(status_of(service.clone(), value), status, "{name}");
        let name = RowName::new("basic", with, name);
        rows.push(request_row(name, service.clone(), value));
    }
}
