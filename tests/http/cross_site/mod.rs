//! The cross-site check of ambient credentials.

mod attacker;
mod configuration;
mod csrf_layer;
mod go;
mod schemes;
mod sockets;
mod table;

use futures_util::FutureExt as _;
use http::{Request, header::AUTHORIZATION, request::Parts};
use tower_auth::{
    Authenticator, BasicAuth, RejectionKind,
    basic::{PasswordVerifier, Users},
    transport::Forwarded,
};

use super::basic::basic_header;

/// Returns Basic authentication for `alice`, behind TLS.
fn staff() -> BasicAuth<impl PasswordVerifier> {
    let users = Users::new([("alice", "secret")]).unwrap();
    BasicAuth::new("staff", users).unwrap().forwarded(Forwarded::direct().tls())
}

/// Returns the head of a request to `app.test` with the password of `alice`.
fn head(method: &str, lines: &[(&str, &str)]) -> Parts {
    let password = basic_header("alice", "secret");
    let request = Request::builder().method(method).header("host", "app.test");
    let request = request.header(AUTHORIZATION, password);
    let request =
        lines.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    request.body(()).unwrap().into_parts().0
}

/// Returns `None` if the request is admitted.
fn rejection(authenticator: &impl Authenticator, head: &Parts) -> Option<RejectionKind> {
    let result = authenticator.authenticate(head).expect("the request has credentials");
    result.now_or_never().unwrap().into_result().err().map(|rejection| rejection.kind())
}

/// Returns the headers that are present.
fn present<'a>(site: Option<&'a str>, origin: Option<&'a str>) -> Vec<(&'a str, &'a str)> {
    let site = site.map(|site| ("sec-fetch-site", site));
    site.into_iter().chain(origin.map(|origin| ("origin", origin))).collect()
}
