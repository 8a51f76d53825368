use http::{HeaderValue, Response, header::WWW_AUTHENTICATE, request::Parts};

use super::responder::Respond;
use crate::rejection::Rejection;

/// Renders with another responder, and sends all challenges in one `WWW-Authenticate` line,
/// separated by commas (RFC 9110 §11.6.1).
///
/// By default, each challenge has a line of its own, because many clients read only the first
/// challenge of a line. Use this behind a proxy that forwards only one line, such as nginx with
/// `auth_request`.
///
/// A `WWW-Authenticate` header that the other responder sets is kept.
///
/// ```
/// use axum::Router;
/// use tower_auth::{
///     AuthenticateLayer, any_of,
///     respond::{HttpStatus, JoinChallenges},
/// };
///
/// # type Users = tower_auth::BasicAuth<tower_auth::basic::Users>;
/// # fn f(tokens: tower_auth::JwtAuth, passwords: Users) -> Router {
/// // WWW-Authenticate: Bearer realm="api", Basic realm="api", charset="UTF-8"
/// let layer = AuthenticateLayer::new(any_of((tokens, passwords)))
///     .responder(JoinChallenges::new(HttpStatus::default()));
/// # Router::new().layer(layer) }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct JoinChallenges<R> {
    responder: R,
}

impl<R> JoinChallenges<R> {
    /// Joins the challenges of the responses that `responder` creates.
    pub const fn new(responder: R) -> Self {
        Self { responder }
    }
}

impl<B, R: Respond<B>> Respond<B> for JoinChallenges<R> {
    fn respond(&self, rejection: &Rejection, head: &Parts) -> Response<B> {
        let mut response = self.responder.respond(rejection, head);
        if let Some(line) = joined_challenges(rejection) {
            response.headers_mut().entry(WWW_AUTHENTICATE).or_insert(line);
        }
        response
    }

    fn redirects_navigations(&self) -> bool {
        self.responder.redirects_navigations()
    }
}

/// Returns all challenges in one line, or `None` if there are none.
fn joined_challenges(rejection: &Rejection) -> Option<HeaderValue> {
    let lines: Vec<_> =
        rejection.challenges().map(|challenge| challenge.to_header_value()).collect();
    let parts: Vec<_> = lines.iter().map(HeaderValue::as_bytes).collect();
    // The parts are header values, so what they consist of is valid.
    HeaderValue::from_bytes(&parts.join(&b", "[..])).ok().filter(|line| !line.is_empty())
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;
    use crate::{
        header::{Challenge, Scheme},
        rejection::RejectionKind,
        respond::http::HttpStatus,
    };

    fn respond(rejection: &Rejection) -> Response<String> {
        let (head, ()) = Request::new(()).into_parts();
        let mut response = JoinChallenges::new(HttpStatus::default()).respond(rejection, &head);
        // As the layers do for every responder.
        rejection.write_headers(response.headers_mut());
        response
    }

    #[test]
    fn two_challenges_are_one_line() {
        let rejection = Rejection::new(RejectionKind::MissingCredentials)
            .with_challenge(Challenge::new(Scheme::BEARER).with_param("realm", "a, b").unwrap())
            .with_challenge(Challenge::basic("staff").unwrap());
        let response = respond(&rejection);
        assert_eq!(response.status(), 401);
        let lines: Vec<_> = response.headers().get_all(WWW_AUTHENTICATE).iter().collect();
        assert_eq!(lines, [r#"Bearer realm="a, b", Basic realm="staff", charset="UTF-8""#]);
    }

    #[test]
    fn rejection_without_challenges_has_no_line() {
        let response = respond(&Rejection::new(RejectionKind::Forbidden));
        assert!(!response.headers().contains_key(WWW_AUTHENTICATE));
    }

    #[test]
    fn header_of_the_other_responder_is_kept() {
        let (head, ()) = Request::new(()).into_parts();
        let own = |_: &Rejection, _: &Parts| {
            let response = Response::builder().header(WWW_AUTHENTICATE, "Own");
            response.body(String::new()).unwrap()
        };
        let rejection = Rejection::new(RejectionKind::MissingCredentials)
            .with_challenge(Challenge::basic("staff").unwrap());
        let response = JoinChallenges::new(own).respond(&rejection, &head);
        let lines: Vec<_> = response.headers().get_all(WWW_AUTHENTICATE).iter().collect();
        assert_eq!(lines, ["Own"]);
    }
}
